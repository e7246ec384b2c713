//! Against real repositories, by their path and by a real `git daemon`.

use super::*;

struct Scene {
    folder: tempfile::TempDir,
}

fn run(folder: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=Other", "-c", "user.email=o@localhost", "-c", "commit.gpgSign=false"]);
    let output = git.args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        run(folder.path(), &["init", "--quiet", "--bare", "--initial-branch=main", "there.git"]);
        Scene { folder }
    }

    fn there(&self) -> PathBuf {
        self.folder.path().join("there.git")
    }

    fn at(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap()
    }

    fn somebody_else_pushes(&self, path: &str, text: &str) {
        let clone = self.folder.path().join("others");
        remove(&clone).unwrap();
        run(self.folder.path(), &["clone", "--quiet", self.there().to_str().unwrap(), "others"]);
        fs::write(clone.join(path), text).unwrap();
        run(&clone, &["add", "."]);
        run(&clone, &["commit", "--quiet", "-m", "theirs"]);
        run(&clone, &["push", "--quiet", "origin", "HEAD:main"]);
    }
}

fn remote<'a>(scene: &Scene, url: &'a str, name: &str) -> Remote<'a> {
    Remote { url, known_hosts: "", committer: "A B <a@localhost>", folder: scene.folder.path().join(name) }
}

#[test]
fn it_commits_where_something_differs_and_rebases_where_somebody_was_faster() {
    let scene = Scene::new();
    let there = scene.there();
    let url = there.to_str().unwrap();
    let ours = remote(&scene, url, "ours");
    let files = |text: &str| [("Formula/x.rb".to_owned(), Some(text.as_bytes().to_vec()))];
    let push = |text: &str, message: &str, fits: &dyn Fn() -> Result<()>| {
        ours.push(&files(text), message, scene.at(), fits)
    };
    ours.fetch().unwrap();
    assert_eq!(ours.read("Formula/x.rb").unwrap(), None, "an empty repository");
    assert!(push("one", "x 1-1", &|| Ok(())).unwrap().ends_with(" on main"));
    let first = run(&there, &["rev-parse", "main"]);
    assert_eq!(push("one", "again", &|| Ok(())).unwrap(), "there already");
    assert_eq!(run(&there, &["rev-parse", "main"]), first);
    // Between our clone and our push.
    let raced = std::cell::Cell::new(0);
    push("two", "x 2-1\n\nWhy.", &|| {
        raced.set(raced.get() + 1);
        if raced.get() < 3 {
            scene.somebody_else_pushes("README", &format!("{}", raced.get()));
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(raced.get(), 3);
    assert_eq!(
        run(&there, &["log", "--format=%s|%an|%ae|%ct", "main"]).lines().collect::<Vec<_>>()[..2],
        [
            "x 2-1|A B|a@localhost|1800000000".to_owned(),
            run(&there, &["log", "-1", "--skip=1", "--format=%s|%an|%ae|%ct", "main"]),
        ]
    );
    assert_eq!(run(&there, &["show", "main:README"]), "2", "theirs is kept");
    assert_eq!(run(&there, &["show", "main:Formula/x.rb"]), "two");
    // What does not fit any more is not overwritten.
    scene.somebody_else_pushes("Formula/x.rb", "three");
    let refused = push("four", "x", &|| match ours.read("Formula/x.rb")?.as_deref() {
        Some(b"two" | b"four") => Ok(()),
        _ => bail!("another one"),
    });
    assert_eq!(refused.unwrap_err().to_string(), "another one");
    assert_eq!(run(&there, &["show", "main:Formula/x.rb"]), "three");
    ours.try_push(Outlet::Tap).unwrap();
}

#[test]
fn each_run_has_clones_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let work = folder.path().join("work");
    let one = clones(&work).unwrap();
    let left = work.join("clones.left-by-a-kill");
    fs::create_dir(&left).unwrap();
    let other = clones(&work).unwrap();
    assert!(one.path() != other.path() && one.path().is_dir() && left.is_dir(), "it may still be written to");
    let long_ago = std::time::SystemTime::now() - OLD * 2;
    fs::File::open(&left).unwrap().set_modified(long_ago).unwrap();
    clones(&work).unwrap();
    assert!(one.path().is_dir() && !left.exists());
}

#[test]
fn the_same_files_at_the_same_time_are_the_same_commit() {
    let (one, other) = (Scene::new(), Scene::new());
    let mut found = Vec::new();
    for scene in [&one, &other] {
        let there = scene.there();
        let files = [("a".to_owned(), Some(b"1".to_vec()))];
        let remote = remote(scene, there.to_str().unwrap(), "w");
        remote.push(&files, "m", scene.at(), &|| Ok(())).unwrap();
        found.push(run(&there, &["rev-parse", "main"]));
    }
    assert_eq!(found[0], found[1]);
}

#[test]
fn by_a_real_server() {
    let scene = Scene::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // The daemon itself: `git daemon` would leave it behind when it is killed.
    let path = run(scene.folder.path(), &["--exec-path"]);
    let daemon = Command::new(Path::new(&path).join("git-daemon"))
        .args(["--listen=127.0.0.1", "--reuseaddr", "--export-all", "--enable=receive-pack"])
        .arg(format!("--port={port}"))
        .arg(format!("--base-path={}", scene.folder.path().display()))
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut daemon) = daemon else { return println!("not run: git-daemon is not here") };
    let begun = std::time::Instant::now();
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed().as_secs() < 10, "git-daemon does not listen");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let url = format!("git://127.0.0.1:{port}/there.git");
    let remote = remote(&scene, &url, "w");
    let files = [("PKGBUILD".to_owned(), Some(b"x".to_vec()))];
    let pushed = remote.push(&files, "m", scene.at(), &|| Ok(()));
    let again = remote.push(&files, "m", scene.at(), &|| Ok(()));
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    pushed.unwrap();
    assert_eq!(again.unwrap(), "there already");
    assert_eq!(run(&scene.there(), &["show", "main:PKGBUILD"]), "x");
    let gone = remote.push(&files, "m", scene.at(), &|| Ok(())).unwrap_err().to_string();
    assert!(gone.starts_with(&format!("git clone of {url}: ")), "{gone}");
}

/// A real ssh server, which lets nobody in: how far git comes tells whether it believed the host's key.
struct Ssh {
    server: std::process::Child,
    port: u16,
    /// As in `known_hosts`, without the host.
    key: String,
}

impl Ssh {
    fn new(folder: &Path) -> Option<Ssh> {
        let file = folder.join("host-key");
        let made = Command::new("dropbearkey").args(["-t", "ed25519", "-f"]).arg(&file).output().ok()?;
        let told = String::from_utf8(made.stdout).unwrap();
        let key = told.lines().find(|line| line.starts_with("ssh-ed25519 ")).unwrap();
        let key = key.split(' ').take(2).collect::<Vec<_>>().join(" ");
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Command::new("dropbear")
            .args(["-F", "-E", "-s", "-r"])
            .arg(&file)
            .args(["-p", &format!("127.0.0.1:{port}"), "-P"])
            .arg(folder.join("pid"))
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = std::time::Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed().as_secs() < 10, "dropbear does not listen");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Some(Ssh { server, port, key })
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

#[test]
fn a_host_with_another_key_than_the_pinned_one_is_refused() {
    let scene = Scene::new();
    let Some(ssh) = Ssh::new(scene.folder.path()) else { return println!("not run: dropbear is not here") };
    let url = format!("ssh://nobody@127.0.0.1:{}/there.git", ssh.port);
    let place = format!("[127.0.0.1]:{}", ssh.port);
    let another = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl";
    let said = |known_hosts: &str| {
        let remote = Remote { known_hosts, ..remote(&scene, &url, "w") };
        remote.fetch().unwrap_err().to_string()
    };
    let pinned = said(&format!("{place} {}\n", ssh.key));
    assert!(pinned.contains("Permission denied (publickey)"), "{pinned}");
    for (known_hosts, words) in [
        (format!("{place} {another}\n"), "REMOTE HOST IDENTIFICATION HAS CHANGED"),
        (format!("other.example {}\n", ssh.key), "Host key verification failed"),
        (String::new(), "Host key verification failed"),
    ] {
        let refused = said(&known_hosts);
        assert!(refused.contains(words) && !refused.contains("Permission denied"), "{refused}");
    }
}

#[test]
fn which_version_a_recipe_is_of() {
    let formula = "class X < Formula\n  version \"0.12.0\"\n  revision 2\n  sha256 \"a\"\nend\n";
    assert_eq!(version_of("Formula/x.rb", formula).as_deref(), Some("0.12.0-3"));
    assert_eq!(version_of("x.rb", "  version \"0.12.0\"\n").as_deref(), Some("0.12.0-1"));
    let srcinfo = "pkgbase = x\n\tpkgver = 0.12.0\n\tpkgrel = 4\n";
    assert_eq!(version_of(".SRCINFO", srcinfo).as_deref(), Some("0.12.0-4"));
    assert_eq!(version_of("PKGBUILD", srcinfo), None);
    assert_eq!(version_of("x.rb", "class X"), None);
}
