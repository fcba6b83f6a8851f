//! The accept loop all listening sockets share.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use socket2::{SockAddr, SockRef, Socket};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::access::Gate;
use super::sockname::Name;
use super::unlink::UnlinkGuard;
use super::{Accept, BoxFuture, Context, socket};
use crate::channel::{Channel, Class, Port};
use crate::error::{Error, Phase, Result, system_message};
use crate::log::Level;
use crate::option::{Options, SocketMoment};
use crate::{notice, sys, warning};

/// What the families differ in.
pub(super) struct Manner {
    /// What accepted connections are.
    pub class: Class,
    /// How the listening end is called, where getsockname(2) would say less.
    pub local: Option<Name>,
    /// The options for new sockets are applied to each accepted one: it does not inherit them.
    pub inherits_nothing: bool,
    /// `TCP_NODELAY` is set on each accepted connection: it is not inherited from the listening one.
    pub nodelay: bool,
    /// Removes the listener's name.
    pub guard: Option<UnlinkGuard>,
}

/// A listening socket.
pub(super) struct Listener {
    socket: AsyncFd<OwnedFd>,
    class: Class,
    local: Option<Name>,
    inherits_nothing: bool,
    nodelay: bool,
    gate: Gate,
    options: Arc<Options>,
    guard: Option<Arc<UnlinkGuard>>,
    /// Accepted, but not yet let in or refused; kept here so that no dropped future loses it.
    pending: Option<(Socket, SockAddr)>,
    room: Room,
}

impl Listener {
    /// Takes over a socket that listens and does not block, and says so in the log.
    pub(super) fn new(
        socket: OwnedFd,
        manner: Manner,
        gate: Gate,
        options: Arc<Options>,
        context: &Context,
    ) -> Result<Self> {
        let socket = sys::fd::register(socket).map_err(|(_, error)| Error::open(Phase::Listen, error))?;
        let listener = Self {
            socket,
            class: manner.class,
            local: manner.local,
            inherits_nothing: manner.inherits_nothing,
            nodelay: manner.nodelay,
            gate,
            options,
            guard: manner.guard.map(Arc::new),
            pending: None,
            room: Room::default(),
        };
        let name = listener.local_name(listener.socket.get_ref().as_fd());
        notice!(context.log, "listening on {name}");
        context.listening.add(name.plain());
        Ok(listener)
    }

    /// The name of this end of a connection.
    fn local_name(&self, fd: BorrowedFd<'_>) -> Name {
        self.local
            .clone()
            .unwrap_or_else(|| SockRef::from(&fd).local_addr().map_or(Name::Unknown, |local| Name::from(&local)))
    }

    async fn next(&mut self, context: &Context) -> Result<Channel> {
        loop {
            if self.pending.is_none() {
                self.pending = Some(self.accept_one(context).await?);
            }
            let refusal = match &self.pending {
                Some((_, peer)) if !self.gate.is_open() => self.gate.refusal(peer, context).await,
                _ => None,
            };
            let Some((accepted, peer)) = self.pending.take() else { continue };
            if context.log.enabled(Level::Notice) {
                let local = self.local_name(accepted.as_fd());
                notice!(context.log, "accepting connection from {} on {local}", Name::from(&peer));
            }
            if let Some(reason) = refusal {
                warning!(context.log, "refusing connection from {} due to {reason}", Name::from(&peer));
                continue;
            }
            match self.welcome(accepted, &peer, context) {
                Ok(channel) => return Ok(channel),
                Err(error) if is_misconfigured(&error) => return Err(error),
                // One client's trouble, say a connection that was reset meanwhile, is not the listener's.
                Err(error) => warning!(context.log, "connection from {}: {error}", Name::from(&peer)),
            }
        }
    }

    /// Makes a channel of an accepted connection.
    fn welcome(&self, accepted: Socket, peer: &SockAddr, context: &Context) -> Result<Channel> {
        let options = &self.options;
        if self.inherits_nothing {
            options.on_socket(SocketMoment::Created, accepted.as_fd())?;
        }
        if self.nodelay {
            accepted.set_tcp_nodelay(true).map_err(|error| Error::open(Phase::Accept, error))?;
        }
        socket::dress(options, accepted.as_fd())?;
        let environment = self.environment(accepted.as_fd(), peer, context);
        let port =
            Port::accepted(OwnedFd::from(accepted), self.class).map_err(|error| Error::open(Phase::Accept, error))?;
        let mut channel = socket::channel(port, options);
        channel.environment = environment;
        if let Some(guard) = self.guard.as_ref().filter(|_| !options.settings.life.fork) {
            // The listener ends now, but its name stays for as long as the one connection does.
            channel = channel.guarded(Arc::clone(guard));
        }
        Ok(channel)
    }

    fn environment(&self, fd: BorrowedFd<'_>, peer: &SockAddr, context: &Context) -> Vec<(&'static str, OsString)> {
        let mut environment = Vec::new();
        if context.environment_wanted {
            Name::from(peer).tell("PEERADDR", "PEERPORT", &mut environment);
            self.local_name(fd).tell("SOCKADDR", "SOCKPORT", &mut environment);
        }
        environment
    }

    /// Accepts the next connection, whoever it is from. Cancel safe: nothing is awaited once accept4(2)
    /// has given a connection.
    async fn accept_one(&mut self, context: &Context) -> Result<(Socket, SockAddr)> {
        loop {
            self.room.wait(self.socket.get_ref().as_fd()).await;
            let mut ready = self.socket.readable().await.map_err(|error| Error::open(Phase::Accept, error))?;
            let error = match sys::socket::accept(self.socket.get_ref().as_fd()) {
                Ok(accepted) => {
                    self.room.accepted(accepted.0.as_raw_fd());
                    return Ok(accepted);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready.clear_ready();
                    continue;
                }
                Err(error) => error,
            };
            match Trouble::of(&error) {
                Trouble::Fatal => return Err(Error::open(Phase::Accept, error)),
                trouble => {
                    if self.room.failed(trouble) {
                        warning!(context.log, "accept: {}", system_message(&error));
                    }
                }
            }
        }
    }
}

impl Accept for Listener {
    fn accept<'a>(&'a mut self, context: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(self.next(context))
    }
}

/// What a failed accept4(2) means for the listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// One connection was lost on its way, or the network has trouble: others will come (accept(2), ERRORS).
    Passing,
    /// Descriptors or memory have run out: they come back when other connections end.
    Shortage,
    /// The listening socket itself is no good.
    Fatal,
}

impl Trouble {
    fn of(error: &io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => Self::Shortage,
            Some(libc::EBADF | libc::EINVAL | libc::ENOTSOCK) => Self::Fatal,
            _ => Self::Passing,
        }
    }
}

/// How long a listener rests when nothing can be accepted.
const REST: Duration = Duration::from_millis(100);
/// How often it says so.
const SAY: Duration = Duration::from_secs(1);
/// How many passing errors in a row are taken for a lasting one, so that it rests between them.
const PATIENCE: u32 = 16;
/// Descriptors a session may need beside the accepted one: the other connection, the pipes to splice with.
const RESERVE: u64 = 8;

/// Whether there is room for a further connection. While descriptors are plentiful this costs no system
/// call: the kernel gives out the lowest free number, so the number of the last one accepted tells how many
/// are in use.
#[derive(Debug)]
struct Room {
    /// From this number on descriptors are scarce.
    scarce_from: u64,
    /// Descriptors are, or were, scarce: make sure before the next accept4(2).
    scarce: bool,
    /// Failures in a row.
    failures: u32,
    /// No attempt before this moment. A moment, not a length of time: the wait may be dropped and begun anew.
    rest_until: Option<Instant>,
    said: Option<Instant>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            scarce_from: sys::socket::descriptor_limit().saturating_sub(4 * RESERVE),
            scarce: false,
            failures: 0,
            rest_until: None,
            said: None,
        }
    }
}

impl Room {
    fn accepted(&mut self, number: RawFd) {
        self.failures = 0;
        self.scarce = u64::try_from(number).is_ok_and(|number| number >= self.scarce_from);
    }

    /// Notes a failure; true if it is time to tell somebody.
    fn failed(&mut self, trouble: Trouble) -> bool {
        self.failures += 1;
        let shortage = trouble == Trouble::Shortage;
        self.scarce |= shortage;
        let now = Instant::now();
        if shortage || self.failures >= PATIENCE {
            self.rest_until = Some(now + REST);
        }
        let due = self.said.is_none_or(|said| now.duration_since(said) >= SAY);
        if due {
            self.said = Some(now);
        }
        due
    }

    /// Waits until there is room: for the connection itself and for what its session will open.
    async fn wait(&mut self, listener: BorrowedFd<'_>) {
        if let Some(moment) = self.rest_until {
            tokio::time::sleep_until(moment).await;
            self.rest_until = None;
        }
        if !self.scarce {
            return;
        }
        // The sessions accepted so far open their other ends first.
        tokio::task::yield_now().await;
        while !has_room(listener) {
            tokio::time::sleep(REST).await;
        }
        self.scarce = false;
    }
}

/// Tries whether [`RESERVE`] descriptors can be had.
fn has_room(any: BorrowedFd<'_>) -> bool {
    (0..RESERVE).map(|_| any.try_clone_to_owned()).collect::<io::Result<Vec<_>>>().is_ok()
}

/// Whether an option fails for every client, not just for this one, whose connection may be gone already.
fn is_misconfigured(error: &Error) -> bool {
    error.phase() == Phase::Option
        && !matches!(error.errno(), Some(libc::EINVAL | libc::ENOTCONN | libc::ECONNRESET | libc::EPIPE))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    fn os(number: i32) -> io::Error {
        io::Error::from_raw_os_error(number)
    }

    #[test]
    fn only_a_broken_socket_is_fatal() {
        for number in [libc::EBADF, libc::EINVAL, libc::ENOTSOCK] {
            assert_eq!(Trouble::of(&os(number)), Trouble::Fatal, "{number}");
        }
        for number in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert_eq!(Trouble::of(&os(number)), Trouble::Shortage, "{number}");
        }
        for number in [libc::ECONNABORTED, libc::EPROTO, libc::EPERM, libc::ENETDOWN, libc::EINTR, libc::EHOSTUNREACH] {
            assert_eq!(Trouble::of(&os(number)), Trouble::Passing, "{number}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_shortage_rests_and_is_told_once_a_second() {
        let any = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut room = Room::default();
        let begun = Instant::now();
        let mut told = 0;
        for _ in 0..25 {
            told += u32::from(room.failed(Trouble::Shortage));
            room.wait(any.as_fd()).await;
        }
        assert!(begun.elapsed() >= REST * 25, "{:?}", begun.elapsed());
        assert_eq!(told, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn passing_errors_do_not_rest_unless_they_last() {
        let any = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut room = Room::default();
        let begun = Instant::now();
        for _ in 1..PATIENCE {
            room.failed(Trouble::Passing);
            room.wait(any.as_fd()).await;
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        room.failed(Trouble::Passing);
        room.wait(any.as_fd()).await;
        assert_eq!(begun.elapsed(), REST);
        room.accepted(5);
        room.failed(Trouble::Passing);
        room.wait(any.as_fd()).await;
        assert_eq!(begun.elapsed(), REST);
    }

    #[test]
    fn high_numbers_make_descriptors_scarce() {
        let mut room = Room { scarce_from: 100, ..Room::default() };
        room.accepted(99);
        assert!(!room.scarce);
        room.accepted(100);
        assert!(room.scarce);
        room.accepted(7);
        assert!(!room.scarce);
    }
}
