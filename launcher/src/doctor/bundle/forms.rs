//! The forms in which a secret may stand in a text: as it is, and as the many programs on its way quote it.

use std::collections::BTreeSet;

/// Every form, the longest first, so that none is left as a part of another.
pub(super) fn of(secret: &str) -> Vec<String> {
    let mut all: BTreeSet<String> = BTreeSet::new();
    all.insert(secret.to_owned());
    all.insert(secret.replace('\'', "''"));
    all.insert(secret.replace('\\', "\\\\").replace('\'', "''"));
    all.insert(secret.replace('\'', "'\\''"));
    // Python's repr, with either quote.
    all.insert(secret.replace('\\', "\\\\"));
    all.insert(secret.replace('\\', "\\\\").replace('\'', "\\'"));
    // PGPASSFILE, and shells.
    all.insert(secret.replace('\\', "\\\\").replace(':', "\\:"));
    all.insert(escaped(secret, |c| !c.is_alphanumeric() && !"_-./,:@%+=".contains(c)));
    all.insert(escaped(secret, |c| "\"$`\\".contains(c)));
    all.insert(secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;"));
    for apostrophe in ["&#x27;", "&#39;"] {
        let text = secret.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        all.insert(text.replace('"', "&quot;").replace('\'', apostrophe));
    }
    all.insert(debug(secret));
    percent(secret, &mut all);
    let bytes = secret.as_bytes();
    for upper in [false, true] {
        let digits =
            bytes.iter().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        all.insert(digits.collect());
    }
    base64(bytes, &mut all);
    // Any of these in JSON, also in the one of Python, which writes ASCII alone.
    for form in all.clone() {
        let json = in_json(&form);
        all.insert(ascii(&json));
        all.insert(in_json(&json));
        all.insert(json);
    }
    let mut all: Vec<String> = all.into_iter().filter(|form| form.len() >= secret.len().min(4)).collect();
    all.sort_by_key(|form| std::cmp::Reverse(form.len()));
    all
}

fn escaped(text: &str, which: impl Fn(char) -> bool) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if which(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn inner(quoted: &str) -> String {
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

fn debug(text: &str) -> String {
    inner(&format!("{text:?}"))
}

fn in_json(text: &str) -> String {
    inner(&serde_json::Value::from(text).to_string())
}

fn ascii(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")));
        }
    }
    out
}

/// What the libraries of several languages leave as it is.
const SAFE: &[&str] = &["", "-_.~", "-_.~/", "-_.!~*'()", "-_.~!$&'()*+,;=:@", "-_.~!$&'()*+,;=:@/?", "-_.*"];

fn percent(secret: &str, all: &mut BTreeSet<String>) {
    for safe in SAFE {
        for (upper, plus) in [(true, false), (false, false), (true, true), (false, true)] {
            let mut out = String::new();
            for byte in secret.bytes() {
                let c = char::from(byte);
                match () {
                    () if byte == b' ' && plus => out.push('+'),
                    () if c.is_ascii_alphanumeric() || (c.is_ascii() && safe.contains(c)) => out.push(c),
                    () if upper => out.push_str(&format!("%{byte:02X}")),
                    () => out.push_str(&format!("%{byte:02x}")),
                }
            }
            all.insert(out);
        }
    }
}

/// Base64 of a text that holds the secret somewhere: three ways to stand in it, and of each what is the secret's alone.
fn base64(bytes: &[u8], all: &mut BTreeSet<String>) {
    for alphabet in [STANDARD, URL] {
        let padded = encode(bytes, alphabet);
        all.insert(padded.trim_end_matches('=').to_owned());
        all.insert(padded);
        for before in 0..3_usize {
            let mut text = vec![0; before];
            text.extend_from_slice(bytes);
            let encoded = encode(&text, alphabet);
            // Characters that also depend on what stands before and behind.
            let start = [0, 2, 3][before];
            let end = text.len() * 8 / 6;
            if let Some(own) = encoded.get(start..end).filter(|own| own.len() >= 5) {
                all.insert(own.to_owned());
            }
        }
    }
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn encode(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0_u32, |group, byte| group << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            match place <= chunk.len() {
                true => out.push(char::from(alphabet[(group >> (18 - 6 * place)) as usize & 63])),
                false => out.push('='),
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_right_wherever_it_stands() {
        assert_eq!(encode(b"", STANDARD), "");
        assert_eq!(encode(b"f", STANDARD), "Zg==");
        assert_eq!(encode(b"foobar", STANDARD), "Zm9vYmFy");
        assert_eq!(encode(b"fooba", URL), "Zm9vYmE=");
        let forms = of("hunter2-hunter2");
        for before in ["", "a", "ab", "abc", "user:"] {
            let text = encode(format!("{before}hunter2-hunter2@host").as_bytes(), STANDARD);
            assert!(forms.iter().any(|form| text.contains(form)), "{before}: {text}");
        }
    }

    #[test]
    fn odd_characters_are_known_as_they_are_quoted() {
        let secret = "p'\"$\\ )#:é";
        let forms = of(secret);
        for expected in [
            "p'\"$\\ )#:é",
            "p'\\\"$\\\\ )#:é",
            "p'\\\"$\\\\ )#:\\u00e9",
            "p''\"$\\ )#:é",
            "p%27%22%24%5C%20%29%23%3A%C3%A9",
            "p%27%22%24%5c%20%29%23%3a%c3%a9",
            "p%27%22%24%5C+%29%23%3A%C3%A9",
            "p\\'\"$\\\\ )#:é",
            "p&#x27;&quot;$\\ )#:é",
            "7027222",
        ] {
            assert!(forms.iter().any(|form| form.contains(expected)), "{expected}");
        }
        assert!(forms.windows(2).all(|two| two[0].len() >= two[1].len()));
    }
}
