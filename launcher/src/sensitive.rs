//! What is a secret by its name, and what is none by its text.

use std::path::Path;
use std::sync::LazyLock;

use crate::config;

/// Ends of names whose values are nobody's business.
const SENSITIVE: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "pwd",
    "pass",
    "secret",
    "token",
    "apikey",
    "api_key",
    "api-key",
    "accesskey",
    "access_key",
    "access-key",
    "accountkey",
    "account_key",
    "secret_key",
    "secret-key",
    "secretkey",
    "private_key",
    "signing_key",
    "encryption_key",
    "credential",
    "credentials",
    "connection_string",
    "connection-string",
    "signature",
    "authorization",
    "cookie",
    "sessionid",
    "session_key",
    "csrftoken",
    "csrfmiddlewaretoken",
    "dsn",
];
/// Words that end so by chance.
const OTHERS: &[&str] = &["bypass", "compass", "encompass", "overpass", "surpass", "trespass", "underpass"];

pub(crate) fn is_sensitive(name: &str) -> bool {
    let name = name.trim().trim_matches(['"', '\'', '\\']).to_lowercase();
    if ["file", "path", "fingerprint"].iter().any(|end| name.ends_with(end))
        || OTHERS.contains(&name.as_str())
    {
        return false;
    }
    SENSITIVE.iter().any(|word| name.ends_with(word))
}

/// What the reference page says to everybody, and the names of what Mathesar is made of.
static SAID: LazyLock<String> = LazyLock::new(|| {
    format!("{} python django gunicorn postgres psycopg uvicorn wsgi", config::reference_markdown())
        .to_lowercase()
});

/// Whether a value that nobody has called a secret is none: a word of ours, such as `mathesar`, or the path of something that is
/// there. Without such words nothing that we write could be read any more.
pub(crate) fn is_public(value: &str) -> bool {
    let value = value.trim();
    if value.starts_with('/') {
        return Path::new(value).exists();
    }
    let said = value.to_lowercase();
    let apart = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
    !said.is_empty()
        && SAID.match_indices(&said).any(|(at, _)| {
            apart(SAID[..at].chars().next_back()) && apart(SAID[at + said.len()..].chars().next())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        for name in [
            "PGPASSWORD",
            "db_pass",
            "dbpass",
            "\"client_secret\"",
            "csrftoken",
            "AccountKey",
            "DATABASE_DSN",
        ] {
            assert!(is_sensitive(name), "{name}");
        }
        for name in
            ["bypass", "compass", "password-file", "secret-key.fingerprint", "passed", "tokens_left", "keys"]
        {
            assert!(!is_sensitive(name), "{name}");
        }
    }

    #[test]
    fn words_of_ours_are_no_secrets() {
        for word in
            ["mathesar", "Python", "C.UTF-8", "postgresql", "localhost", "127.0.0.1:8000", "/tmp", "database"]
        {
            assert!(is_public(word), "{word}");
        }
        for word in [
            "",
            "hunter22",
            "mathesar1",
            "mathesa",
            "thesar",
            "planted thing",
            "/not/there/at/all",
            "proxyuser",
        ] {
            assert!(!is_public(word), "{word}");
        }
    }
}
