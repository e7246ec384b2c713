//! Names, versions, texts, people and addresses.

use super::super::problem::did_you_mean;
use super::{Fault, Outcome};

/// Debian Policy 5.6.1: lower-case letters, digits, `+`, `-`, `.`; two characters at least; first a letter or digit.
/// RPM (rpm-spec(5), Name) allows these too, and Arch (PKGBUILD(5)) refuses a hyphen or dot in front.
pub(super) fn package_name(name: &str) -> Outcome {
    let allowed = |character: char| {
        character.is_ascii_lowercase() || character.is_ascii_digit() || "+-.".contains(character)
    };
    let starts = name.starts_with(|first: char| first.is_ascii_lowercase() || first.is_ascii_digit());
    if name.chars().all(allowed) && starts && name.len() >= 2 {
        return Ok(());
    }
    let label = match name {
        _ if name.len() < 2 => "two characters at least",
        _ if name.chars().all(allowed) => "begins with a letter or digit",
        _ => "only lower-case letters, digits, `+`, `-`, `.`",
    };
    let fault = Fault::new(format!("bad package name `{name}`"), label).at_first(name, allowed);
    let offer: String =
        name.to_lowercase().replace([' ', '_', '/'], "-").chars().filter(|c| allowed(*c)).collect();
    let offer = offer.trim_matches(['-', '.', '+']);
    Err(if offer.len() >= 2 { fault.help(format!("did you mean `{offer}`?")) } else { fault })
}

/// One line that says something.
pub(super) fn line(text: &str) -> Outcome {
    if text.trim().is_empty() {
        return Err(Fault::new("the value is empty", "expected one line of text"));
    }
    if text.contains('\n') {
        return Err(Fault::new("a line break in a one-line value", "expected one line of text"));
    }
    if text.trim() != text {
        return Err(Fault::new("white space around the value", "expected none at either end")
            .help(format!("`{}`", text.trim())));
    }
    Ok(())
}

/// Digits and dots: without `-`, `~`, `^`, `_`, `:` and letters it means the same to dpkg (deb-version(7)), rpm
/// (rpm-version(7)) and Arch (vercmp(8)); without leading zeros also to Cargo (semver.org, 2).
pub(super) fn version(text: &str) -> Outcome {
    let parts: Vec<&str> = text.split('.').collect();
    let digits =
        |part: &&str| !part.is_empty() && part.len() <= 9 && part.bytes().all(|b| b.is_ascii_digit());
    if !parts.iter().all(digits) {
        let fault = Fault::new(format!("bad version `{text}`"), "expected digits and dots, as `0.12.0`")
            .at_first(text, |character| character.is_ascii_digit() || character == '.');
        let bare = text.trim_start_matches(['v', 'V']);
        return Err(match bare.split_once('-') {
            _ if bare != text && version(bare).is_ok() => fault.help(format!("did you mean `{bare}`?")),
            Some((front, back)) if version(front).is_ok() && back.parse::<u32>().is_ok() => {
                fault.help(format!("the packaging revision stands in `package.revision`: `{back}`"))
            }
            _ => fault,
        });
    }
    match parts.iter().find(|part| part.len() > 1 && part.starts_with('0')) {
        Some(part) => Err(Fault::new(format!("bad version `{text}`"), format!("a leading zero in `{part}`"))),
        None => Ok(()),
    }
}

/// Debian Policy 5.6.12 and 3.2.2: revisions are compared, so the first is 1 and each is higher than the last.
pub(super) fn revision(text: &str) -> Outcome {
    match text {
        "0" => Err(Fault::new("revision 0", "revisions are counted from 1")),
        _ => Ok(()),
    }
}

/// Two numbers.
pub(super) fn minor_version(text: &str) -> Outcome {
    if version(text).is_ok() && text.split('.').count() == 2 {
        return Ok(());
    }
    let fault = Fault::new(format!("bad version `{text}`"), "expected two numbers, as `3.12`");
    let cut: Vec<&str> = text.split('.').take(2).collect();
    let offer = cut.join(".");
    Err(match offer != text && cut.len() == 2 && version(&offer).is_ok() {
        true => fault.help(format!("did you mean `{offer}`?")),
        false => fault,
    })
}

/// glibc names its symbol versions `GLIBC_2.N`.
pub(super) fn glibc(text: &str) -> Outcome {
    match minor_version(text) {
        Ok(()) if text.starts_with("2.") => Ok(()),
        _ => Err(Fault::new(format!("bad glibc version `{text}`"), "expected `2.` and a number, as `2.34`")),
    }
}

/// Debian Policy 3.4.1 and Developer's Reference 6.2.2 (under 80 characters, no article, no full stop, not the name
/// again); rpmlint's summary-too-long and summary-ended-with-dot say the same.
pub(super) fn summary(text: &str) -> Outcome {
    line(text)?;
    let length = text.chars().count();
    if length >= 80 {
        let cut = text.char_indices().nth(79).map_or(0, |(at, _)| at);
        return Err(Fault::new("the summary is too long", format!("{length} characters, 79 at most"))
            .at(cut..text.len()));
    }
    let first = text.split(' ').next().unwrap_or_default();
    if matches!(first.to_lowercase().as_str(), "a" | "an" | "the") {
        let rest = text[first.len()..].trim_start();
        return Err(Fault::new("the summary begins with an article", "no article here")
            .at(0..first.len())
            .help(format!("`{rest}`")));
    }
    if let Some(rest) = text.strip_suffix('.') {
        return Err(
            Fault::new("the summary ends with a full stop", "no full stop here").at(rest.len()..text.len())
        );
    }
    Ok(())
}

/// Debian Policy 3.4.2: an extended description is there, and no tabs are in it (refused everywhere here).
pub(super) fn description(text: &str) -> Outcome {
    if text.trim().is_empty() {
        return Err(Fault::new("the description is empty", "expected paragraphs"));
    }
    if text.lines().any(|line| line.starts_with(' ')) {
        return Err(Fault::new("an indented line in the description", "paragraphs and `- ` items only"));
    }
    Ok(())
}

/// SPDX specification, annex D (licence expressions), with the SPDX licence list's identifiers.
pub(super) fn spdx(text: &str) -> Outcome {
    let Err(error) = spdx::Expression::parse(text) else { return Ok(()) };
    let reason = error.reason.to_string();
    let fault =
        Fault::new(format!("bad SPDX expression `{text}`"), reason).at(error.span.start..error.span.end);
    // The parser stops at `+`, which belongs to the name that was meant.
    let word = text.get(error.span.start..).and_then(|rest| rest.split([' ', ')']).next()).unwrap_or(text);
    Err(match spdx_near(word) {
        Some(offer) => fault.help(format!("did you mean `{offer}`?")),
        None => fault.help("the identifiers are listed on https://spdx.org/licenses/"),
    })
}

fn spdx_near(word: &str) -> Option<String> {
    let bare = word.trim().to_uppercase().replace([' ', '_'], "-");
    // The GNU licences are misspelt most, and their bare names are deprecated identifiers.
    for family in ["AGPL", "LGPL", "GPL"] {
        if let Some(rest) = bare.strip_prefix(family) {
            let later = rest.contains('+') || rest.contains("LATER");
            let digits: String = rest.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
            let version = match digits.as_str() {
                "3" | "3.0" => "3.0",
                "2" | "2.0" => "2.0",
                "2.1" => "2.1",
                _ => return None,
            };
            return Some(format!("{family}-{version}-{}", if later { "or-later" } else { "only" }));
        }
    }
    if let Some((license, _)) = spdx::imprecise_license_id(word) {
        return Some(license.name.to_owned());
    }
    did_you_mean(word, spdx::identifiers::LICENSES.iter().map(|license| license.name)).map(str::to_owned)
}

/// Debian Policy 5.6.2 (`Name <address>`, RFC 5322's address); rpm's Packager and the PKGBUILD's comment have the form too.
pub(super) fn maintainer(text: &str) -> Outcome {
    let bad = |label: &str| Fault::new(format!("bad maintainer `{text}`"), label);
    let form = || bad("expected `Name <address>`");
    line(text)?;
    let Some((name, rest)) = text.split_once('<') else {
        return Err(match text.contains('@') {
            true => form().help(format!("a name, then the address in angle brackets: `Name <{text}>`")),
            false => form(),
        });
    };
    let Some(address) = rest.strip_suffix('>') else { return Err(form()) };
    if name.trim().is_empty() || !name.ends_with(' ') || address.contains(['<', '>']) {
        return Err(form());
    }
    // Policy asks for double quotes round a name with a full stop or comma, which other formats would show.
    if name.contains([',', '"', '\\']) {
        return Err(bad("no comma, quote or backslash in the name"));
    }
    let at = text.len() - 1 - address.len();
    let wrong = |label: &str| Err(bad(label).at(at..at + address.len()));
    let Some((local, domain)) = address.rsplit_once('@') else { return wrong("no `@` in the address") };
    let local_ok = !local.is_empty()
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && local.chars().all(|c| c.is_ascii_alphanumeric() || ".!#$%&'*+/=?^_{|}~-".contains(c));
    if !local_ok {
        return wrong("not a name before the `@`");
    }
    if !domain.contains('.') || !host(domain) {
        return wrong("not a domain after the `@`");
    }
    Ok(())
}

/// RFC 3986, with TLS and a host; without a user, who would be published with the package.
pub(super) fn https_url(text: &str) -> Outcome {
    let bad = |label: &str| Fault::new(format!("bad address `{text}`"), label);
    if let Some(rest) = text.strip_prefix("http://") {
        return Err(bad("expected `https://`").at(0..7).help(format!("did you mean `https://{rest}`?")));
    }
    let Some(rest) = text.strip_prefix("https://") else { return Err(bad("expected `https://`")) };
    let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=%".contains(c);
    if !text.chars().all(allowed) {
        return Err(bad("a character that addresses are written without").at_first(text, allowed));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = 8..8 + authority.len();
    if authority.contains('@') {
        return Err(bad("no user or password in an address").at(place));
    }
    let (name, port) = authority.split_once(':').unwrap_or((authority, "443"));
    if !host(name) || !port.parse::<u16>().is_ok_and(|port| port > 0) {
        return Err(bad("no host that could be there").at(place));
    }
    Ok(())
}

/// RFC 1123, 2.1.
fn host(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        })
}

/// Desktop Menu Specification, "Registered Categories": the main ones, then the additional ones that could fit.
pub(super) fn category(text: &str) -> Outcome {
    if MAIN_CATEGORIES.contains(&text) || ADDITIONAL_CATEGORIES.contains(&text) {
        return Ok(());
    }
    let fault = Fault::new(format!("unknown category `{text}`"), "not registered by freedesktop.org");
    let known = MAIN_CATEGORIES.iter().chain(ADDITIONAL_CATEGORIES).copied();
    Err(match did_you_mean(text, known) {
        Some(offer) => fault.help(format!("did you mean `{offer}`?")),
        None => fault.help("https://specifications.freedesktop.org/menu-spec/latest/category-registry.html"),
    })
}

/// A desktop entry must have one of these (Desktop Menu Specification, "Main Categories").
pub(in super::super) const MAIN_CATEGORIES: &[&str] = &[
    "AudioVideo",
    "Audio",
    "Video",
    "Development",
    "Education",
    "Game",
    "Graphics",
    "Network",
    "Office",
    "Science",
    "Settings",
    "System",
    "Utility",
];

const ADDITIONAL_CATEGORIES: &[&str] = &[
    "Building",
    "Debugger",
    "IDE",
    "GUIDesigner",
    "Profiling",
    "RevisionControl",
    "Translation",
    "Calendar",
    "ContactManagement",
    "Database",
    "Dictionary",
    "Chart",
    "Email",
    "Finance",
    "FlowChart",
    "PDA",
    "ProjectManagement",
    "Presentation",
    "Spreadsheet",
    "WordProcessor",
    "Publishing",
    "Viewer",
    "TextTools",
    "DesktopSettings",
    "FileTransfer",
    "News",
    "WebBrowser",
    "WebDevelopment",
    "RemoteAccess",
    "DataVisualization",
    "ComputerScience",
    "Economy",
    "Engineering",
    "Literature",
    "Math",
    "NumericalAnalysis",
    "ParallelComputing",
    "Documentation",
    "Core",
    "FileTools",
    "FileManager",
    "Filesystem",
    "Monitor",
    "Security",
    "Accessibility",
    "Calculator",
    "Clock",
    "TextEditor",
    "Archiving",
    "Compression",
    "GNOME",
    "GTK",
    "KDE",
    "Qt",
    "XFCE",
    "Java",
    "ConsoleOnly",
];

/// Desktop Entry Specification, "Keywords": the list is parted by semicolons (AppStream's and PyPI's by commas).
pub(super) fn keyword(text: &str) -> Outcome {
    line(text)?;
    match text.find([';', ',']) {
        Some(at) => {
            Err(Fault::new(format!("bad keyword `{text}`"), "parts a list of keywords").at(at..at + 1))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::title;
    use super::*;

    #[test]
    fn versions() {
        for good in ["0.12.0", "17.6", "1", "10.0.0"] {
            assert_eq!(title(version(good)), "fine", "{good}");
        }
        for bad in ["", ".", "1.", "1..2", "1.0-1", "1:1.0", "1.0~rc1", "01.2", "1.0_2", "٣.1", "99999999999"]
        {
            assert_ne!(title(version(bad)), "fine", "{bad}");
        }
    }

    #[test]
    fn addresses() {
        for good in ["https://mathesar.org", "https://a.b/c?d=e#f", "https://h:8443/x"] {
            assert_eq!(title(https_url(good)), "fine", "{good}");
        }
        for bad in [
            "",
            "https://",
            "https:///x",
            "ftp://x",
            "https://u:p@h/",
            "https://a b",
            "https://h:0/",
            "https://-h",
        ] {
            assert_ne!(title(https_url(bad)), "fine", "{bad}");
        }
    }

    #[test]
    fn licences() {
        for good in ["GPL-3.0-or-later", "MIT OR Apache-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"] {
            assert_eq!(title(spdx(good)), "fine", "{good}");
        }
        for (bad, offer) in
            [("GPL3", "GPL-3.0-only"), ("GPLv3+", "GPL-3.0-or-later"), ("Apache2", "Apache-2.0")]
        {
            assert_eq!(spdx(bad).unwrap_err().help.unwrap(), format!("did you mean `{offer}`?"));
        }
    }

    #[test]
    fn people() {
        assert_eq!(title(maintainer("A B <a.b+c@users.noreply.example.com>")), "fine");
        for bad in
            ["A <a>", "A <@b.c>", "<a@b.c>", "A<a@b.c>", "A <a@b>", "A <a@b.c> ", "A <a@b.c", "A <a@@b.c>"]
        {
            assert_ne!(title(maintainer(bad)), "fine", "{bad}");
        }
    }
}
