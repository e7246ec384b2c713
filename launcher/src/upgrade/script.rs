//! What is done in a release's own Python: migrations, its SQL in connected databases, a write and a read.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::app::store::Installed;
use crate::application::{self, Variables};
use crate::failure::Failure;
use crate::progress::Progress;
use crate::supervise::Cancel;
use crate::supervise::child::thread;
use crate::supervise::log::Sink;

const SCRIPT: &str = include_str!("script.py");

/// For one database that does not answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// For the connection alone, in libpq's variable.
const CONNECT: &str = "10";

/// Which databases get the release's SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sql {
    None,
    All,
    /// Those on other servers than the private cluster.
    Others,
}

/// What it is to do.
#[derive(Debug, Clone)]
pub struct Request {
    pub migrate: bool,
    pub sql: Sql,
    pub write: bool,
    /// The private cluster's socket folder, as Mathesar knows it.
    pub own_host: Option<String>,
}

/// One connected database, and how its SQL went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    pub name: String,
    pub host: String,
    pub own: bool,
    /// None: it has the release's SQL.
    pub why: Option<String>,
    /// It was reached, and the SQL itself failed.
    pub broken: bool,
}

#[derive(Debug, Default)]
pub struct Answer {
    pub databases: Vec<Database>,
    /// What was under way when it ended.
    last: &'static str,
    complete: bool,
}

/// Runs it to its end, this long at most; what the application says goes to the log.
pub fn run(
    release: &Installed,
    variables: &Variables,
    request: &Request,
    limit: Duration,
    cancel: &Cancel,
    sink: &Arc<dyn Sink>,
    progress: &dyn Progress,
) -> Result<Answer, Failure> {
    let python = application::interpreter(&release.path);
    let failed = |cause| Failure::new(format!("cannot run {}", python.display())).cause(cause);
    let mut command = application::program(&release.path, variables)
        .args(["-c", SCRIPT])
        .env("PGCONNECT_TIMEOUT", CONNECT)
        .into_command();
    crate::raw::before_exec(&mut command, Vec::new(), Signal::KILL);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = Group(command.spawn().map_err(failed)?);
    let question = json!({
        "migrate": request.migrate,
        "sql": match request.sql { Sql::None => Value::Null, Sql::All => json!("all"), Sql::Others => json!("others") },
        "write": request.write,
        "own_host": request.own_host,
        "writes": crate::database::WRITES,
        "patience": PATIENCE.as_secs_f64(),
    });
    if let Some(mut input) = child.0.stdin.take() {
        // One that ends early says why by its status.
        let _ = input.write_all(question.to_string().as_bytes());
    }
    let words = child.0.stderr.take();
    let (last, log) = (Arc::new(std::sync::Mutex::new(String::new())), Arc::clone(sink));
    let said = Arc::clone(&last);
    thread("upgrade-log".to_owned(), move || {
        for line in
            words.into_iter().flat_map(|words| BufReader::new(words).split(b'\n')).map_while(Result::ok)
        {
            let line = String::from_utf8_lossy(&line).into_owned();
            log.line("upgrade", &line);
            if says_something(&line) {
                *said.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = line;
            }
        }
    })?;
    let (sender, lines) = mpsc::channel();
    let output = child.0.stdout.take();
    thread("upgrade-answers".to_owned(), move || {
        for line in output.into_iter().flat_map(|output| BufReader::new(output).lines()).map_while(Result::ok)
        {
            let _ = sender.send(line);
        }
    })?;
    let end = Instant::now() + limit;
    let mut answer = Answer::default();
    loop {
        match lines.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => answer.take(&serde_json::from_str(&line).unwrap_or_default(), progress),
            Err(mpsc::RecvTimeoutError::Disconnected) => break,
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        let given_up = match (cancel.cancelled(), Instant::now() >= end) {
            (true, _) => "it was told to stop".to_owned(),
            (_, true) => format!("it was not done within {} s", limit.as_secs()),
            _ => continue,
        };
        drop(child);
        return Err(Failure::new(answer.what(release)).cause(given_up));
    }
    let status = child.0.wait().map_err(failed)?;
    if answer.complete {
        return Ok(answer);
    }
    // The reader of its words is a moment behind.
    std::thread::sleep(Duration::from_millis(100));
    let last = last.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    Err(Failure::new(answer.what(release))
        .cause(if last.is_empty() { status.to_string() } else { last })
        .help("all of its words: `mathesar logs`"))
}

/// The write and the read alone, for a server that is thrown away.
pub fn write_and_read(release: &Path, variables: &Variables) -> Result<(), Failure> {
    let question =
        json!({ "migrate": false, "sql": Value::Null, "write": true, "own_host": Value::Null, "writes": "" });
    application::program(release, variables)
        .args(["-c", SCRIPT])
        .env("PGCONNECT_TIMEOUT", CONNECT)
        .input(question.to_string())
        .output()
        .and_then(|output| match output.status.success() {
            true => Ok(()),
            false => {
                let said = String::from_utf8_lossy(&output.stderr);
                let last = said.lines().rfind(|line| says_something(line)).unwrap_or_default();
                Err(Failure::new("it could not write and read").cause(format!("{}: {last}", output.status)))
            }
        })
}

impl Answer {
    fn take(&mut self, line: &Value, progress: &dyn Progress) {
        let text = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
        match (line["begin"].as_str(), line["done"].as_str()) {
            (Some("migrate"), _) => {
                self.last = "migrate";
                progress.start("Bringing Mathesar's tables up to date");
            }
            (Some("sql"), _) => {
                self.last = "sql";
                progress.start(&format!("Installing Mathesar's SQL in {}", text("database")));
            }
            (Some("write"), _) => self.last = "write",
            (_, Some("migrate")) => progress.done("Migrated Mathesar's own tables"),
            (_, Some("sql")) => {
                let database = Database {
                    name: text("database"),
                    host: text("host"),
                    own: line["own"] == true,
                    why: (line["ok"] != true).then(|| text("why")),
                    broken: line["broken"] == true,
                };
                match &database.why {
                    None => progress.done(&format!("Installed Mathesar's SQL in {}", database.name)),
                    Some(why) => progress.note(&format!(
                        "database {} at {} did not get Mathesar's SQL: {why}",
                        database.name, database.host
                    )),
                }
                self.databases.push(database);
            }
            (_, Some("all")) => self.complete = true,
            _ => {}
        }
    }

    fn what(&self, release: &Installed) -> String {
        let version = &release.version;
        match self.last {
            "migrate" => format!("the migrations of Mathesar {version} failed"),
            "sql" => format!("the SQL of Mathesar {version} could not be installed"),
            "write" => format!("Mathesar {version} could not write and read"),
            _ => format!("Mathesar {version} could not be loaded"),
        }
    }
}

/// Not where in a statement PostgreSQL found it.
fn says_something(line: &str) -> bool {
    !line.trim_matches([' ', '^']).is_empty() && !line.starts_with("LINE ")
}

/// Its whole group ends with this.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if self.0.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = kill_process_group(Pid::from_child(&self.0), Signal::KILL);
            let _ = self.0.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_into_a_statement_is_no_cause() {
        for (line, says) in [
            ("ProgrammingError: relation \"x\" does not exist", true),
            ("LINE 1: SELECT 1 FROM \"x\"", false),
            ("                      ^", false),
            ("", false),
        ] {
            assert_eq!(says_something(line), says, "{line}");
        }
    }
}
