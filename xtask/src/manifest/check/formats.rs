//! What single formats ask for.

use super::super::problem::did_you_mean;
use super::{Fault, Outcome};

/// FIPS 180-4: 256 bits, as sha256sum(1) prints them.
pub(super) fn sha256(text: &str) -> Outcome {
    let bad = |label: String| Fault::new("bad SHA-256 digest", label);
    if let Some(at) = text.find(|c: char| !c.is_ascii_hexdigit()) {
        let length = text[at..].chars().next().map_or(0, char::len_utf8);
        return Err(bad("not a hexadecimal digit".into()).at(at..at + length));
    }
    if text.len() != 64 {
        return Err(bad(format!("{} digits, expected 64", text.len())));
    }
    if text.contains(|c: char| c.is_ascii_uppercase()) {
        return Err(bad("expected lower-case digits".into()).help(format!("`{}`", text.to_lowercase())));
    }
    if text.bytes().all(|byte| byte == b'0') {
        return Err(bad("a placeholder, not a digest".into()).help("`sha256sum FILE` prints it"));
    }
    Ok(())
}

const SECTIONS: &[&str] = &[
    "admin",
    "cli-mono",
    "comm",
    "database",
    "debug",
    "devel",
    "doc",
    "editors",
    "education",
    "electronics",
    "embedded",
    "fonts",
    "games",
    "gnome",
    "gnu-r",
    "gnustep",
    "graphics",
    "hamradio",
    "haskell",
    "httpd",
    "interpreters",
    "introspection",
    "java",
    "javascript",
    "kde",
    "kernel",
    "libdevel",
    "libs",
    "lisp",
    "localization",
    "mail",
    "math",
    "metapackages",
    "misc",
    "net",
    "news",
    "ocaml",
    "oldlibs",
    "otherosfs",
    "perl",
    "php",
    "python",
    "ruby",
    "rust",
    "science",
    "shells",
    "sound",
    "tasks",
    "tex",
    "text",
    "utils",
    "vcs",
    "video",
    "web",
    "x11",
    "xfce",
    "zope",
];

/// Debian Policy 2.4: the sections, after `contrib/` or `non-free/` for these archive areas.
pub(super) fn deb_section(text: &str) -> Outcome {
    let section = text.strip_prefix("contrib/").or(text.strip_prefix("non-free/")).unwrap_or(text);
    if SECTIONS.contains(&section) {
        return Ok(());
    }
    let fault = Fault::new(format!("unknown Debian section `{text}`"), "not a section of Debian Policy 2.4");
    Err(match did_you_mean(section, SECTIONS.iter().copied()) {
        Some(offer) => fault.help(format!("did you mean `{offer}`?")),
        None => fault,
    })
}

/// Debian Policy 2.5: nothing outside the base system is above optional; extra is deprecated.
pub(super) fn deb_priority(text: &str) -> Outcome {
    let label = match text {
        "optional" => return Ok(()),
        "required" | "important" | "standard" => "kept for Debian's base system",
        "extra" => "deprecated",
        _ => "not a priority of Debian Policy 2.5",
    };
    Err(Fault::new(format!("bad Debian priority `{text}`"), label).help("did you mean `optional`?"))
}

/// D-Bus specification, "Bus names", and Flatpak's "Requirements & Conventions": a reversed domain name of three parts
/// at least; only the last may have a dash; 255 characters at most. AppStream's component id adds nothing to it.
pub(super) fn app_id(text: &str) -> Outcome {
    let bad = |label: &str| Fault::new(format!("bad application id `{text}`"), label);
    let parts: Vec<&str> = text.split('.').collect();
    if parts.len() < 3 || text.len() > 255 {
        return Err(bad("expected three parts at least, as `org.example.App`"));
    }
    let mut at = 0;
    for (index, part) in parts.iter().enumerate() {
        let place = at..at + part.len();
        at += part.len() + 1;
        if part.contains('-') && index + 1 < parts.len() {
            return Err(bad("a dash may stand in the last part only")
                .at(place)
                .help(format!("did you mean `{}`?", part.replace('-', "_"))));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if part.is_empty() || part.starts_with(|c: char| c.is_ascii_digit()) || !part.chars().all(allowed) {
            return Err(bad("letters, digits and `_`, not a digit in front").at(place));
        }
    }
    Ok(())
}

/// The freedesktop.org runtime is released each August, as `25.08`.
pub(super) fn runtime_version(text: &str) -> Outcome {
    let year =
        text.strip_suffix(".08").filter(|year| year.len() == 2).and_then(|year| year.parse::<u8>().ok());
    match year {
        Some(year) if year >= 18 => Ok(()),
        _ => {
            Err(Fault::new(format!("bad runtime version `{text}`"), "expected a year and `.08`, as `25.08`"))
        }
    }
}

/// flatpak-build-finish(1).
pub(super) fn finish_arg(text: &str) -> Outcome {
    const KNOWN: &[&str] = &[
        "share",
        "unshare",
        "socket",
        "nosocket",
        "device",
        "nodevice",
        "allow",
        "disallow",
        "filesystem",
        "nofilesystem",
        "env",
        "unset-env",
        "own-name",
        "talk-name",
        "no-talk-name",
        "system-own-name",
        "system-talk-name",
        "system-no-talk-name",
        "persist",
        "add-policy",
        "remove-policy",
        "metadata",
        "extension",
        "require-version",
        "usb",
        "nousb",
    ];
    let bad = |label: &str| Fault::new(format!("bad Flatpak permission `{text}`"), label);
    let Some(rest) = text.strip_prefix("--") else {
        let fault = bad("expected an option that begins with `--`");
        return Err(match text.contains('=') {
            true => fault.help(format!("did you mean `--{}`?", text.trim_start_matches('-'))),
            false => fault,
        });
    };
    let Some((option, value)) = rest.split_once('=') else { return Err(bad("expected `--OPTION=VALUE`")) };
    if !KNOWN.contains(&option) {
        let fault = bad("no option of flatpak-build-finish(1)").at(2..2 + option.len());
        return Err(match did_you_mean(option, KNOWN.iter().copied()) {
            Some(offer) => fault.help(format!("did you mean `--{offer}`?")),
            None => fault,
        });
    }
    if value.is_empty() || value.contains(char::is_whitespace) {
        return Err(bad("no value after `=`"));
    }
    Ok(())
}

/// Homebrew, "Taps": a GitHub account, and a repository's name without `homebrew-` in front.
pub(super) fn tap(text: &str) -> Outcome {
    let bad = |label: &str| Fault::new(format!("bad tap `{text}`"), label);
    let Some((owner, name)) = text.split_once('/') else { return Err(bad("expected `owner/name`")) };
    let account = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let fine = |part: &str, allowed: &dyn Fn(char) -> bool| {
        !part.is_empty() && !part.starts_with('-') && !part.ends_with('-') && part.chars().all(allowed)
    };
    if !fine(owner, &account) || !fine(name, &|c| account(c) || c == '_') {
        return Err(bad("expected `owner/name`"));
    }
    match name.strip_prefix("homebrew-") {
        Some(bare) => Err(bad("brew leaves `homebrew-` out").help(format!("did you mean `{owner}/{bare}`?"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::title;
    use super::*;

    #[test]
    fn digests() {
        assert_eq!(title(sha256(&"ab".repeat(32))), "fine");
        for bad in ["", "ab", &"AB".repeat(32), &"0".repeat(64), &"zz".repeat(32), &"ü".repeat(32)] {
            assert_ne!(title(sha256(bad)), "fine", "{bad}");
        }
    }

    #[test]
    fn application_ids() {
        assert_eq!(title(app_id("io.github.some_one.App-Two")), "fine");
        for bad in ["", "App", "org.App", "io.git-hub.App", "io..App", "io.2x.App", "io.x.Äpp"] {
            assert_ne!(title(app_id(bad)), "fine", "{bad}");
        }
    }

    #[test]
    fn taps() {
        assert_eq!(title(tap("some-one/tap")), "fine");
        for bad in ["", "tap", "a/b/c", "/b", "a/", "a/homebrew-b", "-a/b"] {
            assert_ne!(title(tap(bad)), "fine", "{bad}");
        }
    }
}
