//! What the manifest would fetch, brought beforehand: flatpak-builder looks in a folder by digest before it asks the network, which the
//! machine has not.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use machines::Base;
use serde::Deserialize;
use xshell::cmd;

use super::stand_in;
use crate::workspace::Workspace;
use crate::{digest, shell, ui};

/// A file that the manifest names.
#[derive(Debug, PartialEq, Eq, Deserialize)]
struct Source {
    url: String,
    sha256: String,
}

impl Source {
    fn name(&self) -> &str {
        self.url.rsplit('/').next().unwrap_or_default()
    }
}

/// Puts all of them below `to`; `manifest` is the generated folder, `at_hand` are files of this run. The others are taken from cargo's
/// own store, or fetched and kept in `store`.
pub(crate) fn gather(
    workspace: &Workspace,
    manifest: &Path,
    at_hand: &[PathBuf],
    store: &Path,
    to: &Path,
) -> Result<()> {
    let mut waiting = Vec::new();
    for file in at_hand {
        waiting.push((digest::file(file)?, file.clone()));
    }
    let shell = shell::at(&workspace.root)?;
    let cargo = shell::cargo();
    cmd!(shell, "{cargo} fetch --quiet --locked").quiet().run()?;
    let crates = manifest.join("cargo-sources.json");
    let text = fs::read_to_string(&crates).with_context(|| format!("cannot read {}", crates.display()))?;
    for source in of_crates(&text)? {
        let file = crate_file(source.name())?;
        put(&file, &source, to)?;
    }
    for source in of_manifest(&manifest_text(manifest)?) {
        let known = waiting.iter().find(|(sha256, _)| *sha256 == source.sha256);
        let file = match known {
            Some((_, file)) => file.clone(),
            None => fetched(&source, store)?,
        };
        put(&file, &source, to)?;
    }
    Ok(())
}

/// The only YAML in the folder.
pub(super) fn manifest_text(folder: &Path) -> Result<String> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let file = entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|end| end == "yml"))
        .with_context(|| format!("no manifest is in {}", folder.display()))?;
    fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))
}

/// As the template writes them: an address, and its digest in the next line.
fn of_manifest(text: &str) -> Vec<Source> {
    let value = |line: &str, key: &str| {
        let value = line.trim().trim_start_matches("- ").strip_prefix(key)?.strip_prefix(": ")?;
        Some(value.trim_matches('"').to_owned())
    };
    let lines: Vec<&str> = text.lines().collect();
    let pairs = lines.windows(2);
    pairs
        .filter_map(|pair| Some(Source { url: value(pair[0], "url")?, sha256: value(pair[1], "sha256")? }))
        .collect()
}

/// The archives of `cargo-sources.json`; the rest of it is text.
fn of_crates(json: &str) -> Result<Vec<Source>> {
    let entries: Vec<serde_json::Value> =
        serde_json::from_str(json).context("cannot read cargo-sources.json")?;
    let archives = entries.into_iter().filter(|entry| entry["url"].is_string());
    archives.map(|entry| serde_json::from_value(entry).context("cannot read cargo-sources.json")).collect()
}

/// Where cargo has put a crate that it has fetched.
fn crate_file(name: &str) -> Result<PathBuf> {
    let home = match std::env::var_os("CARGO_HOME") {
        Some(home) if !home.is_empty() => PathBuf::from(home),
        _ => PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cargo"),
    };
    let folder = home.join("registry/cache");
    let indexes = fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let found = indexes.flatten().map(|index| index.path().join(name)).find(|file| file.is_file());
    found.with_context(|| format!("cargo has fetched no {name} into {}", folder.display()))
}

fn put(file: &Path, source: &Source, to: &Path) -> Result<()> {
    let found = digest::file(file)?;
    ensure!(
        found == source.sha256,
        "the SHA-256 of {} is {found}, and the manifest has {}",
        file.display(),
        source.sha256
    );
    let folder = to.join("downloads").join(&source.sha256);
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    fs::copy(file, folder.join(source.name())).with_context(|| format!("cannot copy {}", file.display()))?;
    Ok(())
}

/// Each address in turn; $urls is a list of words.
const FETCH: &str = "\
for url in $urls; do
	curl -fsSL --connect-timeout 10 --max-time 900 -o /out/file \"$url\" && exit 0
done
exit 1
";

/// From its address, else from Debian's archive, which keeps what its packages are made of; kept.
fn fetched(source: &Source, store: &Path) -> Result<PathBuf> {
    let folder = store.join("cache");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let kept = folder.join(source.name());
    if kept.is_file() && digest::file(&kept)? == source.sha256 {
        return Ok(kept);
    }
    let mut urls = vec![source.url.clone()];
    for suite in ["trixie", "sid"] {
        urls.extend(machines::sources(suite).iter().filter_map(|line| in_debian(line, source.name())));
    }
    urls.dedup();
    if let Some(odd) = urls
        .iter()
        .find(|url| !url.chars().all(|one| one.is_ascii_alphanumeric() || "-._~:/+%".contains(one)))
    {
        bail!("cannot fetch `{odd}`: it is no plain address");
    }
    ui::verb("Fetching", source.name());
    let base: Base = stand_in::machine(store)?;
    let partial = machines::scratch(store, "source")?;
    let mut binds = vec![(partial.path(), "/out")];
    // A company's own authorities count there as here.
    let certificates = Path::new("/etc/ssl/certs");
    if certificates.is_dir() {
        binds.push((certificates, "/etc/ssl/certs"));
    }
    machines::run_over(&base, store, &format!("urls='{}'\n{FETCH}", urls.join(" ")), &binds)
        .with_context(|| format!("cannot fetch {}", source.name()))?;
    let file = partial.path().join("file");
    let found = digest::file(&file)?;
    ensure!(found == source.sha256, "{} has another SHA-256 than the manifest: {found}", source.name());
    fs::rename(&file, &kept).with_context(|| format!("cannot keep {}", kept.display()))?;
    Ok(kept)
}

/// Where the source of Debian's package is, by a line of sources.list: PostgreSQL's is upstream's own file.
fn in_debian(line: &str, name: &str) -> Option<String> {
    let version = name.strip_prefix("postgresql-")?.strip_suffix(".tar.bz2")?;
    let major = version.split('.').next()?;
    let mut words = line.split_whitespace().filter(|word| !word.starts_with('['));
    let (_, uri, suite) = (words.next()?, words.next()?, words.next()?);
    let pool = if suite.ends_with("-security") { "pool/updates/main" } else { "pool/main" };
    let uri = uri.trim_end_matches('/');
    Some(format!("{uri}/{pool}/p/postgresql-{major}/postgresql-{major}_{version}.orig.tar.bz2"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_manifest_is_found() {
        let text = "\
modules:
  - sources:
      - type: archive
        url: \"https://example.org/a.tar.gz\"
        sha256: \"aa\"
      - cargo-sources.json
      - type: file
        url: \"https://example.org/b\"
        sha256: \"bb\"
        dest-filename: \"c\"
";
        let found = of_manifest(text);
        let shown: Vec<(&str, &str)> =
            found.iter().map(|source| (source.name(), source.sha256.as_str())).collect();
        assert_eq!(shown, [("a.tar.gz", "aa"), ("b", "bb")]);
        // As many as the template has.
        let template = include_str!("../../../../flatpak/manifest.yml.hbs");
        assert_eq!(of_manifest(template).len(), template.matches(" url: ").count());
        let crates = r#"[{"type":"archive","url":"https://example.org/x-1.crate","sha256":"cc","dest":"d"},{"type":"inline","contents":"t"}]"#;
        assert_eq!(
            of_crates(crates).unwrap(),
            [Source { url: "https://example.org/x-1.crate".into(), sha256: "cc".into() }]
        );
    }

    #[test]
    fn debian_has_postgresql_s_source() {
        let line = "deb [signed-by=/k.gpg] http://example.org/debian/ trixie main";
        let at = |line, name| in_debian(line, name).unwrap_or_default();
        let wanted = "http://example.org/debian/pool/main/p/postgresql-17/postgresql-17_17.11.orig.tar.bz2";
        assert_eq!(at(line, "postgresql-17.11.tar.bz2"), wanted);
        let updates = "deb http://example.org/security trixie-security main";
        assert!(at(updates, "postgresql-17.11.tar.bz2").contains("/pool/updates/main/p/postgresql-17/"));
        assert_eq!(at(line, "mathesar.tar.gz"), "");
    }

    #[test]
    fn another_file_is_not_put_there() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, "a").unwrap();
        let mut source = Source { url: "https://example.org/a".into(), sha256: "0".repeat(64) };
        let told = put(&file, &source, folder.path()).unwrap_err().to_string();
        assert!(told.contains("and the manifest has 0000"), "{told}");
        source.sha256 = digest::file(&file).unwrap();
        put(&file, &source, folder.path()).unwrap();
        assert!(folder.path().join("downloads").join(&source.sha256).join("a").is_file());
    }
}
