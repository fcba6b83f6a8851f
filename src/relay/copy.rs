//! The bytes of one direction that were read and are not written yet, and how they are held.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use super::splice::Pipe;
use crate::channel::pool::{LARGE, SMALL};
use crate::channel::{Buffer, Sink, Source};

/// What a direction holds between reading and writing.
#[derive(Debug, Default)]
pub enum Held {
    /// Nothing: the direction is at rest and owns no memory.
    #[default]
    Nothing,
    /// Bytes in a buffer.
    Block {
        /// The buffer.
        buffer: Buffer,
        /// First byte not written yet.
        start: usize,
        /// Behind the last byte.
        end: usize,
    },
    /// Bytes in a pipe of the kernel.
    Piped(Pipe),
}

impl Held {
    /// Bytes held.
    pub fn len(&self) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Block { start, end, .. } => end - start,
            Self::Piped(pipe) => pipe.filled,
        }
    }
}

/// Bytes of a stream that make one message: what socat reads at once, and so what its peers expect at most.
const MESSAGE: usize = 8 * 1024;

/// How many bytes the next read asks for: few for small messages, many for bulk.
#[derive(Debug, Clone, Copy)]
pub struct Appetite {
    size: usize,
    fixed: bool,
    full: u8,
}

/// Reads in a row that filled the small buffer before the large one is taken.
const FULL_READS: u8 = 2;

impl Appetite {
    /// Always `fixed` bytes, or adapted to the traffic.
    pub fn new(fixed: Option<usize>) -> Self {
        match fixed {
            Some(size) => Self { size: size.max(1), fixed: true, full: 0 },
            None => Self { size: SMALL, fixed: false, full: 0 },
        }
    }

    /// What suits the two ends: messages are read whole and written in a size that everybody takes.
    pub fn between(source: &dyn Source, sink: &dyn Sink) -> Self {
        Self::new(match (source.in_messages(), sink.in_messages()) {
            (true, _) => Some(LARGE),
            (false, true) => Some(MESSAGE),
            (false, false) => None,
        })
    }

    fn learn(&mut self, count: usize) {
        if self.fixed {
            return;
        }
        if count == self.size {
            self.full = self.full.saturating_add(1);
            if self.full >= FULL_READS {
                self.size = LARGE;
            }
        } else if count < SMALL {
            self.size = SMALL;
            self.full = 0;
        }
    }
}

/// Reads one block. The buffer is taken only for the call: while nothing comes, none is held.
pub fn poll_read_block(
    source: &mut dyn Source,
    cx: &mut Context<'_>,
    appetite: &mut Appetite,
) -> Poll<io::Result<Held>> {
    let mut buffer = Buffer::take(appetite.size);
    let mut room = ReadBuf::new(&mut buffer[..appetite.size]);
    ready!(Pin::new(source).poll_read(cx, &mut room))?;
    let count = room.filled().len();
    appetite.learn(count);
    Poll::Ready(Ok(if count == 0 { Held::Nothing } else { Held::Block { buffer, start: 0, end: count } }))
}

/// Writes some of a block; returns how many bytes.
pub fn poll_write_some(sink: &mut dyn Sink, cx: &mut Context<'_>, block: &[u8]) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(sink).poll_write(cx, block))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        count => Poll::Ready(Ok(count)),
    }
}
