//! One installation: its places, settings, secrets and the release that it is to run. What every command past `config` needs.

mod key;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::app::environment::Pythons;
use crate::app::store::Store;
use crate::app::{self, python, tools};
use crate::config::{self, Config, Effect, Origin, Outside, SETTINGS, Value};
use crate::database::{self, Binaries, Search};
use crate::failure::{Exit, Failure};
use crate::foreign;
use crate::layout::{Environment, Layout, Scope};
use crate::release::Release;
use crate::secrets::{self, Secrets};
use crate::sensitive::{is_public, is_sensitive};

/// In the state folder: the release that the tables were last migrated by, and what was applied then.
pub const MIGRATED: &str = "migrated.json";

/// Everything that is known before anything is done.
#[derive(Debug)]
pub struct Installation {
    pub environment: Environment,
    pub layout: Layout,
    pub config: Config,
    /// The release that this launcher is to install.
    pub pinned: Release,
    pub secrets: Secrets,
    /// Whether Mathesar's own variables count, as in `mathesar run`.
    pub service_variables: bool,
}

impl Installation {
    /// Reads the settings; all their errors are one refusal. Writes nothing.
    pub fn load(
        environment: &Environment,
        layout: &Layout,
        service_variables: bool,
    ) -> Result<Installation, Failure> {
        Installation::load_with(environment, layout, service_variables, &[])
    }

    /// The same; options of a command win over every file: `(setting, option, value)`.
    pub fn load_with(
        environment: &Environment,
        layout: &Layout,
        service_variables: bool,
        flags: &[(&str, &str, &str)],
    ) -> Result<Installation, Failure> {
        let outside = Outside { environment: environment.clone(), service_variables, flags };
        Ok(Installation {
            environment: environment.clone(),
            layout: layout.clone(),
            config: config::load(layout, &outside).accept()?,
            pinned: Release::pinned()?.0,
            secrets: Secrets::of(layout, environment, None),
            service_variables,
        })
    }

    /// The same, with the settings as the files are now.
    pub fn again(&self) -> Result<Installation, Failure> {
        Installation::load(&self.environment, &self.layout, self.service_variables)
    }

    pub fn app(&self) -> app::Settings {
        app::Settings::new(&self.layout, &self.config)
    }

    pub fn store(&self) -> Store {
        Store::new(&self.layout.state.join("app"))
    }

    pub fn pythons(&self) -> Pythons<'_> {
        Pythons { supported: &self.pinned.python, places: python::Places::of_this_process() }
    }

    /// Where PostgreSQL's programs are looked for; the embedded build where it is unpacked already.
    pub fn search(&self) -> Search {
        let embedded = tools::unpacked_postgres(&self.app());
        let setting = self.config.path("database.bin");
        let uid = self.environment.uid;
        let foreign = setting.as_ref().and_then(|bin| foreign::programs(bin, &self.layout, uid));
        let search = Search::new(setting, embedded, self.pinned.postgresql.clone());
        Search { foreign, ..search }
    }

    /// The programs for data of this major, or for new ones. None: the embedded build is to be unpacked first.
    pub fn programs(&self, search: &Search, existing: Option<u32>) -> Result<Option<Binaries>, Failure> {
        self.refuse_foreign()?;
        let Some(major) = existing else { return search.for_new() };
        match search.for_major(major) {
            Ok(binaries) => Ok(Some(binaries)),
            // Made by the embedded build, which was removed since.
            Err(_)
                if search.setting.is_none() && search.supports(major) && embedded_major() == Some(major) =>
            {
                Ok(None)
            }
            Err(failure) => Err(failure),
        }
    }

    /// Of the server that a new cluster would be made with.
    pub fn new_major(&self) -> Option<u32> {
        match self.programs(&self.search(), None).ok()? {
            Some(binaries) => Some(binaries.major),
            None => embedded_major(),
        }
    }

    /// `state/database`.
    pub fn database_folder(&self) -> PathBuf {
        self.layout.state.join("database")
    }

    pub fn is_external(&self) -> bool {
        self.config.text("database.url").is_some()
    }

    /// The private cluster with these programs.
    pub fn cluster(&self, binaries: database::Binaries) -> Result<database::Cluster, Failure> {
        let owner = database::Owner::new(None)?;
        Ok(database::Cluster::new(&self.layout, &self.config, binaries, owner, self.secrets.clone()))
    }

    /// The private cluster where it has been made already and its programs are there.
    pub fn existing_cluster(&self) -> Result<Option<database::Cluster>, Failure> {
        if self.is_external() {
            return Ok(None);
        }
        self.refuse_foreign()?;
        match database::existing_major(&self.database_folder())? {
            Some(major) => self.cluster(self.search().for_major(major)?).map(Some),
            None => Ok(None),
        }
    }

    /// Settings and folders by which somebody else would decide what is run.
    pub(crate) fn refuse_foreign(&self) -> Result<(), Failure> {
        foreign::refuse(&self.layout, self.environment.uid)
    }

    /// What `config check` says of this machine: more memory than it has, another thing in the place of a socket, Mathesar's own
    /// data in that of uploaded files.
    pub fn refuse_unfit(&self) -> Result<(), Failure> {
        self.refuse_misplaced_media()?;
        let unfit = config::unfit_here(&self.config);
        match unfit.into_iter().find(|problem| problem.severity == config::Severity::Error) {
            None => Ok(()),
            Some(problem) => Err(unfit_for(problem.message)),
        }
    }

    fn refuse_misplaced_media(&self) -> Result<(), Failure> {
        let Some(problem) = config::misplaced_media(&self.config, &self.layout) else { return Ok(()) };
        let failure = unfit_for(problem.message);
        Err(problem.help.into_iter().fold(failure, Failure::help))
    }

    pub fn media(&self) -> PathBuf {
        self.config.path("media.path").unwrap_or_else(|| self.layout.state.join("media"))
    }

    /// Makes the folder of uploaded files, and finds out whether it can be used.
    pub fn make_media(&self) -> Result<(), Failure> {
        self.refuse_misplaced_media()?;
        let made = private_folder(&self.media());
        // This one knows the cause, and names the setting.
        self.try_media()?;
        made
    }

    /// Whether the folder of uploaded files can be used, or made. Changes nothing.
    pub fn try_media(&self) -> Result<(), Failure> {
        fillable(&self.media()).map_err(|cause| self.media_refused(cause))
    }

    fn media_refused(&self, cause: std::io::Error) -> Failure {
        let (media, set) = (self.media(), self.set_by_someone("media.path"));
        let (shown, quoted) = (media.display(), crate::cure::path(&media));
        let help = match cause.kind() {
            ErrorKind::NotADirectory => format!("see what is in its place: `ls -ld {quoted}`"),
            ErrorKind::ReadOnlyFilesystem => format!("let its disk be written to: `findmnt -T {quoted}`"),
            _ if media.is_dir() => {
                format!("let Mathesar's user write there: `sudo chown -R {} {quoted}`", self.environment.uid)
            }
            _ => format!(
                "make it for Mathesar's user: `sudo install -d -m 700 -o {} {quoted}`",
                self.environment.uid
            ),
        };
        let said = if set { ", as `media.path` says" } else { "" };
        let failure = Failure::new(format!("cannot keep uploaded files in {shown}{said}"))
            .cause(cause)
            .exit(Exit::Refused)
            .help(help);
        match set {
            true => failure.help("or name another folder: `mathesar config set media.path DIR`"),
            false => failure,
        }
    }

    pub fn control_socket(&self) -> PathBuf {
        self.layout.run.join("control.sock")
    }

    /// Where what was said is kept, made where it is missing; one that somebody else has prepared is refused.
    pub(crate) fn words_folder(&self) -> Result<PathBuf, Failure> {
        self.refuse_foreign()?;
        let folder = self.layout.logs.as_ref().unwrap_or(&self.layout.state);
        private_folder(folder)?;
        Ok(folder.clone())
    }

    pub fn log_file(&self) -> Option<PathBuf> {
        self.layout.logs.as_ref().map(|logs| logs.join("mathesar.log"))
    }

    pub fn listen(&self) -> &str {
        self.config.text("server.listen").unwrap_or("127.0.0.1:8000")
    }

    /// Every secret that is known now: for whoever writes something that a person may show to others.
    pub fn known_secrets(&self) -> Vec<String> {
        let of_settings = SETTINGS
            .iter()
            .filter(|setting| setting.secret)
            .filter_map(|setting| self.config.text(setting.name).map(str::to_owned));
        let mut all: Vec<String> = of_settings.collect();
        let of_env = self.config.env.iter();
        let of_env = of_env.filter(|(name, (value, _))| is_sensitive(name) || !is_public(value));
        all.extend(of_env.map(|(_, (value, _))| value.clone()));
        for name in ["database.password-file", "app.secret-key-file"] {
            let file = self.config.path(name).and_then(|path| secrets::read_file(&path).ok().flatten());
            all.extend(file.map(|secret| secret.expose().to_owned()));
        }
        for entry in std::fs::read_dir(self.secrets.folder()).into_iter().flatten().flatten() {
            if let Ok(text) = std::fs::read_to_string(entry.path()) {
                all.push(text.trim_end_matches(['\n', '\r']).to_owned());
                // A PGPASSFILE: the password is its last field.
                all.extend(text.trim_end().rsplit(':').next().map(str::to_owned));
            }
        }
        all.retain(|secret| secret.len() >= 6);
        all.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        all.dedup();
        all
    }

    /// What is in force of settings that a restart makes so, one text a setting, secrets as digests: two of these tell
    /// whether a restart is pending, and of what.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut all: Vec<(String, String)> = SETTINGS
            .iter()
            .filter(|setting| setting.effect == Effect::Restart)
            .map(|setting| {
                (setting.name.to_owned(), digest(&self.config.get(setting.name).to_toml().to_string()))
            })
            .collect();
        all.extend(self.config.env.iter().map(|(name, (value, _))| (format!("env.{name}"), digest(value))));
        for name in [
            "database.password-file",
            "app.secret-key-file",
            "login.sso-file",
            "file-storage.config-file",
            "network.ca-file",
        ] {
            let content = self.config.path(name).and_then(|path| crate::careful::read_named(&path).ok());
            if let Some(content) = content {
                all.push((format!("{name} (its content)"), app::digest::of_bytes(&content)));
            }
        }
        Fingerprint(all)
    }

    /// What is the same in every message about who may come in.
    pub fn is_system(&self) -> bool {
        self.layout.scope == Scope::System
    }

    pub fn set_by_someone(&self, name: &str) -> bool {
        self.config.origin(name) != Origin::Default && *self.config.get(name) != Value::Unset
    }
}

fn unfit_for(message: String) -> Failure {
    Failure::new(message).exit(Exit::Refused).help("see where it stands: `mathesar config check`")
}

fn embedded_major() -> Option<u32> {
    tools::pinned(tools::EMBEDDED).ok()?.version.split('.').next()?.parse().ok()
}

fn digest(text: &str) -> String {
    app::digest::of_bytes(text.as_bytes())
}

/// The settings in force, by name; values as digests only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fingerprint(Vec<(String, String)>);

impl Fingerprint {
    /// Names of settings that differ.
    pub fn changes(&self, now: &Fingerprint) -> Vec<String> {
        let mut changed: Vec<String> =
            now.0.iter().filter(|one| !self.0.contains(one)).map(|(name, _)| name.clone()).collect();
        let gone = self.0.iter().filter(|(name, _)| !now.0.iter().any(|(other, _)| other == name));
        changed.extend(gone.map(|(name, _)| name.clone()));
        changed.sort();
        changed.dedup();
        changed
    }

    /// Of these names, those that a new gunicorn alone does not bring into force.
    pub fn beyond_the_web_server(changes: &[String]) -> Vec<String> {
        let deep = |name: &&String| {
            name.starts_with("database.")
                || matches!(name.as_str(), "server.listen" | "log.max-size" | "log.keep" | "app.secret-key")
                || name.starts_with("app.secret-key-file")
        };
        changes.iter().filter(deep).cloned().collect()
    }
}

/// Whether files can be put into this folder, which may yet have to be made.
fn fillable(folder: &Path) -> std::io::Result<()> {
    use rustix::fs::{Access, access};
    if folder.symlink_metadata().is_ok() && !folder.metadata()?.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    // What cannot even be looked at.
    match folder.symlink_metadata() {
        Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
        _ => {}
    }
    let there = folder.ancestors().find(|above| above.symlink_metadata().is_ok()).unwrap_or(Path::new("/"));
    Ok(access(there, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK)?)
}

/// A folder that only its owner may look into, and what is missing above it.
pub fn private_folder(folder: &Path) -> Result<(), Failure> {
    secrets::private_folder(folder, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_files_can_be_put() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, b"").unwrap();
        std::os::unix::fs::symlink(folder.path().join("nowhere"), folder.path().join("link")).unwrap();
        assert!(fillable(folder.path()).is_ok() && fillable(&folder.path().join("new/deep")).is_ok());
        assert_eq!(fillable(&file).unwrap_err().kind(), ErrorKind::NotADirectory);
        assert_eq!(fillable(&file.join("x")).unwrap_err().kind(), ErrorKind::NotADirectory);
        assert_eq!(fillable(&folder.path().join("link")).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
