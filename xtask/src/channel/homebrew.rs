//! The Homebrew formula of our tap: it builds the launcher from the source tarball, on macOS and Linux.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use super::{Channel, Context};
use crate::manifest::{Distribution, Level, Package};
use crate::template;

const TEMPLATE: &str = include_str!("../../../homebrew/formula.rb.hbs");
/// `brew audit` refuses a description that is as long or longer.
const DESCRIPTION_LIMIT: usize = 80;

pub(crate) const CHANNEL: Channel = Channel {
    name: "homebrew",
    needs: &["tarball"],
    by_name: false,
    reads: |_| Vec::new(),
    unavailable: |_| None,
    build,
};

fn build(context: &Context<'_>) -> Result<()> {
    let package = context.package;
    let tarball = super::flatpak::source_tarball(package, context.needed)?;
    let formula = render(package, &tarball.sha256)?;
    let folder = context.out.join("homebrew");
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    write(&folder.join(format!("{}.rb", package.name())), &formula)
}

fn write(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
}

#[derive(Serialize)]
struct Formula<'a> {
    class_name: String,
    desc: String,
    homepage: &'a str,
    url: String,
    version: &'a str,
    sha256: &'a str,
    license: String,
    /// Homebrew counts from 0, and says 0 by silence.
    revision: u32,
    depends_on: Vec<&'a str>,
    full_name: String,
}

/// The formula; `sha256` is the source tarball's.
fn render(package: &Package, sha256: &str) -> Result<String> {
    let identity = &package.manifest.package;
    let mut depends_on = Vec::new();
    for level in [Level::Requires, Level::Recommends] {
        let needs = package.manifest.needs(&Distribution::HOMEBREW, level);
        depends_on.extend(needs.iter().filter_map(|need| need.names.first().copied()));
    }
    depends_on.sort_unstable();
    depends_on.dedup();
    let formula = Formula {
        class_name: class_name(&identity.name),
        desc: description(&identity.summary)?,
        homepage: &identity.homepage,
        url: package.asset_url(&format!("{}.tar.gz", package.source_stem())),
        version: &identity.version,
        sha256,
        license: license(&identity.license)?,
        revision: identity.revision.saturating_sub(1),
        depends_on,
        full_name: format!("{}/{}", package.manifest.homebrew.tap, identity.name),
    };
    template::render("homebrew/formula.rb.hbs", TEMPLATE, &formula)
}

/// What brew looks for in `NAME.rb`: `some-name@1.2` is `SomeNameAT12`, `c++` is `Cxx`.
fn class_name(name: &str) -> String {
    let mut class = String::new();
    let mut upper = true;
    for character in name.chars() {
        match character {
            '-' | '_' | '.' => upper = true,
            '+' => class.push('x'),
            _ if upper => {
                class.push(character.to_ascii_uppercase());
                upper = false;
            }
            _ => class.push(character),
        }
    }
    class
}

/// The summary by brew's rules: no article first, a capital letter, no full stop, under 80 characters.
fn description(summary: &str) -> Result<String> {
    let mut text = summary.trim();
    for article in ["a ", "an ", "the "] {
        if text.get(..article.len()).is_some_and(|start| start.eq_ignore_ascii_case(article)) {
            text = text[article.len()..].trim_start();
            break;
        }
    }
    let text = text.trim_end_matches('.');
    let mut characters = text.chars();
    let Some(first) = characters.next() else { bail!("the summary `{summary}` leaves no description") };
    let text: String = first.to_uppercase().chain(characters).collect();
    let length = text.chars().count();
    if length >= DESCRIPTION_LIMIT {
        bail!("the summary is {length} characters long, a formula's description has to be under 80");
    }
    Ok(text)
}

/// An SPDX expression as Ruby: a string, or `any_of:`/`all_of:` where one word joins all.
fn license(expression: &str) -> Result<String> {
    if !expression.contains([' ', '(']) {
        return Ok(template::ruby(expression));
    }
    for (word, key) in [(" OR ", "any_of"), (" AND ", "all_of")] {
        let parts: Vec<&str> = expression.split(word).collect();
        if parts.len() > 1 && parts.iter().all(|part| !part.contains([' ', '('])) {
            let parts: Vec<String> = parts.into_iter().map(template::ruby).collect();
            return Ok(format!("{key}: [{}]", parts.join(", ")));
        }
    }
    bail!(
        "cannot write the licence `{expression}` for Homebrew: it knows names joined by OR alone or by AND alone"
    );
}

#[cfg(test)]
#[path = "homebrew_tests.rs"]
mod tests;
