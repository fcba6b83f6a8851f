//! Advisory locks, taken without waiting.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::option::{LockApi, LockRequest};

/// Tries to take a lock; false when somebody else has it.
///
/// Record locks are those of the open file description (`F_OFD_SETLK`, fcntl(2)): they keep out the
/// traditional locks of other programs and the other sessions of this one, and end with the last copy of the
/// descriptor, not when any descriptor of the file is closed.
pub fn try_lock(fd: BorrowedFd<'_>, request: &LockRequest) -> io::Result<bool> {
    let result = match request.api {
        LockApi::Record => fcntl(fd, FcntlArg::F_OFD_SETLK(&whole_file(request.exclusive))).map(drop),
        LockApi::Flock => flock(fd, request.exclusive),
    };
    match result {
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        result => Ok(result.map(|()| true)?),
    }
}

/// Gives up what flock(2) locked, whoever else holds the descriptor.
pub fn unlock(fd: BorrowedFd<'_>) {
    // SAFETY: flock takes no pointers. There is nothing to be done about a failure.
    unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_UN) };
}

fn flock(fd: BorrowedFd<'_>, exclusive: bool) -> Result<(), Errno> {
    let kind = if exclusive { libc::LOCK_EX } else { libc::LOCK_SH };
    // SAFETY: flock takes no pointers. (nix only has it for a lock that ends with its guard.)
    Errno::result(unsafe { libc::flock(fd.as_raw_fd(), kind | libc::LOCK_NB) }).map(drop)
}

#[expect(clippy::cast_possible_truncation, reason = "the C library has these small numbers as int")]
fn whole_file(exclusive: bool) -> libc::flock {
    let kind = if exclusive { libc::F_WRLCK } else { libc::F_RDLCK };
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}
