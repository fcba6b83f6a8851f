//! Many relays on one thread: a thousand threads cost more memory and more turns than a thousand relays do.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinError;

use super::{Background, watched, words};
use crate::error::{Error, Phase, Result};
use crate::relay::Relay;

/// How many rounds of the runtime a relay that has ended waits for. What it had spawned and is aborted is dropped
/// in the next round, and what that had spawned in the one after it.
const ROUNDS: usize = 8;

/// A thread with a runtime that any number of relays share. It ends when this handle and all relays have gone.
///
/// What keeps the thread keeps all of its relays: bulk is faster on threads of their own ([`Background::start`]),
/// lines and other slow channels are cheaper here.
#[derive(Debug, Clone)]
pub struct Host(Arc<Held>);

/// The thread runs until the last one of these has gone.
#[derive(Debug)]
struct Held {
    runtime: Handle,
    _keeps: oneshot::Sender<()>,
}

impl Host {
    /// Starts the thread.
    pub fn new() -> Result<Self> {
        let failed = |error| Error::open(Phase::Execute, error);
        let runtime = Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let (keeps, gone) = oneshot::channel();
        let held = Held { runtime: runtime.handle().clone(), _keeps: keeps };
        let work = move || {
            let _ = runtime.block_on(gone);
            // A name that is being looked up on another thread is not waited for.
            runtime.shutdown_timeout(Duration::ZERO);
        };
        std::thread::Builder::new().name("ferrule-host".to_owned()).spawn(work).map_err(failed)?;
        Ok(Self(Arc::new(held)))
    }

    /// Starts a relay on the thread.
    pub fn start(&self, relay: Relay) -> Background {
        let started = Background::of(&relay);
        let (shared, stop) = (Arc::clone(&started.shared), started.stop.clone());
        let host = self.clone();
        self.0.runtime.spawn(async move {
            let outcome = tokio::spawn(async move { watched(relay, &stop).await }).await;
            for _ in 0..ROUNDS {
                tokio::task::yield_now().await;
            }
            // Callbacks may take their time; the other relays do not wait for them.
            tokio::task::spawn_blocking(move || {
                shared.finish(outcome.map_err(broken));
                drop(host);
            });
        });
        started
    }
}

fn broken(error: JoinError) -> String {
    match error.try_into_panic() {
        Ok(panic) => words(panic.as_ref()),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::mpsc;

    use super::super::tests::{LIMIT, relay};
    use super::*;
    use crate::relay::Ended;

    #[test]
    fn relays_share_a_thread_and_end_one_by_one() {
        let host = Host::new().unwrap();
        let waiting = host.start(relay(None, None));
        let short = host.start(relay(Some(b"hello"), Some(b"hi")));
        assert!(short.wait(LIMIT));
        let report = short.outcome().unwrap().unwrap();
        assert_eq!((report.left_to_right.bytes, report.ended), (5, Ended::Finished));
        assert!(waiting.outcome().is_none());
        waiting.abort();
        assert!(waiting.wait(LIMIT));
        assert_eq!(waiting.outcome().unwrap().unwrap().ended, Ended::Stopped);
    }

    #[test]
    fn relays_outlive_the_handle_of_their_host() {
        let host = Host::new().unwrap();
        let relay = host.start(relay(None, None));
        drop(host);
        assert!(!relay.wait(Some(Duration::from_millis(20))));
        relay.stop();
        assert!(relay.wait(LIMIT));
    }

    #[test]
    fn a_callback_that_waits_keeps_no_other_relay() {
        let host = Host::new().unwrap();
        let (first, second) = (host.start(relay(None, None)), host.start(relay(None, None)));
        let (go, gone) = mpsc::channel();
        let (done, told) = mpsc::channel();
        first.on_end(move || {
            gone.recv().unwrap();
            done.send(()).unwrap();
        });
        first.abort();
        assert!(first.wait(LIMIT));
        second.abort();
        assert!(second.wait(LIMIT)); // while the callback of the first one waits
        go.send(()).unwrap();
        told.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
