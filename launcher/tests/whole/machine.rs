//! What the machine offers to these tests: somebody to be, a free port, and which processes are whose.

// More than any one file of tests uses.
#![allow(dead_code)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};

use mathesar::process::User;
use rustix::process::{Pid, Signal, kill_process};

/// Whom the launcher runs as: nobody where we are root, else ourselves.
pub fn user() -> Result<Option<User>, String> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string(Path::new("/etc/passwd")).unwrap_or_default();
    let find = |name: &str| {
        let fields: Vec<&str> =
            passwd.lines().find(|line| line.split(':').next() == Some(name))?.split(':').collect();
        Some(User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
    };
    let found = find("nobody").or_else(|| find("daemon"));
    found.map(Some).ok_or_else(|| "we are root, and there is no other user to be".to_owned())
}

/// A user of the machine.
pub fn somebody(name: &str) -> Option<User> {
    let passwd = fs::read_to_string(Path::new("/etc/passwd")).unwrap_or_default();
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let fields: Vec<&str> = line.split(':').collect();
    Some(User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
}

/// Gives a file or folder to whom the launcher runs as.
pub fn give(path: &Path, user: Option<User>) {
    if let Some(User { uid, gid }) = user {
        chown(path, Some(uid), Some(gid)).unwrap();
    }
}

/// A folder and what is above it inside `within`, all of them the launcher's.
pub fn make_folder(folder: &Path, within: &Path, user: Option<User>) {
    let missing: Vec<&Path> =
        folder.ancestors().take_while(|path| path.starts_with(within) && !path.exists()).collect();
    for folder in missing.into_iter().rev() {
        fs::create_dir(folder).unwrap();
        give(folder, user);
    }
}

/// A port that nobody listens on, below those that the system gives to outgoing connections.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = (std::process::id() % 9000) as u16;
    for _ in 0..900 {
        // With room between them, as the launcher itself proposes the next one.
        let port = 20000 + (first + NEXT.fetch_add(10, Ordering::SeqCst)) % 9000;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

/// Living processes that have to do with a folder (it stands in their command line or environment, or they are in it), with
/// their command lines.
pub fn processes_of(folder: &Path) -> Vec<(i32, String)> {
    processes_like(folder, "")
}

/// Those whose command line holds this. Environments and folders of other processes are dear to read, and tests ask often.
pub fn processes_like(folder: &Path, command_line: &str) -> Vec<(i32, String)> {
    let wanted = folder.as_os_str().as_encoded_bytes();
    let holds = |bytes: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
    let own = std::process::id().to_string();
    let mut found: Vec<(i32, String)> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok().filter(|name| *name != own)?;
            let pid: i32 = name.parse().ok()?;
            let path = entry.path();
            let read = |file: &str| fs::read(path.join(file)).unwrap_or_default();
            let command = read("cmdline");
            let line = String::from_utf8_lossy(&command).replace('\0', " ");
            if !line.contains(command_line) {
                return None;
            }
            let inside = || fs::read_link(path.join("cwd")).is_ok_and(|cwd| cwd.starts_with(folder));
            if !(holds(&command) || inside() || holds(&read("environ"))) || is_dead(pid) {
                return None;
            }
            Some((pid, line))
        })
        .collect();
    found.sort();
    found
}

fn is_dead(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty()
        || stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}

/// 0: it is gone.
pub fn parent(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    fields.split_whitespace().nth(1).and_then(|parent| parent.parse().ok()).unwrap_or(0)
}

/// Itself, its parent, and so on.
pub fn ancestors(pid: i32) -> Vec<i32> {
    std::iter::successors(Some(pid), |pid| Some(parent(*pid)).filter(|pid| *pid > 0)).collect()
}

pub fn alive(pid: i32) -> bool {
    !is_dead(pid)
}

pub fn signal(pid: i32, signal: Signal) {
    // One that is gone already needs none.
    let _ = kill_process(Pid::from_raw(pid).unwrap(), signal);
}

/// The same names, kinds, owners and modes, the same file contents: by hard link, or by copy where something writes in place.
pub fn copy_tree(from: &Path, to: &Path, user: Option<User>, link: bool) {
    let meta = fs::symlink_metadata(from).unwrap();
    if meta.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            copy_tree(&entry.path(), &to.join(entry.file_name()), user, link);
        }
        give(to, user);
        fs::set_permissions(to, meta.permissions()).unwrap();
    } else if meta.is_symlink() {
        std::os::unix::fs::symlink(fs::read_link(from).unwrap(), to).unwrap();
        if let Some(User { uid, gid }) = user {
            std::os::unix::fs::lchown(to, Some(uid), Some(gid)).unwrap();
        }
    } else if meta.is_file() && link {
        fs::hard_link(from, to).unwrap();
    } else if meta.is_file() {
        fs::copy(from, to).unwrap();
        give(to, user);
    }
}

/// Everything below a folder, with what an observer could tell apart: kind, mode, owner, size, and the content of files.
pub fn tree(folder: &Path) -> Vec<String> {
    let mut all = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(path) = left.pop() {
        let Ok(meta) = fs::symlink_metadata(&path) else { continue };
        // A server that runs removes files while they are looked at.
        let content = match meta.is_file().then(|| fs::read(&path)) {
            Some(Err(cause)) if cause.kind() == std::io::ErrorKind::NotFound => continue,
            Some(content) => content.unwrap(),
            None => Vec::new(),
        };
        let digest = mathesar::app::digest::of_bytes(&content);
        all.push(format!("{} {:o} {} {digest}", path.display(), meta.mode(), meta.uid()));
        if meta.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    all.sort();
    all
}
