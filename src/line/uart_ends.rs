//! The ends of a channel whose far end is a line: a port that is gone is an error, and what was written is sent
//! before the port is closed.

use std::future::Future as _;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::uart::gone;
use crate::channel::{Beside, Port, Sink, Source};
use crate::sys;

/// First and longest pause between two looks at what is still to be sent.
const PAUSE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));

/// What is read from a port. A line has no end: where reading says so, the port is gone.
pub struct UartSource<T>(T);

impl<T> UartSource<T> {
    /// Reads `inner`, whose end is an error: ENODEV.
    pub fn new(inner: T) -> Self {
        Self(inner)
    }
}

impl<T: Source> AsyncRead for UartSource<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.0).poll_read(cx, buf)).map_err(gone)?;
        let is_end = buf.filled().len() == before && buf.remaining() > 0;
        // A terminal may have ends of its own, if it was set so: the end-of-file character, VMIN of 0.
        if is_end && self.0.port().is_none_or(|port| sys::fd::is_hung_up(port.as_fd())) {
            return Poll::Ready(Err(io::Error::from_raw_os_error(libc::ENODEV)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: Source> Source for UartSource<T> {
    // The kernel moves nothing between terminals and others, so that nothing passes this by.
    fn port(&self) -> Option<&Arc<Port>> {
        self.0.port()
    }

    fn has_unread(&self) -> bool {
        self.0.has_unread()
    }

    fn in_messages(&self) -> bool {
        self.0.in_messages()
    }

    fn poll_beside(&mut self, cx: &mut Context<'_>) -> Beside {
        self.0.poll_beside(cx)
    }
}

/// What is written to a port. At the end it waits until all of it is sent, but not for ever: the far end may be
/// making us pause.
pub struct UartSink<T> {
    inner: T,
    limit: Duration,
    deadline: Option<Instant>,
    pause: Option<Pin<Box<Sleep>>>,
    next: Duration,
}

impl<T> UartSink<T> {
    /// Writes `inner`; at the end what was written may take `limit` to be sent.
    pub fn new(inner: T, limit: Duration) -> Self {
        Self { inner, limit, deadline: None, pause: None, next: PAUSE.0 }
    }
}

impl<T: Sink> UartSink<T> {
    fn unsent(&self) -> usize {
        self.inner.port().and_then(|port| sys::io::unsent(port.as_fd()).ok()).unwrap_or(0)
    }

    /// Waits until all is sent. tcdrain(3) would block the thread.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(cx));
                self.pause = None;
            }
            let unsent = self.unsent();
            if unsent == 0 {
                return Poll::Ready(Ok(()));
            }
            let now = Instant::now();
            let deadline = *self.deadline.get_or_insert(now + self.limit);
            if now >= deadline {
                let seconds = self.limit.as_secs_f64();
                let message =
                    format!("{unsent} bytes could not be sent within {seconds} s: the far end does not take them");
                return Poll::Ready(Err(io::Error::other(message)));
            }
            self.pause = Some(Box::pin(tokio::time::sleep_until(deadline.min(now + self.next))));
            self.next = (self.next * 2).min(PAUSE.1);
        }
    }
}

impl<T: Sink> AsyncWrite for UartSink<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, buf).map_err(gone)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<T: Sink> Sink for UartSink<T> {
    fn port(&self) -> Option<&Arc<Port>> {
        self.inner.port()
    }

    fn in_messages(&self) -> bool {
        self.inner.in_messages()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use tokio::io::AsyncWriteExt;

    use super::*;
    use crate::channel::PortSink;
    use crate::option::Flow;

    /// A sink over a socket, which tells what its peer has not read by the number that tells what a port has
    /// not sent.
    fn sink(limit: Duration) -> (UartSink<PortSink>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let port = Port::new(ours.into()).unwrap();
        (UartSink::new(PortSink::new(Arc::new(port), &Flow::default()), limit), theirs)
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn the_end_waits_until_all_is_sent() {
        let (mut sink, mut far) = sink(Duration::from_secs(5));
        sink.write_all(b"bytes").await.unwrap();
        let begun = Instant::now();
        let taken = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            far.read_exact(&mut [0; 5]).unwrap();
        };
        let (ended, ()) = tokio::join!(sink.shutdown(), taken);
        ended.unwrap();
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(3) && took < Duration::from_millis(3100), "{took:?}");
        assert_eq!(far.read(&mut [0; 5]).unwrap(), 0);
    }

    #[tokio::test(flavor = "current_thread", start_paused = true)]
    async fn the_end_does_not_wait_for_ever() {
        let (mut sink, _far) = sink(Duration::from_secs(5));
        sink.write_all(&[0; 37]).await.unwrap();
        let begun = Instant::now();
        let error = sink.shutdown().await.unwrap_err();
        // A socket counts the memory its bytes take.
        assert!(error.to_string().ends_with(" bytes could not be sent within 5 s: the far end does not take them"));
        assert_eq!(begun.elapsed().as_secs(), 5);
    }
}
