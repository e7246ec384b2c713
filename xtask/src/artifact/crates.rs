//! The crates that the launcher is linked with, as cargo resolves them for it alone.
//!
//! `cargo metadata` tells of a workspace as a whole: what xtask asks of a crate would count as the launcher's, with the crates that only this
//! brings. `cargo tree` tells of one member what is built for it. So the graph is from the one, and what each crate says of itself from the
//! other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use xshell::cmd;

use crate::manifest::Target;
use crate::shell;

/// The workspace's member that the packages carry.
const LAUNCHER: &str = "mathesar";

/// Name and version.
pub(crate) type Named = (String, String);

pub(crate) struct Linked {
    /// By name and version, the launcher not among them.
    pub crates: Vec<Crate>,
    /// What each is linked with.
    pub graph: BTreeMap<Named, BTreeSet<Named>>,
    pub launcher: Named,
}

/// What a crate says of itself, in `cargo metadata`.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Crate {
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    pub repository: Option<String>,
    /// The library of another language that it brings, or binds.
    pub links: Option<String>,
    pub manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Crate>,
}

impl Crate {
    pub(crate) fn named(&self) -> Named {
        (self.name.clone(), self.version.clone())
    }
}

/// The crates whose code is in the binary: without macros, what only macros need, and what only builds.
pub(crate) fn linked(root: &Path, target: Target) -> Result<Linked> {
    let shell = shell::at(root)?;
    let (cargo, triple) = (shell::cargo(), target.triple());
    let (edges, format) = ("normal,no-proc-macro", "{p}");
    let tree = cmd!(
        shell,
        "{cargo} tree --color never --locked --package {LAUNCHER} --edges {edges} --target {triple} --prefix depth --format {format}"
    )
    .quiet()
    .ignore_stderr()
    .read()
    .context("cannot ask cargo for the crates of the launcher")?;
    let (launcher, graph) = read(&tree)?;
    let json = cmd!(shell, "{cargo} metadata --format-version 1 --locked --filter-platform {triple}")
        .quiet()
        .read()
        .context("cannot ask cargo what the crates say of themselves")?;
    let metadata: Metadata =
        serde_json::from_str(&json).context("cannot read what cargo metadata printed")?;
    let mut known: BTreeMap<Named, Crate> =
        metadata.packages.into_iter().map(|found| (found.named(), found)).collect();
    let mut crates = Vec::new();
    for named in graph.keys().filter(|named| **named != launcher) {
        let found = known.remove(named);
        crates.push(found.with_context(|| format!("cargo metadata does not know {} {}", named.0, named.1))?);
    }
    Ok(Linked { crates, graph, launcher })
}

/// Lines as `2anstyle v1.0.14`, the number of steps from the first one in front; ` (*)` behind one whose own stand further up.
fn read(tree: &str) -> Result<(Named, BTreeMap<Named, BTreeSet<Named>>)> {
    let mut graph: BTreeMap<Named, BTreeSet<Named>> = BTreeMap::new();
    let mut above: Vec<Named> = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let what = || format!("cannot read what cargo tree printed: {line}");
        let name = line.trim_start_matches(|c: char| c.is_ascii_digit());
        let depth: usize = line[..line.len() - name.len()].parse().with_context(what)?;
        let (name, rest) = name.split_once(" v").with_context(what)?;
        let version = rest.split(' ').next().unwrap_or_default();
        let named = (name.to_owned(), version.to_owned());
        if depth > above.len() {
            bail!("{}: a step is left out", what());
        }
        above.truncate(depth);
        if let Some(parent) = above.last() {
            graph.entry(parent.clone()).or_default().insert(named.clone());
        }
        graph.entry(named.clone()).or_default();
        above.push(named);
    }
    let launcher = above.into_iter().next().context("cargo tree printed nothing")?;
    Ok((launcher, graph))
}

/// The compiler's version, which is that of the standard library that it links.
pub(crate) fn rust(root: &Path) -> Result<String> {
    let shell = shell::at(root)?;
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = cmd!(shell, "{rustc} -vV").quiet().read().context("cannot ask rustc for its version")?;
    let release = said.lines().find_map(|line| line.strip_prefix("release: "));
    Ok(release.context("rustc tells no release")?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::testing::checkout;

    #[test]
    fn a_tree_becomes_a_graph() {
        let tree = "0mathesar v0.12.0 (/x/launcher)\n1a v1.0.0\n2b v2.0.0+c.1\n3c v0.1.0\n1b v2.0.0+c.1 (*)\n1c v0.1.0\n";
        let (launcher, graph) = read(tree).unwrap();
        let of = |name: &str| -> Vec<String> {
            let found = graph.iter().find(|((found, _), _)| found == name).unwrap().1;
            found.iter().map(|(name, version)| format!("{name} {version}")).collect()
        };
        assert_eq!(launcher.1, "0.12.0");
        assert_eq!(of("mathesar"), ["a 1.0.0", "b 2.0.0+c.1", "c 0.1.0"]);
        assert_eq!(of("a"), ["b 2.0.0+c.1"]);
        assert_eq!(of("b"), ["c 0.1.0"]);
        assert_eq!(of("c"), [""; 0]);
        for odd in ["", "mathesar v1\n", "0mathesar\n", "0mathesar v1\n2b v1\n"] {
            assert!(read(odd).is_err(), "{odd}");
        }
    }

    /// xtask asks flate2 for another library and sha2 for more, in the same workspace.
    #[test]
    fn what_only_xtask_asks_for_is_not_linked() {
        let linked = linked(&checkout(), Target::X86_64Gnu).unwrap();
        let has = |name: &str| linked.crates.iter().any(|found| found.name == name);
        assert!(has("serde_core") && has("ring") && has("zstd-sys"));
        assert!(!has("mathesar") && !has("zlib-rs") && !has("object") && !has("serde_derive") && !has("cc"));
    }
}
