//! Base trees of Debian releases: made by mmdebstrap, once a week for a list of packages, and kept below `target/machines`.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use sha2::{Digest as _, Sha256};

/// A tree that machines are laid over. It is not removed while somebody holds one of these.
#[derive(Debug)]
pub struct Base {
    pub tree: PathBuf,
    _in_use: File,
}

/// Programs that a machine needs; each with the Debian package that brings it.
const PROGRAMS: &[(&str, &str)] = &[
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
];

/// Documentation is a third of a small tree, and nobody reads it here.
const LEFT_OUT: &[&str] = &["/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*"];

/// Why this computer can boot no machine.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("only root can boot a machine".to_owned());
    }
    let absent: Vec<&str> =
        PROGRAMS.iter().filter(|(name, _)| !on_path(name)).map(|(_, package)| *package).collect();
    if !absent.is_empty() {
        return Some(format!("{} not installed", absent.join(", ")));
    }
    // A container without privileges has root, and may nothing.
    let script =
        "umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup && mount -t tmpfs tmpfs /mnt";
    let tried = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc", "sh", "-c", script])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (!tried.status.success()).then(|| {
        format!("no mounts are allowed here ({})", String::from_utf8_lossy(&tried.stderr).trim().to_owned())
    })
}

fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

impl Base {
    /// The tree of `suite` with these packages, below `store`; made now where this week's is not there yet.
    pub fn debian(store: &Path, suite: &str, packages: &[&str]) -> Result<Base, String> {
        fs::create_dir_all(store).unwrap();
        let digest = Sha256::digest([&[suite], packages, LEFT_OUT].concat().join("\n"));
        let list: String = digest[..5].iter().map(|byte| format!("{byte:02x}")).collect();
        let prefix = format!("{suite}-{list}-week-");
        let tree = store.join(format!("{prefix}{}", week()));

        // One mmdebstrap at a time, whatever it makes; the others wait, and may find theirs.
        let making = File::create(store.join("making.lock")).unwrap();
        making.lock().unwrap();
        let in_use = File::create(tree.with_extension("lock")).unwrap();
        in_use.lock_shared().unwrap();
        let tree = match tree.is_dir() {
            true => tree,
            false => match (make(store, suite, packages, &tree), older(store, &prefix)) {
                (Ok(()), _) => tree,
                // Last week's serves a computer that is without a network now.
                (Err(why), Some(older)) => {
                    println!("using {}: {why}", older.display());
                    let in_use = File::create(older.with_extension("lock")).unwrap();
                    in_use.lock_shared().unwrap();
                    return Ok(Base { tree: older, _in_use: in_use });
                }
                (Err(why), None) => return Err(why),
            },
        };
        sweep(store, &prefix, &tree);
        Ok(Base { tree, _in_use: in_use })
    }
}

/// Weeks since the epoch, from Monday to Sunday.
fn week() -> u64 {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() / 86_400;
    (days + 3) / 7
}

fn make(store: &Path, suite: &str, packages: &[&str], tree: &Path) -> Result<(), String> {
    let partial = store.join("partial");
    let _ = fs::remove_dir_all(&partial);
    println!("making {}", tree.display());
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--mode=root", "--variant=apt", r#"--aptopt=Acquire::Languages "none""#]);
    command.args(apt_options().iter().map(|option| format!("--aptopt={option}")));
    command.args(LEFT_OUT.iter().map(|left_out| format!("--dpkgopt=path-exclude={left_out}")));
    command.arg(format!("--include={}", packages.join(",")));
    command.arg(suite).arg(&partial).args(sources(suite)).stdin(Stdio::null());
    let output = command.output().map_err(|error| format!("cannot run mmdebstrap: {error}"))?;
    if !output.status.success() {
        let _ = fs::remove_dir_all(&partial);
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = said.lines().rev().take(8).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        return Err(format!("mmdebstrap ended with {}: {}", output.status, last.join("\n")));
    }
    fs::rename(&partial, tree).map_err(|error| format!("cannot rename {}: {error}", partial.display()))
}

/// Where this computer's own apt gets the release from, its updates included. Nothing where it knows it not: mmdebstrap
/// has a default then.
fn sources(suite: &str) -> Vec<String> {
    // Named, as not every computer's apt trusts it without.
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let signed = if Path::new(keyring).exists() { format!("[signed-by={keyring}] ") } else { String::new() };
    let format = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)";
    let text = output("apt-get", &["indextargets", "--format", format, "Created-By: Packages"]);
    let mut found: Vec<String> = text
        .lines()
        .filter_map(|line| match line.split('|').collect::<Vec<_>>()[..] {
            ["Debian", uri, release, "main"]
                if release == suite || release.starts_with(&format!("{suite}-")) =>
            {
                Some(format!("deb {signed}{uri} {release} main"))
            }
            _ => None,
        })
        .collect();
    found.sort();
    found.dedup();
    // Updates alone are no release.
    let whole = found.iter().any(|line| line.ends_with(&format!(" {suite} main")));
    if whole { found } else { Vec::new() }
}

/// How this computer's apt reaches the network.
fn apt_options() -> Vec<String> {
    let wanted = ["Acquire::http::", "Acquire::https::", "Acquire::Check-Valid-Until"];
    let text = output("apt-config", &["dump"]);
    let set = |line: &&str| wanted.iter().any(|name| line.starts_with(name)) && !line.ends_with(" \"\";");
    text.lines().filter(set).map(|line| line.trim_end_matches(';').to_owned()).collect()
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).env("LC_ALL", "C").stdin(Stdio::null()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

fn trees(store: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(store).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    let mut found: Vec<PathBuf> = named.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn older(store: &Path, prefix: &str) -> Option<PathBuf> {
    trees(store, prefix).pop()
}

/// Removes the trees of other weeks that nobody uses.
fn sweep(store: &Path, prefix: &str, keep: &Path) {
    for tree in trees(store, prefix).iter().filter(|tree| *tree != keep) {
        let lock = tree.with_extension("lock");
        let unused = File::create(&lock).is_ok_and(|lock| lock.try_lock().is_ok());
        if unused && fs::remove_dir_all(tree).is_ok() {
            let _ = fs::remove_file(lock);
        }
    }
}

/// A folder for as long as its value lives; what killed tests have left goes at the same time.
pub fn scratch(store: &Path, kind: &str) -> tempfile::TempDir {
    for entry in fs::read_dir(store).unwrap().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let test = name.strip_prefix(SCRATCH).and_then(|rest| rest.split('-').next());
        if test.is_some_and(|test| !Path::new("/proc").join(test).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let prefix = format!("{SCRATCH}{}-{kind}-", std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(store).unwrap()
}

const SCRATCH: &str = "scratch-";
