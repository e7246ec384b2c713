//! What an unpacked archive has to be before anything is made of it: the drill and a restore ask the same, so that none calls
//! good what the other refuses.

use std::path::Path;
use std::time::Duration;

use super::base::{self, Verified};
use super::checks::Checks;
use super::manifest::{Kind, Manifest};
use super::origin;
use crate::app::record::made_here;
use crate::app::store;
use crate::database::{
    Binaries, Durability, REPLICATION_SECRET, SUPERUSER_SECRET, Scratch, superuser_password,
};
use crate::failure::{Exit, Failure};
use crate::secrets::{self, FINGERPRINT, SECRET_KEY};

/// What is taken from an archive's `release/`.
pub const OF_RELEASE: [&str; 4] = ["app.lock", "installed.json", "tree", "tree.sha256"];

/// What is unpacked of an archive. Bytecode and collected static files are made again, from files that stand in the release's list:
/// bytecode runs, and no list says what it ought to be.
pub fn is_wanted(name: &str) -> bool {
    name.strip_prefix("release/tree/").is_none_or(|below| !made_here(below))
}

/// What its maker wrote down of its tables.
pub fn checks(folder: &Path, archive: &Path) -> Result<Checks, Failure> {
    Checks::read(folder).map_err(|failure| {
        Failure::new(format!("{} does not tell what its tables hold", archive.display()))
            .cause(failure.whole())
            .exit(Exit::Refused)
            .help("see which others there are: `mathesar backup list`")
    })
}

/// Its cluster is, file by file, what was copied, and does no more than start.
pub fn cluster(binaries: &Binaries, folder: &Path) -> Result<Verified, Failure> {
    let data = folder.join("cluster");
    base::refuse_foreign(&data)
        .and_then(|()| base::same_settings(&data))
        .and_then(|()| base::verify(binaries, &data))
        .map_err(|failure| failure.exit(Exit::Refused))
}

/// It is of the kind that its manifest says. Another kind's is compared with what it cannot hold, and blamed for that.
pub fn kind(folder: &Path, manifest: &Manifest, checks: &Checks) -> Result<(), Failure> {
    let cluster = folder.join("cluster").symlink_metadata().is_ok();
    // No dump brings a catalog's rows.
    let catalog = checks.tables.iter().any(|table| table.schema == "pg_catalog");
    let of_files = origin::identifier(&folder.join("cluster"));
    let wrong = match manifest.kind {
        // Whose it is, is told by that: what one of another says of itself is believed by nobody.
        Kind::Physical if of_files.is_some() && of_files != manifest.postgresql.system_identifier => {
            "a backup of another cluster than the one that it holds"
        }
        Kind::Logical if cluster => "a copy made by pg_dump, and it holds a cluster",
        Kind::Logical if catalog => "a copy made by pg_dump, and its checks.json is that of a cluster",
        Kind::Physical | Kind::Logical => return Ok(()),
    };
    Err(Failure::new(format!("the backup's manifest was changed: it says that this is {wrong}"))
        .exit(Exit::Refused)
        .help("see which others there are: `mathesar backup list`"))
}

/// A server on its cluster that lets the launcher in as the real one will: by the password that is in the backup. One that starts on
/// nothing but trust would tell nothing of that.
pub fn server(
    binaries: &Binaries,
    folder: &Path,
    place: &Path,
    durability: Durability,
    limit: Duration,
) -> Result<Scratch, Failure> {
    let secrets = folder.join("secrets");
    // Mathesar's own role has none: it comes in as the service's user.
    let password = superuser_password(&secrets)?;
    // It is set anew by this one, whatever it was; but there has to be something that it can be set to.
    secrets::read_file(&secrets.join(REPLICATION_SECRET))?;
    let server =
        Scratch::start_by(password.as_ref(), binaries, &folder.join("cluster"), place, durability, limit)?;
    match server.sql("postgres", "SELECT 1;") {
        Ok(_) => Ok(server),
        Err(failure) => Err(Failure::new(format!(
            "the password of the database's superuser in the backup does not open its cluster: \
             `secrets/{SUPERUSER_SECRET}` is not the one that it was made with"
        ))
        .cause(failure)
        .exit(Exit::Refused)
        .help("see which others there are: `mathesar backup list`")),
    }
}

/// Without the right key every stored password is lost.
pub fn key(folder: &Path, manifest: &Manifest) -> Result<(), Failure> {
    let wrong = |what: &str| {
        let help = "see which others there are: `mathesar backup list`";
        Err(Failure::new(what).exit(Exit::Refused).help(help))
    };
    // Which the key is compared with at every start.
    let kept = secrets::read_file(&folder.join("secrets").join(FINGERPRINT))?;
    if kept.is_some_and(|kept| manifest.secret_key_fingerprint.as_deref() != Some(kept.expose())) {
        return wrong(
            "the fingerprint in the backup is that of another secret key than the data were made with",
        );
    }
    match secrets::read_file(&folder.join("secrets").join(SECRET_KEY))? {
        None => wrong("the secret key is not in the backup"),
        Some(key) if manifest.secret_key_fingerprint.as_ref() != Some(&secrets::fingerprint(&key)) => {
            wrong("the secret key in the backup is another than the data were made with")
        }
        Some(_) => Ok(()),
    }
}

/// Its release is the one that the manifest names, file by file.
pub fn release(folder: &Path, manifest: &Manifest) -> Result<(), Failure> {
    let from = folder.join("release");
    let version = &manifest.app.version;
    let wrong = |cause: String| {
        Err(Failure::new(format!(
            "the files of Mathesar {version} in the backup are not those of its release"
        ))
        .cause(cause)
        .exit(Exit::Refused)
        .help("install it from its tarball before: `mathesar app install --from FILE`, then restore again"))
    };
    let linked = |name: &&&str| from.join(name).symlink_metadata().is_ok_and(|found| found.is_symlink());
    if let Some(name) = OF_RELEASE.iter().find(linked) {
        return wrong(format!("`release/{name}` is a link"));
    }
    match store::id_of(&from) {
        Err(failure) => return wrong(failure.whole()),
        Ok(id) if id != manifest.app.id => return wrong(format!("they are recorded as {id}")),
        Ok(_) => {}
    }
    match store::differences(&from) {
        Err(failure) => wrong(failure.whole()),
        Ok(differences) if differences.is_empty() => Ok(()),
        Ok(differences) => wrong(differences.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backup::tests::manifest;
    use std::fs;

    #[test]
    fn a_key_that_is_another_is_none() {
        let root = tempfile::tempdir().unwrap();
        let mut manifest = manifest();
        let said = |manifest: &Manifest| key(root.path(), manifest).map_err(|failure| failure.to_string());
        assert!(said(&manifest).unwrap_err().contains("is not in the backup"));
        fs::create_dir(root.path().join("secrets")).unwrap();
        fs::write(root.path().join("secrets").join(SECRET_KEY), "key\n").unwrap();
        assert!(said(&manifest).unwrap_err().contains("another than the data were made with"));
        manifest.secret_key_fingerprint = Some(secrets::fingerprint(&secrets::Secret::new("key")));
        said(&manifest).unwrap();
        let kept = root.path().join("secrets").join(FINGERPRINT);
        fs::write(&kept, manifest.secret_key_fingerprint.as_deref().unwrap()).unwrap();
        said(&manifest).unwrap();
        fs::write(&kept, "that of another").unwrap();
        assert!(said(&manifest).unwrap_err().contains("is that of another secret key"));
    }

    #[test]
    fn a_kind_is_that_of_the_content() {
        use crate::backup::checks::Table;
        let root = tempfile::tempdir().unwrap();
        let mut manifest = manifest();
        let table = |schema: &str| Table {
            database: "people".to_owned(),
            schema: schema.to_owned(),
            table: "pg_largeobject".to_owned(),
            rows: 0,
            checksum: String::new(),
        };
        let of = |schema: &str| Checks { tables: vec![table(schema)], ..Checks::default() };
        manifest.kind = Kind::Logical;
        kind(root.path(), &manifest, &of("public")).unwrap();
        let failure = kind(root.path(), &manifest, &of("pg_catalog")).unwrap_err();
        assert!(failure.to_string().contains("its checks.json is that of a cluster"), "{failure}");
        assert_eq!(failure.exit, Exit::Refused);
        fs::create_dir(root.path().join("cluster")).unwrap();
        let failure = kind(root.path(), &manifest, &of("public")).unwrap_err();
        assert!(failure.to_string().contains("and it holds a cluster"), "{failure}");
        manifest.kind = Kind::Physical;
        kind(root.path(), &manifest, &of("pg_catalog")).unwrap();
        // And of the cluster.
        fs::create_dir(root.path().join("cluster/global")).unwrap();
        let own: u64 = manifest.postgresql.system_identifier.as_deref().unwrap().parse().unwrap();
        for (identifier, fits) in [(own, true), (7, false)] {
            fs::write(root.path().join("cluster/global/pg_control"), identifier.to_ne_bytes()).unwrap();
            match kind(root.path(), &manifest, &of("pg_catalog")) {
                Ok(()) => assert!(fits),
                Err(failure) => {
                    assert!(!fits && failure.to_string().contains("of another cluster"), "{failure}")
                }
            }
        }
    }

    #[test]
    fn a_release_is_what_the_manifest_says() {
        let root = tempfile::tempdir().unwrap();
        let manifest = manifest();
        let from = root.path().join("release");
        let said = || release(root.path(), &manifest).map_err(|failure| failure.whole());
        assert!(said().unwrap_err().contains("installed.json"));
        fs::create_dir_all(from.join("tree")).unwrap();
        fs::write(from.join("tree/manage.py"), "one").unwrap();
        let contents = format!("file:{}  manage.py\n", crate::app::digest::of_bytes(b"one"));
        fs::write(from.join("tree.sha256"), &contents).unwrap();
        let record = |version: &str| {
            let digest = crate::app::digest::of_bytes(contents.as_bytes());
            let record =
                serde_json::json!({ "version": version, "sha256": manifest.app.sha256, "contents": digest });
            fs::write(from.join("installed.json"), record.to_string()).unwrap();
        };
        record("0.11.0");
        assert!(said().unwrap_err().contains("they are recorded as 0.11.0-"));
        record("0.12.0");
        said().unwrap();
        fs::write(from.join("tree/manage.py"), "two").unwrap();
        assert!(said().unwrap_err().contains("manage.py"));
        fs::rename(from.join("tree"), from.join("other")).unwrap();
        std::os::unix::fs::symlink("other", from.join("tree")).unwrap();
        assert!(said().unwrap_err().contains("`release/tree` is a link"));
    }
}
