//! Reading a configuration file from disk, with the right words for everything that is no readable text.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::problem::Problem;
use crate::cure;
use crate::layout::Layout;

/// More is no configuration, but a mistaken path.
const LARGEST: u64 = 1024 * 1024;

pub(crate) const BOM: &str = "\u{feff}";

/// The text without a byte order mark; none where there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<String>, Box<Problem>> {
    let cannot = |what: &str| Problem::error(format!("cannot read {}: {what}", path.display())).in_file(path);
    let missing = |cause: &std::io::Error| cause.kind() == ErrorKind::NotFound;
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(cause) if missing(&cause) => {
            let Ok(target) = fs::read_link(path) else { return Ok(None) };
            let target = target.display();
            return Err(cannot(&format!("it is a link to {target}, which does not exist"))
                .help(Some(format!("make {target}, or remove the link: `rm {}`", cure::path(path))))
                .into());
        }
        Err(cause) => return Err(denied(path, &cause).into()),
    };
    if metadata.is_dir() {
        let help = "settings are read from files whose names end in `.conf`; move the folder away".to_owned();
        return Err(cannot("it is a folder").help(Some(help)).into());
    }
    // Opening a pipe would wait for a writer for ever.
    if !metadata.is_file() {
        return Err(cannot("it is no ordinary file").into());
    }
    if metadata.len() > LARGEST {
        return Err(cannot("it is larger than 1 MiB, which no configuration is").into());
    }
    let mut bytes = Vec::new();
    match fs::File::open(path).and_then(|file| file.take(LARGEST).read_to_end(&mut bytes)) {
        Ok(_) => decode(path, bytes).map(Some),
        Err(cause) if missing(&cause) => Ok(None),
        Err(cause) => Err(denied(path, &cause).into()),
    }
}

fn denied(path: &Path, cause: &std::io::Error) -> Problem {
    let problem = Problem::error(format!("cannot read {}: {cause}", path.display())).in_file(path);
    let help =
        || who_may(path, "run it as root or as the service's user: `sudo -u mathesar mathesar config …`");
    problem.help((cause.kind() == ErrorKind::PermissionDenied).then(help))
}

/// What helps where access is denied: root for the system's files, but not for one's own, as root's command would mean the
/// system's.
pub(crate) fn who_may(path: &Path, as_root: &str) -> String {
    match path.starts_with("/etc") {
        true => as_root.to_owned(),
        // Often it is a folder above that is closed, and beyond it nobody could look.
        false => crate::failure::denied::help(path)
            .unwrap_or_else(|| format!("see who may: `ls -ld {}`", cure::path(path))),
    }
}

fn decode(path: &Path, bytes: Vec<u8>) -> Result<String, Box<Problem>> {
    let iconv = |from: &str| {
        let path = cure::path(path);
        Some(format!("`iconv -f {from} -t UTF-8 {path} > new.conf`, look at it, and put it in place"))
    };
    let says = |what: String| Problem::error(format!("{}{what}", path.display())).in_file(path);
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(says(" is UTF-16, not UTF-8".to_owned()).help(iconv("UTF-16")).into());
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text.strip_prefix(BOM).map(str::to_owned).unwrap_or(text)),
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let bytes = error.as_bytes();
            let line = bytes[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
            let start = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let column = String::from_utf8_lossy(&bytes[start..at]).chars().count() + 1;
            let what = format!(":{line}:{column}: byte 0x{:02X} is not UTF-8", bytes[at]);
            Err(says(what).help(iconv("ISO-8859-1")).into())
        }
    }
}

/// The files that are read for a layout, in their order: mathesar.conf, then conf.d/*.conf by name.
pub fn files(layout: &Layout) -> (Vec<PathBuf>, Vec<Problem>) {
    let mut files = vec![layout.config_file()];
    let folder = layout.config_drop_ins();
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == ErrorKind::NotFound => return (files, Vec::new()),
        Err(cause) => return (files, vec![denied(&folder, &cause)]),
    };
    let mut drop_ins: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "conf"))
        .filter(|path| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")))
        .collect();
    drop_ins.sort();
    files.extend(drop_ins);
    (files, Vec::new())
}
