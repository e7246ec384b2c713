//! The few facts that are read from the running process; everything that is decided from them is pure.

use std::path::PathBuf;

use crate::layout::Environment;

/// The service's OS user, made by the packages' sysusers file.
pub(crate) const SERVICE_USER: &str = "mathesar";

/// This process's environment, as `layout` and `config` want it.
pub(crate) fn environment() -> Environment {
    let uid = rustix::process::geteuid().as_raw();
    Environment {
        variables: std::env::vars_os().collect(),
        home: std::env::home_dir().filter(|home| home.is_absolute()),
        current: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
        uid,
        service_user: uid != 0 && is_service_user(uid),
        macos: cfg!(target_os = "macos"),
    }
}

/// Read from /etc/passwd itself: sysusers writes there, and a name service may need the network.
pub(crate) fn is_service_user(uid: u32) -> bool {
    let Ok(passwd) = std::fs::read(PathBuf::from("/etc/passwd")) else { return false };
    names_service_user(&String::from_utf8_lossy(&passwd), uid)
}

fn names_service_user(passwd: &str, uid: u32) -> bool {
    passwd.lines().any(|line| {
        let mut fields = line.split(':');
        fields.next() == Some(SERVICE_USER) && fields.nth(1).is_some_and(|id| id.parse() == Ok(uid))
    })
}

#[cfg(test)]
mod tests {
    use super::names_service_user;

    #[test]
    fn the_service_user_is_known_by_name_and_id() {
        let passwd = "root:x:0:0::/root:/bin/sh\nmathesar:x:990:988::/var/lib/mathesar:/usr/sbin/nologin\n";
        assert!(names_service_user(passwd, 990));
        assert!(!names_service_user(passwd, 0));
        assert!(!names_service_user("mathesar2:x:990:1::/:/bin/sh\n", 990));
    }
}
