//! `release keys`: whether the key that signs will be believed tomorrow, and in three months.

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use xshell::cmd;

use crate::{Refused, shell, ui};

/// Look whether the signing key is as it ought to be, and for how long
///
/// The certifying key is offline: only its signing subkey's secret is here. Both expire, and not within the next 90 days. No part of the key
/// is weak, and nothing about it is certified by SHA-1 or MD5, which apt in Debian 13 and rpm in Fedora no longer take. Ends with exit code 4
/// where something is wrong, each finding a line: to be run daily.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The certifying key's fingerprint, in gpg's key ring (GNUPGHOME)
    #[arg(value_name = "FINGERPRINT")]
    key: String,
    /// The key that is announced as the next one: looked at likewise, but where its secrets are
    #[arg(long, value_name = "FINGERPRINT")]
    next: Option<String>,
    /// How many days it has to go on being valid
    #[arg(long, value_name = "DAYS", default_value_t = 90)]
    days: i64,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let mut count = look(&args.key, Role::Signs, args.days)?;
    if let Some(next) = &args.next {
        count += look(next, Role::Announced, args.days)?;
    }
    match count {
        0 => {
            ui::verb("Checked", format_args!("nothing is wrong for {} days", args.days));
            Ok(())
        }
        count => {
            let keys = if args.next.is_some() { "these keys" } else { &args.key };
            Err(Refused(format!("{count} of what is wrong with {keys} will keep people from updates")).into())
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Signs,
    /// Its secrets may be anywhere.
    Announced,
}

/// How much is wrong with it, each told.
fn look(key: &str, role: Role, days: i64) -> Result<usize> {
    let shell = shell::at(std::path::Path::new("/"))?;
    let gpg = &["--batch", "--no-tty", "--quiet"];
    let (list, what, import) = match role {
        Role::Signs => ("--list-secret-keys", "secret key", "the signing subkey"),
        Role::Announced => ("--list-keys", "key", "it"),
    };
    let listed = cmd!(shell, "gpg {gpg...} --with-colons {list} {key}").quiet().ignore_stderr().read();
    let listed = listed.map_err(|_| {
        anyhow::anyhow!(
            "gpg has no {what} {key}\nhelp: import {import}: `gpg --import FILE`, see `gpg {list}`"
        )
    })?;
    let exported = cmd!(shell, "gpg {gpg...} --export {key}").quiet().output()?.stdout;
    let packets =
        cmd!(shell, "gpg {gpg...} --list-packets").stdin(&exported).quiet().ignore_stderr().read()?;
    let parts = parts(&listed)?;
    for part in &parts {
        ui::verb("Key", part.told(role));
    }
    let findings = judge(&parts, &packets, role, Timestamp::now(), days);
    for finding in &findings {
        ui::error(&anyhow::anyhow!("{finding}"));
    }
    Ok(findings.len())
}

/// The certifying key, or a subkey of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    primary: bool,
    id: String,
    /// As gpg numbers it (RFC 4880, section 9.1, and its successors).
    algorithm: u32,
    bits: u32,
    expires: Option<Timestamp>,
    /// Of gpg's view: revoked, expired, invalid.
    validity: char,
    signs: bool,
    secret: bool,
}

/// From `gpg --with-colons` and `--list-secret-keys` or `--list-keys` (doc/DETAILS of GnuPG).
fn parts(listed: &str) -> Result<Vec<Part>> {
    let mut all = Vec::new();
    let is_key = |line: &&str| ["sec:", "ssb:", "pub:", "sub:"].iter().any(|kind| line.starts_with(kind));
    for line in listed.lines().filter(is_key) {
        let fields: Vec<&str> = line.split(':').collect();
        let field = |number: usize| fields.get(number - 1).copied().unwrap_or_default();
        let number = |at: usize| field(at).parse().with_context(|| format!("cannot understand gpg: {line}"));
        let expires = match field(7) {
            "" => None,
            seconds => {
                Some(Timestamp::from_second(seconds.parse().context("cannot understand gpg's date")?)?)
            }
        };
        all.push(Part {
            primary: ["sec", "pub"].contains(&field(1)),
            id: field(5).to_owned(),
            algorithm: number(4)?,
            bits: number(3)?,
            expires,
            validity: field(2).chars().next().unwrap_or('-'),
            // Capitals are those of the whole key.
            signs: field(12).contains('s'),
            secret: field(1).starts_with('s') && field(1) != "sub" && field(15) != "#",
        });
    }
    anyhow::ensure!(all.iter().any(|part| part.primary), "gpg lists no key");
    Ok(all)
}

impl Part {
    fn name(&self) -> String {
        format!("{} {}", if self.primary { "the certifying key" } else { "the subkey" }, self.id)
    }

    fn told(&self, role: Role) -> String {
        let until = match self.expires {
            Some(time) => format!("until {}", time.strftime("%Y-%m-%d")),
            None => "for ever".to_owned(),
        };
        let place = match (role, self.secret) {
            (Role::Announced, _) => "announced",
            (Role::Signs, true) => "its secret is here",
            (Role::Signs, false) => "its secret is elsewhere",
        };
        format!("{}: {}, valid {until}, {place}", self.name(), self.kind())
    }

    fn kind(&self) -> String {
        match self.algorithm {
            1..=3 => format!("RSA {}", self.bits),
            17 => format!("DSA {}", self.bits),
            19 => format!("ECDSA {}", self.bits),
            22 | 27 => "Ed25519".to_owned(),
            28 => "Ed448".to_owned(),
            other => format!("algorithm {other}"),
        }
    }

    fn is_weak(&self) -> bool {
        match self.algorithm {
            1..=3 => self.bits < 3072,
            19 => self.bits < 256,
            22 | 27 | 28 => false,
            _ => true,
        }
    }

    fn is_gone(&self) -> bool {
        matches!(self.validity, 'r' | 'e' | 'i' | 'd')
    }
}

fn judge(parts: &[Part], packets: &str, role: Role, now: Timestamp, days: i64) -> Vec<String> {
    let mut all = Vec::new();
    let announced = role == Role::Announced;
    let signers: Vec<&Part> =
        parts.iter().filter(|part| part.signs && (part.secret || announced) && !part.is_gone()).collect();
    if signers.iter().all(|part| part.primary) {
        all.push(match signers.is_empty() {
            true if announced => "no part of it can sign\nhelp: gpg --quick-add-key FINGERPRINT ed25519 sign 1y".to_owned(),
            true => "no part of it can sign here\nhelp: import the signing subkey: `gpg --import FILE`".to_owned(),
            false => "the certifying key itself signs, as there is no signing subkey\nhelp: gpg --quick-add-key FINGERPRINT ed25519 sign 1y"
                .to_owned(),
        });
    }
    for part in parts.iter().filter(|part| part.primary) {
        if part.secret {
            all.push(format!(
                "the secret of {} is here, and whoever takes it can make any other one\nhelp: keep it offline: \
                 `gpg --export-secret-subkeys FINGERPRINT`, and import only that here",
                part.name()
            ));
        }
        if part.is_gone() {
            all.push(format!("{} is revoked or expired", part.name()));
        }
    }
    for part in parts.iter().filter(|part| part.primary || signers.contains(part)) {
        if part.is_weak() {
            all.push(format!("{} is weak: {}", part.name(), part.kind()));
        }
        match part.expires {
            None => all.push(format!(
                "{} never expires\nhelp: give it an end that you move in time: `gpg --quick-set-expire FINGERPRINT 2y`",
                part.name()
            )),
            Some(end) if end <= now => all.push(format!("{} has expired", part.name())),
            Some(end) if end <= now + SignedDuration::from_hours(24 * days) => {
                let left = (end.as_second() - now.as_second()) / (24 * 3600);
                all.push(format!(
                    "{} expires in {left} days\nhelp: `gpg --quick-set-expire FINGERPRINT 1y '*'` where its secret is, then publish \
                     the key again",
                    part.name()
                ));
            }
            Some(_) => {}
        }
    }
    // The number stands behind "digest algo" (RFC 4880, section 9.4).
    let digests =
        packets.lines().filter_map(|line| line.trim().strip_prefix("digest algo ")?.split(',').next());
    for (number, name) in [("1", "MD5"), ("2", "SHA-1"), ("3", "RIPEMD-160")] {
        if digests.clone().any(|digest| digest == number) {
            all.push(format!(
                "something about it is certified by {name}, which is no longer believed\nhelp: certify it again: `gpg --quick-set-expire \
                 FINGERPRINT 2y` where its secret is"
            ));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600;

    /// What gpg says of keys that were made for this, at this moment.
    const MADE: i64 = 1_795_659_753;
    const GOOD: &str = "sec:-:255:22:98357365D5302AC0:1795659753:1858731753::-:::cSC:::#::ed25519:::0:\n\
                        uid:-::::1795659753::B8::Off <o@localhost>::::::::::0:\n\
                        ssb:-:255:22:94E2D07C720186E6:1795659753:1827195753:::::s:::+::ed25519::\n";
    const PACKETS: &str =
        ":signature packet: algo 22, keyid 98357365D5302AC0\n\tdigest algo 8, begin of digest 77 40\n";

    fn judged(listed: &str, packets: &str, after_days: i64) -> Vec<String> {
        let now = Timestamp::from_second(MADE + after_days * DAY).unwrap();
        let first = |finding: String| finding.lines().next().unwrap().to_owned();
        judge(&parts(listed).unwrap(), packets, Role::Signs, now, 90).into_iter().map(first).collect()
    }

    #[test]
    fn a_good_key_is_good_until_90_days_before_its_end() {
        assert_eq!(judged(GOOD, PACKETS, 0), [""; 0]);
        assert_eq!(judged(GOOD, PACKETS, 274), [""; 0]);
        assert_eq!(judged(GOOD, PACKETS, 276), ["the subkey 94E2D07C720186E6 expires in 89 days"]);
        assert_eq!(judged(GOOD, PACKETS, 400), ["the subkey 94E2D07C720186E6 has expired"]);
    }

    #[test]
    fn each_weakness_is_found() {
        let says = |listed: &str, packets: &str, what: &str| {
            let findings = judged(listed, packets, 0);
            assert!(findings.len() == 1 && findings[0].contains(what), "{what}: {findings:?}");
        };
        says(
            &GOOD.replace(":#:", ":+:"),
            PACKETS,
            "the secret of the certifying key 98357365D5302AC0 is here",
        );
        says(
            &GOOD.replace("ssb:-:255:22:", "ssb:-:2048:1:"),
            PACKETS,
            "the subkey 94E2D07C720186E6 is weak: RSA 2048",
        );
        says(&GOOD.replace("sec:-:255:22:", "sec:-:1024:17:"), PACKETS, "is weak: DSA 1024");
        says(
            &GOOD.replace(":1858731753:", "::"),
            PACKETS,
            "the certifying key 98357365D5302AC0 never expires",
        );
        says(&GOOD.replace("ssb:-:", "ssb:r:"), PACKETS, "no part of it can sign here");
        says(GOOD, "\tdigest algo 2, begin of digest dd d0\n", "certified by SHA-1");
        assert!(parts("tru::1:1:0:3:1:5\n").is_err());
    }

    #[test]
    fn an_announced_key_is_judged_without_its_secrets() {
        let public =
            GOOD.replace("sec:", "pub:").replace("ssb:", "sub:").replace(":#:", "::").replace(":+:", "::");
        let judged = |listed: &str, days: i64| {
            let now = Timestamp::from_second(MADE + days * DAY).unwrap();
            judge(&parts(listed).unwrap(), PACKETS, Role::Announced, now, 90)
        };
        assert_eq!(judged(&public, 0), [""; 0]);
        assert!(judged(&public, 276)[0].contains("expires in 89 days"));
        assert!(
            judged(&public.replace("sub:-:255:22:", "sub:-:1024:1:"), 0)[0].contains("is weak: RSA 1024")
        );
        assert!(
            judged(&public.replace("::::s:::", "::::e:::"), 0)[0].starts_with("no part of it can sign\n")
        );
    }

    /// By real gpg.
    #[test]
    fn a_subkey_whose_certifying_key_is_elsewhere() {
        use std::os::unix::fs::PermissionsExt as _;
        let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let shell = shell::at(there.path()).unwrap();
        let gpg = &["--batch", "--quiet", "--pinentry-mode", "loopback", "--passphrase"];
        let home = |folder: &tempfile::TempDir| {
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
            shell.set_var("GNUPGHOME", folder.path());
        };
        home(&there);
        if cmd!(shell, "gpg --version").ignore_stdout().run().is_err() {
            return println!("not run: gpg is not on PATH");
        }
        let user = "A test <a@localhost>";
        cmd!(shell, "gpg {gpg...} '' --quick-generate-key {user} ed25519 cert 2y")
            .ignore_stderr()
            .run()
            .unwrap();
        let list =
            || cmd!(shell, "gpg --batch --with-colons --list-secret-keys").ignore_stderr().read().unwrap();
        let key = list()
            .lines()
            .find_map(|line| line.strip_prefix("fpr:::::::::"))
            .unwrap()
            .trim_end_matches(':')
            .to_owned();
        let of_both = parts(&list()).unwrap();
        assert!(
            judge(&of_both, "", Role::Signs, Timestamp::now(), 90)
                .iter()
                .any(|one| one.contains("no part of it can sign"))
        );
        cmd!(shell, "gpg {gpg...} '' --quick-add-key {key} ed25519 sign 1y").run().unwrap();
        let subkeys = cmd!(shell, "gpg {gpg...} '' --export-secret-subkeys {key}").output().unwrap().stdout;
        cmd!(shell, "gpgconf --kill all").run().unwrap();
        home(&here);
        cmd!(shell, "gpg {gpg...} '' --import").stdin(subkeys).ignore_stderr().run().unwrap();
        let found = parts(&list()).unwrap();
        cmd!(shell, "gpgconf --kill all").run().unwrap();
        assert_eq!(
            found.iter().map(|part| (part.primary, part.secret)).collect::<Vec<_>>(),
            [(true, false), (false, true)]
        );
        assert_eq!(judge(&found, "", Role::Signs, Timestamp::now(), 90), [""; 0]);
    }
}
