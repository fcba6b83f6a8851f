//! What is shown of the bytes: text (`-v`), hexadecimal (`-x`), both, and raw copies in files (`-r`, `-R`).

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use crate::channel::Tap;
use crate::log::write_whole;
use crate::sys::time::LocalTime;

/// What a dump looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Text with escapes (`-v`).
    Text,
    /// One line of hexadecimal bytes for each block (`-x`).
    Hex,
    /// Rows of hexadecimal bytes and text (`-v -x`).
    Both,
}

/// Shows the blocks of one direction on a descriptor.
pub struct Dump<W> {
    arrow: char,
    look: Look,
    out: W,
    /// Kept from block to block, so that nothing is allocated for each.
    text: Mutex<Vec<u8>>,
}

impl<W: AsFd> Dump<W> {
    /// `arrow` is `>` for left to right, `<` for right to left.
    pub fn new(arrow: char, look: Look, out: W) -> Self {
        Self { arrow, look, out, text: Mutex::default() }
    }
}

impl<W: AsFd + Send + Sync> Tap for Dump<W> {
    fn block(&self, offset: u64, block: &[u8]) -> io::Result<()> {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        text.clear();
        render(&mut text, self.arrow, self.look, LocalTime::now(), offset, block)?;
        write_whole(self.out.as_fd(), &text)
    }
}

/// Writes one block with its header; the layout is the one programs parse.
fn render(out: &mut Vec<u8>, arrow: char, look: Look, now: LocalTime, offset: u64, block: &[u8]) -> io::Result<()> {
    let length = block.len();
    // The last byte of an empty block is the one before it.
    let last = i128::from(offset) + i128::try_from(length).unwrap_or(0) - 1;
    writeln!(out, "{arrow} {now:#}  length={length} from={offset} to={last}")?;
    match look {
        Look::Text => {
            for byte in block {
                push_escaped(out, *byte);
            }
        }
        Look::Hex => {
            push_hex(out, block);
            out.push(b'\n');
        }
        Look::Both => {
            for line in block.split_inclusive(|byte| *byte == b'\n') {
                line.chunks(ROW).for_each(|row| push_row(out, row));
            }
            out.extend_from_slice(b"--\n");
        }
    }
    Ok(())
}

/// Most bytes in a row of hexadecimal and text.
const ROW: usize = 16;

fn push_row(out: &mut Vec<u8>, row: &[u8]) {
    push_hex(out, row);
    out.resize(out.len() + 3 * (ROW - row.len()) + 2, b' ');
    out.extend(row.iter().map(|byte| if is_printable(*byte) { *byte } else { b'.' }));
    out.push(b'\n');
}

fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: &u8| [b' ', DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    out.extend(bytes.iter().flat_map(digits));
}

fn push_escaped(out: &mut Vec<u8>, byte: u8) {
    let letter = match byte {
        0x07 => b'a',
        0x08 => b'b',
        0x0b => b'v',
        0x0c => b'f',
        b'\r' => b'r',
        b'\\' => b'\\',
        b'\t' | b'\n' => return out.push(byte),
        _ => return out.push(if is_printable(byte) { byte } else { b'.' }),
    };
    out.extend_from_slice(&[b'\\', letter]);
}

const fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

/// Appends the bytes of one direction to a file, as they are.
pub struct RawCopy {
    out: OwnedFd,
}

impl RawCopy {
    /// Opens the file, or creates it with mode 0664 less the umask.
    pub fn append(path: &std::path::Path) -> io::Result<Self> {
        use std::os::unix::fs::OpenOptionsExt;
        let file = File::options().append(true).create(true).mode(0o664).open(path)?;
        Ok(Self { out: file.into() })
    }
}

impl Tap for RawCopy {
    fn block(&self, _: u64, block: &[u8]) -> io::Result<()> {
        write_whole(self.out.as_fd(), block)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const NOW: LocalTime =
        LocalTime { year: 2026, month: 11, day: 22, weekday: 0, hour: 8, minute: 31, second: 39, micros: 538_159 };

    fn shown(look: Look, offset: u64, block: &[u8]) -> String {
        let mut out = Vec::new();
        render(&mut out, '>', look, NOW, offset, block).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_header_counts_from_the_first_byte_of_the_direction() {
        assert_eq!(
            shown(Look::Text, 0, b"twenty-one characters"),
            "> 2026/11/22 08:31:39.538159  length=21 from=0 to=20\ntwenty-one characters"
        );
        let header = shown(Look::Text, 21, b"x");
        assert!(header.starts_with("> 2026/11/22 08:31:39.538159  length=1 from=21 to=21\n"), "{header}");
        assert!(shown(Look::Text, 0, b"").contains("length=0 from=0 to=-1\n"));
    }

    #[test]
    fn text_shows_escapes_and_dots() {
        let text = shown(Look::Text, 0, b"a\x07\x08\x0b\x0c\r\\\t\n\x00\x1b\x7f\xff~");
        assert_eq!(text.split_once('\n').unwrap().1, "a\\a\\b\\v\\f\\r\\\\\t\n....~");
    }

    #[test]
    fn hex_is_one_line() {
        let text = shown(Look::Hex, 0, b"hi\n\xff");
        assert_eq!(text.split_once('\n').unwrap().1, " 68 69 0a ff\n");
    }

    #[test]
    fn rows_end_with_a_newline_byte_or_after_sixteen() {
        let text = shown(Look::Both, 0, b"0123456789abcdef0123456789abcde\nX\\");
        assert_eq!(
            text.split_once('\n').unwrap().1,
            " 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef\n \
             30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 0a  0123456789abcde.\n \
             58 5c                                            X\\\n--\n"
        );
    }

    #[test]
    fn a_raw_copy_is_appended_and_a_full_disk_is_an_error() {
        let path = std::env::temp_dir().join(format!("ferrule-copy-{}", std::process::id()));
        for _ in 0..2 {
            RawCopy::append(&path).unwrap().block(0, b"\x00raw\n").unwrap();
        }
        assert_eq!(std::fs::read(&path).unwrap(), b"\x00raw\n\x00raw\n");
        std::fs::remove_file(&path).unwrap();
        let full = RawCopy::append(std::path::Path::new("/dev/full")).unwrap();
        assert_eq!(full.block(0, b"x").unwrap_err().raw_os_error(), Some(libc::ENOSPC));
    }
}
