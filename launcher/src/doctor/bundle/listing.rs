//! Names, sizes and modes of what lies in the state folder; nothing of what is in the files.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::installation::Installation;

/// A cluster with many tables has many files; more says nothing more.
const MOST: usize = 5000;

/// Folders of which only number and size of the files are told: long, or names of people's own files.
const COUNTED: &[&str] = &["venv", "tree", "base", "global", "media", "python", "pg_wal", "tools"];

pub(super) fn of(installation: &Installation) -> String {
    let layout = &installation.layout;
    let mut lines = Vec::new();
    let mut places = vec![("state", &layout.state), ("config", &layout.config), ("run", &layout.run)];
    places.extend(layout.logs.as_ref().map(|logs| ("log", logs)));
    for (name, folder) in places {
        lines.push(format!("{name}: {}", folder.display()));
        walk(folder, folder, &mut lines);
        lines.push(String::new());
    }
    let media = installation.media();
    let (files, bytes) = count(&media);
    lines.push(format!("media: {}: {files} files, {bytes} bytes", media.display()));
    if lines.len() > MOST {
        let more = lines.len() - MOST;
        lines.truncate(MOST);
        lines.push(format!("and {more} more"));
    }
    lines.join("\n") + "\n"
}

fn walk(top: &Path, folder: &Path, lines: &mut Vec<String>) {
    if lines.len() > MOST {
        return;
    }
    let mut entries: Vec<_> = match fs::read_dir(folder) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(cause) => {
            lines.push(format!("  {}: {cause}", folder.display()));
            return;
        }
    };
    entries.sort();
    for path in entries {
        let Ok(meta) = path.symlink_metadata() else { continue };
        let name = path.strip_prefix(top).unwrap_or(&path).display().to_string();
        let counted =
            path.file_name().and_then(|name| name.to_str()).is_some_and(|name| COUNTED.contains(&name));
        if meta.is_dir() && counted {
            let (files, bytes) = count(&path);
            lines.push(format!("{}  {name}/ ({files} files, {bytes} bytes)", shown(&meta)));
            continue;
        }
        let target = fs::read_link(&path).map(|to| format!(" -> {}", to.display())).unwrap_or_default();
        let slash = if meta.is_dir() { "/" } else { "" };
        lines.push(format!("{}  {}{slash}{target}", shown(&meta), name.escape_debug()));
        if meta.is_dir() {
            walk(top, &path, lines);
        }
    }
}

fn shown(meta: &Metadata) -> String {
    let kind = match () {
        () if meta.is_dir() => 'd',
        () if meta.is_symlink() => 'l',
        () if meta.is_file() => '-',
        () => 's',
    };
    let time = meta.modified().map(crate::supervise::log::timestamp).unwrap_or_default();
    format!("  {kind}{:04o} {}:{} {:>12} {time}", meta.mode() & 0o7777, meta.uid(), meta.gid(), meta.len())
}

fn count(folder: &Path) -> (usize, u64) {
    let Ok(entries) = fs::read_dir(folder) else { return (0, 0) };
    entries.flatten().fold((0, 0), |(files, bytes), entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => {
            let (more, size) = count(&entry.path());
            (files + more, bytes + size)
        }
        Ok(meta) => (files + 1, bytes + meta.len()),
        Err(_) => (files, bytes),
    })
}
