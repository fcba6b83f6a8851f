//! Clients and listeners of protocols over IP that have hosts, ports and connections. TCP is one of them.

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use socket2::{Domain, SockAddr, Socket};

use super::access::Gate;
use super::listener::{Listener, Manner};
use super::local::{Bindable, Local};
use super::resolve::{Family, Host, Resolver, Service, Target};
use super::socket::{self, Attempt, Shape, read_parameter};
use super::sockname::Name;
use super::{Accept, Bind, BoxFuture, Connect, Context, IpVersion, Opener, Request};
use crate::channel::{Channel, Class, Port};
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::log::Level;
use crate::notice;
use crate::option::Options;

/// Plans `:<host>:<port>`, connected to.
pub(super) fn client(request: &Request<'_>, only: Option<Family>, shape: Shape) -> Result<Opener> {
    let host = read_parameter(request, 0, Host::parse)?;
    let service = read_parameter(request, 1, Service::parse)?;
    let client = Client::plan(request, host, service, only, shape)?;
    Ok(Opener::Connect(Arc::new(client)))
}

/// Plans `:<port>`, listened on.
pub(super) fn listener(request: &Request<'_>, only: Option<Family>, shape: Shape) -> Result<Opener> {
    let service = read_parameter(request, 0, Service::parse)?;
    Ok(Opener::Bind(Arc::new(Server::plan(request, service, only, shape)?)))
}

/// The family the keyword or `protocol-family` demands.
fn demanded(only: Option<Family>, options: &Options) -> Result<Option<Family>> {
    match (only, options.settings.socket.family) {
        (None, Some(number)) => Family::from_number(number).map(Some),
        (only, _) => Ok(only),
    }
}

fn domain_of(address: &SocketAddr) -> Domain {
    Domain::for_address(*address)
}

/// Whether small writes are sent at once. Without an option of its own that is what a relay wants: it
/// cannot know that more will follow, and Nagle's algorithm (RFC 896) would hold the tail of each message
/// back for as long as the peer delays its acknowledgement.
fn wants_nodelay(options: &Options, class: Class) -> bool {
    class == Class::Tcp && !options.has("tcp-nodelay")
}

/// Connects to a host.
#[derive(Debug)]
pub(super) struct Client {
    remote: Target,
    local: Option<Local>,
    resolver: Resolver,
    prefer: IpVersion,
    shape: Shape,
    options: Arc<Options>,
}

impl Client {
    /// Checks the options about host and port.
    pub(super) fn plan(
        request: &Request<'_>,
        host: Host,
        service: Service,
        only: Option<Family>,
        shape: Shape,
    ) -> Result<Self> {
        let options = &request.options;
        let only = demanded(only, options)?;
        let shape = shape.changed(&options.settings.socket);
        let mut remote = Target::new(host, service, only, options)?;
        let local = Local::plan(options, remote.family())?;
        remote.restrict(local.as_ref().and_then(Local::family));
        Ok(Self {
            remote,
            local,
            resolver: Resolver::new(options, shape.kind),
            prefer: request.defaults.resolve_ip,
            shape,
            options: Arc::clone(options),
        })
    }

    /// Tries all addresses of the host, one after the other, until one connects.
    pub(super) async fn open(&self, context: &Context) -> Result<Port> {
        notice!(context.log, "opening connection to {}", self.remote);
        let remotes = self.remote.addresses(&self.resolver, self.prefer, false).await?;
        let locals = match &self.local {
            Some(local) => Some(local.addresses(&self.resolver).await?),
            None => None,
        };
        let port = self.walk(&remotes, locals.as_ref(), context).await?;
        notice!(context.log, "successfully connected to {}", self.remote);
        Ok(port)
    }

    /// Tries the addresses in their order.
    async fn walk(&self, remotes: &[SocketAddr], locals: Option<&Bindable>, context: &Context) -> Result<Port> {
        let mut failure = None;
        for (index, remote) in remotes.iter().enumerate() {
            let level = if index + 1 == remotes.len() { Level::Warn } else { Level::Notice };
            let bind = |socket: &Socket| match locals {
                None => Ok(()),
                Some(locals) => {
                    let local = locals.fitting(remote).ok_or_else(|| no_local(remote))?;
                    locals.bind(socket, local)
                }
            };
            match self.attempt(remote, bind, level, context).await {
                Ok(port) => return Ok(port),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| Error::new(ErrorKind::Open, Phase::Resolve, "the host has no address")))
    }

    async fn attempt(
        &self,
        remote: &SocketAddr,
        bind: impl FnOnce(&Socket) -> Result<()>,
        level: Level,
        context: &Context,
    ) -> Result<Port> {
        let options = &*self.options;
        let domain = domain_of(remote);
        let class = self.shape.class(domain);
        let socket = socket::create(domain, self.shape, options)?;
        if wants_nodelay(options, class) {
            socket.set_tcp_nodelay(true).map_err(|error| Error::open(Phase::Socket, error))?;
        }
        socket::before_bind(&socket, options, None)?;
        bind(&socket)?;
        let attempt = Attempt { remote: &SockAddr::from(*remote), name: Name::Inet(*remote), options, context, level };
        attempt.connect(socket, class).await
    }
}

fn no_local(remote: &SocketAddr) -> Error {
    let version = if remote.is_ipv4() { 4 } else { 6 };
    let message = format!("option bind has no IPv{version} address to reach {} from", remote.ip());
    Error::new(ErrorKind::Open, Phase::Bind, message)
}

impl Connect for Client {
    fn connect<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(async move { Ok(socket::channel(self.open(context).await?, &self.options)) })
    }
}

/// Listens on a port.
#[derive(Debug)]
pub(super) struct Server {
    service: Service,
    /// The option `bind`.
    host: Option<Target>,
    only: Option<Family>,
    version: IpVersion,
    resolver: Resolver,
    shape: Shape,
    gate: Gate,
    options: Arc<Options>,
}

impl Server {
    /// Checks the options about the port.
    pub(super) fn plan(request: &Request<'_>, service: Service, only: Option<Family>, shape: Shape) -> Result<Self> {
        let options = &request.options;
        let only = demanded(only, options)?;
        let shape = shape.changed(&options.settings.socket);
        let host = match options.settings.socket.bind.as_deref().filter(|text| !text.is_empty()) {
            None => None,
            Some(text) => match super::local::split(text).map_err(|error| options.blame("bind", error))? {
                (_, Some(_)) => {
                    return Err(Error::text("option bind takes no port here: the address itself names it"));
                }
                (Some(host), None) => Some(Target::new(host, service.clone(), only, options)?),
                (None, None) => None,
            },
        };
        Ok(Self {
            service,
            host,
            only,
            version: request.defaults.listen_ip,
            resolver: Resolver::new(options, shape.kind),
            shape,
            gate: Gate::plan(options, &request.defaults.program)?,
            options: Arc::clone(options),
        })
    }

    /// The address to bind, and whether an IPv6 one is to serve IPv4 as well.
    async fn address(&self) -> Result<(SocketAddr, bool)> {
        if let Some(host) = &self.host {
            let found: Cow<'_, [SocketAddr]> = host.addresses(&self.resolver, self.version, true).await?;
            let first = found.first().copied();
            let nothing = || Error::new(ErrorKind::Open, Phase::Resolve, "the host of option bind has no address");
            return Ok((first.ok_or_else(nothing)?, false));
        }
        let port = self.resolver.port(&self.service).await?;
        let (wildcard, dual): (IpAddr, bool) = match (self.only, self.version) {
            (Some(Family::V4), _) | (None, IpVersion::V4) => (Ipv4Addr::UNSPECIFIED.into(), false),
            (Some(Family::V6), _) | (None, IpVersion::V6) => (Ipv6Addr::UNSPECIFIED.into(), false),
            (None, IpVersion::Any) => (Ipv6Addr::UNSPECIFIED.into(), true),
        };
        Ok((SocketAddr::new(wildcard, port), dual))
    }

    /// The bound socket. A dual stack one falls back to IPv4 where the system has no IPv6.
    fn bound(&self, address: SocketAddr, dual: bool) -> Result<(Socket, Class)> {
        let options = &*self.options;
        let domain = domain_of(&address);
        let class = self.shape.class(domain);
        let socket = match socket::create(domain, self.shape, options) {
            Err(error) if dual && error.errno() == Some(libc::EAFNOSUPPORT) => {
                return self.bound(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), address.port()), false);
            }
            result => result?,
        };
        let failed = |error: io::Error| Error::open(Phase::Socket, error);
        if dual && !options.has("ipv6-v6only") {
            socket.set_only_v6(false).map_err(failed)?;
        }
        if wants_nodelay(options, class) {
            // Accepted connections inherit it: one call for all of them.
            socket.set_tcp_nodelay(true).map_err(failed)?;
        }
        // A port whose last connections are in TIME_WAIT can be listened on at once, as in socat since 1.8.
        socket::before_bind(&socket, options, (class == Class::Tcp).then_some(true))?;
        socket.bind(&SockAddr::from(address)).map_err(|error| Error::open(Phase::Bind, error))?;
        Ok((socket, class))
    }

    async fn open(&self, context: &Context) -> Result<Listener> {
        let gate = self.gate.ready(&self.resolver).await?;
        let (address, dual) = self.address().await?;
        let (socket, class) = self.bound(address, dual)?;
        socket::listen(&socket, &self.options)?;
        let manner = Manner { class, local: None, inherits_nothing: false, nodelay: false, guard: None };
        Listener::new(OwnedFd::from(socket), manner, gate, Arc::clone(&self.options), context)
    }
}

impl Bind for Server {
    fn bind<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Box<dyn Accept>>> {
        Box::pin(async move { Ok(Box::new(self.open(context).await?) as Box<dyn Accept>) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::ffi::OsString;
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::time::Duration;

    use socket2::SockRef;
    use tokio::io::AsyncReadExt;

    use super::*;
    use crate::endpoint::Defaults;
    use crate::endpoint::testing::{Lines, accept, bind, connect, ends, passes, plan, plan_with, quiet};
    use crate::option::Settings;

    /// The text of a port.
    fn text(port: u16) -> String {
        port.to_string()
    }

    /// A listener on a free port of 127.0.0.1, and the port.
    async fn listening(log: &Lines, change: impl FnOnce(&mut Settings)) -> (Box<dyn Accept>, u16) {
        let opener = plan("TCP-LISTEN", &["0"], |settings| {
            settings.socket.bind = Some(b"127.0.0.1".to_vec());
            change(settings);
        });
        let listener = bind(opener, &log.context()).await.unwrap();
        let port = log.after("N listening on AF=2 127.0.0.1:").unwrap().parse().unwrap();
        (listener, port)
    }

    /// A port nobody listens on.
    fn free_port() -> u16 {
        std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    fn variable(channel: &Channel, name: &str) -> OsString {
        channel.environment.iter().find(|(given, _)| *given == name).unwrap().1.clone()
    }

    #[tokio::test]
    async fn bytes_and_ends_pass_both_ways() {
        let log = Lines::default();
        let (mut listener, port) = listening(&log, |_| {}).await;
        let client = plan("TCP", &["127.0.0.1", &text(port)], |_| {});
        let mut client = connect(client, &log.context()).await.unwrap();
        let mut server = accept(&mut listener, &log.context()).await.unwrap();
        passes(&mut client, &mut server, b"question").await;
        ends(&mut client, &mut server).await;
        passes(&mut server, &mut client, b"answer").await;
        ends(&mut server, &mut client).await;
        let expected = [
            format!("N opening connection to 127.0.0.1:{port}"),
            format!("N opening connection to AF=2 127.0.0.1:{port}"),
            "N successfully connected from local address AF=2 127.0.0.1:".to_owned(),
            format!("N successfully connected to 127.0.0.1:{port}"),
            "N accepting connection from AF=2 127.0.0.1:".to_owned(),
        ];
        let lines = log.all();
        for (line, begin) in lines[1..].iter().zip(&expected) {
            assert!(line.starts_with(begin), "{lines:?}");
        }
        assert!(lines[5].ends_with(&format!(" on AF=2 127.0.0.1:{port}")), "{lines:?}");
    }

    #[tokio::test]
    async fn children_are_told_both_ends() {
        let log = Lines::default();
        let (mut listener, port) = listening(&log, |_| {}).await;
        let client = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let server = accept(&mut listener, &log.context()).await.unwrap();
        assert_eq!(variable(&server, "PEERADDR"), "127.0.0.1");
        assert_eq!(variable(&server, "PEERPORT"), *text(client.local_addr().unwrap().port()));
        assert_eq!(variable(&server, "SOCKADDR"), "127.0.0.1");
        assert_eq!(variable(&server, "SOCKPORT"), *text(port));
        drop(std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
        assert!(accept(&mut listener, &quiet()).await.unwrap().environment.is_empty());
    }

    #[tokio::test]
    async fn small_writes_go_out_at_once_on_both_legs() {
        let log = Lines::default();
        let (mut listener, port) = listening(&log, |_| {}).await;
        let client = connect(plan("TCP4", &["127.0.0.1", &text(port)], |_| {}), &quiet()).await.unwrap();
        let server = accept(&mut listener, &quiet()).await.unwrap();
        for channel in [&client, &server] {
            let port = channel.source.as_ref().unwrap().port().unwrap();
            assert!(SockRef::from(&port.as_fd()).tcp_nodelay().unwrap());
        }
    }

    #[tokio::test]
    async fn a_refused_connection_is_told_as_socat_tells_it() {
        let (log, port) = (Lines::default(), free_port());
        let error = connect(plan("TCP", &["127.0.0.1", &text(port)], |_| {}), &log.context()).await.err().unwrap();
        assert_eq!((error.errno(), error.phase()), (Some(libc::ECONNREFUSED), Phase::Connect));
        let failed = log.after("W connect(").unwrap();
        assert!(failed.ends_with(&format!(", AF=2 127.0.0.1:{port}, 16): Connection refused")), "{failed}");
    }

    /// A client of a host whose addresses do not matter.
    fn client() -> Client {
        Client {
            remote: Target::new(Host::parse(b"localhost").unwrap(), Service::Port(0), None, &Options::default())
                .unwrap(),
            local: None,
            resolver: Resolver::new(&Options::default(), libc::SOCK_STREAM),
            prefer: IpVersion::V4,
            shape: Shape::TCP,
            options: Arc::default(),
        }
    }

    #[tokio::test]
    async fn all_addresses_are_tried_until_one_connects() {
        let log = Lines::default();
        let (_listener, port) = listening(&log, |_| {}).await;
        let refused = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let remotes = [refused, SocketAddr::from(([127, 0, 0, 1], port)), refused];
        client().walk(&remotes, None, &log.context()).await.unwrap();
        assert!(log.after("N connect(").is_some(), "{:?}", log.all());
        assert!(log.after("W ").is_none(), "{:?}", log.all());
        let error = client().walk(&[refused, refused], None, &log.context()).await.unwrap_err();
        assert_eq!(error.errno(), Some(libc::ECONNREFUSED));
        assert_eq!(log.all().iter().filter(|line| line.starts_with("W connect(")).count(), 1, "{:?}", log.all());
    }

    #[tokio::test]
    async fn names_are_resolved() {
        let log = Lines::default();
        let (mut listener, port) = listening(&log, |_| {}).await;
        let opener = plan("TCP", &["localhost", &text(port)], |_| {});
        connect(opener, &quiet()).await.unwrap();
        accept(&mut listener, &quiet()).await.unwrap();
    }

    #[tokio::test]
    async fn bind_and_sourceport_choose_the_local_end() {
        let log = Lines::default();
        let (mut listener, port) = listening(&log, |_| {}).await;
        let source = free_port();
        let opener = plan("TCP", &["127.0.0.1", &text(port)], |settings| {
            settings.socket.bind = Some(b"127.0.0.2".to_vec());
            settings.access.source_port = Some(source);
        });
        let _client = connect(opener, &quiet()).await.unwrap();
        let server = accept(&mut listener, &log.context()).await.unwrap();
        assert_eq!(variable(&server, "PEERADDR"), "127.0.0.2");
        assert_eq!(variable(&server, "PEERPORT"), *text(source));
    }

    #[tokio::test]
    async fn lowport_binds_below_1024_where_that_is_allowed() {
        let log = Lines::default();
        let (mut listener, port) = listening(&log, |_| {}).await;
        let opener = plan("TCP", &["127.0.0.1", &text(port)], |settings| settings.access.low_port = true);
        match connect(opener, &quiet()).await {
            Ok(_client) => {
                let server = accept(&mut listener, &log.context()).await.unwrap();
                let source: u16 = variable(&server, "PEERPORT").into_string().unwrap().parse().unwrap();
                assert!((640..1024).contains(&source), "{source}");
            }
            Err(error) => assert_eq!((error.phase(), error.errno()), (Phase::Bind, Some(libc::EACCES))),
        }
    }

    #[tokio::test]
    async fn connect_timeout_bounds_an_attempt() {
        // With no room in its queue a listener drops further SYN segments, so that connecting hangs.
        let full = Socket::new(Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        full.bind(&SockAddr::from(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        full.listen(0).unwrap();
        let address = full.local_addr().unwrap().as_socket().unwrap();
        let _first = std::net::TcpStream::connect(address).unwrap();
        let opener = plan("TCP", &["127.0.0.1", &text(address.port())], |settings| {
            settings.life.connect_timeout = Some(Duration::from_millis(50));
        });
        let error = connect(opener, &quiet()).await.err().unwrap();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Timeout, Phase::Connect));
    }

    #[tokio::test]
    async fn refused_clients_are_closed_and_the_next_is_awaited() {
        let log = Lines::default();
        let (mut listener, port) =
            listening(&log, |settings| settings.access.range = Some(b"127.0.0.2/32".to_vec())).await;
        let mut refused = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let opener = plan("TCP", &["127.0.0.1", &text(port)], |settings| {
            settings.socket.bind = Some(b"127.0.0.2".to_vec());
        });
        let _allowed = connect(opener, &quiet()).await.unwrap();
        let server = accept(&mut listener, &log.context()).await.unwrap();
        assert_eq!(variable(&server, "PEERADDR"), "127.0.0.2");
        assert_eq!(refused.read(&mut [0; 1]).unwrap_or(0), 0);
        let name = refused.local_addr().unwrap();
        let line = format!("W refusing connection from AF=2 {name} due to range option");
        assert!(log.all().contains(&line), "{:?}", log.all());
    }

    #[tokio::test]
    async fn without_a_preference_listeners_serve_both_versions() {
        let log = Lines::default();
        let defaults = Defaults { listen_ip: IpVersion::Any, ..Defaults::default() };
        let opener = plan_with("TCP-LISTEN", &["0"], &defaults, |_| {});
        let mut listener = bind(opener, &log.context()).await.unwrap();
        let begin = "N listening on AF=10 [0000:0000:0000:0000:0000:0000:0000:0000]:";
        let port: u16 = log.after(begin).unwrap().parse().unwrap();
        let _v4 = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let server = accept(&mut listener, &log.context()).await.unwrap();
        assert_eq!(variable(&server, "PEERADDR"), "[0000:0000:0000:0000:0000:ffff:7f00:0001]");
        let _v6 = std::net::TcpStream::connect(("::1", port)).unwrap();
        let server = accept(&mut listener, &log.context()).await.unwrap();
        assert_eq!(variable(&server, "PEERADDR"), "[0000:0000:0000:0000:0000:0000:0000:0001]");
    }

    #[tokio::test]
    async fn a_dropped_accept_loses_nobody() {
        let log = Lines::default();
        let (mut listener, port) = listening(&log, |_| {}).await;
        let context = quiet();
        for _ in 0..3 {
            let waiting = listener.accept(&context);
            assert!(tokio::time::timeout(Duration::ZERO, waiting).await.is_err());
        }
        let mut clients = Vec::new();
        for _ in 0..50 {
            clients.push(std::net::TcpStream::connect(("127.0.0.1", port)).unwrap());
        }
        for _ in 0..50 {
            accept(&mut listener, &context).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_client_that_reset_already_does_not_end_the_listener() {
        let log = Lines::default();
        let (mut listener, port) = listening(&log, |_| {}).await;
        let reset = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        SockRef::from(&reset).set_linger(Some(Duration::ZERO)).unwrap();
        drop(reset);
        let mut server = accept(&mut listener, &log.context()).await.unwrap();
        assert!(server.source.as_mut().unwrap().read(&mut [0; 1]).await.is_err());
        let _next = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        accept(&mut listener, &log.context()).await.unwrap();
    }

    #[tokio::test]
    async fn a_port_in_use_is_an_error_of_bind() {
        let log = Lines::default();
        let (_listener, port) = listening(&log, |_| {}).await;
        let error = bind(plan("TCP-LISTEN", &[&text(port)], |_| {}), &quiet()).await.err().unwrap();
        assert_eq!((error.phase(), error.errno()), (Phase::Bind, Some(libc::EADDRINUSE)));
    }

    #[test]
    fn what_cannot_work_is_said_before_anything_is_opened() {
        let refused = |keyword: &str, params: &[&str], change: fn(&mut Settings)| {
            plan(keyword, params, change).err().unwrap().message().to_owned()
        };
        assert_eq!(refused("TCP", &["127.0.0.1", ""], |_| {}), "empty port and service");
        assert_eq!(refused("TCP", &["", "80"], |_| {}), "empty host");
        assert_eq!(refused("TCP-L", &["80000"], |_| {}), "port 80000 is out of range, the highest is 65535");
        assert_eq!(refused("TCP6", &["127.0.0.1", "80"], |_| {}), "127.0.0.1 is not an IPv6 address");
        assert_eq!(
            refused("TCP-L", &["80"], |settings| settings.socket.bind = Some(b"127.0.0.1:81".to_vec())),
            "option bind takes no port here: the address itself names it"
        );
        assert_eq!(
            refused("TCP", &["::1", "80"], |settings| settings.socket.bind = Some(b"127.0.0.1".to_vec())),
            "127.0.0.1 is not an IPv6 address"
        );
        assert!(refused("TCP", &["::1", "80"], |settings| settings.socket.family = Some(1)).contains("family 1"));
    }
}
