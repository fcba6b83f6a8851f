//! Serial devices, as far as a pseudo terminal can be one: a relay opens the slave, this process is the wire.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::pty::openpty;
use nix::sys::epoll::EpollFlags;
use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};

use crate::Failure;
use crate::load::arguments::Arguments;
use crate::load::endpoint::{Waiter, nothing_ready, pending};
use crate::load::json::Object;

/// The most bytes of one echo. What does not fit back at once is kept until it does, and nothing is read.
const READ: usize = 4096;

/// A raw pseudo terminal. Its slave stays open here, so that a relay may close and open it again.
pub struct Device {
    master: OwnedFd,
    _slave: OwnedFd,
    path: String,
}

impl Device {
    pub fn open() -> Result<Self, Failure> {
        let pair = openpty(None, None)?;
        let mut settings = tcgetattr(&pair.slave)?;
        cfmakeraw(&mut settings);
        tcsetattr(&pair.slave, SetArg::TCSANOW, &settings)?;
        fcntl(&pair.master, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        let path = nix::unistd::ttyname(&pair.slave)?.display().to_string();
        Ok(Self { master: pair.master, _slave: pair.slave, path })
    }

    /// What a relay opens.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Takes what the relay has written; `None` when there is nothing.
    pub fn take(&self, buffer: &mut [u8]) -> Result<Option<usize>, Errno> {
        pending(nix::unistd::read(&self.master, buffer))
    }

    /// Has the relay read `bytes`, as many as fit; `None` when none do.
    pub fn give(&self, bytes: &[u8]) -> Result<Option<usize>, Errno> {
        pending(nix::unistd::write(&self.master, bytes))
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

/// Is one device that sends back whatever it is sent, for `--for` seconds at most.
pub fn echo(arguments: &mut Arguments) -> Result<(), Failure> {
    let limit = arguments.seconds("for", 120.0)?;
    arguments.finish()?;
    let device = Device::open()?;
    Object::default().text("path", device.path()).print()?;
    let end = Instant::now() + limit;
    let waiter = Waiter::new()?;
    waiter.add(&device, 0, EpollFlags::EPOLLIN)?;
    let (mut ready, mut buffer) = (nothing_ready(), vec![0; READ]);
    let mut unsent: Vec<u8> = Vec::new();
    while Instant::now() < end {
        if waiter.wait(&mut ready, 100)?.next().is_none() {
            continue;
        }
        let full = !unsent.is_empty();
        if !full && let Some(count) = device.take(&mut buffer)? {
            unsent.extend_from_slice(&buffer[..count]);
        }
        let sent = device.give(&unsent)?.unwrap_or(0);
        unsent.drain(..sent);
        if full == unsent.is_empty() {
            let waits = if full { EpollFlags::EPOLLIN } else { EpollFlags::EPOLLOUT };
            waiter.change(&device, 0, waits)?;
        }
    }
    Ok(())
}
