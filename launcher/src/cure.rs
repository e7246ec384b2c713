//! Commands that are named in a help: pasted as they stand, they have to mean the installation that was meant.

use std::borrow::Cow;
use std::ffi::OsString;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;

/// `--home DIR` and the like, as they were given, each with a space behind it.
static OPTIONS: OnceLock<String> = OnceLock::new();

/// Whatever may follow the program's name in a command.
pub(crate) const COMMANDS: &[&str] = &[
    "admin",
    "app",
    "autostart",
    "backup",
    "config",
    "db",
    "doctor",
    "layout",
    "logs",
    "migrate",
    "open",
    "plan",
    "proxy",
    "restart",
    "restore",
    "rollback",
    "run",
    "setup",
    "start",
    "status",
    "stop",
    "uninstall",
    "upgrade",
];

/// The options before the sub-command, once and for the whole process.
pub(crate) fn remember(options: &[OsString]) {
    let words = options.iter().map(|word| format!("{} ", quoted(&word.to_string_lossy())));
    let _ = OPTIONS.set(words.collect());
}

/// With the options in every command of ours between backquotes.
pub(crate) fn addressed(text: &str) -> Cow<'_, str> {
    match OPTIONS.get().filter(|options| !options.is_empty()) {
        Some(options) => Cow::Owned(with(text, options)),
        None => Cow::Borrowed(text),
    }
}

/// The same in every line of a report by itself: an odd backquote in a name leads no other line astray.
pub(crate) fn addressed_lines(report: &str) -> String {
    report.split_inclusive('\n').map(addressed).collect()
}

/// The same in every text of an answer for scripts.
pub(crate) fn addressed_value(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(addressed(&text).into_owned()),
        Value::Array(all) => Value::Array(all.into_iter().map(addressed_value).collect()),
        Value::Object(all) => {
            Value::Object(all.into_iter().map(|(name, value)| (name, addressed_value(value))).collect())
        }
        other => other,
    }
}

/// The same in the lines of a report that name a cure: the others tell what was.
pub(crate) fn addressed_helps(report: &str) -> Cow<'_, str> {
    if OPTIONS.get().is_none_or(String::is_empty) {
        return Cow::Borrowed(report);
    }
    let is_help = |line: &str| anstream::adapter::strip_str(line).to_string().trim_start().contains("help: ");
    let lines = report.split_inclusive('\n');
    Cow::Owned(lines.map(|line| if is_help(line) { addressed(line) } else { Cow::Borrowed(line) }).collect())
}

fn with(text: &str, options: &str) -> String {
    let mut parts = text.split('`');
    let mut whole = parts.next().unwrap_or_default().to_owned();
    let mut is_command = true;
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        whole.push('`');
        // A process that runs is told by its command, too.
        let is_process = parts.peek().is_some_and(|next| next.starts_with(" (pid "));
        match is_command && parts.peek().is_some() && !is_process {
            true => whole.push_str(&with_options(part, options)),
            false => whole.push_str(part),
        }
        is_command = !is_command;
    }
    whole
}

/// In each place where the program's name stands before a sub-command; `sudo -u mathesar mathesar stop` has one.
fn with_options(command: &str, options: &str) -> String {
    const NAME: &str = "mathesar ";
    let mut whole = String::new();
    let mut rest = command;
    while let Some(at) = rest.find(NAME) {
        let (before, after) = rest.split_at(at + NAME.len());
        whole.push_str(before);
        let begins = before.len() == NAME.len() || before.as_bytes()[at - 1].is_ascii_whitespace();
        let next = after.split_whitespace().next().unwrap_or_default();
        if begins && COMMANDS.contains(&next) {
            whole.push_str(options);
        }
        rest = after;
    }
    whole.push_str(rest);
    whole
}

/// A path in a command, as one word of a shell.
pub(crate) fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// As one word of a shell.
pub(crate) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._/+@%:,=-".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_means_the_same_installation() {
        let with = |text| with(text, "--home '/a b' ");
        for (text, wanted) in [
            ("start it: `mathesar start`", "start it: `mathesar --home '/a b' start`"),
            (
                "`sudo -u mathesar mathesar config check`, `mathesar stop`",
                "`sudo -u mathesar mathesar --home '/a b' config check`, `mathesar --home '/a b' stop`",
            ),
            ("`mathesar --instance two uninstall`", "`mathesar --instance two uninstall`"),
            ("`mathesar run` (pid 7) did not answer", "`mathesar run` (pid 7) did not answer"),
            ("mathesar start, `systemctl stop mathesar`", "mathesar start, `systemctl stop mathesar`"),
            ("one ` alone, mathesar stop", "one ` alone, mathesar stop"),
            ("`x-mathesar start`", "`x-mathesar start`"),
        ] {
            assert_eq!(with(text), wanted);
        }
    }

    #[test]
    fn a_shell_reads_one_word() {
        for word in ["/a", "a b", "it's", "$x", "", "a\\b\"c"] {
            let script = format!("printf %s {}", quoted(word));
            let shell = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
            assert_eq!(shell.stdout, word.as_bytes());
        }
    }

    #[test]
    fn no_command_is_missing() {
        let command = crate::cli::command();
        let mut all: Vec<&str> = command.get_subcommands().map(|sub| sub.get_name()).collect();
        all.retain(|name| *name != "help");
        all.sort_unstable();
        assert_eq!(all, COMMANDS);
    }
}
