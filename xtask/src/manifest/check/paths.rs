//! Paths, permissions, users, units.

use super::super::problem::did_you_mean;
use super::{Fault, Outcome};

/// What `cargo xtask dist` generates, as [`crate::artifact::Artifacts`] says.
pub(in super::super) const GENERATED: &[&str] = &[
    "bin/mathesar",
    "man/*.1",
    "man/*.5",
    "completions/mathesar.bash",
    "completions/_mathesar",
    "completions/mathesar.fish",
    "share/release.toml",
    "share/mathesar.desktop",
    "share/*.metainfo.xml",
    "share/lintian-overrides",
    "doc/copyright",
    "doc/changelog",
    "doc/THIRD-PARTY.txt",
];

/// A relative path that stays below the repository's root, so that it goes into the source tarball.
pub(super) fn source(text: &str) -> Outcome {
    let bad = |label: &str| Fault::new(format!("bad source path `{text}`"), label);
    if text.starts_with('/') {
        return Err(bad("expected a path below the repository's root").at(0..1));
    }
    components(text, &bad)?;
    if text.split('/').next() == Some(".git") {
        return Err(bad("git's own folder is not part of the sources").at(0..4));
    }
    let allowed = |c: char| plain(c) || c == '/';
    match text.chars().all(allowed) {
        true => Ok(()),
        false => Err(bad("letters, digits and `/._+-@` only").at_first(text, allowed)),
    }
}

/// A [`source`] whose last component may hold one `*`, or `build:` and one of [`GENERATED`].
pub(super) fn file_source(text: &str) -> Outcome {
    if let Some(generated) = text.strip_prefix("build:") {
        // A narrower pattern (`man/mathesar-*.1`) fits as well.
        if GENERATED.iter().any(|known| fits(known, generated)) {
            return Ok(());
        }
        let fault = Fault::new(format!("nothing generates `{generated}`"), "unknown generated file")
            .at(6..text.len());
        return Err(match did_you_mean(generated, GENERATED.iter().copied()) {
            Some(offer) => fault.help(format!("did you mean `build:{offer}`?")),
            None => fault.help(format!("generated: {}", GENERATED.join(", "))),
        });
    }
    if text.starts_with("target/") {
        return Err(Fault::new(
            format!("bad source path `{text}`"),
            "Cargo's folder is not part of the sources",
        )
        .help("what is built is named `build:bin/mathesar`"));
    }
    let (folder, name) = text.rsplit_once('/').unwrap_or(("", text));
    if folder.contains('*') || name.matches('*').count() > 1 {
        return Err(Fault::new(
            format!("bad pattern `{text}`"),
            "the last component may hold one `*`, no other any",
        ));
    }
    source(&text.replacen('*', "x", 1))
        .map_err(|fault| Fault { title: format!("bad source path `{text}`"), ..fault })
}

/// Whether `name` has the form of `pattern`, which holds one `*` at most; `*` stands for no slash.
pub(in super::super) fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => {
            name.len() > before.len() + after.len()
                && name.starts_with(before)
                && name.ends_with(after)
                && !name[before.len()..name.len() - after.len()].contains('/')
        }
    }
}

/// Where packages install nothing: the Filesystem Hierarchy Standard 3.0 leaves these to the administrator, to users or to
/// the running system (3.8, 3.13, 3.15, 3.17, 3.18, 4.9, 6.1; Debian Policy 9.1.2; rpmlint's dir-or-file-in-*).
const RESERVED: &[(&str, &str)] = &[
    ("/usr/local", "the administrator's"),
    ("/opt", "for add-on software outside the distribution"),
    ("/srv", "the administrator's"),
    ("/home", "the users'"),
    ("/root", "the administrator's"),
    ("/tmp", "emptied at boot"),
    ("/var/tmp", "temporary"),
    ("/run", "empty at boot; tmpfiles.d makes what is needed there"),
    ("/var/run", "an alias of /run"),
    ("/dev", "the kernel's"),
    ("/proc", "the kernel's"),
    ("/sys", "the kernel's"),
    ("/mnt", "the administrator's"),
    ("/media", "for mounted media"),
    ("/boot", "the boot loader's"),
    // Merged /usr: a file that is installed by an alias is lost by dpkg when packages are split or renamed (DEP 17).
    ("/bin", "an alias of /usr/bin"),
    ("/sbin", "an alias of /usr/sbin"),
    ("/lib", "an alias of /usr/lib"),
    ("/lib64", "an alias of /usr/lib64"),
];

/// Absolute and normalised, in a place that packages may use.
pub(super) fn absolute(text: &str) -> Outcome {
    let bad = |label: &str| Fault::new(format!("bad path `{text}`"), label);
    let Some(relative) = text.strip_prefix('/') else {
        return Err(bad("expected an absolute path").help(format!("did you mean `/{text}`?")));
    };
    if relative.is_empty() {
        return Err(bad("the root directory itself"));
    }
    components(relative.strip_suffix('/').unwrap_or(relative), &bad)?;
    let allowed = |c: char| plain(c) || c == '/';
    if !text.chars().all(allowed) {
        return Err(bad("letters, digits and `/._+-@` only").at_first(text, allowed));
    }
    for (folder, whose) in RESERVED {
        if text.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')) {
            let fault =
                Fault::new(format!("`{text}` is not a package's place"), format!("`{folder}` is {whose}"));
            let fault = fault.at(0..folder.len());
            return Err(match *folder {
                "/usr/local" => fault.help(format!("did you mean `/usr{}`?", &text[folder.len()..])),
                "/bin" | "/sbin" | "/lib" | "/lib64" => fault.help(format!("did you mean `/usr{text}`?")),
                _ => fault,
            });
        }
    }
    Ok(())
}

fn plain(character: char) -> bool {
    character.is_ascii_alphanumeric() || "._+-@".contains(character)
}

/// No empty, `.` or `..` component.
fn components(text: &str, bad: &dyn Fn(&str) -> Fault) -> Outcome {
    let label = match text {
        "" => "the path is empty",
        _ if text.split('/').any(|part| part == "..") => "no `..` in a path",
        _ if text.split('/').any(|part| part == ".") => "no `.` in a path",
        _ if text.split('/').any(str::is_empty) => "no empty component in a path",
        _ => return Ok(()),
    };
    Err(bad(label))
}

/// Octal, as chmod(1) reads it. No set-user-id and the like and nothing that everyone may write (Debian Policy 10.9; rpmlint's
/// setuid-binary and world-writable).
pub(super) fn mode(text: &str) -> Outcome {
    let bad = |label: &str| Fault::new(format!("bad mode `{text}`"), label);
    let Some(bits) = Some(text)
        .filter(|text| {
            (3..=4).contains(&text.len()) && text.bytes().all(|byte| (b'0'..=b'7').contains(&byte))
        })
        .and_then(|text| u32::from_str_radix(text, 8).ok())
    else {
        return Err(bad("expected three or four octal digits, as `0644`"));
    };
    if bits & 0o7000 != 0 {
        return Err(bad("no set-user-id, set-group-id or sticky bit")
            .help(format!("did you mean `0{:o}`?", bits & 0o777)));
    }
    if bits & 0o002 != 0 {
        return Err(bad("everyone may write").help(format!("did you mean `0{:o}`?", bits & 0o775)));
    }
    match bits & 0o400 {
        0 => Err(bad("its owner may not read it")),
        _ => Ok(()),
    }
}

/// systemd's "User/Group Name Syntax", strict mode: what every system takes.
pub(super) fn user(text: &str) -> Outcome {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
    let bad = |label: &str| Fault::new(format!("bad user or group name `{text}`"), label);
    if !text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_') || !text.chars().all(allowed) {
        return Err(
            bad("lower-case letters, digits, `_`, `-`; a letter or `_` in front").at_first(text, allowed)
        );
    }
    if text.len() > 31 {
        return Err(bad("31 characters at most"));
    }
    Ok(())
}

/// systemd.unit(5). A template (`x@.service`) cannot be enabled or started as it stands.
pub(super) fn unit_name(text: &str) -> Outcome {
    let bad = |label: &str| Fault::new(format!("bad unit name `{text}`"), label);
    let Some(stem) = text.strip_suffix(".service") else {
        return Err(bad("expected a name that ends in `.service`")
            .help(format!("did you mean `{}.service`?", text.split('.').next().unwrap_or_default())));
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || ":-_.".contains(c);
    if stem.is_empty() || text.len() > 255 || !stem.chars().all(allowed) {
        return Err(bad("letters, digits and `:-_.` only").at_first(text, allowed));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::title;
    use super::*;

    #[test]
    fn sources() {
        for good in
            ["LICENSE", "a/b.c", "a/*.1", "build:man/*.1", "build:man/mathesar-config.1", "build:man/m-*.5"]
        {
            assert_eq!(title(file_source(good)), "fine", "{good}");
        }
        for bad in [
            "",
            "/a",
            "../a",
            "a/../b",
            "a//b",
            "./a",
            "*/a",
            "a/**",
            "a b",
            "build:",
            "build:../x",
            "build:man/x.2",
            "build:man/a/b.1",
            "target/release/mathesar",
            ".git/config",
            "a\\b",
            "a/",
        ] {
            assert_ne!(title(file_source(bad)), "fine", "{bad}");
        }
    }

    #[test]
    fn destinations() {
        for good in ["/usr/bin/x", "/etc/x/", "/usr/lib/x@.service", "/var/lib/x", "/usr/libexec/x"] {
            assert_eq!(title(absolute(good)), "fine", "{good}");
        }
        for bad in [
            "",
            "/",
            "usr/bin/x",
            "/usr//bin",
            "/usr/../etc",
            "/usr/local/bin/x",
            "/opt",
            "/home/x",
            "/a/./b",
            "/lib/x",
            "/a b",
            "//x",
            "/etc/x//",
            "/usr/bin/$x",
        ] {
            assert_ne!(title(absolute(bad)), "fine", "{bad}");
        }
    }

    #[test]
    fn modes() {
        for good in ["0644", "644", "0755", "0640", "0664"] {
            assert_eq!(title(mode(good)), "fine", "{good}");
        }
        for bad in ["", "64", "0888", "4755", "0666", "0o644", "rw-r--r--", "00644", "+644", "0044"] {
            assert_ne!(title(mode(bad)), "fine", "{bad}");
        }
    }
}
