//! `cargo xtask soak`: the launcher killed many more times than the tests do it.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;
use crate::{shell, ui};

/// Kill the launcher and what it runs at random moments: always it has to come back, with every row
///
/// The same tests as in `cargo xtask test`, with more kills: PostgreSQL, gunicorn, the launcher and all of them, while it
/// starts, while it runs, during the first start, and during upgrades, restores and backups; and `release apply`. About 6 seconds a kill.
/// Then, without `--only`, one request of 65 seconds through Caddy and nginx.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How many kills, of all kinds together
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..))]
    count: u32,
    /// Choose moments and victims as a run with this seed did
    #[arg(long)]
    seed: Option<u64>,
    /// Only kills of this kind, all of them
    #[arg(long, value_enum)]
    only: Option<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    /// While it starts and while it runs
    Run,
    Upgrade,
    Restore,
    Backup,
    /// `cargo xtask release apply`, to stand-ins for every channel
    Release,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Run, Kind::Upgrade, Kind::Restore, Kind::Backup, Kind::Release];

    fn name(self) -> &'static str {
        match self {
            Kind::Run => "run",
            Kind::Upgrade => "upgrade",
            Kind::Restore => "restore",
            Kind::Backup => "backup",
            Kind::Release => "release",
        }
    }

    /// The package, and the tests' program in it.
    fn program(self) -> &'static [&'static str] {
        match self {
            Kind::Release => &["xtask", "--bin", "xtask"],
            _ => &["mathesar", "--test", "whole"],
        }
    }

    /// The tests whose names hold this.
    fn filter(self) -> &'static str {
        match self {
            // Not `killed`, which others' names begin with.
            Kind::Run => "kill::",
            Kind::Upgrade => "upgrade::killed_at_random",
            Kind::Restore => "restore::killed_at_random",
            Kind::Backup => "backup_faults::killed_at_any",
            Kind::Release => "release::tests::kills::killed_at_random",
        }
    }

    /// Of all kills: most where most can go wrong.
    fn share(self, count: u32) -> u32 {
        let (upgrade, restore, backup, release) = (count * 3 / 10, count / 5, count / 10, count / 10);
        match self {
            Kind::Run => count - upgrade - restore - backup - release,
            Kind::Upgrade => upgrade,
            Kind::Restore => restore,
            Kind::Backup => backup,
            Kind::Release => release,
        }
    }
}

pub(crate) fn run(args: &Args, workspace: &Workspace) -> Result<()> {
    let begun = Instant::now();
    let mut tally = Tally::default();
    let mut failed = None;
    for kind in Kind::ALL.into_iter().filter(|kind| args.only.is_none_or(|only| only == *kind)) {
        let kills = args.only.map_or_else(|| kind.share(args.count), |_| args.count);
        let before = tally.kills();
        let success = tests(kind, kills, args.seed, workspace, &mut tally)?;
        if !success || tally.kills() == before {
            let seed = tally.seed.map_or(String::new(), |seed| format!(" --seed {seed}"));
            let why = if success { "killed nothing" } else { "failed" };
            let again = format!("cargo xtask soak --only {} --count {}{seed}", kind.name(), kills.max(20));
            failed = Some((kind, why, again));
            break;
        }
    }
    anstream::print!("\n{}", tally.table());
    for words in &tally.words {
        anstream::println!("{words}");
    }
    if let Some((kind, why, again)) = failed {
        bail!("the kill tests of kind `{}` {why}: see above\nhelp: {again}", kind.name());
    }
    if args.only.is_none() {
        longest(workspace)?;
    }
    let minutes = begun.elapsed().as_secs() / 60;
    ui::verb("Finished", format!("{} kills in {minutes} min", tally.kills()));
    Ok(())
}

/// What takes too long for `cargo xtask test`, though nothing is killed: a request of more than a minute, through proxies.
fn longest(workspace: &Workspace) -> Result<()> {
    const NAME: &str = "through::a_request_that_takes_longer_than_a_minute_passes";
    let args =
        ["test", "--locked", "--package", "mathesar", "--test", "proxy", "--", "--exact", NAME, "--ignored"];
    ui::verb("Running", format!("`{NAME}`"));
    let status = Command::new(shell::cargo())
        .args(args)
        .arg("--nocapture")
        .current_dir(&workspace.root)
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("a request of more than a minute did not pass: see above\nhelp: cargo {}", args.join(" "));
    }
    Ok(())
}

/// One kind's tests; whether they succeeded.
fn tests(
    kind: Kind,
    kills: u32,
    seed: Option<u64>,
    workspace: &Workspace,
    tally: &mut Tally,
) -> Result<bool> {
    let mut cargo = Command::new(shell::cargo());
    cargo.args(["test", "--locked", "--package"]).args(kind.program()).args([kind.filter(), "--"]);
    // One after another: two at once would only slow each other down, and mix their words.
    cargo.args(["--nocapture", "--test-threads=1"]).current_dir(&workspace.root);
    cargo.env("MATHESAR_SOAK", kills.to_string());
    if let Some(seed) = seed {
        cargo.env("MATHESAR_SEED", seed.to_string());
    }
    ui::verb("Running", format!("the kill tests of kind `{}` with {kills} kills", kind.name()));
    let mut child = cargo.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run cargo")?;
    let said = child.stdout.take().context("cargo has no standard output")?;
    for line in BufReader::new(said).lines() {
        let line = line.context("cannot read what the tests say")?;
        anstream::println!("{line}");
        tally.line(&line);
    }
    let status = child.wait().context("cannot wait for cargo")?;
    tally.end(status.success());
    Ok(status.success())
}

/// What was killed when, and how often it came back. The tests say a line before they look.
#[derive(Debug, Default)]
struct Tally {
    counts: BTreeMap<(String, String), Count>,
    /// The kill that nobody has looked at yet.
    open: Option<(String, String)>,
    seed: Option<u64>,
    words: Vec<String>,
}

#[derive(Debug, Default)]
struct Count {
    kills: u32,
    back: u32,
}

impl Tally {
    fn line(&mut self, line: &str) {
        // The harness says `test NAME ... ` in front of a test's first line.
        let line = line.rsplit_once(" ... ").map_or(line, |(_, rest)| rest);
        if let Some((moment, victim)) = kill(line) {
            self.close(true);
            self.counts.entry((moment.clone(), victim.clone())).or_default().kills += 1;
            self.open = Some((moment, victim));
        } else if let Some(rest) = line.strip_prefix("MATHESAR_SEED=") {
            self.seed = rest.split(' ').next().and_then(|seed| seed.parse().ok());
        } else if line == "ok" || line.starts_with("FAILED") || line.ends_with("FAILED") {
            self.close(line == "ok");
        } else if line.contains("none lost")
            || line.starts_with("not run: ")
            || line.starts_with("came back with ")
        {
            self.words.push(line.to_owned());
        }
    }

    fn close(&mut self, back: bool) {
        if let Some(kill) = self.open.take()
            && back
        {
            self.counts.entry(kill).or_default().back += 1;
        }
    }

    fn end(&mut self, success: bool) {
        self.close(success);
    }

    fn kills(&self) -> u32 {
        self.counts.values().map(|count| count.kills).sum()
    }

    fn table(&self) -> String {
        let row = |moment: &str, victim: &str, count: &Count| {
            let lost = count.kills - count.back;
            let outcome = match lost {
                0 => "all came back".to_owned(),
                lost => format!("{lost} did NOT come back"),
            };
            vec![moment.to_owned(), victim.to_owned(), count.kills.to_string(), outcome]
        };
        let mut rows: Vec<Vec<String>> =
            self.counts.iter().map(|((moment, victim), count)| row(moment, victim, count)).collect();
        let all = Count { kills: self.kills(), back: self.counts.values().map(|count| count.back).sum() };
        rows.push(row("together", "", &all));
        crate::table::render(&["killed while", "victim", "count", "outcome"], rows)
    }
}

/// `3: running, Gunicorn (1 processes) after 17 ms`, `first start, 0: Any (1 of 5) after 200 ms`, `3: upgrade to 2.0.0,
/// Everything (9 processes) after 17 ms`, or of a backup `3: all killed after 17 ms; []`.
fn kill(line: &str) -> Option<(String, String)> {
    let (head, rest) = line.split_once(": ")?;
    if let Some((victim, after)) = rest.split_once(" killed after ") {
        head.parse::<u32>().ok()?;
        let victim = if victim == "all" { "Everything" } else { "Launcher" };
        return after.contains(" ms").then(|| ("backup".to_owned(), victim.to_owned()));
    }
    let (moment, victim) = match head.strip_prefix("first start, ") {
        Some(number) => {
            number.parse::<u32>().ok()?;
            ("first start", rest)
        }
        None => {
            head.parse::<u32>().ok()?;
            rest.split_once(", ")?
        }
    };
    let victim = victim.split_once(" (")?.0;
    rest.contains(" after ").then(|| (moment.to_owned(), victim.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(text: &str, success: bool) -> Tally {
        let mut tally = Tally::default();
        text.lines().for_each(|line| tally.line(line));
        tally.end(success);
        tally
    }

    const SAID: &str = "\
test kill::killed_during_the_first_start ... MATHESAR_SEED=77 MATHESAR_SOAK=8
first start, 0: Any (1 of 5) after 200 ms
first start, 1: Everything (9 of 9) after 3411 ms
ok
test kill::killed_while_it_runs_and_while_it_starts ... MATHESAR_SEED=77 MATHESAR_SOAK=8
0: running, Launcher (1 processes) after 17 ms
1: starting, Everything (3 processes) after 170 ms
2: running, Launcher (1 processes) after 1 ms
";

    #[test]
    fn kills_are_counted() {
        let tally = tally(&format!("{SAID}123 rows acknowledged, none lost\nok\n"), true);
        assert_eq!((tally.kills(), tally.seed), (5, Some(77)));
        insta::assert_snapshot!(tally.table());
        assert_eq!(tally.words, ["123 rows acknowledged, none lost"]);
    }

    #[test]
    fn the_last_before_a_failure_did_not_come_back() {
        let tally = tally(&format!("{SAID}thread 'x' panicked: lost rows: [3]\nFAILED\n"), false);
        let text = tally.table();
        assert!(text.contains("running       Launcher    2      1 did NOT come back"), "{text}");
        assert!(text.contains("first start   Everything  1      all came back"), "{text}");
    }

    #[test]
    fn kills_of_transactions_are_counted_too() {
        let said = "\
test upgrade::killed_at_random_moments_of_an_upgrade ... MATHESAR_SEED=7 MATHESAR_SOAK=2
0: upgrade to 2.0.0, Everything (9 processes) after 2311 ms
1: upgrade to 3.0.0, Everything (11 processes) after 17 ms
came back with {\"1.0.0\": 2}
ok
0: restore, Everything (12 processes) after 90 ms
0: all killed after 12 ms; []
1: the launcher killed after 13 ms; [\"a.tar.zst\"]
ok
";
        let tally = tally(said, true);
        assert_eq!(tally.kills(), 5);
        assert_eq!(tally.words, ["came back with {\"1.0.0\": 2}"]);
        let text = tally.table();
        for moment in ["upgrade to 2.0.0", "upgrade to 3.0.0", "restore", "backup"] {
            assert!(text.contains(moment), "{text}");
        }
        assert!(!text.contains("NOT"), "{text}");
    }

    #[test]
    fn the_kinds_together_make_the_count() {
        for count in [20, 37, 200, 1001] {
            assert_eq!(Kind::ALL.iter().map(|kind| kind.share(count)).sum::<u32>(), count);
            assert!(Kind::ALL.iter().all(|kind| kind.share(count) > 0));
        }
    }
}
