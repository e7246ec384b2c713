//! Administrators, without a browser: Mathesar's own model does the work, so its rules for names and passwords hold.

use serde_json::{Value, json};

use crate::app::store::Installed;
use crate::application::{self, Variables};
use crate::failure::{Exit, Failure};
use crate::secrets::Secret;

const SCRIPT: &str = include_str!("admin.py");

/// Whose account, and with which password.
#[derive(Debug)]
pub struct Account<'a> {
    pub username: &'a str,
    pub email: &'a str,
    pub password: &'a Secret,
    /// To be changed at the first login.
    pub one_time: bool,
}

/// Whether an administrator exists.
pub fn exists(release: &Installed, variables: &Variables) -> Result<bool, Failure> {
    Ok(ask(release, variables, &json!({ "do": "exists" }))?["exists"] == true)
}

/// What was done.
#[derive(Debug, PartialEq, Eq)]
pub struct Done {
    /// As Mathesar spells it: spaces around it are gone, and look-alikes of letters are letters.
    pub username: String,
    /// Mathesar will ask for another password at the next login. Not every release can.
    pub one_time: bool,
    pub admin: bool,
    /// The account was disabled, and is no more.
    pub activated: bool,
}

/// Makes an administrator.
pub fn create(release: &Installed, variables: &Variables, account: &Account<'_>) -> Result<Done, Failure> {
    let answer = ask(release, variables, &request("create", account))?;
    if answer["exists"].is_string() {
        let name = account.username;
        let failure = Failure::new(format!("there is a user `{name}` already")).exit(Exit::Refused);
        return Err(match answer["admin"] == true {
            true => failure.help(format!("give it another password: `mathesar admin reset-password {name}`")),
            false => failure
                .cause("it is no administrator")
                .help("make one with another name: `mathesar admin create --username NAME`"),
        });
    }
    refused(&answer)?;
    Ok(done(&answer, "created", true))
}

/// Gives a user another password.
pub fn reset(release: &Installed, variables: &Variables, account: &Account<'_>) -> Result<Done, Failure> {
    let answer = ask(release, variables, &request("reset", account))?;
    if let Some(names) = answer["unknown"].as_array() {
        let names: Vec<&str> = names.iter().filter_map(Value::as_str).collect();
        let failure = Failure::new(format!("there is no user `{}`", account.username)).exit(Exit::Refused);
        return Err(match names.as_slice() {
            [] => failure.help("make an administrator: `mathesar admin create`"),
            names => failure.help(format!("administrators are: {}", names.join(", "))),
        });
    }
    refused(&answer)?;
    Ok(done(&answer, "reset", answer["admin"] == true))
}

fn done(answer: &Value, name: &str, admin: bool) -> Done {
    Done {
        username: answer[name].as_str().unwrap_or_default().to_owned(),
        one_time: answer["one_time"] == true,
        admin,
        activated: answer["activated"] == true,
    }
}

fn request(what: &str, account: &Account<'_>) -> Value {
    json!({
        "do": what,
        "username": account.username,
        "email": account.email,
        "password": account.password.expose(),
        "one_time": account.one_time,
    })
}

fn refused(answer: &Value) -> Result<(), Failure> {
    let Some(problems) = answer["problems"].as_array() else { return Ok(()) };
    let said: Vec<&str> = problems.iter().filter_map(Value::as_str).collect();
    Err(Failure::new("Mathesar refuses this name or password").cause(said.join(" ")).exit(Exit::Refused).help(
        "see which are allowed: `mathesar admin create --help`; names hold letters, digits and @ . + - _, passwords are long and not only digits",
    ))
}

fn ask(release: &Installed, variables: &Variables, request: &Value) -> Result<Value, Failure> {
    let output = application::program(&release.path, variables)
        .args(["-c", SCRIPT])
        .input(request.to_string())
        .output()?;
    if !output.status.success() {
        // The command line would hold the whole script, so the end of what Python said is told alone.
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().take(3).collect::<Vec<_>>();
        let last = last.into_iter().rev().collect::<Vec<_>>().join("\n    ");
        return Err(Failure::new("cannot ask Mathesar about its users").cause(last));
    }
    // Its last line: a release may have said something before.
    let said = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(said.trim_end().lines().last().unwrap_or_default())
        .map_err(|cause| Failure::new("cannot understand Mathesar's answer about its users").cause(cause))
}
