//! Numbers on the command line, read as strtoul(3) with base 0 and strtod(3) read them.

/// Why a text is no number; the words are the ones scripts know.
pub const MISSING: &str = "missing numerical value";
/// Something follows the number.
pub const GARBAGE: &str = "trailing garbage in numerical arg";

/// It is one, but not one that could be meant.
pub const RANGE: &str = "value out of range";

/// A whole number: decimal, hexadecimal behind `0x`, octal behind `0`.
pub fn integer(text: &[u8]) -> Result<i128, &'static str> {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    let (base, digits) = match digits {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => (16, rest),
        [b'0', ..] => (8, digits),
        _ => (10, digits),
    };
    let value = |byte: &u8| char::from(*byte).to_digit(base).map(i128::from);
    let count = digits.iter().take_while(|byte| value(byte).is_some()).count();
    match count {
        0 => Err(MISSING),
        _ if count < digits.len() => Err(GARBAGE),
        _ => {
            // Beyond any limit a number is used for, further digits make no difference.
            let number = digits
                .iter()
                .filter_map(value)
                .fold(0_i128, |number, digit| number.saturating_mul(i128::from(base)).saturating_add(digit));
            Ok(if negative { -number } else { number })
        }
    }
}

/// A number of bytes; K, M and G behind it stand for powers of 1024.
pub fn size(text: &[u8]) -> Result<u64, &'static str> {
    let (digits, shift) = match text {
        [digits @ .., b'k' | b'K'] => (digits, 10),
        [digits @ .., b'm' | b'M'] => (digits, 20),
        [digits @ .., b'g' | b'G'] => (digits, 30),
        _ => (text, 0),
    };
    u64::try_from(integer(digits)?.saturating_mul(1 << shift)).map_err(|_| RANGE)
}

/// Seconds, with a fraction; infinity is a number, "not a number" is none.
pub fn seconds(text: &[u8]) -> Result<f64, &'static str> {
    let text = text.trim_ascii_start();
    if let [b'0', b'x' | b'X', ..] = text {
        // Whole hexadecimal seconds are exact up to 2^53; nobody waits longer.
        #[expect(clippy::cast_precision_loss, reason = "exact for any time that passes")]
        return integer(text).map(|number| number as f64);
    }
    let number = |end: usize| std::str::from_utf8(&text[..end]).ok().and_then(|text| text.parse::<f64>().ok());
    match number(text.len()) {
        Some(number) if number.is_nan() => Err(MISSING),
        Some(number) => Ok(number),
        None if (1..text.len()).any(|end| number(end).is_some()) => Err(GARBAGE),
        None => Err(MISSING),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_have_three_bases() {
        for (text, number) in [("8192", 8192), ("0x1F", 31), ("010", 8), ("0", 0), ("-5", -5), ("+7", 7), (" 9", 9)] {
            assert_eq!(integer(text.as_bytes()), Ok(number), "{text}");
        }
        for text in ["12x", "0x1g", "08", "0x", "1 "] {
            assert_eq!(integer(text.as_bytes()), Err(GARBAGE), "{text}");
        }
        for text in ["", "x", "-", "é"] {
            assert_eq!(integer(text.as_bytes()), Err(MISSING), "{text}");
        }
        assert_eq!(integer(&[b'9'; 100]), Ok(i128::MAX));
    }

    #[test]
    fn sizes_have_units() {
        for (text, number) in [("4096", 4096), ("4k", 4096), ("0x10K", 16384), ("10M", 10 << 20), ("3G", 3 << 30)] {
            assert_eq!(size(text.as_bytes()), Ok(number), "{text}");
        }
        for (text, why) in [("", MISSING), ("M", MISSING), ("1KB", GARBAGE), ("1.5M", GARBAGE), ("-1k", RANGE)] {
            assert_eq!(size(text.as_bytes()), Err(why), "{text}");
        }
        assert_eq!(size(&[b'9'; 100]), Err(RANGE));
    }

    #[test]
    fn seconds_have_fractions() {
        for (text, number) in [("0.5", 0.5), (".5", 0.5), ("1e-3", 0.001), ("5", 5.0), ("-1", -1.0), ("0x10", 16.0)] {
            assert_eq!(seconds(text.as_bytes()), Ok(number), "{text}");
        }
        assert_eq!(seconds(b"inf"), Ok(f64::INFINITY));
        for text in ["0.5x", "3s", "1.2.3"] {
            assert_eq!(seconds(text.as_bytes()), Err(GARBAGE), "{text}");
        }
        for text in ["", "x", "nan", "."] {
            assert_eq!(seconds(text.as_bytes()), Err(MISSING), "{text}");
        }
    }
}
