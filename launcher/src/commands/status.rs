//! `mathesar status`

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use super::{Context, PATIENCE};
use crate::backup::catalog::{self, Listing};
use crate::backup::manifest::MadeBy;
use crate::backup::manifest::lacking;
use crate::backup::origin::Here;
use crate::careful;
use crate::config::{Outside, Severity};
use crate::control::{self, Lock};
use crate::failure::{Exit, Failure};
use crate::layout::Layout;
use crate::service_manager;
use crate::serving::last::{self, LAST_RUN};
use crate::supervise::Request;
use crate::terminal::{size, time};
use crate::transaction::{Journal, Stage};
use crate::upgrade::automatic::{Runs, lines as lines_of};

/// Say how Mathesar is
///
/// Works while it runs and while it is stopped. Exits with 0 while it runs, with 3 otherwise: stopped, still starting, failed, or degraded
/// (a part does not answer; it is being mended).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// As one JSON object, for scripts
    ///
    /// At least: `state` (running, preparing, starting, degraded, stopping, stopped, failed), `version`, `address` (or null), `pending` (array of
    /// strings), `database` (object), `last_backup` (null, or an object with `path`, `created`, `verified`, `made_by`, `lacks`), `last_verified_backup`
    /// (when the newest one was made whose drill went well, or null), `unread_backups` (array of strings: which folders of backups cannot be
    /// read, and why; what lies there is in neither of the two), `transaction` (null, or an object with `kind` (upgrade, rollback, restore),
    /// `from`, `to`, `begun` (seconds since 1970), `under_way` (false: it was interrupted)), `autostart` (true, false; null where nothing could do it).
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let status = status(context)?;
    match args.json {
        true => super::print_json_report(Value::Object(status.clone()))?,
        false => super::print_report(&text(&status))?,
    }
    match status["state"].as_str() {
        Some("running") => Ok(()),
        // It was said already.
        _ => Err(Failure::told(Exit::NotRunning, String::new()).into()),
    }
}

/// Everything that can be told without waiting for anybody.
pub(crate) fn status(context: &Context) -> Result<Map<String, Value>, Failure> {
    let layout = &context.layout;
    let (mut status, runs) = match control::ask_here(layout, Request::Status, PATIENCE) {
        Ok(answer) => (running(answer.value), true),
        Err(failure) if control::is_silent(&failure) => (hanging(context, &failure), true),
        Err(failure) if failure.exit == Exit::NotRunning => (stopped(context), false),
        Err(failure) => return Err(failure),
    };
    let coming = status.remove("coming");
    let runs = match (runs, &coming) {
        (true, coming) => Runs::Launcher(coming.as_ref().and_then(Value::as_str)),
        (false, _) => Runs::Nobody,
    };
    let folder = layout.state.join("database");
    let journal = Journal::read(&layout.state).ok().flatten();
    let under_way = journal.is_some() && Lock::holder(&layout.state).is_some();
    let external = status.remove("external") == Some(Value::Bool(true));
    let database = json!({
        "kind": if external { "external" } else { "private" },
        "postgresql": status.remove("postgresql").filter(|version| !version.is_null()).or_else(|| {
            Some(json!(crate::database::existing_major(&folder).ok().flatten()?.to_string()))
        }),
        "data": (!external).then(|| folder.join("data").display().to_string()),
        "socket": (!external).then(|| layout.database_socket.display().to_string()),
        // Of a server of the user's nobody here knows it.
        "state": match external {
            true => Value::Null,
            false if under_way && status["state"] == "preparing" => json!("closed"),
            false => match status.get("services").and_then(|services| services.get("postgresql")) {
                Some(told) => told.clone(),
                // With nobody who watches it: started alone, or its launcher is gone or hangs.
                None => json!(if crate::database::adopt(&folder.join("data")).is_some() { "up" } else { "down" }),
            },
        },
    });
    // Scripts find the same names whether it runs or not.
    for name in ["message", "pid", "release", "services", "since", "workers"] {
        status.entry(name).or_insert(Value::Null);
    }
    let pending = status.entry("pending").or_insert_with(|| json!([]));
    if let Some(pending) = pending.as_array_mut() {
        let interrupted = journal.as_ref().filter(|_| !under_way).map(|journal| {
            let cure = match journal.stage {
                Stage::Open => "`mathesar start` puts everything back as it was before it",
                Stage::Committed => "it counts, and `mathesar start` tidies up",
            };
            format!("{}: {} was interrupted; {cure}", journal.kind.name(), journal.words())
        });
        let mut lines: Vec<String> = interrupted.into_iter().collect();
        lines.extend(crate::transaction::Pending::read(&layout.state).lines());
        // Settings that cannot be read are told elsewhere.
        lines
            .extend(context.installation(false).iter().flat_map(|installation| lines_of(installation, runs)));
        pending.extend(lines.into_iter().map(Value::from));
    }
    status.insert("database".to_owned(), database);
    let transaction = journal.map(|journal| {
        json!({
            "kind": journal.kind.name(), "from": journal.from, "to": journal.to, "begun": journal.begun, "under_way": under_way,
            "text": journal.words(),
        })
    });
    status.insert("transaction".to_owned(), json!(transaction));
    status.extend(backups(context));
    let autostart = service_manager::starts_by_itself(layout, &context.environment);
    status.insert("autostart".to_owned(), json!(autostart));
    status.insert("disk_free".to_owned(), json!(free(&layout.state)));
    Ok(status)
}

/// The newest one, when the newest that a drill was content with was made, and what could not be looked into.
fn backups(context: &Context) -> [(String, Value); 3] {
    let outside = Outside { environment: context.environment.clone(), service_variables: false, flags: &[] };
    let config = crate::config::load(&context.layout, &outside).config;
    let here = Here::of(&context.layout.state, &config);
    let Listing { all, unread } = catalog::list_in(&here, config.path("backup.directory").as_deref())
        .unwrap_or_else(|failure| Listing { all: Vec::new(), unread: vec![failure.whole()] });
    let last = catalog::newest(&all).map(|entry| {
        json!({
            "path": entry.path.to_string_lossy(),
            "created": entry.created,
            "verified": entry.verified,
            "made_by": entry.made_by.map(MadeBy::name),
            "lacks": entry.lacks,
        })
    });
    let verified = catalog::newest_verified(&all).map(|entry| entry.created.clone());
    [
        ("last_backup".to_owned(), json!(last)),
        ("last_verified_backup".to_owned(), json!(verified)),
        ("unread_backups".to_owned(), json!(unread)),
    ]
}

fn running(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}

/// There is a launcher, and it says nothing.
fn hanging(context: &Context, failure: &Failure) -> Map<String, Value> {
    let mut fields = stopped(context);
    let pid = Lock::holder(&context.layout.state).and_then(|holder| holder.pid);
    let cures = failure.helps().join("; ");
    fields.insert("state".to_owned(), json!("degraded"));
    fields.insert("message".to_owned(), json!(format!("{failure}; {cures}")));
    fields.insert("pid".to_owned(), json!(pid));
    fields
}

fn stopped(context: &Context) -> Map<String, Value> {
    let layout = &context.layout;
    let last = careful::read(&layout.state.join(LAST_RUN)).ok();
    let last: Option<Value> = last.and_then(|text| serde_json::from_slice(&text).ok());
    let mut fields = Map::new();
    let mut state = "stopped";
    let holder = Lock::holder(&layout.state);
    if let Some((why, at)) = last.as_ref().filter(|_| holder.is_none()).and_then(last::failure) {
        state = "failed";
        fields.insert("message".to_owned(), why);
        fields.insert("since".to_owned(), at);
    }
    if let Some(holder) = holder {
        fields.insert("message".to_owned(), json!(format!("{holder} is at work")));
    }
    let loaded = crate::config::load(
        layout,
        &Outside { environment: context.environment.clone(), service_variables: false, flags: &[] },
    );
    if loaded.problems.iter().any(|problem| problem.severity == Severity::Error) {
        let why = "the settings are wrong, and a start is refused: `mathesar config check`";
        fields.entry("message".to_owned()).or_insert_with(|| json!(why));
    }
    fields.insert("external".to_owned(), json!(loaded.config.text("database.url").is_some()));
    fields.insert("state".to_owned(), json!(state));
    fields.insert("address".to_owned(), Value::Null);
    fields.insert("pending".to_owned(), json!([]));
    fields.insert("version".to_owned(), json!(current(layout).map(|(version, _)| version)));
    fields
}

/// Version and first digits of the digest, from the link alone: looking into the release would cost a start of its Python.
pub(crate) fn current(layout: &Layout) -> Option<(String, String)> {
    let target = std::fs::read_link(layout.state.join("app/current")).ok()?;
    let (version, digest) = target.to_str()?.rsplit_once('-')?;
    Some((version.to_owned(), digest.to_owned()))
}

/// Free space where the data are, in bytes, for whoever is not root.
pub(crate) fn free(folder: &std::path::Path) -> Option<u64> {
    let found = folder.ancestors().find_map(|folder| rustix::fs::statvfs(folder).ok())?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

fn text(status: &Map<String, Value>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| text.push_str(&format!("{name:<12} {value}\n"));
    let word = |name: &str| status.get(name).and_then(Value::as_str).map(careful::harmless);
    line("state", word("state").unwrap_or_default());
    match (word("state").as_deref(), word("message").filter(|message| !message.is_empty())) {
        (Some("running"), _) | (_, None) => {}
        // What it was before is no reason.
        (_, Some(message)) if matches!(&*message, "running" | "degraded" | "preparing" | "starting") => {}
        (_, Some(message)) => line("because", message),
    }
    let transaction = &status["transaction"];
    if transaction["under_way"] == true {
        let begun = UNIX_EPOCH + Duration::from_secs(transaction["begun"].as_u64().unwrap_or_default());
        let since = SystemTime::now().duration_since(begun).unwrap_or_default();
        let words = careful::harmless(transaction["text"].as_str().unwrap_or_default());
        line("at work", format!("{words}, for {}", time(since)));
    }
    if let Some(address) = word("address") {
        line("address", address);
    }
    line("version", word("version").unwrap_or_else(|| "none is installed".to_owned()));
    for pending in status.get("pending").and_then(Value::as_array).into_iter().flatten() {
        line("pending", careful::harmless(pending.as_str().unwrap_or_default()));
    }
    let database = &status["database"];
    let version = database["postgresql"].as_str().map(|version| format!(" {}", careful::harmless(version)));
    let version = version.unwrap_or_default();
    let state = careful::harmless(database["state"].as_str().unwrap_or_default());
    line(
        "database",
        match database["kind"].as_str() {
            Some("external") => "your server (`database.url`)".to_owned(),
            _ if version.is_empty() => "none yet".to_owned(),
            _ if state == "closed" => format!("PostgreSQL{version}, closed until that is done"),
            _ => format!("PostgreSQL{version}, {state}"),
        },
    );
    if let Some(workers) = status.get("workers").and_then(Value::as_u64) {
        line("workers", workers.to_string());
    }
    if let Some(pid) = status.get("pid").and_then(Value::as_u64) {
        line("pid", pid.to_string());
    }
    if let Some(on) = status.get("autostart").and_then(Value::as_bool) {
        line("autostart", if on { "on" } else { "off" }.to_owned());
    }
    let unread = status["unread_backups"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let unread: Vec<String> = unread.map(careful::harmless).collect();
    let verified = status["last_verified_backup"].as_str();
    let last = last_backup(&status["last_backup"], verified, &unread.join("; "));
    line("last backup", last);
    if let Some(free) = status.get("disk_free").and_then(Value::as_u64) {
        line("disk free", size(free));
    }
    text
}

/// `unread`: where else some may lie.
fn last_backup(last: &Value, verified: Option<&str>, unread: &str) -> String {
    let Some(created) = last["created"].as_str() else {
        return match unread {
            "" => "none: `mathesar backup create`".to_owned(),
            why => format!("not known: {why}"),
        };
    };
    let tried = match (last["verified"].as_str(), verified) {
        (Some(when), _) => format!("verified {when}"),
        (None, Some(other)) => format!("not verified; the last that was is of {other}"),
        (None, None) => "not verified: `mathesar backup verify`".to_owned(),
    };
    let lacks = last["lacks"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let lacks = lacking(lacks).map(|lacks| format!(", incomplete: {lacks}")).unwrap_or_default();
    let others = if unread.is_empty() { String::new() } else { format!("; others are not seen: {unread}") };
    format!("{created} ({}), {tried}{lacks}{others}", last["made_by"].as_str().unwrap_or("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_backup_in_words() {
        let last = |verified: Option<&str>| json!({"created": "2026-11-23T06:50:00Z", "verified": verified, "made_by": "timer"});
        let said = [
            last_backup(&Value::Null, None, ""),
            last_backup(&last(None), None, ""),
            last_backup(&last(None), Some("2026-11-20T06:50:00Z"), ""),
            last_backup(&last(Some("2026-11-24T01:00:00Z")), Some("2026-11-23T06:50:00Z"), ""),
            last_backup(
                &json!({"created": "2026-11-23T06:50:00Z", "made_by": "timer", "lacks": ["people"]}),
                None,
                "",
            ),
            last_backup(&Value::Null, None, "cannot read /b: no"),
            last_backup(&last(None), None, "cannot read /b: no"),
        ];
        let begin = "2026-11-23T06:50:00Z (timer)";
        assert_eq!(
            said,
            [
                "none: `mathesar backup create`".to_owned(),
                format!("{begin}, not verified: `mathesar backup verify`"),
                format!("{begin}, not verified; the last that was is of 2026-11-20T06:50:00Z"),
                format!("{begin}, verified 2026-11-24T01:00:00Z"),
                format!("{begin}, not verified: `mathesar backup verify`, incomplete: lacks people"),
                "not known: cannot read /b: no".to_owned(),
                format!(
                    "{begin}, not verified: `mathesar backup verify`; others are not seen: cannot read /b: no"
                ),
            ]
        );
    }
}
