//! What a program needs from the system it runs on, read from the ELF file itself: right for every target, and without
//! a tool of the machine that builds.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use object::read::elf::{FileHeader as _, SectionHeader as _};
use object::{Endianness, elf};

/// A dynamically linked program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Elf {
    /// Shared libraries, in the file's order: `libc.so.6`.
    pub needed: Vec<String>,
    /// Highest version of glibc among its symbols, as `2.34`.
    pub glibc: String,
    /// Processor as `uname -m` names it: `x86_64`.
    pub machine: &'static str,
}

/// Reads `path`, a 64-bit ELF file that is linked against glibc.
pub(crate) fn inspect(path: &Path) -> Result<Elf> {
    let data = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&data).with_context(|| format!("cannot read {} as a Linux program", path.display()))
}

fn parse(data: &[u8]) -> Result<Elf> {
    let header = elf::FileHeader64::<Endianness>::parse(data).context("it is no 64-bit ELF file")?;
    let endian = header.endian()?;
    let machine = match header.e_machine(endian) {
        elf::EM_X86_64 => "x86_64",
        elf::EM_AARCH64 => "aarch64",
        other => bail!("it is for another processor (e_machine {})", other.0),
    };
    let sections = header.sections(endian, data)?;
    let dynamic = sections.dynamic_table(endian, data)?;
    let mut needed = Vec::new();
    for entry in dynamic.iter().filter(|entry| entry.tag == elf::DT_NEEDED) {
        needed.push(String::from_utf8_lossy(dynamic.string(entry)?).into_owned());
    }

    let mut newest: Option<Version> = None;
    for section in sections.iter() {
        let Some((mut files, link)) = section.gnu_verneed(endian, data)? else { continue };
        let strings = sections.strings(endian, data, link)?;
        while let Some((_, mut versions)) = files.next()? {
            while let Some(version) = versions.next()? {
                newest = newest.max(Version::of_symbol(version.name(endian, strings)?));
            }
        }
    }
    let Some(newest) = newest else { bail!("it needs no version of glibc: is it linked statically?") };
    Ok(Elf { needed, glibc: newest.to_string(), machine })
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Version(Vec<u32>);

impl Version {
    /// `GLIBC_2.34`; nothing for `GLIBC_PRIVATE`, `GLIBC_ABI_DT_RELR` and other libraries' versions.
    fn of_symbol(name: &[u8]) -> Option<Version> {
        let number = std::str::from_utf8(name).ok()?.strip_prefix("GLIBC_")?;
        number.split('.').map(|part| part.parse().ok()).collect::<Option<_>>().map(Version)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            write!(f, "{}{part}", if index == 0 { "" } else { "." })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_s_own_program() {
        let elf = inspect(Path::new("/bin/true")).unwrap();
        assert!(elf.needed.contains(&"libc.so.6".to_owned()), "{elf:?}");
        assert_eq!(elf.machine, std::env::consts::ARCH);
        assert!(elf.glibc.starts_with("2."), "{elf:?}");
    }

    #[test]
    fn versions_compare_as_numbers() {
        assert!(Version::of_symbol(b"GLIBC_2.34") > Version::of_symbol(b"GLIBC_2.9"));
        assert!(Version::of_symbol(b"GLIBC_2.2.5") < Version::of_symbol(b"GLIBC_2.3"));
        assert_eq!(Version::of_symbol(b"GLIBC_PRIVATE"), None);
        assert_eq!(Version::of_symbol(b"GLIBC_ABI_DT_RELR"), None);
        assert_eq!(Version::of_symbol(b"GCC_3.0"), None);
        assert_eq!(Version(vec![2, 34]).to_string(), "2.34");
    }

    #[test]
    fn a_text_is_refused() {
        let error = parse(b"#!/bin/sh\n").unwrap_err();
        assert_eq!(error.to_string(), "it is no 64-bit ELF file");
    }
}
