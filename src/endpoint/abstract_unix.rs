//! UNIX sockets in Linux's abstract namespace: names that are in no file system and vanish with the socket.

use super::socket::parameter;
use super::unix::{self, Place, Types};
use super::{Direction, Kind};
use crate::option::Groups;

const UNIX: Groups = Groups::FD.and(Groups::SOCKET).and(Groups::RETRY).and(Groups::UNIX);
const CLIENT: Groups = UNIX.and(Groups::CONNECT);

pub(super) static KINDS: &[Kind] = &[
    Kind {
        name: "ABSTRACT-CONNECT",
        aliases: &[],
        usage: ":<filename>",
        params: (1, 1),
        groups: CLIENT,
        direction: Direction::Both,
        doc: "A connection to a UNIX stream socket by its abstract name.",
        plan: |request| unix::client(request, Place::hidden(parameter(request, 0))?, Types::One),
    },
    Kind {
        name: "ABSTRACT-CLIENT",
        aliases: &["ABSTRACT"],
        usage: ":<filename>",
        params: (1, 1),
        groups: CLIENT,
        direction: Direction::Both,
        doc: "A connection to a UNIX socket of whatever type by its abstract name: stream, SEQPACKET and datagram \
              are tried in turn.",
        plan: |request| unix::client(request, Place::hidden(parameter(request, 0))?, Types::Any),
    },
    Kind {
        name: "ABSTRACT-LISTEN",
        aliases: &[],
        usage: ":<filename>",
        params: (1, 1),
        groups: UNIX.and(Groups::LISTEN).and(Groups::CHILD),
        direction: Direction::Both,
        doc: "A UNIX stream socket with an abstract name that waits for a connection; with fork for any number. \
              Every process of the network namespace may connect: abstract names have no permissions.",
        plan: |request| unix::listener(request, Place::hidden(parameter(request, 0))?),
    },
];
