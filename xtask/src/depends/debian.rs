//! What Debian's own resolver says of a name, by the lists of a release. Nothing of this computer's packages is read or changed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail};

/// Lists are fetched again after this.
const FRESH: Duration = Duration::from_secs(24 * 3600);

/// The lists of a release, below a folder of our own.
pub(super) struct Lists {
    folder: PathBuf,
}

impl Lists {
    /// From the mirror that this computer's apt is set to, or Debian's.
    pub(super) fn of(suite: &str, store: &Path) -> Result<Lists> {
        let folder = store.join(suite);
        for name in ["state/lists/partial", "cache/archives/partial"] {
            let path = folder.join(name);
            fs::create_dir_all(&path).with_context(|| format!("cannot create {}", path.display()))?;
        }
        let lists = Lists { folder };
        lists.write("sources.list", &format!("{}\n", machines::sources(suite).join("\n")))?;
        // Nothing is installed, on which something could rest unseen.
        lists.write("status", "")?;
        let stamp = lists.folder.join("fetched");
        if !is_fresh(&stamp) {
            let output = lists.apt(&["update", "--error-on=any"])?;
            if !output.status.success() {
                bail!("cannot fetch the lists of {suite}: {}", errors(&output));
            }
            lists.write("fetched", "")?;
        }
        Ok(lists)
    }

    /// The version that would be installed for a dependency, in Debian's syntax, alternatives and all; else why there is none.
    pub(super) fn resolve(&self, dependency: &str) -> Result<std::result::Result<String, String>> {
        let output = self.apt(&["--simulate", "--no-install-recommends", "satisfy", dependency])?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if !output.status.success() {
            return Ok(Err(errors(&output)));
        }
        let chosen = dependency.split('|').find_map(|name| installed(&text, bare(name)));
        Ok(Ok(chosen.unwrap_or_else(|| "another package provides it".to_owned())))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn apt(&self, arguments: &[&str]) -> Result<Output> {
        let folder = self.folder.display();
        let mut command = Command::new("apt-get");
        for option in [
            format!("Dir::Etc::SourceList={folder}/sources.list"),
            "Dir::Etc::SourceParts=-".to_owned(),
            "Dir::Etc::Preferences=-".to_owned(),
            "Dir::Etc::PreferencesParts=-".to_owned(),
            format!("Dir::State={folder}/state"),
            format!("Dir::State::status={folder}/status"),
            format!("Dir::Cache={folder}/cache"),
            "APT::Sandbox::User=".to_owned(),
            "APT::Architecture=amd64".to_owned(),
            "APT::Architectures=amd64".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ] {
            command.arg("-o").arg(option);
        }
        command.args(arguments).env("LC_ALL", "C").stdin(Stdio::null());
        command.output().context("cannot run apt-get")
    }
}

fn is_fresh(stamp: &Path) -> bool {
    let written = fs::metadata(stamp).and_then(|found| found.modified());
    written.is_ok_and(|written| SystemTime::now().duration_since(written).is_ok_and(|age| age < FRESH))
}

/// Without the version that it has to have.
pub(super) fn bare(name: &str) -> &str {
    let name = name.trim();
    name.find([' ', '(', '<', '>', '=']).map_or(name, |end| name[..end].trim_end())
}

/// The version of a package in what a simulated run would install.
fn installed(text: &str, name: &str) -> Option<String> {
    let line =
        text.lines().find_map(|line| line.strip_prefix("Inst ")?.strip_prefix(name)?.strip_prefix(" ("))?;
    Some(line.split_whitespace().next()?.to_owned())
}

/// The reasons, on one line.
fn errors(output: &Output) -> String {
    let text = [&output.stdout[..], &output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    let wanted = |line: &&str| line.starts_with("E: ") || line.contains("Depends: ");
    let found: Vec<&str> = text.lines().filter(wanted).map(str::trim).collect();
    match found.is_empty() {
        true => format!("{}: {}", output.status, text.trim()),
        false => found.join("; "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_without_versions() {
        for name in ["python3 (>= 3.10)", "python3", " python3", "python3 >= 3.10", "python3>=3.10"] {
            assert_eq!(bare(name), "python3");
        }
    }

    #[test]
    fn what_a_simulated_run_installs() {
        let text = "NOTE: This is only a simulation!\nInst libc6 (2.36-9 Debian:12.1/stable [amd64])\nInst libc (1 x)\n";
        assert_eq!(installed(text, "libc").as_deref(), Some("1"));
        assert_eq!(installed(text, "libc6").as_deref(), Some("2.36-9"));
        assert_eq!(installed(text, "li"), None);
    }
}
