//! docs/doctor.md: every check, from the table that the program uses.

const HEAD: &str = "\
# `mathesar doctor`

`mathesar doctor` looks at everything that is known to keep Mathesar from starting, answering or staying safe, and says of each thing
that is wrong what causes it and which command mends it. It changes nothing, starts nothing, and works while Mathesar runs and while it is
stopped; what only a running Mathesar could tell is then `not checked`.

```
mathesar doctor                       # for a person
mathesar doctor --json                # for a script
mathesar doctor --bundle report.tar.gz  # for a bug report
```

It exits with 0 where it found no problem (warnings are none), with 1 otherwise. `--json` gives an object with `problems`, `warnings` and
`not_checked` (numbers) and `checks`, an array of objects with `id`, `group`, `title`, `finding` (`ok`, `warning`, `problem`,
`not-checked`), `text`, `cause` (or null) and `cures` (an array). The ids below stay as they are; further ones may come.

In system mode it becomes the user `mathesar`, as everything else does. As root it first reads what only root may read: who holds the
port, the kernel's log, and for `--bundle` the journal.

## The bundle
`--bundle FILE` writes a `.tar.gz` that only you can read, and refuses to overwrite one. It holds this report and its JSON, `status
--json`, `plan`, the settings with their origins, versions (launcher, release, Python and its packages, PostgreSQL, operating system,
kernel), the last 2,000 lines of the log, the unit's state, and names, sizes and modes of the files in the state folder, without their
contents and without the names of uploaded files. Every known secret is replaced by `***` in every form it is likely to have there
(quoted, percent-encoded, base64, …), and so is whatever looks like a password, token, cookie or key, and user names in addresses.
Names of people, tables and machines may still occur in log lines: look through it before you send it to somebody.

## The checks
";

/// docs/doctor.md
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    let mut group = None;
    for entry in super::entries() {
        if group != Some(entry.group) {
            text.push_str(&format!(
                "\n### {}\n| id | what is looked at |\n| --- | --- |\n",
                entry.group.title()
            ));
            group = Some(entry.group);
        }
        text.push_str(&format!("| `{}` | {} |\n", entry.id, entry.doc.replace('|', "\\|")));
    }
    text
}

#[cfg(test)]
mod tests {
    /// `UPDATE=1 cargo test -p mathesar reference` writes it.
    #[test]
    fn the_page_is_of_these_checks() {
        const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/doctor.md");
        let expected = super::markdown();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(PAGE, &expected).unwrap();
        }
        let found = std::fs::read_to_string(PAGE).unwrap_or_default();
        assert!(
            found == expected,
            "docs/doctor.md is out of date: UPDATE=1 cargo test -p mathesar reference"
        );
    }
}
