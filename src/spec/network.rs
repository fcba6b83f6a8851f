//! Ports and IPv6 addresses, as text. Nothing is looked up here.

use std::net::Ipv6Addr;

use super::{Fault, number};
use crate::error::excerpt;

/// A port as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PortText {
    /// Its number.
    Number(u16),
    /// A service's name, see services(5): letters, digits and some signs, at least one letter.
    Service(String),
}

/// Reads a port: a number in base 0 or the name of a service.
///
/// # Errors
/// Nothing at all, a number outside 0..65535, and what can be no service's name.
pub fn port(text: &[u8]) -> Result<PortText, Fault> {
    if text.is_empty() {
        return Err(Fault::new("empty port and service"));
    }
    let outside = || Fault::new(format!("port {} is out of range, the highest is {}", excerpt(text), u16::MAX));
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_+.*/".contains(byte);
    match number::whole_number(text) {
        Ok(number) => u16::try_from(number).map(PortText::Number).map_err(|_| outside()),
        Err(fault) if fault.is_out_of_range() => Err(outside()),
        Err(_) => match std::str::from_utf8(text) {
            // Without a letter it is a slip of a number, not a service.
            Ok(name) if text.iter().all(fits) && text.iter().any(u8::is_ascii_alphabetic) => {
                Ok(PortText::Service(name.to_owned()))
            }
            _ => Err(Fault::new(format!("\"{}\" is neither a port nor a service", excerpt(text)))),
        },
    }
}

/// Whether this is an IPv6 address, perhaps with an interface behind `%`.
pub(super) fn is_version_six(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let (address, scope) = text.split_once('%').unwrap_or((text, "interface"));
    address.parse::<Ipv6Addr>().is_ok() && !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn ports_are_numbers_or_services() {
        for (text, number) in [("0", 0), ("80", 80), ("65535", 65535), ("0x50", 80), ("010", 8), (" 10", 10)] {
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
            assert_eq!(message, format!("port {text} is out of range, the highest is 65535"));
        }
        assert_eq!(port(b"").unwrap_err().to_string(), "empty port and service");
        for text in [&b"a b"[..], b"\xff", b"a\n", b"80/", b"80 ", b"8.0", b"::1"] {
            assert!(port(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn addresses_of_version_six_are_recognised() {
        for text in ["::", "::1", "fe80::1%eth0", "fe80::1%2", "1:2:3:4:5:6:7:8", "::ffff:1.2.3.4"] {
            assert!(is_version_six(text.as_bytes()), "{text}");
        }
        for text in ["", ":", "1:2", "127.0.0.1", "fe80::1%", "[::1]", "a:b::c:d:e:f:g", "\u{fc}::1"] {
            assert!(!is_version_six(text.as_bytes()), "{text}");
        }
    }
}
