//! What a descriptor is, and how to share it politely.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::channel::Class;

/// Finds out what a descriptor is.
pub fn classify(fd: BorrowedFd<'_>) -> io::Result<Class> {
    let kind = SFlag::from_bits_truncate(fstat(fd)?.st_mode & SFlag::S_IFMT.bits());
    Ok(match kind {
        SFlag::S_IFIFO => Class::Pipe,
        SFlag::S_IFREG | SFlag::S_IFBLK | SFlag::S_IFDIR => Class::File,
        SFlag::S_IFSOCK => classify_socket(fd)?,
        _ if super::terminal::slave_number(fd).is_some() => Class::Master,
        _ if nix::unistd::isatty(fd).unwrap_or(false) => Class::Terminal,
        _ => Class::Device,
    })
}

fn classify_socket(fd: BorrowedFd<'_>) -> io::Result<Class> {
    let socket = socket2::SockRef::from(&fd);
    let (kind, domain) = (socket.r#type()?, socket.domain()?);
    Ok(match (kind, domain) {
        (socket2::Type::STREAM, socket2::Domain::UNIX) => Class::Unix,
        (socket2::Type::STREAM, _) if socket.protocol()? == Some(socket2::Protocol::TCP) => Class::Tcp,
        (socket2::Type::STREAM, _) => Class::Stream,
        (socket2::Type::SEQPACKET, _) => Class::Packet,
        _ => Class::Datagram,
    })
}

/// Sets or clears `O_NONBLOCK` on the open file description.
pub fn set_nonblocking(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    set_status_flag(fd, OFlag::O_NONBLOCK, on)
}

/// Whether `O_NONBLOCK` is set on the open file description.
pub fn is_nonblocking(fd: BorrowedFd<'_>) -> io::Result<bool> {
    has_status_flag(fd, OFlag::O_NONBLOCK)
}

/// Whether a status flag is set, as fcntl(2), `F_GETFL`, tells.
pub fn has_status_flag(fd: BorrowedFd<'_>, flag: OFlag) -> io::Result<bool> {
    Ok(OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?).contains(flag))
}

/// Sets or clears a status flag with fcntl(2), `F_SETFL`.
pub fn set_status_flag(fd: BorrowedFd<'_>, flag: OFlag, on: bool) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    let wanted = if on { flags | flag } else { flags - flag };
    if wanted != flags {
        fcntl(fd, FcntlArg::F_SETFL(wanted))?;
    }
    Ok(())
}

/// Whether it was opened for reading and for writing.
pub fn access(fd: BorrowedFd<'_>) -> io::Result<(bool, bool)> {
    let mode = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?) & OFlag::O_ACCMODE;
    Ok((mode != OFlag::O_WRONLY, mode != OFlag::O_RDONLY))
}

/// Opens the same file once more, with `O_NONBLOCK` on a description of its own. Works for pipes and
/// devices where /proc is mounted and the permissions allow it.
pub fn reopen_nonblocking(fd: BorrowedFd<'_>, reads: bool, writes: bool) -> io::Result<OwnedFd> {
    let access = match (reads, writes) {
        (true, true) => OFlag::O_RDWR,
        (false, true) => OFlag::O_WRONLY,
        _ => OFlag::O_RDONLY,
    };
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    let flags = access | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY;
    Ok(nix::fcntl::open(path.as_str(), flags, nix::sys::stat::Mode::empty())?)
}

/// Whether a read would not block now.
pub fn readable_now(fd: BorrowedFd<'_>) -> bool {
    ready_now(fd, false)
}

/// Whether a read or a write would not block now.
pub fn ready_now(fd: BorrowedFd<'_>, write: bool) -> bool {
    let wanted = if write { PollFlags::POLLOUT } else { PollFlags::POLLIN };
    let mut set = [PollFd::new(fd, wanted)];
    matches!(poll(&mut set, PollTimeout::ZERO), Ok(count) if count > 0)
}

/// Whether a connection that was begun stands by now, and nothing has befallen it.
pub fn is_connected(fd: BorrowedFd<'_>) -> bool {
    let mut set = [PollFd::new(fd, PollFlags::POLLOUT)];
    poll(&mut set, PollTimeout::ZERO).is_ok() && set[0].revents() == Some(PollFlags::POLLOUT)
}

/// Whether the peer has closed its writing side for good (`POLLRDHUP`, which nix does not name).
pub fn is_hung_up(fd: BorrowedFd<'_>) -> bool {
    let mut set = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLRDHUP, revents: 0 };
    // SAFETY: poll reads and writes the one pollfd it is given, which lives as long as the call.
    let count = unsafe { libc::poll(&raw mut set, 1, 0) };
    count > 0 && set.revents & (libc::POLLHUP | libc::POLLRDHUP | libc::POLLERR) != 0
}

/// How many bytes wait to be read (FIONREAD).
pub fn bytes_waiting(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int through the pointer, which lives as long as the call.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut count) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(usize::try_from(count).unwrap_or(0)) }
}

/// Who is sent SIGIO for a descriptor (fcntl(2), `F_GETOWN`); 0 is nobody.
pub fn owner(fd: BorrowedFd<'_>) -> i32 {
    // SAFETY: F_GETOWN only reads; the descriptor is open as long as the borrow.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETOWN) }
}

/// A descriptor of our own on what the process inherited as number `number`; the inherited one stays.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    borrow(number)?.try_clone_to_owned()
}

/// Borrows an inherited descriptor by its number, after making sure it is open.
pub fn borrow(number: RawFd) -> io::Result<BorrowedFd<'static>> {
    // SAFETY: the borrow is only used for this fcntl, which fails on a number that is not open.
    let open = unsafe { libc::fcntl(number, libc::F_GETFD) };
    if number < 0 || open < 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the number is open. The user named it as one of the process's inherited descriptors,
    // which nothing in this crate ever closes.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}

/// Registers a descriptor with the runtime's epoll, for reading and writing; gives it back when that fails.
pub fn register(fd: OwnedFd) -> Result<AsyncFd<OwnedFd>, (OwnedFd, io::Error)> {
    // SAFETY: an `OwnedFd` is open and always returns the same number, until the `AsyncFd` that owns it
    // is dropped.
    let registered = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE | Interest::WRITABLE) };
    registered.map_err(tokio::io::unix::AsyncFdRegisterError::into_parts)
}

/// Takes over a descriptor that a system call has just returned.
///
/// # Errors
/// The error of the system call, when `number` is negative.
pub(super) fn own(number: RawFd) -> io::Result<OwnedFd> {
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the caller passes the result of a successful call that made a new descriptor.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Opens /dev/null on each of 0, 1 and 2 that is closed, so that no socket gets one of these numbers.
pub fn fill_standard() -> io::Result<()> {
    for number in 0..=2 {
        if borrow(number).is_err() {
            let null = nix::fcntl::open("/dev/null", OFlag::O_RDWR, nix::sys::stat::Mode::empty())?;
            if null.as_fd().as_raw_fd() == number {
                // It has to stay open for the life of the process.
                std::mem::forget(null);
            }
        }
    }
    Ok(())
}
