//! setsockopt(2) and getsockopt(2) for what socket2 has no call for.

use std::ffi::CString;
use std::io;
use std::mem::size_of;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Sets an option that is an int.
pub fn set_int(fd: BorrowedFd<'_>, level: i32, name: i32, value: i32) -> io::Result<()> {
    set_bytes(fd, level, name, &value.to_ne_bytes())
}

/// Sets an option from the bytes of whatever structure the kernel expects.
pub fn set_bytes(fd: BorrowedFd<'_>, level: i32, name: i32, bytes: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads `bytes.len()` bytes at the pointer, which lives as long as the call.
    unsafe { set(fd, level, name, bytes.as_ptr().cast(), bytes.len()) }
}

/// Sets an option that is a text: an interface's name, the name of a congestion control.
pub fn set_text(fd: BorrowedFd<'_>, level: i32, name: i32, text: &[u8]) -> io::Result<()> {
    let text = CString::new(text)?;
    set_bytes(fd, level, name, text.as_bytes_with_nul())
}

/// Sets an option that is a time.
pub fn set_time(fd: BorrowedFd<'_>, level: i32, name: i32, time: Duration) -> io::Result<()> {
    let seconds = libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX);
    // A fraction of a second always fits.
    let micros = libc::suseconds_t::from(time.subsec_micros().cast_signed());
    set_struct(fd, level, name, &libc::timeval { tv_sec: seconds, tv_usec: micros })
}

/// Switches `SO_LINGER` on with so many seconds.
pub fn set_linger(fd: BorrowedFd<'_>, seconds: i32) -> io::Result<()> {
    set_struct(fd, libc::SOL_SOCKET, libc::SO_LINGER, &libc::linger { l_onoff: 1, l_linger: seconds })
}

/// Binds the socket to a network interface, by name.
pub fn bind_device(fd: BorrowedFd<'_>, name: &[u8]) -> io::Result<()> {
    set_text(fd, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, name)
}

/// Sets an option from one of the structures of libc.
pub(super) fn set_struct<T: Copy>(fd: BorrowedFd<'_>, level: i32, name: i32, value: &T) -> io::Result<()> {
    // SAFETY: the kernel reads the structure, which lives as long as the call.
    unsafe { set(fd, level, name, std::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// # Safety
/// `length` bytes must be readable at `value`.
unsafe fn set(fd: BorrowedFd<'_>, level: i32, name: i32, value: *const libc::c_void, length: usize) -> io::Result<()> {
    let Ok(length) = libc::socklen_t::try_from(length) else { return Err(io::ErrorKind::InvalidInput.into()) };
    // SAFETY: promised by the caller.
    let result = unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, value, length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Reads an option that is an int.
pub fn get_int(fd: BorrowedFd<'_>, level: i32, name: i32) -> io::Result<i32> {
    let mut bytes = [0; size_of::<i32>()];
    get_bytes(fd, level, name, &mut bytes)?;
    Ok(i32::from_ne_bytes(bytes))
}

/// Reads an option as bytes; returns how many the kernel had.
pub fn get_bytes(fd: BorrowedFd<'_>, level: i32, name: i32, bytes: &mut [u8]) -> io::Result<usize> {
    let Ok(mut length) = libc::socklen_t::try_from(bytes.len()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let place = bytes.as_mut_ptr().cast();
    // SAFETY: the kernel writes at most `length` bytes at the pointer; both live as long as the call.
    let result = unsafe { libc::getsockopt(fd.as_raw_fd(), level, name, place, &raw mut length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(length as usize) }
}
