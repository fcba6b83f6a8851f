//! Multicast groups to join: the text between the colons, read before anything is opened.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Value;

/// A network interface as the user names it; a name is looked up when the group is joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Interface {
    /// The kernel chooses.
    Any,
    /// By index, see netdevice(7).
    Index(u32),
    /// By name.
    Name(String),
}

/// A multicast group to join.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Membership {
    /// `IP_ADD_MEMBERSHIP`, ip(7).
    V4 {
        /// The group.
        group: Ipv4Addr,
        /// An address of the interface; unspecified when it is not named by address.
        local: Ipv4Addr,
        /// The interface.
        interface: Interface,
    },
    /// For what one source sends: `IP_ADD_SOURCE_MEMBERSHIP`, ip(7).
    V4Source {
        /// The group.
        group: Ipv4Addr,
        /// An address of the interface; unspecified when it is not named by address.
        local: Ipv4Addr,
        /// The interface.
        interface: Interface,
        /// Who sends.
        source: Ipv4Addr,
    },
    /// `IPV6_ADD_MEMBERSHIP`, ipv6(7).
    V6 {
        /// The group.
        group: Ipv6Addr,
        /// The interface.
        interface: Interface,
    },
    /// For what one source sends: `MCAST_JOIN_SOURCE_GROUP`, RFC 3678.
    V6Source {
        /// The group.
        group: Ipv6Addr,
        /// The interface.
        interface: Interface,
        /// Who sends.
        source: Ipv6Addr,
    },
}

/// Reads `group:interface-address[:interface]`, `group:interface` or `group`.
pub(super) fn v4(value: &Value) -> Result<Membership, String> {
    let (group, rest) = group(value)?;
    let group = address(group)?;
    let (local, interface) = match rest {
        [] => (Ipv4Addr::UNSPECIFIED, Interface::Any),
        [one] => local_or_interface(one)?,
        [local, interface_word] => (address(local)?, interface(interface_word)?),
        _ => return Err("is to be group:interface-address:interface".to_owned()),
    };
    Ok(Membership::V4 { group, local, interface })
}

/// Reads `group:interface-address:source` or `group:interface:source`.
pub(super) fn v4_source(value: &Value) -> Result<Membership, String> {
    match group(value)? {
        (group, [one, source]) => {
            let (local, interface) = local_or_interface(one)?;
            Ok(Membership::V4Source { group: address(group)?, local, interface, source: address(source)? })
        }
        _ => Err("is to be group:interface-address:source".to_owned()),
    }
}

/// Reads `[group]:interface` or `[group]`.
pub(super) fn v6(value: &Value) -> Result<Membership, String> {
    let (group, rest) = group(value)?;
    let interface = match rest {
        [] => Interface::Any,
        [one] => interface(one)?,
        _ => return Err("is to be [group]:interface".to_owned()),
    };
    Ok(Membership::V6 { group: address_v6(group)?, interface })
}

/// Reads `[group]:interface:[source]`.
pub(super) fn v6_source(value: &Value) -> Result<Membership, String> {
    match group(value)? {
        (group, [one, source]) => Ok(Membership::V6Source {
            group: address_v6(group)?,
            interface: interface(one)?,
            source: address_v6(source)?,
        }),
        _ => Err("is to be [group]:interface:[source]".to_owned()),
    }
}

fn group(value: &Value) -> Result<(&str, &[String]), String> {
    match value {
        Value::Parts(parts) => match parts.split_first() {
            Some((group, rest)) => Ok((group, rest)),
            None => Err("a multicast group is missing".to_owned()),
        },
        _ => Err("a multicast group is missing".to_owned()),
    }
}

fn local_or_interface(word: &str) -> Result<(Ipv4Addr, Interface), String> {
    match word.parse() {
        Ok(local) => Ok((local, Interface::Any)),
        Err(_) => Ok((Ipv4Addr::UNSPECIFIED, interface(word)?)),
    }
}

fn interface(word: &str) -> Result<Interface, String> {
    if word.is_empty() || word.len() >= libc::IFNAMSIZ {
        return Err(format!("\"{word}\" is not a network interface"));
    }
    Ok(word.parse().map_or_else(|_| Interface::Name(word.to_owned()), Interface::Index))
}

fn address(word: &str) -> Result<Ipv4Addr, String> {
    word.parse().map_err(|_| format!("\"{word}\" is not an IPv4 address"))
}

fn address_v6(word: &str) -> Result<Ipv6Addr, String> {
    let bare = word.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(word);
    bare.parse().map_err(|_| format!("\"{word}\" is not an IPv6 address"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn parts(words: &[&str]) -> Value {
        Value::Parts(words.iter().map(|&word| word.to_owned()).collect())
    }

    #[test]
    fn an_interface_is_an_address_a_name_or_an_index() {
        let read = |words: &[&str]| match v4(&parts(words)).unwrap() {
            Membership::V4 { local, interface, .. } => (local, interface),
            other => unreachable!("{other:?}"),
        };
        assert_eq!(read(&["239.1.2.3", "127.0.0.1"]), (Ipv4Addr::LOCALHOST, Interface::Any));
        assert_eq!(read(&["239.1.2.3", "lo"]), (Ipv4Addr::UNSPECIFIED, Interface::Name("lo".into())));
        assert_eq!(read(&["239.1.2.3", "3"]), (Ipv4Addr::UNSPECIFIED, Interface::Index(3)));
        assert_eq!(read(&["239.1.2.3", "127.0.0.1", "1"]), (Ipv4Addr::LOCALHOST, Interface::Index(1)));
    }

    #[test]
    fn what_is_wrong_is_said_before_anything_is_opened() {
        assert!(v4(&parts(&["group"])).unwrap_err().contains("not an IPv4 address"));
        assert!(v4(&parts(&["239.1.2.3", ""])).unwrap_err().contains("not a network interface"));
        assert!(v4_source(&parts(&["239.1.2.3", "lo"])).unwrap_err().contains("source"));
        assert!(v6(&parts(&["239.1.2.3", "lo"])).unwrap_err().contains("not an IPv6 address"));
        assert!(v6_source(&parts(&["[ff02::1]", "lo", "127.0.0.1"])).unwrap_err().contains("not an IPv6 address"));
    }

    #[test]
    fn brackets_may_stay() {
        let with = v6(&parts(&["[ff02::fb]", "lo"])).unwrap();
        assert_eq!(with, v6(&parts(&["ff02::fb", "lo"])).unwrap());
    }
}
