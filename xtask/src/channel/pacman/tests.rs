//! With the machine's makepkg and pacman, as they are on Debian too.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::scratch::Scratch;
use super::*;
use crate::channel::aur;
use crate::channel::tarball;
use crate::channel::tarball::fixture::{EPOCH, Fixture, NASTY, not_run, run};
use crate::manifest::Target;

const FILE: &str = "mathesar-0.12.0-1-x86_64.pkg.tar.zst";
const TARBALL: &str = "mathesar-0.12.0-1-x86_64-linux-gnu.tar.gz";

/// Why a test that needs makepkg does not run here, said aloud.
fn no_makepkg(what: &str) -> bool {
    let reason = unavailable(&Tools { folder: PathBuf::new() });
    if let Some(reason) = &reason {
        not_run(what, reason);
    }
    reason.is_some()
}

fn package(fixture: &Fixture) -> TempDir {
    let tarball = fixture.build(&tarball::CHANNEL, &[]);
    fixture.build(&CHANNEL, &[&tarball])
}

/// The AUR's folder in a place where makepkg can run, with the tarball beside it if wanted.
fn aur_folder(fixture: &Fixture, with_tarball: bool) -> Scratch {
    let tarball = fixture.build(&tarball::CHANNEL, &[]);
    let aur = fixture.build(&aur::CHANNEL, &[&tarball]);
    let scratch = Scratch::new().unwrap();
    for name in ["PKGBUILD", ".SRCINFO", "mathesar.install"] {
        fs::copy(aur.path().join("aur").join(name), scratch.folder().join(name)).unwrap();
    }
    if with_tarball {
        fs::copy(tarball.path().join(TARBALL), scratch.folder().join(TARBALL)).unwrap();
    }
    scratch.hand_over().unwrap();
    scratch
}

fn plain_makepkg(scratch: &Scratch, locale: &str, args: &[&str]) -> String {
    let mut command = Command::new("makepkg");
    command.args(args).current_dir(scratch.folder()).env("HOME", scratch.folder()).env("LC_ALL", locale);
    command.env("PKGEXT", ".pkg.tar.zst");
    scratch.as_builder(&mut command);
    run(&mut command)
}

#[test]
fn srcinfo_is_what_makepkg_prints() {
    if no_makepkg(".SRCINFO beside makepkg --printsrcinfo") {
        return;
    }
    let alone = |text: String| {
        let part =
            text.find("[dependency.postgresql]").unwrap()..text.find("# --- what only one format").unwrap();
        let mut text = text;
        text.replace_range(part, "");
        text
    };
    for fixture in [Fixture::new(), Fixture::nasty(), Fixture::with(alone)] {
        let scratch = aur_folder(&fixture, false);
        let ours = fs::read_to_string(scratch.folder().join(".SRCINFO")).unwrap();
        for locale in ["C", "C.UTF-8"] {
            assert_eq!(plain_makepkg(&scratch, locale, &["--printsrcinfo"]), ours);
        }
    }
}

#[test]
fn the_aur_package_builds_where_the_tarball_has_been_fetched() {
    if no_makepkg("makepkg of the AUR's PKGBUILD") {
        return;
    }
    let scratch = aur_folder(&Fixture::nasty(), true);
    plain_makepkg(&scratch, "C.UTF-8", &["--nodeps", "--nocolor"]);
    let built = scratch.folder().join("mathesar-bin-0.12.0-1-x86_64.pkg.tar.zst");
    let info = member(&built, ".PKGINFO").unwrap();
    assert!(info.contains(&format!("\npkgdesc = {NASTY}\n")), "{info}");
    assert!(
        info.contains("\nprovides = mathesar=0.12.0\n") && info.contains("\nconflict = mathesar\n"),
        "{info}"
    );
}

#[test]
fn another_tarball_is_refused() {
    if no_makepkg("makepkg with a wrong tarball") {
        return;
    }
    let scratch = aur_folder(&Fixture::new(), true);
    fs::write(scratch.folder().join(TARBALL), "another").unwrap();
    let mut command = Command::new("makepkg");
    command.arg("--nodeps").current_dir(scratch.folder()).env("HOME", scratch.folder()).env("LC_ALL", "C");
    scratch.as_builder(&mut command);
    let output = command.output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("did not pass the validity check"));
}

#[test]
fn two_builds_are_the_same_and_tell_nothing_of_the_machine() {
    if no_makepkg("two builds by makepkg") {
        return;
    }
    let [one, two] = [package(&Fixture::nasty()), package(&Fixture::nasty())];
    let (one, two) = (one.path().join(FILE), two.path().join(FILE));
    assert!(fs::read(&one).unwrap() == fs::read(&two).unwrap());
    // For a comparison between users, umasks and machines, by hand.
    eprintln!("{FILE}: {}", crate::digest::file(&one).unwrap());
    let tool =
        |line: &&str| !line.starts_with("buildtoolver = ") && !line.starts_with("pkgbuild_sha256sum = ");
    let info: Vec<String> =
        member(&one, ".BUILDINFO").unwrap().lines().filter(tool).map(str::to_owned).collect();
    insta::assert_snapshot!(info.join("\n"));
}

#[test]
fn what_is_in_the_package() {
    if no_makepkg("the contents of the pacman package") {
        return;
    }
    let out = package(&Fixture::nasty());
    let built = out.path().join(FILE);
    let info = member(&built, ".PKGINFO").unwrap();
    assert!(info.contains(&format!("\npkgdesc = {NASTY}\n")), "{info}");
    assert!(info.contains(&format!("\nbuilddate = {EPOCH}\n")), "{info}");
    assert!(info.contains("\nbackup = etc/mathesar/mathesar.conf\n"), "{info}");
    let list = run(Command::new("bsdtar").env("LC_ALL", "C").env("TZ", "UTC").arg("-tvf").arg(&built));
    let list: String = list
        .lines()
        .map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            assert_eq!((words[2], words[3]), ("root", "root"), "{line}");
            assert_eq!(words[5..8], ["Jan", "2", "2026"], "{line}");
            format!("{} {}\n", words[0], words[8])
        })
        .collect();
    insta::assert_snapshot!(list);
}

/// A machine's root folder with nothing but a shell, where pacman installs.
struct Machine {
    root: TempDir,
}

impl Machine {
    fn new() -> Machine {
        let root = tempfile::tempdir().unwrap();
        for folder in ["etc", "tmp", "usr/bin", "var/lib/pacman", "var/cache"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        symlink("usr/bin", root.path().join("bin")).unwrap();
        fs::copy("/bin/bash", root.path().join("usr/bin/bash")).unwrap();
        symlink("bash", root.path().join("usr/bin/sh")).unwrap();
        // Install scripts are run in a chroot, which needs the shell's libraries.
        for word in
            run(Command::new("ldd").arg("/bin/bash")).split_whitespace().filter(|word| word.starts_with('/'))
        {
            let dest = root.path().join(word.trim_start_matches('/'));
            fs::create_dir_all(dest.parent().unwrap()).unwrap();
            fs::copy(word, dest).unwrap();
        }
        let config = "[options]\nArchitecture = auto\nSigLevel = Never\nLocalFileSigLevel = Never\n";
        fs::write(root.path().join("etc/pacman.conf"), config).unwrap();
        Machine { root }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    fn pacman(&self, args: &[&str]) -> String {
        let mut command = Command::new("pacman");
        command.arg("--root").arg(self.root.path()).arg("--dbpath").arg(self.path("var/lib/pacman"));
        command
            .arg("--config")
            .arg(self.path("etc/pacman.conf"))
            .arg("--logfile")
            .arg(self.path("var/pacman.log"));
        command.arg("--cachedir").arg(self.path("var/cache")).arg("--hookdir").arg(self.path("etc/hooks"));
        command
            .args(["--noconfirm", "--color", "never"])
            .args(args)
            .env_remove("LC_ALL")
            .env("LANG", "C.UTF-8");
        run(&mut command)
    }

    fn install(&self, package: &Path) -> String {
        // Dependencies are Arch's, and not here.
        self.pacman(&["-Udd", package.to_str().unwrap()])
    }
}

#[test]
fn pacman_installs_upgrades_and_removes_it() {
    let what = "pacman -U into a folder";
    if no_makepkg(what) {
        return;
    }
    if !rustix::process::geteuid().is_root()
        || !on_path(&std::env::var_os("PATH").unwrap_or_default(), "pacman")
    {
        not_run(what, "it takes root and pacman");
        return;
    }
    let machine = Machine::new();
    let first = package(&Fixture::nasty());
    let told = machine.install(&first.path().join(FILE));
    assert!(told.contains("==> Settings: /etc/mathesar/mathesar.conf; help: mathesar --help"), "{told}");
    assert!(!told.contains("error") && !told.contains("warning"), "{told}");
    assert!(machine.pacman(&["-Qi", "mathesar"]).contains(NASTY));
    assert!(machine.pacman(&["-Qkk", "mathesar"]).contains(", 0 altered files"));
    for (path, mode) in [
        ("usr/bin/mathesar", 0o755),
        ("etc/mathesar/mathesar.conf", 0o640),
        ("usr/lib/systemd/system/mathesar.service", 0o644),
        ("usr/share/man/man1/mathesar.1.gz", 0o644),
    ] {
        let found = machine.path(path).metadata().unwrap();
        assert_eq!((found.permissions().mode() & 0o7777, found.uid(), found.gid()), (mode, 0, 0), "{path}");
    }

    // An upgrade whose own settings have changed keeps the edited file; the new one lies beside it.
    let config = machine.path("etc/mathesar/mathesar.conf");
    fs::write(&config, "edited").unwrap();
    let mut fixture = Fixture::new();
    fixture.package.manifest.package.revision = 2;
    fixture.file("packaging/files/mathesar.conf", "# newer\n");
    let second = package(&fixture);
    let told = machine.install(&second.path().join("mathesar-0.12.0-2-x86_64.pkg.tar.zst"));
    assert!(told.contains("mathesar.conf.pacnew"), "{told}");
    assert_eq!(fs::read_to_string(&config).unwrap(), "edited");
    let pacnew = machine.path("etc/mathesar/mathesar.conf.pacnew");
    assert_eq!(fs::read_to_string(&pacnew).unwrap(), "# newer\n");
    fs::remove_file(pacnew).unwrap();
    assert_eq!(machine.pacman(&["-Q", "mathesar"]).trim(), "mathesar 0.12.0-2");

    // Removal keeps it as well, under another name.
    let told = machine.pacman(&["-R", "mathesar"]);
    assert!(told.contains("==> Data and backups stay in /var/lib/mathesar"), "{told}");
    assert!(!machine.path("usr/bin/mathesar").exists() && !config.exists());
    assert_eq!(fs::read_to_string(machine.path("etc/mathesar/mathesar.conf.pacsave")).unwrap(), "edited");
}

#[test]
fn a_failing_makepkg_tells_what_it_said() {
    if no_makepkg("a failing makepkg") {
        return;
    }
    let scratch = Scratch::new().unwrap();
    let config = scratch.folder().join("makepkg.conf");
    fs::write(&config, "PKGEXT=.pkg.tar.zst\nSRCEXT=.src.tar.gz\n").unwrap();
    fs::write(scratch.folder().join("PKGBUILD"), "pkgname=x\npkgver=1-1\npkgrel=1\narch=(any)\n").unwrap();
    scratch.hand_over().unwrap();
    let error = makepkg(&scratch, &scratch.folder(), &config, EPOCH).unwrap_err().to_string();
    assert!(error.contains("makepkg") && error.contains("ERROR: "), "{error}");
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for program in ["bsdtar", "fakeroot", "file", "gzip"] {
        symlink("/bin/true", folder.path().join(program)).unwrap();
    }
    // There, but no program.
    fs::write(folder.path().join("zstd"), "").unwrap();
    assert_eq!(
        missing(folder.path().as_os_str()).unwrap(),
        "makepkg builds it, and not on this machine: `makepkg`, `zstd`\n\
         help: on Debian or Ubuntu, `apt-get install makepkg zstd`"
    );
    fs::remove_file(folder.path().join("zstd")).unwrap();
    for program in ["makepkg", "zstd"] {
        symlink("/bin/true", folder.path().join(program)).unwrap();
    }
    assert_eq!(missing(folder.path().as_os_str()), None);
}

#[test]
fn another_processor_s_package_is_built_here() {
    if no_makepkg("makepkg for another processor") {
        return;
    }
    let mut fixture = Fixture::new();
    fixture.target = Target::Aarch64Gnu;
    let out = package(&fixture);
    let built = out.path().join("mathesar-0.12.0-1-aarch64.pkg.tar.zst");
    assert!(member(&built, ".PKGINFO").unwrap().contains("\narch = aarch64\n"));
}
