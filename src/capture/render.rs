//! What becomes of a session in a file, whatever the format.

use super::{Session, Toward};

/// One thing that happened in a session.
#[derive(Debug, Clone, Copy)]
pub(super) enum Record<'a> {
    /// The session begins.
    Begins,
    /// It began in an earlier file, and this one has to say whose bytes follow.
    GoesOn,
    /// Bytes, `offset` of their direction behind its first one.
    Bytes {
        /// Which way they go.
        toward: Toward,
        /// Bytes of this direction before these.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// All bytes that way have gone.
    Ends(Toward),
    /// The session is over.
    Closes {
        /// Nothing went wrong.
        in_order: bool,
        /// How it ended.
        words: &'a str,
    },
}

/// Writes records in one format. Times are nanoseconds since 1970.
pub(super) trait Render: Send {
    /// What each file begins with.
    fn head(&mut self, out: &mut Vec<u8>);

    /// Most bytes a record takes.
    fn room(&self, session: &Session, record: &Record<'_>) -> usize;

    /// Writes a record.
    fn record(&mut self, out: &mut Vec<u8>, time: u64, session: &Session, record: &Record<'_>);

    /// Says that blocks are missing here.
    fn missing(&mut self, out: &mut Vec<u8>, time: u64, blocks: u64, bytes: u64);

    /// What each file ends with, [`TAIL`] bytes at most.
    fn tail(&mut self, _out: &mut Vec<u8>, _time: u64) {}
}

/// Most bytes a file ends with.
pub(super) const TAIL: usize = 128;
