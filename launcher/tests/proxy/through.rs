use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use sha2::Digest as _;

use crate::front::{BOTH, DOMAIN, Front, Kind, Reply};
use crate::harness::{Instance, python};

/// A gunicorn of the launcher's, with an application that tells what it is told.
fn instance() -> Option<Instance> {
    python()?;
    let instance = Instance::new();
    fs::write(instance.folder.path().join("app/config/wsgi.py"), include_str!("app.py")).unwrap();
    Some(instance)
}

/// As the notes of `mathesar proxy` ask for it.
fn trusting() -> Option<Instance> {
    let mut instance = instance()?;
    instance.variables.push(("MT_PROXY", "127.0.0.1/32".to_owned()));
    instance.start();
    Some(instance)
}

const FORGED: &str = "X-Forwarded-For: 203.0.113.66\r\n\
    X-Forwarded-Proto: http\r\n\
    X-Forwarded-Host: forged.example\r\n\
    X-Forwarded-Port: 66\r\n\
    X-Forwarded-Prefix: /forged\r\n\
    X-Forwarded-Protocol: forged\r\n\
    X-Forwarded-Scheme: forged\r\n\
    X-Forwarded-Server: forged.example\r\n\
    X-Forwarded-Ssl: forged\r\n\
    X-Forwarded-User: forged\r\n\
    X_Forwarded_For: 203.0.113.66\r\n\
    X_Forwarded_Host: forged.example\r\n\
    Forwarded: for=203.0.113.66;proto=http;host=forged.example\r\n\
    X-Real-IP: 203.0.113.66\r\n";

#[test]
fn the_application_hears_of_host_and_https_from_the_proxy_alone() {
    let Some(instance) = trusting() else { return };
    for kind in BOTH {
        let Some(front) = Front::start(kind, &instance.listen, "", &[]) else { continue };
        for headers in ["", FORGED] {
            let told = front.get("/a", headers).told();
            assert_eq!(told["host"], DOMAIN, "{kind:?}");
            assert_eq!(told["scheme"], "https", "{kind:?}");
            assert_eq!(told["headers"]["HTTP_X_FORWARDED_PROTO"], "https", "{kind:?}");
            assert_eq!(told["headers"]["HTTP_X_FORWARDED_FOR"], "127.0.0.1", "{kind:?}");
            assert_eq!(told["headers"]["HTTP_X_FORWARDED_HOST"], DOMAIN, "{kind:?}");
            let text = told.to_string();
            for forged in ["203.0.113.66", "forged", "\"66\"", "HTTP_FORWARDED", "X_REAL_IP"] {
                assert!(!text.contains(forged), "{kind:?}: {forged} in {text}");
            }
        }
        let redirect = front.plain("/a?b=c", DOMAIN);
        assert!(matches!(redirect.status, 301 | 308), "{kind:?} {redirect:?}");
        assert_eq!(redirect.header("Location"), Some(&*format!("https://{DOMAIN}/a?b=c")), "{kind:?}");
        // Another name's visitor is not sent where he says.
        let other = front.plain("/", "forged.example");
        if kind == Kind::Nginx {
            assert_eq!(other.header("Location"), Some(&*format!("https://{DOMAIN}/")));
        }
    }
}

#[test]
fn a_proxy_that_is_not_trusted_is_not_believed() {
    let Some(mut instance) = instance() else { return };
    instance.start();
    for kind in BOTH {
        let Some(front) = Front::start(kind, &instance.listen, "", &[]) else { continue };
        let told = front.get("/", FORGED).told();
        assert_eq!(told["scheme"], "http", "{kind:?}");
        // All that is left is the mark that something was there: a first page is not for whoever comes by a proxy.
        let told = told.to_string().replace("\"HTTP_X_FORWARDED_REMOVED\":\"1\"", "");
        assert!(!told.contains("FORWARDED"), "{kind:?} {told}");
    }
}

/// Not compressible, and the same at every run.
fn noise(size: usize) -> Vec<u8> {
    let mut seed = 7u32;
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    (0..size).map(|_| next()).collect()
}

#[test]
fn uploads_and_answers_pass_whole() {
    let Some(instance) = trusting() else { return };
    let upload = noise(30_000_000);
    let digest: String = sha2::Sha256::digest(&upload).iter().map(|byte| format!("{byte:02x}")).collect();
    for kind in BOTH {
        let Some(front) = Front::start(kind, &instance.listen, "", &[]) else { continue };
        let told = front.post("/api/db/v0/data_files/", &upload).told();
        assert_eq!(told["size"], 30_000_000, "{kind:?}");
        assert_eq!(told["sha256"], digest.as_str(), "{kind:?}");
        // Nothing is the proxy's own to answer.
        for path in
            ["/static/a.css", "/media/admin/people.csv", "/admin/", "/.well-known/x", "/a//b/%2e%2e/c"]
        {
            let told = front.get(path, "").told();
            assert_eq!(told["path"], path.replace("%2e", "."), "{kind:?}");
        }
        let packed = front.get("/", "Accept-Encoding: gzip\r\n");
        assert_eq!(packed.header("Content-Encoding"), Some("gzip"), "{kind:?} {}", packed.head);
        assert!(packed.body.len() < 2000, "{kind:?}");
    }
    for kind in BOTH {
        let args = ["--max-upload", "1MB"];
        let Some(front) = Front::start(kind, &instance.listen, "", &args) else { continue };
        assert_eq!(front.post("/", &upload[..999_999]).told()["size"], 999_999, "{kind:?}");
        let reply = front.post("/", &upload[..1_000_001]);
        assert!((400..600).contains(&reply.status), "{kind:?} {reply:?}");
        println!("{kind:?} answers {} to too large an upload", reply.status);
    }
}

#[test]
fn a_slow_request_passes() {
    let Some(instance) = trusting() else { return };
    for kind in BOTH {
        let Some(front) = Front::start(kind, &instance.listen, "", &[]) else { continue };
        // More than the one second that the surrounding nginx would allow.
        assert_eq!(front.get("/slow?3", "").told()["path"], "/slow", "{kind:?}");
    }
}

#[test]
#[ignore = "takes 65 s, longer than nginx waits by itself: `cargo xtask soak` runs it"]
fn a_request_that_takes_longer_than_a_minute_passes() {
    std::thread::scope(|scope| {
        for kind in BOTH {
            scope.spawn(move || {
                // One each: with all its workers at work, a probe would fail.
                let Some(mut instance) = instance() else { return };
                instance.variables.push(("MT_PROXY", "127.0.0.1".to_owned()));
                instance.variables.push(("MT_REQUEST_TIMEOUT", "120".to_owned()));
                instance.start();
                let more = "request-timeout = \"2m\"\n";
                let Some(front) = Front::start(kind, &instance.listen, more, &[]) else { return };
                assert_eq!(front.get("/slow?65", "").told()["path"], "/slow", "{kind:?}");
            });
        }
    });
}

#[test]
fn the_page_of_the_preparation_passes() {
    let Some(mut instance) = instance() else { return };
    instance.variables.push(("MT_PREPARE", "600000".to_owned()));
    instance.process = Some(instance.spawn());
    instance.until("the port", || std::net::TcpStream::connect(&instance.listen).is_ok());
    for kind in BOTH {
        let Some(front) = Front::start(kind, &instance.listen, "", &[]) else { continue };
        let page = |reply: &Reply| {
            assert_eq!(reply.status, 503, "{kind:?} {reply:?}\n{}", front.log());
            assert_eq!(reply.header("Retry-After"), Some("3"), "{kind:?}");
            let text = String::from_utf8_lossy(&reply.body).into_owned();
            assert!(text.contains("Mathesar is being prepared"), "{kind:?} {text}");
        };
        page(&front.get("/", "Accept: text/html\r\n"));
        // Caddy may close on a visitor who still sends; nginx has the whole request before it asks.
        page(&front.post("/", &noise(if kind == Kind::Nginx { 3_000_000 } else { 1_000 })));
    }
}

#[test]
fn a_unix_socket_is_reached_and_whoever_reaches_it_is_trusted() {
    let Some(mut instance) = instance() else { return };
    let folder = instance.folder.path().join("web");
    fs::create_dir(&folder).unwrap();
    for path in [instance.folder.path(), &folder] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o711)).unwrap();
    }
    instance.listen = format!("unix:{}/w.sock", folder.display());
    instance.start();
    for kind in BOTH {
        let Some(front) = Front::start(kind, &instance.listen, "", &[]) else { continue };
        let told = front.get("/", FORGED).told();
        assert_eq!((&told["host"], &told["scheme"]), (&DOMAIN.into(), &"https".into()), "{kind:?}");
        assert_eq!(told["headers"]["HTTP_X_FORWARDED_FOR"], "127.0.0.1", "{kind:?}");
        assert_eq!(front.post("/", &noise(2_000_000)).told()["size"], 2_000_000, "{kind:?}");
    }
}

#[test]
fn caddy_makes_certificates_by_itself() {
    let Some(instance) = trusting() else { return };
    let Some(front) = Front::own_certificates(&instance.listen, "books.localhost") else { return };
    // It listens a moment before the certificate is there.
    let told = instance_until_secure(&instance, &front);
    assert_eq!(told["host"], "books.localhost");
    assert_eq!(told["scheme"], "https");
}

fn instance_until_secure(instance: &Instance, front: &Front) -> serde_json::Value {
    let mut told = None;
    instance.until("a certificate", || {
        told = std::panic::catch_unwind(|| front.get("/", "").told()).ok();
        told.is_some()
    });
    told.unwrap()
}
