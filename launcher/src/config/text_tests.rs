use super::*;

#[test]
fn durations_and_sizes() {
    assert_eq!(duration("1h30m"), Some(Duration::from_secs(5400)));
    assert_eq!(duration("30d"), Some(Duration::from_secs(2_592_000)));
    for bad in ["", "30", "s", "30x", "-1s", "1.5h", "99999999999999999999s", "9999999w", "30 s", "1é"] {
        assert_eq!(duration(bad), None, "{bad}");
    }
    assert_eq!(size("10GB"), Some(10_000_000_000));
    assert_eq!(size("1GiB"), Some(1 << 30));
    for bad in ["", "10", "GB", "10G", "-1MB", "99999999999999TB", "10é"] {
        assert_eq!(size(bad), None, "{bad}");
    }
}

#[test]
fn sizes_are_shown_as_they_are_read() {
    for (bytes, shown) in [(131_072, "128KiB"), (1000, "1kB"), (1_000_000_000_000, "1TB"), (7, "7B")] {
        assert_eq!((shown_size(bytes).as_str(), size(shown)), (shown, Some(bytes)));
    }
}

#[test]
fn folders_of_the_system_are_nobody_elses() {
    for good in
        ["/srv/media", "/srv", "/mnt", "/tmp/x", "/var/lib/mathesar/media", "/run/media/me/disk", "/devices"]
    {
        assert_eq!(folder(good), Ok(()), "{good}");
    }
    let help = |text: &str| folder(text).unwrap_err().unwrap_or_default();
    for bad in ["/proc", "/proc/x", "/sys/x/y", "/dev/shm/x", "//dev", "/srv/../proc/x", "/usr/lib/x"] {
        assert!(help(bad).starts_with("name a folder elsewhere"), "{bad}");
    }
    for (bad, better) in
        [("/", "/mathesar"), ("/.", "/mathesar"), ("/var/", "/var/mathesar"), ("/a/../etc", "/etc/mathesar")]
    {
        assert_eq!(help(bad), format!("name a folder of its own: {better}"), "{bad}");
    }
    assert_eq!(folder("relative"), Err(None));
}

#[test]
fn what_is_reached_without_a_proxy() {
    for good in [
        "*",
        "localhost",
        ".example.org",
        "*.example.org",
        "10.0.0.1",
        "::1",
        "[::1]:80",
        "10.0.0.0/8",
        "db:5432",
    ] {
        assert_eq!(direct(good), Ok(()), "{good}");
    }
    for bad in ["a/b", "", "a b", "10.0.0.0/33", "/", "a..b"] {
        assert!(direct(bad).is_err(), "{bad}");
    }
    assert_eq!(direct("https://example.org/"), Err(Some("write the name alone: example.org".to_owned())));
}

#[test]
fn database_names() {
    for good in ["mathesar", "my-data_2.old", "données", "2026"] {
        assert_eq!(database_name(good), Ok(()), "{good}");
    }
    let long = "a".repeat(64);
    for bad in ["", "x'; drop", "a b", "a\"b", "a/b", "a?b", "a=b", "-a", ".a", "a\tb", "template1", &long] {
        assert!(database_name(bad).is_err(), "{bad}");
    }
}

#[test]
fn addresses() {
    for good in ["127.0.0.1:8000", "[::1]:8000", "0.0.0.0:1", "unix:/run/mathesar/http.sock"] {
        assert_eq!(address(good), Ok(()), "{good}");
    }
    let help = |text: &str| address(text).unwrap_err().unwrap_or_default();
    assert_eq!(help("8080"), "write the address too: 127.0.0.1:8080");
    assert_eq!(help("localhost:8000"), "write 127.0.0.1:8000");
    assert_eq!(help(":8000"), "write 0.0.0.0:8000 for all of this machine's addresses");
    assert_eq!(help("10.0.0.1"), "write the port too: 10.0.0.1:8000");
    assert_eq!(help("::1"), "write brackets and the port: [::1]:8000");
    assert_eq!(help("/run/x"), "write unix:/run/x");
    assert_eq!(help("unix:/run/mathesar/"), "name the socket too: unix:/run/mathesar/http.sock");
    assert_eq!(help("unix:/"), "name the socket too: unix:/http.sock");
    assert_eq!(help("127.0.0.1:0"), "name a port from 1 to 65535");
    assert_eq!(help("127.0.0.1:99999"), "");
}

#[test]
fn hosts_and_networks() {
    for good in ["example.org", ".example.org", "*", "10.0.0.1", "[::1]", "my_host"] {
        assert_eq!(host(good), Ok(()), "{good}");
    }
    let help = |text: &str| host(text).unwrap_err().unwrap_or_default();
    assert_eq!(help("https://example.org/x"), "write the name alone: example.org");
    assert_eq!(help("example.org:8000"), "write it without the port: example.org");
    assert_eq!(help("*.example.org"), "write .example.org for a domain and all below it");
    assert_eq!(help("::1"), "write brackets: [::1]");
    assert_eq!(help("münchen.example"), "write the name in its ASCII form (xn--…)");
    assert_eq!(help("a b"), "");
    assert!(network("10.0.0.0/8").is_ok() && network("::1").is_ok() && network("10.0.0.0/33").is_err());
}

#[test]
fn database_addresses() {
    for good in ["postgresql://me@db:5432/m", "postgres://me@db/m", "postgresql:///m?host=/run&user=me"] {
        assert!(database_url(good).is_ok(), "{good}");
    }
    let help = |text: &str| database_url(text).unwrap_err().unwrap_or_default();
    assert!(help("postgresql://me:pw@db/m").starts_with("leave the password out"));
    assert!(help("postgresql://me@db/m?password=x").starts_with("leave the password out"));
    assert!(help("postgresql://db/m").starts_with("name the role"));
    assert_eq!(help("postgresql://me@db"), "name the internal database: postgresql://me@db/mathesar_django");
    assert_eq!(help("mysql://me@db/m"), "");
    for role in ["msar", "__msar", "%6dsar", "mathesar_types", "pg_monitor"] {
        assert!(help(&format!("postgresql://{role}@db/m")).starts_with("name another role: "), "{role}");
    }
    assert!(help("postgresql:///m?host=/run&user=msar").starts_with("name another role: "));
    assert_eq!(help("postgresql://me@db:0/m"), "`0` is no port");
}

#[test]
fn passwords_in_addresses_are_hidden() {
    assert_eq!(without_password("https://me:p@ss@host/x"), "https://me:***@host/x");
    assert_eq!(without_password("https://me@host/a:b@c"), "https://me@host/a:b@c");
    assert_eq!(without_password("https://host/"), "https://host/");
}
