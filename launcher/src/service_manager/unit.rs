//! The user unit that `mathesar autostart on` writes, as text.

use std::ffi::OsStr;
use std::path::Path;

use crate::failure::{Exit, Failure};

/// What a unit or a job runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// `Mathesar`, or with the instance or the folder that it is of.
    pub description: String,
    pub program: String,
    /// The options before the sub-command, and `run`.
    pub args: Vec<String>,
    /// What of the caller's environment decides where things live.
    pub environment: Vec<(String, String)>,
}

impl Job {
    /// Both formats are UTF-8, and lines.
    pub(super) fn text(what: &OsStr) -> Result<String, Failure> {
        match what.to_str().filter(|text| !text.contains(char::is_control)) {
            Some(text) => Ok(text.to_owned()),
            None => Err(Failure::new(format!("`{}` cannot stand in a unit", Path::new(what).display()))
                .cause("it is not UTF-8, or has control characters")
                .exit(Exit::Refused)),
        }
    }
}

/// The first line, by which a unit is known as ours.
pub(super) const MARK: &str = "# Written by `mathesar autostart on`, which writes it again";

/// A user's manager cannot give a unit its own view of the file system: what stands under `Hardening` works there.
pub(super) fn render(job: &Job) -> String {
    let environment: String = job
        .environment
        .iter()
        .map(|(name, value)| format!("Environment={}\n", word(&format!("{name}={value}"), false)))
        .collect();
    let mut command = word(&job.program, false);
    job.args.iter().for_each(|arg| command.push_str(&format!(" {}", word(arg, true))));
    format!(
        "\
{MARK}: changes belong
# into a file beside it, `systemctl --user edit UNIT`. `mathesar autostart off` removes it.
[Unit]
Description={description}
Documentation=man:mathesar(1) https://docs.mathesar.org
# Without a limit: what fails at the first start is mostly the network, and that comes back by itself.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
{environment}UMask=0077

# 2 (usage, settings) and 4 (a check refused) want a person; trying again changes nothing.
Restart=on-failure
RestartPreventExitStatus=2 4
RestartSec=15s
# The launcher asks for more while it fetches, prepares or recovers.
TimeoutStartSec=5min
WatchdogSec=1min

# The launcher alone is told to stop: it ends the web server first, then PostgreSQL, whose checkpoint may take a while.
KillMode=mixed
TimeoutStopSec=5min
OOMPolicy=continue
LimitCORE=0

# Hardening. No MemoryDenyWriteExecute=: PostgreSQL's JIT fails queries without such memory.
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources @obsolete
SystemCallErrorNumber=EPERM

[Install]
WantedBy=default.target
",
        description = job.description.replace('%', "%%"),
    )
}

/// The first line of a timer and its service.
pub(super) const MARK_TIMER: &str = "# Written by `mathesar backup timer on`, which writes it again";

/// What a user's timer starts. `job` is of the installation itself, whose last words say to run it.
pub(super) fn render_backup(job: &Job) -> String {
    let environment: String = job
        .environment
        .iter()
        .map(|(name, value)| format!("Environment={}\n", word(&format!("{name}={value}"), false)))
        .collect();
    let global = job.args.iter().take_while(|arg| *arg != "run").map(|arg| format!(" {}", word(arg, true)));
    let command = format!("{}{}", word(&job.program, false), global.collect::<String>());
    format!(
        "\
{MARK_TIMER}. `mathesar backup timer off` removes it.
[Unit]
Description=Backup of {description}
Documentation=man:mathesar-backup(1) https://docs.mathesar.org

[Service]
Type=oneshot
ExecStart={command} backup create --made-by timer
ExecStart={command} backup prune
{environment}UMask=0077
Nice=10
IOSchedulingClass=idle
KillMode=mixed
TimeoutStopSec=5min
LimitCORE=0
NoNewPrivileges=yes
",
        description = job.description.replace('%', "%%"),
    )
}

pub(super) fn render_timer(job: &Job) -> String {
    format!(
        "\
{MARK_TIMER}. `mathesar backup timer off` removes it.
[Unit]
Description=Daily backup of {description}
Documentation=man:mathesar-backup(1) https://docs.mathesar.org

[Timer]
OnCalendar=daily
RandomizedDelaySec=2h
Persistent=true

[Install]
WantedBy=timers.target
",
        description = job.description.replace('%', "%%"),
    )
}

/// One word, quoted where it has to be. `%` begins a specifier everywhere, `$` a variable in a command's arguments.
fn word(text: &str, argument: bool) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._=+:@,-".contains(c);
    let mut escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    if argument {
        escaped = escaped.replace('$', "$$");
    }
    match !text.is_empty() && text.chars().all(plain) {
        true => escaped,
        false => format!("\"{escaped}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_systemd() {
        assert_eq!(word("/usr/bin/mathesar", false), "/usr/bin/mathesar");
        assert_eq!(word("/a b/50%\\\"x\"$y", true), r#""/a b/50%%\\\"x\"$$y""#);
        assert_eq!(word("/a$b", false), r#""/a$b""#);
        assert_eq!(word("", true), "\"\"");
    }
}
