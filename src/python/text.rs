//! The text of addresses: from typed values, and back to what it says.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::errors::OrRaise;
use crate::endpoint::{self, Defaults, Direction, Kind, Plan};
use crate::option::{self, Groups, Row, ValueType};
use crate::spec::{self, OptionSpec, Single, Spec, Word};

/// A word quoted so that it means itself wherever a word may stand in an address.
#[pyfunction]
pub fn quote<'py>(py: Python<'py>, word: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &spec::quote(&plain(word)?)))
}

/// Checks the text of an address. Gives the keyword and the canonical text of each half; there are two
/// for a dual address. Opens nothing.
#[pyfunction]
pub fn parse<'py>(py: Python<'py>, text: &[u8]) -> PyResult<Vec<(&'static str, Bound<'py, PyBytes>)>> {
    let halves = checked(text).or_raise(py)?;
    Ok(halves.into_iter().map(|(kind, text)| (kind.name, PyBytes::new(py, &text))).collect())
}

/// Makes the canonical text of an address of typed values, and checks it. Opens nothing.
///
/// Listeners on IP addresses get the loopback address unless `options` name one to bind to.
#[pyfunction]
pub fn compose<'py>(
    py: Python<'py>,
    keyword: &str,
    params: &Bound<'py, PyTuple>,
    options: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyBytes>> {
    let kind = endpoint::find(keyword)
        .ok_or_else(|| crate::Error::text(format!("unknown device/address \"{keyword}\"")))
        .or_raise(py)?;
    let meanings = placeholders(kind.usage).chain(std::iter::repeat(""));
    let given = params.iter().zip(meanings).filter(|(value, _)| !value.is_none());
    let mut single = Single {
        keyword: word(kind.name),
        params: given.map(|(value, meaning)| param(&value, meaning).map(word)).collect::<PyResult<_>>()?,
        options: Vec::new(),
        span: 0..0,
    };
    for (name, value) in options {
        let name = name.extract::<String>()?.trim_end_matches('_').replace('_', "-");
        push_option(&mut single.options, kind, &name, &value)?;
    }
    let is_bound = single.options.iter().any(|option| option.name.bytes == b"bind");
    if !is_bound && let Some(address) = loopback(kind, options)? {
        single.options.push(OptionSpec { name: word("bind"), value: Some(word(address)) });
    }
    let halves = checked(&single.to_bytes()).or_raise(py)?;
    Ok(PyBytes::new(py, &halves.into_iter().next().map(|(_, text)| text).unwrap_or_default()))
}

/// A word that stands nowhere yet.
fn word(bytes: impl Into<Vec<u8>>) -> Word {
    Word { bytes: bytes.into(), span: 0..0 }
}

/// The kind and the canonical text of each half of an address that could be opened as it is.
fn checked(text: &[u8]) -> crate::Result<Vec<(&'static Kind, Vec<u8>)>> {
    let spec = spec::parse(text)?;
    Plan::new(&spec, Direction::Both, &Defaults::default())?;
    let halves = std::iter::once(&spec.first).chain(&spec.second);
    halves.map(|half| canonical(&spec, half)).collect()
}

fn canonical(spec: &Spec, single: &Single) -> crate::Result<(&'static Kind, Vec<u8>)> {
    let kind = spec::diagnose::kind_of(spec, single)?;
    let mut single = single.clone();
    single.keyword.bytes = kind.name.into();
    for option in &mut single.options {
        if let Some(row) = row(kind, &String::from_utf8_lossy(&option.name.bytes)) {
            option.name.bytes = spelling(row).into();
        }
    }
    Ok((kind, single.to_bytes()))
}

fn row(kind: &Kind, name: &str) -> Option<&'static Row> {
    option::find(name, kind.groups.and(Groups::EVERY_KIND))
}

/// The name people use for an option: `reuseaddr` rather than `so-reuseaddr`, where both mean the same.
pub fn spelling(row: &'static Row) -> &'static str {
    let is_short = |alias: &&&str| row.name.strip_suffix(**alias).is_some_and(|prefix| prefix.ends_with('-'));
    let means_it = |alias: &&&str| option::find(alias, row.groups).is_some_and(|found| std::ptr::eq(found, row));
    row.aliases.iter().filter(is_short).find(means_it).unwrap_or(&row.name)
}

/// The names in a usage text like `:<host>:<port>`, in their order.
fn placeholders(usage: &str) -> impl Iterator<Item = &str> {
    usage.split(':').filter(|part| part.contains('<')).map(|part| part.trim_matches(|c| matches!(c, '[' | ']')))
}

/// The word for a parameter: lists of arguments become a command line, IPv6 addresses get their brackets.
fn param(value: &Bound<'_, PyAny>, meaning: &str) -> PyResult<Vec<u8>> {
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        let words = value.try_iter()?.map(|word| Ok(spec::quote(&plain(&word?)?))).collect::<PyResult<Vec<_>>>()?;
        return Ok(words.join(&b' '));
    }
    let text = plain(value)?;
    let names_host = meaning.contains("host") || meaning.contains("server");
    if names_host && text.contains(&b':') && !text.starts_with(b"[") {
        return Ok([b"[", text.as_slice(), b"]"].concat());
    }
    Ok(text)
}

/// Adds an option in the way its type is written; lists give it several times.
fn push_option(options: &mut Vec<OptionSpec>, kind: &Kind, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    if value.is_none() {
        return Ok(());
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        return value.try_iter()?.try_for_each(|item| push_option(options, kind, name, &item?));
    }
    let value = match (row(kind, name).map(|row| row.value), value.extract::<bool>()) {
        (Some(ValueType::Flag | ValueType::TextOrNone), Ok(false)) => return Ok(()),
        (Some(ValueType::Flag | ValueType::Bool | ValueType::TextOrNone | ValueType::IntOrEmpty), Ok(true)) => None,
        (Some(ValueType::Mode), _) if value.is_instance_of::<PyInt>() => {
            Some(format!("{:o}", value.extract::<u32>()?).into_bytes())
        }
        (Some(ValueType::Data), _) if value.is_instance_of::<PyBytes>() => {
            Some(hexadecimal(&value.extract::<Vec<u8>>()?))
        }
        _ => Some(plain(value)?),
    };
    options.push(OptionSpec { name: word(name), value: value.map(word) });
    Ok(())
}

/// Binary data in socat's notation.
fn hexadecimal(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    std::iter::once(b'x').chain(bytes.iter().flat_map(digits)).collect()
}

/// The bytes a value is written with: numbers in decimal, truth as 1 and 0, text and paths as they are.
fn plain(value: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if value.is_instance_of::<PyBool>() {
        return Ok(if value.extract::<bool>()? { b"1".to_vec() } else { b"0".to_vec() });
    }
    if value.is_instance_of::<PyInt>() {
        return Ok(value.str()?.to_string().into_bytes());
    }
    if value.is_instance_of::<PyFloat>() {
        return Ok(value.extract::<f64>()?.to_string().into_bytes());
    }
    if value.is_instance_of::<PyString>() {
        return Ok(value.extract::<OsString>()?.into_vec());
    }
    if let Ok(bytes) = value.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    plain(&value.py().import("os")?.call_method1("fspath", (value,))?)
}

/// The loopback address a listener binds to that was not told otherwise; `None` for what is reached
/// otherwise than by IP.
fn loopback(kind: &Kind, options: &Bound<'_, PyDict>) -> PyResult<Option<&'static str>> {
    let (version4, version6) = (kind.groups.intersects(Groups::IP4), kind.groups.intersects(Groups::IP6));
    if !matches!(kind.usage, ":<port>" | ":<protocol>") || !(version4 || version6) {
        return Ok(None);
    }
    let mut wants6 = !version4;
    for name in ["pf", "protocol_family"] {
        if let Some(family) = options.get_item(name)? {
            wants6 |= matches!(plain(&family)?.as_slice(), b"6" | b"10" | b"ip6" | b"ipv6" | b"inet6");
        }
    }
    Ok(Some(if wants6 { "[::1]" } else { "127.0.0.1" }))
}
