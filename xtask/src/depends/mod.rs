//! `cargo xtask verify depends`: that the names which the manifest gives the dependencies are names of packages.

mod debian;
mod seen;

use anyhow::Result;
use jiff::civil::Date;

use crate::manifest::{self, Distribution, Manifest, Names};
use crate::workspace::Workspace;
use crate::{Refused, table, ui};

use debian::Lists;
use seen::Standing;

/// Releases whose lists are asked, as the manifest and as Debian names them. What comes after the newest has its names.
const ASKED: &[(&str, Distribution)] = &[
    ("bookworm", Distribution::Debian12),
    ("trixie", Distribution::Debian13),
    ("sid", Distribution::Debian13),
];

/// The others: by a table in the repository.
const OTHERS: &[Distribution] = &[
    Distribution::Ubuntu2204,
    Distribution::Ubuntu2404,
    Distribution::Ubuntu2604,
    Distribution::Fedora,
    Distribution::Rhel9,
    Distribution::Rhel10,
    Distribution::OpenSuse,
    Distribution::Arch,
    Distribution::Homebrew,
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    /// With its version.
    There(String),
    Missing(String),
    /// Nobody has looked.
    NotChecked,
}

#[derive(Debug)]
struct Row {
    distribution: String,
    logical: String,
    name: String,
    found: Found,
}

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let package = manifest::load(workspace, &workspace.manifest())?;
    let names = seen::Names::read(workspace)?;
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let mut rows = Vec::new();
    for (suite, distribution) in ASKED {
        ui::verb("Asking", format_args!("the lists of {suite}"));
        let lists = Lists::of(suite, &workspace.target.join("lists"))?;
        rows.extend(asked(&package.manifest, suite, *distribution, &|name| lists.resolve(name))?);
    }
    for distribution in OTHERS {
        rows.extend(by_table(&package.manifest, *distribution, &names, today));
    }
    anstream::print!("{}", text(&rows));
    let wrong = rows.iter().filter(|row| matches!(row.found, Found::Missing(_))).count();
    let open = rows.iter().filter(|row| row.found == Found::NotChecked).count();
    if wrong > 0 {
        return Err(Refused(format!("{wrong} of {} names are wrong: see above", rows.len())).into());
    }
    ui::verb("Verified", format_args!("{} names; {open} more were not checked", rows.len() - open));
    Ok(())
}

fn names_of(names: &Names) -> Vec<&str> {
    match names {
        Names::One(name) => vec![name],
        Names::AnyOf(any) => any.iter().map(String::as_str).collect(),
        Names::None(_) => Vec::new(),
    }
}

/// Each name alone; of alternatives it is enough that one is there.
fn asked(
    manifest: &Manifest,
    suite: &str,
    distribution: Distribution,
    resolve: &dyn Fn(&str) -> Result<std::result::Result<String, String>>,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (logical, dependency) in &manifest.dependency {
        let Some(names) = dependency.names.get(&distribution).map(names_of) else { continue };
        let mut found = Vec::new();
        for name in &names {
            found.push(resolve(name)?);
        }
        let one = found.iter().any(std::result::Result::is_ok);
        rows.extend(names.iter().zip(found).map(|(name, found)| Row {
            distribution: suite.to_owned(),
            logical: logical.clone(),
            name: (*name).to_owned(),
            found: match found {
                Ok(version) => Found::There(version),
                Err(_) if one => Found::There("not there, another is".to_owned()),
                Err(why) => Found::Missing(why),
            },
        }));
    }
    Ok(rows)
}

fn by_table(manifest: &Manifest, distribution: Distribution, names: &seen::Names, today: Date) -> Vec<Row> {
    let mut rows = Vec::new();
    for (logical, dependency) in &manifest.dependency {
        for name in dependency.names.get(&distribution).map(names_of).unwrap_or_default() {
            let found = match names.standing(distribution, debian::bare(name), today) {
                Standing::Seen(version) => Found::There(version.to_owned()),
                Standing::TooLong(days) => Found::Missing(format!(
                    "seen {days} days ago, which is more than {}: look again, and bring packaging/names.toml up to date",
                    seen::OLD
                )),
                Standing::Never => Found::NotChecked,
            };
            rows.push(Row {
                distribution: distribution.id().to_owned(),
                logical: logical.clone(),
                name: name.to_owned(),
                found,
            });
        }
    }
    rows
}

fn text(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let found = match &row.found {
            Found::There(version) => version.clone(),
            Found::Missing(why) => format!("MISSING: {why}"),
            Found::NotChecked => return None,
        };
        Some(vec![row.distribution.clone(), row.logical.clone(), row.name.clone(), found])
    };
    let mut lines: Vec<Vec<String>> = rows.iter().filter_map(line).collect();
    for distribution in OTHERS {
        let open = |row: &&Row| row.distribution == distribution.id() && row.found == Found::NotChecked;
        let names: Vec<&str> = rows.iter().filter(open).map(|row| row.name.as_str()).collect();
        if !names.is_empty() {
            let why = format!("not checked, as not in packaging/names.toml: {}", names.join(", "));
            lines.push(vec![distribution.id().to_owned(), String::new(), String::new(), why]);
        }
    }
    table::render(&["distribution", "dependency", "name", "found"], lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let workspace = Workspace::find().unwrap();
        manifest::load(&workspace, &workspace.manifest()).unwrap().manifest
    }

    #[test]
    fn one_of_several_is_enough_and_none_is_not() {
        let only_systemd = |name: &str| {
            Ok(if name == "systemd" || !name.contains("sys") {
                Ok("1".to_owned())
            } else {
                Err("no".to_owned())
            })
        };
        let rows = asked(&manifest(), "trixie", Distribution::Debian13, &only_systemd).unwrap();
        assert!(rows.iter().all(|row| matches!(row.found, Found::There(_))), "{rows:?}");
        assert!(rows.iter().any(|row| row.found == Found::There("not there, another is".to_owned())));
        let none = |_: &str| Ok(Err("no".to_owned()));
        let rows = asked(&manifest(), "trixie", Distribution::Debian13, &none).unwrap();
        assert!(rows.iter().all(|row| matches!(row.found, Found::Missing(_))), "{rows:?}");
    }

    #[test]
    fn every_distribution_is_asked_or_in_the_table() {
        let manifest = manifest();
        for dependency in manifest.dependency.values() {
            for distribution in dependency.names.keys() {
                let asked = ASKED.iter().any(|(_, known)| known == distribution);
                assert!(asked || OTHERS.contains(distribution), "{distribution:?}");
            }
        }
    }
}
