//! Who may come in first. Whoever reaches Mathesar's first page before an administrator exists becomes one, so nobody but
//! the owner may reach it: see `mathesar admin`.

use std::net::IpAddr;

use crate::application::Variables;
use crate::config::Config;
use crate::database;
use crate::failure::{Exit, Failure};
use crate::installation::Installation;

use super::world::World;

/// Who can reach the address that is listened on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Exposure {
    /// This machine alone, by its own names.
    Loopback,
    /// Others too, and which setting says so.
    Public(String),
}

/// From `server.listen` (or the address of a socket unit, which wins) and `server.hosts`.
pub fn exposure(config: &Config, listen: &str) -> Exposure {
    if !listen.starts_with("unix:") && !is_loopback(host_of(listen)) {
        return Exposure::Public(format!("{LISTENS}{listen}"));
    }
    let public = config.list("server.hosts").iter().find(|host| !is_loopback(host.trim_start_matches('.')));
    match public {
        Some(host) => Exposure::Public(format!("`server.hosts` allows {host}")),
        None => Exposure::Loopback,
    }
}

fn host_of(listen: &str) -> &str {
    listen.rsplit_once(':').map_or(listen, |(host, _)| host)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
    address || bare == "localhost" || bare.ends_with(".localhost")
}

/// With no database there is no administrator either: refused before anything is fetched. Of the system's one the launcher makes it.
pub(super) fn refuse_strangers(installation: &Installation, listen: &str) -> Result<(), Failure> {
    if !installation.is_system()
        && !installation.is_external()
        && let Exposure::Public(why) = exposure(&installation.config, listen)
        && database::existing_major(&installation.database_folder())?.is_none()
    {
        return Err(refusal(&why));
    }
    Ok(())
}

const LISTENS: &str = "it listens on ";
const NOBODY: &str = "there is no administrator yet, and whoever comes first would become one";

/// The refusal where others could become administrator.
pub fn refusal(why: &str) -> Failure {
    with_help(Failure::new(NOBODY).cause(format!("others than you can reach Mathesar: {why}")), why)
}

/// Such a refusal that came from a running launcher, which sends nothing but its words.
pub fn refused_elsewhere(failure: &Failure) -> Option<Failure> {
    let said = failure.to_string();
    said.starts_with(NOBODY).then(|| with_help(Failure::new(said.clone()), &said))
}

/// `why`: the words that say which setting it is, whatever stands before them.
fn with_help(failure: Failure, why: &str) -> Failure {
    let alone = match why.split_once(LISTENS) {
        Some((_, listen)) => {
            let port = listen.rsplit_once(':').map_or("8000", |(_, port)| port);
            format!("`mathesar config set server.listen 127.0.0.1:{port}`")
        }
        None => "`mathesar config unset server.hosts`".to_owned(),
    };
    failure
        .exit(Exit::Refused)
        .help("make the administrator first: `mathesar admin create`")
        .help(format!("or let this machine alone in: {alone}"))
}

/// Whether an administrator exists; the database answers, and its tables are there.
pub fn admin_exists(world: &World, variables: &Variables) -> Result<bool, Failure> {
    const ASK: &str = "SELECT EXISTS (SELECT FROM mathesar_user WHERE is_superuser);";
    match world.query(ASK) {
        Ok(answer) if answer.trim() == "t" => Ok(true),
        Ok(answer) if answer.trim() == "f" => Ok(false),
        // A release whose table has another shape: Mathesar itself knows it.
        _ => crate::admin::exists(&world.release()?, variables),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_many_names() {
        for host in ["127.0.0.1", "127.9.9.9", "[::1]", "::1", "localhost", "a.localhost", "::ffff:127.0.0.1"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["0.0.0.0", "[::]", "192.168.1.1", "example.org", "localhost.example.org", "*", ""] {
            assert!(!is_loopback(host), "{host}");
        }
        assert_eq!(host_of("[::1]:8000"), "[::1]");
    }

    #[test]
    fn the_help_names_the_setting_that_lets_others_in() {
        for failure in [
            refusal("it listens on [::]:9000"),
            refused_elsewhere(&Failure::new(refusal("it listens on 0.0.0.0:9000").whole())).unwrap(),
        ] {
            let help = &failure.helps()[1];
            assert!(help.ends_with("`mathesar config set server.listen 127.0.0.1:9000`"), "{help}");
        }
        let help = &refusal("`server.hosts` allows example.org").helps()[1].clone();
        assert!(help.ends_with("in: `mathesar config unset server.hosts`"), "{help}");
    }
}
