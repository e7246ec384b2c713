//! `mathesar db status`

use serde_json::{Value, json};

use super::{client, launcher, text_of};
use crate::commands::{Context, print_json_report, print_report};
use crate::database::{External, existing_major};
use crate::failure::{Exit, Failure};
use crate::installation::Installation;
use crate::terminal::size;

/// Say how the database is
///
/// Exits with 0 while it answers, with 3 otherwise.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As one JSON object, for scripts
    ///
    /// At least: `kind` (private, external), `state` (running, starting, stopped, missing, unusable), `message` (or null), `postgresql`
    /// (the version, or null), `url`; of a private one also `data`, `socket`, `pid`, `run_by` (mathesar, itself, null), `size` in bytes and `databases`
    /// (array of objects with `name` and `size`).
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    crate::user::ordinary(&context.layout, &context.environment)?;
    let installation = context.installation(false)?;
    let status = match External::of(&installation.config)? {
        Some(external) => of_external(&installation, &external),
        None => of_private(&installation)?,
    };
    match args.json {
        true => print_json_report(status.clone())?,
        false => print_report(&text(&status))?,
    }
    match text_of(&status["state"]) {
        "running" => Ok(()),
        // It was said already.
        _ => Err(Failure::told(Exit::NotRunning, String::new()).into()),
    }
}

fn of_external(installation: &Installation, external: &External) -> Value {
    let range = &installation.pinned.postgresql;
    let tested =
        client(installation).and_then(|psql| external.test(&psql, &installation.secrets, None, range));
    let (state, message, version) = match tested {
        Ok(facts) => ("running", None, Some(facts.version)),
        Err(failure) => ("unusable", Some(failure.to_string()), None),
    };
    json!({
        "kind": "external",
        "state": state,
        "message": message,
        "postgresql": version,
        "url": external.url(None),
    })
}

fn of_private(installation: &Installation) -> Result<Value, Failure> {
    let mut status = json!({
        "kind": "private",
        "message": null,
        "postgresql": null,
        "url": null,
        "data": installation.database_folder().join("data"),
        "socket": installation.layout.database_socket,
        "pid": null,
        "run_by": null,
        "size": null,
        "databases": [],
    });
    let cluster = match installation.existing_cluster() {
        Ok(Some(cluster)) => cluster,
        Ok(None) => {
            status["state"] = json!("missing");
            status["message"] = json!("there is no database yet: `mathesar db init`");
            return Ok(status);
        }
        // Its programs are gone, or its files are damaged: that is how it is.
        Err(failure) => {
            let major = existing_major(&installation.database_folder()).ok().flatten();
            status["postgresql"] = json!(major.map(|major| major.to_string()));
            status["state"] = json!("unusable");
            status["message"] = json!(failure.to_string());
            return Ok(status);
        }
    };
    let found = cluster.status()?;
    status["state"] = json!(match (found.ready, found.pid) {
        (true, _) => "running",
        (false, Some(_)) => "starting",
        (false, None) => "stopped",
    });
    status["postgresql"] = json!(found.version);
    status["url"] = json!(cluster.url(&cluster.settings.user_database));
    status["size"] = json!(found.size);
    if let Some(pid) = found.pid {
        status["pid"] = json!(pid);
        let launched = launcher(installation).ok().flatten().is_some();
        status["run_by"] = json!(if launched { "mathesar" } else { "itself" });
    }
    if found.ready {
        let databases = cluster.database_sizes()?;
        let object = |(name, size): (String, u64)| json!({ "name": name, "size": size });
        status["databases"] = databases.into_iter().map(object).collect();
    }
    Ok(status)
}

fn text(status: &Value) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{name:<12} {value}\n"));
        }
    };
    line("state", text_of(&status["state"]));
    line("because", text_of(&status["message"]));
    let whose = match text_of(&status["kind"]) {
        "external" => " (your server, `database.url`)",
        _ => "",
    };
    match text_of(&status["postgresql"]) {
        "" => {}
        version => line("postgresql", &format!("{version}{whose}")),
    }
    line("address", text_of(&status["url"]));
    let bytes = status["size"].as_u64().map(|bytes| format!(", {}", size(bytes))).unwrap_or_default();
    match text_of(&status["data"]) {
        "" => {}
        data => line("data", &format!("{data}{bytes}")),
    }
    if let Some(pid) = status["pid"].as_u64() {
        let by = match text_of(&status["run_by"]) {
            "mathesar" => "with Mathesar",
            _ => "alone; `mathesar db stop` stops it",
        };
        line("pid", &format!("{pid}, {by}"));
    }
    for database in status["databases"].as_array().into_iter().flatten() {
        // PostgreSQL's own, which hold nothing.
        if matches!(text_of(&database["name"]), "postgres" | "template1") {
            continue;
        }
        let bytes = database["size"].as_u64().unwrap_or(0);
        line("database", &format!("{}, {}", text_of(&database["name"]), size(bytes)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_shown() {
        let status = json!({
            "kind": "private", "state": "running", "message": null, "postgresql": "15.18",
            "url": "postgresql://mathesar@%2Fs:5432/mathesar", "data": "/d", "pid": 7, "run_by": "itself",
            "size": 39_000_000, "databases": [{ "name": "mathesar", "size": 8_000_000 }],
        });
        let expected = "state        running
postgresql   15.18
address      postgresql://mathesar@%2Fs:5432/mathesar
data         /d, 39.0 MB
pid          7, alone; `mathesar db stop` stops it
database     mathesar, 8.0 MB
";
        assert_eq!(text(&status), expected);
        let external =
            json!({ "kind": "external", "state": "unusable", "message": "no server listens on db:5432" });
        assert_eq!(text(&external), "state        unusable\nbecause      no server listens on db:5432\n");
    }
}
