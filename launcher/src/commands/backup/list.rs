//! `mathesar backup list`

use serde_json::Value;

use crate::backup::catalog::{self, Entry};
use crate::backup::origin::Whose;
use crate::commands::{Context, note, print, print_json};
use crate::cure;
use crate::terminal::size;

/// Say which backups there are, the newest first
///
/// Those in `backup.directory` and in the state folder, those that were made elsewhere and still lie there, and what an upgrade keeps to be rolled
/// back to. One that is damaged at its beginning or its end is listed as such; whether the rest is whole says `mathesar backup verify`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As one JSON array, for scripts
    ///
    /// Of objects with at least: `path`, `created` (RFC 3339, UTC), `version` (of Mathesar), `kind` (physical, logical, copy), `made_by` (person,
    /// timer, upgrade, restore), `note`, `bytes`, `verified` (when its drill went well at last, or null), `digest`, `damaged` (why it cannot be
    /// read, or null), `needed` (by an upgrade that may be rolled back), `own` (false: another installation's),
    /// `lacks` (array: databases that belong into it and are not there). Of a damaged one, `version`, `kind`, `made_by`, `digest` and `own` are null.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    crate::user::ordinary(&context.layout, &context.environment)?;
    let installation = context.installation(false)?;
    let listing = catalog::list(&installation)?;
    listing.warn();
    let all = listing.all;
    if args.json {
        return print_json(&Value::Array(all.iter().map(Entry::to_json).collect()));
    }
    if all.is_empty() && listing.unread.is_empty() {
        note("there is no backup: `mathesar backup create` makes one");
    }
    print(&text(&all))
}

fn text(all: &[Entry]) -> String {
    let rows: Vec<[String; 5]> = all.iter().map(row).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    let line = |row: &[String; 5]| {
        let [created, size, version, what, path] = row;
        let [_, b, c, d] = widths;
        format!("{created}  {size:>b$}  {version:<c$}  {what:<d$}  {path}\n")
    };
    rows.iter().map(line).collect()
}

fn row(entry: &Entry) -> [String; 5] {
    let mut what: Vec<String> = Vec::new();
    match entry.kind {
        // No backup, and listed so that nobody wonders what takes the room.
        Some(catalog::Kind::Copy) => what.push(cure::addressed("kept for `mathesar rollback`").into_owned()),
        kind => {
            what.extend(entry.made_by.map(|made_by| made_by.name().to_owned()));
            what.extend((kind == Some(catalog::Kind::Logical)).then(|| "logical".to_owned()));
        }
    }
    what.extend(match (&entry.damaged, &entry.verified) {
        (Some(_), _) => Some("damaged".to_owned()),
        (_, Some(verified)) => Some(format!("verified {}", day(verified))),
        (_, None) => None,
    });
    what.extend(entry.incomplete().map(|lacks| format!("incomplete: {lacks}")));
    what.extend(match entry.whose {
        Whose::Own => None,
        Whose::Brought => Some("made elsewhere".to_owned()),
        Whose::Earlier => Some("of earlier data".to_owned()),
        Whose::Another => Some("another installation's".to_owned()),
        Whose::Unknown => entry.damaged.is_none().then(|| "of an unknown installation".to_owned()),
    });
    what.extend((entry.needed && entry.kind != Some(catalog::Kind::Copy)).then(|| "needed".to_owned()));
    // Of a copy it is the launcher's own word, which names a command; of an archive a person's.
    let note = entry.note.as_deref().map(|note| match entry.kind {
        Some(catalog::Kind::Copy) => cure::addressed(note),
        _ => note.into(),
    });
    let note = note.map(|note| format!("  {note:?}")).unwrap_or_default();
    [
        entry.created.clone(),
        size(entry.bytes),
        entry.version.clone().unwrap_or_else(|| "?".to_owned()),
        what.join(", "),
        format!("{}{note}", entry.path.display()),
    ]
}

fn day(moment: &str) -> &str {
    moment.split('T').next().unwrap_or(moment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::manifest::MadeBy;

    #[test]
    fn columns_stand_below_each_other() {
        let good = Entry {
            path: "/b/mathesar-0.12.0-20261123T065000Z.tar.zst".into(),
            created: "2026-11-23T06:50:00Z".to_owned(),
            version: Some("0.12.0".to_owned()),
            kind: Some(catalog::Kind::Physical),
            made_by: Some(MadeBy::Person),
            note: Some("before \"the\" move".to_owned()),
            bytes: 123_400_000,
            verified: Some("2026-11-24T01:02:03Z".to_owned()),
            digest: None,
            origin: None,
            whose: Whose::Own,
            lacks: Vec::new(),
            damaged: None,
            needed: false,
        };
        let logical = Entry {
            kind: Some(catalog::Kind::Logical),
            made_by: Some(MadeBy::Timer),
            verified: None,
            note: None,
            lacks: vec!["people".to_owned()],
            ..good.clone()
        };
        let others = [Whose::Another, Whose::Earlier, Whose::Unknown]
            .map(|whose| row(&Entry { whose, ..good.clone() }));
        let said = ["another installation's", "of earlier data", "of an unknown installation"];
        assert_eq!(
            others.map(|row| row[3].clone()),
            said.map(|word| format!("person, verified 2026-11-24, {word}"))
        );
        let damaged = Entry {
            whose: Whose::Unknown,
            version: None,
            kind: None,
            made_by: None,
            note: None,
            bytes: 7,
            damaged: Some("cut off".to_owned()),
            ..good.clone()
        };
        let path = "/b/mathesar-0.12.0-20261123T065000Z.tar.zst";
        assert_eq!(
            text(&[good, logical, damaged]),
            format!(
                "2026-11-23T06:50:00Z  123.4 MB  0.12.0  person, verified 2026-11-24               {path}  \"before \\\"the\\\" move\"
2026-11-23T06:50:00Z  123.4 MB  0.12.0  timer, logical, incomplete: lacks people  {path}
2026-11-23T06:50:00Z       7 B  ?       damaged                                   {path}
"
            )
        );
    }
}
