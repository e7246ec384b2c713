//! The installed release, and the one that this launcher brings.

use super::{Check, Entry, Group, Known, Look};
use crate::app::static_files;
use crate::app::store::Differences;

pub(super) static RELEASE: Entry = Entry {
    id: "release",
    group: Group::Release,
    title: "installed release",
    doc: "A release is installed, complete, and the current one.",
};
pub(super) static FILES: Entry = Entry {
    id: "release-files",
    group: Group::Release,
    title: "its files",
    doc: "Every file of the current release is as it was unpacked from the verified tarball: none changed, missing or added.",
};
pub(super) static PIN: Entry = Entry {
    id: "pinned-release",
    group: Group::Release,
    title: "pinned release",
    doc: "`release.toml` of this launcher can be read, and the release that it pins is the installed one; otherwise an upgrade is pending.",
};
pub(super) static STATIC: Entry = Entry {
    id: "static-files",
    group: Group::Release,
    title: "static files",
    doc: "The current release's static files are collected, for the environment that is there now.",
};

/// What puts the files of a release back; nothing else does.
pub(super) const FILES_BACK: &str = "put them back: `mathesar stop`, then `mathesar app install --again`";

pub(super) const ENTRIES: &[&Entry] = &[&RELEASE, &FILES, &PIN, &STATIC];

#[derive(Debug, Clone)]
pub(super) struct Current {
    pub id: String,
    pub version: String,
    pub complete: bool,
    pub is_pinned: bool,
    pub held: bool,
    pub static_files: bool,
    /// Or why it could not be looked at.
    pub differences: Result<Differences, String>,
}

impl Current {
    /// Nothing can be made of it then, and a start does not put them back.
    fn lacks_files(&self) -> bool {
        !self.complete
            && self.differences.as_ref().map_or(true, |differences| !differences.missing.is_empty())
    }
}

#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub current: Known<Current>,
    /// Nothing was ever installed: nothing is wrong.
    pub fresh: bool,
    /// `current` points at something that is no release.
    pub dangling: bool,
    pub pinned: String,
    /// Why release.toml cannot be read.
    pub pin: Result<(), String>,
}

impl Facts {
    pub fn gather(look: &Look) -> Facts {
        let store = look.installation.store();
        let pinned = &look.installation.pinned;
        let current = look.current().map(|current| Current {
            is_pinned: current.sha256 == pinned.sha256,
            held: store.held().as_ref() == Some(&current.id),
            static_files: static_files::are_collected(&current.path),
            differences: store.verify(&current.id).map_err(|failure| failure.to_string()),
            id: current.id,
            version: current.version,
            complete: current.complete,
        });
        let pin = look.pin.as_ref().copied().map_err(|failure| {
            let cause = std::error::Error::source(failure).map(|cause| format!(": {cause}"));
            format!("{failure}{}", cause.unwrap_or_default())
        });
        Facts {
            dangling: current.is_err() && store.folder.join("current").symlink_metadata().is_ok(),
            current,
            fresh: look.fresh(),
            pinned: pinned.version.clone(),
            pin,
        }
    }
}

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    vec![release(facts), files(facts), pin(facts), statics(facts)]
}

fn release(facts: &Facts) -> Check {
    match &facts.current {
        Err(why) if facts.fresh => RELEASE.not_checked(why.clone()),
        Err(_) if facts.dangling => RELEASE
            .problem("`current` points at a release that is not there, or is not whole")
            .cure("`mathesar start` installs it again; another one: `mathesar app list`, then `mathesar app use VERSION`"),
        Err(why) => RELEASE
            .problem(why.clone())
            .cure("`mathesar start` makes one the current one; without starting it: `mathesar setup`"),
        Ok(current) if current.lacks_files() => RELEASE
            .problem(format!("{} is not whole", current.id))
            .cause("files of it are missing")
            .cure(FILES_BACK),
        Ok(current) if !current.complete => RELEASE
            .problem(format!("{} is not completely installed", current.id))
            .cause("its environment or its static files are missing, or no longer fit")
            .cure("`mathesar restart` makes what is missing; without starting it: `mathesar app install`"),
        Ok(current) => RELEASE.ok(format!("Mathesar {} ({})", current.version, current.id)),
    }
}

fn files(facts: &Facts) -> Check {
    let current = match &facts.current {
        Ok(current) => current,
        Err(why) => return FILES.not_checked(why.clone()),
    };
    let differences = match &current.differences {
        Ok(differences) => differences,
        Err(why) => {
            return FILES.problem(why.clone()).cure(FILES_BACK);
        }
    };
    if differences.is_empty() {
        return FILES.ok("as they were unpacked from the verified tarball");
    }
    let all =
        [("changed", &differences.changed), ("missing", &differences.missing), ("added", &differences.extra)];
    let shown = all.iter().filter(|(_, files)| !files.is_empty()).map(|(what, files)| {
        let more = if files.len() > 5 { format!(" and {} more", files.len() - 5) } else { String::new() };
        format!("{what}: {}{more}", files.iter().take(5).cloned().collect::<Vec<_>>().join(", "))
    });
    FILES
        .problem(shown.collect::<Vec<_>>().join("\n"))
        .cause("somebody has edited the release, or the disk has lost something")
        .cure("all of them: `mathesar app verify`")
        .cure(FILES_BACK)
}

fn pin(facts: &Facts) -> Check {
    if let Err(why) = &facts.pin {
        return PIN.problem(why.clone()).cure("the file belongs to the package: install the package again");
    }
    match &facts.current {
        Ok(current) if current.is_pinned => PIN.ok(format!("Mathesar {}, and installed", facts.pinned)),
        Ok(current) if current.held => PIN.ok(format!(
            "Mathesar {}; {} was chosen by hand and stays until `mathesar upgrade`",
            facts.pinned, current.id
        )),
        Ok(current) => PIN
            .warning(format!("Mathesar {}, and {} is installed", facts.pinned, current.id))
            .cause("this launcher brings another release")
            .cure("`mathesar upgrade`"),
        Err(_) => PIN.ok(format!("Mathesar {}", facts.pinned)),
    }
}

fn statics(facts: &Facts) -> Check {
    match &facts.current {
        Err(why) => STATIC.not_checked(why.clone()),
        Ok(current) if current.static_files => STATIC.ok("collected"),
        Ok(current) if current.lacks_files() => {
            STATIC.problem("not collected, and files of the release are missing").cure(FILES_BACK)
        }
        Ok(_) => STATIC
            .problem("not collected, or for another environment")
            .cure("`mathesar restart` collects them; without starting it: `mathesar app install`"),
    }
}
