//! `mathesar restore`

use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::app::handed;
use super::upgrade::cancelled_by_signals;
use super::{Context, PATIENCE, backup, walking};
use crate::backup::catalog::Known;
use crate::backup::create::{self, Options, Target};
use crate::backup::manifest::MadeBy;
use crate::backup::{catalog, staging};
use crate::control::{self, Lock};
use crate::database::existing_major;
use crate::failure::{Exit, Failure};
use crate::installation::Installation;
use crate::interrupt::{self, Listening};
use crate::layout::Scope;
use crate::relay::Input;
use crate::restore::{self, SETTINGS, Settings};
use crate::service_manager::Manager;
use crate::supervise::Request;
use crate::terminal::{Terminal, note, time, verb};
use crate::user;

/// Put a backup in the place of what is here
///
/// Into an empty installation or one that is in use, on this machine or another, by this user or another. It is unpacked and checked
/// first, and the release that it is of is installed, while Mathesar goes on. Then Mathesar is stopped, database, uploaded files and
/// secrets are exchanged, and it is started again if it ran. If any of it fails or is killed, everything is as it was before.
///
/// What is here is backed up before; besides, it is kept aside until the next upgrade or restore: `mathesar rollback` takes it back. The
/// backup's settings come into force only where there are none yet; else they are laid beside, in `restored-settings` in the state folder.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which one: a file, a folder (the newest in it), or its name in the folder of backups, as `mathesar backup list` says it
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Make no backup of what is here: where it is broken, for example
    #[arg(long)]
    without_backup: bool,

    /// The first half alone, for the launcher itself
    #[arg(long, hide = true, value_name = "ID")]
    prepare: Option<String>,

    /// The second half alone
    #[arg(long, hide = true, value_name = "ID", conflicts_with = "prepare")]
    apply: Option<String>,

    /// BACKUP is standard input already, opened by root
    #[arg(long, hide = true)]
    on_stdin: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    walking::refuse_under_way(&context.layout)?;
    if user::is_to_become_another(&context.layout, &context.environment) {
        return Ok(as_root(args, context)?);
    }
    user::ordinary(&context.layout, &context.environment)?;
    match (&args.prepare, &args.apply) {
        (Some(id), _) => {
            let _lock = restore::lock(&context.layout.state)?;
            Ok(prepare(args, context, restore::checked(id)?)?)
        }
        (_, Some(id)) => {
            // Without it, what was unpacked is nobody's, and swept.
            let _lock = restore::lock(&context.layout.state)?;
            Ok(apply(context, restore::checked(id)?)?)
        }
        _ => {
            let begun = Instant::now();
            let listening = Listening::begin();
            let _lock = restore::lock(&context.layout.state)?;
            let id = crate::transaction::new_id(&context.layout.state);
            prepare(args, context, &id)?;
            let ran = answers(context) || Manager::of(&context.layout, &context.environment).is_active();
            let stopped = super::stop::stop(context).and_then(|_| interrupt::check());
            // From here on it takes itself back, as a whole.
            drop(listening);
            if let Err(failure) = stopped {
                restore::discard(&context.layout.state, &id);
                if ran {
                    super::start::start(context)?;
                }
                return Err(failure.into());
            }
            let applied = apply(context, &id);
            let started = if ran { super::start::start(context) } else { Ok(()) };
            applied?;
            started?;
            let then = if ran { "" } else { "; `mathesar start` starts it" };
            verb("Restored", format_args!("{} in {}{then}", args.backup.display(), time(begun.elapsed())));
            Ok(())
        }
    }
}

fn answers(context: &Context) -> bool {
    control::ask_here(&context.layout, Request::Status, PATIENCE).is_ok()
}

/// Root stops and starts the service; everything in between is the service's user's.
fn as_root(args: &Args, context: &Context) -> Result<(), Failure> {
    user::make_all_folders(&context.layout, &context.environment);
    let id = crate::transaction::new_id(&context.layout.state);
    let half = |half: &str, file: Option<File>| -> Result<(), Failure> {
        let mut words: Vec<OsString> =
            vec!["restore".into(), args.backup.clone().into(), half.into(), id.clone().into()];
        for (option, given) in
            [("--yes", args.yes), ("--without-backup", args.without_backup), ("--on-stdin", file.is_some())]
        {
            words.extend(given.then(|| option.into()));
        }
        as_service_user(context, words, file)
    };
    let listening = Listening::begin();
    half("--prepare", handed::open(&args.backup))?;
    let manager = Manager::of(&context.layout, &context.environment);
    let managed = manager.is_active();
    let ran = managed || answers(context);
    let stopped = match managed {
        true => manager.stop(),
        // Also what a launcher has left that was killed. Never by this process: it would become the service's user.
        false => as_service_user(context, vec!["stop".into()], None),
    };
    let stopped = stopped.and_then(|()| interrupt::check());
    drop(listening);
    let applied = stopped.and_then(|()| half("--apply", None));
    let started = match (managed, ran) {
        (true, _) => super::start::start(context)
            .map_err(|error| error.downcast().unwrap_or_else(|other| Failure::new(other.to_string()))),
        (false, true) => as_service_user(context, vec!["start".into()], None),
        (false, false) => Ok(()),
    };
    applied.and(started)
}

fn as_service_user(context: &Context, words: Vec<OsString>, file: Option<File>) -> Result<(), Failure> {
    let mut program = user::as_service_user(false)?;
    program.command.args(context.global_args()).args(words);
    match program.run(file.map_or(Input::Ours, Input::File), None)? {
        0 => Ok(()),
        // What went wrong was said already.
        code => Err(Failure::told(Exit::of_code(code.into()), String::new())),
    }
}

fn prepare(args: &Args, context: &Context, id: &str) -> Result<(), Failure> {
    let installation = walking::settled(context.installation(false)?, "restore")?;
    let mut copy = None;
    let path = if args.on_stdin {
        let above = staging::above(&installation.layout.state);
        let made = copy.insert(handed::Copy::of(std::io::stdin().lock(), &args.backup, &above)?);
        made.found.path.clone()
    } else {
        find(args, context, &installation)?
    };
    let (manifest, _) = restore::look(&installation, &path)?;
    let has_database = !matches!(existing_major(&installation.database_folder()), Ok(None));
    let back_up = has_database && !args.without_backup;
    if restore::is_in_use(&installation) {
        confirm(args, &manifest.created, &manifest.app.version)?;
    }
    if back_up {
        create::existing(&installation).map_err(without)?;
        // One that is being made is to be waited for, not to be done without.
        drop(create::lock(&installation)?);
    }
    let terminal = Terminal::new();
    let prepared = restore::prepare(&installation, &path, id, &terminal);
    terminal.end();
    let prepared = prepared?;
    // Listed here from now on, wherever it lies.
    let shown = if args.on_stdin { context.environment.current.join(&args.backup) } else { path };
    let known = Known::new(&shown, None, &prepared.manifest);
    catalog::remember(&installation.layout.state, &prepared.digest, known)?;
    // Only now: a spoilt archive is refused before anything is done, and so it is of as late a moment as can be.
    if back_up {
        backup_of_what_is_here(context).inspect_err(|_| restore::discard(&installation.layout.state, id))?;
    }
    Ok(())
}

/// The archive that is meant: a file, or one that is listed.
fn find(args: &Args, context: &Context, installation: &Installation) -> Result<PathBuf, Failure> {
    let here = context.environment.current.join(&args.backup);
    match here.metadata() {
        Ok(found) if found.is_file() => Ok(here),
        Ok(found) if found.is_dir() => catalog::find(installation, Some(&here)),
        Err(cause) if cause.kind() == ErrorKind::PermissionDenied => {
            Err(Failure::io("read", &here, cause).exit(Exit::Refused).help(
                "who restores it has to be able to read it; root names it by a path without links: `readlink -f FILE`",
            ))
        }
        _ => catalog::find(installation, Some(&args.backup)),
    }
}

fn confirm(args: &Args, created: &str, version: &str) -> Result<(), Failure> {
    if args.yes {
        return Ok(());
    }
    let what = format!("the present data would be replaced by those of {created} (Mathesar {version})");
    let refused = Failure::new(format!("nothing was done: {what}")).exit(Exit::Refused).help(format!(
        "say that this is meant: `mathesar restore --yes {}`",
        crate::cure::path(&args.backup)
    ));
    // With the archive as standard input, nobody can answer.
    match args.on_stdin {
        true => Err(refused),
        false => crate::prompt::agreed(&format!("Go on? {}", capital(&what)), refused),
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

fn backup_of_what_is_here(context: &Context) -> Result<(), Failure> {
    let made = (|| {
        let installation = context.installation(false)?;
        let release = create::existing(&installation)?;
        let folder = catalog::folder(&installation);
        let note = Some("what was there before a restore".to_owned());
        let options = Options { to: Target::Folder(&folder), note, made_by: MadeBy::Restore };
        let terminal = Terminal::new();
        let made = backup::create::of_cluster(installation, context, &release, options, &terminal);
        terminal.end();
        made
    })();
    made.map(drop).map_err(without)
}

fn without(failure: Failure) -> Failure {
    failure.help(
        "where what is here is broken, restore without a backup of it: `mathesar restore --without-backup …`; it is kept aside all the same",
    )
}

fn apply(context: &Context, id: &str) -> Result<(), Failure> {
    let installation = context.installation(false)?;
    let state = installation.layout.state.clone();
    let _lock = Lock::take(&state, "restore")?;
    if let Some(recovered) = crate::transaction::recover(&state)? {
        note(&recovered.text);
    }
    let terminal = Terminal::new();
    let sink = walking::sink(&installation)?;
    let applied = restore::apply(&installation, id, &terminal, &sink, &cancelled_by_signals());
    terminal.end();
    let applied = applied?;
    let version = &applied.manifest.app.version;
    verb("Restored", format_args!("Mathesar {version} and its data of {}", applied.manifest.created));
    match &applied.settings {
        Settings::InForce => {
            note("the backup's settings are in force here, too: `mathesar config show --origin`")
        }
        Settings::Beside(why) => beside(context, why, &state.join(SETTINGS)),
        Settings::None => {}
    }
    if applied.replaced {
        note(
            "what was here before is kept aside until the next upgrade or restore: `mathesar rollback` takes it back",
        );
    }
    if applied.held {
        let pinned = &installation.pinned.version;
        let then = match crate::steps::compare(pinned, version) {
            std::cmp::Ordering::Less => format!("this launcher brings {pinned}, which is older"),
            _ => format!("`mathesar upgrade` brings this launcher's, {pinned}"),
        };
        note(format_args!("Mathesar {version} is held, the release that the backup is of; {then}"));
    }
    Ok(())
}

/// Nothing is taken from them by itself: how to.
fn beside(context: &Context, why: &str, folder: &Path) {
    let sudo = if context.layout.scope == Scope::System { "sudo " } else { "" };
    note(format_args!("the backup's settings are not in force, as {why}; they lie in {}", folder.display()));
    let (own, file) =
        (crate::cure::path(&context.layout.config), crate::cure::path(&folder.join("mathesar.conf")));
    let folder = crate::cure::path(folder);
    let differs = match context.layout.config.is_dir() {
        true => format!("what differs: `{sudo}diff -r {own} {folder}`"),
        false => format!("see them: `{sudo}cat {file}`; here there are none yet"),
    };
    note(format_args!(
        "{differs}; take over what you need: `{sudo}mathesar config set NAME VALUE`, then `{sudo}mathesar restart`"
    ));
}
