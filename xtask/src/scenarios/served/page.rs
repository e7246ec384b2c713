//! What the repositories' page tells a visitor to enter. It comes from a network: it is read, and nothing else, outside of a machine.

use anyhow::{Context as _, Result, bail, ensure};

/// One system's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Block {
    /// `apt`, `dnf`, …
    pub id: String,
    pub lines: Vec<String>,
}

/// All of them, in the page's order.
pub(super) fn blocks(html: &str) -> Result<Vec<Block>> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut rest = html;
    while let Some((_, after)) = rest.split_once("<pre id=\"") {
        let (id, after) = after.split_once("\">").context("a block of the page has no name")?;
        let (text, after) =
            after.split_once("</pre>").with_context(|| format!("the block `{id}` has no end"))?;
        let text = plain(text).with_context(|| format!("cannot understand the block `{id}`"))?;
        let lines: Vec<String> =
            text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect();
        ensure!(!lines.is_empty(), "the block `{id}` is empty");
        ensure!(blocks.iter().all(|block| block.id != id), "there are two blocks `{id}`");
        blocks.push(Block { id: id.to_owned(), lines });
        rest = after;
    }
    match blocks.is_empty() {
        true => bail!("the page has no block to copy"),
        false => Ok(blocks),
    }
}

/// What a browser shows, and copies, of text.
fn plain(text: &str) -> Result<String> {
    const NAMED: [(&str, char); 5] =
        [("&amp;", '&'), ("&lt;", '<'), ("&gt;", '>'), ("&quot;", '"'), ("&apos;", '\'')];
    let mut plain = String::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        match character {
            '&' => {
                let found = NAMED.iter().find(|(name, _)| rest.starts_with(name));
                let (name, character) = found.context("an `&` begins nothing that is known")?;
                plain.push(*character);
                rest = &rest[name.len()..];
                continue;
            }
            '<' => bail!("there is markup in it"),
            '\n' | '\t' => plain.push(character),
            control if control.is_control() => bail!("there is a control character in it"),
            other => plain.push(other),
        }
        rest = &rest[character.len_utf8()..];
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `repo` renders it.
    const PAGE: &str = include_str!("../../repo/snapshots/xtask__repo__page__tests__the_page_renders.snap");

    #[test]
    fn what_repo_renders_is_read() {
        let blocks = blocks(PAGE).unwrap();
        let of = |id: &str| {
            let block = blocks.iter().find(|block| block.id == id);
            block.unwrap_or_else(|| panic!("no block {id}")).lines.as_slice()
        };
        assert_eq!(of("apt").len(), 4);
        assert_eq!(of("apt")[2..], ["sudo apt update", "sudo apt install mathesar mathesar-archive-keyring"]);
        assert_eq!(
            of("dnf"),
            [
                "sudo curl -fsSLo /etc/yum.repos.d/mathesar.repo https://packages.example.org/dnf/mathesar.repo",
                "sudo dnf install mathesar"
            ]
        );
        assert_eq!(
            of("pacman")[0],
            "curl -fsSL https://packages.example.org/pacman/mathesar.asc | sudo pacman-key --add -"
        );
        assert_eq!(of("pacman").last().unwrap(), "sudo pacman -Sy mathesar");
        assert_eq!(of("brew")[0], "brew install a/b/mathesar");
        assert_eq!(of("flatpak").len(), 1);
    }

    #[test]
    fn what_stands_for_another_character_is_that() {
        let block = |text: &str| {
            blocks(&format!("<p>x</p><pre id=\"a\">{text}</pre>")).map(|all| all[0].lines.clone())
        };
        let all = "a 'b' && \"c\" <d> ü";
        assert_eq!(block(&crate::template::xml(all)).unwrap(), [all]);
        assert_eq!(block("a\n\nb\n").unwrap(), ["a", "b"]);
        for (bad, says) in [
            ("a &copy; b", "an `&` begins nothing"),
            ("a <b>b</b>", "markup"),
            ("a\u{1b}[0m", "control character"),
            (" \n", "is empty"),
        ] {
            let said = format!("{:#}", block(bad).unwrap_err());
            assert!(said.contains(says), "{bad}: {said}");
        }
    }

    #[test]
    fn what_is_no_page_is_told() {
        for (html, says) in [
            ("", "no block to copy"),
            ("<pre>a</pre>", "no block to copy"),
            ("<pre id=\"a", "has no name"),
            ("<pre id=\"a\">b", "has no end"),
            ("<pre id=\"a\">b</pre><pre id=\"a\">c</pre>", "two blocks `a`"),
        ] {
            let said = blocks(html).unwrap_err().to_string();
            assert!(said.contains(says), "{html}: {said}");
        }
        // Cut anywhere, it is an error or fewer blocks, and never half of one.
        let whole = blocks(PAGE).unwrap();
        for cut in (0..PAGE.len()).filter(|cut| PAGE.is_char_boundary(*cut)) {
            if let Ok(some) = blocks(&PAGE[..cut]) {
                assert_eq!(some, whole[..some.len()]);
            }
        }
    }
}
