//! `packaging/app.lock`: every Python package of the pinned release, for every supported Python and platform, by hash.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use super::{argument, wheels};
use crate::edit::NewApp;
use crate::manifest::PythonRange;
use crate::ui;

/// Requirements with hashes, as `pip install --require-hashes` reads them.
pub(crate) const PATH: &str = "packaging/app.lock";
/// Where PyPI has each of its files that Linux can use, for builds without an index (Flatpak).
pub(crate) const SOURCES: &str = "packaging/app.lock.sources.json";

const DIGEST_LINE: &str = "# release-sha256: ";
/// The one host that PyPI serves files from; a mirror's address is of no use to others.
const FILES: &str = "https://files.pythonhosted.org/packages/";

/// The digest of the release that a lock belongs to.
pub(crate) fn belongs_to(lock: &str) -> Option<&str> {
    lock.lines().find_map(|line| line.strip_prefix(DIGEST_LINE)).map(str::trim)
}

/// Requirements of a lock that have no hash.
pub(crate) fn without_hash(lock: &str) -> Vec<String> {
    requirements(lock).filter(|line| !line.contains("--hash=sha256:")).map(name_of).collect()
}

/// The requirements, each with its continuation lines.
pub(crate) fn requirements(lock: &str) -> impl Iterator<Item = String> {
    lock.replace("\\\n", " ")
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect::<Vec<_>>()
        .into_iter()
}

fn name_of(requirement: String) -> String {
    requirement.split(' ').next().unwrap_or_default().to_owned()
}

/// What a lock is made from.
pub(super) struct Order<'a> {
    pub uv: &'a Path,
    pub folder: &'a Path,
    pub requirements: &'a str,
    pub app: &'a NewApp,
    pub python: &'a PythonRange,
    pub glibc: &'a str,
    pub offline: bool,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Locked {
    pub text: String,
    pub sources: String,
    pub report: Vec<String>,
}

/// Resolves for all, then proves each supported Python on each platform.
pub(super) fn compile(order: &Order<'_>) -> Result<Locked> {
    let work = tempfile::tempdir_in(order.folder).context("cannot create a scratch folder")?;
    let minors = wheels::minors(order.python)?;
    let input = work.path().join("requirements.txt");
    fs::write(&input, order.requirements).with_context(|| format!("cannot write {}", input.display()))?;

    ui::verb("Locking", "the release's Python packages, for every platform");
    let common = ["--universal", "--no-header", "--no-annotate", "--python-version", &order.python.min];
    let output = work.path().join("app.lock");
    let uv = |arguments: &[&str], paths: &[&Path]| run_uv(order, arguments, paths);
    uv(
        &[&["pip", "compile", "--generate-hashes"], &common[..], &["--output-file"]].concat(),
        &[&output, &input],
    )?;
    let lock = read(&output)?;

    // The same versions once more, as a pylock.toml: it also says where each file is.
    let pylock = work.path().join("pylock.toml");
    let compile = ["pip", "compile", "--format", "pylock.toml", "--constraint"];
    uv(&[&compile[..], &[&argument(&output)], &common[..], &["--output-file"]].concat(), &[&pylock, &input])?;
    let files = files_of(&read(&pylock)?)?;
    for file in &files {
        if !lock.contains(&format!("sha256:{}", file.sha256)) {
            bail!("uv's two answers differ: {} is not in the lock\nhelp: run it again", file.file);
        }
    }

    let text = headed(&lock, order, &version_of(order.uv)?)?;
    fs::write(&output, &text).with_context(|| format!("cannot write {}", output.display()))?;
    let report = prove(order, &minors, &output, work.path(), &files)?;
    let usable: Vec<&SourceFile> = files.iter().filter(|file| wheels::is_for_linux(&file.file)).collect();
    let sources = Sources { release_sha256: &order.app.sha256, files: usable };
    let mut sources = serde_json::to_string_pretty(&sources).context("cannot serialise the sources")?;
    sources.push('\n');
    Ok(Locked { text, sources, report })
}

/// Every Python on every platform must resolve from the lock alone. Says which wheels the index lacks.
fn prove(
    order: &Order<'_>,
    minors: &[u32],
    lock: &Path,
    work: &Path,
    files: &[SourceFile],
) -> Result<Vec<String>> {
    let mut lacking = wheels::Lacking::default();
    for &minor in minors {
        ui::verb("Resolving", format!("Python 3.{minor} on Linux and macOS, from the lock alone"));
        // Side by side: most of the time goes into waiting for the index.
        let packages: Vec<Result<Vec<String>>> = std::thread::scope(|scope| {
            let spawn = |platform| scope.spawn(move || resolve(order, minor, platform, lock, work));
            let running: Vec<_> = wheels::PLATFORMS.iter().map(spawn).collect();
            running
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        for (platform, packages) in wheels::PLATFORMS.iter().zip(packages) {
            for package in packages? {
                let of_package = |file: &&SourceFile| format!("{}=={}", file.name, file.version) == package;
                let mut candidates = files.iter().filter(of_package);
                if !candidates.any(|file| wheels::fits(&file.file, minor, platform, order.glibc)) {
                    lacking.add(&package, minor, platform);
                }
            }
        }
    }
    Ok(lacking.lines())
}

/// What one Python on one platform would install from the lock, as `idna==3.10`.
fn resolve(
    order: &Order<'_>,
    minor: u32,
    platform: &wheels::Platform,
    lock: &Path,
    work: &Path,
) -> Result<Vec<String>> {
    let version = format!("3.{minor}");
    let platform_name = platform.uv(order.glibc);
    let install = ["pip", "install", "--dry-run", "--require-hashes", "--python-version", &version];
    let more = ["--python-platform", &platform_name, "--target"];
    let paths = [&work.join("target"), Path::new("--requirements"), lock];
    let said = run_uv(order, &[&install[..], &more].concat(), &paths)
        .with_context(|| format!("the lock does not serve Python {version} on {}", platform.label))?;
    let added = said.lines().filter_map(|line| line.trim().strip_prefix("+ "));
    Ok(added.map(|package| package.trim().to_owned()).collect())
}

fn headed(lock: &str, order: &Order<'_>, uv: &str) -> Result<String> {
    let app = order.app;
    let mut text = format!(
        "# Every Python package of Mathesar {version}, with hashes: generated by `cargo xtask pin {version}`.\n\
         # release-version: {version}\n{DIGEST_LINE}{digest}\n# python: {min} to {max}\n# resolver: {uv}\n",
        version = app.version,
        digest = app.sha256,
        min = order.python.min,
        max = order.python.max,
    );
    for requirement in requirements(lock) {
        // A machine's own configuration may make uv write where it looked: of no use to others.
        if requirement.starts_with('-') {
            continue;
        }
        if requirement.contains("://") {
            bail!("the lock would hold an address: {requirement}");
        }
        text.push_str(&requirement.replace(" --hash=", " \\\n    --hash="));
        text.push('\n');
    }
    let bare = without_hash(&text);
    if !bare.is_empty() {
        bail!("no hash for {}", bare.join(", "));
    }
    Ok(text)
}

/// A file of PyPI.
#[derive(Debug, Clone, Serialize)]
pub(super) struct SourceFile {
    pub name: String,
    pub version: String,
    pub file: String,
    pub url: String,
    pub sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Sources<'a> {
    release_sha256: &'a str,
    files: Vec<&'a SourceFile>,
}

#[derive(Deserialize)]
struct Pylock {
    #[serde(default)]
    packages: Vec<PylockPackage>,
}

#[derive(Deserialize)]
struct PylockPackage {
    name: String,
    version: Option<String>,
    sdist: Option<PylockFile>,
    #[serde(default)]
    wheels: Vec<PylockFile>,
}

#[derive(Deserialize)]
struct PylockFile {
    url: Option<String>,
    size: Option<u64>,
    hashes: PylockHashes,
}

#[derive(Deserialize)]
struct PylockHashes {
    sha256: Option<String>,
}

/// Every file of a pylock.toml, at PyPI's own address.
fn files_of(pylock: &str) -> Result<Vec<SourceFile>> {
    let pylock: Pylock = toml::from_str(pylock).context("cannot read uv's pylock.toml")?;
    let mut files = Vec::new();
    let mut seen = BTreeSet::new();
    for package in pylock.packages {
        let version = package.version.with_context(|| format!("uv tells no version of {}", package.name))?;
        for file in package.sdist.iter().chain(&package.wheels) {
            let url = canonical(file.url.as_deref().unwrap_or_default()).with_context(|| {
                format!(
                    "a file of {} is not at PyPI\nhelp: use the index https://pypi.org/simple",
                    package.name
                )
            })?;
            let sha256 = file.hashes.sha256.clone().with_context(|| format!("no SHA-256 for {url}"))?;
            if !seen.insert(url.clone()) {
                continue;
            }
            files.push(SourceFile {
                name: package.name.clone(),
                version: version.clone(),
                file: url.rsplit('/').next().unwrap_or_default().replace("%2B", "+"),
                url,
                sha256,
                size: file.size,
            });
        }
    }
    Ok(files)
}

/// PyPI's address of a file: mirrors keep the path `packages/<2>/<2>/<60>/<file>`.
fn canonical(url: &str) -> Option<String> {
    let path = url.split(['#', '?']).next()?;
    let (_, path) = path.split_once("/packages/")?;
    let parts: Vec<&str> = path.split('/').collect();
    let is_hash =
        |part: &str, length: usize| part.len() == length && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    match parts[..] {
        [first, second, rest, file]
            if is_hash(first, 2) && is_hash(second, 2) && is_hash(rest, 60) && !file.is_empty() =>
        {
            Some(format!("{FILES}{path}"))
        }
        _ => None,
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// `uv 0.9.1`, without what follows of the build.
pub(super) fn version_of(uv: &Path) -> Result<String> {
    let output =
        Command::new(uv).arg("--version").output().with_context(|| format!("cannot run {}", uv.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(said.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// Runs uv; what it printed, or all of that with the command line as the error.
fn run_uv(order: &Order<'_>, arguments: &[&str], paths: &[&Path]) -> Result<String> {
    let mut command = Command::new(order.uv);
    command.args(arguments).args(paths).stdin(Stdio::null()).env("NO_COLOR", "1");
    if order.offline {
        command.arg("--offline");
    }
    let output = command.output().with_context(|| format!("cannot run {}", order.uv.display()))?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("{command:?} failed ({})\n{}", output.status, said.trim_end());
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = "# x\n# release-sha256: abc\nidna==3.10 \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\nsix==1.17.0 ; python_version < '4'\n";

    #[test]
    fn a_lock_tells_its_release_and_what_lacks_a_hash() {
        assert_eq!(belongs_to(LOCK), Some("abc"));
        assert_eq!(belongs_to("idna==3.10\n"), None);
        assert_eq!(without_hash(LOCK), ["six==1.17.0"]);
    }

    #[test]
    fn addresses_are_pypis() {
        let path = format!("ab/cd/{}/x-1.0.tar.gz", "0".repeat(60));
        for base in ["https://files.pythonhosted.org", "https://mirror.example/root/pypi"] {
            let url = format!("{base}/packages/{path}#sha256=1");
            assert_eq!(canonical(&url), Some(format!("{FILES}{path}")));
        }
        assert_eq!(canonical("https://example.org/x-1.0.tar.gz"), None);
        assert_eq!(canonical("file:///packages/x-1.0.tar.gz"), None);
        let pylock = |url: &str| {
            format!(
                "[[packages]]\nname = \"x\"\nversion = \"1.0\"\n\
                 sdist = {{ url = \"{url}\", size = 3, hashes = {{ sha256 = \"12\" }} }}\n"
            )
        };
        let files = files_of(&pylock(&format!("https://mirror.example/packages/{path}"))).unwrap();
        assert_eq!((files[0].file.as_str(), files[0].size), ("x-1.0.tar.gz", Some(3)));
        assert!(files_of(&pylock("https://mirror.example/x.tar.gz")).is_err());
    }

    #[test]
    fn a_lock_has_hashes_and_no_addresses() {
        let app = NewApp { version: "1.0.0".into(), url: String::new(), sha256: "abc".into(), size: 1 };
        let python = PythonRange { min: "3.10".into(), max: "3.14".into(), prefer: Vec::new() };
        let order = Order {
            uv: Path::new("uv"),
            folder: Path::new("."),
            requirements: "",
            app: &app,
            python: &python,
            glibc: "2.34",
            offline: true,
        };
        let good = "--index-url https://mirror.example/simple\nidna==3.10 ; python_version < '4' \\\n    --hash=sha256:1 \\\n    --hash=sha256:2\n";
        insta::assert_snapshot!(headed(good, &order, "uv 1").unwrap());
        let error = |lock: &str| headed(lock, &order, "uv 1").unwrap_err().to_string();
        assert_eq!(error("idna==3.10\n"), "no hash for idna==3.10");
        assert!(
            error("x @ https://example.org/x.whl --hash=sha256:1\n")
                .starts_with("the lock would hold an address")
        );
    }
}
