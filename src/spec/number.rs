//! Numbers as strtol(3) and strtod(3) read them, but never cut off silently.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::Fault;

/// A whole number in base 0: decimal, `0x` hexadecimal, leading `0` octal; with a sign or without.
pub fn whole_number(text: &[u8]) -> Result<i64, Fault> {
    read(text, None).map(|(number, _)| number)
}

/// A whole number within `range`.
pub fn number_in(text: &[u8], range: RangeInclusive<i64>) -> Result<i64, Fault> {
    let number = whole_number(text)?;
    if range.contains(&number) { Ok(number) } else { Err(out_of_range(text, &range)) }
}

/// A C int. Hexadecimal and octal numbers of 32 bits are bit patterns: `0xffffffff` is -1.
pub fn c_int(text: &[u8]) -> Result<i32, Fault> {
    let (number, radix) = read(text, None)?;
    let pattern = u32::try_from(number).ok().filter(|_| radix != 10).map(u32::cast_signed);
    let range = i64::from(i32::MIN)..=i64::from(i32::MAX);
    i32::try_from(number).ok().or(pattern).ok_or_else(|| out_of_range(text, &range))
}

/// Permission bits: octal, with or without the leading 0.
pub fn mode(text: &[u8]) -> Result<u32, Fault> {
    let (number, _) = read(text, Some(8)).map_err(|fault| fault.hint("a mode is octal, as in 0644"))?;
    u32::try_from(number)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .ok_or_else(|| Fault::new(format!("{} is not a mode (0 to 7777, octal)", crate::error::excerpt(text))))
}

/// Seconds with a fraction: `1`, `.5`, `1e-3`. May be negative, is finite.
pub fn seconds(text: &[u8]) -> Result<f64, Fault> {
    let start = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let length = decimal_length(&text[start..]);
    let number = std::str::from_utf8(&text[start..start + length]).ok().and_then(|text| text.parse::<f64>().ok());
    match number {
        None => Err(Fault::missing_number().hint("a time is a number of seconds, as in 0.5")),
        Some(_) if start + length < text.len() => Err(Fault::garbage(start + length..text.len())),
        Some(number) if number.is_finite() => Ok(number),
        Some(_) => Err(Fault::new(format!("{} seconds are too many", crate::error::excerpt(text)))),
    }
}

/// A span of time in seconds, not negative.
pub fn duration(text: &[u8]) -> Result<Duration, Fault> {
    let seconds = seconds(text)?;
    // The kernel keeps seconds as a signed number of the machine's word size.
    if !(0.0..=f64::from(i32::MAX)).contains(&seconds) {
        return Err(Fault::new(format!("a time of {seconds} seconds is out of range (0 to {})", i32::MAX)));
    }
    Ok(Duration::from_secs_f64(seconds))
}

/// How many bytes at the front are a decimal number with a fraction and an exponent.
fn decimal_length(text: &[u8]) -> usize {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let sign = |from: usize| usize::from(matches!(text.get(from), Some(b'+' | b'-')));
    let mut length = sign(0);
    let whole = digits(length);
    length += whole;
    let mut fraction = 0;
    if text.get(length) == Some(&b'.') {
        fraction = digits(length + 1);
        length += 1 + fraction;
    }
    if whole + fraction == 0 {
        return 0;
    }
    if matches!(text.get(length), Some(b'e' | b'E')) {
        let from = length + 1 + sign(length + 1);
        if digits(from) > 0 {
            length = from + digits(from);
        }
    }
    length
}

/// The number and the radix it was written in.
fn read(text: &[u8], radix: Option<u32>) -> Result<(i64, u32), Fault> {
    let mut at = text.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let negative = text.get(at) == Some(&b'-');
    at += usize::from(matches!(text.get(at), Some(b'-' | b'+')));
    let radix = radix.unwrap_or(match &text[at..] {
        [b'0', b'x' | b'X', digit, ..] if digit.is_ascii_hexdigit() => {
            at += 2;
            16
        }
        [b'0', ..] => 8,
        _ => 10,
    });
    let mut number = Some(0_i64);
    let mut count = 0;
    // Digits that no longer fit still belong to the number, and are not garbage.
    for digit in text[at..].iter().map_while(|byte| char::from(*byte).to_digit(radix)) {
        let shifted = number.and_then(|number| number.checked_mul(radix.into()));
        let digit = if negative { -i64::from(digit) } else { digit.into() };
        number = shifted.and_then(|number| number.checked_add(digit));
        count += 1;
    }
    let end = at + count;
    match number {
        _ if count == 0 => Err(Fault::missing_number()),
        _ if end < text.len() => Err(Fault::garbage(end..text.len())),
        Some(number) => Ok((number, radix)),
        None => Err(out_of_range(text, &(i64::MIN..=i64::MAX))),
    }
}

fn out_of_range(text: &[u8], range: &RangeInclusive<i64>) -> Fault {
    let (least, most) = (range.start(), range.end());
    Fault::out_of_range(format!("{} is out of range ({least} to {most})", crate::error::excerpt(text)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;

    #[test]
    fn whole_numbers_come_in_three_bases() {
        for (text, number) in [("0", 0), ("10", 10), ("-7", -7), ("+7", 7), (" 7", 7), ("0x1F", 31), ("010", 8)] {
            assert_eq!(whole_number(text.as_bytes()).unwrap(), number, "{text}");
        }
        assert_eq!(whole_number(b"-9223372036854775808").unwrap(), i64::MIN);
    }

    #[test]
    fn what_is_no_number_is_told_apart() {
        for text in ["", "x", "-", " ", "yes"] {
            assert_eq!(whole_number(text.as_bytes()), Err(Fault::missing_number()), "{text}");
        }
        assert_eq!(whole_number(b"12k"), Err(Fault::garbage(2..3)));
        assert_eq!(whole_number(b"0x"), Err(Fault::garbage(1..2)));
        assert_eq!(whole_number(b"09"), Err(Fault::garbage(1..2)));
        assert_eq!(whole_number(b"1.5"), Err(Fault::garbage(1..3)));
    }

    #[test]
    fn numbers_are_not_cut_off() {
        for text in ["9223372036854775808", "99999999999999999999999", "0x10000000000000000"] {
            assert!(whole_number(text.as_bytes()).unwrap_err().to_string().contains("out of range"), "{text}");
        }
        assert!(number_in(b"300", 0..=255).unwrap_err().to_string().contains("300 is out of range (0 to 255)"));
        assert_eq!(number_in(b"255", 0..=255).unwrap(), 255);
        assert!(c_int(b"4294967295").is_err());
        assert!(c_int(b"0x100000000").is_err());
        assert_eq!(c_int(b"0xffffffff").unwrap(), -1);
        assert_eq!(c_int(b"-2147483648").unwrap(), i32::MIN);
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(mode(b"644").unwrap(), 0o644);
        assert_eq!(mode(b"0644").unwrap(), 0o644);
        assert!(mode(b"9").unwrap_err().is_missing_number());
        assert_eq!(mode(b"68").unwrap_err().to_string(), "trailing garbage in numerical arg");
        assert!(mode(b"10000").is_err());
        assert!(mode(b"-1").is_err());
    }

    #[test]
    fn times_are_fractions_of_seconds() {
        for (text, millis) in [("1", 1000), (".5", 500), ("1e-3", 1), ("2.", 2000), ("1.25", 1250), ("+1E1", 10_000)] {
            assert_eq!(duration(text.as_bytes()).unwrap(), Duration::from_millis(millis), "{text}");
        }
        for text in ["", ".", "x", "inf", "nan", "e3", "-"] {
            assert!(seconds(text.as_bytes()).unwrap_err().is_missing_number(), "{text}");
        }
        assert_eq!(seconds(b"1x").unwrap_err(), Fault::garbage(1..2));
        assert_eq!(seconds(b"1e").unwrap_err(), Fault::garbage(1..2));
        assert!((seconds(b"-1.5").unwrap() + 1.5).abs() < f64::EPSILON);
        for text in ["-1", "1e300", "1e999", "4294967296"] {
            assert!(duration(text.as_bytes()).is_err(), "{text}");
        }
    }
}
