//! Reads the facts: programs and files, and the server where it runs.

use super::super::Known;
use super::super::ask::{Look, last_line, said};
use super::{Data, Facts, Told};
use crate::app::tools;
use crate::database;
use crate::process::Program;

impl Facts {
    pub fn gather(look: &Look) -> Facts {
        let installation = &look.installation;
        let search = installation.search();
        let major = database::existing_major(&installation.database_folder());
        let external = installation.is_external();
        let programs = match &major {
            Ok(major) if !external => installation.programs(&search, *major),
            _ => search.for_new(),
        };
        let programs = programs.map_err(|failure| Told::of(&failure)).map(|found| {
            found.map(|found| {
                let whose = match found.origin {
                    database::Origin::Embedded => ", the pinned embedded build",
                    database::Origin::Setting => " (`database.bin`)",
                    database::Origin::System => "",
                };
                let place = match tools::is_in_cache(&found.bin, &installation.app()) {
                    true => "; it lies in the cache, and the next start takes it out of there",
                    false => "",
                };
                format!("{} in {}{whose}{place}", found.version, found.bin.display())
            })
        });
        let (connection, lacks, server_major) = connection(look);
        let major_now = major.as_ref().ok().copied().flatten();
        Facts {
            external,
            programs,
            data: major
                .map_err(|failure| Told::of(&failure))
                .map(|major| major.map(|major| data(look, major))),
            socket: installation.layout.database_socket.join(format!(".s.PGSQL.{}", database::PORT)),
            longest: if installation.environment.macos { 103 } else { 107 },
            socket_folder: socket_folder(look),
            connection,
            role_maker: match (external, server_major) {
                (false, _) => major_now.ok_or_else(|| "there is no database yet".to_owned()),
                (true, Some(_)) if lacks.contains(&"CREATEROLE") => {
                    Err("its role may not make roles".to_owned())
                }
                (true, major) => major.ok_or_else(|| "your server does not answer".to_owned()),
            },
            lacks,
            collations: match external {
                true => Err("your server's own affair".to_owned()),
                false => look.cluster_as_superuser().and_then(|cluster| {
                    cluster.collation_mismatches().map_err(|failure| failure.to_string())
                }),
            },
            migrations: migrations(look),
            max_connections: match look.query("SHOW max_connections;") {
                Ok(text) => text.trim().parse().map_err(|_| format!("`{text}` is no number")),
                Err(_) if !external => Ok(database::Settings::of(&installation.config).max_connections),
                Err(why) => Err(why),
            },
            workers: workers(look),
        }
    }
}

/// Those that run, else those that would.
pub(crate) fn workers(look: &Look) -> u32 {
    let running = look.status.get("workers").and_then(serde_json::Value::as_u64);
    let set = look.installation.config.integer("server.workers").map(|number| number as u32);
    let (processors, memory) = crate::server::gunicorn::machine();
    running
        .and_then(|number| u32::try_from(number).ok())
        .or(set)
        .unwrap_or_else(|| crate::server::gunicorn::workers(processors, memory))
}

fn data(look: &Look, major: u32) -> Data {
    use std::os::unix::fs::MetadataExt as _;
    let folder = look.installation.database_folder();
    let path = folder.join("data");
    let meta = std::fs::metadata(&path).ok();
    let control = match &look.cluster {
        Some(Ok(cluster)) => said(
            Program::new(cluster.binaries.server("pg_controldata")).arg("-D").arg(&path).env("LC_ALL", "C"),
        )
        .ok_or_else(|| "pg_controldata cannot read them".to_owned()),
        Some(Err(failure)) => Err(failure.to_string()),
        None => Err("there are none".to_owned()),
    };
    let value = |text: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().trim().to_owned()
    };
    let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
    Data {
        major,
        mode: meta.as_ref().map_or(0, |meta| meta.mode() & 0o7777),
        foreign: meta.is_some_and(|meta| meta.uid() != look.installation.environment.uid),
        checksums: control.as_ref().is_ok_and(|text| value(text, "Data page checksum version") != "0"),
        state: control.map(|text| value(&text, "Database cluster state")),
        server_runs: matches!(&look.cluster, Some(Ok(cluster)) if cluster.leftover().is_some()),
        unfinished: entries
            .filter(|entry| entry.file_name().to_string_lossy().starts_with("data.new."))
            .count(),
        path,
    }
}

fn socket_folder(look: &Look) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;
    let folder = &look.installation.layout.database_socket;
    let Ok(meta) = std::fs::symlink_metadata(folder) else { return Ok(()) };
    let own = look.installation.environment.uid;
    match () {
        () if !meta.is_dir() => Err(format!("{} is no folder", folder.display())),
        () if meta.uid() != own => Err(format!("{} belongs to user {}", folder.display(), meta.uid())),
        () if meta.mode() & 0o022 != 0 => Err(format!("{} can be written by others", folder.display())),
        () => Ok(()),
    }
}

fn connection(look: &Look) -> (Known<Result<String, Told>>, Vec<&'static str>, Option<u32>) {
    let external = match database::External::of(&look.installation.config) {
        Err(failure) => return (Ok(Err(Told::of(&failure))), Vec::new(), None),
        Ok(external) => external,
    };
    let Some(external) = external else {
        let answer = look.running_cluster().map(|cluster| {
            let asked = cluster.query(&cluster.settings.name, "SELECT current_setting('server_version');");
            // Of the reasons this one has a cure.
            let asked = asked.map_err(|failure| cluster.refuse_other_names().err().unwrap_or(failure));
            asked.map(|version| format!("PostgreSQL {version} answers")).map_err(|failure| Told::of(&failure))
        });
        return match (&look.cluster, answer) {
            // It is there and runs, but does not take connections.
            (Some(Ok(cluster)), Err(why)) if cluster.leftover().is_some() => {
                let helps = vec!["what it does: `mathesar logs`".to_owned()];
                (Ok(Err(Told { message: why, cause: None, helps })), Vec::new(), None)
            }
            (_, answer) => (answer, Vec::new(), None),
        };
    };
    let (psql, secrets) = match (look.psql(), look.scratch_secrets()) {
        (Ok(psql), Ok(secrets)) => (psql, secrets),
        (Err(why), _) | (_, Err(why)) => return (Err(why), Vec::new(), None),
    };
    match external.test(&psql, &secrets, None, &look.installation.pinned.postgresql) {
        Err(failure) => (Ok(Err(Told::of(&failure))), Vec::new(), None),
        Ok(facts) => {
            let mut lacks = Vec::new();
            lacks.extend((!facts.createdb).then_some("CREATEDB"));
            lacks.extend((!facts.createrole).then_some("CREATEROLE"));
            let text = format!("PostgreSQL {} at {} answers", facts.version, external.address.place());
            (Ok(Ok(text)), lacks, Some(facts.major))
        }
    }
}

fn migrations(look: &Look) -> Known<Result<Vec<String>, String>> {
    match look.installation.is_external() {
        true => look.external_answers()?,
        false => drop(look.running_cluster()?),
    }
    let check = look.manage(&["migrate", "--check"])?;
    if check.status.success() {
        return Ok(Ok(Vec::new()));
    }
    let plan = look.manage(&["showmigrations", "--plan"])?;
    let text = String::from_utf8_lossy(&plan.stdout).into_owned();
    let pending: Vec<String> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("[ ]"))
        .map(|name| name.trim().to_owned())
        .collect();
    Ok(if pending.is_empty() { Err(last_line(&check)) } else { Ok(pending) })
}
