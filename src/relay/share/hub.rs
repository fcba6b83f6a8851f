//! What joins one device to its clients: who is there, what waits for whom, who may write.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::ReadBuf;
use tokio::sync::Notify;

use super::backlog::Backlog;
use super::lease::Lease;
use super::seat::Seat;
use super::writers::Writers;
use crate::channel::{Beside, Channel, Sink};
use crate::line::{Event, Line, Watchers};
use crate::log::Log;
use crate::option::{ShareSettings, Slow};
use crate::relay::report::{Tally, Totals};
use crate::relay::stop::Stop;
use crate::{notice, warning};

/// How long a client that has ended its data is still told what the device says, when the relay sets no
/// time (`-t`): such a client cannot be told from one that is gone.
pub const FAREWELL: Duration = Duration::from_millis(500);

/// How the hub behaves.
#[derive(Debug, Clone)]
pub struct Manner {
    /// What the options of the listener say.
    pub settings: ShareSettings,
    /// How long the device may be silent before a client that has ended its data is let go.
    pub farewell: Duration,
    /// The listener is the right address, the device the left one.
    pub flipped: bool,
}

/// One device and its clients.
pub struct Hub {
    pub manner: Manner,
    state: Mutex<State>,
    writers: Mutex<Writers>,
    /// The device's line.
    pub line: Option<Arc<dyn Line>>,
    /// The device is read, is written.
    ends: (bool, bool),
    /// Writing messages of its own, the device has a bound for their size.
    in_messages: bool,
    cool_write: bool,
    totals: Arc<Totals>,
    pub log: Log,
    /// A client wants to watch the line.
    pub watched: Notify,
    /// The device came to its end, or the last client left.
    changed: Notify,
}

#[derive(Default)]
pub(super) struct State {
    backlog: Backlog,
    pub(super) seats: BTreeMap<u64, Seat>,
    pub(super) lease: Option<Lease>,
    /// The device says nothing more.
    is_over: bool,
    /// Why it cannot be written, where it is only written.
    broken: Option<io::Error>,
    /// The device has nothing to say at the moment.
    is_silent: bool,
    /// The device's task, while it waits for the slowest client.
    pump: Option<Waker>,
}

/// What reading for a client gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    Bytes,
    End,
    /// Nothing yet; the client has ended its data itself.
    Parting,
    Nothing,
}

impl Hub {
    /// Joins nobody yet to `device`, whose sink goes into the hub.
    pub fn new(
        manner: Manner,
        device: &mut Channel,
        sink: Option<Box<dyn Sink>>,
        totals: Arc<Totals>,
        log: Log,
    ) -> Self {
        let ShareSettings { queue, replay, .. } = manner.settings;
        Self {
            state: Mutex::new(State { backlog: Backlog::new(queue, replay), ..State::default() }),
            line: device.line.take(),
            ends: (device.source.is_some(), sink.is_some()),
            in_messages: sink.as_deref().is_some_and(Sink::in_messages),
            cool_write: device.cool_write,
            writers: Mutex::new(Writers::new(sink)),
            manner,
            totals,
            log,
            watched: Notify::new(),
            changed: Notify::new(),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No code that could panic runs under the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who may write to the device, now that is.
    pub fn writers(&self) -> MutexGuard<'_, Writers> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the device is read, and whether it is written.
    pub fn ends(&self) -> (bool, bool) {
        self.ends
    }

    pub fn in_messages(&self) -> bool {
        self.in_messages
    }

    pub fn is_cool(&self) -> bool {
        self.cool_write
    }

    /// Totals of what the device says, and of what it is told.
    pub(super) fn tallies(&self) -> (&Tally, &Tally) {
        let Totals { left_to_right, right_to_left, .. } = &*self.totals;
        if self.manner.flipped { (left_to_right, right_to_left) } else { (right_to_left, left_to_right) }
    }

    // Clients

    /// A further client, by a number no other one ever had.
    pub fn join(&self, client: u64, descriptor: i32, stop: Stop) {
        let mut state = self.lock();
        state.backlog.join(client);
        state.seats.insert(client, Seat::new(descriptor, stop));
        let count = state.seats.len();
        drop(state);
        notice!(self.log, "client {client} (fd {descriptor}) joins: {count} share the channel");
    }

    /// A client is gone.
    pub fn leave(&self, client: u64) {
        let mut state = self.lock();
        let Some(seat) = state.seats.remove(&client) else { return };
        let missed = state.backlog.leave(client);
        if state.lease.as_ref().is_some_and(|lease| lease.holder == client) {
            state.lease = None;
        }
        wake(&mut state.pump);
        let count = state.seats.len();
        drop(state);
        self.tallies().0.discard(missed);
        self.writers().forget(client);
        notice!(self.log, "{} leaves, {count} stay{}", seat.name(client), seat.losses(missed));
        if count == 0 {
            self.changed.notify_waiters();
        }
    }

    /// A client's data has ended.
    pub fn part(&self, client: u64) {
        if let Some(seat) = self.lock().seats.get_mut(&client) {
            seat.has_ended = true;
            wake(&mut seat.waker);
        }
    }

    /// Lets a client go that has ended its data and only waits whether the device says more; false if there is
    /// none.
    pub fn dismiss_one(&self) -> bool {
        let mut state = self.lock();
        let State { seats, backlog, .. } = &mut *state;
        let is_idle = |client: u64, seat: &Seat| seat.has_ended && !seat.is_dismissed && backlog.waiting(client) == 0;
        let Some((_, seat)) = seats.iter_mut().find(|(client, seat)| is_idle(**client, seat)) else { return false };
        seat.is_dismissed = true;
        wake(&mut seat.waker);
        true
    }

    /// Waits until there are no clients.
    pub async fn vacant(&self) {
        self.until(|state| state.seats.is_empty()).await;
    }

    pub fn is_vacant(&self) -> bool {
        self.lock().seats.is_empty()
    }

    async fn until(&self, holds: impl Fn(&State) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // Listening comes before looking: a change in between is heard.
            changed.as_mut().enable();
            if holds(&self.lock()) {
                return;
            }
            changed.await;
        }
    }

    // What the device says

    /// Gives all clients what the device has said. None of them can hold this up.
    pub fn push(&self, block: &[u8]) {
        let mut state = self.lock();
        state.is_silent = false;
        state.backlog.push(block);
        let mut discarded = state.backlog.take_unheard();
        while self.manner.settings.slow != Slow::Wait
            && let Some(client) = state.backlog.overrun()
        {
            discarded += self.overrun(&mut state, client);
        }
        for seat in state.seats.values_mut() {
            wake(&mut seat.waker);
        }
        drop(state);
        self.tallies().0.discard(discarded);
    }

    /// More waits for a client than may; gives how many bytes it misses now.
    fn overrun(&self, state: &mut State, client: u64) -> u64 {
        let kicks = self.manner.settings.slow == Slow::Kick;
        let missed = if kicks { state.backlog.clear(client) } else { state.backlog.cut(client) };
        let Some(seat) = state.seats.get_mut(&client) else { return missed };
        seat.missed += missed;
        let is_new = !std::mem::replace(&mut seat.is_late, true);
        if kicks {
            seat.is_dismissed = true;
            seat.stop.stop();
        }
        if is_new {
            let what = if kicks { "it is closed" } else { "it misses the oldest" };
            let queue = self.manner.settings.queue;
            warning!(self.log, "{} does not read: more than {queue} bytes wait for it, {what}", seat.name(client));
        }
        missed
    }

    /// Waits for room for so many bytes, where the slowest client sets the pace.
    pub fn poll_room(&self, cx: &Context<'_>, bytes: usize) -> Poll<()> {
        let mut state = self.lock();
        if self.manner.settings.slow != Slow::Wait || state.backlog.has_room(bytes) {
            return Poll::Ready(());
        }
        state.pump = Some(cx.waker().clone());
        Poll::Pending
    }

    /// The device has nothing to say at the moment.
    pub fn rest(&self) {
        let mut state = self.lock();
        state.is_silent = true;
        state.backlog.rest();
    }

    /// The device will say nothing more.
    pub fn end(&self) {
        let mut state = self.lock();
        state.is_over = true;
        for seat in state.seats.values_mut() {
            wake(&mut seat.waker);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Waits until the device says nothing more.
    pub async fn over(&self) {
        self.until(|state| state.is_over).await;
    }

    pub fn is_over(&self) -> bool {
        self.lock().is_over
    }

    /// Counts what was kept for clients that never came.
    pub fn close(&self) {
        let unheard = self.lock().backlog.close();
        self.tallies().0.discard(unheard);
    }

    /// Reads for a client.
    pub fn poll_read(&self, client: u64, cx: &Context<'_>, buf: &mut ReadBuf<'_>) -> Read {
        let mut state = self.lock();
        let State { backlog, seats, is_over, is_silent, pump, .. } = &mut *state;
        let Some(seat) = seats.get_mut(&client) else { return Read::End };
        seat.purges = false;
        if seat.is_dismissed {
            return Read::End;
        }
        if backlog.read(client, buf) > 0 {
            wake(pump);
            let caught_up = backlog.waiting(client) == 0;
            if *is_silent && caught_up {
                backlog.rest();
            }
            if caught_up && std::mem::take(&mut seat.is_late) {
                notice!(self.log, "{} reads again{}", seat.name(client), seat.losses(0));
            }
            return Read::Bytes;
        }
        if *is_over {
            return Read::End;
        }
        seat.waker = Some(cx.waker().clone());
        if seat.has_ended { Read::Parting } else { Read::Nothing }
    }

    /// Whether a client has dropped what it was said so far.
    pub fn poll_beside(&self, client: u64, cx: &Context<'_>) -> Beside {
        let mut state = self.lock();
        let Some(seat) = state.seats.get_mut(&client) else { return Beside::Nothing };
        if std::mem::take(&mut seat.purges) {
            return Beside::Purge;
        }
        seat.stuck = Some(cx.waker().clone());
        Beside::Nothing
    }

    /// Bytes that wait for a client.
    pub fn waiting(&self, client: u64) -> usize {
        self.lock().backlog.waiting(client)
    }

    /// Drops what waits for one client, at its wish.
    pub fn purge(&self, client: u64) {
        let mut state = self.lock();
        let purged = state.backlog.clear(client);
        if let Some(seat) = state.seats.get_mut(&client) {
            seat.purges = true;
            wake(&mut seat.stuck);
        }
        wake(&mut state.pump);
        drop(state);
        self.tallies().0.purge(purged);
    }

    // What the device is told

    /// Notes that the device could not be written. It is its end where it is not read.
    pub fn fail(&self, error: &io::Error) {
        if self.ends.0 {
            return;
        }
        self.lock().broken.get_or_insert_with(|| again(error));
        self.changed.notify_waiters();
    }

    /// Waits until a device that is only written cannot be written any more.
    pub async fn broken(&self) -> io::Error {
        self.until(|state| state.broken.is_some()).await;
        self.lock().broken.as_ref().map_or_else(|| io::ErrorKind::BrokenPipe.into(), again)
    }

    // The line

    /// Tells the clients of the line, but for one of them; false if nobody watches.
    pub fn tell(&self, event: Event, except: Option<u64>) -> bool {
        let mut heard = false;
        for (client, seat) in &self.lock().seats {
            if Some(*client) != except {
                seat.watchers.tell(event);
            }
            heard |= seat.watchers.any();
        }
        heard
    }

    /// Those who watch the line for a client.
    pub fn watchers(&self, client: u64) -> Option<Arc<Watchers>> {
        self.lock().seats.get(&client).map(|seat| Arc::clone(&seat.watchers))
    }
}

pub(super) fn wake(waker: &mut Option<Waker>) {
    if let Some(waker) = waker.take() {
        waker.wake();
    }
}

/// The same error once more.
fn again(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}
