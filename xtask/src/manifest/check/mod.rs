//! The rules that single values have to pass, by the names that the types give them (`x-check`). Each is pure and says
//! in its doc comment who made the rule.

mod formats;
mod identity;
mod paths;
mod relations;
mod texts;

pub(super) use paths::fits;
pub(super) use relations::logical_name;
pub(super) use texts::MAIN_CATEGORIES;

use std::ops::Range;

/// Why a value is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub title: String,
    pub label: String,
    /// The bytes of the value that are wrong, where it is not all of it.
    pub at: Option<Range<usize>>,
    pub help: Option<String>,
    /// What else is wrong with the same value.
    pub more: Vec<Fault>,
}

impl Fault {
    fn new(title: impl Into<String>, label: impl Into<String>) -> Fault {
        Fault { title: title.into(), label: label.into(), at: None, help: None, more: Vec::new() }
    }

    /// All of them as one; none is no fault.
    fn all(faults: Vec<Fault>) -> Outcome {
        let mut faults = faults.into_iter();
        match faults.next() {
            Some(first) => Err(Fault { more: faults.collect(), ..first }),
            None => Ok(()),
        }
    }

    fn help(mut self, help: impl Into<String>) -> Fault {
        self.help = Some(help.into());
        self
    }

    fn at(mut self, at: Range<usize>) -> Fault {
        self.at = Some(at);
        self
    }

    /// Points to the first character that `allowed` refuses.
    fn at_first(self, text: &str, allowed: impl Fn(char) -> bool) -> Fault {
        match text.char_indices().find(|(_, character)| !allowed(*character)) {
            Some((at, character)) => self.at(at..at + character.len_utf8()),
            None => self,
        }
    }
}

pub(super) type Outcome = Result<(), Fault>;

/// One rule.
pub(super) struct Rule {
    name: &'static str,
    pub check: fn(&str) -> Outcome,
    /// What an editor can test: never stricter than `check`.
    pub pattern: Option<&'static str>,
}

const fn plain(name: &'static str, check: fn(&str) -> Outcome) -> Rule {
    Rule { name, check, pattern: None }
}

const fn with(name: &'static str, check: fn(&str) -> Outcome, pattern: &'static str) -> Rule {
    Rule { name, check, pattern: Some(pattern) }
}

const RULES: &[Rule] = &[
    with("package-name", identity::package_name, "^[a-z0-9][a-z0-9+.-]+$"),
    with("line", texts::line, "^[^\\n]+$"),
    with("version", identity::version, "^[0-9]+(\\.[0-9]+)*$"),
    plain("revision", identity::revision),
    with("summary", texts::summary, "^[^\\n]{1,79}$"),
    plain("description", texts::description),
    plain("spdx", identity::spdx),
    with("maintainer", identity::maintainer, "^[^<>]+ <[^<>@ ]+@[^<>@ ]+>$"),
    with("https-url", identity::https_url, "^https://[^ ]+$"),
    plain("category", texts::category),
    with("keyword", texts::keyword, "^[^;,\\n]+$"),
    plain("target", |_| Ok(())),
    with("glibc", identity::glibc, "^2\\.[0-9]+$"),
    with("minor-version", identity::minor_version, "^[0-9]+\\.[0-9]+$"),
    with("sha256", formats::sha256, "^[0-9a-f]{64}$"),
    with("source", paths::source, "^[^/]"),
    with("file-source", paths::file_source, "^[^/]"),
    with("absolute", paths::absolute, "^/[^/]"),
    with("mode", paths::mode, "^0?[0-7]{3}$"),
    with("user", paths::user, "^[a-z_][a-z0-9_-]*$"),
    with("unit-name", paths::unit_name, "\\.service$"),
    plain("deb-section", formats::deb_section),
    plain("deb-priority", formats::deb_priority),
    with("app-id", formats::app_id, "^[A-Za-z_][A-Za-z0-9_]*(\\.[A-Za-z_][A-Za-z0-9_-]*){2,}$"),
    with("runtime-version", formats::runtime_version, "^[0-9]{2}\\.08$"),
    with("finish-arg", formats::finish_arg, "^--"),
    with("tap", formats::tap, "^[A-Za-z0-9][A-Za-z0-9-]*/[a-z0-9][a-z0-9_-]*$"),
    plain("relation-deb", relations::deb),
    plain("relation-rpm", relations::rpm),
    plain("relation-arch", relations::arch),
    plain("relation-homebrew", relations::homebrew),
];

pub(super) fn rule(name: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.name == name)
}

/// Characters that no value may hold: controls, of which TOML lets escapes through, and those that turn the direction of
/// writing, which make a text look like another.
pub(super) fn forbidden(character: char) -> bool {
    (character.is_control() && character != '\n')
        || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// What people call things that have another name here.
pub(super) fn synonym(text: &str) -> Option<&'static str> {
    Some(match text.to_lowercase().as_str() {
        "amd64" | "x86_64" | "x86-64" | "x64" => "x86_64-unknown-linux-gnu",
        "arm64" | "aarch64" => "aarch64-unknown-linux-gnu",
        "conffile" | "conf" | "configuration" => "config",
        "service" | "systemd" => "unit",
        "bin" | "program" | "executable" => "binary",
        "manpage" | "manual" => "man",
        "copyright" | "licence" => "license",
        "appstream" | "appdata" => "metainfo",
        "depends" | "required" => "requires",
        "optional" => "suggests",
        "debian" | "ubuntu" | "apt" => "deb",
        "redhat" | "fedora" | "dnf" => "rpm",
        "tar" | "tar.gz" | "aur" | "pacman" => "tarball",
        _ => return None,
    })
}

#[cfg(test)]
#[test]
fn what_yaml_takes_for_a_line_break_is_forbidden() {
    for character in ['\r', '\u{85}', '\u{2028}', '\u{2029}', '\u{202e}', '\t', '\0'] {
        assert!(forbidden(character), "{character:?}");
    }
    for character in ['\n', ' ', 'ü', '\u{a0}', '😀'] {
        assert!(!forbidden(character), "{character:?}");
    }
}

#[cfg(test)]
fn title(outcome: Outcome) -> String {
    outcome.err().map_or_else(|| "fine".to_owned(), |fault| fault.title)
}
