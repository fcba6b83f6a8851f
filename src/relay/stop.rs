//! Telling a relay to stop, from a signal handler's task, from another thread, from Python.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::sync::Notify;

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

    /// How far stopping has gone.
    pub fn state(&self) -> Stopping {
        match self.shared.state.load(Ordering::Acquire) {
            0 => Stopping::No,
            1 => Stopping::Drain,
            _ => Stopping::Abort,
        }
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
            changed.await;
        }
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
}
