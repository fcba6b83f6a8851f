//! A source whose end is not the end: `tail -f`.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::{Beside, Port, Source};

/// The first pause after an end; it doubles up to [`LONGEST`], and starts anew with each byte.
const SHORTEST: Duration = Duration::from_millis(10);
/// The longest pause; socat(1) waits one second each time.
const LONGEST: Duration = Duration::from_secs(1);

/// Reads on after the end of `inner`, for what is appended later (`ignoreeof`).
pub struct Follow {
    inner: Box<dyn Source>,
    pause: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Follow {
    /// Follows `inner`.
    pub fn new(inner: Box<dyn Source>) -> Self {
        Self { inner, pause: SHORTEST, timer: None }
    }
}

impl AsyncRead for Follow {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
                self.timer = None;
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
            if buf.filled().len() > before {
                self.pause = SHORTEST;
                return Poll::Ready(Ok(()));
            }
            let pause = self.pause;
            self.pause = (pause * 2).min(LONGEST);
            self.timer = Some(Box::pin(tokio::time::sleep_until(Instant::now() + pause)));
        }
    }
}

impl Source for Follow {
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
