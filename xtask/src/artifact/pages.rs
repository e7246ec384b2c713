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
    let mut command = mathesar::cli::command();
    command.build();
    let mut pages = Vec::new();
    add_pages(&command, package.name(), &date, &mut pages)?;
    pages.push((format!("man/{}.conf.5", package.name()), mathesar::config::reference_man()));
    Ok(pages)
}

fn add_pages(command: &Command, name: &str, date: &str, pages: &mut Vec<(String, String)>) -> Result<()> {
    let mut roff = Vec::new();
    clap_mangen::Man::new(command.clone().name(leak(name)))
        .title(name.to_uppercase())
        .section("1")
        .date(date)
        .source(format!("{} {}", "mathesar", env!("CARGO_PKG_VERSION")))
        .manual("Mathesar")
        .render(&mut roff)
        .with_context(|| format!("cannot render the manual page of {name}"))?;
    let text = String::from_utf8(roff).with_context(|| format!("the manual page of {name} is not UTF-8"))?;
    pages.push((format!("man/{name}.1"), text));
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help") {
        add_pages(sub, &format!("{name}-{}", sub.get_name()), date, pages)?;
    }
    Ok(())
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
