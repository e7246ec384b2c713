//! What a kill at any point leaves.

use std::cell::Cell;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;

thread_local! {
    /// Steps that still succeed; the next one ends the command as a kill would.
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// A point at which a process may die.
pub(super) fn step(what: &str) -> Result<()> {
    LEFT.with(|left| match left.get() {
        0 => bail!("killed before: {what}"),
        usize::MAX => Ok(()),
        more => {
            left.set(more - 1);
            Ok(())
        }
    })
}

const FILES: [&str; 3] = ["a.toml", "deep/b.lock", "c.md"];

fn workspace() -> (tempfile::TempDir, Workspace) {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_owned();
    fs::create_dir(root.join("deep")).unwrap();
    for path in FILES {
        fs::write(root.join(path), "old\n").unwrap();
    }
    let target = root.join("target");
    (folder, Workspace { root, target })
}

fn write_all(workspace: &Workspace, text: &str) -> Result<Vec<String>> {
    let mut edits = Edits::begin(workspace)?;
    for path in FILES {
        edits.set(path, text.to_owned())?;
    }
    edits.commit()
}

fn texts(workspace: &Workspace) -> Vec<String> {
    FILES.iter().map(|path| fs::read_to_string(workspace.root.join(path)).unwrap()).collect()
}

fn leftovers(workspace: &Workspace) -> Vec<PathBuf> {
    walkdir::WalkDir::new(&workspace.root)
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            name.ends_with(".xtask-new") || name.ends_with(".json")
        })
        .collect()
}

#[test]
fn a_kill_at_any_step_leaves_old_or_new_and_never_a_mixture() {
    let mut seen_old = 0;
    let mut seen_new = 0;
    for steps in 0.. {
        let (_folder, workspace) = workspace();
        LEFT.set(steps);
        let outcome = write_all(&workspace, "new text\n");
        LEFT.set(usize::MAX);
        if outcome.is_ok() {
            assert!(seen_old > 2 && seen_new > 8, "{seen_old} {seen_new}");
            break;
        }
        // Before the decision the checkout is untouched even if no command follows.
        let decided = workspace.target.join("xtask/edit.journal.json").exists();
        if !decided {
            assert_eq!(texts(&workspace), ["old\n"; 3]);
        }
        drop(Edits::begin(&workspace).unwrap());
        let expected = if decided { "new text\n" } else { "old\n" };
        assert_eq!(texts(&workspace), [expected; 3], "after {steps} steps");
        assert!(leftovers(&workspace).is_empty(), "after {steps} steps");
        *(if decided { &mut seen_new } else { &mut seen_old }) += 1;
        write_all(&workspace, "third\n").unwrap();
        assert_eq!(texts(&workspace), ["third\n"; 3]);
        assert!(leftovers(&workspace).is_empty(), "after {steps} steps");
    }
}

#[test]
fn what_a_person_changed_since_is_not_overwritten() {
    let (_folder, workspace) = workspace();
    LEFT.set(6);
    write_all(&workspace, "new\n").unwrap_err();
    LEFT.set(usize::MAX);
    assert_eq!(texts(&workspace)[2], "old\n");
    fs::write(workspace.root.join("c.md"), "mine\n").unwrap();
    let error = Edits::begin(&workspace).err().unwrap().to_string();
    assert!(error.contains("c.md was changed by hand"), "{error}");
    assert_eq!(texts(&workspace)[2], "mine\n");
}

#[test]
fn equal_texts_are_not_written() {
    let (_folder, workspace) = workspace();
    assert_eq!(write_all(&workspace, "old\n").unwrap(), [""; 0]);
    assert_eq!(write_all(&workspace, "x\n").unwrap(), FILES);
}

/// Not a test by itself: the child that the next one kills.
#[test]
#[ignore = "the child of `sigkill`"]
fn child() {
    let Some(root) = std::env::var_os("EDIT_TEST_ROOT") else { return };
    let root = PathBuf::from(root);
    let workspace = Workspace { target: root.join("target"), root };
    for generation in 0.. {
        write_all(&workspace, &format!("{generation} {}\n", "x".repeat(100_000))).unwrap();
    }
}

#[test]
fn sigkill() {
    let (_folder, workspace) = workspace();
    for round in 0..15 {
        let before = texts(&workspace).remove(0);
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "edit::tests::child"])
            .env("EDIT_TEST_ROOT", &workspace.root)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        // It is at work once a file has changed; how long it then has differs from round to round.
        while texts(&workspace)[0] == before {
            assert_eq!(child.try_wait().unwrap(), None, "the child ended by itself");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(2 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        drop(Edits::begin(&workspace).unwrap());
        let texts = texts(&workspace);
        assert!(texts.iter().all(|text| *text == texts[0]), "a mixture in round {round}");
        assert!(leftovers(&workspace).is_empty());
    }
}
