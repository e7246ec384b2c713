//! Texts that hold facts of the manifest: desktop entry, metainfo, Debian's copyright and changelog.

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::manifest::{Kind, Package, Release};
use crate::template::render;

/// A block of the description.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(crate) struct Block {
    pub paragraph: Option<String>,
    pub items: Vec<String>,
}

/// The manifest's description as paragraphs and lists, each in one line.
pub(crate) fn blocks(description: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    for part in description.split("\n\n").map(str::trim).filter(|part| !part.is_empty()) {
        if part.starts_with("- ") {
            let items = format!("\n{part}").split("\n- ").skip(1).map(one_line).collect();
            blocks.push(Block { paragraph: None, items });
        } else {
            blocks.push(Block { paragraph: Some(one_line(part)), items: Vec::new() });
        }
    }
    blocks
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The summary as a sentence's beginning, which desktops show.
fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

pub(crate) fn desktop_entry(package: &Package) -> Result<String> {
    #[derive(Serialize)]
    struct Data {
        name: String,
        comment: String,
        categories: String,
        keywords: String,
    }
    let identity = &package.manifest.package;
    let list = |items: &[String]| items.iter().map(|item| format!("{item};")).collect();
    let data = Data {
        name: identity.display_name.clone(),
        comment: capitalised(&identity.summary),
        categories: list(&identity.categories),
        keywords: list(&identity.keywords),
    };
    let template = include_str!("../../../packaging/templates/mathesar.desktop.hbs");
    render("packaging/templates/mathesar.desktop.hbs", template, &data)
}

pub(crate) fn metainfo(package: &Package) -> Result<String> {
    #[derive(Serialize)]
    struct ReleaseData {
        version: String,
        date: String,
        items: Vec<String>,
    }
    #[derive(Serialize)]
    struct Data<'a> {
        app_id: &'a str,
        license: &'a str,
        name: &'a str,
        summary: String,
        developer: &'a str,
        developer_id: String,
        description: Vec<Block>,
        desktop_id: String,
        homepage: &'a str,
        repository: &'a str,
        categories: &'a [String],
        keywords: &'a [String],
        binary: &'a str,
        releases: Vec<ReleaseData>,
    }
    let identity = &package.manifest.package;
    let app_id = &package.manifest.flatpak.app_id;
    let desktop_id = package
        .manifest
        .file
        .iter()
        .find(|file| file.kind == Kind::Desktop)
        .and_then(|file| file.dest.rsplit('/').next())
        .unwrap_or_default();
    let data = Data {
        app_id,
        license: &identity.license,
        name: &identity.display_name,
        summary: capitalised(&identity.summary),
        developer: identity.maintainer.split(" <").next().unwrap_or_default(),
        // The id without its last part: the domain that the publisher controls.
        developer_id: app_id.rsplit_once('.').map_or(app_id.as_str(), |(domain, _)| domain).to_lowercase(),
        description: blocks(&identity.description),
        desktop_id: desktop_id.to_owned(),
        homepage: &identity.homepage,
        repository: &identity.repository,
        categories: &identity.categories,
        keywords: &identity.keywords,
        binary: &identity.name,
        releases: package
            .changelog
            .iter()
            .map(|release| ReleaseData {
                version: release.version.clone(),
                date: release.date.to_string(),
                items: release.items.iter().map(|item| item.replace('`', "")).collect(),
            })
            .collect(),
    };
    let template = include_str!("../../../packaging/templates/metainfo.xml.hbs");
    render("packaging/templates/metainfo.xml.hbs", template, &data)
}

/// Machine-readable copyright (DEP-5).
pub(crate) fn copyright(package: &Package) -> Result<String> {
    #[derive(Serialize)]
    struct Data<'a> {
        name: &'a str,
        package: &'a str,
        maintainer: &'a str,
        repository: &'a str,
        copyright: &'a str,
        license: &'a str,
        gpl3: bool,
        license_text: String,
    }
    let identity = &package.manifest.package;
    let gpl3 = identity.license == "GPL-3.0-or-later";
    let path = package.root.join("LICENSE");
    let text = if gpl3 {
        String::new()
    } else {
        std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?
    };
    // DEP-5: a continuation line begins with a space, an empty one is a full stop.
    let indented =
        |line: &str| if line.trim().is_empty() { " .".to_owned() } else { format!(" {}", line.trim_end()) };
    let data = Data {
        gpl3,
        license_text: text.lines().map(indented).collect::<Vec<_>>().join("\n"),
        name: &identity.display_name,
        package: &identity.name,
        maintainer: &identity.maintainer,
        repository: &identity.repository,
        copyright: &identity.copyright,
        license: &identity.license,
    };
    let template = include_str!("../../../packaging/templates/copyright.hbs");
    render("packaging/templates/copyright.hbs", template, &data)
}

/// What lintian says and need not, each with its reason. `first`: it is revision 1, and the changelog's only entry.
pub(crate) fn lintian_overrides(name: &str, first: bool) -> Result<String> {
    #[derive(Serialize)]
    struct Data<'a> {
        name: &'a str,
        first: bool,
    }
    let template = include_str!("../../../packaging/deb/lintian-overrides.hbs");
    render("packaging/deb/lintian-overrides.hbs", template, &Data { name, first })
}

/// Debian's changelog (Policy 4.4), newest first. The day is all that CHANGELOG.md has, so the time is noon UTC, and a
/// second later for each further entry of the day: lintian refuses two entries of the same time.
pub(crate) fn debian_changelog(package: &Package) -> String {
    let mut text = String::new();
    for (index, release) in package.changelog.iter().enumerate() {
        text.push_str(&format!("{} ({}) unstable; urgency=medium\n\n", package.name(), release.version));
        for item in &release.items {
            text.push_str(&wrapped("  * ", "    ", item, 78));
        }
        let day = release.date.strftime("%a, %d %b %Y");
        let time = time_of_day(&package.changelog[index..]);
        text.push_str(&format!("\n -- {}  {day} {time} +0000\n\n", package.manifest.package.maintainer));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// The time of the first of these entries: a second after the next one's, where that is of the same day.
fn time_of_day(releases: &[Release]) -> String {
    let same = releases.windows(2).take_while(|pair| pair[0].date == pair[1].date).count();
    format!("12:{:02}:{:02}", same / 60, same % 60)
}

/// `text` broken at spaces, the first line after `first`, the others after `rest`.
pub(crate) fn wrapped(first: &str, rest: &str, text: &str, width: usize) -> String {
    let mut lines = String::from(first);
    let mut length = first.chars().count();
    let mut at_start = true;
    for word in text.split_whitespace() {
        let word_length = word.chars().count();
        if !at_start && length + 1 + word_length > width {
            lines.push('\n');
            lines.push_str(rest);
            length = rest.chars().count();
            at_start = true;
        }
        if !at_start {
            lines.push(' ');
            length += 1;
        }
        lines.push_str(word);
        length += word_length;
        at_start = false;
    }
    lines.push('\n');
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Release;

    #[test]
    fn paragraphs_and_lists() {
        let found = blocks("one\ntwo\n\n- a\n  b\n- c\n\nlast\n");
        assert_eq!(found[0].paragraph.as_deref(), Some("one two"));
        assert_eq!(found[1].items, ["a b", "c"]);
        assert_eq!(found[2].paragraph.as_deref(), Some("last"));
    }

    fn package() -> Package {
        let mut package = crate::channel::testing::package(&crate::channel::testing::checkout());
        package.changelog = vec![
            Release {
                version: "0.12.0-2".into(),
                date: jiff::civil::date(2026, 1, 2),
                items: vec!["-- not <b>a trailer</b>  x ".repeat(5), "`code` & more".into()],
            },
            Release {
                version: "0.12.0-1".into(),
                date: jiff::civil::date(2025, 12, 31),
                items: vec!["first".into()],
            },
        ];
        package
    }

    /// Debian Policy 4.4: header, items and trailer are told by their first column.
    #[test]
    fn no_item_of_the_changelog_looks_like_its_frame() {
        let package = package();
        let text = debian_changelog(&package);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "mathesar (0.12.0-2) unstable; urgency=medium");
        let trailer = format!(" -- {}  Fri, 02 Jan 2026 12:00:00 +0000", package.manifest.package.maintainer);
        assert_eq!(lines.iter().filter(|line| **line == trailer).count(), 1);
        assert_eq!(lines.iter().filter(|line| line.starts_with(" -- ")).count(), 2);
        assert_eq!(lines.iter().filter(|line| line.starts_with("mathesar (")).count(), 2);
        assert!(lines.iter().all(|line| line.starts_with(" -- ") || line.chars().count() <= 78), "{text}");
        assert!(text.ends_with(" +0000\n"), "{text}");
    }

    #[test]
    fn metainfo_is_escaped_and_without_backquotes() {
        let mut package = package();
        package.manifest.package.description = "a < b & \"c\"\n\n- ]]> <b>".into();
        let text = metainfo(&package).unwrap();
        for expected in
            ["a &lt; b &amp; ", "]]&gt; &lt;b&gt;", "<li>code &amp; more</li>", "not &lt;b&gt;a trailer"]
        {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        assert!(text.find("0.12.0-2").unwrap() < text.find("0.12.0-1").unwrap(), "newest first");
    }

    #[test]
    fn another_licence_comes_in_full_as_dep_5_wants_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut package = crate::channel::testing::package(folder.path());
        package.manifest.package.license = "MIT".into();
        assert!(copyright(&package).is_err(), "no LICENSE");
        std::fs::write(folder.path().join("LICENSE"), "Permission  \n\nFiles: *\n").unwrap();
        let text = copyright(&package).unwrap();
        assert!(text.contains("\n Permission\n .\n Files: *\n"), "{text}");
        assert_eq!(text.lines().filter(|line| line.starts_with("Files:")).count(), 1);
    }

    #[test]
    fn the_desktop_entry_s_lists_end_in_semicolons() {
        let mut package = package();
        package.manifest.package.keywords = vec!["a".into(), "b\\c".into()];
        package.manifest.package.summary = "über $x".into();
        let text = desktop_entry(&package).unwrap();
        assert!(text.contains("\nKeywords=a;b\\\\c;\n"), "{text}");
        assert!(text.contains("\nComment=Über $x\n"), "{text}");
    }

    #[test]
    fn entries_of_one_day_differ_in_time() {
        let release = |day| Release {
            version: "0.12.0-1".to_owned(),
            date: jiff::civil::date(2026, 11, day),
            items: Vec::new(),
        };
        let releases = [release(23), release(23), release(23), release(22)];
        let times: Vec<String> = (0..4).map(|index| time_of_day(&releases[index..])).collect();
        assert_eq!(times, ["12:00:02", "12:00:01", "12:00:00", "12:00:00"]);
    }

    #[test]
    fn only_a_first_upload_is_excused_for_closing_no_bug() {
        let tag = "mathesar: initial-upload-closes-no-bugs";
        assert!(lintian_overrides("mathesar", true).unwrap().contains(tag));
        let later = lintian_overrides("mathesar", false).unwrap();
        assert!(
            !later.contains("initial-upload") && later.contains("mathesar: no-md5sums-control-file\n"),
            "{later}"
        );
    }

    #[test]
    fn wraps_at_spaces() {
        assert_eq!(wrapped("* ", "  ", "aa bb cc", 7), "* aa bb\n  cc\n");
    }
}
