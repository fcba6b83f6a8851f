//! ioctl(2) with requests the user names.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::option::IoctlArgument;

/// Owner of the signals of a socket; asm-generic/sockios.h, which the libc crate has not.
pub const FIOSETOWN: u64 = 0x8901;
/// As [`FIOSETOWN`].
pub const SIOCSPGRP: u64 = 0x8902;

/// More than any request of the kernel reads or writes through its pointer: the size has 14 bits in a
/// request number (asm-generic/ioctl.h).
const LARGEST: usize = 1 << 14;

/// Calls ioctl(2) with a pointer to an int.
pub fn set_int(fd: BorrowedFd<'_>, request: u64, number: i32) -> io::Result<()> {
    call(fd, request, &IoctlArgument::IntPointer(number))
}

/// Calls ioctl(2). What the kernel writes through a pointer is dropped.
pub fn call(fd: BorrowedFd<'_>, request: u64, argument: &IoctlArgument) -> io::Result<()> {
    match argument {
        IoctlArgument::None => with_word(fd, request, 0),
        IoctlArgument::Int(number) => with_word(fd, request, i64::from(*number).cast_unsigned()),
        IoctlArgument::IntPointer(number) => with_bytes(fd, request, &number.to_ne_bytes()),
        IoctlArgument::Data(bytes) => with_bytes(fd, request, bytes),
    }
}

fn with_word(fd: BorrowedFd<'_>, request: u64, word: u64) -> io::Result<()> {
    // SAFETY: the user says that this request takes a number. Should it take a pointer, a number of 32 bits
    // is not the address of anything in this position-independent program, and the kernel answers EFAULT.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request as _, word) })
}

fn with_bytes(fd: BorrowedFd<'_>, request: u64, bytes: &[u8]) -> io::Result<()> {
    let mut buffer = vec![0; LARGEST.max(bytes.len())];
    buffer[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: the buffer has room for the largest structure a request can name, and lives as long as the
    // call. Requests whose structure holds a further pointer are the user's own affair, as in C.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), request as _, buffer.as_mut_ptr()) })
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
