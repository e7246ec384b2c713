use super::manifest::Manifest;
use crate::failure::Failure;
use crate::progress::Progress;
use std::fs::File;
use std::path::Path;
pub struct Writer {
    tar: tar::Builder<File>,
}
pub struct Sealed {
    pub digest: String,
    pub bytes: u64,
}
fn bad(e: std::io::Error) -> Failure {
    Failure::new("cannot write the archive").cause(e)
}
impl Writer {
    pub fn new(to: File, _level: i32) -> Result<Writer, Failure> {
        let mut tar = tar::Builder::new(to);
        tar.follow_symlinks(false);
        Ok(Writer { tar })
    }
    pub fn bytes(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<(), Failure> {
        let mut h = tar::Header::new_ustar();
        h.set_mode(mode);
        h.set_size(content.len() as u64);
        self.tar.append_data(&mut h, name, content).map_err(bad)
    }
    pub fn file(&mut self, name: &str, path: &Path) -> Result<(), Failure> {
        self.tar.append_path_with_name(path, name).map_err(bad)
    }
    pub fn tree(&mut self, prefix: &str, folder: &Path, _progress: &dyn Progress) -> Result<(), Failure> {
        self.tar.append_dir_all(prefix, folder).map_err(bad)
    }
    pub fn living_tree(
        &mut self,
        prefix: &str,
        folder: &Path,
        _progress: &dyn Progress,
    ) -> Result<(), Failure> {
        self.tar.append_dir_all(prefix, folder).map_err(bad)
    }
    pub fn finish(self) -> Result<Sealed, Failure> {
        let f = self.tar.into_inner().map_err(bad)?;
        f.sync_all().map_err(bad)?;
        Ok(Sealed { digest: "0".into(), bytes: f.metadata().map_err(bad)?.len() })
    }
}
pub fn read_manifest(path: &Path) -> Result<Manifest, Failure> {
    let f = File::open(path).map_err(bad)?;
    let mut t = tar::Archive::new(f);
    let e = t.entries().map_err(bad)?.next().ok_or_else(|| Failure::new("empty"))?.map_err(bad)?;
    serde_json::from_reader(e).map_err(|e| Failure::new("manifest").cause(e))
}
pub fn unpack_all(path: &Path, into: &Path, _progress: &dyn Progress) -> Result<(Manifest, String), Failure> {
    tar::Archive::new(File::open(path).map_err(bad)?).unpack(into).map_err(bad)?;
    Ok((read_manifest(path)?, "0".into()))
}
pub fn unpack(
    path: &Path,
    into: &Path,
    _what: &dyn Fn(&str) -> bool,
    p: &dyn Progress,
) -> Result<Manifest, Failure> {
    Ok(unpack_all(path, into, p)?.0)
}
pub fn check(_path: &Path, _p: &dyn Progress) -> Result<String, Failure> {
    Ok(String::new())
}
