//! What each setting allows, but not all of them together.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::load::{Config, Entry};
use super::problem::Problem;
use super::setting::Setting;
use super::{SETTINGS, Value};

/// Two ways to say the same: only one may be used.
const EITHER: &[(&str, &str)] = &[
    ("database.password", "database.password-file"),
    ("app.secret-key", "app.secret-key-file"),
    ("login.sso-config", "login.sso-file"),
    ("file-storage.config", "file-storage.config-file"),
];

/// Pure: looks at no file.
pub(crate) fn check(config: &Config) -> Vec<Problem> {
    let mut problems = Vec::new();
    let entry = |name: &str| Setting::find(name).map(|(index, _)| &config.entries[index]);
    let at = |name: &str, problem: Problem| problem.about(name).at(entry(name).and_then(|e| e.place.clone()));
    let set = |name: &str| entry(name).is_some_and(|entry| entry.value != Value::Unset);

    for (text, file) in EITHER {
        if set(text) && set(file) {
            let problem = Problem::error(format!("`{text}` and `{file}` are both set"));
            problems
                .push(at(text, problem.help(Some(format!("remove one: `mathesar config unset {text}`")))));
        }
    }
    for name in ["database.password", "database.password-file"] {
        if set(name) && !set("database.url") {
            let message = format!("`{name}` has no effect: the private cluster makes its own passwords");
            let help = "name your server: `mathesar config set database.url postgresql://…`".to_owned();
            problems.push(at(name, Problem::warning(message).help(Some(help))));
        }
    }
    let public = config.text("server.listen").is_some_and(|address| {
        address.parse::<SocketAddr>().is_ok_and(|address| !address.ip().is_loopback())
    });
    if public && config.list("server.hosts").is_empty() {
        let problem = Problem::warning(
            "`server.listen` lets others in, but `server.hosts` names no host: they get 400",
        )
        .help(Some("name it: `mathesar config set server.hosts mathesar.example.org`".to_owned()));
        problems.push(at("server.listen", problem));
    }
    for network in config.list("server.trusted-proxies") {
        let everyone =
            network.split_once('/').is_some_and(|(ip, prefix)| prefix == "0" && ip.parse::<IpAddr>().is_ok());
        if everyone {
            let problem = Problem::warning(format!(
                "`server.trusted-proxies` has `{network}`: anybody can forge headers"
            ));
            problems.push(at("server.trusted-proxies", problem));
        }
    }
    problems
}

/// Files and folders that settings name and that are not there. Not part of loading: `config set` may come before them.
pub(crate) fn missing_files(config: &Config) -> Vec<Problem> {
    /// Made by the launcher where they do not exist.
    const MADE: &[&str] = &["media.path", "backup.directory", "env-file"];
    let named = |(setting, entry): (&Setting, &Entry)| {
        let Value::Text(path) = &entry.value else { return None };
        let is_path = matches!(setting.kind, super::Kind::Path) && !MADE.contains(&setting.name);
        let missing = is_path && matches!(Path::new(path).try_exists(), Ok(false));
        missing.then(|| {
            Problem::error(format!("`{}` names {path}, which does not exist", setting.name))
                .about(setting.name)
                .at(entry.place.clone())
        })
    };
    SETTINGS.iter().zip(&config.entries).filter_map(named).collect()
}
