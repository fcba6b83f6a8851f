//! Telling a relay to stop, from a signal handler's task, from another thread, from Python.

use std::sync::Arc;

use tokio::sync::watch;

/// How far stopping has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
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
#[derive(Debug, Clone)]
pub struct Stop {
    state: Arc<watch::Sender<Stopping>>,
}

impl Default for Stop {
    fn default() -> Self {
        Self { state: Arc::new(watch::Sender::new(Stopping::No)) }
    }
}

impl Stop {
    /// Stops gently the first time, at once the second time.
    pub fn stop(&self) {
        self.state.send_modify(|state| *state = if *state == Stopping::No { Stopping::Drain } else { Stopping::Abort });
    }

    /// Stops at once.
    pub fn abort(&self) {
        self.state.send_replace(Stopping::Abort);
    }

    /// How far stopping has gone.
    pub fn state(&self) -> Stopping {
        *self.state.borrow()
    }

    /// Waits until stopping has gone at least as far as `stage`.
    pub async fn reached(&self, stage: Stopping) {
        let mut watch = self.state.subscribe();
        // The sender lives in `self`, so this cannot fail before the stage is reached.
        let _ = watch.wait_for(|state| *state >= stage).await;
    }
}
