//! mathesar.conf and what it names.

use std::path::PathBuf;

use super::{Check, Entry, Group, Look};
use crate::config::{self, Kind, Problem, SETTINGS as ALL_SETTINGS, Severity};
use crate::cure;
use crate::foreign;

pub(super) static SETTINGS: Entry = Entry {
    id: "settings",
    group: Group::Settings,
    title: "mathesar.conf",
    doc: "`mathesar.conf`, `conf.d/*.conf`, the `env-file` and the variables `MATHESAR_*` can be read and are valid, all of them.",
};
pub(super) static FILES: Entry = Entry {
    id: "setting-files",
    group: Group::Settings,
    title: "files that settings name",
    doc: "Every file and folder that a setting names exists and can be read by the user that Mathesar runs as.",
};
pub(super) static DEBUG: Entry = Entry {
    id: "debug",
    group: Group::Settings,
    title: "app.debug",
    doc: "`app.debug` is off: it shows errors in full, settings among them, to every visitor.",
};

pub(super) const ENTRIES: &[&Entry] = &[&SETTINGS, &FILES, &DEBUG];

#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub files: Vec<PathBuf>,
    pub errors: Vec<String>,
    pub warnings: Vec<String>,
    /// Named, and not there.
    pub missing: Vec<String>,
    /// Setting and path of what is there, and cannot be read.
    pub unreadable: Vec<(String, PathBuf)>,
    pub debug: bool,
    /// Why others can come in.
    pub public: Option<String>,
}

impl Facts {
    pub fn gather(look: &Look) -> Facts {
        let installation = &look.installation;
        let mut unfit = config::unfit_here(&installation.config);
        // The place of backups has a check of its own.
        unfit.extend(config::misplaced_media(&installation.config, &installation.layout));
        let foreign = foreign::settings(&installation.layout, installation.environment.uid);
        unfit.extend(foreign.map(|foreign| foreign.problem()));
        let of = |severity| {
            let all = look.problems.iter().chain(&unfit);
            all.filter(|problem| problem.severity == severity).map(shown).collect()
        };
        let unreadable =
            ALL_SETTINGS.iter().filter(|setting| matches!(setting.kind, Kind::Path | Kind::Folder));
        let unreadable = unreadable.filter_map(|setting| {
            let path = installation.config.path(setting.name)?;
            let denied = path.exists() && rustix::fs::access(&path, rustix::fs::Access::READ_OK).is_err();
            // A pipe would be waited for, and is refused at a start.
            let odd =
                matches!(setting.kind, Kind::Path) && path.exists() && !path.is_file() && !path.is_dir();
            (denied || odd).then(|| (setting.name.to_owned(), path))
        });
        Facts {
            files: look.files.clone(),
            errors: of(Severity::Error),
            warnings: of(Severity::Warning),
            missing: config::missing_files(&installation.config).iter().map(shown).collect(),
            unreadable: unreadable.collect(),
            debug: installation.config.bool("app.debug"),
            public: super::web::public(installation),
        }
    }
}

/// In one line; the place first.
fn shown(problem: &Problem) -> String {
    let place = match (&problem.path, &problem.place) {
        (Some(path), Some(place)) => {
            let (line, column) = place.line_column();
            format!("{}:{line}:{column}: ", path.display())
        }
        (Some(path), None) => format!("{}: ", path.display()),
        _ => String::new(),
    };
    format!("{place}{}", problem.message)
}

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let settings = match (facts.errors.as_slice(), facts.warnings.as_slice()) {
        ([], []) if facts.files.is_empty() => SETTINGS.ok("there is none, the defaults hold"),
        ([], []) if facts.files.len() == 1 => SETTINGS.ok("valid"),
        ([], []) => SETTINGS.ok(format!("valid, {} files", facts.files.len())),
        ([], warnings) => SETTINGS.warning(warnings.join("\n")).cure("`mathesar config check`"),
        (errors, _) => SETTINGS
            .problem(errors.join("\n"))
            .cure("see the places, and what is meant: `mathesar config check`"),
    };
    let mut wrong = facts.missing.clone();
    wrong.extend(facts.unreadable.iter().map(|(name, path)| {
        format!("`{name}` names {}, which cannot be read, or is no regular file", path.display())
    }));
    let files = match (wrong.is_empty(), facts.unreadable.first()) {
        (true, _) => FILES.ok("all there"),
        (false, None) => {
            FILES.problem(wrong.join("\n")).cure("where each is set: `mathesar config show --origin`")
        }
        (false, Some((_, path))) => FILES
            .problem(wrong.join("\n"))
            .cure(format!("let the user that Mathesar runs as read it: `ls -l {}`", cure::path(path))),
    };
    let debug = match (facts.debug, &facts.public) {
        (false, _) => DEBUG.ok("off"),
        (true, None) => {
            DEBUG.warning("on").cure("`mathesar config unset app.debug`, then `mathesar restart`")
        }
        (true, Some(why)) => DEBUG
            .problem("on, and others can reach Mathesar")
            .cause(why.clone())
            .cure("`mathesar config unset app.debug`, then `mathesar restart`"),
    };
    vec![settings, files, debug]
}
