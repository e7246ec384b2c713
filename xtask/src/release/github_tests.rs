//! What GitHub's words mean.

use super::*;

#[test]
fn a_tokens_end_is_measured_by_the_servers_clock() {
    let now = Timestamp::from_second(0).unwrap();
    let may = json!({ "full_name": "o/r", "permissions": { "push": true } });
    let says = |headers: &[(&str, &str)], json: &Value| {
        let headers = headers.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let answer = Answer { what: String::new(), status: 200, headers, body: Vec::new() };
        let said = credentials(&answer, json, now);
        said.unwrap_or_else(|error| error.to_string().lines().next().unwrap_or_default().to_owned())
    };
    let end = "github-authentication-token-expiration";
    let date = ("date", "Tue, 01 Dec 2026 10:00:00 GMT");
    assert_eq!(says(&[], &may), "it tells no end");
    // By this computer's clock, in 1970, it would be good for decades.
    let soon = "the token in GITHUB_TOKEN ends at 2026-12-01T10:59:00Z, too soon to finish";
    assert_eq!(says(&[(end, "2026-12-01 10:59:00 UTC"), date], &may), soon);
    assert_eq!(says(&[(end, "2026-12-01 12:59:00 +0200"), date], &may), soon);
    assert_eq!(says(&[(end, "2027-12-01 10:00:00 UTC"), date], &may), "it ends at 2027-12-01T10:00:00Z");
    assert!(says(&[(end, "soon"), date], &may).starts_with("cannot understand"));
    assert!(says(&[("x-oauth-scopes", "gist, read:org")], &may).contains("has the scopes"));
    assert_eq!(says(&[("x-oauth-scopes", "gist, repo")], &may), "it tells no end");
    assert!(says(&[], &json!({})).contains("may not write"));
}

#[test]
fn uploads_go_where_the_api_is() {
    assert!(uploads_to("https://uploads.github.com/repos/x", "https://api.github.com").is_ok());
    assert!(uploads_to("http://127.0.0.1:1/u", "http://127.0.0.1:1").is_ok());
    assert!(uploads_to("https://example.org/u", "https://api.github.com").is_err());
    assert!(uploads_to("http://uploads.github.com/u", "https://api.github.com").is_err());
}
