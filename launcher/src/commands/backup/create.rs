//! `mathesar backup create`

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::prune;
use crate::app::store::Installed;
use crate::backup::catalog;
use crate::backup::create::{self, Made, Options, Target};
use crate::backup::manifest::{MadeBy, lacking};
use crate::backup::moment;
use crate::backup::place::{self, Unfinished};
use crate::backup::{base::Verified, logical};
use crate::commands::{Context, walking};
use crate::failure::{Exit, Failure};
use crate::installation::Installation;
use crate::interrupt::Listening;
use crate::relay::Input;
use crate::steps::Step;
use crate::terminal::{Terminal, size, time};
use crate::user;

/// Make a backup of everything
///
/// One archive holds the database with all its roles, uploaded files, secrets, settings and the release itself, and beside them a portable
/// copy of each database that any PostgreSQL of this major or a newer one reads. Mathesar may run or be stopped. The archive appears under
/// its name only when it is whole, and after it was restored once to see that it can be.
///
/// Where a database on a server of your own (`database.url`) could not be read, the archive of the others is kept, and it ends with 1.
///
/// It holds the secret key and the passwords of all roles: keep it as safe as the data.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Put it in this folder
    ///
    /// Else in `backup.directory`, or in `backups` in the state folder. As root it may be one that the service's user cannot write to.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,

    /// Why it was made; `backup list` shows it
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,

    /// As one JSON object, for scripts
    ///
    /// At least: `path`, `created`, `bytes`, `digest` (SHA-256), `seconds`, `lacks` (array: databases that belong into it and could not be read).
    #[arg(long)]
    json: bool,

    #[arg(long, hide = true, value_name = "WHO", default_value = "person", value_parser = ["person", "timer"])]
    made_by: String,

    /// The archive is standard input, opened by root, who names it so
    #[arg(long, hide = true, value_name = "PATH")]
    handed: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let _listening = Listening::begin();
    if let Some(folder) = &args.to
        && user::is_to_become_another(&context.layout, &context.environment)
    {
        as_root(args, &absolute(folder, context), context)?;
        return Ok(());
    }
    user::ordinary(&context.layout, &context.environment)?;
    let installation = walking::settled(context.installation(false)?, "backup create")?;
    let release = create::existing(&installation)?;
    let folder = args.to.as_ref().map(|folder| absolute(folder, context));
    let folder = folder.unwrap_or_else(|| catalog::folder(&installation));
    place::refuse_inside(
        args.handed.as_deref().and_then(Path::parent).unwrap_or(&folder),
        &context.layout.state,
    )?;
    let to = match &args.handed {
        Some(path) => Target::Handed { file: from_stdin()?, path },
        None => Target::Folder(&folder),
    };
    let made_by = if args.made_by == "timer" { MadeBy::Timer } else { MadeBy::Person };
    let options = Options { to, note: args.note.clone(), made_by };
    let terminal = Terminal::new();
    let made = match installation.is_external() {
        true => logical::create(&installation, &release, options, &terminal),
        false => of_cluster(installation, context, &release, options, &terminal),
    };
    terminal.end();
    let made = made?;
    match args.json {
        true => crate::commands::print_json(&to_json(&made))?,
        false => crate::commands::print_report(&text(&made))?,
    }
    let whole = whole(&made);
    // Its unit ends at the first command that fails, and never comes to the one that removes old ones.
    if whole.is_err() && made_by == MadeBy::Timer {
        prune::run(&prune::Args { dry_run: false }, context)?;
    }
    Ok(whole?)
}

/// One that lacks a database is better than none, and no success: nobody reads the notes of a timer.
fn whole(made: &Made) -> Result<(), Failure> {
    let Some(lacks) = lacking(made.lacks.iter().map(|lack| lack.database.as_str())) else { return Ok(()) };
    let why: Vec<String> = made.lacks.iter().map(|lack| format!("{}: {}", lack.database, lack.why)).collect();
    Err(Failure::new(format!("{} is incomplete: {lacks}", made.path.display()))
        .cause(why.join("\n             "))
        .help("let the role of `database.url` read every table there, then make it again: `mathesar backup create`"))
}

/// A server that runs, whoever has started it, is used as it is; else one is started for the time.
pub(in crate::commands) fn of_cluster(
    installation: Installation,
    context: &Context,
    release: &Installed,
    options: Options<'_>,
    terminal: &Terminal,
) -> Result<Made, Failure> {
    let cluster = installation.existing_cluster()?;
    if let Some(cluster) = &cluster
        && let Some(mut running) = cluster.adopt()
    {
        let limit =
            installation.config.duration("database.start-timeout").unwrap_or(Duration::from_secs(300));
        cluster.wait_ready(&mut running, limit)?;
        return create::create(&installation, cluster, release, options, terminal);
    }
    // Refused before a server is started for it.
    drop(create::lock(&installation)?);
    let walked = walking::walk_as(context, "backup create", &[Step::Database], true)?;
    let cluster = walked.world.cluster().ok_or_else(|| Failure::new("there is no database yet"))?;
    create::create(&walked.world.installation, &cluster, release, options, terminal)
}

fn text(made: &Made) -> String {
    let took: Vec<String> = made.took.iter().map(|(what, took)| format!("{what} {}", time(*took))).collect();
    let whole = made.took.iter().map(|(_, took)| *took).sum();
    format!(
        "{}\n{}, of {} of data: {} databases, {} tables, {} rows; in {} ({})\n",
        made.path.display(),
        size(made.bytes),
        size(made.copied),
        made.databases,
        made.tables,
        made.rows,
        time(whole),
        took.join(", ")
    )
}

fn to_json(made: &Made) -> Value {
    let took: serde_json::Map<String, Value> =
        made.took.iter().map(|(what, took)| ((*what).to_owned(), json!(took.as_secs_f64()))).collect();
    json!({
        "path": made.path.display().to_string(),
        "created": made.created,
        "bytes": made.bytes,
        "digest": made.digest,
        "copied": made.copied,
        "databases": made.databases,
        "tables": made.tables,
        "rows": made.rows,
        "lacks": made.lacks.iter().map(|lack| &lack.database).collect::<Vec<_>>(),
        "pg_verifybackup": made.verified == Verified::Yes,
        "seconds": made.took.iter().map(|(_, took)| took.as_secs_f64()).sum::<f64>(),
        "took": took,
    })
}

/// Root opens the file, which the service's user may not, and names it when that one has written it whole.
fn as_root(args: &Args, folder: &Path, context: &Context) -> Result<(), Failure> {
    user::make_run_folder(&context.layout);
    if !folder.is_dir() {
        return Err(Failure::new(format!("{} is no folder", folder.display()))
            .exit(Exit::Usage)
            .help(format!("make it: `install -d -m 700 {}`", crate::cure::path(folder))));
    }
    // The service's user writes it down under this name; a second archive of the same second is named otherwise.
    let version = crate::commands::status::current(&context.layout).map(|(version, _)| version);
    let stem = place::stem(&version.unwrap_or_default(), &moment::text(SystemTime::now()));
    let unfinished = Unfinished::new(folder, &stem)?;
    let mut program = user::as_service_user(false)?;
    let command = &mut program.command;
    let words: [OsString; 4] =
        ["backup".into(), "create".into(), "--handed".into(), unfinished.first_name().into_os_string()];
    command.args(context.global_args()).args(words);
    command.args(["--made-by", &args.made_by]).args(args.json.then_some("--json"));
    if let Some(note) = &args.note {
        command.arg("--note").arg(note);
    }
    let told = match program.run(Input::File(unfinished.file()?), None)? {
        0 => Ok(()),
        // What went wrong was said already.
        code => Err(Failure::told(Exit::of_code(code.into()), String::new())),
    };
    // One that is incomplete is sealed like any other.
    if told.is_err() && !unfinished.is_incomplete() {
        return told;
    }
    unfinished.place().and(told)
}

fn from_stdin() -> Result<File, Failure> {
    let failed = |cause| Failure::new("cannot take the archive's file from standard input").cause(cause);
    let file = File::from(std::io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
    let regular = file.metadata().map_err(failed)?.is_file();
    regular
        .then_some(file)
        .ok_or_else(|| Failure::new("`--handed` is for the launcher itself").exit(Exit::Usage))
}

fn absolute(folder: &Path, context: &Context) -> PathBuf {
    context.environment.current.join(folder)
}
