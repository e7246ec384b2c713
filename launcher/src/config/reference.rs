//! The reference of mathesar.conf, as a page and as a man page, from the table of settings.

use std::fmt::Write as _;

use super::kind::Kind;
use super::setting::Setting;
use super::{SECTIONS, SETTINGS};

const INTRODUCTION: &str = "\
mathesar.conf is a TOML file. In system mode it is `/etc/mathesar/mathesar.conf`, for a user \
`~/.config/mathesar/mathesar.conf`; `mathesar config path` names it. Later ones of these win:

1. the default
2. `mathesar.conf`
3. `conf.d/*.conf` beside it, in the order of their names
4. the environment
5. options of the command

`mathesar config show --origin` shows what is in force and why, `mathesar config check` everything that is wrong. \
`mathesar config set` and `unset` change one setting and keep comments; in system mode they write `conf.d/90-local.conf`, \
so that a new version of the package never has to ask about the file.";

const ENVIRONMENT: &str = "\
Every setting can be given as a variable: `MATHESAR_`, then its name in capitals with `_` for `.` and `-`, as \
`MATHESAR_SERVER_LISTEN` for `server.listen`. Items of a list are separated by commas. Every command honours these. \
Mathesar's own variables, named below where a setting has one, are honoured by `mathesar run` only: by units and containers, \
never from a developer's shell. `POSTGRES_HOST`, `POSTGRES_PORT`, `POSTGRES_USER` and `POSTGRES_DB` make up `database.url` there.";

const FORMS: &[(&str, &str)] = &[
    ("duration", "Numbers with `s`, `m`, `h`, `d` or `w`: `30s`, `1h30m`."),
    ("size", "A number with `B`, `KB`, `MB`, `GB`, `TB` (thousands) or `KiB`, `MiB`, `GiB`, `TiB` (1024s)."),
    (
        "not set",
        "A setting without default can be given an empty string, which means the same as leaving it out.",
    ),
    ("secret", "Never shown: `(redacted)` stands in its place, but for `mathesar config get --reveal`."),
];

const ENV: &str = "\
Further environment variables for Mathesar, each `NAME = \"value\"`. Refused are those that have a setting of their own; those that \
would change what runs or how it is reached: `PATH`, `ENV`, `BASH_ENV`, `LD_*`, `DYLD_*`, `GLIBC_TUNABLES`, `GCONV_PATH`, `LOCPATH`, `PYTHON*`, \
`GUNICORN_*`, `OPENSSL_*`, `SSLKEYLOGFILE` and `PG*`; and those between the launcher and others: `MATHESAR_*`, `NOTIFY_SOCKET`, `LISTEN_*`, \
`WATCHDOG_*`, `CREDENTIALS_DIRECTORY`, `HOME`, `VIRTUAL_ENV`, `DJANGO_SETTINGS_MODULE` and `SKIP_STATIC_COLLECTION`. Values are treated as secrets.";

/// The facts of a setting, a term and a text each.
fn facts(setting: &Setting) -> Vec<(&'static str, String)> {
    let mut facts = vec![("Value", setting.kind.expected())];
    facts.push((
        "Default",
        match (&setting.kind, setting.default) {
            (_, None) => "not set".to_owned(),
            (_, Some(_)) => format!("`{}`", setting.default_value().to_toml()),
        },
    ));
    let mut variables = vec![format!("`{}`", setting.variable())];
    variables.extend(setting.usual_variables.iter().map(|name| format!("`{name}`")));
    variables.extend(setting.service_variables.iter().map(|name| format!("`{name}` (`mathesar run` only)")));
    facts.push(("Environment", variables.join(", ")));
    facts.push(("Takes effect", setting.effect.text().to_owned()));
    if setting.secret {
        facts.push(("Secret", "yes".to_owned()));
    }
    facts
}

fn of_section(name: &str) -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().filter(move |setting| setting.section_and_key().0 == name)
}

/// An example of how the setting is written in its section.
fn example(setting: &Setting) -> String {
    let key = setting.section_and_key().1;
    let value = match (&setting.kind, setting.default) {
        (Kind::List(Kind::Host), _) => "[\"mathesar.example.org\"]".to_owned(),
        (Kind::List(Kind::Network), _) => "[\"10.0.0.5\"]".to_owned(),
        (Kind::List(_), _) => "[\"localhost\", \".example.org\"]".to_owned(),
        (_, Some(_)) => setting.default_value().to_toml().to_string(),
        (Kind::Path | Kind::Folder, _) => "\"/path\"".to_owned(),
        (Kind::Url(schemes), _) => format!("\"{}://example.org\"", schemes.first().unwrap_or(&"https")),
        (Kind::DatabaseUrl, _) => "\"postgresql://mathesar@db.example.org:5432/mathesar_django\"".to_owned(),
        _ => "\"…\"".to_owned(),
    };
    format!("{key} = {value}")
}

/// docs/configuration.md
pub fn markdown() -> String {
    let mut page = format!(
        "<!-- Generated from launcher/src/config/settings.rs; `UPDATE=1 cargo test -p mathesar reference` writes it. -->\n\
         # Configuration\n\n{INTRODUCTION}\n\n## Environment\n{ENVIRONMENT}\n\n## Forms\n"
    );
    for (term, text) in FORMS {
        let _ = writeln!(page, "- *{term}*: {text}");
    }
    page.push_str("\n## Settings\n| setting | default | |\n| --- | --- | --- |\n");
    for setting in SETTINGS {
        let default = setting.default.map(|_| format!("`{}`", setting.default_value().to_toml()));
        let first = setting.doc.split_inclusive(". ").next().unwrap_or_default().trim();
        let anchor = setting.name.replace('.', "");
        let name = setting.name;
        let _ = writeln!(page, "| [`{name}`](#{anchor}) | {} | {first} |", default.unwrap_or_default());
    }
    for section in SECTIONS {
        let title = if section.name.is_empty() {
            "Top of the file".to_owned()
        } else {
            format!("`[{}]`", section.name)
        };
        let _ = write!(page, "\n## {title}\n{}\n", section.doc);
        for setting in of_section(section.name) {
            let _ = write!(page, "\n### `{}`\n{}\n\n```toml\n", setting.name, setting.doc);
            if !section.name.is_empty() {
                let _ = writeln!(page, "[{}]", section.name);
            }
            let _ = writeln!(page, "{}\n```\n", example(setting));
            for (term, text) in facts(setting) {
                let _ = writeln!(page, "- {term}: {text}");
            }
        }
    }
    let _ = write!(page, "\n## `[env]`\n{ENV}\n\n```toml\n[env]\nAZURE_CLIENT_ID = \"…\"\n```\n");
    page
}

/// mathesar.conf(5)
pub fn man() -> String {
    let mut page = format!(
        ".TH MATHESAR.CONF 5 \"{}\" \"mathesar {}\" \"File formats\"\n\
         .SH NAME\nmathesar.conf \\- settings of Mathesar and its launcher\n\
         .SH SYNOPSIS\n.B /etc/mathesar/mathesar.conf\n.br\n.B /etc/mathesar/conf.d/*.conf\n.br\n\
         .B ~/.config/mathesar/mathesar.conf\n.SH DESCRIPTION\n",
        date(),
        env!("CARGO_PKG_VERSION")
    );
    let mut listed = false;
    for line in INTRODUCTION.lines().filter(|line| !line.is_empty()) {
        match line.split_once(". ").filter(|(number, _)| number.bytes().all(|byte| byte.is_ascii_digit())) {
            Some((number, text)) => {
                let _ = writeln!(page, ".IP {number}. 4\n{}", roff(text));
                listed = true;
            }
            None => {
                let _ = writeln!(page, "{}{}", if listed { ".PP\n" } else { "" }, roff(line));
            }
        }
    }
    page.push_str(".SS Forms\n");
    for (term, text) in FORMS {
        let _ = writeln!(page, ".TP\n.I {}\n{}", roff(term), roff(text));
    }
    page.push_str(".SH SETTINGS\n");
    for section in SECTIONS {
        let title = if section.name.is_empty() {
            "Top of the file".to_owned()
        } else {
            format!("[{}]", section.name)
        };
        let _ = writeln!(page, ".SS \"{}\"\n{}", roff(&title), roff(section.doc));
        for setting in of_section(section.name) {
            let _ = writeln!(page, ".TP\n.B {}\n{}", roff(&example(setting)), roff(setting.doc));
            for (term, text) in facts(setting) {
                let _ = writeln!(page, ".br\n{}: {}", term, roff(&text));
            }
        }
    }
    let _ = writeln!(page, ".SS [env]\n{}", roff(ENV));
    let _ = writeln!(page, ".SH ENVIRONMENT\n{}", roff(ENVIRONMENT));
    let _ = writeln!(page, ".SH SEE ALSO\n.BR mathesar (1)");
    page
}

/// The newest release's date, so that the page is the same from every build.
fn date() -> &'static str {
    const CHANGELOG: &str = include_str!("../../../CHANGELOG.md");
    let newest = CHANGELOG.lines().find(|line| line.starts_with("## "));
    newest.and_then(|line| line.split(['(', ')']).nth(1)).unwrap_or_default()
}

/// Text for troff: escapes, and `code` in bold.
fn roff(text: &str) -> String {
    let mut bold = false;
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '`' => {
                bold = !bold;
                out.push_str(if bold { "\\fB" } else { "\\fR" });
            }
            '\\' => out.push_str("\\e"),
            '-' => out.push_str("\\-"),
            '\'' => out.push_str("\\(aq"),
            '"' => out.push_str("\\(dq"),
            '…' => out.push_str("..."),
            '~' => out.push_str("\\(ti"),
            '^' => out.push_str("\\(ha"),
            c if c.is_ascii() => out.push(c),
            c => {
                let _ = write!(out, "\\[u{:04X}]", c as u32);
            }
        }
    }
    // A line that begins with a dot is a request.
    if out.starts_with('.') { format!("\\&{out}") } else { out }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");

    #[test]
    fn the_reference_page_is_up_to_date() {
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(PAGE, markdown()).unwrap();
        }
        let committed = std::fs::read_to_string(PAGE).unwrap();
        assert!(committed == markdown(), "run: UPDATE=1 cargo test -p mathesar reference");
    }

    #[test]
    fn every_example_is_valid() {
        for setting in SETTINGS {
            let section = setting.section_and_key().0;
            let header = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
            let text = format!("{header}{}\n", example(setting));
            let loaded = crate::config::Loaded::with_text(std::path::Path::new("x"), &text);
            assert!(loaded.problems.is_empty(), "{text}{:?}", loaded.problems);
        }
    }

    #[test]
    fn the_man_page_is_clean() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mathesar.conf.5");
        std::fs::write(&path, man()).unwrap();
        match std::process::Command::new("mandoc").args(["-T", "lint", "-W", "warning"]).arg(&path).output() {
            Ok(output) => {
                let said = String::from_utf8_lossy(&output.stdout).replace(&*path.to_string_lossy(), "page");
                assert!(said.is_empty(), "{said}");
            }
            Err(cause) => eprintln!("not run: mandoc is not here ({cause})"),
        }
    }
}
