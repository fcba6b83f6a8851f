//! The local end of a client's socket: the options `bind`, `sourceport` and `lowport`.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use socket2::{SockAddr, Socket};

use super::IpVersion;
use super::resolve::{Family, Host, Resolver, Service, Target};
use crate::error::{Error, Phase, Result};
use crate::option::Options;

/// The ports `lowport` chooses from, as rresvport(3) does.
const LOW_PORTS: std::ops::RangeInclusive<u16> = 640..=1023;

/// What a client's socket is bound to before it connects.
#[derive(Debug, Clone)]
pub(super) struct Local {
    /// The host; the wildcard address where only a port is given.
    host: Option<Target>,
    port: LocalPort,
}

/// Which port.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LocalPort {
    /// This one; 0 lets the kernel choose.
    Given(Service),
    /// A free one below 1024.
    Low,
}

impl Local {
    /// Reads the options; `None` where there is nothing to bind.
    pub(super) fn plan(options: &Options, only: Option<Family>) -> Result<Option<Self>> {
        let (socket, access) = (&options.settings.socket, &options.settings.access);
        let (host, service) = match &socket.bind {
            None => (None, None),
            Some(text) => split(text).map_err(|error| options.blame("bind", error))?,
        };
        let port = match (access.source_port, access.low_port, service) {
            (Some(port), ..) => LocalPort::Given(Service::Port(port)),
            (None, true, _) => LocalPort::Low,
            (None, false, Some(service)) => LocalPort::Given(service),
            (None, false, None) if host.is_none() => return Ok(None),
            (None, false, None) => LocalPort::Given(Service::Port(0)),
        };
        let host = host.map(|host| Target::new(host, Service::Port(0), only, options)).transpose()?;
        Ok(Some(Self { host, port }))
    }

    /// The family the local address forces upon the remote one.
    pub(super) fn family(&self) -> Option<Family> {
        self.host.as_ref().and_then(Target::family)
    }

    /// Looks up what can be bound.
    pub(super) async fn addresses(&self, resolver: &Resolver) -> Result<Bindable> {
        let addresses = match &self.host {
            None => None,
            Some(host) => Some(host.addresses(resolver, IpVersion::Any, true).await?.into_owned()),
        };
        let port = match &self.port {
            LocalPort::Given(service) => Some(resolver.port(service).await?),
            LocalPort::Low => None,
        };
        Ok(Bindable { addresses, port })
    }
}

/// Splits `[host][:port]`.
pub(super) fn split(text: &[u8]) -> Result<(Option<Host>, Option<Service>)> {
    let after_brackets = match text.first() {
        Some(b'[') => text.iter().position(|byte| *byte == b']').map_or(text.len(), |end| end + 1),
        _ => 0,
    };
    let mut colons = text[after_brackets..].iter().filter(|byte| **byte == b':');
    if after_brackets == 0 && colons.nth(1).is_some() {
        // Only an IPv6 address without brackets has more than one.
        return Ok((Some(Host::parse(text)?), None));
    }
    let (host, port) = match text[after_brackets..].iter().position(|byte| *byte == b':') {
        Some(at) => (&text[..after_brackets + at], Some(&text[after_brackets + at + 1..])),
        None => (text, None),
    };
    let host = if host.is_empty() { None } else { Some(Host::parse(host)?) };
    Ok((host, port.map(Service::parse).transpose()?))
}

/// Addresses to choose from, and the port.
#[derive(Debug)]
pub(super) struct Bindable {
    addresses: Option<Vec<SocketAddr>>,
    /// `None` is for `lowport`.
    port: Option<u16>,
}

impl Bindable {
    /// The address for talking to `remote`; `None` where there is none of its family.
    pub(super) fn fitting(&self, remote: &SocketAddr) -> Option<SocketAddr> {
        let wildcard = || match remote.ip() {
            IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let mut address = match &self.addresses {
            None => wildcard(),
            Some(addresses) => *addresses.iter().find(|address| address.is_ipv4() == remote.is_ipv4())?,
        };
        address.set_port(self.port.unwrap_or(0));
        Some(address)
    }

    /// bind(2); for `lowport` to one free port after the other, beginning anywhere.
    pub(super) fn bind(&self, socket: &Socket, address: SocketAddr) -> Result<()> {
        let failed = |error: io::Error| Error::open(Phase::Bind, error);
        if self.port.is_some() {
            return socket.bind(&SockAddr::from(address)).map_err(failed);
        }
        let count = LOW_PORTS.end() - LOW_PORTS.start() + 1;
        let begin = u16::try_from(random() % u64::from(count)).unwrap_or(0);
        for offset in 0..count {
            let port = LOW_PORTS.start() + (begin + offset) % count;
            match socket.bind(&SockAddr::from(SocketAddr::new(address.ip(), port))) {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {}
                result => return result.map_err(failed),
            }
        }
        Err(failed(io::Error::from_raw_os_error(libc::EADDRINUSE)))
    }
}

/// A number nobody can foretell: the keys of std's hash tables come from the kernel.
pub(super) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;

    #[expect(clippy::unnecessary_wraps, reason = "reads like what it is compared with")]
    fn host(text: &str) -> Option<Host> {
        Some(Host::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn bind_has_a_host_a_port_or_both() {
        let port = Some(Service::Port(80));
        for (text, expected) in [
            ("127.0.0.1", (host("127.0.0.1"), None)),
            ("127.0.0.1:80", (host("127.0.0.1"), port.clone())),
            (":80", (None, port.clone())),
            ("[::1]:80", (host("::1"), port.clone())),
            ("[::1]", (host("::1"), None)),
            ("::1", (host("::1"), None)),
            ("localhost:80", (host("localhost"), port)),
            ("", (None, None)),
        ] {
            assert_eq!(split(text.as_bytes()).unwrap(), expected, "{text}");
        }
        for text in ["127.0.0.1:", "127.0.0.1:70000", "[::1", "[::1]x", "::g"] {
            assert!(split(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn sourceport_wins_over_the_port_of_bind() {
        let mut options = Options::default();
        options.settings.socket.bind = Some(b":80".to_vec());
        assert_eq!(Local::plan(&options, None).unwrap().unwrap().port, LocalPort::Given(Service::Port(80)));
        options.settings.access.source_port = Some(81);
        assert_eq!(Local::plan(&options, None).unwrap().unwrap().port, LocalPort::Given(Service::Port(81)));
        assert!(Local::plan(&Options::default(), None).unwrap().is_none());
    }

    #[tokio::test]
    async fn the_local_address_is_of_the_remote_family() {
        let mut options = Options::default();
        options.settings.access.source_port = Some(4000);
        let resolver = Resolver::new(&options, libc::SOCK_STREAM);
        let local = Local::plan(&options, None).unwrap().unwrap();
        let bindable = local.addresses(&resolver).await.unwrap();
        assert_eq!(bindable.fitting(&"[::1]:1".parse().unwrap()), Some("[::]:4000".parse().unwrap()));
        options.settings.socket.bind = Some(b"127.0.0.2".to_vec());
        let local = Local::plan(&options, None).unwrap().unwrap();
        let bindable = local.addresses(&resolver).await.unwrap();
        assert_eq!(bindable.fitting(&"127.0.0.1:1".parse().unwrap()), Some("127.0.0.2:4000".parse().unwrap()));
        assert_eq!(bindable.fitting(&"[::1]:1".parse().unwrap()), None);
    }
}
