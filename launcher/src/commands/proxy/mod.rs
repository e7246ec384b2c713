//! `mathesar proxy …`

mod caddy;
mod nginx;
mod notes;
mod site;

use clap::Subcommand;

use self::notes::{HOSTS, PROXIES, Want};
use self::site::{Certificate, Site};
use super::{Context, config};
use crate::config::Value;

/// Print the configuration for a reverse proxy that you run
///
/// It comes on standard output and fits `server.listen` and `server.request-timeout`; what Mathesar has to be told about the
/// proxy comes as notes. Nothing is installed or written, unless you say `--configure`.
#[derive(Debug, clap::Args)]
#[command(
    subcommand_required = true,
    arg_required_else_help = true,
    after_long_help = "\
Example:
  mathesar proxy nginx --domain books.example.org --configure > /etc/nginx/conf.d/mathesar.conf
  nginx -t && systemctl reload nginx
  mathesar restart"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Caddy(caddy::Args),
    Nginx(nginx::Args),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Common {
    /// The name that browsers use; more than once for several
    #[arg(long = "domain", value_name = "NAME", required = true, value_parser = site::domain)]
    domains: Vec<String>,

    /// A certificate with its chain (PEM), where the proxy is not to find one by itself
    #[arg(long, value_name = "FILE", requires = "key", value_parser = site::file)]
    certificate: Option<String>,

    /// The certificate's key (PEM)
    #[arg(long, value_name = "FILE", requires = "certificate", value_parser = site::file)]
    key: Option<String>,

    /// The largest upload that the proxy lets through, as 500MB or 2GiB
    #[arg(long, value_name = "SIZE", default_value = "1GiB", value_parser = site::size)]
    max_upload: u64,

    /// Also set what Mathesar has to know: adds to `server.hosts` and `server.trusted-proxies`
    ///
    /// As `mathesar config set` does it, and as there it takes effect at `mathesar restart`.
    #[arg(long)]
    configure: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> anyhow::Result<()> {
    let (name, common, render): (_, _, fn(&Site) -> String) = match &args.command {
        Command::Caddy(args) => ("Caddy", &args.common, caddy::render),
        Command::Nginx(args) => ("nginx", &args.common, nginx::render),
    };
    let settings = config::load(context).accept()?;
    let certificate = match (&common.certificate, &common.key) {
        (Some(certificate), Some(key)) => {
            Some(Certificate { certificate: certificate.clone(), key: key.clone() })
        }
        _ => None,
    };
    let site = Site::new(&common.domains, certificate, common.max_upload, &settings)?;
    let wants = [Want::hosts(&site, &settings), Want::proxies(&site, &settings)];

    let mut changed = false;
    if common.configure {
        // Refused changes end the command before it has printed anything.
        for (want, setting) in wants.iter().zip([HOSTS, PROXIES]) {
            if !want.missing.is_empty() {
                let value = Value::List(want.all()).to_toml();
                changed |= config::set(setting, value, context)?;
            }
        }
    }
    super::print_report(&render(&site))?;
    if changed {
        super::note("Mathesar knows it from the next `mathesar restart` on");
    }
    for note in notes::notes(name, &site, &wants, common.configure, &settings) {
        super::note(note);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
