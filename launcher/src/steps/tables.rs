//! Whose the tables are: no release is let loose on those of another one without being asked to.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::migrated_by;
use crate::app::store::{Installed, Store};
use crate::database;
use crate::failure::{Exit, Failure};
use crate::installation::Installation;

/// Of the installed releases the one that a start takes: the current one, else the held one, else the one that made the
/// tables. None of them: the pinned one, which may be refused by `refuse_others`.
pub(super) fn chosen(installation: &Installation) -> Result<Option<Installed>, Failure> {
    let store = installation.store();
    if let Some(current) = store.current()? {
        return Ok(Some(current));
    }
    let all = store.list()?;
    let find = |id: Option<String>| all.iter().find(|there| id.as_ref() == Some(&there.id)).cloned();
    Ok(find(store.held()).or_else(|| find(recorded(installation).ok().flatten())))
}

/// The release that has made the tables which are there, where that was written down.
fn recorded(installation: &Installation) -> Result<Option<String>, Failure> {
    // A record without its database is of no tables. What is wrong with that folder is told by the step that needs it.
    let folder = installation.database_folder();
    if !installation.is_external() && !matches!(database::existing_major(&folder), Ok(Some(_))) {
        return Ok(None);
    }
    // One that cannot be read is none: the database is asked then.
    Ok(migrated_by(&installation.layout.state)?.filter(|id| id.contains('-')))
}

/// Before anything is fetched: with no current release, nobody has said that this one may have the tables of another.
pub(super) fn refuse_others(installation: &Installation, there: Option<&Installed>) -> Result<(), Failure> {
    if there.is_some_and(|there| there.current) {
        return Ok(());
    }
    let pinned = &installation.pinned;
    let (id, version) = match there {
        Some(there) => (there.id.clone(), there.version.as_str()),
        None => (Store::id(&pinned.version, &pinned.sha256), pinned.version.as_str()),
    };
    match recorded(installation)?.filter(|tables| *tables != id) {
        Some(tables) => Err(refusal(&tables, &id, version, installation.store().find(&id).is_ok())),
        None => Ok(()),
    }
}

fn refusal(tables: &str, id: &str, version: &str, installed: bool) -> Failure {
    let were = Store::version_of(tables);
    let failure = Failure::new(format!("the tables are of {tables}, not of {id}")).exit(Exit::Refused).help(
        format!("go on with theirs: `mathesar app install --from FILE`, the tarball of Mathesar {were}, or install the package that brings it"),
    );
    with_force(
        match compare(version, were) {
            Ordering::Less => failure.cause(format!(
                "Mathesar {version} is older, and may not understand what {were} has made of them"
            )),
            _ => failure
                .cause(format!("Mathesar {version} would migrate them, without a backup"))
                .help(format!("then let them be migrated with one: `mathesar upgrade --to {id}`")),
        },
        id,
        installed,
    )
}

/// By its whole name: others of the same version may be installed.
fn with_force(failure: Failure, id: &str, installed: bool) -> Failure {
    let first = if installed { "" } else { "`mathesar app install`, then " };
    failure.help(format!("or do it all the same: {first}`mathesar app use --force {id}`"))
}

/// `0.9.0` < `0.10.1`: numbers by their size, in the order they stand.
pub fn compare(one: &str, other: &str) -> Ordering {
    let numbers = |text: &str| -> Vec<u64> {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
    };
    numbers(one).cmp(&numbers(other))
}

/// With no record of who made the tables: whether a release knows every migration that was applied. `applied` has a line
/// `app|name` for each.
pub(super) fn refuse_unknown(release: &Installed, applied: &str) -> Result<(), Failure> {
    let Some(unknown) = unknown(&release.path.join("tree"), applied) else { return Ok(()) };
    let failure = Failure::new(format!("the tables are not of {}, but of a newer release", release.id))
        .cause(format!("the migration {unknown} was applied, which Mathesar {} does not have", release.version))
        .exit(Exit::Refused)
        .help("go on with theirs: `mathesar app install --from FILE`, its tarball, or install the package that brings it");
    Err(with_force(failure, &release.id, true))
}

/// The first migration that none of the release's own applications has. Those of its packages are not looked for.
fn unknown(tree: &Path, applied: &str) -> Option<String> {
    let mut own: BTreeMap<&str, Option<Vec<(String, String)>>> = BTreeMap::new();
    applied.lines().find_map(|line| {
        let (app, name) = line.split_once('|')?;
        if app.contains('/') {
            return None;
        }
        let files = own.entry(app).or_insert_with(|| migrations(&tree.join(app).join("migrations")));
        // One that stands for several names them: they count as known.
        let known = |(file, text): &(String, String)| {
            file == name || text.contains(&format!("'{name}'")) || text.contains(&format!("\"{name}\""))
        };
        (!files.as_ref()?.iter().any(known)).then(|| format!("{app}.{name}"))
    })
}

/// Name and text of each; none: this is no application of the release's own.
fn migrations(folder: &Path) -> Option<Vec<(String, String)>> {
    let files = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    let files = files.filter(|path| path.extension().is_some_and(|end| end == "py"));
    Some(
        files
            .filter_map(|path| {
                let text = fs::read_to_string(&path).unwrap_or_default();
                Some((path.file_stem()?.to_str()?.to_owned(), text))
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        assert_eq!(compare("0.9.0", "0.10.1"), Ordering::Less);
        assert_eq!(compare("0.12.0", "0.12.0"), Ordering::Equal);
        assert_eq!(compare("1.0", "0.99.9"), Ordering::Greater);
    }

    #[test]
    fn each_direction_has_its_cure() {
        let back = refusal("0.12.0-aaaaaaaaaaaa", "0.11.0-bbbbbbbbbbbb", "0.11.0", false);
        assert_eq!(back.to_string(), "the tables are of 0.12.0-aaaaaaaaaaaa, not of 0.11.0-bbbbbbbbbbbb");
        assert!(back.helps()[0].contains("the tarball of Mathesar 0.12.0"), "{:?}", back.helps());
        assert!(
            back.helps()[1]
                .contains("`mathesar app install`, then `mathesar app use --force 0.11.0-bbbbbbbbbbbb`"),
            "{:?}",
            back.helps()
        );
        let forth = refusal("0.9.0-aaaaaaaaaaaa", "0.11.0-bbbbbbbbbbbb", "0.11.0", true);
        assert!(
            forth.helps()[1].contains("`mathesar upgrade --to 0.11.0-bbbbbbbbbbbb`"),
            "{:?}",
            forth.helps()
        );
        assert!(
            forth.helps()[2].contains("same: `mathesar app use --force 0.11.0-bbbbbbbbbbbb`"),
            "{:?}",
            forth.helps()
        );
        assert_eq!((back.exit, forth.exit), (Exit::Refused, Exit::Refused));
    }

    #[test]
    fn a_migration_is_known_by_its_file_or_by_one_that_stands_for_it() {
        let tree = tempfile::tempdir().unwrap();
        let folder = tree.path().join("mathesar/migrations");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("0001_initial.py"), "").unwrap();
        fs::write(
            folder.join("0004_squashed.py"),
            "replaces = [('mathesar', '0002_a'), ('mathesar', '0003_b')]",
        )
        .unwrap();
        let unknown = |applied: &str| unknown(tree.path(), applied);
        assert_eq!(
            unknown("auth|0012_x\nmathesar|0001_initial\nmathesar|0003_b\nmathesar|0004_squashed"),
            None
        );
        assert_eq!(
            unknown("mathesar|0001_initial\nmathesar|0005_next").as_deref(),
            Some("mathesar.0005_next")
        );
        assert_eq!(unknown(""), None);
    }
}
