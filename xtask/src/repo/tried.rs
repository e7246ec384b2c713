//! What a change of a folder would be refused for, told before anything is changed anywhere.

use std::path::Path;

use anyhow::{Result, bail};

use super::make::refuse_taken;
use super::{Facts, KINDS, Site, refuse_withdrawn};
use crate::Refused;

/// Changes nothing. `is_served`: somebody reads repositories at the address already.
pub(crate) fn try_change(site: &Site<'_>, dir: &Path, is_served: bool) -> Result<()> {
    let Some(facts) = Facts::read(dir)? else {
        return refuse_anew(site, dir, is_served);
    };
    if facts.url != site.url {
        bail!(Refused(format!(
            "{} is made to be served at {}, and not at {}\nhelp: name another folder: `--repositories DIR`",
            dir.display(),
            facts.url,
            site.url
        )));
    }
    let keys = facts.keys.turned(site, dir)?;
    let site = &Site { withdrawn: facts.withdrawn, keys, ..site.clone() };
    refuse_withdrawn(site)?;
    for kind in KINDS.iter().filter(|kind| dir.join(kind.name).is_dir()) {
        if kind.programs.iter().all(|program| site.tools.find(program).is_some()) {
            (kind.conflicts)(site, &dir.join(kind.name))?;
        }
    }
    Ok(())
}

/// A folder that is mistyped is made as one of this version alone, and all that is served is then gone.
fn refuse_anew(site: &Site<'_>, dir: &Path, is_served: bool) -> Result<()> {
    if is_served {
        bail!(Refused(format!(
            "{} holds no repositories, and {} serves some\nhelp: name the folder that is served there: `--repositories DIR`",
            dir.display(),
            site.url
        )));
    }
    refuse_taken(dir)
}
