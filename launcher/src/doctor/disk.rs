//! Space, inodes, the size of logs, and the clock that files were written by.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::{Check, Entry, Group, Look};
use crate::cure;
use crate::terminal::size;

pub(super) static SPACE: Entry = Entry {
    id: "disk-space",
    group: Group::Places,
    title: "disk space",
    doc: "The disks of state, cache, media, logs and temporary files have space left: a problem below 200 MB (50 MB for temporary files), a warning below 2 GB or 5 %.",
};
pub(super) static INODES: Entry = Entry {
    id: "inodes",
    group: Group::Places,
    title: "inodes",
    doc: "The same disks can take more files: a release with its environment has about 20,000.",
};
pub(super) static LOGS: Entry = Entry {
    id: "log-size",
    group: Group::Places,
    title: "size of the logs",
    doc: "The log folder has no more than `log.max-size` and `log.keep` allow, and has the log while Mathesar runs.",
};
pub(super) static CLOCK: Entry = Entry {
    id: "clock",
    group: Group::Machine,
    title: "clock",
    doc: "The clock is not before the newest file of the installation, nor before this launcher was made: sessions, certificates and backups depend on it.",
};

pub(super) const ENTRIES: &[&Entry] = &[&SPACE, &INODES, &LOGS, &CLOCK];

const MB: u64 = 1_000_000;

/// One file system.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    /// What of the installation lies on it.
    pub names: Vec<&'static str>,
    pub path: PathBuf,
    pub free: u64,
    pub total: u64,
    pub free_inodes: u64,
    /// 0: it has no fixed number.
    pub inodes: u64,
}

#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub disks: Vec<Disk>,
    /// Folder, its size, and what the settings allow; none: the journal.
    pub logs: Option<(PathBuf, u64, u64)>,
    /// Mathesar runs, and its log is not there.
    pub log_gone: bool,
    pub now: SystemTime,
    pub newest: Option<(PathBuf, SystemTime)>,
}

/// The day that this check was written: no machine's clock was right before.
const EPOCH: Duration = Duration::from_secs(1_793_491_200);

impl Facts {
    pub fn gather(look: &Look) -> Facts {
        let installation = &look.installation;
        let layout = &installation.layout;
        let config = &installation.config;
        let mut folders = vec![
            ("state", layout.state.clone()),
            ("cache", layout.cache.clone()),
            ("media", installation.media()),
            ("temporary files", std::env::temp_dir()),
        ];
        folders.extend(layout.logs.clone().map(|logs| ("logs", logs)));
        folders.extend(config.path("backup.directory").map(|path| ("backups", path)));
        let logs = layout.logs.clone().map(|folder| {
            let max = config.size("log.max-size").unwrap_or(10 * MB);
            let keep = config.integer("log.keep").unwrap_or(5).unsigned_abs();
            let found = folder_size(&folder, 0);
            (folder, found, max.saturating_mul(keep + 1))
        });
        let there = |logs: &PathBuf| logs.join("mathesar.log").exists();
        Facts {
            disks: disks(&folders),
            log_gone: look.running() && !layout.logs.as_ref().is_none_or(there),
            logs,
            now: SystemTime::now(),
            newest: newest(&[
                layout.state.clone(),
                layout.state.join("app"),
                layout.state.join("secrets"),
                layout.state.join("database/data"),
                layout.state.join("database/data/global"),
                layout.config.clone(),
            ]),
        }
    }
}

fn disks(folders: &[(&'static str, PathBuf)]) -> Vec<Disk> {
    use std::os::unix::fs::MetadataExt as _;
    let mut found: Vec<(u64, Disk)> = Vec::new();
    for (name, folder) in folders {
        let Some(there) = folder.ancestors().find(|folder| folder.exists()) else { continue };
        let (Ok(meta), Ok(stat)) = (there.metadata(), rustix::fs::statvfs(there)) else { continue };
        match found.iter_mut().find(|(device, _)| *device == meta.dev()) {
            Some((_, disk)) => disk.names.push(name),
            None => found.push((
                meta.dev(),
                Disk {
                    names: vec![name],
                    path: folder.clone(),
                    free: stat.f_bavail.saturating_mul(stat.f_frsize),
                    total: stat.f_blocks.saturating_mul(stat.f_frsize),
                    free_inodes: stat.f_favail,
                    inodes: stat.f_files,
                },
            )),
        }
    }
    found.into_iter().map(|(_, disk)| disk).collect()
}

fn newest(folders: &[PathBuf]) -> Option<(PathBuf, SystemTime)> {
    let entries = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    let times = entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.modified().ok()?)));
    times.max_by_key(|(_, time)| *time)
}

/// Of all files below; symlinks are not followed.
pub(super) fn folder_size(folder: &Path, depth: usize) -> u64 {
    if depth > 20 {
        return 0;
    }
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let one = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => folder_size(&entry.path(), depth + 1),
        Ok(meta) => meta.len(),
        Err(_) => 0,
    };
    entries.flatten().map(one).sum()
}

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    vec![space(facts), inodes(facts), logs(facts), clock(facts)]
}

fn space(facts: &Facts) -> Check {
    let shown = |disk: &Disk| {
        format!(
            "{} of {} free for {} ({})",
            size(disk.free),
            size(disk.total),
            disk.names.join(", "),
            disk.path.display()
        )
    };
    let least = |disk: &Disk| if disk.names == ["temporary files"] { 50 * MB } else { 200 * MB };
    let low = |disk: &&Disk| {
        disk.names != ["temporary files"] && (disk.free < 2000 * MB || disk.free < disk.total / 20)
    };
    let all = |disks: &[&Disk]| disks.iter().map(|disk| shown(disk)).collect::<Vec<_>>().join("\n");
    let full: Vec<&Disk> = facts.disks.iter().filter(|disk| disk.free < least(disk)).collect();
    let lower: Vec<&Disk> = facts.disks.iter().filter(low).collect();
    let (check, first) = match (full.first(), lower.first()) {
        (Some(first), _) => {
            (SPACE.problem(all(&full)).cause("PostgreSQL stops when its disk is full"), first)
        }
        (None, Some(first)) => (SPACE.warning(all(&lower)), first),
        (None, None) => return SPACE.ok(all(&facts.disks.iter().collect::<Vec<_>>())),
    };
    let path = cure::path(&first.path);
    check
        .cure(format!("see what needs it: `du -xh {path} | sort -h | tail`"))
        .cure("remove releases that are not needed: `mathesar app prune`")
}

fn inodes(facts: &Facts) -> Check {
    let counted: Vec<&Disk> = facts.disks.iter().filter(|disk| disk.inodes > 0).collect();
    let Some(worst) = counted.iter().min_by_key(|disk| disk.free_inodes) else {
        return INODES.ok("these disks have no fixed number");
    };
    let text = format!(
        "{} of {} free for {} ({})",
        worst.free_inodes,
        worst.inodes,
        worst.names.join(", "),
        worst.path.display()
    );
    let cure =
        format!("see where many files are: `du --inodes -x {} | sort -n | tail`", cure::path(&worst.path));
    match worst.free_inodes {
        0..1_000 => INODES.problem(text).cure(cure),
        1_000..30_000 => INODES.warning(text).cure(cure),
        _ => INODES.ok(text),
    }
}

fn logs(facts: &Facts) -> Check {
    let Some((folder, found, allowed)) = &facts.logs else {
        return LOGS.not_checked("the journal keeps limits of its own: `journalctl --disk-usage`");
    };
    let text = format!("{} in {}", size(*found), folder.display());
    // One file may just be on its way out, and other words of the launcher lie there too.
    if *found > allowed.saturating_mul(3) / 2 + 10 * MB {
        return LOGS
            .warning(format!("{text}, and the settings allow {}", size(*allowed)))
            .cause("other files lie there, or `log.keep` was larger before")
            .cure(format!("`ls -lS {}`", cure::path(folder)));
    }
    if facts.log_gone {
        return LOGS
            .warning(format!("mathesar.log is not in {}, although Mathesar runs", folder.display()))
            .cause("somebody has removed or renamed it; what is said next is written into a new one")
            .cure("where none comes: `mathesar restart`, and then `mathesar logs`");
    }
    LOGS.ok(text)
}

fn clock(facts: &Facts) -> Check {
    let now = crate::supervise::log::timestamp(facts.now);
    let cure = "set it: `sudo timedatectl set-ntp true`, and see `timedatectl`";
    if facts.now < SystemTime::UNIX_EPOCH + EPOCH {
        return CLOCK.problem(format!("it says {now}, which is before this launcher was made")).cure(cure);
    }
    if let Some((path, newest)) = &facts.newest
        && facts.now + Duration::from_secs(300) < *newest
    {
        let newest = crate::supervise::log::timestamp(*newest);
        return CLOCK
            .problem(format!("it says {now}, but {} was written at {newest}", path.display()))
            .cause("the clock is wrong now, or was then")
            .cure(cure);
    }
    CLOCK.ok(now)
}
