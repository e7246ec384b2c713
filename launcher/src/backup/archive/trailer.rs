//! The last bytes of an archive: a skippable frame of zstd's with the digest of everything before.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use crate::backup::manifest;
use crate::failure::{Exit, Failure};

const MAGIC: u32 = 0x184D_2A5E;
const FAMILY: &str = "mathesar-backup-";
const TITLE: &str = "mathesar-backup-1 sha256 ";
const HEXADECIMAL: usize = 64;
const HEAD: usize = 8;
const LENGTH: usize = HEAD + TITLE.len() + HEXADECIMAL + 1;

/// The frame for this digest.
pub(super) fn of(digest: &str) -> Vec<u8> {
    let text = format!("{TITLE}{digest}\n");
    let mut frame = MAGIC.to_le_bytes().to_vec();
    frame.extend((text.len() as u32).to_le_bytes());
    frame.extend(text.bytes());
    frame
}

/// How long what stands before it is, and the digest that it says. Anything but the very bytes of `of` is refused.
pub(super) fn read(file: &File, path: &Path) -> Result<(u64, String), Failure> {
    let failed = |cause| Failure::io("read", path, cause);
    let length = file.metadata().map_err(failed)?.len();
    let cut = || damaged(path, "it does not end with its digest: it is cut off, or something follows it");
    let body = length.checked_sub(LENGTH as u64).ok_or_else(cut)?;
    let mut found = [0; LENGTH];
    file.read_exact_at(&mut found, body).map_err(failed)?;
    let text = std::str::from_utf8(&found[HEAD..]).map_err(|_| cut())?;
    let digest = &text.get(TITLE.len()..text.len() - 1).unwrap_or_default();
    let hexadecimal = digest.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if hexadecimal && found[..] == of(digest) {
        return Ok((body, (*digest).to_owned()));
    }
    let format = text.strip_prefix(FAMILY).and_then(|rest| rest.split(' ').next());
    match format.filter(|format| format.parse::<u64>().is_ok_and(|format| format > manifest::FORMAT)) {
        Some(format) => Err(manifest::newer(path, format)),
        None => Err(cut()),
    }
}

pub(super) fn damaged(path: &Path, why: impl Into<String>) -> Failure {
    Failure::new(format!("{} is damaged", path.display()))
        .cause(why.into())
        .exit(Exit::Refused)
        .help("see which others there are: `mathesar backup list`")
}
