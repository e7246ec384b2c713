//! Versions are published while somebody reads: at no instant may they find half of it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use xshell::cmd;

use super::Scenario;
use super::guest::{DNF, Guest, OURS};
use super::packages::URL;
use super::system::Manager;
use crate::repo::{self, Site};
use crate::tools::Tools;
use crate::{shell, ui};

pub(super) const SCENARIOS: &[Scenario] =
    &[Scenario { name: "read while it is published", run: read_while_it_changes }];

const VERSIONS: u32 = 50;

/// A busy machine reads slower than is published; then more versions are, until it was read this often.
const READS: u32 = 10;
const AT_ONCE: u32 = 10;
const AT_MOST: u32 = 20 * VERSIONS;

/// Asks for news, installs the newest and removes it, over and over; what did not go well is kept.
fn reader(guest: &Guest<'_>) -> Result<String> {
    let (install, remove) = match guest.system.manager {
        Manager::Apt => (
            format!(
                "apt-get clean; apt-get {OURS} -o Acquire::Retries=0 update && apt-get {OURS} -y install probe"
            ),
            "dpkg -r probe",
        ),
        Manager::Dnf => {
            let dnf = if guest.system.has_dnf5() { "dnf5" } else { "dnf" };
            (format!("{dnf} {DNF} --setopt=retries=1 --refresh install probe"), "rpm -e probe")
        }
        Manager::Pacman | Manager::Flatpak => bail!("nobody promises that of its repositories"),
    };
    // apt goes on after a warning with what it had.
    Ok(format!(
        "all=0; bad=0
         while [ ! -e /run/published ]; do
             all=$((all + 1))
             if ! {{ {install}; }} >/run/said 2>&1 || grep -q '^[WE]: ' /run/said; then bad=$((bad + 1)); cp /run/said /run/bad; fi
             {remove} >/dev/null 2>&1 || :
             echo $all $bad >/run/count.new; mv /run/count.new /run/count
         done"
    ))
}

fn read_while_it_changes(guest: &Guest<'_>) -> Result<()> {
    let name = guest.system.name().replace(' ', "-");
    let dir = guest.packages.published().join(&name);
    let tools = Tools { folder: dir.join("tools") };
    let site = || Site { keep: Some(3), ..Site::new(&guest.packages.key, URL, "mathesar", &tools) };
    let first = probe(guest, &dir, 1)?;
    repo::build(&Site { packages: &[first], ..site() }, &dir.join("site"))?;
    guest.serve(&format!("/srv/published/{name}/site"))?;
    guest.add_repository()?;
    fs::write(dir.join("reader"), reader(guest)?).context("cannot write a script")?;
    guest.sh(&format!(
        "rm -f /run/published /run/count /run/bad
         systemd-run --quiet --collect --unit=reader sh -uc '. /srv/published/{name}/reader'"
    ))?;
    let mut published = 0;
    while published < VERSIONS || (published < AT_MOST && counted(guest)?.0 < READS) {
        for _ in 0..AT_ONCE {
            published += 1;
            let package = probe(guest, &dir, published + 1)?;
            repo::add(&Site { packages: &[package], quiet: true, ..site() }, &dir.join("site"))?;
        }
    }
    guest.sh("touch /run/published; while systemctl -q is-active reader; do sleep 0.1; done")?;
    let (all, bad) = counted(guest)?;
    let newest = format!("{}", published + 1);
    let last = guest.sh(&format!("rm /run/published; {{ {}; }} 2>&1", reader_once(guest)?))?;
    guest.serve("/srv/repositories")?;
    guest.sh("rm -rf /var/cache/dnf /var/cache/libdnf5 /var/lib/apt/lists/*127.0.0.1*")?;
    ui::verb(
        "Read",
        format_args!("{name}: {all} times while {published} versions were published, {bad} failures"),
    );
    ensure!(bad == 0, "{bad} of {all} readers found half of it: {}", guest.sh("cat /run/bad")?);
    ensure!(all >= READS, "read only {all} times");
    ensure!(last.contains(&newest), "the newest version is not what is installed: {last}");
    Ok(())
}

/// How often it has read so far, and how often in vain.
fn counted(guest: &Guest<'_>) -> Result<(u32, u32)> {
    // Replaced as a whole by its writer; before the first time there is none.
    let count = guest.sh("cat /run/count 2>/dev/null || echo 0 0")?;
    let numbers = count.trim().split_once(' ').context("the reader has counted nothing")?;
    Ok((numbers.0.parse()?, numbers.1.parse()?))
}

/// Once more, when all is published.
fn reader_once(guest: &Guest<'_>) -> Result<String> {
    Ok(match guest.system.manager {
        Manager::Apt => format!(
            "apt-get {OURS} update; apt-get {OURS} -y install probe; dpkg-query -W probe; dpkg -r probe"
        ),
        _ => {
            let dnf = if guest.system.has_dnf5() { "dnf5" } else { "dnf" };
            format!("{dnf} {DNF} --refresh install probe; rpm -q probe; rpm -e probe")
        }
    })
}

/// A package of next to nothing.
pub(super) fn probe(guest: &Guest<'_>, dir: &Path, version: u32) -> Result<PathBuf> {
    let work = dir.join("work");
    crate::files::remove(&work)?;
    fs::create_dir_all(work.join("tree/DEBIAN")).context("cannot create a folder for a package")?;
    let shell = shell::at(&work)?;
    let version = version.to_string();
    if guest.system.manager == Manager::Apt {
        let control = format!(
            "Package: probe\nVersion: {version}-1\nArchitecture: all\nMaintainer: A <a@localhost>\nDescription: x\n"
        );
        fs::write(work.join("tree/DEBIAN/control"), control).context("cannot write a package")?;
        let deb = dir.join(format!("probe_{version}-1_all.deb"));
        cmd!(shell, "dpkg-deb --root-owner-group --build tree {deb}").quiet().ignore_stdout().run()?;
        return Ok(deb);
    }
    if guest.system.manager == Manager::Pacman {
        let info = format!(
            "pkgname = probe\npkgver = {version}-1\npkgdesc = x\nsize = 0\narch = x86_64\nbuilddate = 1\n"
        );
        fs::write(work.join(".PKGINFO"), info).context("cannot write a package")?;
        let package = dir.join(format!("probe-{version}-1-x86_64.pkg.tar.zst"));
        cmd!(shell, "bsdtar --zstd -cf {package} .PKGINFO").quiet().run()?;
        return Ok(package);
    }
    let spec = work.join("probe.spec");
    let text = format!(
        "Name: probe\nVersion: {version}\nRelease: 1\nSummary: x\nLicense: MIT\nBuildArch: noarch\n%description\nx\n%files\n"
    );
    fs::write(&spec, text).context("cannot write a spec file")?;
    let (top, out) = (format!("_topdir {}", work.display()), format!("_rpmdir {}", dir.display()));
    let flat = "_rpmfilename %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm";
    cmd!(shell, "rpmbuild -bb --quiet --define {top} --define {out} --define {flat} {spec}")
        .quiet()
        .ignore_stderr()
        .run()?;
    Ok(dir.join(format!("probe-{version}-1.noarch.rpm")))
}
