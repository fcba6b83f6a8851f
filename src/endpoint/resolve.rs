//! Hosts and services, as written and as addresses. Numbers are read when the address is planned and never
//! touch the resolver; names are looked up on the runtime's blocking threads each time they are needed.

use std::borrow::Cow;
use std::ffi::CString;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::IpVersion;
use crate::error::{Error, ErrorKind, Phase, Result, printable};
use crate::option::{Options, ResolverSettings};
use crate::spec::values::{self, PortText};
use crate::sys::resolver::{self, Query};

/// IP version 4 or 6, where only one of them will do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// `AF_INET`.
    V4,
    /// `AF_INET6`.
    V6,
}

impl Family {
    /// The family of an address.
    pub(super) const fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The family `protocol-family` (pf) names.
    ///
    /// # Errors
    /// Another family: there is no TCP over it.
    pub(super) fn from_number(number: i32) -> Result<Self> {
        match number {
            libc::AF_INET => Ok(Self::V4),
            libc::AF_INET6 => Ok(Self::V6),
            other => Err(Error::text(format!("address family {other} does not carry this protocol, only 2 and 10 do"))),
        }
    }

    const fn number(self) -> i32 {
        match self {
            Self::V4 => libc::AF_INET,
            Self::V6 => libc::AF_INET6,
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// The longest host name, RFC 1035 section 2.3.4.
const LONGEST_NAME: usize = 253;

/// A host as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// A number, with the scope of a link-local IPv6 address (0: none).
    Number(IpAddr, u32),
    /// A link-local IPv6 address with its interface by name.
    Scoped(Ipv6Addr, String),
    /// A name.
    Name(CString),
}

impl Host {
    /// Reads a host: dotted IPv4, IPv6 with or without brackets, with `%interface`, or a name.
    pub(super) fn parse(text: &[u8]) -> Result<Self> {
        let shown = || printable(text);
        if text.is_empty() {
            return Err(Error::text("empty host"));
        }
        let Ok(text) = std::str::from_utf8(text) else {
            return Err(Error::text(format!("\"{}\" is not a host name", shown())));
        };
        let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let bare = bracketed.unwrap_or(text);
        if let Some(number) = Self::number(bare) {
            return Ok(number);
        }
        if bracketed.is_some() {
            return Err(Error::text(format!("\"{}\" is not an IPv6 address", shown())));
        }
        let strange = |c: char| c.is_control() || c.is_whitespace() || "[]!,:\"'\\|/".contains(c);
        if bare.len() > LONGEST_NAME || bare.contains(strange) {
            return Err(Error::text(format!("\"{}\" is not a host name", shown())));
        }
        let name = CString::new(bare).map_err(|_| Error::text(format!("\"{}\" is not a host name", shown())))?;
        Ok(Self::Name(name))
    }

    fn number(text: &str) -> Option<Self> {
        if let Ok(ip) = text.parse() {
            return Some(Self::Number(ip, 0));
        }
        let (ip, scope) = text.split_once('%')?;
        let ip = ip.parse().ok()?;
        Some(match scope.parse() {
            Ok(index) => Self::Number(IpAddr::V6(ip), index),
            Err(_) => Self::Scoped(ip, scope.to_owned()),
        })
    }

    /// The family, where the text tells it.
    pub(super) fn family(&self) -> Option<Family> {
        match self {
            Self::Number(ip, _) => Some(Family::of(*ip)),
            Self::Scoped(..) => Some(Family::V6),
            Self::Name(_) => None,
        }
    }
}

/// A port as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Service {
    /// A number.
    Port(u16),
    /// A name out of services(5).
    Name(CString),
}

impl Service {
    /// Reads a port: a number in base 0 up to 65535, or a name.
    pub(super) fn parse(text: &[u8]) -> Result<Self> {
        Ok(match values::port(text)? {
            PortText::Number(number) => Self::Port(number),
            PortText::Service(name) => Self::Name(CString::new(name).map_err(|_| Error::text("not a port"))?),
        })
    }
}

/// How names are looked up for one address: the options `ai-*` and `res-*`.
#[derive(Debug, Clone)]
pub(super) struct Resolver {
    kind: i32,
    flags: (i32, i32),
    settings: ResolverSettings,
}

impl Resolver {
    /// The look-ups of an address whose sockets are of `kind` (`SOCK_*`).
    pub(super) fn new(options: &Options, kind: i32) -> Self {
        let socket = &options.settings.socket;
        Self { kind, flags: socket.resolver_flags, settings: socket.resolver.clone() }
    }

    /// Looks up a host and a service; either may be missing. Waits on a blocking thread, which goes on by
    /// itself when this future is dropped.
    async fn lookup(
        &self,
        host: Option<CString>,
        service: Option<CString>,
        only: Option<Family>,
        passive: bool,
    ) -> Result<Vec<SocketAddr>> {
        let mut flags = if passive { libc::AI_PASSIVE } else { 0 };
        if only.is_none() && host.is_some() {
            flags |= libc::AI_ADDRCONFIG;
        }
        let query = Query {
            family: only.map_or(libc::AF_UNSPEC, Family::number),
            kind: self.kind,
            flags: (flags | self.flags.0) & !self.flags.1,
            host,
            service,
        };
        let settings = self.settings.clone();
        let asked = query.host.as_ref().or(query.service.as_ref()).map(|name| printable(name.as_bytes()));
        let looked_up = tokio::task::spawn_blocking(move || resolver::lookup(&query, &settings))
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)));
        looked_up.map_err(|error| {
            let words = crate::error::system_message(&error);
            let asked = asked.unwrap_or_default();
            Error::new(ErrorKind::Open, Phase::Resolve, format!("getaddrinfo(\"{asked}\"): {words}"))
        })
    }

    /// The port of a service.
    pub(super) async fn port(&self, service: &Service) -> Result<u16> {
        match service {
            Service::Port(port) => Ok(*port),
            Service::Name(name) => {
                let found = self.lookup(None, Some(name.clone()), None, true).await?;
                found.first().map(SocketAddr::port).ok_or_else(|| nothing_found(name))
            }
        }
    }
}

fn nothing_found(name: &CString) -> Error {
    let name = printable(name.as_bytes());
    Error::new(ErrorKind::Open, Phase::Resolve, format!("no address is known for \"{name}\""))
}

/// A host and a port.
#[derive(Debug, Clone)]
pub(super) struct Target {
    host: Host,
    service: Service,
    only: Option<Family>,
    /// The address, where both are numbers: nothing has to be looked up.
    known: Option<SocketAddr>,
}

impl Target {
    /// Puts host and port together; `only` names the family the address must be of.
    ///
    /// # Errors
    /// A number of the other family.
    pub(super) fn new(host: Host, service: Service, only: Option<Family>, options: &Options) -> Result<Self> {
        let host = match (only, host.family()) {
            (Some(only), Some(family)) if only != family => mapped(host, only, options)?,
            _ => host,
        };
        let known = match (&host, &service) {
            (Host::Number(ip, scope), Service::Port(port)) => Some(with_scope(*ip, *port, *scope)),
            _ => None,
        };
        Ok(Self { host, service, only, known })
    }

    /// The family, where it is certain.
    pub(super) fn family(&self) -> Option<Family> {
        self.only.or_else(|| self.host.family())
    }

    /// Demands a family, unless one is demanded or known already.
    pub(super) fn restrict(&mut self, family: Option<Family>) {
        self.only = self.only.or(family);
    }

    /// All addresses, the preferred family first. `passive` is for addresses that will be bound.
    pub(super) async fn addresses(
        &self,
        resolver: &Resolver,
        prefer: IpVersion,
        passive: bool,
    ) -> Result<Cow<'_, [SocketAddr]>> {
        if let Some(known) = &self.known {
            return Ok(Cow::Borrowed(std::slice::from_ref(known)));
        }
        let found = match (&self.host, &self.service) {
            (Host::Number(ip, scope), service) => vec![with_scope(*ip, resolver.port(service).await?, *scope)],
            (Host::Scoped(ip, interface), service) => {
                let scope = nix::net::if_::if_nametoindex(interface.as_str())
                    .map_err(|error| Error::open(Phase::Resolve, error.into()))?;
                vec![with_scope((*ip).into(), resolver.port(service).await?, scope)]
            }
            (Host::Name(host), Service::Name(service)) => {
                resolver.lookup(Some(host.clone()), Some(service.clone()), self.only, passive).await?
            }
            (Host::Name(host), Service::Port(port)) => {
                let mut found = resolver.lookup(Some(host.clone()), None, self.only, passive).await?;
                for address in &mut found {
                    address.set_port(*port);
                }
                found
            }
        };
        Ok(Cow::Owned(ordered(found, prefer)))
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Host::Number(IpAddr::V6(ip), _) => write!(f, "[{ip}]:")?,
            Host::Number(ip, _) => write!(f, "{ip}:")?,
            Host::Scoped(ip, interface) => write!(f, "[{ip}%{}]:", printable(interface.as_bytes()))?,
            Host::Name(name) => write!(f, "{}:", printable(name.as_bytes()))?,
        }
        match &self.service {
            Service::Port(port) => write!(f, "{port}"),
            Service::Name(name) => f.write_str(&printable(name.as_bytes())),
        }
    }
}

/// An IPv4 number where only IPv6 will do: allowed when `ai-v4mapped` asks for it (getaddrinfo(3)).
fn mapped(host: Host, only: Family, options: &Options) -> Result<Host> {
    let (set, clear) = options.settings.socket.resolver_flags;
    let wanted = set & !clear & libc::AI_V4MAPPED != 0;
    match host {
        Host::Number(IpAddr::V4(ip), _) if wanted && only == Family::V6 => {
            Ok(Host::Number(ip.to_ipv6_mapped().into(), 0))
        }
        Host::Number(ip, _) => Err(Error::text(format!("{ip} is not an {} address", only.word()))),
        Host::Scoped(ip, _) => Err(Error::text(format!("{ip} is not an {} address", only.word()))),
        Host::Name(_) => Ok(host),
    }
}

fn with_scope(ip: IpAddr, port: u16, scope: u32) -> SocketAddr {
    match ip {
        IpAddr::V4(_) => SocketAddr::new(ip, port),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
    }
}

/// The preferred family first, else in the resolver's order; each address once.
fn ordered(found: Vec<SocketAddr>, prefer: IpVersion) -> Vec<SocketAddr> {
    let mut addresses: Vec<SocketAddr> = Vec::with_capacity(found.len());
    for address in found {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match prefer {
        IpVersion::V4 => addresses.sort_by_key(SocketAddr::is_ipv6),
        IpVersion::V6 => addresses.sort_by_key(SocketAddr::is_ipv4),
        IpVersion::Any => {}
    }
    addresses
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    fn target(host: &str, service: &str, only: Option<Family>) -> Result<Target> {
        Target::new(Host::parse(host.as_bytes())?, Service::parse(service.as_bytes())?, only, &Options::default())
    }

    #[test]
    fn hosts_are_numbers_or_names() {
        let number = |text: &str| Host::Number(text.parse().unwrap(), 0);
        assert_eq!(Host::parse(b"127.0.0.1").unwrap(), number("127.0.0.1"));
        assert_eq!(Host::parse(b"[::1]").unwrap(), number("::1"));
        assert_eq!(Host::parse(b"::1").unwrap(), number("::1"));
        assert_eq!(Host::parse(b"[fe80::1%3]").unwrap(), Host::Number("fe80::1".parse().unwrap(), 3));
        assert_eq!(Host::parse(b"fe80::1%lo").unwrap(), Host::Scoped("fe80::1".parse().unwrap(), "lo".to_owned()));
        assert!(matches!(Host::parse(b"example.org").unwrap(), Host::Name(_)));
    }

    #[test]
    fn strange_hosts_are_refused() {
        let long = "a".repeat(254);
        for text in ["", "a b", "a\r\nb", "x!!y", "a,b", "[nonsense]", "a\0b", "x|y", &long] {
            assert!(Host::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(Host::parse(b"\xff\xfe").is_err());
    }

    #[test]
    fn ports_are_numbers_in_range_or_services() {
        for (text, port) in [("80", 80), ("0x50", 80), ("010", 8), ("0", 0), ("65535", 65535)] {
            assert_eq!(Service::parse(text.as_bytes()).unwrap(), Service::Port(port), "{text}");
        }
        assert!(matches!(Service::parse(b"http").unwrap(), Service::Name(_)));
        assert!(matches!(Service::parse(b"3com-tsmux").unwrap(), Service::Name(_)));
        for text in ["", "65536", "80000", "99999999999999999999", "80/", "80 ", "a b", "-1", "8.0"] {
            assert!(Service::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert_eq!(Service::parse(b"").unwrap_err().message(), "empty port and service");
    }

    #[test]
    fn numbers_must_be_of_the_family_asked_for() {
        assert_eq!(
            target("127.0.0.1", "80", Some(Family::V6)).unwrap_err().message(),
            "127.0.0.1 is not an IPv6 address"
        );
        assert!(target("[::1]", "80", Some(Family::V6)).is_ok());
        let mut options = Options::default();
        options.settings.socket.resolver_flags = (libc::AI_V4MAPPED, 0);
        let host = Host::parse(b"127.0.0.1").unwrap();
        let mapped = Target::new(host, Service::Port(80), Some(Family::V6), &options).unwrap();
        assert_eq!(mapped.known, Some("[::ffff:127.0.0.1]:80".parse().unwrap()));
    }

    #[test]
    fn the_preferred_family_comes_first_and_nothing_twice() {
        let [a, b, c] = ["[::1]:1", "127.0.0.1:1", "[::2]:1"].map(|text| text.parse::<SocketAddr>().unwrap());
        assert_eq!(ordered(vec![a, b, c, a], IpVersion::V4), [b, a, c]);
        assert_eq!(ordered(vec![b, a, c], IpVersion::V6), [a, c, b]);
        assert_eq!(ordered(vec![a, b, c], IpVersion::Any), [a, b, c]);
    }

    #[tokio::test]
    async fn services_are_looked_up_by_name() {
        let resolver = Resolver::new(&Options::default(), libc::SOCK_STREAM);
        let http = target("127.0.0.1", "http", None).unwrap();
        let found = http.addresses(&resolver, IpVersion::V4, false).await.unwrap();
        assert_eq!(*found, ["127.0.0.1:80".parse().unwrap()]);
        let unknown = target("127.0.0.1", "no-such-service", None).unwrap();
        let error = unknown.addresses(&resolver, IpVersion::V4, false).await.unwrap_err();
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Open, Phase::Resolve));
        assert!(error.message().starts_with("getaddrinfo(\"no-such-service\"): "), "{error}");
    }

    #[tokio::test]
    async fn the_scope_of_an_interface_is_found() {
        let resolver = Resolver::new(&Options::default(), libc::SOCK_STREAM);
        let local = target("[fe80::1%lo]", "80", None).unwrap();
        let found = local.addresses(&resolver, IpVersion::Any, false).await.unwrap();
        let SocketAddr::V6(address) = found[0] else { panic!("{found:?}") };
        assert_ne!(address.scope_id(), 0);
    }
}
