//! A source that ends after a number of bytes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::{Beside, Port, Source};

/// Gives the first `left` bytes of a source, then ends. Never reads more than that from it.
pub struct Limit {
    inner: Box<dyn Source>,
    left: u64,
}

impl Limit {
    /// Gives `bytes` of `inner`.
    pub fn new(inner: Box<dyn Source>, bytes: u64) -> Self {
        Self { inner, left: bytes }
    }
}

impl AsyncRead for Limit {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Ok(()));
        }
        let room = buf.remaining().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut part))?;
        let count = part.filled().len();
        buf.advance(count);
        self.left -= count as u64;
        Poll::Ready(Ok(()))
    }
}

impl Source for Limit {
    fn connection(&self) -> Option<&Arc<Port>> {
        self.inner.connection()
    }

    fn ahead(&self) -> usize {
        self.inner.ahead()
    }

    fn has_unread(&self) -> bool {
        self.left > 0 && self.inner.has_unread()
    }

    fn in_messages(&self) -> bool {
        self.inner.in_messages()
    }

    fn poll_beside(&mut self, cx: &mut Context<'_>) -> Beside {
        self.inner.poll_beside(cx)
    }
}
