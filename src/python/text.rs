//! The text of addresses: from typed values, and back to what it says.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::errors::OrRaise;
use crate::endpoint::{self, Defaults, Direction, Kind, Plan};
use crate::option::{self, Groups, Row, ValueType};
use crate::spec::{self, Single, Spec};

/// A word quoted so that it means itself wherever a word may stand in an address.
#[pyfunction]
pub fn quote<'py>(py: Python<'py>, word: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &spec::quote(&plain(word)?)))
}

/// Checks the text of an address. Gives the keyword and the canonical text of each half; there are two
/// for a dual address. Opens nothing.
#[pyfunction]
pub fn parse<'py>(py: Python<'py>, text: Vec<u8>) -> PyResult<Vec<(&'static str, Bound<'py, PyBytes>)>> {
    let halves = checked(&text).or_raise(py)?;
    Ok(halves.into_iter().map(|(kind, text)| (kind.name, PyBytes::new(py, &text))).collect())
}

/// Makes the canonical text of an address of typed values, and checks it. Opens nothing.
///
/// Listeners on IP addresses get the loopback address unless `options` name one to bind to.
#[pyfunction]
pub fn compose<'py>(
    py: Python<'py>,
    keyword: &str,
    params: Vec<Option<Bound<'py, PyAny>>>,
    options: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyBytes>> {
    let kind = endpoint::find(keyword)
        .ok_or_else(|| crate::Error::text(format!("unknown device/address \"{keyword}\"")))
        .or_raise(py)?;
    let mut text = kind.name.as_bytes().to_vec();
    for (value, meaning) in params.iter().zip(placeholders(kind.usage)) {
        if let Some(value) = value {
            text.push(b':');
            text.extend(spec::quote(&param(value, meaning)?));
        }
    }
    let mut bound = false;
    for (name, value) in options {
        let name = name.extract::<String>()?.trim_end_matches('_').replace('_', "-");
        bound |= name == "bind" && !value.is_none();
        push_option(&mut text, kind, &name, &value)?;
    }
    if !bound && let Some(loopback) = loopback(kind, options)? {
        text.extend_from_slice(b",bind=");
        text.extend_from_slice(loopback);
    }
    let halves = checked(&text).or_raise(py)?;
    Ok(PyBytes::new(py, &halves.into_iter().next().map(|(_, text)| text).unwrap_or_default()))
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
    let mut text = kind.name.as_bytes().to_vec();
    for word in &single.params {
        text.push(b':');
        text.extend(spec::quote(&word.bytes));
    }
    for option in &single.options {
        let name = String::from_utf8_lossy(&option.name.bytes);
        text.push(b',');
        text.extend_from_slice(row(kind, &name).map_or(&*name, |row| row.name).as_bytes());
        if let Some(value) = &option.value {
            text.push(b'=');
            text.extend(spec::quote(&value.bytes));
        }
    }
    Ok((kind, text))
}

fn row(kind: &Kind, name: &str) -> Option<&'static Row> {
    option::find(name, kind.groups.and(Groups::EVERY_KIND))
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
    let word = plain(value)?;
    let names_host = meaning.contains("host") || meaning.contains("server");
    if names_host && word.contains(&b':') && !word.starts_with(b"[") {
        return Ok([b"[", word.as_slice(), b"]"].concat());
    }
    Ok(word)
}

/// Appends `,name=value` in the way the option's type is written; lists give the option several times.
fn push_option(text: &mut Vec<u8>, kind: &Kind, name: &str, value: &Bound<'_, PyAny>) -> PyResult<()> {
    if value.is_none() {
        return Ok(());
    }
    if value.is_instance_of::<PyList>() || value.is_instance_of::<PyTuple>() {
        return value.try_iter()?.try_for_each(|item| push_option(text, kind, name, &item?));
    }
    let kept = text.len();
    text.push(b',');
    text.extend(spec::quote(name.as_bytes()));
    let word = match (row(kind, name).map(|row| row.value), value.extract::<bool>()) {
        (Some(ValueType::Flag | ValueType::TextOrNone), Ok(false)) => {
            text.truncate(kept);
            return Ok(());
        }
        (Some(ValueType::Flag | ValueType::Bool | ValueType::TextOrNone | ValueType::IntOrEmpty), Ok(true)) => {
            return Ok(());
        }
        (Some(ValueType::Mode), _) if value.is_instance_of::<PyInt>() => {
            format!("{:o}", value.extract::<u32>()?).into_bytes()
        }
        (Some(ValueType::Data), _) if value.is_instance_of::<PyBytes>() => {
            let hex = value.extract::<Vec<u8>>()?.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            format!("x{hex}").into_bytes()
        }
        _ => plain(value)?,
    };
    text.push(b'=');
    text.extend(spec::quote(&word));
    Ok(())
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
fn loopback(kind: &Kind, options: &Bound<'_, PyDict>) -> PyResult<Option<&'static [u8]>> {
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
    Ok(Some(if wants6 { b"[::1]" } else { b"127.0.0.1" }))
}
