//! For dnf: signed packages, and generations of the index by createrepo_c, each with its signature beside it.
//!
//! Whoever reads while it changes: an index is two files, repomd.xml and its signature, which nothing replaces at once. So each index is a
//! folder of its own that never changes, and `mirrorlist`, one file, names the present one; packages lie beside all of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use xshell::{Shell, cmd};

use super::check::hold;
use super::folder::{Texts, conflict, files, place, replace_all, sync_parent};
use super::key::Ring;
use super::{Problems, Site, names};
use crate::{digest, shell};

/// In each generation: the packages that its index names, for the next one.
const LIST: &str = "packages";
const POOL: &str = "Packages";

/// Refused before anything is written.
pub(super) fn conflicts(site: &Site<'_>, folder: &Path) -> Result<()> {
    for (rpm, file) in site.new_of(".rpm")? {
        is_there(rpm, &folder.join(POOL).join(file))?;
    }
    Ok(())
}

/// The published one is signed, so its bytes are others: what rpm has digested has to be the same.
fn is_there(rpm: &Path, to: &Path) -> Result<bool> {
    if !to.exists() {
        return Ok(false);
    }
    let shell = shell::at(Path::new("/"))?;
    let digests = |rpm: &Path| {
        let format = "%{SHA256HEADER} %{NAME}";
        cmd!(shell, "rpm --query --package --nosignature --queryformat {format} {rpm}")
            .quiet()
            .ignore_stderr()
            .read()
    };
    match digests(rpm)? == digests(to)? {
        true => Ok(true),
        false => Err(conflict(to)),
    }
}

/// The generation that people read.
fn present(folder: &Path) -> Result<Option<PathBuf>> {
    let path = folder.join("mirrorlist");
    if !path.exists() {
        return Ok(None);
    }
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let name = text.trim().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let generation = folder.join("index").join(name);
    ensure!(!name.is_empty() && generation.is_dir(), "{} names no index that is there", path.display());
    Ok(Some(generation))
}

fn listed(generation: &Path) -> Result<BTreeSet<String>> {
    let path = generation.join(LIST);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// The files by which a machine comes to know the repository.
fn texts(site: &Site<'_>, folder: &Path) -> Result<Texts> {
    let (name, url) = (site.name, site.url);
    let source = format!(
        "[{name}]\nname=Mathesar\nmirrorlist={url}/dnf/mirrorlist\nenabled=1\ngpgcheck=1\nrepo_gpgcheck=1\n\
         gpgkey={url}/dnf/{name}.asc\nmetadata_expire=6h\n"
    );
    Ok(vec![
        (folder.join(format!("{name}.asc")), site.published_text()?),
        (folder.join(format!("{name}.repo")), source),
    ])
}

/// The one file that names a generation.
fn list(site: &Site<'_>, folder: &Path, generation: &str) -> (PathBuf, String) {
    (folder.join("mirrorlist"), format!("{}/dnf/index/{generation}/\n", site.url))
}

pub(super) fn add(site: &Site<'_>, folder: &Path, scratch: &Path) -> Result<bool> {
    let shell = shell::at(folder)?;
    replace_all(texts(site, folder)?)?;
    let before = present(folder)?;
    let mut packages = match &before {
        Some(generation) => listed(generation)?,
        None => BTreeSet::new(),
    };
    for (rpm, file) in site.new_of(".rpm")? {
        let to = folder.join(POOL).join(file);
        if !is_there(rpm, &to)? {
            publish(site, &shell, rpm, &to, scratch)?;
        }
        packages.insert(format!("{POOL}/{file}"));
    }
    let named = |path: &String| names::parse(path.rsplit('/').next().unwrap_or_default());
    let kept =
        names::kept(packages.iter().filter_map(named).filter(|one| !site.is_withdrawn(one)), site.keeps());
    packages.retain(|path| named(path).is_some_and(|one| kept.contains(&one)));
    if let Some(before) = &before
        && !site.again
        && listed(before)? == packages
        && site.is_signed(&before.join("repodata/repomd.xml.asc"), Some(&before.join("repodata/repomd.xml")))
    {
        return Ok(false);
    }
    let generation = index(site, &shell, folder, before.as_deref(), &packages, scratch)?;
    // From here on everybody reads the new one.
    replace_all(vec![list(site, folder, &generation)]).map(|()| true)
}

fn publish(site: &Site<'_>, shell: &Shell, rpm: &Path, to: &Path, scratch: &Path) -> Result<()> {
    let fresh = scratch.join(to.file_name().context("a package without a name")?);
    fs::copy(rpm, &fresh).with_context(|| format!("cannot copy {}", rpm.display()))?;
    // Not every build of rpm knows where gpg is.
    let gpg = site.tools.find("gpg").context("gpg is not on PATH")?;
    let gpg = format!("__gpg {}", gpg.display());
    let key = format!("_gpg_name {}", site.key.fingerprint);
    let time = format!("_gpg_sign_cmd_extra_args --faked-system-time {}", super::key::frozen(site.now));
    let mut sign = cmd!(shell, "rpmsign --define {gpg} --define {key} --define {time} --addsign {fresh}");
    for (variable, value) in site.key.environment() {
        sign = sign.env(variable, value);
    }
    sign.quiet().ignore_stdout().ignore_stderr().run()?;
    // The index tells a file's time: that of its publication, whoever makes the index.
    let time = fs::FileTimes::new().set_modified(site.now.into());
    let set = fs::File::options().write(true).open(&fresh).and_then(|file| file.set_times(time));
    set.with_context(|| format!("cannot set the time of {}", fresh.display()))?;
    place(&fresh, to)
}

/// A new generation; its name.
fn index(
    site: &Site<'_>,
    shell: &Shell,
    folder: &Path,
    before: Option<&Path>,
    packages: &BTreeSet<String>,
    scratch: &Path,
) -> Result<String> {
    let fresh = scratch.join("index");
    fs::create_dir(&fresh).with_context(|| format!("cannot create {}", fresh.display()))?;
    let list = fresh.join(LIST);
    let text: String = packages.iter().map(|path| format!("{path}\n")).collect();
    fs::write(&list, text).with_context(|| format!("cannot write {}", list.display()))?;
    let revision = site.now.as_second().to_string();
    // What the last index says of packages that have not changed is taken over: their names hold their versions.
    let update: Vec<String> = match before {
        Some(before) => {
            vec!["--update".into(), "--skip-stat".into(), format!("--update-md-path={}", before.display())]
        }
        None => Vec::new(),
    };
    cmd!(
        shell,
        "createrepo_c --quiet --no-database --unique-md-filenames --revision {revision} --set-timestamp-to-revision
         --location-prefix ../.. --pkglist {list} {update...} --outputdir {fresh} ."
    )
    .quiet()
    .ignore_stderr()
    .run()?;
    let data = fresh.join("repodata");
    let index = data.join("repomd.xml");
    site.key.sign(&["--armor", "--detach-sign"], &index, &data.join("repomd.xml.asc"), site.now)?;
    // The same packages at the same time and another key are another one.
    let mut named = fs::read(&index).with_context(|| format!("cannot read {}", index.display()))?;
    named.extend(site.key.fingerprint.as_bytes());
    let name = digest::bytes(&named)[..16].to_owned();
    let to = folder.join("index").join(&name);
    if to.exists() {
        // The same index, from a run that was killed before it named it.
        return Ok(name);
    }
    for file in files(&fresh)? {
        let synced = fs::File::open(&file).and_then(|file| file.sync_all());
        synced.with_context(|| format!("cannot sync {}", file.display()))?;
    }
    fs::create_dir_all(folder.join("index")).context("cannot create the folder of indices")?;
    fs::rename(&fresh, &to).with_context(|| format!("cannot rename {}", fresh.display()))?;
    sync_parent(&to)?;
    Ok(name)
}

/// What is there, and what of it the present index names. A generation counts as one.
pub(super) fn named(_: &Site<'_>, folder: &Path) -> Result<super::Files> {
    let mut all = files(&folder.join(POOL))?;
    for entry in fs::read_dir(folder.join("index")).into_iter().flatten().flatten() {
        all.push(entry.path());
    }
    all.sort();
    let mut named = BTreeSet::new();
    if let Some(generation) = present(folder)? {
        named.extend(listed(&generation)?.iter().map(|path| folder.join(path)));
        named.insert(generation);
    }
    Ok((all, named))
}

/// Everything that dnf would look at.
pub(super) fn check(site: &Site<'_>, folder: &Path, problems: &mut Problems) -> Result<()> {
    let Some(generation) = present(folder)? else {
        problems.add(format!("{} is missing", folder.join("mirrorlist").display()));
        return Ok(());
    };
    let mut wanted = texts(site, folder)?;
    let name = generation.file_name().unwrap_or_default().to_string_lossy();
    wanted.push(list(site, folder, &name));
    hold(wanted, problems);
    let index = generation.join("repodata/repomd.xml");
    problems.of(site.key.verify(&generation.join("repodata/repomd.xml.asc"), Some(&index)));
    let text = fs::read_to_string(&index).with_context(|| format!("cannot read {}", index.display()))?;
    let all = data(&text).with_context(|| format!("cannot understand {}", index.display()))?;
    for (file, sum) in &all {
        problems.of(super::is(&generation.join(file), sum, None));
    }
    let primary =
        all.iter().find(|(file, _)| file.contains("primary.xml")).map(|(file, _)| generation.join(file));
    let primary = primary.with_context(|| format!("{} names no list of packages", index.display()))?;
    let shell = shell::at(folder)?;
    let text = match primary.extension().and_then(|end| end.to_str()) {
        Some("zst") => cmd!(shell, "zstd --decompress --stdout {primary}").quiet().read()?,
        _ => cmd!(shell, "gzip --decompress --stdout {primary}").quiet().read()?,
    };
    let mut indexed = BTreeSet::new();
    for package in text.split("<package ").skip(1) {
        let (Some(href), Some(sum)) = (
            between(package, "<location href=\"", "\""),
            between(package, "<checksum type=\"sha256\" pkgid=\"YES\">", "<"),
        ) else {
            bail!("cannot understand {}", primary.display());
        };
        let file = href.trim_start_matches("../");
        problems.of(super::is(&folder.join(file), sum, None));
        indexed.insert(file.to_owned());
    }
    if indexed != listed(&generation)? {
        problems.add(format!("{} names other packages than it was made of", primary.display()));
    }
    let rpms: Vec<PathBuf> = indexed.iter().map(|file| folder.join(file)).collect();
    problems.of(Ring::verify_rpms(&site.published()?, &rpms));
    Ok(())
}

/// What a repomd.xml names, with the digests. None: it cannot be understood.
pub(super) fn data(index: &str) -> Option<Vec<(String, String)>> {
    let one = |data: &str| {
        let href = between(data, "<location href=\"", "\"")?;
        Some((href.to_owned(), between(data, "<checksum type=\"sha256\">", "<")?.to_owned()))
    };
    let all: Vec<_> = index.split("<data ").skip(1).map(one).collect::<Option<_>>()?;
    (!all.is_empty()).then_some(all)
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(value, _)| value)
}
