//! Renders, and has the real tools read what was rendered. `fixture` serves the formula's tests as well.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use super::*;
use crate::artifact::Artifacts;
use crate::manifest::Target;
use crate::tools::Tools;

/// What every format has to write as it is.
pub(in crate::channel) const NASTY: &str =
    r##"It's "the" $x \n `id` $(id) #{y} #$z #@z: & <b> %s {{x}} 100% – Größe 表"##;

pub(in crate::channel) fn package() -> Package {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
    let manifest_text = include_str!("../../testdata/mathesar.toml").to_owned();
    Package {
        manifest: toml::from_str(&manifest_text).unwrap(),
        manifest_text,
        root,
        changelog: Vec::new(),
        lock: None,
        epoch: 1_790_000_000,
    }
}

/// Builds `channel` from a source tarball of five bytes; the folder holds what it made under `out`.
pub(in crate::channel) fn build_in_scratch(channel: &Channel, package: &Package) -> tempfile::TempDir {
    let scratch = tempfile::tempdir().unwrap();
    let [work, out, tarball] = ["work", "out", "tarball"].map(|name| scratch.path().join(name));
    for folder in [&work, &out, &tarball] {
        std::fs::create_dir(folder).unwrap();
    }
    std::fs::write(tarball.join(format!("{}.tar.gz", package.source_stem())), "hello").unwrap();
    let artifacts =
        Artifacts { generated: scratch.path().join("none"), glibc: "2.34".into(), digest: "d".into() };
    let tools = Tools { folder: scratch.path().join("tools") };
    let context = Context {
        package,
        artifacts: &artifacts,
        target: Target::X86_64Gnu,
        work: &work,
        out: &out,
        needed: &[tarball],
        tools: &tools,
    };
    (channel.build)(&context).unwrap();
    scratch
}

/// Runs a tool; nothing, and said so, where this machine lacks it.
pub(in crate::channel) fn tool(command: &mut Command) -> Option<Output> {
    match command.output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            eprintln!("not run: {} is not on this machine", command.get_program().display());
            None
        }
        Err(error) => panic!("{}: {error}", command.get_program().display()),
    }
}

pub(in crate::channel) fn succeeded(output: &Output) -> String {
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    stdout
}

fn source() -> Source {
    Source { url: "https://example.org/src.tar.gz".into(), sha256: "5".repeat(64) }
}

/// The tarball that `build_in_scratch` writes.
fn hello() -> Source {
    let sha256 = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
    Source { url: "https://example.org/src.tar.gz".into(), sha256: sha256.into() }
}

/// The YAML as JSON, read by Ruby's parser.
fn parsed(yaml: &str) -> Option<Value> {
    let scratch = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(scratch.path(), yaml).unwrap();
    let script = "puts JSON.generate(YAML.safe_load(File.read(ARGV[0], encoding: 'UTF-8')))";
    let output = tool(Command::new("ruby").args(["-ryaml", "-rjson", "-e", script]).arg(scratch.path()))?;
    Some(serde_json::from_str(&succeeded(&output)).unwrap())
}

#[test]
fn manifest_without_python() {
    let why = wheels::sources(None, None).unwrap().unwrap_err();
    insta::assert_snapshot!(render(&package(), &source(), Some(why)).unwrap());
}

#[test]
fn manifest_with_python_lists_its_sources() {
    let Some(manifest) = parsed(&render(&package(), &source(), None).unwrap()) else { return };
    let modules = manifest["modules"].as_array().unwrap();
    assert_eq!(modules.last().unwrap()["sources"][0], "python-sources.json");
}

#[test]
fn nasty_text_survives() {
    let mut package = package();
    package.manifest.package.summary = NASTY.to_owned();
    package.manifest.flatpak.finish_args = vec![format!("--env=X={NASTY}"), "--x=- a: b".to_owned()];
    let text = render(&package, &source(), Some("no: 'lock' #{x}")).unwrap();
    assert!(text.starts_with(&format!("# Mathesar: {NASTY}\n")), "{text}");
    let Some(manifest) = parsed(&text) else { return };
    assert_eq!(manifest["finish-args"][0], format!("--env=X={NASTY}"));
    assert_eq!(manifest["finish-args"][1], "--x=- a: b");
    assert_eq!(manifest["runtime-version"], package.manifest.flatpak.runtime_version);
}

/// The entry of a Flatpak has another name than elsewhere: what the build does to the metainfo, done.
#[test]
fn the_metainfo_finds_the_entry() {
    let package = package();
    let app_id = &package.manifest.flatpak.app_id;
    let text = render(&package, &source(), None).unwrap();
    let Some(manifest) = parsed(&text) else { return };
    let commands = manifest["modules"][1]["build-commands"].as_array().unwrap();
    let command = commands.iter().filter_map(Value::as_str).find(|line| line.contains("launchable")).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join(format!("share/metainfo/{app_id}.metainfo.xml"));
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    write(&path, &crate::artifact::texts::metainfo(&package).unwrap()).unwrap();
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("FLATPAK_DEST", scratch.path()).env("FLATPAK_ID", app_id);
    succeeded(&shell.output().unwrap());
    let wanted = format!("<launchable type=\"desktop-id\">{app_id}.desktop</launchable>");
    assert!(read(&path).unwrap().contains(&wanted));
    assert!(text.contains("${FLATPAK_DEST}/share/applications/${FLATPAK_ID}.desktop"));
}

#[test]
fn a_line_break_is_refused() {
    let mut package = package();
    package.manifest.package.summary = "a\nid: other".to_owned();
    assert!(render(&package, &source(), None).is_err());
}

/// In a summary, a permission, and with both states of the Python dependencies.
#[test]
fn flatpak_builder_reads_it() {
    let mut package = package();
    package.manifest.package.summary = NASTY.to_owned();
    package.manifest.flatpak.finish_args.push(format!("--env=X={NASTY}"));
    let scratch = build_in_scratch(&CHANNEL, &package);
    let folder = scratch.path().join("out/flatpak");
    let manifest = folder.join(format!("{}.yml", package.manifest.flatpak.app_id));
    for with_python in [false, true] {
        if with_python {
            std::fs::write(&manifest, render(&package, &hello(), None).unwrap()).unwrap();
            let sidecar = r#"{"files": [{"name": "i", "file": "i-1-py3-none-any.whl", "url": "https://example.org/i", "sha256": "aa"}]}"#;
            let wheels = wheels::sources(Some("--hash=sha256:aa"), Some(sidecar)).unwrap().unwrap();
            write(&folder.join("python-sources.json"), &json(&wheels).unwrap()).unwrap();
        }
        // Without a locale of UTF-8, as in a bare container, it prints `?` for what is not ASCII.
        let mut command = Command::new("flatpak-builder");
        command.env("LC_ALL", "C.UTF-8");
        let Some(output) = tool(command.arg("--show-manifest").arg(&manifest).current_dir(scratch.path()))
        else {
            return;
        };
        let shown = succeeded(&output);
        // It passes over a key that it does not know, with a word on standard error.
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!told.to_lowercase().contains("unknown"), "{told}");
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["id"], package.manifest.flatpak.app_id);
        assert_eq!(shown["finish-args"].as_array().unwrap().last().unwrap(), &format!("--env=X={NASTY}"));
        let names: Vec<&str> = shown["modules"]
            .as_array()
            .unwrap()
            .iter()
            .map(|module| module["name"].as_str().unwrap())
            .collect();
        let mut expected = vec!["postgresql", "mathesar", "release"];
        if with_python {
            expected.push("python-dependencies");
        }
        assert_eq!(names, expected);
        // Unfolded from cargo-sources.json.
        let sources = shown["modules"][1]["sources"].as_array().unwrap();
        assert!(sources.len() > 40, "{} sources", sources.len());
        assert_eq!(sources[0]["sha256"], hello().sha256);
    }
}

#[test]
fn a_missing_tarball_is_an_error() {
    let error = source_tarball(&package(), &[PathBuf::from("/nonexistent")]).unwrap_err().to_string();
    assert!(error.contains("mathesar-0.12.0-1-src.tar.gz"), "{error}");
}
