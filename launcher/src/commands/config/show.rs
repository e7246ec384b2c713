//! `mathesar config show`

use serde_json::{Map, Value, json};

use super::{Context, REDACTED};
use crate::config::{self, Config, Kind, Origin, SETTINGS, Setting};

/// Show the settings in force, secrets redacted
///
/// The output is TOML. A setting that is not set is shown as an empty string.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these settings, or those of a whole section: `database.url`, `server`
    #[arg(value_name = "NAME")]
    names: Vec<String>,

    /// Say where each value comes from: file, line and column, or the variable
    #[arg(long)]
    origin: bool,

    /// Only what differs from the default's origin: what somebody has set
    #[arg(long)]
    changed: bool,

    /// As one JSON object by name, with value and origin
    #[arg(long)]
    json: bool,
}

struct Row {
    name: String,
    value: config::Value,
    redacted: bool,
    origin: Origin,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let config = super::load(context).accept()?;
    let rows = rows(&config);
    for name in &args.names {
        if !rows.iter().any(|row| begins(&row.name, name)) {
            super::Name::parse(name)?;
        }
    }
    let rows: Vec<Row> = rows
        .into_iter()
        .filter(|row| !args.changed || row.origin != Origin::Default)
        .filter(|row| args.names.is_empty() || args.names.iter().any(|name| begins(&row.name, name)))
        .collect();
    if args.json {
        let object: Map<String, Value> = rows.iter().map(|row| (row.name.clone(), json_of(row))).collect();
        return super::super::print_json(&Value::Object(object));
    }
    super::super::print(&lines(&rows, args.origin))
}

/// Origins stand below each other; one long value does not push all of them away.
fn lines(rows: &[Row], origin: bool) -> String {
    const FARTHEST: usize = 60;
    let lines: Vec<String> =
        rows.iter().map(|row| format!("{} = {}", row.name, row.value.to_toml())).collect();
    let lengths = lines.iter().map(|line| line.chars().count());
    let width = lengths.filter(|length| *length <= FARTHEST).max().unwrap_or_default();
    let whole = |(line, row): (&String, &Row)| match origin {
        true => format!("{line:<width$} # {}\n", row.origin),
        false => format!("{line}\n"),
    };
    lines.iter().zip(rows).map(whole).collect()
}

/// As `config show --origin` prints it.
pub(crate) fn listing(config: &Config) -> String {
    lines(&rows(config), true)
}

fn begins(name: &str, prefix: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn rows(config: &Config) -> Vec<Row> {
    let of_setting = |setting: &Setting| {
        let value = config.get(setting.name).clone();
        let redacted = setting.secret && value != config::Value::Unset;
        let value = match (value, &setting.kind) {
            (_, _) if redacted => config::Value::Text(REDACTED.to_owned()),
            (config::Value::Text(text), Kind::Url(_)) => config::Value::Text(config::without_password(&text)),
            (value, _) => value,
        };
        Row { name: setting.name.to_owned(), value, redacted, origin: config.origin(setting.name) }
    };
    let mut rows: Vec<Row> = SETTINGS.iter().map(of_setting).collect();
    rows.extend(config.env.iter().map(|(name, (_, origin))| Row {
        name: format!("env.{name}"),
        value: config::Value::Text(REDACTED.to_owned()),
        redacted: true,
        origin: origin.clone(),
    }));
    rows
}

fn json_of(row: &Row) -> Value {
    let mut object = Map::new();
    object.insert("value".to_owned(), if row.redacted { Value::Null } else { row.value.to_json() });
    if row.redacted {
        object.insert("redacted".to_owned(), json!(true));
    }
    let origin = match &row.origin {
        Origin::Default => json!({ "kind": "default" }),
        Origin::File { path, line, column } => {
            json!({ "kind": "file", "path": path.to_string_lossy(), "line": line, "column": column })
        }
        Origin::Environment(name) => json!({ "kind": "environment", "variable": name }),
        Origin::Flag(name) => json!({ "kind": "flag", "flag": name }),
    };
    object.insert("origin".to_owned(), origin);
    Value::Object(object)
}
