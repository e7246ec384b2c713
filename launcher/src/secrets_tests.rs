use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn scratch() -> (tempfile::TempDir, Secrets) {
    let folder = tempfile::tempdir().unwrap();
    let secrets = Secrets::new(folder.path().join("state/secrets"), None, None);
    (folder, secrets)
}

#[test]
fn a_secret_is_made_once_private_and_stays() {
    let (_folder, secrets) = scratch();
    let first = secrets.ensure("a").unwrap();
    assert_eq!(first.expose().len(), 64);
    assert_eq!(secrets.ensure("a").unwrap(), first);
    assert_ne!(secrets.ensure("b").unwrap(), first);
    assert_eq!(fs::metadata(secrets.path("a")).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(secrets.folder()).unwrap().mode() & 0o7777, 0o700);
    secrets.create("a", "other").unwrap();
    assert_eq!(secrets.ensure("a").unwrap(), first, "overwritten");
    assert_eq!(fs::read_dir(secrets.folder()).unwrap().count(), 2, "something was left behind");
}

#[test]
fn twenty_at_once_agree() {
    let (_folder, secrets) = scratch();
    let all: Vec<String> = std::thread::scope(|scope| {
        let run = || scope.spawn(|| secrets.ensure("a").unwrap().expose().to_owned());
        let threads: Vec<_> = (0..20).map(|_| run()).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(all.iter().all(|one| *one == all[0]));
}

#[test]
fn nothing_prints_a_secret() {
    let secret = Secret::new("hunter2");
    assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), "*** Secret(***) Some(Secret(***))");
}

#[test]
fn another_key_and_a_lost_key_are_refused() {
    let (_folder, secrets) = scratch();
    let key = secrets.secret_key(None).unwrap();
    assert_eq!(secrets.secret_key(None).unwrap(), key);
    assert_eq!(secrets.secret_key(Some(&key)).unwrap(), key);
    let other = secrets.secret_key(Some(&Secret::new("x"))).unwrap_err();
    assert_eq!(other.exit, Exit::Refused);
    fs::remove_file(secrets.path(SECRET_KEY)).unwrap();
    let lost = secrets.secret_key(None).unwrap_err();
    assert!(lost.to_string().ends_with("is gone"), "{lost}");
    assert_eq!(lost.exit, Exit::Refused);
}

#[test]
fn systemd_credentials_go_first() {
    let (folder, _) = scratch();
    let credentials = folder.path().join("credentials");
    fs::create_dir(&credentials).unwrap();
    fs::write(credentials.join("a"), "'\"$\\ )#\n").unwrap();
    let secrets = Secrets::new(folder.path().join("secrets"), Some(credentials), None);
    assert_eq!(secrets.ensure("a").unwrap().expose(), "'\"$\\ )#");
    assert!(!secrets.folder().exists());
    assert_eq!(secrets.ensure("b").unwrap().expose().len(), 64);
}

#[test]
fn open_permissions_and_several_lines_are_seen() {
    let (_folder, secrets) = scratch();
    secrets.ensure("a").unwrap();
    assert!(secrets.exposed().is_empty());
    fs::set_permissions(secrets.path("a"), fs::Permissions::from_mode(0o640)).unwrap();
    assert_eq!(secrets.exposed(), [secrets.path("a")]);
    let told = secrets.close_exposed();
    assert!(told.len() == 1 && told[0].contains("secrets/a could be read by others"), "{told:?}");
    assert_eq!(fs::metadata(secrets.path("a")).unwrap().mode() & 0o777, 0o600);
    assert!(secrets.close_exposed().is_empty());
    fs::write(secrets.path("a"), "one\ntwo\n").unwrap();
    assert!(secrets.read("a").unwrap_err().to_string().ends_with("must hold one line: the secret"));
}
