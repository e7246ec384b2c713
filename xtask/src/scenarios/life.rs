//! One life of an installation, from the first `install` to the purge.

use anyhow::{Result, ensure};

use super::Scenario;
use super::guest::{Act, Guest, holds};
use super::system::Manager;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario { name: "first install", run: first_install },
    Scenario { name: "first start", run: first_start },
    Scenario { name: "data and a reboot", run: data },
    Scenario { name: "next revision, settings edited", run: next_revision },
    Scenario { name: "next version", run: next_version },
    Scenario { name: "a broken version", run: broken_version },
    Scenario { name: "downgrade", run: downgrade },
    Scenario { name: "reinstall", run: reinstall },
    Scenario { name: "remove", run: remove },
    Scenario { name: "install again", run: install_again },
    Scenario { name: "purge", run: purge },
];

/// Other package managers than apt know none; it is the last.
pub(super) fn without_purge() -> &'static [Scenario] {
    SCENARIOS.split_last().map_or(&[], |(_, rest)| rest)
}

/// Somebody's data.
pub(super) const CATS: &str = "CREATE TABLE cats (id int GENERATED ALWAYS AS IDENTITY, name text); INSERT INTO cats (name) VALUES ('Mia'), ('Tom')";

/// A first version that serves, with somebody's data in it.
pub(super) fn begun(guest: &Guest<'_>) -> Result<()> {
    guest.add_repository()?;
    guest.managed(Act::Install("1.0.0-1"))?;
    guest.sh("mathesar start")?;
    guest.serves("1.0.0")?;
    guest.sql(CATS)?;
    rows(guest)
}

const CONF: &str = "/etc/mathesar/mathesar.conf";
const EDIT: &str = "# edited by hand";

pub(super) fn rows(guest: &Guest<'_>) -> Result<()> {
    let found = guest.sql("SELECT string_agg(name, ' ' ORDER BY id) FROM cats")?;
    ensure!(found == "Mia Tom", "the rows are `{found}`");
    Ok(())
}

fn first_install(guest: &Guest<'_>) -> Result<()> {
    guest.add_repository()?;
    guest.managed(Act::Install("1.0.0-1"))?;
    installed(guest)?;
    ensure!(
        guest.property("ActiveState")? == "inactive",
        "it was started, which the policy leaves to a person"
    );
    folders(guest)?;
    units(guest)
}

/// By tmpfiles.d, before the first start: commands that run as the service's user may come before it.
fn folders(guest: &Guest<'_>) -> Result<()> {
    for path in ["/var/lib/mathesar", "/var/cache/mathesar"] {
        let found = guest.try_sh(&format!("stat -c '%U:%G %a' {path}"))?;
        ensure!(found.out == "mathesar:mathesar 750", "{path}: {}", found.told());
    }
    Ok(())
}

/// All that the package brings, its templates as an instance. A setting that systemd does not know is a warning, and it exits with 0.
fn units(guest: &Guest<'_>) -> Result<()> {
    let units = "mathesar.service mathesar@two.service mathesar-backup.service mathesar-backup@two.service \
                 mathesar-backup.timer mathesar-backup@two.timer";
    let verified = guest.try_sh(&format!("systemd-analyze --man=no verify {units}"))?;
    let silent = verified.out.is_empty() && verified.err.is_empty();
    ensure!(verified.code == Some(0) && silent, "systemd-analyze verify: {}", verified.told());
    Ok(())
}

/// What the package brings is where and as it should be.
pub(super) fn installed(guest: &Guest<'_>) -> Result<()> {
    guest.sh("getent passwd mathesar")?;
    for (path, wanted) in [
        (CONF, "root:mathesar 640"),
        ("/etc/mathesar", "root:root 755"),
        ("/usr/bin/mathesar", "root:root 755"),
    ] {
        let found = guest.try_sh(&format!("stat -c '%U:%G %a' {path}"))?;
        ensure!(found.out == wanted, "{path}: {}", found.told());
    }
    // With rpm, a preset of the distribution's decides; there is none, and systemd then enables everything.
    let wanted = match guest.system.manager {
        Manager::Apt => "enabled\ndisabled",
        Manager::Dnf => "enabled\nenabled",
        // Flatpak has no unit, and scenarios of its own.
        Manager::Pacman | Manager::Flatpak => "disabled\ndisabled",
    };
    let enabled = guest.try_sh("systemctl is-enabled mathesar mathesar-backup.timer")?;
    ensure!(enabled.out == wanted, "enabled: {}", enabled.told());
    let verified = guest.sh(match guest.system.manager {
        Manager::Flatpak => ":",
        Manager::Apt => "apt-get check -qq; dpkg --verify mathesar",
        Manager::Dnf => "rpm -V mathesar",
        // Quiet: what is wrong, and nothing else.
        Manager::Pacman => "pacman -Qkkq $(pacman -Qq | grep ^mathesar) || :",
    })?;
    // tmpfiles.d gives the settings to the service's group, whose number no pacman package can know.
    let known = guest.system.manager == Manager::Pacman
        && verified.split_once(' ').is_some_and(|(_, path)| path == CONF);
    ensure!(verified.is_empty() || known, "{verified}");
    Ok(())
}

/// Nothing to find.
pub(super) fn doctor(guest: &Guest<'_>) -> Result<()> {
    let doctor = guest.try_sh("mathesar doctor 2>&1")?;
    ensure!(doctor.code == Some(0), "mathesar doctor: {}", doctor.told());
    Ok(())
}

/// Nobody comes in without a password: neither as the service's user by its name, nor anybody else. Root may enter the folder and the
/// socket, so that nothing but pg_hba.conf stands in its way.
fn closed(guest: &Guest<'_>) -> Result<()> {
    for (user, role, says) in [
        ("mathesar", "mathesar_launcher", "no password supplied"),
        ("mathesar", "postgres", "no password supplied"),
        ("root", "mathesar_launcher", "no password supplied"),
        ("root", "mathesar", "Peer authentication failed for user \"mathesar\""),
        ("nobody", "mathesar", "Permission denied"),
    ] {
        let ran = guest.try_sh(&format!(
            "cd /; runuser -u {user} -- env LC_ALL=C psql -XAtqw -h /run/mathesar -U {role} -d mathesar -c 'SELECT 1' 2>&1"
        ))?;
        ensure!(ran.code != Some(0), "{user} came in as {role}: {}", ran.told());
        holds(&ran.out, says)?;
    }
    Ok(())
}

fn first_start(guest: &Guest<'_>) -> Result<()> {
    guest.sh("mathesar start")?;
    guest.serves("1.0.0")?;
    ensure!(guest.property("ActiveState")? == "active", "the service is not active");
    let status = guest.status()?;
    let version = status["database"]["postgresql"].as_str().unwrap_or_default().to_owned();
    let major = format!("{}.", guest.system.postgresql);
    ensure!(version.starts_with(&major), "it runs PostgreSQL {version}, and the system's is {major}x");
    let who = guest.sh("ps -o user= -p $(systemctl show --value -p MainPID mathesar)")?;
    ensure!(who.trim() == "mathesar", "it runs as {who}");
    let score = guest.sh("systemd-analyze security --no-pager mathesar.service | tail -1")?;
    let number = score.split_whitespace().find_map(|word| word.parse::<f64>().ok());
    ensure!(number.is_some_and(|number| number <= 1.5), "{score}");
    // Nobody can take it over: the administrator is there, with a password that only root and the service read.
    let password = "/var/lib/mathesar/secrets/initial-admin-password";
    ensure!(guest.sh(&format!("stat -c '%U %a' {password}"))? == "mathesar 600", "{password}");
    let first =
        guest.sh("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:8000/complete_installation/")?;
    ensure!(["302", "403"].contains(&first.as_str()), "the first page answers {first}");
    closed(guest)?;
    doctor(guest)
}

fn data(guest: &Guest<'_>) -> Result<()> {
    guest.sql(CATS)?;
    rows(guest)?;
    if guest.system.manager == Manager::Pacman {
        guest.sh("systemctl enable mathesar")?;
    }
    guest.reboot()?;
    guest.serves("1.0.0")?;
    rows(guest)
}

fn next_revision(guest: &Guest<'_>) -> Result<()> {
    edit(guest)?;
    guest.sh("mathesar config set server.workers 1")?;
    let edited =
        guest.sh(&format!("sha256sum {CONF} /etc/mathesar/conf.d/* 2>/dev/null || sha256sum {CONF}"))?;
    let before = guest.property("InvocationID")?;
    let said = guest.managed(Act::Install("1.0.0-2"))?;
    guest.upgraded(&said)?;
    guest.serves("1.0.0")?;
    let after =
        guest.sh(&format!("sha256sum {CONF} /etc/mathesar/conf.d/* 2>/dev/null || sha256sum {CONF}"))?;
    ensure!(edited == after, "the settings are others: {said}");
    ensure!(before != guest.property("InvocationID")?, "it was not restarted");
    let starts = "journalctl -b -u mathesar -o cat | grep -c '^Started mathesar'";
    ensure!(guest.sh(starts)? == "2", "it was restarted more than once: {}", guest.evidence());
    rows(guest)
}

fn next_version(guest: &Guest<'_>) -> Result<()> {
    guest.upgraded(&guest.managed(Act::Install("2.0.0-1"))?)?;
    // The old one serves until the new one is ready.
    let status = guest.status()?;
    ensure!(status["version"] == "1.0.0" || status["version"] == "2.0.0", "{status}");
    guest.serves("2.0.0")?;
    holds(&guest.sh(&format!("cat {CONF}"))?, EDIT)?;
    rows(guest)
}

fn broken_version(guest: &Guest<'_>) -> Result<()> {
    guest.upgraded(&guest.managed(Act::Install("3.0.0-1"))?)?;
    guest.until("the upgrade was tried", || {
        let status = guest.status()?;
        Ok(status["pending"].to_string().contains("always fails half-way") && status["state"] == "running")
    })?;
    guest.serves("2.0.0")?;
    holds(&guest.sh("journalctl -b -u mathesar -o cat")?, "the upgrade to Mathesar 3.0.0 failed")?;
    rows(guest)
}

fn downgrade(guest: &Guest<'_>) -> Result<()> {
    if guest.system.manager == Manager::Apt {
        let refused = guest.manage(Act::Install("2.0.0-1"))?;
        ensure!(refused.code != Some(0), "a downgrade without a word: {}", refused.told());
        holds(&refused.out, "--allow-downgrades")?;
    }
    guest.upgraded(&guest.managed(Act::Downgrade("2.0.0-1"))?)?;
    guest.serves("2.0.0")?;
    let status = guest.status()?;
    ensure!(!status["pending"].to_string().contains("3.0.0"), "{status}");
    rows(guest)
}

fn reinstall(guest: &Guest<'_>) -> Result<()> {
    guest.managed(Act::Reinstall("2.0.0-1"))?;
    guest.serves("2.0.0")?;
    holds(&guest.sh(&format!("cat {CONF}"))?, EDIT)?;
    rows(guest)
}

fn remove(guest: &Guest<'_>) -> Result<()> {
    guest.managed(Act::Remove)?;
    let left = guest.try_sh("pgrep -u mathesar -a")?;
    ensure!(left.code == Some(1), "processes are left: {}", left.told());
    edited_file_is_kept(guest)?;
    guest.sh("test -e /var/lib/mathesar/database/data/PG_VERSION; test ! -e /usr/bin/mathesar")?;
    Ok(())
}

fn install_again(guest: &Guest<'_>) -> Result<()> {
    guest.managed(Act::Install("2.0.0-1"))?;
    guest.sh("mathesar start")?;
    guest.serves("2.0.0")?;
    edited_file_is_kept(guest)?;
    rows(guest)
}

/// As an administrator does it, who expects to find it again.
pub(super) fn edit<P>(guest: &Guest<'_, P>) -> Result<()> {
    guest.sh(&format!("echo '{EDIT}' >>{CONF}")).map(drop)
}

/// Where the package manager puts it when it removes the package: rpm's lies beside.
pub(super) fn edited_file_is_kept<P>(guest: &Guest<'_, P>) -> Result<()> {
    let ending = match guest.system.manager {
        Manager::Apt | Manager::Flatpak => "",
        Manager::Dnf => ".rpmsave",
        Manager::Pacman => ".pacsave",
    };
    holds(&guest.sh(&format!("cat {CONF}{ending}"))?, EDIT)
}

fn purge(guest: &Guest<'_>) -> Result<()> {
    let said = guest.managed(Act::Purge)?;
    holds(&said, "kept /var/lib/mathesar: it holds data")?;
    holds(&said, "to delete it for good: rm -r /var/lib/mathesar/")?;
    guest.sh("test -e /var/lib/mathesar/database/data/PG_VERSION")?;
    let find = "find / -xdev -iname '*mathesar*' ! -path '/var/lib/mathesar*' ! -path '/proc/*' ! -path '/srv/*' ! -path '/usr/share/mathesar*' \
                ! -path '/var/log/journal/*' ! -path '/tmp/*' ! -name 'mathesar.sources' ! -name 'mathesar-archive-keyring.asc' ! -path '/var/lib/apt/*' ! -path '/var/cache/apt/*' 2>/dev/null";
    let left = guest.sh(find)?;
    ensure!(left.is_empty(), "left behind: {left}");
    let units = guest.sh(
        "systemctl list-unit-files --no-legend 'mathesar*' || :; systemctl list-units --all --no-legend 'mathesar*' || :",
    )?;
    ensure!(units.is_empty(), "systemd knows still: {units}");
    Ok(())
}
