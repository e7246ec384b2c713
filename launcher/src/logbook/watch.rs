//! Sleeps until a folder changes; where the system cannot tell, it looks once a second.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// What woke it up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Woken {
    /// Something may have changed.
    Changed,
    /// Nobody reads what would be shown.
    NobodyReads,
    /// The folder is gone.
    Gone,
}

const SECOND: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

#[cfg(target_os = "linux")]
pub(super) struct Watch(Option<std::os::fd::OwnedFd>);

#[cfg(target_os = "linux")]
impl Watch {
    pub fn new(folder: &Path) -> Watch {
        use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
        // A user may have only so many: then once a second has to do.
        let watched = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).and_then(|inotify| {
            let flags =
                WatchFlags::MODIFY | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE_SELF;
            add_watch(&inotify, folder, flags)?;
            Ok(inotify)
        });
        Watch(watched.ok())
    }

    pub fn wait(&self, folder: &Path, reader: BorrowedFd<'_>) -> io::Result<Woken> {
        let Some(inotify) = &self.0 else { return wait_a_second(folder, reader) };
        // No event is asked of the reader: its end is told nevertheless.
        let mut polled =
            [PollFd::new(inotify, PollFlags::IN), PollFd::from_borrowed_fd(reader, PollFlags::empty())];
        match poll(&mut polled, None) {
            Err(rustix::io::Errno::INTR) => return Ok(Woken::Changed),
            other => other?,
        };
        if is_closed(&polled[1]) {
            return Ok(Woken::NobodyReads);
        }
        self.drain(inotify);
        Ok(if folder.is_dir() { Woken::Changed } else { Woken::Gone })
    }

    /// What exactly has happened is found out by looking.
    fn drain(&self, inotify: &std::os::fd::OwnedFd) {
        let mut buffer = [std::mem::MaybeUninit::uninit(); 4096];
        let mut events = rustix::fs::inotify::Reader::new(inotify, &mut buffer);
        while events.next().is_ok() {}
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) struct Watch;

#[cfg(not(target_os = "linux"))]
impl Watch {
    pub fn new(_: &Path) -> Watch {
        Watch
    }

    pub fn wait(&self, folder: &Path, reader: BorrowedFd<'_>) -> io::Result<Woken> {
        wait_a_second(folder, reader)
    }
}

fn wait_a_second(folder: &Path, reader: BorrowedFd<'_>) -> io::Result<Woken> {
    let mut polled = [PollFd::from_borrowed_fd(reader, PollFlags::empty())];
    match poll(&mut polled, Some(&SECOND)) {
        Err(rustix::io::Errno::INTR) => return Ok(Woken::Changed),
        other => other?,
    };
    Ok(match (is_closed(&polled[0]), folder.is_dir()) {
        (true, _) => Woken::NobodyReads,
        (false, true) => Woken::Changed,
        (false, false) => Woken::Gone,
    })
}

fn is_closed(polled: &PollFd<'_>) -> bool {
    polled.revents().intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL)
}
