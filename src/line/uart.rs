//! The line behind a terminal of this machine: a UART, a USB adapter, or the slave of a pseudo terminal.
//!
//! What the device has not got is imagined: a pseudo terminal has no modem lines, no parity and no break, but
//! whoever sets them there finds them set.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::uart_watch::Watch;
use super::{Change, Event, Imagined, Line, State, Watchers};
use crate::endpoint::BoxFuture;
use crate::sys;
use crate::sys::serial::{self, Counts, Lines};
use crate::sys::termios::Termios;

/// How long a break waits for what was written before it to be sent.
const BEFORE_BREAK: Duration = Duration::from_secs(1);
/// How long it then waits for what is in the hardware, which the kernel does not count.
const LAST_BYTES: Duration = Duration::from_millis(500);
/// Pause between two looks at what is still to be sent.
const LOOK: Duration = Duration::from_millis(5);

/// What a device can do; found out once, when it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Settings end at a wire.
    pub is_real: bool,
    /// It has modem lines; otherwise they are imagined.
    pub has_lines: bool,
    /// It counts faults and changes of lines.
    pub counts: bool,
}

impl Abilities {
    fn of(fd: BorrowedFd<'_>) -> Self {
        let has_lines = Lines::read(fd).is_ok();
        Self {
            is_real: has_lines || !serial::is_without_wire(fd).unwrap_or(true),
            has_lines,
            counts: Counts::read(fd).is_ok(),
        }
    }
}

impl fmt::Display for Abilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = |on: bool, yes: &'static str, no: &'static str| if on { yes } else { no };
        let lines = word(self.has_lines, "real", "imagined");
        let brk = word(self.is_real, "real", "imagined");
        write!(f, "lines={lines} break={brk} faults={}", word(self.counts, "counted", "unknown"))
    }
}

/// A line over a terminal's descriptor. Clones are the same line.
#[derive(Clone)]
pub struct Uart(Arc<Inner>);

pub(super) struct Inner {
    /// `None` once the port is closed: others may hold the line for longer.
    fd: Mutex<Option<Arc<OwnedFd>>>,
    pub(super) abilities: Abilities,
    /// What the device has not got.
    imagined: Imagined,
    /// A break was begun and not ended.
    in_break: AtomicBool,
    /// Settings were changed through the line.
    changed: AtomicBool,
    pub(super) watchers: Watchers,
    pub(super) watch: Watch,
}

impl Uart {
    /// The line of a terminal, as it is.
    ///
    /// # Errors
    /// ENOTTY when it is none.
    pub fn new(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let settings = Termios::read(fd)?;
        let inner = Inner {
            fd: Mutex::new(Some(Arc::new(fd.try_clone_to_owned()?))),
            abilities: Abilities::of(fd),
            imagined: Imagined::new(settings.state(State::default())),
            in_break: AtomicBool::new(false),
            changed: AtomicBool::new(false),
            watchers: Watchers::default(),
            watch: Watch::default(),
        };
        Ok(Self(Arc::new(inner)))
    }

    #[cfg(test)]
    pub(super) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    /// What the device can do.
    #[must_use]
    pub fn abilities(&self) -> Abilities {
        self.0.abilities
    }

    /// Makes a change but for the beginning of a break, which has to wait: see [`Line::change`].
    ///
    /// # Errors
    /// ENODEV when the line is gone.
    pub fn set(&self, change: &Change) -> io::Result<State> {
        let fd = self.0.fd()?;
        self.0.set(fd.as_fd(), change).map_err(gone)
    }

    /// Whether somebody has changed settings through the line.
    pub(super) fn was_changed(&self) -> bool {
        self.0.changed.load(Ordering::Relaxed)
    }

    /// Ends a break that is still held, and lets go of the port: from now on the line is gone.
    pub(super) fn close(&self) {
        let fd = self.0.fd.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(fd) = fd
            && self.0.in_break.swap(false, Ordering::Relaxed)
        {
            // A port that is gone is in no break.
            let _ = serial::end_break(fd.as_fd());
        }
        self.0.watch.stop();
    }
}

/// An error of a port in the number for all who have to know that it is not there any more.
pub(super) fn gone(error: io::Error) -> io::Error {
    if serial::is_gone(&error) { io::Error::from_raw_os_error(libc::ENODEV) } else { error }
}

impl Inner {
    /// The descriptor, or ENODEV when the port is closed.
    pub(super) fn fd(&self) -> io::Result<Arc<OwnedFd>> {
        let fd = self.fd.lock().unwrap_or_else(PoisonError::into_inner);
        fd.clone().ok_or_else(|| io::Error::from_raw_os_error(libc::ENODEV))
    }

    fn set(&self, fd: BorrowedFd<'_>, change: &Change) -> io::Result<State> {
        serial::purge(fd, change.purge_in, change.purge_out)?;
        if *change != (Change { dtr: change.dtr, rts: change.rts, brk: change.brk, ..purges(change) }) {
            self.change_settings(fd, change)?;
        }
        if self.abilities.has_lines && (change.dtr.is_some() || change.rts.is_some()) {
            tolerated(Lines::read(fd)?.driving(change.dtr, change.rts).write(fd))?;
        }
        if self.abilities.is_real && change.brk == Some(false) && self.in_break.swap(false, Ordering::Relaxed) {
            tolerated(serial::end_break(fd))?;
        }
        self.imagined.set(&Change { brk: change.brk.filter(|_| !self.abilities.is_real), ..*change });
        self.read(fd)
    }

    fn change_settings(&self, fd: BorrowedFd<'_>, change: &Change) -> io::Result<()> {
        let mut settings = Termios::read(fd)?;
        settings.change(change);
        self.changed.store(true, Ordering::Relaxed);
        tolerated(settings.write(fd))
    }

    /// What is in force.
    fn read(&self, fd: BorrowedFd<'_>) -> io::Result<State> {
        let (mut state, settings) = (self.imagined.state(), Termios::read(fd)?);
        if self.abilities.is_real {
            state = State { brk: self.in_break.load(Ordering::Relaxed), ..settings.state(state) };
        } else {
            state.baud = settings.output_speed();
        }
        if self.abilities.has_lines {
            let lines = Lines::read(fd)?;
            state = State { dtr: lines.dtr(), rts: lines.rts(), modem: lines.modem(), ..state };
        }
        Ok(state)
    }

    /// Begins a break behind what was written. Without one when that is not sent in time, or the device has none:
    /// the state tells.
    async fn begin_break(&self, fd: &Arc<OwnedFd>) -> io::Result<()> {
        let deadline = Instant::now() + BEFORE_BREAK;
        while sys::io::unsent(fd.as_fd()).is_ok_and(|bytes| bytes > 0) {
            if Instant::now() >= deadline {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        let held = Arc::clone(fd);
        let begun = tokio::task::spawn_blocking(move || serial::begin_break(held.as_fd(), LAST_BYTES)).await;
        match begun.map_err(io::Error::other)? {
            Ok(()) => self.in_break.store(true, Ordering::Relaxed),
            Err(error) if serial::is_gone(&error) => return Err(error),
            // EINTR: the hardware does not get rid of its bytes. Others: adapters without a break.
            Err(_) => {}
        }
        Ok(())
    }

    async fn change(&self, change: Change) -> io::Result<State> {
        let fd = self.fd()?;
        let state = self.set(fd.as_fd(), &change).map_err(gone)?;
        if change.brk != Some(true) || !self.abilities.is_real || self.in_break.load(Ordering::Relaxed) {
            return Ok(state);
        }
        self.begin_break(&fd).await.map_err(gone)?;
        self.read(fd.as_fd()).map_err(gone)
    }
}

/// Just the purges of a change.
fn purges(change: &Change) -> Change {
    Change { purge_in: change.purge_in, purge_out: change.purge_out, ..Change::default() }
}

/// Only a port that is gone is an error: of what a driver cannot do, the state tells.
fn tolerated(result: io::Result<()>) -> io::Result<()> {
    result.or_else(|error| if serial::is_gone(&error) { Err(error) } else { Ok(()) })
}

impl Line for Uart {
    fn change(&self, change: Change) -> BoxFuture<'static, io::Result<State>> {
        let inner = Arc::clone(&self.0);
        Box::pin(async move { inner.change(change).await })
    }

    fn state(&self) -> State {
        let read = self.0.fd().and_then(|fd| self.0.read(fd.as_fd()));
        read.unwrap_or_else(|_| self.0.imagined.state())
    }

    fn watch(&self) -> mpsc::Receiver<Event> {
        if !self.0.abilities.has_lines {
            return self.0.imagined.watch();
        }
        let receiver = self.0.watchers.add();
        Watch::start(&self.0);
        receiver
    }

    fn is_real(&self) -> bool {
        self.0.abilities.is_real
    }
}

#[cfg(test)]
#[path = "uart_tests.rs"]
mod tests;
