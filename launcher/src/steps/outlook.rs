//! What the steps would do now, without doing any of it: for `plan`.

mod cluster;
mod serving;

use std::path::PathBuf;

use super::{SETUP, Step, access, tables};
use crate::app::download::Wanted;
use crate::app::environment::{self, Requirements};
use crate::app::install;
use crate::app::lookup;
use crate::app::store::{Installed, Store};
use crate::app::{digest, python, static_files, tools};
use crate::failure::{Exit, Failure};
use crate::installation::Installation;
use crate::layout::Scope;
use crate::secrets::{FINGERPRINT, SECRET_KEY};
use crate::transaction::{Journal, Stage};

use cluster::{cluster, database, postgresql};
pub use serving::Serving;
use serving::{admin, server};

/// One step's outlook.
#[derive(Debug, Clone)]
pub struct Outlook {
    pub step: Step,
    pub state: State,
    /// What would be done, or what is there.
    pub text: String,
    pub downloads: Vec<Download>,
    /// Files and folders that would be made or changed.
    pub writes: Vec<PathBuf>,
    /// What a person ought to know before.
    pub notes: Vec<String>,
    /// Of a refused one: how `start` would end.
    pub exit: Option<Exit>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// True already.
    Done,
    /// Would be done.
    Do,
    /// Refused: the text says why.
    Refused,
}

#[derive(Debug, Clone)]
pub struct Download {
    pub name: String,
    pub url: String,
    /// In bytes, where it is known.
    pub size: Option<u64>,
    pub sha256: Option<String>,
    /// Where it lies already: nothing is fetched.
    pub present: Option<PathBuf>,
}

impl Outlook {
    fn new(step: Step, state: State, text: impl Into<String>) -> Outlook {
        Outlook {
            step,
            state,
            text: text.into(),
            downloads: Vec::new(),
            writes: Vec::new(),
            notes: Vec::new(),
            exit: None,
        }
    }

    fn of(step: Step, result: Result<Outlook, Failure>) -> Outlook {
        result.unwrap_or_else(|failure| {
            let mut outlook = Outlook::new(step, State::Refused, failure.to_string());
            outlook.exit = Some(failure.exit);
            let cause = std::error::Error::source(&failure).map(ToString::to_string);
            outlook.notes.extend(cause);
            outlook.notes.extend(failure.helps().iter().map(|help| format!("help: {help}")));
            outlook
        })
    }
}

/// Every step in order. Reads, runs `--version`s, and writes nothing. `serving`: what a launcher that runs says of itself.
pub fn outlook(installation: &Installation, serving: Option<&Serving>) -> Vec<Outlook> {
    let mut all: Vec<Outlook> =
        SETUP.iter().map(|step| Outlook::of(*step, look(*step, installation, serving))).collect();
    all.push(Outlook::of(Step::Server, server(installation, serving)));
    if let (None, Some(first)) = (serving, all.first_mut()) {
        // Under its lock, whoever starts it does this before everything else.
        let interrupted = Journal::read(&installation.layout.state).ok().flatten();
        first.notes.extend(interrupted.map(|journal| match journal.stage {
            Stage::Open => format!("{} was interrupted, and is taken back before", journal.words()),
            Stage::Committed => {
                format!("{} was interrupted when it was done, and is tidied up", journal.words())
            }
        }));
    }
    all
}

/// The first refusal that a start would meet, before it is made.
pub fn refusal(installation: &Installation) -> Result<(), Failure> {
    SETUP.iter().try_for_each(|step| look(*step, installation, None).map(drop))
}

fn look(step: Step, installation: &Installation, serving: Option<&Serving>) -> Result<Outlook, Failure> {
    match step {
        Step::Config => config(installation, serving.is_some()),
        Step::Release => release(installation),
        Step::Python => python(installation),
        Step::Static => statics(installation),
        Step::Postgresql => postgresql(installation),
        Step::Cluster => cluster(installation),
        Step::Database => database(installation),
        Step::Migrate => migrate(installation),
        Step::Activate => activate(installation),
        Step::Admin => admin(installation, serving.is_some_and(|serving| serving.ready)),
        _ => server(installation, serving),
    }
}

fn config(installation: &Installation, runs: bool) -> Result<Outlook, Failure> {
    let layout = &installation.layout;
    installation.refuse_foreign()?;
    if !runs {
        access::refuse_strangers(installation, installation.listen())?;
    }
    installation.refuse_unfit()?;
    installation.known_key()?;
    let file = layout.config_file();
    let mut outlook = Outlook::new(Step::Config, State::Done, format!("{} and secrets", file.display()));
    let mut folders =
        vec![layout.state.clone(), layout.cache.clone(), layout.run.clone(), installation.media()];
    folders.extend(layout.logs.clone());
    folders.retain(|folder| !folder.is_dir());
    outlook.writes = folders;
    let mut what = Vec::new();
    if layout.scope != Scope::System && !file.exists() {
        outlook.writes.push(file);
        what.push("write a commented mathesar.conf");
    }
    if installation.secrets.read(SECRET_KEY).ok().flatten().is_none()
        && !installation.set_by_someone("app.secret-key")
        && !installation.set_by_someone("app.secret-key-file")
    {
        outlook.writes.push(installation.secrets.folder().join(SECRET_KEY));
        what.push("make the secrets");
        // It tells whether a key is the one that the data were made with.
        outlook.writes.push(installation.secrets.folder().join(FINGERPRINT));
    }
    if !outlook.writes.is_empty() {
        outlook.state = State::Do;
        outlook.text = if what.is_empty() { "make folders".to_owned() } else { what.join(" and ") };
    }
    // The system's is its service's to write to, whoever asks here; and without a state folder more is missing than this one.
    if layout.scope != Scope::System && (layout.state.is_dir() || installation.set_by_someone("media.path")) {
        match installation.try_media() {
            Err(failure) if runs => {
                outlook.notes.push(format!("`mathesar restart` would be refused: {}", failure.whole()));
            }
            tried => tried?,
        }
    }
    Ok(outlook)
}

/// The release that `start` would take, where it is unpacked already: the same choice as in the step itself.
fn to_run(installation: &Installation) -> Result<Option<Installed>, Failure> {
    if let Some(chosen) = tables::chosen(installation)? {
        return Ok(Some(chosen));
    }
    let pinned = &installation.pinned.sha256;
    Ok(installation.store().list()?.into_iter().find(|there| there.sha256 == *pinned))
}

fn release(installation: &Installation) -> Result<Outlook, Failure> {
    let store = installation.store();
    let pinned = &installation.pinned;
    let to_run = to_run(installation)?;
    tables::refuse_others(installation, to_run.as_ref())?;
    if let Some(release) = to_run {
        let held = store.held().as_ref() == Some(&release.id);
        let mut text = format!("Mathesar {} in {}", release.version, release.path.display());
        if held {
            // From a file, or by a rollback or a restore.
            text.push_str(", held until `mathesar upgrade`");
        }
        let mut outlook = Outlook::new(Step::Release, State::Done, text);
        if release.sha256 != pinned.sha256 && !held {
            outlook
                .notes
                .push(format!("this launcher brings Mathesar {}: `mathesar upgrade`", pinned.version));
            outlook.notes.push(
                "a failed upgrade takes back the private database; on servers of your own, connected ones too, only Mathesar's SQL"
                    .to_owned(),
            );
        }
        return Ok(outlook);
    }
    let app = installation.app();
    let text = format!("fetch, verify and unpack Mathesar {}", pinned.version);
    let mut outlook = Outlook::new(Step::Release, State::Do, text);
    outlook.downloads.push(download(&install::wanted(pinned), "app", installation)?);
    outlook.writes.push(app.store.join(Store::id(&pinned.version, &pinned.sha256)));
    Ok(outlook)
}

/// A file of another digest is not the one that is wanted, and would be fetched all the same.
fn download(wanted: &Wanted, kind: &str, installation: &Installation) -> Result<Download, Failure> {
    let app = installation.app();
    let places = lookup::places(wanted, kind, &app);
    let is_it = |path: &PathBuf| {
        path.is_file() && digest::of_file(path).is_ok_and(|(digest, _)| digest == wanted.sha256)
    };
    let present = places.into_iter().map(|(path, _)| path).find(is_it);
    if present.is_none() && app.network.offline {
        return Err(lookup::missing(wanted, kind, &app));
    }
    let found = present.as_ref().and_then(|path| path.metadata().ok()).map(|found| found.len());
    Ok(Download {
        name: wanted.name.clone(),
        url: wanted.url.clone(),
        size: wanted.size.or(found),
        sha256: Some(wanted.sha256.clone()),
        present,
    })
}

fn python(installation: &Installation) -> Result<Outlook, Failure> {
    let app = installation.app();
    let release = to_run(installation)?;
    let mut why = None;
    if let Some(release) = &release {
        match environment::state(&release.path) {
            environment::State::Ready => {
                let text = format!("environment in {}", release.path.join("venv").display());
                return Ok(Outlook::new(Step::Python, State::Done, text));
            }
            environment::State::Stale(reason) => why = Some(reason),
            environment::State::Missing => {}
        }
    }
    let pythons = installation.pythons();
    let choice = python::choose(pythons.supported, app.interpreter.as_deref(), app.managed, &pythons.places)?;
    let offline = app.network.offline;
    let (text, found) = match choice {
        // What uv has fetched before lies there.
        python::Choice::Managed { version: (major, minor), .. } if !offline || uv_has_python(&app) => {
            (format!("a Python {major}.{minor} that uv fetches"), offline)
        }
        python::Choice::Managed { otherwise: None, .. } => {
            return Err(python::none_found(pythons.supported, &[])
                .cause("`network.offline` is set, so uv may not fetch one"));
        }
        python::Choice::System(python) | python::Choice::Managed { otherwise: Some(python), .. } => {
            python::require_cairo(&python)?;
            let place = app.store.join(Store::id(&installation.pinned.version, &installation.pinned.sha256));
            let place = release.as_ref().map_or(&place, |release| &release.path);
            environment::refuse_no_packages(place, &python, &app)?;
            (format!("Python {} ({})", python.version_text(), python.path.display()), true)
        }
    };
    let mut outlook = Outlook::new(Step::Python, State::Do, format!("build an environment with {text}"));
    outlook.notes.extend(why.map(|why| format!("again, as {why}")));
    let uv = tools::pinned("uv").ok().filter(|pin| !pin.folder(&app).is_dir() && app.uv.is_none());
    let place = app.store.join(Store::id(&installation.pinned.version, &installation.pinned.sha256));
    outlook.writes.push(release.as_ref().map_or(&place, |release| &release.path).join("venv"));
    outlook.writes.extend(uv.as_ref().map(|pin| pin.folder(&app)));
    outlook.writes.extend(app.uv.is_none().then(|| app.cache.join("uv")));
    // Offline one on PATH serves as well, or pip.
    outlook.downloads.extend(uv.and_then(|pin| download(&pin.wanted(), "wheels", installation).ok()));
    if !found {
        outlook.notes.push("uv fetches Python from its own pinned sources, about 30 MB".to_owned());
    }
    let hashed = match &release {
        Some(release) => Requirements::of(&release.path).hashed,
        None => app.share.as_ref().is_some_and(|share| share.join("app.lock").is_file()),
    };
    outlook.downloads.push(Download {
        name: match hashed {
            true => "Python packages, each by its digest in app.lock,".to_owned(),
            false => "Python packages, by the versions in requirements.txt,".to_owned(),
        },
        url: crate::config::without_password(app.index_url.as_deref().unwrap_or("https://pypi.org/simple")),
        size: None,
        sha256: None,
        // Which of them lie in folders of wheels is uv's to find out.
        present: None,
    });
    if !hashed {
        outlook.notes.push(
            "no lock of this release is here: what its packages need in turn is not verified by digest"
                .to_owned(),
        );
    }
    let folders: Vec<String> = app.wheels().iter().map(|folder| folder.display().to_string()).collect();
    if !folders.is_empty() {
        outlook.notes.push(format!("packages that lie in {} are not fetched", folders.join(" or ")));
    }
    if offline {
        outlook
            .notes
            .push("`network.offline` is set: packages that lie nowhere here are missing then".to_owned());
    }
    Ok(outlook)
}

/// Whether uv has put a Python into the store.
fn uv_has_python(app: &crate::app::Settings) -> bool {
    std::fs::read_dir(app.store.join("python")).is_ok_and(|mut entries| entries.next().is_some())
}

fn statics(installation: &Installation) -> Result<Outlook, Failure> {
    let done = to_run(installation)?.is_some_and(|release| static_files::are_collected(&release.path));
    Ok(match done {
        true => Outlook::new(Step::Static, State::Done, "collected"),
        false => Outlook::new(Step::Static, State::Do, "collect static files, compile bytecode"),
    })
}

fn migrate(installation: &Installation) -> Result<Outlook, Failure> {
    let stamp = installation.layout.state.join(super::MIGRATED);
    let done = to_run(installation)?.is_some_and(|release| {
        std::fs::read_to_string(&stamp).is_ok_and(|text| text.contains(&format!("\"{}\"", release.id)))
    });
    if done {
        return Ok(Outlook::new(
            Step::Migrate,
            State::Done,
            "were migrated by this release; looked at again",
        ));
    }
    let text = "create or update Mathesar's tables (python -m mathesar.install)";
    let mut outlook = Outlook::new(Step::Migrate, State::Do, text);
    outlook.writes.push(stamp);
    Ok(outlook)
}

fn activate(installation: &Installation) -> Result<Outlook, Failure> {
    let store = installation.store();
    let link = store.folder.join("current");
    Ok(match store.current()? {
        Some(current) => Outlook::new(Step::Activate, State::Done, format!("Mathesar {}", current.version)),
        None => {
            let version = to_run(installation)?.map(|release| release.version);
            let version = version.as_ref().unwrap_or(&installation.pinned.version);
            let text = format!("make Mathesar {version} the current one");
            let mut outlook = Outlook::new(Step::Activate, State::Do, text);
            outlook.writes.push(link);
            outlook
        }
    })
}
