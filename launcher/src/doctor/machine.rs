//! Memory, limits of the kernel, and what a security module has denied.

use super::ask::{Look, said};
use super::{Check, Entry, Group, Known};
use crate::process::Program;
use crate::terminal::size;

pub(super) static MEMORY: Entry = Entry {
    id: "memory",
    group: Group::Machine,
    title: "memory",
    doc: "The machine (or the control group's limit) has room for the workers, 128 MB each at most, and PostgreSQL's shared buffers.",
};
pub(super) static SHARED: Entry = Entry {
    id: "shared-memory",
    group: Group::Machine,
    title: "/dev/shm",
    doc: "`/dev/shm` is there, can be written, and holds 64 MB at least: PostgreSQL's parallel queries and gunicorn's heartbeats use it.",
};
pub(super) static OVERCOMMIT: Entry = Entry {
    id: "overcommit",
    group: Group::Machine,
    title: "overcommit",
    doc: "The kernel's `vm.overcommit_memory`: with 1 the out-of-memory killer ends PostgreSQL, with 2 the limit must leave room.",
};
pub(super) static FILES: Entry = Entry {
    id: "open-files",
    group: Group::Machine,
    title: "open files",
    doc: "A process may open 1,024 files at least.",
};
pub(super) static DENIALS: Entry = Entry {
    id: "denials",
    group: Group::Machine,
    title: "SELinux and AppArmor",
    doc: "Neither has denied Mathesar, its Python or its PostgreSQL anything since the boot, as far as the kernel's log can be read.",
};

pub(super) const ENTRIES: &[&Entry] = &[&MEMORY, &SHARED, &OVERCOMMIT, &FILES, &DENIALS];

const MB: u64 = 1_000_000;

#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub memory: u64,
    pub workers: u32,
    /// 0 where the server is the user's.
    pub shared_buffers: u64,
    /// Size and free bytes, and whether it can be written; none: it is not there.
    pub shared: Option<(u64, u64, bool)>,
    pub linux: bool,
    /// `vm.overcommit_memory`, CommitLimit and Committed_AS.
    pub overcommit: Option<(u8, u64, u64)>,
    /// The soft limit; none: unlimited.
    pub open_files: Option<u64>,
    /// Lines of the kernel's log about us.
    pub denials: Known<Vec<String>>,
}

impl Facts {
    pub fn gather(look: &Look) -> Facts {
        let installation = &look.installation;
        let shared = rustix::fs::statvfs("/dev/shm").ok().map(|stat| {
            let writable = rustix::fs::access("/dev/shm", rustix::fs::Access::WRITE_OK).is_ok();
            (
                stat.f_blocks.saturating_mul(stat.f_frsize),
                stat.f_bavail.saturating_mul(stat.f_frsize),
                writable,
            )
        });
        let (_, memory) = crate::server::gunicorn::machine();
        Facts {
            memory,
            workers: super::database::workers(look),
            shared_buffers: match installation.is_external() {
                true => 0,
                false => crate::database::Settings::of(&installation.config).shared_buffers,
            },
            shared,
            linux: cfg!(target_os = "linux"),
            overcommit: overcommit(),
            open_files: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
            denials: match &look.root.denials {
                Some(lines) => Ok(about_us(lines)),
                None => kernel_log().map(|log| about_us(&log)),
            },
        }
    }
}

fn overcommit() -> Option<(u8, u64, u64)> {
    let mode = std::fs::read_to_string("/proc/sys/vm/overcommit_memory").ok()?.trim().parse().ok()?;
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let value = |name: &str| {
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kb| kb * 1024)
    };
    Some((mode, value("CommitLimit")?, value("Committed_AS")?))
}

/// Denials in the kernel's log since the boot, where this user may read it.
pub(super) fn kernel_log() -> Known<Vec<String>> {
    const DENIED: &str = "only root may read the kernel's log here: `sudo journalctl -k | grep -i denied`";
    if !cfg!(target_os = "linux") {
        return Err("there is neither SELinux nor AppArmor".to_owned());
    }
    let modules = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
    if !modules.is_empty() && !["selinux", "apparmor"].iter().any(|name| modules.contains(name)) {
        return Err("neither is switched on".to_owned());
    }
    let journal = said(Program::new("journalctl").args(["-k", "-b", "-q", "--no-pager", "-o", "cat"]))
        .filter(|text| !text.is_empty());
    let text =
        journal.or_else(|| said(Program::new("dmesg"))).filter(|text| !text.is_empty()).ok_or(DENIED)?;
    let is_denial = |line: &&str| {
        let line = line.to_lowercase();
        line.contains("apparmor=\"denied\"") || (line.contains("avc:") && line.contains("denied"))
    };
    Ok(text.lines().filter(is_denial).map(str::to_owned).collect())
}

/// Denials that name one of our programs.
pub(super) fn about_us(lines: &[String]) -> Vec<String> {
    let ours = ["mathesar", "gunicorn", "postgres", "initdb", "comm=\"python", "comm=\"uv\""];
    let is_ours = |line: &&String| ours.iter().any(|name| line.contains(name));
    lines.iter().filter(is_ours).cloned().collect()
}

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    vec![memory(facts), shared(facts), overcommitted(facts), open_files(facts), denials(facts)]
}

fn memory(facts: &Facts) -> Check {
    // As `server::gunicorn::workers` counts: 82 MB that all share, and what PostgreSQL and its connections take.
    let needed = 82 * MB + u64::from(facts.workers) * 128 * MB + facts.shared_buffers + 100 * MB;
    let text = format!(
        "{} here; {} workers and {} of shared buffers take up to {}",
        size(facts.memory),
        facts.workers,
        size(facts.shared_buffers),
        size(needed)
    );
    let cure =
        "`mathesar config set server.workers auto`, `mathesar config set database.shared-buffers 128MB`";
    match () {
        () if needed > facts.memory => {
            MEMORY.problem(text).cause("the system ends processes when it is full").cure(cure)
        }
        () if needed > facts.memory / 10 * 9 => MEMORY.warning(text).cure(cure),
        () => MEMORY.ok(text),
    }
}

fn shared(facts: &Facts) -> Check {
    if !facts.linux {
        return SHARED.not_checked("this system has none");
    }
    let cure = "`sudo mount -o remount,size=256M /dev/shm`; for a container: `--shm-size=256m`";
    match facts.shared {
        None => SHARED.problem("is not there").cure("`sudo mount -t tmpfs tmpfs /dev/shm`"),
        Some((_, _, false)) => SHARED.problem("cannot be written").cure("`sudo chmod 1777 /dev/shm`"),
        Some((all, free, true)) if free < 16 * MB => SHARED
            .problem(format!("{} of {} free", size(free), size(all)))
            .cure("see what is in it: `ls -l /dev/shm`")
            .cure(cure),
        Some((all, _, true)) if all < 64 * MB => {
            SHARED.warning(format!("only {}", size(all))).cause("large queries fail with less").cure(cure)
        }
        Some((all, free, true)) => SHARED.ok(format!("{} of {} free", size(free), size(all))),
    }
}

fn overcommitted(facts: &Facts) -> Check {
    let Some((mode, limit, committed)) = facts.overcommit else {
        return OVERCOMMIT.not_checked("this system does not tell");
    };
    let left = limit.saturating_sub(committed);
    match mode {
        2 if left < 256 * MB => OVERCOMMIT
            .problem(format!("strict, with {} left: new processes fail", size(left)))
            .cure("more swap, or `sudo sysctl vm.overcommit_ratio=90`"),
        2 => OVERCOMMIT.ok("strict, as PostgreSQL advises"),
        1 => OVERCOMMIT
            .warning("everything is granted, until the kernel ends PostgreSQL for it")
            .cure("`sudo sysctl vm.overcommit_memory=0`"),
        _ => OVERCOMMIT.ok("the kernel's usual rule"),
    }
}

fn open_files(facts: &Facts) -> Check {
    let cure = "`ulimit -n 4096` before the start; for a service `LimitNOFILE=`";
    match facts.open_files {
        None => FILES.ok("unlimited"),
        Some(limit) if limit < 256 => FILES.problem(format!("{limit} at most")).cure(cure),
        Some(limit) if limit < 1024 => FILES.warning(format!("{limit} at most")).cure(cure),
        Some(limit) => FILES.ok(format!("{limit} at most")),
    }
}

fn denials(facts: &Facts) -> Check {
    match &facts.denials {
        Err(why) => DENIALS.not_checked(why.clone()),
        Ok(lines) if lines.is_empty() => DENIALS.ok("nothing was denied since the boot"),
        Ok(lines) => DENIALS
            .warning(format!(
                "{} denials since the boot, the last: {}",
                lines.len(),
                lines.last().cloned().unwrap_or_default()
            ))
            .cure("`sudo ausearch -m avc -ts boot`, or `sudo journalctl -k | grep -i denied`"),
    }
}
