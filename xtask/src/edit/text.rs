//! Changes of single texts, pure; comments and everything else stay as they are.

use std::cmp::Ordering;

use anyhow::{Context as _, Result, bail};
use jiff::civil::Date;
use toml_edit::{DocumentMut, Item, Table, Value};

/// What `pin` writes into `[app]`.
#[derive(Debug, Clone)]
pub(crate) struct NewApp {
    pub version: String,
    pub url: String,
    pub sha256: String,
    pub size: u64,
}

/// `[app]` of the manifest.
pub(crate) fn put_app(manifest: &str, app: &NewApp) -> Result<String> {
    let mut document = parse(manifest, "the manifest")?;
    let table = table(&mut document, "app")?;
    put(table, "version", &app.version);
    put(table, "url", &app.url);
    put(table, "sha256", &app.sha256);
    let is_new = !table.contains_key("size");
    put(table, "size", i64::try_from(app.size).context("the size is beyond TOML's integers")?);
    if is_new {
        // Beside the digest, not after the ranges.
        const ORDER: [&str; 4] = ["version", "url", "sha256", "size"];
        let place = |key: &str| ORDER.iter().position(|known| *known == key).unwrap_or(ORDER.len());
        table.sort_values_by(|left, _, right, _| place(left.get()).cmp(&place(right.get())));
    }
    Ok(document.to_string())
}

/// `package.version` and `package.revision` of the manifest.
pub(crate) fn put_version(manifest: &str, version: &str, revision: u32) -> Result<String> {
    let mut document = parse(manifest, "the manifest")?;
    let table = table(&mut document, "package")?;
    put(table, "version", version);
    put(table, "revision", i64::from(revision));
    Ok(document.to_string())
}

/// `workspace.package.version` of the root's Cargo.toml.
pub(crate) fn put_cargo_version(cargo_toml: &str, version: &str) -> Result<String> {
    let mut document = parse(cargo_toml, "Cargo.toml")?;
    let package = document
        .get_mut("workspace")
        .and_then(|workspace| workspace.get_mut("package"))
        .and_then(Item::as_table_mut)
        .context("Cargo.toml has no [workspace.package]")?;
    put(package, "version", version);
    Ok(document.to_string())
}

/// The version of the workspace's own packages in Cargo.lock: those that come from nowhere else.
pub(crate) fn put_cargo_lock(cargo_lock: &str, version: &str) -> Result<String> {
    let mut document = parse(cargo_lock, "Cargo.lock")?;
    let packages = document
        .get_mut("package")
        .and_then(Item::as_array_of_tables_mut)
        .context("Cargo.lock has no [[package]]")?;
    for package in packages.iter_mut().filter(|package| !package.contains_key("source")) {
        put(package, "version", version);
    }
    Ok(document.to_string())
}

/// A new entry before all others; nothing where the changelog has one of this version.
pub(crate) fn put_changelog(changelog: &str, version: &str, date: Date, items: &[String]) -> Result<String> {
    if changelog.lines().any(|line| line.starts_with(&format!("## {version} ("))) {
        return Ok(changelog.to_owned());
    }
    let mut entry = format!("## {version} ({date})\n");
    for item in items {
        let item = item.split_whitespace().collect::<Vec<_>>().join(" ");
        if item.is_empty() {
            bail!("an item of the changelog is empty");
        }
        entry.push_str(&format!("- {item}\n"));
    }
    Ok(match changelog.starts_with("## ").then_some(0).or_else(|| changelog.find("\n## ").map(|at| at + 1)) {
        Some(at) => format!("{}{entry}\n{}", &changelog[..at], &changelog[at..]),
        None => format!("{}\n\n{entry}", changelog.trim_end()),
    })
}

/// How version `left` stands to `right`: each three numbers, as Cargo wants them.
pub(crate) fn newer(left: &str, right: &str) -> Result<Ordering> {
    Ok(numbers(left)?.cmp(&numbers(right)?))
}

fn numbers(version: &str) -> Result<[u64; 3]> {
    let number = |text: &str| {
        (text == "0" || !text.starts_with('0'))
            .then(|| text.bytes().all(|byte| byte.is_ascii_digit()))?
            .then(|| text.parse().ok())?
    };
    let parts: Option<Vec<u64>> = version.split('.').map(number).collect();
    parts
        .and_then(|parts| parts.try_into().ok())
        .with_context(|| format!("`{version}` is no version: expected three numbers, as `0.12.0`"))
}

/// Today's date in UTC, or SOURCE_DATE_EPOCH's.
pub(crate) fn today() -> Result<Date> {
    let now = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => {
            let seconds = text.parse().with_context(|| format!("cannot read SOURCE_DATE_EPOCH=`{text}`"))?;
            jiff::Timestamp::from_second(seconds)
                .with_context(|| format!("SOURCE_DATE_EPOCH=`{text}` is out of range"))?
        }
        Err(_) => jiff::Timestamp::now(),
    };
    Ok(now.to_zoned(jiff::tz::TimeZone::UTC).date())
}

fn parse(text: &str, what: &str) -> Result<DocumentMut> {
    text.parse().with_context(|| format!("cannot read {what} as TOML"))
}

fn table<'a>(document: &'a mut DocumentMut, name: &str) -> Result<&'a mut Table> {
    document
        .get_mut(name)
        .and_then(Item::as_table_mut)
        .with_context(|| format!("the manifest has no table [{name}]"))
}

/// Sets a value and keeps the spaces and the comment around the old one.
fn put(table: &mut Table, key: &str, value: impl Into<Value>) {
    let mut value = value.into();
    match table.get_mut(key).and_then(Item::as_value_mut) {
        Some(old) => {
            *value.decor_mut() = old.decor().clone();
            *old = value;
        }
        None => {
            table.insert(key, Item::Value(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = "\
# top
[package]
name = \"m\" # who
version = \"0.9.0\" # keep me
revision = 3

# digest: from elsewhere
[app]
version = \"0.9.0\"
url = \"https://example.org/0.9.0/m.tar.gz\"
sha256 = \"00\" # seen twice
# ranges
python = { min = \"3.10\", max = \"3.14\" }
";

    #[test]
    fn the_manifest_keeps_its_comments() {
        let app = NewApp {
            version: "0.10.0".into(),
            url: "https://example.org/0.10.0/m.tar.gz".into(),
            sha256: "11".into(),
            size: 12,
        };
        let once = put_version(&put_app(MANIFEST, &app).unwrap(), "0.10.0", 1).unwrap();
        insta::assert_snapshot!(once);
        assert_eq!(put_app(&once, &app).unwrap(), once);
    }

    #[test]
    fn only_own_packages_change_in_the_lock() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"0.9.0\"\nsource = \"registry\"\n\n\
                    [[package]]\nname = \"mathesar\"\nversion = \"0.9.0\"\ndependencies = [\n \"a\",\n]\n";
        let changed = put_cargo_lock(lock, "0.10.0").unwrap();
        assert_eq!(changed.matches("0.9.0").count(), 1);
        assert_eq!(
            changed,
            lock.replace("\"mathesar\"\nversion = \"0.9.0\"", "\"mathesar\"\nversion = \"0.10.0\"")
        );
    }

    #[test]
    fn the_changelog_grows_at_its_top_and_once() {
        let date = jiff::civil::date(2026, 1, 2);
        let old = "# Changelog\n\ntext\n\n## 0.9.0-1 (2025-01-01)\n- one\n";
        let new = put_changelog(old, "0.9.0-2", date, &["two\nlines".into()]).unwrap();
        assert_eq!(
            new,
            "# Changelog\n\ntext\n\n## 0.9.0-2 (2026-01-02)\n- two lines\n\n## 0.9.0-1 (2025-01-01)\n- one\n"
        );
        assert_eq!(put_changelog(&new, "0.9.0-2", date, &["else".into()]).unwrap(), new);
        assert!(put_changelog(old, "1.0.0-1", date, &[" ".into()]).is_err());
        assert_eq!(
            put_changelog("# C\n", "1.0.0-1", date, &["a".into()]).unwrap(),
            "# C\n\n## 1.0.0-1 (2026-01-02)\n- a\n"
        );
    }

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(newer("0.10.0", "0.9.9").unwrap(), Ordering::Greater);
        assert_eq!(newer("0.9.0", "0.9.0").unwrap(), Ordering::Equal);
        for wrong in ["1.0", "1.0.0.0", "1.0.x", "", "1..0", "01.0.0", "1.0.-1", "1.0.+1"] {
            assert!(newer(wrong, "1.0.0").is_err(), "{wrong}");
        }
    }
}
