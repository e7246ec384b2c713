//! A release tarball, read in memory with limits; nothing of it is unpacked to disk.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Component, Path};

use anyhow::{Context as _, Result, bail};
use flate2::read::GzDecoder;
use sha2::{Digest as _, Sha256};

/// Limits; the real releases have about 4 MB packed, 12 MB unpacked and 320 files.
pub(super) const MAX_PACKED: u64 = 256 << 20;
const MAX_UNPACKED: u64 = 1 << 30;
const MAX_ENTRIES: usize = 50_000;
const MAX_TEXT: u64 = 1 << 20;

/// What a release has at least. It is flat: without a folder around all.
const REQUIRED: [&str; 6] =
    ["manage.py", "requirements.txt", "config/wsgi.py", "mathesar/__init__.py", "mathesar/install.py", "db/"];

/// What `pin` wants to know.
#[derive(Debug)]
pub(super) struct Release {
    pub version: String,
    pub requirements: String,
    pub sha256: String,
    pub size: u64,
}

/// SHA-256 and size of a file.
pub(super) fn measure(file: &Path) -> Result<(String, u64)> {
    let mut reader = open(file)?.take(MAX_PACKED + 1);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    let mut size = 0;
    loop {
        let read = reader.read(&mut buffer).with_context(|| format!("cannot read {}", file.display()))?;
        if read == 0 {
            break;
        }
        hasher.update(&buffer[..read]);
        size += read as u64;
    }
    if size > MAX_PACKED {
        bail!("{} is larger than {MAX_PACKED} bytes: no release of Mathesar", file.display());
    }
    Ok((hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect(), size))
}

/// Reads and judges the tarball.
pub(super) fn read(file: &Path) -> Result<Release> {
    let (sha256, size) = measure(file)?;
    let (version, requirements) =
        contents(open(file)?).with_context(|| format!("{} is no release of Mathesar", file.display()))?;
    Ok(Release { version, requirements, sha256, size })
}

fn open(file: &Path) -> Result<BufReader<File>> {
    let opened = File::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    Ok(BufReader::new(opened))
}

/// `__version__` and requirements.txt of a gzip-compressed tarball.
fn contents(packed: impl Read) -> Result<(String, String)> {
    let mut archive = tar::Archive::new(Limited { inner: GzDecoder::new(packed), left: MAX_UNPACKED });
    let mut paths = Vec::new();
    let (mut init, mut requirements) = (None, None);
    for entry in archive.entries().context("cannot read the archive")? {
        let mut entry = entry.context("cannot read the archive")?;
        let path = harmless(&entry)?;
        if paths.len() == MAX_ENTRIES {
            bail!("it has more than {MAX_ENTRIES} entries");
        }
        match path.as_str() {
            "mathesar/__init__.py" => init = Some(text(&mut entry, &path)?),
            "requirements.txt" => requirements = Some(text(&mut entry, &path)?),
            _ => {}
        }
        paths.push(path);
    }
    // To gzip's own checksum at the end.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink())
        .context("cannot read the archive's end")?;
    let missing: Vec<&str> = REQUIRED
        .into_iter()
        .filter(|required| match required.strip_suffix('/') {
            Some(_) => !paths.iter().any(|path| path.starts_with(required)),
            None => !paths.iter().any(|path| path == required),
        })
        .collect();
    if !missing.is_empty() {
        let hint = match missing.len() == REQUIRED.len() && !paths.is_empty() {
            true => format!("; it begins with {}, a release is flat", paths[0]),
            false => String::new(),
        };
        bail!("it lacks {}{hint}", missing.join(", "));
    }
    let (init, requirements) = init.zip(requirements).context("its texts are no regular files")?;
    check_requirements(&requirements)?;
    Ok((version_of(&init)?, requirements))
}

/// The entry's path, refused where unpacking it could reach outside, or would make anything but files and folders.
fn harmless(entry: &tar::Entry<'_, impl Read>) -> Result<String> {
    let path = entry.path().context("cannot read a path")?;
    let shown = path.display().to_string();
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => {
                parts.push(part.to_str().with_context(|| format!("the path {shown} is not UTF-8"))?);
            }
            Component::CurDir => {}
            _ => bail!("the path {shown} leads outside"),
        }
    }
    let is_folder = entry.header().entry_type().is_dir();
    match entry.header().entry_type() {
        tar::EntryType::Regular | tar::EntryType::Directory => {}
        // Upstream has none; they would have to be followed to know where they lead.
        other => bail!("{shown} is neither file nor folder ({other:?})"),
    }
    Ok(format!("{}{}", parts.join("/"), if is_folder { "/" } else { "" }))
}

fn text(entry: &mut impl Read, path: &str) -> Result<String> {
    let mut bytes = Vec::new();
    entry.take(MAX_TEXT + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {path}"))?;
    if bytes.len() as u64 > MAX_TEXT {
        bail!("{path} is larger than {MAX_TEXT} bytes");
    }
    String::from_utf8(bytes).with_context(|| format!("{path} is not UTF-8"))
}

fn version_of(init: &str) -> Result<String> {
    init.lines()
        .filter_map(|line| line.strip_prefix("__version__")?.trim_start().strip_prefix('='))
        .find_map(|value| {
            let value = value.trim_start();
            let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
            value[1..].split_once(quote).map(|(version, _)| version.to_owned())
        })
        .context("mathesar/__init__.py has no `__version__ = \"…\"`")
}

/// Only names, versions and markers: an option, an address or a path could bring code from anywhere, and uv runs what it builds.
fn check_requirements(requirements: &str) -> Result<()> {
    let mut packages = 0;
    for (index, line) in requirements.lines().enumerate() {
        let is_comment = line.trim_start().starts_with('#');
        let plain = if is_comment { "" } else { line.split(" #").next().unwrap_or_default().trim() };
        // A carriage return within a line, be it in a comment, is a line's end to uv.
        let hidden = line.contains(|c: char| c.is_control() && c != '\t');
        if hidden || !(plain.is_empty() || is_plain(plain)) {
            bail!(
                "line {} of requirements.txt is no plain requirement: `{}`",
                index + 1,
                line.escape_debug()
            );
        }
        packages += usize::from(!plain.is_empty());
    }
    if packages == 0 {
        bail!("requirements.txt names no package: the lock would be empty, and Mathesar would not start");
    }
    Ok(())
}

/// `name`, then perhaps extras, versions and a marker (PEP 508 without addresses).
fn is_plain(line: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || " \t._-[],<>=!~*+;'\"()".contains(c);
    let name =
        line.split(|c: char| !(c.is_ascii_alphanumeric() || "._-".contains(c))).next().unwrap_or_default();
    // uv takes a name like these for a file beside it.
    let archive = [".whl", ".zip", ".tar", ".tgz", ".tbz", ".txz"].iter().any(|end| name.contains(end));
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && line.chars().all(allowed) && !archive
}

/// A reader that ends with an error where a compressed bomb would go on.
struct Limited<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| std::io::Error::other(format!("it unpacks to more than {MAX_UNPACKED} bytes")))?;
        Ok(read)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write as _;

    use super::*;

    /// The smallest thing that looks like a release.
    pub(in crate::pin) fn files(version: &str, requirements: &str) -> Vec<(String, String)> {
        [
            ("manage.py", ""),
            ("requirements.txt", requirements),
            ("config/wsgi.py", ""),
            ("mathesar/__init__.py", &format!("x = 1\n__version__ = \"{version}\"\n")),
            ("mathesar/install.py", ""),
            ("db/__init__.py", ""),
        ]
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .into()
    }

    pub(in crate::pin) fn pack(files: &[(String, String)]) -> Vec<u8> {
        let mut archive =
            tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
        for (path, text) in files {
            let mut header = tar::Header::new_gnu();
            // Not `set_path`: it refuses what a hostile archive has.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            archive.append(&header, text.as_bytes()).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap()
    }

    fn problem(files: &[(String, String)]) -> String {
        format!("{:#}", contents(&pack(files)[..]).unwrap_err())
    }

    #[test]
    fn reads() {
        let packed = pack(&files("1.2.3", "idna==3.10\n"));
        assert_eq!(contents(&packed[..]).unwrap(), ("1.2.3".into(), "idna==3.10\n".into()));
        let dotted: Vec<_> = files("1.2.3", "idna==3.10")
            .into_iter()
            .map(|(path, text)| (format!("./{path}"), text))
            .collect();
        assert_eq!(contents(&pack(&dotted)[..]).unwrap().0, "1.2.3");
    }

    #[test]
    fn refuses() {
        let good = || files("1.2.3", "idna==3.10\n");
        let mut all = String::new();
        let mut say = |what: &str, problem: String| all.push_str(&format!("{what}: {problem}\n"));
        say("nothing", problem(&[]));
        say(
            "a folder around",
            problem(&good().into_iter().map(|(p, t)| (format!("m/{p}"), t)).collect::<Vec<_>>()),
        );
        say(
            "no config",
            problem(&good().into_iter().filter(|(p, _)| p != "config/wsgi.py").collect::<Vec<_>>()),
        );
        let with = |path: &str, text: &str| {
            let mut files = good();
            files.retain(|(known, _)| known != path);
            files.push((path.into(), text.into()));
            problem(&files)
        };
        say("outside", with("../x", ""));
        say("absolute", with("/etc/x", ""));
        say("no version", with("mathesar/__init__.py", "version = 1\n"));
        say("an index", with("requirements.txt", "idna==3.10\n--index-url https://example.org\n"));
        say("no packages", with("requirements.txt", "# none yet\n\n"));
        say("an address", with("requirements.txt", "x @ https://example.org/x.whl\n"));
        say("no text", problem(&[("requirements.txt".into(), "x".repeat(2 << 20))]));
        let whole = pack(&good());
        say("not gzip", format!("{:#}", contents(&b"hello, world, hello"[..]).unwrap_err()));
        say("cut", format!("{:#}", contents(&whole[..whole.len() - 6]).unwrap_err()));
        insta::assert_snapshot!(all);
    }

    #[test]
    fn only_plain_requirements() {
        for good in [
            "idna==3.10",
            "  django-allauth[mfa,socialaccount] == 65.3.*  # why",
            "tzdata>=2024.1,!=2024.2 ; sys_platform == 'win32' and (python_version < \"3.13\")",
            "psycopg~=3.2",
            "# -e . is no option here\nidna==3.10",
            "\t# https://example.org/\nidna==3.10",
            "\nidna==3.10\r\nx==1",
        ] {
            assert!(check_requirements(good).is_ok(), "{good:?}");
        }
        for bad in [
            "-r more.txt",
            "--index-url https://example.org",
            "-e .",
            "./here",
            "/tmp/x",
            "../x",
            "${HOME}/x",
            "x @/tmp/x",
            "x@file:/tmp/x",
            "git+ssh://example.org/x",
            "x-1.0-py3-none-any.whl",
            "x-1.0.tar.gz",
            "idna==3.10\r-e /tmp/x\r",
            "# comment\r-e /tmp/x",
            "idna==3.10 \\",
            "idna==3.10 --config-settings=a:b",
            "idna\u{2028}-e .",
        ] {
            assert!(check_requirements(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_link_is_refused() {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        archive.append_link(&mut header, "mathesar/x", "/etc/passwd").unwrap();
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(&archive.into_inner().unwrap()).unwrap();
        let error = contents(&packed.finish().unwrap()[..]).unwrap_err();
        assert!(error.to_string().contains("neither file nor folder"), "{error}");
    }

    #[test]
    fn a_bomb_ends() {
        let mut limited = Limited { inner: std::io::repeat(0).take(100), left: 60 };
        assert!(std::io::copy(&mut limited, &mut std::io::sink()).is_err());
    }
}
