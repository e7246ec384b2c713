//! Python, database, web, processes, machine: sound facts, and how each is broken.

use std::collections::BTreeMap;

use super::{Broken, NOT_CHECKED, PROBLEM, WARNING, break_each};
use crate::app::environment::State;
use crate::app::packages::{Damage, Damaged};
use crate::database::CollationMismatch;
use crate::doctor::database::{Data, Told};
use crate::doctor::{NOT_RUNNING, database, machine, others, python, service, web};

const GB: u64 = 1_000_000_000;

pub fn python() -> Vec<Broken> {
    let good = python::Facts {
        supported: ((3, 10), (3, 13)),
        interpreter: Ok(python::Interpreter {
            path: "/v/bin/python".into(),
            version: (3, 11, 2),
            cairo: true,
            venv: true,
        }),
        fetched: false,
        environment: Ok(State::Ready),
        requirements: true,
        cairosvg: Ok(Ok(())),
        packages: Ok(Ok(())),
        damaged: Ok(Damaged::default()),
        uv: Some("uv 0.13.9".into()),
        bad_uv: None,
        offline: false,
        libc: Some("glibc 2.36".into()),
    };
    break_each(
        &good,
        python::checks,
        &[
            ("python", "Python 3.9", PROBLEM, |f| f.interpreter.as_mut().unwrap().version = (3, 9, 1)),
            ("python", "none at all", PROBLEM, |f| f.interpreter = Err("found no Python".into())),
            ("environment", "a distribution's upgrade", PROBLEM, |f| {
                f.environment = Ok(State::Stale("/usr/bin/python3.11 is gone".into()));
            }),
            ("environment", "venv removed", PROBLEM, |f| f.environment = Ok(State::Missing)),
            ("environment", "before the first start", NOT_CHECKED, |f| f.environment = Err("nothing".into())),
            ("libcairo", "libcairo2 removed", PROBLEM, |f| {
                f.cairosvg = Ok(Err("OSError: cannot load library".into()));
                f.interpreter.as_mut().unwrap().cairo = false;
            }),
            ("libcairo", "cairosvg broken", PROBLEM, |f| f.cairosvg = Ok(Err("ModuleNotFoundError".into()))),
            ("libcairo", "none, before the first start", PROBLEM, |f| {
                f.cairosvg = Err("nothing is installed".into());
                f.interpreter.as_mut().unwrap().cairo = false;
            }),
            ("packages", "Django removed", PROBLEM, |f| {
                f.packages = Ok(Err("No module named 'django'".into()))
            }),
            ("packages", "files of Django removed", PROBLEM, |f| {
                let missing = ["django/core/__init__.py".to_owned()].into();
                f.damaged =
                    Ok(Damaged([("Django".to_owned(), Damage { missing, ..Damage::default() })].into()));
            }),
            ("installer", "python.uv names nothing", PROBLEM, |f| f.bad_uv = Some("/x/uv".into())),
            ("installer", "neither uv nor venv, offline", PROBLEM, |f| {
                (f.uv, f.offline) = (None, true);
                f.interpreter.as_mut().unwrap().venv = false;
            }),
            ("glibc", "2.31", WARNING, |f| f.libc = Some("glibc 2.31".into())),
            ("glibc", "2.17", PROBLEM, |f| f.libc = Some("glibc 2.17".into())),
            ("glibc", "musl", PROBLEM, |f| f.libc = Some("musl 1.2".into())),
        ],
    )
}

pub fn database() -> Vec<Broken> {
    fn told(message: &str) -> Told {
        Told { message: message.into(), cause: None, helps: vec!["`x`".into()] }
    }
    fn data(facts: &mut database::Facts) -> &mut Data {
        facts.data.as_mut().unwrap().as_mut().unwrap()
    }
    let good = database::Facts {
        external: false,
        programs: Ok(Some("15.18 in /usr/lib/postgresql/15/bin".into())),
        data: Ok(Some(Data {
            path: "/s/database/data".into(),
            major: 15,
            mode: 0o700,
            foreign: false,
            state: Ok("in production".into()),
            checksums: true,
            server_runs: true,
            unfinished: 0,
        })),
        socket: "/s/socket/.s.PGSQL.5432".into(),
        longest: 107,
        socket_folder: Ok(()),
        connection: Ok(Ok("PostgreSQL 15.18 answers".into())),
        role_maker: Ok(16),
        lacks: Vec::new(),
        collations: Ok(Vec::new()),
        migrations: Ok(Ok(Vec::new())),
        max_connections: Ok(100),
        workers: 5,
    };
    break_each(
        &good,
        database::checks,
        &[
            ("role-rights", "a server of 15", WARNING, |f| f.role_maker = Ok(15)),
            ("role-rights", "a server of yours, of 15", WARNING, |f| {
                (f.external, f.role_maker) = (true, Ok(15));
            }),
            ("postgresql", "the server of the major removed", PROBLEM, |f| {
                f.programs = Err(told("not installed"))
            }),
            ("postgresql", "no psql for an external server", WARNING, |f| {
                (f.external, f.programs) = (true, Ok(None))
            }),
            ("cluster", "PG_VERSION is no number", PROBLEM, |f| f.data = Err(told("cannot understand"))),
            ("cluster", "chown root", PROBLEM, |f| data(f).foreign = true),
            ("cluster", "chmod 755", PROBLEM, |f| data(f).mode = 0o755),
            ("cluster", "kill -9", WARNING, |f| data(f).server_runs = false),
            ("cluster", "no checksums", WARNING, |f| data(f).checksums = false),
            ("cluster", "a killed initdb", WARNING, |f| data(f).unfinished = 1),
            ("cluster", "an external server", NOT_CHECKED, |f| f.external = true),
            ("database-socket", "a path of 200 bytes", PROBLEM, |f| {
                f.socket = format!("/{}", "a".repeat(200)).into()
            }),
            ("database-socket", "a comma in it", PROBLEM, |f| f.socket = "/a,b/.s".into()),
            ("database-socket", "chmod 777", PROBLEM, |f| {
                f.socket_folder = Err("can be written by others".into())
            }),
            ("database", "a wrong password", PROBLEM, |f| {
                f.connection = Ok(Err(told("refuses the password")))
            }),
            ("database", "a role without CREATEDB", WARNING, |f| f.lacks = vec!["CREATEDB"]),
            ("database", "stopped", NOT_CHECKED, |f| f.connection = Err(NOT_RUNNING.into())),
            ("collations", "another glibc", PROBLEM, |f| {
                let mismatch = |name: &str| CollationMismatch {
                    database: name.into(),
                    recorded: "2.31".into(),
                    actual: "2.36".into(),
                };
                f.collations = Ok(vec![mismatch("it's \"mine\"")]);
            }),
            ("collations", "stopped", NOT_CHECKED, |f| f.collations = Err(NOT_RUNNING.into())),
            ("migrations", "a newer release's", PROBLEM, |f| {
                f.migrations = Ok(Ok(vec!["mathesar.0002_x".into()]))
            }),
            ("migrations", "manage.py broken", PROBLEM, |f| f.migrations = Ok(Err("SyntaxError".into()))),
            ("connections", "50 workers, 20 connections", PROBLEM, |f| {
                (f.workers, f.max_connections) = (50, Ok(20))
            }),
            ("connections", "40 workers", WARNING, |f| f.workers = 40),
        ],
    )
}

pub fn web() -> Vec<Broken> {
    use web::Port;
    let good = web::Facts {
        listen: "127.0.0.1:8000".into(),
        address: Some("http://127.0.0.1:8000".into()),
        port: Port::Ours,
        hosts: vec!["db.example.org".into()],
        trusted: vec!["127.0.0.1".into()],
        public: Some("`server.hosts` allows db.example.org".into()),
        page: Ok(Ok(302)),
        admin: Ok(true),
        system: false,
    };
    break_each(
        &good,
        web::checks,
        &[
            ("port", "another program's", PROBLEM, |f| f.port = Port::Taken(Some("`nginx` (pid 1)".into()))),
            ("port", "another user's", PROBLEM, |f| f.port = Port::Taken(None)),
            ("port", "80", PROBLEM, |f| f.port = Port::Denied),
            ("port", "192.0.2.1", PROBLEM, |f| f.port = Port::NotOfThisMachine),
            ("port", "a file where the socket is to be", PROBLEM, |f| {
                f.port = Port::Odd("another file".into())
            }),
            ("port", "changed since the start", WARNING, |f| f.port = Port::Free),
            ("page", "the database is away", PROBLEM, |f| f.page = Ok(Ok(500))),
            ("page", "a host name that is not allowed", PROBLEM, |f| f.page = Ok(Ok(400))),
            ("page", "another program answers", PROBLEM, |f| f.page = Ok(Ok(404))),
            ("page", "nobody answers", PROBLEM, |f| f.page = Ok(Err("timed out".into()))),
            ("page", "it is being prepared", WARNING, |f| f.page = Ok(Ok(503))),
            ("page", "stopped", NOT_CHECKED, |f| f.page = Err(NOT_RUNNING.into())),
            ("hosts", "0.0.0.0 without a name", PROBLEM, |f| {
                (f.hosts, f.listen) = (Vec::new(), "0.0.0.0:80".into());
            }),
            ("hosts", "a proxy without a name", PROBLEM, |f| (f.hosts, f.public) = (Vec::new(), None)),
            ("hosts", "a unix socket without a name", WARNING, |f| {
                (f.hosts, f.public, f.trusted) = (Vec::new(), None, Vec::new());
                f.listen = "unix:/run/m".into();
            }),
            ("hosts", "any name", WARNING, |f| f.hosts = vec!["*".into()]),
            ("trusted-proxies", "0.0.0.0/0", PROBLEM, |f| f.trusted = vec!["0.0.0.0/0".into()]),
            ("trusted-proxies", "0.0.0.0/1", WARNING, |f| f.trusted = vec!["0.0.0.0/1".into()]),
            ("trusted-proxies", "none before a name", WARNING, |f| f.trusted.clear()),
            ("administrator", "none, and public", PROBLEM, |f| f.admin = Ok(false)),
            ("administrator", "none, for the whole machine", WARNING, |f| {
                (f.admin, f.public, f.system) = (Ok(false), None, true);
            }),
            ("administrator", "stopped", NOT_CHECKED, |f| f.admin = Err(NOT_RUNNING.into())),
        ],
    )
}

pub fn service() -> Vec<Broken> {
    let properties = [
        ("LoadState", "loaded"),
        ("ActiveState", "active"),
        ("Result", "success"),
        ("NRestarts", "0"),
        ("UnitFileState", "enabled"),
        ("NeedDaemonReload", "no"),
    ];
    let properties =
        properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let good = service::Facts {
        state: "running".into(),
        message: None,
        services: BTreeMap::from([("gunicorn".to_owned(), "up".to_owned())]),
        pending: Vec::new(),
        running: true,
        busy: None,
        unit: Ok(service::Unit { name: "mathesar.service".into(), user: false, properties }),
        linger: Some(("ana".into(), true)),
        leftovers: Vec::new(),
        postmaster: None,
    };
    fn set(facts: &mut service::Facts, name: &str, value: &str) {
        facts.unit.as_mut().unwrap().properties.insert(name.into(), value.into());
    }
    break_each(
        &good,
        service::checks,
        &[
            ("running", "PostgreSQL is down", PROBLEM, |f| {
                f.state = "degraded".into();
                f.services.insert("postgresql".into(), "down".into());
            }),
            ("running", "the last run failed", PROBLEM, |f| (f.state, f.running) = ("failed".into(), false)),
            ("running", "the supervisor does not answer", PROBLEM, |f| f.state = "silent".into()),
            ("running", "it is just starting", WARNING, |f| f.state = "starting".into()),
            ("running", "an upgrade is at work", WARNING, |f| {
                (f.state, f.running, f.busy) =
                    ("stopped".into(), false, Some("`mathesar upgrade` (pid 1)".into()));
            }),
            ("restart-pending", "a setting changed", WARNING, |f| {
                f.pending.push("restart: server.hosts changed".into())
            }),
            ("restart-pending", "stopped", NOT_CHECKED, |f| f.running = false),
            ("unit", "a unit that cannot be loaded", PROBLEM, |f| set(f, "LoadState", "bad-setting")),
            ("unit", "the start limit", PROBLEM, |f| set(f, "Result", "start-limit-hit")),
            ("unit", "failed", PROBLEM, |f| set(f, "ActiveState", "failed")),
            ("unit", "restarted again and again", WARNING, |f| set(f, "NRestarts", "4")),
            ("unit", "changed on disk", WARNING, |f| set(f, "NeedDaemonReload", "yes")),
            ("unit", "not enabled", WARNING, |f| set(f, "UnitFileState", "disabled")),
            ("unit", "no systemd", NOT_CHECKED, |f| f.unit = Err("no systemd".into())),
            ("linger", "disable-linger", WARNING, |f| f.linger = Some(("ana".into(), false))),
            ("leftover-processes", "gunicorn after kill -9", PROBLEM, |f| {
                (f.running, f.leftovers) = (false, vec![7, 8])
            }),
            ("leftover-processes", "PostgreSQL after kill -9", PROBLEM, |f| {
                (f.running, f.postmaster) = (false, Some(9))
            }),
            ("leftover-processes", "another command at work", NOT_CHECKED, |f| {
                (f.running, f.busy) = (false, Some("`mathesar setup` (pid 1)".into()));
            }),
        ],
    )
}

pub fn others() -> Vec<Broken> {
    use others::{Kind, Process};
    let good = others::Facts { processes: vec![Process { pid: 1, kind: Kind::Launcher }], files: Vec::new() };
    break_each(
        &good,
        others::checks,
        &[
            ("other-mathesar", "upstream's gunicorn", WARNING, |f| {
                f.processes.push(Process { pid: 2, kind: Kind::Gunicorn });
            }),
            ("other-mathesar", "Docker", WARNING, |f| {
                f.processes.push(Process { pid: 3, kind: Kind::Container })
            }),
            ("other-mathesar", "/etc/mathesar/docker-compose.yml", WARNING, |f| {
                f.files.push("/etc/mathesar/docker-compose.yml".into());
            }),
        ],
    )
}

pub fn machine() -> Vec<Broken> {
    let good = machine::Facts {
        memory: 4 * GB,
        workers: 5,
        shared_buffers: 128_000_000,
        shared: Some((2 * GB, 2 * GB, true)),
        linux: true,
        overcommit: Some((0, 4 * GB, GB)),
        open_files: Some(1024),
        denials: Ok(Vec::new()),
    };
    break_each(
        &good,
        machine::checks,
        &[
            ("memory", "100 workers", PROBLEM, |f| f.workers = 100),
            ("memory", "shared buffers of nearly everything", WARNING, |f| {
                f.shared_buffers = 3 * GB - GB / 10
            }),
            ("shared-memory", "none", PROBLEM, |f| f.shared = None),
            ("shared-memory", "mounted read-only", PROBLEM, |f| f.shared = Some((GB, GB, false))),
            ("shared-memory", "full", PROBLEM, |f| f.shared = Some((GB, 1000, true))),
            ("shared-memory", "32 MB", WARNING, |f| f.shared = Some((32_000_000, 32_000_000, true))),
            ("overcommit", "vm.overcommit_memory=1", WARNING, |f| f.overcommit = Some((1, GB, GB))),
            ("overcommit", "strict and exhausted", PROBLEM, |f| f.overcommit = Some((2, GB, GB))),
            ("overcommit", "no /proc", NOT_CHECKED, |f| f.overcommit = None),
            ("open-files", "ulimit -n 100", PROBLEM, |f| f.open_files = Some(100)),
            ("open-files", "ulimit -n 512", WARNING, |f| f.open_files = Some(512)),
            ("denials", "an AppArmor denial", WARNING, |f| {
                f.denials = Ok(vec!["apparmor=\"DENIED\" comm=\"postgres\"".into()]);
            }),
            ("denials", "nobody may read it", NOT_CHECKED, |f| f.denials = Err("only root".into())),
        ],
    )
}

#[test]
fn only_denials_of_ours_count() {
    let lines = [
        "audit: apparmor=\"DENIED\" operation=\"open\" profile=\"snap.firefox\" comm=\"firefox\"",
        "audit: apparmor=\"DENIED\" operation=\"open\" name=\"/var/lib/mathesar/x\" comm=\"cat\"",
        "avc:  denied  { read } for pid=1 comm=\"python3.11\" name=\"x\"",
    ];
    let lines: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    assert_eq!(machine::about_us(&lines), lines[1..]);
}
