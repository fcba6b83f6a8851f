//! WHAT GOES BESIDE THE BYTES: the settings and signals of a serial line, without a word on where the line is.
//!
//! A channel whose far end is a line offers a [`Line`]: a UART, the UART behind a network connection, the
//! terminal behind a pseudo terminal. A channel through which somebody wants to set a line has a [`Control`]: a
//! client that speaks RFC 2217, a program that sets the speed of a pseudo terminal. A session gives the line of
//! one side to the control of the other ([`join`]); from then on they need neither the session nor each other's
//! kind.
//!
//! All of it is called while the bytes are read and written, so that a command keeps its place between them:
//! see [`Source::poll_beside`](crate::channel::Source::poll_beside).

mod imagined;
mod pseudo;
mod uart;
mod uart_close;
mod uart_ends;
mod uart_watch;

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

pub use imagined::Imagined;
pub use pseudo::Pseudo;
pub use uart::{Abilities, Uart};
pub use uart_close::Closing;
pub use uart_ends::{UartSink, UartSource};

use crate::channel::Channel;
use crate::endpoint::BoxFuture;

/// What a parity bit says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parity {
    /// There is none.
    #[default]
    None,
    /// An odd number of ones, with the bit itself.
    Odd,
    /// An even number of ones, with the bit itself.
    Even,
    /// Always one.
    Mark,
    /// Always zero.
    Space,
}

/// How long the line rests after a character, at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StopBits {
    /// One bit.
    #[default]
    One,
    /// One bit and a half. Linux has no such setting; a remote line may.
    OneAndHalf,
    /// Two bits.
    Two,
}

/// How a receiver makes the sender pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FlowControl {
    /// Not at all.
    #[default]
    None,
    /// With the characters XON and XOFF among the data.
    XonXoff,
    /// With the lines RTS and CTS.
    Hardware,
}

/// The lines a modem drives. Also used for which of them changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a wire")]
pub struct Modem {
    /// Clear to send.
    pub cts: bool,
    /// Data set ready.
    pub dsr: bool,
    /// Ring indicator.
    pub ri: bool,
    /// Data carrier detect.
    pub dcd: bool,
}

impl Modem {
    /// Which lines are not the same in both.
    #[must_use]
    pub fn differing(self, other: Self) -> Self {
        Self {
            cts: self.cts != other.cts,
            dsr: self.dsr != other.dsr,
            ri: self.ri != other.ri,
            dcd: self.dcd != other.dcd,
        }
    }
}

/// What went wrong or was special on the line, since the last word of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a bit of a UART's line status register")]
pub struct Faults {
    /// Characters were lost because nobody took them in time.
    pub overrun: bool,
    /// A character had the wrong parity.
    pub parity: bool,
    /// A character had no stop bit.
    pub framing: bool,
    /// The line was held in the break condition.
    pub brk: bool,
}

/// The settings and signals of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Bits a second. 0 hangs up.
    pub baud: u32,
    /// Bits of a character, 5 to 8, without parity.
    pub data_bits: u8,
    /// The parity bit.
    pub parity: Parity,
    /// The stop bits.
    pub stop_bits: StopBits,
    /// How the far end makes us pause.
    pub flow_out: FlowControl,
    /// How we make the far end pause.
    pub flow_in: FlowControl,
    /// Data terminal ready, driven by us.
    pub dtr: bool,
    /// Request to send, driven by us.
    pub rts: bool,
    /// The line is held in the break condition by us.
    pub brk: bool,
    /// What the far end drives.
    pub modem: Modem,
}

impl Default for State {
    /// 115200 8N1, as today's boards and adapters have it.
    fn default() -> Self {
        Self {
            baud: 115_200,
            data_bits: 8,
            parity: Parity::None,
            stop_bits: StopBits::One,
            flow_out: FlowControl::None,
            flow_in: FlowControl::None,
            dtr: true,
            rts: true,
            brk: false,
            modem: Modem::default(),
        }
    }
}

/// What is to become different; `None` leaves a thing as it is. All of one change is made at once: one
/// tcsetattr(3), and one `TIOCMSET` for DTR and RTS together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Change {
    /// See [`State::baud`].
    pub baud: Option<u32>,
    /// See [`State::data_bits`].
    pub data_bits: Option<u8>,
    /// See [`State::parity`].
    pub parity: Option<Parity>,
    /// See [`State::stop_bits`].
    pub stop_bits: Option<StopBits>,
    /// See [`State::flow_out`].
    pub flow_out: Option<FlowControl>,
    /// See [`State::flow_in`].
    pub flow_in: Option<FlowControl>,
    /// See [`State::dtr`].
    pub dtr: Option<bool>,
    /// See [`State::rts`].
    pub rts: Option<bool>,
    /// See [`State::brk`].
    pub brk: Option<bool>,
    /// Drop what was received and not yet read.
    pub purge_in: bool,
    /// Drop what was written and not yet sent.
    pub purge_out: bool,
}

impl Change {
    /// Whether nothing is to become different.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The state after this change, on a line that can do everything.
    #[must_use]
    pub fn applied_to(&self, state: State) -> State {
        State {
            baud: self.baud.unwrap_or(state.baud),
            data_bits: self.data_bits.unwrap_or(state.data_bits),
            parity: self.parity.unwrap_or(state.parity),
            stop_bits: self.stop_bits.unwrap_or(state.stop_bits),
            flow_out: self.flow_out.unwrap_or(state.flow_out),
            flow_in: self.flow_in.unwrap_or(state.flow_in),
            dtr: self.dtr.unwrap_or(state.dtr),
            rts: self.rts.unwrap_or(state.rts),
            brk: self.brk.unwrap_or(state.brk),
            modem: state.modem,
        }
    }

    /// The change that makes any line's settings and signals those of `state`.
    #[must_use]
    pub fn to(state: &State) -> Self {
        Self {
            baud: Some(state.baud),
            data_bits: Some(state.data_bits),
            parity: Some(state.parity),
            stop_bits: Some(state.stop_bits),
            flow_out: Some(state.flow_out),
            flow_in: Some(state.flow_in),
            dtr: Some(state.dtr),
            rts: Some(state.rts),
            brk: Some(state.brk),
            purge_in: false,
            purge_out: false,
        }
    }

    /// Whether a line in this state has what the change asks for. A speed is it within 2 %, as the kernel sees it.
    #[must_use]
    pub fn is_met_by(&self, state: &State) -> bool {
        self.baud.is_none_or(|baud| crate::sys::termios::is_near(baud, state.baud))
            && self.data_bits.is_none_or(|bits| bits == state.data_bits)
            && self.parity.is_none_or(|parity| parity == state.parity)
            && self.stop_bits.is_none_or(|bits| bits == state.stop_bits)
    }

    /// This change and then `later` as one.
    #[must_use]
    pub fn then(&self, later: &Self) -> Self {
        Self {
            baud: later.baud.or(self.baud),
            data_bits: later.data_bits.or(self.data_bits),
            parity: later.parity.or(self.parity),
            stop_bits: later.stop_bits.or(self.stop_bits),
            flow_out: later.flow_out.or(self.flow_out),
            flow_in: later.flow_in.or(self.flow_in),
            dtr: later.dtr.or(self.dtr),
            rts: later.rts.or(self.rts),
            brk: later.brk.or(self.brk),
            purge_in: self.purge_in || later.purge_in,
            purge_out: self.purge_out || later.purge_out,
        }
    }
}

/// Something a line tells by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The far end has changed its lines.
    Modem {
        /// What they are now.
        now: Modem,
        /// Which of them changed, even if it changed back since.
        changed: Modem,
    },
    /// Something went wrong in receiving.
    Faults(Faults),
    /// The settings were changed by somebody else.
    State(State),
}

/// How many events may wait for a watcher; a slow one misses what comes then, and asks [`Line::state`].
pub const EVENTS: usize = 64;

/// A line that can be set and watched.
pub trait Line: Send + Sync {
    /// Makes a change, and gives what is in force then: where the line cannot do what was asked for, that is
    /// what it does instead. Never blocks the thread for longer than a control transfer to an adapter takes,
    /// and never waits for the output to drain.
    ///
    /// # Errors
    /// When the line is gone.
    fn change(&self, change: Change) -> BoxFuture<'static, io::Result<State>>;

    /// What is in force, as far as it is known without waiting.
    fn state(&self) -> State;

    /// Tells what happens from now on, until the receiver is dropped.
    fn watch(&self) -> mpsc::Receiver<Event>;

    /// Whether there is a wire at its end: settings matter then. A pseudo terminal has none.
    fn is_real(&self) -> bool;
}

/// Somebody who wants to set a line, on the other side of a session.
pub trait Control: Send + Sync {
    /// Takes the line; called once, before bytes move.
    fn attach(&self, line: Arc<dyn Line>);

    /// Whether it has to have a line, if need be an imagined one. Otherwise it takes real ones only.
    fn must_have(&self) -> bool;
}

/// Gives each side the line of the other one.
pub fn join(left: &Channel, right: &Channel) {
    for (controlled, other) in [(left, right), (right, left)] {
        let Some(control) = &controlled.control else { continue };
        match &other.line {
            Some(line) if line.is_real() || control.must_have() => control.attach(Arc::clone(line)),
            None if control.must_have() => control.attach(Arc::new(Imagined::default())),
            _ => {}
        }
    }
}

/// Those who watch a line.
#[derive(Debug, Default)]
pub struct Watchers(std::sync::Mutex<Vec<mpsc::Sender<Event>>>);

impl Watchers {
    /// One more.
    pub fn add(&self) -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(EVENTS);
        self.lock().push(sender);
        receiver
    }

    /// Tells all of them; those that are gone are forgotten.
    pub fn tell(&self, event: Event) {
        self.lock().retain(|watcher| !matches!(watcher.try_send(event), Err(mpsc::error::TrySendError::Closed(_))));
    }

    /// Whether anybody watches.
    pub fn any(&self) -> bool {
        self.lock().iter().any(|watcher| !watcher.is_closed())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<mpsc::Sender<Event>>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    struct Taker {
        must: bool,
        taken: std::sync::Mutex<Option<Arc<dyn Line>>>,
    }

    impl Control for Taker {
        fn attach(&self, line: Arc<dyn Line>) {
            *self.taken.lock().unwrap() = Some(line);
        }

        fn must_have(&self) -> bool {
            self.must
        }
    }

    fn taker(must: bool) -> Arc<Taker> {
        Arc::new(Taker { must, taken: std::sync::Mutex::default() })
    }

    #[test]
    fn a_control_gets_the_line_of_the_other_side_or_an_imagined_one_if_it_must() {
        for (must, has_line, attached) in [(true, true, true), (true, false, true), (false, true, false)] {
            let taker = taker(must);
            let left = Channel { control: Some(taker.clone()), ..Channel::default() };
            let line: Option<Arc<dyn Line>> = has_line.then(|| Arc::new(Imagined::default()) as _);
            let right = Channel { line, ..Channel::default() };
            join(&right, &left);
            assert_eq!(taker.taken.lock().unwrap().is_some(), attached, "must {must}, line {has_line}");
        }
    }

    #[test]
    fn changes_add_up_the_later_one_first() {
        let first = Change { baud: Some(300), dtr: Some(true), purge_in: true, ..Change::default() };
        let both = first.then(&Change { dtr: Some(false), rts: Some(true), ..Change::default() });
        let state = both.applied_to(State::default());
        assert_eq!((state.baud, state.dtr, state.rts, both.purge_in), (300, false, true, true));
        assert_eq!(Change::to(&state).applied_to(State::default()), state);
        assert!(Change::default().is_empty() && !both.is_empty());
    }

    #[test]
    fn watchers_that_are_gone_are_forgotten_and_slow_ones_kept() {
        let watchers = Watchers::default();
        let (gone, mut slow) = (watchers.add(), watchers.add());
        drop(gone);
        for _ in 0..=EVENTS {
            watchers.tell(Event::Faults(Faults::default()));
        }
        assert!(watchers.any());
        assert_eq!(std::iter::from_fn(|| slow.try_recv().ok()).count(), EVENTS);
        drop(slow);
        assert!(!watchers.any());
    }
}
