//! Terminals and pseudo terminals.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::termios::{LocalFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr, tcsetattr};

/// Brings a terminal's settings back when it is dropped.
#[derive(Debug)]
pub struct Restore {
    fd: OwnedFd,
    settings: Termios,
}

impl Drop for Restore {
    fn drop(&mut self) {
        // In the background the call would stop the process with SIGTTOU, see termios(3); blocked, it works.
        let stop = SigSet::from(Signal::SIGTTOU);
        let before = stop.thread_swap_mask(SigmaskHow::SIG_BLOCK);
        // A terminal that is gone needs no settings.
        let _ = tcsetattr(&self.fd, SetArg::TCSANOW, &self.settings);
        if let Ok(mask) = before {
            let _ = mask.thread_set_mask();
        }
    }
}

/// The terminal's settings, and the guard that brings them back. The guard keeps the terminal open.
pub fn read(fd: BorrowedFd<'_>) -> io::Result<(Restore, Termios)> {
    let settings = tcgetattr(fd)?;
    Ok((Restore { fd: fd.try_clone_to_owned()?, settings: settings.clone() }, settings))
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
        Ok(settings) if settings.local_flags.contains(LocalFlags::ICANON) => {
            let end = settings.control_chars[SpecialCharacterIndices::VEOF as usize];
            vec![end; if at_line_start { 1 } else { 2 }]
        }
        _ => Vec::new(),
    }
}
