//! A sink that shows what passes to somebody else: dumps (`-v`, `-x`), copies in files (`-r`, `-R`).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Port, Sink, Source, Unwritten};

/// Is shown each block once, as it is about to be written.
pub trait Tap: Send + Sync {
    /// Takes one block; `offset` is how many bytes of this direction came before it. An error ends the
    /// direction: a dump that cannot be written is never dropped silently.
    fn block(&self, offset: u64, block: &[u8]) -> io::Result<()>;

    /// All bytes have been written: the end is about to be passed on.
    fn end(&self) {}
}

/// A sink or source whose bytes are shown to taps first.
pub struct Tapped<T> {
    inner: T,
    taps: Vec<Arc<dyn Tap>>,
    offset: u64,
    /// Bytes shown already, which the inner sink has still to take.
    shown: usize,
    ended: bool,
}

impl<T> Tapped<T> {
    /// Shows what goes through `inner` to `taps`.
    pub fn new(inner: T, taps: Vec<Arc<dyn Tap>>) -> Self {
        Self { inner, taps, offset: 0, shown: 0, ended: false }
    }

    fn show(&mut self, block: &[u8]) -> io::Result<()> {
        for tap in &self.taps {
            tap.block(self.offset, block)?;
        }
        self.offset += block.len() as u64;
        Ok(())
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Tapped<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.shown == 0 {
            self.show(buf)?;
            self.shown = buf.len();
        }
        let most = buf.len().min(self.shown);
        let count = ready!(Pin::new(&mut self.inner).poll_write(cx, &buf[..most]))?;
        self.shown -= count;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !std::mem::replace(&mut self.ended, true) {
            self.taps.iter().for_each(|tap| tap.end());
        }
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Tapped<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let block = &buf.filled()[before..];
        if !block.is_empty() {
            self.show(block)?;
        }
        Poll::Ready(Ok(()))
    }
}

impl Sink for Tapped<Box<dyn Sink>> {
    fn connection(&self) -> Option<&Arc<Port>> {
        self.inner.connection()
    }

    fn in_messages(&self) -> bool {
        self.inner.in_messages()
    }

    fn poll_beside(&mut self, cx: &mut Context<'_>) {
        self.inner.poll_beside(cx);
    }

    fn give_up(&mut self) -> Unwritten {
        self.inner.give_up()
    }
}

impl Source for Tapped<Box<dyn Source>> {
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
}
