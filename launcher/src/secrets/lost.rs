//! What helps where the key is lost that Mathesar's stored passwords were encrypted with: the same words for a refusal and for doctor.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::{FINGERPRINT, SECRET_KEY};
use crate::cure;
use crate::system::{SERVICE_USER, is_service_user};

pub(crate) const CAUSE: &str = "Mathesar's stored database passwords can be read with that key only";

/// By the folder of the secrets, which need not be there.
pub(crate) fn cures(folder: &Path) -> [String; 2] {
    let owner = folder.ancestors().find_map(|there| there.metadata().ok()).map(|found| found.uid());
    cures_for(folder, owner.is_some_and(|owner| owner != 0 && is_service_user(owner)))
}

fn cures_for(folder: &Path, service: bool) -> [String; 2] {
    let path = |name: &str| cure::path(&folder.join(name));
    let (key, fingerprint) = (path(SECRET_KEY), path(FINGERPRINT));
    let sudo = if service { "sudo " } else { "" };
    let owner = if service { format!("-o {SERVICE_USER} ") } else { String::new() };
    [
        // Its place in an archive: `backup::parts`.
        format!(
            "take it out of a backup, a file that `mathesar backup list` names: \
             `{sudo}tar --zstd -xOf FILE secrets/{SECRET_KEY} | {sudo}install {owner}-m 600 /dev/stdin {key}`"
        ),
        format!(
            "where there is none, give these passwords up, and enter those of connected databases anew in Mathesar: \
             `{sudo}rm -f {fingerprint} && openssl rand -hex 32 | {sudo}mathesar config set app.secret-key --stdin`"
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_the_system_s_installation_the_file_is_the_service_s() {
        let [back, anew] = cures_for(Path::new("/var/lib/mathesar/secrets"), true);
        assert!(back.contains("| sudo install -o mathesar -m 600 /dev/stdin /var/lib/"), "{back}");
        assert!(anew.contains("`sudo rm -f ") && anew.contains("| sudo mathesar config set"), "{anew}");
        let own = cures_for(Path::new("/home/a b"), false).concat();
        assert!(own.contains("'/home/a b/secret-key'`") && !own.contains("sudo"), "{own}");
    }
}
