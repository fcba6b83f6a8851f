//! Binary data in socat's notation ("dalan", socat(1) DATA VALUES).
//!
//! Items, with or without white space between them:
//!
//! - a number: of the type last named by a letter, at first `i`. The letters are `i` int, `l` long,
//!   `s` short, `b` byte, upper case for the unsigned ones; decimal, in the machine's byte order;
//! - `x` and an even number of hexadecimal digits: these bytes;
//! - `"..."`: the bytes between; `'c'`: one byte. The escapes of addresses hold in both.

use std::ops::RangeInclusive;

use super::Fault;
use super::lexer::ESCAPES;

/// The most bytes a text may make: more than any option takes, and no trap for the memory.
pub const MOST: usize = 64 * 1024;

/// The bytes a text stands for.
///
/// # Errors
/// What is no item, a number too big for its type, an odd number of hexadecimal digits, an open quote,
/// and more than [`MOST`] bytes.
pub fn read(text: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut reader = Reader { text, at: 0, item: b'i', bytes: Vec::new() };
    while let Some(&byte) = text.get(reader.at) {
        reader.item(byte)?;
        if reader.bytes.len() > MOST {
            return Err(Fault::new(format!("more than {MOST} bytes of data")).bytes(reader.at..text.len()));
        }
    }
    Ok(reader.bytes)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    /// The letter in force.
    item: u8,
    bytes: Vec<u8>,
}

impl Reader<'_> {
    fn item(&mut self, byte: u8) -> Result<(), Fault> {
        match byte {
            _ if byte.is_ascii_whitespace() => self.at += 1,
            b'i' | b'I' | b'l' | b'L' | b's' | b'S' | b'b' | b'B' | b'x' => {
                self.item = byte;
                self.at += 1;
                if byte == b'x' {
                    self.digits()?;
                }
            }
            b'"' => self.string()?,
            b'\'' => self.character()?,
            _ if self.item == b'x' && byte.is_ascii_hexdigit() => self.digits()?,
            b'0'..=b'9' | b'-' | b'+' => self.number()?,
            _ => {
                return Err(Fault::new(format!("\"{}\" is no data", crate::error::excerpt(&self.text[self.at..])))
                    .bytes(self.at..self.at + 1)
                    .hint("data is written as numbers behind i, l, s or b, x00ff, \"text\" or 'c'"));
            }
        }
        Ok(())
    }

    /// A run of hexadecimal digits; none at all just leaves the type in force.
    fn digits(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let digits: Vec<u8> =
            self.text[start..].iter().map_while(|byte| char::from(*byte).to_digit(16)).map(low_byte).collect();
        self.at += digits.len();
        if !digits.len().is_multiple_of(2) {
            return Err(Fault::new("odd number of hexadecimal digits").bytes(start..self.at));
        }
        self.bytes.extend(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
        Ok(())
    }

    fn number(&mut self) -> Result<(), Fault> {
        let start = self.at;
        let sign = usize::from(matches!(self.text[start], b'-' | b'+'));
        let digits = self.text[start + sign..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at = start + sign + digits;
        if digits == 0 {
            return Err(Fault::missing_number().bytes(start..self.at));
        }
        let shown = String::from_utf8_lossy(&self.text[start..self.at]);
        let (size, range) = size_and_range(self.item);
        match shown.parse::<i128>().ok().filter(|number| range.contains(number)) {
            Some(number) if cfg!(target_endian = "little") => {
                self.bytes.extend_from_slice(&number.to_le_bytes()[..size]);
            }
            Some(number) => self.bytes.extend_from_slice(&number.to_be_bytes()[16 - size..]),
            None => {
                let (letter, least, most) = (char::from(self.item), range.start(), range.end());
                let message = format!("{shown} does not fit type {letter} ({least} to {most})");
                return Err(Fault::new(message).bytes(start..self.at));
            }
        }
        Ok(())
    }

    fn string(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.at += 1;
        while let Some(byte) = self.literal(start)? {
            self.bytes.push(byte);
        }
        Ok(())
    }

    fn character(&mut self) -> Result<(), Fault> {
        let start = self.at;
        self.at += 1;
        let byte = self.literal(start)?;
        match (byte, self.literal(start)?) {
            (Some(byte), None) => self.bytes.push(byte),
            _ => return Err(Fault::new("a character is one byte between quotes").bytes(start..self.at)),
        }
        Ok(())
    }

    /// The next byte inside the quote that was opened at `start`; `None` when it is closed.
    fn literal(&mut self, start: usize) -> Result<Option<u8>, Fault> {
        let unclosed = || Fault::new("a quote is not closed").bytes(start..start + 1);
        let byte = *self.text.get(self.at).ok_or_else(unclosed)?;
        self.at += 1;
        if byte == self.text[start] {
            return Ok(None);
        }
        if byte != b'\\' {
            return Ok(Some(byte));
        }
        let letter = *self.text.get(self.at).ok_or_else(unclosed)?;
        self.at += 1;
        Ok(Some(ESCAPES.iter().find(|(name, _)| *name == letter).map_or(letter, |(_, control)| *control)))
    }
}

fn low_byte(digit: u32) -> u8 {
    digit.to_le_bytes()[0]
}

/// How many bytes a type has, and which numbers fit.
fn size_and_range(letter: u8) -> (usize, RangeInclusive<i128>) {
    let signed = letter.is_ascii_lowercase();
    let size = match letter.to_ascii_lowercase() {
        b'l' => size_of::<std::ffi::c_long>(),
        b's' => size_of::<std::ffi::c_short>(),
        b'b' => 1,
        _ => size_of::<std::ffi::c_int>(),
    };
    let values = 1_i128 << (8 * size);
    (size, if signed { -values / 2..=values / 2 - 1 } else { 0..=values - 1 })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        read(text.as_bytes()).unwrap()
    }

    #[test]
    fn numbers_have_the_size_of_their_type() {
        assert_eq!(bytes("1"), 1_i32.to_ne_bytes());
        assert_eq!(bytes("-1"), [0xff; 4]);
        assert_eq!(bytes("i1"), 1_i32.to_ne_bytes());
        assert_eq!(bytes("I4294967295"), [0xff; 4]);
        assert_eq!(bytes("l-2"), (-2 as std::ffi::c_long).to_ne_bytes());
        assert_eq!(bytes("s-2"), (-2_i16).to_ne_bytes());
        assert_eq!(bytes("S65535"), [0xff, 0xff]);
        assert_eq!(bytes("b1"), [1]);
        assert_eq!(bytes("B255"), [0xff]);
    }

    #[test]
    fn a_letter_stays_in_force() {
        assert_eq!(bytes("b1 2 3"), [1, 2, 3]);
        assert_eq!(bytes("b1s2"), [&[1][..], &2_i16.to_ne_bytes()].concat());
        assert_eq!(bytes("x01 02ff"), [1, 2, 0xff]);
        assert_eq!(bytes("x 01 b-1"), [1, 0xff]);
    }

    #[test]
    fn hexadecimal_runs_are_bytes() {
        assert_eq!(bytes("x007bxc0a80100x0000000000000000"), [&[0, 0x7b, 0xc0, 0xa8, 1, 0][..], &[0; 8]].concat());
        assert_eq!(bytes("xDeadBEEF"), [0xde, 0xad, 0xbe, 0xef]);
        assert_eq!(read(b"x123").unwrap_err().to_string(), "odd number of hexadecimal digits");
    }

    #[test]
    fn strings_and_characters_are_their_bytes() {
        assert_eq!(bytes("\"a b\"x00"), b"a b\0");
        assert_eq!(bytes("'c''\\n''\\''"), b"c\n'");
        assert_eq!(bytes("\"\\0\\\"\""), b"\0\"");
        assert_eq!(bytes(""), b"");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for text in [
            "b128",
            "b-129",
            "B256",
            "B-1",
            "s32768",
            "S65536",
            "2147483648",
            "I4294967296",
            "i99999999999999999999999999999999999999999",
        ] {
            assert!(read(text.as_bytes()).unwrap_err().to_string().contains("does not fit"), "{text}");
        }
        for text in ["q", "-", "i-", "\"a", "'a", "''", "'ab'", "\"\\", "i0x1"] {
            assert!(read(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn the_amount_is_bounded() {
        let text = [b"x".to_vec(), b"00".repeat(MOST)].concat();
        assert_eq!(read(&text).unwrap().len(), MOST);
        assert!(read(&[text, b"00".to_vec()].concat()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_written(data: Vec<u8>) {
            let hex = data.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
            prop_assert_eq!(bytes(&format!("x{hex}")), data.clone());
            let numbers = data.iter().fold(String::new(), |numbers, byte| format!("{numbers}B{byte}"));
            prop_assert_eq!(bytes(&numbers), data);
        }

        #[test]
        fn no_data_panics(text: Vec<u8>) {
            let _ = read(&text).is_ok();
        }
    }
}
