//! TEXT -> SPEC: what the text of an address says, each word with its place. Nothing is opened here.
//!
//! The grammar (socat(1), ADDRESS SPECIFICATIONS):
//!
//! ```text
//! bi-address := address | address "!!" address      (the first is read, the second is written)
//! address    := keyword [":" parameter]* ["," option]*
//! option     := name | name "=" value
//! url        := ("rfc2217" | "socket") "://" host ":" port ["?" query]     (pyserial's)
//! special    := "-" (STDIO) ; one digit (FD:n) ; a word with "/" before any ":" "," "!!" (GOPEN:word)
//! ```
//!
//! [`quote`] makes one word of any bytes; a [`Spec`] printed and parsed again is the same spec.

pub mod dalan;
pub mod diagnose;
mod fault;
mod lexer;
mod nearest;
mod network;
mod number;
mod print;
mod url;
pub mod values;

use std::ffi::OsStr;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::error::{Error, Result};
pub use fault::Fault;
use lexer::{Lexer, Stop};
pub use print::quote;

/// Byte offsets into the text of an address.
pub type Span = Range<usize>;

/// A word after unquoting, and where it stood. Words are equal when their bytes are.
#[derive(Debug, Clone)]
pub struct Word {
    /// The bytes with quotes and escapes taken away.
    pub bytes: Vec<u8>,
    /// Where the word stands in the text, quotes included.
    pub span: Span,
}

impl Word {
    /// Reads the word with a function; an error points at the word.
    pub fn read<T>(&self, read: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
        read(&self.bytes).map_err(|error| error.span(self.span.clone()))
    }

    /// The word as the name of a file.
    pub fn path(&self) -> PathBuf {
        OsStr::from_bytes(&self.bytes).into()
    }
}

/// One option as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionSpec {
    /// The name, as typed.
    pub name: Word,
    /// What stands behind `=`; `None` without one.
    pub value: Option<Word>,
}

/// One address: a keyword with parameters and options. The place it stood at does not matter for equality.
#[derive(Debug, Clone)]
pub struct Single {
    /// The keyword as typed; for the short forms the one they stand for (`STDIO`, `FD`, `GOPEN`).
    pub keyword: Word,
    /// What follows the keyword, separated by colons.
    pub params: Vec<Word>,
    /// The options in the order written; empty ones are left out.
    pub options: Vec<OptionSpec>,
    /// The whole address.
    pub span: Span,
}

/// What the text of an address says. Two specs are equal when they say the same, however it was quoted.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The text itself; every span points into it.
    pub text: Arc<[u8]>,
    /// The address, or the half that is read of a dual one.
    pub first: Single,
    /// The half that is written of a dual address.
    pub second: Option<Single>,
}

impl PartialEq for Word {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Word {}

impl PartialEq for Single {
    fn eq(&self, other: &Self) -> bool {
        (&self.keyword, &self.params, &self.options) == (&other.keyword, &other.params, &other.options)
    }
}

impl Eq for Single {}

impl PartialEq for Spec {
    fn eq(&self, other: &Self) -> bool {
        (&self.first, &self.second) == (&other.first, &other.second)
    }
}

impl Eq for Spec {}

impl OptionSpec {
    /// The option as a whole, name and value.
    pub fn span(&self) -> Span {
        let end = self.value.as_ref().map_or(self.name.span.end, |value| value.span.end);
        self.name.span.start..end
    }
}

/// Reads the text of an address: any bytes, of any length, in one pass.
///
/// # Errors
/// An open quote, a backslash at the end, or a third half.
pub fn parse(text: &[u8]) -> Result<Spec> {
    let mut lexer = Lexer::new(text);
    let text = Arc::from(text);
    let place = |fault: Fault| fault.in_text(&text);
    let first = single(&mut lexer).map_err(place)?;
    let second = if lexer.skip(b"!!") { Some(single(&mut lexer).map_err(place)?) } else { None };
    if !lexer.is_done() {
        let third = lexer.at()..text.len();
        return Err(Error::text("syntax error: more than two addresses joined by !!")
            .place(&text, third)
            .hint("the first is read, the second is written; quote the !! if it belongs to a word: '!!'"));
    }
    Ok(Spec { text, first, second })
}

/// Reads one address, up to `!!` or the end.
fn single(lexer: &mut Lexer<'_>) -> Result<Single, Fault> {
    let start = lexer.at();
    let (keyword, first) = short_form(lexer.word(Stop::Param)?);
    let mut params = Vec::from_iter(first);
    while lexer.skip(b":") {
        params.push(lexer.word(Stop::Param)?);
    }
    let mut options = Vec::new();
    while lexer.skip(b",") {
        let name = lexer.word(Stop::Name)?;
        let value = if lexer.skip(b"=") { Some(lexer.word(Stop::Value)?) } else { None };
        if value.is_some() || !name.bytes.is_empty() {
            options.push(OptionSpec { name, value });
        }
    }
    let mut single = Single { keyword, params, options, span: start..lexer.at() };
    url::resolve(&mut single)?;
    Ok(single)
}

/// The keyword a head stands for, and the parameter it is itself. The forms are seen after unquoting.
fn short_form(head: Word) -> (Word, Option<Word>) {
    let keyword = match head.bytes.as_slice() {
        b"-" => return (Word { bytes: b"STDIO".to_vec(), ..head }, None),
        [b'0'..=b'9'] => "FD",
        path if path.contains(&b'/') => "GOPEN",
        _ => return (head, None),
    };
    (Word { bytes: keyword.into(), span: head.span.clone() }, Some(head))
}

#[cfg(test)]
mod tests;
