//! A server of the user's on loopback and on a socket, and everything that keeps one from it.

use std::fs;
use std::net::TcpListener;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use mathesar::config::{Outside, load_files};
use mathesar::database::{External, Facts, literal};
use mathesar::process::Program;
use mathesar::release::Postgresql;
use mathesar::secrets::Secrets;

use crate::harness::{ODD, RANGE, Site, told};

/// The server of a site, listening on loopback as well.
struct OnLoopback {
    site: Site,
    child: Child,
    port: u16,
    tls: bool,
}

impl Drop for OnLoopback {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        let _ = self.child.wait();
    }
}

impl OnLoopback {
    fn start() -> Option<OnLoopback> {
        let site = Site::new()?;
        let cluster = &site.cluster;
        drop(site.ready());
        let data = cluster.data();
        let rules = "local all mathesar_launcher scram-sha-256\nlocal all all scram-sha-256\n\
                     hostssl all only_tls 127.0.0.1/32 scram-sha-256\nhostnossl all only_tls 127.0.0.1/32 reject\n\
                     host all no_rule 127.0.0.2/32 scram-sha-256\nhost all me,poor,only_tls 127.0.0.1/32 scram-sha-256\n";
        fs::write(data.join("external_hba.conf"), rules).unwrap();
        let openssl = Program::new("openssl")
            .args([
                "req",
                "-new",
                "-x509",
                "-nodes",
                "-days",
                "2",
                "-subj",
                "/CN=localhost",
                "-keyout",
                "server.key",
            ])
            .args(["-out", "server.crt"])
            .current_dir(&data)
            .run();
        for name in ["external_hba.conf", "server.key", "server.crt"] {
            if let (Some(user), true) = (cluster.owner.user, data.join(name).exists()) {
                std::os::unix::fs::chown(data.join(name), Some(user.uid), Some(user.gid)).unwrap();
            }
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let tls = openssl.is_ok();
        if tls {
            fs::write(data.join("postgresql.auto.conf"), "ssl = on\n").unwrap();
        }
        let child = Program::new(cluster.binaries.server("postgres"))
            .arg("-D")
            .arg(&data)
            .args([
                "-c",
                "listen_addresses=127.0.0.1",
                "-c",
                &format!("port={port}"),
                "-c",
                &format!("hba_file={}", data.join("external_hba.conf").display()),
            ])
            .user(cluster.owner.user)
            .current_dir("/")
            .into_command()
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = OnLoopback { site, child, port, tls };
        let end = Instant::now() + Duration::from_secs(60);
        while !fs::read_to_string(data.join("postmaster.pid")).is_ok_and(|text| text.contains("ready")) {
            assert!(Instant::now() < end, "not ready");
            std::thread::sleep(Duration::from_millis(50));
        }
        let password = literal(ODD);
        let sql = format!(
            "CREATE ROLE me LOGIN CREATEDB PASSWORD {password}; CREATE ROLE poor LOGIN PASSWORD {password};\n\
             CREATE ROLE only_tls LOGIN PASSWORD {password}; CREATE ROLE no_rule LOGIN PASSWORD {password};\n\
             CREATE DATABASE \"my db\" OWNER me;\n"
        );
        server.admin(&sql);
        Some(server)
    }

    fn admin(&self, sql: &str) {
        let cluster = &self.site.cluster;
        let password = fs::read_to_string(cluster.secrets.path("database-superuser")).unwrap();
        let passwords = self.site.folder.path().join("admin");
        let _ = fs::remove_file(&passwords);
        fs::write(&passwords, format!("*:*:*:*:{password}\n")).unwrap();
        fs::set_permissions(&passwords, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        Program::new(cluster.binaries.client("psql"))
            .args(["-XAtqw", "-v", "ON_ERROR_STOP=1", "-f", "-", "-U", "mathesar_launcher", "postgres"])
            .env("PGHOST", &cluster.socket)
            .env("PGPORT", self.port.to_string())
            .env("PGPASSFILE", passwords)
            .input(sql)
            .run()
            .unwrap();
    }

    fn address(&self, role: &str, database: &str) -> String {
        format!("postgresql://{role}@127.0.0.1:{}/{database}", self.port)
    }

    fn test(&self, url: &str, more: &str) -> Result<Facts, String> {
        self.test_with(url, &format!("password-file = '{}'\n{more}", self.password()), &RANGE)
    }

    fn password(&self) -> String {
        let path = self.site.folder.path().join("password");
        fs::write(&path, format!("{ODD}\n")).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn test_with(&self, url: &str, more: &str, range: &Postgresql) -> Result<Facts, String> {
        let path = self.site.folder.path().join("mathesar.conf");
        fs::write(&path, format!("[database]\nurl = \"{url}\"\n{more}")).unwrap();
        let config = load_files(&[path], &Outside::default()).accept().map_err(told)?;
        let external = External::of(&config).map_err(told)?.unwrap();
        let secrets = Secrets::new(self.site.folder.path().join("own secrets"), None, None);
        external.test(&self.site.cluster.binaries.client("psql"), &secrets, None, range).map_err(told)
    }
}

#[test]
fn every_cause_has_its_cure() {
    let Some(server) = OnLoopback::start() else { return };
    let good = server.address("me", "my%20db");
    let facts = server.test(&good, "").unwrap();
    assert_eq!(facts.major, server.site.cluster.binaries.major);
    assert_eq!((facts.createdb, facts.createrole, facts.encrypted), (true, false, server.tls));

    let check = |answer: Result<Facts, String>, message: &str, cure: &str| {
        let text = answer.unwrap_err();
        println!("{text}");
        assert!(text.starts_with(&format!("error: {message}\n")), "{text}");
        assert!(text.contains(&format!("help: {cure}")), "{text}");
        assert!(!text.contains(ODD), "{text}");
    };
    let psql_without_password = server.test_with(&good, "", &RANGE);
    check(
        psql_without_password,
        "the server wants a password of role \"me\", and none is set",
        "name a file",
    );
    let wrong = server.test_with(&good, "password = 'no'\n", &RANGE);
    check(wrong, "the server refuses the password of role \"me\"", "it comes from `database.password` (");
    let missing = server.test(&server.address("me", "nowhere"), "");
    check(
        missing,
        "the server has no database \"nowhere\"",
        "make it there: `CREATE DATABASE \"nowhere\" OWNER \"me\"`",
    );
    let poor = server.test(&server.address("poor", "my%20db"), "");
    let rights = "role \"poor\" may not create schemas and tables in database \"my db\"";
    check(poor, rights, "give it the database: `ALTER DATABASE \"my db\" OWNER TO \"poor\"`");
    let internal = server.test(&server.address("poor", "mathesar_django"), "");
    check(
        internal,
        "role \"poor\" may not connect to database \"mathesar_django\"",
        "allow it there: `GRANT CONNECT",
    );
    let rule = server.test(&server.address("no_rule", "my%20db"), "");
    check(
        rule,
        "the server lets role \"no_rule\" not come in from this machine to database \"my db\"",
        "add a line",
    );
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = server.test(&format!("postgresql://me@127.0.0.1:{closed}/m"), "");
    check(refused, &format!("no server listens on 127.0.0.1:{closed}"), "start the server");
    let refused = server.test(&format!("postgresql://me@[::1]:{closed}/m"), "").unwrap_err();
    assert!(refused.contains(&format!("[::1]:{closed}")), "{refused}");
    let unknown = server.test("postgresql://me@nobody.invalid/m", "");
    check(unknown, "the host `nobody.invalid` is not known", "see what the system says");
    let socket = server.test("postgresql:///m?host=/nonexistent&user=me", "");
    check(socket, "there is no socket /nonexistent/.s.PGSQL.5432", "start the server");
    // One that accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("postgresql://me@{}/m", silent.local_addr().unwrap());
    let timeout = server.test(&address, "connect-timeout = '2s'\n");
    check(
        timeout,
        &format!("{} did not answer within 2 seconds", silent.local_addr().unwrap()),
        "look for a firewall",
    );
    let range = Postgresql { min: facts.major + 1, max: facts.major + 3 };
    let with = format!("password-file = '{}'\n", server.password());
    let old = server.test_with(&good, &with, &range);
    let message = format!(
        "the server is PostgreSQL {}, and Mathesar needs {} to {}",
        facts.version, range.min, range.max
    );
    check(old, &message, "name another server");

    // The same over the socket, with its odd path in the address.
    let encode = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let socket = encode(server.site.cluster.socket.to_str().unwrap());
    server.test(&format!("postgresql:///my%20db?host={socket}&user=me&port={}", server.port), "").unwrap();

    if !server.tls {
        println!("not run: TLS, as openssl could not make a certificate");
        return;
    }
    server.admin("CREATE DATABASE tls OWNER only_tls;");
    let only = server.address("only_tls", "tls");
    assert!(server.test(&only, "").unwrap().encrypted);
    let plain = server.test(&only, "sslmode = 'disable'\n");
    check(
        plain,
        "the server accepts encrypted connections only",
        "encrypt: `mathesar config set database.sslmode require`",
    );
    server.admin("ALTER SYSTEM SET ssl = off;\nSELECT pg_reload_conf();");
    // The server reloads when it gets to it.
    let end = Instant::now() + Duration::from_secs(20);
    let unsupported = loop {
        match server.test(&good, "sslmode = 'require'\n") {
            Ok(_) if Instant::now() < end => std::thread::sleep(Duration::from_millis(100)),
            answer => break answer,
        }
    };
    check(
        unsupported,
        "the server does not offer encryption, and `require` asks for it",
        "switch it on there",
    );
}
