//! How each family writes a dependency. Alternatives are a list in the manifest, never syntax of one format.

use super::{Fault, Outcome};

/// One name, perhaps with a comparison.
struct Relation<'a> {
    name: &'a str,
    comparison: Option<(&'a str, &'a str)>,
}

/// Reads any family's way of writing it, to offer the right one.
fn loose(text: &str) -> Option<Relation<'_>> {
    let Some(start) = text.find(['<', '>', '=']) else {
        return Some(Relation { name: text.trim(), comparison: None });
    };
    let rest = &text[start..];
    let length = rest.find(|c: char| !"<>=".contains(c))?;
    let name = text[..start].trim_end_matches([' ', '(']);
    let version = rest[length..].trim_matches([' ', ')']);
    Some(Relation { name: name.trim(), comparison: Some((&rest[..length], version)) })
}

fn refuse(
    text: &str,
    family: &str,
    form: &str,
    check: fn(&str) -> bool,
    write: fn(&Relation<'_>) -> String,
) -> Outcome {
    if check(text) {
        return Ok(());
    }
    let fault = Fault::new(format!("bad {family} dependency `{text}`"), format!("expected {form}"));
    if text.contains(['|', ',', ';']) || text.contains(" or ") {
        return Err(fault.help(
            "alternatives are a list: `[\"a\", \"b\"]`; each other need has its own `[dependency.…]`",
        ));
    }
    let offer = loose(text).map(|relation| write(&relation)).filter(|offer| offer != text && check(offer));
    Err(match offer {
        Some(offer) => fault.help(format!("did you mean `{offer}`?")),
        None => fault,
    })
}

/// Debian Policy 7.1, with names of 5.6.1 and versions of 5.6.12.
pub(super) fn deb(text: &str) -> Outcome {
    fn check(text: &str) -> bool {
        let (name, comparison) = match text.split_once(" (") {
            None => (text, None),
            Some((name, rest)) => (name, Some(rest)),
        };
        let name = name.split_once(':').map_or(name, |(name, qualifier)| match qualifier {
            "any" | "native" => name,
            _ => "",
        });
        deb_name(name)
            && comparison.is_none_or(|rest| {
                rest.strip_suffix(')').and_then(|rest| rest.split_once(' ')).is_some_and(
                    |(operator, version)| {
                        ["<<", "<=", "=", ">=", ">>"].contains(&operator) && version_of(version, "+-.~:")
                    },
                )
            })
    }
    fn write(relation: &Relation<'_>) -> String {
        match relation.comparison {
            None => relation.name.to_owned(),
            Some((operator, version)) => {
                let operator = match operator {
                    "<" => "<<",
                    ">" => ">>",
                    "==" => "=",
                    other => other,
                };
                format!("{} ({operator} {version})", relation.name)
            }
        }
    }
    refuse(text, "Debian", "`name` or `name (>= version)`", check, write)
}

fn deb_name(name: &str) -> bool {
    name.len() >= 2
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c))
}

fn version_of(text: &str, also: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || also.contains(c))
}

/// rpm-spec(5), "Dependencies", and RPM's "More on Dependencies": a package, a capability with its qualifiers
/// (`libcairo.so.2()(64bit)`, `pkgconfig(cairo)`) or a file, and a comparison. Boolean dependencies (`(a or b)`) are made
/// from lists.
pub(super) fn rpm(text: &str) -> Outcome {
    fn check(text: &str) -> bool {
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            [name] => rpm_name(name),
            [name, operator, version] => {
                rpm_name(name)
                    && !name.starts_with('/')
                    && ["<", "<=", "=", ">=", ">"].contains(&operator)
                    && version_of(version, "-.~^_:+")
            }
            _ => false,
        }
    }
    fn write(relation: &Relation<'_>) -> String {
        match relation.comparison {
            None => relation.name.to_owned(),
            Some((operator, version)) => {
                let operator = match operator {
                    "<<" => "<",
                    ">>" => ">",
                    "==" => "=",
                    other => other,
                };
                format!("{} {operator} {version}", relation.name)
            }
        }
    }
    refuse(text, "RPM", "`name`, `name >= version` or a capability", check, write)
}

fn rpm_name(name: &str) -> bool {
    let base = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    if let Some(path) = name.strip_prefix('/') {
        return !path.is_empty() && path.chars().all(|c| base(c) || c == '/');
    }
    let (word, mut qualifiers) = name.split_at(name.find('(').unwrap_or(name.len()));
    while let Some(rest) = qualifiers.strip_prefix('(') {
        let Some((inside, after)) = rest.split_once(')') else { return false };
        if !inside.chars().all(|c| base(c) || ":/".contains(c)) {
            return false;
        }
        qualifiers = after;
    }
    qualifiers.is_empty()
        && word.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && word.chars().all(base)
}

/// PKGBUILD(5), `depends`: no blank, and names of `pkgname`.
pub(super) fn arch(text: &str) -> Outcome {
    fn check(text: &str) -> bool {
        let start = text.find(['<', '>', '=']).unwrap_or(text.len());
        let (name, rest) = text.split_at(start);
        let version = ["<=", ">=", "<", ">", "="].iter().find_map(|operator| rest.strip_prefix(operator));
        let named = !name.is_empty()
            && !name.starts_with(['-', '.'])
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "@._+-".contains(c));
        named && (rest.is_empty() || version.is_some_and(|version| version_of(version, "-.~_:+")))
    }
    fn write(relation: &Relation<'_>) -> String {
        match relation.comparison {
            None => relation.name.to_owned(),
            Some((operator, version)) => {
                let operator = match operator {
                    "<<" => "<",
                    ">>" => ">",
                    "==" => "=",
                    other => other,
                };
                format!("{}{operator}{version}", relation.name)
            }
        }
    }
    refuse(text, "Arch", "`name` or `name>=version`", check, write)
}

/// Homebrew's "Formula Cookbook" and "Formulae Versions": a formula has no comparison, older ones are `name@version`.
pub(super) fn homebrew(text: &str) -> Outcome {
    fn check(text: &str) -> bool {
        let (name, version) =
            text.split_once('@').map_or((text, None), |(name, version)| (name, Some(version)));
        let parts: Vec<&str> = name.split('/').collect();
        let named = |part: &&str| {
            part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+_.-".contains(c))
        };
        (parts.len() == 1 || parts.len() == 3)
            && parts.iter().all(named)
            && version.is_none_or(|version| {
                version.starts_with(|c: char| c.is_ascii_digit())
                    && version.ends_with(|c: char| c.is_ascii_alphanumeric())
                    && version.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')
            })
    }
    fn write(relation: &Relation<'_>) -> String {
        match relation.comparison {
            None => relation.name.to_lowercase(),
            Some((_, version)) => format!("{}@{version}", relation.name.trim_end_matches('3')),
        }
    }
    refuse(text, "Homebrew", "`name` or `name@version`", check, write)
}

/// Our own names: they are keys, and stand in generated documentation.
pub(in super::super) fn logical_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::super::title;
    use super::*;

    fn sift(rule: fn(&str) -> Outcome, good: &[&str], bad: &[&str]) {
        for text in good {
            assert_eq!(title(rule(text)), "fine", "{text}");
        }
        for text in bad {
            assert_ne!(title(rule(text)), "fine", "{text}");
        }
    }

    #[test]
    fn debian() {
        sift(
            deb,
            &["libcairo2", "python3 (>= 3.10)", "python3:any (>= 3.10~)", "g++"],
            &[
                "",
                "python3 >= 3.10",
                "python3 (> 3.10)",
                "python3 (>=3.10)",
                "a | b",
                "Python",
                "x (>= )",
                "x:amd64",
            ],
        );
    }

    #[test]
    fn red_hat() {
        sift(
            rpm,
            &[
                "cairo",
                "python3 >= 3.10",
                "libcairo.so.2()(64bit)",
                "pkgconfig(cairo) >= 1.2",
                "/usr/bin/python3",
                "perl(Foo::Bar)",
            ],
            &["", "python3 (>= 3.10)", "python3>=3.10", "(a or b)", "a b", "x()(", "a >> 1", "a >= ", "-x"],
        );
    }

    #[test]
    fn arch_linux() {
        sift(
            arch,
            &["python", "python>=3.10", "gtk+", "x=1:2.0-1"],
            &["", "python >= 3.10", "python>>3", "Python", "-x", "x>=", "a|b"],
        );
    }

    #[test]
    fn brew() {
        sift(
            homebrew,
            &["cairo", "python@3.12", "owner/tap/name", "openssl@3"],
            &["", "python@", "python >= 3.12", "Python", "a/b", "x@3."],
        );
        assert_eq!(homebrew("python3 >= 3.12").unwrap_err().help.unwrap(), "did you mean `python@3.12`?");
    }
}
