//! What is made once for a target folder and kept: the program, uv's wheel and cache, and a home that is set up already.
//! It lies below /tmp, where an ordinary user can reach it, which a checkout need not be.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use mathesar::app::download;
use mathesar::app::network::Network;
use mathesar::app::pins::Pin;
use mathesar::process::User;
use mathesar::progress::Silent;

use crate::harness::{Home, Start};
use crate::machine;

pub struct Shared {
    folder: PathBuf,
    pub user: Option<User>,
    pub program: PathBuf,
    pub uv_wheel: PathBuf,
    /// Of the program: what was made by another one is not used.
    digest: String,
}

impl Shared {
    pub fn new() -> Result<Shared, String> {
        let user = machine::user()?;
        let own = rustix::process::geteuid().as_raw();
        let of_target = mathesar::app::digest::of_bytes(env!("CARGO_TARGET_TMPDIR").as_bytes());
        let folder = PathBuf::from(format!("/tmp/mathesar-whole-{own}-{}", &of_target[..8]));
        fs::create_dir_all(&folder).unwrap();
        assert_eq!(
            fs::symlink_metadata(&folder).unwrap().uid(),
            own,
            "{} is somebody else's",
            folder.display()
        );
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let _lock = lock(&folder, "shared");
        let source = Path::new(env!("CARGO_BIN_EXE_mathesar"));
        let digest = mathesar::app::digest::of_file(source).unwrap().0[..12].to_owned();
        let program = folder.join(format!("mathesar-{digest}"));
        if !program.exists() {
            let beside = program.with_extension("new");
            fs::copy(source, &beside).unwrap();
            fs::set_permissions(&beside, fs::Permissions::from_mode(0o755)).unwrap();
            fs::rename(&beside, &program).unwrap();
        }
        let cache = folder.join("uv");
        if !cache.exists() {
            fs::create_dir(&cache).unwrap();
            machine::give(&cache, user);
        }
        let pin = Pin::of("uv").ok_or("no uv is pinned for this machine")?;
        let wheels = std::env::temp_dir().join("mathesar-tests-wheels");
        let uv_wheel = download::fetch(&pin.wanted(), &wheels, &Network::default(), &Silent)
            .map_err(|failure| format!("the pinned uv is needed: {failure}"))?;
        Ok(Shared { folder, user, program, uv_wheel, digest })
    }

    /// uv's cache, the launcher's user's.
    pub fn uv_cache(&self) -> PathBuf {
        self.folder.join("uv")
    }

    /// A home after `mathesar setup`, by this very program. Made by whoever comes first, half a minute or less.
    pub fn template(&self) -> Result<PathBuf, String> {
        let place = self.folder.join(format!("template-{}", self.digest));
        let _lock = lock(&self.folder, "template");
        if place.join("state").exists() {
            return Ok(place);
        }
        self.tidy();
        let home = Home::new(Start::Bare).ok_or("see above")?;
        home.ok(&["setup"]);
        let _ = fs::remove_file(home.layout.cache.join("uv"));
        fs::rename(home.folder().join("home"), &place).unwrap();
        Ok(place)
    }

    /// What earlier programs were used for. Homes that are in use have their own links.
    fn tidy(&self) {
        let mut old: Vec<PathBuf> = fs::read_dir(&self.folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name.starts_with("template-") || name.starts_with("mathesar-"))
                    && !name.ends_with(&self.digest)
            })
            .filter(|path| path.extension().is_none())
            .collect();
        old.sort_by_key(|path| std::cmp::Reverse(fs::metadata(path).unwrap().modified().unwrap()));
        // Two programs back: another run of the same tests may be under way.
        for path in old.iter().skip(4) {
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }
}

/// Held until dropped; tests run at the same time, in several processes too.
fn lock(folder: &Path, name: &str) -> File {
    let file = File::create(folder.join(format!("{name}.lock"))).unwrap();
    file.lock().unwrap();
    file
}
