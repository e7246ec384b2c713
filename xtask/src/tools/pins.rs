//! `packaging/tools.toml` and `packaging/tools.lock`: which versions are installed below `target/tools`.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use crate::digest;

const CARGO: &str = include_str!("../../../packaging/tools.toml");
const PYTHON: &str = include_str!("../../../packaging/tools.lock");

/// One program at one version, and how it gets here.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pin {
    pub name: String,
    pub version: String,
    pub how: How,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum How {
    /// `cargo install`, with this as `--config`.
    Cargo { config: String },
    /// `pip install --require-hashes`, with this as the requirements file.
    Python { requirements: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CargoPin {
    version: String,
    #[serde(default)]
    config: toml::Table,
}

/// Every pin, by name.
pub(super) fn all() -> Result<Vec<Pin>> {
    let mut pins = cargo(CARGO).context("cannot read packaging/tools.toml")?;
    pins.extend(python(PYTHON).context("cannot read packaging/tools.lock")?);
    pins.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pins)
}

fn cargo(text: &str) -> Result<Vec<Pin>> {
    let pins: BTreeMap<String, CargoPin> = toml::from_str(text)?;
    let pin = |(name, pin): (String, CargoPin)| {
        let config = toml::to_string(&pin.config)?;
        Ok(Pin { name, version: pin.version, how: How::Cargo { config } })
    };
    pins.into_iter().map(pin).collect()
}

/// A requirements file's entries: `name==version \` and its `--hash=` lines.
fn python(text: &str) -> Result<Vec<Pin>> {
    let mut pins: Vec<Pin> = Vec::new();
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if line.starts_with(char::is_whitespace) {
            let Some(Pin { how: How::Python { requirements }, .. }) = pins.last_mut() else {
                bail!("`{}` belongs to no requirement", line.trim());
            };
            requirements.push_str(line);
            requirements.push('\n');
            continue;
        }
        let Some((name, rest)) = line.split_once("==") else {
            bail!("`{line}` is no `name==version`");
        };
        let version: String =
            rest.chars().take_while(|c| !c.is_whitespace() && !";\\".contains(*c)).collect();
        let how = How::Python { requirements: format!("{line}\n") };
        pins.push(Pin { name: name.trim().to_owned(), version, how });
    }
    for pin in &pins {
        if matches!(&pin.how, How::Python { requirements } if !requirements.contains("--hash=sha256:")) {
            bail!("{} has no hash", pin.name);
        }
    }
    Ok(pins)
}

impl Pin {
    /// What the stamp beside an installed program says: another pin, another digest.
    pub(super) fn digest(&self) -> String {
        let text = match &self.how {
            How::Cargo { config } => config,
            How::Python { requirements } => requirements,
        };
        digest::bytes(format!("{} {}\n{text}", self.name, self.version).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_pins_can_be_read() {
        let pins = all().unwrap();
        let names: Vec<&str> = pins.iter().map(|pin| pin.name.as_str()).collect();
        assert_eq!(names, ["cargo-generate-rpm", "nfpm", "uv", "zizmor"]);
        for pin in &pins {
            assert!(pin.version.starts_with(|c: char| c.is_ascii_digit()), "{pin:?}");
        }
        let How::Cargo { config } = &pins[0].how else { panic!("{:?}", pins[0]) };
        assert!(config.contains("opt-level = 3"), "{config}");
    }

    #[test]
    fn a_requirement_needs_a_hash_and_a_version() {
        let ok = "# why\na==1.2 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\nb==3 ; x < '1' \\\n    --hash=sha256:22\n";
        let pins = python(ok).unwrap();
        assert_eq!(pins[0].version, "1.2");
        assert_eq!(pins[1].version, "3");
        assert_eq!(
            pins[0].how,
            How::Python { requirements: "a==1.2 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n".into() }
        );
        assert_eq!(python("a==1\n").unwrap_err().to_string(), "a has no hash");
        assert_eq!(python("a>=1\n").unwrap_err().to_string(), "`a>=1` is no `name==version`");
        assert_eq!(python("  --hash=x\n").unwrap_err().to_string(), "`--hash=x` belongs to no requirement");
    }

    #[test]
    fn another_pin_has_another_digest() {
        let mut pin = all().unwrap().remove(0);
        let before = pin.digest();
        pin.version.push('1');
        assert_ne!(before, pin.digest());
    }
}
