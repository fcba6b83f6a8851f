//! Who may connect: the options `range`, `sourceport`, `lowport` and those of the TCP wrappers, asked about
//! each client before a byte is exchanged with it.

use std::net::{IpAddr, SocketAddr};

use socket2::SockAddr;

use super::resolve::{Family, Host, Resolver, Service, Target};
use super::tcpwrap::{Tables, Verdict};
use super::{Context, IpVersion};
use crate::error::{Error, Result, printable};
use crate::option::{Access, Options};
use crate::warning;

/// What clients of a listener must satisfy.
#[derive(Debug, Clone, Default)]
pub(super) struct Gate {
    range: Option<Range>,
    source_port: Option<u16>,
    low_port: bool,
    tables: Option<Tables>,
}

impl Gate {
    /// Reads the options; `program` is the daemon's name for the TCP wrappers where the option has none.
    pub(super) fn plan(options: &Options, program: &str) -> Result<Self> {
        let access: &Access = &options.settings.access;
        let range = access.range.as_deref().map(Range::parse).transpose();
        Ok(Self {
            range: range.map_err(|error| options.blame("range", error))?,
            source_port: access.source_port,
            low_port: access.low_port,
            tables: Tables::plan(access, program),
        })
    }

    /// Looks up what has to be: the host of a range that is a name.
    pub(super) async fn ready(&self, resolver: &Resolver) -> Result<Self> {
        let mut gate = self.clone();
        if let Some(range) = &mut gate.range {
            range.look_up(resolver).await?;
        }
        Ok(gate)
    }

    /// Whether everybody may connect.
    pub(super) fn is_open(&self) -> bool {
        self.range.is_none() && self.source_port.is_none() && !self.low_port && self.tables.is_none()
    }

    /// Why `peer` may not connect, in the words of the log; `None` when it may. Waits only when a rule of
    /// the TCP wrappers asks for the client's name.
    pub(super) async fn refusal(&self, peer: &SockAddr, context: &Context) -> Option<&'static str> {
        let inet = peer.as_socket().map(unmapped);
        if let Some(range) = &self.range
            && !inet.is_some_and(|peer| range.contains(peer.ip()))
        {
            return Some("range option");
        }
        if let Some(port) = self.source_port
            && inet.is_none_or(|peer| peer.port() != port)
        {
            return Some("wrong sourceport");
        }
        if self.low_port && inet.is_none_or(|peer| peer.port() >= 1024) {
            return Some("lowport option");
        }
        let (Some(tables), Some(peer)) = (&self.tables, inet) else { return None };
        match tables.verdict(peer).await {
            Verdict::Granted => None,
            Verdict::Denied => Some("tcpwrapper option"),
            Verdict::Broken(why) => {
                warning!(context.log, "{why}");
                Some("tcpwrapper option")
            }
        }
    }
}

/// An IPv4 client of a dual stack listener is an IPv4 client (RFC 4291 section 2.5.5.2).
fn unmapped(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// A network: an address and which of its bits count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network {
    address: IpAddr,
    mask: IpAddr,
}

impl Network {
    /// A network of `bits` leading bits.
    pub(super) fn new(address: IpAddr, bits: u32) -> Option<Self> {
        let mask = match address {
            IpAddr::V4(_) if bits <= 32 => IpAddr::from(u32::MAX.checked_shl(32 - bits).unwrap_or(0).to_be_bytes()),
            IpAddr::V6(_) if bits <= 128 => IpAddr::from(u128::MAX.checked_shl(128 - bits).unwrap_or(0).to_be_bytes()),
            _ => return None,
        };
        Some(Self { address, mask })
    }

    /// A network with a mask of the same family.
    pub(super) fn with_mask(address: IpAddr, mask: IpAddr) -> Option<Self> {
        (address.is_ipv4() == mask.is_ipv4()).then_some(Self { address, mask })
    }

    /// Whether an address is in it.
    pub(super) fn contains(&self, ip: IpAddr) -> bool {
        match (self.address, self.mask, ip) {
            (IpAddr::V4(address), IpAddr::V4(mask), IpAddr::V4(ip)) => (address & mask) == (ip & mask),
            (IpAddr::V6(address), IpAddr::V6(mask), IpAddr::V6(ip)) => (address & mask) == (ip & mask),
            _ => false,
        }
    }
}

/// The option `range`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Range {
    host: Host,
    mask: Mask,
    /// One network for each address of the host.
    networks: Vec<Network>,
}

/// How much of the address counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mask {
    Bits(u32),
    Address(IpAddr),
}

impl Mask {
    fn of(self, address: IpAddr) -> Option<Network> {
        match self {
            Self::Bits(bits) => Network::new(address, bits),
            Self::Address(mask) => Network::with_mask(address, mask),
        }
    }
}

impl Range {
    /// Reads `host/bits`, `host:mask`, `[ipv6]/bits`, or the older `[ipv6/bits]`.
    fn parse(text: &[u8]) -> Result<Self> {
        let wrong = |what: &str| Error::text(format!("range \"{}\": {what}", printable(text)));
        let text_utf8 = std::str::from_utf8(text).map_err(|_| wrong("not an address"))?;
        let older =
            text_utf8.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|rest| rest.contains('/'));
        let whole = older.unwrap_or(text_utf8);
        let (host, mask) = if let Some((host, bits)) = whole.rsplit_once('/') {
            let number = bits.parse().ok().filter(|_| bits.bytes().all(|byte| byte.is_ascii_digit()));
            (host, Mask::Bits(number.ok_or_else(|| wrong("the number of bits is missing"))?))
        } else if let Some((host, mask)) = whole.rsplit_once(':').filter(|(_, mask)| mask.contains('.')) {
            (host, Mask::Address(mask.parse().map_err(|_| wrong("the mask is not an address"))?))
        } else {
            return Err(wrong("missing netmask delimiter").hint("write ADDRESS/BITS, ADDRESS:MASK or [IPV6]/BITS"));
        };
        let host = Host::parse(host.as_bytes())?;
        let networks = match &host {
            Host::Number(ip, _) => vec![mask.of(*ip).ok_or_else(|| wrong("netmask is too large"))?],
            Host::Scoped(ip, _) => vec![mask.of((*ip).into()).ok_or_else(|| wrong("netmask is too large"))?],
            Host::Name(_) => Vec::new(),
        };
        Ok(Self { host, mask, networks })
    }

    async fn look_up(&mut self, resolver: &Resolver) -> Result<()> {
        if self.networks.is_empty() {
            let only = match self.mask {
                Mask::Address(mask) => Some(Family::of(mask)),
                Mask::Bits(_) => None,
            };
            let target = Target::new(self.host.clone(), Service::Port(0), only, &Options::default())?;
            let found = target.addresses(resolver, IpVersion::Any, false).await?;
            self.networks = found.iter().filter_map(|address| self.mask.of(address.ip())).collect();
        }
        Ok(())
    }

    fn contains(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(ip))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use super::*;
    use crate::endpoint::testing::quiet;

    fn contains(range: &str, ip: &str) -> bool {
        Range::parse(range.as_bytes()).unwrap().contains(ip.parse().unwrap())
    }

    #[test]
    fn ranges_are_bits_or_masks() {
        assert!(contains("10.0.0.0/8", "10.1.2.3"));
        assert!(!contains("10.0.0.0/8", "11.1.2.3"));
        assert!(contains("10.9.9.9/8", "10.1.2.3"));
        assert!(contains("192.168.1.0:255.255.255.0", "192.168.1.77"));
        assert!(!contains("192.168.1.0:255.255.255.0", "192.168.2.77"));
        assert!(contains("1.2.3.0:255.255.0.255", "1.2.99.0"));
        assert!(contains("0.0.0.0/0", "255.255.255.255"));
        assert!(contains("[::1]/128", "::1"));
        assert!(!contains("[::1]/128", "::2"));
        assert!(contains("[fe80::/10]", "febf::1"));
        assert!(!contains("[::]/0", "1.2.3.4"));
    }

    #[test]
    fn wrong_ranges_are_refused() {
        for text in ["", "foo", "10.0.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "[::1]/129", "[::1]:255.0.0.0"] {
            assert!(Range::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        let error = Range::parse(b"foo").unwrap_err();
        assert_eq!(error.message(), "range \"foo\": missing netmask delimiter");
    }

    async fn refusal(access: Access, peer: &str) -> Option<&'static str> {
        let mut options = Options::default();
        options.settings.access = access;
        let gate = Gate::plan(&options, "test").unwrap();
        let gate = gate.ready(&Resolver::new(&options, libc::SOCK_STREAM)).await.unwrap();
        let peer: SocketAddr = peer.parse().unwrap();
        gate.refusal(&SockAddr::from(peer), &quiet()).await
    }

    #[tokio::test]
    async fn each_option_names_itself() {
        let range = || Access { range: Some(b"127.0.0.0/8".to_vec()), ..Access::default() };
        assert_eq!(refusal(range(), "127.0.0.1:5").await, None);
        assert_eq!(refusal(range(), "[::ffff:127.0.0.1]:5").await, None);
        assert_eq!(refusal(range(), "128.0.0.1:5").await, Some("range option"));
        let port = || Access { source_port: Some(5), ..Access::default() };
        assert_eq!(refusal(port(), "127.0.0.1:5").await, None);
        assert_eq!(refusal(port(), "127.0.0.1:6").await, Some("wrong sourceport"));
        let low = || Access { low_port: true, ..Access::default() };
        assert_eq!(refusal(low(), "127.0.0.1:1023").await, None);
        assert_eq!(refusal(low(), "127.0.0.1:1024").await, Some("lowport option"));
    }

    #[tokio::test]
    async fn a_range_may_be_a_name() {
        let access = || Access { range: Some(b"localhost:255.255.255.255".to_vec()), ..Access::default() };
        assert_eq!(refusal(access(), "127.0.0.1:5").await, None);
        assert_eq!(refusal(access(), "127.0.0.2:5").await, Some("range option"));
    }
}
