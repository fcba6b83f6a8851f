//! Telling a relay to stop, from a signal handler's task, from another thread, from Python.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

use crate::endpoint::BoxFuture;

/// How far stopping has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Stopping {
    /// Not at all.
    #[default]
    No,
    /// Nothing more is accepted or read; what was read is still written.
    Drain,
    /// Everything is dropped at once.
    Abort,
}

/// A handle that stops a relay; cheap to clone, may be used from any thread.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    shared: Arc<Shared>,
    /// What this one follows.
    parent: Option<Arc<Stop>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// A [`Stopping`]; it only ever grows.
    state: AtomicU8,
    changed: Notify,
}

impl Stop {
    /// Stops gently the first time, at once the second time.
    pub fn stop(&self) {
        let next = if self.state() == Stopping::No { Stopping::Drain } else { Stopping::Abort };
        self.go(next);
    }

    /// Stops at once.
    pub fn abort(&self) {
        self.go(Stopping::Abort);
    }

    /// A handle that goes as far as this one at least, and by itself further.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { shared: Arc::default(), parent: Some(Arc::new(self.clone())) }
    }

    /// How far stopping has gone.
    pub fn state(&self) -> Stopping {
        let own = match self.shared.state.load(Ordering::Acquire) {
            0 => Stopping::No,
            1 => Stopping::Drain,
            _ => Stopping::Abort,
        };
        self.parent.as_ref().map_or(own, |parent| own.max(parent.state()))
    }

    /// Waits until stopping has gone at least as far as `stage`.
    pub async fn reached(&self, stage: Stopping) {
        loop {
            let mut changed = pin!(self.shared.changed.notified());
            // Listening comes before looking: a change in between is heard.
            changed.as_mut().enable();
            if self.state() >= stage {
                return;
            }
            let Some(parent) = &self.parent else {
                changed.await;
                continue;
            };
            tokio::select! {
                () = changed => {}
                () = parent.reached_boxed(stage) => return,
            }
        }
    }

    /// Few have a parent, and everybody's future would be as large.
    fn reached_boxed(&self, stage: Stopping) -> BoxFuture<'_, ()> {
        Box::pin(self.reached(stage))
    }

    fn go(&self, stage: Stopping) {
        self.shared.state.fetch_max(stage as u8, Ordering::AcqRel);
        self.shared.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_waiter_hears_its_stage() {
        let stop = Stop::default();
        let drains = (0..3).map(|_| {
            let stop = stop.clone();
            tokio::spawn(async move { stop.reached(Stopping::Drain).await })
        });
        let drains: Vec<_> = drains.collect();
        tokio::task::yield_now().await;
        stop.stop();
        assert_eq!(stop.state(), Stopping::Drain);
        for drain in drains {
            assert!(drain.await.is_ok());
        }
        stop.stop();
        stop.reached(Stopping::Abort).await;
        stop.stop();
        assert_eq!(stop.state(), Stopping::Abort);
    }

    #[tokio::test]
    async fn a_child_follows_and_leads_nobody() {
        let parent = Stop::default();
        let (first, second) = (parent.child(), parent.child());
        first.stop();
        first.reached(Stopping::Drain).await;
        assert_eq!((parent.state(), second.state()), (Stopping::No, Stopping::No));
        let waiter = second.clone();
        let waiting = tokio::spawn(async move { waiter.reached(Stopping::Abort).await });
        tokio::task::yield_now().await;
        parent.stop();
        assert_eq!(second.state(), Stopping::Drain);
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        parent.stop();
        assert!(waiting.await.is_ok());
        assert_eq!(first.state(), Stopping::Abort);
    }
}
