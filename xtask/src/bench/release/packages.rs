//! Small real packages of many versions, by the programs that make real ones.

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};

use super::run_through;
use crate::manifest::Target;

pub(super) struct Maker<'a> {
    pub name: &'a str,
    pub work: PathBuf,
    /// Of each package, more or less: nothing can be compressed.
    pub bytes: u64,
}

impl Maker<'_> {
    /// A .deb, an .rpm and a .pkg.tar.zst of each version for each architecture.
    pub(super) fn make(&self, versions: &[String], revision: &str, to: &Path) -> Result<()> {
        fs::create_dir_all(to).with_context(|| format!("cannot create {}", to.display()))?;
        let next = AtomicUsize::new(0);
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        std::thread::scope(|scope| {
            let work = |thread: usize| {
                let next = &next;
                scope.spawn(move || -> Result<()> {
                    let work = self.work.join(thread.to_string());
                    while let Some(version) = versions.get(next.fetch_add(1, Ordering::Relaxed)) {
                        for target in Target::ALL {
                            self.version(version, revision, target, &work, to)?;
                        }
                    }
                    Ok(())
                })
            };
            let running: Vec<_> = (0..threads).map(work).collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Result<()>>| {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            running.into_iter().try_for_each(join)
        })
    }

    fn version(&self, version: &str, revision: &str, target: Target, work: &Path, to: &Path) -> Result<()> {
        let (name, cpu) = (self.name, target.cpu());
        let full = format!("{version}-{revision}");
        let tree = work.join("tree");
        crate::files::remove(&tree)?;
        let payload = tree.join("usr/share").join(name).join("payload");
        let mut bytes = Vec::new();
        File::open("/dev/urandom")
            .and_then(|random| random.take(self.bytes).read_to_end(&mut bytes))
            .context("cannot read /dev/urandom")?;
        write(&payload, &bytes)?;

        let info = tree.join(".PKGINFO");
        let text = format!(
            "pkgname = {name}\npkgver = {full}\npkgdesc = x\nsize = {}\narch = {cpu}\nbuilddate = 1\n",
            self.bytes
        );
        write(&info, text.as_bytes())?;
        let package = to.join(format!("{name}-{full}-{cpu}.pkg.tar.zst"));
        run_through(
            Command::new("bsdtar")
                .args(["--zstd", "-cf"])
                .arg(package)
                .args([".PKGINFO", "usr"])
                .current_dir(&tree),
        )?;
        fs::remove_file(&info).with_context(|| format!("cannot remove {}", info.display()))?;

        let spec = work.join("package.spec");
        let text = format!(
            "%global debug_package %{{nil}}\n%global __os_install_post %{{nil}}\nName: {name}\nVersion: {version}\nRelease: {revision}\n\
             Summary: x\nLicense: MIT\n%description\nx\n%install\nmkdir -p %{{buildroot}}/usr/share/{name}\n\
             cp {} %{{buildroot}}/usr/share/{name}/payload\n%files\n/usr/share/{name}/payload\n",
            payload.display()
        );
        write(&spec, text.as_bytes())?;
        let mut build = Command::new("rpmbuild");
        build.args(["-bb", "--quiet", "--target", cpu]);
        for (setting, value) in [
            ("_topdir", work.join("rpm").display().to_string()),
            ("_rpmdir", to.display().to_string()),
            ("_rpmfilename", "%%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm".to_owned()),
            ("_binary_payload", "w1.gzdio".to_owned()),
        ] {
            build.args(["--define", &format!("{setting} {value}")]);
        }
        run_through(build.arg(&spec))?;

        let architecture = target.deb_arch();
        let control = format!(
            "Package: {name}\nVersion: {full}\nArchitecture: {architecture}\nMaintainer: A <a@localhost>\nDescription: x\n"
        );
        write(&tree.join("DEBIAN/control"), control.as_bytes())?;
        run_through(
            Command::new("dpkg-deb")
                .args(["--root-owner-group", "-Zgzip", "-z1", "--build"])
                .arg(&tree)
                .arg(to.join(format!("{name}_{full}_{architecture}.deb"))),
        )
    }
}

fn write(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::tools;

    #[test]
    fn each_kind_for_each_architecture() {
        for program in ["bsdtar", "dpkg-deb", "rpmbuild"] {
            if tools::on_path(program).is_none() {
                eprintln!("not run: {program} is not on PATH");
                return;
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let maker = Maker { name: "probe", work: folder.path().join("work"), bytes: 3000 };
        let to = folder.path().join("to");
        maker.make(&["1.0".to_owned(), "1.1".to_owned()], "2", &to).unwrap();
        let found = crate::repo::packages(&to).unwrap();
        let names: BTreeSet<String> =
            found.iter().map(|path| path.file_name().unwrap().to_string_lossy().into_owned()).collect();
        let mut wanted = BTreeSet::new();
        for version in ["1.0-2", "1.1-2"] {
            for (cpu, deb) in [("x86_64", "amd64"), ("aarch64", "arm64")] {
                wanted.insert(format!("probe_{version}_{deb}.deb"));
                wanted.insert(format!("probe-{version}.{cpu}.rpm"));
                wanted.insert(format!("probe-{version}-{cpu}.pkg.tar.zst"));
            }
        }
        assert_eq!(names, wanted);
        // Small ones would tell nothing of what it costs to read them.
        assert!(found.iter().all(|path| path.metadata().unwrap().len() > 3000));
    }
}
