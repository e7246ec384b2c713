//! Each `[[file]]` entry: its source is there, and its destination is where files of its kind are looked for.

use std::path::Path;

use super::super::check::fits;
use super::super::problem::{Problem, did_you_mean};
use super::super::{FileEntry, Kind};
use super::{Facts, file_name};

pub(super) fn check(facts: &mut Facts<'_>) {
    let manifest = facts.manifest;
    for (index, entry) in manifest.file.iter().enumerate() {
        let path = format!("file/{index}");
        source(facts, entry, &path);
        channels(facts, entry, &path);
        owner(facts, entry, &path);
        // rpmlint's non-executable-in-bin.
        if let Some(span) = facts.at(&format!("{path}/mode"))
            && entry.kind == Kind::Binary
            && facts.at(&format!("{path}/kind")).is_some()
            && entry.mode().is_ok_and(|mode| mode & 0o111 != 0o111)
        {
            let problem = Problem::new("a program that not everyone may run", span, "expected `0755`");
            facts.say(problem.help("`mode` may be left out"));
        }
        let both = facts.at(&format!("{path}/source")).zip(facts.at(&format!("{path}/dest")));
        let Some((_, span)) = both.filter(|_| facts.at(&format!("{path}/kind")).is_some()) else { continue };
        if entry.source.contains('*') && !entry.dest.ends_with('/') {
            let problem = Problem::new("a pattern is installed as one file", span, "expected a directory");
            facts.say(problem.help(format!("did you mean `{}/`?", entry.dest)));
        } else if let Err((label, help)) = place(entry) {
            let title = format!("{} in the wrong place", said(entry.kind));
            let mut problem = Problem::new(title, span, label);
            problem.help = help;
            facts.say(problem);
        }
    }
}

/// A package makes no user but the service's: another one may not be there, and the installation would fail.
fn owner(facts: &mut Facts<'_>, entry: &FileEntry, path: &str) {
    let service = &facts.manifest.service;
    for (key, value, own) in [("owner", &entry.owner, &service.user), ("group", &entry.group, &service.group)]
    {
        let Some(name) = value.as_ref().filter(|name| *name != "root" && *name != own) else { continue };
        let there = facts.at(&format!("{path}/{key}")).filter(|_| facts.at(&service_key(key)).is_some());
        let Some(span) = there else { continue };
        let label = format!("expected `root` or the service's, `{own}`");
        let problem = Problem::new(format!("no package makes the {} `{name}`", said_of(key)), span, label);
        facts.say(match did_you_mean(name, [own.as_str(), "root"]) {
            Some(near) => problem.help(format!("did you mean `{near}`?")),
            None => problem,
        });
    }
}

fn service_key(key: &str) -> String {
    format!("service/{}", said_of(key))
}

fn said_of(key: &str) -> &str {
    if key == "owner" { "user" } else { key }
}

fn source(facts: &mut Facts<'_>, entry: &FileEntry, path: &str) {
    let Some(span) = facts.at(&format!("{path}/source")) else { return };
    if entry.source.starts_with("build:") {
        // Flatpak and Homebrew run the program by the package's name, and its pages have that name as well.
        let name = &facts.manifest.package.name;
        if let Some(program) = entry.source.strip_prefix("build:bin/").filter(|program| program != name)
            && let Some(named) = facts.at("package/name")
        {
            let title = format!("the package `{name}` is not named as its program");
            let problem = Problem::new(title, named, format!("expected `{program}`"));
            facts.say(problem.and(span, "the program"));
        }
        return;
    }
    if let Err((title, help)) = exists(facts.root, &entry.source) {
        let mut problem = Problem::new(title, span, "not in the repository");
        problem.help = help;
        facts.say(problem);
    }
}

/// That a source, perhaps with `*` in its last component, is a file.
pub(super) fn exists(root: &Path, source: &str) -> Result<(), (String, Option<String>)> {
    let (folder, name) = source.rsplit_once('/').unwrap_or(("", source));
    let out = |title: String| Err((format!("{title} leads out of the repository"), None));
    if !source.contains('*') && root.join(source).is_file() {
        return if leads_out(root, &root.join(source)) { out(format!("`{source}`")) } else { Ok(()) };
    }
    let mut names = Vec::new();
    for item in root.join(folder).read_dir().into_iter().flatten().flatten() {
        if item.path().is_file() {
            if source.contains('*')
                && fits(name, &item.file_name().to_string_lossy())
                && leads_out(root, &item.path())
            {
                return out(format!("`{}`, which fits `{source}`,", item.file_name().to_string_lossy()));
            }
            names.push(item.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    if source.contains('*') {
        return match names.iter().any(|found| fits(name, found)) {
            true => Ok(()),
            false => Err((format!("no file fits `{source}`"), None)),
        };
    }
    if root.join(source).is_dir() {
        let help = format!("its files: `{}/*`", source.trim_end_matches('/'));
        return Err((format!("`{source}` is a directory"), Some(help)));
    }
    let help = did_you_mean(name, names.iter().map(String::as_str)).map(|near| {
        let slash = if folder.is_empty() { "" } else { "/" };
        format!("did you mean `{folder}{slash}{near}`?")
    });
    Err((format!("cannot find `{source}`"), help))
}

/// Whether a path ends outside the checkout, by a link on the way or at its end: what is there would be in the package, and is in no
/// commit.
fn leads_out(root: &Path, path: &Path) -> bool {
    match (root.canonicalize(), path.canonicalize()) {
        (Ok(root), Ok(path)) => !path.starts_with(root),
        _ => true,
    }
}

fn channels(facts: &mut Facts<'_>, entry: &FileEntry, path: &str) {
    let Some(span) = facts.at(&format!("{path}/channels")) else { return };
    let Some(channels) = &entry.channels else { return };
    let mut seen = Vec::new();
    for (index, channel) in channels.iter().enumerate() {
        let Some(span) = facts.at(&format!("{path}/channels/{index}")) else { return };
        if seen.contains(channel) {
            facts.say(Problem::new("a channel named twice", span, "named before"));
        }
        seen.push(*channel);
    }
    if channels.is_empty() {
        let problem = Problem::new("a file that no channel installs", span, "no channel");
        facts.say(problem.help("without `channels` every channel installs it"));
    }
}

fn said(kind: Kind) -> &'static str {
    match kind {
        Kind::Binary => "a program",
        Kind::Config => "a configuration file",
        Kind::Unit => "a systemd unit",
        Kind::Sysusers => "a sysusers.d file",
        Kind::Tmpfiles => "a tmpfiles.d file",
        Kind::Man => "a manual page",
        Kind::Completion => "a completion",
        Kind::Desktop => "a desktop entry",
        Kind::Metainfo => "AppStream metainfo",
        Kind::Icon => "an icon",
        Kind::Doc => "documentation",
        Kind::License => "a licence",
        Kind::Data => "a data file",
    }
}

/// Folder and ending that files of a kind have, where one specification says so.
fn fixed(kind: Kind) -> Option<(&'static [&'static str], &'static [&'static str], &'static str)> {
    Some(match kind {
        // systemd.unit(5), "Unit File Load Path": packages use /usr/lib.
        Kind::Unit => (
            &["/usr/lib/systemd/system/", "/usr/lib/systemd/user/"],
            &[".service", ".socket", ".timer", ".target", ".path", ".mount", ".slice"],
            "systemd.unit(5)",
        ),
        Kind::Sysusers => (&["/usr/lib/sysusers.d/"], &[".conf"], "sysusers.d(5)"),
        Kind::Tmpfiles => (&["/usr/lib/tmpfiles.d/"], &[".conf"], "tmpfiles.d(5)"),
        // Where each shell looks: bash-completion's README, zsh's site and Debian's vendor folder, fish's documentation.
        Kind::Completion => (
            &[
                "/usr/share/bash-completion/completions/",
                "/usr/share/zsh/site-functions/",
                "/usr/share/zsh/vendor-completions/",
                "/usr/share/fish/vendor_completions.d/",
            ],
            &[""],
            "where the shells look",
        ),
        // Desktop Entry Specification, "File naming", and XDG Base Directory's data directories.
        Kind::Desktop => (&["/usr/share/applications/"], &[".desktop"], "the Desktop Entry Specification"),
        // AppStream 2.1.
        Kind::Metainfo => (&["/usr/share/metainfo/"], &[".metainfo.xml"], "AppStream 2.1"),
        // Icon Theme Specification, "Directory Layout".
        Kind::Icon => (
            &["/usr/share/icons/", "/usr/share/pixmaps/"],
            &[".svg", ".png", ".xpm"],
            "the Icon Theme Specification",
        ),
        // FHS 4.11.5 and Debian Policy 12.3.
        Kind::Doc => (&["/usr/share/doc/"], &[""], "Debian Policy 12.3"),
        // Debian Policy 12.5; Fedora's and Arch's /usr/share/licenses.
        Kind::License => {
            (&["/usr/share/licenses/", "/usr/share/doc/"], &[""], "where licences are looked for")
        }
        // FHS 4.4, 4.7, 4.10.
        Kind::Binary => {
            (&["/usr/bin/", "/usr/sbin/", "/usr/libexec/", "/usr/lib/"], &[""], "FHS 4.4 and 4.7")
        }
        // Debian Policy 10.7.2: configuration files are below /etc; so do rpmlint's non-etc-or-var-file-marked-as-conffile
        // and Arch's backup array.
        Kind::Config => (&["/etc/"], &[""], "Debian Policy 10.7.2"),
        Kind::Man | Kind::Data => return None,
    })
}

type Misplaced = (String, Option<String>);

fn place(entry: &FileEntry) -> Result<(), Misplaced> {
    let dest = &entry.dest;
    // A destination that ends in `/` keeps the source's name.
    let name = if dest.ends_with('/') { file_name(&entry.source) } else { file_name(dest) };
    if let Some((folders, endings, whose)) = fixed(entry.kind) {
        if !folders.iter().any(|folder| dest.starts_with(folder)) {
            return Err((format!("expected {}", folders.join(" or ")), Some(format!("rule: {whose}"))));
        }
        if !endings.iter().any(|ending| name.ends_with(ending)) {
            let label = format!("expected a name that ends in {}", endings.join(", "));
            return Err((label, Some(format!("rule: {whose}"))));
        }
    }
    match entry.kind {
        Kind::Man => man(dest, name)?,
        Kind::Completion => completion(dest, name, file_name(&entry.source))?,
        _ => {}
    }
    if entry.kind != Kind::Config && dest.starts_with("/etc/") {
        // Debian Policy 10.7.3; rpmlint's non-conffile-in-etc.
        return Err(("a file below /etc is the administrator's".into(), Some("`kind = \"config\"`".into())));
    }
    if entry.kind != Kind::Binary && (dest.starts_with("/usr/bin/") || dest.starts_with("/usr/sbin/")) {
        return Err(("only programs go here".into(), Some("`kind = \"binary\"`".into())));
    }
    if entry.kind == Kind::Data
        && ["/usr/share/man/", "/usr/share/applications/", "/usr/lib/systemd/system/"]
            .iter()
            .any(|folder| dest.starts_with(folder))
    {
        return Err(("files here are of another kind than `data`".into(), None));
    }
    Ok(())
}

/// FHS 4.11.7 and man-pages(7): section N is below manN.
fn man(dest: &str, name: &str) -> Result<(), Misplaced> {
    let section = name.rsplit_once('.').map_or("", |(_, section)| section);
    if matches!(section, "gz" | "bz2" | "xz" | "zst") {
        return Err(("the channels compress pages themselves".into(), None));
    }
    let digit = section.chars().next().filter(|digit| ('1'..='8').contains(digit));
    let Some(digit) = digit else {
        return Err((format!("`{name}` does not end in a section, as `.1`"), None));
    };
    let folder = dest.rsplit_once('/').map_or("", |(folder, _)| folder);
    if !dest.starts_with("/usr/share/man/") {
        return Err((
            "expected /usr/share/man/".into(),
            Some(format!("did you mean `/usr/share/man/man{digit}/`?")),
        ));
    }
    if !folder.ends_with(&format!("/man{digit}")) {
        let label = format!("a page of section {digit} belongs below `man{digit}`");
        return Err((label, Some(format!("did you mean `/usr/share/man/man{digit}/`?"))));
    }
    Ok(())
}

/// zsh loads functions whose file begins with `_`, fish `NAME.fish`, bash a file named as the command.
fn completion(dest: &str, name: &str, source: &str) -> Result<(), Misplaced> {
    let wrong = if dest.contains("/zsh/") {
        !name.starts_with('_') || source.ends_with(".fish") || source.ends_with(".bash")
    } else if dest.contains("/fish/") {
        !name.ends_with(".fish") || !source.ends_with(".fish")
    } else {
        name.starts_with('_') || source.starts_with('_') || source.ends_with(".fish")
    };
    match wrong {
        true => Err((
            format!("`{source}` as `{name}` is no completion of this shell"),
            Some("bash: `NAME`, zsh: `_NAME`, fish: `NAME.fish`".into()),
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_below_the_root_also_by_its_links() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("root"), folder.path().join("secret"));
        std::fs::create_dir_all(root.join("files")).unwrap();
        std::fs::write(&outside, "").unwrap();
        std::fs::write(root.join("files/a.1"), "").unwrap();
        let link = |target: &Path, name: &str| std::os::unix::fs::symlink(target, root.join(name)).unwrap();
        link(Path::new("a.1"), "files/inside.5");
        link(&outside, "files/out.conf");
        link(folder.path(), "way");
        for good in ["files/a.1", "files/*.1", "files/inside.5", "files/*.5"] {
            assert_eq!(exists(&root, good), Ok(()), "{good}");
        }
        for bad in ["files/out.conf", "files/*.conf", "way/secret", "way/*"] {
            let (title, _) = exists(&root, bad).unwrap_err();
            assert!(title.ends_with("leads out of the repository"), "{bad}: {title}");
        }
    }
}
