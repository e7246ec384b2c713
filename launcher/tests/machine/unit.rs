//! The service as administrators meet it, from its first start to the machine's reboot.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::machine::{Machine, Ran, until};
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

    // What comes now is waited for.
    drop_in(machine, "50-test", "RestartSec=1s");
    killed(machine);
    stopped(machine);
    refusals_are_final(machine);
    hung(machine);
    instance(machine);
    assert_eq!(debians_cluster(machine), others, "Debian's own cluster is another now");
    rebooted(machine);
    package_removed(machine);
}

/// Says after a failure what the services said.
struct Journal<'a>(&'a Machine);

impl Drop for Journal<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let script = "journalctl --no-pager -o short-monotonic -u 'mathesar*' -n 120; systemctl --failed";
            println!("{}", self.0.try_sh(script).told());
        }
    }
}

fn property(machine: &Machine, unit: &str, name: &str) -> String {
    machine.sh(&format!("systemctl show --value -p {name} {unit}"))
}

fn main_pid(machine: &Machine, unit: &str) -> u32 {
    property(machine, unit, "MainPID").parse().unwrap()
}

fn drop_in(machine: &Machine, name: &str, settings: &str) {
    let path = format!("/etc/systemd/system/mathesar.service.d/{name}.conf");
    machine.write(&path, &format!("[Service]\n{settings}\n"));
    machine.sh("systemctl daemon-reload");
}

fn remove_drop_in(machine: &Machine, name: &str) {
    machine.sh(&format!("rm /etc/systemd/system/mathesar.service.d/{name}.conf; systemctl daemon-reload"));
}

/// The status and the body of a page; `000` where nobody answers.
fn page(machine: &Machine, port: u16, path: &str) -> (String, String) {
    let url = format!("http://127.0.0.1:{port}{path}");
    let ran =
        machine.run(&["curl", "-s", "-m", "20", "-w", "\n%{http_code}", "-H", "Host: localhost", &url], "");
    let (body, code) = ran.out.rsplit_once('\n').unwrap_or(("", &ran.out));
    (code.to_owned(), body.to_owned())
}

fn answers(machine: &Machine, port: u16, when: &str) {
    let (code, body) = page(machine, port, "/auth/login/");
    assert_eq!(code, "200", "/auth/login/ on port {port} {when}: {body}");
}

/// Active, with another main process than before.
fn comes_back(machine: &Machine, unit: &str, former: u32, after: &str) {
    let back = until(|| {
        let active = property(machine, unit, "ActiveState") == "active";
        (active && ![0, former].contains(&main_pid(machine, unit))).then_some(())
    });
    let seen = machine.try_sh(&format!("systemctl show -p ActiveState,SubState,MainPID,NRestarts {unit}"));
    assert!(
        back.is_some(),
        "{unit} did not come back {after}, former main process {former}: {}",
        seen.told()
    );
}

/// Every process of the unit, with the time it began: numbers are used again.
fn processes(machine: &Machine, unit: &str) -> Vec<String> {
    let group = property(machine, unit, "ControlGroup");
    let script = format!(
        "for pid in $(find /sys/fs/cgroup'{group}' -name cgroup.procs -exec cat {{}} +); do \
         echo \"$pid $(ps -o lstart=,comm= -p $pid)\"; done"
    );
    machine.sh(&script).lines().map(str::to_owned).collect()
}

fn still_there(machine: &Machine, former: &[String]) -> Vec<String> {
    let now = machine.sh("ps -eo pid=,lstart=,comm= | awk '{$1=$1}1'");
    let now: Vec<&str> = now.lines().collect();
    let same = |line: &&String| now.contains(&line.split_whitespace().collect::<Vec<_>>().join(" ").as_str());
    former.iter().filter(same).cloned().collect()
}

/// psql in a private cluster, as an OS user and a role of it.
fn psql(machine: &Machine, user: &str, socket: &str, role: &str, sql: &str) -> Ran {
    machine.sh_as(user, &format!("psql -XAtq -h {socket} -U {role} -d mathesar_django -c \"{sql}\" 2>&1"))
}

/// What of Debian's `main` cluster must stay: its server process, its files in /etc, its databases and roles.
fn debians_cluster(machine: &Machine) -> String {
    machine.sh(
        "pg_lsclusters --no-header
         runuser -u postgres -- psql -XAtqc 'SELECT pg_postmaster_start_time(), system_identifier FROM pg_control_system()'
         runuser -u postgres -- psql -XAtqc 'SELECT datname FROM pg_database UNION ALL SELECT rolname FROM pg_roles'
         find /etc/postgresql /etc/postgresql-common -type f -exec sha256sum {} + | sort",
    )
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
    for unit in ["mathesar.service", "mathesar@two.service"] {
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

fn status(machine: &Machine, options: &str) -> Value {
    serde_json::from_str(&machine.sh(&format!("mathesar {options} status --json"))).unwrap()
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
    let stranger = machine.sh_as("nobody", "mathesar --system status");
    assert_ne!(stranger.code, Some(0), "nobody asks for the status: {}", stranger.told());
    machine.sh("mathesar stop");
    assert_eq!(property(machine, "mathesar", "ActiveState"), "inactive", "after `mathesar stop`");
    machine.sh("mathesar start");
    assert_eq!(property(machine, "mathesar", "ActiveState"), "active", "after `mathesar start`");
    assert_eq!(status(machine, "")["pid"], main_pid(machine, "mathesar"));
}

fn killed(machine: &Machine) {
    let former = main_pid(machine, "mathesar");
    let all = processes(machine, "mathesar");
    assert!(all.iter().any(|line| line.ends_with("postgres")), "no PostgreSQL among {all:?}");
    machine.sh(&format!("kill -KILL {former}"));
    comes_back(machine, "mathesar", former, "after SIGKILL");
    assert_eq!(still_there(machine, &all), Vec::<String>::new(), "left over by SIGKILL");
    assert_eq!(property(machine, "mathesar", "NRestarts"), "1", "restarts by systemd");
    answers(machine, 8000, "after SIGKILL");
}

const CONTROL_DATA: &str = "runuser -u mathesar -- /usr/lib/postgresql/15/bin/pg_controldata";

fn stopped(machine: &Machine) {
    let all = processes(machine, "mathesar");
    machine.sh("systemctl stop mathesar");
    assert_eq!(property(machine, "mathesar", "ActiveState"), "inactive");
    assert_eq!(property(machine, "mathesar", "Result"), "success");
    assert_eq!(still_there(machine, &all), Vec::<String>::new(), "left over by `systemctl stop`");
    let state = machine.sh(&format!("{CONTROL_DATA} {} | grep 'cluster state'", cluster(machine)));
    assert!(state.ends_with(" shut down"), "PostgreSQL after `systemctl stop`: {state}");
    assert_eq!(page(machine, 8000, "/auth/login/").0, "000", "somebody answers after `systemctl stop`");
    machine.sh("systemctl start mathesar");
    answers(machine, 8000, "after stop and start");
}

/// The data directory of the default installation's cluster.
fn cluster(machine: &Machine) -> String {
    let found =
        machine.sh("find /var/lib/mathesar/database -name PG_VERSION -not -path '*/base/*' -printf '%h\\n'");
    assert_eq!(found.lines().count(), 1, "data directories: {found}");
    found
}

/// 2 and 4 want a person; everything else is tried again.
fn refusals_are_final(machine: &Machine) {
    machine.sh("systemctl stop mathesar");
    // One that is to be started again would be `activating` from its end on.
    let ended = |code: &str| {
        machine.sh("systemctl reset-failed mathesar");
        machine.try_sh("systemctl start mathesar");
        assert_eq!(property(machine, "mathesar", "ExecMainStatus"), code, "the exit code");
        let [state, restarts] = ["ActiveState", "NRestarts"].map(|name| property(machine, "mathesar", name));
        assert_eq!((state.as_str(), restarts.as_str()), ("failed", "0"), "after exit code {code}");
    };
    machine.write("/etc/mathesar/conf.d/50-wrong.conf", "[server]\nnonsense = 1\n");
    ended("4");
    machine.sh("rm /etc/mathesar/conf.d/50-wrong.conf");
    drop_in(machine, "60-exec", "ExecStart=\nExecStart=/usr/bin/mathesar run --no-such-option");
    ended("2");
    drop_in(machine, "60-exec", "ExecStart=\nExecStart=/bin/sh -c 'exit 1'");
    machine.sh("systemctl reset-failed mathesar; systemctl start --no-block mathesar");
    let again = until(|| (property(machine, "mathesar", "NRestarts") != "0").then_some(()));
    assert!(again.is_some(), "a failure that may pass is not tried again");
    remove_drop_in(machine, "60-exec");
    machine.sh("systemctl stop mathesar; systemctl reset-failed mathesar; systemctl start mathesar");
    answers(machine, 8000, "after the settings were put right");
}

/// systemd notices a launcher that does nothing any more.
fn hung(machine: &Machine) {
    drop_in(machine, "60-watchdog", "WatchdogSec=5s");
    machine.sh("systemctl restart mathesar");
    let former = main_pid(machine, "mathesar");
    let all = processes(machine, "mathesar");
    // While it works it is left alone.
    machine.sh("sleep 6");
    assert_eq!(main_pid(machine, "mathesar"), former, "the watchdog ended one that works");
    machine.sh(&format!("kill -STOP {former}"));
    comes_back(machine, "mathesar", former, "after SIGSTOP");
    let told = machine.sh("journalctl --no-pager -u mathesar | grep -c 'Watchdog timeout' || :");
    assert_ne!(told, "0", "it came back, but not by the watchdog");
    assert_eq!(still_there(machine, &all), Vec::<String>::new(), "left over by the watchdog");
    answers(machine, 8000, "after the watchdog");
    remove_drop_in(machine, "60-watchdog");
    machine.sh("systemctl restart mathesar");
}

/// A second installation runs beside the first, and each without the other.
fn instance(machine: &Machine) {
    // As docs/deb.md says.
    for setting in ["server.listen 127.0.0.1:8001", "server.workers 1", "network.offline true"] {
        machine.sh(&format!("mathesar --instance two config set {setting}"));
    }
    // A first start that takes longer than systemd waits for a silent one: the launcher asks for more.
    let impatient = "/etc/systemd/system/mathesar@.service.d/50-test.conf";
    machine.write(impatient, "[Service]\nTimeoutStartSec=2s\n");
    machine.sh("systemctl daemon-reload");
    let started = machine.try_sh("systemctl enable --now mathesar@two");
    assert_eq!(started.code, Some(0), "systemctl enable --now mathesar@two: {}", started.told());
    let moment = |name: &str| property(machine, "mathesar@two", name).parse::<u64>().unwrap();
    let took = moment("ActiveEnterTimestampMonotonic") - moment("InactiveExitTimestampMonotonic");
    println!("TimeoutStartSec=2s, and the instance's first start took {:.1} s", took as f64 / 1e6);
    machine.sh(&format!("rm {impatient}; systemctl daemon-reload"));
    answers(machine, 8001, "of the instance");
    answers(machine, 8000, "beside the instance");

    // The unit's folders are those that a person's commands mean.
    let environment = "tr '\\0' '\\n' </proc/$(systemctl show --value -p MainPID mathesar@two)/environ";
    let folders = machine.sh(&format!("{environment} | grep _DIRECTORY= | sort"));
    let layout = machine.sh("mathesar --system --instance two layout");
    let expected = "CACHE_DIRECTORY=/var/cache/mathesar/two\nCONFIGURATION_DIRECTORY=/etc/mathesar/two\n\
                    RUNTIME_DIRECTORY=/run/mathesar/two\nSTATE_DIRECTORY=/var/lib/mathesar/two";
    assert_eq!(folders, expected);
    for folder in expected.lines().filter_map(|line| line.split_once('=')) {
        assert!(layout.split_whitespace().any(|word| word == folder.1), "{} is not in\n{layout}", folder.1);
    }
    let mode = machine.sh("stat -c '%U:%G %a' /etc/mathesar/two /var/lib/mathesar/two");
    assert_eq!(mode, "root:root 755\nmathesar:mathesar 750", "settings and state of the instance");
    assert_eq!(status(machine, "--instance two")["pid"], main_pid(machine, "mathesar@two"));
    let clusters = "SELECT system_identifier FROM pg_control_system()";
    let one = psql(machine, "mathesar", "/run/mathesar", "mathesar", clusters);
    let two = psql(machine, "mathesar", "/run/mathesar/two", "mathesar", clusters);
    assert!(one.code == Some(0) && two.code == Some(0) && one.out != two.out, "clusters {one:?} and {two:?}");

    // The folder of the first one's sockets holds those of the second.
    machine.sh("systemctl stop mathesar");
    answers(machine, 8001, "after the first one stopped");
    let two = psql(machine, "mathesar", "/run/mathesar/two", "mathesar", "SELECT 1");
    assert_eq!(two.out, "1", "the instance's cluster after the first one stopped: {}", two.told());
    machine.sh("systemctl start mathesar");
    machine.sh("systemctl stop mathesar@two");
    answers(machine, 8000, "after the instance stopped");
    machine.sh("systemctl start mathesar@two");
    answers(machine, 8001, "after both were stopped once");
}

/// Nobody but the package knows all instances.
fn package_removed(machine: &Machine) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("packaging/deb/prerm");
    machine.write("/tmp/prerm", &fs::read_to_string(script).unwrap());
    machine.sh("sh /tmp/prerm upgrade");
    assert_eq!(property(machine, "mathesar@two", "ActiveState"), "active", "while the package is upgraded");
    machine.sh("sh /tmp/prerm remove");
    assert_eq!(property(machine, "mathesar@two", "ActiveState"), "inactive", "when the package is removed");
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
