//! Terminals and pseudo terminals.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, cfmakeraw, tcgetattr, tcsetattr};

/// The bytes that tell the program on the slave side that its input has ended: the end-of-file character,
/// once at the start of a line, twice within one (termios(3), VEOF). Empty when the terminal is raw, which
/// has no way to say it.
pub fn end_of_file(fd: BorrowedFd<'_>, at_line_start: bool) -> Vec<u8> {
    match tcgetattr(fd) {
        Ok(settings) if settings.local_flags.contains(LocalFlags::ICANON) => {
            let end = settings.control_chars[SpecialCharacterIndices::VEOF as usize];
            vec![end; if at_line_start { 1 } else { 2 }]
        }
        _ => Vec::new(),
    }
}

/// Both sides of a new pseudo terminal, see pty(7). Neither becomes the controlling terminal; both are
/// closed on exec.
#[derive(Debug)]
pub struct Pair {
    /// The side of the program that makes the terminal.
    pub master: OwnedFd,
    /// The side that is a terminal.
    pub slave: OwnedFd,
    /// The name of the slave: `/dev/pts/N`.
    pub name: PathBuf,
}

/// Makes a pseudo terminal.
pub fn open_pair() -> io::Result<Pair> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let master = posix_openpt(flags)?;
    grantpt(&master)?;
    unlockpt(&master)?;
    let name = PathBuf::from(ptsname_r(&master)?);
    // SAFETY: TIOCGPTPEER takes the flags as an integer and returns a new descriptor (Linux 4.13). It
    // opens the slave even where /dev/pts is another file system than the master's.
    let peer = unsafe { libc::ioctl(master.as_raw_fd(), libc::TIOCGPTPEER, flags.bits()) };
    let slave = match super::fd::own(peer) {
        Ok(slave) => slave,
        Err(_) => nix::fcntl::open(&name, flags, nix::sys::stat::Mode::empty())?,
    };
    Ok(Pair { master: OwnedFd::from(master), slave, name })
}

/// No echo, no line editing, no conversion: see cfmakeraw(3).
pub fn make_raw(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut settings = tcgetattr(fd)?;
    cfmakeraw(&mut settings);
    Ok(tcsetattr(fd, SetArg::TCSANOW, &settings)?)
}

/// Makes the terminal the controlling one of this process, which must lead its session; ioctl_tty(2), TIOCSCTTY.
pub fn take(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: the argument is an integer: do not steal the terminal from another session.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSCTTY, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What a master knows about its slave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slave {
    /// Somebody has it open, or had it open and has left bytes to be read.
    Used,
    /// It was closed by everybody, and nothing is left to be read.
    Closed,
}

/// Asks the master whether the slave, which was open before, is in use.
pub fn slave(master: BorrowedFd<'_>) -> io::Result<Slave> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut set = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
    poll(&mut set, PollTimeout::ZERO)?;
    let seen = set[0].revents().unwrap_or(PollFlags::empty());
    let used = seen.contains(PollFlags::POLLIN) || !seen.contains(PollFlags::POLLHUP);
    Ok(if used { Slave::Used } else { Slave::Closed })
}
