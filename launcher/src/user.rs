//! Which OS user does the work. Root never does: in system mode it becomes the service's user, else it is told to be somebody.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use crate::config;
use crate::failure::{Exit, Failure};
use crate::layout::{Environment, Layout, Scope};
use crate::relay::{self, Input};
use crate::system::SERVICE_USER;

/// Before anything of an installation's state is touched: what is made belongs to the right user, and to nobody else.
pub(crate) fn ordinary(layout: &Layout, environment: &Environment) -> Result<(), Failure> {
    ordinary_with(layout, environment, false)
}

/// The same for `mathesar run`, which reads Mathesar's own variables.
pub(crate) fn ordinary_service(layout: &Layout, environment: &Environment) -> Result<(), Failure> {
    ordinary_with(layout, environment, true)
}

fn ordinary_with(layout: &Layout, environment: &Environment, service: bool) -> Result<(), Failure> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    match (environment.uid, layout.scope) {
        (0, Scope::System) => {
            make_run_folder(layout);
            go_on_as_service_user(std::env::args_os().skip(1), None, service)
        }
        (0, Scope::User | Scope::Home) => Err(Failure::new("Mathesar and PostgreSQL do not run as root")
            .exit(Exit::Refused)
            .help("run it as yourself, or as the service's user: `mathesar --system …`")),
        (_, Scope::System) if !environment.service_user => {
            Err(Failure::new("the system's installation belongs to the user `mathesar`")
                .exit(Exit::Refused)
                .help("run the same command with sudo, or yours with `mathesar --user …`"))
        }
        _ => Ok(()),
    }
}

/// Whether `ordinary` goes on as the service's user.
pub(crate) fn is_to_become_another(layout: &Layout, environment: &Environment) -> bool {
    environment.uid == 0 && layout.scope == Scope::System
}

/// systemd makes /run/mathesar for the unit, and removes it when that stops: a command before or after it needs it too.
/// Where it cannot be made, whoever needs it says so.
pub(crate) fn make_run_folder(layout: &Layout) {
    make_folders(&[&layout.run]);
}

/// The same, and where state and cache lie: systemd and tmpfiles.d make them, and an image that is being built, or a system without
/// systemd, has neither.
pub(crate) fn make_all_folders(layout: &Layout, environment: &Environment) {
    if is_to_become_another(layout, environment) {
        make_folders(&[&layout.run, &layout.state, &layout.cache]);
    }
}

fn make_folders(folders: &[&Path]) {
    let passwd = std::fs::read(Path::new("/etc/passwd")).unwrap_or_default();
    let Some(user) = find(&String::from_utf8_lossy(&passwd), SERVICE_USER) else { return };
    for folder in folders {
        let parent = folder.parent().and_then(|parent| parent.symlink_metadata().ok());
        // In a folder of the service's user its own process makes it: root would follow whatever that has put there.
        let safe =
            parent.is_some_and(|found| found.is_dir() && found.uid() == 0 && found.mode() & 0o022 == 0);
        if safe && std::fs::DirBuilder::new().mode(0o750).create(folder).is_ok() {
            let _ = std::os::unix::fs::lchown(folder, Some(user.uid), Some(user.gid));
        }
    }
}

/// This very program again, as the service's user; comes back only with a failure.
pub(crate) fn become_service_user(
    args: impl IntoIterator<Item = OsString>,
    stdin: Option<File>,
) -> Result<(), Failure> {
    go_on_as_service_user(args, stdin, false)
}

fn go_on_as_service_user(
    args: impl IntoIterator<Item = OsString>,
    stdin: Option<File>,
    service: bool,
) -> Result<(), Failure> {
    let mut program = as_service_user(service)?;
    program.command.args(args);
    if relay::is_needed() {
        let code = program.run(stdin.map_or(Input::Ours, Input::File), None)?;
        std::process::exit(code);
    }
    // Nobody sits there: a service manager knows the process by its number.
    if let Some(file) = stdin {
        program.command.stdin(file);
    }
    let cause = program.command.exec();
    Err(program.failure(cause))
}

/// One run of this very program as the service's user.
pub(crate) struct AsServiceUser {
    pub command: Command,
    uid: u32,
}

impl AsServiceUser {
    /// Away from the terminal of root; the exit code as a shell would tell it.
    pub(crate) fn run(self, stdin: Input, stdout: Option<File>) -> Result<i32, Failure> {
        let program = self.command.get_program().to_owned();
        relay::run(self.command, self.uid, stdin, stdout).map_err(|cause| cannot_run(&program, cause))
    }

    fn failure(&self, cause: std::io::Error) -> Failure {
        cannot_run(self.command.get_program(), cause)
    }
}

fn cannot_run(program: &OsStr, cause: std::io::Error) -> Failure {
    let program = program.to_string_lossy();
    Failure::new(format!("cannot run {program} as the user `{SERVICE_USER}`")).cause(cause)
}

/// Without arguments yet. `service`: with Mathesar's own variables.
pub(crate) fn as_service_user(service: bool) -> Result<AsServiceUser, Failure> {
    let passwd = std::fs::read(Path::new("/etc/passwd")).unwrap_or_default();
    let Some(user) = find(&String::from_utf8_lossy(&passwd), SERVICE_USER) else {
        return Err(Failure::new(format!("there is no user `{SERVICE_USER}`, which Mathesar runs as"))
            .exit(Exit::Refused)
            .help(
                "the package makes it: `systemd-sysusers`; or use your own installation: `mathesar --user …`",
            ));
    };
    let program = std::env::current_exe()
        .map_err(|cause| Failure::new("cannot tell where this program lies").cause(cause))?;
    let mut command = Command::new(&program);
    command
        .env_clear()
        .envs(
            std::env::vars_os()
                .filter(|(name, _)| name.to_str().is_some_and(|name| is_handed(name, service))),
        )
        .env("HOME", &user.home)
        .env("USER", SERVICE_USER)
        .env("LOGNAME", SERVICE_USER)
        // Setting the user as root also drops root's supplementary groups.
        .uid(user.uid)
        .gid(user.gid);
    Ok(AsServiceUser { command, uid: user.uid })
}

/// Root's variables that the service's user gets to see: what this program reads, and what a person's psql looks like.
fn is_handed(name: &str, service: bool) -> bool {
    const READ: &[&str] = &[
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "COLORTERM",
        "CONFIGURATION_DIRECTORY",
        "STATE_DIRECTORY",
        "CACHE_DIRECTORY",
        "RUNTIME_DIRECTORY",
        "LOGS_DIRECTORY",
        "CREDENTIALS_DIRECTORY",
        "NOTIFY_SOCKET",
        "PAGER",
        "PSQL_PAGER",
        "PSQL_HISTORY",
    ];
    let of_settings = || {
        config::SETTINGS.iter().any(|setting| {
            setting.usual_variables.contains(&name) || (service && setting.service_variables.contains(&name))
        })
    };
    crate::process::INHERITED.contains(&name)
        || READ.contains(&name)
        || ["MATHESAR_", "LISTEN_", "WATCHDOG_", "LC_"].iter().any(|begin| name.starts_with(begin))
        || (service && name.starts_with("POSTGRES_"))
        || of_settings()
}

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    uid: u32,
    gid: u32,
    home: String,
}

fn find(passwd: &str, name: &str) -> Option<Entry> {
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        (fields[0] == name && uid != 0).then(|| Entry {
            uid,
            gid,
            home: (*fields.get(5).unwrap_or(&"/")).to_owned(),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_service_user_is_never_root() {
        let passwd = "root:x:0:0::/root:/bin/sh\nmathesar:x:990:988::/var/lib/mathesar:/usr/sbin/nologin\n";
        let found = Entry { uid: 990, gid: 988, home: "/var/lib/mathesar".to_owned() };
        assert_eq!(find(passwd, "mathesar"), Some(found));
        assert_eq!(find("mathesar:x:0:0::/:/bin/sh\n", "mathesar"), None);
    }

    #[test]
    fn roots_environment_is_roots() {
        for name in
            ["PATH", "LANG", "TERM", "MATHESAR_SERVER_LISTEN", "NO_COLOR", "STATE_DIRECTORY", "HTTPS_PROXY"]
        {
            assert!(is_handed(name, false), "{name}");
        }
        for name in
            ["AWS_SECRET_ACCESS_KEY", "SUDO_COMMAND", "SSH_AUTH_SOCK", "LD_PRELOAD", "PYTHONPATH", "BASH_ENV"]
        {
            assert!(!is_handed(name, true), "{name}");
        }
        for name in ["POSTGRES_HOST", "SECRET_KEY", "ALLOWED_HOSTS"] {
            assert!(is_handed(name, true) && !is_handed(name, false), "{name}");
        }
    }
}
