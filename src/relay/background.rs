//! A relay on a thread of its own, for programs that have something else to do.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::{Ended, Relay, Report, Stop, Stopping, Totals};
use crate::endpoint::Listening;
use crate::error::{Error, ErrorKind, Phase, Result};

mod host;

pub use host::Host;

/// How long a relay may take to notice that it was aborted before its future is dropped.
const OVERDUE: Duration = Duration::from_millis(20);

/// A relay under way. Dropping it aborts the relay; its thread then closes all and ends by itself.
#[derive(Debug)]
pub struct Background {
    shared: Arc<Shared>,
    stop: Stop,
    totals: Arc<Totals>,
    listening: Arc<Listening>,
    begun: Instant,
}

/// What the relay's thread says at its end: the report, or the words of a panic.
pub type Outcome = std::result::Result<Report, String>;

type Callback = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    ended: Condvar,
}

#[derive(Default)]
struct State {
    outcome: Option<Outcome>,
    callbacks: Vec<Callback>,
    /// The callbacks have returned: the thread does nothing more.
    is_over: bool,
}

/// Says when a relay's thread has done all it had to, callbacks too, also when nobody holds the relay.
#[derive(Debug, Clone)]
pub struct Ending(Arc<Shared>);

impl Ending {
    /// Whether the thread does nothing more.
    pub fn is_over(&self) -> bool {
        self.0.lock().is_over
    }

    /// Waits until the thread does nothing more, for `limit` at most; true if it came to that.
    pub fn wait(&self, limit: Duration) -> bool {
        let waited = self.0.ended.wait_timeout_while(self.0.lock(), limit, |state| !state.is_over);
        waited.unwrap_or_else(PoisonError::into_inner).0.is_over
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // No code that could panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn finish(&self, outcome: Outcome) {
        let callbacks = {
            let mut state = self.lock();
            state.outcome = Some(outcome);
            std::mem::take(&mut state.callbacks)
        };
        self.ended.notify_all();
        for callback in callbacks {
            callback();
        }
        self.lock().is_over = true;
        self.ended.notify_all();
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("outcome", &self.lock().outcome).finish_non_exhaustive()
    }
}

impl Background {
    /// The handle of a relay that is about to be started.
    fn of(relay: &Relay) -> Self {
        Self {
            shared: Arc::default(),
            stop: Stop::default(),
            totals: Arc::clone(&relay.totals),
            listening: Arc::clone(&relay.listening),
            begun: Instant::now(),
        }
    }

    /// Starts the relay on a thread and a runtime of its own.
    pub fn start(relay: Relay) -> Result<Self> {
        let started = Self::of(&relay);
        let (shared, stop) = (Arc::clone(&started.shared), started.stop.clone());
        let work = move || {
            // The relay, its runtime and all they hold are gone before anybody is told.
            let outcome = catch_unwind(AssertUnwindSafe(|| run(relay, &stop)));
            shared.finish(outcome.map_err(|panic| words(panic.as_ref())));
        };
        let thread = std::thread::Builder::new().name("ferrule".to_owned()).spawn(work);
        thread.map(|_| started).map_err(|error| Error::open(Phase::Execute, error))
    }

    /// Asks the relay to end: nothing more is accepted or read, what was read is still written.
    pub fn stop(&self) {
        if self.stop.state() == Stopping::No {
            self.stop.stop();
        }
    }

    /// Makes the relay end at once.
    pub fn abort(&self) {
        self.stop.abort();
    }

    /// Stops the relay, aborts it after `grace`, and waits until all is closed, for `patience` at most;
    /// only a system call that cannot be interrupted lasts so long. True if all is closed.
    pub fn close(&self, grace: Duration, patience: Duration) -> bool {
        self.stop();
        self.wait(Some(grace)) || {
            self.abort();
            self.wait(Some(patience))
        }
    }

    /// Waits for the end, for `limit` at most; true if it came.
    pub fn wait(&self, limit: Option<Duration>) -> bool {
        let is_running = |state: &mut State| state.outcome.is_none();
        let state = self.shared.lock();
        let state = match limit {
            None => self.shared.ended.wait_while(state, is_running).unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                let waited = self.shared.ended.wait_timeout_while(state, limit, is_running);
                waited.unwrap_or_else(PoisonError::into_inner).0
            }
        };
        state.outcome.is_some()
    }

    /// What the relay's thread said at its end; `None` while it runs.
    pub fn outcome(&self) -> Option<Outcome> {
        self.shared.lock().outcome.clone()
    }

    /// What says when the relay's thread is done.
    pub fn ending(&self) -> Ending {
        Ending(Arc::clone(&self.shared))
    }

    /// What was moved so far.
    pub fn progress(&self) -> Report {
        Report { duration: self.begun.elapsed(), ..so_far(&self.totals) }
    }

    /// What it listens on, as far as it has come.
    pub fn listening(&self) -> Vec<String> {
        self.listening.all()
    }

    /// Sessions under way.
    pub fn active(&self) -> u64 {
        self.totals.active.load(Ordering::Relaxed)
    }

    /// Calls `callback` once all is closed, on the relay's thread, or at once when that is so already.
    pub fn on_end(&self, callback: impl FnOnce() + Send + 'static) {
        let mut state = self.shared.lock();
        if state.outcome.is_none() {
            state.callbacks.push(Box::new(callback));
        } else {
            drop(state);
            callback();
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.abort();
    }
}

/// Runs the relay to its end on this thread.
fn run(relay: Relay, stop: &Stop) -> Report {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let error = Some(Error::open(Phase::Execute, error));
            return Report { ended: Ended::Failed, error, ..Report::default() };
        }
    };
    let report = runtime.block_on(watched(relay, stop));
    // A name that is being looked up on another thread is not waited for.
    runtime.shutdown_background();
    report
}

/// Runs the relay to its end; one that was aborted and does not notice is dropped.
async fn watched(relay: Relay, stop: &Stop) -> Report {
    let begun = Instant::now();
    let relay = Arc::new(relay);
    tokio::select! {
        biased;
        report = relay.run(stop) => report,
        () = overdue(stop) => Report { ended: Ended::Stopped, duration: begun.elapsed(), ..so_far(&relay.totals) },
    }
}

async fn overdue(stop: &Stop) {
    stop.reached(Stopping::Abort).await;
    tokio::time::sleep(OVERDUE).await;
}

fn so_far(totals: &Totals) -> Report {
    Report {
        left_to_right: totals.left_to_right.flow(),
        right_to_left: totals.right_to_left.flow(),
        sessions: totals.sessions.load(Ordering::Relaxed),
        failed: totals.failed.load(Ordering::Relaxed),
        outages: totals.outages.sum(),
        ..Report::default()
    }
}

/// What a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("no reason given").to_owned()
}

/// The error a panic is told as.
pub fn panicked(words: &str) -> Error {
    Error::new(ErrorKind::Transfer, Phase::Execute, format!("internal error: {words}"))
        .hint("this is a defect of ferrule; other relays go on")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::io;
    use std::sync::mpsc;

    use super::*;
    use crate::channel::{Channel, Nothing, Stalled, Tap, Text};
    use crate::endpoint::{BoxFuture, Connect, Context, Direction, Kind, Opener, Plan, Request};
    use crate::log::Log;
    use crate::option::Groups;
    use crate::relay::Settings;

    pub const LIMIT: Option<Duration> = Some(Duration::from_secs(10));

    static KIND: Kind = Kind {
        name: "TEST",
        aliases: &[],
        usage: "",
        params: (0, 0),
        groups: Groups::NONE,
        direction: Direction::Both,
        doc: "",
        plan: |_: &Request<'_>| Err(Error::text("a test makes its openers itself")),
    };

    /// Gives a channel that reads `text` and writes nowhere, or one that never moves.
    struct Given(Option<&'static [u8]>);

    impl Connect for Given {
        fn connect<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Channel>> {
            let mut channel = Channel::default();
            if let Some(text) = self.0 {
                channel.source = Some(Box::new(Text::new(text.to_vec())));
                channel.sink = Some(Box::new(Nothing));
            } else {
                channel.source = Some(Box::new(Stalled));
                channel.sink = Some(Box::new(Stalled));
            }
            Box::pin(std::future::ready(Ok(channel)))
        }
    }

    struct Panics;

    impl Tap for Panics {
        fn block(&self, _: u64, _: &[u8]) -> io::Result<()> {
            panic!("the tap broke");
        }
    }

    fn plan(text: Option<&'static [u8]>) -> Plan {
        Plan::of_opener(&KIND, "TEST", Opener::Connect(Arc::new(Given(text))))
    }

    /// A relay of texts, or of channels that never move.
    pub fn relay(left: Option<&'static [u8]>, right: Option<&'static [u8]>) -> Relay {
        Relay::new(plan(left), plan(right), Settings::default(), Log::silent())
    }

    fn start(left: Option<&'static [u8]>, right: Option<&'static [u8]>, settings: Settings) -> Background {
        Background::start(Relay::new(plan(left), plan(right), settings, Log::silent())).unwrap()
    }

    #[test]
    fn a_relay_ends_and_reports() {
        let relay = start(Some(b"hello"), Some(b"hi"), Settings::default());
        assert!(relay.wait(LIMIT));
        let report = relay.outcome().unwrap().unwrap();
        assert_eq!((report.left_to_right.bytes, report.right_to_left.bytes), (5, 2));
        assert_eq!(report.ended, Ended::Finished);
        assert_eq!(relay.progress().left_to_right.bytes, 5);
    }

    #[test]
    fn waiting_has_a_limit_and_stopping_ends_it() {
        let relay = start(None, None, Settings::default());
        assert!(!relay.wait(Some(Duration::from_millis(20))));
        assert!(relay.outcome().is_none());
        relay.stop();
        assert!(relay.wait(LIMIT));
        assert_eq!(relay.outcome().unwrap().unwrap().ended, Ended::Stopped);
    }

    #[test]
    fn closing_does_not_wait_for_a_sink_that_takes_nothing() {
        let relay = start(Some(b"nobody takes this"), None, Settings::default());
        let begun = Instant::now();
        assert!(relay.close(Duration::from_millis(10), Duration::from_secs(10)));
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        let report = relay.outcome().unwrap().unwrap();
        assert_eq!(report.left_to_right.bytes, 0);
    }

    #[test]
    fn a_panic_is_told_and_ends_no_other_relay() {
        let other = start(None, None, Settings::default());
        let settings = Settings { taps_right: vec![Arc::new(Panics)], ..Settings::default() };
        let relay = start(Some(b"hello"), None, settings);
        assert!(relay.wait(LIMIT));
        assert_eq!(relay.outcome().unwrap().unwrap_err(), "the tap broke");
        assert!(other.outcome().is_none());
        other.abort();
        assert!(other.wait(LIMIT));
    }

    #[test]
    fn callbacks_come_once_everything_is_closed() {
        let (sender, receiver) = mpsc::channel();
        let relay = start(None, None, Settings::default());
        let (early, ending) = (sender.clone(), relay.ending());
        relay.on_end(move || early.send("waited").unwrap());
        assert!(receiver.try_recv().is_err());
        assert!(!ending.is_over());
        relay.abort();
        assert!(ending.wait(Duration::from_secs(10)));
        assert_eq!(receiver.recv_timeout(Duration::from_secs(10)).unwrap(), "waited");
        relay.on_end(move || sender.send("at once").unwrap());
        assert_eq!(receiver.try_recv().unwrap(), "at once");
    }

    #[test]
    fn dropping_the_handle_ends_the_relay() {
        let relay = start(None, None, Settings::default());
        let (sender, receiver) = mpsc::channel();
        relay.on_end(move || sender.send(()).unwrap());
        drop(relay);
        receiver.recv_timeout(Duration::from_secs(10)).unwrap();
    }
}
