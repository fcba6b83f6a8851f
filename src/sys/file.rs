//! Owner, permissions, attributes, size and place of files.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::stat::{FchmodatFlags, Mode, fchmod, fchmodat};
use nix::unistd::{Gid, Group, Uid, User, Whence, chown, fchown, ftruncate, lseek, unlink};

use crate::option::Principal;

/// Attributes of a file, `ioctl_iflags(2)`; the numbers are those of linux/fs.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute(libc::c_int);

#[allow(missing_docs, reason = "the names of linux/fs.h, without FS_ and _FL")]
impl Attribute {
    pub const SECRM: Self = Self(0x1);
    pub const UNRM: Self = Self(0x2);
    pub const COMPR: Self = Self(0x4);
    pub const SYNC: Self = Self(0x8);
    pub const IMMUTABLE: Self = Self(0x10);
    pub const APPEND: Self = Self(0x20);
    pub const NODUMP: Self = Self(0x40);
    pub const NOATIME: Self = Self(0x80);
    pub const JOURNAL_DATA: Self = Self(0x4000);
    pub const NOTAIL: Self = Self(0x8000);
    pub const DIRSYNC: Self = Self(0x1_0000);
    pub const TOPDIR: Self = Self(0x2_0000);
}

/// The attributes of a file, as the bits of [`Attribute`].
pub fn attributes(fd: BorrowedFd<'_>) -> io::Result<i32> {
    let mut bits: libc::c_int = 0;
    // SAFETY: FS_IOC_GETFLAGS writes one int through the pointer, whatever its number says about a long.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::FS_IOC_GETFLAGS, &raw mut bits) };
    Errno::result(result)?;
    Ok(bits)
}

/// Sets or clears an attribute.
pub fn set_attribute(fd: BorrowedFd<'_>, attribute: Attribute, on: bool) -> io::Result<()> {
    let bits = attributes(fd)?;
    let wanted = if on { bits | attribute.0 } else { bits & !attribute.0 };
    // SAFETY: FS_IOC_SETFLAGS reads one int through the pointer, which lives as long as the call.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FS_IOC_SETFLAGS, &raw const wanted) })?;
    Ok(())
}

/// Sets or clears `FD_CLOEXEC`.
pub fn set_close_on_exec(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let flags = if on { FdFlag::FD_CLOEXEC } else { FdFlag::empty() };
    fcntl(fd, FcntlArg::F_SETFD(flags))?;
    Ok(())
}

/// Sets the size of a pipe's buffer in bytes, or says why it cannot be.
pub fn set_pipe_size(fd: BorrowedFd<'_>, bytes: i32) -> io::Result<()> {
    fcntl(fd, FcntlArg::F_SETPIPE_SZ(bytes))?;
    Ok(())
}

/// Moves to a place of the file, in bytes.
pub fn seek(fd: BorrowedFd<'_>, offset: i64, whence: Whence) -> io::Result<()> {
    lseek(fd, offset, whence)?;
    Ok(())
}

/// Cuts or extends the file to so many bytes.
pub fn truncate(fd: BorrowedFd<'_>, size: i64) -> io::Result<()> {
    Ok(ftruncate(fd, size)?)
}

/// Changes the owner, the group or both of an open file; of the slave where it is the master of a pseudo
/// terminal, whose own node belongs to everybody.
pub fn set_owner(fd: BorrowedFd<'_>, user: Option<&Principal>, group: Option<&Principal>) -> io::Result<()> {
    match slave(fd) {
        Some(path) => set_path_owner(&path, user, group),
        None => Ok(fchown(fd, user.map(user_id).transpose()?, group.map(group_id).transpose()?)?),
    }
}

/// Changes the permission bits of an open file; of the slave where it is the master of a pseudo terminal.
pub fn set_mode(fd: BorrowedFd<'_>, mode: u32) -> io::Result<()> {
    match slave(fd) {
        Some(path) => set_path_mode(&path, mode),
        None => Ok(fchmod(fd, Mode::from_bits_truncate(mode))?),
    }
}

/// Changes the owner, the group or both of a name.
pub fn set_path_owner(path: &Path, user: Option<&Principal>, group: Option<&Principal>) -> io::Result<()> {
    Ok(chown(path, user.map(user_id).transpose()?, group.map(group_id).transpose()?)?)
}

/// Changes the permission bits of a name.
pub fn set_path_mode(path: &Path, mode: u32) -> io::Result<()> {
    Ok(fchmodat(nix::fcntl::AT_FDCWD, path, Mode::from_bits_truncate(mode), FchmodatFlags::FollowSymlink)?)
}

/// Removes a name; one that does not exist is removed already.
pub fn remove(path: &Path) -> io::Result<()> {
    match unlink(path) {
        Err(Errno::ENOENT) => Ok(()),
        result => Ok(result?),
    }
}

/// Whether a name is a UNIX socket or the slave of a pseudo terminal: things whose permissions cannot be
/// given when they are made.
pub fn is_socket_or_slave(path: &Path) -> bool {
    /// Major numbers of slaves, admin-guide/devices.rst of the kernel.
    const SLAVES: std::ops::RangeInclusive<u64> = 136..=143;
    std::fs::metadata(path).is_ok_and(|data| {
        let kind = data.file_type();
        kind.is_socket() || (kind.is_char_device() && SLAVES.contains(&nix::sys::stat::major(data.rdev())))
    })
}

/// The user's number.
pub fn user_id(user: &Principal) -> io::Result<Uid> {
    match user {
        Principal::Id(id) => Ok(Uid::from_raw(*id)),
        Principal::Name(name) => Ok(User::from_name(name)?.ok_or_else(|| unknown("user", name))?.uid),
    }
}

/// The group's number.
pub fn group_id(group: &Principal) -> io::Result<Gid> {
    match group {
        Principal::Id(id) => Ok(Gid::from_raw(*id)),
        Principal::Name(name) => Ok(Group::from_name(name)?.ok_or_else(|| unknown("group", name))?.gid),
    }
}

fn unknown(what: &str, name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("unknown {what} \"{name}\""))
}

/// The slave's name, if this is the master of a pseudo terminal.
fn slave(fd: BorrowedFd<'_>) -> Option<PathBuf> {
    let number = super::terminal::slave_number(fd)?;
    Some(PathBuf::from(format!("/dev/pts/{number}")))
}
