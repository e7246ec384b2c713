use std::error::Error as _;

use super::*;
use crate::config::{Loaded, Outside, load_files};

fn config(text: &str) -> (tempfile::TempDir, Config) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mathesar.conf");
    std::fs::write(&path, text.replace("HERE", &folder.path().to_string_lossy())).unwrap();
    std::fs::write(folder.path().join("password"), "'\"$\\ )#\n").unwrap();
    let loaded: Loaded = load_files(&[path], &Outside::default());
    let config = loaded.accept().unwrap();
    (folder, config)
}

fn server() -> External {
    let (_folder, config) = config("[database]\nurl = 'postgresql://me@db/m'\n");
    External::of(&config).unwrap().unwrap()
}

#[test]
fn variables_for_mathesar() {
    let text = "[database]\nurl = 'postgresql://a%40b@[::1]:6000/my%20db?sslmode=require'\npassword-file = 'HERE/password'\n";
    let (_folder, config) = config(text);
    let server = External::of(&config).unwrap().unwrap();
    let all = server.environment();
    let get = |name: &str| all.iter().find(|(key, _)| *key == name).unwrap().1.as_str();
    assert_eq!((get("POSTGRES_HOST"), get("POSTGRES_PORT")), ("::1", "6000"));
    assert_eq!((get("POSTGRES_USER"), get("POSTGRES_DB")), ("a@b", "my db"));
    assert_eq!((get("POSTGRES_SSLMODE"), get("POSTGRES_PASSWORD")), ("require", "'\"$\\ )#"));
    assert!(!format!("{server:?}").contains("$\\"));
}

#[test]
fn without_an_address_there_is_no_external_server() {
    let (_folder, config) = config("");
    assert_eq!(External::of(&config).unwrap(), None);
}

#[test]
fn weaker_encryption_than_asked_for_is_refused() {
    let refused = |text: &str| {
        let (_folder, config) = config(text);
        External::of(&config).unwrap_err().to_string()
    };
    let full = refused("[database]\nurl = 'postgresql://me@db/m?sslmode=verify-full'\n");
    assert!(full.contains("Mathesar knows no sslmode `verify-full`"), "{full}");
    let two = refused("[database]\nurl = 'postgresql://me@db/m?sslmode=require'\nsslmode = 'disable'\n");
    assert!(two.contains("it says sslmode `require`, and `database.sslmode` says `disable`"), "{two}");
    let gone = refused("[database]\nurl = 'postgresql://me@db/m'\npassword-file = 'HERE/nothing'\n");
    assert!(gone.ends_with("nothing, which does not exist"), "{gone}");
}

#[test]
fn answers_are_judged() {
    let range = Postgresql { min: 14, max: 18 };
    let judge = |answer: &str| server().judge(answer, &range);
    let facts = judge("160004|16.4 (Debian 1)|t|t|t|f|t|UTF8\n").unwrap();
    assert_eq!((facts.version.as_str(), facts.major), ("16.4", 16));
    assert!(facts.encrypted && !facts.createdb && facts.createrole);
    let told = |answer: &str| judge(answer).unwrap_err().to_string();
    assert_eq!(
        told("130011|13.11|t|t|t|t|t|UTF8"),
        "the server is PostgreSQL 13.11, and Mathesar needs 14 to 18"
    );
    assert_eq!(
        told("190000|19beta1|t|t|t|t|t|UTF8"),
        "the server is PostgreSQL 19beta1, and Mathesar needs 14 to 18"
    );
    assert_eq!(
        told("160004|16.4|t|t|f|t|t|UTF8"),
        "role \"me\" may not create schemas and tables in database \"m\""
    );
    assert_eq!(
        told("160004|16.4|t|t|t|t|t|LATIN1"),
        "database \"m\" is encoded in LATIN1, and Mathesar needs UTF8"
    );
    assert!(judge("hello").is_err());
}

/// Words of libpq 15 and 18 that a test cannot bring about on one machine.
#[test]
fn words_and_their_causes() {
    let mut server = server();
    let cause = |server: &External, said: &str| explain(said, server);
    let at = "psql: error: connection to server at \"db\" (10.0.0.1), port 5432 failed: ";
    assert_eq!(cause(&server, &format!("{at}No route to host")), Trouble::Unreachable);
    assert_eq!(cause(&server, &format!("{at}Connection timed out")), Trouble::Timeout);
    assert_eq!(
        cause(&server, "psql: error: sslmode value \"require\" invalid when SSL support is not compiled in"),
        Trouble::TlsNotInClient
    );
    assert_eq!(cause(&server, &format!("{at}FATAL:  sorry, too many clients already")), Trouble::Busy);
    assert_eq!(cause(&server, &format!("{at}FATAL:  the database system is starting up")), Trouble::Starting);
    assert_eq!(
        cause(&server, &format!("{at}FATAL:  role \"me\" is not permitted to log in")),
        Trouble::MayNotConnect
    );
    let rule =
        "FATAL:  no pg_hba.conf entry for host \"10.0.0.2\", user \"me\", database \"m\", no encryption";
    assert_eq!(cause(&server, &format!("{at}{rule}")), Trouble::NoRule);
    server.sslmode = "disable".into();
    assert_eq!(cause(&server, &format!("{at}{rule}")), Trouble::TlsRequired);
    let failure = Trouble::Refused.failure("it said so", &server);
    assert_eq!(failure.source().unwrap().to_string(), "it said so");
    assert_eq!(failure.exit, Exit::Refused);
}
