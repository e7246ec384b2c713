//! The service as administrators meet it, from its first start to the machine's reboot.

use serde_json::{Value, json};

use super::backup::{backups, backups_of_the_instance};
use super::faults::{hung, killed, refusals_are_final, stopped};
use super::instance::{instance, package_removed};
use super::machine::{Machine, until};
use super::service::{
    Journal, answers, comes_back, debians_cluster, drop_in, main_pid, processes, property, psql, status,
    still_there,
};
use super::site;

const SECURITY_LIMIT: f64 = 1.5;

/// One machine and one life of it: each part goes on where the one before has stopped.
#[test]
fn the_units_do_what_they_promise_under_a_real_systemd() {
    let site = match site::installed() {
        Ok(site) => site,
        Err(why) => return println!("not run: {why}"),
    };
    let machine = &site.machine;
    let _journal = Journal(machine);
    let others = debians_cluster(machine);

    first_start(machine);
    settings_that_count(machine);
    sandbox(machine);
    queries_compile(machine);
    strangers_stay_outside(machine);
    restart(machine);
    new_settings(machine);
    commands(machine);
    backups(machine);

    // What comes now is waited for.
    drop_in(machine, "50-test", "RestartSec=1s");
    killed(machine);
    stopped(machine);
    refusals_are_final(machine);
    hung(machine);
    instance(machine);
    assert_eq!(debians_cluster(machine), others, "Debian's own cluster is another now");
    rebooted(machine);
    backups_of_the_instance(machine);
    package_removed(machine);
}

fn first_start(machine: &Machine) {
    machine.write("/etc/mathesar/conf.d/10-test.conf", "[server]\nworkers = 1\n[network]\noffline = true\n");
    let verified = machine.try_sh("systemd-analyze verify --man=no mathesar.service mathesar@two.service");
    assert!(
        verified.code == Some(0) && verified.err.is_empty(),
        "systemd-analyze verify: {}",
        verified.told()
    );

    // Every answer that anybody can get while the first start goes on.
    machine.sh(
        "(while [ ! -e /tmp/enough ]; do
            curl -s -m 5 -o /dev/null -w '%{http_code}\\n' -H 'Host: localhost' http://127.0.0.1:8000/auth/login/ \
                >>/tmp/answers || :
            sleep 0.1; done) >/dev/null 2>&1 &",
    );
    let started = machine.try_sh("systemctl enable --now mathesar");
    assert_eq!(started.code, Some(0), "systemctl enable --now mathesar: {}", started.told());
    answers(machine, 8000, "after the first start");
    until(|| machine.try_sh("grep 200 /tmp/answers").code.filter(|code| *code == 0));
    machine.sh("touch /tmp/enough");
    let seen = machine.sh("sort /tmp/answers | uniq -c");
    // 302 would lead a visitor to the page that makes the first administrator.
    let expected = |line: &str| ["000", "503", "200"].iter().any(|code| line.ends_with(code));
    assert!(
        seen.contains("200") && seen.lines().all(expected),
        "a visitor during the first start could see:\n{seen}"
    );
    println!("answers during the first start:\n{seen}");
    let secrets = machine.sh("ls /var/lib/mathesar/secrets");
    println!("secrets: {}", secrets.replace('\n', " "));
}

fn settings_that_count(machine: &Machine) {
    let wanted = [
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        ("KillMode", "mixed"),
        ("OOMPolicy", "continue"),
        ("TimeoutStopUSec", "5min"),
        ("TimeoutStartUSec", "5min"),
        ("WatchdogUSec", "1min"),
        ("Restart", "on-failure"),
        ("RestartPreventExitStatus", "2 4"),
        ("RestartUSec", "15s"),
        ("LimitCORE", "0"),
        ("User", "mathesar"),
        ("StateDirectory", "mathesar"),
        ("CacheDirectory", "mathesar"),
        ("RuntimeDirectory", "mathesar"),
        ("NRestarts", "0"),
        ("UnitFileState", "enabled"),
    ];
    for (name, value) in wanted {
        assert_eq!(property(machine, "mathesar", name), value, "{name}");
    }
    let modes = machine.sh("stat -c '%n %U:%G %a' /var/lib/mathesar /var/cache/mathesar /run/mathesar");
    let private = |line: &str| line.ends_with(" mathesar:mathesar 750");
    assert!(modes.lines().all(private), "folders of the service:\n{modes}");
}

fn sandbox(machine: &Machine) {
    for unit in ["mathesar.service", "mathesar@two.service", "mathesar-backup.service"] {
        // A unit that is no file of its own is known while it is loaded, so the instance is read from its template.
        let script = format!("systemd-analyze security --no-pager {unit} | grep 'Overall exposure'");
        let seen = machine.sh(&script);
        let score = seen.split_whitespace().find_map(|word| word.parse::<f64>().ok());
        assert!(score.is_some_and(|score| score <= SECURITY_LIMIT), "{seen}");
        println!("{unit}: {}", seen.trim());
    }
    // Under the sandbox, not beside it.
    let mounts = machine.sh("grep ' / / ' /proc/$(systemctl show --value -p MainPID mathesar)/mountinfo");
    assert!(mounts.split(' ').nth(5).is_some_and(|options| options.starts_with("ro")), "root: {mounts}");
    let status = machine.sh("cat /proc/$(systemctl show --value -p MainPID mathesar)/status");
    for line in ["NoNewPrivs:\t1", "CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "Seccomp:\t2"] {
        assert!(status.contains(line), "no `{line}` in\n{status}");
    }
}

/// Functions that PostgreSQL compiled need memory that is writable and executable.
fn queries_compile(machine: &Machine) {
    let sql = "SET jit = on; SET jit_above_cost = 0; SET jit_inline_above_cost = 0; SET jit_optimize_above_cost = 0; \
               EXPLAIN (ANALYZE) SELECT sum(x * 2 + 1) FROM generate_series(1, 1000) x WHERE x % 3 = 0";
    let plan = psql(machine, "mathesar", "/run/mathesar", "mathesar", sql);
    let functions = plan.out.split_once("JIT:").and_then(|(_, rest)| {
        rest.split_whitespace().skip_while(|word| *word != "Functions:").nth(1)?.parse::<u32>().ok()
    });
    assert!(functions.is_some_and(|functions| functions > 0), "nothing was compiled:\n{}", plan.told());
    println!("JIT: {} functions", functions.unwrap_or_default());
}

fn strangers_stay_outside(machine: &Machine) {
    for user in ["nobody", "postgres"] {
        let ran = psql(machine, user, "/run/mathesar", "mathesar", "SELECT 1");
        let refused = ran.code != Some(0) && ran.out.contains("Permission denied");
        assert!(refused, "{user} at the private cluster: {}", ran.told());
        let ran = machine.sh_as(user, "cat /var/lib/mathesar/secrets/* 2>&1");
        assert!(ran.out.contains("Permission denied"), "{user} at the secrets: {}", ran.told());
    }
    let modes = machine.sh("find /var/lib/mathesar/secrets -printf '%m %u %p\\n'");
    let private = |line: &str| line.starts_with("600 mathesar ") || line.starts_with("700 mathesar ");
    assert!(modes.lines().count() > 1 && modes.lines().all(private), "secrets:\n{modes}");
    // The settings may come to hold a password.
    let modes = machine.sh("stat -c '%U:%G %a' /etc/mathesar/mathesar.conf");
    assert_eq!(modes, "root:mathesar 640");
}

fn restart(machine: &Machine) {
    let former = main_pid(machine, "mathesar");
    let all = processes(machine, "mathesar");
    machine.sh("systemctl restart mathesar");
    assert_ne!(main_pid(machine, "mathesar"), former);
    assert_eq!(still_there(machine, &all), Vec::<String>::new(), "left over by `systemctl restart`");
    answers(machine, 8000, "after `systemctl restart`");
}

/// New settings for the web server need no new launcher, deeper ones get one from systemd, wrong ones change nothing.
fn new_settings(machine: &Machine) {
    let settings = |text: &str| machine.write("/etc/mathesar/conf.d/20-test.conf", text);
    let former = main_pid(machine, "mathesar");
    settings("[server]\nworkers = 2\n");
    machine.sh("mathesar restart");
    let status = status(machine, "");
    assert_eq!(
        (&status["workers"], &status["pid"]),
        (&json!(2), &json!(former)),
        "another web server: {status}"
    );

    settings("[server]\nworkers = 0\n");
    let refused = machine.try_sh("mathesar restart");
    assert!(refused.code != Some(0) && refused.err.contains("workers = 0"), "{}", refused.told());
    machine.sh(&format!("kill -HUP {former}"));
    let journal = || machine.sh("journalctl --no-pager -u mathesar -o cat");
    let told = until(|| journal().contains("workers = 0").then_some(()));
    assert!(told.is_some(), "after SIGHUP, settings that are wrong are told nowhere");
    assert_eq!(main_pid(machine, "mathesar"), former, "after settings that are wrong");
    answers(machine, 8000, "after settings that are wrong");

    settings("[database]\nmax-connections = 50\n");
    machine.sh("mathesar restart");
    assert_ne!(main_pid(machine, "mathesar"), former, "the database's settings take a restart of everything");
    let connections = psql(machine, "mathesar", "/run/mathesar", "mathesar", "SHOW max_connections");
    assert_eq!(connections.out, "50", "{}", connections.told());
    machine.sh("rm /etc/mathesar/conf.d/20-test.conf; systemctl restart mathesar");
}

/// What an administrator types reaches the service, and through systemd.
fn commands(machine: &Machine) {
    let seen = status(machine, "");
    assert_eq!((&seen["state"], &seen["version"]), (&json!("running"), &json!("1.0.0")), "{seen}");
    assert_eq!(seen["pid"], main_pid(machine, "mathesar"), "{seen}");
    // Root and the service's user outside of the unit see its server too, which lives in a user namespace of its own.
    let database: Value = serde_json::from_str(&machine.sh("mathesar db status --json")).unwrap();
    assert_eq!(
        (&database["state"], &database["run_by"]),
        (&json!("running"), &json!("mathesar")),
        "{database}"
    );
    assert_eq!(machine.sh("mathesar db shell -- -XAtqc 'SELECT 1 + 1'"), "2");
    let stranger = machine.sh_as("nobody", "mathesar --system status");
    assert_ne!(stranger.code, Some(0), "nobody asks for the status: {}", stranger.told());
    machine.sh("mathesar stop");
    assert_eq!(property(machine, "mathesar", "ActiveState"), "inactive", "after `mathesar stop`");
    machine.sh("mathesar start");
    assert_eq!(property(machine, "mathesar", "ActiveState"), "active", "after `mathesar start`");
    assert_eq!(status(machine, "")["pid"], main_pid(machine, "mathesar"));
    assert_eq!(status(machine, "")["autostart"], true);
    for (command, told) in [
        ("autostart off", "sudo systemctl disable mathesar.service"),
        ("uninstall --purge --yes", "sudo apt remove mathesar"),
    ] {
        let ran = machine.try_sh(&format!("mathesar {command}"));
        assert!(ran.code == Some(4) && ran.err.contains(told), "mathesar {command}: {}", ran.told());
    }
    log(machine);
    refusal(machine);
}

/// The journal's, whole and by who has spoken.
fn log(machine: &Machine) {
    let whole = machine.sh("mathesar logs -n all");
    for said in ["mathesar[", "launcher: running at", "postgresql: ", "gunicorn: ", "systemd[1]: "] {
        assert!(whole.contains(said), "{said} is not in\n{whole}");
    }
    assert_eq!(machine.sh("mathesar logs -n 7").lines().count(), 7);
    let database = machine.sh("mathesar logs -n 3 --source postgresql --since 1h");
    assert_eq!(database.lines().count(), 3, "{database}");
    assert!(database.lines().all(|line| line.contains("]: postgresql: ")), "{database}");
    // As journalctl does it.
    let none = machine.try_sh("mathesar logs --source postgresql --since 2099-01-01");
    assert!(none.out.is_empty() && none.err.contains("No entries"), "{}", none.told());
    // What comes, from where it began on: each line once.
    machine.sh("mathesar logs -f -n 1 --source gunicorn >/tmp/followed & follower=$!
         sleep 2; mathesar restart; sleep 2; kill $follower; wait $follower || :");
    let followed = machine.sh("cat /tmp/followed");
    let whole = machine.sh("mathesar logs -n all --source gunicorn | sed 's/^[^ ]* //'");
    let plain: Vec<&str> =
        followed.lines().filter_map(|line| line.split_once(' ').map(|line| line.1)).collect();
    assert!(plain.len() > 1 && whole.ends_with(&plain.join("\n")), "{followed}\n---\n{whole}");
}

/// What is wrong is told by the command that was typed, in the service's own words.
fn refusal(machine: &Machine) {
    machine.sh("mathesar stop");
    machine.write("/etc/mathesar/conf.d/50-wrong.conf", "[server]\nnonsense = 1\n");
    let started = machine.try_sh("mathesar start");
    assert!(started.code == Some(4) && started.err.contains("50-wrong.conf:2"), "{}", started.told());
    machine.sh("rm /etc/mathesar/conf.d/50-wrong.conf; mathesar start");
    assert_eq!(property(machine, "mathesar", "ActiveState"), "active", "after the settings were put right");
}

fn rebooted(machine: &Machine) {
    let boot = machine
        .sh("systemctl show --value -p UserspaceTimestampMonotonic; cat /proc/1/stat | cut -d' ' -f22");
    machine.reboot();
    let now = machine
        .sh("systemctl show --value -p UserspaceTimestampMonotonic; cat /proc/1/stat | cut -d' ' -f22");
    assert_ne!(boot, now, "the machine did not boot again");
    for (unit, port) in [("mathesar", 8000), ("mathesar@two", 8001)] {
        comes_back(machine, unit, 0, "after a reboot");
        answers(machine, port, "after a reboot");
    }
    let state = machine.sh("pg_lsclusters --no-header");
    assert!(state.contains(" 5432 online postgres "), "Debian's own cluster after a reboot: {state}");
}
