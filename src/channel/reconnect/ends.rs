//! The two ends of a channel that is opened again.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::shared::{Open, Present, Shared, lock};
use super::wakers::End;
use crate::channel::{Beside, Channel, Sink, Source, Unwritten};

/// What is read of whatever channel is open at the moment.
pub(super) struct HeldSource {
    pub(super) shared: Arc<Mutex<Shared>>,
    pub(super) messages: bool,
}

impl AsyncRead for HeldSource {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.shared);
        if shared.give_saved(buf) {
            return Poll::Ready(Ok(()));
        }
        loop {
            let Some(open) = ready!(shared.poll_open(End::Source, cx)) else {
                return Poll::Ready(shared.after_end());
            };
            let before = buf.filled().len();
            let read = match &mut open.channel.source {
                Some(source) => Pin::new(source).poll_read(cx, buf),
                None => Poll::Ready(Ok(())),
            };
            let error = match ready!(read) {
                Ok(()) if buf.filled().len() > before || buf.remaining() == 0 => {
                    open.useful = true;
                    return Poll::Ready(Ok(()));
                }
                read => read.err(),
            };
            shared.lose(error.as_ref());
            if let (Present::Over(_), Some(error)) = (&shared.present, error) {
                return Poll::Ready(Err(error));
            }
        }
    }
}

impl Source for HeldSource {
    fn in_messages(&self) -> bool {
        self.messages
    }

    fn poll_beside(&mut self, cx: &mut Context<'_>) -> Beside {
        let mut shared = lock(&self.shared);
        match shared.poll_open(End::Source, cx) {
            Poll::Ready(Some(Open { channel: Channel { source: Some(source), .. }, .. })) => source.poll_beside(cx),
            _ => Beside::Nothing,
        }
    }

    fn has_unread(&self) -> bool {
        let shared = lock(&self.shared);
        let open = match &shared.present {
            Present::Here(open) => open.channel.source.as_ref(),
            _ => None,
        };
        !shared.saved.is_empty() || open.is_some_and(Source::has_unread)
    }
}

/// What is written to whatever channel is open at the moment.
pub(super) struct HeldSink {
    pub(super) shared: Arc<Mutex<Shared>>,
    pub(super) messages: bool,
}

impl AsyncWrite for HeldSink {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let mut shared = lock(&self.shared);
        loop {
            let open = match shared.poll_writable(cx) {
                Poll::Pending => return shared.keep(buf),
                Poll::Ready(None) => {
                    let broken = || Err(io::Error::from_raw_os_error(libc::EPIPE));
                    return Poll::Ready(shared.after_end().and_then(|()| broken()));
                }
                Poll::Ready(Some(open)) => open,
            };
            let Some(sink) = &mut open.channel.sink else { return Poll::Ready(Ok(buf.len())) };
            let error = match ready!(Pin::new(sink).poll_write(cx, buf)) {
                Ok(0) if !buf.is_empty() => io::ErrorKind::WriteZero.into(),
                Ok(count) => return Poll::Ready(Ok(count)),
                Err(error) => error,
            };
            if shared.is_last() {
                // The other end goes on by itself.
                return Poll::Ready(Err(error));
            }
            shared.fail_writing(&error, cx);
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.shared);
        if shared.kept.is_empty() && matches!(shared.present, Present::Away(_)) {
            return Poll::Ready(Ok(()));
        }
        match ready!(shared.poll_writable(cx)) {
            Some(Open { channel: Channel { sink: Some(sink), .. }, .. }) => Pin::new(sink).poll_flush(cx),
            _ => Poll::Ready(shared.after_end()),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = lock(&self.shared);
        if shared.kept.is_empty() {
            shared.end();
        }
        match ready!(shared.poll_writable(cx)) {
            Some(Open { channel: Channel { sink: Some(sink), .. }, .. }) => {
                let shut = ready!(Pin::new(sink).poll_shutdown(cx));
                shared.end();
                Poll::Ready(shut)
            }
            _ => Poll::Ready(shared.after_end()),
        }
    }
}

impl Sink for HeldSink {
    fn in_messages(&self) -> bool {
        self.messages
    }

    fn poll_beside(&mut self, cx: &mut Context<'_>) {
        let mut shared = lock(&self.shared);
        if let Poll::Ready(Some(Open { channel: Channel { sink: Some(sink), .. }, .. })) = shared.poll_writable(cx) {
            sink.poll_beside(cx);
        }
    }

    fn give_up(&mut self) -> Unwritten {
        let mut shared = lock(&self.shared);
        let lost = std::mem::take(&mut shared.kept).len() as u64;
        Unwritten { lost, discarded: std::mem::take(&mut shared.discarded) }
    }
}
