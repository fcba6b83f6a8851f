//! A capture for people: a line for each block, or rows of hexadecimal bytes.

use std::io::Write as _;

use super::render::{Record, Render};
use super::{Session, Toward};
use crate::error::reorders_text;
use crate::sys::time::LocalTime;

/// Bytes in a row.
const ROW: usize = 16;
/// Room for what stands in front of the bytes.
const FRONT: usize = 96;

/// What the bytes look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// On the line, escaped.
    Escaped,
    /// In rows below the line, as hexdump(1) shows them with -C.
    Rows,
}

/// Writes lines.
pub(super) struct Lines {
    title: String,
    look: Look,
}

impl Lines {
    /// `title` says what is captured.
    pub(super) fn new(title: &str, look: Look) -> Self {
        Self { title: title.to_owned(), look }
    }
}

impl Render for Lines {
    fn head(&mut self, out: &mut Vec<u8>) {
        let bytes = match self.look {
            Look::Escaped => r"bytes (\r, \n, \t, \\, \xNN)",
            Look::Rows => "length and offset",
        };
        push(out, format_args!("# {}\n# date time session direction {bytes}; * is an event\n", self.title));
    }

    fn room(&self, session: &Session, record: &Record<'_>) -> usize {
        let more = match (record, self.look) {
            (Record::Begins | Record::GoesOn, _) => session.title.len(),
            (Record::Bytes { bytes, .. }, Look::Escaped) => bytes.iter().map(|byte| width(*byte)).sum(),
            // The last row says where the bytes end.
            (Record::Bytes { bytes, .. }, Look::Rows) => (bytes.len().div_ceil(ROW)) * (16 + 3 * ROW + 5 + ROW),
            (Record::Ends(_), _) => 0,
            (Record::Closes { words, .. }, _) => words.len(),
        };
        FRONT + more
    }

    fn record(&mut self, out: &mut Vec<u8>, time: u64, session: &Session, record: &Record<'_>) {
        let (time, number) = (local(time), session.number);
        match record {
            Record::Begins => push(out, format_args!("{time:#} {number} * begins: {}\n", session.title)),
            Record::GoesOn => push(out, format_args!("{time:#} {number} * goes on: {}\n", session.title)),
            Record::Bytes { toward, offset, bytes } => {
                let arrow = arrow(*toward);
                match self.look {
                    Look::Escaped => {
                        push(out, format_args!("{time:#} {number} {arrow} "));
                        push_escaped(out, bytes);
                        out.push(b'\n');
                    }
                    Look::Rows => {
                        let count = bytes.len();
                        push(out, format_args!("{time:#} {number} {arrow} {count} bytes from {offset}\n"));
                        push_rows(out, *offset, bytes);
                    }
                }
            }
            Record::Ends(toward) => {
                push(out, format_args!("{time:#} {number} * nothing more {}\n", arrow(*toward)));
            }
            Record::Closes { words, .. } => push(out, format_args!("{time:#} {number} * ended: {words}\n")),
        }
    }

    fn missing(&mut self, out: &mut Vec<u8>, time: u64, blocks: u64, bytes: u64) {
        let words = "came faster than they could be written";
        push(out, format_args!("{:#} - * {blocks} blocks of {bytes} bytes are missing: they {words}\n", local(time)));
    }
}

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing into a Vec cannot fail.
    let _ = out.write_fmt(text);
}

fn local(time: u64) -> LocalTime {
    let micros = u32::try_from(time % 1_000_000_000 / 1000).unwrap_or(0);
    LocalTime::from_seconds(i64::try_from(time / 1_000_000_000).unwrap_or(0), micros)
}

const fn arrow(toward: Toward) -> char {
    match toward {
        Toward::Right => '>',
        Toward::Left => '<',
    }
}

/// Most characters a byte becomes.
const fn width(byte: u8) -> usize {
    match byte {
        b'\\' | b'\r' | b'\n' | b'\t' => 2,
        b' '..=b'~' => 1,
        _ => 4,
    }
}

/// Text on one line that can be read back: what is no text, and what would change the line, is escaped.
fn push_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        let mut valid = chunk.valid();
        loop {
            let plain = valid.bytes().take_while(|byte| width(*byte) == 1).count();
            out.extend_from_slice(&valid.as_bytes()[..plain]);
            let mut rest = valid[plain..].chars();
            let Some(c) = rest.next() else { break };
            valid = rest.as_str();
            match c {
                '\\' => out.extend_from_slice(br"\\"),
                '\r' => out.extend_from_slice(br"\r"),
                '\n' => out.extend_from_slice(br"\n"),
                '\t' => out.extend_from_slice(br"\t"),
                c => {
                    let mut room = [0; 4];
                    let encoded = c.encode_utf8(&mut room).as_bytes();
                    if c.is_control() || reorders_text(c) {
                        push_numbers(out, encoded);
                    } else {
                        out.extend_from_slice(encoded);
                    }
                }
            }
        }
        push_numbers(out, chunk.invalid());
    }
}

fn push_numbers(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend_from_slice(&[b'\\', b'x', digit(byte >> 4), digit(byte & 15)]);
    }
}

const fn digit(half: u8) -> u8 {
    b"0123456789abcdef"[half as usize & 15]
}

fn push_rows(out: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let mut at = offset;
    for row in bytes.chunks(ROW) {
        push(out, format_args!("{at:08x} "));
        let start = out.len();
        for (column, byte) in row.iter().enumerate() {
            let gap: &[u8] = if column == ROW / 2 { b"  " } else { b" " };
            out.extend_from_slice(gap);
            out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
        }
        out.resize(start + 3 * ROW + 1, b' ');
        out.extend_from_slice(b"  |");
        out.extend(row.iter().map(|byte| if matches!(byte, b' '..=b'~') { *byte } else { b'.' }));
        out.extend_from_slice(b"|\n");
        at += row.len() as u64;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::capture::tests::session;
    use proptest::prelude::*;

    const MOMENT: u64 = 1_795_334_400_123_456_789;

    fn shown(look: Look, record: &Record<'_>) -> String {
        let mut lines = Lines::new("STDIO <-> PIPE", look);
        let (mut out, session) = (Vec::new(), session(3));
        lines.record(&mut out, MOMENT, &session, record);
        assert!(out.len() <= lines.room(&session, record), "{} bytes", out.len());
        String::from_utf8(out).unwrap()
    }

    fn bytes(bytes: &[u8]) -> Record<'_> {
        Record::Bytes { toward: Toward::Right, offset: 0x1_0000_0000, bytes }
    }

    /// Reads an escaped line back.
    fn unescaped(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            out.push(match (byte, byte == b'\\').1.then(|| rest.next().unwrap()) {
                None => byte,
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'x') => {
                    let digits: String = rest.by_ref().take(2).map(char::from).collect();
                    u8::from_str_radix(&digits, 16).unwrap()
                }
                Some(other) => other,
            });
        }
        out
    }

    #[test]
    fn a_line_has_time_session_direction_and_text() {
        let line = shown(Look::Escaped, &bytes(b"GET / HTTP/1.0\r\n\t\\\x00\xff\xc3\xa9\n"));
        let (time, rest) = line.split_at(26);
        assert_eq!(time, format!("{:#}", local(MOMENT)));
        assert!(time.ends_with(".123456"), "{time}");
        assert_eq!(rest, " 3 > GET / HTTP/1.0\\r\\n\\t\\\\\\x00\\xff\u{e9}\\n\n");
    }

    #[test]
    fn rows_are_those_of_hexdump() {
        let text = shown(Look::Rows, &bytes(b"0123456789abcdef\r\xff"));
        let (first, rows) = text.split_once('\n').unwrap();
        assert!(first.ends_with(" 3 > 18 bytes from 4294967296"), "{first}");
        assert_eq!(
            rows,
            "100000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|\n\
             100000010  0d ff                                             |..|\n"
        );
    }

    #[test]
    fn events_are_lines_too() {
        for (record, words) in [
            (Record::Begins, " 3 * begins: left <-> right\n"),
            (Record::GoesOn, " 3 * goes on: left <-> right\n"),
            (Record::Ends(Toward::Left), " 3 * nothing more <\n"),
            (Record::Closes { in_order: true, words: "finished" }, " 3 * ended: finished\n"),
        ] {
            assert!(shown(Look::Escaped, &record).ends_with(words));
            assert_eq!(shown(Look::Rows, &record), shown(Look::Escaped, &record));
        }
        let mut out = Vec::new();
        Lines::new("", Look::Escaped).missing(&mut out, MOMENT, 3, 4096);
        assert!(String::from_utf8(out).unwrap().contains(" - * 3 blocks of 4096 bytes are missing: "));
    }

    proptest! {
        #[test]
        fn what_is_escaped_is_one_line_and_can_be_read_back(data in prop::collection::vec(any::<u8>(), 0..600)) {
            let line = shown(Look::Escaped, &bytes(&data));
            prop_assert_eq!(line.matches('\n').count(), 1);
            let text = line.trim_end_matches('\n').splitn(5, ' ').nth(4).unwrap();
            prop_assert_eq!(unescaped(text), data);
        }

        #[test]
        fn rows_hold_every_byte(data in prop::collection::vec(any::<u8>(), 1..300)) {
            let text = shown(Look::Rows, &bytes(&data));
            let digits = text.lines().skip(1).flat_map(|row| row[9..row.find('|').unwrap()].split_whitespace());
            let read: Vec<_> = digits.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
            prop_assert_eq!(read, data);
        }
    }
}
