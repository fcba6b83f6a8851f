//! Events of relays into `logging.getLogger("ferrule")`.
//!
//! A relay's thread never calls Python: it puts the event into a bounded queue, and one thread of its own
//! empties that into Python's logging. A handler that blocks costs events, which are counted, not bytes.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;

use crate::log::{Level, Log, Sink};

/// Most events that wait for Python.
const CAPACITY: usize = 1024;

/// The queue of this process. A forked child makes its own, as threads do not follow a fork.
///
/// Only locked by threads that are attached to the interpreter, and so never while another one forks.
static QUEUE: Mutex<Option<(u32, Arc<Queue>)>> = Mutex::new(None);

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Condvar,
}

#[derive(Default)]
struct State {
    events: VecDeque<(Level, String)>,
    dropped: u64,
    /// The drainer is handing events to Python.
    busy: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, level: Level, message: &str) {
        let mut state = self.lock();
        if state.events.len() < CAPACITY {
            state.events.push_back((level, message.to_owned()));
        } else {
            state.dropped += 1;
        }
        drop(state);
        self.filled.notify_one();
    }

    /// Waits for events; gives all there are and how many were dropped.
    fn take(&self) -> (VecDeque<(Level, String)>, u64) {
        let mut state = self.lock();
        state.busy = false;
        self.emptied.notify_all();
        let is_empty = |state: &mut State| state.events.is_empty() && state.dropped == 0;
        let mut state = self.filled.wait_while(state, is_empty).unwrap_or_else(PoisonError::into_inner);
        state.busy = true;
        (std::mem::take(&mut state.events), std::mem::take(&mut state.dropped))
    }

    fn flush(&self, limit: Duration) {
        let is_full = |state: &mut State| state.busy || !state.events.is_empty();
        // When the time is up the events stay queued.
        let _ = self.emptied.wait_timeout_while(self.lock(), limit, is_full);
    }
}

struct QueueSink(Arc<Queue>);

impl Sink for QueueSink {
    fn write(&self, level: Level, message: &str) {
        self.0.push(level, message);
    }
}

/// A log into Python's logging, as verbose as the logger is now.
pub fn log(py: Python<'_>) -> PyResult<Log> {
    let threshold: i32 = logger(py)?.call_method0("getEffectiveLevel")?.extract()?;
    let levels = [Level::Debug, Level::Info, Level::Notice, Level::Warn, Level::Error, Level::Fatal];
    let Some(level) = levels.into_iter().find(|level| python_level(*level) >= threshold) else {
        return Ok(Log::silent());
    };
    Ok(Log::new(level, Box::new(QueueSink(queue()?))))
}

/// Waits until Python has seen what was logged, for `limit` at most.
pub fn flush(py: Python<'_>, limit: Duration) {
    // Not within the condition, which would keep the lock while detached.
    let queue = current(lock().as_ref());
    if let Some(queue) = queue {
        py.detach(|| queue.flush(limit));
    }
}

fn lock() -> MutexGuard<'static, Option<(u32, Arc<Queue>)>> {
    QUEUE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The queue, if it is this process's own.
fn current(queue: Option<&(u32, Arc<Queue>)>) -> Option<Arc<Queue>> {
    queue.filter(|(process, _)| *process == std::process::id()).map(|(_, queue)| Arc::clone(queue))
}

/// The queue of this process and the thread that empties it.
fn queue() -> PyResult<Arc<Queue>> {
    let mut slot = lock();
    if let Some(queue) = current(slot.as_ref()) {
        return Ok(queue);
    }
    let queue = Arc::<Queue>::default();
    let drained = Arc::clone(&queue);
    std::thread::Builder::new().name("ferrule-log".to_owned()).spawn(move || drain(&drained))?;
    *slot = Some((std::process::id(), Arc::clone(&queue)));
    Ok(queue)
}

/// Hands events to Python until the interpreter ends.
fn drain(queue: &Queue) {
    loop {
        let (events, dropped) = queue.take();
        let delivered = Python::try_attach(|py| {
            deliver(py, events, dropped).unwrap_or_else(|error| error.write_unraisable(py, None));
        });
        if delivered.is_none() {
            return;
        }
    }
}

fn deliver(py: Python<'_>, events: VecDeque<(Level, String)>, dropped: u64) -> PyResult<()> {
    let logger = logger(py)?;
    for (level, message) in events {
        logger.call_method1("log", (python_level(level), "%s", message))?;
    }
    if dropped > 0 {
        let message = format!("{dropped} messages were dropped, as the handlers of the log were too slow");
        logger.call_method1("log", (python_level(Level::Warn), "%s", message))?;
    }
    Ok(())
}

fn logger(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    py.import("logging")?.call_method1("getLogger", ("ferrule",))
}

/// The level of Python's logging for one of ours.
const fn python_level(level: Level) -> i32 {
    match level {
        Level::Debug | Level::Info => 10,
        Level::Notice => 20,
        Level::Warn => 30,
        Level::Error => 40,
        Level::Fatal => 50,
    }
}
