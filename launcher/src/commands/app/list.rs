//! `mathesar app list`

use serde_json::{Value, json};

use crate::app::files;
use crate::app::store::{Installed, Store};
use crate::commands::{Context, note, print, print_json};
use crate::terminal::size;

/// Say which releases are installed
///
/// The current one is the one that runs. A held one came from a file, and no newer pin replaces it. An incomplete one lacks its Python environment
/// or its static files: `mathesar app install` completes the pinned one, `mathesar start` the current one.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As one JSON array, for scripts
    ///
    /// Of objects with at least: `id`, `version`, `sha256`, `current`, `held`, `kept` (array of reasons), `complete`, `pinned`, `source`,
    /// `size` (in bytes), `path`.
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    crate::user::ordinary(&context.layout, &context.environment)?;
    let installation = context.installation(false)?;
    let store = installation.store();
    let rows: Vec<Row> = store
        .list()?
        .into_iter()
        .map(|release| Row::new(release, &store, &installation.pinned.sha256))
        .collect();
    if args.json {
        return print_json(&Value::Array(rows.iter().map(Row::to_json).collect()));
    }
    if rows.is_empty() {
        note("no release is installed: `mathesar app install` installs the pinned one");
    }
    print(&text(&rows))
}

struct Row {
    release: Installed,
    held: bool,
    kept: Vec<String>,
    pinned: bool,
    size: u64,
}

impl Row {
    fn new(release: Installed, store: &Store, pinned: &str) -> Row {
        Row {
            held: store.held().as_ref() == Some(&release.id),
            kept: store.keepers(&release.id),
            pinned: release.sha256 == pinned,
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
        Row { release, held, kept: Vec::new(), pinned: false, size: 209_000_000 }
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
