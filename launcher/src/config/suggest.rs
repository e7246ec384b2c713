//! "did you mean": the nearest of what exists, if it is near enough.

/// The nearest candidate, or none where all are too far to be meant.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.replace('_', "-").to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .min()
        .filter(|(distance, candidate)| *distance <= 1.max(candidate.len() / 3))
        .map(|(_, candidate)| candidate)
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
    let names = || super::SETTINGS.iter().map(|setting| setting.name);
    let normal = name.replace('_', "-").to_lowercase();
    let elsewhere = KNOWN_ELSEWHERE.iter().find(|(known, _)| *known == normal).map(|(_, ours)| *ours);
    elsewhere.or_else(|| nearest(&normal, names())).or_else(|| {
        // Right key, wrong section: only if just one section has it.
        let key = normal.rsplit('.').next()?;
        let mut same = names().filter(|name| name.rsplit('.').next() == Some(key));
        same.next().filter(|_| same.next().is_none())
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
        assert_eq!(super::setting("qwerty.zzzzz"), None);
    }
}
