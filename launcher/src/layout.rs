//! Where things live: a pure function of the environment and the options that stand before the sub-command.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use crate::failure::{Exit, Failure};

/// What of the process decides where things live.
#[derive(Debug, Clone, Default)]
pub struct Environment {
    pub variables: BTreeMap<OsString, OsString>,
    pub home: Option<PathBuf>,
    /// The current folder, against which a relative `--home` is read.
    pub current: PathBuf,
    pub uid: u32,
    /// Whether the process runs as the service's own OS user.
    pub service_user: bool,
    pub macos: bool,
}

impl Environment {
    /// A variable's value; an empty one counts as unset, as the XDG specification asks.
    pub fn get(&self, name: &str) -> Option<&OsString> {
        self.variables.get(std::ffi::OsStr::new(name)).filter(|value| !value.is_empty())
    }

    fn folder(&self, name: &str) -> Option<PathBuf> {
        // XDG: "all paths must be absolute", others are to be ignored.
        self.get(name).map(PathBuf::from).filter(|path| path.is_absolute())
    }

    /// systemd lists several folders with colons; the unit names the main one first.
    fn systemd_folder(&self, name: &str) -> Option<PathBuf> {
        let value = self.get(name)?.to_str()?;
        Some(PathBuf::from(value.split(':').next()?)).filter(|path| path.is_absolute())
    }
}

/// Whose installation is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    System,
    User,
    /// All under one folder.
    Home,
}

impl Scope {
    pub fn name(self) -> &'static str {
        match self {
            Scope::System => "system",
            Scope::User => "user",
            Scope::Home => "home",
        }
    }
}

/// The name of one installation of several: lower-case letters, digits and `-`; never a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance(String);

/// Names that the default installation uses for folders of its own, below which an instance would land.
const RESERVED: &[&str] = &[
    "app",
    "aside",
    "backups",
    "cache",
    "conf",
    "config",
    "current",
    "database",
    "lock",
    "log",
    "logs",
    "mathesar",
    "media",
    "run",
    "secrets",
    "socket",
    "staging",
    "state",
    "tools",
    "uv",
    "wheels",
    "downloads",
];

impl FromStr for Instance {
    type Err = String;

    fn from_str(name: &str) -> Result<Instance, String> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || !name.chars().all(allowed) || name.starts_with('-') || name.ends_with('-') {
            return Err("use lower-case letters, digits and `-` between them".to_owned());
        }
        if name.len() > 32 {
            return Err("use at most 32 characters: socket paths must stay short".to_owned());
        }
        if RESERVED.contains(&name) {
            return Err("the default instance has a folder of this name".to_owned());
        }
        Ok(Instance(name.to_owned()))
    }
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The options that stand before the sub-command.
#[derive(Debug, Clone, Default)]
pub struct Options {
    pub home: Option<PathBuf>,
    pub instance: Option<Instance>,
    /// `--system` or `--user`; without either the OS user decides.
    pub scope: Option<Scope>,
}

impl Options {
    /// The same as words of a command line, for another process with another current folder.
    pub fn to_args(&self, current: &Path) -> Vec<OsString> {
        let mut args: Vec<OsString> = Vec::new();
        if let Some(home) = self.home.as_deref().filter(|home| !home.as_os_str().is_empty()) {
            args.extend(["--home".into(), absolute(current, home).into()]);
        }
        if let Some(instance) = &self.instance {
            args.extend(["--instance".into(), instance.0.clone().into()]);
        }
        match self.scope {
            Some(Scope::System) => args.push("--system".into()),
            Some(Scope::User) => args.push("--user".into()),
            Some(Scope::Home) | None => {}
        }
        args
    }
}

/// Where one installation's things live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    pub scope: Scope,
    pub instance: Option<Instance>,
    /// Holds mathesar.conf and conf.d.
    pub config: PathBuf,
    /// Releases, programs, database, media, backups, secrets, lock: what must not be lost while Mathesar runs.
    pub state: PathBuf,
    /// Downloads and wheels: what can be fetched again.
    pub cache: PathBuf,
    /// Control socket and pid.
    pub run: PathBuf,
    /// None: the journal.
    pub logs: Option<PathBuf>,
    /// The private cluster's socket: Mathesar stores this path, so it stays the same over logins and reboots.
    pub database_socket: PathBuf,
}

impl Layout {
    pub fn config_file(&self) -> PathBuf {
        self.config.join("mathesar.conf")
    }

    /// Unpacked programs that a running server needs.
    pub fn tools(&self) -> PathBuf {
        self.state.join("tools")
    }

    pub fn config_drop_ins(&self) -> PathBuf {
        self.config.join("conf.d")
    }

    /// The file that `config set` writes: in system mode the package's conffile stays untouched.
    pub fn writable_config(&self) -> PathBuf {
        match self.scope {
            Scope::System => self.config_drop_ins().join("90-local.conf"),
            Scope::User | Scope::Home => self.config_file(),
        }
    }

    /// Every place with its name, in the order that `mathesar layout` prints.
    pub fn places(&self) -> Vec<(&'static str, Option<PathBuf>)> {
        vec![
            ("config", Some(self.config.clone())),
            ("config-file", Some(self.config_file())),
            ("config-written-by-set", Some(self.writable_config())),
            ("state", Some(self.state.clone())),
            ("app", Some(self.state.join("app"))),
            ("tools", Some(self.tools())),
            ("database", Some(self.state.join("database"))),
            ("database-socket", Some(self.database_socket.clone())),
            ("media", Some(self.state.join("media"))),
            ("backups", Some(self.state.join("backups"))),
            ("secrets", Some(self.state.join("secrets"))),
            ("lock", Some(self.state.join("lock"))),
            ("cache", Some(self.cache.clone())),
            ("run", Some(self.run.clone())),
            ("control-socket", Some(self.run.join("control.sock"))),
            ("logs", self.logs.clone()),
        ]
    }

    /// A short name of this installation, from where its state lies: for places that others share.
    pub fn short(&self) -> String {
        format!("{:08x}", fnv1a(self.state.as_os_str().as_encoded_bytes()))
    }

    /// Decides where things live; touches no file.
    pub fn new(environment: &Environment, options: &Options) -> Result<Layout, Failure> {
        let home = options.home.as_deref().filter(|home| !home.as_os_str().is_empty());
        let mut layout = match (home, options.scope) {
            (Some(home), _) => under_home(&absolute(&environment.current, home)),
            (None, Some(Scope::System)) => system(environment, options.instance.as_ref()),
            (None, None) if environment.uid == 0 || environment.service_user => {
                system(environment, options.instance.as_ref())
            }
            (None, _) => user(environment)?,
        };
        if let Some(instance) = &options.instance {
            // systemd's folders of `mathesar@NAME.service` carry the name already.
            let insert = |path: &mut PathBuf| {
                if !(layout.scope == Scope::System && path.ends_with(&instance.0)) {
                    path.push(&instance.0);
                }
            };
            for path in [&mut layout.config, &mut layout.state, &mut layout.cache, &mut layout.run] {
                insert(path);
            }
            layout.logs.as_mut().map(insert);
        }
        if layout.scope == Scope::User {
            // Not $XDG_RUNTIME_DIR: it is removed with the last session, while Mathesar goes on, and `su` and cron have none.
            layout.run = layout.state.join("run");
        }
        layout.instance = options.instance.clone();
        layout.database_socket = database_socket(environment, &layout);
        Ok(layout)
    }
}

fn system(environment: &Environment, instance: Option<&Instance>) -> Layout {
    // A folder of another instance, or of the default one, inherited through sudo -E or a shell in the unit.
    let fits = |path: &PathBuf| match instance {
        Some(instance) => path.ends_with(&instance.0) || path.ends_with("mathesar"),
        None => true,
    };
    let folder = |name: &str, default: &str| {
        environment.systemd_folder(name).filter(fits).unwrap_or_else(|| PathBuf::from(default))
    };
    Layout {
        scope: Scope::System,
        instance: None,
        config: folder("CONFIGURATION_DIRECTORY", "/etc/mathesar"),
        state: folder("STATE_DIRECTORY", "/var/lib/mathesar"),
        cache: folder("CACHE_DIRECTORY", "/var/cache/mathesar"),
        run: folder("RUNTIME_DIRECTORY", "/run/mathesar"),
        logs: environment.systemd_folder("LOGS_DIRECTORY").filter(fits),
        database_socket: PathBuf::new(),
    }
}

fn under_home(home: &Path) -> Layout {
    Layout {
        scope: Scope::Home,
        instance: None,
        config: home.join("config"),
        state: home.join("state"),
        cache: home.join("cache"),
        run: home.join("run"),
        logs: Some(home.join("log")),
        database_socket: PathBuf::new(),
    }
}

fn user(environment: &Environment) -> Result<Layout, Failure> {
    let home = environment.home.as_ref();
    let folder = |variable: &str, xdg: &str, macos: &str| {
        let default = if environment.macos { macos } else { xdg };
        match (environment.folder(variable), home) {
            // Apple's folders are shared by kind already, so `default` names ours below them.
            (Some(folder), _) => Ok(folder.join("mathesar")),
            (None, Some(home)) => Ok(home.join(default)),
            (None, None) => {
                Err(Failure::new(format!("cannot tell your home folder, and {variable} is not set"))
                    .exit(Exit::Usage)
                    .help("name a folder: `mathesar --home DIR …`, or set MATHESAR_HOME"))
            }
        }
    };
    let state =
        folder("XDG_DATA_HOME", ".local/share/mathesar", "Library/Application Support/mathesar/state")?;
    Ok(Layout {
        scope: Scope::User,
        instance: None,
        config: folder("XDG_CONFIG_HOME", ".config/mathesar", "Library/Application Support/mathesar/config")?,
        cache: folder("XDG_CACHE_HOME", ".cache/mathesar", "Library/Caches/mathesar")?,
        run: PathBuf::new(),
        logs: Some(folder("XDG_STATE_HOME", ".local/state/mathesar", "Library/Logs/mathesar")?),
        state,
        database_socket: PathBuf::new(),
    })
}

/// The system's socket lies in /run, which is at the same place after every boot. The others' lies in state, or where
/// that path is too long for a socket, in a folder whose name is made from it.
fn database_socket(environment: &Environment, layout: &Layout) -> PathBuf {
    /// Linux allows 107 bytes, macOS 103; Mathesar's own limit is about 90.
    const LONGEST: usize = 90;
    if layout.scope == Scope::System {
        return layout.run.clone();
    }
    let fits = |folder: &PathBuf| folder.join(".s.PGSQL.65535").as_os_str().len() <= LONGEST;
    let beside = layout.state.join("socket");
    let short = layout.short();
    let in_home = environment.home.as_ref().map(|home| home.join(".mathesar").join(&short));
    [Some(beside), in_home]
        .into_iter()
        .flatten()
        .find(fits)
        .unwrap_or_else(|| PathBuf::from(format!("/tmp/mathesar-{}-{short}", environment.uid)))
}

/// Stable over versions of Rust, which the standard library's hasher is not.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// Joined and cleaned of `.`; `..` stays, as a symlink may stand before it.
fn absolute(current: &Path, path: &Path) -> PathBuf {
    current.join(path).components().filter(|part| *part != Component::CurDir).collect()
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
