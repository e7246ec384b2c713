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
        (format!("completions/{file}"), String::from_utf8_lossy(&script).into_owned())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
