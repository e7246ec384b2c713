use std::fs;
use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::CHANNEL;
use crate::artifact::elf;
use crate::channel::tarball;
use crate::channel::tarball::fixture::{Fixture, NASTY, has, run};
use crate::digest::file as sha256;

/// The channel's `aur` folder and the tarball's digest.
fn build(fixture: &Fixture) -> (TempDir, String) {
    let tarball = fixture.build(&tarball::CHANNEL, &[]);
    let digest = sha256(&tarball.path().join("mathesar-0.12.0-1-x86_64-linux-gnu.tar.gz")).unwrap();
    (fixture.build(&CHANNEL, &[&tarball]), digest)
}

fn read(out: &TempDir, name: &str) -> String {
    fs::read_to_string(out.path().join("aur").join(name)).unwrap()
}

#[test]
fn pkgbuild() {
    let (out, digest) = build(&Fixture::new());
    // The digest depends on this machine's /bin/true.
    insta::assert_snapshot!(read(&out, "PKGBUILD").replace(&digest, "<digest of the tarball>"));
}

#[test]
fn srcinfo() {
    let (out, digest) = build(&Fixture::new());
    insta::assert_snapshot!(read(&out, ".SRCINFO").replace(&digest, "<digest of the tarball>"));
}

#[test]
fn install_script() {
    let (out, _) = build(&Fixture::with(|text| text.replace("start = false", "start = true")));
    insta::assert_snapshot!(read(&out, "mathesar.install"));
    let (out, _) = build(&Fixture::with(|text| text.replace("start = true", "start = false")));
    assert!(!read(&out, "mathesar.install").contains("enable --now"), "it would tell to start what cannot");
}

#[test]
fn an_upgrade_tells_to_restart_what_runs() {
    let (out, _) = build(&Fixture::new());
    let told = |active: &str| {
        let script =
            format!("systemctl() {{ {active}; }}; . ./mathesar.install; post_upgrade 0.12.0-2 0.12.0-1");
        run(Command::new("bash").arg("-euc").arg(script).current_dir(out.path().join("aur")))
    };
    assert!(told("true").ends_with("systemctl restart mathesar.service\n"));
    assert_eq!(told("echo inactive >&2; false"), "");
}

#[test]
fn a_nasty_summary_reaches_bash_as_it_is() {
    let (out, _) = build(&Fixture::nasty());
    let script = ". ./PKGBUILD; printf %s \"$pkgdesc\"";
    for locale in ["C", "C.UTF-8"] {
        let mut bash = Command::new("bash");
        bash.arg("-euc").arg(script).env("LC_ALL", locale).current_dir(out.path().join("aur"));
        assert_eq!(run(&mut bash), NASTY);
    }
}

#[test]
fn white_space_of_any_locale_becomes_one_blank() {
    let fixture = Fixture::with(|text| {
        text.replace("why = \"runs Mathesar\"", "why = \"x\"")
            .replace("TLS in front of Mathesar", "TLS\u{2003}\u{a0} in  front")
    });
    let (out, _) = build(&fixture);
    assert!(read(&out, ".SRCINFO").contains("\toptdepends = caddy: TLS in front\n"));
}

#[test]
fn shellcheck_has_nothing_to_say() {
    if !has("shellcheck", "shellcheck of PKGBUILD and mathesar.install") {
        return;
    }
    let unusual =
        |text: String| text.replace("start = false", "start = true").replace("\"0640\"", "\"0660\"");
    for fixture in [Fixture::new(), Fixture::nasty(), Fixture::with(unusual)] {
        let (out, _) = build(&fixture);
        let mut shellcheck = Command::new("shellcheck");
        shellcheck.args(["--enable=all", "--exclude=SC2250,SC2292,SC2310,SC2312"]);
        assert_eq!(
            run(shellcheck.args(["PKGBUILD", "mathesar.install"]).current_dir(out.path().join("aur"))),
            ""
        );
    }
}

#[test]
fn modes_that_the_umask_would_take_off_are_set() {
    let (out, _) = build(&Fixture::with(|text| text.replace("mode = \"0640\"", "mode = \"0660\"")));
    assert!(read(&out, "PKGBUILD").contains("chmod 0660 \"${pkgdir}\"/'etc/mathesar/mathesar.conf'\n"));
}

#[test]
fn libgcc_is_a_dependency_where_the_program_needs_it() {
    let fixture = Fixture::new();
    let (out, _) = build(&fixture);
    assert!(!read(&out, "PKGBUILD").contains("gcc-libs"), "/bin/true needs none");
    // This test itself is a Rust program that unwinds, where the target does that by libgcc_s.
    let itself = std::env::current_exe().unwrap();
    let unwinds = elf::inspect(&itself).unwrap().needed.contains(&"libgcc_s.so.1".to_owned());
    fs::copy(&itself, fixture.generated().join("bin/mathesar")).unwrap();
    let (out, _) = build(&fixture);
    assert_eq!(read(&out, "PKGBUILD").contains("  'gcc-libs'\n"), unwinds);
}

#[test]
fn nothing_else_is_written() {
    let (out, _) = build(&Fixture::new());
    let names = |folder: &Path| {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|item| item.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(out.path()), ["aur"]);
    assert_eq!(names(&out.path().join("aur")), [".SRCINFO", "PKGBUILD", "mathesar.install"]);
}
