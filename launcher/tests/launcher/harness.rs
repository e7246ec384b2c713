//! Runs the real binary in a folder of its own and compares everything it says.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// One run: files, arguments, environment, and what is expected. `HOME` in texts stands for the folder.
pub struct Test {
    folder: TempDir,
    args: Vec<String>,
    variables: Vec<(String, String)>,
    stdin: Vec<u8>,
    stdout: Option<String>,
    stderr: Option<String>,
    status: i32,
    bare: bool,
}

impl Test {
    pub fn new() -> Test {
        Test {
            folder: TempDir::new().unwrap(),
            args: Vec::new(),
            variables: Vec::new(),
            stdin: Vec::new(),
            stdout: None,
            stderr: None,
            status: 0,
            bare: false,
        }
    }

    /// mathesar.conf
    pub fn conf(self, text: impl AsRef<[u8]>) -> Test {
        self.file("config/mathesar.conf", text)
    }

    /// conf.d/NAME
    pub fn drop_in(self, name: &str, text: impl AsRef<[u8]>) -> Test {
        self.file(&format!("config/conf.d/{name}"), text)
    }

    pub fn file(self, path: &str, text: impl AsRef<[u8]>) -> Test {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let text = text.as_ref();
        match std::str::from_utf8(text) {
            Ok(readable) => fs::write(path, self.fill(readable)).unwrap(),
            Err(_) => fs::write(path, text).unwrap(),
        }
        self
    }

    pub fn link(self, path: &str, target: &str) -> Test {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(self.fill(target), path).unwrap();
        self
    }

    pub fn args(mut self, args: &[&str]) -> Test {
        self.args = args.iter().map(|arg| self.fill(arg)).collect();
        self
    }

    /// Without `--home` in front.
    pub fn bare(mut self) -> Test {
        self.bare = true;
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Test {
        let value = self.fill(value);
        self.variables.push((name.to_owned(), value));
        self
    }

    pub fn stdin(mut self, text: &str) -> Test {
        self.stdin = text.as_bytes().to_vec();
        self
    }

    pub fn stdout(mut self, text: &str) -> Test {
        self.stdout = Some(text.to_owned());
        self
    }

    pub fn stderr(mut self, text: &str) -> Test {
        self.stderr = Some(text.to_owned());
        self
    }

    pub fn status(mut self, status: i32) -> Test {
        self.status = status;
        self
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn fill(&self, text: &str) -> String {
        text.replace("HOME", &self.folder.path().to_string_lossy())
    }

    /// Runs, compares, and returns itself for a next run in the same folder. What is not expected has to be empty.
    #[track_caller]
    pub fn run(mut self) -> Test {
        let (status, stdout, stderr) = self.output();
        let expected =
            (self.status, self.stdout.take().unwrap_or_default(), self.stderr.take().unwrap_or_default());
        let (got, want) = (
            format!("{status}\n{stdout}---\n{stderr}"),
            format!("{}\n{}---\n{}", expected.0, expected.1, expected.2),
        );
        assert!(got == want, "{:?}\n--- got\n{got}\n--- want\n{want}", self.args);
        self.status = 0;
        self.stdin.clear();
        self.variables.clear();
        self
    }

    /// Exit code, standard output and error, with `HOME` for the folder.
    pub fn output(&self) -> (i32, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mathesar"));
        command.env_clear().current_dir(self.folder.path());
        if !self.bare {
            command.arg("--home").arg(self.folder.path());
        }
        command.args(&self.args).envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that does not read closes the pipe early.
        let _ = stdin.write_all(&self.stdin);
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let plain = |bytes: Vec<u8>| {
            String::from_utf8(bytes).unwrap().replace(&*self.folder.path().to_string_lossy(), "HOME")
        };
        (output.status.code().unwrap_or(-1), plain(output.stdout), plain(output.stderr))
    }

    #[track_caller]
    pub fn contents(self, path: &str, expected: &str) -> Test {
        let text = fs::read_to_string(self.path(path)).unwrap();
        assert_eq!(text.replace(&*self.folder.path().to_string_lossy(), "HOME"), expected);
        self
    }

    #[track_caller]
    pub fn mode(self, path: &str, expected: u32) -> Test {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(self.path(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(format!("{mode:o}"), format!("{expected:o}"));
        self
    }

    #[track_caller]
    pub fn missing(self, path: &str) -> Test {
        assert!(!Path::new(&self.path(path)).exists(), "{path} exists");
        self
    }
}
