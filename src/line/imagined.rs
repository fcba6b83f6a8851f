//! A line that is not there: it remembers what it was set to.

use std::io;
use std::sync::{Mutex, PoisonError};

use tokio::sync::mpsc;

use super::{Change, Event, Line, Modem, State, Watchers};
use crate::endpoint::BoxFuture;

/// A line that does everything asked of it, since nothing comes of it: for a control whose other side has no
/// line, such as a program or a socket.
///
/// Its lines are wired as by a loop-back plug: CTS follows RTS; DSR and DCD follow DTR. So a client that waits
/// for the far end to be ready finds it ready as soon as it is ready itself.
#[derive(Debug)]
pub struct Imagined {
    state: Mutex<State>,
    watchers: Watchers,
}

impl Default for Imagined {
    fn default() -> Self {
        Self::new(State::default())
    }
}

impl Imagined {
    /// A line that begins as `state` says.
    #[must_use]
    pub fn new(state: State) -> Self {
        Self { state: Mutex::new(State { modem: looped(&state), ..state }), watchers: Watchers::default() }
    }

    /// Makes the change at once.
    pub fn set(&self, change: &Change) -> State {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before = state.modem;
        *state = change.applied_to(*state);
        state.modem = looped(&state);
        let (now, after) = (state.modem, *state);
        drop(state);
        if now != before {
            self.watchers.tell(Event::Modem { now, changed: now.differing(before) });
        }
        after
    }
}

/// What the far end drives when it is our own end.
fn looped(state: &State) -> Modem {
    Modem { cts: state.rts, dsr: state.dtr, ri: false, dcd: state.dtr }
}

impl Line for Imagined {
    fn change(&self, change: Change) -> BoxFuture<'static, io::Result<State>> {
        Box::pin(std::future::ready(Ok(self.set(&change))))
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) -> mpsc::Receiver<Event> {
        self.watchers.add()
    }

    fn is_real(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn lines_are_looped_and_their_changes_told() {
        let line = Imagined::default();
        let mut events = line.watch();
        assert!(line.state().modem.cts && line.state().modem.dcd);
        let state = line.set(&Change { rts: Some(false), baud: Some(9600), ..Change::default() });
        assert_eq!((state.baud, state.modem.cts, state.modem.dsr), (9600, false, true));
        let told = events.try_recv().unwrap();
        let changed = Modem { cts: true, ..Modem::default() };
        assert_eq!(told, Event::Modem { now: state.modem, changed });
        line.set(&Change { baud: Some(300), ..Change::default() });
        assert!(events.try_recv().is_err());
        assert_eq!(line.state().baud, 300);
    }
}
