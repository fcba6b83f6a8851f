//! TCP: clients and listeners.

use super::resolve::Family;
use super::socket::Shape;
use super::{Direction, Kind, inet};
use crate::option::Groups;

const TCP: Groups = Groups::FD.and(Groups::SOCKET).and(Groups::CHILD).and(Groups::RETRY).and(Groups::TCP);
const CLIENT: Groups = TCP.and(Groups::CONNECT);
const LISTENER: Groups = TCP.and(Groups::LISTEN).and(Groups::RANGE);

pub(super) static KINDS: &[Kind] = &[
    Kind {
        name: "TCP-CONNECT",
        aliases: &["INET", "TCP"],
        usage: ":<host>:<port>",
        params: (2, 2),
        groups: CLIENT.and(Groups::IP4).and(Groups::IP6),
        direction: Direction::Both,
        doc: "A TCP connection to a port of a host, over IPv4 or IPv6. All addresses of the host are tried, one \
              after the other, until one answers. The port is a number or a service's name.",
        plan: |request| inet::client(request, None, Shape::TCP),
    },
    Kind {
        name: "TCP4-CONNECT",
        aliases: &["INET4", "TCP4"],
        usage: ":<host>:<port>",
        params: (2, 2),
        groups: CLIENT.and(Groups::IP4),
        direction: Direction::Both,
        doc: "As TCP-CONNECT, over IPv4 only.",
        plan: |request| inet::client(request, Some(Family::V4), Shape::TCP),
    },
    Kind {
        name: "TCP6-CONNECT",
        aliases: &["INET6", "TCP6"],
        usage: ":<host>:<port>",
        params: (2, 2),
        groups: CLIENT.and(Groups::IP6),
        direction: Direction::Both,
        doc: "As TCP-CONNECT, over IPv6 only.",
        plan: |request| inet::client(request, Some(Family::V6), Shape::TCP),
    },
    Kind {
        name: "TCP-LISTEN",
        aliases: &["INET-L", "INET-LISTEN", "TCP-L"],
        usage: ":<port>",
        params: (1, 1),
        groups: LISTENER.and(Groups::IP4).and(Groups::IP6),
        direction: Direction::Both,
        doc: "Waits on a port for a TCP connection; with fork for any number of them. On all interfaces unless \
              bind names one; over IPv4 unless pf, bind or a switch says otherwise. Port 0 lets the system choose.",
        plan: |request| inet::listener(request, None, Shape::TCP),
    },
    Kind {
        name: "TCP4-LISTEN",
        aliases: &["INET4-L", "INET4-LISTEN", "TCP4-L"],
        usage: ":<port>",
        params: (1, 1),
        groups: LISTENER.and(Groups::IP4),
        direction: Direction::Both,
        doc: "As TCP-LISTEN, over IPv4 only.",
        plan: |request| inet::listener(request, Some(Family::V4), Shape::TCP),
    },
    Kind {
        name: "TCP6-LISTEN",
        aliases: &["INET6-L", "INET6-LISTEN", "TCP6-L"],
        usage: ":<port>",
        params: (1, 1),
        groups: LISTENER.and(Groups::IP6),
        direction: Direction::Both,
        doc: "As TCP-LISTEN, on an IPv6 socket. Whether it serves IPv4 as well is up to the system and to ipv6-v6only.",
        plan: |request| inet::listener(request, Some(Family::V6), Shape::TCP),
    },
];
