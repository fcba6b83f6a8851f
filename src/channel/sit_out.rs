//! The master of a pseudo terminal whose slave may be closed for a while (`sitout-eio`): programs that
//! log somebody in close it and open it again.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::{Beside, Port, Sink, Source, Unwritten};

/// Pause between attempts while the slave is closed.
const PAUSE: Duration = Duration::from_millis(20);

/// A source or sink that takes a closed slave for its end only after a time.
pub struct SitOut<T> {
    inner: T,
    time: Duration,
    /// Since when the slave is closed.
    since: Option<Instant>,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<T> SitOut<T> {
    /// Waits up to `time` for the slave to be opened again.
    pub fn new(inner: T, time: Duration) -> Self {
        Self { inner, time, since: None, pause: None }
    }

    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }

    /// The slave is closed: whether another attempt is to be made, after a pause.
    fn goes_on(&mut self) -> bool {
        let now = Instant::now();
        let end = *self.since.get_or_insert(now) + self.time;
        if now >= end {
            return false;
        }
        self.pause = Some(Box::pin(tokio::time::sleep_until(end.min(now + PAUSE))));
        true
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for SitOut<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        loop {
            ready!(self.poll_pause(cx));
            let read = Pin::new(&mut self.inner).poll_read(cx, buf);
            // Nothing to read is no proof that the slave is open: only a byte is, or waiting for one.
            if matches!(read, Poll::Ready(Ok(()))) && buf.filled().len() == before && buf.remaining() > 0 {
                if self.goes_on() {
                    continue;
                }
            } else {
                self.since = None;
            }
            return read;
        }
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for SitOut<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_pause(cx));
            let written = Pin::new(&mut self.inner).poll_write(cx, buf);
            match &written {
                Poll::Ready(Err(error)) if error.raw_os_error() == Some(libc::EIO) && self.goes_on() => {}
                _ => {
                    self.since = None;
                    return written;
                }
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T: Source> Source for SitOut<T> {
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

impl<T: Sink> Sink for SitOut<T> {
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
