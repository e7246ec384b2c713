//! The workflows, run by act where it is: with stand-ins for the actions that need GitHub, and for the programs that build and publish. What
//! is tried is what the templates themselves say: order, what is handed on, conditions, scripts.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tests::rendered;
use crate::tools::on_path;

const STAND_INS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/workflows/stand-ins");

struct World {
    act: PathBuf,
    folder: tempfile::TempDir,
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut git = Command::new("git");
    git.args(["-c", "user.name=A", "-c", "user.email=a@localhost", "-c", "commit.gpgSign=false"]);
    let output = git.args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Makes it a repository with one commit of all that is there.
fn commit(folder: &Path) {
    git(folder, &["init", "--quiet", "--initial-branch=main"]);
    git(folder, &["add", "--all", "--force"]);
    git(folder, &["commit", "--quiet", "--message", "x"]);
}

impl World {
    /// None: there is no act, and that was said.
    fn new() -> Option<World> {
        let Some(act) = on_path("act") else {
            eprintln!("not run: act is not on PATH");
            return None;
        };
        let world = World { act, folder: tempfile::tempdir().unwrap() };
        let at = |path: &str| world.folder.path().join(path);
        for folder in ["bin", "home", "checkout/.github/workflows", "checkout/packaging", "seed"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        for entry in fs::read_dir(format!("{STAND_INS}/bin")).unwrap() {
            let from = entry.unwrap().path();
            let to = at("bin").join(from.file_name().unwrap());
            fs::copy(&from, &to).unwrap();
            fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
        }
        for entry in fs::read_dir(format!("{STAND_INS}/actions")).unwrap() {
            let from = entry.unwrap().path();
            let folder = at("actions").join(from.file_stem().unwrap());
            fs::create_dir_all(&folder).unwrap();
            fs::copy(&from, folder.join("action.yml")).unwrap();
            commit(&folder);
        }
        let checkout = at("checkout");
        for file in rendered() {
            fs::write(checkout.join(file.path), file.text).unwrap();
        }
        fs::write(checkout.join(".gitignore"), "/target\n/dist\n").unwrap();
        fs::write(checkout.join("packaging/mathesar.toml"), include_str!("../testdata/mathesar.toml"))
            .unwrap();
        fs::create_dir_all(checkout.join("xtask/src/workflows")).unwrap();
        fs::write(checkout.join("xtask/src/workflows/pages.sh"), include_str!("pages.sh")).unwrap();
        commit(&checkout);
        fs::write(at("seed/README"), "packages\n").unwrap();
        commit(&at("seed"));
        let bare = |from: &str, to: &str| git(world.folder.path(), &["clone", "--quiet", "--bare", from, to]);
        bare("seed", "packages.git");
        bare("checkout", "own.git");
        let here = "https://github.com/mathesar-everywhere/mathesar-launcher";
        git(&checkout, &["remote", "add", "origin", here]);
        let own = at("own.git");
        let config = format!("[url \"{}\"]\n\tinsteadOf = {here}\n[safe]\n\tdirectory = *\n", own.display());
        fs::write(at("home/.gitconfig"), config).unwrap();
        Some(world)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// Whether every job that was run succeeded, and what was told.
    fn run(&self, event: &str, workflow: &str, env: &[&str], arguments: &[&str]) -> (bool, String) {
        let _ = fs::remove_dir_all(self.at("artifacts"));
        let mut act = Command::new(&self.act);
        act.args([event, "--workflows", &format!(".github/workflows/{workflow}.yml"), "--no-cache-server"]);
        act.args(["--artifact-server-addr", "127.0.0.1", "--cache-server-addr", "127.0.0.1"]);
        for image in ["ubuntu-24.04", "ubuntu-24.04-arm", "macos-15"] {
            act.args(["--platform", &format!("{image}=-self-hosted")]);
        }
        for (_, uses) in
            rendered().iter().flat_map(|file| file.text.lines()).filter_map(|line| line.split_once("uses: "))
        {
            let uses = uses.split(' ').next().unwrap();
            let name = uses.split(['/', '@']).nth(1).unwrap();
            let folder = self.at("actions").join(name);
            act.args(["--local-repository", &format!("{uses}={}", folder.display())]);
        }
        act.args([
            "--secret",
            "GITHUB_TOKEN=token-of-the-run",
            "--env",
            &format!("STAND_IN={}", self.folder.path().display()),
        ]);
        for one in env {
            act.args(["--env", one]);
        }
        let path = format!("{}:{}", self.at("bin").display(), std::env::var("PATH").unwrap());
        act.args(arguments).current_dir(self.at("checkout")).env("PATH", path).env("HOME", self.at("home"));
        let output = act.env_remove("XDG_CACHE_HOME").env_remove("XDG_CONFIG_HOME").output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}

const RELEASE: &[&str] = &[
    "--input=version=0.12.0-1",
    "--secret=PUBLISHER_KEY=secret-of-the-app",
    "--secret=SIGNING_KEY=secret-that-signs",
    "--var=PUBLISHER_CLIENT_ID=client",
    "--var=SIGNING_FINGERPRINT=ABCD",
];

#[test]
fn a_release_is_built_approved_and_published_as_planned() {
    let Some(world) = World::new() else { return };
    let (well, told) = world.run("workflow_dispatch", "release", &[], RELEASE);
    assert!(well, "{told}");
    assert_eq!(told.matches("Job succeeded").count(), 8, "{told}");
    let attested: Vec<&str> = told.lines().filter(|line| line.contains("| attested ")).collect();
    for name in
        ["./0.deb", "./1.deb", "./aur/.SRCINFO", "./mathesar-1-1-aarch64.flatpak", "target/handed/xtask"]
    {
        assert!(attested.iter().any(|line| line.ends_with(name)), "{name}: {attested:?}");
    }
    for cpu in ["x86_64", "aarch64"] {
        for file in [format!("mathesar-1-1-{cpu}-linux-gnu.tar.gz"), format!("mathesar-1-1-{cpu}.flatpak")] {
            let made_of = |line: &str| {
                line.contains(&format!("by target/handed/{cpu}.cdx.json"))
                    && line.ends_with(&format!("dist/{file}"))
            };
            assert!(attested.iter().any(|line| made_of(line)), "{file}: {attested:?}");
        }
    }
    let visited = "verify --from https://mathesar-everywhere.github.io/packages --expect 0.12.0-1 --key ABCD";
    assert!(told.contains(visited), "{told}");
    let pushed = git(&world.at("packages.git"), &["show", "--stat", "--format=%an", "main"]);
    assert!(pushed.starts_with("github-actions[bot]") && pushed.contains("docs/.nojekyll"), "{pushed}");
    assert!(world.at("artifacts/journal-1/1.jsonl").is_file());
    for secret in ["secret-of-the-app", "secret-that-signs"] {
        assert!(!told.contains(secret), "{told}");
    }
}

/// By the step's name: act loses what a quick one has told now and then.
fn refused(told: &str) -> bool {
    ["They are what those jobs have made", "It is what that job has made"]
        .iter()
        .any(|step| told.contains(&format!("Failure - Main {step}")))
}

#[test]
fn what_is_not_what_it_ought_to_be_is_not_published() {
    let Some(world) = World::new() else { return };
    let before = git(&world.at("packages.git"), &["rev-parse", "main"]);
    for tampered in [
        "publish xtask",
        "publish plan",
        "publish build-x86_64",
        "plan verified",
        "build-x86_64 build-aarch64",
    ] {
        let (well, told) =
            world.run("workflow_dispatch", "release", &[&format!("TAMPER={tampered}")], RELEASE);
        assert!(!well && refused(&told), "{tampered}: {told}");
        assert!(!told.contains("called: xtask release apply"), "{tampered}: {told}");
    }
    let (well, told) = world.run("workflow_dispatch", "release", &[], &["--input=version=9-1"]);
    assert!(
        !well && told.contains("Failure - Main This is main, and its manifest has this version"),
        "{told}"
    );
    assert!(!told.contains("called: "), "{told}");
    assert_eq!(git(&world.at("packages.git"), &["rev-parse", "main"]), before);
}

const WITHDRAW: &[&str] = &["--input=version=0.12.0-1", "--input=why=it says \"no\" to $HOME"];

#[test]
fn a_version_is_withdrawn_when_a_second_person_has_said_so() {
    let Some(world) = World::new() else { return };
    let arguments = [WITHDRAW, &RELEASE[1..]].concat();
    let (well, told) = world.run("workflow_dispatch", "yank", &[], &arguments);
    assert!(well, "{told}");
    assert_eq!(told.matches("Job succeeded").count(), 3, "{told}");
    let called: Vec<&str> = told.lines().filter(|line| line.contains("called: xtask release yank")).collect();
    assert!(called[0].contains("--why it says \"no\" to $HOME --dry-run"), "{called:?}");
    let done = called.iter().find(|line| !line.contains("--dry-run")).unwrap();
    assert!(done.contains("--repositories target/site/docs --key ABCD"), "{called:?}");
    let pushed = git(&world.at("packages.git"), &["show", "--stat", "main"]);
    assert!(pushed.contains("docs/apt/dists/stable/InRelease"), "{pushed}");
    let before = git(&world.at("packages.git"), &["rev-parse", "main"]);
    let (well, told) = world.run("workflow_dispatch", "yank", &["TAMPER=withdraw xtask"], &arguments);
    assert!(!well && refused(&told), "{told}");
    assert_eq!(git(&world.at("packages.git"), &["rev-parse", "main"]), before);
}

#[test]
fn indices_are_signed_again_and_pushed_only_if_they_have_changed() {
    let Some(world) = World::new() else { return };
    let sign = || world.run("schedule", "sign", &[], &RELEASE[1..]);
    let (well, told) = sign();
    assert!(well && told.contains("nothing is published yet"), "{told}");
    let (well, told) = world.run("workflow_dispatch", "release", &[], RELEASE);
    assert!(well, "{told}");
    let head = || git(&world.at("packages.git"), &["rev-parse", "main"]);
    let before = head();
    let (well, told) = sign();
    assert!(well && told.contains("called: xtask repo sign target/site/docs --key ABCD"), "{told}");
    let signed = head();
    assert_ne!(signed, before);
    let (well, told) = sign();
    assert!(well, "{told}");
    assert_eq!(head(), signed, "the stand-in signs the same again");
    let ends = told.find("called: xtask release keys ABCD").unwrap();
    assert!(told.find("called: xtask repo sign").unwrap() < ends, "{told}");
}

#[test]
fn one_issue_as_long_as_a_channel_drifts() {
    let Some(world) = World::new() else { return };
    let there = r#"ISSUES=[{"number":6,"title":"Other"},{"number":7,"title":"A channel does not serve what it ought to"}]"#;
    for (status, issues, wanted) in [
        ("STATUS=3", "ISSUES=[]", Some("called: gh issue create --title A channel does not serve")),
        ("STATUS=3", there, Some("called: gh issue edit 7")),
        ("STATUS=1", there, Some("called: gh issue edit 7")),
        ("STATUS=5", there, Some("called: gh issue close 7")),
        ("STATUS=0", "ISSUES=[]", None),
    ] {
        let (well, told) = world.run("workflow_dispatch", "drift", &[status, issues], &[]);
        assert!(well, "{told}");
        assert_eq!(told.matches("called: gh").count(), usize::from(wanted.is_some()), "{told}");
        assert!(told.contains(wanted.unwrap_or_default()), "{told}");
    }
}

#[test]
fn a_new_release_of_mathesar_is_proposed_once() {
    let Some(world) = World::new() else { return };
    let says = |newest: &str| world.run("workflow_dispatch", "pin", &[&format!("NEWEST={newest}")], &[]);
    let (well, told) = says("v0.12.0");
    assert!(well && told.contains("0.12.0 is pinned, and 0.12.0 is the newest"), "{told}");
    let (well, told) = says("1.0$(id)");
    assert!(!well && told.contains("has a tag that is no version"), "{told}");
    let (well, told) = says("0.13.0");
    assert!(well && told.contains("called: gh pr create --base main --head pin-0.13.0"), "{told}");
    let pushed = git(&world.at("own.git"), &["show", "pin-0.13.0"]);
    assert!(pushed.contains("+version = \"0.13.0\""), "{pushed}");
    let (well, told) = says("0.13.0");
    assert!(well && told.contains("pin-0.13.0 is there already") && !told.contains("pr create"), "{told}");
}

#[test]
fn brew_gets_the_formula_and_the_source_that_were_packaged() {
    let Some(world) = World::new() else { return };
    let (well, told) = world.run("push", "ci", &[], &[]);
    assert!(well, "{told}");
    assert_eq!(told.matches("Job succeeded").count(), 5, "{told}");
    assert!(told.contains("url \"file:///") && told.contains("called: brew test"), "{told}");
}
