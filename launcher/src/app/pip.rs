//! What pip says when it fails: each attempt as half a kilobyte of Python objects, its cause in the middle.

/// The longest line that is shown whole.
const LONGEST: usize = 240;

/// The same in a few lines: the attempts as one, with the last one's cause, and no line that fills a screen.
pub(super) fn readable(said: &str) -> String {
    let retries: Vec<&str> = said.lines().filter(|line| is_retry(line)).collect();
    let mut lines: Vec<String> =
        said.lines().filter(|line| !is_retry(line) && !is_advice(line)).map(cut).collect();
    if let Some((cause, place)) = retries.last().and_then(|line| cause(line)) {
        let attempt = match retries.len() {
            1 => "an attempt".to_owned(),
            count => format!("{count} attempts"),
        };
        // Before what pip concludes from them; after how it ended.
        let at = lines.len().min(1);
        lines.insert(at, cut(&format!("    {attempt} failed, the last for {place}: {cause}")));
    }
    lines.join("\n")
}

fn is_retry(line: &str) -> bool {
    line.contains("Retrying (Retry(")
}

fn is_advice(line: &str) -> bool {
    line.contains("[notice]")
}

/// Of `… connection broken by 'SomeError('<object>: words')': /simple/django/` the words and the path.
fn cause(line: &str) -> Option<(String, String)> {
    let (_, broken) = line.split_once("connection broken by ")?;
    let (error, place) = broken.rsplit_once(": ")?;
    // What stands in quotes is said to somebody; the rest is how Python writes its objects.
    let said: Vec<&str> = error.split(['\'', '"']).filter_map(words).collect();
    let cause = if said.is_empty() { error.to_owned() } else { said.join(": ") };
    Some((cause, place.to_owned()))
}

fn words(piece: &str) -> Option<&str> {
    let piece = match piece.split_once(">: ") {
        Some((object, rest)) if object.starts_with('<') => rest,
        _ => piece.strip_prefix(", port=").and_then(|rest| Some(rest.split_once("): ")?.1)).unwrap_or(piece),
    };
    let piece = piece.trim().trim_end_matches(['.', ',']);
    let is_code = piece.contains(" object at 0x") || piece.ends_with(['(', '=']);
    (piece.contains(' ') && piece.contains(char::is_alphabetic) && !is_code).then_some(piece)
}

/// With what stands in the middle left out, where it is too long: lists of all versions that there are.
fn cut(line: &str) -> String {
    let count = line.chars().count();
    if count <= LONGEST {
        return line.to_owned();
    }
    let beginning: String = line.chars().take(LONGEST / 2).collect();
    let end: String = line.chars().skip(count - LONGEST / 2).collect();
    format!("{beginning} … {end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry(error: &str) -> String {
        format!(
            "    WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) after connection broken by '{error}': /simple/idna/"
        )
    }

    #[test]
    fn attempts_are_one_line_with_the_last_cause() {
        let refused = "NewConnectionError('<pip._vendor.urllib3.connection.HTTPConnection object at 0x7fe8e602ecd0>: Failed to establish a new connection: [Errno 111] Connection refused')";
        let all = format!(
            "exit status: 1\n{0}\n{0}\n{0}\n    ERROR: No matching distribution found for idna==3.10\n    [notice] A new release of pip is available",
            retry(refused)
        );
        assert_eq!(
            readable(&all),
            "exit status: 1\n    3 attempts failed, the last for /simple/idna/: Failed to establish a new connection: [Errno 111] Connection refused\n    ERROR: No matching distribution found for idna==3.10"
        );
    }

    #[test]
    fn causes_of_every_kind_are_words() {
        let of = |error: &str| cause(&retry(error)).unwrap().0;
        let object = "<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f6c5942a3d0>";
        assert_eq!(
            of(&format!(
                "ProxyError('Cannot connect to proxy.', NewConnectionError('{object}: Failed to establish a new connection: [Errno 111] Connection refused'))"
            )),
            "Cannot connect to proxy: Failed to establish a new connection: [Errno 111] Connection refused"
        );
        assert_eq!(
            of(
                "ReadTimeoutError(\"HTTPSConnectionPool(host='pypi.org', port=443): Read timed out. (read timeout=15)\")"
            ),
            "Read timed out. (read timeout=15)"
        );
        assert_eq!(
            of(&format!(
                "ConnectTimeoutError({object}, 'Connection to pypi.org timed out. (connect timeout=15)')"
            )),
            "Connection to pypi.org timed out. (connect timeout=15)"
        );
        assert_eq!(
            of(
                "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:992)'))"
            ),
            "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:992)"
        );
        // Of no form that is known: as it is.
        assert_eq!(of("Odd()"), "'Odd()'");
    }

    #[test]
    fn a_list_of_all_versions_does_not_fill_the_screen() {
        let line = format!("ERROR: Could not find it (from versions: {}9.9)", "1.0, ".repeat(500));
        let shown = readable(&line);
        assert!(shown.starts_with("ERROR: Could not find it (from versions: 1.0, "), "{shown}");
        assert!(
            shown.contains(" … ") && shown.ends_with("1.0, 9.9)") && shown.chars().count() < 250,
            "{shown}"
        );
    }
}
