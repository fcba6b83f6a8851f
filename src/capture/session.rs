//! One session as a capture knows it: its number, its ends, and what is shown its bytes.

use std::ffi::OsStr;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::sync::Arc;

use socket2::{SockAddr, SockRef};

use super::Toward;
use super::frame::imagined;
use super::queue::{Queue, What};
use crate::channel::{Channel, Sink, Source, Tap};

/// One side of a session.
#[derive(Debug, Clone)]
pub struct Side {
    address: String,
    /// Our end and the peer's, of a connection over IP.
    ends: Option<[SocketAddr; 2]>,
    accepted: bool,
}

impl Side {
    /// What a channel tells of its peer before its ends are taken out. `accepted` says that the peer came to us.
    pub fn of(channel: &Channel, address: &str, accepted: bool) -> Self {
        let port = channel.source.as_deref().and_then(Source::port).or(channel.sink.as_deref().and_then(Sink::port));
        let socket = port.filter(|port| port.class().is_socket());
        // A layer hides the connection below it, but not what was said of its peer.
        let ends = socket.and_then(|port| connection(&SockRef::from(&port.as_fd()))).or_else(|| told(channel));
        Self { address: address.to_owned(), ends, accepted }
    }

    fn title(&self) -> String {
        match self.ends {
            Some([_, peer]) => format!("{} ({peer})", self.address),
            None => self.address.clone(),
        }
    }
}

/// The two ends of a connection over IP: ours, and the peer's.
fn connection(socket: &SockRef<'_>) -> Option<[SocketAddr; 2]> {
    let inet = |address: io::Result<SockAddr>| Some(plain(address.ok()?.as_socket()?));
    Some([inet(socket.local_addr())?, inet(socket.peer_addr())?])
}

/// What programs would be told of the peer, see [`Channel::environment`].
fn told(channel: &Channel) -> Option<[SocketAddr; 2]> {
    let value = |wanted: &str| {
        channel.environment.iter().find(|(name, _)| *name == wanted).and_then(|(_, value)| OsStr::to_str(value))
    };
    let end = |address: &str, port: &str| {
        let ip: IpAddr = value(address)?.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        Some(plain(SocketAddr::new(ip, value(port)?.parse().ok()?)))
    };
    Some([end("SOCKADDR", "SOCKPORT")?, end("PEERADDR", "PEERPORT")?])
}

/// An IPv4 address that came in the clothes of IPv6 as what it is.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// The connection a session is shown as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flow {
    /// Who sends what goes to the right.
    pub left: SocketAddr,
    /// Who sends what goes to the left.
    pub right: SocketAddr,
    /// The direction of the segment that opens it.
    pub opened: Toward,
}

impl Flow {
    /// From peer to peer, where both have addresses; where one has, the connection to it; else imagined ends.
    fn between(number: u64, left: &Side, right: &Side) -> Self {
        let from_left = |really: bool| if really { Toward::Right } else { Toward::Left };
        let (left, right, opened) = match (left.ends, right.ends) {
            (Some([_, from]), Some([_, to])) => (from, to, from_left(left.accepted || !right.accepted)),
            (Some([ours, peer]), None) => (peer, ours, from_left(left.accepted)),
            (None, Some([ours, peer])) => (ours, peer, from_left(!right.accepted)),
            (None, None) => {
                let [from, to] = imagined(number);
                (from, to, Toward::Right)
            }
        };
        Self { left, right, opened }
    }
}

/// What is known of a session from its beginning on.
#[derive(Debug)]
pub(super) struct Session {
    /// Counts from 1.
    pub number: u64,
    /// Who talks to whom, in words.
    pub title: String,
    /// The same as a connection.
    pub flow: Flow,
}

impl Session {
    pub(super) fn new(number: u64, left: &Side, right: &Side) -> Self {
        let title = format!("{} <-> {}", left.title(), right.title());
        Self { number, title, flow: Flow::between(number, left, right) }
    }
}

/// Records one session, from its beginning until this is dropped.
#[derive(Debug)]
pub struct Recording {
    queue: Arc<Queue>,
    session: Arc<Session>,
    end: (bool, String),
}

impl Recording {
    pub(super) fn new(queue: Arc<Queue>, session: Session) -> Self {
        let session = Arc::new(session);
        queue.push(&session, What::Begins);
        Self { queue, session, end: (false, "broken off".to_owned()) }
    }

    /// What is shown the bytes that go one way.
    pub fn tap(&self, toward: Toward) -> Arc<dyn Tap> {
        Arc::new(SessionTap { queue: Arc::clone(&self.queue), session: Arc::clone(&self.session), toward })
    }

    /// Says how the session ended, and whether that was in order. Not said, it was broken off.
    pub fn ended(mut self, in_order: bool, words: String) {
        self.end = (in_order, words);
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.queue.push(&self.session, What::Closes(Box::new(std::mem::take(&mut self.end))));
    }
}

struct SessionTap {
    queue: Arc<Queue>,
    session: Arc<Session>,
    toward: Toward,
}

impl Tap for SessionTap {
    fn block(&self, offset: u64, block: &[u8]) -> io::Result<()> {
        self.queue.push_bytes(&self.session, self.toward, offset, block);
        Ok(())
    }

    fn end(&self) {
        self.queue.push(&self.session, What::Ends(self.toward));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn side(ends: Option<(&str, &str)>, accepted: bool) -> Side {
        let ends = ends.map(|(ours, peer)| [ours.parse().unwrap(), peer.parse().unwrap()]);
        Side { address: "ADDRESS".to_owned(), ends, accepted }
    }

    fn flow(left: &Side, right: &Side) -> (String, String, Toward) {
        let flow = Flow::between(7, left, right);
        (flow.left.to_string(), flow.right.to_string(), flow.opened)
    }

    #[test]
    fn a_session_is_shown_between_those_who_talk() {
        let client = side(Some(("10.0.0.1:8080", "10.9.9.9:5555")), true);
        let server = side(Some(("10.0.0.1:40000", "[2001:db8::1]:80")), false);
        let (nobody, program) = (side(None, false), side(None, true));
        let known = |left: &str, right: &str, opened| (left.to_owned(), right.to_owned(), opened);
        let cases = [
            (&client, &server, known("10.9.9.9:5555", "[2001:db8::1]:80", Toward::Right)),
            (&server, &client, known("[2001:db8::1]:80", "10.9.9.9:5555", Toward::Left)),
            (&server, &server, known("[2001:db8::1]:80", "[2001:db8::1]:80", Toward::Right)),
            (&client, &nobody, known("10.9.9.9:5555", "10.0.0.1:8080", Toward::Right)),
            (&nobody, &server, known("10.0.0.1:40000", "[2001:db8::1]:80", Toward::Right)),
            (&nobody, &client, known("10.0.0.1:8080", "10.9.9.9:5555", Toward::Left)),
            (&server, &nobody, known("[2001:db8::1]:80", "10.0.0.1:40000", Toward::Left)),
            (&nobody, &program, known("127.0.0.1:10007", "127.0.0.2:65000", Toward::Right)),
        ];
        for (left, right, expected) in cases {
            assert_eq!(flow(left, right), expected);
        }
    }

    #[test]
    fn a_peer_below_a_layer_is_known_by_what_programs_are_told() {
        let mut channel = Channel::default();
        assert!(Side::of(&channel, "", true).ends.is_none());
        let names = ["PEERADDR", "PEERPORT", "SOCKADDR", "SOCKPORT"];
        let told = ["[0000:0000:0000:0000:0000:ffff:7f00:0002]", "5555", "127.0.0.1", "80"];
        channel.environment = names.into_iter().zip(told.map(Into::into)).collect();
        let side = Side::of(&channel, "TCP-LISTEN:80", true);
        assert_eq!(side.title(), "TCP-LISTEN:80 (127.0.0.2:5555)");
        assert_eq!(side.ends.unwrap()[0].to_string(), "127.0.0.1:80");
    }
}
