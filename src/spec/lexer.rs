//! The words of an address: quotes, brackets and escapes, in one pass, without recursion.
//!
//! - `\c` takes `c` literally; `\0 \a \b \f \n \r \t \v` are control characters. This holds in quotes too.
//! - `'...'` and `"..."` take their separators' meaning from the bytes inside; the quotes themselves go.
//! - `(...)`, `[...]`, `{...}` do so too, but stay, with the quotes inside them.
//! - Quotes and brackets nest, except in `'...'`, where only `\` and `'` mean anything.
//! - A bracket may stay open to the end of the text, a quote may not.

use super::{Fault, Word};

/// What ends a word, outside of quotes and brackets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// Keyword or parameter: `:`, `,` and `!!`.
    Param,
    /// The name of an option: `=`, `,` and `!!`.
    Name,
    /// The value of an option: `,` and `!!`.
    Value,
    /// A word of a command line: a space.
    Space,
    /// Whatever ends any of these.
    Any,
}

impl Stop {
    fn ends(self, rest: &[u8]) -> bool {
        let address = || rest[0] == b',' || rest.starts_with(b"!!");
        match self {
            Self::Param => rest[0] == b':' || address(),
            Self::Name => rest[0] == b'=' || address(),
            Self::Value => address(),
            Self::Space => rest[0] == b' ',
            Self::Any => matches!(rest[0], b':' | b'=' | b' ') || address(),
        }
    }
}

/// A quote or bracket that is still open.
struct Open {
    closer: u8,
    at: usize,
}

/// Takes words from the front of a text.
pub(super) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    /// Whether every bracket of the last word was closed.
    balanced: bool,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0, balanced: true }
    }

    /// How far the text has been read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_done(&self) -> bool {
        self.at == self.text.len()
    }

    /// Passes over `separator` if it comes next.
    pub(super) fn skip(&mut self, separator: &[u8]) -> bool {
        let next = self.text[self.at..].starts_with(separator);
        if next {
            self.at += separator.len();
        }
        next
    }

    /// The next word, up to but without what ends it; may be empty.
    pub(super) fn word(&mut self, stop: Stop) -> Result<Word, Fault> {
        let start = self.at;
        let mut bytes = Vec::new();
        let mut open: Vec<Open> = Vec::new();
        while let Some(&byte) = self.text.get(self.at) {
            if open.is_empty() && stop.ends(&self.text[self.at..]) {
                break;
            }
            self.at += 1;
            let innermost = open.last().map(|open| open.closer);
            if byte == b'\\' {
                bytes.push(self.escaped()?);
                continue;
            }
            if innermost == Some(byte) {
                open.pop();
            } else if innermost != Some(b'\'')
                && let Some(closer) = closer(byte)
            {
                open.push(Open { closer, at: self.at - 1 });
                if open.len() == 1 && is_quote(byte) {
                    continue;
                }
            }
            // The outermost quote is closed by this byte: it goes, as the opening one did.
            if !(open.is_empty() && innermost == Some(byte) && is_quote(byte)) {
                bytes.push(byte);
            }
        }
        self.balanced = open.is_empty();
        match open.first() {
            Some(outermost) if is_quote(outermost.closer) => Err(unclosed(&open)),
            _ => Ok(Word { bytes, span: start..self.at }),
        }
    }

    /// The byte an escape stands for.
    fn escaped(&mut self) -> Result<u8, Fault> {
        let Some(&byte) = self.text.get(self.at) else {
            return Err(Fault::new("syntax error: unexpected end of address after a backslash")
                .bytes(self.at - 1..self.at)
                .hint("a backslash takes the next character literally; write \\\\ for one of its own"));
        };
        self.at += 1;
        Ok(ESCAPES.iter().find(|(letter, _)| *letter == byte).map_or(byte, |(_, control)| *control))
    }
}

/// The fault of the innermost quote: it is the likeliest one to be meant literally.
fn unclosed(open: &[Open]) -> Fault {
    let quotes = open.iter().rev().filter(|open| is_quote(open.closer));
    let (quote, at) = quotes.map(|open| (char::from(open.closer), open.at)).next().unwrap_or(('"', 0));
    Fault::new(format!("syntax error: unexpected end of address, a {quote} is not closed"))
        .bytes(at..at + 1)
        .hint(format!("close it with another {quote}, or write \\{quote} if it belongs to the text"))
}

/// The letters behind a backslash that do not stand for themselves.
pub(super) const ESCAPES: [(u8, u8); 8] =
    [(b'0', 0), (b'a', 7), (b'b', 8), (b'f', 12), (b'n', b'\n'), (b'r', b'\r'), (b't', b'\t'), (b'v', 11)];

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'\'' | b'"')
}

fn closer(byte: u8) -> Option<u8> {
    match byte {
        b'\'' | b'"' => Some(byte),
        b'(' => Some(b')'),
        b'[' => Some(b']'),
        b'{' => Some(b'}'),
        _ => None,
    }
}

/// Whether `text` is one word that needs no quoting where `stop` ends words, whatever stands around it.
pub(super) fn is_plain(text: &[u8], stop: Stop) -> bool {
    if text.is_empty() || text.iter().any(|byte| *byte == b'!' || byte.is_ascii_control()) {
        return false;
    }
    let mut lexer = Lexer::new(text);
    let word = lexer.word(stop);
    lexer.is_done() && lexer.balanced && word.is_ok_and(|word| word.bytes == text)
}

/// Splits a command line at runs of spaces, as EXEC does, with the quoting of addresses and no shell.
///
/// # Errors
/// An open quote or a backslash at the end; the offsets count in `command`.
pub fn split_command(command: &[u8]) -> Result<Vec<Vec<u8>>, Fault> {
    let mut lexer = Lexer::new(command);
    let mut words = Vec::new();
    loop {
        while lexer.skip(b" ") {}
        if lexer.is_done() {
            return Ok(words);
        }
        words.push(lexer.word(Stop::Space)?.bytes);
    }
}
