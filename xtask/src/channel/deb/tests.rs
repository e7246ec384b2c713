use std::path::Path;
use std::process::Command;

use super::*;
use crate::channel::testing::{EPOCH, Fixture, NASTY, has, package, read};
use crate::manifest::Target;

fn field(deb: &Path, name: &str) -> String {
    read(Command::new("dpkg-deb").arg("-f").arg(deb).arg(name)).trim_end().to_owned()
}

#[test]
fn the_throw_away_manifest() {
    let fixture = Fixture::new();
    let files = files(&fixture.package, &fixture.artifacts.generated).unwrap();
    let program = elf::Elf {
        needed: vec!["libgcc_s.so.1".into(), "libc.so.6".into(), "ld-linux-aarch64.so.1".into()],
        glibc: "2.34".into(),
        machine: "aarch64",
    };
    let manifest = render::manifest(&fixture.package, &files, &program, "2.34", Target::Aarch64Gnu).unwrap();
    insta::assert_snapshot!(toml::to_string(&manifest).unwrap());
}

#[test]
fn what_does_not_fit_is_refused() {
    let mut fixture = Fixture::new();
    let files = files(&fixture.package, &fixture.artifacts.generated).unwrap();
    let mut program = elf::Elf { needed: vec!["libc.so.6".into()], glibc: "2.34".into(), machine: "x86_64" };
    let render = |package: &Package, program: &elf::Elf, target| {
        render::manifest(package, &files, program, "2.34", target).map(|_| ()).unwrap_err().to_string()
    };
    assert_eq!(
        render(&fixture.package, &program, Target::Aarch64Gnu),
        "the launcher is built for x86_64, the package for aarch64"
    );
    program.needed.push("libssl.so.3".into());
    assert_eq!(
        render(&fixture.package, &program, Target::X86_64Gnu),
        "the launcher is linked against libssl.so.3, whose Debian package is not known here"
    );
    program.needed.pop();
    fixture.package.manifest.package.summary = format!("{} word", "ü".repeat(39));
    assert_eq!(
        render(&fixture.package, &program, Target::X86_64Gnu),
        "the summary has 83 bytes in UTF-8; Debian's first line holds 79"
    );
    fixture.package.manifest.service.unit = "other.service".into();
    fixture.package.manifest.package.summary = "short".into();
    assert_eq!(
        render(&fixture.package, &program, Target::X86_64Gnu),
        "no file of kind `unit` installs other.service"
    );
}

#[test]
fn the_package_is_what_the_manifest_says() {
    if !has("dpkg-deb") {
        return;
    }
    let fixture = Fixture::new();
    let deb = fixture.build(&CHANNEL, "deb").unwrap();
    assert_eq!(
        deb.file_name().unwrap().to_str().unwrap(),
        fixture.package.deb_file(fixture.target),
        "the file's name"
    );
    let glibc = format!("libc6 (>= {})", fixture.artifacts.glibc);
    // The glibc is the building machine's, as is its /bin/true.
    let control = read(Command::new("dpkg-deb").arg("-f").arg(&deb))
        .replace(&glibc, "libc6 (>= VERSION)")
        .replace(fixture.target.deb_arch(), "ARCH")
        .lines()
        .filter(|line| !line.starts_with("Installed-Size"))
        .map(|line| format!("{line}\n"))
        .collect::<String>();
    insta::assert_snapshot!("control", control);

    let listing = read(
        Command::new("sh")
            .arg("-c")
            .arg("dpkg-deb --fsys-tarfile \"$0\" | tar -tv --full-time | awk '{print $1, $2, $4, $5, $6}'")
            .arg(&deb),
    );
    insta::assert_snapshot!("files", listing);
    assert_eq!(
        read(Command::new("dpkg-deb").arg("--info").arg(&deb).arg("conffiles")).trim(),
        "/etc/mathesar/mathesar.conf"
    );
    assert_eq!(listing.matches("2023-11-14 22:13:20").count(), listing.lines().count(), "EPOCH is {EPOCH}");
    let scripts: String = SCRIPTS[1..]
        .iter()
        .map(|name| {
            format!("=== {name}\n{}\n", read(Command::new("dpkg-deb").arg("--info").arg(&deb).arg(name)))
        })
        .collect();
    assert!(!scripts.contains("#DEBHELPER#"));
    insta::assert_snapshot!("scripts", scripts);
}

/// cargo-deb guesses which file is whose template.
#[test]
fn every_unit_is_the_file_of_its_name() {
    if !has("dpkg-deb") {
        return;
    }
    let fixture = Fixture::new();
    let deb = fixture.build(&CHANNEL, "deb").unwrap();
    let units = fixture.package.manifest.file.iter().filter(|file| file.kind == Kind::Unit);
    assert!(units.clone().any(|unit| unit.dest.ends_with("@.timer")));
    for unit in units {
        let installed = read(
            Command::new("sh")
                .args(["-c", "dpkg-deb --fsys-tarfile \"$0\" | tar -xO \".$1\""])
                .arg(&deb)
                .arg(&unit.dest),
        );
        let source = std::fs::read_to_string(fixture.package.root.join(&unit.source)).unwrap();
        assert_eq!(installed, source, "{}", unit.dest);
    }
}

#[test]
fn start_and_restart_follow_the_manifest() {
    if !has("dpkg-deb") {
        return;
    }
    let mut fixture = Fixture::new();
    let mut postinst = |name: &str, [enable, start, restart]: [bool; 3]| {
        let service = &mut fixture.package.manifest.service;
        (service.enable, service.start, service.restart) = (enable, start, restart);
        let deb = fixture.build(&CHANNEL, name).unwrap();
        read(Command::new("dpkg-deb").arg("--info").arg(&deb).arg("postinst"))
    };
    let all = postinst("all", [true, true, true]);
    assert!(
        all.contains("deb-systemd-helper --quiet was-enabled") && all.contains("_dh_action=start"),
        "{all}"
    );
    let none = postinst("none", [false, false, false]);
    assert!(!none.contains("deb-systemd-invoke"), "{none}");
    assert!(none.contains("deb-systemd-helper debian-installed"), "{none}");
}

#[test]
fn a_nasty_summary_arrives() {
    if !has("dpkg-deb") {
        return;
    }
    let mut fixture = Fixture::new();
    fixture.package.manifest.package.summary = NASTY.into();
    fixture.package.manifest.package.description = format!("{NASTY}\n\n- {NASTY}");
    let deb = fixture.build(&CHANNEL, "deb").unwrap();
    assert_eq!(field(&deb, "Description"), format!("{NASTY}\n {NASTY}\n .\n  - {NASTY}"));
}

#[test]
fn sources_of_any_age_and_mode_make_the_same_file() {
    let fixture = Fixture::new();
    fixture.touch(EPOCH - 100_000_000, 0o600);
    let old = std::fs::read(fixture.build(&CHANNEL, "old").unwrap()).unwrap();
    fixture.touch(EPOCH + 100_000_000, 0o666);
    let new = std::fs::read(fixture.build(&CHANNEL, "a-longer-name").unwrap()).unwrap();
    assert!(old == new, "two builds differ");
}

#[test]
fn a_failure_of_cargo_deb_is_told() {
    let fixture = Fixture::new();
    std::fs::write(fixture.package.root.join("packaging/deb/prerm"), "#!/bin/sh\n").unwrap();
    let error = format!("{:#}", fixture.build(&CHANNEL, "deb").unwrap_err());
    assert!(error.contains("#DEBHELPER#"), "{error}");
}

/// The scripts and the files of systemd name the user, its home and the settings too.
#[test]
fn scripts_agree_with_the_manifest() {
    let root = crate::channel::testing::checkout();
    let package = package(&root);
    let text = |name: &str| std::fs::read_to_string(root.join(name)).unwrap();
    let service = &package.manifest.service;
    let unit = text("packaging/files/mathesar.service");
    assert!(unit.contains(&format!("\nUser={}\nGroup={}\n", service.user, service.group)));
    let sysusers = text("packaging/files/mathesar.sysusers");
    assert!(sysusers.starts_with(&format!("u {} - ", service.user)) && sysusers.contains(&service.home));
    let pre = text("packaging/rpm/pre.sh");
    assert!(pre.contains(&format!("groupadd -r {}\n", service.group)));
    assert!(pre.contains(&format!("-g {} -d {} ", service.group, service.home)));
    for file in package.manifest.file.iter().filter(|file| file.kind == Kind::Config) {
        let group = file.group.as_deref().unwrap_or("root");
        let line = format!("z {} {:04o} root {group} -", file.dest, file.mode().unwrap());
        assert!(text("packaging/files/mathesar.tmpfiles").contains(&line), "{line}");
        let postinst = text("packaging/deb/postinst");
        assert!(
            postinst.contains(&format!("conf={}\n", file.dest))
                && postinst.contains(&format!("chgrp {group} "))
        );
    }
    for script in ["post.sh", "preun.sh", "postun.sh"] {
        assert!(
            text(&format!("packaging/rpm/{script}")).contains(&format!(" {} ||", service.unit)),
            "{script}"
        );
    }
}

/// `rm` cannot remove what something is mounted on; the one that is called here removes nothing at all.
#[test]
fn purge_ends_where_a_folder_is_a_volume() {
    let stub = tempfile::tempdir().unwrap();
    let rm = stub.path().join("rm");
    let log = stub.path().join("log");
    let text = format!("#!/bin/sh\necho \"$@\" >>'{}'\nexit 1\n", log.display());
    crate::channel::stage::put(&rm, text.as_bytes(), 0o755, EPOCH).unwrap();
    let postrm = crate::channel::testing::checkout().join("packaging/deb/postrm");
    let output = Command::new("/bin/sh").arg(postrm).arg("purge").env("PATH", stub.path()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(std::fs::read_to_string(log).unwrap().contains("/var/cache/mathesar"));
}

#[test]
fn lintian_finds_nothing() {
    if !has("lintian") {
        return;
    }
    let fixture = Fixture::new();
    let deb = fixture.build(&CHANNEL, "deb").unwrap();
    let output = Command::new("lintian")
        .args(["--allow-root", "-I", "--pedantic", "--no-cfg"])
        .arg(&deb)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    // /bin/true stands in for the launcher and has other properties: the overrides that are about the program do not fit.
    let of_the_program = |line: &&str| {
        let line = line.trim_start_matches("I: mathesar: ");
        line.starts_with("hardening-no-bindnow [usr/bin/")
            || line.starts_with("unused-override ") && line.contains(" [usr/bin/mathesar]")
            || line.starts_with(crate::lint::OF_DEBIAN_12)
    };
    let found: Vec<_> =
        text.lines().filter(|line| !line.starts_with("N: ")).filter(|line| !of_the_program(line)).collect();
    assert!(found.is_empty(), "{text}");
}

/// postrm as root runs it, below a folder of the test's own.
#[test]
fn purge_removes_what_can_be_fetched_and_keeps_what_cannot() {
    use std::os::unix::fs::symlink;
    let purge = |what: &str, prepare: &dyn Fn(&Path), kept: bool| {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for place in
            ["etc/mathesar/conf.d", "var/cache/mathesar", "var/lib/mathesar/app/0.1/tree", "elsewhere"]
        {
            std::fs::create_dir_all(root.join(place)).unwrap();
        }
        std::fs::create_dir_all(root.join("var/lib/mathesar/tools")).unwrap();
        for file in [
            "etc/mathesar/conf.d/90-local.conf",
            "var/lib/mathesar/app/0.1/tree/x",
            "var/lib/mathesar/tools/x",
            "elsewhere/precious",
        ] {
            std::fs::write(root.join(file), "x").unwrap();
        }
        std::fs::write(root.join("var/lib/mathesar/lock"), "").unwrap();
        prepare(root);
        let script = include_str!("../../../../packaging/deb/postrm");
        let here = |place: &str| format!(" {}{place}", root.display());
        let script = script
            .replace(" /etc/", &here("/etc/"))
            .replace(" /var/", &here("/var/"))
            .replace(" /run/", &here("/run/"))
            .replace("state=/var/", &format!("state={}/var/", root.display()));
        // As for a volume of its own: emptied, but its folder cannot be removed.
        let script = script.replacen("set -e", "set -e\nrm() { command rm \"$@\"; return 1; }", 1);
        let output = Command::new("sh").args(["-c", &script, "postrm", "purge"]).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{what}: {told}");
        let state = root.join("var/lib/mathesar");
        assert_eq!(state.symlink_metadata().is_ok(), kept, "{what}");
        assert_eq!(told.contains("it holds data"), kept, "{what}: {told}");
        assert!(!root.join("etc/mathesar").exists(), "{what}");
        assert!(root.join("var/cache/mathesar").symlink_metadata().is_err(), "{what}");
        assert!(root.join("elsewhere/precious").exists(), "{what}");
    };
    purge("only a release and a lock", &|_| {}, false);
    purge("no state", &|root| std::fs::remove_dir_all(root.join("var/lib/mathesar")).unwrap(), false);
    purge("a secret", &|root| std::fs::write(root.join("var/lib/mathesar/key"), "x").unwrap(), true);
    purge("an empty folder", &|root| std::fs::create_dir(root.join("var/lib/mathesar/b")).unwrap(), false);
    purge(
        "a link",
        &|root| symlink(root.join("elsewhere"), root.join("var/lib/mathesar/backups")).unwrap(),
        true,
    );
    let state_elsewhere = |root: &Path| {
        std::fs::remove_dir_all(root.join("var/lib/mathesar")).unwrap();
        symlink(root.join("elsewhere"), root.join("var/lib/mathesar")).unwrap();
    };
    purge("the state is elsewhere", &state_elsewhere, true);
    let cache_elsewhere = |root: &Path| {
        std::fs::remove_dir(root.join("var/cache/mathesar")).unwrap();
        symlink(root.join("elsewhere"), root.join("var/cache/mathesar")).unwrap();
    };
    purge("the cache is elsewhere", &cache_elsewhere, false);
}
