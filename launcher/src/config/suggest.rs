//! "did you mean": the nearest of what exists, if it is near enough.

use super::SETTINGS;

/// The nearest candidate, or none where all are too far to be meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = normal(word);
    candidates
        .into_iter()
        .filter_map(|candidate| Some((distance(&word, candidate)?, candidate)))
        .min()
        .map(|(_, c)| c)
}

fn normal(word: &str) -> String {
    word.replace('_', "-").to_lowercase()
}

/// None where they are too different for one to be meant by the other.
fn distance(word: &str, candidate: &str) -> Option<usize> {
    let distance = strsim::damerau_levenshtein(word, candidate);
    (distance <= 1.max(candidate.len() / 3)).then_some(distance)
}

/// Names that people know from elsewhere.
const KNOWN_ELSEWHERE: &[(&str, &str)] = &[
    ("server.port", "server.listen"),
    ("server.bind", "server.listen"),
    ("server.host", "server.listen"),
    ("server.address", "server.listen"),
    ("server.allowed-hosts", "server.hosts"),
    ("server.domain", "server.hosts"),
    ("server.domains", "server.hosts"),
    ("database.host", "database.url"),
    ("database.port", "database.url"),
    ("database.user", "database.url"),
    ("backup.path", "backup.directory"),
    ("media.root", "media.path"),
    ("python.path", "python.interpreter"),
];

/// The setting that an unknown name most likely means.
pub(crate) fn setting(name: &str) -> Option<&'static str> {
    let name = normal(name);
    let (section, key) = name.rsplit_once('.').unwrap_or(("", &name));
    let ours = SETTINGS.iter().map(|setting| (setting.name, setting.name));
    let nearest = ours
        .chain(KNOWN_ELSEWHERE.iter().copied())
        .filter_map(|(known, meant)| {
            let (its_section, its_key) = known.rsplit_once('.').unwrap_or(("", known));
            // Section and key apart: a long section must not make any two keys look alike.
            Some((distance(section, its_section)? + distance(key, its_key)?, meant))
        })
        .min();
    nearest.map(|(_, meant)| meant).or_else(|| {
        // Right key, wrong section: only if just one section has it.
        let mut same = SETTINGS.iter().filter(|setting| setting.section_and_key().1 == key);
        same.next().filter(|_| same.next().is_none()).map(|setting| setting.name)
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn near_names_only() {
        assert_eq!(super::setting("server.lisen"), Some("server.listen"));
        assert_eq!(super::setting("server.trusted_proxies"), Some("server.trusted-proxies"));
        assert_eq!(super::setting("server.sslmode"), Some("database.sslmode"));
        assert_eq!(super::setting("server.port"), Some("server.listen"));
        assert_eq!(super::setting("server.prt"), Some("server.listen"));
        assert_eq!(super::setting("listen"), Some("server.listen"));
        assert_eq!(super::setting("server.xyz"), None);
        assert_eq!(super::setting("qwerty.zzzzz"), None);
    }
}
