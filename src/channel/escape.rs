//! A source that ends at a given byte.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, ReadBuf};

use super::{Beside, Port, Source};

/// Ends when `byte` is read; it and what follows it in the same read are dropped, see `escape` in socat(1).
pub struct Escape {
    inner: Box<dyn Source>,
    byte: u8,
    ended: bool,
}

impl Escape {
    /// Watches `inner` for `byte`.
    pub fn new(inner: Box<dyn Source>, byte: u8) -> Self {
        Self { inner, byte, ended: false }
    }
}

impl AsyncRead for Escape {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if let Some(place) = buf.filled()[before..].iter().position(|byte| *byte == self.byte) {
            buf.set_filled(before + place);
            self.ended = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl Source for Escape {
    fn connection(&self) -> Option<&Arc<Port>> {
        self.inner.connection()
    }

    fn ahead(&self) -> usize {
        self.inner.ahead()
    }

    fn has_unread(&self) -> bool {
        !self.ended && self.inner.has_unread()
    }

    fn in_messages(&self) -> bool {
        self.inner.in_messages()
    }

    fn poll_beside(&mut self, cx: &mut Context<'_>) -> Beside {
        self.inner.poll_beside(cx)
    }
}
