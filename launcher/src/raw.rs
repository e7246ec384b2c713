//! The only unsafe code of the launcher: calls that std marks so, with the reasons why they hold.
#![allow(unsafe_code)]

use std::os::fd::{BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::sync::Arc;

use rustix::process::Signal;

/// Takes a descriptor that the parent process left open for us (socket activation).
pub(crate) fn adopt(fd: RawFd) -> std::io::Result<OwnedFd> {
    use rustix::io::{Errno, FdFlags, fcntl_getfd, fcntl_setfd};
    if fd < 0 {
        return Err(Errno::BADF.into());
    }
    // SAFETY: borrowed for one question to the system, which for a number that is not open is an error and nothing more.
    let flags = fcntl_getfd(unsafe { BorrowedFd::borrow_raw(fd) })?;
    // Everything that this process has opened is closed on exec; what came through an exec is not.
    if flags.contains(FdFlags::CLOEXEC) {
        return Err(Errno::BADF.into());
    }
    // SAFETY: it is open, and by the check above not this process's own, so nothing else in it knows of that number. The flag that
    // is set now keeps it from being taken a second time.
    let fd = unsafe { OwnedFd::from_raw_fd(fd) };
    fcntl_setfd(&fd, flags | FdFlags::CLOEXEC)?;
    Ok(fd)
}

/// Whether this system has a locale of this name, of every category that PostgreSQL asks for.
pub(crate) fn locale_exists(name: &str) -> bool {
    use std::ffi::{CString, c_char, c_int, c_void};
    unsafe extern "C" {
        fn newlocale(categories: c_int, name: *const c_char, base: *mut c_void) -> *mut c_void;
        fn freelocale(locale: *mut c_void);
    }
    /// LC_CTYPE, LC_NUMERIC, LC_TIME, LC_COLLATE, LC_MONETARY and LC_MESSAGES: the same six bits on Linux and macOS.
    const SIX: c_int = 0x3f;
    let Ok(name) = CString::new(name) else { return false };
    // SAFETY: the name is a C string that lives through the call, no locale is given to be changed, and what is made here is
    // freed once and used for nothing.
    unsafe {
        let locale = newlocale(SIX, name.as_ptr(), std::ptr::null_mut());
        if locale.is_null() {
            return false;
        }
        freelocale(locale);
    }
    true
}

/// Lets the child keep these descriptors, and dies with us.
pub(crate) fn before_exec(command: &mut Command, keep: Vec<Arc<OwnedFd>>, death: Signal) {
    unsafe extern "C" {
        fn signal(number: i32, handler: usize) -> usize;
    }
    // The same number on Linux, macOS and the BSDs.
    const SIG_DFL: usize = 0;
    let parent = rustix::process::getpid();
    // SAFETY: between fork and exec only async-signal-safe things happen: signal(), and plain system calls through rustix, which
    // neither allocate nor lock. The descriptors are kept open by the closure itself.
    unsafe {
        command.pre_exec(move || {
            for fd in &keep {
                rustix::io::fcntl_setfd(fd.as_ref(), rustix::io::FdFlags::empty())?;
            }
            // A shell lets what it starts with `&` ignore SIGINT and SIGQUIT, and that goes on through exec: a program that has not
            // yet come to its own handler would not notice our death. SIGKILL cannot be set, and need not be.
            signal(death.as_raw(), SIG_DFL);
            #[cfg(target_os = "linux")]
            {
                rustix::process::set_parent_process_death_signal(Some(death))?;
                // The parent may have died before the line above.
                if rustix::process::getppid() != Some(parent) {
                    return Err(rustix::io::Errno::SRCH.into());
                }
            }
            #[cfg(not(target_os = "linux"))]
            let _ = (parent, death);
            Ok(())
        });
    }
}

/// For a process that runs for months with a dozen threads that do next to nothing: one heap for all of them, and what is freed at
/// its end goes back at once. Left to itself, glibc gives each thread a heap, and keeps megabytes that were needed once.
pub(crate) fn be_frugal_with_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        const TRIM_THRESHOLD: i32 = -1;
        const MMAP_THRESHOLD: i32 = -3;
        const ARENA_MAX: i32 = -8;
        unsafe extern "C" {
            fn mallopt(parameter: i32, value: i32) -> i32;
        }
        for (parameter, value) in [(ARENA_MAX, 1), (TRIM_THRESHOLD, 128 * 1024), (MMAP_THRESHOLD, 128 * 1024)]
        {
            // SAFETY: it takes two numbers, of glibc's malloc.h, and changes how the allocator behaves from now on.
            unsafe {
                mallopt(parameter, value);
            }
        }
    }
}

/// Gives memory back that was needed for a while. glibc keeps what a thread has freed, in case that it wants it again.
pub(crate) fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> i32;
        }
        // SAFETY: it takes a number, locks the allocator as malloc does, and returns pages that nobody has allocated.
        unsafe {
            malloc_trim(0);
        }
    }
}

/// Lets the child outlive the terminal and whoever started it: a session of its own.
pub(crate) fn detach(command: &mut Command) {
    // SAFETY: one plain system call between fork and exec.
    unsafe {
        command.pre_exec(|| {
            rustix::process::setsid()?;
            Ok(())
        });
    }
}

/// Lets the child have no terminal but this one: never the terminal of whoever started it.
pub(crate) fn own_terminal(command: &mut Command, terminal: Option<Arc<OwnedFd>>) {
    // SAFETY: plain system calls between fork and exec. The descriptor is kept open by the closure itself.
    unsafe {
        command.pre_exec(move || {
            rustix::process::setsid()?;
            if let Some(terminal) = &terminal {
                rustix::process::ioctl_tiocsctty(terminal)?;
            }
            Ok(())
        });
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn who_was_started_with_an_ampersand_still_dies_with_us() {
        use std::os::unix::process::ExitStatusExt as _;
        unsafe extern "C" {
            fn signal(number: i32, handler: usize) -> usize;
        }
        // As a shell does to what it starts so; a signal that nobody else here uses.
        const SIG_IGN: usize = 1;
        // SAFETY: nothing in this process waits for that signal.
        unsafe { signal(Signal::USR2.as_raw(), SIG_IGN) };
        let started = std::thread::spawn(|| {
            let mut command = Command::new("sleep");
            command.arg("20");
            before_exec(&mut command, Vec::new(), Signal::USR2);
            command.spawn().unwrap()
        });
        // The thread that has started it is dead now, and that is what counts.
        let status = started.join().unwrap().wait().unwrap();
        assert_eq!(status.signal(), Some(Signal::USR2.as_raw()), "{status}");
    }

    #[test]
    fn only_what_came_from_outside_is_adopted() {
        let own = std::fs::File::open("/dev/null").unwrap();
        for fd in [own.as_raw_fd(), -1, RawFd::MAX] {
            let cause = adopt(fd).unwrap_err();
            assert_eq!(cause.raw_os_error(), Some(rustix::io::Errno::BADF.raw_os_error()), "{fd}");
        }
        // It is still open, and ours.
        own.metadata().unwrap();
        // As after an exec.
        let passed = rustix::io::dup(&own).unwrap();
        let number = passed.as_raw_fd();
        std::mem::forget(passed);
        let adopted = adopt(number).unwrap();
        assert!(rustix::io::fcntl_getfd(&adopted).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        assert!(adopt(number).is_err(), "twice");
    }
}
