//! Visitors who are other OS users, or who come through a proxy.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};

use mathesar::process::User;

const VISITOR: &str = include_str!("visitor.py");
const RELAY: &str = include_str!("relay.py");

/// An OS user that is neither root nor the launcher's; none (and said) where we are not root, and so can be nobody else.
pub fn stranger() -> Option<User> {
    let found = rustix::process::geteuid().is_root().then(|| of_name("daemon")).flatten();
    if found.is_none() {
        println!("not run: only root can be another OS user, and there must be one named `daemon`");
    }
    found
}

fn of_name(name: &str) -> Option<User> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let fields: Vec<&str> =
        passwd.lines().find(|line| line.split(':').next() == Some(name))?.split(':').collect();
    Some(User { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? })
}

/// Where a visitor goes.
#[derive(Debug, Clone)]
pub struct Address(Vec<String>);

impl Address {
    pub fn ipv4(port: u16) -> Address {
        Address::tcp("AF_INET", "127.0.0.1", port)
    }

    pub fn tcp(family: &str, address: &str, port: u16) -> Address {
        Address(vec![family.to_owned(), address.to_owned(), port.to_string()])
    }

    pub fn unix(path: &std::path::Path) -> Address {
        Address(vec!["AF_UNIX".to_owned(), path.display().to_string()])
    }
}

/// Python, as this user (None: as we are).
fn python(user: Option<User>, script: &str, args: &[String]) -> Command {
    let mut command = Command::new("python3");
    command.args(["-I", "-c", script]).args(args).current_dir("/").env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    if let Some(User { uid, gid }) = user {
        command.uid(uid).gid(gid);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

fn visitor(user: Option<User>, what: &[&str], to: &Address, request: &str) -> Vec<u8> {
    let args: Vec<String> = what.iter().map(|word| (*word).to_owned()).chain(to.0.clone()).collect();
    let mut child = python(user, VISITOR, &args).spawn().unwrap();
    child.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
    child.wait_with_output().unwrap().stdout
}

/// The answer: its status, and all of it. 0: none.
pub fn ask(user: Option<User>, to: &Address, request: &str) -> (u16, String) {
    let said = visitor(user, &["ask"], to, request);
    let said = String::from_utf8_lossy(&said).into_owned();
    let status = said.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    (status, said)
}

pub fn get(user: Option<User>, to: &Address, path: &str) -> (u16, String) {
    ask(user, to, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
}

/// Sends a request many times without waiting for the answers.
pub fn leave(user: Option<User>, times: usize, to: &Address, request: &str) {
    visitor(user, &["leave", &times.to_string()], to, request);
}

/// The first page, filled in.
pub fn form(name: &str, password: &str) -> String {
    // The cookie and the form's field have to be the same; which, is the visitor's choice.
    let token = "0123456789abcdefghijABCDEFGHIJkl";
    let form =
        format!("csrfmiddlewaretoken={token}&username={name}&password1={password}&password2={password}");
    format!(
        "POST /complete_installation/ HTTP/1.1\r\nHost: localhost\r\nCookie: csrftoken={token}\r\nConnection: close\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    )
}

/// A proxy in front of a port of this machine.
pub struct Relay {
    child: Child,
    pub port: u16,
}

impl Relay {
    pub fn new(user: Option<User>, port: u16, headers: &[&str]) -> Relay {
        let mut args = vec![port.to_string()];
        args.extend(headers.iter().map(|header| (*header).to_owned()));
        let mut child = python(user, RELAY, &args).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Relay { child, port: line.trim().parse().unwrap() }
    }

    pub fn address(&self) -> Address {
        Address::ipv4(self.port)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
