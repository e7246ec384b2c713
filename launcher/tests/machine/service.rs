//! A service in a machine, as systemctl, curl, psql and ps see it.

use serde_json::Value;

use super::machine::{Machine, Ran, until};

/// Says after a failure what the services said.
pub struct Journal<'a>(pub &'a Machine);

impl Drop for Journal<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let script = "journalctl --no-pager -o short-monotonic -u 'mathesar*' -n 120; systemctl --failed";
            println!("{}", self.0.try_sh(script).told());
        }
    }
}

pub fn property(machine: &Machine, unit: &str, name: &str) -> String {
    machine.sh(&format!("systemctl show --value -p {name} {unit}"))
}

pub fn main_pid(machine: &Machine, unit: &str) -> u32 {
    property(machine, unit, "MainPID").parse().unwrap()
}

pub fn drop_in(machine: &Machine, name: &str, settings: &str) {
    let path = format!("/etc/systemd/system/mathesar.service.d/{name}.conf");
    machine.write(&path, &format!("[Service]\n{settings}\n"));
    machine.sh("systemctl daemon-reload");
}

pub fn remove_drop_in(machine: &Machine, name: &str) {
    machine.sh(&format!("rm /etc/systemd/system/mathesar.service.d/{name}.conf; systemctl daemon-reload"));
}

/// The status and the body of a page; `000` where nobody answers.
pub fn page(machine: &Machine, port: u16, path: &str) -> (String, String) {
    let url = format!("http://127.0.0.1:{port}{path}");
    let ran =
        machine.run(&["curl", "-s", "-m", "20", "-w", "\n%{http_code}", "-H", "Host: localhost", &url], "");
    let (body, code) = ran.out.rsplit_once('\n').unwrap_or(("", &ran.out));
    (code.to_owned(), body.to_owned())
}

pub fn answers(machine: &Machine, port: u16, when: &str) {
    let (code, body) = page(machine, port, "/auth/login/");
    assert_eq!(code, "200", "/auth/login/ on port {port} {when}: {body}");
}

/// Active, with another main process than before.
pub fn comes_back(machine: &Machine, unit: &str, former: u32, after: &str) {
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
pub fn processes(machine: &Machine, unit: &str) -> Vec<String> {
    let group = property(machine, unit, "ControlGroup");
    let script = format!(
        "for pid in $(find /sys/fs/cgroup'{group}' -name cgroup.procs -exec cat {{}} +); do \
         echo \"$pid $(ps -o lstart=,comm= -p $pid)\"; done"
    );
    machine.sh(&script).lines().map(str::to_owned).collect()
}

pub fn still_there(machine: &Machine, former: &[String]) -> Vec<String> {
    let now = machine.sh("ps -eo pid=,lstart=,comm= | awk '{$1=$1}1'");
    let now: Vec<&str> = now.lines().collect();
    let same = |line: &&String| now.contains(&line.split_whitespace().collect::<Vec<_>>().join(" ").as_str());
    former.iter().filter(same).cloned().collect()
}

/// psql in a private cluster, as an OS user and a role of it.
pub fn psql(machine: &Machine, user: &str, socket: &str, role: &str, sql: &str) -> Ran {
    machine.sh_as(user, &format!("psql -XAtq -h {socket} -U {role} -d mathesar_django -c \"{sql}\" 2>&1"))
}

/// What of Debian's `main` cluster must stay: its server process, its files in /etc, its databases and roles.
pub fn debians_cluster(machine: &Machine) -> String {
    machine.sh(
        "pg_lsclusters --no-header
         runuser -u postgres -- psql -XAtqc 'SELECT pg_postmaster_start_time(), system_identifier FROM pg_control_system()'
         runuser -u postgres -- psql -XAtqc 'SELECT datname FROM pg_database UNION ALL SELECT rolname FROM pg_roles'
         find /etc/postgresql /etc/postgresql-common -type f -exec sha256sum {} + | sort",
    )
}

pub fn status(machine: &Machine, options: &str) -> Value {
    serde_json::from_str(&machine.sh(&format!("mathesar {options} status --json"))).unwrap()
}
