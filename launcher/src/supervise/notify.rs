//! systemd's notification protocol, and the watchdog.

use std::ffi::OsStr;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::child::thread;
use crate::failure::Failure;

/// Speaks to the service manager, or to nobody.
#[derive(Debug, Clone, Default)]
pub struct Notifier(Option<Arc<(UnixDatagram, SocketAddr)>>);

impl Notifier {
    /// From the value of NOTIFY_SOCKET: a path, or an abstract name after `@`.
    pub fn new(socket: Option<&OsStr>) -> Notifier {
        let connect = |name: &OsStr| {
            let address = match name.as_encoded_bytes().strip_prefix(b"@") {
                #[cfg(target_os = "linux")]
                Some(name) => {
                    use std::os::linux::net::SocketAddrExt as _;
                    SocketAddr::from_abstract_name(name).ok()?
                }
                #[cfg(not(target_os = "linux"))]
                Some(_) => return None,
                None => SocketAddr::from_pathname(name).ok()?,
            };
            let socket = UnixDatagram::unbound().ok()?;
            // A manager that does not read must not stop the launcher.
            socket.set_nonblocking(true).ok()?;
            Some(Arc::new((socket, address)))
        };
        Notifier(socket.filter(|name| !name.is_empty()).and_then(connect))
    }

    pub fn listened_to(&self) -> bool {
        self.0.is_some()
    }

    fn send(&self, text: &str) {
        if let Some(to) = &self.0 {
            let _ = to.0.send_to_addr(text.as_bytes(), &to.1);
        }
    }

    pub fn ready(&self) {
        self.send("READY=1\n");
    }

    pub fn stopping(&self) {
        self.send("STOPPING=1\n");
    }

    /// A line that `systemctl status` shows; a line break would be another command.
    pub fn status(&self, text: &str) {
        self.send(&format!("STATUS={}\n", text.replace(['\n', '\r'], " ")));
    }

    /// More time for what is going on: start or stop.
    pub fn extend(&self, time: Duration) {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}\n", time.as_micros()));
    }

    fn alive(&self) {
        self.send("WATCHDOG=1\n");
    }
}

/// The main loop's pulse.
#[derive(Debug, Clone, Default)]
pub struct Heart(Arc<AtomicU64>);

fn now() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    // One, so that nothing is ever as old as zero.
    START.get_or_init(Instant::now).elapsed().as_millis() as u64 + 1
}

impl Heart {
    pub fn beat(&self) {
        self.0.store(now(), Ordering::Relaxed);
    }

    fn age(&self) -> Duration {
        Duration::from_millis(now().saturating_sub(self.0.load(Ordering::Relaxed)))
    }
}

/// What WATCHDOG_USEC and WATCHDOG_PID ask of this process.
pub fn watchdog_interval(usec: Option<&str>, pid: Option<&str>, own: u32) -> Option<Duration> {
    if pid.is_some_and(|pid| pid.parse() != Ok(own)) {
        return None;
    }
    usec?.parse().ok().filter(|usec| *usec > 0).map(Duration::from_micros)
}

/// Tells the manager that the launcher lives, for as long as its main loop does: one that beat within `stale`.
pub fn watch(notifier: Notifier, heart: Heart, interval: Duration, stale: Duration) -> Result<(), Failure> {
    heart.beat();
    thread("watchdog".to_owned(), move || {
        loop {
            if heart.age() < stale {
                notifier.alive();
            }
            std::thread::sleep((interval / 2).max(Duration::from_millis(100)));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watchdog_is_asked_of_one_process() {
        let second = Some(Duration::from_secs(1));
        assert_eq!(watchdog_interval(Some("1000000"), None, 7), second);
        assert_eq!(watchdog_interval(Some("1000000"), Some("7"), 7), second);
        assert_eq!(watchdog_interval(Some("1000000"), Some("8"), 7), None);
        assert_eq!(watchdog_interval(Some("0"), None, 7), None);
        assert_eq!(watchdog_interval(None, None, 7), None);
    }

    #[test]
    fn a_loop_that_hangs_is_not_vouched_for() {
        let folder = tempfile::tempdir().unwrap();
        let manager = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        manager.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let notifier = Notifier::new(Some(folder.path().join("notify").as_os_str()));
        watch(notifier.clone(), Heart::default(), Duration::from_millis(300), Duration::from_millis(300))
            .unwrap();
        let mut buffer = [0; 100];
        let read = |buffer: &mut [u8]| manager.recv(buffer);
        let size = read(&mut buffer).unwrap();
        assert_eq!(&buffer[..size], b"WATCHDOG=1\n");
        // The heart stands still: the words end.
        manager.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        let mut more = 0;
        while read(&mut buffer).is_ok() {
            more += 1;
            assert!(more < 10, "it goes on");
        }
    }

    #[test]
    fn abstract_sockets_and_line_breaks() {
        use std::os::linux::net::SocketAddrExt as _;
        let name = format!("mathesar-test-{}", std::process::id());
        let manager =
            UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(name.as_bytes()).unwrap()).unwrap();
        let notifier = Notifier::new(Some(OsStr::new(&format!("@{name}"))));
        notifier.status("one\nREADY=1");
        let mut buffer = [0; 100];
        let size = manager.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..size], b"STATUS=one READY=1\n");
        Notifier::new(None).ready();
    }
}
