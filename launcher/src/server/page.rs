//! What visitors get while Mathesar is not there yet.

use serde_json::json;

/// Seconds until the page reloads itself, and what Retry-After says.
const RELOAD: u32 = 3;

/// What is going on, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notice {
    pub title: String,
    pub message: String,
}

/// What of a request decides about the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wants {
    Html,
    Json,
    HeadOnly,
    /// Not HTTP.
    Nonsense,
}

/// Reads a request's head.
pub(crate) fn wants(head: &[u8]) -> Wants {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.split('\n').map(|line| line.trim_end_matches('\r'));
    let words: Vec<&str> = lines.next().unwrap_or_default().split(' ').collect();
    let [method, _, version] = words.as_slice() else { return Wants::Nonsense };
    let is_method = !method.is_empty() && method.bytes().all(|byte| byte.is_ascii_uppercase());
    if !is_method || !version.starts_with("HTTP/1.") {
        return Wants::Nonsense;
    }
    if *method == "HEAD" {
        return Wants::HeadOnly;
    }
    let accepts_json = lines.take_while(|line| !line.is_empty()).any(|line| {
        let Some((name, value)) = line.split_once(':') else { return false };
        let value = value.to_ascii_lowercase();
        name.eq_ignore_ascii_case("accept")
            && value.contains("application/json")
            && !value.contains("text/html")
    });
    if accepts_json { Wants::Json } else { Wants::Html }
}

/// The whole answer, head and body.
pub(crate) fn response(notice: &Notice, wants: Wants) -> Vec<u8> {
    if wants == Wants::Nonsense {
        return b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_vec();
    }
    let (kind, body) = match wants {
        Wants::Json => {
            let value = json!({ "state": "preparing", "title": notice.title, "message": notice.message });
            ("application/json", format!("{value}\n"))
        }
        _ => ("text/html; charset=utf-8", html(notice)),
    };
    let mut text = format!(
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nRetry-After: {RELOAD}\r\n\
         Cache-Control: no-store\r\nContent-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; \
         frame-ancestors 'none'\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        body.len()
    );
    if wants != Wants::HeadOnly {
        text.push_str(&body);
    }
    text.into_bytes()
}

fn html(notice: &Notice) -> String {
    // The message last: nothing in it is taken for a place to fill.
    include_str!("page.html")
        .replace("{seconds}", &RELOAD.to_string())
        .replace("{title}", &escape(&notice.title))
        .replace("{message}", &escape(&notice.message))
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '{' => safe.push_str("&#123;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_understood() {
        assert_eq!(wants(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"), Wants::Html);
        assert_eq!(wants(b"POST /api HTTP/1.0\nACCEPT: application/json\n\n"), Wants::Json);
        assert_eq!(
            wants(b"GET / HTTP/1.1\r\nAccept: text/html, application/json;q=0.9\r\n\r\n"),
            Wants::Html
        );
        assert_eq!(wants(b"HEAD / HTTP/1.1\r\n\r\n"), Wants::HeadOnly);
        assert_eq!(wants(b"\x16\x03\x01\x02\0\x01\0"), Wants::Nonsense);
        assert_eq!(wants(b""), Wants::Nonsense);
        assert_eq!(wants(b"GET / SMTP/1"), Wants::Nonsense);
    }

    #[test]
    fn nothing_of_a_message_becomes_markup() {
        let notice = Notice { title: "A & {message}".into(), message: "<script>'\"</script>".into() };
        let text = String::from_utf8(response(&notice, Wants::Html)).unwrap();
        assert!(
            text.contains("&lt;script&gt;&#39;&quot;&lt;/script&gt;") && !text.contains("<script"),
            "{text}"
        );
        assert!(text.contains("<h1>A &amp; &#123;message}</h1>"), "{text}");
        for outside in ["http://", "https://", "src=", "href=", "{seconds}"] {
            assert!(!text.contains(outside), "{outside}");
        }
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
        assert!(head.contains("Retry-After: 3"));
        let head_only = String::from_utf8(response(&notice, Wants::HeadOnly)).unwrap();
        assert!(
            head_only.ends_with("\r\n\r\n") && head_only.contains(&format!("Content-Length: {}", body.len()))
        );
    }
}
