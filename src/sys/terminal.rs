//! Terminals and pseudo terminals.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, cfmakeraw, tcgetattr, tcsetattr};

/// Brings a terminal's settings back when it is dropped.
#[derive(Debug)]
pub struct Restore {
    fd: OwnedFd,
    /// The kernel's own structure: nix's may not be shared between threads. `None` once it is not wanted back.
    settings: Option<libc::termios>,
}

impl Restore {
    /// Leaves the terminal as it is now: for terminals that were made here and go with their channel.
    pub fn keep(mut self) {
        self.settings = None;
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        let Some(settings) = self.settings else { return };
        // In the background the call would stop the process with SIGTTOU, see termios(3); blocked, it works.
        let stop = SigSet::from(Signal::SIGTTOU);
        let before = stop.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        // A terminal that is gone needs no settings.
        let _ = tcsetattr(&self.fd, SetArg::TCSANOW, &Termios::from(settings));
        if let Ok(mask) = before {
            let _ = mask.thread_set_mask();
        }
    }
}

/// The terminal's settings, and the guard that brings them back. The guard keeps the terminal open.
pub fn read(fd: BorrowedFd<'_>) -> io::Result<(Restore, Termios)> {
    let settings = tcgetattr(fd)?;
    Ok((Restore { fd: fd.try_clone_to_owned()?, settings: Some(settings.clone().into()) }, settings))
}

/// Changes the terminal's settings at once.
pub fn set(fd: BorrowedFd<'_>, settings: &Termios) -> io::Result<()> {
    Ok(tcsetattr(fd, SetArg::TCSANOW, settings)?)
}

/// Makes it the controlling terminal of this process, which leads a session: `TIOCSCTTY`, `ioctl_tty(2)`.
pub fn take_control(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCSCTTY takes a number, no pointer. 0 does not steal the terminal from another session.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSCTTY, 0) })?;
    Ok(())
}

/// The number of the slave, N of /dev/pts/N, if this is the master of a pseudo terminal.
pub fn slave_number(fd: BorrowedFd<'_>) -> Option<u32> {
    let mut number: libc::c_uint = 0;
    // SAFETY: TIOCGPTN writes one unsigned int through the pointer, which lives as long as the call.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGPTN, &raw mut number) };
    (result == 0).then_some(number)
}

/// The bytes that tell the program on the slave side that its input has ended: the end-of-file character,
/// once at the start of a line, twice within one (termios(3), VEOF). Empty when the terminal is raw, which
/// has no way to say it.
pub fn end_of_file(fd: BorrowedFd<'_>, at_line_start: bool) -> Vec<u8> {
    match tcgetattr(fd) {
        // With EXTPROC the kernel edits no lines, and the character would be read as one.
        Ok(settings) if settings.local_flags & (LocalFlags::ICANON | LocalFlags::EXTPROC) == LocalFlags::ICANON => {
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

/// Whether the terminal that controls this process has this process's group in the foreground. A child
/// in a group of its own would then be stopped by SIGTTIN when it asks the user something through
/// /dev/tty, as ssh(1) asks for passwords.
pub fn is_foreground() -> bool {
    let flags = OFlag::O_RDONLY | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    nix::fcntl::open("/dev/tty", flags, nix::sys::stat::Mode::empty())
        .is_ok_and(|terminal| nix::unistd::tcgetpgrp(&terminal).is_ok_and(|group| group == nix::unistd::getpgrp()))
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
