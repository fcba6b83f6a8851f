//! Conversion of line ends: NL inside the relay, CR or CR NL on the channel. See `cr` and `crnl` in socat(1).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Beside, Port, Sink, Source, Unwritten};
use crate::option::LineEnd;

/// Turns the line ends of a channel into NL: CR becomes NL (`cr`), or every CR is dropped (`crnl`).
pub struct ReadLineEnds {
    inner: Box<dyn Source>,
    end: LineEnd,
}

impl ReadLineEnds {
    /// Converts what `inner` gives.
    pub fn new(inner: Box<dyn Source>, end: LineEnd) -> Self {
        Self { inner, end }
    }
}

impl AsyncRead for ReadLineEnds {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
            let block = &mut buf.filled_mut()[before..];
            if block.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let kept = match self.end {
                LineEnd::Cr => {
                    block.iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
                    block.len()
                }
                LineEnd::CrLf => drop_carriage_returns(block),
            };
            buf.set_filled(before + kept);
            // A block of nothing but CR is not the end of the data.
            if kept > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl Source for ReadLineEnds {
    fn connection(&self) -> Option<&Arc<Port>> {
        self.inner.connection()
    }

    fn ahead(&self) -> usize {
        self.inner.ahead()
    }

    fn has_unread(&self) -> bool {
        self.inner.has_unread()
    }

    fn in_messages(&self) -> bool {
        self.inner.in_messages()
    }

    fn poll_beside(&mut self, cx: &mut Context<'_>) -> Beside {
        self.inner.poll_beside(cx)
    }
}

/// Moves all other bytes to the front; returns how many there are.
fn drop_carriage_returns(block: &mut [u8]) -> usize {
    let mut kept = 0;
    for place in 0..block.len() {
        if block[place] != b'\r' {
            block[kept] = block[place];
            kept += 1;
        }
    }
    kept
}

/// Turns each NL into the line end of a channel.
pub struct WriteLineEnds {
    inner: Box<dyn Sink>,
    end: LineEnd,
    /// Converted bytes the channel has not taken yet.
    converted: Vec<u8>,
    written: usize,
}

/// Most bytes converted at one time.
const BLOCK: usize = 64 * 1024;

impl WriteLineEnds {
    /// Converts what is written to `inner`.
    pub fn new(inner: Box<dyn Sink>, end: LineEnd) -> Self {
        Self { inner, end, converted: Vec::new(), written: 0 }
    }

    fn convert(&mut self, block: &[u8]) {
        self.converted.clear();
        self.written = 0;
        match self.end {
            LineEnd::Cr => self.converted.extend(block.iter().map(|byte| if *byte == b'\n' { b'\r' } else { *byte })),
            LineEnd::CrLf => {
                for byte in block {
                    if *byte == b'\n' {
                        self.converted.push(b'\r');
                    }
                    self.converted.push(*byte);
                }
            }
        }
    }

    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.written < self.converted.len() {
            let count = ready!(Pin::new(&mut self.inner).poll_write(cx, &self.converted[self.written..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.written += count;
        }
        // Nothing is kept while idle.
        self.converted = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WriteLineEnds {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_drain(cx))?;
        let block = &buf[..buf.len().min(BLOCK)];
        self.convert(block);
        // What is pending now is written by the next call or by a flush.
        if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(block.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl Sink for WriteLineEnds {
    fn connection(&self) -> Option<&Arc<Port>> {
        self.inner.connection()
    }

    fn in_messages(&self) -> bool {
        self.inner.in_messages()
    }

    fn poll_beside(&mut self, cx: &mut Context<'_>) {
        // An error is the next write's as well.
        if let Poll::Ready(Ok(())) = self.poll_drain(cx) {
            self.inner.poll_beside(cx);
        }
    }

    fn give_up(&mut self) -> Unwritten {
        let mut unwritten = self.inner.give_up();
        unwritten.lost += (self.converted.len() - self.written) as u64;
        self.converted = Vec::new();
        self.written = 0;
        unwritten
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::sync::{Arc, Mutex};
    use std::task::Waker;

    use super::*;

    /// Takes as many bytes as it has room for.
    #[derive(Clone, Default)]
    struct Narrow(Arc<Mutex<(usize, Vec<u8>)>>);

    impl AsyncWrite for Narrow {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            let (room, taken) = &mut *self.0.lock().unwrap();
            let count = buf.len().min(*room);
            *room -= count;
            taken.extend(&buf[..count]);
            if count == 0 { Poll::Pending } else { Poll::Ready(Ok(count)) }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Sink for Narrow {}

    #[test]
    fn what_was_converted_goes_on_though_nothing_else_is_written() {
        let narrow = Narrow::default();
        let mut sink = WriteLineEnds::new(Box::new(narrow.clone()), LineEnd::CrLf);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(Pin::new(&mut sink).poll_write(&mut cx, b"a\nb\n"), Poll::Ready(Ok(4))));
        for (room, taken) in [(2, "a\r"), (3, "a\r\nb\r")] {
            narrow.0.lock().unwrap().0 = room;
            sink.poll_beside(&mut cx);
            assert_eq!(narrow.0.lock().unwrap().1, taken.as_bytes());
        }
        assert_eq!(sink.give_up(), Unwritten { lost: 1, discarded: 0 });
        assert_eq!(sink.give_up(), Unwritten::default());
    }
}
