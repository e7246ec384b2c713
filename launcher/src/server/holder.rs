//! Who listens on a port: read from /proc, as far as this user may read it.

use std::path::Path;

/// A process that holds a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub pid: i32,
    pub name: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}` (pid {})", self.name, self.pid)
    }
}

/// The process that listens on this TCP port; the one with the lowest pid where several share the socket.
pub fn of_port(port: u16) -> Option<Holder> {
    let mut inodes = Vec::new();
    for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
        if let Ok(text) = std::fs::read_to_string(table) {
            inodes.extend(listening(&text, port));
        }
    }
    of_sockets(&inodes)
}

/// The process that listens on a unix socket.
pub fn of_path(path: &Path) -> Option<Holder> {
    let text = std::fs::read_to_string("/proc/net/unix").ok()?;
    let inodes: Vec<u64> = text
        .lines()
        .filter(|line| line.split_whitespace().nth(7).is_some_and(|name| Path::new(name) == path))
        .filter_map(|line| line.split_whitespace().nth(6)?.parse().ok())
        .collect();
    of_sockets(&inodes)
}

/// Inodes of listening sockets (state 0A) on this port.
fn listening(table: &str, port: u16) -> Vec<u64> {
    let entry = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = fields.get(1)?.rsplit_once(':')?.1;
        let matches = u16::from_str_radix(local, 16) == Ok(port) && *fields.get(3)? == "0A";
        matches.then(|| fields.get(9)?.parse().ok()).flatten()
    };
    table.lines().skip(1).filter_map(entry).collect()
}

fn of_sockets(inodes: &[u64]) -> Option<Holder> {
    let wanted: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let mut pids: Vec<i32> = std::fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    pids.sort_unstable();
    let holds = |pid: &&i32| {
        let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
        descriptors.flatten().any(|entry| {
            let target = std::fs::read_link(entry.path());
            target.is_ok_and(|target| wanted.iter().any(|wanted| target.as_os_str() == wanted.as_str()))
        })
    };
    let pid = *pids.iter().find(holds)?;
    let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(Holder { pid, name: name.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_table_is_read() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0 100 0\n\
             1: 0100007F:1F40 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0 100 0\n\
             2: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0 100 0\n";
        assert_eq!(listening(table, 8000), [4711]);
        assert_eq!(listening(table, 80), [4713]);
        assert!(listening("garbage\nmore garbage\n", 80).is_empty());
    }

    #[test]
    fn this_process_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let holder = of_port(listener.local_addr().unwrap().port()).unwrap();
        assert_eq!(holder.pid, std::process::id() as i32);
        let path = folder.path().join("s");
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert_eq!(of_path(&path).unwrap().pid, std::process::id() as i32);
    }
}
