//! Archives whose bytes depend on nothing but what is put in: no clock, no owner, no file system.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// A tree of files to be archived, put together from anywhere. Folders come by themselves.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// Ordered by component, so a folder always stands before what is in it.
    nodes: BTreeMap<PathBuf, Node>,
}

#[derive(Debug)]
enum Node {
    Folder,
    File { content: Content, mode: u32 },
    Link(PathBuf),
}

/// Where a file's bytes come from.
#[derive(Debug)]
pub(crate) enum Content {
    /// Read when the archive is written.
    From(PathBuf),
    Bytes(Vec<u8>),
}

impl From<String> for Content {
    fn from(text: String) -> Content {
        Content::Bytes(text.into_bytes())
    }
}

impl Tree {
    /// Adds a file, in the place of one that has this path already.
    pub(crate) fn file(
        &mut self,
        path: impl AsRef<Path>,
        mode: u32,
        content: impl Into<Content>,
    ) -> Result<()> {
        self.insert(path.as_ref(), Node::File { content: content.into(), mode })
    }

    /// Adds a symbolic link.
    pub(crate) fn link(&mut self, path: impl AsRef<Path>, target: PathBuf) -> Result<()> {
        self.insert(path.as_ref(), Node::Link(target))
    }

    fn insert(&mut self, path: &Path, node: Node) -> Result<()> {
        ensure!(
            path.file_name().is_some() && path.components().all(|part| matches!(part, Component::Normal(_))),
            "cannot archive under the name {}: it is not a plain relative path",
            path.display()
        );
        for parent in path.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
            match self.nodes.entry(parent.to_owned()).or_insert(Node::Folder) {
                Node::Folder => {}
                _ => bail!("cannot archive {}: {} is not a folder", path.display(), parent.display()),
            }
        }
        if let Some(Node::Folder) = self.nodes.insert(path.to_owned(), node) {
            bail!("cannot archive the file {}: it is a folder as well", path.display());
        }
        Ok(())
    }

    /// Writes `dest`, a gzipped tar with everything below the one folder `top`, owned by root, with `epoch` as every
    /// time.
    pub(crate) fn write_tar_gz(&self, top: &str, dest: &Path, epoch: u64) -> Result<()> {
        let bytes = self.tar_gz(top, epoch)?;
        std::fs::write(dest, bytes).with_context(|| format!("cannot write {}", dest.display()))
    }

    fn tar_gz(&self, top: &str, epoch: u64) -> Result<Vec<u8>> {
        let top = Path::new(top);
        let below = self.nodes.iter().map(|(path, node)| (top.join(path), node));
        compressed(std::iter::once((top.to_owned(), &Node::Folder)).chain(below), epoch)
    }

    /// The same without a folder around it.
    pub(crate) fn tar_gz_bare(&self, epoch: u64) -> Result<Vec<u8>> {
        compressed(self.nodes.iter().map(|(path, node)| (path.clone(), node)), epoch)
    }
}

fn compressed<'a>(nodes: impl Iterator<Item = (PathBuf, &'a Node)>, epoch: u64) -> Result<Vec<u8>> {
    // The gzip header has neither time nor name, and "unknown" for the operating system.
    let gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    let mut tar = Builder::new(gzip);
    for (path, node) in nodes {
        append(&mut tar, &path, node, epoch).with_context(|| format!("cannot archive {}", path.display()))?;
    }
    let gzip = tar.into_inner().context("cannot finish the tar archive")?;
    gzip.finish().context("cannot finish the gzip stream")
}

fn append(tar: &mut Builder<impl std::io::Write>, path: &Path, node: &Node, epoch: u64) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root")?;
    header.set_groupname("root")?;
    header.set_mtime(epoch);
    match node {
        Node::Folder => {
            header.set_entry_type(EntryType::Directory);
            header.set_mode(0o755);
            header.set_size(0);
            // With the slash that listings show, and by which scripts tell folders.
            tar.append_data(&mut header, path.join(""), std::io::empty())?;
        }
        Node::Link(target) => {
            header.set_entry_type(EntryType::Symlink);
            header.set_mode(0o777);
            header.set_size(0);
            tar.append_link(&mut header, path, target)?;
        }
        Node::File { content, mode } => {
            // Whole, as the header's size has to be that of the bytes that follow.
            let bytes = match content {
                Content::Bytes(bytes) => bytes,
                Content::From(source) => {
                    &std::fs::read(source).with_context(|| format!("cannot read {}", source.display()))?
                }
            };
            header.set_entry_type(EntryType::Regular);
            header.set_mode(*mode);
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, path, bytes.as_slice())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let mut tree = Tree::default();
        tree.file("usr/bin/x", 0o755, "binary".to_owned()).unwrap();
        tree.file("etc/x.conf", 0o640, "[x]\n".to_owned()).unwrap();
        tree.link("usr/bin/y", "x".into()).unwrap();
        tree
    }

    #[test]
    fn entries_are_sorted_root_s_and_of_the_epoch() {
        let bytes = tree().tar_gz("top", 1_700_000_000).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes.as_slice()));
        let mut listing = String::new();
        for entry in archive.entries().unwrap() {
            let entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (0, 0));
            assert_eq!(header.username().unwrap(), Some("root"));
            assert_eq!(header.mtime().unwrap(), 1_700_000_000);
            listing += &format!("{:o} {}\n", header.mode().unwrap(), entry.path().unwrap().display());
        }
        assert_eq!(
            listing,
            "755 top/\n755 top/etc/\n640 top/etc/x.conf\n755 top/usr/\n755 top/usr/bin/\n755 top/usr/bin/x\n777 top/usr/bin/y\n"
        );
    }

    #[test]
    fn the_gzip_header_says_nothing() {
        let bytes = tree().tar_gz("top", 1_700_000_000).unwrap();
        // Magic, deflate, no flags, no time, best compression, unknown system.
        assert_eq!(bytes[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
    }

    #[test]
    fn a_path_that_leads_out_is_refused() {
        for path in ["/etc/x", "../x", "a/../x", "", "./x"] {
            assert!(Tree::default().file(path, 0o644, String::new()).is_err(), "{path}");
        }
    }

    #[test]
    fn a_file_that_is_a_folder_as_well_is_refused() {
        let mut tree = tree();
        assert!(tree.file("etc", 0o644, String::new()).is_err());
        assert!(tree.file("etc/x.conf/y", 0o644, String::new()).is_err());
    }

    #[test]
    fn a_later_file_takes_the_place_of_an_earlier() {
        let mut tree = tree();
        tree.file("usr/bin/x", 0o755, "other".to_owned()).unwrap();
        let [Some(Node::File { content: Content::Bytes(bytes), .. })] =
            [tree.nodes.get(Path::new("usr/bin/x"))]
        else {
            panic!("no file");
        };
        assert_eq!(bytes, b"other");
    }
}
