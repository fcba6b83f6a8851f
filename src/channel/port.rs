//! A bare descriptor: what it is, and how it is read and written without ever blocking the runtime.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll, ready};

use nix::fcntl::OFlag;
use tokio::io::Ready;
use tokio::io::unix::{AsyncFd, AsyncFdReadyGuard};

use crate::sys;

/// What a descriptor is. Decides how it is read, written, shut down, and which pump suits it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A TCP connection.
    Tcp,
    /// A UNIX stream socket.
    Unix,
    /// A stream socket of another family.
    Stream,
    /// A socket that keeps the boundaries of what is written: `SOCK_SEQPACKET`.
    Packet,
    /// A datagram socket.
    Datagram,
    /// A pipe or FIFO.
    Pipe,
    /// A terminal, or the slave of a pseudo terminal.
    Terminal,
    /// The master of a pseudo terminal.
    Master,
    /// A regular file or a block device: always ready.
    File,
    /// Any other device.
    Device,
}

impl Class {
    /// Whether it is a socket.
    #[must_use]
    pub const fn is_socket(self) -> bool {
        matches!(self, Self::Tcp | Self::Unix | Self::Stream | Self::Packet | Self::Datagram)
    }

    /// Whether it carries messages: a read gives one of them, and one of 0 bytes need not be the end.
    pub(super) const fn keeps_boundaries(self) -> bool {
        matches!(self, Self::Packet | Self::Datagram)
    }

    /// Whether a read that did not fill the buffer took all there was. Terminals give one line at a
    /// time and message sockets one message, so for them it says nothing.
    const fn short_read_drains(self) -> bool {
        matches!(self, Self::Tcp | Self::Unix | Self::Stream | Self::Pipe)
    }
}

/// How a call on the descriptor is kept from blocking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// `O_NONBLOCK` is set: the descriptor is ours alone.
    Nonblocking,
    /// The description is shared with other processes, so `O_NONBLOCK` is left alone; sockets take
    /// `MSG_DONTWAIT` with each call.
    PerCall,
    /// As above, but no socket: poll(2) is asked before each call, and writes are small enough for what
    /// poll(2) promises (`PIPE_BUF`).
    Asked,
    /// Always ready: files, and devices epoll refuses.
    Ready,
}

/// An open descriptor the relay can wait for.
#[derive(Debug)]
pub struct Port {
    fd: Registered,
    class: Class,
    mode: Mode,
    /// The number the user knows it by, where this is a reopened or duplicated one.
    number: RawFd,
    /// Counts calls that read, see [`Port::reads`].
    reads: AtomicU32,
    /// The connection had been reset when it was first looked at.
    reset: AtomicBool,
    /// Nothing was read (first) or written (second) yet on a new connection: it may well be ready, although
    /// epoll has had no occasion to say so.
    fresh: [AtomicBool; 2],
}

#[derive(Debug)]
enum Registered {
    Polled(AsyncFd<OwnedFd>),
    Unpolled(OwnedFd),
}

impl Port {
    /// Takes a descriptor nobody else holds; sets `O_NONBLOCK`. Must be called inside a runtime.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        let class = sys::fd::classify(fd.as_fd())?;
        Self::of_class(fd, class)
    }

    /// As [`Port::new`] where the class is known: saves the calls that find out.
    pub fn of_class(fd: OwnedFd, class: Class) -> io::Result<Self> {
        if class != Class::File {
            sys::fd::set_nonblocking(fd.as_fd(), true)?;
        }
        Self::register(fd, class, Mode::Nonblocking)
    }

    /// As [`Port::of_class`] for a descriptor that has `O_NONBLOCK` already.
    pub fn of_nonblocking(fd: OwnedFd, class: Class) -> io::Result<Self> {
        Self::register(fd, class, Mode::Nonblocking)
    }

    /// As [`Port::of_nonblocking`] for a connection that was just accepted. The first read and the first write are
    /// tried before epoll is asked: often the request has come by now.
    pub fn accepted(fd: OwnedFd, class: Class) -> io::Result<Self> {
        Ok(Self { fresh: [true, true].map(AtomicBool::new), ..Self::register(fd, class, Mode::Nonblocking)? })
    }

    /// As [`Port::of_nonblocking`] for a connection that was just made. The first write is tried before epoll is
    /// asked; there can hardly be anything to read yet.
    pub fn made(fd: OwnedFd, class: Class) -> io::Result<Self> {
        Ok(Self { fresh: [false, true].map(AtomicBool::new), ..Self::register(fd, class, Mode::Nonblocking)? })
    }

    /// Takes part in a descriptor that other processes may hold as well: `O_NONBLOCK` never changes on
    /// their open file description. Pipes and terminals are opened a second time through /proc where
    /// that is allowed. `reads` and `writes` say what it will be used for.
    pub fn shared(fd: BorrowedFd<'_>, reads: bool, writes: bool) -> io::Result<Self> {
        let class = sys::fd::classify(fd)?;
        let number = fd.as_raw_fd();
        // Never more than it was opened for: a pipe we hold the other end of would have no end.
        let (readable, writable) = sys::fd::access(fd)?;
        let (reads, writes) = (reads && readable, writes && writable);
        let mut port = if class == Class::File {
            Self::register(fd.try_clone_to_owned()?, class, Mode::Ready)
        } else if class.is_socket() {
            Self::register(fd.try_clone_to_owned()?, class, Mode::PerCall)
        } else if let Ok(again) = sys::fd::reopen_nonblocking(fd, reads, writes) {
            Self::register(again, class, Mode::Nonblocking)
        } else {
            Self::register(fd.try_clone_to_owned()?, class, Mode::Asked)
        }?;
        port.number = number;
        Ok(port)
    }

    fn register(fd: OwnedFd, class: Class, mode: Mode) -> io::Result<Self> {
        let number = fd.as_raw_fd();
        let (fd, mode) = if class == Class::File {
            (Registered::Unpolled(fd), Mode::Ready)
        } else {
            match sys::fd::register(fd) {
                Ok(polled) => (Registered::Polled(polled), mode),
                // epoll(7) refuses what is always ready, with EPERM: /dev/null and its like.
                Err((fd, error)) if error.raw_os_error() == Some(libc::EPERM) => {
                    (Registered::Unpolled(fd), Mode::Ready)
                }
                Err((_, error)) => return Err(error),
            }
        };
        let (reads, reset, fresh) = (AtomicU32::new(0), AtomicBool::new(false), Default::default());
        Ok(Self { fd, class, mode, number, reads, reset, fresh })
    }

    /// What it is.
    pub fn class(&self) -> Class {
        self.class
    }

    /// The number for messages: the one the user gave, where the port stands for an inherited descriptor.
    pub fn number(&self) -> RawFd {
        self.number
    }

    /// Whether splice(2) can be used: the call itself must not block.
    pub fn can_splice(&self) -> bool {
        self.mode == Mode::Nonblocking
    }

    /// How often something was read, modulo 2^32: two equal answers mean that nothing was in between.
    pub fn reads(&self) -> u32 {
        self.reads.load(Ordering::Relaxed)
    }

    /// A plain store: only one task reads, and the others only look for a change.
    fn count_read(&self) {
        self.reads.store(self.reads().wrapping_add(1), Ordering::Relaxed);
    }

    /// A second descriptor on the same open file description.
    pub fn duplicate(&self) -> io::Result<Self> {
        let fd = self.as_fd().try_clone_to_owned()?;
        Self::register(fd, self.class, self.mode)
    }

    /// Waits until a connection that connect(2) left in progress stands.
    ///
    /// # Errors
    /// Why it does not (`SO_ERROR`).
    pub async fn connected(&self) -> io::Result<()> {
        if let Registered::Polled(fd) = &self.fd {
            // The guard is dropped as it is: the first write need not wait again.
            let still_ready = fd.writable().await?;
            if !still_ready.ready().is_write_closed() {
                return Ok(());
            }
        }
        let Some(error) = socket2::SockRef::from(self).take_error()? else { return Ok(()) };
        // A connection that was refused says so. One that was reset stood already, and what came before the
        // reset can still be read; asking for the error has taken it away, so it is told after that.
        if matches!(error.raw_os_error(), Some(libc::ECONNRESET | libc::EPIPE)) {
            self.reset.store(true, Ordering::Relaxed);
            return Ok(());
        }
        Err(error)
    }

    /// Whether bytes wait to be read.
    pub fn has_unread(&self) -> bool {
        match self.class {
            Class::File => false,
            _ => sys::fd::readable_now(self.as_fd()) && sys::fd::bytes_waiting(self.as_fd()).unwrap_or(1) > 0,
        }
    }

    /// Runs `call` when the descriptor is ready, again and again until it does not say `WouldBlock`.
    /// `drained` tells from the result that waiting can begin at once, without another call.
    fn poll_call<T>(
        &self,
        cx: &mut Context<'_>,
        write: bool,
        mut call: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
        drained: impl Fn(&T) -> bool,
    ) -> Poll<io::Result<T>> {
        loop {
            let (mut guard, early) = match &self.fd {
                Registered::Unpolled(_) => (None, false),
                Registered::Polled(fd) => match poll_ready(fd, cx, write) {
                    Poll::Ready(guard) => (Some(guard?), false),
                    Poll::Pending if self.fresh[usize::from(write)].swap(false, Ordering::Relaxed) => (None, true),
                    Poll::Pending => return Poll::Pending,
                },
            };
            if self.mode == Mode::Asked && !sys::fd::ready_now(self.as_fd(), write) {
                if let Some(guard) = &mut guard {
                    guard.clear_ready();
                }
                continue;
            }
            match call(self.as_fd()) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match &mut guard {
                    // The readiness of a hang-up cannot be cleared, but a master gets over it when its slave
                    // is opened again: its users then start over with [`Port::duplicate`].
                    Some(guard) if self.class == Class::Master && is_closed(guard.ready()) => {
                        return Poll::Ready(Err(error));
                    }
                    Some(guard) => guard.clear_ready(),
                    None if early => {}
                    None => return Poll::Ready(Err(error)),
                },
                Err(error) if self.class == Class::File && self.leave_direct(&error) => {}
                result => {
                    if let (Ok(value), Some(guard)) = (&result, &mut guard)
                        && drained(value)
                    {
                        guard.clear_ready();
                    }
                    if !write {
                        self.count_read();
                    }
                    return Poll::Ready(result);
                }
            }
        }
    }

    /// Reads into `buffer`; 0 is the end, or an empty message.
    pub fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let (wanted, mode) = (buffer.len(), self.mode);
        let read = self.poll_call(
            cx,
            false,
            |fd| if mode == Mode::PerCall { sys::io::receive(fd, buffer) } else { sys::io::read(fd, buffer) },
            |count| *count > 0 && *count < wanted && self.class.short_read_drains(),
        );
        self.or_reset(read)
    }

    /// The end of the data, or the reset that [`Port::connected`] came upon.
    fn or_reset(&self, read: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match read {
            Poll::Ready(Ok(0)) if self.reset.swap(false, Ordering::Relaxed) => {
                Poll::Ready(Err(io::Error::from_raw_os_error(libc::ECONNRESET)))
            }
            read => read,
        }
    }

    /// `O_DIRECT` takes whole blocks only (open(2)), and says EINVAL to the piece at the end of a file and to
    /// messages of any length. From there on the page cache is used. True if the call is to be made again.
    fn leave_direct(&self, error: &io::Error) -> bool {
        error.raw_os_error() == Some(libc::EINVAL)
            && sys::fd::has_status_flag(self.as_fd(), OFlag::O_DIRECT).unwrap_or(false)
            && sys::fd::set_status_flag(self.as_fd(), OFlag::O_DIRECT, false).is_ok()
    }

    /// Writes from `buffer`.
    pub fn poll_write(&self, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let (wanted, mode) = (buffer.len(), self.mode);
        self.poll_call(
            cx,
            true,
            |fd| match mode {
                Mode::PerCall => sys::io::send(fd, buffer),
                Mode::Asked => sys::io::write(fd, &buffer[..wanted.min(libc::PIPE_BUF)]),
                Mode::Nonblocking | Mode::Ready => sys::io::write(fd, buffer),
            },
            |count| *count < wanted && self.class.short_read_drains() && mode == Mode::Nonblocking,
        )
    }

    /// Moves up to `most` bytes into `pipe` without copying. `pipe` must be empty, so that
    /// `WouldBlock` can only mean that nothing is there to read.
    pub fn poll_splice_out(&self, cx: &mut Context<'_>, pipe: BorrowedFd<'_>, most: usize) -> Poll<io::Result<usize>> {
        let moved = self.poll_call(cx, false, |fd| sys::io::splice(fd, pipe, most), |_| false);
        self.or_reset(moved)
    }

    /// Moves up to `most` bytes out of `pipe`, which holds at least that many, without copying.
    pub fn poll_splice_in(&self, cx: &mut Context<'_>, pipe: BorrowedFd<'_>, most: usize) -> Poll<io::Result<usize>> {
        self.poll_call(cx, true, |fd| sys::io::splice(pipe, fd, most), |_| false)
    }

    /// Moves up to `most` bytes straight to `sink` without copying; one of the two is a pipe.
    ///
    /// `WouldBlock` may mean that this has nothing or that the sink has no room, so both are asked
    /// before the readiness of either is forgotten.
    pub fn poll_splice_to(&self, cx: &mut Context<'_>, sink: &Self, most: usize) -> Poll<io::Result<usize>> {
        loop {
            let (Registered::Polled(from), Registered::Polled(to)) = (&self.fd, &sink.fd) else {
                return Poll::Ready(Err(io::Error::from_raw_os_error(libc::EINVAL)));
            };
            let mut readable = ready!(from.poll_read_ready(cx))?;
            let mut writable = ready!(to.poll_write_ready(cx))?;
            match sys::io::splice(self.as_fd(), sink.as_fd(), most) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if !sys::fd::ready_now(self.as_fd(), false) {
                        readable.clear_ready();
                    } else if !sys::fd::ready_now(sink.as_fd(), true) {
                        writable.clear_ready();
                    }
                }
                result => {
                    self.count_read();
                    return Poll::Ready(result);
                }
            }
        }
    }
}

impl AsFd for Port {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.fd {
            Registered::Polled(fd) => fd.get_ref().as_fd(),
            Registered::Unpolled(fd) => fd.as_fd(),
        }
    }
}

fn poll_ready<'a>(
    fd: &'a AsyncFd<OwnedFd>,
    cx: &mut Context<'_>,
    write: bool,
) -> Poll<io::Result<AsyncFdReadyGuard<'a, OwnedFd>>> {
    if write { fd.poll_write_ready(cx) } else { fd.poll_read_ready(cx) }
}

fn is_closed(ready: Ready) -> bool {
    ready.is_read_closed() || ready.is_write_closed()
}
