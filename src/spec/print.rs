//! SPEC -> TEXT: text that parses back to the same spec.

use std::fmt;

use super::lexer::{ESCAPES, Lexer, Stop, is_plain};
use super::{Single, Spec};

/// Writes any bytes so that they are one word wherever a word can stand: keyword, parameter, option,
/// value, and the command line of EXEC, which is split at spaces once more.
pub fn quote(bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(bytes.len() + 2);
    push(&mut text, bytes, Stop::Any);
    text
}

/// Writes a word for a place where `stop` ends words.
fn push(text: &mut Vec<u8>, bytes: &[u8], stop: Stop) {
    if is_plain(bytes, stop) {
        text.extend_from_slice(bytes);
        return;
    }
    // "sh -c 'exit 3'" reads better than 'sh -c \'exit 3\''.
    let soft = [b"\"", bytes, b"\""].concat();
    if bytes.contains(&b'\'') && !bytes.iter().any(u8::is_ascii_control) && reads_as(&soft, bytes) {
        text.extend_from_slice(&soft);
        return;
    }
    text.push(b'\'');
    for byte in bytes {
        let letter = ESCAPES.iter().find(|(_, control)| control == byte).map(|(letter, _)| *letter);
        match (letter, byte) {
            (Some(letter), _) => text.extend([b'\\', letter]),
            (None, b'\'' | b'\\') => text.extend([b'\\', *byte]),
            (None, _) => text.push(*byte),
        }
    }
    text.push(b'\'');
}

/// Whether quoted text is one word of these bytes.
fn reads_as(text: &[u8], bytes: &[u8]) -> bool {
    let mut lexer = Lexer::new(text);
    let word = lexer.word(Stop::Any);
    lexer.is_done() && word.is_ok_and(|word| word.bytes == bytes)
}

/// Nothing is as good as a pair of quotes behind a separator.
fn push_unless_empty(text: &mut Vec<u8>, bytes: &[u8], stop: Stop) {
    if !bytes.is_empty() {
        push(text, bytes, stop);
    }
}

impl Single {
    /// The text of this address. Exact for any bytes, where `Display` replaces what is not UTF-8.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = Vec::new();
        push_unless_empty(&mut text, &self.keyword.bytes, Stop::Param);
        for param in &self.params {
            text.push(b':');
            push_unless_empty(&mut text, &param.bytes, Stop::Param);
        }
        for option in &self.options {
            text.push(b',');
            push(&mut text, &option.name.bytes, Stop::Name);
            if let Some(value) = &option.value {
                text.push(b'=');
                push_unless_empty(&mut text, &value.bytes, Stop::Value);
            }
        }
        text
    }
}

impl Spec {
    /// The text of the address. Exact for any bytes, where `Display` replaces what is not UTF-8.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = self.first.to_bytes();
        if let Some(second) = &self.second {
            text.extend_from_slice(b"!!");
            text.extend(second.to_bytes());
        }
        text
    }
}

impl fmt::Display for Single {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_bytes()))
    }
}
