//! What goes into an archive besides the database.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::archive::Writer;
use super::create::Options;
use super::manifest::{App, FORMAT, Kind, Manifest, Postgresql};
use super::moment;
use crate::app::files;
use crate::app::store::Installed;
use crate::database::{Cluster, PORT};
use crate::failure::Failure;
use crate::installation::Installation;
use crate::progress::Progress;
use crate::secrets::{SECRET_KEY, fingerprint};

/// Settings that name a file which has to be there again; in an archive below `config/files`.
const NAMED: &[&str] = &[
    "login.sso-file",
    "file-storage.config-file",
    "app.secret-key-file",
    "database.password-file",
    "network.ca-file",
];

/// Of a release, what is not made anew.
const OF_RELEASE: &[&str] = &["installed.json", "tree.sha256", "app.lock"];

/// The manifest of a physical copy.
pub(super) fn manifest(
    installation: &Installation,
    cluster: &Cluster,
    release: &Installed,
    options: &Options<'_>,
    unpacked_bytes: u64,
) -> Result<Manifest, Failure> {
    let identifier =
        cluster.admin("postgres", "SELECT system_identifier FROM pg_catalog.pg_control_system();")?;
    let server = (cluster.binaries.version.clone(), cluster.binaries.major);
    let mut manifest = bare(installation, release, options, server, &cluster.settings.name)?;
    manifest.unpacked_bytes = unpacked_bytes;
    manifest.postgresql.system_identifier = Some(identifier.trim().to_owned());
    manifest.user_database = Some(cluster.settings.user_database.clone());
    manifest.os_user.clone_from(&cluster.owner.name);
    Ok(manifest)
}

/// Everything that is known of any server; `server`: its version and major.
pub(super) fn bare(
    installation: &Installation,
    release: &Installed,
    options: &Options<'_>,
    (version, major): (String, u32),
    internal_database: &str,
) -> Result<Manifest, Failure> {
    let layout = &installation.layout;
    Ok(Manifest {
        format: FORMAT,
        kind: Kind::Physical,
        created: moment::text(SystemTime::now()),
        made_by: options.made_by,
        note: options.note.clone(),
        launcher: env!("CARGO_PKG_VERSION").to_owned(),
        app: App {
            version: release.version.clone(),
            sha256: release.sha256.clone(),
            id: release.id.clone(),
            source: release.source.clone(),
        },
        python: python(&release.path),
        scope: layout.scope.name().to_owned(),
        state: layout.state.clone(),
        postgresql: Postgresql { version, major, system_identifier: None },
        socket: Some(layout.database_socket.clone()),
        port: PORT,
        os_user: crate::database::os_user(rustix::process::geteuid().as_raw())?,
        internal_database: internal_database.to_owned(),
        user_database: None,
        unpacked_bytes: 0,
        secret_key_fingerprint: Some(fingerprint(&installation.secret_key()?)),
        cannot_keep: Vec::new(),
        lacks: Vec::new(),
        unlogged: Vec::new(),
    })
}

/// As the environment of a release says it: `3.11.2`.
fn python(release: &Path) -> Option<String> {
    let text = std::fs::read_to_string(release.join("venv/pyvenv.cfg")).unwrap_or_default();
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        ["version", "version_info"].contains(&name.trim()).then(|| value.trim().to_owned())
    })
}

/// Media, secrets, settings and the release.
pub(super) fn pack(
    writer: &mut Writer,
    installation: &Installation,
    release: &Installed,
    progress: &dyn Progress,
) -> Result<(), Failure> {
    // After the database: a row that names a file was written after the file.
    let media = installation.media();
    if media.is_dir() {
        writer.living_tree("media", &media, progress)?;
    }
    secrets(writer, installation)?;
    settings(writer, installation)?;
    for name in OF_RELEASE {
        let path = release.path.join(name);
        if path.is_file() {
            writer.file(&format!("release/{name}"), &path)?;
        }
    }
    writer.tree("release/tree", &release.path.join("tree"), progress)
}

/// The files of the secrets' folder; the key also where it comes from elsewhere.
fn secrets(writer: &mut Writer, installation: &Installation) -> Result<(), Failure> {
    let key = installation.secret_key()?;
    writer.bytes(&format!("secrets/{SECRET_KEY}"), 0o600, format!("{}\n", key.expose()).as_bytes())?;
    let folder = installation.secrets.folder();
    for (name, path) in below(folder)? {
        // Half-written ones begin with a dot.
        let passing = name.split('/').any(|part| part.starts_with('.'));
        if name != SECRET_KEY && !passing {
            writer.file(&format!("secrets/{name}"), &path)?;
        }
    }
    Ok(())
}

fn settings(writer: &mut Writer, installation: &Installation) -> Result<(), Failure> {
    let layout = &installation.layout;
    if layout.config_file().exists() {
        writer.file("config/mathesar.conf", &layout.config_file())?;
    }
    if layout.config_drop_ins().is_dir() {
        for (name, path) in below(&layout.config_drop_ins())? {
            writer.file(&format!("config/conf.d/{name}"), &path)?;
        }
    }
    if let Some(path) = installation.config.path("env-file") {
        writer.file("config/env-file", &path)?;
    }
    for name in NAMED {
        if let Some(path) = installation.config.path(name) {
            writer.file(&format!("config/files/{name}"), &path)?;
        }
    }
    Ok(())
}

/// Ordinary files below a folder, with their names from there.
fn below(folder: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let mut found = Vec::new();
    if !folder.is_dir() {
        return Ok(found);
    }
    files::walk(folder, &mut |path, metadata| {
        if let Some(name) = path.strip_prefix(folder).ok().and_then(Path::to_str)
            && metadata.is_file()
        {
            found.push((name.to_owned(), path.to_owned()));
        }
    })
    .map_err(|cause| Failure::io("read", folder, cause))?;
    Ok(found)
}
