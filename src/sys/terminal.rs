//! Terminals and pseudo terminals.

use std::os::fd::BorrowedFd;

use nix::sys::termios::{LocalFlags, SpecialCharacterIndices, tcgetattr};

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
