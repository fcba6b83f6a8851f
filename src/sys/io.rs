//! Reading, writing and splicing, without blocking.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::fcntl::{OFlag, SpliceFFlags};
use nix::sys::socket::{MsgFlags, Shutdown};

/// read(2).
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(nix::unistd::read(fd, buffer)?)
}

/// write(2).
pub fn write(fd: BorrowedFd<'_>, buffer: &[u8]) -> io::Result<usize> {
    Ok(nix::unistd::write(fd, buffer)?)
}

/// recv(2) that does not block, whatever the descriptor's flags.
pub fn receive(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(nix::sys::socket::recv(fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT)?)
}

/// send(2) that does not block, whatever the descriptor's flags.
pub fn send(fd: BorrowedFd<'_>, buffer: &[u8]) -> io::Result<usize> {
    Ok(nix::sys::socket::send(fd.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL)?)
}

/// splice(2) without offsets, not blocking on the pipe. `SPLICE_F_MORE` is never set: it holds the last
/// segment back as `TCP_CORK` does.
pub fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, most: usize) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_NONBLOCK | SpliceFFlags::SPLICE_F_MOVE;
    Ok(nix::fcntl::splice(from, None, to, None, most, flags)?)
}

/// A pipe for splicing: (read end, write end), both closed on exec and not blocking.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?)
}

/// Asks for a pipe of `bytes`; returns what it holds now, which may be less (the user's quota).
pub fn set_pipe_size(fd: BorrowedFd<'_>, bytes: usize) -> usize {
    use nix::fcntl::{FcntlArg, fcntl};
    let wanted = i32::try_from(bytes).unwrap_or(i32::MAX);
    let got = fcntl(fd, FcntlArg::F_SETPIPE_SZ(wanted)).or_else(|_| fcntl(fd, FcntlArg::F_GETPIPE_SZ));
    usize::try_from(got.unwrap_or(0)).unwrap_or(0)
}

/// Bytes of a TCP connection that the peer has not acknowledged yet: SIOCOUTQ, see tcp(7).
pub fn unsent(fd: BorrowedFd<'_>) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: SIOCOUTQ (the same number as TIOCOUTQ) writes one int through the pointer, which lives as
    // long as the call.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCOUTQ, &raw mut count) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(usize::try_from(count).unwrap_or(0)) }
}

/// `shutdown(SHUT_WR)`; a connection that is gone already is no error.
pub fn shutdown_write(fd: BorrowedFd<'_>) -> io::Result<()> {
    shutdown(fd, Shutdown::Write)
}

/// `shutdown(SHUT_RD)`; a connection that is gone already is no error.
pub fn shutdown_read(fd: BorrowedFd<'_>) -> io::Result<()> {
    shutdown(fd, Shutdown::Read)
}

/// `shutdown(SHUT_RDWR)`; a connection that is gone already is no error.
pub fn shutdown_both(fd: BorrowedFd<'_>) -> io::Result<()> {
    shutdown(fd, Shutdown::Both)
}

fn shutdown(fd: BorrowedFd<'_>, how: Shutdown) -> io::Result<()> {
    use nix::errno::Errno;
    match nix::sys::socket::shutdown(fd.as_raw_fd(), how) {
        Err(Errno::ENOTCONN | Errno::EINVAL) => Ok(()),
        result => Ok(result?),
    }
}

/// Whether splice(2) said that it cannot serve this pair of descriptors at all.
pub fn is_splice_refusal(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP))
}
