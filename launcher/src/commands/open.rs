//! `mathesar open`

use super::{Context, PATIENCE, verb};
use crate::control::{self, Lock};
use crate::failure::{Exit, Failure};
use crate::process::Program;
use crate::supervise::Request;

/// Open Mathesar in the browser
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the address only
    #[arg(long)]
    print: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    match args.print {
        true => super::print(&format!("{}\n", address(context)?)),
        false => open(context),
    }
}

pub(super) fn open(context: &Context) -> anyhow::Result<()> {
    let address = address(context)?;
    if !is_web_address(&address) {
        return Err(Failure::new(format!("{address} is no address for a browser"))
            .help("reach it through your reverse proxy: `mathesar proxy caddy --domain D`")
            .into());
    }
    // Whoever serves there is another user, and a browser believes what it is told.
    if context.environment.uid == 0 {
        return Err(Failure::new("no browser is opened as root")
            .exit(Exit::Refused)
            .help(format!("open it as yourself: {address}"))
            .into());
    }
    let opener = if context.environment.macos { "open" } else { "xdg-open" };
    let session = [
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "XDG_RUNTIME_DIR",
        "DBUS_SESSION_BUS_ADDRESS",
        "BROWSER",
        "XDG_CURRENT_DESKTOP",
    ];
    let variables = session.iter().filter_map(|name| Some((*name, context.environment.get(name)?)));
    match Program::new(opener).arg(&address).envs(variables).run() {
        Ok(_) => {
            verb("Opened", &address);
            Ok(())
        }
        Err(_) => Err(Failure::new("found no way to open a browser here")
            .help(format!("open it yourself: {address}"))
            .into()),
    }
}

fn address(context: &Context) -> Result<String, Failure> {
    let answer = control::ask_here(&context.layout, Request::Status, PATIENCE).map_err(|failure| {
        match failure.exit == Exit::NotRunning && Lock::holder(&context.layout.state).is_none() {
            true => Failure::new("Mathesar does not run")
                .exit(Exit::NotRunning)
                .help("start it: `mathesar start --open`"),
            false => failure,
        }
    })?;
    Ok(answer.value["address"].as_str().unwrap_or_default().to_owned())
}

/// `http://host`, with a port or without, and no more than that.
fn is_web_address(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")) else {
        return false;
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, after)) => {
            let plain = host.bytes().all(|byte| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.'));
            (plain && !host.is_empty(), after)
        }
        None => {
            let (host, after) = rest.split_at(rest.find(':').unwrap_or(rest.len()));
            let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
            (plain && host.starts_with(|first: char| first.is_ascii_alphanumeric()), after)
        }
    };
    let port = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    host && port
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::is_web_address;

    #[test]
    fn a_browser_gets_addresses_alone() {
        for good in
            ["http://127.0.0.1:8000", "https://m.example.org/", "http://[::1]:80", "http://localhost:8000"]
        {
            assert!(is_web_address(good), "{good}");
        }
        for bad in [
            "http-evil",
            "http:///etc/passwd",
            "http://-x",
            "http://a:b",
            "http://a:99999",
            "http://a b",
            "http://a/x",
            "http://a@b",
            "http://[x]:1",
            "http://[::1]x",
            "http://a;b",
            "http://a\u{1b}",
            "unix:/run/x",
            "http://",
        ] {
            assert!(!is_web_address(bad), "{bad:?}");
        }
    }
}
