//! The key that signs, in gpg's key ring. What gpg is asked to do here it does without a question.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use xshell::cmd;

use crate::shell;

pub(crate) struct Key {
    /// GNUPGHOME, where it is another than the user's own.
    home: Option<PathBuf>,
    pub fingerprint: String,
}

impl Key {
    /// One of the user's own.
    pub(crate) fn of_ring(fingerprint: &str) -> Result<Key> {
        match Key::listed("--list-secret-keys", fingerprint) {
            Ok((key, listed)) => refuse_weak(fingerprint, &listed).map(|()| key),
            Err(_) => bail!("gpg has no secret key {fingerprint}\nhelp: gpg --list-secret-keys"),
        }
    }

    /// One that will sign: its secret may be elsewhere.
    pub(crate) fn of_next(fingerprint: &str) -> Result<Key> {
        let Ok((key, listed)) = Key::listed("--list-keys", fingerprint) else {
            bail!("gpg has no key {fingerprint}\nhelp: gpg --import FILE");
        };
        refuse_weak(fingerprint, &listed)?;
        let line = listed.lines().find(|line| line.starts_with("pub:")).unwrap_or_default();
        let field = |number: usize| line.split(':').nth(number - 1).unwrap_or_default();
        // doc/DETAILS of GnuPG: field 12 has a capital S where any part of the key can sign, field 2 what is wrong with it.
        if !field(12).contains('S') || ["r", "e", "d", "i"].contains(&field(2)) {
            bail!(crate::Refused(format!(
                "the key {fingerprint} cannot sign: it is revoked, expired, or has no part for it\nhelp: gpg --list-keys {fingerprint}"
            )));
        }
        Ok(key)
    }

    /// In the user's own ring; what gpg says of it.
    fn listed(how: &str, fingerprint: &str) -> Result<(Key, String)> {
        let mut key = Key { home: None, fingerprint: String::new() };
        let listed = key.gpg(&["--with-colons", how, fingerprint])?;
        // However it was written, and of whichever part: the certifying key's comes first.
        key.fingerprint = first_fingerprint(&listed)?;
        Ok((key, listed))
    }

    /// One that `throw_away` has made.
    pub(crate) fn at(home: &Path, fingerprint: &str) -> Key {
        Key { home: Some(home.to_owned()), fingerprint: fingerprint.to_owned() }
    }

    /// One that is made now, in a folder of its own: for what is thrown away afterwards.
    pub(crate) fn throw_away(home: &Path, name: &str) -> Result<Key> {
        private(home)?;
        let mut key = Key { home: Some(home.to_owned()), fingerprint: String::new() };
        let user = format!("{name} <throw-away@localhost>");
        key.gpg(&["--passphrase", "", "--quick-generate-key", &user, "ed25519", "sign", "30d"])?;
        let listed = key.gpg(&["--with-colons", "--list-secret-keys"])?;
        key.fingerprint = first_fingerprint(&listed)?;
        Ok(key)
    }

    /// What gpg prints.
    pub(crate) fn gpg(&self, arguments: &[&str]) -> Result<String> {
        let shell = shell::at(Path::new("/"))?;
        let mut gpg = cmd!(shell, "gpg --batch --no-tty --quiet --pinentry-mode loopback {arguments...}");
        if let Some(home) = &self.home {
            gpg = gpg.env("GNUPGHOME", home);
        }
        gpg.quiet().ignore_stderr().read().with_context(|| format!("gpg {}", arguments.join(" ")))
    }

    /// The variables by which other programs find it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, &Path)> {
        self.home.iter().map(|home| ("GNUPGHOME", home.as_path())).collect()
    }

    /// `what`: `--clear-sign` or `--detach-sign`. Of the same bytes and at the same time it is the same signature, where the key's
    /// algorithm has no need of chance (Ed25519, RSA).
    pub(crate) fn sign(&self, what: &[&str], file: &Path, to: &Path, at: Timestamp) -> Result<()> {
        let (file, to, time) = (text(file)?, text(to)?, frozen(at));
        let mut arguments =
            vec!["--yes", "--faked-system-time", &time, "--local-user", &self.fingerprint, "--output", to];
        arguments.extend(what);
        arguments.push(file);
        self.gpg(&arguments).map(drop)
    }

    /// Whether this signature is this key's: one beside `data`, or one around what it signs.
    pub(crate) fn verify(&self, signature: &Path, data: Option<&Path>) -> Result<()> {
        let mut arguments = vec!["--status-fd", "1", "--verify", text(signature)?];
        arguments.extend(data.map(text).transpose()?);
        let what = || format!("{} is no good signature of {}", signature.display(), self.fingerprint);
        let said = self.gpg(&arguments).with_context(what)?;
        // The last word is the primary key's fingerprint, whichever of its subkeys has signed.
        let by = said.lines().find_map(|line| line.strip_prefix("[GNUPG:] VALIDSIG "));
        let ours = by.is_some_and(|line| line.split(' ').any(|word| word == self.fingerprint));
        anyhow::ensure!(ours, "{}: it is somebody else's", what());
        Ok(())
    }

    /// The public half.
    pub(crate) fn public(&self) -> Result<Public> {
        Ok(Public { fingerprint: self.fingerprint.clone(), armored: self.export(&[&self.fingerprint])? })
    }

    fn export(&self, fingerprints: &[&str]) -> Result<String> {
        let mut arguments = vec!["--armor", "--export-options", "export-minimal", "--export"];
        arguments.extend(fingerprints);
        Ok(format!("{}\n", self.gpg(&arguments)?.trim_end()))
    }
}

/// What `release keys` would not let pass, of the certifying key and of each subkey that signs: signatures by it can be forged.
fn refuse_weak(fingerprint: &str, listed: &str) -> Result<()> {
    for line in listed.lines() {
        let fields: Vec<&str> = line.split(':').collect();
        let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u32>().ok()).unwrap_or(0);
        // doc/DETAILS of GnuPG: validity, bits, algorithm (RFC 9580, section 9.1), and in field 12 what it is for.
        let (gone, bits, algorithm) =
            (["r", "e", "d", "i"].contains(fields.get(1).unwrap_or(&"")), number(2), number(3));
        let counts = match fields[0] {
            "sec" | "pub" => true,
            "ssb" | "sub" => !gone && fields.get(11).is_some_and(|what| what.contains('s')),
            _ => false,
        };
        let strong = matches!((algorithm, bits), (1..=3, 3072..) | (19, 256..) | (22 | 27 | 28, _));
        if counts && !strong {
            bail!(crate::Refused(format!(
                "the key {fingerprint} is weak: algorithm {algorithm} of {bits} bits\nhelp: cargo xtask release keys {fingerprint}"
            )));
        }
    }
    Ok(())
}

/// From gpg's list with colons.
fn first_fingerprint(listed: &str) -> Result<String> {
    let line = listed.lines().find_map(|line| line.strip_prefix("fpr:"));
    let fingerprint = line.and_then(|line| line.split(':').find(|field| !field.is_empty()));
    Ok(fingerprint.context("gpg lists no fingerprint")?.to_owned())
}

/// The public half of a key, as it is published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Public {
    pub fingerprint: String,
    pub armored: String,
}

/// Nothing but these keys, in a ring of their own: gpg then believes what a reader would.
pub(super) struct Ring {
    key: Key,
    folder: TempDir,
}

impl Ring {
    pub(super) fn of(keys: &[Public]) -> Result<Ring> {
        let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
        let home = folder.path().join("gnupg");
        private(&home)?;
        let file = folder.path().join("keys.asc");
        let ring = Ring { key: Key { home: Some(home), fingerprint: String::new() }, folder };
        for key in keys {
            std::fs::write(&file, &key.armored).context("cannot write a key")?;
            ring.key.gpg(&["--import", text(&file)?])?;
        }
        Ok(ring)
    }

    /// All of them in one block: apt's older gpgv method decodes no second one.
    pub(super) fn armored(keys: &[Public]) -> Result<String> {
        match keys {
            [one] => Ok(one.armored.clone()),
            several => {
                let names: Vec<&str> = several.iter().map(|key| key.fingerprint.as_str()).collect();
                Ring::of(several)?.key.export(&names)
            }
        }
    }

    pub(super) fn verify(&self, signature: &Path, data: &Path) -> Result<()> {
        self.key
            .gpg(&["--verify", text(signature)?, text(data)?])
            .with_context(|| {
                format!("{} is no good signature of a key that is published", signature.display())
            })
            .map(drop)
    }

    /// A signature beside `data`, or one around what it signs, of which that is given. One of a key that has expired or was revoked is none.
    pub(super) fn believes(&self, signature: &[u8], data: Option<&[u8]>) -> Result<String> {
        let at = |name: &str| self.folder.path().join(name);
        let write = |name: &str, bytes: &[u8]| std::fs::write(at(name), bytes).context("cannot write a file");
        let (signed, inner) = (at("signed"), at("inner"));
        write("signed", signature)?;
        write("inner", data.unwrap_or_default())?;
        let (signed, inner) = (text(&signed)?, text(&inner)?);
        let said = match data {
            Some(_) => self.key.gpg(&["--status-fd", "1", "--verify", signed, inner])?,
            None => self.key.gpg(&["--yes", "--status-fd", "1", "--output", inner, "--decrypt", signed])?,
        };
        anyhow::ensure!(
            said.lines().any(|line| line.starts_with("[GNUPG:] GOODSIG ")),
            "gpg does not believe it today: its key has expired, was revoked, or it is none"
        );
        std::fs::read(inner)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .context("cannot read a file")
    }

    /// The same for packages that carry theirs, by rpm itself.
    pub(super) fn verify_rpms(keys: &[Public], rpms: &[PathBuf]) -> Result<()> {
        if rpms.is_empty() {
            return Ok(());
        }
        let ring = Ring::of(&[])?;
        let shell = shell::at(ring.folder.path())?;
        std::fs::write(ring.folder.path().join("key.asc"), Ring::armored(keys)?)
            .context("cannot write a key")?;
        let database = ring.folder.path().join("rpm");
        cmd!(shell, "rpmkeys --dbpath {database} --import key.asc").quiet().run()?;
        let said =
            cmd!(shell, "rpmkeys --dbpath {database} --checksig {rpms...}").quiet().ignore_status().read()?;
        let bad: Vec<&str> = said.lines().filter(|line| !line.ends_with(": digests signatures OK")).collect();
        anyhow::ensure!(bad.is_empty() && said.lines().count() == rpms.len(), "rpm says: {}", bad.join("; "));
        Ok(())
    }
}

/// A folder that gpg takes as its home.
fn private(home: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::create_dir_all(home).with_context(|| format!("cannot create {}", home.display()))?;
    std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o700))
        .with_context(|| format!("cannot set the mode of {}", home.display()))
}

/// gpg's clock, standing still at this moment.
pub(crate) fn frozen(at: Timestamp) -> String {
    format!("{}!", at.as_second())
}

impl Drop for Key {
    fn drop(&mut self) {
        if let Some(home) = &self.home {
            // Its agent would go on in a folder that is gone.
            let shell = Path::new("/");
            let _ = shell::at(shell).and_then(|shell| {
                cmd!(shell, "gpgconf --kill all")
                    .env("GNUPGHOME", home)
                    .quiet()
                    .ignore_stderr()
                    .run()
                    .map_err(Into::into)
            });
        }
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_weak_key_is_refused() {
        let good = "sec:-:255:22:98357365D5302AC0:1795659753:1858731753::-:::cSC:::#::ed25519:::0:\n\
                    ssb:-:4096:1:94E2D07C720186E6:1795659753:1827195753:::::s:::+::::\n\
                    ssb:-:1024:1:94E2D07C720186E7:1795659753:1827195753:::::e:::+::::\n";
        refuse_weak("X", good).unwrap();
        for (from, to) in [(":4096:1:", ":2048:1:"), (":255:22:", ":1024:1:"), (":255:22:", ":3072:17:")] {
            let refused = refuse_weak("X", &good.replace(from, to)).unwrap_err();
            assert!(refused.is::<crate::Refused>() && refused.to_string().contains("is weak"), "{refused}");
        }
        // One that is gone signs nothing any more.
        refuse_weak("X", &good.replace("ssb:-:4096:", "ssb:r:1024:")).unwrap();
    }
}
