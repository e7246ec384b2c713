//! The visitor of Flatpak's repository: an ordinary user of the machine, which reaches nothing but that. What the application runs on is
//! Flathub's, and left out; so it is installed, and not started.

use anyhow::{Result, ensure};

use super::visit::Served;
use crate::scenarios::guest::Guest;
use crate::template::sh;

/// A user with a session of its own. systemd-nspawn has its own mounts below /proc, and a sandbox may only mount a proc where a whole one is to
/// be seen.
const USER: &str = "\
id -u visitor >/dev/null 2>&1 || {
	mount -t proc proc /proc
	useradd --uid 2003 --create-home visitor
	systemctl start user@2003.service
}
";

/// Before the machine's own: nobody is there to be asked, and no runtime to be had.
pub(super) const PROGRAM: &str = "[ \"$1\" != install ] || { shift; set -- install --noninteractive --no-deps \"$@\"; }\nexec /usr/bin/flatpak \"$@\"";

pub(super) fn prepare(guest: &Guest<'_, Served>) -> Result<()> {
    guest.sh(USER).map(drop)
}

/// As that user.
pub(super) fn as_visitor(script: &str) -> String {
    format!(
        "cd /home/visitor; exec runuser -u visitor -- env HOME=/home/visitor LC_ALL=C.UTF-8 XDG_RUNTIME_DIR=/run/user/2003 \
         DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/2003/bus sh -euc {}",
        sh(script)
    )
}

fn ask(guest: &Guest<'_, Served>, script: &str) -> Result<String> {
    guest.sh(&as_visitor(script))
}

const APPLICATION: &str = "$(flatpak list --user --app --columns=application)";

/// Of the package, as the commit that is installed tells it.
pub(super) fn version(guest: &Guest<'_, Served>, name: &str) -> Result<String> {
    let subject = ask(guest, &format!("flatpak info --user {APPLICATION} | sed -n 's/^ *Subject: //p'"))?;
    let version = subject.strip_prefix(name).map(str::trim);
    ensure!(version.is_some_and(|version| !version.is_empty()), "what is installed is `{subject}`");
    Ok(version.unwrap_or_default().to_owned())
}

/// The keys by which flatpak judges the repository, armored. The checksum that armour may have at its end is left out.
pub(super) fn keys(guest: &Guest<'_, Served>) -> Result<String> {
    let text = ask(guest, "base64 .local/share/flatpak/repo/*.trustedkeys.gpg")?;
    Ok(format!("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\n{text}\n-----END PGP PUBLIC KEY BLOCK-----\n"))
}

pub(super) fn remove(guest: &Guest<'_, Served>) -> Result<()> {
    ask(guest, &format!("flatpak uninstall --user --noninteractive {APPLICATION} 2>&1"))?;
    let left = ask(guest, "flatpak list --user --app --columns=application")?;
    ensure!(left.is_empty(), "it is still installed: {left}");
    Ok(())
}
