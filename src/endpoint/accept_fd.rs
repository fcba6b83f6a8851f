//! ACCEPT-FD: a listening socket the process inherited, as systemd and inetd pass it on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use super::access::Gate;
use super::listener::{Listener, Manner};
use super::resolve::Resolver;
use super::socket::parameter;
use super::{Accept, Bind, BoxFuture, Context, Direction, Kind, Opener, Request};
use crate::channel::{Channel, Class};
use crate::error::{Error, Phase, Result, printable};
use crate::option::{Groups, Options};
use crate::sys;

pub(super) static KINDS: &[Kind] = &[Kind {
    name: "ACCEPT-FD",
    aliases: &["ACCEPT"],
    usage: ":<fdnum>",
    params: (1, 1),
    groups: Groups::FD
        .and(Groups::SOCKET)
        .and(Groups::CHILD)
        .and(Groups::RETRY)
        .and(Groups::RANGE)
        .and(Groups::UNIX)
        .and(Groups::IP4)
        .and(Groups::IP6)
        .and(Groups::UDP)
        .and(Groups::TCP)
        .and(Groups::SCTP)
        .and(Groups::DCCP)
        .and(Groups::UDPLITE),
    direction: Direction::Both,
    doc: "Waits for a connection to a listening socket the process inherited under this number, as systemd and \
          inetd pass it on; with fork for any number of them.",
    plan,
}];

fn plan(request: &Request<'_>) -> Result<Opener> {
    let text = parameter(request, 0);
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse::<RawFd>().ok());
    let Some(number) = number.filter(|number| *number >= 0) else {
        return Err(Error::text(format!("\"{}\" is not the number of a descriptor", printable(text))));
    };
    let options = &request.options;
    if options.settings.socket.bind.is_some() {
        return Err(Error::text("option bind does not fit: the inherited socket is bound already"));
    }
    let gate = Gate::plan(options, &request.defaults.program)?;
    Ok(Opener::Bind(Arc::new(Inherited { number, gate, options: Arc::clone(options) })))
}

struct Inherited {
    number: RawFd,
    gate: Gate,
    options: Arc<Options>,
}

impl Inherited {
    async fn open(&self, context: &Context) -> Result<InheritedListener> {
        let failed = |error| Error::open(Phase::Open, error);
        let inherited = sys::fd::borrow(self.number).map_err(failed)?;
        if !sys::socket::is_listening(inherited).map_err(failed)? {
            let error = std::io::Error::from_raw_os_error(libc::EINVAL);
            return Err(Error::open(Phase::Accept, error).hint("the descriptor is a socket, but it does not listen"));
        }
        let class = sys::fd::classify(inherited).map_err(failed)?;
        let restore = Nonblocking::set(inherited).map_err(failed)?;
        let manner = Manner {
            class,
            local: None,
            // The options for new sockets never had a chance to be set on the listening one.
            inherits_nothing: true,
            nodelay: class == Class::Tcp && !self.options.has("tcp-nodelay"),
            guard: None,
        };
        let gate = self.gate.ready(&Resolver::new(&self.options, libc::SOCK_STREAM)).await?;
        let own = inherited.try_clone_to_owned().map_err(failed)?;
        let listener = Listener::new(own, manner, gate, Arc::clone(&self.options), context)?;
        Ok(InheritedListener { listener, _restore: restore })
    }
}

impl Bind for Inherited {
    fn bind<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Box<dyn Accept>>> {
        Box::pin(async move { Ok(Box::new(self.open(context).await?) as Box<dyn Accept>) })
    }
}

struct InheritedListener {
    listener: Listener,
    _restore: Option<Nonblocking>,
}

impl Accept for InheritedListener {
    fn accept<'a>(&'a mut self, context: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        self.listener.accept(context)
    }
}

/// `O_NONBLOCK` on a socket that other processes hold as well, for as long as this exists: they may take the
/// very connection we were told of, and accept4(2) would then block the runtime. It is taken back at the end.
struct Nonblocking(OwnedFd);

impl Nonblocking {
    /// Sets the flag; `None` where it was set before.
    fn set(fd: BorrowedFd<'_>) -> std::io::Result<Option<Self>> {
        if sys::fd::is_nonblocking(fd)? {
            return Ok(None);
        }
        let own = fd.try_clone_to_owned()?;
        sys::fd::set_nonblocking(fd, true)?;
        Ok(Some(Self(own)))
    }
}

impl Drop for Nonblocking {
    fn drop(&mut self) {
        // Nobody is left to tell about a failure.
        let _ = sys::fd::set_nonblocking(self.0.as_fd(), false);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;
    use crate::endpoint::testing::{accept, bind, passes, plan, quiet};

    fn number(socket: &impl AsRawFd) -> String {
        socket.as_raw_fd().to_string()
    }

    #[tokio::test]
    async fn an_inherited_listener_is_left_as_it_was() {
        let inherited = TcpListener::bind("127.0.0.1:0").unwrap();
        let opener = plan("ACCEPT-FD", &[&number(&inherited)], |_| {});
        let mut listener = bind(opener, &quiet()).await.unwrap();
        let address = inherited.local_addr().unwrap();
        let clients = [TcpStream::connect(address).unwrap(), TcpStream::connect(address).unwrap()];
        let mut server = accept(&mut listener, &quiet()).await.unwrap();
        let mut other = accept(&mut listener, &quiet()).await.unwrap();
        let port = server.source.as_ref().unwrap().port().unwrap();
        assert_eq!(port.class(), Class::Tcp);
        assert!(socket2::SockRef::from(&port.as_fd()).tcp_nodelay().unwrap());
        drop(listener);
        assert!(!sys::fd::is_nonblocking(inherited.as_fd()).unwrap());
        // The connections of the inherited socket are whole.
        let [first, second] = clients.map(|client| {
            client.set_nonblocking(true).unwrap();
            tokio::net::TcpStream::from_std(client).unwrap()
        });
        for (client, server) in [(first, &mut server), (second, &mut other)] {
            let port = crate::channel::Port::new(OwnedFd::from(client.into_std().unwrap())).unwrap();
            let mut client = Channel::duplex(port, &crate::option::Settings::default());
            passes(&mut client, server, b"hello").await;
        }
    }

    #[tokio::test]
    async fn what_does_not_listen_is_refused() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let error = bind(plan("ACCEPT", &[&number(&socket)], |_| {}), &quiet()).await.err().unwrap();
        assert_eq!(error.phase(), Phase::Accept);
        let error = bind(plan("ACCEPT", &["54321"], |_| {}), &quiet()).await.err().unwrap();
        assert_eq!(error.errno(), Some(libc::EBADF));
        assert!(plan("ACCEPT", &["three"], |_| {}).is_err());
    }
}
