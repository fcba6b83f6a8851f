//! Stream sockets, TCP or UNIX alike, and the wait for many of them.

use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd as _};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::socket::MsgFlags;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::Failure;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 4096;
/// How long a blocking read or write may take before the run counts as broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Where to listen or connect to.
#[derive(Clone)]
pub enum Endpoint {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("tcp", address)) => address.parse().map(Self::Tcp).map_err(|why| format!("{address}: {why}")),
            Some(("unix", path)) => Ok(Self::Unix(path.into())),
            _ => Err("an endpoint is tcp:ADDRESS:PORT or unix:PATH".to_owned()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "tcp:{address}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

impl Endpoint {
    pub fn address(&self) -> io::Result<SockAddr> {
        match self {
            Self::Tcp(address) => Ok((*address).into()),
            Self::Unix(path) => SockAddr::unix(path),
        }
    }

    pub fn domain(&self) -> Domain {
        match self {
            Self::Tcp(address) => Domain::for_address(*address),
            Self::Unix(_) => Domain::UNIX,
        }
    }

    /// Listens, without blocking in accept; the second value is the endpoint with its port filled in.
    pub fn listen(&self) -> Result<(Socket, Self), Failure> {
        let socket = Socket::new(self.domain(), Type::STREAM.nonblocking(), None)?;
        if let Self::Tcp(_) = self {
            socket.set_reuse_address(true)?;
            socket.set_tcp_nodelay(true)?; // accepted sockets inherit it
        }
        socket.bind(&self.address()?)?;
        socket.listen(BACKLOG)?;
        let bound = match socket.local_addr()?.as_socket() {
            Some(address) => Self::Tcp(address),
            None => self.clone(),
        };
        Ok((socket, bound))
    }

    /// Connects a blocking socket to whatever is there.
    pub fn connect(&self) -> Result<Socket, Failure> {
        let socket = Socket::new(self.domain(), Type::STREAM, None)?;
        if let Self::Tcp(_) = self {
            socket.set_tcp_nodelay(true)?;
        }
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        socket.connect(&self.address()?)?;
        Ok(socket)
    }

    /// Connects and asks the far end for `service`; returns once it has answered.
    pub fn open(&self, service: Service) -> Result<Socket, Failure> {
        let socket = self.connect()?;
        let mut answer = [0];
        (&socket).write_all(&[service.byte()])?;
        (&socket).read_exact(&mut answer)?;
        if answer != [service.byte()] {
            return Err(format!("asked for {:?}, was answered {answer:?}", service.byte()).into());
        }
        Ok(socket)
    }
}

/// What the first byte of a connection asks the far end to do. The far end answers with the same byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Send everything back.
    Echo,
    /// Read and check everything; after the end of the stream answer with a [`Tally`].
    Sink,
    /// The same with the bytes dropped in the kernel, unread and unchecked, where it can (TCP).
    LightSink,
}

impl Service {
    pub fn byte(self) -> u8 {
        match self {
            Self::Echo => b'e',
            Self::Sink => b's',
            Self::LightSink => b'l',
        }
    }

    pub fn from_byte(byte: u8) -> Option<Self> {
        [Self::Echo, Self::Sink, Self::LightSink].into_iter().find(|service| service.byte() == byte)
    }
}

/// What a sink has seen of one stream.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Bytes that arrived.
    pub bytes: u64,
    /// Reads whose first or last bytes were not those of the pattern.
    pub faults: u64,
}

impl Tally {
    pub const SIZE: usize = 16;

    pub fn to_bytes(self) -> [u8; Self::SIZE] {
        (u128::from(self.faults) << 64 | u128::from(self.bytes)).to_le_bytes()
    }

    pub fn read(mut socket: &Socket) -> io::Result<Self> {
        let mut halves = [[0; 8]; 2];
        for half in &mut halves {
            socket.read_exact(half)?;
        }
        let [bytes, faults] = halves.map(u64::from_le_bytes);
        Ok(Self { bytes, faults })
    }
}

/// Reads what is there now; `None` when nothing is.
pub fn receive(socket: &Socket, buffer: &mut [u8], flags: MsgFlags) -> Result<Option<usize>, Errno> {
    pending(nix::sys::socket::recv(socket.as_raw_fd(), buffer, flags | MsgFlags::MSG_DONTWAIT))
}

/// Writes what fits now; `None` when nothing does.
pub fn transmit(socket: &Socket, bytes: &[u8]) -> Result<Option<usize>, Errno> {
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
    pending(nix::sys::socket::send(socket.as_raw_fd(), bytes, flags))
}

/// The count of a call that does not block; `None` when it would have.
pub fn pending(result: Result<usize, Errno>) -> Result<Option<usize>, Errno> {
    match result {
        Ok(count) => Ok(Some(count)),
        Err(Errno::EAGAIN | Errno::EINTR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// The events of one wait.
pub type Ready = [EpollEvent; 256];

/// An empty place for events.
pub fn nothing_ready() -> Ready {
    [EpollEvent::empty(); 256]
}

/// A level-triggered epoll whose tokens are small numbers of the caller's choice.
pub struct Waiter(Epoll);

impl Waiter {
    pub fn new() -> Result<Self, Errno> {
        Ok(Self(Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?))
    }

    pub fn add(&self, file: impl AsFd, token: usize, flags: EpollFlags) -> Result<(), Errno> {
        self.0.add(file, EpollEvent::new(flags, token as u64))
    }

    pub fn change(&self, file: impl AsFd, token: usize, flags: EpollFlags) -> Result<(), Errno> {
        self.0.modify(file, &mut EpollEvent::new(flags, token as u64))
    }

    pub fn remove(&self, file: impl AsFd) -> Result<(), Errno> {
        self.0.delete(file)
    }

    /// Waits at most `milliseconds`; yields the tokens of what is ready.
    pub fn wait<'ready>(
        &self,
        ready: &'ready mut Ready,
        milliseconds: u16,
    ) -> Result<impl Iterator<Item = usize> + use<'ready>, Errno> {
        let count = match self.0.wait(ready, milliseconds) {
            Err(Errno::EINTR) => 0,
            result => result?,
        };
        Ok(ready[..count].iter().filter_map(|event| usize::try_from(event.data()).ok()))
    }
}
