//! `cargo xtask tools`.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};
use serde::Serialize;

use super::{Family, PROGRAMS, Tools, on_path, pins, programs};
use crate::ui;
use crate::workspace::Workspace;

/// Show which programs xtask needs, which are here, and how to get the others
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print it as JSON
    #[arg(long)]
    json: bool,
    /// Install the pinned ones below target/tools (all, or those named), at the versions of packaging/tools.{toml,lock}
    #[arg(long, value_name = "NAME", num_args = 0.., conflicts_with = "json")]
    install: Option<Vec<String>>,
}

/// A program, here or not.
#[derive(Debug, Serialize)]
struct Found {
    name: String,
    purpose: String,
    path: Option<String>,
    version: Option<String>,
    /// The pinned version, of those that xtask installs itself.
    pinned: Option<String>,
    /// How to get it where it is missing.
    install: Option<String>,
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let tools = Tools::new(workspace);
    if let Some(names) = &args.install {
        return install(&tools, names);
    }
    let family = Family::here();
    let found = survey(&tools, family)?;
    if args.json {
        anstream::println!("{}", serde_json::to_string_pretty(&found)?);
        return Ok(());
    }
    anstream::print!("{}", table(&found));
    let missing = PROGRAMS.iter().filter(|program| on_path(program.name).is_none());
    let packages = programs::packages(missing, family);
    if !packages.is_empty() && let Some(command) = family.install_command(&packages) {
        ui::help(command);
    }
    if found.iter().any(|found| found.path.is_none() && found.pinned.is_some()) {
        ui::help("cargo xtask tools --install (or let the command that needs one install it)");
    }
    Ok(())
}

fn install(tools: &Tools, names: &[String]) -> Result<()> {
    let pins = pins::all()?;
    if let Some(unknown) = names.iter().find(|name| !pins.iter().any(|pin| pin.name == **name)) {
        let known: Vec<String> = pins.iter().map(|pin| format!("`{}`", pin.name)).collect();
        bail!("`{unknown}` is not among the pinned: {}", known.join(", "));
    }
    for pin in pins.iter().filter(|pin| names.is_empty() || names.contains(&pin.name)) {
        let path = tools.install(&pin.name)?;
        ui::verb("Installed", format!("{} {} ({})", pin.name, pin.version, path.display()));
    }
    Ok(())
}

fn survey(tools: &Tools, family: Family) -> Result<Vec<Found>> {
    let mut found: Vec<Found> = PROGRAMS
        .iter()
        .map(|program| Found {
            name: program.name.to_owned(),
            purpose: program.purpose.to_owned(),
            path: on_path(program.name).map(|path| path.display().to_string()),
            version: None,
            pinned: None,
            install: programs::how_to_get(program.name, family),
        })
        .collect();
    for pin in pins::all()? {
        let purpose = match pin.name.as_str() {
            "cargo-generate-rpm" => "builds the .rpm",
            "uv" => "resolves packaging/app.lock",
            "zizmor" => "checks the workflows",
            _ => "measured beside ours by `bench`",
        };
        found.push(Found {
            path: tools.installed(&pin.name).map(|path| path.display().to_string()),
            install: Some(format!("cargo xtask tools --install {}", pin.name)),
            name: pin.name,
            purpose: purpose.to_owned(),
            version: None,
            pinned: Some(pin.version),
        });
    }
    std::thread::scope(|scope| {
        for found in &mut found {
            scope.spawn(|| found.version = found.path.as_deref().and_then(|path| version(Path::new(path))));
        }
    });
    Ok(found)
}

/// What `--version` says, if it says one.
fn version(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
    // mandoc has no such option, and complains.
    if !output.status.success() {
        return None;
    }
    let text = [output.stdout, output.stderr].concat();
    first_version(&String::from_utf8_lossy(&text))
}

/// The first word that looks like a version: `v2.116.3` in `Lintian v2.116.3+deb12u1`.
fn first_version(text: &str) -> Option<String> {
    let looks_right = |word: &&str| word.starts_with(|c: char| c.is_ascii_digit());
    text.split(|c: char| c.is_whitespace() || "(),\"".contains(c))
        .map(|word| word.strip_prefix('v').unwrap_or(word))
        .find(looks_right)
        .map(|word| word.trim_end_matches(['.', ';', ':']).to_owned())
}

fn table(found: &[Found]) -> String {
    let rows = found.iter().map(|found| {
        let state = match (&found.path, &found.version, &found.pinned) {
            (Some(path), Some(version), _) => format!("{version} ({path})"),
            (Some(path), None, _) => path.clone(),
            (None, _, Some(pinned)) => format!("not installed, pinned {pinned}"),
            (None, _, None) => "missing".to_owned(),
        };
        vec![found.name.clone(), found.purpose.clone(), state]
    });
    crate::table::render(&["program", "for", "here"], rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        assert_eq!(first_version("Lintian v2.116.3+deb12u1\n").as_deref(), Some("2.116.3+deb12u1"));
        assert_eq!(first_version("git version 2.39.5").as_deref(), Some("2.39.5"));
        assert_eq!(first_version("\n .--.  Pacman v6.0.2 - libalpm v13.0.2").as_deref(), Some("6.0.2"));
        assert_eq!(first_version("cc (Debian 12.2.0-14) 12.2.0").as_deref(), Some("12.2.0-14"));
        assert_eq!(first_version("no number"), None);
    }

    #[test]
    fn missing_ones_are_named() {
        let found = |name: &str, path: Option<&str>, version: Option<&str>, pinned: Option<&str>| Found {
            name: name.into(),
            purpose: "a test".into(),
            path: path.map(Into::into),
            version: version.map(Into::into),
            pinned: pinned.map(Into::into),
            install: None,
        };
        let text = table(&[
            found("git", Some("/usr/bin/git"), Some("2.39"), None),
            found("mandoc", Some("/usr/bin/mandoc"), None, None),
            found("lintian", None, None, None),
            found("uv", None, None, Some("0.13.9")),
        ]);
        insta::assert_snapshot!(text);
    }
}
