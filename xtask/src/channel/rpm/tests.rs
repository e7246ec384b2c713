use std::path::Path;

use super::*;
use crate::channel::testing::{EPOCH, Fixture, NASTY, has, read};
use crate::manifest::Target;

fn query(rpm: &Path, what: &[&str]) -> String {
    read(Command::new("rpm").args(["-qp", "--nosignature"]).args(what).arg(rpm))
}

fn tool_is_there(fixture: &Fixture) -> bool {
    let missing = (CHANNEL.unavailable)(&fixture.tools);
    if let Some(why) = &missing {
        eprintln!("not run: {why}");
    }
    missing.is_none() && has("rpm")
}

#[test]
fn the_throw_away_manifest() {
    let fixture = Fixture::new();
    let files = fixture.package.installed(FileChannel::Rpm, &fixture.artifacts.generated).unwrap();
    let files = stage::with_compressed_pages(files);
    let program = elf::Elf {
        needed: vec!["libgcc_s.so.1".into(), "libc.so.6".into()],
        glibc: "2.34".into(),
        machine: "aarch64",
    };
    let manifest = render::manifest(
        &fixture.package,
        &files,
        &program,
        "2.34",
        Target::Aarch64Gnu,
        &render::Scripts { pre_install_script: Some("exit 0\n".into()), ..render::Scripts::default() },
    )
    .unwrap();
    insta::assert_snapshot!(toml::to_string(&manifest).unwrap());
}

#[test]
fn the_package_is_what_the_manifest_says() {
    let fixture = Fixture::new();
    if !tool_is_there(&fixture) {
        return;
    }
    let rpm = fixture.build(&CHANNEL, "rpm").unwrap();
    assert_eq!(rpm.file_name().unwrap().to_str().unwrap(), fixture.package.rpm_file(fixture.target));

    let info = query(&rpm, &["--info"]);
    let lines: Vec<_> = info.lines().filter(|line| !line.starts_with("Size")).collect();
    insta::assert_snapshot!("info", lines.join("\n").replace(fixture.target.cpu(), "ARCH"));
    // path, time, mode, owner, group, config, doc
    let dump: String = query(&rpm, &["--dump"])
        .lines()
        .map(|line| {
            let part: Vec<_> = line.split(' ').collect();
            format!("{} {} {} {} {} {} {}\n", part[0], part[2], part[4], part[5], part[6], part[7], part[8])
        })
        .collect();
    assert_eq!(dump.matches(&EPOCH.to_string()).count(), dump.lines().count());
    insta::assert_snapshot!("files", dump);
    let configs = query(&rpm, &["--queryformat", "[%{FILEFLAGS:fflags} %{FILENAMES}\n]"]);
    assert!(configs.contains("cn /etc/mathesar/mathesar.conf\n"), "{configs}");
    insta::assert_snapshot!("scripts", query(&rpm, &["--scripts"]));

    let glibc = format!("GLIBC_{}", fixture.artifacts.glibc);
    let requires = query(&rpm, &["--requires"]);
    assert!(requires.contains(&format!("libc.so.6({glibc})(64bit)\n")), "{requires}");
    let relations = format!(
        "{requires}recommends\n{}suggests\n{}provides\n{}",
        query(&rpm, &["--recommends"]),
        query(&rpm, &["--suggests"]),
        query(&rpm, &["--provides"])
    );
    insta::assert_snapshot!("relations", relations.replace(&glibc, "GLIBC").replace("x86-64", "ARCH"));
    assert_eq!(query(&rpm, &["--queryformat", "%{PAYLOADCOMPRESSOR}"]), "zstd");
}

#[test]
fn a_nasty_summary_arrives_and_nothing_is_expanded() {
    let mut fixture = Fixture::new();
    if !tool_is_there(&fixture) {
        return;
    }
    fixture.package.manifest.package.summary = NASTY.into();
    std::fs::write(fixture.package.root.join("packaging/rpm/post.sh"), "echo '%{name} %%'\n").unwrap();
    let rpm = fixture.build(&CHANNEL, "rpm").unwrap();
    assert_eq!(query(&rpm, &["--queryformat", "%{SUMMARY}"]), NASTY.replacen("it", "It", 1));
    assert_eq!(query(&rpm, &["--queryformat", "%{POSTIN}"]), "echo '%{name} %%'\n");
}

#[test]
fn without_restart_there_is_no_postun() {
    let mut fixture = Fixture::new();
    fixture.package.manifest.service.restart = false;
    assert!(scripts(&fixture.package).unwrap().post_uninstall_script.is_none());
}

#[test]
fn sources_of_any_age_and_mode_make_the_same_file() {
    let mut fixture = Fixture::new();
    if !tool_is_there(&fixture) {
        return;
    }
    fixture.touch(EPOCH - 100_000_000, 0o600);
    let old = std::fs::read(fixture.build(&CHANNEL, "old").unwrap()).unwrap();
    fixture.touch(EPOCH + 100_000_000, 0o666);
    let new = std::fs::read(fixture.build(&CHANNEL, "a-longer-name").unwrap()).unwrap();
    assert!(old == new, "two builds differ");

    // The tool itself only lowers times; with an epoch that is still to come, it shows who set them.
    fixture.package.epoch = 4_000_000_000;
    let rpm = fixture.build(&CHANNEL, "future").unwrap();
    let times = query(&rpm, &["--queryformat", "[%{FILEMTIMES}\n]"]);
    assert!(times.lines().all(|time| time == "4000000000"), "{times}");
}

#[test]
fn rpmlint_finds_nothing_but_what_its_filter_names() {
    let fixture = Fixture::new();
    if !tool_is_there(&fixture) || !has("rpmlint") {
        return;
    }
    let rpm = fixture.build(&CHANNEL, "rpm").unwrap();
    let config = crate::channel::testing::checkout().join("packaging/rpm/rpmlint.toml");
    let output = Command::new("rpmlint").arg("-c").arg(config).arg(&rpm).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(" 0 errors, 0 warnings"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}
