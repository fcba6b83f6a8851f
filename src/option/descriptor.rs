//! Options of anything that is a descriptor: what happens at its end, locks, owner, ioctl(2).

use std::io;
use std::os::fd::BorrowedFd;

use nix::fcntl::OFlag;

use super::{LockApi, LockRequest, Shut, Value};
use crate::sys;

/// A `Plan` row that asks for a lock; a false value asks for none.
macro_rules! lock {
    ($api:expr, exclusive: $exclusive:literal, wait: $wait:literal) => {
        $crate::option::Apply::Plan(|settings, value| {
            if value.is_true() {
                settings.file.locks.push(LockRequest { api: $api, exclusive: $exclusive, wait: $wait });
            }
            Ok(())
        })
    };
}

fn owner_late(fd: BorrowedFd<'_>, value: &Value) -> io::Result<()> {
    sys::file::set_owner(fd, Some(&value.principal().map_err(io::Error::other)?), None)
}

fn group_late(fd: BorrowedFd<'_>, value: &Value) -> io::Result<()> {
    sys::file::set_owner(fd, None, Some(&value.principal().map_err(io::Error::other)?))
}

fn mode_late(fd: BorrowedFd<'_>, value: &Value) -> io::Result<()> {
    sys::file::set_mode(fd, value.number().map_err(io::Error::other)?)
}

/// The `ioctl-*` rows.
fn ioctl(fd: BorrowedFd<'_>, value: &Value) -> io::Result<()> {
    match value {
        Value::Ioctl(request, argument) => sys::ioctl::call(fd, *request, argument),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

crate::options! {
    /// Every write goes to the end of the file: O_APPEND, see open(2); set with fcntl(2) where the descriptor
    /// was opened by somebody else.
    "append" | "o-append" : Bool, FD | OPEN, Late => store!(file.append, value => Some(value.is_true()));
    /// Have the kernel send SIGIO when the descriptor becomes ready: O_ASYNC, see fcntl(2). Its receiver is set
    /// with `fiosetown`.
    "async" | "o-async" : Bool, FD | OPEN, Late =>
        Descriptor(DescriptorMoment::Late, |fd, value| sys::fd::set_status_flag(fd, OFlag::O_ASYNC, value.is_true()));
    /// Close the descriptor when the process executes another program: FD_CLOEXEC, see fcntl(2). On by default.
    "cloexec" : Bool, FD, Late =>
        Descriptor(DescriptorMoment::Late, |fd, value| sys::file::set_close_on_exec(fd, value.is_true()));
    /// A broken pipe or a reset connection met while writing is told as a notice, not as an error.
    "cool-write" | "coolwrite" : Bool, FD, Init => store!(flow.cool_write, value => value.is_true());
    /// Only close the descriptor at the end: no shutdown of the connection, no signal to the child, so that
    /// others who share them can go on.
    "end-close" | "close" : Flag, FD, Offset => store!(flow.end_close, _value => true);
    /// Lock the whole file for reading, as F_SETLK of fcntl(2); fail when somebody has locked it for writing.
    "f-setlk-rd" | "setlk-rd" : Bool, FD, Fd => lock!(LockApi::Record, exclusive: false, wait: false);
    /// Lock the whole file for writing, as F_SETLK of fcntl(2); fail when somebody has locked it.
    "f-setlk-wr" | "f-setlk" | "setlk" | "setlk-wr" : Bool, FD, Fd =>
        lock!(LockApi::Record, exclusive: true, wait: false);
    /// As `f-setlk-rd`, but wait for the lock.
    "f-setlkw-rd" | "setlkw-rd" : Bool, FD, Fd => lock!(LockApi::Record, exclusive: false, wait: true);
    /// As `f-setlk-wr`, but wait for the lock.
    "f-setlkw-wr" | "f-setlkw" | "lock" | "lockw" | "setlkw" | "setlkw-wr" : Bool, FD, Fd =>
        lock!(LockApi::Record, exclusive: true, wait: true);
    /// Take the file's exclusive advisory lock, see flock(2), waiting for it.
    "flock-ex" | "flock" : Bool, FD, Fd => lock!(LockApi::Flock, exclusive: true, wait: true);
    /// Take the file's exclusive advisory lock, see flock(2); fail when it is taken.
    "flock-ex-nb" | "flock-nb" : Bool, FD, Fd => lock!(LockApi::Flock, exclusive: true, wait: false);
    /// Take a shared advisory lock, see flock(2), waiting for it.
    "flock-sh" : Bool, FD, Fd => lock!(LockApi::Flock, exclusive: false, wait: true);
    /// Take a shared advisory lock, see flock(2); fail when the file is locked exclusively.
    "flock-sh-nb" : Bool, FD, Fd => lock!(LockApi::Flock, exclusive: false, wait: false);
    /// Group owner, by name or number: of the name in the file system where the address has one, else of the
    /// descriptor; see chown(2).
    "group" | "gid" : Group, FD | NAMED, Fd => store!(file.group, value => Some(value.principal()?));
    /// Group owner of the descriptor after everything else, see fchown(2); for a pseudo terminal that of its
    /// slave.
    "group-late" | "gid-l" : Group, FD, Late => Descriptor(DescriptorMoment::Late, group_late);
    /// ioctl(2) as `request:data`; the argument is a pointer to the data.
    "ioctl-bin" : IoctlData, FD, Fd => Descriptor(DescriptorMoment::Opened, ioctl);
    /// ioctl(2) as `request:number`; the number itself is the argument.
    "ioctl-int" : IoctlInt, FD, Fd => Descriptor(DescriptorMoment::Opened, ioctl);
    /// ioctl(2) as `request:number`; the argument is a pointer to the number, an int.
    "ioctl-intp" : IoctlIntPointer, FD, Fd => Descriptor(DescriptorMoment::Opened, ioctl);
    /// ioctl(2) as `request:text`; the argument is a pointer to the text, which ends with a NUL.
    "ioctl-string" : IoctlText, FD, Fd => Descriptor(DescriptorMoment::Opened, ioctl);
    /// ioctl(2) with this request number and a null pointer.
    "ioctl-void" | "ioctl" : IoctlVoid, FD, Fd => Descriptor(DescriptorMoment::Opened, ioctl);
    /// Reading does not change the file's time of last access: O_NOATIME, see open(2). For the file's owner
    /// only.
    "o-noatime" | "noatime" : Bool, FD | OPEN, Fd => OpenFlag(libc::O_NOATIME);
    /// Do not wait while opening: a FIFO without a peer is opened at once (O_NONBLOCK of open(2)), a connection
    /// is relayed before it stands.
    "o-nonblock" | "ndelay" | "nonblock" | "o-ndelay" | "o_ndelay" : Bool, FD | OPEN, Fd =>
        store!(nonblock, value => value.is_true());
    /// Permission bits, octal. Files and FIFOs are created with them (less the umask); sockets and pseudo
    /// terminals get them with chmod(2), other descriptors with fchmod(2).
    "perm" | "mode" : Mode, FD | NAMED, Fd => store!(file.mode, value => Some(value.number()?));
    /// Permission bits, octal, set on the descriptor after everything else, see fchmod(2); for a pseudo
    /// terminal those of its slave.
    "perm-late" : Mode, FD, Late => Descriptor(DescriptorMoment::Late, mode_late);
    /// No more bytes to write: close the descriptor, see close(2).
    "shut-close" : Flag, FD, Offset => store!(flow.shut, _value => Some(Shut::Close));
    /// No more bytes to write: shut down the writing half of the connection, SHUT_WR of shutdown(2).
    "shut-down" : Flag, FD, Offset => store!(flow.shut, _value => Some(Shut::Down));
    /// No more bytes to write: do nothing, the peer is not told.
    "shut-none" : Flag, FD, Offset => store!(flow.shut, _value => Some(Shut::None));
    /// No more bytes to write: send an empty datagram.
    "shut-null" : Flag, FD, Offset => store!(flow.shut, _value => Some(Shut::Null));
    /// Owner, by name or number: of the name in the file system where the address has one, else of the
    /// descriptor; see chown(2).
    "user" | "owner" | "uid" : User, FD | NAMED, Fd => store!(file.user, value => Some(value.principal()?));
    /// Owner of the descriptor after everything else, see fchown(2); for a pseudo terminal that of its slave.
    "user-late" | "uid-l" : User, FD, Late => Descriptor(DescriptorMoment::Late, owner_late);
}
