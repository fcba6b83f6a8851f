//! Variables in the names of files: `$NAME`, `${NAME}`, `$$`; `\$` is a dollar.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use super::environment::Lookup;
use crate::error::{Error, ErrorKind, Phase, Result, printable};
use crate::sys::time::LocalTime;

/// What the variables of the program itself stand for.
#[derive(Debug, Clone)]
pub struct Own<'a> {
    /// `$PROGNAME`.
    pub program: &'a str,
    /// `$TIMESTAMP` (`%Y%m%dT%H%M%S`) and `$MICROS` (six digits).
    pub now: LocalTime,
}

/// Replaces the variables; one that is not set is an error.
pub fn expand(name: &OsStr, own: &Own<'_>, lookup: Lookup<'_>) -> Result<OsString> {
    let mut rest = name.as_bytes();
    let mut out = Vec::with_capacity(rest.len());
    while let Some((first, tail)) = rest.split_first() {
        rest = match (first, tail) {
            (b'\\', [b'$', after @ ..]) => {
                out.push(b'$');
                after
            }
            (b'$', [b'$', after @ ..]) => {
                out.extend_from_slice(std::process::id().to_string().as_bytes());
                after
            }
            (b'$', tail) if variable(tail).is_some() => {
                let (word, after) = variable(tail).unwrap_or_default();
                out.extend_from_slice(value(word, own, lookup)?.as_bytes());
                after
            }
            (byte, tail) => {
                out.push(*byte);
                tail
            }
        };
    }
    Ok(OsString::from_vec(out))
}

/// The name of a variable and what follows it.
fn variable(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if let [b'{', inner @ ..] = text {
        let end = inner.iter().position(|byte| *byte == b'}')?;
        return Some((&inner[..end], &inner[end + 1..]));
    }
    let end = text.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    (end > 0).then(|| text.split_at(end))
}

fn value(name: &[u8], own: &Own<'_>, lookup: Lookup<'_>) -> Result<OsString> {
    match name {
        b"PROGNAME" => Ok(own.program.into()),
        b"TIMESTAMP" => Ok(own.now.compact().into()),
        b"MICROS" => Ok(format!("{:06}", own.now.micros).into()),
        _ => std::str::from_utf8(name).ok().and_then(lookup).ok_or_else(|| {
            let message = format!("variable \"{}\" in the name of a file is not set", printable(name));
            Error::new(ErrorKind::Usage, Phase::Parse, message).hint("write \\$ for a dollar that is part of the name")
        }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn expanded(name: &str) -> Result<String> {
        let now = LocalTime { year: 2026, month: 1, day: 2, weekday: 5, hour: 3, minute: 4, second: 5, micros: 67 };
        let lookup = |name: &str| (name == "DIR").then(|| "/tmp".into());
        expand(name.as_ref(), &Own { program: "socat", now }, &lookup).map(|name| name.into_string().unwrap())
    }

    #[test]
    fn variables_are_replaced() {
        let pid = std::process::id();
        assert_eq!(expanded("plain.bin").unwrap(), "plain.bin");
        assert_eq!(expanded("$DIR/${DIR}x$DIR").unwrap(), "/tmp//tmpx/tmp");
        assert_eq!(expanded("$PROGNAME-$$-$TIMESTAMP.$MICROS").unwrap(), format!("socat-{pid}-20260102T030405.000067"));
        assert_eq!(expanded("\\$DIR 5$ ${ a\\b").unwrap(), "$DIR 5$ ${ a\\b");
    }

    #[test]
    fn a_variable_that_is_not_set_is_named() {
        let error = expanded("$DIR/$NOWHERE/x").unwrap_err();
        assert!(error.message().contains("\"NOWHERE\""), "{error}");
    }
}
