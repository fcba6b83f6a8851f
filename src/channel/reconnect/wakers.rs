//! Waking both ends of a channel: either of them drives what concerns both.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Wake, Waker};

/// One of the two ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Source = 0,
    Sink = 1,
}

/// Wakes whoever last polled each of the two ends.
#[derive(Debug, Default)]
pub(super) struct Wakers(Mutex<[Option<Waker>; 2]>);

impl Wakers {
    /// Remembers who polls an end.
    pub(super) fn set(&self, end: End, cx: &Context<'_>) {
        let place = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner)[end as usize];
        match place {
            Some(waker) => waker.clone_from(cx.waker()),
            None => *place = Some(cx.waker().clone()),
        }
    }

    /// Wakes both.
    pub(super) fn wake_all(&self) {
        // Not under the lock: waking may poll.
        let wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_all();
    }
}
