//! docs/your-data.md: a person who follows it gets there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::harness::Home;
use crate::machine::give;
use crate::upgrade::{fill, precious, rita_reads};

const PAGE: &str = include_str!("../../../docs/your-data.md");

/// The commands below a heading, in the order they stand.
fn commands(heading: &str) -> Vec<&'static str> {
    let (_, rest) = PAGE.split_once(&format!("# {heading}\n")).unwrap_or_else(|| panic!("no `{heading}`"));
    let section = rest.split("\n#").next().unwrap_or(rest);
    let commands: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .map(|line| line.split(" # ").next().unwrap_or(line).trim_end())
        .collect();
    assert!(!commands.is_empty(), "{heading}");
    commands
}

/// A disk that is carried from one machine to the other, and `mathesar` as a person types it.
struct Person<'a> {
    home: &'a Home,
    disk: &'a Path,
}

impl Person<'_> {
    #[track_caller]
    fn does(&self, heading: &str) -> String {
        let bin = self.home.folder().join("bin");
        let wrapper = bin.join("mathesar");
        if !wrapper.exists() {
            fs::create_dir(&bin).unwrap();
            let folder = self.home.folder().join("home");
            let text = format!(
                "#!/bin/sh\nexec '{}' --home '{}' \"$@\"\n",
                self.home.program().display(),
                folder.display()
            );
            fs::write(&wrapper, text).unwrap();
            fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let postgresql = self.home.server_program("postgres");
        let mut said = String::new();
        for line in commands(heading) {
            let line = line.replace("/mnt/disk", self.disk.to_str().unwrap());
            let mut shell = self.home.command(Path::new("/bin/sh"));
            let path = std::env::var("PATH").unwrap_or_default();
            let path = format!("{}:{}:{path}", bin.display(), postgresql.parent().unwrap().display());
            let output =
                shell.args(["-ec", &line]).env("PATH", path).current_dir(self.disk).output().unwrap();
            let text = format!(
                "$ {line}\n{}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
            println!("{text}");
            assert!(output.status.success(), "{heading}: {text}\n{}", self.home.log());
            said += &text;
        }
        said
    }
}

#[test]
fn its_commands_do_what_it_says() {
    let Some(old) = Home::prepared() else { return };
    old.ok(&["start"]);
    let table = fill(&old);
    let before = precious(&old);
    let disk = tempfile::Builder::new().prefix("d").tempdir_in("/tmp").unwrap();
    let folder = disk.path();
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
    give(folder, old.user);
    let person = Person { home: &old, disk: folder };
    person.does("What is where");
    let said = person.does("A backup that you can rely on");
    assert!(said.contains("a good backup"), "{said}");

    // Something was deleted by mistake, and is had again; or rather not.
    old.sql("people", "DELETE FROM cats");
    let said = person.does("Something was deleted");
    assert!(said.contains("Restored Mathesar 1.0.0"), "{said}");
    assert_eq!(precious(&old), before);
    rita_reads(&old, &table);
    person.does("Or rather not");
    assert_eq!(old.sql("people", "SELECT count(*) FROM cats"), "0");
    person.does("Something was deleted");

    // The database is broken.
    old.ok(&["stop"]);
    old.nobody_left();
    fs::remove_file(old.layout.state.join("database/data/global/pg_control")).unwrap();
    person.does("The database does not start any more");
    assert_eq!(precious(&old), before);
    rita_reads(&old, &table);

    // Another machine: nothing of the old one is there.
    person.does("On the old machine");
    old.nobody_left();
    let gone = old.folder().join("gone");
    fs::rename(&old.layout.state, &gone).unwrap();
    let Some(new) = Home::bare() else { return };
    let moved = Person { home: &new, disk: folder };
    moved.does("On the new machine");
    let without_media = |mut value: serde_json::Value| {
        value["media"] = serde_json::Value::Null;
        value
    };
    assert_eq!(without_media(precious(&new)), without_media(before));
    rita_reads(&new, &table);

    // Without any launcher.
    let said = moved.does("With another PostgreSQL, or without Mathesar");
    assert!(said.contains("TABLE DATA public cats"), "{said}");
}
