use std::process::Command;

use super::*;
use crate::channel::flatpak::tests::{NASTY, build_in_scratch, package, succeeded, tool};

const SHA256: &str = "5555555555555555555555555555555555555555555555555555555555555555";

/// Enough of brew's language to load a formula; prints what it says of itself.
const HARNESS: &str = r##"
require "json"
SAID = {}
class Formula
  def self.test(&) = SAID["test"] = "block"
  def self.depends_on(what) = (SAID["depends_on"] ||= []) << what
  def self.method_missing(name, *values, &block)
    SAID[name.to_s] = block ? "block" : values.first
  end
  def self.respond_to_missing?(*) = true
  def var = "/opt/homebrew/var"
end
load ARGV[0]
formula = Object.const_get(ARGV[1])
SAID["class"] = formula.superclass.name
SAID["caveats"] = formula.new.caveats
puts JSON.generate(SAID)
"##;

fn said(formula: &str, class: &str) -> Option<serde_json::Value> {
    let scratch = tempfile::tempdir().unwrap();
    let (harness, path) = (scratch.path().join("harness.rb"), scratch.path().join("formula.rb"));
    std::fs::write(&harness, HARNESS).unwrap();
    std::fs::write(&path, formula).unwrap();
    // The locale of a bare container: Ruby reads sources as UTF-8 all the same.
    let output = tool(Command::new("ruby").arg(&harness).arg(&path).arg(class).env("LC_ALL", "C"))?;
    Some(serde_json::from_str(&succeeded(&output)).unwrap())
}

fn nasty() -> Package {
    let mut package = package();
    package.manifest.package.summary = NASTY.to_owned();
    package
}

#[test]
fn formula() {
    insta::assert_snapshot!(render(&package(), SHA256).unwrap());
}

#[test]
fn revision_counts_from_zero() {
    let mut package = package();
    package.manifest.package.revision = 3;
    assert!(render(&package, SHA256).unwrap().contains("\n  revision 2\n"));
    package.manifest.package.revision = 1;
    assert!(!render(&package, SHA256).unwrap().contains("revision"));
}

#[test]
fn ruby_says_what_the_manifest_says() {
    let formula = render(&nasty(), SHA256).unwrap();
    let Some(said) = said(&formula, "Mathesar") else { return };
    assert_eq!(said["desc"], NASTY);
    assert_eq!(said["class"], "Formula");
    assert_eq!(said["version"], "0.12.0");
    assert_eq!(said["license"], "GPL-3.0-or-later");
    assert_eq!(
        said["depends_on"],
        serde_json::json!([{ "rust": "build" }, "cairo", "postgresql@17", "python@3.12"])
    );
    for block in ["livecheck", "service", "test"] {
        assert_eq!(said[block], "block", "{block}");
    }
    assert!(said["caveats"].as_str().unwrap().contains("start mathesar-everywhere/mathesar/mathesar\n"));
}

#[test]
fn ruby_and_rubocop_accept_it() {
    let mut revised = package();
    revised.manifest.package.revision = 2;
    for package in [package(), nasty(), revised] {
        let scratch = build_in_scratch(&CHANNEL, &package);
        let formula = scratch.path().join("out/homebrew/mathesar.rb");
        if let Some(output) = tool(Command::new("ruby").arg("-cw").arg(&formula)) {
            assert_eq!(succeeded(&output), "Syntax OK\n");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        }
        let rules = package.root.join("homebrew/.rubocop.yml");
        let mut command = Command::new("rubocop");
        command.args(["--cache", "false", "--config"]).arg(rules).arg(&formula);
        if let Some(output) = tool(&mut command) {
            succeeded(&output);
        }
    }
}

#[test]
fn descriptions() {
    assert_eq!(description("a spreadsheet-like interface.").unwrap(), "Spreadsheet-like interface");
    assert_eq!(description("The tool").unwrap(), "Tool");
    assert_eq!(description("anatomy atlas").unwrap(), "Anatomy atlas");
    assert_eq!(description("überall").unwrap(), "Überall");
    assert!(description(&"x".repeat(79)).is_ok());
    assert!(description(&"ü".repeat(80)).is_err());
    assert!(description("a .").is_err());
}

#[test]
fn class_names() {
    assert_eq!(class_name("mathesar"), "Mathesar");
    assert_eq!(class_name("some-name.2"), "SomeName2");
    assert_eq!(class_name("c++"), "Cxx");
}

#[test]
fn licences() {
    assert_eq!(license("MIT").unwrap(), r#""MIT""#);
    assert_eq!(license("MIT OR Apache-2.0").unwrap(), r#"any_of: ["MIT", "Apache-2.0"]"#);
    assert_eq!(license("MIT AND ISC").unwrap(), r#"all_of: ["MIT", "ISC"]"#);
    assert!(license("MIT AND (ISC OR Zlib)").is_err());
}
