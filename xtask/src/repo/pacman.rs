//! For pacman: signed packages and a signed database by repo-add.

use std::path::Path;

use anyhow::Result;
use xshell::cmd;

use super::{Site, write};
use crate::shell;

pub(super) fn build(site: &Site<'_>, folder: &Path) -> Result<()> {
    let (name, key) = (site.name, &site.key.fingerprint);
    let packages = site.copy(".pkg.tar.zst", folder)?;
    for package in &packages {
        let signature = package.with_extension("zst.sig");
        site.key.sign(&["--detach-sign"], package, &signature)?;
    }
    let shell = shell::at(folder)?;
    let database = format!("{name}.db.tar.gz");
    let mut add = cmd!(shell, "repo-add --quiet --sign --key {key} {database} {packages...}");
    for (variable, value) in site.key.environment() {
        add = add.env(variable, value);
    }
    add.quiet().ignore_stdout().ignore_stderr().run()?;
    write(&folder.join(format!("{name}.asc")), site.key.public()?)?;
    let url = site.url;
    write(
        &folder.join(format!("{name}.conf")),
        format!("[{name}]\nServer = {url}/pacman\nSigLevel = Required DatabaseRequired\n"),
    )
}
