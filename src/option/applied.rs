//! The options of one address, applied at their moments.
//!
//! An endpoint calls, as far as it has the thing: [`Options::on_path`] with a name in the file system,
//! [`Options::on_socket`] with a socket, [`Options::on_descriptor`] with the descriptor that carries the data,
//! [`Options::lock`] and [`Options::apply_terminal`] with the same. Everything else stands in
//! [`Options::settings`](super::Settings).

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use libc::{IPPROTO_IP, O_ACCMODE, O_APPEND};
use nix::fcntl::OFlag;

use super::{AccessMode, Apply, DescriptorMoment, LockRequest, Options, PathMoment, Row, SocketMoment, Value};
use crate::error::{Error, Phase, Result};
use crate::sys;

/// Flags of open(2) that fcntl(`F_SETFL`) can change later.
const CHANGEABLE: i32 = libc::O_DIRECT | libc::O_NOATIME;

/// First and longest pause between two looks at a lock that is taken.
const LOCK_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

impl Options {
    /// Applies what belongs to this moment of a socket's life. Options of the moment `Created` are inherited
    /// by the connections a listening socket accepts.
    pub fn on_socket(&self, moment: SocketMoment, fd: BorrowedFd<'_>) -> Result<()> {
        self.each(|row, value| match row.apply {
            Apply::Socket(at, apply) if at == moment => Some(apply(fd, value)),
            _ => None,
        })?;
        if moment == SocketMoment::Created { self.on_new_socket(fd) } else { Ok(()) }
    }

    /// Applies the socket options of every moment, to a socket that somebody else has made.
    pub fn on_inherited_socket(&self, fd: BorrowedFd<'_>) -> Result<()> {
        self.each(|row, value| match row.apply {
            Apply::Socket(_, apply) => Some(apply(fd, value)),
            _ => None,
        })?;
        self.on_new_socket(fd)
    }

    /// Socket options that several rows gather.
    fn on_new_socket(&self, fd: BorrowedFd<'_>) -> Result<()> {
        let socket = &self.settings.socket;
        if !socket.ip_options.is_empty() {
            let set = sys::sockopt::set_bytes(fd, IPPROTO_IP, libc::IP_OPTIONS, &socket.ip_options);
            named(set, "ip-options")?;
        }
        for membership in &socket.memberships {
            named(sys::multicast::join(fd, membership), "membership")?;
        }
        Ok(())
    }

    /// Applies what belongs to this moment of a descriptor's life.
    pub fn on_descriptor(&self, moment: DescriptorMoment, fd: BorrowedFd<'_>) -> Result<()> {
        if moment == DescriptorMoment::Opened && !self.settings.file.named {
            self.own_descriptor(fd)?;
        }
        self.each(|row, value| match row.apply {
            Apply::Descriptor(at, apply) if at == moment => Some(apply(fd, value)),
            Apply::OpenFlag(bit) if moment == DescriptorMoment::Opened && bit & CHANGEABLE != 0 => {
                Some(sys::fd::set_status_flag(fd, OFlag::from_bits_retain(bit), value.is_true()))
            }
            _ => None,
        })?;
        match self.settings.file.append {
            Some(on) if moment == DescriptorMoment::Late => {
                named(sys::fd::set_status_flag(fd, OFlag::O_APPEND, on), "append")
            }
            _ => Ok(()),
        }
    }

    /// `user`, `group` and `perm` of what has no name in the file system.
    fn own_descriptor(&self, fd: BorrowedFd<'_>) -> Result<()> {
        let file = &self.settings.file;
        if file.user.is_some() || file.group.is_some() {
            named(sys::file::set_owner(fd, file.user.as_ref(), file.group.as_ref()), "user")?;
        }
        match file.mode {
            Some(mode) => named(sys::file::set_mode(fd, mode), "perm"),
            None => Ok(()),
        }
    }

    /// Applies what belongs to this moment of a name in the file system: that of a file, a FIFO or a UNIX
    /// socket, or of the slave of a pseudo terminal.
    pub fn on_path(&self, moment: PathMoment, path: &Path) -> Result<()> {
        match moment {
            PathMoment::Early if self.settings.file.unlink_early => named(sys::file::remove(path), "unlink-early")?,
            PathMoment::AfterOpen => self.own_path(path)?,
            _ => {}
        }
        self.each(|row, value| match row.apply {
            Apply::Path(at, apply) if at == moment => Some(apply(path, value)),
            _ => None,
        })
    }

    /// `user`, `group` and `perm` of a name. Files and FIFOs were created with their permissions, and those
    /// that were there before keep theirs.
    fn own_path(&self, path: &Path) -> Result<()> {
        let file = &self.settings.file;
        if file.user.is_some() || file.group.is_some() {
            named(sys::file::set_path_owner(path, file.user.as_ref(), file.group.as_ref()), "user")?;
        }
        match file.mode {
            Some(mode) if sys::file::is_socket_or_slave(path) => named(sys::file::set_path_mode(path, mode), "perm"),
            _ => Ok(()),
        }
    }

    /// The flags for open(2): `base` with the bits of the options set or cleared.
    pub fn open_flags(&self, base: i32) -> i32 {
        let mut flags = self.given.iter().fold(base, |flags, (row, value)| match row.apply {
            Apply::OpenFlag(bit) if value.is_true() => flags | bit,
            Apply::OpenFlag(bit) => flags & !bit,
            _ => flags,
        });
        match self.settings.file.append {
            Some(true) => flags |= O_APPEND,
            Some(false) => flags &= !O_APPEND,
            None => {}
        }
        let access = match self.settings.file.access {
            Some(AccessMode::Read) => libc::O_RDONLY,
            Some(AccessMode::Write) => libc::O_WRONLY,
            Some(AccessMode::ReadWrite) => libc::O_RDWR,
            None => flags & O_ACCMODE,
        };
        (flags & !O_ACCMODE) | access
    }

    /// Takes the locks that were asked for, waiting for those that may be waited for. Cancel safe: locks
    /// taken so far end with the descriptor.
    pub async fn lock(&self, fd: BorrowedFd<'_>) -> Result<()> {
        for request in &self.settings.file.locks {
            let taken = take(fd, request).await;
            named(taken, "lock")?;
        }
        Ok(())
    }

    /// `setsid` and `ctty` for an address that starts no program: this process begins a session, whose
    /// controlling terminal `fd` becomes.
    pub fn lead_session(&self, fd: BorrowedFd<'_>) -> Result<()> {
        if self.settings.program.setsid {
            named(nix::unistd::setsid().map(drop).map_err(io::Error::from), "setsid")?;
        }
        if self.settings.program.ctty { named(sys::terminal::take_control(fd), "ctty") } else { Ok(()) }
    }

    fn each(&self, mut call: impl FnMut(&'static Row, &Value) -> Option<io::Result<()>>) -> Result<()> {
        for (row, value) in &self.given {
            if let Some(result) = call(row, value) {
                named(result, row.name)?;
            }
        }
        Ok(())
    }
}

/// An error that says which option it is about.
pub(super) fn named<T>(result: io::Result<T>, option: &str) -> Result<T> {
    result.map_err(|error| Error::open(Phase::Option, error).about(option))
}

/// Takes one lock.
async fn take(fd: BorrowedFd<'_>, request: &LockRequest) -> io::Result<()> {
    let (mut pause, longest) = LOCK_PAUSE;
    while !sys::lock::try_lock(fd, request)? {
        if !request.wait {
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
