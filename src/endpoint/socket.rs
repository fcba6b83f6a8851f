//! What all sockets have in common: how they are made, bound, connected, and dressed with options, each at
//! its moment.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::sockname::Name;
use super::{Context, Request};
use crate::channel::{Channel, Class, Port};
use crate::error::{Error, Phase, Result, system_message};
use crate::log::Level;
use crate::option::{DescriptorMoment, Options, SocketMoment, SocketSettings, Value};
use crate::{notice, sys};

/// How many clients may wait to be accepted. Listeners of socat(1) let 5 wait, and a burst of clients then
/// loses SYN segments and waits a second or more for their repetition. The kernel lowers the number to
/// `net.core.somaxconn`, which is 4096 since Linux 5.4.
const BACKLOG: i32 = 4096;

/// What kind of socket connects two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// `SOCK_*`.
    pub kind: i32,
    /// `IPPROTO_*`, 0 for the family's own.
    pub protocol: i32,
}

impl Shape {
    /// TCP.
    pub(super) const TCP: Self = Self { kind: libc::SOCK_STREAM, protocol: libc::IPPROTO_TCP };
    /// A UNIX stream socket.
    pub(super) const UNIX: Self = Self { kind: libc::SOCK_STREAM, protocol: 0 };

    /// The shape the options `so-type` and `so-prototype` make of this one.
    #[must_use]
    pub(super) fn changed(self, settings: &SocketSettings) -> Self {
        Self { kind: settings.kind.unwrap_or(self.kind), protocol: settings.protocol.unwrap_or(self.protocol) }
    }

    /// What a descriptor of this shape is to the relay.
    pub(super) fn class(self, domain: Domain) -> Class {
        match (self.kind, self.protocol) {
            (libc::SOCK_STREAM, _) if domain == Domain::UNIX => Class::Unix,
            (libc::SOCK_STREAM, 0 | libc::IPPROTO_TCP) => Class::Tcp,
            (libc::SOCK_STREAM, _) => Class::Stream,
            (libc::SOCK_SEQPACKET, _) => Class::Packet,
            _ => Class::Datagram,
        }
    }
}

/// A parameter of the address; empty where it is missing.
pub(super) fn parameter<'a>(request: &Request<'a>, index: usize) -> &'a [u8] {
    request.spec.params.get(index).map_or(&[], |word| &word.bytes)
}

/// A parameter of the address, read; an error points at its place.
pub(super) fn read_parameter<T>(
    request: &Request<'_>,
    index: usize,
    read: impl FnOnce(&[u8]) -> Result<T>,
) -> Result<T> {
    match request.spec.params.get(index) {
        Some(word) => word.read(read),
        None => read(&[]),
    }
}

/// A new socket, not blocking and closed on exec, with the options for this moment.
pub(super) fn create(domain: Domain, shape: Shape, options: &Options) -> Result<Socket> {
    let protocol = (shape.protocol != 0).then(|| Protocol::from(shape.protocol));
    let socket = Socket::new(domain, Type::from(shape.kind).nonblocking(), protocol)
        .map_err(|error| Error::open(Phase::Socket, error))?;
    options.on_socket(SocketMoment::Created, socket.as_fd())?;
    Ok(socket)
}

/// Applies what comes before bind(2). `SO_REUSEADDR` is set as the option says, or as `reuse` does where
/// there is none.
pub(super) fn before_bind(socket: &Socket, options: &Options, reuse: Option<bool>) -> Result<()> {
    if let Some(on) = options.settings.socket.reuseaddr.unwrap_or(reuse) {
        socket.set_reuse_address(on).map_err(|error| Error::open(Phase::Socket, error))?;
    }
    options.on_socket(SocketMoment::BeforeBind, socket.as_fd())
}

/// listen(2), with the options for the moment before.
pub(super) fn listen(socket: &Socket, options: &Options) -> Result<()> {
    options.on_socket(SocketMoment::BeforeListen, socket.as_fd())?;
    let backlog = options.settings.socket.backlog.unwrap_or(BACKLOG);
    socket.listen(backlog).map_err(|error| Error::open(Phase::Listen, error))
}

/// One attempt to connect.
pub(super) struct Attempt<'a> {
    /// Whom to.
    pub remote: &'a SockAddr,
    /// How the other end is called in the log.
    pub name: Name,
    /// The options of the address.
    pub options: &'a Options,
    /// Where events go.
    pub context: &'a Context,
    /// How a failure is logged: gravely only when nothing else will be tried.
    pub level: Level,
}

impl Attempt<'_> {
    /// Connects a new socket, within `connect-timeout`.
    pub(super) async fn connect(&self, socket: Socket, class: Class) -> Result<Port> {
        self.options.on_socket(SocketMoment::BeforeConnect, socket.as_fd())?;
        let (log, number) = (&self.context.log, socket.as_raw_fd());
        notice!(log, "opening connection to {}", self.name);
        let waits = !self.options.value("o-nonblock").is_some_and(Value::is_true);
        let begun = establish(socket, self.remote, class, waits);
        let result = match self.options.settings.life.connect_timeout {
            None => begun.await,
            Some(limit) => {
                let late = || io::Error::from_raw_os_error(libc::ETIMEDOUT);
                tokio::time::timeout(limit, begun).await.unwrap_or_else(|_| Err(late()))
            }
        };
        let port = result.map_err(|error| {
            let words = system_message(&error);
            log.write(self.level, format_args!("connect({number}, {}, {}): {words}", self.name, self.remote.len()));
            Error::open(Phase::Connect, error)
        })?;
        dress(self.options, port.as_fd())?;
        if log.enabled(Level::Notice)
            && let Ok(local) = SockRef::from(&port).local_addr()
        {
            notice!(log, "successfully connected from local address {}", Name::from(&local));
        }
        Ok(port)
    }
}

/// The first and the longest pause before a full queue of a UNIX listener is tried again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Connects without blocking; does not even wait for the connection to stand unless it `waits`. The port is registered with the runtime once only, after connect(2) was
/// called: before, epoll would report a socket that is not connected as hung up.
async fn establish(socket: Socket, remote: &SockAddr, class: Class, waits: bool) -> io::Result<Port> {
    let mut pause = PAUSES.0;
    loop {
        match socket.connect(remote) {
            Ok(()) => return Port::made(OwnedFd::from(socket), class),
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => break,
            // A UNIX listener's queue is full. No event tells when it is not (connect(2)), so look again.
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) && remote.is_unix() => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
            Err(error) => return Err(error),
        }
    }
    let port = Port::made(OwnedFd::from(socket), class)?;
    // Within one machine the handshake is over when connect(2) returns.
    if waits && !sys::fd::is_connected(port.as_fd()) {
        port.connected().await?;
    }
    Ok(port)
}

/// Applies the options of a descriptor that carries the data.
pub(super) fn dress(options: &Options, fd: BorrowedFd<'_>) -> Result<()> {
    options.on_descriptor(DescriptorMoment::Opened, fd)?;
    options.on_socket(SocketMoment::Connected, fd)?;
    options.on_descriptor(DescriptorMoment::Late, fd)
}

/// The channel of a connected socket.
pub(super) fn channel(port: Port, options: &Options) -> Channel {
    Channel::duplex(port, &options.settings)
}
