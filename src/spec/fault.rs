//! What is wrong with one word, before anybody knows which address or option it belongs to.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use super::Word;
use crate::error::Error;

/// Why a word cannot be read, which of its bytes are meant, and what would help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    why: Why,
    range: Option<Range<usize>>,
    hint: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Why {
    /// Nothing that looks like a number.
    MissingNumber,
    /// A number, and then something else.
    Garbage,
    /// A value where none is taken.
    Unwanted,
    /// A number outside of what is allowed, in words.
    OutOfRange(String),
    /// Anything else, in words.
    Said(String),
}

impl Fault {
    /// A fault in words: lower case, no period.
    pub fn new(message: impl Into<String>) -> Self {
        Self { why: Why::Said(message.into()), range: None, hint: None }
    }

    pub(super) fn missing_number() -> Self {
        Self { why: Why::MissingNumber, range: None, hint: None }
    }

    pub(super) fn garbage(range: Range<usize>) -> Self {
        Self { why: Why::Garbage, range: Some(range), hint: None }
    }

    pub(super) fn unwanted() -> Self {
        Self { why: Why::Unwanted, range: None, hint: None }
    }

    pub(super) fn out_of_range(message: String) -> Self {
        Self { why: Why::OutOfRange(message), range: None, hint: None }
    }

    /// Names the bytes of the word that are meant.
    #[must_use]
    pub fn bytes(mut self, range: Range<usize>) -> Self {
        self.range = Some(range);
        self
    }

    /// Says what would help.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The offsets count from `start` bytes further left: the word read was a part of a longer one.
    pub(super) fn shifted(mut self, start: usize) -> Self {
        self.range = self.range.map(|range| range.start + start..range.end + start);
        self
    }

    /// Whether there was no number at all where one was wanted.
    pub(super) fn is_missing_number(&self) -> bool {
        self.why == Why::MissingNumber
    }

    /// Whether there was a number, but one too big or too small.
    pub(super) fn is_out_of_range(&self) -> bool {
        matches!(self.why, Why::OutOfRange(_))
    }

    /// The message about the value of an option. `name` is the option's, `shown` is the option as written.
    pub fn of_option(&self, name: &str, shown: &str) -> String {
        match &self.why {
            Why::MissingNumber | Why::Garbage => format!("parseopts(): {self} of option \"{shown}\""),
            Why::Unwanted => format!("{self} for option \"{name}\""),
            Why::OutOfRange(message) | Why::Said(message) => format!("option \"{name}\": {message}"),
        }
    }

    /// An error about `word`. It knows its span but not the text: [`Error::place`] adds that.
    pub fn in_word(self, word: &Word) -> Error {
        let message = self.to_string();
        self.saying(message, word)
    }

    /// As [`Fault::in_word`], with a message of the caller's.
    pub(crate) fn saying(self, message: String, word: &Word) -> Error {
        // Quotes or escapes were taken away unless the lengths agree, and then offsets mean nothing.
        let span = match self.range {
            Some(range) if word.bytes.len() == word.span.len() => {
                word.span.start + range.start..word.span.start + range.end
            }
            _ => word.span.clone(),
        };
        advised(Error::text(message).span(span), self.hint)
    }

    /// An error about the whole text of an address, which the offsets count in.
    pub(super) fn in_text(self, text: &Arc<[u8]>) -> Error {
        let message = self.to_string();
        let range = self.range.unwrap_or(0..text.len());
        advised(Error::text(message).place(text, range), self.hint)
    }
}

fn advised(error: Error, hint: Option<String>) -> Error {
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.why {
            Why::MissingNumber => "missing numerical value",
            Why::Garbage => "trailing garbage in numerical arg",
            Why::Unwanted => "no value permitted",
            Why::OutOfRange(message) | Why::Said(message) => message,
        })
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        advised(Error::text(fault.to_string()), fault.hint)
    }
}
