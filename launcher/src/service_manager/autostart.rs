//! The unit, or the job, that starts a user's Mathesar: written and taken away.

use std::ffi::OsString;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::unit::Job;
use super::{Place, WANTS, plist, systemd, unit};
use crate::app::files;
use crate::failure::{Exit, Failure};
use crate::layout::{Environment, Layout, Scope};
use crate::process::Program;

/// What of the environment decides where a user's things live. $XDG_RUNTIME_DIR is the service manager's own business.
const PLACES: &[&str] = &["XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"];

/// Why this installation cannot have one at all.
pub fn possible(layout: &Layout, environment: &Environment) -> Result<Place, Failure> {
    if layout.scope == Scope::System {
        let unit = systemd::unit_name(layout);
        return Err(Failure::new("the system's Mathesar has a unit already, which the administrator switches")
            .exit(Exit::Refused)
            .help(format!("now and at every boot: `sudo systemctl enable --now {unit}`; no more: `sudo systemctl disable {unit}`")));
    }
    let Some(place) = Place::ours(layout, environment) else {
        return Err(Failure::new("cannot tell your home folder")
            .exit(Exit::Usage)
            .help("set HOME, and run it again"));
    };
    Ok(place)
}

/// What somebody else has arranged already.
pub fn free(layout: &Layout, environment: &Environment) -> Result<(), Failure> {
    match Place::homebrew(layout, environment).filter(|place| place.file.exists()) {
        Some(place) => Err(Failure::new("`brew services` starts Mathesar already")
            .cause(format!("there is {}", place.file.display()))
            .exit(Exit::Refused)
            .help("keep it so, or end it first: `brew services stop mathesar`")),
        None => Ok(()),
    }
}

/// Where no systemd runs.
pub fn no_manager(program: &Path, global: &[OsString]) -> Failure {
    let line = format!("@reboot {} start", cron_words(program, global));
    Failure::new("this system is not run by systemd")
        .exit(Exit::Refused)
        .help(format!("let cron start it: add the line `{line}` by `crontab -e`"))
}

/// The program and its options as a line of a crontab has them: cron ends the command at a `%`, whatever stands around it.
pub fn cron_words(program: &Path, global: &[OsString]) -> String {
    let words: Vec<String> = std::iter::once(program.as_os_str())
        .chain(global.iter().map(OsString::as_os_str))
        .map(|word| crate::cure::quoted(&word.to_string_lossy()).replace('%', "\\%"))
        .collect();
    words.join(" ")
}

/// What the unit is to run: this very program on this very installation.
pub fn job(
    layout: &Layout,
    environment: &Environment,
    program: &Path,
    global: &[OsString],
) -> Result<Job, Failure> {
    let mut description = "Mathesar".to_owned();
    if layout.scope == Scope::Home {
        let above = layout.state.parent().unwrap_or(&layout.state);
        description.push_str(&format!(" in {}", Job::text(above.as_os_str())?));
    } else if let Some(instance) = &layout.instance {
        description.push_str(&format!(", instance {instance}"));
    }
    let mut args = global.iter().map(|arg| Job::text(arg)).collect::<Result<Vec<_>, _>>()?;
    args.push("run".to_owned());
    if environment.macos {
        // There is no journal: the log file has everything but an error at the very beginning.
        args.push("--background".to_owned());
    }
    let set = PLACES.iter().filter_map(|name| Some((*name, environment.get(name)?)));
    let places = set.filter(|_| layout.scope == Scope::User);
    Ok(Job {
        description,
        program: Job::text(program.as_os_str())?,
        args,
        environment: places
            .map(|(name, value)| Ok((name.to_owned(), Job::text(value)?)))
            .collect::<Result<_, Failure>>()?,
    })
}

/// The whole text of the unit or the job.
pub fn text(place: &Place, job: &Job, layout: &Layout, environment: &Environment) -> Result<String, Failure> {
    if !environment.macos {
        return Ok(unit::render(job));
    }
    let errors = layout.logs.as_ref().unwrap_or(&layout.state).join(crate::logbook::LAST_WORDS);
    Ok(plist::render(&place.name, job, &Job::text(errors.as_os_str())?))
}

/// What lies at the place now, where it is ours; one of somebody else's is refused.
pub fn existing(place: &Place) -> Result<Option<String>, Failure> {
    let foreign = |what: &str| {
        Failure::new(format!("{} {what}", place.file.display()))
            .cause("nothing was changed")
            .exit(Exit::Refused)
            .help(format!("look at it, and put it aside: `mv {0} {0}.old`", crate::cure::path(&place.file)))
    };
    match place.file.symlink_metadata() {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(Failure::io("read", &place.file, cause)),
        Ok(found) if found.is_symlink() => return Err(foreign("is a link that `mathesar` has not made")),
        Ok(_) => {}
    }
    let text = fs::read_to_string(&place.file).map_err(|cause| Failure::io("read", &place.file, cause))?;
    match [unit::MARK, unit::MARK_TIMER, plist::MARK].iter().any(|mark| text.contains(mark)) {
        true => Ok(Some(text)),
        false => Err(foreign("was not written by `mathesar`")),
    }
}

/// Writes it and lets it count from the next login or boot on. True: something has changed.
pub fn switch_on(place: &Place, text: &str, environment: &Environment) -> Result<bool, Failure> {
    let before = existing(place)?;
    if !environment.macos {
        systemd::reachable()?;
    }
    let wanted = || environment.macos || place.is_wanted();
    if before.as_deref() == Some(text) && wanted() {
        return Ok(false);
    }
    if let Some(folder) = place.file.parent() {
        files::create_folder(folder)?;
    }
    files::write(&place.file, text.as_bytes())?;
    if environment.macos {
        return Ok(true);
    }
    let enabled = systemd::systemctl(true)
        .arg("daemon-reload")
        .run()
        .and_then(|_| systemd::systemctl(true).args(["enable", "--quiet"]).arg(&place.name).run());
    if let Err(failure) = enabled {
        // Half of it would be taken for the whole.
        if before.is_none() {
            let _ = fs::remove_file(&place.file);
        }
        return Err(failure);
    }
    Ok(true)
}

/// Takes it away; works without the service manager too. What runs goes on. True: it was there.
pub fn switch_off(place: &Place, environment: &Environment) -> Result<bool, Failure> {
    if existing(place)?.is_none() {
        return Ok(false);
    }
    if !environment.macos && systemd::is_booted() {
        // The link is removed below in any case.
        let _ = systemd::systemctl(true).args(["disable", "--quiet"]).arg(&place.name).output();
    }
    let link = place.file.parent().map(|folder| folder.join(WANTS).join(&place.name));
    for path in link.iter().filter(|_| !environment.macos).chain([&place.file]) {
        match fs::remove_file(path) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => {
                return Err(Failure::io("remove", path, cause));
            }
            _ => {}
        }
    }
    if !environment.macos && systemd::is_booted() {
        let _ = systemd::systemctl(true).arg("daemon-reload").output();
    }
    Ok(true)
}

/// Lets the user's services run without a login. True: that is new.
pub fn linger() -> Result<bool, (String, Failure)> {
    let name = systemd::user_name();
    if lingers(&name) {
        return Ok(false);
    }
    let program = Program::new("loginctl").args(["--no-ask-password", "enable-linger"]).arg(&name);
    match program.run() {
        Ok(_) => Ok(true),
        Err(failure) => Err((format!("sudo loginctl enable-linger {name}"), failure)),
    }
}

/// Whether the caller's services run without a login.
pub fn is_lingering() -> bool {
    lingers(&systemd::user_name())
}

fn lingers(name: &str) -> bool {
    Path::new("/var/lib/systemd/linger").join(name).exists()
}

/// This program by a name that stays when a package manager puts a newer one there: not Homebrew's folder of a version.
pub fn program(environment: &Environment) -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()
        .map_err(|cause| Failure::new("cannot tell where this program lies").cause(cause))?;
    let called = std::env::args_os().next().map(PathBuf::from).unwrap_or_default();
    let path = environment.get("PATH").cloned().unwrap_or_default();
    let by_name = match called.components().count() {
        0 => None,
        1 => std::env::split_paths(&path).map(|folder| folder.join(&called)).find(|path| path.is_file()),
        _ => Some(environment.current.join(&called)),
    };
    let same = |path: &PathBuf| path.is_absolute() && path.canonicalize().ok() == own.canonicalize().ok();
    Ok(by_name.filter(same).unwrap_or(own))
}
