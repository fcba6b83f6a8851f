//! Sources and sinks without a descriptor: a text, nothing at all, and one that never moves.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Sink, Source};

/// A source that gives a text once, then ends.
pub struct Text {
    rest: std::vec::IntoIter<u8>,
}

impl Text {
    /// Gives `bytes`.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { rest: bytes.into_iter() }
    }
}

impl AsyncRead for Text {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let count = self.rest.len().min(buf.remaining());
        buf.put_slice(&self.rest.as_slice()[..count]);
        self.rest.by_ref().take(count).for_each(drop);
        Poll::Ready(Ok(()))
    }
}

impl Source for Text {
    fn has_unread(&self) -> bool {
        self.rest.len() > 0
    }
}

/// A source that has ended and a sink that takes all: what `/dev/null` is, without a descriptor.
pub struct Nothing;

impl AsyncRead for Nothing {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Nothing {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Source for Nothing {}
impl Sink for Nothing {}

/// A source that never has data nor an end, and a sink that never takes a byte.
pub struct Stalled;

impl AsyncRead for Stalled {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl AsyncWrite for Stalled {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Source for Stalled {}
impl Sink for Stalled {}
