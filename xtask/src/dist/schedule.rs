//! Builds channels side by side, each as soon as those it needs are there. What is built is kept below `target/xtask` and
//! taken from there while its inputs stay the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use walkdir::WalkDir;

use crate::artifact::Artifacts;
use crate::channel::{Channel, Context};
use crate::digest;
use crate::files::{remove, replace_file};
use crate::manifest::{Package, Target};
use crate::tools::Tools;
use crate::ui;
use crate::workspace::Workspace;

/// What all channels of one run have in common.
pub(crate) struct Job<'a> {
    pub workspace: &'a Workspace,
    pub package: &'a Package,
    pub artifacts: &'a Artifacts,
    pub target: Target,
    pub tools: &'a Tools,
    pub inputs: &'a BTreeMap<&'static str, String>,
}

/// A channel's files, ready to be published.
#[derive(Debug)]
pub(crate) struct Built {
    pub channel: &'static str,
    pub folder: PathBuf,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Done,
    Failed,
}

/// What the channels' threads share.
struct Board<'a> {
    states: Mutex<BTreeMap<&'static str, State>>,
    changed: Condvar,
    bar: &'a ProgressBar,
}

/// Builds `channels`, which come in an order in which each stands after those it needs.
pub(crate) fn run(job: &Job<'_>, channels: &[&'static Channel], forced: &[&str]) -> Result<Vec<Built>> {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner:>12.green} {msg} ({elapsed})") {
        bar.set_style(style);
    }
    let states = channels.iter().map(|channel| (channel.name, State::Waiting)).collect();
    let board = Board { states: Mutex::new(states), changed: Condvar::new(), bar: &bar };
    let results: Vec<Result<Built>> = std::thread::scope(|scope| {
        let threads: Vec<_> = channels
            .iter()
            .map(|channel| scope.spawn(|| build_in_turn(job, channel, forced, &board)))
            .collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Result<Built>>| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        threads.into_iter().map(join).collect()
    });
    bar.finish_and_clear();
    let mut built = Vec::new();
    let mut failed = Vec::new();
    for (channel, result) in channels.iter().zip(results) {
        match result {
            Ok(done) => built.push(done),
            Err(error) => {
                ui::error(&error.context(format!("cannot build {}", channel.name)));
                failed.push(channel.name);
            }
        }
    }
    match failed.is_empty() {
        true => Ok(built),
        false => bail!("nothing was published: {} could not be built", failed.join(", ")),
    }
}

fn build_in_turn(
    job: &Job<'_>,
    channel: &'static Channel,
    forced: &[&str],
    board: &Board<'_>,
) -> Result<Built> {
    let mut end = End { board, channel: channel.name, state: State::Failed };
    let result = board
        .wait_for(channel.needs)
        .and_then(|()| build(job, channel, forced.contains(&channel.name), board));
    if result.is_ok() {
        end.state = State::Done;
    }
    result
}

/// Tells how a channel ended; also after a panic, as those who need it would wait for ever.
struct End<'a> {
    board: &'a Board<'a>,
    channel: &'static str,
    state: State,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.board.set(self.channel, self.state);
    }
}

impl Board<'_> {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, State>> {
        // A thread that panicked has left a map of states behind that is still a map of states.
        self.states.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, channel: &'static str, state: State) {
        let mut states = self.lock();
        states.insert(channel, state);
        let open: Vec<&str> =
            states.iter().filter(|(_, state)| **state == State::Waiting).map(|(name, _)| *name).collect();
        self.bar.set_message(open.join(", "));
        self.changed.notify_all();
    }

    fn wait_for(&self, needs: &[&'static str]) -> Result<()> {
        let mut states = self.lock();
        loop {
            if let Some(failed) = needs.iter().find(|name| states.get(*name) == Some(&State::Failed)) {
                bail!("{failed}, which it is made from, could not be built");
            }
            if needs.iter().all(|name| states.get(name) == Some(&State::Done)) {
                return Ok(());
            }
            states = self.changed.wait(states).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn say(&self, verb: &str, what: impl std::fmt::Display) {
        self.bar.suspend(|| ui::verb(verb, what));
    }
}

fn build(job: &Job<'_>, channel: &'static Channel, force: bool, board: &Board<'_>) -> Result<Built> {
    let base = |name: &str| job.workspace.target.join("xtask").join(job.target.triple()).join(name);
    let folder = base(channel.name);
    let (out, work, stamp) = (folder.join("out"), folder.join("work"), folder.join("stamp"));
    let inputs =
        job.inputs.get(channel.name).with_context(|| format!("no inputs are known of {}", channel.name))?;
    if !force && is_current(&out, &stamp, inputs) {
        board.say("Fresh", channel.name);
        return Ok(Built { channel: channel.name, folder: out });
    }
    board.say("Building", channel.name);
    board.bar.enable_steady_tick(Duration::from_millis(200));
    let started = Instant::now();
    for old in [&stamp, &out, &work] {
        remove(old)?;
    }
    for new in [&out, &work] {
        fs::create_dir_all(new).with_context(|| format!("cannot create {}", new.display()))?;
    }
    let needed: Vec<PathBuf> = channel.needs.iter().map(|name| base(name).join("out")).collect();
    (channel.build)(&Context {
        package: job.package,
        artifacts: job.artifacts,
        target: job.target,
        work: &work,
        out: &out,
        needed: &needed,
        tools: job.tools,
    })?;
    replace_file(&stamp, &format!("{inputs}\n{}\n", contents(&out)?))?;
    board.say("Built", format_args!("{} in {:.1} s", channel.name, started.elapsed().as_secs_f64()));
    Ok(Built { channel: channel.name, folder: out })
}

/// Whether the files of an earlier build are of the same inputs and as they were then.
fn is_current(out: &Path, stamp: &Path, inputs: &str) -> bool {
    let Ok(text) = fs::read_to_string(stamp) else {
        return false;
    };
    let Ok(contents) = contents(out) else {
        return false;
    };
    text == format!("{inputs}\n{contents}\n")
}

fn contents(out: &Path) -> Result<String> {
    let mut parts = digest::Parts::default();
    parts.add_path(out, ".")?;
    Ok(parts.finish())
}

/// The files of a channel, relative to its folder.
pub(crate) fn files(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        if entry.file_type().is_file() {
            let relative = entry.path().strip_prefix(folder).unwrap_or(entry.path());
            files.push(relative.to_string_lossy().into_owned());
        }
    }
    Ok(files)
}
