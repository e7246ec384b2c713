//! From facts to the document. The same facts give the same bytes: it has no chance and no clock in it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use mathesar::app::pins::Pin;
use serde_json::json;

use super::component::{Component, file, license, link, property, purl, purl_of_release, sha256};
use crate::artifact::crates::{Crate, Linked, Named};
use crate::artifact::third_party;
use crate::digest;
use crate::manifest::{Package, Target};

pub(super) struct Facts<'a> {
    pub package: &'a Package,
    pub target: Target,
    pub glibc: &'a str,
    /// SHA-256 of the launcher as it is installed.
    pub binary: String,
    /// The compiler's version.
    pub rust: String,
    pub linked: &'a Linked,
    /// Of Cargo.lock.
    pub checksums: &'a BTreeMap<Named, String>,
    /// None: there is no app.lock.
    pub python: Option<Vec<Component>>,
    /// What the launcher fetches where a machine lacks it.
    pub tools: Vec<&'static Pin>,
}

const LAUNCHER: &str = "launcher";

/// What depends on what, by reference.
type Graph = BTreeMap<String, BTreeSet<String>>;

pub(super) fn render(facts: &Facts<'_>) -> Result<String> {
    let mut graph = Graph::new();
    let mut components = crates(facts, &mut graph)?;
    let linked: Vec<String> = graph.keys().filter(|name| *name != LAUNCHER).cloned().collect();
    let app = app(facts);
    let release = app.reference.clone();
    let mut fetched = vec![app];
    fetched.extend(facts.tools.iter().map(|pin| tool(pin)));
    graph.entry(LAUNCHER.into()).or_default().extend(fetched.iter().map(|one| one.reference.clone()));
    components.extend(fetched);
    let pinned = facts.python.is_some();
    for package in facts.python.iter().flatten() {
        graph.entry(release.clone()).or_default().insert(package.reference.clone());
        components.push(package.clone());
    }
    for component in &components {
        graph.entry(component.reference.clone()).or_default();
    }
    components.sort_by(|a, b| a.reference.cmp(&b.reference));
    let epoch = i64::try_from(facts.package.epoch).context("SOURCE_DATE_EPOCH is too large")?;
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": Timestamp::from_second(epoch)?.to_string(),
            "lifecycles": [{ "phase": "build" }],
            "tools": { "components": [{ "type": "application", "name": "xtask", "version": facts.package.manifest.package.version }] },
            "component": launcher(facts)?,
        },
        "components": components,
        "dependencies": graph.iter().map(|(of, on)| json!({ "ref": of, "dependsOn": on })).collect::<Vec<_>>(),
        "compositions": [
            { "aggregate": "complete", "dependencies": linked },
            // The packages of the distribution, Python and cairo among them, are named by our packages and chosen by each system.
            { "aggregate": "incomplete", "dependencies": [LAUNCHER] },
            { "aggregate": if pinned { "complete" } else { "unknown" }, "dependencies": [release] },
        ],
    });
    document["serialNumber"] = serial(&document.to_string()).into();
    let mut text =
        serde_json::to_string_pretty(&document).context("cannot write the bill of materials as JSON")?;
    text.push('\n');
    Ok(text)
}

/// A UUID of the document's own making (version 8 of RFC 9562): another document has another one.
fn serial(content: &str) -> String {
    let mut digits: Vec<char> = digest::bytes(content.as_bytes()).chars().take(32).collect();
    digits[12] = '8';
    digits[16] = 'a';
    let text: String = digits.into_iter().collect();
    let (a, b, c, d, e) = (&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]);
    format!("urn:uuid:{a}-{b}-{c}-{d}-{e}")
}

fn launcher(facts: &Facts<'_>) -> Result<Component> {
    let package = facts.package;
    let identity = &package.manifest.package;
    let of_release = package.asset_url(&package.sbom_file(facts.target));
    Ok(Component {
        kind: "application",
        reference: LAUNCHER.into(),
        supplier: Some(json!({ "name": identity.maintainer.split(" <").next() })),
        name: package.name().into(),
        version: Some(package.full_version()),
        description: Some(format!("the launcher of {}", identity.display_name)),
        hashes: vec![sha256(&facts.binary)],
        licenses: vec![license(&identity.license, package.name())?],
        purl: Some(purl_of_release(&of_release, package.name(), &package.full_version(), &facts.binary)),
        external_references: vec![link("vcs", &identity.repository), link("website", &identity.homepage)],
        properties: vec![property("target", facts.target.triple()), property("glibc", facts.glibc)],
        ..Component::default()
    })
}

fn crates(facts: &Facts<'_>, graph: &mut Graph) -> Result<Vec<Component>> {
    let linked = facts.linked;
    let reference = |named: &Named| match *named == linked.launcher {
        true => LAUNCHER.to_owned(),
        false => purl("cargo", &named.0, &named.1),
    };
    for (named, on) in &linked.graph {
        graph.entry(reference(named)).or_default().extend(on.iter().map(reference));
    }
    let mut all = Vec::new();
    for library in &linked.crates {
        let component = library_of(facts, library, graph)?;
        all.push(component);
    }
    let rust = purl("generic", "rust-std", &facts.rust);
    graph.entry(LAUNCHER.into()).or_default().insert(rust.clone());
    graph.entry(rust.clone()).or_default();
    all.push(Component {
        kind: "library",
        reference: rust.clone(),
        name: "rust-std".into(),
        version: Some(facts.rust.clone()),
        description: Some("Rust's standard library".into()),
        licenses: vec![license("MIT OR Apache-2.0", "rust-std")?],
        purl: Some(rust),
        external_references: vec![link("vcs", "https://github.com/rust-lang/rust")],
        ..Component::default()
    });
    Ok(all)
}

/// A crate, with what it carries of others.
fn library_of(facts: &Facts<'_>, library: &Crate, graph: &mut Graph) -> Result<Component> {
    let named = library.named();
    let checksum = facts.checksums.get(&named).with_context(|| {
        format!("Cargo.lock has no checksum of {} {}: it is not of crates.io", library.name, library.version)
    })?;
    let purl = purl("cargo", &named.0, &named.1);
    let mut carried = Vec::new();
    for bundled in third_party::bundled(library)? {
        let reference = format!("{purl}#{}", bundled.name);
        graph.entry(purl.clone()).or_default().insert(reference.clone());
        graph.entry(reference.clone()).or_default();
        carried.push(Component {
            kind: "library",
            reference,
            name: bundled.name.into(),
            licenses: vec![license(bundled.license, bundled.name)?],
            external_references: vec![link("vcs", bundled.repository)],
            ..Component::default()
        });
    }
    let archive = format!("https://static.crates.io/crates/{0}/{0}-{1}.crate", library.name, library.version);
    let mut external = vec![file(&archive, checksum)];
    external.extend(library.repository.as_ref().map(|url| link("vcs", url)));
    let licenses = library.license.as_ref().map(|said| license(said, &library.name)).transpose()?;
    Ok(Component {
        kind: "library",
        reference: purl.clone(),
        name: named.0,
        version: Some(named.1),
        hashes: vec![sha256(checksum)],
        licenses: licenses.into_iter().collect(),
        purl: Some(purl),
        external_references: external,
        components: carried,
        ..Component::default()
    })
}

/// The pinned release, which the launcher fetches at its first start.
fn app(facts: &Facts<'_>) -> Component {
    let (identity, app) = (&facts.package.manifest.package, &facts.package.manifest.app);
    let purl = purl_of_release(&app.url, facts.package.name(), &app.version, &app.sha256);
    let mut properties = vec![property("fetched", "at the first start, by this digest")];
    if facts.python.is_none() {
        let why = "not listed: packaging/app.lock is not there, so their versions and digests are not pinned";
        properties.push(property("python-packages", why));
    }
    Component {
        kind: "application",
        reference: purl.clone(),
        name: identity.display_name.clone(),
        version: Some(app.version.clone()),
        hashes: vec![sha256(&app.sha256)],
        purl: Some(purl),
        external_references: vec![file(&app.url, &app.sha256), link("website", &identity.homepage)],
        properties,
        ..Component::default()
    }
}

fn tool(pin: &Pin) -> Component {
    // Of all files of that version this one, which also tells it from a package of app.lock.
    let purl = format!("{}?file_name={}", purl("pypi", pin.tool, pin.version), pin.file_name());
    Component {
        kind: "application",
        reference: purl.clone(),
        name: pin.tool.into(),
        version: Some(pin.version.into()),
        scope: Some("optional"),
        hashes: vec![sha256(pin.sha256)],
        purl: Some(purl),
        external_references: vec![file(pin.url, pin.sha256)],
        properties: vec![property("fetched", "where the machine has none that serves, by this digest")],
        ..Component::default()
    }
}
