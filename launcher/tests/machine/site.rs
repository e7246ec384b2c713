//! Mathesar's package in a machine: the launcher of this build, the files that the manifest names, and the sample application
//! with all its wheels, as the machine has no network.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use machines::{Base, Recipe};
use mathesar::app::pins::Pin;
use mathesar::app::{self, lookup};
use mathesar::progress::Silent;
use sha2::{Digest as _, Sha256};

use super::machine::Machine;
use super::sample;

/// The base's Python; the wheels are made for it.
const PYTHON: &str = "python3.11";

const PACKAGES: &[&str] = &[
    "systemd",
    "systemd-sysv",
    "dbus",
    "libpam-systemd",
    "postgresql-15",
    "python3",
    "python3-venv",
    "libcairo2",
    "procps",
    "curl",
];

/// A booted machine with everything installed, and nothing of it started.
#[derive(Debug)]
pub struct Site {
    pub machine: Machine,
    /// Bound into the machine, at every boot.
    _package: tempfile::TempDir,
}

/// The tree below it, or why there can be no machine.
pub fn base() -> Result<Base, String> {
    if let Some(why) = machines::missing() {
        return Err(why);
    }
    let recipe =
        Recipe { suite: "bookworm", packages: PACKAGES, at_hand: &[], next: None, documentation: false };
    Base::debian(&store(), &recipe, &|what| println!("{what}")).map_err(|why| format!("{why:#}"))
}

/// One, or why there can be none.
pub fn installed() -> Result<Site, String> {
    let base = base()?;
    let store = store();
    let wheels = wheels(&store)?;
    let package = package(&store);
    let binds: [(&Path, &str); 2] = [(package.path(), "/mnt"), (&wheels, "/usr/share/mathesar/wheels")];
    let machine = Machine::boot(base, &store, &binds);
    machine.sh("umask 022; cd /mnt
         find . -type f | while read -r file; do
            install -D -m \"$(stat -c %a \"$file\")\" \"$file\" \"/$file\"
         done");
    let version = machine.try_sh("mathesar --version");
    if version.err.contains("GLIBC_") {
        return Err(format!("this build of the launcher is for a newer system: {}", version.err));
    }
    version.ok().unwrap_or_else(|told| panic!("the launcher does not run in the machine: {told}"));
    // What a package's scripts do.
    machine.sh(
        "systemd-sysusers mathesar.conf; systemd-tmpfiles --create mathesar.conf; systemctl daemon-reload",
    );
    Ok(Site { machine, _package: package })
}

/// Shared by all builds of one checkout, and kept.
pub fn store() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("machines")
}

/// The installed tree, as it is copied into the machine.
fn package(store: &Path) -> tempfile::TempDir {
    let root = machines::scratch(store, "package").unwrap();
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let put = |to: &str, from: &Path, mode: u32| {
        let to = root.path().join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(from, &to).unwrap_or_else(|error| panic!("cannot copy {}: {error}", from.display()));
        fs::set_permissions(&to, fs::Permissions::from_mode(mode)).unwrap();
    };
    let manifest = fs::read_to_string(repository.join("packaging/mathesar.toml")).unwrap();
    let manifest: toml_edit::DocumentMut = manifest.parse().unwrap();
    for file in manifest["file"].as_array_of_tables().unwrap() {
        let text = |key: &str| file.get(key).and_then(toml_edit::Item::as_str);
        let (source, dest) = (text("source").unwrap(), text("dest").unwrap());
        if source.starts_with("packaging/") {
            let mode = text("mode").map_or(0o644, |mode| u32::from_str_radix(mode, 8).unwrap());
            put(dest, &repository.join(source), mode);
        }
    }
    put("/usr/bin/mathesar", Path::new(env!("CARGO_BIN_EXE_mathesar")), 0o755);
    let release = sample::release("1.0.0", None);
    put("/usr/share/mathesar/app/mathesar-1.0.0.tar.gz", &release.tarball, 0o644);
    let pin = root.path().join("usr/share/mathesar/release.toml");
    fs::write(pin, release.release_toml_at("https://localhost/mathesar.tar.gz")).unwrap();
    root
}

/// A folder of everything that the sample application needs, and of the launcher's own uv.
fn wheels(store: &Path) -> Result<PathBuf, String> {
    let requirements = sample::sources().join("base/requirements.txt");
    let uv = Pin::of("uv").ok_or("no uv is pinned for this kind of computer")?;
    let digest =
        Sha256::digest([&fs::read(&requirements).unwrap(), uv.sha256.as_bytes(), PYTHON.as_bytes()].concat());
    let key: String = digest[..5].iter().map(|byte| format!("{byte:02x}")).collect();
    let folder = store.join(format!("wheels-{key}"));

    let lock = File::create(folder.with_extension("lock")).unwrap();
    lock.lock().unwrap();
    if folder.is_dir() {
        return Ok(folder);
    }
    let partial = store.join(format!("wheels-{key}.partial"));
    let _ = fs::remove_dir_all(&partial);
    fs::create_dir(&partial).unwrap();
    let settings = app::Settings { cache: store.join("cache"), ..Default::default() };
    let found =
        lookup::find(&uv.wanted(), "wheels", &settings, &Silent).map_err(|failure| failure.to_string())?;
    fs::copy(&found.path, partial.join(uv.file_name())).unwrap();
    // With a pip of its own: Debian's Python has none.
    let venv = machines::scratch(store, "venv").unwrap();
    let told = |command: &mut Command| match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            Err(String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).trim().to_owned())
        }
        Err(error) => Err(error.to_string()),
    };
    told(Command::new(PYTHON).args(["-m", "venv"]).arg(venv.path()))
        .map_err(|told| format!("no {PYTHON} with venv, which the machine has: {told}"))?;
    // Wheels, also of what the index has as sources only.
    let mut pip = Command::new(venv.path().join("bin/python"));
    pip.args(["-m", "pip", "wheel", "--quiet", "--disable-pip-version-check", "--wheel-dir"]);
    told(pip.args([&partial, Path::new("-r"), &requirements]))
        .map_err(|told| format!("pip could not make the wheels: {told}"))?;
    fs::rename(&partial, &folder).unwrap();
    Ok(folder)
}
