//! Manual pages and shell completions, from the launcher's own command line.

use anyhow::{Context as _, Result};
use clap::Command;
use clap_complete::Shell;
use jiff::Timestamp;

use crate::manifest::Package;

/// `man/mathesar.1`, one page a sub-command, and `man/mathesar.conf.5`.
pub(crate) fn man(package: &Package) -> Result<Vec<(String, String)>> {
    let seconds = i64::try_from(package.epoch).context("SOURCE_DATE_EPOCH is out of range")?;
    let date = Timestamp::from_second(seconds).context("SOURCE_DATE_EPOCH is out of range")?;
    let date = date.strftime("%Y-%m-%d").to_string();
    let mut command = mathesar::cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    add_pages(&command, package, package.name(), &date, &mut pages)?;
    pages.push((format!("man/{}.conf.5", package.name()), mathesar::config::reference_man()));
    Ok(pages)
}

type Pages = Vec<(String, String)>;

fn add_pages(command: &Command, package: &Package, name: &str, date: &str, pages: &mut Pages) -> Result<()> {
    let page = page(command, package, name, date);
    pages.push((format!("man/{name}.1"), page.with_context(|| format!("cannot render the page of {name}"))?));
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        add_pages(sub, package, &format!("{name}-{}", sub.get_name()), date, pages)?;
    }
    Ok(())
}

fn page(command: &Command, package: &Package, name: &str, date: &str) -> Result<String> {
    let mut roff = Vec::new();
    let man = clap_mangen::Man::new(command.clone().name(leak(name)))
        .title(name.to_uppercase())
        .section("1")
        .date(date)
        .source(format!("{} {}", package.name(), package.full_version()))
        .manual(&package.manifest.package.display_name);
    man.render_title(&mut roff)?;
    man.render_name_section(&mut roff)?;
    man.render_synopsis_section(&mut roff)?;
    man.render_description_section(&mut roff)?;
    man.render_options_section(&mut roff)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut roff)?;
    }
    // clap_mangen's empty line between two breaks, which mandoc finds strange, is one empty line.
    let mut text = String::from_utf8(roff)?.replace(".br\n\n.br\n", ".sp\n");
    if let Some(extra) = command.get_after_long_help() {
        text.push_str(&sections(&extra.to_string()));
    }
    let see: Vec<String> = [(package.name().to_owned(), 1), (format!("{}.conf", package.name()), 5)]
        .into_iter()
        .filter(|(page, _)| page != name)
        .map(|(page, section)| format!("\\fB{}\\fR({section})", escaped(&page)))
        .collect();
    text.push_str(&format!(".SH \"SEE ALSO\"\n{}\n", see.join(", ")));
    Ok(text)
}

/// The end of a long help as sections of their own: `Heading:` lines, and under them `  term  text` entries.
fn sections(help: &str) -> String {
    let mut roff = String::new();
    for line in help.lines() {
        if let Some(heading) = line.strip_suffix(':').filter(|heading| !heading.starts_with(' ')) {
            let heading = if heading == "Exit codes" { "exit status" } else { heading };
            roff.push_str(&format!(".SH \"{}\"\n", escaped(&heading.to_uppercase())));
        } else if let Some(entry) = line.strip_prefix("  ").filter(|entry| !entry.starts_with(' ')) {
            let (term, text) = entry.split_once("  ").unwrap_or((entry, ""));
            roff.push_str(&format!(".TP\n\\fB{}\\fR\n", escaped(term)));
            add_text(&mut roff, text);
        } else {
            add_text(&mut roff, line);
        }
    }
    roff
}

fn add_text(roff: &mut String, text: &str) {
    let text = escaped(text.trim());
    if !text.is_empty() {
        // A control character at a line's start would be a macro.
        let guard = if text.starts_with(['.', '\'']) { "\\&" } else { "" };
        roff.push_str(&format!("{guard}{text}\n"));
    }
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

/// clap takes names that live as long as the program; there are a few dozen.
fn leak(name: &str) -> &'static str {
    Box::leak(name.to_owned().into_boxed_str())
}

/// Completions for bash, zsh and fish.
pub(crate) fn completions(package: &Package) -> Vec<(String, String)> {
    let name = package.name();
    [
        (Shell::Bash, format!("{name}.bash")),
        (Shell::Zsh, format!("_{name}")),
        (Shell::Fish, format!("{name}.fish")),
    ]
    .into_iter()
    .map(|(shell, file)| {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut mathesar::cli::command(), name, &mut script);
        let mut script = String::from_utf8_lossy(&script).into_owned();
        if shell == Shell::Fish {
            script.push_str(&fish_values(&mathesar::cli::command(), name));
        }
        (format!("completions/{file}"), script)
    })
    .collect()
}

/// What clap_complete leaves out for fish, which offers names of files instead: values of arguments without a dash, and of options
/// before the sub-command (an option without its value is a wrong command line for the script's own question where it stands).
fn fish_values(command: &Command, name: &str) -> String {
    let subs = |command: &Command| {
        let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        names.join(" ")
    };
    let mut lines = String::new();
    let none = format!("not __fish_seen_subcommand_from {}", subs(command));
    for option in command.get_opts().filter(|option| !option.is_hide_set()) {
        let Some(long) = option.get_long() else { continue };
        let values = values_of(option);
        if !values.is_empty() {
            lines.push_str(&format!(
                "complete -c {name} -n \"{none}\" -l {long} -x -a \"{}\"\n",
                values.join(" ")
            ));
        }
    }
    for sub in command.get_subcommands() {
        let seen = format!("__fish_{name}_using_subcommand {}", sub.get_name());
        add_positionals(sub, name, &seen, &mut lines);
        for inner in sub.get_subcommands() {
            let seen = format!("{seen}; and __fish_seen_subcommand_from {}", inner.get_name());
            add_positionals(inner, name, &seen, &mut lines);
        }
    }
    lines
}

fn add_positionals(command: &Command, name: &str, seen: &str, lines: &mut String) {
    for argument in command.get_positionals() {
        let values = values_of(argument);
        if !values.is_empty() {
            // Once, though it may be the value of a setting that follows.
            let once = format!("{seen}; and not __fish_seen_subcommand_from {}", values.join(" "));
            lines.push_str(&format!("complete -c {name} -n \"{once}\" -f -a \"{}\"\n", values.join(" ")));
        }
    }
}

fn values_of(argument: &clap::Arg) -> Vec<String> {
    if !argument.get_action().takes_values() {
        return Vec::new();
    }
    let shown = |value: &clap::builder::PossibleValue| !value.is_hide_set();
    argument
        .get_possible_values()
        .iter()
        .filter(|value| shown(value))
        .map(|value| value.get_name().to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bash, zsh and fish, where they are installed, and asked as a person asks them.
    #[test]
    fn shells_complete_values_and_names_of_settings() {
        let folder = tempfile::tempdir().unwrap();
        let script = |shell| {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut mathesar::cli::command(), "mathesar", &mut script);
            String::from_utf8(script).unwrap()
        };
        let (bash, zsh) = (script(Shell::Bash), script(Shell::Zsh));
        let fish = script(Shell::Fish) + &fish_values(&mathesar::cli::command(), "mathesar");
        for text in [&bash, &zsh, &fish] {
            assert!(text.contains("server.listen") && text.contains("database.url"));
        }
        let ask = |shell: &str, script: &str| {
            std::process::Command::new(shell)
                .args(["-c", script])
                .env("HOME", folder.path())
                .current_dir(folder.path())
                .output()
                .map(|output| String::from_utf8(output.stdout).unwrap())
        };
        std::fs::write(folder.path().join("a-file"), "").unwrap();
        let cases = [
            ("autostart ", "off on status"),
            ("--color ", "always auto never"),
            ("config get server.l", "server.listen"),
            ("config unset server.l", "server.listen"),
            ("config set server.l", "server.listen"),
        ];
        let sorted = |text: &str| {
            let mut words: Vec<&str> = text
                .lines()
                .filter_map(|line| line.split('\t').next())
                .filter(|word| !word.starts_with('-'))
                .collect();
            words.sort_unstable();
            words.join(" ")
        };
        for (typed, expected) in cases {
            std::fs::write(folder.path().join("mathesar.fish"), &fish).unwrap();
            match ask("fish", &format!("source mathesar.fish; complete -C 'mathesar {typed}'")) {
                Ok(text) => assert_eq!(sorted(&text), expected, "fish: {typed}"),
                Err(_) => println!("not run: there is no fish"),
            }
            std::fs::write(folder.path().join("mathesar.bash"), &bash).unwrap();
            let question = format!(
                "source ./mathesar.bash; line='mathesar {typed}'; IFS=' ' read -ra COMP_WORDS <<<\"$line\"; \
                 [[ $line == *' ' ]] && COMP_WORDS+=(''); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); \
                 _mathesar mathesar \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"; \
                 printf '%s\\n' \"${{COMPREPLY[@]}}\""
            );
            match ask("bash", &question) {
                Ok(text) => assert_eq!(sorted(&text), expected, "bash: {typed}"),
                Err(_) => println!("not run: there is no bash"),
            }
        }
    }

    #[test]
    fn the_end_of_a_help_becomes_sections() {
        let help = "Exit codes:\n  0  done\n  1  failed\n\nFiles:\n  /etc/a, b-c\n      .what it is";
        assert_eq!(
            sections(help),
            ".SH \"EXIT STATUS\"\n.TP\n\\fB0\\fR\ndone\n.TP\n\\fB1\\fR\nfailed\n\
             .SH \"FILES\"\n.TP\n\\fB/etc/a, b\\-c\\fR\n\\&.what it is\n"
        );
    }
}
