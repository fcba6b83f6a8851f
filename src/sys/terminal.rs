//! Terminals and pseudo terminals.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::pty::{grantpt, posix_openpt, ptsname_r, unlockpt};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};

pub use super::termios::{Termios, Word, is_near};

/// How a terminal was found by the first of those here who change its settings.
struct Found {
    /// The number of the device, whatever name it was opened by.
    device: u32,
    settings: Termios,
    /// How many want the settings back.
    guards: usize,
}

/// All terminals whose settings are changed here. Both addresses, or sessions that run at the same time, may have
/// the same one: it is brought back when the last of them ends, to what the first one found.
static FOUND: Mutex<Vec<Found>> = Mutex::new(Vec::new());

/// Brings a terminal's settings back when it, and every other guard of that terminal, is dropped.
#[derive(Debug)]
pub struct Restore {
    fd: OwnedFd,
    device: u32,
    wanted: bool,
}

impl Restore {
    /// Leaves the terminal as it is now: for terminals that were made here and go with their channel.
    pub fn keep(mut self) {
        self.wanted = false;
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        let mut all = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = all.iter().position(|found| found.device == self.device) else { return };
        all[place].guards -= 1;
        if all[place].guards > 0 {
            return;
        }
        let settings = all.swap_remove(place).settings;
        if !self.wanted {
            return;
        }
        // In the background the call would stop the process with SIGTTOU, see termios(3); blocked, it works.
        let stop = SigSet::from(Signal::SIGTTOU);
        let before = stop.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        // A terminal that is gone needs no settings.
        let _ = settings.write(self.fd.as_fd());
        if let Ok(mask) = before {
            let _ = mask.thread_set_mask();
        }
    }
}

/// The terminal's settings, and the guard that brings them back. The guard keeps the terminal open.
///
/// # Errors
/// ENOTTY where there is no terminal; EIO where it is gone.
pub fn read(fd: BorrowedFd<'_>) -> io::Result<(Restore, Termios)> {
    // First, so that no other guard brings earlier settings back in between.
    let mut all = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    let settings = Termios::read(fd)?;
    let device = device(fd)?;
    let fd = fd.try_clone_to_owned()?;
    match all.iter_mut().find(|found| found.device == device) {
        Some(found) => found.guards += 1,
        None => all.push(Found { device, settings, guards: 1 }),
    }
    Ok((Restore { fd, device, wanted: true }, settings))
}

/// The number of the terminal's device, which is the same for /dev/tty and the name it stands for: `TIOCGDEV`.
fn device(fd: BorrowedFd<'_>) -> io::Result<u32> {
    let mut device: libc::c_uint = 0;
    // SAFETY: TIOCGDEV writes one unsigned int through the pointer, which lives as long as the call.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGDEV, &raw mut device) })?;
    Ok(device)
}

/// Sets the size that programs on the terminal are told, in characters: `TIOCSWINSZ`, `ioctl_tty(2)`. The size in
/// pixels stays.
pub fn set_size(fd: BorrowedFd<'_>, columns: u16, rows: u16) -> io::Result<()> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ writes one winsize through the pointer, which lives as long as the call.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) })?;
    size = libc::winsize { ws_row: rows, ws_col: columns, ..size };
    // SAFETY: TIOCSWINSZ reads one winsize through the pointer, which lives as long as the call.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) })?;
    Ok(())
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
    match Termios::read(fd) {
        Ok(settings) if settings.has(Word::Local, libc::ICANON) => {
            vec![settings.character(libc::VEOF); if at_line_start { 1 } else { 2 }]
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
    let mut settings = Termios::read(fd)?;
    settings.make_raw();
    settings.write(fd)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn speed(pair: &Pair) -> u32 {
        Termios::read(pair.slave.as_fd()).unwrap().output_speed()
    }

    fn set_speed(pair: &Pair, baud: u32) {
        let mut settings = Termios::read(pair.slave.as_fd()).unwrap();
        settings.set_speed(baud);
        settings.write(pair.slave.as_fd()).unwrap();
    }

    #[test]
    fn the_last_guard_brings_back_what_the_first_one_found() {
        let pair = open_pair().unwrap();
        for first_ends_first in [true, false] {
            set_speed(&pair, 300);
            let (first, _) = read(pair.slave.as_fd()).unwrap();
            set_speed(&pair, 9600);
            // Opened once more, by its name.
            let again = std::fs::File::open(&pair.name).unwrap();
            let (second, seen) = read(again.as_fd()).unwrap();
            assert_eq!(seen.output_speed(), 9600);
            set_speed(&pair, 115_200);
            let (earlier, later) = if first_ends_first { (first, second) } else { (second, first) };
            drop(earlier);
            assert_eq!(speed(&pair), 115_200, "somebody still uses it");
            drop(later);
            assert_eq!(speed(&pair), 300);
        }
        let (guard, _) = read(pair.slave.as_fd()).unwrap();
        set_speed(&pair, 75);
        guard.keep();
        assert_eq!(speed(&pair), 75);
    }

    #[test]
    fn terminals_are_told_from_each_other() {
        let (one, other) = (open_pair().unwrap(), open_pair().unwrap());
        let (_guard, _) = read(other.slave.as_fd()).unwrap();
        let (guard, _) = read(one.slave.as_fd()).unwrap();
        let before = speed(&one);
        set_speed(&one, 50);
        drop(guard);
        assert_eq!(speed(&one), before);
    }

    #[test]
    fn a_terminal_that_is_gone_is_forgotten() {
        const MARK: u32 = 12_347;
        let known = || FOUND.lock().unwrap().iter().any(|found| found.settings.output_speed() == MARK);
        let pair = open_pair().unwrap();
        set_speed(&pair, MARK);
        let (guard, _) = read(pair.slave.as_fd()).unwrap();
        assert!(known());
        drop(pair);
        drop(guard);
        assert!(!known());
    }
}
