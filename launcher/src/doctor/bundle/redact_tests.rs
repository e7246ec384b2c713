use serde_json::json;

use super::*;

#[test]
fn what_looks_like_a_secret_is_hidden_in_the_words_of_others() {
    let redactor = Redactor::of(Vec::new());
    for (line, expected) in [
        ("connect postgresql://ana:pw/x@db:5432/m now", "connect postgresql://***@db:5432/m now"),
        ("GET http://host/x", "GET http://host/x"),
        ("password=hunter2 user=ana", "password=*** user=ana"),
        ("PGPASSWORD='a b' psql", "PGPASSWORD='***' psql"),
        ("{\"client_secret\": \"a\\\"b\", \"x\": 1}", "{\"client_secret\": \"***\", \"x\": 1}"),
        ("{'token': 'abc', 'n': 2}", "{'token': '***', 'n': 2}"),
        ("environ['SECRET_KEY'] = 'abc'", "environ['SECRET_KEY'] = '***'"),
        ("Cookie: sessionid=abc; csrftoken=def", "Cookie: ***"),
        ("Authorization: Basic YTpi", "Authorization: ***"),
        ("ALTER ROLE ana PASSWORD 'x y';", "ALTER ROLE ana PASSWORD '***';"),
        ("GET /reset/?token=abc&x=1 HTTP/1.1", "GET /reset/?token=***&x=1 HTTP/1.1"),
        ("AccountKey=abc==;Endpoint=x", "AccountKey=***;Endpoint=x"),
        ("Environment=\"POSTGRES_PASSWORD=a\"", "Environment=\"POSTGRES_PASSWORD=***\""),
        ("key eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9abc1 end", "key *** end"),
        (
            "in /home/ana/.local/share/mathesar/app/0.12.0-4ad861eb02a2/tree",
            "in /home/ana/.local/share/mathesar/app/0.12.0-4ad861eb02a2/tree",
        ),
        ("database.password-file = \"/run/x\"", "database.password-file = \"/run/x\""),
        ("the password was wrong", "the password was wrong"),
    ] {
        assert_eq!(redactor.foreign(line), expected);
    }
    let key = "before\n-----BEGIN EC PRIVATE KEY-----\nabc\n-----END EC PRIVATE KEY-----\nafter\n";
    assert_eq!(redactor.foreign(key), "before\nafter\n");
}

#[test]
fn the_launchers_own_words_stay_readable() {
    let redactor = Redactor::of(vec!["hunter22".into(), "abc".into()]);
    assert_eq!(
        redactor.own("  ✓ ok      secrets: readable by their owner alone"),
        "  ✓ ok      secrets: readable by their owner alone"
    );
    assert_eq!(redactor.own("abc abcd (abc) hunter22hunter22"), "*** abcd (***) ******");
    assert_eq!(
        redactor.own("SHA-256 4ad861eb02a29e587fc55b2b2ea3e0306df8a4d27b44beb244d1045c8913a936").len(),
        72
    );
    let value = json!({"a": ["x hunter22", 122_334], "hunter22": null});
    assert_eq!(redactor.json(&value), json!({"a": ["x ***", 122_334], "***": null}));
    assert_eq!(Redactor::of(vec!["2233".into()]).json(&value)["a"][1], "***");
}

/// Any secret in any of the shapes that a text may give it.
#[test]
fn random_secrets_stay_out_whatever_their_characters() {
    let alphabet: Vec<char> = "abcXYZ059'\"$\\ )#(&%+=/:;,.<>`~!@?*é€\t{}[]|^-_".chars().collect();
    let mut seed = 42_u64;
    let mut random = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for _ in 0..300 {
        let length = 8 + random(20);
        let secret: String = (0..length).map(|_| alphabet[random(alphabet.len())]).collect();
        let secret = format!("x{}x", secret.trim());
        let redactor = Redactor::of(vec![secret.clone()]);
        let value = json!({ "a": [format!("before {secret} after")], "b": secret });
        let text = format!(
            "one {secret} two {secret:?} three {value} four {value:?} five ='{}'\n",
            secret.replace('\'', "''")
        );
        for shown in [redactor.own(&text), redactor.foreign(&text), redactor.json(&value).to_string()] {
            assert!(!shown.contains(&secret), "{secret}: {shown}");
            let json = value["b"].to_string();
            assert!(!shown.contains(&json[1..json.len() - 1]), "{secret}: {shown}");
            assert!(shown.contains("***"));
        }
    }
}
