//! How this machine's package manager names PostgreSQL.

/// A family of distributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    Debian,
    Fedora,
    /// RHEL and its rebuilds; before 10 the majors are module streams.
    RedHat {
        modules: bool,
    },
    Arch,
    Suse,
    MacOs,
    Other,
}

impl Distribution {
    pub fn of_this_machine() -> Distribution {
        if cfg!(target_os = "macos") {
            return Distribution::MacOs;
        }
        let read = |path| std::fs::read_to_string(path).ok();
        let text = read("/etc/os-release").or_else(|| read("/usr/lib/os-release"));
        Distribution::from_os_release(&text.unwrap_or_default())
    }

    pub fn from_os_release(text: &str) -> Distribution {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
            line.unwrap_or_default().trim_matches(['"', '\'']).to_owned()
        };
        let version = value("VERSION_ID");
        let old = version
            .split('.')
            .next()
            .and_then(|major| major.parse().ok())
            .is_some_and(|major: u32| major < 10);
        let like = value("ID_LIKE");
        // ID_LIKE goes from near to far: Rocky's is "rhel centos fedora".
        for name in std::iter::once(value("ID").as_str()).chain(like.split_whitespace()) {
            return match name {
                "debian" | "ubuntu" => Distribution::Debian,
                "fedora" => Distribution::Fedora,
                "rhel" | "centos" => Distribution::RedHat { modules: old },
                "arch" => Distribution::Arch,
                "suse" | "opensuse" | "sles" => Distribution::Suse,
                _ if name.starts_with("opensuse") => Distribution::Suse,
                _ => continue,
            };
        }
        Distribution::Other
    }

    /// The command that installs psql for a server of this major, where it has a package of its own.
    pub fn install_client(self, major: u32) -> String {
        match self {
            Distribution::Debian => format!("apt install postgresql-client-{major}"),
            Distribution::Fedora => "dnf install postgresql".to_owned(),
            Distribution::RedHat { .. } => "dnf install postgresql".to_owned(),
            Distribution::Arch => "pacman -S postgresql-libs".to_owned(),
            Distribution::Suse => "zypper install postgresql".to_owned(),
            Distribution::MacOs | Distribution::Other => self.install(Some(major)),
        }
    }

    /// The command that installs a server of this major, or of the distribution's usual one.
    pub fn install(self, major: Option<u32>) -> String {
        match (self, major) {
            (Distribution::Debian, None) => "apt install postgresql".to_owned(),
            (Distribution::Debian, Some(major)) => format!("apt install postgresql-{major}"),
            (Distribution::Fedora, None) => "dnf install postgresql-server".to_owned(),
            (Distribution::Fedora, Some(major)) => format!("dnf install postgresql{major}-server"),
            (Distribution::RedHat { modules: true }, major) => {
                format!("dnf module install postgresql:{}/server", major.unwrap_or(16))
            }
            (Distribution::RedHat { modules: false }, None) => "dnf install postgresql-server".to_owned(),
            (Distribution::RedHat { modules: false }, Some(major)) => {
                format!("dnf install postgresql{major}-server")
            }
            (Distribution::Arch, None) => "pacman -S postgresql".to_owned(),
            (Distribution::Arch, Some(_)) => "pacman -S postgresql-old-upgrade".to_owned(),
            (Distribution::Suse, None) => "zypper install postgresql-server".to_owned(),
            (Distribution::Suse, Some(major)) => format!("zypper install postgresql{major}-server"),
            (Distribution::MacOs, major) => format!("brew install postgresql@{}", major.unwrap_or(17)),
            (Distribution::Other, None) => {
                "mathesar config set database.bin /path/to/postgresql/bin".to_owned()
            }
            (Distribution::Other, Some(major)) => {
                format!("mathesar config set database.bin /path/to/postgresql-{major}/bin")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Distribution;

    #[test]
    fn families_and_their_packages() {
        for (text, command) in [
            ("ID=debian\n", "apt install postgresql-16"),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "apt install postgresql-16"),
            ("ID=fedora\nVERSION_ID=43\n", "dnf install postgresql16-server"),
            (
                "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.6\"\n",
                "dnf module install postgresql:16/server",
            ),
            ("ID=\"rhel\"\nVERSION_ID=\"10.1\"\n", "dnf install postgresql16-server"),
            ("ID=arch\n", "pacman -S postgresql-old-upgrade"),
            ("ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n", "zypper install postgresql16-server"),
            ("", "mathesar config set database.bin /path/to/postgresql-16/bin"),
        ] {
            assert_eq!(Distribution::from_os_release(text).install(Some(16)), command, "{text}");
        }
    }
}
