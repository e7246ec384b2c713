use std::path::{Path, PathBuf};
use std::process::Command;

use super::*;
use crate::channel::flatpak::tests::{package, succeeded};

const LOCK: &str = r#"
version = 4

[[package]]
name = "mathesar"
version = "1.0.0"
dependencies = ["one", "two 2.0.0", "two 1.0.0 (registry+https://github.com/rust-lang/crates.io-index)"]

[[package]]
name = "one"
version = "1.0.0+build.1"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "11"
dependencies = ["two 2.0.0"]

[[package]]
name = "two"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "21"

[[package]]
name = "two"
version = "2.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "22"

[[package]]
name = "xtask"
version = "1.0.0"
dependencies = ["unwanted"]

[[package]]
name = "unwanted"
version = "1.0.0"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "31"
"#;

#[test]
fn one_source_and_one_checksum_a_crate() {
    let sources = sources(LOCK, "mathesar").unwrap();
    insta::assert_snapshot!(serde_json::to_string_pretty(&sources).unwrap());
}

#[test]
fn what_cannot_be_carried_is_refused() {
    let registry = "registry+https://github.com/rust-lang/crates.io-index\"\nchecksum = \"21\"";
    for (from, to, message) in [
        (
            registry,
            "git+https://example.org/two#abc\"",
            "two 1.0.0 comes from git (git+https://example.org/two#abc)",
        ),
        (
            registry,
            "registry+https://example.org/index\"",
            "two 1.0.0 comes from registry+https://example.org/index",
        ),
        ("checksum = \"21\"", "", "two 1.0.0 has no checksum"),
        ("\"one\", ", "\"gone\", ", "no package `gone`"),
        ("two 2.0.0\", ", "two\", ", "several packages `two`"),
        ("[[package]]", "[package]", "cannot read Cargo.lock"),
    ] {
        // The needed form of the name goes with the source.
        let lock =
            LOCK.replace("two 1.0.0 (registry+https://github.com/rust-lang/crates.io-index)", "two 1.0.0");
        let (head, tail) = match from == registry || from.starts_with("checksum") {
            true => lock.split_at(lock.find("name = \"two\"").unwrap()),
            false => ("", lock.as_str()),
        };
        let lock = format!("{head}{}", tail.replacen(from, to, 1));
        let error = format!("{:#}", sources(&lock, "mathesar").unwrap_err());
        assert!(error.contains(message), "{message}: {error}");
    }
    assert!(sources(LOCK, "other").is_err());
}

/// Does what flatpak-builder would do, with the crates that cargo has already, and has cargo resolve and read the
/// workspace from it, with no network and no other crate in reach.
#[test]
fn cargo_is_content_offline() {
    let root = package().root;
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).unwrap();
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .unwrap();
    let caches: Vec<PathBuf> = std::fs::read_dir(home.join("registry/cache"))
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect();
    let scratch = tempfile::tempdir().unwrap();
    for source in sources(&lock, "mathesar").unwrap() {
        let dest = scratch.path().join(source["dest"].as_str().unwrap());
        std::fs::create_dir_all(&dest).unwrap();
        if source["type"] == "inline" {
            let name = source["dest-filename"].as_str().unwrap();
            std::fs::write(dest.join(name), source["contents"].as_str().unwrap()).unwrap();
            continue;
        }
        let file = source["url"].as_str().unwrap().rsplit('/').next().unwrap();
        let Some(path) = caches.iter().map(|cache| cache.join(file)).find(|path| path.is_file()) else {
            eprintln!("not run: {file} is not in cargo's cache (`cargo fetch` puts it there)");
            return;
        };
        unpack(&path, &dest);
    }
    for name in ["Cargo.toml", "Cargo.lock", "launcher/Cargo.toml", "machines/Cargo.toml"] {
        let path = scratch.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::copy(root.join(name), path).unwrap();
    }
    for name in ["launcher/src/lib.rs", "launcher/src/main.rs", "machines/src/lib.rs"] {
        let path = scratch.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    // The manifest's own command, so that a Cargo.toml of another form is noticed here.
    let narrow = r#"sed -i 's/^members = .*/members = ["launcher"]/' Cargo.toml"#;
    assert!(crate::channel::flatpak::TEMPLATE.contains(narrow));
    succeeded(&Command::new("sh").args(["-c", narrow]).current_dir(scratch.path()).output().unwrap());
    for command in ["fetch", "metadata --format-version=1"] {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.arg("--offline").args(command.split(' ')).current_dir(scratch.path());
        cargo.env("CARGO_HOME", scratch.path().join("cargo")).env("CARGO_NET_OFFLINE", "true");
        let shown = succeeded(&cargo.output().unwrap());
        assert!(command == "fetch" || shown.contains("\"clap\""));
    }
    // What was locked is still what is built.
    let after = std::fs::read_to_string(scratch.path().join("Cargo.lock")).unwrap();
    let after: Lock = toml::from_str(&after).unwrap();
    let before: Lock = toml::from_str(&lock).unwrap();
    for package in &after.package {
        assert!(
            before.package.iter().any(|locked| locked.name == package.name
                && locked.version == package.version
                && locked.checksum == package.checksum),
            "{} {} was not locked",
            package.name,
            package.version
        );
    }
}

/// An archive without its top folder, as flatpak-builder unpacks it.
fn unpack(path: &Path, dest: &Path) {
    let file = std::fs::File::open(path).unwrap();
    for entry in tar::Archive::new(flate2::read::GzDecoder::new(file)).entries().unwrap() {
        let mut entry = entry.unwrap();
        let name: PathBuf = entry.path().unwrap().components().skip(1).collect();
        let target = dest.join(name);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        entry.unpack(target).unwrap();
    }
}
