//! Where secrets stand besides the launcher's own: settings and the files that they name, also those with mistakes.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::installation::Installation;
use crate::sensitive::{is_public, is_sensitive};

/// All that can be found.
pub(super) fn secrets(installation: &Installation, files: &[PathBuf]) -> Vec<String> {
    let mut secrets = installation.known_secrets();
    let config = &installation.config;
    for name in ["database.password-file", "app.secret-key-file"] {
        // Also one that the launcher refuses, of several lines.
        secrets.extend(lines(config.path(name)));
    }
    for name in ["login.sso-file", "file-storage.config-file", "env-file"] {
        secrets.extend(lines(config.path(name)).iter().flat_map(|line| values(line)));
    }
    for setting in ["login.sso-config", "file-storage.config", "file-storage.azure-connection-string"] {
        let text = config.text(setting).unwrap_or_default();
        secrets.extend(text.split([',', '{', '}', ';']).flat_map(values));
        secrets.extend(of_json(text));
    }
    for (value, _) in config.env.values() {
        secrets.extend(of_json(value));
        secrets.extend(of_url(value));
    }
    for setting in ["network.proxy", "python.index-url", "database.url"] {
        secrets.extend(config.text(setting).iter().flat_map(|url| of_url(url)));
    }
    // Files with mistakes too: what stands in a broken one is no less secret.
    for file in files {
        secrets.extend(of_config(&lines(Some(file.clone()))));
    }
    let of_env =
        config.env.iter().filter(|(name, _)| is_sensitive(name)).map(|(_, (value, _))| value.clone());
    secrets.extend(of_env);
    secrets.extend(config.text("database.password").map(str::to_owned));
    secrets.extend(passwords_of_pgpass(installation.secrets.folder()));
    secrets
}

fn lines(path: Option<PathBuf>) -> Vec<String> {
    let bytes = path.and_then(|path| crate::careful::read_named(&path).ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect()
}

/// Strings of a JSON text under names that say so, as they are read.
fn of_json(text: &str) -> Vec<String> {
    /// `secret`: by a name that says so; `key`: by one that may.
    fn leaves(value: &Value, secret: bool, key: bool, found: &mut Vec<String>) {
        match value {
            Value::String(text) if text.len() >= 4 && (secret || key && !is_public(text)) => {
                found.push(text.clone());
            }
            Value::Array(items) => items.iter().for_each(|item| leaves(item, secret, key, found)),
            Value::Object(fields) => {
                for (name, value) in fields {
                    leaves(value, secret || is_sensitive(name), key || is_key(name), found);
                }
            }
            _ => {}
        }
    }
    let mut found = Vec::new();
    if let Ok(value) = serde_json::from_str(text) {
        leaves(&value, false, false, &mut found);
    }
    found
}

fn unquoted(value: &str) -> String {
    let value = value.trim();
    let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    inner.unwrap_or(value).to_owned()
}

/// The value of `name = value` or `name: value` where the name says that it is a secret. Of a whole line, both readings.
fn values(line: &str) -> Vec<String> {
    values_at(line, &['=', ':'])
}

fn values_at(line: &str, separators: &[char]) -> Vec<String> {
    let mut found = Vec::new();
    for separator in separators {
        if let Some((name, value)) = line.split_once(*separator)
            && let name = unquoted(name)
            && (is_sensitive(&name) || is_key(&name) && !is_public(&unquoted(value)))
            && unquoted(value).len() >= 4
        {
            found.push(unquoted(value));
            let bare = unquoted(value.split(" #").next().unwrap_or_default());
            // As YAML and JSON read what stands in quotes.
            found.extend(serde_json::from_str::<String>(value.trim()).ok());
            found.push(unquoted(value).replace("''", "'"));
            found.extend((bare.len() >= 4).then_some(bare));
        }
    }
    found
}

/// `client_id`, `AccountName=…;key`: of a file that is full of secrets, more is taken.
fn is_key(name: &str) -> bool {
    let name = name.trim().to_lowercase();
    ["key", "client_id", "account_name", "accountname", "sas"].iter().any(|end| name.ends_with(end))
}

/// Secrets of a mathesar.conf that may have mistakes: values of secret settings, and everything of `[env]`.
fn of_config(lines: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let mut in_env = false;
    for line in lines {
        let bare = line.trim();
        if bare.starts_with('[') {
            in_env = bare.trim_start_matches('[').trim_start().starts_with("env");
        }
        if let Some((name, value)) = bare.split_once('=')
            && in_env
            && unquoted(value).len() >= 6
            && (is_sensitive(&unquoted(name)) || !is_public(&unquoted(value)))
        {
            found.push(unquoted(value));
        }
        // A comment is prose, too: `# the token: see there`.
        found.extend(match bare.strip_prefix('#') {
            Some(comment) => values_at(comment.trim_start_matches('#'), &['=']),
            None => values(bare),
        });
    }
    let read = |text: &String| {
        // As TOML reads it, where it does.
        let quoted = format!("v = \"{text}\"");
        let table = toml::de::DeTable::parse(&quoted).ok()?;
        Some(table.get_ref().get("v")?.get_ref().as_str()?.to_owned())
    };
    let unescaped: Vec<String> = found.iter().filter_map(read).collect();
    found.extend(unescaped);
    found
}

/// User name and password of an address, as written and decoded.
fn of_url(url: &str) -> Vec<String> {
    let Some((_, rest)) = url.split_once("://") else { return Vec::new() };
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    let Some((user, _)) = authority.rsplit_once('@') else { return Vec::new() };
    // Of a role alone, `mathesar`, nothing would be left to read.
    let Some((name, password)) = user.split_once(':') else { return Vec::new() };
    let mut found = vec![password.to_owned(), decoded(password)];
    found.extend(
        [name.to_owned(), decoded(name)].into_iter().filter(|name| name.len() >= 4 && !is_public(name)),
    );
    found
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let digits = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match (*first == b'%').then_some(digits).flatten().and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn passwords_of_pgpass(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let pgpass =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "pgpass"));
    let last = |line: &String| {
        let password = line.strip_prefix("*:*:*:*:")?.to_owned();
        Some([password.replace("\\:", ":").replace("\\\\", "\\"), password])
    };
    pgpass.flat_map(|path| lines(Some(path))).filter_map(|line| last(&line)).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broken_files_give_their_secrets_away_to_the_redactor() {
        let text = "[database\npassword = \"a\\\"b$ c\"\n[env]\nFOO = 'planted thing'\n# app.secret-key = \"commented\"\n";
        let found = of_config(&text.lines().map(str::to_owned).collect::<Vec<_>>());
        for expected in ["a\\\"b$ c", "a\"b$ c", "planted thing", "commented"] {
            assert!(found.iter().any(|one| one == expected), "{expected}: {found:?}");
        }
        assert_eq!(of_url("http://me-too:p%40ss@proxy:3128/"), ["p%40ss", "p@ss", "me-too", "me-too"]);
        assert_eq!(of_url("postgresql://mathesar@db/m"), Vec::<String>::new());
        assert_eq!(of_url("http://mathesar:hunter2@proxy"), ["hunter2", "hunter2"]);
    }

    #[test]
    fn words_of_ours_are_taken_where_a_name_says_so_alone() {
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        let text = "[env]\nLC_ALL = \"C.UTF-8\"\nTHING = \"python\"\nTHING_TOKEN = \"python\"\nB = \"hunter22\"\n# its token: default\n";
        let mut found = of_config(&lines(text));
        found.sort();
        found.dedup();
        assert_eq!(found, ["hunter22", "python"]);
        assert_eq!(of_config(&lines(crate::config::TEMPLATE)), Vec::<String>::new());
        assert_eq!(values("    client_id: mathesar"), Vec::<String>::new());
        assert!(values("    client_id: 8a7f-client").contains(&"8a7f-client".to_owned()));
        assert!(values("    secret: mathesar").contains(&"mathesar".to_owned()));
        assert_eq!(of_json(r#"{"client_id": "mathesar", "secret": {"a": "python"}}"#), ["python"]);
    }
}
