//! Ports, hosts and ranges of addresses, as text. Nothing is looked up here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Fault, number};
use crate::error::excerpt;

/// A port as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortText {
    /// Its number.
    Number(u16),
    /// A service's name, see services(5).
    Service(String),
}

/// A host as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostText {
    /// A dotted IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address and, behind `%`, the name or index of an interface.
    V6(Ipv6Addr, Option<String>),
    /// A name, to be resolved.
    Name(String),
}

/// Reads a port: a number in base 0 or the name of a service.
///
/// # Errors
/// Nothing at all, a number outside 0..65535, and what can be no service's name.
pub fn port(text: &[u8]) -> Result<PortText, Fault> {
    if text.is_empty() {
        return Err(Fault::new("empty port and service"));
    }
    let number = text.iter().all(u8::is_ascii_digit) || text.starts_with(b"0x") || text.starts_with(b"-");
    match number::whole_number(text) {
        Ok(number) => u16::try_from(number).map(PortText::Number).map_err(|_| outside(text)),
        Err(fault) if number && !fault.is_missing_number() => Err(outside(text)),
        Err(_) => match std::str::from_utf8(text) {
            Ok(name) if name.bytes().all(|byte| byte.is_ascii_graphic()) => Ok(PortText::Service(name.to_owned())),
            _ => Err(Fault::new(format!("\"{}\" is neither a port nor a service", excerpt(text)))),
        },
    }
}

fn outside(text: &[u8]) -> Fault {
    Fault::new(format!("port {} is out of range (0 to 65535)", excerpt(text)))
}

/// Reads a host: a name, dotted IPv4, `[IPv6]`, or IPv6 without brackets where nothing else can follow.
///
/// # Errors
/// What cannot be one: nothing, more than 253 bytes, spaces, control characters, separators of addresses.
pub fn host(text: &[u8]) -> Result<HostText, Fault> {
    let bad = || Fault::new(format!("\"{}\" is not a host", excerpt(text)));
    let name = std::str::from_utf8(text).map_err(|_| bad())?;
    if name.is_empty() {
        return Err(Fault::new("empty host"));
    }
    if let Some(inner) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return version_six(inner)
            .ok_or_else(|| Fault::new(format!("\"{}\" is not an IPv6 address", excerpt(inner.as_bytes()))));
    }
    if let Ok(address) = name.parse() {
        return Ok(HostText::V4(address));
    }
    if let Some(address) = version_six(name) {
        return Ok(address);
    }
    let strange = |c: char| c.is_control() || c.is_whitespace() || ":,!\"'\\|/()[]{}<>@".contains(c);
    match name.find(strange) {
        Some(at) => Err(bad().bytes(at..at + 1)),
        None if name.len() > 253 => Err(Fault::new("a host's name has at most 253 bytes")),
        None => Ok(HostText::Name(name.to_owned())),
    }
}

/// An IPv6 address, with the scope behind `%` if there is one.
pub(super) fn version_six(text: &str) -> Option<HostText> {
    let (address, scope) = match text.split_once('%') {
        Some((address, scope)) => (address, Some(scope)),
        None => (text, None),
    };
    let fits = scope.is_none_or(|scope| !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic()));
    let address = address.parse().ok().filter(|_| fits)?;
    Some(HostText::V6(address, scope.map(str::to_owned)))
}

/// Addresses that have some leading bits in common, or the bits of a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    address: IpAddr,
    mask: IpAddr,
}

impl AddressRange {
    /// Reads `a.b.c.d/bits`, `a.b.c.d:mask`, `[v6]/bits` or, as socat did before 1.8, `[v6/bits]`.
    ///
    /// # Errors
    /// Anything else; the message says which part is wrong.
    pub fn parse(text: &[u8]) -> Result<Self, Fault> {
        let shown = excerpt(text);
        let text = std::str::from_utf8(text).map_err(|_| Fault::new(format!("\"{shown}\" is not a range")))?;
        if let Some((inside, behind)) = text.strip_prefix('[').and_then(|rest| rest.rsplit_once(']')) {
            let (address, bits) = match behind.strip_prefix('/') {
                Some(bits) => (inside, Some(bits)),
                None => inside.split_once('/').map_or((inside, None), |(address, bits)| (address, Some(bits))),
            };
            return Self::version_six(address, bits.filter(|_| behind.is_empty() || behind.starts_with('/')), &shown);
        }
        if let Some((address, _)) = text.split_once('/').filter(|(address, _)| address.parse::<Ipv6Addr>().is_ok()) {
            let bits = &text[address.len()..];
            return Err(Fault::new("an IPv6 range needs brackets").hint(format!("write [{address}]{bits}")));
        }
        Self::version_four(text, &shown)
    }

    /// What has been read: the address and the mask, of the same version.
    pub fn parts(&self) -> (IpAddr, IpAddr) {
        (self.address, self.mask)
    }

    /// Whether `peer` is within. IPv4 addresses that come mapped into IPv6 (`::ffff:1.2.3.4`, RFC 4291
    /// section 2.5.5.2) and plain ones are the same.
    pub fn contains(&self, peer: IpAddr) -> bool {
        match (self.address, self.mask, peer.to_canonical()) {
            (IpAddr::V4(address), IpAddr::V4(mask), IpAddr::V4(peer)) => {
                (address.to_bits() ^ peer.to_bits()) & mask.to_bits() == 0
            }
            (IpAddr::V6(address), IpAddr::V6(mask), peer) => {
                let peer = match peer {
                    IpAddr::V4(peer) => peer.to_ipv6_mapped(),
                    IpAddr::V6(peer) => peer,
                };
                (address.to_bits() ^ peer.to_bits()) & mask.to_bits() == 0
            }
            _ => false,
        }
    }

    fn version_six(address: &str, bits: Option<&str>, shown: &str) -> Result<Self, Fault> {
        let Ok(address) = address.parse::<Ipv6Addr>() else {
            return Err(Fault::new(format!("\"{}\" is not an IPv6 address", excerpt(address.as_bytes()))));
        };
        let Some(bits) = bits else {
            return Err(Fault::new(format!("missing netmask delimiter in \"{shown}\""))
                .hint(format!("write [{address}]/128 for this one address")));
        };
        let bits = prefix(bits, 128, shown)?;
        let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
        Ok(Self { address: address.into(), mask: Ipv6Addr::from_bits(mask).into() })
    }

    fn version_four(text: &str, shown: &str) -> Result<Self, Fault> {
        let Some(at) = text.find(['/', ':']) else {
            return Err(Fault::new(format!("missing netmask delimiter in \"{shown}\""))
                .hint(format!("write {shown}/32 for one address, {shown}/24 for a network")));
        };
        let (address, mask) = (&text[..at], &text[at + 1..]);
        let Ok(address) = address.parse::<Ipv4Addr>() else {
            return Err(Fault::new(format!("\"{}\" is not an IPv4 address", excerpt(address.as_bytes()))).bytes(0..at));
        };
        let mask = if text.as_bytes()[at] == b'/' {
            let bits = prefix(mask, 32, shown)?;
            Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - bits).unwrap_or(0))
        } else {
            let wrong =
                || Fault::new(format!("\"{}\" is not a netmask", excerpt(mask.as_bytes()))).bytes(at + 1..text.len());
            mask.parse().map_err(|_| wrong())?
        };
        Ok(Self { address: address.into(), mask: mask.into() })
    }
}

/// The number of leading bits.
fn prefix(bits: &str, most: u32, shown: &str) -> Result<u32, Fault> {
    let number = bits.bytes().all(|byte| byte.is_ascii_digit()).then(|| bits.parse::<u32>());
    match number {
        Some(Ok(bits)) if bits <= most => Ok(bits),
        _ => Err(Fault::new(format!("not a valid netmask in \"{shown}\" (0 to {most} bits)"))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ports_are_numbers_or_services() {
        for (text, number) in [("0", 0), ("80", 80), ("65535", 65535), ("0x50", 80), ("010", 8)] {
            assert_eq!(port(text.as_bytes()).unwrap(), PortText::Number(number), "{text}");
        }
        for text in ["http", "9pfs", "x11-ssh-offset"] {
            assert_eq!(port(text.as_bytes()).unwrap(), PortText::Service(text.to_owned()));
        }
    }

    #[test]
    fn ports_out_of_range_are_refused() {
        for text in ["65536", "80000", "-1", "0x10000", "99999999999999999999999"] {
            let message = port(text.as_bytes()).unwrap_err().to_string();
            assert_eq!(message, format!("port {text} is out of range (0 to 65535)"));
        }
        assert_eq!(port(b"").unwrap_err().to_string(), "empty port and service");
        for text in [&b"a b"[..], b"\xff", b"a\n"] {
            assert!(port(text).is_err());
        }
    }

    #[test]
    fn hosts_are_addresses_or_names() {
        let six = |scope: Option<&str>| HostText::V6("fe80::1".parse().unwrap(), scope.map(str::to_owned));
        assert_eq!(host(b"10.0.0.1").unwrap(), HostText::V4([10, 0, 0, 1].into()));
        assert_eq!(host(b"[fe80::1]").unwrap(), six(None));
        assert_eq!(host(b"fe80::1").unwrap(), six(None));
        assert_eq!(host(b"[fe80::1%eth0]").unwrap(), six(Some("eth0")));
        assert_eq!(host(b"fe80::1%2").unwrap(), six(Some("2")));
        assert_eq!(host("bücher.example".as_bytes()).unwrap(), HostText::Name("bücher.example".to_owned()));
        assert_eq!(host(b"a_b").unwrap(), HostText::Name("a_b".to_owned()));
    }

    #[test]
    fn what_is_no_host_is_refused() {
        let long = "a".repeat(254);
        for text in ["", "[::1", "[x]", "[10.0.0.1]", "a b", "a\r\nb", "a:b", "a/b", "fe80::1%", "[::1]x", "a\0", &long]
        {
            assert!(host(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(host(b"\xff").is_err());
    }

    fn within(range: &str, peer: &str) -> bool {
        AddressRange::parse(range.as_bytes()).unwrap().contains(peer.parse().unwrap())
    }

    #[test]
    fn ranges_hold_addresses() {
        assert!(within("10.0.0.0/8", "10.255.1.2"));
        assert!(!within("10.0.0.0/8", "11.0.0.0"));
        assert!(within("10.1.2.3/8", "10.9.9.9"));
        assert!(within("0.0.0.0/0", "255.255.255.255"));
        assert!(within("127.0.0.1/32", "127.0.0.1"));
        assert!(!within("127.0.0.1/32", "127.0.0.2"));
        assert!(within("192.168.0.5:255.255.0.255", "192.168.77.5"));
        assert!(!within("192.168.0.5:255.255.0.255", "192.168.77.6"));
        assert!(within("[fe80::]/10", "fe80::1"));
        assert!(within("[fe80::/10]", "febf::1"));
        assert!(!within("[fe80::]/10", "fec0::1"));
        assert!(within("[::]/0", "::1"));
    }

    #[test]
    fn mapped_addresses_are_the_plain_ones() {
        assert!(within("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(!within("10.0.0.0/8", "::ffff:11.1.2.3"));
        assert!(within("[::ffff:10.0.0.0]/104", "10.1.2.3"));
        assert!(!within("10.0.0.0/8", "::10.1.2.3"));
        assert!(within("[::]/0", "1.2.3.4"));
        assert!(!within("0.0.0.0/0", "::1"));
    }

    #[test]
    fn wrong_ranges_say_why() {
        for (text, words) in [
            ("127.0.0.1", "missing netmask delimiter"),
            ("[::1]", "missing netmask delimiter"),
            ("127.0.0.1/33", "not a valid netmask"),
            ("127.0.0.1/", "not a valid netmask"),
            ("127.0.0.1/+8", "not a valid netmask"),
            ("[::1]/129", "not a valid netmask"),
            ("127.0.0.1:255", "is not a netmask"),
            ("localhost/8", "is not an IPv4 address"),
            ("[x]/8", "is not an IPv6 address"),
            ("::1/128", "needs brackets"),
            ("[::1]x", "missing netmask delimiter"),
        ] {
            let message = AddressRange::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(message.contains(words), "{text}: {message}");
        }
    }

    proptest! {
        #[test]
        fn a_range_holds_what_shares_its_bits(address: u32, peer: u32, bits in 0_u32..=32) {
            let range = format!("{}/{bits}", Ipv4Addr::from_bits(address));
            let shared = (address ^ peer).leading_zeros() >= bits;
            prop_assert_eq!(within(&range, &Ipv4Addr::from_bits(peer).to_string()), shared);
        }

        #[test]
        fn a_range_of_version_six_holds_what_shares_its_bits(address: u128, flip in 0_u32..128, bits in 0_u32..=128) {
            let range = format!("[{}]/{bits}", Ipv6Addr::from_bits(address));
            let peer = Ipv6Addr::from_bits(address ^ (1 << (127 - flip)));
            prop_assert_eq!(within(&range, &peer.to_string()), flip >= bits);
        }

        #[test]
        fn no_text_of_a_network_panics(text: Vec<u8>) {
            let _ = (port(&text).is_ok(), host(&text).is_ok(), AddressRange::parse(&text).is_ok());
        }
    }
}
