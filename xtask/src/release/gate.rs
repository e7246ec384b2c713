//! What has to be true before anything is published. All of it that is not is told at once.

use std::path::Path;

use anyhow::Result;

use super::wanted;
use crate::dist::Index;
use crate::manifest::Package;
use crate::scenarios::record::{self, Record};
use crate::workspace::Head;

/// What refuses a plan, each with its help.
pub(super) fn problems(
    package: &Package,
    head: Option<&Head>,
    record: Option<&Record>,
    index: &Index,
    dist: &Path,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let app = &package.manifest.app.version;
    if package.lock.is_none() {
        found.push(format!(
            "the dependencies of Mathesar {app} are not pinned, as packaging/app.lock is not there\nhelp: cargo xtask pin {app}"
        ));
    }
    match head {
        None => found.push(
            "this is no git checkout with a commit: nothing could be tagged\nhelp: git clone".to_owned(),
        ),
        Some(head) => {
            if head.dirty {
                found.push("the checkout holds what is not committed\nhelp: git status".to_owned());
            }
            let why = record::judge(record, &head.commit);
            found.extend(why.map(|why| format!("{why}\nhelp: cargo xtask verify")));
        }
    }
    let identity = &package.manifest.package;
    let of_dist = format!("{} {}-{}", index.name, index.version, index.revision);
    let of_manifest = format!("{} {}-{}", identity.name, identity.version, identity.revision);
    let again = "help: cargo xtask dist";
    if of_dist != of_manifest {
        found.push(format!("{} holds {of_dist}, the manifest is of {of_manifest}\n{again}", dist.display()));
    } else if index.epoch != package.epoch {
        found.push(format!("{} was made of another commit\n{again}", dist.display()));
    }
    for file in index.files.iter().filter(|file| !file.is_there(dist)) {
        found.push(format!("{} is not as dist.json lists it\n{again}", dist.join(&file.path).display()));
    }
    // It is published, and whoever compares a download believes it.
    let sums = dist.join(wanted::SUMS);
    if std::fs::read(&sums).ok().as_deref() != Some(index.sums().as_bytes()) {
        found.push(format!("{} is not what dist.json lists\n{again}", sums.display()));
    }
    Ok(found)
}

/// What is true and worth saying, and refuses nothing.
pub(super) fn left_out(package: &Package, index: &Index) -> Vec<String> {
    let without =
        |target: &&crate::manifest::Target| !index.files.iter().any(|file| file.target == target.triple());
    let targets = &package.manifest.package.targets;
    targets
        .iter()
        .filter(without)
        .map(|target| format!("nothing for {} is in dist/, and nothing for it is published", target.triple()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::channel::testing;

    #[test]
    fn everything_that_refuses_a_plan_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut package = testing::package(folder.path());
        let mut index = Index {
            format: 1,
            name: "mathesar".into(),
            version: "0.12.0".into(),
            revision: 1,
            epoch: package.epoch,
            inputs: Default::default(),
            files: Vec::new(),
        };
        let mut head = Head { commit: "abc".into(), dirty: false };
        let results = ["apt on a: x", "dnf on a: x", "pacman on a: x"];
        let results = results.map(|name| (name.to_owned(), record::Outcome::Passed)).into();
        let record = Record { format: 1, commit: "abc".into(), dirty: false, results };
        let dist = folder.path().join("dist");
        std::fs::create_dir(&dist).unwrap();
        std::fs::write(dist.join("SHA256SUMS"), "").unwrap();
        let says = |package: &Package, head: Option<&Head>, record, index: &Index| -> Vec<String> {
            let all = problems(package, head, record, index, &dist).unwrap();
            let root = format!("{}/", folder.path().display());
            all.iter().map(|one| one.lines().next().unwrap().replace(&root, "")).collect()
        };
        package.lock = Some(String::new());
        assert_eq!(says(&package, Some(&head), Some(&record), &index), [""; 0]);
        assert_eq!(left_out(&package, &index).len(), 2);
        package.lock = None;
        head.dirty = true;
        index.epoch += 1;
        index.files.push(crate::dist::Entry {
            path: "gone".into(),
            channel: "deb".into(),
            target: "x86_64-unknown-linux-gnu".into(),
            size: 1,
            sha256: "x".into(),
        });
        insta::assert_snapshot!(says(&package, Some(&head), None, &index).join("\n"), @r"
        the dependencies of Mathesar 0.12.0 are not pinned, as packaging/app.lock is not there
        the checkout holds what is not committed
        nothing has verified the packages
        dist was made of another commit
        dist/gone is not as dist.json lists it
        dist/SHA256SUMS is not what dist.json lists
        ");
        index.revision = 2;
        let said = says(&package, None, None, &index).join("\n");
        assert!(
            said.contains("dist holds mathesar 0.12.0-2, the manifest is of mathesar 0.12.0-1"),
            "{said}"
        );
        assert!(said.contains("no git checkout"), "{said}");
    }
}
