use std::os::unix::fs::PermissionsExt as _;

use crate::command_line::Test;
use crate::front::{BOTH, Kind, certificate, command, printed, wrapped};

/// What is printed to standard error, as the text itself is in the snapshots of the unit tests.
#[track_caller]
fn notes(test: &Test) -> String {
    let (status, stdout, stderr) = test.output();
    assert_eq!(status, 0, "{stderr}");
    assert!(stdout.starts_with("# Mathesar behind "), "{stdout}");
    stderr
}

#[test]
fn the_notes_say_what_mathesar_has_to_be_told() {
    let args = ["proxy", "nginx", "--domain", "A.example.org", "--domain", "b.example.org"];
    let test = Test::new().conf("[server]\nhosts = [\"old.example.org\"]\n").args(&args);
    assert_eq!(
        notes(&test),
        "note: Mathesar answers 400 to the name a.example.org, b.example.org until it is told: \
         `mathesar --home HOME config set server.hosts old.example.org a.example.org b.example.org`\n\
         note: Mathesar does not believe nginx that visitors come by https until it is told: \
         `mathesar --home HOME config set server.trusted-proxies 127.0.0.1/32`\n\
         note: the same with `--configure` sets that; then `mathesar --home HOME restart`\n"
    );
    let test = test.conf("[server]\nhosts = [\".example.org\"]\ntrusted-proxies = [\"127.0.0.0/8\"]\n");
    assert_eq!(notes(&test), "note: server.hosts and server.trusted-proxies are set already\n");
    let test = test.conf("[server]\nlisten = \"0.0.0.0:8000\"\nhosts = [\"*\"]\n");
    assert_eq!(
        notes(&test),
        "note: Mathesar does not believe nginx that visitors come by https until it is told: \
         `mathesar --home HOME config set server.trusted-proxies 127.0.0.1/32`\n\
         note: the same with `--configure` sets that; then `mathesar --home HOME restart`\n\
         note: others can go round nginx, without TLS: `mathesar --home HOME config set server.listen 127.0.0.1:8000`\n"
    );
    let test = test.conf("[server]\nlisten = \"unix:HOME/closed/w.sock\"\nhosts = [\"*\"]\n");
    std::fs::create_dir(test.path("closed")).unwrap();
    std::fs::set_permissions(test.path("."), std::fs::Permissions::from_mode(0o711)).unwrap();
    std::fs::set_permissions(test.path("closed"), std::fs::Permissions::from_mode(0o750)).unwrap();
    assert_eq!(
        notes(&test),
        "note: server.hosts is set already, and whoever reaches the socket is trusted\n\
         note: HOME/closed is closed to other users: put the socket into a folder that the user of nginx may enter\n"
    );
}

#[test]
fn configure_adds_and_is_told_once() {
    let caddy = ["proxy", "caddy", "--domain", "books.example.org", "--configure"];
    let test = Test::new()
        .conf("# mine\n[server]\nhosts = [\"old.example.org\"] # kept\ntrusted-proxies = [\"10.0.0.1\"]\n")
        .args(&caddy);
    assert_eq!(
        notes(&test),
        "         Set server.hosts in HOME/config/mathesar.conf\n\
         \x20        Set server.trusted-proxies in HOME/config/mathesar.conf\n\
         note: Mathesar knows it from the next `mathesar --home HOME restart` on\n"
    );
    let written = "# mine\n[server]\nhosts = [\"old.example.org\", \"books.example.org\"] # kept\n\
                   trusted-proxies = [\"10.0.0.1\", \"127.0.0.1/32\"]\n";
    let test = test.contents("config/mathesar.conf", written);
    assert_eq!(notes(&test), "note: server.hosts and server.trusted-proxies are set already\n");
    let test = test.contents("config/mathesar.conf", written);
    // What wins over the file is said.
    let test = test.env("MATHESAR_SERVER_HOSTS", "other.example.org");
    assert!(
        notes(&test).contains("note: environment MATHESAR_SERVER_HOSTS sets server.hosts too, and wins\n"),
        "{}",
        notes(&test)
    );
}

#[test]
fn wrong_words_are_refused_before_anything_is_printed_or_written() {
    let refused = |args: &[&str], expected: &str| {
        let all: Vec<&str> = ["proxy", "nginx"].iter().chain(args).copied().collect();
        let test = Test::new().args(&all);
        let (status, stdout, stderr) = test.output();
        assert_eq!((status, stdout.as_str()), (2, ""), "{stderr}");
        assert!(stderr.contains(expected), "{stderr}");
        test.missing("config");
    };
    refused(&["--configure"], "--domain <NAME>");
    refused(&["--domain", "https://a.org/", "--configure"], "write the name alone: a.org");
    refused(&["--domain", "a.org; include /etc/passwd"], "a name such as mathesar.example.org is expected");
    refused(&["--domain", "a.org", "--certificate", "/a.pem"], "--key <FILE>");
    refused(&["--domain", "a.org", "--certificate", "/a;b.pem", "--key", "/k"], "can hold this path");
    refused(&["--domain", "a.org", "--max-upload", "5"], "a size such as 500MB or 2GiB is expected");

    let listen = "[server]\nlisten = \"unix:/run/a;b\"\n";
    let test = Test::new().conf(listen).args(&["proxy", "caddy", "--domain", "a.org", "--configure"]);
    let (status, stdout, stderr) = test.output();
    assert_eq!((status, stdout.as_str()), (4, ""), "{stderr}");
    assert!(
        stderr.contains(
            "help: `mathesar --home HOME config set server.listen unix:/run/mathesar-web/web.sock`"
        ),
        "{stderr}"
    );
    test.contents("config/mathesar.conf", listen);
    let test = Test::new().conf("[server]\nlisten = 5\n").args(&["proxy", "caddy", "--domain", "a.org"]);
    assert_eq!(test.output().0, 4);
}

/// As printed, ports and all: the proxies' own checkers.
#[test]
fn caddy_and_nginx_find_it_valid() {
    for kind in BOTH {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path();
        if !certificate(at) {
            return;
        }
        std::fs::create_dir(at.join("with space")).unwrap();
        std::fs::copy(at.join("certificate.pem"), at.join("with space/é.pem")).unwrap();
        let file = |name: &str| at.join(name).to_string_lossy().into_owned();
        let (certificate, key) = (file("with space/é.pem"), file("key.pem"));
        let given = ["--domain", "a.org", "--domain", "b.org", "--certificate", &certificate, "--key", &key];
        // Without a certificate nginx's checker looks for certbot's.
        let bare: &[&str] = match kind {
            Kind::Caddy => &["--domain", "books.localhost"],
            Kind::Nginx => &given,
        };
        let confs = [
            "",
            "[server]\nlisten = \"[::1]:8000\"\n",
            "[server]\nlisten = \"unix:/run/my own/w.sock\"\nrequest-timeout = \"30d\"\n",
        ];
        for (conf, args) in confs.iter().flat_map(|conf| [(conf, bare), (conf, &given[..])]) {
            let text = printed(at, kind, conf, args);
            let path = wrapped(at, kind, &text, 8443, 8080, "");
            let Some(mut command) = command(at, kind) else { continue };
            match kind {
                Kind::Caddy => command.args(["validate", "--adapter", "caddyfile", "--config"]).arg(path),
                Kind::Nginx => command.arg("-p").arg(at).arg("-t").arg("-c").arg(path),
            };
            let output = command.output().unwrap();
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{kind:?} {said}\n{text}");
            assert!(!said.contains("[warn]"), "{kind:?} {said}");
        }
    }
}
