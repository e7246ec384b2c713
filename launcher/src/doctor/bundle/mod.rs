//! The archive for a bug report: what a maintainer would ask for, and no secret.

mod forms;
mod known;
mod listing;
mod redact;

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use super::ask::{Look, said};
use super::{Check, root};
use crate::app::files;
use crate::application;
use crate::failure::{Exit, Failure};
use crate::process::Program;
use crate::service_manager::{Manager, systemctl};
use redact::Redactor;

pub(super) const LOG_LINES: &str = "2000";

const README: &str = "\
Made by `mathesar doctor --bundle` for a bug report. Secrets that the launcher knows, and whatever looks like a password, token,
cookie or key, were replaced by ***. Names of people, tables and machines may still occur, above all in log.txt: look through the
files before you send them to somebody.

doctor.txt, doctor.json  the checks
status.json              `mathesar status --json`
plan.txt                 `mathesar plan`
config.txt               the settings in force, and where each comes from
versions.txt             launcher, release, Python and its packages, PostgreSQL, system
log.txt                  the last 2,000 lines of the log
unit.txt                 the systemd unit
files.txt                names, sizes and modes in the state folder; no contents, no names of uploaded files
";

/// What other parts of the program say, as they print it.
pub(crate) struct Reports {
    pub config: String,
    pub plan: String,
    pub status: Value,
}

/// The archive, whole, in memory: it has a few hundred kilobytes.
pub(crate) fn archive(look: &Look, checks: &[Check], reports: &Reports) -> Result<Vec<u8>, Failure> {
    let redactor = Redactor::new(&look.installation, &look.files);
    let json = |value: &Value| format!("{:#}\n", redactor.json(value));
    let own = |text: &str| redactor.own(text);
    let foreign = |text: &str| redactor.foreign(text);
    let report = super::text(checks);
    let files = [
        ("README.txt", README.to_owned()),
        ("doctor.txt", own(&anstream::adapter::strip_str(&report).to_string())),
        ("doctor.json", json(&super::to_json(checks))),
        ("status.json", json(&reports.status)),
        ("plan.txt", own(&reports.plan)),
        ("config.txt", own(&reports.config)),
        ("versions.txt", own(&versions(look))),
        ("log.txt", foreign(&log(look))),
        ("unit.txt", foreign(&unit(look))),
        ("files.txt", own(&listing::of(&look.installation))),
    ];
    let failed = |cause: std::io::Error| Failure::new("cannot make the archive").cause(cause);
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for (name, text) in &files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs());
        tar.append_data(&mut header, format!("mathesar-doctor/{name}"), text.as_bytes()).map_err(failed)?;
    }
    tar.into_inner().and_then(GzEncoder::finish).map_err(failed)
}

fn versions(look: &Look) -> String {
    let installation = &look.installation;
    let mut text = format!(
        "launcher {}\npinned release: Mathesar {}, SHA-256 {}\n",
        env!("CARGO_PKG_VERSION"),
        installation.pinned.version,
        installation.pinned.sha256
    );
    match look.current() {
        Ok(release) => {
            text.push_str(&format!("installed release: {} (from {})\n", release.id, release.source));
            let python = application::interpreter(&release.path);
            let isolated =
                |code: &str| said(Program::new(&python).args(["-I", "-B", "-c", code]).current_dir("/"));
            let version = isolated("import sys; print(sys.version, sys.executable, sys.base_prefix)");
            text.push_str(&format!("Python: {}\n", version.unwrap_or_else(|| "does not run".to_owned())));
            let packages = isolated(
                "import importlib.metadata as m\nfor line in sorted({f'{d.name}=={d.version}' for d in m.distributions()}): print(line)",
            );
            text.push_str(&format!(
                "\npackages:\n{}\n\n",
                packages.unwrap_or_else(|| "cannot be listed".to_owned())
            ));
        }
        Err(why) => text.push_str(&format!("installed release: {why}\n")),
    }
    match &look.cluster {
        Some(Ok(cluster)) => {
            let binaries = &cluster.binaries;
            text.push_str(&format!(
                "PostgreSQL {} in {} ({:?})\n",
                binaries.version,
                binaries.bin.display(),
                binaries.origin
            ));
        }
        Some(Err(failure)) => text.push_str(&format!("PostgreSQL: {failure}\n")),
        None if installation.is_external() => text.push_str("PostgreSQL: an external server\n"),
        None => text.push_str("PostgreSQL: none yet\n"),
    }
    let uname = rustix::system::uname();
    let part = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    text.push_str(&format!(
        "kernel: {} {} {}\n",
        part(uname.sysname()),
        part(uname.release()),
        part(uname.machine())
    ));
    let (processors, memory) = crate::server::gunicorn::machine();
    text.push_str(&format!("{processors} processors, {} of memory\n\n", crate::terminal::size(memory)));
    let system =
        ["/etc/os-release", "/usr/lib/os-release"].iter().find_map(|path| fs::read_to_string(path).ok());
    text.push_str(&system.or_else(|| said(Program::new("sw_vers"))).unwrap_or_default());
    text
}

/// The log file with the ones put aside, or the journal.
fn log(look: &Look) -> String {
    let layout = &look.installation.layout;
    let most: usize = LOG_LINES.parse().unwrap_or(2000);
    let mut text = String::new();
    if let Some(log) = look.installation.log_file() {
        let aside = |number: u32| PathBuf::from(format!("{}.{number}", log.display()));
        let mut lines: Vec<String> = Vec::new();
        for path in std::iter::once(log.clone()).chain((1..100).map(aside)) {
            let Ok(bytes) = fs::read(&path) else { break };
            let mut of_this: Vec<String> =
                String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect();
            of_this.append(&mut lines);
            lines = of_this;
            if lines.len() >= most {
                break;
            }
        }
        text = lines[lines.len().saturating_sub(most)..].join("\n");
    }
    if let Some(journal) = &look.root.journal {
        text.push_str(journal);
    } else if let Manager::Systemd { unit, user } = Manager::of(layout, &look.installation.environment) {
        text.push_str(
            &root::journal(&unit, user).unwrap_or_else(|| "the journal cannot be read\n".to_owned()),
        );
    }
    let words = layout.logs.as_ref().unwrap_or(&layout.state).join(crate::logbook::LAST_WORDS);
    if let Some(words) = fs::read_to_string(words).ok().filter(|words| !words.is_empty()) {
        text.push_str(&format!("\n\nlast words of the launcher:\n{words}\n"));
    }
    text
}

fn unit(look: &Look) -> String {
    match Manager::of(&look.installation.layout, &look.installation.environment) {
        Manager::Nobody => "no unit of systemd is responsible\n".to_owned(),
        Manager::Launchd { label, .. } => format!("the launchd agent {label}\n"),
        Manager::Systemd { unit, user } => [
            systemctl(user).args(["show", "-p", PROPERTIES]).arg(&unit),
            systemctl(user).args(["cat", "--no-pager"]).arg(&unit),
        ]
        .into_iter()
        .map(|program| said(program).unwrap_or_else(|| "systemctl does not answer".to_owned()) + "\n\n")
        .collect(),
    }
}

const PROPERTIES: &str = "Id,LoadState,ActiveState,SubState,Result,NRestarts,ExecMainStatus,ExecMainCode,UnitFileState,NeedDaemonReload,ActiveEnterTimestamp,InactiveEnterTimestamp,MemoryCurrent,MemoryPeak,TasksCurrent";

/// For its owner alone, whole or not at all, and never over another file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    let beside = files::beside(path, "new");
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()
    })();
    let result = match written {
        Ok(()) => place(&beside, path),
        Err(cause) => Err(not_written(path, cause)),
    };
    let _ = fs::remove_file(&beside);
    result
}

/// A link, unlike a rename, replaces nothing.
pub(crate) fn place(beside: &Path, path: &Path) -> Result<(), Failure> {
    let failed = |cause| Failure::io("write", path, cause);
    match fs::hard_link(beside, path) {
        Err(cause) if cause.kind() == ErrorKind::AlreadyExists => return Err(exists(path)),
        // Some file systems know no links.
        Err(_) if path.symlink_metadata().is_ok() => return Err(exists(path)),
        Err(_) => fs::rename(beside, path).map_err(failed)?,
        Ok(()) => fs::remove_file(beside).map_err(failed)?,
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    files::sync_folder(folder)
}

/// Of the file that was asked for; the one beside it is nobody's business.
pub(crate) fn not_written(path: &Path, cause: std::io::Error) -> Failure {
    Failure::io("write", path, cause)
        .help("name a file in a folder that is yours: `mathesar doctor --bundle ~/mathesar-report.tar.gz`")
}

/// Told before anything is looked at, too.
pub(crate) fn exists(path: &Path) -> Failure {
    Failure::new(format!("{} exists already", path.display()))
        .exit(Exit::Refused)
        .help("name a new file: `mathesar doctor --bundle mathesar-report.tar.gz`")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_bundle_replaces_nothing_and_is_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("b.tar.gz");
        write(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(write(&path, b"two").unwrap_err().exit, Exit::Refused);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        std::os::unix::fs::symlink("nowhere", folder.path().join("link")).unwrap();
        assert!(write(&folder.path().join("link"), b"x").is_err());
        let nowhere = folder.path().join("no/b.tar.gz");
        let failure = write(&nowhere, b"x").unwrap_err();
        assert_eq!(failure.to_string(), format!("cannot write {}", nowhere.display()));
        assert_eq!(failure.helps().len(), 1);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "something is left beside");
    }
}
