//! What each setting allows, but not all of them together.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::load::{Config, Entry, Origin};
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
    if let (false, Some(name), Some(user)) =
        (set("database.url"), config.text("database.name"), config.text("database.user-database"))
        && name == user
    {
        let problem = Problem::error(format!(
            "`database.name` and `database.user-database` are both `{name}`: Mathesar keeps its own tables and yours apart"
        ));
        let help = "name another one: `mathesar config set database.user-database NAME`".to_owned();
        let of = |name: &str| entry(name).is_some_and(|entry| entry.origin != Origin::Default);
        let which = if of("database.user-database") { "database.user-database" } else { "database.name" };
        problems.push(at(which, problem.help(Some(help))));
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
    const MADE: &[&str] = &["env-file"];
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

/// What this machine has no room for, or has something else in its place. Not part of loading either: a backup's settings, or
/// those of another machine, are read here too.
pub(crate) fn unfit_here(config: &Config) -> Vec<Problem> {
    // Elsewhere nobody asks the system how much there is.
    let memory = if cfg!(target_os = "linux") { crate::server::gunicorn::machine().1 } else { u64::MAX };
    unfit(config, memory, &|path| path.is_dir())
}

fn unfit(config: &Config, memory: u64, is_folder: &dyn Fn(&Path) -> bool) -> Vec<Problem> {
    let at = |name: &str, problem: Problem| {
        let place = Setting::find(name).and_then(|(index, _)| config.entries[index].place.clone());
        problem.about(name).at(place)
    };
    let mut problems = Vec::new();
    let buffers = config.size("database.shared-buffers").unwrap_or_default();
    if config.text("database.url").is_none() && buffers > memory {
        let problem = Problem::error(format!(
            "`database.shared-buffers` is {}, and this machine has {} of memory",
            config.text("database.shared-buffers").unwrap_or_default(),
            crate::terminal::size(memory)
        ));
        let quarter = memory / 4 / 1_000_000;
        let help =
            format!("a quarter is much already: `mathesar config set database.shared-buffers {quarter}MB`");
        problems.push(at("database.shared-buffers", problem.help(Some(help))));
    }
    let socket = config.text("server.listen").and_then(|listen| listen.strip_prefix("unix:"));
    if let Some(folder) = socket.filter(|path| is_folder(Path::new(path))) {
        let problem = Problem::error(format!("`server.listen` names {folder}, which is a folder"));
        let help =
            format!("name the socket too: `mathesar config set server.listen unix:{folder}/http.sock`");
        problems.push(at("server.listen", problem.help(Some(help))));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::super::load::Loaded;
    use super::*;

    #[test]
    fn what_does_not_fit_this_machine() {
        let text = "[server]\nlisten = \"unix:/run\"\n[database]\nshared-buffers = \"2GB\"\n";
        let found = |text: &str, memory| {
            let loaded = Loaded::with_text(Path::new("/c"), text);
            assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
            let found = unfit(&loaded.config, memory, &|path| path == Path::new("/run"));
            let line = |problem: &Problem| problem.place.as_ref().map(|place| place.line_column().0);
            found.iter().map(|problem| (problem.setting.clone().unwrap(), line(problem))).collect::<Vec<_>>()
        };
        let both = [("database.shared-buffers".to_owned(), Some(4)), ("server.listen".to_owned(), Some(2))];
        assert_eq!(found(text, 1_000_000_000), both);
        assert_eq!(found(text, 8_000_000_000), both[1..]);
        assert_eq!(found(&text.replace("/run", "/run/x"), u64::MAX), []);
    }
}
