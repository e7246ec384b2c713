//! For pacman: signed packages, and a signed database by repo-add for each architecture.
//!
//! Whoever reads while it changes: a database and its signature are two files that pacman knows by these names alone. They are renamed one
//! right after the other; who asks for the one before and for the other after that is told of a bad signature, and succeeds when they ask
//! again. pacman has no way around that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use xshell::cmd;

use super::check::hold;
use super::folder::{Texts, conflict, files, place, publish, replace_all, same, sync_parent};
use super::key::Ring;
use super::names::Named;
use super::{Problems, Site, names};
use crate::archive::{Content, Tree};
use crate::{digest, shell};

const ENDING: &str = ".pkg.tar.zst";

/// New packages by the architectures that they are for.
fn by_architecture<'a>(site: &Site<'a>, folder: &Path) -> Result<BTreeMap<String, Vec<(&'a Path, &'a str)>>> {
    let new = site.new_of(ENDING)?;
    let of = |file: &str| names::parse(file).map(|named| named.architecture).unwrap_or_default();
    let mut all: BTreeSet<String> = new.iter().map(|(_, file)| of(file)).filter(|one| one != "any").collect();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            all.insert(entry.file_name().to_string_lossy().into_owned());
        }
    }
    if all.is_empty() {
        all.insert("x86_64".to_owned());
    }
    let mut sorted = BTreeMap::new();
    for architecture in all {
        let fits = |(_, file): &&(&Path, &str)| [architecture.as_str(), "any"].contains(&of(file).as_str());
        let of_it: Vec<_> = new.iter().filter(fits).copied().collect();
        sorted.insert(architecture, of_it);
    }
    Ok(sorted)
}

/// Refused before anything is written.
pub(super) fn conflicts(site: &Site<'_>, folder: &Path) -> Result<()> {
    for (architecture, packages) in by_architecture(site, folder)? {
        let folder = folder.join(&architecture);
        let known = match packages.is_empty() {
            true => BTreeMap::new(),
            false => known(&folder.join(format!("{}.db", site.name)))?,
        };
        for (package, file) in packages {
            let to = folder.join(file);
            // Also of a file that was lost: what its name means was told.
            if !same(package, &to)?
                && let Some(told) = known.get(file)
                && *told != digest::file(package)?
            {
                return Err(conflict(&to));
            }
        }
    }
    Ok(())
}

/// The files by which a machine comes to know the repository.
fn texts(site: &Site<'_>, folder: &Path) -> Result<Texts> {
    let (name, url) = (site.name, site.url);
    let lines = format!("[{name}]\nServer = {url}/pacman/$arch\nSigLevel = Required DatabaseRequired\n");
    Ok(vec![
        (folder.join(format!("{name}.asc")), site.published_text()?),
        (folder.join(format!("{name}.conf")), lines),
    ])
}

pub(super) fn add(site: &Site<'_>, folder: &Path, scratch: &Path) -> Result<bool> {
    let mut changed = false;
    replace_all(texts(site, folder)?)?;
    let ring = Ring::of(&site.published()?)?;
    for (architecture, packages) in by_architecture(site, folder)? {
        let folder = folder.join(&architecture);
        let mut added = Vec::new();
        for (package, file) in packages {
            let (to, signature) = (folder.join(file), folder.join(format!("{file}.sig")));
            // One may be there from a run that was killed before its package followed, which was another build.
            if !signature.exists() || ring.verify(&signature, package).is_err() {
                let fresh = scratch.join("package.sig");
                site.key.sign(&["--detach-sign"], package, &fresh, site.now)?;
                place(&fresh, &signature)?;
            }
            publish(package, &to, scratch)?;
            added.push(to);
        }
        changed |= database(site, &folder, added, scratch)
            .with_context(|| format!("cannot make the database for {architecture}"))?;
    }
    Ok(changed)
}

fn database(site: &Site<'_>, folder: &Path, mut added: Vec<PathBuf>, scratch: &Path) -> Result<bool> {
    let name = site.name;
    let work = scratch.join("database");
    crate::files::remove(&work)?;
    fs::create_dir(&work).with_context(|| format!("cannot create {}", work.display()))?;
    for end in ["db", "files"] {
        let there = folder.join(format!("{name}.{end}"));
        if there.exists() {
            let copy = work.join(format!("{name}.{end}.tar.gz"));
            fs::copy(&there, &copy).with_context(|| format!("cannot copy {}", there.display()))?;
        } else if added.is_empty() {
            return Ok(false);
        }
    }
    let (db, listing) = (work.join(format!("{name}.db.tar.gz")), work.join(format!("{name}.files.tar.gz")));
    if db.exists() && listing.exists() {
        agree(&db, &listing)?;
    }
    added.extend(withdraw(site, folder, &db)?);
    let file_name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Of several versions the newest comes last: the database has one.
    added.sort_by(|a, b| {
        let version = |path| names::parse(&file_name(path)).map(|named| named.version).unwrap_or_default();
        names::compare(&version(a), &version(b))
    });
    let shell = shell::at(&work)?;
    let database = format!("{name}.db.tar.gz");
    if !added.is_empty() {
        // The signatures lie beside the packages, and go into the database.
        cmd!(shell, "repo-add --quiet --prevent-downgrade {database} {added...}")
            .quiet()
            .ignore_stdout()
            .ignore_stderr()
            .run()?;
    }
    let mut fresh = Vec::new();
    for end in ["files", "db"] {
        let (to, made) = (folder.join(format!("{name}.{end}")), work.join(format!("{name}.{end}.tar.gz")));
        let bytes = again(&made)?;
        if !site.again
            && fs::read(&to).is_ok_and(|now| now == bytes)
            && site.is_signed(&signature(&to), Some(&to))
        {
            continue;
        }
        let (plain, signed) = (work.join(end), work.join(format!("{end}.sig")));
        fs::write(&plain, &bytes).with_context(|| format!("cannot write {}", plain.display()))?;
        site.key.sign(&["--detach-sign"], &plain, &signed, site.now)?;
        fresh.push((plain, signed, to));
    }
    let changed = !fresh.is_empty();
    for (plain, signed, to) in fresh {
        for file in [&signed, &plain] {
            let synced = fs::File::open(file).and_then(|file| file.sync_all());
            synced.with_context(|| format!("cannot sync {}", file.display()))?;
        }
        // Nothing between these two.
        let renamed = fs::rename(&signed, signature(&to)).and_then(|()| fs::rename(&plain, &to));
        renamed.with_context(|| format!("cannot replace {}", to.display()))?;
        sync_parent(&to)?;
    }
    Ok(changed)
}

/// Takes a withdrawn version out of a database. Gives the newest of the others, which takes its place.
fn withdraw(site: &Site<'_>, folder: &Path, db: &Path) -> Result<Option<PathBuf>> {
    let entry = |version: &String| Path::new(&format!("{}-{version}", site.name)).join("desc");
    if !db.exists() || site.withdrawn.is_empty() {
        return Ok(None);
    }
    let known = entries(db)?;
    if !site.withdrawn.iter().any(|version| known.contains_key(&entry(version))) {
        return Ok(None);
    }
    let shell = shell::at(folder)?;
    let name = site.name;
    cmd!(shell, "repo-remove --quiet {db} {name}").quiet().ignore_stdout().ignore_stderr().run()?;
    let named = |path: &PathBuf| names::parse(path.file_name()?.to_str()?);
    let mut others: Vec<(Named, PathBuf)> =
        files(folder)?.into_iter().filter_map(|path| Some((named(&path)?, path))).collect();
    others.retain(|(one, _)| one.name == name && !site.is_withdrawn(one));
    Ok(others
        .into_iter()
        .max_by(|(a, _), (b, _)| names::compare(&a.version, &b.version))
        .map(|(_, path)| path))
}

/// A run that was killed between the two left the list of files ahead of the database. repo-add looks for what it replaces in the database alone,
/// and would put the new entry into the one that is there.
fn agree(db: &Path, listing: &Path) -> Result<()> {
    let package = |path: &PathBuf| path.components().next().map(|part| part.as_os_str().to_owned());
    let known: BTreeSet<_> = entries(db)?.keys().filter_map(package).collect();
    let (mut tree, mut all) = (Tree::default(), true);
    for (path, content) in entries(listing)? {
        match package(&path).is_some_and(|package| known.contains(&package)) {
            true => tree.file(path, 0o644, Content::Bytes(content))?,
            false => all = false,
        }
    }
    if all {
        return Ok(());
    }
    fs::write(listing, tree.tar_gz_bare(0)?).with_context(|| format!("cannot write {}", listing.display()))
}

fn signature(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".sig");
    name.into()
}

/// The same entries without the times at which they were made.
fn again(database: &Path) -> Result<Vec<u8>> {
    let mut tree = Tree::default();
    for (path, content) in entries(database)? {
        tree.file(path, 0o644, Content::Bytes(content))?;
    }
    tree.tar_gz_bare(0)
}

/// The digest of each package in a database, by its file's name.
fn known(database: &Path) -> Result<BTreeMap<String, String>> {
    let mut all = BTreeMap::new();
    if !database.exists() {
        return Ok(all);
    }
    for (_, content) in entries(database)?.into_iter().filter(|(path, _)| path.ends_with("desc")) {
        let text = String::from_utf8_lossy(&content).into_owned();
        if let (Some(file), Some(digest)) = (field(&text, "FILENAME"), field(&text, "SHA256SUM")) {
            all.insert(file, digest);
        }
    }
    Ok(all)
}

/// Of a package's description: the line behind its title.
pub(super) fn field(text: &str, name: &str) -> Option<String> {
    text.lines().skip_while(|line| *line != format!("%{name}%")).nth(1).map(str::to_owned)
}

/// Every file in a database.
fn entries(database: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let what = || format!("cannot read {}", database.display());
    let bytes = fs::read(database).with_context(what)?;
    let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(bytes.as_slice()));
    let mut all = BTreeMap::new();
    for entry in archive.entries().with_context(what)? {
        let mut entry = entry.with_context(what)?;
        if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content).with_context(what)?;
            all.insert(entry.path().with_context(what)?.into_owned(), content);
        }
    }
    Ok(all)
}

/// What is there, and what of it belongs to the versions that are kept: the database has the newest alone.
pub(super) fn named(site: &Site<'_>, folder: &Path) -> Result<super::Files> {
    let mut all = Vec::new();
    let mut named = BTreeSet::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        let of = |path: &Path| -> Option<Named> {
            let name = path.file_name()?.to_str()?;
            names::parse(name.strip_suffix(".sig").unwrap_or(name))
        };
        let packages: Vec<PathBuf> =
            files(&entry.path())?.into_iter().filter(|path| of(path).is_some()).collect();
        let kept = names::kept(
            packages.iter().filter_map(|path| of(path)).filter(|one| !site.is_withdrawn(one)),
            site.keeps(),
        );
        named.extend(packages.iter().filter(|path| of(path).is_some_and(|one| kept.contains(&one))).cloned());
        all.extend(packages);
    }
    Ok((all, named))
}

/// Everything that pacman would look at.
pub(super) fn check(site: &Site<'_>, folder: &Path, problems: &mut Problems) -> Result<()> {
    hold(texts(site, folder)?, problems);
    let ring = Ring::of(&site.published()?)?;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(|entry| entry.path().is_dir()) {
        let folder = entry.path();
        for end in ["db", "files"] {
            let database = folder.join(format!("{}.{end}", site.name));
            problems.of(site.key.verify(&signature(&database), Some(&database)));
        }
        for (path, content) in entries(&folder.join(format!("{}.db", site.name)))? {
            if path.file_name().is_none_or(|name| name != "desc") {
                continue;
            }
            let text = String::from_utf8_lossy(&content).into_owned();
            let field =
                |name: &str| field(&text, name).with_context(|| format!("{} lacks %{name}%", path.display()));
            let package = folder.join(field("FILENAME")?);
            let size = field("CSIZE")?.parse().ok();
            problems.of(super::is(&package, &field("SHA256SUM")?, size));
            problems.of(ring.verify(&signature(&package), &package));
        }
    }
    Ok(())
}
