//! Hides secrets in the lines that error messages quote: they end up in journals and bug reports.

use std::ops::Range;

use super::SETTINGS;

/// A copy of the text in which the bytes of secrets are `*`; offsets, lines and columns in bytes stay the same.
pub(crate) fn mask(text: &str, known: &[Range<usize>], well_formed: bool) -> String {
    let mut hidden = known.to_vec();
    let mut offset = 0;
    let mut in_env = false;
    for line in text.split_inclusive('\n') {
        let bare = line.trim_end_matches(['\n', '\r']);
        if bare.trim_start().starts_with('[') {
            in_env = bare.trim_start().trim_start_matches('[').trim_start().starts_with("env");
        }
        if let Some((key, value)) = bare.split_once('=')
            && (in_env || is_secret(key))
        {
            let blanks = value.len() - value.trim_start().len();
            let start = offset + key.len() + 1 + blanks;
            hidden.push(start..offset + bare.len());
            // Where the file cannot be understood, nobody knows where a string over several lines ends.
            if !well_formed && (value.contains("\"\"\"") || value.contains("'''")) {
                hidden.push(start..text.len());
            }
        }
        hidden.extend(password_in_address(bare).map(|range| offset + range.start..offset + range.end));
        offset += line.len();
    }
    // Quotes and blanks too: they tell what a password is made of.
    let covered = |at: usize| hidden.iter().any(|range| range.contains(&at));
    text.char_indices()
        .flat_map(|(at, c)| {
            let keep = matches!(c, '\n' | '\r') || !covered(at);
            std::iter::repeat_n(if keep { c } else { '*' }, if keep { 1 } else { c.len_utf8() })
        })
        .collect()
}

/// Whether a line's key, quoted, dotted, commented or not, ends as a secret setting's does.
fn is_secret(key: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or_default();
    let last: String = last.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-' || *c == '_').collect();
    let last = last.replace('_', "-").to_lowercase();
    let secret = |name: &str| name.rsplit('.').next() == Some(last.as_str());
    SETTINGS.iter().any(|setting| setting.secret && secret(setting.name))
        || ["password", "passwd", "secret", "token"].iter().any(|word| last.ends_with(word))
        || key.trim() == "env"
        || key.trim_start().starts_with("env.")
}

/// `me:PASSWORD@` behind `://`
fn password_in_address(line: &str) -> Option<Range<usize>> {
    let start = line.find("://")? + 3;
    let rest = &line[start..];
    let authority = &rest[..rest.find(['/', '?', '#', '"', '\'', ' ']).unwrap_or(rest.len())];
    let at = authority.rfind('@')?;
    let colon = authority[..at].find(':')?;
    Some(start + colon + 1..start + at)
}

#[cfg(test)]
mod tests {
    use super::mask;

    #[test]
    fn secrets_are_hidden_and_the_rest_is_not() {
        let text = "[database]\npassword = \"h\"' t\" # x\nurl = \"postgresql://me:pw@h/d\"\nname = \"n\"\n[env]\nA = \"b\"\n";
        let masked = mask(text, &[], true);
        assert_eq!(masked.len(), text.len());
        assert_eq!(
            masked,
            "[database]\npassword = ***********\nurl = \"postgresql://me:**@h/d\"\nname = \"n\"\n[env]\nA = ***\n"
        );
    }

    #[test]
    fn a_broken_text_over_several_lines_is_hidden_to_the_end() {
        let text = "app.secret-key = \"\"\"\nabc\ndef\n";
        assert_eq!(mask(text, &[], false), "app.secret-key = ***\n***\n***\n");
    }
}
