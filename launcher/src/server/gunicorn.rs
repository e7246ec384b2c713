//! How gunicorn is called: its command line, its configuration file, the number of its workers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::process::User;

/// Everything that a gunicorn of this installation needs to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gunicorn {
    /// The venv's interpreter.
    pub python: PathBuf,
    /// The release's tree: working directory and import path.
    pub app: PathBuf,
    /// For the application: POSTGRES_*, SECRET_KEY, ALLOWED_HOSTS, …
    pub environment: BTreeMap<OsString, OsString>,
    /// Where its configuration file and probe sockets go.
    pub run: PathBuf,
    /// Marks its processes, so that the next launcher finds what was left of them.
    pub state: PathBuf,
    pub workers: u32,
    pub request_timeout: Duration,
    pub stop_timeout: Duration,
    /// How long the application may take to its first answer.
    pub start_timeout: Duration,
    pub trusted_proxies: Vec<String>,
    pub log_requests: bool,
    pub log_level: String,
    /// A name of ALLOWED_HOSTS, for the probes.
    pub host: String,
    pub user: Option<User>,
    /// The settings that this was made from.
    pub made_from: crate::installation::Fingerprint,
}

/// The page that tells whether all is well: 200 or 302, and 500 when the database is away.
pub const PROBE_PATH: &str = "/auth/login/";

/// The variable by which leftover processes are known.
pub const MARK: &str = "MATHESAR_LAUNCHER_STATE";

impl Gunicorn {
    pub fn config_file(&self) -> PathBuf {
        self.run.join("gunicorn.conf.py")
    }

    /// The arguments after the interpreter, with the numbers of the visitors' and the probes' socket.
    pub fn args(&self, visitors: i32, probes: i32) -> Vec<OsString> {
        let seconds = |time: Duration| time.as_secs().max(1).to_string();
        let temporary = worker_temporary(Path::new("/dev/shm"), &self.run);
        let mut args: Vec<OsString> =
            ["-m", "gunicorn", "config.wsgi", "--preload", "--config"].map(OsString::from).into();
        args.push(self.config_file().into());
        args.push("--chdir".into());
        args.push(self.app.clone().into());
        args.push("--worker-tmp-dir".into());
        args.push(temporary.into());
        let words = [
            ("--bind", format!("fd://{visitors}")),
            ("--bind", format!("fd://{probes}")),
            ("--workers", self.workers.to_string()),
            ("--timeout", seconds(self.request_timeout)),
            ("--graceful-timeout", seconds(self.stop_timeout)),
            // Whom to believe is decided in the configuration file, which knows networks in every version.
            ("--forwarded-allow-ips", String::new()),
            ("--log-level", self.log_level.clone()),
        ];
        for (option, value) in words {
            args.push(option.into());
            args.push(value.into());
        }
        if self.log_requests {
            args.extend(["--access-logfile".into(), "-".into()]);
        }
        args
    }

    pub fn config_text(&self, trust_unix: bool) -> String {
        // Validated as networks by the configuration; JSON's strings are Python's too.
        concat!(include_str!("gunicorn.conf.py"), include_str!("warm.py"), include_str!("first_page.py"))
            .replace("{proxies}", &serde_json::json!(self.trusted_proxies).to_string())
            .replace("{trust_unix}", if trust_unix { "True" } else { "False" })
    }

    /// The application's variables, and what is ours. Never GUNICORN_CMD_ARGS, whoever asks for it.
    pub fn variables(&self) -> BTreeMap<OsString, OsString> {
        let mut all = self.environment.clone();
        all.remove(&OsString::from("GUNICORN_CMD_ARGS"));
        all.remove(&OsString::from("WEB_CONCURRENCY"));
        all.insert(MARK.into(), self.state.clone().into());
        all.insert("PYTHONUNBUFFERED".into(), "1".into());
        all
    }
}

/// Heartbeat files belong in memory: on a disk that stalls, gunicorn would kill workers that are well.
fn worker_temporary(memory: &Path, run: &Path) -> PathBuf {
    let writable =
        rustix::fs::access(memory, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK).is_ok();
    if writable { memory.to_owned() } else { run.to_owned() }
}

/// How many workers suit a machine: two a processor and one more, as gunicorn advises, and no more than memory bears.
/// Measured: 82 MB shared by all (`--preload`), 25 MB a worker at first; they grow with use, so 128 MB are counted.
pub fn workers(processors: usize, memory: u64) -> u32 {
    const MB: u64 = 1024 * 1024;
    // PostgreSQL and the system live here too.
    let bearable = memory.saturating_sub(512 * MB) / (128 * MB);
    let wanted = 2 * processors as u64 + 1;
    wanted.min(bearable).clamp(2, 12) as u32
}

/// This machine's processors and memory, as far as this process may use them.
pub fn machine() -> (usize, u64) {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    #[cfg(target_os = "linux")]
    let memory = {
        let info = rustix::system::sysinfo();
        (info.totalram as u64).saturating_mul(u64::from(info.mem_unit)).min(cgroup_limit())
    };
    #[cfg(not(target_os = "linux"))]
    let memory = 4 * 1024 * 1024 * 1024;
    (processors, memory)
}

/// The smallest memory.max of this control group and those above.
#[cfg(target_os = "linux")]
fn cgroup_limit() -> u64 {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let path = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    Path::new(path)
        .ancestors()
        .filter_map(|group| {
            let file = Path::new("/sys/fs/cgroup").join(group).join("memory.max");
            std::fs::read_to_string(file).ok()?.trim().parse().ok()
        })
        .min()
        .unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_suit_the_machine() {
        const GB: u64 = 1024 * 1024 * 1024;
        let cases = [
            (1, GB / 2, 2),
            (1, GB, 3),
            (2, GB, 4),
            (2, 4 * GB, 5),
            (4, 8 * GB, 9),
            (64, 256 * GB, 12),
            (8, GB, 4),
        ];
        for (processors, memory, expected) in cases {
            assert_eq!(workers(processors, memory), expected, "{processors} processors, {memory} bytes");
        }
        let (processors, memory) = machine();
        assert!(processors > 0 && memory > 1024 * 1024, "{processors} {memory}");
    }
}
