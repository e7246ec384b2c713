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
    /// Not there, and one of several of which another is: right if it is meant for another system of the same package.
    Absent(String),
    Missing(String),
}

#[derive(Debug)]
struct Row {
    of: Distribution,
    /// Of which there may be several releases.
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
    settle(&mut rows);
    anstream::print!("{}", text(&rows));
    judged(&rows)?;
    ui::verb("Verified", format_args!("{} names", rows.len()));
    Ok(())
}

fn judged(rows: &[Row]) -> Result<()> {
    match rows.iter().filter(|row| !matches!(row.found, Found::There(_))).count() {
        0 => Ok(()),
        wrong => Err(Refused(format!(
            "{wrong} of {} names are wrong, or nobody has looked: see above\nhelp: look each up in its distribution; what is there \
             under another name gets that in packaging/mathesar.toml, and what no list here tells gets version, date and source in \
             packaging/names.toml; then: cargo xtask verify depends",
            rows.len()
        ))
        .into()),
    }
}

fn names_of(names: &Names) -> Vec<&str> {
    match names {
        Names::One(name) => vec![name],
        Names::AnyOf(any) => any.iter().map(String::as_str).collect(),
        Names::None(_) => Vec::new(),
    }
}

/// Each name alone.
fn asked(
    manifest: &Manifest,
    suite: &str,
    distribution: Distribution,
    resolve: &dyn Fn(&str) -> Result<std::result::Result<String, String>>,
) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (logical, dependency) in &manifest.dependency {
        let mut found = Vec::new();
        for name in dependency.names.get(&distribution).map(names_of).unwrap_or_default() {
            found.push((name, resolve(name)?.map_or_else(Found::Absent, Found::There)));
        }
        rows.extend(together(distribution, suite, logical, found));
    }
    Ok(rows)
}

fn by_table(manifest: &Manifest, distribution: Distribution, names: &seen::Names, today: Date) -> Vec<Row> {
    let stands = |name| match names.standing(distribution, debian::bare(name), today) {
        Standing::Seen(version) => Found::There(version.to_owned()),
        Standing::TooLong(days) => Found::Missing(format!(
            "seen {days} days ago, which is more than {}: look again, and bring packaging/names.toml up to date",
            seen::OLD
        )),
        Standing::Never => Found::Absent("nobody has looked: it is not in packaging/names.toml".to_owned()),
    };
    let mut rows = Vec::new();
    for (logical, dependency) in &manifest.dependency {
        let names = dependency.names.get(&distribution).map(names_of).unwrap_or_default();
        let found = names.into_iter().map(|name| (name, stands(name))).collect();
        rows.extend(together(distribution, distribution.id(), logical, found));
    }
    rows
}

/// The names of one dependency: where none of them is there, none is excused by another.
fn together(of: Distribution, distribution: &str, logical: &str, found: Vec<(&str, Found)>) -> Vec<Row> {
    let one = found.iter().any(|(_, found)| matches!(found, Found::There(_)));
    let row = |(name, found): (&str, Found)| Row {
        of,
        distribution: distribution.to_owned(),
        logical: logical.to_owned(),
        name: name.to_owned(),
        found: match found {
            Found::Absent(why) if !one => Found::Missing(why),
            found => found,
        },
    };
    found.into_iter().map(row).collect()
}

/// An alternative may be another system's that takes the same package. One that none of them has is a name of nothing.
fn settle(rows: &mut [Row]) {
    let there: Vec<(Distribution, String, String)> = rows
        .iter()
        .filter(|row| matches!(row.found, Found::There(_)))
        .map(|row| (row.of, debian::bare(&row.name).to_owned(), row.distribution.clone()))
        .collect();
    for row in rows {
        let Found::Absent(why) = &row.found else { continue };
        let same = |of: Distribution| family(of).contains(&row.of);
        let elsewhere = there.iter().find(|(of, name, _)| same(*of) && name == debian::bare(&row.name));
        row.found = match elsewhere {
            Some((_, _, place)) => Found::There(format!("not there, another is; there in {place}")),
            None => Found::Missing(why.clone()),
        };
    }
}

/// Those that take the same package.
fn family(of: Distribution) -> &'static [Distribution] {
    let all: [&'static [Distribution]; 4] =
        [&Distribution::DEB, &Distribution::RPM, &Distribution::ARCH, &Distribution::HOMEBREW];
    all.into_iter().find(|family| family.contains(&of)).unwrap_or_default()
}

fn text(rows: &[Row]) -> String {
    let line = |row: &Row| {
        let found = match &row.found {
            Found::There(version) => version.clone(),
            Found::Absent(why) | Found::Missing(why) => format!("MISSING: {why}"),
        };
        vec![row.distribution.clone(), row.logical.clone(), row.name.clone(), found]
    };
    table::render(&["distribution", "dependency", "name", "found"], rows.iter().map(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workspace() -> Workspace {
        Workspace::find().unwrap()
    }

    fn manifest() -> Manifest {
        let workspace = workspace();
        manifest::load(&workspace, &workspace.manifest()).unwrap().manifest
    }

    /// What a list with these names alone says.
    fn only(names: &'static [&'static str]) -> impl Fn(&str) -> Result<std::result::Result<String, String>> {
        move |name| {
            Ok(match names.contains(&debian::bare(name)) {
                true => Ok("1".to_owned()),
                false => Err("no".to_owned()),
            })
        }
    }

    const BOOKWORM: &[&str] =
        &["python3", "python3-venv", "libcairo2", "ca-certificates", "postgresql", "nginx", "systemd"];
    const TRIXIE: &[&str] = &["systemd-sysusers", "systemd-standalone-sysusers", "caddy"];

    fn missing(rows: &[Row]) -> Vec<(&str, &str)> {
        let wrong = rows.iter().filter(|row| matches!(row.found, Found::Missing(_)));
        wrong.map(|row| (row.distribution.as_str(), row.name.as_str())).collect()
    }

    #[test]
    fn an_alternative_may_be_another_system_s_and_not_nobody_s() {
        let manifest = manifest();
        let mut rows = asked(&manifest, "bookworm", Distribution::Debian12, &only(BOOKWORM)).unwrap();
        let all: Vec<&str> = [BOOKWORM, TRIXIE].concat();
        let newer = asked(&manifest, "trixie", Distribution::Debian13, &only(all.leak())).unwrap();
        rows.extend(newer);
        settle(&mut rows);
        assert_eq!(missing(&rows), []);
        let caddy = rows.iter().find(|row| row.name == "caddy").unwrap();
        assert_eq!(caddy.found, Found::There("not there, another is; there in trixie".to_owned()));
        judged(&rows).unwrap();

        let mut rows = asked(&manifest, "bookworm", Distribution::Debian12, &only(BOOKWORM)).unwrap();
        settle(&mut rows);
        let wrong = ["caddy", "systemd-standalone-sysusers", "systemd-sysusers"];
        assert_eq!(missing(&rows), wrong.map(|name| ("bookworm", name)));
        let none = asked(&manifest, "trixie", Distribution::Debian13, &only(&[])).unwrap();
        assert_eq!(missing(&none).len(), none.len());
    }

    #[test]
    fn another_package_s_system_excuses_nothing() {
        let mut rows = together(
            Distribution::Fedora,
            "fedora",
            "proxy",
            vec![("nginx", Found::There("1".to_owned())), ("caddy", Found::Absent("no".to_owned()))],
        );
        rows.extend(together(
            Distribution::Debian13,
            "sid",
            "proxy",
            vec![("caddy", Found::There("2".to_owned()))],
        ));
        settle(&mut rows);
        assert_eq!(missing(&rows), [("fedora", "caddy")]);
    }

    #[test]
    fn a_name_that_nobody_has_looked_up_is_refused() {
        let mut manifest = manifest();
        let names = seen::Names::read(&workspace()).unwrap();
        // Not today's: whether somebody has to look again is the command's to say.
        let day: Date = "2026-11-26".parse().unwrap();
        let rows = |manifest: &Manifest| {
            let mut rows: Vec<Row> = OTHERS
                .iter()
                .flat_map(|distribution| by_table(manifest, *distribution, &names, day))
                .collect();
            settle(&mut rows);
            rows
        };
        assert_eq!(missing(&rows(&manifest)), []);
        judged(&rows(&manifest)).unwrap();

        let cairo = manifest.dependency.get_mut("cairo").unwrap();
        cairo.names.insert(Distribution::Fedora, Names::One("kairo".to_owned()));
        let proxy = manifest.dependency.get_mut("reverse-proxy").unwrap();
        let typo = ["nginx", "cady"].map(str::to_owned).to_vec();
        proxy.names.insert(Distribution::Arch, Names::AnyOf(typo));
        let rows = rows(&manifest);
        assert_eq!(missing(&rows), [("fedora", "kairo"), ("arch", "cady")]);
        assert!(text(&rows).contains("MISSING: nobody has looked: it is not in packaging/names.toml"));
        let error = judged(&rows).unwrap_err().to_string();
        assert!(error.starts_with("2 of ") && error.contains("\nhelp: ") && error.contains("names.toml"));
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
