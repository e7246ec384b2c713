//! `mathesar proxy caddy`

use super::site::{DROPPED, Site, Upstream, quoted};

/// Print what to put into Caddy's Caddyfile
///
/// Caddy gets certificates by itself, from Let's Encrypt where the domain leads to this machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) common: super::Common,
}

pub(super) fn render(site: &Site) -> String {
    let upstream = match &site.upstream {
        Upstream::Tcp(address) => address.to_string(),
        Upstream::Unix(path) => quoted(&format!("unix/{path}")),
    };
    let (certificates, tls) = match &site.certificate {
        None => (", and gets certificates by itself", String::new()),
        Some(given) => ("", format!("\ttls {} {}\n\n", quoted(&given.certificate), quoted(&given.key))),
    };
    let dropped: String = DROPPED.iter().map(|name| format!("\t\theader_up -{name}\n")).collect();
    include_str!("Caddyfile")
        .replace("{{certificates}}", certificates)
        .replace("{{names}}", &site.domains.join(", "))
        .replace("{{tls}}", &tls)
        .replace("{{upload}}", &upload(site.max_upload))
        .replace("{{dropped}}", &dropped)
        .replace("{{timeout}}", &site.timeout.0)
        .replace("{{upstream}}", &upstream)
}

/// Caddy counts GB in thousands and GiB in 1024s, as the settings do.
fn upload(bytes: u64) -> String {
    let units = [
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("kB", 1000),
        ("B", 1),
    ];
    let fits = units.iter().find(|(_, factor)| bytes.is_multiple_of(*factor));
    fits.map_or_else(|| format!("{bytes}B"), |(unit, factor)| format!("{}{unit}", bytes / factor))
}
