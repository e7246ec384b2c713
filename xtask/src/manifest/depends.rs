//! Logical dependencies to what one package of a family has to say, so that one .deb serves every Debian-like.

use super::{Dependency, Distribution, Level, Manifest, Names};

/// A dependency for one channel: any of `names`, the preferred one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Need<'a> {
    /// Our own name for it.
    pub logical: &'a str,
    pub why: &'a str,
    pub names: Vec<&'a str>,
}

impl Distribution {
    /// Newest first: the first alternative is what a resolver installs where none is there.
    pub(crate) const DEB: [Distribution; 5] = [
        Distribution::Debian13,
        Distribution::Ubuntu2604,
        Distribution::Ubuntu2404,
        Distribution::Debian12,
        Distribution::Ubuntu2204,
    ];
    pub(crate) const RPM: [Distribution; 4] =
        [Distribution::Fedora, Distribution::Rhel10, Distribution::Rhel9, Distribution::OpenSuse];
    pub(crate) const ARCH: [Distribution; 1] = [Distribution::Arch];
    pub(crate) const HOMEBREW: [Distribution; 1] = [Distribution::Homebrew];

    /// As the manifest spells it.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Distribution::Debian12 => "debian-12",
            Distribution::Debian13 => "debian-13",
            Distribution::Ubuntu2204 => "ubuntu-22.04",
            Distribution::Ubuntu2404 => "ubuntu-24.04",
            Distribution::Ubuntu2604 => "ubuntu-26.04",
            Distribution::Fedora => "fedora",
            Distribution::Rhel9 => "rhel-9",
            Distribution::Rhel10 => "rhel-10",
            Distribution::OpenSuse => "opensuse",
            Distribution::Arch => "arch",
            Distribution::Homebrew => "homebrew",
        }
    }
}

impl Dependency {
    /// What `family` calls it, each name once, in the family's order; empty where none of it needs a package.
    fn names_for(&self, family: &[Distribution]) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for distribution in family {
            let found: Vec<&str> = match self.names.get(distribution) {
                Some(Names::One(name)) => vec![name],
                Some(Names::AnyOf(any)) => any.iter().map(String::as_str).collect(),
                Some(Names::None(_)) | None => Vec::new(),
            };
            for name in found {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
        }
        names
    }
}

impl Manifest {
    /// The needs of one level for a family of distributions, by logical name.
    pub(crate) fn needs(&self, family: &[Distribution], level: Level) -> Vec<Need<'_>> {
        self.dependency
            .iter()
            .filter(|(_, dependency)| dependency.level == level)
            .map(|(logical, dependency)| Need {
                logical,
                why: &dependency.why,
                names: dependency.names_for(family),
            })
            .filter(|need| !need.names.is_empty())
            .collect()
    }
}
