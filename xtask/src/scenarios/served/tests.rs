use clap::Parser as _;

use super::serving::{Serving, listen};
use super::*;
use crate::scenarios;
use crate::{Cli, Command};

/// As it is entered after `cargo xtask`.
fn entered(arguments: &[&str]) -> Result<scenarios::Args, clap::Error> {
    let cli = Cli::try_parse_from([&["xtask"], arguments].concat())?;
    match cli.command {
        Command::Verify(args) => Ok(args),
        _ => panic!("another command"),
    }
}

#[test]
fn what_cannot_be_asked_for_is_told_by_the_exit_code_2() {
    for (arguments, says) in [
        (["verify", "--from", "http://packages.example.org"].as_slice(), "is no https address"),
        (&["verify", "--from", "nonsense"], "is no https address"),
        (&["verify", "--expect", "0.12.0-1"], "--from"),
        (&["verify", "--at-hand", "x"], "--from"),
        (&["verify", "--from", "https://packages.example.org", "--key", "1234"], "is no fingerprint"),
    ] {
        let Err(error) = entered(arguments) else { panic!("{arguments:?} is taken") };
        assert_eq!(error.exit_code(), 2, "{arguments:?}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let workspace = Workspace::find().unwrap();
    for (arguments, says) in [
        (["verify", "mutations", "--from", "https://packages.example.org"].as_slice(), "about this checkout"),
        (&["verify", "apt", "depends", "--from", "https://packages.example.org"], "about this checkout"),
        (
            &["verify", "--from", "https://packages.example.org", "--at-hand", "/nowhere"],
            "has no folder `app`",
        ),
        (
            &["verify", "--from", "https://packages.example.org", "--only", "nonsense"],
            "no scenario's name holds `nonsense`\nhelp: there are: served: install; ",
        ),
    ] {
        let error = asked(&entered(arguments).unwrap(), &workspace).unwrap_err();
        assert!(error.is::<Usage>() && error.to_string().contains(says), "{arguments:?}: {error:#}");
    }
    assert!(!asked(&entered(&["verify", "apt"]).unwrap(), &workspace).unwrap());
}

#[test]
fn keys_may_be_two_and_are_written_in_any_way() {
    let (one, two) = ("a".repeat(40), "B".repeat(40));
    let both = format!("{one},{two}");
    let args = entered(&["verify", "--from", "https://packages.example.org/", "--key", &both]).unwrap();
    assert_eq!(args.served.key, ["A".repeat(40), two]);
}

#[test]
fn a_page_is_fetched_up_to_its_limit() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, url) = listen().unwrap();
    let serving = Serving::start(listener, &url, folder.path());
    let at = Address::parse(&serving.url).unwrap();
    let said = || format!("{:#}", fetch(&at).unwrap_err());
    assert!(said().starts_with(&format!("{url}/index.html is not there")), "{}", said());
    let write = |text: &str| std::fs::write(folder.path().join("index.html"), text).unwrap();
    write("<pre id=\"apt\">sudo apt update</pre>");
    assert_eq!(fetch(&at).unwrap()[0].lines, ["sudo apt update"]);
    write(&"x".repeat(2 << 20));
    assert!(said().contains("more than 1048576 bytes"), "{}", said());
    std::fs::write(folder.path().join("index.html"), [0xff, 0xfe]).unwrap();
    assert!(said().contains("is not UTF-8"), "{}", said());
    // Nothing beside the folder is served.
    assert!(client(LARGEST_PAGE).get(&format!("{url}/%2e%2e/x")).unwrap().is_none());
}

#[test]
fn the_block_that_no_machine_enters_is_told_of() {
    let names = |arguments: &[&str], ids: &[&str]| -> Vec<String> {
        let args =
            entered(&[&["verify", "--from", "https://packages.example.org"], arguments].concat()).unwrap();
        not_by_machines(&args, ids).into_iter().map(|row| row.system).collect()
    };
    assert_eq!(names(&[], &["apt", "brew", "flatpak"]), ["brew"]);
    assert!(names(&["flatpak"], &["flatpak"]).is_empty());
    assert!(names(&[], &["apt"]).is_empty());
    assert_eq!(names(&["brew"], &["apt"]), ["brew"]);
    assert!(names(&["apt"], &["apt", "brew"]).is_empty());
}
