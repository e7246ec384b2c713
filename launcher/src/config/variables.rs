//! Environment variables: those that settings are read from, and those that may be passed on to Mathesar.

use std::collections::BTreeMap;

use super::setting::Setting;
use super::{SETTINGS, suggest};

/// Why a variable may not be passed on by `[env]` or `env-file`, and what to do instead.
pub(crate) fn refusal(name: &str) -> Option<(String, Option<String>)> {
    let valid = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if name.is_empty() || !name.bytes().all(valid) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Some(("is no name of an environment variable".to_owned(), None));
    }
    if let Some(setting) = has_setting(name) {
        let help = format!("use the setting: `mathesar config set {} …`", setting.name);
        return Some(("has a setting of its own".to_owned(), Some(help)));
    }
    let external = "describe the server by the setting: `mathesar config set database.url postgresql://…`";
    let why = match name {
        "POSTGRES_HOST" | "POSTGRES_PORT" | "POSTGRES_USER" | "POSTGRES_DB" => {
            return Some(("has a setting of its own".to_owned(), Some(external.to_owned())));
        }
        "PATH" => "decides which programs run",
        "DJANGO_SETTINGS_MODULE" | "SKIP_STATIC_COLLECTION" | "VIRTUAL_ENV" | "HOME" | "NOTIFY_SOCKET" => {
            "is set by the launcher"
        }
        "GCONV_PATH" | "GLIBC_TUNABLES" | "LOCPATH" => "decides which libraries are loaded",
        "BASH_ENV" | "ENV" => "decides which programs run",
        "SSLKEYLOGFILE" => "writes down the keys of encrypted connections",
        "CREDENTIALS_DIRECTORY" => "is between systemd and the launcher",
        _ if name.starts_with("LD_") || name.starts_with("DYLD_") => "decides which libraries are loaded",
        _ if name.starts_with("PYTHON") => "changes the Python that runs Mathesar",
        _ if name.starts_with("GUNICORN_") => "changes the web server behind the launcher's back",
        _ if name.starts_with("OPENSSL_") => "changes how connections are encrypted",
        _ if name.starts_with("PG") => "changes how the database is reached",
        _ if name.starts_with("WATCHDOG_") || name.starts_with("LISTEN_") => {
            "is between systemd and the launcher"
        }
        _ if name.starts_with("MATHESAR_") => "is read by the launcher, not by Mathesar",
        _ => return None,
    };
    Some((why.to_owned(), None))
}

fn has_setting(variable: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| {
        setting.service_variables.contains(&variable) || setting.usual_variables.contains(&variable)
    })
}

/// The address of a server that is described by POSTGRES_HOST and its companions, as containers do.
pub(crate) fn database_url(get: impl Fn(&str) -> Option<String>) -> Option<String> {
    let host = get("POSTGRES_HOST")?;
    let user = encode(&get("POSTGRES_USER").unwrap_or_else(|| "mathesar".to_owned()));
    let name = encode(&get("POSTGRES_DB").unwrap_or_else(|| "mathesar_django".to_owned()));
    let port = get("POSTGRES_PORT").unwrap_or_else(|| "5432".to_owned());
    Some(match host.starts_with('/') {
        true => format!("postgresql:///{name}?host={host}&user={user}&port={port}"),
        false if host.contains(':') => format!("postgresql://{user}@[{host}]:{port}/{name}"),
        false => format!("postgresql://{user}@{host}:{port}/{name}"),
    })
}

fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// MATHESAR_ variables that are no settings.
const OURS: &[&str] = &["MATHESAR_HOME", "MATHESAR_INSTANCE"];

/// MATHESAR_ variables that nobody reads, each with what it may have meant.
pub(crate) fn unknown(names: impl Iterator<Item = String>) -> BTreeMap<String, Option<String>> {
    let known: Vec<String> = SETTINGS.iter().map(Setting::variable).collect();
    names
        .filter(|name| {
            name.starts_with("MATHESAR_") && !OURS.contains(&name.as_str()) && !known.contains(name)
        })
        .map(|name| {
            let lower = |name: &str| name.to_lowercase().replace('_', "-");
            let candidates: Vec<String> = known.iter().map(|known| lower(known)).collect();
            let near = suggest::nearest(&lower(&name), candidates.iter().map(String::as_str));
            (name, near.map(|near| near.to_uppercase().replace('-', "_")))
        })
        .collect()
}

/// One line of an env-file: name and value, or why it is neither that nor empty nor a comment.
pub(crate) fn env_file_line(line: &str) -> Result<Option<(&str, &str)>, String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return Ok(None);
    }
    let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
    let (name, value) = line.split_once('=').ok_or("expected `NAME=value`")?;
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = value.strip_prefix(quote) {
            let Some(inner) = inner.strip_suffix(quote) else {
                return Err(format!("the value begins with {quote} and does not end with it"));
            };
            return Ok(Some((name.trim(), inner)));
        }
    }
    Ok(Some((name.trim(), value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dangerous_and_typed_variables_are_refused() {
        let names = "LD_PRELOAD PYTHONPATH PATH GUNICORN_CMD_ARGS GUNICORN_FD GUNICORN_PID POSTGRES_HOST ALLOWED_HOSTS 1A OPENSSL_CONF \
                     GCONV_PATH GLIBC_TUNABLES LOCPATH PGSERVICEFILE PGOPTIONS PGPASSFILE PGHOSTADDR BASH_ENV ENV SSLKEYLOGFILE \
                     CREDENTIALS_DIRECTORY NOTIFY_SOCKET LISTEN_FDS WATCHDOG_USEC MATHESAR_HOME";
        for name in names.split(' ') {
            assert!(refusal(name).is_some(), "{name}");
        }
        assert_eq!(refusal("AZURE_CLIENT_ID"), None);
    }

    #[test]
    fn a_server_from_the_variables_of_containers() {
        let from = |pairs: &'static [(&str, &str)]| {
            database_url(|name| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert_eq!(from(&[("POSTGRES_USER", "x")]), None);
        assert_eq!(
            from(&[("POSTGRES_HOST", "db"), ("POSTGRES_USER", "a@b")]).unwrap(),
            "postgresql://a%40b@db:5432/mathesar_django"
        );
        assert_eq!(
            from(&[("POSTGRES_HOST", "/run/pg"), ("POSTGRES_DB", "m")]).unwrap(),
            "postgresql:///m?host=/run/pg&user=mathesar&port=5432"
        );
    }

    #[test]
    fn lines_of_an_env_file() {
        assert_eq!(env_file_line("export A = 'b c' "), Ok(Some(("A", "b c"))));
        assert_eq!(env_file_line("A=b=c"), Ok(Some(("A", "b=c"))));
        assert_eq!(env_file_line("# A=b"), Ok(None));
        assert!(env_file_line("A").is_err() && env_file_line("A=\"b").is_err());
    }
}
