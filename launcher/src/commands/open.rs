//! `mathesar open`

use super::{Context, PATIENCE, verb};
use crate::control;
use crate::failure::Failure;
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
    if !address.starts_with("http") {
        return Err(Failure::new(format!("{address} is no address for a browser"))
            .help("reach it through your reverse proxy: `mathesar proxy caddy --domain D`")
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
    let answer = control::ask(&context.layout.run.join("control.sock"), Request::Status, PATIENCE)?;
    Ok(answer.value["address"].as_str().unwrap_or_default().to_owned())
}
