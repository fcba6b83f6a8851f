//! The line of a pseudo terminal: there is no wire, but programs on the slave see the speed.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Weak};

use nix::sys::termios::{FlushArg, tcflush};
use tokio::sync::mpsc;

use super::{Change, Event, Imagined, Line, State, StopBits};
use crate::channel::Port;
use crate::endpoint::BoxFuture;
use crate::sys::termios::Termios;

/// A line that is remembered as [`Imagined`] does, but for speed and stop bits: those are the terminal's own,
/// so that `stty -F` shows what a client has set, and the client what a program has. Size and parity cannot be:
/// the kernel forces 8 bits without parity on pseudo terminals.
pub struct Pseudo {
    /// The master; it ends with its channel, not with whoever still holds the line.
    master: Weak<Port>,
    imagined: Imagined,
}

impl Pseudo {
    /// The line of the terminal with this master.
    #[must_use]
    pub fn new(master: &Arc<Port>) -> Self {
        Self { master: Arc::downgrade(master), imagined: Imagined::default() }
    }

    fn set(&self, change: &Change) -> io::Result<State> {
        let master = self.master.upgrade().ok_or(io::ErrorKind::NotConnected)?;
        let fd = master.as_fd();
        let remembered = self.imagined.set(change);
        let stop_bits = change.stop_bits.map(|bits| if bits == StopBits::One { bits } else { StopBits::Two });
        let seen = Change { baud: change.baud, stop_bits, ..Change::default() };
        if !seen.is_empty() {
            let mut settings = Termios::read(fd)?;
            settings.change(&seen);
            settings.write(fd)?;
        }
        // Seen from the line: what the program has written was received, what is on its way to it is to be sent.
        for (wanted, queue) in [(change.purge_in, FlushArg::TCIFLUSH), (change.purge_out, FlushArg::TCOFLUSH)] {
            if wanted {
                tcflush(fd, queue)?;
            }
        }
        Ok(seen_in(remembered, &Termios::read(fd)?))
    }
}

/// What the terminal has of a line's settings. Of stop bits it knows whether there is more than one.
fn seen_in(remembered: State, settings: &Termios) -> State {
    let stop_bits = match (settings.stop_bits(), remembered.stop_bits) {
        (StopBits::Two, StopBits::OneAndHalf) => StopBits::OneAndHalf,
        (seen, _) => seen,
    };
    State { baud: settings.output_speed(), stop_bits, ..remembered }
}

impl Line for Pseudo {
    fn change(&self, change: Change) -> BoxFuture<'static, io::Result<State>> {
        Box::pin(std::future::ready(self.set(&change)))
    }

    fn state(&self) -> State {
        let remembered = self.imagined.state();
        let settings = self.master.upgrade().and_then(|master| Termios::read(master.as_fd()).ok());
        settings.map_or(remembered, |settings| seen_in(remembered, &settings))
    }

    fn watch(&self) -> mpsc::Receiver<Event> {
        self.imagined.watch()
    }

    fn is_real(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::channel::Class;
    use crate::line::Parity;
    use crate::sys::terminal::open_pair;

    #[tokio::test]
    async fn the_speed_is_that_of_the_terminal_and_the_rest_is_remembered() {
        let pair = open_pair().unwrap();
        let master = Arc::new(Port::of_class(pair.master, Class::Master).unwrap());
        let line = Pseudo::new(&master);
        let change = Change {
            baud: Some(250_000),
            data_bits: Some(7),
            parity: Some(Parity::Odd),
            stop_bits: Some(StopBits::Two),
            rts: Some(false),
            ..Change::default()
        };
        let state = line.change(change).await.unwrap();
        assert_eq!(state, change.applied_to(State { modem: state.modem, ..State::default() }));
        assert!(!state.modem.cts && state.modem.dsr);
        assert_eq!(Termios::read(pair.slave.as_fd()).unwrap().output_speed(), 250_000);

        let mut settings = Termios::read(pair.slave.as_fd()).unwrap();
        settings.set_speed(300);
        settings.write(pair.slave.as_fd()).unwrap();
        assert_eq!((line.state().baud, line.state().data_bits), (300, 7));
        // Linux has no one and a half, but nothing comes of it here.
        let half = Change { stop_bits: Some(StopBits::OneAndHalf), ..Change::default() };
        assert_eq!(line.change(half).await.unwrap().stop_bits, StopBits::OneAndHalf);
        assert_eq!(Termios::read(pair.slave.as_fd()).unwrap().stop_bits(), StopBits::Two);
    }

    #[tokio::test]
    async fn a_terminal_that_is_gone_says_so() {
        let pair = open_pair().unwrap();
        let master = Arc::new(Port::of_class(pair.master, Class::Master).unwrap());
        let line = Pseudo::new(&master);
        drop(master);
        assert_eq!(line.change(Change::default()).await.unwrap_err().kind(), io::ErrorKind::NotConnected);
        assert_eq!(line.state().data_bits, 8);
    }
}
