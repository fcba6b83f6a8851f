//! The master of a pseudo terminal in packet mode: it is told what becomes of the slave's settings and queues;
//! `TIOCPKT` of `ioctl_tty(2)` and linux/tty.h.
//!
//! In packet mode each read from the master begins with one byte: 0 before data, or else what happened, alone.
//! What happened is read first, even if data that were written before it wait.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::ioctl;

/// The first byte of a read that gives data; asm-generic/ioctls.h, which the libc crate lacks here.
pub const DATA: u8 = 0;
/// The input of the slave was dropped: tcflush(3), `TCIFLUSH`.
pub const FLUSHED_INPUT: u8 = 1;
/// The output of the slave was dropped: tcflush(3), `TCOFLUSH`.
pub const FLUSHED_OUTPUT: u8 = 2;
/// The settings of the slave were made anew. Only told while `EXTPROC` is set before or after.
pub const SET: u8 = 64;

/// Turns packet mode on or off.
pub fn set_packet_mode(master: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    ioctl::set_int(master, libc::TIOCPKT, i32::from(on))
}

/// Reads what happened, if anything did, and no data. Whoever calls it must be the only reader.
pub fn read_status(master: BorrowedFd<'_>) -> io::Result<Option<u8>> {
    let mut set = [PollFd::new(master.as_fd(), PollFlags::POLLPRI)];
    poll(&mut set, PollTimeout::ZERO)?;
    if !set[0].revents().is_some_and(|seen| seen.contains(PollFlags::POLLPRI)) {
        return Ok(None);
    }
    let mut status = [0];
    let count = super::io::read(master, &mut status)?;
    Ok((count == 1 && status[0] != DATA).then_some(status[0]))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs::File;
    use std::io::Write;

    use super::*;
    use crate::sys::terminal::open_pair;
    use crate::sys::termios::{Termios, Word};

    #[test]
    fn settings_and_flushes_are_told_before_the_data_and_without_it() {
        let pair = open_pair().unwrap();
        set_packet_mode(pair.master.as_fd(), true).unwrap();
        let mut settings = Termios::read(pair.master.as_fd()).unwrap();
        settings.set(Word::Local, libc::EXTPROC, true);
        settings.write(pair.master.as_fd()).unwrap();
        assert_eq!(read_status(pair.master.as_fd()).unwrap(), Some(SET));
        let mut slave = File::from(pair.slave);
        slave.write_all(b"data").unwrap();
        assert_eq!(read_status(pair.master.as_fd()).unwrap(), None);
        nix::sys::termios::tcflush(&slave, nix::sys::termios::FlushArg::TCIFLUSH).unwrap();
        assert_eq!(read_status(pair.master.as_fd()).unwrap(), Some(FLUSHED_INPUT));
        let mut bytes = [0xff; 16];
        let count = crate::sys::io::read(pair.master.as_fd(), &mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"\0data");
    }
}
