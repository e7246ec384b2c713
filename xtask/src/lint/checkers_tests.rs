//! The real programs on hand-made files, good ones and bad ones.

use super::super::report::Outcome;
use super::super::runner;
use super::super::scene::Scene;
use super::super::scene::tests::{scene, tarball};
use super::*;

/// The outcome of one checker; nothing where this machine cannot run it.
fn outcome(scene: &Scene, name: &str) -> Option<Outcome> {
    let chosen = chosen(&[name.to_owned()]).unwrap();
    let report = runner::all(scene, &chosen).remove(0);
    if let Outcome::NotRun { why, .. } = &report.outcome {
        assert!(!why.starts_with("there is no"), "{name} found no file: {why}");
        eprintln!("{name} not run: {why}");
        return None;
    }
    Some(report.outcome)
}

#[track_caller]
fn passes(scene: &Scene, name: &str) {
    if let Some(outcome) = outcome(scene, name) {
        assert_eq!(outcome, Outcome::Passed, "{name}");
    }
}

#[track_caller]
fn finds(scene: &Scene, name: &str, what: &str) {
    match outcome(scene, name) {
        None => {}
        Some(Outcome::Findings { findings }) => {
            assert!(findings.iter().any(|finding| finding.contains(what)), "{name}: {findings:?}");
            let folder = scene.payload.display().to_string();
            assert!(!findings.concat().contains(&folder), "{name} names the temporary folder: {findings:?}");
        }
        Some(other) => panic!("{name}: {other:?}"),
    }
}

/// A scene whose packages install these files.
fn installed(files: &[(&str, &str)]) -> (tempfile::TempDir, Scene) {
    let root = tempfile::tempdir().unwrap();
    let dist = root.path().join("dist");
    tarball(&dist.join("x-1-1-x86_64-linux-gnu.tar.gz"), files);
    let tools = crate::tools::Tools { folder: root.path().join("tools") };
    let scene = Scene::new(root.path(), &dist, tools).unwrap();
    (root, scene)
}

#[test]
fn names_are_unique_and_unknown_ones_refused() {
    let mut names: Vec<&str> = ALL.iter().map(|checker| checker.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), ALL.len());
    assert_eq!(chosen(&["systemd-verify".into(), "zsh".into()]).unwrap().len(), 2);
    assert!(
        chosen(&["lintain".into()]).err().unwrap().to_string().starts_with("there is no checker `lintain`")
    );
}

#[test]
fn every_program_has_a_package_or_is_pinned() {
    for checker in ALL {
        let known = crate::tools::how_to_get(checker.program, crate::tools::Family::Debian).is_some();
        assert!(known || ["zizmor", "actionlint", "brew"].contains(&checker.program), "{}", checker.program);
    }
}

#[test]
fn without_files_nothing_passes() {
    let (_root, scene) = scene(&[("dist/SHA256SUMS", "")]);
    for report in runner::all(&scene, &chosen(&[]).unwrap()) {
        assert!(matches!(report.outcome, Outcome::NotRun { .. }), "{report:?}");
    }
}

#[test]
fn shell() {
    let (_root, scene) = scene(&[
        ("packaging/deb/postinst", "#!/bin/sh\nset -e\n#DEBHELPER#\n"),
        ("packaging/rpm/post.sh", "if [ \"$1\" -eq 1 ]; then :; fi\n"),
        ("dist/aur/PKGBUILD", "pkgname=x\npackage() {\n  cp -r usr \"$pkgdir/\"\n}\n"),
    ]);
    passes(&scene, "shellcheck");
    fs::write(scene.root.join("packaging/rpm/post.sh"), "rm -rf $1/x\n").unwrap();
    finds(&scene, "shellcheck", "packaging/rpm/post.sh:1");
}

const SRCINFO: &str = "pkgbase = x\n\tpkgdesc = y\n\tpkgver = 1\n\tpkgrel = 1\n\tarch = any\n\npkgname = x\n";

#[test]
fn srcinfo() {
    let build = "pkgname=x\npkgver=1\npkgrel=1\npkgdesc=y\narch=(any)\npackage() { :; }\n";
    let (_root, scene) = scene(&[("dist/aur/PKGBUILD", build), ("dist/aur/.SRCINFO", SRCINFO)]);
    passes(&scene, "makepkg");
    fs::write(scene.dist.join("aur/.SRCINFO"), SRCINFO.replace("pkgver = 1", "pkgver = 2")).unwrap();
    finds(&scene, "makepkg", "line 3");
    fs::remove_file(scene.dist.join("aur/.SRCINFO")).unwrap();
    finds(&scene, "makepkg", "no .SRCINFO");
}

#[test]
fn completions() {
    let bash = "usr/share/bash-completion/completions/x";
    let zsh = "usr/share/zsh/site-functions/_x";
    let fish = "usr/share/fish/vendor_completions.d/x.fish";
    let (_root, good) =
        installed(&[(bash, "complete -W a x\n"), (zsh, "#compdef x\n_files\n"), (fish, "complete -c x\n")]);
    let (_other, bad) = installed(&[(bash, "if x\n"), (zsh, "if (\n"), (fish, "if x\n")]);
    for shell in ["bash", "zsh", "fish"] {
        passes(&good, shell);
        finds(&bad, shell, "");
    }
}

#[test]
fn units() {
    let unit = "usr/lib/systemd/system/x.service";
    let program = ("usr/bin/x", "#!/bin/sh\n");
    let text =
        "[Unit]\nDescription=X\n[Service]\nExecStart=/usr/bin/x\n[Install]\nWantedBy=multi-user.target\n";
    let (_root, scene) = installed(&[program, (unit, text)]);
    passes(&scene, "systemd-verify");
    finds(&scene, "systemd-security", "Overall exposure");
    let (_root, scene) = installed(&[program, (unit, &text.replace("ExecStart", "ExecStrat"))]);
    finds(&scene, "systemd-verify", "ExecStrat");
}

#[test]
fn metainfo_desktop_man_and_icon() {
    let metainfo = "usr/share/metainfo/x.metainfo.xml";
    let desktop = "usr/share/applications/x.desktop";
    let man = "usr/share/man/man1/x.1";
    let icon = "usr/share/icons/hicolor/scalable/apps/x.svg";
    let entry = "[Desktop Entry]\nType=Application\nName=X\nExec=x\nCategories=Office;Database;\n";
    let page = ".TH X 1 2026-11-23\n.SH NAME\nx \\- does x\n";
    let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\"/>\n";
    let (_root, good) = installed(&[(metainfo, "<component/>"), (desktop, entry), (man, page), (icon, svg)]);
    finds(&good, "appstreamcli", "");
    ["desktop-file-validate", "mandoc", "xmllint"].iter().for_each(|name| passes(&good, name));
    let (_root, bad) =
        installed(&[(desktop, "[Desktop Entry]\nType=App\n"), (man, ".TH\n.XX\n"), (icon, "<svg>")]);
    finds(&bad, "desktop-file-validate", "Name");
    finds(&bad, "mandoc", "/usr/share/man/man1/x.1");
    finds(&bad, "xmllint", "/usr/share/icons");
}

#[test]
fn formula() {
    let text = "class X < Formula\n  desc \"y\"\nend\n";
    let (_root, scene) = scene(&[("dist/homebrew/x.rb", text)]);
    passes(&scene, "ruby");
    fs::write(scene.dist.join("homebrew/x.rb"), "class X < Formula\n  a = 1\n").unwrap();
    finds(&scene, "ruby", "x.rb");
    finds(&scene, "rubocop", "x.rb");
}

#[test]
fn flatpak() {
    let text = "id: io.example.X\nruntime: org.freedesktop.Platform\nruntime-version: '25.08'\n\
                sdk: org.freedesktop.Sdk\ncommand: x\nmodules: []\n";
    let (_root, scene) = scene(&[("dist/flatpak/io.example.X.yml", text)]);
    passes(&scene, "flatpak-builder");
    fs::write(scene.dist.join("flatpak/io.example.X.yml"), "id: [\n").unwrap();
    finds(&scene, "flatpak-builder", "");
}

#[test]
fn workflows() {
    let text = "name: X\non: push\njobs:\n  x:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: echo ${{ steps.y.outputs.z }}\n";
    let (_root, scene) = scene(&[(".github/workflows/x.yml", text), ("dist/SHA256SUMS", "")]);
    finds(&scene, "zizmor", ".github/workflows/x.yml:");
    finds(&scene, "actionlint", ".github/workflows/x.yml:7");
}

#[test]
fn broken_packages() {
    let (_root, scene) = installed(&[("usr/bin/x", "")]);
    for name in ["x_1-1_amd64.deb", "x-1-1.x86_64.rpm", "x-1-1-x86_64.pkg.tar.zst"] {
        fs::write(scene.dist.join(name), "nonsense").unwrap();
    }
    for name in ["lintian", "rpmlint", "pacman"] {
        finds(&scene, name, "");
    }
}
