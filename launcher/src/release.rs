//! Which release of Mathesar this launcher installs, pinned by digest.

use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::failure::Failure;

/// The pin that the launcher was built with; `<prefix>/share/mathesar/release.toml` wins over it.
const COMPILED_IN: &str = include_str!("../release.toml");

/// One release of Mathesar, and what it runs on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Release {
    pub version: String,
    pub url: String,
    /// SHA-256 of the tarball, lower-case hexadecimal.
    pub sha256: String,
    pub size: Option<u64>,
    pub python: Python,
    pub postgresql: Postgresql,
}

/// Supported Pythons, as `(3, 12)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    pub min: (u32, u32),
    pub max: (u32, u32),
    /// Looked for first, in this order.
    pub prefer: Vec<(u32, u32)>,
}

/// Supported majors of PostgreSQL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Postgresql {
    pub min: u32,
    pub max: u32,
}

impl Release {
    /// Reads a release.toml. Unknown keys are a newer launcher's and ignored.
    pub fn parse(text: &str) -> Result<Release, String> {
        let table = DeTable::parse(text).map_err(|error| error.message().to_owned())?;
        let table = table.get_ref();
        let sha256 = string(table, "sha256")?.to_ascii_lowercase();
        if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(format!("`sha256` must be 64 hexadecimal digits, not `{sha256}`"));
        }
        let url = string(table, "url")?;
        if !url.starts_with("https://") && !url.starts_with("file://") && !url.starts_with("http://127.0.0.1")
        {
            return Err(format!("`url` must begin with https://, not `{url}`"));
        }
        let python = section(table, "python")?;
        let prefer = match python.get("prefer").map(|value| value.get_ref()) {
            Some(DeValue::Array(items)) => items
                .iter()
                .map(|item| item.get_ref().as_str().ok_or("`prefer` must hold strings").map(str::to_owned))
                .collect::<Result<Vec<_>, _>>()?,
            Some(_) => return Err("`prefer` must be a list".to_owned()),
            None => Vec::new(),
        };
        let postgresql = section(table, "postgresql")?;
        Ok(Release {
            version: string(table, "version")?,
            url,
            sha256,
            size: if table.contains_key("size") { Some(integer(table, "size")?) } else { None },
            python: Python {
                min: minor(&string(python, "min")?)?,
                max: minor(&string(python, "max")?)?,
                prefer: prefer.iter().map(|text| minor(text)).collect::<Result<_, _>>()?,
            },
            postgresql: Postgresql { min: integer(postgresql, "min")?, max: integer(postgresql, "max")? },
        })
    }

    /// The release that this launcher is to install, and the file that says so (none: compiled in).
    pub fn pinned() -> Result<(Release, Option<PathBuf>), Failure> {
        match beside_the_binary() {
            Some(path) => Release::read(&path).map(|release| (release, Some(path))),
            None => Release::compiled_in().map(|release| (release, None)),
        }
    }

    /// The release that this launcher was built with, whatever lies beside it.
    pub fn compiled_in() -> Result<Release, Failure> {
        Release::parse(COMPILED_IN)
            .map_err(|problem| Failure::new("cannot read the compiled-in release.toml").cause(problem))
    }

    fn read(path: &Path) -> Result<Release, Failure> {
        let text = std::fs::read_to_string(path).map_err(|cause| Failure::io("read", path, cause))?;
        Release::parse(&text).map_err(|problem| {
            Failure::new(format!("cannot understand {}", path.display()))
                .cause(problem)
                .help("the file belongs to the package: install the package again")
        })
    }
}

/// `mathesar --version`, in full. A broken pin is said here and stops nothing.
pub fn version_text() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match Release::pinned() {
        Ok((release, None)) => format!("{version}\nMathesar {} (pinned)", release.version),
        Ok((release, Some(path))) => {
            format!("{version}\nMathesar {} (pinned by {})", release.version, path.display())
        }
        Err(failure) => format!("{version}\nMathesar: {failure}"),
    }
}

/// `<prefix>/share/mathesar/release.toml` of the running binary's prefix, where the package has put it.
fn beside_the_binary() -> Option<PathBuf> {
    let binary = std::env::current_exe().ok()?.canonicalize().ok()?;
    let path = binary.parent()?.parent()?.join("share/mathesar/release.toml");
    path.exists().then_some(path)
}

fn string(table: &DeTable<'_>, key: &str) -> Result<String, String> {
    match table.get(key).map(|value| value.get_ref()) {
        Some(DeValue::String(text)) if !text.is_empty() => Ok(text.to_string()),
        Some(_) => Err(format!("`{key}` must be a string")),
        None => Err(format!("`{key}` is missing")),
    }
}

fn integer<T: TryFrom<u64>>(table: &DeTable<'_>, key: &str) -> Result<T, String> {
    let value = table.get(key).ok_or_else(|| format!("`{key}` is missing"))?;
    let digits = value.get_ref().as_integer().filter(|integer| integer.radix() == 10);
    digits
        .and_then(|integer| integer.as_str().parse::<u64>().ok())
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("`{key}` must be a whole number"))
}

fn section<'a, 'i>(table: &'a DeTable<'i>, key: &str) -> Result<&'a DeTable<'i>, String> {
    let value = table.get(key).ok_or_else(|| format!("[{key}] is missing"))?;
    value.get_ref().as_table().ok_or_else(|| format!("`{key}` must be a table"))
}

fn minor(text: &str) -> Result<(u32, u32), String> {
    text.split_once('.')
        .and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)))
        .ok_or_else(|| format!("`{text}` is no Python version like `3.12`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_in_pin_is_sound() {
        let release = Release::parse(COMPILED_IN).unwrap();
        assert_eq!(release.version, env!("CARGO_PKG_VERSION"));
        assert_eq!(release.python.prefer, [(3, 12), (3, 11)]);
        assert_eq!(release.postgresql, Postgresql { min: 14, max: 18 });
    }

    /// The manifest is the source; `cargo xtask pin` writes both.
    #[test]
    fn the_compiled_in_pin_is_the_manifests() {
        let manifest = include_str!("../../packaging/mathesar.toml");
        let release = Release::parse(COMPILED_IN).unwrap();
        for line in [format!("sha256 = \"{}\"", release.sha256), format!("url = \"{}\"", release.url)] {
            assert!(manifest.contains(&line), "packaging/mathesar.toml lacks {line}");
        }
    }

    #[test]
    fn mistakes_are_named() {
        // Of its own: `cargo xtask pin` writes the one that is compiled in.
        let good = format!(
            "version = \"1.2.3\"\nurl = \"https://example.org/x\"\nsha256 = \"4ad861{}\"\n\n\
            [python]\nmin = \"3.10\"\nmax = \"3.14\"\nprefer = [\"3.12\"]\n\n[postgresql]\nmin = 14\nmax = 18\n",
            "0".repeat(58)
        );
        Release::parse(&good).unwrap();
        let wrong = |from: &str, to: &str| Release::parse(&good.replace(from, to)).unwrap_err();
        assert_eq!(wrong("version =", "varsion ="), "`version` is missing");
        assert_eq!(wrong("min = 14", "min = \"14\""), "`min` must be a whole number");
        assert_eq!(wrong("[postgresql]", "[postgres]"), "[postgresql] is missing");
        assert!(wrong("4ad861", "4ad86g").starts_with("`sha256` must be 64 hexadecimal digits"));
        assert!(wrong("https://", "http://").starts_with("`url` must begin with https://"));
        assert_eq!(wrong("\"3.10\"", "\"three\""), "`three` is no Python version like `3.12`");
    }
}
