//! Base trees of Debian releases: made by mmdebstrap, once a week for each recipe, and kept.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
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
    let absent = packages_without(&on_path);
    if !absent.is_empty() {
        return Some(format!("{} not installed", absent.join(", ")));
    }
    // A container without privileges has root, and may nothing.
    let script =
        "umount -R /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup && mount -t tmpfs tmpfs /mnt";
    let tried = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--pid", "--fork", "--mount-proc", "sh", "-c", script])
        .stdin(Stdio::null())
        .output();
    let tried = match tried {
        Ok(tried) => tried,
        Err(cause) => return Some(format!("unshare cannot be run: {cause}")),
    };
    (!tried.status.success()).then(|| {
        format!("no mounts are allowed here ({})", String::from_utf8_lossy(&tried.stderr).trim().to_owned())
    })
}

/// Each once, whichever of its programs is not there.
fn packages_without(there: &dyn Fn(&str) -> bool) -> Vec<&'static str> {
    let mut packages: Vec<&str> =
        PROGRAMS.iter().filter(|(name, _)| !there(name)).map(|(_, package)| *package).collect();
    packages.dedup();
    packages
}

fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// What a tree is made of.
#[derive(Debug, Clone, Copy)]
pub struct Recipe<'a> {
    pub suite: &'a str,
    /// Installed.
    pub packages: &'a [&'a str],
    /// Only fetched, with all that they need: a machine without a network can install them by apt.
    pub at_hand: &'a [&'a str],
    /// The release that a machine can be upgraded to: its lists of packages take the place of the first one's, and what an upgrade of
    /// the whole system needs is fetched.
    pub next: Option<&'a str>,
    /// Whether packages may install manual pages, documentation and translations.
    pub documentation: bool,
}

impl Recipe<'_> {
    fn left_out(&self) -> &'static [&'static str] {
        if self.documentation { &[] } else { LEFT_OUT }
    }

    fn digest(&self) -> String {
        let lists =
            [&[self.suite], self.packages, &["at hand, and what they recommend:"], self.at_hand, LEFT_OUT]
                .concat();
        let lists = [lists.as_slice(), self.next.as_slice()].concat();
        Sha256::digest(lists.join("\n"))[..5].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Base {
    /// The recipe's tree below `store`; made now where this week's is not there yet. `tell` hears what takes long.
    pub fn debian(store: &Path, recipe: &Recipe<'_>, tell: &dyn Fn(&str)) -> Result<Base> {
        fs::create_dir_all(store).with_context(|| format!("cannot create {}", store.display()))?;
        let prefix = format!("{}-{}-week-", recipe.suite, recipe.digest());
        let tree = store.join(format!("{prefix}{}", week()));

        // One mmdebstrap at a time, whatever it makes; the others wait, and may find theirs.
        let making = create(&store.join("making.lock"))?;
        making.lock().context("cannot lock making.lock")?;
        let in_use = held(&tree)?;
        let tree = match tree.is_dir() {
            true => tree,
            false => match (make(store, recipe, &tree, tell), older(store, &prefix)) {
                (Ok(()), _) => tree,
                // Last week's serves a computer that is without a network now.
                (Err(why), Some(older)) => {
                    tell(&format!("using {}: {why:#}", older.display()));
                    let in_use = held(&older)?;
                    return Ok(Base { tree: older, _in_use: in_use });
                }
                (Err(why), None) => return Err(why),
            },
        };
        sweep(store, &prefix, &tree);
        Ok(Base { tree, _in_use: in_use })
    }
}

/// Runs one script as root over the tree, not booted, with this computer's network and settings for pip and TLS; `binds` are writable.
/// What it changes elsewhere is gone afterwards.
pub fn run_over(base: &Base, store: &Path, script: &str, binds: &[(&Path, &str)]) -> Result<String> {
    let folder = scratch(store, "chroot")?;
    let binds = binds.iter().flat_map(|(here, there)| [here.as_os_str(), OsStr::new(*there)]);
    let told = |name: &str| {
        ["PIP_", "UV_", "SSL_", "HTTP", "http", "NO_PROXY", "no_proxy"]
            .iter()
            .any(|head| name.starts_with(head))
    };
    let output = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"])
        .args(["--pid", "--fork", "--kill-child=KILL", "sh", "-c", CHROOT, "chroot"])
        .args([base.tree.as_path(), folder.path(), Path::new(script)])
        .args(binds)
        .env_clear()
        .envs(std::env::vars().filter(|(name, _)| told(name)))
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .envs([("HOME", "/root"), ("LC_ALL", "C.UTF-8")])
        .stdin(Stdio::null())
        .output()
        .context("cannot run setpriv")?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned()),
        false => bail!("`{script}`: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()),
    }
}

const CHROOT: &str = include_str!("chroot.sh");

fn create(path: &Path) -> Result<File> {
    File::create(path).with_context(|| format!("cannot create {}", path.display()))
}

/// Not removed as long as this lives.
fn held(tree: &Path) -> Result<File> {
    let lock = create(&tree.with_extension("lock"))?;
    lock.lock_shared().with_context(|| format!("cannot lock {}", tree.display()))?;
    Ok(lock)
}

/// Weeks since the epoch, from Monday to Sunday.
fn week() -> u64 {
    let days = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 86_400;
    (days + 3) / 7
}

fn make(store: &Path, recipe: &Recipe<'_>, tree: &Path, tell: &dyn Fn(&str)) -> Result<()> {
    let partial = store.join("partial");
    let _ = fs::remove_dir_all(&partial);
    tell(&format!("making {}", tree.display()));
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--mode=root", "--variant=apt", r#"--aptopt=Acquire::Languages "none""#]);
    command.args(apt_options().iter().map(|option| format!("--aptopt={option}")));
    command.args(recipe.left_out().iter().map(|left_out| format!("--dpkgopt=path-exclude={left_out}")));
    command.arg(format!("--include={}", recipe.packages.join(",")));
    if !recipe.at_hand.is_empty() || recipe.next.is_some() {
        // mmdebstrap would empty the lists and the archives at its end.
        command.args(["--skip=cleanup/apt", "--aptopt=APT::Keep-Downloaded-Packages \"true\""]);
    }
    if !recipe.at_hand.is_empty() {
        // With what they recommend, as apt installs it.
        let fetch =
            format!("apt-get -y --install-recommends --download-only install {}", recipe.at_hand.join(" "));
        command.arg(format!(r#"--customize-hook=chroot "$1" {fetch}"#));
    }
    if let Some(next) = recipe.next {
        let lines = sources(next).join("\n");
        command.arg(format!(r#"--customize-hook=rm -f "$1"/etc/apt/sources.list.d/*; printf '%s\n' '{lines}' >"$1"/etc/apt/sources.list"#));
        for fetch in ["update", "-y --install-recommends --download-only full-upgrade"] {
            command.arg(format!(r#"--customize-hook=chroot "$1" apt-get {fetch}"#));
        }
    }
    command.arg(recipe.suite).arg(&partial).args(own_sources(recipe.suite)).stdin(Stdio::null());
    let output = command.output().context("cannot run mmdebstrap")?;
    if !output.status.success() {
        let _ = fs::remove_dir_all(&partial);
        let said = String::from_utf8_lossy(&output.stderr);
        let last: Vec<&str> = said.lines().rev().take(8).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        bail!("mmdebstrap ended with {}: {}", output.status, last.join("\n"));
    }
    fs::rename(&partial, tree).with_context(|| format!("cannot rename {}", partial.display()))
}

/// Where a release comes from, as lines of sources.list.
pub fn sources(suite: &str) -> Vec<String> {
    match own_sources(suite) {
        own if own.is_empty() => vec![format!("deb http://deb.debian.org/debian {suite} main")],
        own => own,
    }
}

/// Where this computer's own apt gets the release from, its updates included. Nothing where it knows it not: mmdebstrap
/// has a default then.
fn own_sources(suite: &str) -> Vec<String> {
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

/// A folder for as long as its value lives; what killed processes have left goes at the same time.
pub fn scratch(store: &Path, kind: &str) -> Result<tempfile::TempDir> {
    for entry in fs::read_dir(store).with_context(|| format!("cannot list {}", store.display()))?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name.strip_prefix(SCRATCH).and_then(|rest| rest.split('-').next());
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let prefix = format!("{SCRATCH}{}-{kind}-", std::process::id());
    tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir_in(store)
        .with_context(|| format!("cannot create a folder in {}", store.display()))
}

const SCRATCH: &str = "scratch-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_package_of_several_programs_is_named_once() {
        assert_eq!(packages_without(&|_| false), ["mmdebstrap", "systemd-container", "util-linux"]);
        assert_eq!(packages_without(&|name| name != "nsenter"), ["util-linux"]);
        assert!(packages_without(&|_| true).is_empty());
    }
}
