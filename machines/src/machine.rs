//! One throw-away machine: a real systemd as process 1, over a base tree, without a network. It is gone with its value.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

use super::base::{Base, scratch};
use super::way::Way;

const BOOT: &str = include_str!("boot.sh");

/// Longer than anything takes that works.
pub const LIMIT: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub struct Machine {
    /// Of the namespaces: whatever runs in the machine ends with it.
    boot: Child,
    /// The machine's process 1, as this computer numbers it.
    leader: Cell<u32>,
    folder: tempfile::TempDir,
    name: String,
    _base: Base,
}

/// How a command in the machine ended.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    /// Standard output, trimmed at its end.
    pub out: String,
    pub err: String,
}

impl Ran {
    /// Its output; whatever it was, its error output and status where it failed.
    pub fn ok(self) -> std::result::Result<String, String> {
        if self.code == Some(0) { Ok(self.out) } else { Err(self.told()) }
    }

    pub fn told(&self) -> String {
        let Ran { code, out, err } = self;
        format!("status {code:?}\n{out}\n{err}")
    }
}

/// What a computer's folders become in the machine.
pub type Binds<'a> = &'a [(&'a Path, &'a str)];

impl Machine {
    /// Boots, and comes back when everything is up that the base enables. `binds` are read-only.
    pub fn boot(base: Base, store: &Path, binds: Binds<'_>) -> Result<Machine> {
        Machine::boot_with(base, store, binds, &[])
    }

    /// The same with folders that the machine writes to: what outlives it, and what is too large for the memory.
    pub fn boot_with(base: Base, store: &Path, binds: Binds<'_>, writable: Binds<'_>) -> Result<Machine> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        sweep_groups();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{GROUP}{}-{number}", std::process::id());
        let folder = scratch(store, "machine")?;
        let console =
            File::create(folder.path().join("console")).context("cannot create a console's file")?;
        let disk = folder.path().join("disk");
        fs::create_dir(&disk).context("cannot create a disk's folder")?;
        let option =
            |name: &str, (here, there): &(&Path, &str)| format!("--{name}={}:{there}", here.display());
        let binds = binds.iter().map(|bind| option("bind-ro", bind));
        let binds = binds.chain(writable.iter().map(|bind| option("bind", bind)));
        // Whoever is killed takes its machine along.
        let boot = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private"])
            .args(["--pid", "--fork", "--kill-child=KILL", "--mount-proc", "sh", "-c", BOOT, "boot"])
            .args([base.tree.as_path(), &disk, Path::new(&name)])
            .args(binds)
            .stdin(Stdio::null())
            .stdout(console.try_clone().context("cannot share a console's file")?)
            .stderr(console)
            .spawn()
            .context("cannot run setpriv")?;
        let machine = Machine { boot, leader: Cell::new(0), folder, name, _base: base };
        machine.wait_until_up()?;
        Ok(machine)
    }

    fn wait_until_up(&self) -> Result<()> {
        let former = self.leader.get();
        let up = until(|| {
            let leader = descendant(self.boot.id(), "systemd").filter(|leader| *leader != former)?;
            self.leader.set(leader);
            let state = self.try_sh("systemctl is-system-running --wait").ok()?;
            // `degraded`: a unit failed, which may be the one that is tested.
            ["running", "degraded"].contains(&state.out.as_str()).then_some(())
        });
        match up {
            Some(()) => Ok(()),
            None => bail!("the machine did not come up:\n{}", self.console()),
        }
    }

    /// What the boots and the shutdowns printed.
    pub fn console(&self) -> String {
        let bytes = fs::read(self.folder.path().join("console")).unwrap_or_default();
        anstream::adapter::strip_str(&String::from_utf8_lossy(&bytes)).to_string()
    }

    /// Runs a shell script as root, however it ends.
    pub fn try_sh(&self, script: &str) -> Result<Ran> {
        self.run(&["sh", "-euc", script], "")
    }

    /// The same, for one that has to end well.
    pub fn sh(&self, script: &str) -> Result<String> {
        match self.try_sh(script)?.ok() {
            Ok(out) => Ok(out),
            Err(told) => bail!("`{script}` in the machine: {told}"),
        }
    }

    /// Runs a shell script as another user.
    pub fn sh_as(&self, user: &str, script: &str) -> Result<Ran> {
        self.run(&["runuser", "-u", user, "--", "sh", "-euc", script], "")
    }

    /// Runs a shell script as root that may take longer than `LIMIT`, however it ends.
    pub fn try_long(&self, limit: Duration, script: &str) -> Result<Ran> {
        self.run_for(limit, &["sh", "-euc", script], "")
    }

    /// Runs a program that reads `input`, in a clean environment.
    pub fn run(&self, command: &[&str], input: &str) -> Result<Ran> {
        self.run_for(LIMIT, command, input)
    }

    fn run_for(&self, limit: Duration, command: &[&str], input: &str) -> Result<Ran> {
        let limit = limit.as_secs().to_string();
        let mut child = Command::new("nsenter")
            .args(["--target", &self.leader.get().to_string(), "--mount", "--uts", "--ipc", "--net", "--pid"])
            .args(["--cgroup", "--root", "--wd", "env", "-i", "LC_ALL=C.UTF-8", "HOME=/root"])
            .args(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "timeout", &limit])
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run nsenter")?;
        let stdin = child.stdin.take();
        let input = input.to_owned();
        // Who does not read says why by its status.
        let writer =
            std::thread::spawn(move || stdin.map(|mut stdin| drop(stdin.write_all(input.as_bytes()))));
        let output = child.wait_with_output().context("cannot wait for nsenter")?;
        let _ = writer.join();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
        Ok(Ran { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) })
    }

    /// Writes a file, and the folders that lead there.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        match self.run(&["install", "-D", "-m", "644", "/dev/stdin", path], text)?.ok() {
            Ok(_) => Ok(()),
            Err(told) => bail!("cannot write {path} in the machine: {told}"),
        }
    }

    /// From an address in the machine to a host and port of this computer's, or beyond it: until the value is gone, or the machine reboots.
    pub fn way(&self, at: SocketAddr, to: (String, u16)) -> Result<Way> {
        let network = format!("/proc/{}/ns/net", self.leader.get());
        // A thread of its own goes there and ends; what it has bound stays in the machine's network.
        let bound = std::thread::spawn(move || -> Result<TcpListener> {
            let network = File::open(&network).with_context(|| format!("cannot open {network}"))?;
            let kind = rustix::thread::LinkNameSpaceType::Network;
            rustix::thread::move_into_link_name_space(network.as_fd(), Some(kind))
                .context("cannot enter the machine's network")?;
            TcpListener::bind(at).with_context(|| format!("cannot listen on {at} in the machine"))
        });
        match bound.join() {
            Ok(listener) => Ok(Way::open(listener?, to)),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Shuts down in good order and boots again; what was written stays.
    pub fn reboot(&self) -> Result<()> {
        self.sh("systemctl reboot")?;
        self.wait_until_up()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // In good order only when all went well: its end is as much a test as its start.
        if !std::thread::panicking() {
            let _ = self.try_sh("systemctl poweroff");
            let ended = until(|| self.boot.try_wait().ok().flatten());
            if ended.is_some_and(|status| status.success()) {
                return;
            }
            anstream::eprintln!("the machine did not power off:\n{}", self.console());
        }
        let _ = self.boot.kill();
        let _ = self.boot.wait();
        // The last of its processes ends a moment later.
        if let Some(group) = hierarchy().map(|hierarchy| hierarchy.join(&self.name)) {
            until(|| {
                remove_groups(&group);
                (!group.exists()).then_some(())
            });
        }
    }
}

/// Asks again and again, five times a second, up to the limit.
pub fn until<T>(mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + LIMIT;
    loop {
        match ask() {
            Some(answer) => return Some(answer),
            None if Instant::now() > end => return None,
            None => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

/// The first process of this name below another.
fn descendant(of: u32, name: &str) -> Option<u32> {
    let mut parents: Vec<u32> = vec![of];
    let processes = processes();
    while let Some(parent) = parents.pop() {
        for (process, found, _) in processes.iter().filter(|(_, _, its_parent)| *its_parent == parent) {
            if found == name {
                return Some(*process);
            }
            parents.push(*process);
        }
    }
    None
}

/// Number, name and parent of every process.
fn processes() -> Vec<(u32, String, u32)> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers
        .filter_map(|number| {
            let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
            let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
            Some((number, name.to_owned(), rest.split_whitespace().nth(1)?.parse().ok()?))
        })
        .collect()
}

const GROUP: &str = "mathesar-test-";

/// Where this computer's control groups of the second version are.
fn hierarchy() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    mounts.lines().find_map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        (words.get(2) == Some(&"cgroup2")).then(|| PathBuf::from(words[1]))
    })
}

/// Removes the control groups of machines whose test was killed.
fn sweep_groups() {
    let Some(hierarchy) = hierarchy() else { return };
    for entry in fs::read_dir(hierarchy).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let test = name.strip_prefix(GROUP).and_then(|rest| rest.split('-').next());
        if test.is_some_and(|test| !Path::new("/proc").join(test).exists()) {
            remove_groups(&entry.path());
        }
    }
}

/// One that is in use stays.
fn remove_groups(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}
