//! What a process costs while it does nothing, as Linux counts it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Of each thread, how often it has given up the processor by itself: to sleep, to wait, to read.
pub(super) fn wakeups(pid: u32) -> Result<BTreeMap<PathBuf, u64>> {
    let folder = Path::new("/proc").join(pid.to_string()).join("task");
    let threads = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    threads
        .map(|thread| {
            let path = thread.with_context(|| format!("cannot read {}", folder.display()))?.path();
            let count = field(&path.join("status"), "voluntary_ctxt_switches")?;
            Ok((path, count))
        })
        .collect()
}

/// In bytes.
pub(super) fn resident(pid: u32) -> Result<u64> {
    Ok(field(&Path::new("/proc").join(pid.to_string()).join("status"), "VmRSS")? * 1024)
}

fn field(file: &Path, name: &str) -> Result<u64> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    number(&text, name).with_context(|| format!("{} has no {name}", file.display()))
}

fn number(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read() {
        let text = "Name:\tmathesar\nVmRSS:\t    6032 kB\nvoluntary_ctxt_switches:\t17\n\
                    nonvoluntary_ctxt_switches:\t3\n";
        assert_eq!(number(text, "VmRSS"), Some(6032));
        assert_eq!(number(text, "voluntary_ctxt_switches"), Some(17));
        assert_eq!(number(text, "VmSwap"), None);
    }
}
