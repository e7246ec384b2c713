//! PostgreSQL: programs, data, socket, and what the running server says.

mod gather;

use std::path::PathBuf;

use super::{Check, Entry, Group, Known};
use crate::database::{self, CollationMismatch};
use crate::failure::Failure;

pub(super) use gather::workers;

pub(super) static PROGRAMS: Entry = Entry {
    id: "postgresql",
    group: Group::Database,
    title: "PostgreSQL's programs",
    doc: "The programs of a supported PostgreSQL are there, of the major that the data were made with.",
};
pub(super) static CLUSTER: Entry = Entry {
    id: "cluster",
    group: Group::Database,
    title: "data",
    doc: "The private cluster's data are whole, belong to nobody else, have checksums, and were closed in good order.",
};
pub(super) static SOCKET: Entry = Entry {
    id: "database-socket",
    group: Group::Database,
    title: "socket",
    doc: "The path of the database's socket is short enough (107 bytes; 103 on macOS), plain, and its folder is ours alone.",
};
pub(super) static REACHABLE: Entry = Entry {
    id: "database",
    group: Group::Database,
    title: "connection",
    doc: "The database answers Mathesar's role: the private cluster while it runs, your server (`database.url`) always.",
};
pub(super) static COLLATIONS: Entry = Entry {
    id: "collations",
    group: Group::Database,
    title: "collations",
    doc: "Each database's text was sorted by the version of the system's library that is there now; otherwise indexes may miss rows.",
};
pub(super) static MIGRATIONS: Entry = Entry {
    id: "migrations",
    group: Group::Database,
    title: "migrations",
    doc: "Mathesar's own tables are as the installed release needs them (`manage.py migrate --check`).",
};
pub(super) static CONNECTIONS: Entry = Entry {
    id: "connections",
    group: Group::Database,
    title: "connections",
    doc: "`max_connections` is enough for the workers, which hold several connections each.",
};

pub(super) static ROLES: Entry = Entry {
    id: "role-rights",
    group: Group::Database,
    title: "rights of the role",
    doc: "PostgreSQL is 16 or newer: before, a role that may make roles reaches the server's files, and so the superuser's password.",
};

pub(super) const ENTRIES: &[&Entry] =
    &[&ROLES, &PROGRAMS, &CLUSTER, &SOCKET, &REACHABLE, &COLLATIONS, &MIGRATIONS, &CONNECTIONS];

/// What pg_controldata and the file system say about the data.
#[derive(Debug, Clone)]
pub(super) struct Data {
    pub path: PathBuf,
    pub major: u32,
    pub mode: u32,
    pub foreign: bool,
    /// As `shut down`, `in production`; or why it is not known.
    pub state: Known<String>,
    pub checksums: bool,
    pub server_runs: bool,
    /// Folders that a killed initdb has left.
    pub unfinished: usize,
}

/// A failure's message, cause and helps, as something that can be copied.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub message: String,
    pub cause: Option<String>,
    pub helps: Vec<String>,
}

impl Told {
    pub(super) fn of(failure: &Failure) -> Told {
        let cause = std::error::Error::source(failure).map(ToString::to_string);
        Told { message: failure.to_string(), cause, helps: failure.helps().to_vec() }
    }

    fn check(&self, entry: &'static Entry) -> Check {
        let check = entry.problem(self.message.clone());
        let check = match &self.cause {
            Some(cause) => check.cause(cause.clone()),
            None => check,
        };
        self.helps.iter().fold(check, |check, help| check.cure(help.clone()))
    }
}

#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub external: bool,
    /// Version and place; none: the embedded build is fetched at the start.
    pub programs: Result<Option<String>, Told>,
    pub data: Result<Option<Data>, Told>,
    pub socket: PathBuf,
    pub longest: usize,
    /// Why its folder is not safe.
    pub socket_folder: Result<(), String>,
    /// Version or other good news; not made; or why not.
    pub connection: Known<Result<String, Told>>,
    /// The major of the server where Mathesar's role may make roles.
    pub role_maker: Known<u32>,
    /// What a role of an external server lacks.
    pub lacks: Vec<&'static str>,
    pub collations: Known<Vec<CollationMismatch>>,
    /// Pending ones, by name; or what `manage.py` said.
    pub migrations: Known<Result<Vec<String>, String>>,
    pub max_connections: Known<i64>,
    pub workers: u32,
}

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    vec![
        roles(facts),
        programs(facts),
        cluster(facts),
        socket(facts),
        reachable(facts),
        collations(facts),
        migrated(facts),
        connections(facts),
    ]
}

fn roles(facts: &Facts) -> Check {
    match &facts.role_maker {
        Err(why) => ROLES.not_checked(why.clone()),
        Ok(major) if database::contains_role_makers(*major) => ROLES.ok("it can give itself no others"),
        Ok(major) => {
            let check = ROLES
                .warning(format!(
                    "PostgreSQL {major} lets a role that may make roles run programs as the server's OS user"
                ))
                .cause("only 16 and newer keep it from giving itself `pg_execute_server_program`");
            match facts.external {
                true => check.cure("upgrade your server to 16 or newer, or take the right: `ALTER ROLE … NOCREATEROLE`"),
                false => check
                    .cure("let only people whom you trust with this OS user run SQL as `mathesar`")
                    .cure("or move to 16 or newer, by the dumps in `portable/` of a backup: `mathesar backup create`"),
            }
        }
    }
}

fn programs(facts: &Facts) -> Check {
    match &facts.programs {
        Ok(Some(found)) => PROGRAMS.ok(found.clone()),
        Ok(None) if facts.external => PROGRAMS
            .warning("there is no psql, with which the launcher asks your server")
            .cure("`apt install postgresql-client`"),
        Ok(None) => {
            PROGRAMS.ok("none of a supported major; the pinned embedded build is fetched at the start")
        }
        Err(told) => told.check(&PROGRAMS),
    }
}

fn cluster(facts: &Facts) -> Check {
    if facts.external {
        return CLUSTER.not_checked("`database.url` names your server");
    }
    let data = match &facts.data {
        Err(told) => return told.check(&CLUSTER),
        Ok(None) => return CLUSTER.not_checked("there is no database yet: `mathesar start`"),
        Ok(Some(data)) => data,
    };
    let (path, quoted) = (data.path.display(), crate::cure::path(&data.path));
    if data.foreign {
        return CLUSTER
            .problem(format!("{path} belongs to another user"))
            .cure(format!("take it back: `sudo chown -R \"$(id -un)\" {quoted}`"));
    }
    if data.mode & 0o027 != 0 {
        return CLUSTER
            .problem(format!(
                "{path} is open to others (mode {:o}), and PostgreSQL refuses to start",
                data.mode
            ))
            .cure(format!("`chmod 700 {quoted}`"));
    }
    match &data.state {
        Err(why) => CLUSTER.not_checked(why.clone()),
        Ok(state) if state == "shut down" && data.server_runs => CLUSTER.ok("its server is just starting"),
        Ok(state) if state != "shut down" && !data.server_runs => CLUSTER
            .warning(format!("of PostgreSQL {}, not closed in good order (`{state}`)", data.major))
            .cause("the server was killed, or the power went away; it replays its log at the next start")
            .cure("`mathesar start`"),
        Ok(_) if !data.checksums => CLUSTER
            .warning(format!(
                "of PostgreSQL {}, without checksums: a failing disk is not noticed",
                data.major
            ))
            .cure(format!("while it is stopped: `pg_checksums --enable -D {quoted}`")),
        Ok(_) if data.unfinished > 0 => CLUSTER
            .warning(format!("of PostgreSQL {}, and {} left by a killed initdb", data.major, data.unfinished))
            .cure(format!("`rm -r {quoted}.new.*`")),
        Ok(state) => CLUSTER.ok(format!("of PostgreSQL {}, {state}, with checksums", data.major)),
    }
}

fn socket(facts: &Facts) -> Check {
    if facts.external {
        return SOCKET.not_checked("`database.url` names your server");
    }
    let (path, length) = (facts.socket.display(), facts.socket.as_os_str().len());
    let choose = "choose a folder with a short, plain path: `mathesar --home DIR …`";
    if length > facts.longest {
        return SOCKET
            .problem(format!("its path is too long: {path}"))
            .cause(format!("it has {length} bytes, and the system allows {}", facts.longest))
            .cure(choose);
    }
    if facts.socket.to_str().is_none_or(|text| text.contains(|c: char| c.is_control() || c == ',')) {
        return SOCKET
            .problem(format!("PostgreSQL's programs stumble over its path: {path}"))
            .cause("commas, control characters and what is not UTF-8 do not reach them")
            .cure(choose);
    }
    match &facts.socket_folder {
        Err(why) => SOCKET
            .problem(why.clone())
            .cause("another user could answer in the database's place")
            .cure(format!("`ls -ld {}`", crate::cure::path(facts.socket.parent().unwrap_or(&facts.socket)))),
        Ok(()) => SOCKET.ok(format!("{path} ({length} bytes)")),
    }
}

fn reachable(facts: &Facts) -> Check {
    match &facts.connection {
        Err(why) => REACHABLE.not_checked(why.clone()),
        Ok(Err(told)) => told.check(&REACHABLE),
        Ok(Ok(text)) if !facts.lacks.is_empty() => REACHABLE
            .warning(format!("{text}, but its role lacks {}", facts.lacks.join(" and ")))
            .cause("Mathesar's screens for new databases and for roles need them")
            .cure(format!("on your server: `ALTER ROLE … {}`", facts.lacks.join(" "))),
        Ok(Ok(text)) => REACHABLE.ok(text.clone()),
    }
}

fn collations(facts: &Facts) -> Check {
    match &facts.collations {
        Err(why) => COLLATIONS.not_checked(why.clone()),
        Ok(all) if all.is_empty() => COLLATIONS.ok("as when the data were written"),
        Ok(all) => {
            let shown =
                all.iter().map(|one| format!("{}: was {}, is {}", one.database, one.recorded, one.actual));
            let check = COLLATIONS
                .problem(shown.collect::<Vec<_>>().join("\n"))
                .cause("an upgrade of the system has changed how text is sorted, so indexes may miss rows");
            all.iter().fold(check, |check, one| {
                let name = database::identifier(&one.database);
                check.cure(format!(
                    "`mathesar db shell`, there: `\\c {name}`, `REINDEX DATABASE {name};`, `ALTER DATABASE {name} REFRESH COLLATION VERSION;`"
                ))
            })
        }
    }
}

fn migrated(facts: &Facts) -> Check {
    match &facts.migrations {
        Err(why) => MIGRATIONS.not_checked(why.clone()),
        Ok(Ok(pending)) if pending.is_empty() => MIGRATIONS.ok("none is pending"),
        Ok(Ok(pending)) => MIGRATIONS
            .problem(format!("{} pending: {}", pending.len(), pending.join(", ")))
            .cause("Mathesar's tables are older than the installed release")
            .cure("`mathesar restart`; without starting it: `mathesar migrate`"),
        Ok(Err(said)) => MIGRATIONS
            .problem("Mathesar itself cannot tell")
            .cause(said.clone())
            .cure("what it says in full: `mathesar logs`"),
    }
}

fn connections(facts: &Facts) -> Check {
    let workers = i64::from(facts.workers);
    let max = match &facts.max_connections {
        Ok(max) => *max,
        Err(why) => return CONNECTIONS.not_checked(why.clone()),
    };
    // One of its own and one or two to user databases a worker; the launcher, copies and people need some too.
    let text = format!("{max} for {workers} worker{}", if workers == 1 { "" } else { "s" });
    let enough = format!(
        "`mathesar config set database.max-connections {}`, then `mathesar restart`",
        workers * 4 + 20
    );
    let fewer = "or fewer workers: `mathesar config set server.workers auto`";
    let raise = if facts.external { "raise `max_connections` on your server".to_owned() } else { enough };
    match () {
        () if max < workers + 5 => CONNECTIONS.problem(format!("{text} are too few")).cure(raise).cure(fewer),
        () if max < workers * 3 + 10 => {
            CONNECTIONS.warning(format!("{text} are few")).cure(raise).cure(fewer)
        }
        () => CONNECTIONS.ok(text),
    }
}
