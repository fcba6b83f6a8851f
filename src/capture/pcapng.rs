//! A capture as packets, in blocks of pcapng (draft-ietf-opsawg-pcapng): one made-up TCP connection for each
//! session, so that Wireshark can follow it and take protocols apart.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

use super::frame::{HEADERS, MOST, Segment, Stream, imagined};
use super::render::{Record, Render};
use super::{Flow, Session, Toward};

/// What a file of packets begins with: the type of the section header block.
pub(super) const MAGIC: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const INTERFACE_STATISTICS: u32 = 5;
const ENHANCED_PACKET: u32 = 6;
/// Packets begin with their IP header.
const LINKTYPE_RAW: u16 = 101;

const COMMENT: u16 = 1;
const SECTION_APPLICATION: u16 = 4;
const INTERFACE_NAME: u16 = 2;
const INTERFACE_DESCRIPTION_TEXT: u16 = 3;
const INTERFACE_RESOLUTION: u16 = 9;
const STATISTICS_START: u16 = 2;
const STATISTICS_END: u16 = 3;
const STATISTICS_RECEIVED: u16 = 4;
const STATISTICS_DROPPED: u16 = 5;
const PACKET_FLAGS: u16 = 2;
const PACKET_DROPS: u16 = 4;

/// Timestamps count units of 10^-9 s.
const NANOSECONDS: u8 = 9;
/// Room for one packet without its data and comment.
const PACKET: usize = 32 + HEADERS + 3 + 8 + 12 + 8 + 4;
/// Most bytes of a comment; longer ones are cut.
const LONGEST: usize = 4096;

/// Writes packets.
pub(super) struct Packets {
    title: String,
    streams: HashMap<u64, Stream>,
    /// The ends of all of them.
    ends: HashSet<[SocketAddr; 2]>,
    /// Blocks missing since the last packet.
    missing: u64,
    /// The moment of the first packet of this file, its packets, and the blocks missing in it.
    file: (u64, u64, u64),
    /// The packet that is being made.
    frame: Vec<u8>,
}

impl Packets {
    /// `title` says what is captured.
    pub(super) fn new(title: &str) -> Self {
        let title = title.to_owned();
        Self { title, streams: HashMap::new(), ends: HashSet::new(), missing: 0, file: (0, 0, 0), frame: Vec::new() }
    }

    fn stream(&mut self, session: &Session) -> Stream {
        self.streams.remove(&session.number).unwrap_or_else(|| {
            let mut flow = session.flow;
            // Two sessions between the same peers would be taken for one connection.
            if !self.ends.insert(ends(flow)) {
                [flow.left, flow.right] = imagined(session.number);
                self.ends.insert(ends(flow));
            }
            Stream::new(flow, session.number)
        })
    }

    fn push(&mut self, out: &mut Vec<u8>, time: u64, stream: &mut Stream, segment: &Segment<'_>, comment: &str) {
        let mut frame = std::mem::take(&mut self.frame);
        frame.clear();
        stream.push(&mut frame, segment);
        self.file.0 = if self.file.1 == 0 { time } else { self.file.0 };
        self.file.1 += 1;
        let missing = std::mem::take(&mut self.missing);
        block(out, ENHANCED_PACKET, |out| {
            // The only interface there is.
            out.extend_from_slice(&[0; 4]);
            push_time(out, time);
            let length = u32::try_from(frame.len()).unwrap_or(u32::MAX);
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(&length.to_le_bytes());
            push_padded(out, &frame);
            // Bits 0 and 1: 1 is inbound, 2 outbound.
            let direction: u32 = if segment.toward == Toward::Left { 1 } else { 2 };
            option(out, PACKET_FLAGS, &direction.to_le_bytes());
            if missing > 0 {
                option(out, PACKET_DROPS, &missing.to_le_bytes());
            }
            if !comment.is_empty() {
                option(out, COMMENT, cut(comment).as_bytes());
            }
            option(out, 0, &[]);
        });
        self.frame = frame;
    }
}

impl Render for Packets {
    fn head(&mut self, out: &mut Vec<u8>) {
        self.file = (0, 0, 0);
        block(out, SECTION_HEADER, |out| {
            // Little-endian, version 1.0, and a length that is not known beforehand.
            out.extend_from_slice(&0x1a2b_3c4d_u32.to_le_bytes());
            out.extend_from_slice(&[1, 0, 0, 0]);
            out.extend_from_slice(&[0xff; 8]);
            option(out, SECTION_APPLICATION, concat!("ferrule ", env!("CARGO_PKG_VERSION")).as_bytes());
            option(out, 0, &[]);
        });
        block(out, INTERFACE_DESCRIPTION, |out| {
            out.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
            // Nothing is ever cut off.
            out.extend_from_slice(&[0; 6]);
            option(out, INTERFACE_NAME, b"ferrule");
            option(out, INTERFACE_DESCRIPTION_TEXT, cut(&self.title).as_bytes());
            option(out, INTERFACE_RESOLUTION, &[NANOSECONDS]);
            option(out, 0, &[]);
        });
    }

    fn room(&self, session: &Session, record: &Record<'_>) -> usize {
        match record {
            Record::Begins => 3 * PACKET + session.title.len(),
            Record::GoesOn => PACKET + session.title.len(),
            Record::Bytes { bytes, .. } => 2 * PACKET + bytes.len(),
            Record::Ends(_) => PACKET,
            Record::Closes { words, .. } => 3 * PACKET + words.len(),
        }
        .saturating_add(64)
    }

    fn record(&mut self, out: &mut Vec<u8>, time: u64, session: &Session, record: &Record<'_>) {
        let mut stream = self.stream(session);
        let number = session.number;
        match record {
            Record::Begins => {
                let comment = format!("session {number} begins: {}", session.title);
                for (segment, comment) in stream.opening().iter().zip([&*comment, "", ""]) {
                    self.push(out, time, &mut stream, segment, comment);
                }
            }
            Record::GoesOn => {
                let comment = format!("session {number} goes on: {}", session.title);
                self.push(out, time, &mut stream.clone(), &stream.mark(), &comment);
            }
            Record::Bytes { toward, offset, bytes } => {
                debug_assert!(bytes.len() <= MOST, "blocks are cut before they are queued");
                let segment = stream.data(*toward, *offset, bytes);
                self.push(out, time, &mut stream, &segment, "");
                if let Some(segment) = stream.acknowledgement(*toward) {
                    self.push(out, time, &mut stream, &segment, "");
                }
            }
            Record::Ends(toward) => {
                if let Some(segment) = stream.end(*toward) {
                    self.push(out, time, &mut stream, &segment, "");
                }
            }
            Record::Closes { in_order, words } => {
                let segments = stream.closing(*in_order);
                let last = segments.len().saturating_sub(1);
                let comment = format!("session {number} ended: {words}");
                for (at, segment) in segments.iter().enumerate() {
                    self.push(out, time, &mut stream, segment, if at == last { &comment } else { "" });
                }
                self.ends.remove(&ends(stream.flow()));
                return;
            }
        }
        self.streams.insert(number, stream);
    }

    fn missing(&mut self, _: &mut Vec<u8>, _: u64, blocks: u64, _: u64) {
        // Told with the next packet, and at the end of the file.
        self.missing += blocks;
        self.file.2 += blocks;
    }

    fn tail(&mut self, out: &mut Vec<u8>, time: u64) {
        let (begun, packets, missing) = self.file;
        block(out, INTERFACE_STATISTICS, |out| {
            out.extend_from_slice(&[0; 4]);
            push_time(out, time);
            for (code, moment) in [(STATISTICS_START, if packets == 0 { time } else { begun }), (STATISTICS_END, time)]
            {
                out.extend_from_slice(&code.to_le_bytes());
                out.extend_from_slice(&8_u16.to_le_bytes());
                push_time(out, moment);
            }
            option(out, STATISTICS_RECEIVED, &(packets + missing).to_le_bytes());
            option(out, STATISTICS_DROPPED, &missing.to_le_bytes());
            option(out, 0, &[]);
        });
    }
}

/// The ends of a connection, whichever way it goes.
fn ends(flow: Flow) -> [SocketAddr; 2] {
    [flow.left.min(flow.right), flow.left.max(flow.right)]
}

/// A block: its type, its length, what `fill` writes, and the length again.
fn block(out: &mut Vec<u8>, kind: u32, fill: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&kind.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    fill(out);
    let length = u32::try_from(out.len() + 4 - start).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&length);
    out[start + 4..start + 8].copy_from_slice(&length);
}

/// An option; the one with code 0 ends the list.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend_from_slice(&code.to_le_bytes());
    out.extend_from_slice(&u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
    push_padded(out, value);
}

/// Bytes, filled up to a multiple of four.
fn push_padded(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
    out.resize(out.len() + bytes.len().next_multiple_of(4) - bytes.len(), 0);
}

/// A moment, in nanoseconds since 1970: the upper half first.
fn push_time(out: &mut Vec<u8>, time: u64) {
    out.extend_from_slice(&time.rotate_left(32).to_le_bytes());
}

fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whether the last block of a file of `length` bytes is whole: it ends with its own length. `read` gives the
/// four bytes at a place.
pub(super) fn is_whole(length: u64, read: impl Fn(u64) -> Option<[u8; 4]>) -> bool {
    let number = |at| read(at).map(u32::from_le_bytes);
    let last = || {
        let size = number(length.checked_sub(4)?)?;
        let start = length.checked_sub(u64::from(size))?;
        Some(size >= 12 && size % 4 == 0 && number(start + 4)? == size)
    };
    last() == Some(true)
}

#[cfg(test)]
#[path = "pcapng_tests.rs"]
mod tests;
