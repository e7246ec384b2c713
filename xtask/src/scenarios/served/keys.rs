//! Whose packages a machine takes.

use anyhow::{Context as _, Result, ensure};

use super::visit::Served;
use crate::repo::Key;
use crate::scenarios::guest::Guest;
use crate::scenarios::system::Manager;
use crate::template::sh;
use crate::ui;

/// As gpg prints them, with spaces or without.
pub(super) fn parse(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|c| !c.is_whitespace()).collect();
    let digits = digits.trim_start_matches("0x").to_ascii_uppercase();
    match [40, 64].contains(&digits.len()) && digits.chars().all(|c| c.is_ascii_hexdigit()) {
        true => Ok(digits),
        false => Err(format!("{text} is no fingerprint: 40 hexadecimal digits")),
    }
}

/// The keys that the package manager believes about this repository, by their fingerprints.
pub(super) fn trusted(guest: &Guest<'_, Served>) -> Result<Vec<String>> {
    let url = sh(&guest.packages.at.url);
    let found = match guest.system.manager {
        // The file that the source names, as it is now: a package may have replaced it.
        Manager::Apt => shown(&guest.sh(&format!(
            "cat $(sed -n 's/^Signed-By: *//p' $(grep -lF {url} /etc/apt/sources.list.d/*))"
        ))?)?,
        Manager::Dnf => shown(&guest.sh("rpm -q gpg-pubkey --qf '%{DESCRIPTION}\n'")?)?,
        // Those that the machine's own key has certified: `f`.
        Manager::Pacman => fingerprints(
            &guest.sh("gpg --homedir /etc/pacman.d/gnupg --batch --with-colons --list-keys 2>/dev/null")?,
            |validity| validity == "f",
        ),
        Manager::Flatpak => shown(&super::flatpak::keys(guest)?)?,
    };
    ensure!(!found.is_empty(), "{} believes no key", guest.system.name());
    Ok(found)
}

/// By this computer's gpg, in a key ring of its own that stays empty.
fn shown(armored: &str) -> Result<Vec<String>> {
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    let file = folder.path().join("keys.asc");
    std::fs::write(&file, armored).context("cannot write a key")?;
    let file = file.to_str().context("the temporary folder's name is not UTF-8")?;
    let listed = Key::at(folder.path(), "").gpg(&["--with-colons", "--show-keys", file])?;
    Ok(fingerprints(&listed, |_| true))
}

/// Of the keys themselves, not of their parts, from gpg's list with colons (doc/DETAILS of GnuPG).
fn fingerprints(listed: &str, wanted: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    let mut awaited = false;
    for line in listed.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        match fields[0] {
            "pub" => awaited = wanted(fields.get(1).unwrap_or(&"")),
            "fpr" if awaited => {
                found.extend(fields.get(9).map(|fingerprint| (*fingerprint).to_owned()));
                awaited = false;
            }
            _ => {}
        }
    }
    found
}

/// All that are believed were told; more may have been told than sign now.
pub(super) fn judge(trusted: &[String], told: &[String]) -> Result<()> {
    let others: Vec<&str> =
        trusted.iter().filter(|key| !told.contains(key)).map(|key| key.as_str()).collect();
    ensure!(
        others.is_empty(),
        "it trusts {}, and the key is to be {}\nhelp: --key is the fingerprint as its owner tells it, not as the page does",
        others.join(", "),
        told.join(", ")
    );
    Ok(())
}

/// Where nobody has told it.
pub(super) fn warn(guest: &Guest<'_, Served>) -> Result<()> {
    let found = trusted(guest)?.join(",");
    ui::warning(format_args!("{} trusts {found} now, which was compared with nothing", guest.system.name()));
    ui::help(format_args!("if that is the key that you know: --key {found}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "0123456789ABCDEF0123456789ABCDEF01234567";

    #[test]
    fn fingerprints_are_read_as_people_write_them() {
        let spaced = "0123 4567 89AB CDEF 0123  4567 89AB CDEF 0123 4567";
        assert_eq!(parse(spaced).unwrap(), ONE);
        assert_eq!(parse(&format!("0x{}", ONE.to_lowercase())).unwrap(), ONE);
        for bad in ["", "01234567", "x123456789ABCDEF0123456789ABCDEF01234567"] {
            assert!(parse(bad).unwrap_err().contains("is no fingerprint"), "{bad}");
        }
    }

    #[test]
    fn keys_and_not_their_parts_are_listed() {
        let listed = "tru::1:1:0:3:1:5\npub:u:255:22:AA:1:::u:::scESC::::::23::0:\nfpr:::::::::MASTER:\n\
                      pub:f:255:22:BB:1:::-:::scESC::::::23::0:\nfpr:::::::::ONE:\nuid:f::::1::X::A::::::::::0:\n\
                      sub:f:255:22:CC:1::::::s::::::23:\nfpr:::::::::PART:\npub:-:255:22:DD:1:::-:::sc:\nfpr:::::::::TWO:\n";
        assert_eq!(fingerprints(listed, |_| true), ["MASTER", "ONE", "TWO"]);
        assert_eq!(fingerprints(listed, |validity| validity == "f"), ["ONE"]);
    }

    #[test]
    fn a_key_that_nobody_told_of_is_refused() {
        let (one, two) = (ONE.to_owned(), "F".repeat(40));
        assert!(judge(std::slice::from_ref(&one), &[two.clone(), one.clone()]).is_ok());
        let said = judge(&[one.clone(), two.clone()], &[one]).unwrap_err().to_string();
        assert!(said.starts_with(&format!("it trusts {two}, and")), "{said}");
    }
}
