//! `mathesar doctor` on a real installation: sound, broken in many ways for real, and its bundle.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::harness::Home;
use crate::machine::{give, signal, tree};

/// The report, and the exit code that goes with it.
#[track_caller]
fn report(home: &Home) -> Value {
    let mut command = home.launcher(&["doctor", "--json"]);
    // The machine's own way out wins over the settings.
    for name in ["SSL_CERT_FILE", "SSL_CERT_DIR", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "UV_DEFAULT_INDEX"]
    {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let text = home.without_options(&String::from_utf8_lossy(&output.stdout));
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{output:?}"));
    let expected = i32::from(report["problems"] != 0);
    assert_eq!(output.status.code(), Some(expected), "{report:#}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    report
}

fn checks(report: &Value) -> &[Value] {
    report["checks"].as_array().unwrap()
}

#[track_caller]
fn finding(report: &Value, id: &str) -> (String, String) {
    let check = checks(report).iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id}"));
    (check["finding"].as_str().unwrap().to_owned(), check["text"].as_str().unwrap().to_owned())
}

fn wrong(report: &Value) -> Vec<String> {
    let wrong = |check: &&Value| check["finding"] == "problem" || check["finding"] == "warning";
    checks(report).iter().filter(wrong).map(|check| check["id"].as_str().unwrap().to_owned()).collect()
}

/// The machine that tests run on may have little memory, no certificates, another Mathesar.
const OF_THE_MACHINE: &[&str] = &[
    "disk-space",
    "inodes",
    "memory",
    "shared-memory",
    "overcommit",
    "open-files",
    "denials",
    "other-mathesar",
    "proxy-settings",
    "certificates",
    "glibc",
    "clock",
    // Of a PostgreSQL before 16.
    "role-rights",
    // A new installation has none yet, and `--home` is one folder.
    "last-backup",
    "backup-disk",
];

fn wrong_here(report: &Value) -> Vec<String> {
    wrong(report).into_iter().filter(|id| !OF_THE_MACHINE.contains(&id.as_str())).collect()
}

#[test]
fn before_the_first_start_nothing_is_wrong_and_nothing_is_made() {
    let Some(home) = Home::bare() else { return };
    let before = tree(home.folder());
    let report = report(&home);
    assert_eq!(wrong_here(&report), Vec::<String>::new(), "{report:#}");
    assert_eq!(tree(home.folder()), before, "`doctor` has changed something");
    assert_eq!(finding(&report, "release").0, "not-checked");
    assert_eq!(finding(&report, "python").0, "ok");
    assert_eq!(finding(&report, "libcairo").0, "ok");
}

/// How one thing is broken and mended again, on a home that is set up and stopped.
type Break = (&'static str, &'static str, fn(&Home) -> Box<dyn FnOnce(&Home)>);

fn mode(path: PathBuf, mode: u32) -> Box<dyn FnOnce(&Home)> {
    let before = fs::metadata(&path).unwrap().permissions();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    Box::new(move |_| fs::set_permissions(&path, before).unwrap())
}

fn aside(path: PathBuf) -> Box<dyn FnOnce(&Home)> {
    let beside = path.with_extension("aside");
    fs::rename(&path, &beside).unwrap();
    Box::new(move |_| {
        if path.symlink_metadata().is_ok() {
            fs::remove_file(&path).unwrap();
        }
        fs::rename(beside, path).unwrap();
    })
}

/// Another content; the file itself, which other homes may share, stays as it was.
fn content(home: &Home, path: PathBuf, text: &str) -> Box<dyn FnOnce(&Home)> {
    let folder = path.parent().unwrap().to_owned();
    let before = fs::metadata(&folder).unwrap().permissions();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let mend = aside(path.clone());
    home.write(&path, text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    Box::new(move |home| {
        mend(home);
        fs::set_permissions(folder, before).unwrap();
    })
}

fn conf(home: &Home, text: &str) -> Box<dyn FnOnce(&Home)> {
    home.conf(text);
    Box::new(|home| home.conf(""))
}

fn release(home: &Home) -> PathBuf {
    home.layout.state.join("app").join(fs::read_link(home.layout.state.join("app/current")).unwrap())
}

fn packages(home: &Home) -> PathBuf {
    let lib = release(home).join("venv/lib");
    let python = fs::read_dir(lib).unwrap().next().unwrap().unwrap().path();
    python.join("site-packages")
}

const STOPPED: &[Break] = &[
    ("settings", "a mistake in conf.d", |home| conf(home, "server.lisen = 1\n")),
    ("setting-files", "a file that is not there", |home| {
        conf(home, "app.secret-key-file = \"/nonexistent/key\"\n")
    }),
    ("certificates", "a ca-file without certificates", |home| {
        home.write(&home.folder().join("home/ca.pem"), "x");
        conf(home, &format!("network.ca-file = \"{}\"\n", home.folder().join("home/ca.pem").display()))
    }),
    ("proxy-settings", "a proxy for localhost too", |home| {
        conf(home, "network.proxy = \"http://proxy:3128\"\nnetwork.no-proxy = []\n")
    }),
    ("debug", "app.debug", |home| conf(home, "app.debug = true\n")),
    ("places", "a log folder that nobody may write", |home| {
        let logs = home.layout.logs.clone().unwrap();
        fs::create_dir_all(&logs).unwrap();
        give(&logs, home.user);
        mode(logs, 0o500)
    }),
    ("places", "a state folder for all", |home| mode(home.layout.state.clone(), 0o777)),
    ("config-folder", "mathesar.conf for all", |home| mode(home.layout.config_file(), 0o666)),
    ("log-size", "a large file among the logs", |home| {
        let path = home.layout.logs.clone().unwrap().join("large");
        home.write(&path, "");
        fs::File::options().write(true).open(&path).unwrap().set_len(200_000_000).unwrap();
        Box::new(move |_| fs::remove_file(path).unwrap())
    }),
    ("secrets", "chmod 644 secret-key", |home| mode(home.layout.state.join("secrets/secret-key"), 0o644)),
    ("secret-key", "removed", |home| aside(home.layout.state.join("secrets/secret-key"))),
    ("secret-key", "another", |home| {
        content(home, home.layout.state.join("secrets/secret-key"), "another key\n")
    }),
    ("release", "current removed", |home| aside(home.layout.state.join("app/current"))),
    ("release", "current points nowhere", |home| {
        let link = home.layout.state.join("app/current");
        let mend = aside(link.clone());
        symlink("9.9.9-000000000000", link).unwrap();
        mend
    }),
    ("release-files", "manage.py edited", |home| content(home, release(home).join("tree/manage.py"), "x")),
    ("pinned-release", "release.toml broken", |home| {
        let path = home.share().join("release.toml");
        let before = fs::read(&path).unwrap();
        fs::write(&path, "version = 1\n").unwrap();
        Box::new(move |_| fs::write(path, before).unwrap())
    }),
    ("static-files", "the stamp removed", |home| aside(release(home).join("static.done"))),
    ("environment", "its interpreter gone", |home| {
        let python = release(home).join("venv/bin/python");
        let mend = aside(python.clone());
        symlink("/nonexistent/python3", python).unwrap();
        mend
    }),
    ("python", "an interpreter that is none", |home| {
        let mend = aside(release(home).join("venv"));
        home.conf("python.interpreter = \"/bin/true\"\n");
        Box::new(|home| {
            home.conf("");
            mend(home);
        })
    }),
    ("libcairo", "cairocffi broken", |home| {
        content(home, packages(home).join("cairocffi/__init__.py"), "raise OSError('cannot load library')\n")
    }),
    ("packages", "Django broken", |home| {
        content(home, packages(home).join("django/__init__.py"), "raise ImportError('no')\n")
    }),
    ("installer", "python.uv is none", |home| conf(home, "python.uv = \"/bin/false\"\n")),
    ("postgresql", "database.bin is none", |home| conf(home, "database.bin = \"/bin\"\n")),
    ("cluster", "PG_VERSION is no number", |home| {
        content(home, home.layout.state.join("database/data/PG_VERSION"), "x\n")
    }),
    ("cluster", "data for all", |home| mode(home.layout.state.join("database/data"), 0o755)),
    ("cluster", "a killed initdb", |home| {
        let left = home.layout.state.join("database/data.new.1");
        fs::create_dir(&left).unwrap();
        Box::new(move |_| fs::remove_dir(left).unwrap())
    }),
    ("database-socket", "its folder for all", |home| {
        let folder = home.layout.database_socket.clone();
        fs::create_dir_all(&folder).unwrap();
        give(&folder, home.user);
        mode(folder, 0o777)
    }),
    ("database", "an external server that is none", |home| {
        conf(home, "database.url = \"postgresql://me@127.0.0.1:1/m\"\n")
    }),
    ("connections", "200 workers", |home| conf(home, "server.workers = 200\n")),
    ("memory", "256 workers and large buffers", |home| {
        conf(home, "server.workers = 256\ndatabase.shared-buffers = \"900GB\"\n")
    }),
    ("port", "another program's", |home| {
        let listener = TcpListener::bind(("127.0.0.1", home.port)).unwrap();
        Box::new(move |_| drop(listener))
    }),
    ("port", "not of this machine", |home| conf(home, "server.listen = \"192.0.2.1:8000\"\n")),
    ("hosts", "public without a name", |home| {
        conf(home, &format!("server.listen = \"0.0.0.0:{}\"\n", home.port))
    }),
    ("hosts", "any name", |home| conf(home, "server.hosts = [\"*\"]\n")),
    ("trusted-proxies", "everybody", |home| conf(home, "server.trusted-proxies = [\"0.0.0.0/0\"]\n")),
    ("running", "its last run failed", |home| {
        let path = home.layout.state.join("last-run.json");
        home.write(&path, "{\"ended\":\"failed\",\"why\":\"planted\",\"at\":1}");
        Box::new(move |_| fs::remove_file(path).unwrap())
    }),
    ("other-mathesar", "a gunicorn of somebody's", |home| {
        let script = home.folder().join("gunicorn");
        fs::write(&script, "#!/bin/sh\nsleep 1000 & wait\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let mut child = home.command(&script).arg("config.wsgi").spawn().unwrap();
        Box::new(move |home| {
            let _ = child.kill();
            let _ = child.wait();
            home.pids("sleep 1000").iter().for_each(|pid| signal(*pid, rustix::process::Signal::KILL));
        })
    }),
];

#[test]
fn what_is_broken_is_found_while_it_is_stopped() {
    let Some(home) = Home::prepared() else { return };
    let before = tree(&home.layout.state);
    let sound = report(&home);
    assert_eq!(wrong_here(&sound), Vec::<String>::new(), "{sound:#}");
    assert_eq!(tree(&home.layout.state), before, "`doctor` has changed something");
    assert_eq!(finding(&sound, "database").0, "not-checked");
    for (id, how, breaking) in STOPPED {
        let mend = breaking(&home);
        let broken = report(&home);
        mend(&home);
        let (finding, text) = finding(&broken, id);
        println!("| {id} | {how} | {finding} | {} |", text.replace('\n', "; "));
        assert!(finding == "problem" || finding == "warning", "{how}: {broken:#}");
        let cures = checks(&broken)
            .iter()
            .filter(|check| check["id"] == *id)
            .flat_map(|check| check["cures"].as_array().unwrap());
        assert!(cures.count() > 0, "{how}: no cure");
    }
    let mended = report(&home);
    assert_eq!(wrong_here(&mended), Vec::<String>::new(), "{mended:#}");
}

#[test]
fn what_is_broken_is_found_while_it_runs() {
    let Some(home) = Home::prepared() else { return };
    home.ok(&["start"]);
    let check = |id: &str, expected: &str| {
        let report = report(&home);
        let (found, text) = finding(&report, id);
        println!("| {id} | {found} | {} |", text.replace('\n', "; "));
        assert_eq!(found, expected, "{report:#}");
        text
    };
    home.conf("server.hosts = [\"db.example.org\"]\nserver.trusted-proxies = [\"127.0.0.1\"]\n");
    check("administrator", "problem");
    check("restart-pending", "warning");
    home.conf("");
    home.create_admin();
    let sound = report(&home);
    assert_eq!(wrong_here(&sound), Vec::<String>::new(), "{sound:#}");
    for id in [
        "database",
        "collations",
        "migrations",
        "page",
        "administrator",
        "running",
        "port",
        "restart-pending",
    ] {
        assert_eq!(finding(&sound, id).0, "ok", "{sound:#}");
    }
    println!("{}", home.mathesar(&["doctor"]).stdout);

    home.sql(
        "mathesar_django",
        "CREATE TABLE kept AS SELECT * FROM django_migrations WHERE app = 'mathesar'",
    );
    home.sql("mathesar_django", "DELETE FROM django_migrations WHERE app = 'mathesar'");
    assert!(check("migrations", "problem").contains("mathesar.0001_initial"));
    home.sql("mathesar_django", "INSERT INTO django_migrations SELECT * FROM kept");
    check("migrations", "ok");

    let version = home.sql("postgres", "SHOW server_version_num");
    let icu = "SELECT count(*) FROM pg_collation WHERE collprovider = 'i' AND collversion IS NOT NULL";
    if version.parse::<u32>().unwrap() >= 150_000 && home.sql("postgres", icu) != "0" {
        let provider = "LOCALE_PROVIDER icu ICU_LOCALE 'en' TEMPLATE template0";
        home.sql("postgres", &format!("CREATE DATABASE sorted {provider}"));
        home.sql("postgres", "UPDATE pg_database SET datcollversion = '1.2' WHERE datname = 'sorted'");
        assert!(check("collations", "problem").contains("sorted: was 1.2"));
        home.sql("postgres", "DROP DATABASE sorted");
    } else {
        println!("not run: this PostgreSQL has no ICU");
    }

    // The supervisor is ill: everything that needs it is told, nothing hangs.
    let pid = i32::try_from(home.status()["pid"].as_i64().unwrap()).unwrap();
    let gunicorn = home.pids("config.wsgi");
    for pid in &gunicorn {
        signal(*pid, rustix::process::Signal::STOP);
    }
    check("page", "problem");
    for pid in &gunicorn {
        signal(*pid, rustix::process::Signal::CONT);
    }
    signal(pid, rustix::process::Signal::STOP);
    check("running", "problem");
    signal(pid, rustix::process::Signal::CONT);
    home.ok(&["stop"]);
    assert_eq!(finding(&report(&home), "running").1, "is stopped");

    // PostgreSQL alone, as after a launcher that was killed: started as the launcher would.
    let binaries =
        mathesar::database::Search::new(None, None, mathesar::release::Postgresql { min: 14, max: 18 });
    let bin = binaries.for_new().unwrap().unwrap().bin;
    let mut postgres = home.command(&bin.join("postgres"));
    postgres.arg("-D").arg(home.layout.state.join("database/data"));
    postgres.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut postgres = postgres.spawn().unwrap();
    home.until("PostgreSQL runs", || finding(&report(&home), "leftover-processes").0 == "problem");
    signal(i32::try_from(postgres.id()).unwrap(), rustix::process::Signal::KILL);
    postgres.wait().unwrap();
    home.nobody_left();
    check("cluster", "warning");
    home.ok(&["start"]);
    assert_eq!(wrong_here(&report(&home)), Vec::<String>::new());
}

fn unpacked(home: &Home, bundle: &Path) -> Vec<(String, Vec<u8>)> {
    use std::io::Read as _;
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(bundle).unwrap()));
    let read = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_string_lossy().into_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name, bytes)
    };
    let found: Vec<_> = archive.entries().unwrap().map(read).collect();
    assert!(found.len() >= 9, "{:?} of {}", found.len(), home.folder().display());
    found
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group =
            chunk.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..=chunk.len() {
            out.push(char::from(DIGITS[(group >> (18 - 6 * place)) as usize & 63]));
        }
    }
    out
}

fn percent(text: &str) -> String {
    let one = |byte: u8| match byte.is_ascii_alphanumeric() {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

/// As somebody would find it who looks for it.
fn forms(secret: &str) -> Vec<String> {
    let json = serde_json::Value::from(secret).to_string();
    let encoded = base64(secret.as_bytes());
    let url = encoded.replace('+', "-").replace('/', "_");
    let json = json[1..json.len() - 1].to_owned();
    vec![secret.to_owned(), json, percent(secret), percent(secret).to_lowercase(), encoded, url]
}

const ODD: &str = "'\"$\\ )#";

#[test]
fn no_secret_is_in_the_bundle() {
    let Some(home) = Home::installed() else { return };
    let planted = |name: &str| format!("{name}{ODD}{name}");
    let toml = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let (key, env, of_file, sso, short) =
        (planted("key"), planted("env"), planted("file"), planted("sso"), "pw#1".to_owned());
    let env_file = home.folder().join("home/more.env");
    home.write(&env_file, format!("MORE={of_file}\n"));
    fs::set_permissions(&env_file, fs::Permissions::from_mode(0o600)).unwrap();
    let sso_config = format!("{{\"client_secret\": {}}}", serde_json::Value::from(sso.as_str()));
    home.conf(&format!(
        "env-file = \"{}\"\n[app]\nsecret-key = {}\n[database]\npassword = {}\n[login]\nsso-config = {}\n[network]\nproxy = \"http://proxyuser:prox%27y-pass@127.0.0.1:1\"\n[python]\nindex-url = \"https://indexuser:index-pass@127.0.0.1:1/simple\"\n[env]\nPLANTED = {}\nWORD = \"mathesar\"\n",
        env_file.display(),
        toml(&key),
        toml(&short),
        toml(&sso_config),
        toml(&env),
    ));
    fs::set_permissions(
        home.layout.config_drop_ins().join("50-test.conf"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    home.ok(&["start"]);
    home.create_admin();

    let mut secrets = vec![
        key,
        env,
        of_file,
        sso,
        short,
        "prox%27y-pass".to_owned(),
        "prox'y-pass".to_owned(),
        "proxyuser".to_owned(),
        "index-pass".to_owned(),
        "indexuser".to_owned(),
    ];
    for entry in fs::read_dir(home.layout.state.join("secrets")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        secrets.extend(text.trim_end().rsplit(':').next().map(str::to_owned));
        secrets.push(text.trim_end().to_owned());
    }
    assert!(secrets.len() > 14, "{}", secrets.len());
    // What the launcher does not know, in the shapes of such things.
    let unknown = [
        ("GET /x?token=unknown-token-1 HTTP/1.1", "unknown-token-1"),
        ("Cookie: sessionid=unknown-cookie-2; csrftoken=unknown-cookie-3", "unknown-cookie"),
        ("could not connect to postgresql://ana:unknown-pw-4@db/x", "unknown-pw-4"),
        ("could not connect to postgresql://somebody5@db/x", "somebody5"),
        ("{'password': 'unknown \\' pw-6', 'x': 1}", "pw-6"),
        ("Authorization: Basic dW5rbm93bi03", "dW5rbm93bi03"),
        ("ALTER ROLE ana PASSWORD 'unknown-8'", "unknown-8"),
        ("SECRET_KEY=unknown-9", "unknown-9"),
        ("using 0f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c", "0f1e2d3c4b5a"),
    ];
    let log = home.layout.logs.clone().unwrap().join("mathesar.log");
    let mut lines = fs::read_to_string(&log).unwrap();
    for secret in &secrets {
        for form in forms(secret) {
            lines.push_str(&format!("planted {form} end x{form}y \"{form}\"\n"));
        }
        lines.push_str(&format!("planted {}\n", base64(format!("ana:{secret}@x").as_bytes())));
        lines.push_str(&format!("planted {secret:?} in a url: http://u:{secret}@host/\n"));
    }
    unknown.iter().for_each(|(line, _)| lines.push_str(&format!("{line}\n")));
    lines.push_str("the last line is harmless\n");
    home.write(&log, lines);

    let bundle = home.folder().join("home/report.tar.gz");
    let path = bundle.to_str().unwrap();
    let look = |files: &[(String, Vec<u8>)], secrets: &[String]| {
        let wanted = secrets.iter().flat_map(|secret| forms(secret)).filter(|form| form.len() >= 4);
        let wanted: Vec<String> =
            wanted.chain(unknown.iter().map(|(_, secret)| (*secret).to_owned())).collect();
        for (name, bytes) in files {
            for form in &wanted {
                let at = bytes.windows(form.len()).position(|window| window == form.as_bytes());
                let around = |at: usize| {
                    String::from_utf8_lossy(&bytes[at.saturating_sub(60)..(at + 60).min(bytes.len())])
                        .into_owned()
                };
                assert!(at.is_none(), "{form:?} in {name}: {:?}", at.map(around));
            }
            if name.ends_with(".json") {
                serde_json::from_slice::<Value>(bytes).unwrap_or_else(|why| panic!("{name}: {why}"));
            }
        }
        println!(
            "{} bytes in {} files hold none of {} forms",
            files.iter().map(|(_, b)| b.len()).sum::<usize>(),
            files.len(),
            wanted.len()
        );
    };
    let made = home.mathesar(&["doctor", "--bundle", path]);
    assert!(made.stderr.contains(&format!("Wrote {path}")) && made.stdout.is_empty(), "{made:?}");
    assert_eq!(fs::metadata(&bundle).unwrap().permissions().mode() & 0o777, 0o600);
    let files = unpacked(&home, &bundle);
    look(&files, &secrets);
    let text = |name: &str| {
        let (_, bytes) = files.iter().find(|(file, _)| file.ends_with(name)).unwrap();
        String::from_utf8(bytes.clone()).unwrap()
    };
    assert!(
        text("log.txt").ends_with("the last line is harmless")
            || text("log.txt").contains("line is harmless\n")
    );
    assert!(text("versions.txt").to_lowercase().contains("django=="), "{}", text("versions.txt"));
    assert!(text("config.txt").contains("server.listen = \"127.0.0.1:"), "{}", text("config.txt"));
    assert!(text("files.txt").contains("secrets/secret-key.fingerprint"), "{}", text("files.txt"));
    assert!(text("status.json").contains("\"running\""));
    // A word of ours that stands in `[env]` as well.
    assert!(text("doctor.txt").contains("mathesar.conf"), "{}", text("doctor.txt"));
    assert!(text("plan.txt").contains("postgresql"));
    // The settings can be broken, and their secrets are no less secret.
    home.conf("[database\npassword = \"of-a-broken-file\"\n");
    let more = fs::read_to_string(&log).unwrap() + "planted of-a-broken-file\n";
    home.write(&log, more);
    assert_eq!(home.mathesar(&["doctor", "--bundle", path]).status, 4, "it overwrites");
    fs::remove_file(&bundle).unwrap();
    assert_eq!(home.mathesar(&["doctor", "--bundle", path]).status, 1);
    let of_secrets: Vec<String> = fs::read_dir(home.layout.state.join("secrets"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap().trim_end().to_owned())
        .chain(["of-a-broken-file".to_owned()])
        .collect();
    let files = unpacked(&home, &bundle);
    look(&files, &of_secrets);

    // Files that settings name, with what a launcher would use, and what it would refuse.
    let (password, key, client) = (planted("pass:word"), planted("keyfile"), planted("client"));
    let file = |name: &str, text: &str| {
        let path = home.folder().join("home").join(name);
        home.write(&path, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path.display().to_string()
    };
    home.conf(&format!(
        "[database]\nurl = \"postgresql://me@127.0.0.1:1/m\"\npassword-file = {:?}\n[app]\nsecret-key-file = {:?}\n[login]\nsso-file = {:?}\n",
        file("password", &format!("{password}\n")),
        file("key", &format!("{key}\nsecond-line\n")),
        file("sso.yml", &format!("idp:\n  client_secret: '{}'\n", client.replace('\'', "''"))),
    ));
    let of_files = [password, key, client, "second-line".to_owned()];
    let planted_lines: String =
        of_files.iter().flat_map(|secret| forms(secret)).map(|form| format!("planted x{form}y\n")).collect();
    let more = fs::read_to_string(&log).unwrap() + &planted_lines;
    home.write(&log, more);
    fs::remove_file(&bundle).unwrap();
    assert_eq!(home.mathesar(&["doctor", "--bundle", path]).status, 1);
    look(&unpacked(&home, &bundle), &of_files);
    home.conf("");
}

/// What `doctor` says to help does, and nothing of it is left.
#[test]
fn the_cures_of_a_damaged_release_help() {
    let Some(home) = Home::prepared() else { return };
    let app = home.layout.state.join("app");
    let release = release(&home);
    let remove_tree = || mathesar::app::files::remove_tree(&release.join("tree")).unwrap();
    let break_django = || {
        let file = packages(&home).join("django/__init__.py");
        fs::remove_file(&file).unwrap();
        home.write(&file, "raise ImportError('no')\n");
    };
    let damages: [(&str, &dyn Fn()); 6] = [
        ("release", &|| fs::remove_file(app.join("current")).unwrap()),
        ("release", &|| fs::remove_file(release.join("installed.json")).unwrap()),
        ("release", &remove_tree),
        ("release-files", &|| fs::remove_file(release.join("tree.sha256")).unwrap()),
        ("release", &|| fs::remove_dir_all(release.join("venv")).unwrap()),
        ("packages", &break_django),
    ];
    for (id, damage) in damages {
        damage();
        let found = report(&home);
        let check = checks(&found).iter().find(|check| check["id"] == id).unwrap();
        assert_eq!(check["finding"], "problem", "{check:#}");
        let cure = check["cures"][0].as_str().unwrap();
        println!("{}: {cure}", check["text"]);
        // The first way that it names, up to a semicolon.
        let commands = cure.split(';').next().unwrap().split('`').skip(1).step_by(2);
        for command in commands {
            let words: Vec<&str> = command.split(' ').collect();
            match words[0] {
                "mathesar" => drop(home.ok(&words[1..])),
                _ => {
                    let done = home.command(words[0].as_ref()).args(&words[1..]).status().unwrap();
                    assert!(done.success(), "{command}");
                }
            }
        }
        home.ok(&["start"]);
        home.ok(&["stop"]);
        assert_eq!(wrong_here(&report(&home)), Vec::<String>::new(), "{cure}");
    }
}
