//! Clients of a line: what the first one finds is put back when the last one leaves.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use crate::endpoint::BoxFuture;
use crate::line::{Change, Line, State};

/// The lines that have clients.
static LINES: Mutex<Vec<Weak<Found>>> = Mutex::new(Vec::new());

/// A line as its first client found it.
struct Found {
    line: Arc<dyn Line>,
    state: State,
}

impl Drop for Found {
    fn drop(&mut self) {
        put(&self.line, &difference(&self.line.state(), &self.state));
    }
}

/// A client's hold on a line. When it is dropped a break is over, and the last one's settings are put back.
pub(super) struct Tenancy {
    line: Arc<dyn Line>,
    /// Somebody wants the settings put back.
    found: Option<Arc<Found>>,
}

impl Tenancy {
    /// One more client.
    pub fn new(line: Arc<dyn Line>, restore: bool) -> Self {
        let found = restore.then(|| found(&line));
        Self { line, found }
    }
}

impl Drop for Tenancy {
    fn drop(&mut self) {
        if self.line.state().brk {
            put(&self.line, &Change { brk: Some(false), ..Change::default() });
        }
        drop(self.found.take());
    }
}

/// What was found on this line, by this client or by those before it.
fn found(line: &Arc<dyn Line>) -> Arc<Found> {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.retain(|found| found.strong_count() > 0);
    let same = |found: &Arc<Found>| std::ptr::addr_eq(Arc::as_ptr(&found.line), Arc::as_ptr(line));
    lines.iter().filter_map(Weak::upgrade).find(same).unwrap_or_else(|| {
        let found = Arc::new(Found { line: Arc::clone(line), state: line.state() });
        lines.push(Arc::downgrade(&found));
        found
    })
}

/// What turns one state into another.
fn difference(from: &State, to: &State) -> Change {
    Change {
        baud: (from.baud != to.baud).then_some(to.baud),
        data_bits: (from.data_bits != to.data_bits).then_some(to.data_bits),
        parity: (from.parity != to.parity).then_some(to.parity),
        stop_bits: (from.stop_bits != to.stop_bits).then_some(to.stop_bits),
        flow_out: (from.flow_out != to.flow_out).then_some(to.flow_out),
        flow_in: (from.flow_in != to.flow_in).then_some(to.flow_in),
        dtr: (from.dtr != to.dtr).then_some(to.dtr),
        rts: (from.rts != to.rts).then_some(to.rts),
        brk: (from.brk != to.brk).then_some(to.brk),
        purge_in: false,
        purge_out: false,
    }
}

/// Makes a change that nobody waits for: at once where that is possible, else in a task of its own.
fn put(line: &Arc<dyn Line>, change: &Change) {
    if change.is_empty() {
        return;
    }
    let mut making: BoxFuture<'static, io::Result<State>> = line.change(*change);
    // A line that is gone has no settings.
    if let Poll::Pending = making.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        && let Ok(runtime) = tokio::runtime::Handle::try_current()
    {
        drop(runtime.spawn(making));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::line::Imagined;

    fn line(baud: u32) -> Arc<dyn Line> {
        Arc::new(Imagined::new(State { baud, rts: false, ..State::default() }))
    }

    #[test]
    fn the_last_client_puts_back_what_the_first_one_found() {
        let (line, other) = (line(300), line(600));
        let first = Tenancy::new(Arc::clone(&line), true);
        let elsewhere = Tenancy::new(Arc::clone(&other), true);
        put(&line, &Change { baud: Some(9600), rts: Some(true), brk: Some(true), ..Change::default() });
        put(&other, &Change { baud: Some(1200), ..Change::default() });
        let second = Tenancy::new(Arc::clone(&line), true);
        drop(first);
        assert_eq!((line.state().baud, line.state().brk), (9600, false));
        put(&line, &Change { data_bits: Some(7), ..Change::default() });
        drop(second);
        let state = line.state();
        assert_eq!((state.baud, state.data_bits, state.rts), (300, 8, false));
        assert_eq!(other.state().baud, 1200);
        drop(elsewhere);
        assert_eq!(other.state().baud, 600);
    }

    #[test]
    fn settings_stay_where_nobody_wants_them_back_but_a_break_ends() {
        let line = line(300);
        let client = Tenancy::new(Arc::clone(&line), false);
        put(&line, &Change { baud: Some(9600), brk: Some(true), ..Change::default() });
        drop(client);
        assert_eq!((line.state().baud, line.state().brk), (9600, false));
    }
}
