//! `mathesar app list`

use serde_json::{Value, json};

use crate::app::files;
use crate::app::store::Installed;
use crate::commands::{Context, note, print_json, print_report};
use crate::installation::Installation;
use crate::terminal::size;
use crate::transaction::Failed;
use crate::upgrade::releases;

/// Say which releases are installed
///
/// The current one is the one that runs. A held one came from a file, by a rollback or by a restore, and no newer pin replaces it. An incomplete
/// one lacks its Python environment or its static files: `mathesar app install` completes the pinned one, `mathesar start` the current one. The
/// last upgrade was one to a failed one, and was taken back.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As one JSON array, for scripts
    ///
    /// Of objects with at least: `id`, `version`, `sha256`, `current`, `held`, `kept` (array of reasons), `failed`, `complete`, `pinned`, `source`,
    /// `size` (in bytes), `path`.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    crate::user::ordinary(&context.layout, &context.environment)?;
    let installation = context.installation(false)?;
    let rows: Vec<Row> =
        installation.store().list()?.into_iter().map(|release| Row::new(release, &installation)).collect();
    if args.json {
        return print_json(&Value::Array(rows.iter().map(Row::to_json).collect()));
    }
    if rows.is_empty() {
        note("no release is installed: `mathesar app install` installs the pinned one");
    }
    print_report(&text(&rows))
}

struct Row {
    release: Installed,
    held: bool,
    kept: Vec<String>,
    /// The last upgrade was one to it, and was taken back.
    failed: bool,
    pinned: bool,
    size: u64,
}

impl Row {
    fn new(release: Installed, installation: &Installation) -> Row {
        let state = &installation.layout.state;
        let reasons = releases::needed(state).unwrap_or_default().into_iter();
        let kept = reasons.filter(|(id, _)| *id == release.id && !release.current);
        Row {
            held: installation.store().held().as_ref() == Some(&release.id),
            kept: kept.map(|(_, reason)| reason.to_owned()).collect(),
            failed: Failed::read(state).is_some_and(|failed| failed.to == release.id && !release.current),
            pinned: release.sha256 == installation.pinned.sha256,
            size: files::size(&release.path),
            release,
        }
    }

    fn words(&self) -> String {
        let kept = self.kept.iter().map(|reason| format!("kept for {reason}"));
        let words = [
            (self.release.current, "current"),
            (self.pinned, "pinned"),
            (self.held, "held"),
            (!self.release.complete, "incomplete"),
            (self.failed, "failed"),
        ];
        let words = words.into_iter().filter(|(is_so, _)| *is_so).map(|(_, word)| word.to_owned());
        words.chain(kept).collect::<Vec<_>>().join(", ")
    }

    fn to_json(&self) -> Value {
        let release = &self.release;
        json!({
            "id": release.id,
            "version": release.version,
            "sha256": release.sha256,
            "current": release.current,
            "held": self.held,
            "kept": self.kept,
            "failed": self.failed,
            "complete": release.complete,
            "pinned": self.pinned,
            "source": release.source,
            "size": self.size,
            "path": release.path,
        })
    }
}

fn text(rows: &[Row]) -> String {
    let width = |text: fn(&Row) -> String| rows.iter().map(|row| text(row).len()).max().unwrap_or(0);
    let (names, words) = (width(|row| row.release.id.clone()), width(Row::words));
    let line = |row: &Row| {
        let (id, is) = (&row.release.id, row.words());
        format!("{id:<names$}  {:>8}  {is:<words$}  {}\n", size(row.size), row.release.source)
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(version: &str, current: bool, held: bool) -> Row {
        let release = Installed {
            id: format!("{version}-0123456789ab"),
            version: version.to_owned(),
            sha256: "0123456789abcdef".to_owned(),
            path: "/state/app/x".into(),
            named: held,
            source: "/home/me/mathesar.tar.gz".to_owned(),
            current,
            complete: current,
        };
        Row { release, held, kept: Vec::new(), failed: false, pinned: false, size: 209_000_000 }
    }

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [row("0.11.0", true, false), row("0.9.0", false, true)];
        assert_eq!(
            text(&rows),
            "0.11.0-0123456789ab  209.0 MB  current           /home/me/mathesar.tar.gz
0.9.0-0123456789ab   209.0 MB  held, incomplete  /home/me/mathesar.tar.gz
"
        );
        assert_eq!(text(&[]), "");
    }
}
