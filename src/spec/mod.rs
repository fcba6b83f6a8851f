//! TEXT -> SPEC: what the text of an address says, each word with its place. Nothing is opened here.
//!
//! The grammar (socat(1), ADDRESS SPECIFICATIONS):
//!
//! ```text
//! bi-address := address | address "!!" address      (the first is read, the second is written)
//! address    := keyword [":" parameter]* ["," option]*
//! option     := name | name "=" value
//! special    := "-" (STDIO) ; one digit (FD:n) ; a word with "/" before any ":" "," "!!" (GOPEN:word)
//! ```

use std::ops::Range;
use std::sync::Arc;

/// Byte offsets into the text of an address.
pub type Span = Range<usize>;

/// A word after unquoting, and where it stood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// The bytes with quotes and escapes taken away.
    pub bytes: Vec<u8>,
    /// Where the word stands in the text, quotes included.
    pub span: Span,
}

/// One option as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OptionSpec {
    /// The name, as typed.
    pub name: Word,
    /// What stands behind `=`; `None` without one.
    pub value: Option<Word>,
}

/// One address: a keyword with parameters and options.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// What the text of an address says.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The text itself; every span points into it.
    pub text: Arc<[u8]>,
    /// The address, or the half that is read of a dual one.
    pub first: Single,
    /// The half that is written of a dual address.
    pub second: Option<Single>,
}

pub mod diagnose;
pub mod values;

use crate::error::Result;

/// Reads the text of an address.
pub fn parse(text: &[u8]) -> Result<Spec> {
    let _ = text;
    Err(crate::error::Error::text("not written yet"))
}
