//! What the packages of an environment say that they consist of, compared with what is there. Installers write a package's
//! files one after another, and take one whose name they find for a whole one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use super::digest;
use crate::failure::Failure;

/// How closely files are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// They are there, of the size that was written down.
    Sizes,
    /// And hold what was written down.
    Digests,
}

/// What is wrong with a package's files, by their paths below `site-packages`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damage {
    pub missing: BTreeSet<String>,
    pub changed: BTreeSet<String>,
    /// Nothing says that it is installed at all.
    pub absent: bool,
}

impl Damage {
    fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.changed.is_empty() && !self.absent
    }

    pub fn files(&self) -> impl Iterator<Item = &String> {
        self.missing.iter().chain(&self.changed)
    }
}

/// The packages that are not whole, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damaged(pub BTreeMap<String, Damage>);

impl Damaged {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn names(&self) -> impl Iterator<Item = &String> {
        self.0.keys()
    }

    /// What is wrong with each.
    pub fn lines(&self) -> Vec<String> {
        let say = |name: &str, what: &str, files: &BTreeSet<String>| match (files.first(), files.len()) {
            (None, _) => None,
            (Some(file), 1) => Some(format!("{name} {what} {file}")),
            (Some(file), count) => Some(format!("{name} {what} {count} files, {file} among them")),
        };
        let of = |(name, damage): (&String, &Damage)| {
            let absent = damage.absent.then(|| format!("{name} is not installed"));
            let lacks = say(name, "lacks", &damage.missing);
            absent.into_iter().chain(lacks).chain(say(name, "has another content in", &damage.changed))
        };
        self.0.iter().flat_map(of).collect()
    }

    /// Without files that are known to be so.
    pub(super) fn without(mut self, known: &dyn Fn(&str, &str) -> bool) -> Damaged {
        for (name, damage) in &mut self.0 {
            damage.missing.retain(|file| !known(name, file));
            damage.changed.retain(|file| !known(name, file));
        }
        self.0.retain(|_, damage| !damage.is_empty());
        self
    }

    /// With these, which are not there.
    pub(super) fn and_absent(mut self, names: &BTreeSet<String>) -> Damaged {
        for name in names {
            self.0.entry(name.clone()).or_default().absent = true;
        }
        self
    }
}

impl fmt::Display for Damaged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        let mut lines = self.lines();
        let more = lines.split_off(lines.len().min(SHOWN)).len();
        if more > 0 {
            lines.push(format!("and {more} more"));
        }
        f.write_str(&lines.join("; "))
    }
}

/// Compares each package with its RECORD. Bytecode is not compared: it is made here. Of files outside `site-packages`, as
/// `bin/gunicorn`, it counts that they are there: their first line is written for this environment.
pub fn damaged(environment: &Path, look: Look) -> Result<Damaged, Failure> {
    let mut all = Damaged::default();
    for site in sites(environment)? {
        for entry in entries(&site)? {
            let folder = entry.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let Some(named) = folder.strip_suffix(".dist-info") else { continue };
            let name = named.rsplit_once('-').map_or(named, |(name, _)| name);
            let damage = compare(&site, &folder, look)?;
            if !damage.is_empty() {
                all.0.insert(name.to_owned(), damage);
            }
        }
    }
    Ok(all)
}

/// What a file of requirements asks for, by name, that is not installed: such a package has no RECORD that could be compared.
pub(super) fn absent(environment: &Path, requirements: &str) -> BTreeSet<String> {
    let there: BTreeSet<String> = installed(environment)
        .iter()
        .filter_map(|path| path.file_name()?.to_str()?.strip_suffix(".dist-info"))
        .map(|named| canonical(named.rsplit_once('-').map_or(named, |(name, _)| name)))
        .collect();
    let wanted = requirements.lines().filter_map(required);
    wanted.filter(|name| !there.contains(&canonical(name))).map(str::to_owned).collect()
}

/// The name in a line of requirements. One with a marker may not be for this machine; what is neither, as an option or a digest,
/// is no package.
fn required(line: &str) -> Option<&str> {
    let line = line.split(" #").next()?.trim();
    let end = line.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let named = name.starts_with(|c: char| c.is_ascii_alphanumeric());
    let usual = rest.is_empty() || rest.starts_with(['=', '<', '>', '!', '~', '[', '(', ' ']);
    (named && usual && !rest.contains(';') && !rest.contains("://")).then_some(name)
}

/// As names are compared.
fn canonical(name: &str) -> String {
    let pieces = name.split(['-', '_', '.']).filter(|piece| !piece.is_empty());
    pieces.collect::<Vec<_>>().join("-").to_lowercase()
}

/// Names of what is installed, be it whole or not.
pub(super) fn installed(environment: &Path) -> BTreeSet<PathBuf> {
    let sites = sites(environment).unwrap_or_default();
    sites.iter().flat_map(|site| entries(site).unwrap_or_default()).collect()
}

fn compare(site: &Path, folder: &str, look: Look) -> Result<Damage, Failure> {
    let mut damage = Damage::default();
    let own = format!("{folder}/RECORD");
    let bytes = match fs::read(site.join(&own)) {
        Ok(bytes) => bytes,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(cause) => return Err(Failure::io("read", &site.join(&own), cause)),
    };
    let text = String::from_utf8_lossy(&bytes);
    let rows: Vec<Row> = text.lines().filter_map(row).collect();
    // Written last by pip; and a power cut leaves nothing, or zeros.
    if rows.is_empty() {
        damage.missing.insert(own);
        return Ok(damage);
    }
    for Row { path, sha256, size } in rows {
        if path.ends_with(".pyc") {
            continue;
        }
        let place = site.join(&path);
        let Ok(found) = place.metadata() else {
            damage.missing.insert(path);
            continue;
        };
        if path.starts_with("../") || path.starts_with('/') {
            continue;
        }
        let as_written = size.is_none_or(|size| size == found.len())
            && match (look, sha256) {
                (Look::Digests, Some(wanted)) => digest::of_file(&place)?.0 == wanted,
                _ => true,
            };
        if !as_written {
            damage.changed.insert(path);
        }
    }
    Ok(damage)
}

struct Row {
    path: String,
    /// In hexadecimal.
    sha256: Option<String>,
    size: Option<u64>,
}

/// `path,sha256=DIGEST,size`, the latter two perhaps empty.
fn row(line: &str) -> Option<Row> {
    let mut fields = line.trim_end().rsplitn(3, ',');
    let (size, digest, path) = (fields.next()?, fields.next()?, fields.next()?);
    let path = match path.strip_prefix('"').and_then(|path| path.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => path.to_owned(),
    };
    Some(Row { path, sha256: digest.strip_prefix("sha256=").and_then(hexadecimal), size: size.parse().ok() })
}

/// Of base64 for URLs, unpadded, as digests stand there.
fn hexadecimal(text: &str) -> Option<String> {
    let (mut all, mut bits, mut count) = (String::new(), 0_u32, 0);
    for character in text.trim_end_matches('=').bytes() {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        while count >= 4 {
            count -= 4;
            all.push(char::from_digit(bits >> count & 15, 16)?);
        }
        bits &= (1 << count) - 1;
    }
    // The last character holds bits that are none of a byte's.
    all.truncate(all.len() / 2 * 2);
    Some(all)
}

/// `lib64` is a link to `lib` where both are there.
fn sites(environment: &Path) -> Result<Vec<PathBuf>, Failure> {
    let lib = environment.join("lib");
    let found = entries(&lib)?.into_iter().map(|folder| folder.join("site-packages"));
    Ok(found.filter(|site| site.is_dir()).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let failed = |cause| Failure::io("read", folder, cause);
    fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| entry.path()).map_err(failed))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_as_installers_write_them() {
        let of = |line: &str| row(line).map(|row| (row.path, row.sha256, row.size)).unwrap();
        let empty = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        let known = digest::of_bytes(b"");
        assert_eq!(of(&format!("a/b.py,{empty},0\r")), ("a/b.py".to_owned(), Some(known.clone()), Some(0)));
        assert_eq!(of("a-1.dist-info/RECORD,,"), ("a-1.dist-info/RECORD".to_owned(), None, None));
        assert_eq!(of(&format!("\"a,\"\"b\",{empty},0")), ("a,\"b".to_owned(), Some(known), Some(0)));
        assert!(row("nothing").is_none());
    }

    #[test]
    fn what_a_package_lacks_is_found_and_said() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("lib/python3.12/site-packages");
        fs::create_dir_all(site.join("a-1.0.dist-info")).unwrap();
        fs::create_dir_all(site.join("b_c-2.dist-info")).unwrap();
        let empty = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU";
        let record = format!(
            "a.py,{empty},0\nsame_size.py,{empty},\nshort.py,,5\ngone.py,,\n__pycache__/a.pyc,,\n../../../bin/a,,9\n"
        );
        fs::write(site.join("a-1.0.dist-info/RECORD"), record).unwrap();
        fs::create_dir(folder.path().join("bin")).unwrap();
        for (name, text) in
            [("a.py", ""), ("same_size.py", "x"), ("short.py", "1234"), ("../../../bin/a", "")]
        {
            fs::write(site.join(name), text).unwrap();
        }
        let sizes = damaged(folder.path(), Look::Sizes).unwrap();
        assert_eq!(
            sizes.to_string(),
            "a lacks gone.py; a has another content in short.py; b_c lacks b_c-2.dist-info/RECORD"
        );
        let digests = damaged(folder.path(), Look::Digests).unwrap();
        assert!(
            digests.to_string().contains("a has another content in 2 files, same_size.py among them"),
            "{digests}"
        );
        let left = digests.without(&|name, file| name == "a" && file != "gone.py");
        assert_eq!(left.names().collect::<Vec<_>>(), ["a", "b_c"]);
        assert!(left.without(&|_, _| true).is_empty());
    }

    #[test]
    fn a_package_that_is_gone_with_all_that_was_said_of_it_is_missed() {
        let folder = tempfile::tempdir().unwrap();
        let site = folder.path().join("lib/python3.12/site-packages");
        for name in ["CairoSVG-2.7.1", "psycopg-3.2", "zope.interface-7", "django_allauth-65"] {
            fs::create_dir_all(site.join(format!("{name}.dist-info"))).unwrap();
        }
        let requirements = "# comment\n-r other.txt\n--no-binary x\ncairosvg==2.7.1 \\\n    --hash=sha256:00\n\
            psycopg[binary]==3.2\nzope-interface>=7 # why\ndjango-allauth\ntzdata==1 ; sys_platform == 'win32'\n\
            git+https://example.org/x\n./here\n";
        assert_eq!(absent(folder.path(), requirements), BTreeSet::new());
        let names = absent(folder.path(), &format!("{requirements}Gone_One==1\ndjango ~= 4.2\n"));
        let told = Damaged::default().and_absent(&names);
        assert_eq!(told.to_string(), "Gone_One is not installed; django is not installed");
    }
}
