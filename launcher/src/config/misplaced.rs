//! Folders that settings name, and that lie where Mathesar keeps its own data. Not part of loading: it looks at the disk.

use std::path::{Path, PathBuf};

use super::Config;
use super::problem::Problem;
use super::setting::Setting;
use crate::layout::Layout;

/// What no start goes on with: all that lies in `media.path` is taken for uploaded files, and a restore or an upgrade
/// exchanges it.
pub(crate) fn media(config: &Config, layout: &Layout) -> Option<Problem> {
    let named = config.path("media.path")?;
    let folder = real(&named);
    let state = real(&layout.state);
    if folder == state.join("media") {
        return None;
    }
    let own = [("state", &layout.state), ("settings", &layout.config), ("run", &layout.run)];
    let own = own.into_iter().chain([("cache", &layout.cache)]);
    let (what, own, how) = own.into_iter().find_map(|(what, own)| {
        let own = real(own);
        let how = match () {
            () if folder == own => "is",
            () if folder.starts_with(&own) => "lies in",
            () if own.starts_with(&folder) => "holds",
            () => return None,
        };
        Some((what, own, how))
    })?;
    let named = named.display();
    let problem = Problem::error(format!(
        "`media.path` names {named}, which {how} Mathesar's own {what} folder {}",
        own.display()
    ));
    let help = format!(
        "name a folder for uploaded files alone: `mathesar config set media.path DIR`; or take {}: `mathesar config unset media.path`",
        layout.state.join("media").display()
    );
    Some(at(config, "media.path", problem.help(Some(help))))
}

/// The same for `config check` and its like, which also tell what the next backup is refused for.
pub(crate) fn misplaced(config: &Config, layout: &Layout) -> Vec<Problem> {
    media(config, layout).into_iter().chain(backups(config, layout)).collect()
}

fn backups(config: &Config, layout: &Layout) -> Option<Problem> {
    let folder = config.path("backup.directory")?;
    let failure = crate::backup::place::refuse_inside(&folder, &layout.state).err()?;
    let help = format!(
        "name another folder: `mathesar config set backup.directory DIR`; or take {}: `mathesar config unset backup.directory`",
        layout.state.join("backups").display()
    );
    Some(at(
        config,
        "backup.directory",
        Problem::error(format!("`backup.directory`: {}", failure.whole())).help(Some(help)),
    ))
}

fn at(config: &Config, name: &str, problem: Problem) -> Problem {
    let place = Setting::find(name).and_then(|(index, _)| config.entries[index].place.clone());
    problem.about(name).at(place)
}

/// With no link in it; of one that is still to be made, as far as it is there.
fn real(path: &Path) -> PathBuf {
    path.ancestors()
        .find_map(|there| Some(there.canonicalize().ok()?.join(path.strip_prefix(there).ok()?)))
        .map_or_else(|| path.to_owned(), |real| real.components().collect())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::load::Loaded;
    use super::*;
    use crate::layout::{Environment, Options};

    #[test]
    fn what_lies_among_mathesar_s_own_data() {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().canonicalize().unwrap();
        let home = home.join("home");
        let options = Options { home: Some(home.clone()), instance: None, scope: None };
        let layout = Layout::new(&Environment::default(), &options).unwrap();
        fs::create_dir_all(home.join("state/database")).unwrap();
        std::os::unix::fs::symlink(&home, folder.path().join("link")).unwrap();
        let found = |name: &str, path: &Path| {
            let (section, key) = name.split_once('.').unwrap();
            let text = format!("[{section}]\n{key} = \"{}\"\n", path.display());
            let loaded = Loaded::with_text(Path::new("/c"), &text);
            assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
            let found = misplaced(&loaded.config, &layout);
            let about = found.iter().all(|problem| problem.setting.as_deref() == Some(name));
            assert!(about && found.iter().all(|problem| problem.place.is_some()), "{found:?}");
            found.first().map(|problem| problem.message.clone())
        };
        let state = home.join("state");
        for (path, how) in [
            (state.clone(), "is Mathesar's own state"),
            (state.join("secrets"), "lies in Mathesar's own state"),
            (state.join("database"), "lies in Mathesar's own state"),
            (state.join("media/new"), "lies in Mathesar's own state"),
            (home.join("config/conf.d"), "lies in Mathesar's own settings"),
            (home.join("run"), "is Mathesar's own run"),
            (home.join("cache/x"), "lies in Mathesar's own cache"),
            (home.clone(), "holds Mathesar's own state"),
            (folder.path().join("link"), "holds Mathesar's own state"),
            (folder.path().join("link/state/new"), "lies in Mathesar's own state"),
        ] {
            let message = found("media.path", &path);
            assert!(message.as_ref().is_some_and(|said| said.contains(how)), "{path:?}: {message:?}");
        }
        for path in
            [state.join("media"), home.join("uploads"), folder.path().join("x"), home.join("statement")]
        {
            assert_eq!(found("media.path", &path), None);
        }
        assert!(
            found("backup.directory", &state.join("database")).unwrap().contains("among Mathesar's own data")
        );
        assert_eq!(found("backup.directory", &state.join("backups")), None);
        assert_eq!(found("backup.directory", &folder.path().join("elsewhere")), None);
    }
}
