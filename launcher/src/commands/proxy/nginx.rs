//! `mathesar proxy nginx`

use super::site::{DROPPED, Site, Upstream, quoted};

/// Print a file for nginx's conf.d
///
/// It answers on port 443, and sends visitors of port 80 there. The certificate is expected where certbot puts it, if you
/// name no other.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(super) common: super::Common,
}

/// Beyond the time that Mathesar takes, for requests that stand in line.
const LINE: u64 = 30;

pub(super) fn render(site: &Site) -> String {
    let upstream = match &site.upstream {
        Upstream::Tcp(address) => format!("http://{address}"),
        Upstream::Unix(path) => quoted(&format!("http://unix:{path}")),
    };
    let dropped: String = DROPPED.iter().map(|name| format!("\t\tproxy_set_header {name} \"\";\n")).collect();
    include_str!("nginx.conf")
        .replace("{{redirects}}", &redirects(&site.domains))
        .replace("{{certificate}}", &certificate(site))
        .replace("{{names}}", &site.domains.join(" "))
        .replace("{{upload}}", &upload(site.max_upload))
        .replace("{{dropped}}", &dropped)
        .replace("{{timeout}}", &site.timeout.0)
        .replace("{{patience}}", &(site.timeout.1 + LINE).to_string())
        .replace("{{upstream}}", &upstream)
}

/// One block a domain: `$host` in the address would send visitors wherever they say.
fn redirects(domains: &[String]) -> String {
    let block = |name: &String| {
        format!(
            "\nserver {{\n\tlisten 80;\n\tlisten [::]:80;\n\tserver_name {name};\n\treturn 301 https://{name}$request_uri;\n}}\n"
        )
    };
    domains.iter().map(block).collect()
}

fn certificate(site: &Site) -> String {
    let (comment, certificate, key) = match &site.certificate {
        Some(given) => ("", given.certificate.clone(), given.key.clone()),
        None => {
            let folder = format!("/etc/letsencrypt/live/{}", site.domains[0]);
            (
                "\t# Where certbot puts them; others: --certificate and --key of `mathesar proxy nginx`.\n",
                format!("{folder}/fullchain.pem"),
                format!("{folder}/privkey.pem"),
            )
        }
    };
    format!("{comment}\tssl_certificate {};\n\tssl_certificate_key {};", quoted(&certificate), quoted(&key))
}

/// nginx knows k, m and g of 1024s alone.
fn upload(bytes: u64) -> String {
    let units = [("g", 1u64 << 30), ("m", 1 << 20), ("k", 1 << 10)];
    let fits = units.iter().find(|(_, factor)| bytes.is_multiple_of(*factor));
    fits.map_or_else(|| bytes.to_string(), |(unit, factor)| format!("{}{unit}", bytes / factor))
}
