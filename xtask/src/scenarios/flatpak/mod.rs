//! The Flatpak: our manifest built by flatpak-builder without a network, installed from a repository, and run, all by ordinary users.

mod sources;
mod stand_in;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::Scenario;
use super::guest::{Guest, holds};
use super::life::CATS;
use super::packages::URL;
use crate::channel::bundle;
use crate::repo::{self, Key};
use crate::template;
use crate::tools::Tools;

pub(super) use sources::gather;
pub(super) use stand_in::StandIn;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "Flatpak: build", run: build },
    Scenario { name: "Flatpak: install", run: install },
    Scenario { name: "Flatpak: first start", run: first_start },
    Scenario { name: "Flatpak: SIGTERM", run: sigterm },
    Scenario { name: "Flatpak: second start", run: second_start },
    Scenario { name: "Flatpak: update, another key", run: update },
    Scenario { name: "Flatpak: somebody else's repository", run: strangers },
    Scenario { name: "Flatpak: uninstall", run: uninstall },
    Scenario { name: "Flatpak: served, as its page says", run: served },
];

/// PostgreSQL and the launcher, compiled on a slow computer with others at work.
const COMPILING: Duration = Duration::from_secs(3600);

/// Where the machine sees what, besides the manifest.
pub(super) const MANIFEST: &str = "/srv/repositories/flatpak-manifest";
pub(super) const RUNTIME: &str = "/srv/flatpak/runtime";
pub(super) const SOURCES: &str = "/srv/flatpak/sources";
pub(super) const BUILD: &str = "/srv/flatpak/build";

/// What the machine sees of this computer: to read, and to write.
pub(crate) struct Parts {
    pub stand_in: StandIn,
    pub sources: PathBuf,
}

impl Parts {
    pub(super) fn binds(&self) -> Vec<(PathBuf, &'static str)> {
        vec![(self.stand_in.repository(), RUNTIME), (self.sources.clone(), SOURCES)]
    }

    pub(super) fn writable(&self) -> (PathBuf, &'static str) {
        (self.stand_in.build(), BUILD)
    }
}

/// Why there can be no sandbox on this computer, whose kernel the machine has.
pub(super) fn missing() -> Option<&'static str> {
    const NO_SANDBOX: &str = "ordinary users may make no user namespaces here, which bubblewrap needs";
    let tried = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .args(["unshare", "--user", "--map-root-user", "--mount", "true"])
        .current_dir("/")
        .stdin(Stdio::null())
        .output();
    let made = tried.is_ok_and(|tried| tried.status.success());
    (!made).then_some(NO_SANDBOX)
}

/// Whoever builds, and whoever uses it: two users of the machine, of whom the second has a session.
const USERS: &str = "\
# systemd-nspawn has its own mounts below /proc, and a user's sandbox may only mount a proc where a whole one is to be seen.
mount -t proc proc /proc
useradd --uid 2001 --no-create-home --home-dir /srv/flatpak/build/home builder
useradd --uid 2002 --create-home ada
systemctl start user@2002.service
install -d -o builder /srv/flatpak/build /srv/flatpak/build/home
";

/// Before the lines that build it everywhere. The folder keeps what has not changed since the last build.
const BUILDING: &str = "\
cd /srv/flatpak/build
export HOME=/srv/flatpak/build/home
# Who has not the right to make a sandbox hears it from bwrap itself.
bwrap --ro-bind / / --proc /proc --dev /dev --unshare-all true
flatpak remote-add --user --if-not-exists --no-gpg-verify stand-in file:///srv/flatpak/runtime
arch=$(uname -m) remote=stand-in sources=/srv/flatpak/sources bundle=made.flatpak
";

/// What of it this computer sees in the same folder.
const BUNDLE: &str = "made.flatpak";

fn build(guest: &Guest<'_>) -> Result<()> {
    let parts = guest.packages.flatpak.as_ref().context("no Flatpak was prepared")?;
    guest.sh(USERS)?;
    let _alone = parts.stand_in.alone()?;
    let id = id(guest)?;
    let manifest = format!("{MANIFEST}/{id}.yml");
    let script = format!("id={id} manifest={manifest}\n{BUILDING}{}", bundle::SCRIPT);
    let builder = format!("runuser -u builder -- sh -euc {} 2>&1", template::sh(&script));
    let built = guest.try_long(COMPILING, &builder)?;
    ensure!(built.code == Some(0), "flatpak-builder: {:?}\n{}", built.code, bundle::last_lines(&built.out));
    Ok(())
}

/// The application's name is the manifest's.
fn id(guest: &Guest<'_>) -> Result<String> {
    guest.sh(&format!("basename {MANIFEST}/*.yml .yml"))
}

/// As the second user, in its session.
fn try_ada(guest: &Guest<'_>, script: &str) -> Result<machines::Ran> {
    guest.sh_as(
        "ada",
        &format!(
            "cd; export HOME=/home/ada XDG_RUNTIME_DIR=/run/user/2002 DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/2002/bus\n{script}"
        ),
    )
}

fn ada(guest: &Guest<'_>, script: &str) -> Result<String> {
    try_ada(guest, script)?.ok().map_err(|told| anyhow::anyhow!("`{script}` as an ordinary user: {told}"))
}

/// The launcher in the sandbox that runs; another sandbox has its own /tmp, home and numbers of processes. What `flatpak enter` does not
/// bring along is the environment.
fn mathesar(guest: &Guest<'_>, arguments: &str) -> Result<String> {
    let id = id(guest)?;
    let own = format!("/home/ada/.var/app/{id}");
    ada(
        guest,
        &format!(
            "exec flatpak enter {id} env PATH=/app/bin:/usr/bin HOME=/home/ada XDG_DATA_HOME={own}/data XDG_CONFIG_HOME={own}/config \
             XDG_CACHE_HOME={own}/cache XDG_STATE_HOME={own}/.local/state mathesar {arguments}"
        ),
    )
}

/// What is published: by this computer, for a machine with this manifest.
struct Site {
    name: String,
    dir: PathBuf,
    tools: Tools,
}

impl Site {
    fn of(guest: &Guest<'_>) -> Result<Site> {
        let digest = guest.sh(&format!("cat {MANIFEST}/*.yml {MANIFEST}/*.json | sha256sum | head -c 10"))?;
        let name = format!("flatpak-{digest}");
        let dir = guest.packages.published().join(&name);
        Ok(Site { name, tools: Tools { folder: dir.join("tools") }, dir })
    }

    /// The bundle that was built last, as this revision.
    fn bundle(&self, guest: &Guest<'_>, revision: u32) -> Result<PathBuf> {
        let parts = guest.packages.flatpak.as_ref().context("no Flatpak was prepared")?;
        let (from, machine) = (parts.stand_in.build().join(BUNDLE), guest.sh("uname -m")?);
        let to = self.dir.join(format!("mathesar-1.0.0-{revision}-{machine}.flatpak"));
        fs::create_dir_all(&self.dir).with_context(|| format!("cannot create {}", self.dir.display()))?;
        fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(to)
    }

    fn by<'a>(&'a self, key: &'a Key, packages: &'a [PathBuf]) -> repo::Site<'a> {
        repo::Site { packages, quiet: true, ..repo::Site::new(key, URL, "mathesar", &self.tools) }
    }

    fn serve(&self, guest: &Guest<'_>, what: &str) -> Result<()> {
        guest.serve(&format!("/srv/published/{}/{what}", self.name))
    }

    /// The newest one's commit.
    fn newest(&self) -> Result<String> {
        let path = self.dir.join("site/flatpak/index.json");
        let text = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let index: serde_json::Value =
            serde_json::from_slice(&text).context("cannot understand index.json")?;
        let last =
            index["versions"].as_array().and_then(|all| all.last()?["commit"].as_str().map(str::to_owned));
        last.context("index.json has no version")
    }
}

fn install(guest: &Guest<'_>) -> Result<()> {
    let (id, site) = (id(guest)?, Site::of(guest)?);
    crate::files::remove(&site.dir)?;
    repo::build(&site.by(&guest.packages.key, &[site.bundle(guest, 1)?]), &site.dir.join("site"))?;
    site.serve(guest, "site")?;
    let parts = guest.packages.flatpak.as_ref().context("no Flatpak was prepared")?;
    let version = &parts.stand_in.version;
    // The page's own line but for what asks Flathub for the runtime: there is no network.
    ada(
        guest,
        &format!(
            "cd /
             flatpak remote-add --user --no-gpg-verify stand-in file://{RUNTIME}
             flatpak install --user --noninteractive stand-in org.freedesktop.Platform//{version}
             flatpak install --user --noninteractive --no-deps {URL}/flatpak/mathesar.flatpakref"
        ),
    )?;
    installed(guest, &site)?;
    let permissions = ada(guest, &format!("flatpak info --user --show-permissions {id}"))?;
    let permissions = permissions.trim().replace('\n', " ");
    ensure!(permissions == "[Context] shared=network;", "its permissions are {permissions}");
    // What a desktop shows.
    let shared = "/home/ada/.local/share/flatpak/exports/share";
    guest.sh(&format!("test -e {shared}/icons/hicolor/scalable/apps/{id}.svg"))?;
    holds(&guest.sh(&format!("cat {shared}/applications/{id}.desktop"))?, &format!("Icon={id}"))?;
    holds(&ada(guest, &format!("flatpak run --user {id} --version"))?, "Mathesar 1.0.0")
}

/// By the command of the desktop entry.
fn start(guest: &Guest<'_>) -> Result<()> {
    let id = id(guest)?;
    let entry = format!(".local/share/flatpak/exports/share/applications/{id}.desktop");
    ada(
        guest,
        &format!(
            "run=$(sed -n 's/^Exec=//p' {entry} | head -n 1)
             rm -f ended
             setsid sh -c \"$run >>said 2>&1; echo \\$? >ended\" </dev/null >/dev/null 2>&1 &"
        ),
    )?;
    serves(guest)
}

/// The page answers outside of the sandbox.
fn serves(guest: &Guest<'_>) -> Result<()> {
    let mut last = String::new();
    let answered = guest.until("Mathesar's page answers over loopback", || {
        last = guest
            .try_sh("curl -s -m 20 -o /dev/null -w '%{http_code}' http://127.0.0.1:8000/auth/login/")?
            .out;
        let ended = guest.try_sh("cat /home/ada/ended")?;
        ensure!(ended.code != Some(0), "it has ended with {}", ended.out);
        Ok(["200", "302"].contains(&last.as_str()))
    });
    answered.with_context(|| {
        let said = guest.sh("tail -n 25 /home/ada/said").unwrap_or_default();
        format!("the last answer was {last}, and it has said:\n{said}")
    })
}

fn first_start(guest: &Guest<'_>) -> Result<()> {
    // There is no network, and without a lock of Python's packages the manifest carries none.
    let cache = format!(".var/app/{}/cache/mathesar/wheels", id(guest)?);
    ada(guest, &format!("mkdir -p {cache}; cp /usr/share/mathesar/wheels/* {cache}"))?;
    start(guest)?;
    let server = guest.sh("readlink /proc/$(pgrep -u ada -o -x postgres)/exe")?;
    ensure!(server == "/app/bin/postgres", "the server is {server}");
    let status = mathesar(guest, "status --json")?;
    holds(&status, "\"1.0.0\"")?;
    sql(guest, CATS)?;
    rows(guest)
}

fn sql(guest: &Guest<'_>, statement: &str) -> Result<String> {
    mathesar(guest, &format!("db shell -- -XAtq -v ON_ERROR_STOP=1 -c {}", template::sh(statement)))
}

fn rows(guest: &Guest<'_>) -> Result<()> {
    let found = sql(guest, "SELECT string_agg(name, ' ' ORDER BY id) FROM cats")?;
    ensure!(found == "Mia Tom", "the rows are `{found}`");
    Ok(())
}

/// To the launcher, as a session that ends sends it.
fn sigterm(guest: &Guest<'_>) -> Result<()> {
    guest.sh("pkill -TERM -u ada -x mathesar")?;
    guest.until("`flatpak run` has ended", || Ok(guest.try_sh("cat /home/ada/ended")?.code == Some(0)))?;
    let status = guest.sh("cat /home/ada/ended")?;
    ensure!(status == "0", "it ended with {status}: {}", guest.sh("tail -n 25 /home/ada/said")?);
    let left = guest.try_sh("pgrep -u ada -a 'postgres|gunicorn|python|mathesar'")?;
    ensure!(left.code == Some(1), "processes are left: {}", left.told());
    let state = guest.sh(&format!("ls {}", data(guest)?.display()))?;
    ensure!(!state.contains("postmaster.pid"), "the database was not shut down: {state}");
    Ok(())
}

/// Of the cluster.
fn data(guest: &Guest<'_>) -> Result<PathBuf> {
    Ok(Path::new("/home/ada/.var/app").join(id(guest)?).join("data/mathesar/database/data"))
}

fn second_start(guest: &Guest<'_>) -> Result<()> {
    start(guest)?;
    rows(guest)?;
    sigterm(guest)
}

/// It is what was published last.
fn installed(guest: &Guest<'_>, site: &Site) -> Result<()> {
    let (found, newest) =
        (ada(guest, &format!("flatpak info --user --show-commit {}", id(guest)?))?, site.newest()?);
    ensure!(found.trim() == newest, "installed is {found}, and {newest} was published last");
    Ok(())
}

/// Two more versions: the next key is announced with the one and signs the other.
fn update(guest: &Guest<'_>) -> Result<()> {
    let (site, key) = (Site::of(guest)?, &guest.packages.key);
    let dir = site.dir.join("site");
    // gpg's agent listens there, and the path of a socket has to be short.
    let home = tempfile::tempdir().context("cannot create a temporary folder")?;
    let next = Key::throw_away(&home.path().join("keys"), "The next key")?;
    let second = [site.bundle(guest, 2)?];
    repo::add(&repo::Site { next: Some(&next), ..site.by(key, &second) }, &dir)?;
    let update = "flatpak update --user --noninteractive 2>&1";
    ada(guest, update)?;
    installed(guest, &site)?;
    repo::add(&site.by(&next, &[site.bundle(guest, 3)?]), &dir)?;
    repo::check(&site.by(&next, &[]), &dir)?;
    ada(guest, update)?;
    installed(guest, &site)?;
    second_start(guest)
}

fn strangers(guest: &Guest<'_>) -> Result<()> {
    let site = Site::of(guest)?;
    let home = tempfile::tempdir().context("cannot create a temporary folder")?;
    let stranger = Key::throw_away(&home.path().join("keys"), "Somebody else")?;
    repo::build(&site.by(&stranger, &[site.bundle(guest, 4)?]), &site.dir.join("strangers"))?;
    site.serve(guest, "strangers")?;
    // An update passes over a source that it cannot read; who asks for it is told why.
    let asked = try_ada(guest, "flatpak remote-ls --user mathesar 2>&1")?;
    ada(guest, "flatpak update --user --noninteractive 2>&1")?;
    site.serve(guest, "site")?;
    ensure!(asked.code != Some(0), "it is read: {}", asked.told());
    holds(&asked.told(), "public key not found")?;
    installed(guest, &site)
}

fn uninstall(guest: &Guest<'_>) -> Result<()> {
    let id = id(guest)?;
    ada(guest, &format!("flatpak uninstall --user --noninteractive {id}"))?;
    let gone = try_ada(guest, &format!("flatpak info --user {id}"))?;
    ensure!(gone.code != Some(0), "it is still installed: {}", gone.told());
    guest.sh(&format!("test -e {}/PG_VERSION", data(guest)?.display()))?;
    Ok(())
}

/// `verify --from`, tried on this bundle.
fn served(guest: &Guest<'_>) -> Result<()> {
    let bundle = Site::of(guest)?.bundle(guest, 1)?;
    super::served::itself::of_flatpak(guest, bundle, "1.0.0-1")
}
