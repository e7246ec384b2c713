//! Another Mathesar on the same machine: one of another launcher, of upstream's installer, or in a container.

use std::path::{Path, PathBuf};

use super::{Check, Entry, Group, Look};
use crate::server::gunicorn::MARK;

pub(super) static OTHERS: Entry = Entry {
    id: "other-mathesar",
    group: Group::Service,
    title: "another Mathesar",
    doc: "No other Mathesar on this machine that one could mistake for this: gunicorn with `config.wsgi`, upstream's own installation, containers, other installations of the launcher.",
};

pub(super) const ENTRIES: &[&Entry] = &[&OTHERS];

/// One process that is a Mathesar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub pid: i32,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// `mathesar run` of another installation.
    Launcher,
    /// gunicorn that no launcher has started.
    Gunicorn,
    /// The same in a container.
    Container,
}

#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub processes: Vec<Process>,
    /// What other ways of installing leave.
    pub files: Vec<PathBuf>,
}

/// Upstream's documentation has put things here.
const UPSTREAM: &[&str] = &[
    "/etc/mathesar/docker-compose.yml",
    "/etc/mathesar/.env",
    "/opt/mathesar/docker-compose.yml",
    "/opt/mathesar/msar",
    "/lib/systemd/system/gunicorn.service",
    "/etc/systemd/system/gunicorn.service",
];

impl Facts {
    pub fn gather(look: &Look) -> Facts {
        let state = &look.installation.layout.state;
        let supervisor = look.status.get("pid").and_then(serde_json::Value::as_i64);
        let supervisor = supervisor.and_then(|pid| i32::try_from(pid).ok());
        let mut processes = Vec::new();
        let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        for pid in entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
            let words = words(pid);
            let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
            let environment = read("environ");
            let mark = environment.split(|byte| *byte == 0).find_map(|entry| {
                entry.strip_prefix(MARK.as_bytes())?.strip_prefix(b"=").map(<[u8]>::to_vec)
            });
            let groups = String::from_utf8_lossy(&read("cgroup")).into_owned();
            let above = ancestors(pid);
            let ours = mark.as_deref() == Some(state.as_os_str().as_encoded_bytes())
                || supervisor.is_some_and(|supervisor| pid == supervisor || above.contains(&supervisor));
            // Another user's process hides its environment, but not who has started it.
            let launched = mark.is_some() || above.iter().any(|pid| is_launcher(&self::words(*pid)));
            if let Some(kind) = kind(&words, &groups, ours, launched) {
                processes.push(Process { pid, kind });
            }
        }
        let files = UPSTREAM.iter().map(PathBuf::from).filter(|path| is_mathesar(path));
        Facts { processes, files: files.collect() }
    }
}

/// A service's file is only Mathesar's where it says so.
fn is_mathesar(path: &Path) -> bool {
    match path.extension() {
        Some(extension) if extension == "service" => {
            std::fs::read_to_string(path).is_ok_and(|text| text.contains("mathesar"))
        }
        _ => path.exists(),
    }
}

/// A process's parent, its parent, and so on.
fn ancestors(pid: i32) -> Vec<i32> {
    let mut found: Vec<i32> = Vec::new();
    let mut now = pid;
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{now}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        match parent {
            Some(parent) if parent > 1 && !found.contains(&parent) => found.push(parent),
            _ => return found,
        }
        now = found[found.len() - 1];
    }
}

fn words(pid: i32) -> Vec<String> {
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

fn is_launcher(words: &[String]) -> bool {
    let program = words.first().and_then(|word| word.rsplit('/').next()).unwrap_or_default();
    program == "mathesar" && words.iter().skip(1).any(|word| word == "run")
}

fn kind(words: &[String], groups: &str, ours: bool, launched: bool) -> Option<Kind> {
    let has =
        |wanted: &str| words.iter().any(|word| word == wanted || word.starts_with(&format!("{wanted}:")));
    let contained =
        ["docker", "libpod", "containerd", "kubepods", "lxc"].iter().any(|name| groups.contains(name));
    match () {
        () if ours => None,
        () if is_launcher(words) => Some(Kind::Launcher),
        () if !has("config.wsgi") || !words.iter().any(|word| word.contains("gunicorn")) => None,
        () if contained => Some(Kind::Container),
        // Its launcher is told already.
        () if launched => None,
        () => Some(Kind::Gunicorn),
    }
}

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let pids = |kind: Kind| {
        let pids = facts.processes.iter().filter(|process| process.kind == kind);
        pids.map(|process| process.pid.to_string()).collect::<Vec<_>>().join(" ")
    };
    let (gunicorn, container, launcher) = (pids(Kind::Gunicorn), pids(Kind::Container), pids(Kind::Launcher));
    let mut wrong = Vec::new();
    if !gunicorn.is_empty() {
        wrong.push(format!("a gunicorn with `config.wsgi` that no launcher has started (pid {gunicorn})"));
    }
    if !container.is_empty() {
        wrong.push(format!("one in a container (pid {container})"));
    }
    wrong.extend(facts.files.iter().map(|path| format!("{} of another way to install it", path.display())));
    let check = match (wrong.is_empty(), launcher.is_empty()) {
        (true, true) => OTHERS.ok("none"),
        (true, false) => OTHERS.ok(format!("another installation of the launcher runs (pid {launcher})")),
        (false, _) => OTHERS
            .warning(wrong.join("\n"))
            .cause("each has its own data; a browser may show the other one")
            .cure("which one answers where: `sudo ss -ltnp`"),
    };
    vec![check]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_told_apart() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let gunicorn = words("/opt/m/bin/python /opt/m/bin/gunicorn config.wsgi -b 0.0.0.0:8000");
        assert_eq!(kind(&gunicorn, "0::/user.slice", false, false), Some(Kind::Gunicorn));
        assert_eq!(kind(&gunicorn, "0::/user.slice", true, true), None);
        assert_eq!(kind(&gunicorn, "0::/user.slice", false, true), None);
        assert_eq!(kind(&gunicorn, "0::/system.slice/docker-1f.scope", false, false), Some(Kind::Container));
        assert_eq!(kind(&words("gunicorn config.wsgi:application"), "", false, false), Some(Kind::Gunicorn));
        assert_eq!(kind(&words("/usr/bin/mathesar --system run"), "", false, false), Some(Kind::Launcher));
        assert_eq!(kind(&words("/usr/bin/mathesar doctor"), "", false, false), None);
        assert_eq!(kind(&words("vi config.wsgi"), "", false, false), None);
    }

    #[test]
    fn parents_are_known() {
        let own = std::process::id() as i32;
        let parent = rustix::process::getppid().unwrap().as_raw_nonzero().get();
        assert!(parent == 1 || ancestors(own).contains(&parent));
        assert!(!ancestors(parent).contains(&own));
    }
}
