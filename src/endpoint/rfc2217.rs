//! RFC 2217: a serial port for others to use.

use super::socket::Shape;
use super::{Direction, Kind, inet};
use crate::option::Groups;

/// The name of the kind whose listening addresses speak RFC 2217 without being told.
pub(super) const LISTEN: &str = "RFC2217-LISTEN";

pub(super) static KINDS: &[Kind] = &[Kind {
    name: LISTEN,
    aliases: &["RFC2217-L"],
    usage: ":<port>",
    params: (1, 1),
    groups: Groups::FD
        .and(Groups::SOCKET)
        .and(Groups::CHILD)
        .and(Groups::RETRY)
        .and(Groups::TCP)
        .and(Groups::LISTEN)
        .and(Groups::RANGE)
        .and(Groups::IP4)
        .and(Groups::IP6),
    direction: Direction::Both,
    doc: "Waits on a port for a TCP connection, as TCP-LISTEN does, and speaks RFC 2217 with the client: it can set \
          speed, parity, break, DTR and RTS of the serial line that the other address is, and is told when the \
          line's signals change. Where the other address is no serial line the settings are imagined.",
    plan: |request| inet::listener(request, None, Shape::TCP),
}];
