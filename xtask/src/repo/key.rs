//! The key that signs, in gpg's key ring. What gpg is asked to do here it does without a question.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
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
        let key = Key { home: None, fingerprint: fingerprint.to_owned() };
        let listed = key.gpg(&["--with-colons", "--list-secret-keys", fingerprint]);
        if listed.is_err() {
            bail!("gpg has no secret key {fingerprint}\nhelp: gpg --list-secret-keys");
        }
        Ok(key)
    }

    /// One that `throw_away` has made.
    pub(crate) fn at(home: &Path, fingerprint: &str) -> Key {
        Key { home: Some(home.to_owned()), fingerprint: fingerprint.to_owned() }
    }

    /// One that is made now, in a folder of its own: for what is thrown away afterwards.
    pub(crate) fn throw_away(home: &Path, name: &str) -> Result<Key> {
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::create_dir_all(home).with_context(|| format!("cannot create {}", home.display()))?;
        std::fs::set_permissions(home, std::fs::Permissions::from_mode(0o700))
            .with_context(|| format!("cannot set the mode of {}", home.display()))?;
        let mut key = Key { home: Some(home.to_owned()), fingerprint: String::new() };
        let user = format!("{name} <throw-away@localhost>");
        key.gpg(&["--passphrase", "", "--quick-generate-key", &user, "ed25519", "sign", "30d"])?;
        let listed = key.gpg(&["--with-colons", "--list-secret-keys"])?;
        let line = listed.lines().find_map(|line| line.strip_prefix("fpr:"));
        let fingerprint = line.and_then(|line| line.split(':').find(|field| !field.is_empty()));
        key.fingerprint = fingerprint.context("gpg lists no fingerprint")?.to_owned();
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

    /// The same for packages that carry theirs, by rpm itself.
    pub(crate) fn verify_rpms(&self, rpms: &[PathBuf]) -> Result<()> {
        if rpms.is_empty() {
            return Ok(());
        }
        let ring = tempfile::tempdir().context("cannot create a temporary folder")?;
        let shell = shell::at(ring.path())?;
        std::fs::write(ring.path().join("key.asc"), self.public()?).context("cannot write a key")?;
        let database = ring.path().join("rpm");
        cmd!(shell, "rpmkeys --dbpath {database} --import key.asc").quiet().run()?;
        let said =
            cmd!(shell, "rpmkeys --dbpath {database} --checksig {rpms...}").quiet().ignore_status().read()?;
        let bad: Vec<&str> = said.lines().filter(|line| !line.ends_with(": digests signatures OK")).collect();
        anyhow::ensure!(bad.is_empty() && said.lines().count() == rpms.len(), "rpm says: {}", bad.join("; "));
        Ok(())
    }

    /// The public half, as text.
    pub(crate) fn public(&self) -> Result<String> {
        let text =
            self.gpg(&["--armor", "--export-options", "export-minimal", "--export", &self.fingerprint])?;
        Ok(format!("{}\n", text.trim_end()))
    }
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
