//! Identity, release, dependencies and the formats' tables against each other.

use super::super::check::{MAIN_CATEGORIES, logical_name};
use super::super::problem::Problem;
use super::super::{Distribution, Names, changelog};
use super::{Facts, files};

pub(super) fn check(facts: &mut Facts<'_>) {
    versions(facts);
    history(facts);
    identity(facts);
    ranges(facts);
    dependencies(facts);
    scripts(facts);
    formats(facts);
}

/// A package has the version of the Mathesar that it ships, and Cargo wants three numbers.
fn versions(facts: &mut Facts<'_>) {
    let manifest = facts.manifest;
    let Some(package) = facts.at("package/version") else { return };
    if manifest.package.version.split('.').count() != 3 {
        let title = format!("bad version `{}`", manifest.package.version);
        return facts.say(Problem::new(title, package, "three numbers, as Cargo's versions have"));
    }
    let Some(app) = facts.at("app/version") else { return };
    if manifest.package.version != manifest.app.version {
        let title = format!("`app.version` is not `package.version`: `{}`", manifest.app.version);
        let problem = Problem::new(title, app, format!("expected `{}`", manifest.package.version));
        facts.say(problem.and(package, "the package's version").help("cargo xtask pin VERSION writes both"));
    }
}

/// The changelog can be read, and its newest entry is this package's: Debian's changelog is made from it, whose first
/// entry is the package's version (Debian Policy 4.4).
fn history(facts: &mut Facts<'_>) {
    let package = &facts.manifest.package;
    let Some(span) = facts.at("package/changelog") else { return };
    let path = &package.changelog;
    let text = match std::fs::read_to_string(facts.root.join(path)) {
        Ok(text) => text,
        Err(error) => {
            let mut problem = Problem::new(format!("cannot read `{path}`"), span, error.to_string());
            problem.help = files::exists(facts.root, path).err().and_then(|(_, help)| help);
            return facts.say(problem);
        }
    };
    let releases = match changelog::parse(&text) {
        Ok(releases) => releases,
        Err(error) => {
            return facts.say(Problem::new(format!("cannot read `{path}`"), span, format!("{error:#}")));
        }
    };
    let both = facts.at("package/version").zip(facts.at("package/revision"));
    let Some((version, revision)) = both.filter(|_| package.version.split('.').count() == 3) else { return };
    let full = format!("{}-{}", package.version, package.revision);
    if let Some(newest) = releases.first().filter(|newest| newest.version != full) {
        let here =
            if newest.version.starts_with(&format!("{}-", package.version)) { revision } else { version };
        let start = if text.starts_with("## ") { 0 } else { text.find("\n## ").map_or(0, |at| at + 1) };
        let end = text[start..].find('\n').map_or(text.len(), |length| start + length);
        let title = format!("`{path}` has no entry for {full}");
        let problem = Problem::new(title, here, format!("this is {full}"));
        let problem = problem.elsewhere(path, &text, start..end, "the newest entry");
        facts.say(problem.help("cargo xtask bump"));
    }
}

fn identity(facts: &mut Facts<'_>) {
    let package = &facts.manifest.package;
    // Debian's Developer's Reference 6.2.2: the name is shown beside it.
    if let Some(span) = facts.at("package/summary").filter(|_| facts.at("package/name").is_some()) {
        let first = package.summary.split([' ', ':', ',']).next().unwrap_or_default().to_lowercase();
        if first == package.name || first == package.display_name.to_lowercase() {
            facts.say(Problem::new(
                "the summary begins with the package's name",
                span,
                "the name is shown beside it",
            ));
        }
    }
    if let Some(span) = facts.at("package/display-name").filter(|_| package.display_name.len() > 60) {
        facts.say(Problem::new("the display name is too long", span, "60 bytes at most"));
    }
    if let Some((span, first)) = facts.at("package/categories/0").zip(package.categories.first())
        && !MAIN_CATEGORIES.contains(&first.as_str())
    {
        let problem =
            Problem::new(format!("`{first}` is no main category"), span, "expected a main one first");
        facts.say(problem.help(format!("main categories: {}", MAIN_CATEGORIES.join(", "))));
    }
    for (path, what, empty) in [
        ("package/categories", "category", package.categories.is_empty()),
        ("package/targets", "target", package.targets.is_empty()),
        ("file", "file", facts.manifest.file.is_empty()),
    ] {
        if let Some(span) = facts.at(path).filter(|_| empty) {
            facts.say(Problem::new(format!("no {what}"), span, "expected one at least"));
        }
    }
    for (index, target) in package.targets.iter().enumerate() {
        let Some(span) = facts.at(&format!("package/targets/{index}")) else { return };
        if package.targets[..index].contains(target) {
            facts.say(Problem::new(format!("target `{}` twice", target.triple()), span, "named before"));
        }
    }
}

fn minor(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

fn ranges(facts: &mut Facts<'_>) {
    let app = &facts.manifest.app;
    let python = &app.python;
    if let Some((low, high)) = facts.at("app/python/min").zip(facts.at("app/python/max"))
        && let Some((min, max)) = minor(&python.min).zip(minor(&python.max))
    {
        if min > max {
            let problem = Problem::new("no Python is in the range", low.clone(), "newer than the newest");
            facts.say(problem.and(high.clone(), "the newest"));
        }
        for (index, prefer) in python.prefer.iter().enumerate() {
            let Some(span) = facts.at(&format!("app/python/prefer/{index}")) else { continue };
            if min <= max && minor(prefer).is_some_and(|prefer| !(min..=max).contains(&prefer)) {
                let title = format!("preferred Python {prefer} is not supported");
                let label = format!("not from {} to {}", python.min, python.max);
                facts.say(Problem::new(title, span, label));
            }
        }
    }
    if let Some((low, high)) = facts.at("app/postgresql/min").zip(facts.at("app/postgresql/max")) {
        // Since 10 the first number alone is the major version.
        if app.postgresql.min < 10 || app.postgresql.max > 99 {
            let span = if app.postgresql.min < 10 { low } else { high };
            facts.say(Problem::new(
                "no major version of PostgreSQL",
                span,
                "expected a number from 10 to 99",
            ));
        } else if app.postgresql.min > app.postgresql.max {
            let problem = Problem::new("no PostgreSQL is in the range", low, "newer than the newest");
            facts.say(problem.and(high, "the newest"));
        } else if let Some(span) = facts.at("flatpak/postgresql/version") {
            let version = &facts.manifest.flatpak.postgresql.version;
            let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
            if major.is_some_and(|major| !(app.postgresql.min..=app.postgresql.max).contains(&major)) {
                let title = format!("the Flatpak's PostgreSQL {version} is not supported");
                let label = format!("not from {} to {}", app.postgresql.min, app.postgresql.max);
                facts.say(Problem::new(title, span, label));
            }
        }
    }
    if let Some(span) = facts.at("app/size").filter(|_| app.size == Some(0)) {
        facts.say(Problem::new("an empty release", span, "expected the tarball's size in bytes"));
    }
}

fn dependencies(facts: &mut Facts<'_>) {
    let manifest = facts.manifest;
    for (logical, dependency) in &manifest.dependency {
        let path = format!("dependency/{logical}");
        let Some(span) = facts.at(&path) else { continue };
        if !logical_name(logical) {
            let title = format!("bad dependency name `{logical}`");
            facts.say(Problem::new(title, span.clone(), "lower-case letters, digits and `-`"));
        }
        let needed = dependency.names.values().any(|names| !matches!(names, Names::None(_)));
        if !needed && facts.at(&format!("{path}/names")).is_some() {
            facts.say(Problem::new(
                format!("nobody needs `{logical}`"),
                span,
                "no distribution has a name for it",
            ));
        }
        for distribution in dependency.names.keys() {
            twice(facts, &path, *distribution, &dependency.names[distribution]);
        }
    }
}

fn twice(facts: &mut Facts<'_>, path: &str, distribution: Distribution, names: &Names) {
    let Names::AnyOf(any) = names else { return };
    for (index, name) in any.iter().enumerate() {
        let id = distribution.id();
        let Some(span) = facts.at(&format!("{path}/names/{id}/{index}")) else { continue };
        if any[..index].contains(name) {
            facts.say(Problem::new(format!("`{name}` twice for {id}"), span, "named before"));
        }
    }
}

/// The scripts' folders are there. cargo-deb and debhelper put their parts where `#DEBHELPER#` stands.
fn scripts(facts: &mut Facts<'_>) {
    let manifest = facts.manifest;
    for (path, folder) in [("deb/scripts", &manifest.deb.scripts), ("rpm/scripts", &manifest.rpm.scripts)] {
        let Some(span) = facts.at(path) else { continue };
        if !facts.root.join(folder).is_dir() {
            facts.say(Problem::new(
                format!("cannot find the folder `{folder}`"),
                span,
                "not in the repository",
            ));
            continue;
        }
        for name in ["preinst", "postinst", "prerm", "postrm"].into_iter().filter(|_| path == "deb/scripts") {
            let file = format!("{folder}/{name}");
            let Ok(text) = std::fs::read_to_string(facts.root.join(&file)) else { continue };
            if !text.lines().any(|line| line.trim() == "#DEBHELPER#") {
                let title = format!("`{file}` has no line `#DEBHELPER#`");
                facts.say(Problem::new(title, span.clone(), "what is generated goes there"));
            }
        }
    }
}

fn formats(facts: &mut Facts<'_>) {
    let manifest = facts.manifest;
    // AUR submission guidelines: packages of prebuilt files end in -bin.
    if let Some(span) = facts.at("arch/aur-name").filter(|_| !manifest.arch.aur_name.ends_with("-bin")) {
        let name = &manifest.arch.aur_name;
        let problem = Problem::new(
            format!("AUR name `{name}` does not end in `-bin`"),
            span,
            "made from a binary tarball",
        );
        facts.say(problem.help(format!("did you mean `{name}-bin`?")));
    }
    for (index, argument) in manifest.flatpak.finish_args.iter().enumerate() {
        let Some(span) = facts.at(&format!("flatpak/finish-args/{index}")) else { continue };
        if manifest.flatpak.finish_args[..index].contains(argument) {
            facts.say(Problem::new(format!("`{argument}` twice"), span, "named before"));
        }
    }
}
