//! `[[file]]` entries to single files: patterns expanded, defaults filled in, sorted by destination.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use walkdir::WalkDir;

use super::{FileChannel, FileEntry, Kind, Package};

/// One file as a package installs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Installed {
    pub source: PathBuf,
    /// Absolute.
    pub dest: String,
    pub mode: u32,
    pub owner: String,
    pub group: String,
    pub kind: Kind,
}

impl Installed {
    /// The destination without the leading slash, as archives name it.
    pub(crate) fn relative(&self) -> &str {
        self.dest.trim_start_matches('/')
    }
}

impl Package {
    /// What `channel` installs; `build:` sources are looked for below `generated`.
    pub(crate) fn installed(&self, channel: FileChannel, generated: &Path) -> Result<Vec<Installed>> {
        let mut files = Vec::new();
        for entry in &self.manifest.file {
            if entry.channels.as_ref().is_some_and(|only| !only.contains(&channel)) {
                continue;
            }
            for source in sources(entry, &self.root, generated)? {
                files.push(entry.installed(source)?);
            }
        }
        files.sort_by(|a, b| a.dest.cmp(&b.dest));
        if let Some(pair) = files.windows(2).find(|pair| pair[0].dest == pair[1].dest) {
            bail!(
                "{} is installed twice, from {} and {}",
                pair[0].dest,
                pair[0].source.display(),
                pair[1].source.display()
            );
        }
        Ok(files)
    }
}

impl FileEntry {
    /// The permissions, the kind's default where none are given.
    pub(crate) fn mode(&self) -> Result<u32> {
        match (&self.mode, self.kind) {
            (Some(text), _) => u32::from_str_radix(text, 8)
                .with_context(|| format!("cannot read mode `{text}` of {}", self.dest)),
            (None, Kind::Binary) => Ok(0o755),
            (None, _) => Ok(0o644),
        }
    }

    fn installed(&self, source: PathBuf) -> Result<Installed> {
        let name = source.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let dest = if self.dest.ends_with('/') { format!("{}{name}", self.dest) } else { self.dest.clone() };
        Ok(Installed {
            dest,
            mode: self.mode()?,
            owner: self.owner.clone().unwrap_or_else(|| "root".into()),
            group: self.group.clone().unwrap_or_else(|| "root".into()),
            kind: self.kind,
            source,
        })
    }
}

fn sources(entry: &FileEntry, root: &Path, generated: &Path) -> Result<Vec<PathBuf>> {
    let path = match entry.source.strip_prefix("build:") {
        Some(rest) => generated.join(rest),
        None => root.join(&entry.source),
    };
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let Some((before, after)) = name.split_once('*') else {
        if !path.is_file() {
            bail!("cannot find {}, the source of {}", path.display(), entry.dest);
        }
        return Ok(vec![path]);
    };
    let folder = path.parent().unwrap_or(root);
    let mut found = Vec::new();
    for item in WalkDir::new(folder).min_depth(1).max_depth(1).sort_by_file_name() {
        let item = item.with_context(|| format!("cannot list {}", folder.display()))?;
        let name = item.file_name().to_string_lossy();
        let fits =
            name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after);
        if item.file_type().is_file() && fits {
            found.push(item.into_path());
        }
    }
    if found.is_empty() {
        bail!("no file fits {}, the source of {}", path.display(), entry.dest);
    }
    Ok(found)
}
