//! What goes beside the bytes of a channel that is opened again: a line that is the present one's as long as
//! there is one, and remembers meanwhile; a control that is given its line again.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::mpsc;

use super::wakers::Wakers;
use crate::endpoint::BoxFuture;
use crate::line::{Change, Control, Event, Line, Modem, State, Watchers};

/// The line of whatever channel is open at the moment. While there is none changes are remembered, and answered
/// as if they had been made; nobody drives the modem's lines then.
#[derive(Clone)]
pub(super) struct KeptLine(Arc<Kept>);

struct Kept {
    present: Mutex<Present>,
    watchers: Watchers,
    /// Whoever polls [`KeptLine::poll_events`].
    wakers: Arc<Wakers>,
    is_real: bool,
}

struct Present {
    /// `None` while there is none.
    line: Option<Arc<dyn Line>>,
    /// What the present line tells; only listened to when somebody watches.
    events: Option<mpsc::Receiver<Event>>,
    /// What was last known to be in force.
    state: State,
    /// All that was changed through here: what the next line is to be told.
    changed: Change,
}

impl Kept {
    fn lock(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_modem(&self, before: Modem, now: Modem) {
        if now != before {
            self.watchers.tell(Event::Modem { now, changed: now.differing(before) });
        }
    }
}

impl KeptLine {
    pub(super) fn new(line: Arc<dyn Line>, wakers: Arc<Wakers>) -> Self {
        let (state, is_real) = (line.state(), line.is_real());
        let present = Present { line: Some(line), events: None, state, changed: Change::default() };
        Self(Arc::new(Kept { present: Mutex::new(present), watchers: Watchers::default(), wakers, is_real }))
    }

    /// The line is gone.
    pub(super) fn lose(&self) {
        let mut present = self.0.lock();
        if let Some(line) = present.line.take() {
            present.state = line.state();
        }
        present.events = None;
        let before = std::mem::take(&mut present.state.modem);
        drop(present);
        self.0.tell_modem(before, Modem::default());
    }

    /// Another line has taken its place. Gives the future that makes it what the lost one was changed to.
    pub(super) fn replace(&self, line: Arc<dyn Line>) -> Option<BoxFuture<'static, io::Result<State>>> {
        let mut present = self.0.lock();
        let changed = present.changed;
        let made = (!changed.is_empty()).then(|| line.change(changed));
        present.events = self.0.watchers.any().then(|| line.watch());
        let before = present.state.modem;
        let now = line.state().modem;
        present.state.modem = now;
        present.line = Some(line);
        drop(present);
        self.0.tell_modem(before, now);
        made
    }

    /// Passes on what the present line tells.
    pub(super) fn poll_events(&self, cx: &mut Context<'_>) {
        let mut present = self.0.lock();
        loop {
            let Some(events) = &mut present.events else { return };
            match events.poll_recv(cx) {
                Poll::Pending => return,
                Poll::Ready(None) => present.events = None,
                Poll::Ready(Some(event)) => self.0.watchers.tell(event),
            }
        }
    }
}

impl Line for KeptLine {
    fn change(&self, change: Change) -> BoxFuture<'static, io::Result<State>> {
        let mut present = self.0.lock();
        // What lies in a queue is gone with the device.
        present.changed = present.changed.then(&Change { purge_in: false, purge_out: false, ..change });
        // Asked for under the lock, so that two changes are made in their order.
        let made = present.line.as_ref().map(|line| line.change(change));
        if made.is_none() {
            present.state = change.applied_to(present.state);
        }
        let expected = change.applied_to(present.state);
        drop(present);
        let kept = Arc::clone(&self.0);
        Box::pin(async move {
            let answer = match made {
                Some(made) => made.await,
                None => return Ok(expected),
            };
            // A line that fails is on its way out: the change is made on the next one.
            let state = answer.unwrap_or(expected);
            kept.lock().state = state;
            Ok(state)
        })
    }

    fn state(&self) -> State {
        let present = self.0.lock();
        present.line.as_ref().map_or(present.state, |line| line.state())
    }

    fn watch(&self) -> mpsc::Receiver<Event> {
        let receiver = self.0.watchers.add();
        let mut present = self.0.lock();
        if present.events.is_none() {
            present.events = present.line.as_ref().map(|line| line.watch());
        }
        drop(present);
        self.0.wakers.wake_all();
        receiver
    }

    fn is_real(&self) -> bool {
        self.0.is_real
    }
}

/// The control of whatever channel is open at the moment, each of which is given the line anew.
#[derive(Clone)]
pub(super) struct KeptControl(Arc<Controlling>);

struct Controlling {
    present: Mutex<Attached>,
    must_have: bool,
}

struct Attached {
    control: Option<Arc<dyn Control>>,
    /// What each of them is given.
    line: Option<Arc<dyn Line>>,
}

impl KeptControl {
    pub(super) fn new(control: Arc<dyn Control>) -> Self {
        let must_have = control.must_have();
        Self(Arc::new(Controlling { present: Mutex::new(Attached { control: Some(control), line: None }), must_have }))
    }

    fn lock(&self) -> MutexGuard<'_, Attached> {
        self.0.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The channel is gone.
    pub(super) fn lose(&self) {
        self.lock().control = None;
    }

    /// Another channel has taken its place.
    pub(super) fn replace(&self, control: Arc<dyn Control>) {
        let mut present = self.lock();
        if let Some(line) = &present.line {
            control.attach(Arc::clone(line));
        }
        present.control = Some(control);
    }
}

impl Control for KeptControl {
    fn attach(&self, line: Arc<dyn Line>) {
        let mut present = self.lock();
        if let Some(control) = &present.control {
            control.attach(Arc::clone(&line));
        }
        present.line = Some(line);
    }

    fn must_have(&self) -> bool {
        self.0.must_have
    }
}
