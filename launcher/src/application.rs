//! The environment that Mathesar gets: its own variables, made from the settings.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::careful;
use crate::failure::{Exit, Failure};
use crate::installation::Installation;
use crate::process::Program;
use crate::secrets::Secret;

pub type Variables = BTreeMap<OsString, OsString>;

/// Names that a browser on this machine uses, and that the probes use.
const LOOPBACK: &[&str] = &["localhost", ".localhost", "127.0.0.1", "[::1]"];

/// Everything but the database. `python` is the release's interpreter, which reads YAML for us.
pub fn of(installation: &Installation, key: &Secret, python: &Path) -> Result<Variables, Failure> {
    let config = &installation.config;
    let mut all = Variables::new();
    for (name, (value, _)) in &config.env {
        all.insert(name.into(), value.into());
    }
    let mut set = |name: &str, value: OsString| drop(all.insert(name.into(), value));
    set("DJANGO_SETTINGS_MODULE", "config.settings.production".into());
    // The static files were collected when the release was installed, and its folder is read-only.
    set("SKIP_STATIC_COLLECTION", "true".into());
    set("SECRET_KEY", key.expose().into());
    set("ALLOWED_HOSTS", hosts(config.list("server.hosts"), installation.listen()).join(",").into());
    set("MEDIA_ROOT", installation.media().into());
    for (name, setting) in [
        ("DEBUG", "app.debug"),
        ("REQUIRE_SSO_LOGIN", "login.require-sso"),
        ("PER_USER_DATABASES_ENABLED", "login.per-user-databases"),
    ] {
        set(name, if config.bool(setting) { "true" } else { "false" }.into());
    }
    for (name, setting) in [
        ("DATA_FILES_STORAGE_BACKEND", "file-storage.data-files-backend"),
        ("DATA_FILES_AZURE_CONTAINER", "file-storage.azure-container"),
        ("DATA_FILES_AZURE_CONNECTION_STRING", "file-storage.azure-connection-string"),
    ] {
        if let Some(text) = config.text(setting) {
            set(name, text.into());
        }
    }
    for (name, text, file) in AS_TEXT {
        let value = match (config.text(text), config.path(file)) {
            (Some(text), _) => OsString::from(text),
            (None, Some(path)) => json_of_yaml(python, &path, file)?,
            (None, None) => continue,
        };
        // An empty one is worse than none: Mathesar takes it for a configuration and fails after the login.
        if matches!(value.to_str().map(str::trim), Some("" | "{}")) {
            continue;
        }
        if name == "SSO_CONFIG_DICT" {
            // The name that releases before 0.11 know.
            set("OIDC_CONFIG_DICT", value.clone());
        }
        set(name, value);
    }
    Ok(all)
}

/// ALLOWED_HOSTS: what was configured, loopback, and the address that is listened on.
fn hosts(configured: &[String], listen: &str) -> Vec<String> {
    let mut all: Vec<String> = configured.to_vec();
    let own = listen.rsplit_once(':').map(|(host, _)| host);
    let own = own.filter(|host| !listen.starts_with("unix:") && !matches!(*host, "0.0.0.0" | "[::]"));
    for host in LOOPBACK.iter().copied().chain(own) {
        if !all.iter().any(|known| known == host) {
            all.push(host.to_owned());
        }
    }
    all
}

/// What Mathesar takes as text: its variable, the setting that is the text, and the one that names a file of it.
const AS_TEXT: [(&str, &str, &str); 2] = [
    ("SSO_CONFIG_DICT", "login.sso-config", "login.sso-file"),
    ("FILE_STORAGE_DICT", "file-storage.config", "file-storage.config-file"),
];

/// Those that a start reads and gives to Mathesar as text.
pub fn files_can_be_read(installation: &Installation) -> Result<(), Failure> {
    let config = &installation.config;
    for (_, text, file) in AS_TEXT {
        if let (None, Some(path)) = (config.text(text), config.path(file)) {
            read(&path, file)?;
        }
    }
    Ok(())
}

fn read(path: &Path, setting: &str) -> Result<Vec<u8>, Failure> {
    careful::read_named(path).map_err(|cause| {
        Failure::io("read", path, cause)
            .exit(Exit::Refused)
            .help(format!("`{setting}` names it: `mathesar config get {setting}`"))
    })
}

const READ: &str = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin.buffer) or {}, sys.stdout)";

/// Mathesar reads these files from its own folder, which is read-only and replaced at upgrades; as JSON it takes them from
/// a variable. PyYAML is one of its dependencies.
fn json_of_yaml(python: &Path, path: &Path, setting: &str) -> Result<OsString, Failure> {
    let text = read(path, setting)?;
    let output = Program::new(python).args(["-I", "-c", READ]).input(text).output()?;
    if !output.status.success() {
        // The text may hold secrets, so only where it is wrong is told.
        let said = String::from_utf8_lossy(&output.stderr);
        let place = said.lines().rev().find(|line| line.contains("line ")).unwrap_or_default().trim();
        return Err(Failure::new(format!("{} is no YAML", path.display()))
            .exit(Exit::Refused)
            .cause(place.replace("\"<stdin>\", ", ""))
            .help(format!("mend it, or leave it out: `mathesar config unset {setting}`")));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned().into())
}

/// `manage.py` or any module of a release, as Mathesar itself would run: its folder, its interpreter, its variables.
pub fn program(release: &Path, variables: &Variables) -> Program {
    Program::new(interpreter(release)).envs(variables).env("PYTHONUNBUFFERED", "1").current_dir(tree(release))
}

pub fn interpreter(release: &Path) -> PathBuf {
    release.join("venv/bin/python")
}

pub fn tree(release: &Path) -> PathBuf {
    release.join("tree")
}

#[cfg(test)]
mod tests {
    use super::hosts;

    #[test]
    fn loopback_is_always_allowed() {
        let none: Vec<String> = Vec::new();
        assert_eq!(hosts(&none, "127.0.0.1:8000"), ["localhost", ".localhost", "127.0.0.1", "[::1]"]);
        let configured = vec!["db.example.org".to_owned(), "localhost".to_owned()];
        assert_eq!(
            hosts(&configured, "192.168.1.7:80"),
            ["db.example.org", "localhost", ".localhost", "127.0.0.1", "[::1]", "192.168.1.7"]
        );
        assert_eq!(hosts(&none, "0.0.0.0:80").len(), 4);
        assert_eq!(hosts(&none, "unix:/run/m.sock").len(), 4);
    }
}
