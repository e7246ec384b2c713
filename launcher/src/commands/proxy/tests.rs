use super::site::{Certificate, Site, Upstream};
use super::{caddy, nginx};

fn site() -> Site {
    Site {
        domains: vec!["books.example.org".to_owned()],
        upstream: Upstream::Tcp("127.0.0.1:8000".parse().unwrap()),
        certificate: None,
        max_upload: 1 << 30,
        timeout: ("60s".to_owned(), 60),
    }
}

/// Everything that can be otherwise, otherwise.
fn other() -> Site {
    Site {
        domains: vec!["a.example.org".to_owned(), "b.example.org".to_owned()],
        upstream: Upstream::Unix("/run/mathesar web/w.sock".to_owned()),
        certificate: Some(Certificate {
            certificate: "/etc/ssl/our own.pem".to_owned(),
            key: "/etc/ssl/key.pem".to_owned(),
        }),
        max_upload: 500_000_000,
        timeout: ("1h30m".to_owned(), 5400),
    }
}

#[test]
fn caddy() {
    insta::assert_snapshot!("caddy", caddy::render(&site()));
    insta::assert_snapshot!("caddy_otherwise", caddy::render(&other()));
}

#[test]
fn nginx() {
    insta::assert_snapshot!("nginx", nginx::render(&site()));
    insta::assert_snapshot!("nginx_otherwise", nginx::render(&other()));
}

#[test]
fn no_place_is_left_open() {
    for text in [site(), other()].iter().flat_map(|site| [caddy::render(site), nginx::render(site)]) {
        assert!(!text.contains("{{") && !text.contains("}}"), "{text}");
    }
}
