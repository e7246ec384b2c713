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

/// Each a text that is of use to whoever reads the report.
#[test]
fn what_is_harmless_stays() {
    let digest = "4ad861eb02a29e587fc55b2b2ea3e0306df8a4d27b44beb244d1045c8913a936";
    let redactor = Redactor { digests: vec![digest.to_owned()], ..Redactor::of(Vec::new()) };
    for line in [
        "  Applying mathesar.0015_alter_databaserolemap_unique_together_2026... OK",
        "Downloading psycopg_binary-3.2.1-cp312-cp312-manylinux_2_17_x86_64.whl",
        &format!("Verified mathesar-0.12.0.tar.gz, SHA-256 {digest}"),
        "Listening at: http://127.0.0.1:8000,unix:/run/x (12)",
        "GET http://127.0.0.1:8000/auth/login/?next=/ana@example.org",
        "see https://docs.mathesar.org/latest/a@b and http://[::1]:8000/@x, http://localhost/@y",
        "cannot reach postgresql://mathesar@db:5432/mathesar_django",
        "bypass: on, compass=north, password=None, {'token': null}, ALTER ROLE x NOBYPASSRLS",
        "ValueError: a line -----BEGIN PRIVATE KEY----- was expected",
    ] {
        let shown = redactor.foreign(line);
        match line.contains("PRIVATE KEY") {
            true => assert_eq!(redactor.foreign(&format!("{line}\nbehind it\n")), "behind it\n"),
            false => assert_eq!(shown, line),
        }
    }
    assert_eq!(redactor.own("django-web-token==1.2.0\n"), "django-web-token==1.2.0\n");
}

/// The same shapes, with a secret in them.
#[test]
fn what_only_looks_harmless_is_hidden() {
    let redactor = Redactor::of(Vec::new());
    for line in [
        "token abcde-fgh12-ijk34-lmn56-opq78-rst90-uvw12",
        "id 3f2a1b4c-9d8e-4f7a-8b6c-1a2b3c4d5e6f",
        "id 0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c4b5a69788796a5b4c3d2e1f0",
        "key AbCdEfGh_IjKlMnOp-12QrStUvWxYz34AbCdEfGh",
        "url http://ana:12345/x@db/y",
        "url http://ana.lee:12345/x@db/y",
        "url https://TOKEN.of/ana@db/y",
        "url https://127.0.0.1:8000/x,postgresql://ana:pw@db/y",
        "url postgresql://mathesar:pw@db/y",
        "url postgresql://mathesar@x:pw@db/y",
        "password==12345",
        "password: Nonesuch",
        "DETAIL:  Key (name)=(planted) already exists.",
        "DETAIL:  Failing row contains (7, planted, null).",
    ] {
        let shown = redactor.foreign(line);
        assert!(shown.contains("***"), "{shown}");
        for secret in ["12345", "TOKEN", "pw", "AbCd", "fgh12", "3f2a", "0f1e", "Nonesuch", "planted"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let line = "M".repeat(64);
    let broken = format!("x: -----BEGIN RSA PRIVATE KEY-----\nx: {line}\nx: {line}\nx: Zg==\nx: behind\n");
    assert_eq!(redactor.foreign(&broken), "x: behind\n");
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
