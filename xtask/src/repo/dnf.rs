//! For dnf: signed packages, the index by createrepo_c, and its signature beside it.

use std::path::Path;

use anyhow::{Context as _, Result};
use xshell::cmd;

use super::{Site, write};
use crate::shell;

pub(super) fn build(site: &Site<'_>, folder: &Path) -> Result<()> {
    let (name, key) = (site.name, &site.key.fingerprint);
    let shell = shell::at(folder)?;
    // Not every build of rpm knows where gpg is.
    let gpg = site.tools.find("gpg").context("gpg is not on PATH")?;
    let gpg = format!("__gpg {}", gpg.display());
    for rpm in site.copy(".rpm", folder)? {
        let key = format!("_gpg_name {key}");
        let mut sign = cmd!(shell, "rpmsign --define {gpg} --define {key} --addsign {rpm}");
        for (variable, value) in site.key.environment() {
            sign = sign.env(variable, value);
        }
        sign.quiet().ignore_stdout().ignore_stderr().run()?;
    }
    // What is older than this on a reader's disk is not read twice: the names hold digests.
    cmd!(shell, "createrepo_c --quiet --no-database --unique-md-filenames .").quiet().run()?;
    let index = folder.join("repodata/repomd.xml");
    site.key.sign(&["--armor", "--detach-sign"], &index, &folder.join("repodata/repomd.xml.asc"))?;
    write(&folder.join(format!("{name}.asc")), site.key.public()?)?;
    let url = site.url;
    write(
        &folder.join(format!("{name}.repo")),
        format!(
            "[{name}]\nname=Mathesar\nbaseurl={url}/dnf\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=1\ngpgkey={url}/dnf/{name}.asc\n"
        ),
    )
}
