//! The values of options: text in, typed value out. Also what else an address is made of: ports, numbers,
//! command lines.

use std::net::Ipv4Addr;
use std::ops::RangeInclusive;

use super::Fault;
use super::{dalan, number};
use crate::error::excerpt;
use crate::option::{IoctlArgument, Principal, Value, ValueType};

pub use super::lexer::split_command;
pub use super::network::{PortText, port};
pub use super::number::{c_int, duration, mode, number_in, seconds, whole_number};

/// Reads the value of an option; `text` is `None` without `=`.
///
/// # Errors
/// A value where none is permitted or none where one is required, what is no number, what is out of range,
/// what has too few or too many parts.
pub fn read(wanted: ValueType, text: Option<&[u8]>) -> Result<Value, Fault> {
    match text {
        Some(text) => given(wanted, text),
        None => missing(wanted),
    }
}

/// What an option means without `=`. As in socat, numbers are then 1.
fn missing(wanted: ValueType) -> Result<Value, Fault> {
    use ValueType as T;
    match wanted {
        T::Flag | T::TextOrNone => Ok(Value::None),
        T::Bool => Ok(Value::Bool(true)),
        T::Int | T::IntOrEmpty | T::Byte | T::UnsignedShort | T::UnsignedInt | T::Size | T::Offset | T::Offset32 => {
            Ok(Value::Int(1))
        }
        _ => Err(Fault::new("value required").hint(format!("its value is written {}", example(wanted)))),
    }
}

fn given(wanted: ValueType, text: &[u8]) -> Result<Value, Fault> {
    use ValueType as T;
    Ok(match wanted {
        T::Flag => return Err(Fault::unwanted()),
        T::Bool => Value::Bool(truth(text)?),
        T::IntOrEmpty if text.is_empty() => Value::None,
        T::Int | T::IntOrEmpty => Value::Int(number::c_int(text)?.into()),
        T::Byte => within(text, 0..=u8::MAX.into())?,
        T::UnsignedShort => within(text, 0..=u16::MAX.into())?,
        T::UnsignedInt => within(text, 0..=u32::MAX.into())?,
        T::Size => within(text, 0..=i64::MAX)?,
        T::Offset => Value::Int(number::whole_number(text)?),
        T::Offset32 => within(text, i32::MIN.into()..=i32::MAX.into())?,
        T::Timeval | T::Timespec => Value::Time(number::duration(text)?),
        T::Linger => within(text, 0..=i32::MAX.into())?,
        T::Text | T::TextOrNone => Value::Text(text.to_vec()),
        T::Mode => Value::Mode(number::mode(text)?),
        T::User | T::Group => Value::Principal(principal(text)?),
        T::Data => Value::Data(dalan::read(text)?),
        T::SocketOptionData | T::SocketOptionInt | T::SocketOptionText => socket_option(wanted, text)?,
        T::IoctlVoid | T::IoctlInt | T::IoctlIntPointer | T::IoctlData | T::IoctlText => ioctl(wanted, text)?,
        T::Ipv4 => Value::Ipv4(dotted(text)?, None),
        T::Ipv4Port => dotted_with_port(text)?,
        T::Membership => Value::Parts(membership(text, 2..=3, wanted)?),
        T::SourceMembership | T::SourceMembership6 => Value::Parts(membership(text, 3..=3, wanted)?),
        T::Membership6 => Value::Parts(membership(text, 2..=2, wanted)?),
        T::IntPair | T::IntUnsignedLong => pair(wanted, text)?,
        T::IntTriple => return Err(Fault::new("cannot be set")),
    })
}

fn within(text: &[u8], range: RangeInclusive<i64>) -> Result<Value, Fault> {
    number::number_in(text, range).map(Value::Int)
}

fn truth(text: &[u8]) -> Result<bool, Fault> {
    match number::whole_number(text) {
        Ok(number) => Ok(number != 0),
        Err(fault) if fault.is_missing_number() => Err(fault.hint("write 1 or nothing for yes, 0 for no")),
        Err(fault) => Err(fault),
    }
}

/// A user or a group: all digits are a number, anything else is a name.
fn principal(text: &[u8]) -> Result<Principal, Fault> {
    if text.is_empty() {
        return Err(Fault::new("a name or a number is missing"));
    }
    if text[0].is_ascii_digit()
        && let Ok(number) = number::whole_number(text)
    {
        // The last number means "unchanged" to chown(2) and setuid(2).
        return u32::try_from(number)
            .ok()
            .filter(|number| *number != u32::MAX)
            .map(Principal::Id)
            .ok_or_else(|| Fault::new(format!("{number} is out of range (0 to {})", u32::MAX - 1)));
    }
    match std::str::from_utf8(text) {
        Ok(name) if !name.contains('\0') => Ok(Principal::Name(name.to_owned())),
        _ => Err(Fault::new(format!("\"{}\" is not a name", excerpt(text)))),
    }
}

/// Two numbers.
fn pair(wanted: ValueType, text: &[u8]) -> Result<Value, Fault> {
    let Some(colon) = text.iter().position(|byte| *byte == b':') else {
        return Err(Fault::new("2 arguments required").hint(format!("its value is written {}", example(wanted))));
    };
    let first = number::c_int(&text[..colon])?;
    let second = &text[colon + 1..];
    let second = match wanted {
        ValueType::IntPair => number::c_int(second).map(i64::from),
        _ => number::number_in(second, 0..=i64::MAX),
    };
    Ok(Value::Pair(first.into(), second.map_err(|fault| fault.shifted(colon + 1))?))
}

/// `level:option:value`, for setsockopt(2).
fn socket_option(wanted: ValueType, text: &[u8]) -> Result<Value, Fault> {
    let mut colons = text.iter().enumerate().filter(|(_, byte)| **byte == b':').map(|(at, _)| at);
    let (Some(first), Some(second)) = (colons.next(), colons.next()) else {
        return Err(Fault::new("3 arguments required").hint(format!("its value is written {}", example(wanted))));
    };
    let level = number::c_int(&text[..first])?;
    let option = number::c_int(&text[first + 1..second]).map_err(|fault| fault.shifted(first + 1))?;
    let value = &text[second + 1..];
    let bytes = match wanted {
        ValueType::SocketOptionInt => number::c_int(value).map(|number| number.to_ne_bytes().to_vec()),
        ValueType::SocketOptionText => Ok([value, b"\0"].concat()),
        _ => dalan::read(value),
    };
    Ok(Value::SocketOption(level, option, bytes.map_err(|fault| fault.shifted(second + 1))?))
}

/// `request`, or `request:value`, for ioctl(2).
fn ioctl(wanted: ValueType, text: &[u8]) -> Result<Value, Fault> {
    if wanted == ValueType::IoctlVoid {
        return Ok(Value::Ioctl(request(text)?, IoctlArgument::None));
    }
    let Some(at) = text.iter().position(|byte| *byte == b':') else {
        return Err(Fault::new("2 arguments required").hint(format!("its value is written {}", example(wanted))));
    };
    let number = request(&text[..at])?;
    let value = &text[at + 1..];
    let argument = match wanted {
        ValueType::IoctlInt => number::c_int(value).map(IoctlArgument::Int),
        ValueType::IoctlIntPointer => number::c_int(value).map(IoctlArgument::IntPointer),
        ValueType::IoctlText => Ok(IoctlArgument::Data([value, b"\0"].concat())),
        _ => dalan::read(value).map(IoctlArgument::Data),
    };
    Ok(Value::Ioctl(number, argument.map_err(|fault| fault.shifted(at + 1))?))
}

/// The number of an ioctl(2) request; the kernel looks at 32 bits of it.
fn request(text: &[u8]) -> Result<u64, Fault> {
    let number = number::number_in(text, i32::MIN.into()..=u32::MAX.into())?;
    Ok(number.cast_unsigned() & u64::from(u32::MAX))
}

fn dotted(text: &[u8]) -> Result<Ipv4Addr, Fault> {
    let address = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    address.ok_or_else(|| Fault::new(format!("\"{}\" is not an IPv4 address", excerpt(text))))
}

fn dotted_with_port(text: &[u8]) -> Result<Value, Fault> {
    let Some(at) = text.iter().position(|byte| *byte == b':') else {
        return Ok(Value::Ipv4(dotted(text)?, None));
    };
    let address = dotted(&text[..at]).map_err(|fault| fault.bytes(0..at))?;
    match port(&text[at + 1..]).map_err(|fault| fault.bytes(at + 1..text.len()))? {
        PortText::Number(number) => Ok(Value::Ipv4(address, Some(number))),
        PortText::Service(name) => Err(Fault::new(format!("port {name} is not a number")).bytes(at + 1..text.len())),
    }
}

/// The parts between the colons outside of brackets; the brackets go.
fn membership(text: &[u8], count: RangeInclusive<usize>, wanted: ValueType) -> Result<Vec<String>, Fault> {
    let text = std::str::from_utf8(text).map_err(|_| Fault::new(format!("\"{}\" is no text", excerpt(text))))?;
    let mut bracketed = false;
    let parts: Vec<&str> = text
        .split(|c| {
            bracketed = c == '[' || bracketed && c != ']';
            c == ':' && !bracketed
        })
        .collect();
    if !count.contains(&parts.len()) {
        let many = parts.len() > *count.end();
        let brackets = if many { "; IPv6 addresses go in brackets" } else { "" };
        let fault = Fault::new(format!("{} parts instead of {}", parts.len(), span(&count)));
        return Err(fault.hint(format!("its value is written {}{brackets}", example(wanted))));
    }
    let bare = |part: &&str| part.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(part).to_owned();
    Ok(parts.iter().map(bare).collect())
}

/// `2`, or `2 to 3`.
pub(super) fn span(count: &RangeInclusive<usize>) -> String {
    match (*count.start(), *count.end()) {
        (least, most) if least == most => least.to_string(),
        (least, usize::MAX) => format!("at least {least}"),
        (least, most) => format!("{least} to {most}"),
    }
}

/// What the value of a type looks like.
fn example(wanted: ValueType) -> &'static str {
    use ValueType as T;
    match wanted {
        T::Flag => "nothing behind the name",
        T::Bool => "1 or 0",
        T::Int
        | T::IntOrEmpty
        | T::Byte
        | T::UnsignedShort
        | T::UnsignedInt
        | T::Size
        | T::Offset
        | T::Offset32
        | T::IntTriple => "<number>",
        T::Timeval | T::Timespec | T::Linger => "<seconds>",
        T::Text | T::TextOrNone => "<text>",
        T::Mode => "<octal mode>",
        T::User => "<user's name or number>",
        T::Group => "<group's name or number>",
        T::Data => "<data>, as in x00ff",
        T::SocketOptionData => "<level>:<option>:<data>",
        T::SocketOptionInt => "<level>:<option>:<number>",
        T::SocketOptionText => "<level>:<option>:<text>",
        T::IoctlVoid => "<request>",
        T::IoctlInt | T::IoctlIntPointer => "<request>:<number>",
        T::IoctlData => "<request>:<data>",
        T::IoctlText => "<request>:<text>",
        T::Ipv4 => "<IPv4 address>",
        T::Ipv4Port => "<IPv4 address>[:<port>]",
        T::Membership => "<group>:<address or interface>[:<interface>]",
        T::SourceMembership => "<group>:<interface's address>:<source>",
        T::Membership6 => "[<group>]:<interface>",
        T::SourceMembership6 => "[<group>]:<interface>:[<source>]",
        T::IntPair => "<number>:<number>",
        T::IntUnsignedLong => "<number>:<flags>",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn value(wanted: ValueType, text: &str) -> Value {
        read(wanted, Some(text.as_bytes())).unwrap()
    }

    fn fault(wanted: ValueType, text: &str) -> String {
        read(wanted, Some(text.as_bytes())).unwrap_err().to_string()
    }

    #[test]
    fn without_a_value_switches_are_on_and_numbers_are_one() {
        use ValueType as T;
        assert_eq!(read(T::Flag, None), Ok(Value::None));
        assert_eq!(read(T::Bool, None), Ok(Value::Bool(true)));
        assert_eq!(read(T::Int, None), Ok(Value::Int(1)));
        assert_eq!(read(T::Offset, None), Ok(Value::Int(1)));
        assert_eq!(read(T::IntOrEmpty, None), Ok(Value::Int(1)));
        assert_eq!(read(T::IntOrEmpty, Some(b"")), Ok(Value::None));
        assert_eq!(read(T::TextOrNone, None), Ok(Value::None));
        for wanted in [T::Text, T::Mode, T::User, T::Timeval, T::Linger, T::Data, T::IoctlVoid, T::Membership] {
            assert_eq!(read(wanted, None).unwrap_err().to_string(), "value required");
        }
    }

    #[test]
    fn booleans_are_numbers() {
        assert_eq!(value(ValueType::Bool, "0"), Value::Bool(false));
        assert_eq!(value(ValueType::Bool, "0x10"), Value::Bool(true));
        assert_eq!(fault(ValueType::Bool, "yes"), "missing numerical value");
        assert_eq!(fault(ValueType::Bool, ""), "missing numerical value");
        assert_eq!(fault(ValueType::Bool, "1x"), "trailing garbage in numerical arg");
        assert_eq!(fault(ValueType::Flag, "0"), "no value permitted");
    }

    #[test]
    fn numbers_keep_their_range() {
        use ValueType as T;
        assert_eq!(value(T::Byte, "255"), Value::Int(255));
        assert_eq!(value(T::UnsignedShort, "0xffff"), Value::Int(65535));
        assert_eq!(value(T::UnsignedInt, "4294967295"), Value::Int(4_294_967_295));
        assert_eq!(value(T::Size, "100000000000"), Value::Int(100_000_000_000));
        assert_eq!(value(T::Offset, "-1"), Value::Int(-1));
        for (wanted, text) in [
            (T::Byte, "256"),
            (T::Byte, "-1"),
            (T::UnsignedShort, "65536"),
            (T::UnsignedInt, "4294967296"),
            (T::UnsignedInt, "-1"),
            (T::Int, "2147483648"),
            (T::Size, "-1"),
            (T::Offset32, "2147483648"),
            (T::Linger, "-1"),
            (T::User, "4294967295"),
        ] {
            assert!(fault(wanted, text).contains("out of range"), "{wanted:?} {text}");
        }
    }

    #[test]
    fn times_modes_and_principals() {
        assert_eq!(value(ValueType::Timeval, ".5"), Value::Time(Duration::from_millis(500)));
        assert_eq!(value(ValueType::Mode, "644"), Value::Mode(0o644));
        assert_eq!(value(ValueType::User, "0"), Value::Principal(Principal::Id(0)));
        assert_eq!(value(ValueType::Group, "floppy"), Value::Principal(Principal::Name("floppy".to_owned())));
        assert_eq!(value(ValueType::User, "3com"), Value::Principal(Principal::Name("3com".to_owned())));
        assert!(read(ValueType::User, Some(b"")).is_err());
        assert!(read(ValueType::User, Some(b"\xff")).is_err());
    }

    #[test]
    fn socket_options_are_triples() {
        let int = 6_i32.to_ne_bytes().to_vec();
        assert_eq!(value(ValueType::SocketOptionInt, "1:2:6"), Value::SocketOption(1, 2, int));
        assert_eq!(value(ValueType::SocketOptionText, "1:25:a:b"), Value::SocketOption(1, 25, b"a:b\0".to_vec()));
        assert_eq!(value(ValueType::SocketOptionData, "1:2:x0a"), Value::SocketOption(1, 2, vec![10]));
        assert_eq!(fault(ValueType::SocketOptionInt, "1:2"), "3 arguments required");
        assert_eq!(fault(ValueType::SocketOptionInt, "1:2:3:4"), "trailing garbage in numerical arg");
        assert_eq!(fault(ValueType::SocketOptionInt, "x:2:3"), "missing numerical value");
        let garbage = read(ValueType::SocketOptionInt, Some(b"1:2q:3")).unwrap_err();
        assert_eq!(garbage, number::c_int(b"2q").unwrap_err().shifted(2));
    }

    #[test]
    fn pairs_are_two_numbers() {
        assert_eq!(value(ValueType::IntPair, "132:43"), Value::Pair(132, 43));
        assert_eq!(value(ValueType::IntPair, "-1:0x10"), Value::Pair(-1, 16));
        assert_eq!(value(ValueType::IntUnsignedLong, "2:0xffffffff"), Value::Pair(2, 0xffff_ffff));
        assert_eq!(fault(ValueType::IntPair, "132"), "2 arguments required");
        assert_eq!(fault(ValueType::IntPair, "1:2:3"), "trailing garbage in numerical arg");
        assert!(fault(ValueType::IntUnsignedLong, "2:-1").contains("out of range"));
        let garbage = read(ValueType::IntPair, Some(b"1:2q")).unwrap_err();
        assert_eq!(garbage, number::c_int(b"2q").unwrap_err().shifted(2));
    }

    #[test]
    fn ioctls_have_a_request_and_an_argument() {
        assert_eq!(value(ValueType::IoctlVoid, "0x5309"), Value::Ioctl(0x5309, IoctlArgument::None));
        assert_eq!(value(ValueType::IoctlVoid, "0x80000000"), Value::Ioctl(0x8000_0000, IoctlArgument::None));
        assert_eq!(value(ValueType::IoctlVoid, "-1"), Value::Ioctl(0xffff_ffff, IoctlArgument::None));
        assert_eq!(value(ValueType::IoctlInt, "1:2"), Value::Ioctl(1, IoctlArgument::Int(2)));
        assert_eq!(value(ValueType::IoctlIntPointer, "1:2"), Value::Ioctl(1, IoctlArgument::IntPointer(2)));
        assert_eq!(value(ValueType::IoctlData, "1:x02"), Value::Ioctl(1, IoctlArgument::Data(vec![2])));
        assert_eq!(value(ValueType::IoctlText, "1:ab"), Value::Ioctl(1, IoctlArgument::Data(b"ab\0".to_vec())));
        assert_eq!(fault(ValueType::IoctlInt, "1"), "2 arguments required");
    }

    #[test]
    fn addresses_and_memberships() {
        use ValueType as T;
        let parts = |parts: &[&str]| Value::Parts(parts.iter().map(|part| (*part).to_owned()).collect());
        assert_eq!(value(T::Ipv4, "1.2.3.4"), Value::Ipv4([1, 2, 3, 4].into(), None));
        assert_eq!(value(T::Ipv4Port, "1.2.3.4:53"), Value::Ipv4([1, 2, 3, 4].into(), Some(53)));
        assert_eq!(fault(T::Ipv4Port, "1.2.3.4:66666"), "port 66666 is out of range, the highest is 65535");
        assert_eq!(value(T::Membership, "224.0.0.1:eth0"), parts(&["224.0.0.1", "eth0"]));
        assert_eq!(value(T::Membership, "224.0.0.1:10.0.0.1:2"), parts(&["224.0.0.1", "10.0.0.1", "2"]));
        assert_eq!(value(T::Membership6, "[ff02::1]:eth0"), parts(&["ff02::1", "eth0"]));
        assert_eq!(value(T::SourceMembership6, "[ff02::1]:2:[fe80::1]"), parts(&["ff02::1", "2", "fe80::1"]));
        assert_eq!(fault(T::Membership6, "ff02::1:eth0"), "4 parts instead of 2");
        assert_eq!(fault(T::Membership, "224.0.0.1"), "1 parts instead of 2 to 3");
    }

    proptest! {
        #[test]
        fn integers_are_read_as_written(number: i32) {
            prop_assert_eq!(value(ValueType::Int, &number.to_string()), Value::Int(number.into()));
            prop_assert_eq!(value(ValueType::Int, &format!("{number:#x}")), Value::Int(number.into()));
        }
    }
}
