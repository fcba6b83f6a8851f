//! What a session would look like on a network: IP packets with TCP segments (RFC 9293, RFC 791, RFC 8200).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Flow, Toward};

/// Most bytes of data in one frame: what IPv4 has room for, behind the headers.
pub(super) const MOST: usize = 65_535 - 20 - 20;
/// Most bytes of headers.
pub(super) const HEADERS: usize = 40 + 20 + SYN_OPTIONS.len();

const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// The protocol number of TCP.
const TCP: u8 = 6;
/// Maximum segment size (kind 2), and a window that is never full: a scale of 14 bits (kind 3, RFC 7323).
const SYN_OPTIONS: [u8; 8] = [2, 4, 0xff, 0xd7, 3, 3, 14, 0];
/// So many segments of one direction are acknowledged in one go: Wireshark keeps those that are not.
const UNACKNOWLEDGED: u32 = 64;

/// One segment without its place in the stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment<'a> {
    /// Which way it goes.
    pub toward: Toward,
    sequence: u32,
    flags: u8,
    options: &'static [u8],
    data: &'a [u8],
}

/// One session as a TCP connection: what was sent each way so far.
#[derive(Debug, Clone)]
pub(super) struct Stream {
    flow: Flow,
    /// The sequence numbers of the first bytes to the right and to the left.
    first: [u32; 2],
    /// Those of the bytes that come next.
    next: [u32; 2],
    /// Segments to the right and to the left since the last one the other way.
    unacknowledged: [u32; 2],
    /// Which ways have had their FIN.
    ended: [bool; 2],
    /// The identification field of IPv4.
    identification: u16,
}

impl Stream {
    /// A connection before its first segment. `number` tells connections apart that have the same ends.
    pub(super) fn new(flow: Flow, number: u64) -> Self {
        let [.., a, b, c, d] = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_right(16).to_be_bytes();
        let right = u32::from_be_bytes([a, b, c, d]);
        let first = [right, right.rotate_left(11) ^ 0x5a5a_a5a5];
        Self { flow, first, next: first, unacknowledged: [0; 2], ended: [false; 2], identification: 0 }
    }

    /// Its ends.
    pub(super) fn flow(&self) -> Flow {
        self.flow
    }

    /// The three segments that open the connection.
    pub(super) fn opening(&mut self) -> [Segment<'static>; 3] {
        let from = self.flow.opened;
        let back = from.other();
        let [at, answer] = [from, back].map(|toward| self.first[toward.index()].wrapping_sub(1));
        let syn = |toward, sequence, flags| Segment { toward, sequence, flags, options: &SYN_OPTIONS, data: &[] };
        [syn(from, at, SYN), syn(back, answer, SYN | ACK), self.bare(from, ACK)]
    }

    /// A segment of data that begins `offset` bytes behind the first byte of its direction.
    pub(super) fn data<'a>(&mut self, toward: Toward, offset: u64, data: &'a [u8]) -> Segment<'a> {
        // Sequence numbers count modulo 2^32.
        let [.., a, b, c, d] = offset.to_be_bytes();
        let sequence = self.first[toward.index()].wrapping_add(u32::from_be_bytes([a, b, c, d]));
        self.next[toward.index()] = sequence.wrapping_add(u32::try_from(data.len()).unwrap_or(0));
        self.unacknowledged[toward.index()] += 1;
        self.unacknowledged[toward.other().index()] = 0;
        Segment { toward, sequence, flags: PSH | ACK, options: &[], data }
    }

    /// The segment that acknowledges what went that way, if it is time for one.
    pub(super) fn acknowledgement(&mut self, toward: Toward) -> Option<Segment<'static>> {
        let due = self.unacknowledged[toward.index()] >= UNACKNOWLEDGED;
        due.then(|| {
            self.unacknowledged[toward.index()] = 0;
            self.bare(toward.other(), ACK)
        })
    }

    /// A segment that says nothing: something to hang a comment on.
    pub(super) fn mark(&self) -> Segment<'static> {
        self.bare(self.flow.opened, ACK)
    }

    /// The segment that ends one direction.
    pub(super) fn end(&mut self, toward: Toward) -> Option<Segment<'static>> {
        if std::mem::replace(&mut self.ended[toward.index()], true) {
            return None;
        }
        let segment = self.bare(toward, FIN | ACK);
        self.next[toward.index()] = self.next[toward.index()].wrapping_add(1);
        Some(segment)
    }

    /// The segments of the end: what was not ended ends now, or is broken off when that was not in order.
    pub(super) fn closing(&mut self, in_order: bool) -> Vec<Segment<'static>> {
        let ways = [self.flow.opened, self.flow.opened.other()];
        if !in_order && ways.iter().any(|toward| !self.ended[toward.index()]) {
            let toward = if self.ended[ways[0].index()] { ways[1] } else { ways[0] };
            return vec![self.bare(toward, RST | ACK)];
        }
        let mut segments: Vec<_> = ways.into_iter().filter_map(|toward| self.end(toward)).collect();
        // The last to end is acknowledged by the other one.
        let last = segments.last().map_or(ways[1], |segment| segment.toward);
        segments.push(self.bare(last.other(), ACK));
        segments
    }

    fn bare(&self, toward: Toward, flags: u8) -> Segment<'static> {
        Segment { toward, sequence: self.next[toward.index()], flags, options: &[], data: &[] }
    }

    /// Writes a segment as an IP packet.
    pub(super) fn push(&mut self, out: &mut Vec<u8>, segment: &Segment<'_>) {
        let (from, to) = match segment.toward {
            Toward::Right => (self.flow.left, self.flow.right),
            Toward::Left => (self.flow.right, self.flow.left),
        };
        let length = 20 + segment.options.len() + segment.data.len();
        let pseudo = self.push_ip(out, from.ip(), to.ip(), u16::try_from(length).unwrap_or(u16::MAX));
        let start = out.len();
        // Of the first segment of all nothing is there to be acknowledged.
        let acknowledged = if segment.flags & ACK == 0 { 0 } else { self.next[segment.toward.other().index()] };
        out.extend_from_slice(&from.port().to_be_bytes());
        out.extend_from_slice(&to.port().to_be_bytes());
        out.extend_from_slice(&segment.sequence.to_be_bytes());
        out.extend_from_slice(&acknowledged.to_be_bytes());
        let words = u8::try_from((20 + segment.options.len()) / 4).unwrap_or(5);
        out.extend_from_slice(&[words << 4, segment.flags, 0xff, 0xff]);
        // The checksum, and the urgent pointer.
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(segment.options);
        out.extend_from_slice(segment.data);
        let checksum = folded(pseudo + sum(&out[start..]));
        out[start + 16..start + 18].copy_from_slice(&checksum.to_be_bytes());
    }

    /// Writes the IP header; gives the sum of the pseudo header that the checksum of TCP covers.
    fn push_ip(&mut self, out: &mut Vec<u8>, from: IpAddr, to: IpAddr, length: u16) -> u64 {
        let start = out.len();
        let addresses = match (from, to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                self.identification = self.identification.wrapping_add(1);
                out.extend_from_slice(&[0x45, 0]);
                out.extend_from_slice(&(length.saturating_add(20)).to_be_bytes());
                out.extend_from_slice(&self.identification.to_be_bytes());
                // Never to be fragmented, 64 hops, and the checksum.
                out.extend_from_slice(&[0x40, 0, 64, TCP, 0, 0]);
                out.extend_from_slice(&from.octets());
                out.extend_from_slice(&to.octets());
                let checksum = folded(sum(&out[start..]));
                out[start + 10..start + 12].copy_from_slice(&checksum.to_be_bytes());
                start + 12
            }
            (from, to) => {
                out.extend_from_slice(&[0x60, 0, 0, 0]);
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(&[TCP, 64]);
                out.extend_from_slice(&wide(from));
                out.extend_from_slice(&wide(to));
                start + 8
            }
        };
        sum(&out[addresses..]) + u64::from(TCP) + u64::from(length)
    }
}

fn wide(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

/// The sum of big-endian words of 16 bits, as far as they fit in 32 bits each time; see RFC 1071.
fn sum(bytes: &[u8]) -> u64 {
    let mut words = bytes.chunks_exact(4);
    let total: u64 =
        words.by_ref().map(|word| u64::from(u32::from_be_bytes([word[0], word[1], word[2], word[3]]))).sum();
    let mut last = [0; 4];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    total + u64::from(u32::from_be_bytes(last))
}

/// The checksum a sum ends as.
fn folded(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// The ends of a session that has none on a network, by its number.
pub(super) fn imagined(number: u64) -> [SocketAddr; 2] {
    let port = 10_000 + u16::try_from(number % 50_000).unwrap_or(0);
    [SocketAddr::from((Ipv4Addr::LOCALHOST, port)), SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), 65_000))]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn flow(left: &str, right: &str) -> Flow {
        Flow { left: left.parse().unwrap(), right: right.parse().unwrap(), opened: Toward::Right }
    }

    fn pushed(stream: &mut Stream, segment: &Segment<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        stream.push(&mut out, segment);
        out
    }

    fn sequence(frame: &[u8]) -> u32 {
        u32::from_be_bytes(frame[24..28].try_into().unwrap())
    }

    fn acknowledged(frame: &[u8]) -> u32 {
        u32::from_be_bytes(frame[28..32].try_into().unwrap())
    }

    #[test]
    fn checksums_add_up_to_nothing() {
        for (left, right, header) in
            [("10.0.0.1:1000", "10.0.0.2:80", 20), ("[2001:db8::1]:1000", "[::ffff:10.0.0.2]:80", 40)]
        {
            let mut stream = Stream::new(flow(left, right), 7);
            for data in [&b""[..], b"x", b"odd", b"\xff\xff\xff\xff\xff", &vec![0xab; MOST]] {
                let segment = stream.data(Toward::Left, 5, data);
                let frame = pushed(&mut stream, &segment);
                assert_eq!(frame.len(), header + 20 + data.len());
                let addresses = if header == 20 { &frame[12..20] } else { &frame[8..40] };
                let length = u64::try_from(20 + data.len()).unwrap();
                assert_eq!(folded(sum(addresses) + 6 + length + sum(&frame[header..])), 0, "TCP of {left}");
                if header == 20 {
                    assert_eq!(folded(sum(&frame[..20])), 0, "IPv4");
                }
            }
        }
    }

    #[test]
    fn every_byte_has_its_number_and_what_is_missing_leaves_a_gap() {
        let mut stream = Stream::new(flow("10.0.0.1:1000", "10.0.0.2:80"), 1);
        let [syn, answer, last] = stream.opening();
        let syn = pushed(&mut stream, &syn);
        let answer = pushed(&mut stream, &answer);
        let last = pushed(&mut stream, &last);
        assert_eq!((acknowledged(&syn), acknowledged(&answer)), (0, sequence(&syn).wrapping_add(1)));
        assert_eq!(sequence(&last), acknowledged(&answer));
        let segment = stream.data(Toward::Right, 0, b"hello");
        assert_eq!(sequence(&pushed(&mut stream, &segment)), sequence(&last));
        let segment = stream.data(Toward::Right, (1 << 32) + 9, b"later");
        assert_eq!(sequence(&pushed(&mut stream, &segment)), sequence(&last).wrapping_add(9));
        let segment = stream.data(Toward::Left, 0, b"answer");
        let frame = pushed(&mut stream, &segment);
        assert_eq!(acknowledged(&frame), sequence(&last).wrapping_add(14));
        assert_eq!(sequence(&frame), acknowledged(&last));
    }

    #[test]
    fn an_end_in_order_is_two_fins_and_another_one_a_reset() {
        let flags = |segments: &[Segment<'_>]| segments.iter().map(|segment| segment.flags).collect::<Vec<_>>();
        let mut stream = Stream::new(flow("10.0.0.1:1000", "10.0.0.2:80"), 1);
        assert_eq!(flags(&stream.clone().closing(true)), [FIN | ACK, FIN | ACK, ACK]);
        assert_eq!(flags(&stream.clone().closing(false)), [RST | ACK]);
        assert!(stream.end(Toward::Left).is_some() && stream.end(Toward::Left).is_none());
        assert_eq!(flags(&stream.clone().closing(true)), [FIN | ACK, ACK]);
        assert_eq!(flags(&stream.clone().closing(false)), [RST | ACK]);
        assert!(stream.end(Toward::Right).is_some());
        assert_eq!(flags(&stream.closing(false)), [ACK], "both had ended before it went wrong");
    }

    #[test]
    fn a_direction_nobody_answers_is_acknowledged_now_and_then() {
        let mut stream = Stream::new(flow("10.0.0.1:1000", "10.0.0.2:80"), 1);
        let mut count = 0;
        for offset in 0..200 {
            stream.data(Toward::Right, offset, b"x");
            count += u32::from(stream.acknowledgement(Toward::Right).is_some());
        }
        assert_eq!(count, 200 / UNACKNOWLEDGED);
    }

    #[test]
    fn imagined_ends_tell_sessions_apart() {
        let ports: std::collections::HashSet<_> = (1..=50_000).map(imagined).collect();
        assert_eq!(ports.len(), 50_000);
    }
}
