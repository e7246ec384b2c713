//! One installation of the real program, for one test.

// More than any one file of tests uses.
#![allow(dead_code)]

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mathesar::database::{Binaries, Search};
use mathesar::layout::{Environment, Layout, Options};
use mathesar::process::User;
use mathesar::release::Postgresql;
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{self, ADMIN, Answer};
use crate::machine;
use crate::sample::{SampleRelease, release};
use crate::shared::Shared;

/// The end of patience with anything; no assertion about time.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What a home begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// mathesar.conf with a free port, nothing else. uv's cache is warm where somebody has warmed it.
    Bare,
    /// The release is installed (unpacked, environment, static files, current); no database, no secrets.
    Installed,
    /// All that `mathesar setup` does: the next `start` takes a second or two.
    SetUp,
}

pub struct Home {
    folder: TempDir,
    pub layout: Layout,
    pub port: u16,
    pub user: Option<User>,
    /// Before every sub-command.
    options: Vec<OsString>,
    variables: Vec<(OsString, OsString)>,
    changed: std::sync::Mutex<std::collections::BTreeMap<OsString, OsString>>,
    pub binaries: Binaries,
}

/// How a command ended.
#[derive(Debug)]
pub struct Output {
    /// -1: by a signal.
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Home {
    /// From nothing. None: something is absent, and was said.
    pub fn bare() -> Option<Home> {
        Home::new(Start::Bare)
    }

    /// The sample application 1.0.0 is installed, no database is made.
    pub fn installed() -> Option<Home> {
        Home::new(Start::Installed)
    }

    /// Everything is set up, nothing runs, nobody is administrator.
    pub fn prepared() -> Option<Home> {
        Home::new(Start::SetUp)
    }

    /// Below `--home DIR`.
    pub fn new(start: Start) -> Option<Home> {
        Home::with(start, false)
    }

    /// As a user has it who names no folder: ~/.config, ~/.local and so on, in a home folder of the test's.
    pub fn of_user(start: Start) -> Option<Home> {
        Home::with(start, true)
    }

    fn with(start: Start, user_mode: bool) -> Option<Home> {
        Home::try_new(start, user_mode).map_err(|why| println!("not run: {why}")).ok()
    }

    fn try_new(start: Start, user_mode: bool) -> Result<Home, String> {
        let range = Postgresql { min: 14, max: 18 };
        let binaries = Search::new(None, None, range).for_new().map_err(|failure| failure.to_string())?;
        let binaries = binaries.ok_or("no PostgreSQL server is installed")?;
        let shared = Shared::new()?;
        let template = if start == Start::Bare { None } else { Some(shared.template()?) };
        // Not $TMPDIR: paths of sockets are short.
        let folder = tempfile::Builder::new().prefix("m").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let place = folder.path().join("home");
        fs::create_dir(&place).unwrap();
        machine::give(&place, shared.user);
        let environment = Environment {
            home: Some(place.clone()),
            current: "/".into(),
            uid: shared.user.map_or_else(|| rustix::process::geteuid().as_raw(), |user| user.uid),
            ..Environment::default()
        };
        let options = Options { home: (!user_mode).then(|| place.clone()), ..Options::default() };
        let layout = Layout::new(&environment, &options).unwrap();
        let home = Home {
            user: shared.user,
            port: machine::free_port(),
            options: options.to_args(Path::new("/")),
            variables: Vec::new(),
            changed: std::sync::Mutex::default(),
            binaries,
            folder,
            layout,
        };
        home.lay_out(&shared);
        if let Some(template) = template {
            home.take(&template, start);
        }
        Ok(home)
    }

    /// The program with what lies beside it, and mathesar.conf.
    fn lay_out(&self, shared: &Shared) {
        fs::create_dir_all(self.program().parent().unwrap()).unwrap();
        fs::create_dir_all(self.share().join("app")).unwrap();
        fs::create_dir_all(self.share().join("wheels")).unwrap();
        fs::hard_link(&shared.program, self.program()).unwrap();
        let wheel = mathesar::app::pins::Pin::of("uv").unwrap().file_name();
        let to = self.share().join("wheels").join(wheel);
        fs::hard_link(&shared.uv_wheel, &to).or_else(|_| fs::copy(&shared.uv_wheel, &to).map(drop)).unwrap();
        self.pin(&release("1.0.0", None));
        self.write(
            &self.layout.config_file(),
            format!("[server]\nlisten = \"127.0.0.1:{}\"\nworkers = 2\n", self.port),
        );
        machine::make_folder(&self.layout.cache, self.folder.path(), self.user);
        std::os::unix::fs::symlink(shared.uv_cache(), self.layout.cache.join("uv")).unwrap();
    }

    /// Files of releases are hard links: nothing writes them in place, and no test may.
    fn take(&self, template: &Path, start: Start) {
        let (state, to) = (template.join("state"), &self.layout.state);
        machine::make_folder(to, self.folder.path(), self.user);
        machine::copy_tree(&state.join("app"), &to.join("app"), self.user, true);
        machine::copy_tree(&template.join("cache/tools"), &self.layout.cache.join("tools"), self.user, true);
        if start == Start::SetUp {
            for name in ["database", "secrets", "media", "migrated.json"] {
                machine::copy_tree(&state.join(name), &to.join(name), self.user, false);
            }
        }
    }

    /// The folder that holds everything of this test: `home`, and the program's `prefix`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn program(&self) -> PathBuf {
        self.folder.path().join("prefix/bin/mathesar")
    }

    /// `<prefix>/share/mathesar`
    pub fn share(&self) -> PathBuf {
        self.folder.path().join("prefix/share/mathesar")
    }

    /// Makes a release the one that the package brings.
    pub fn pin(&self, release: &SampleRelease) {
        self.offer(release);
        fs::write(self.share().join("release.toml"), &release.release_toml).unwrap();
    }

    /// A program of the machine's PostgreSQL.
    pub fn server_program(&self, name: &str) -> PathBuf {
        self.binaries.server(name)
    }

    /// Puts a release's tarball beside the program.
    pub fn offer(&self, release: &SampleRelease) {
        let to = self.share().join(format!("app/mathesar-{}.tar.gz", release.version));
        fs::copy(&release.tarball, to).unwrap();
    }

    /// A file of the launcher's user, with the folders above it.
    pub fn write(&self, path: &Path, text: impl AsRef<[u8]>) {
        machine::make_folder(path.parent().unwrap(), self.folder.path(), self.user);
        fs::write(path, text).unwrap();
        machine::give(path, self.user);
    }

    /// Settings besides `server.listen`; replaces those of the last call.
    pub fn conf(&self, text: &str) {
        self.write(&self.layout.config_drop_ins().join("50-test.conf"), text);
    }

    /// For every command from now on.
    pub fn set_variable(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.push((name.into(), value.into()));
    }

    /// The same, from now on another value; through a shared reference, for scopes with threads.
    pub fn set_variable_to(&self, name: &str, value: &str) {
        self.changed.lock().unwrap().insert(name.into(), value.into());
    }

    /// Any program as the launcher's user, with no environment but the little that a login has.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir("/").stdin(Stdio::null());
        // How the machine reaches the package index is its own business.
        let kept = [
            "PATH",
            "SSL_CERT_FILE",
            "SSL_CERT_DIR",
            "HTTP_PROXY",
            "HTTPS_PROXY",
            "NO_PROXY",
            "UV_DEFAULT_INDEX",
        ];
        command.envs(kept.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
        if let Some(index) = std::env::var_os("PIP_INDEX_URL") {
            command.env("UV_DEFAULT_INDEX", index);
        }
        command.env("HOME", self.folder.path().join("home")).env("LANG", "C.UTF-8");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.envs(self.changed.lock().unwrap().iter());
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// The command, not yet run.
    pub fn launcher(&self, args: &[&str]) -> Command {
        let mut command = self.command(&self.program());
        command.args(&self.options).args(args);
        command
    }

    /// Cures bear the options of the test's own; what it compares with does not.
    pub fn mathesar(&self, args: &[&str]) -> Output {
        let output = run(self.launcher(args));
        Output {
            stdout: self.without_options(&output.stdout),
            stderr: self.without_options(&output.stderr),
            ..output
        }
    }

    /// What a command said, for comparing.
    pub fn without_options(&self, text: &str) -> String {
        let options: String =
            self.options.iter().map(|word| format!("{} ", word.to_string_lossy())).collect();
        text.replace(&format!("mathesar {options}"), "mathesar ")
    }

    /// In a process group of its own, its words in files named by `name`.
    pub fn spawn(&self, name: &str, args: &[&str]) -> Child {
        let file = |kind: &str| fs::File::create(self.folder.path().join(format!("{name}.{kind}"))).unwrap();
        self.launcher(args).stdout(file("out")).stderr(file("err")).process_group(0).spawn().unwrap()
    }

    /// Standard error of a spawned one.
    pub fn words(&self, name: &str) -> String {
        let path = self.folder.path().join(format!("{name}.err"));
        self.without_options(&fs::read_to_string(path).unwrap_or_default())
    }

    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> Output {
        let output = self.mathesar(args);
        assert_eq!(output.status, 0, "mathesar {args:?}\n{}{}\n{}", output.stdout, output.stderr, self.log());
        output
    }

    /// `status --json`, whatever it says.
    #[track_caller]
    pub fn status(&self) -> Value {
        let output = self.mathesar(&["status", "--json"]);
        serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    }

    /// The whole log, also where it does not exist yet.
    pub fn log(&self) -> String {
        self.layout
            .logs
            .as_ref()
            .and_then(|logs| fs::read_to_string(logs.join("mathesar.log")).ok())
            .unwrap_or_default()
    }

    /// None: nobody answers.
    pub fn try_get(&self, path: &str) -> Option<Answer> {
        http::request(self.port, &format!("GET {path} HTTP/1.1"), b"", PATIENCE)
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> (u16, String) {
        let answer = self.try_get(path).unwrap_or_else(|| panic!("nobody answers {path}\n{}", self.log()));
        (answer.status, answer.body)
    }

    /// The first visitor becomes administrator, as `http::ADMIN`.
    #[track_caller]
    pub fn create_admin(&self) {
        let answer = http::complete_installation(self.port, ADMIN, PATIENCE).unwrap();
        assert_eq!(answer.status, 302, "{}", answer.body);
        assert_eq!(self.get("/auth/login/").0, 200);
    }

    /// One of the sample application's methods, as the administrator.
    #[track_caller]
    pub fn admin(&self, method: &str, params: Value) -> Value {
        match http::call(self.port, ADMIN, method, &params, PATIENCE) {
            Some(result) => result.unwrap_or_else(|why| panic!("{method}: {why}")),
            None => panic!("{method}: no answer\n{}", self.log()),
        }
    }

    /// A new database with a table of one column, `name`; what `records.add` and `records.list` need to know of it.
    #[track_caller]
    pub fn table(&self, database: &str, table: &str) -> Value {
        let made = self.admin("databases.setup.create_new", json!({ "database": database }));
        let params = json!({"database_id": made["id"], "table_name": table, "columns": ["name"]});
        let oid = self.admin("tables.add", params)["oid"].take();
        json!({"database_id": made["id"], "table_oid": oid})
    }

    /// As the superuser of the private cluster; what psql prints, bare.
    #[track_caller]
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let password = fs::read_to_string(self.layout.state.join("secrets/database-superuser")).unwrap();
        let mut psql = self.command(&self.binaries.client("psql"));
        psql.args(["-XAtqw", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", statement, "-h"]);
        psql.arg(&self.layout.database_socket).args(["-U", mathesar::database::SUPERUSER]);
        psql.env("PGPASSWORD", password.trim_end());
        let output = run(psql);
        assert_eq!(output.status, 0, "{statement}: {}", output.stderr);
        output.stdout.trim().to_owned()
    }

    /// Living processes of this home, with their command lines.
    pub fn processes(&self) -> Vec<(i32, String)> {
        machine::processes_of(self.folder.path())
    }

    /// Those among them whose command line holds this.
    pub fn pids(&self, command: &str) -> Vec<i32> {
        machine::processes_like(self.folder.path(), command).into_iter().map(|(pid, _)| pid).collect()
    }

    /// Waits until something is so.
    #[track_caller]
    pub fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < end, "waited in vain: {what}\n{:#?}\n{}", self.processes(), self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Nobody of this home is left, at the latest in a moment.
    #[track_caller]
    pub fn nobody_left(&self) {
        self.until("nobody is left", || self.processes().is_empty());
    }
}

fn run(mut command: Command) -> Output {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Output {
        status: output.status.code().unwrap_or(-1),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let mut stopped = None;
        if !self.processes().is_empty() {
            stopped = Some(self.mathesar(&["stop"]));
        }
        // One whose postmaster was killed may have to wait for a busy disk first.
        let end = Instant::now() + Duration::from_secs(60);
        while !self.processes().is_empty() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(50));
        }
        let left = self.processes();
        for (pid, _) in &left {
            machine::signal(*pid, Signal::KILL);
        }
        if !std::thread::panicking() {
            assert!(left.is_empty(), "after {stopped:?} there is left: {left:#?}");
        }
    }
}
