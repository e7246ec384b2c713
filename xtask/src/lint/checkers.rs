//! The checkers, one entry each.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::judge::{self, Ran, Verdict};
use super::runner::command;
use super::scene::Scene;

/// One checker: what it reads, how it is called, and what its answer means.
pub(crate) struct Checker {
    pub name: &'static str,
    /// As it is called on PATH.
    pub program: &'static str,
    pub files: fn(&Scene) -> Vec<PathBuf>,
    /// What `files` looks for, for the case that there is none.
    pub wants: &'static str,
    pub commands: fn(&Scene, &Path, &[PathBuf]) -> Result<Vec<Command>>,
    pub judge: fn(&Ran, &[PathBuf]) -> Verdict,
    /// Why it cannot run although the program is there.
    pub unable: fn(&Scene, &Path) -> Option<String>,
}

const PLAIN: Checker = Checker {
    name: "",
    program: "",
    files: |_| Vec::new(),
    wants: "",
    commands: |_, program, files| Ok(vec![with(command(program, &[]), files)]),
    judge: |ran, _| judge::silence(ran),
    unable: |_, _| None,
};

/// In the order of the table; the slowest first, so that the others run beside it.
pub(super) const ALL: &[Checker] = &[
    Checker {
        name: "lintian",
        program: "lintian",
        files: |scene| scene.dist("", "", ".deb"),
        wants: "dist/*.deb",
        commands: |_, program, files| {
            let mut command = command(program, &["--no-cfg", "--allow-root", "--profile", "debian"]);
            command.args(["-I", "--pedantic", "--tag-display-limit", "0"]);
            command.args(["--fail-on", "error,warning,info,pedantic"]);
            Ok(vec![with(command, files)])
        },
        judge: |ran, _| judge::lintian(ran),
        ..PLAIN
    },
    Checker {
        name: "rpmlint",
        program: "rpmlint",
        files: |scene| scene.dist("", "", ".rpm"),
        wants: "dist/*.rpm",
        commands: |scene, program, files| {
            let config = scene.root.join("packaging/rpm/rpmlint.toml");
            let mut command = command(program, &[]);
            if config.is_file() {
                command.arg("--config").arg(config);
            }
            Ok(vec![with(command, files)])
        },
        judge: |ran, _| judge::rpmlint(ran),
        ..PLAIN
    },
    Checker {
        name: "shellcheck",
        program: "shellcheck",
        files: shell_scripts,
        wants: "shell script in packaging/, dist/aur or .ci",
        commands: |_, program, files| files.iter().map(|file| shellcheck(program, file)).collect(),
        judge: |ran, _| judge::status(ran),
        ..PLAIN
    },
    Checker {
        name: "appstreamcli",
        program: "appstreamcli",
        files: |scene| scene.payload("usr/share/metainfo", "", ".metainfo.xml"),
        wants: "/usr/share/metainfo/*.metainfo.xml in a package",
        commands: |_, program, files| {
            each(program, &["validate", "--pedantic", "--no-net", "--no-color", "--format=yaml"], files)
        },
        judge: |ran, _| judge::appstream(ran),
        ..PLAIN
    },
    Checker {
        name: "desktop-file-validate",
        program: "desktop-file-validate",
        files: |scene| scene.payload("usr/share/applications", "", ".desktop"),
        wants: "/usr/share/applications/*.desktop in a package",
        ..PLAIN
    },
    Checker {
        name: "ruby",
        program: "ruby",
        files: formulas,
        wants: "dist/homebrew/*.rb",
        commands: |_, program, files| each(program, &["-wc"], files),
        judge: |ran, _| judge::ruby(ran),
        ..PLAIN
    },
    Checker {
        name: "rubocop",
        program: "rubocop",
        files: formulas,
        wants: "dist/homebrew/*.rb",
        commands: |scene, program, files| {
            let mut command = command(program, &["--cache", "false", "--format", "emacs"]);
            let config = scene.root.join("homebrew/.rubocop.yml");
            if config.is_file() {
                command.arg("--config").arg(config);
            }
            Ok(vec![with(command, files)])
        },
        judge: |ran, _| judge::status(ran),
        ..PLAIN
    },
    Checker {
        name: "brew style",
        program: "brew",
        files: formulas,
        wants: "dist/homebrew/*.rb",
        commands: |_, program, files| Ok(vec![with(command(program, &["style"]), files)]),
        judge: |ran, _| judge::status(ran),
        unable: |scene, _| scene.is_root.then(|| "brew refuses to run as root".to_owned()),
    },
    Checker {
        name: "flatpak-builder",
        program: "flatpak-builder",
        files: |scene| scene.dist("flatpak", "", ".yml"),
        wants: "dist/flatpak/*.yml",
        commands: |scene, program, files| {
            let mut commands = each(program, &["--show-manifest"], files)?;
            // It makes a folder of its own where it is.
            for command in &mut commands {
                command.current_dir(&scene.work);
            }
            Ok(commands)
        },
        judge: |ran, _| judge::status(ran),
        ..PLAIN
    },
    Checker {
        name: "makepkg",
        program: "makepkg",
        files: |scene| [scene.dist("aur", "PKGBUILD", ""), scene.dist("aur", ".SRCINFO", "")].concat(),
        wants: "dist/aur/PKGBUILD",
        commands: |scene, program, _| Ok(vec![makepkg(scene, program)?]),
        judge: |ran, files| match files {
            [_, srcinfo] => judge::srcinfo(ran, srcinfo),
            _ => Verdict {
                findings: vec!["there is no .SRCINFO beside PKGBUILD".to_owned()],
                notes: Vec::new(),
            },
        },
        ..PLAIN
    },
    Checker {
        name: "pacman",
        program: "pacman",
        files: |scene| scene.dist("", "", ".pkg.tar.zst"),
        wants: "dist/*.pkg.tar.zst",
        commands: |scene, program, files| {
            // Not the machine's own database, which Debian's pacman does not even make.
            let database = scene.work.join("pacman");
            fs::create_dir_all(&database).context("cannot create pacman's database folder")?;
            let database = database.display().to_string();
            let query = |what| each(program, &[what, "--dbpath", &database], files);
            Ok([query("-Qip")?, query("-Qlp")?].into_iter().flatten().collect())
        },
        judge: |ran, _| judge::status(ran),
        ..PLAIN
    },
    Checker {
        name: "mandoc",
        program: "mandoc",
        files: |scene| {
            let section = |section: &str| scene.payload(&format!("usr/share/man/man{section}"), "", "");
            ["1", "5", "7", "8"].map(section).concat()
        },
        wants: "/usr/share/man in a package",
        commands: |_, program, files| {
            Ok(vec![with(command(program, &["-T", "lint", "-W", "warning"]), files)])
        },
        ..PLAIN
    },
    Checker {
        name: "systemd verify",
        program: "systemd-analyze",
        files: units,
        wants: "/usr/lib/systemd/system/*.service in a package",
        commands: |scene, program, files| {
            let root = format!("--root={}", scene.payload.display());
            // Its own lines only: the targets that it is wanted by are not in the package.
            let command = command(program, &["--man=no", "--recursive-errors=no", &root, "verify"]);
            Ok(vec![with(command, &inside(scene, files))])
        },
        unable: old_systemd,
        ..PLAIN
    },
    Checker {
        name: "systemd security",
        program: "systemd-analyze",
        files: units,
        wants: "/usr/lib/systemd/system/*.service in a package",
        commands: |scene, program, files| {
            let root = format!("--root={}", scene.payload.display());
            let mut command = command(program, &["--no-pager", "security", "--offline=true", &root]);
            // In tenths: an exposure above 1.5 of 10 is a finding.
            command.arg("--threshold=15");
            Ok(vec![with(command, &inside(scene, files))])
        },
        judge: |ran, _| judge::exposure(ran),
        unable: old_systemd,
    },
    Checker {
        name: "bash",
        program: "bash",
        files: |scene| scene.payload("usr/share/bash-completion/completions", "", ""),
        wants: "bash completion in a package",
        commands: |_, program, files| each(program, &["-n"], files),
        ..PLAIN
    },
    Checker {
        name: "zsh",
        program: "zsh",
        files: |scene| {
            let folder = |folder: &str| scene.payload(&format!("usr/share/zsh/{folder}"), "_", "");
            ["site-functions", "vendor-completions"].map(folder).concat()
        },
        wants: "zsh completion in a package",
        commands: |_, program, files| each(program, &["-n"], files),
        ..PLAIN
    },
    Checker {
        name: "fish",
        program: "fish",
        files: |scene| scene.payload("usr/share/fish/vendor_completions.d", "", ".fish"),
        wants: "fish completion in a package",
        commands: |scene, program, files| {
            let mut commands = each(program, &["--no-execute"], files)?;
            // It writes its settings even when it executes nothing.
            for command in &mut commands {
                command.env("HOME", &scene.work);
            }
            Ok(commands)
        },
        ..PLAIN
    },
    Checker {
        name: "xmllint",
        program: "xmllint",
        files: |scene| scene.payload("usr/share/icons/hicolor/scalable/apps", "", ".svg"),
        wants: "icon in a package",
        commands: |_, program, files| Ok(vec![with(command(program, &["--noout", "--nonet"]), files)]),
        ..PLAIN
    },
    Checker {
        name: "zizmor",
        program: "zizmor",
        files: |scene| scene.repository(".github/workflows", "", ".yml"),
        wants: ".github/workflows/*.yml",
        commands: |scene, program, files| {
            let mut command = command(program, &["--offline", "--persona=pedantic", "--no-progress"]);
            command.arg("--color=never").current_dir(&scene.root);
            command.env_remove("GH_TOKEN").env_remove("GITHUB_TOKEN").env_remove("ZIZMOR_GITHUB_TOKEN");
            Ok(vec![with(command, files)])
        },
        judge: |ran, _| judge::zizmor(ran),
        ..PLAIN
    },
    Checker {
        name: "actionlint",
        program: "actionlint",
        files: |scene| scene.repository(".github/workflows", "", ".yml"),
        wants: ".github/workflows/*.yml",
        commands: |_, program, files| Ok(vec![with(command(program, &["-no-color", "-oneline"]), files)]),
        judge: |ran, _| judge::status(ran),
        ..PLAIN
    },
];

/// Those that are named, or all.
pub(super) fn chosen(only: &[String]) -> Result<Vec<&'static Checker>> {
    // `systemd verify` is two words on a command line.
    let same = |checker: &Checker, name: &str| checker.name == name || checker.name.replace(' ', "-") == name;
    if let Some(unknown) = only.iter().find(|name| !ALL.iter().any(|checker| same(checker, name))) {
        let known: Vec<String> = ALL.iter().map(|checker| checker.name.replace(' ', "-")).collect();
        bail!("there is no checker `{unknown}`\nhelp: one of {}", known.join(", "));
    }
    let wanted = |checker: &&Checker| only.is_empty() || only.iter().any(|name| same(checker, name));
    Ok(ALL.iter().filter(wanted).collect())
}

fn formulas(scene: &Scene) -> Vec<PathBuf> {
    scene.dist("homebrew", "", ".rb")
}

fn units(scene: &Scene) -> Vec<PathBuf> {
    scene.payload("usr/lib/systemd/system", "", ".service")
}

fn shell_scripts(scene: &Scene) -> Vec<PathBuf> {
    let maintainer =
        ["preinst", "postinst", "prerm", "postrm"].map(|name| scene.root.join("packaging/deb").join(name));
    let mut files: Vec<PathBuf> = maintainer.into_iter().filter(|file| file.is_file()).collect();
    files.extend(scene.repository("packaging/rpm", "", ".sh"));
    files.extend(scene.repository(".ci", "run", ""));
    files.extend(scene.dist("aur", "PKGBUILD", ""));
    files.extend(scene.dist("aur", "", ".install"));
    files
}

fn shellcheck(program: &Path, file: &Path) -> Result<Command> {
    let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let mut command = command(program, &["--norc", "--format=gcc", "--color=never"]);
    if name == "PKGBUILD" {
        // makepkg reads the variables that are "never used" (SC2034), and sets `srcdir` and `pkgdir` (SC2154).
        command.args(["--shell=bash", "--exclude=SC2034,SC2154"]);
    } else if name.ends_with(".install") {
        command.arg("--shell=bash");
    } else if name.ends_with(".sh") {
        // Scriptlets have no first line; rpm gives them to /bin/sh.
        command.arg("--shell=sh");
    }
    command.arg(file);
    Ok(command)
}

/// `makepkg --printsrcinfo` on a copy: as another user where this is root, whom makepkg refuses.
fn makepkg(scene: &Scene, program: &Path) -> Result<Command> {
    let folder = scene.work.join("aur");
    fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
    for file in scene.dist("aur", "", "") {
        let to = folder.join(file.file_name().unwrap_or_default());
        fs::copy(&file, &to)
            .with_context(|| format!("cannot copy {} to {}", file.display(), to.display()))?;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o644))
            .with_context(|| format!("cannot open {} to others", to.display()))?;
    }
    let mut command = command(program, &["--printsrcinfo"]);
    command.current_dir(&folder).env("HOME", &folder).env("BUILDDIR", &folder);
    if scene.is_root {
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))
            .with_context(|| format!("cannot open {} to others", folder.display()))?;
        // `nobody`, on every distribution.
        command.uid(65534).gid(65534);
    }
    Ok(command)
}

/// `--root` and `--offline` came with 250.
fn old_systemd(_: &Scene, program: &Path) -> Option<String> {
    let output = Command::new(program).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version: u32 = text.split_whitespace().nth(1)?.parse().ok()?;
    (version < 250).then(|| format!("systemd {version} cannot check a unit of another root, 250 can"))
}

fn inside(scene: &Scene, files: &[PathBuf]) -> Vec<PathBuf> {
    files.iter().map(|file| PathBuf::from(scene.shown(file))).collect()
}

fn with(mut command: Command, files: &[PathBuf]) -> Command {
    command.args(files);
    command
}

/// One command a file.
fn each(program: &Path, args: &[&str], files: &[PathBuf]) -> Result<Vec<Command>> {
    Ok(files.iter().map(|file| with(command(program, args), std::slice::from_ref(file))).collect())
}

#[cfg(test)]
#[path = "checkers_tests.rs"]
mod tests;
