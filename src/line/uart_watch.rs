//! Somebody who watches the modem lines of a port, on a thread of its own, as long as anybody wants to know.
//!
//! The kernel tells of a change by ending a call that blocks (`TIOCMIWAIT` of `ioctl_tty(2)`), which an alarm
//! interrupts at times: to see whether anybody still wants to know, and to look, since some drivers never end the
//! call, and none does for faults.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::uart::Inner;
use super::{Event, Faults, Modem};
use crate::sys::alarm::{Alarm, Sleeper};
use crate::sys::serial::{self, Counts, Lines};

/// Time between two looks as long as the kernel has not told of any change by itself.
const LOOK: Duration = Duration::from_millis(20);
/// The same once it has.
const SELDOM: Duration = Duration::from_millis(100);

/// The thread, if there is one.
#[derive(Debug, Default)]
pub(super) struct Watch(Mutex<Running>);

#[derive(Debug, Default)]
enum Running {
    #[default]
    No,
    Starting,
    Yes(Sleeper),
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Running> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the thread, if there is none.
    pub fn start(inner: &Arc<Inner>) {
        let mut running = inner.watch.lock();
        if !matches!(*running, Running::No) {
            return;
        }
        // From here on no change is missed, whenever the thread comes to run.
        let Ok(seen) = inner.fd().and_then(|fd| Seen::look(fd.as_fd(), inner)) else { return };
        let held = Arc::clone(inner);
        let watch = move || {
            // A port that is gone has nothing to tell: whoever reads it finds out.
            if look_out(&held, seen).is_err() {
                *held.watch.lock() = Running::No;
            }
        };
        if std::thread::Builder::new().name("modem lines".to_owned()).spawn(watch).is_ok() {
            *running = Running::Starting;
        }
    }

    /// Has the thread look whether it is still wanted, at once.
    pub fn stop(&self) {
        let running = self.lock();
        if let Running::Yes(sleeper) = *running {
            // It cannot have ended: for that it needs the lock.
            sleeper.wake();
        }
    }

    /// Whether the thread is to end; if so it counts as ended.
    fn ends(inner: &Inner) -> bool {
        let mut running = inner.watch.lock();
        let ends = !inner.watchers.any();
        if ends {
            *running = Running::No;
        }
        ends
    }
}

/// What was seen at one look.
struct Seen {
    lines: Modem,
    counts: Option<Counts>,
}

impl Seen {
    fn look(fd: BorrowedFd<'_>, inner: &Inner) -> io::Result<Self> {
        let counts = if inner.abilities.counts { Some(Counts::read(fd)?) } else { None };
        Ok(Self { lines: Lines::read(fd)?.modem(), counts })
    }

    /// Tells what has changed; true if a line has.
    fn tell(&self, before: &Self, inner: &Inner) -> bool {
        let moved = match (&self.counts, &before.counts) {
            (Some(now), Some(then)) => now.moved_since(then),
            _ => Modem::default(),
        };
        let differing = self.lines.differing(before.lines);
        let changed = Modem {
            cts: moved.cts || differing.cts,
            dsr: moved.dsr || differing.dsr,
            ri: moved.ri || differing.ri,
            dcd: moved.dcd || differing.dcd,
        };
        let is_change = changed != Modem::default();
        if is_change {
            inner.watchers.tell(Event::Modem { now: self.lines, changed });
        }
        if let (Some(now), Some(then)) = (&self.counts, &before.counts) {
            let faults = now.faults_since(then);
            if faults != Faults::default() {
                inner.watchers.tell(Event::Faults(faults));
            }
        }
        is_change
    }
}

/// Watches until nobody wants to know any more, or the port is closed or gone.
fn look_out(inner: &Inner, mut seen: Seen) -> io::Result<()> {
    let alarm = Alarm::every(LOOK)?;
    *inner.watch.lock() = Running::Yes(alarm.sleeper());
    let mut is_told = true;
    loop {
        if Watch::ends(inner) {
            return Ok(());
        }
        // Held during the call only, so that a port that is closed is closed soon.
        let fd = inner.fd()?;
        let told = is_told.then(|| serial::wait_for_change(fd.as_fd()));
        let by_itself = matches!(told, Some(Ok(())));
        match told {
            Some(Err(error)) if serial::is_missing(&error) => is_told = false,
            Some(Err(error)) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            Some(_) => {}
            None => std::thread::sleep(LOOK),
        }
        let now = Seen::look(fd.as_fd(), inner)?;
        if now.tell(&seen, inner) && by_itself {
            alarm.ring_every(SELDOM)?;
        }
        seen = now;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::Uart;
    use super::*;
    use crate::sys::terminal::open_pair;

    const CTS: Modem = Modem { cts: true, dsr: false, ri: false, dcd: false };

    #[test]
    fn changes_are_told_once_and_pulses_too() {
        let pair = open_pair().unwrap();
        let uart = Uart::new(pair.slave.as_fd()).unwrap();
        let inner = uart.inner();
        let mut events = inner.watchers.add();
        let seen = |lines, counts| Seen { lines, counts };
        let (none, pulse) = (Counts::default(), Counts::default().with(|counts| counts.cts = 2));
        let table = [
            (seen(CTS, None), seen(CTS, None), None),
            (seen(CTS, None), seen(Modem::default(), None), Some((Modem::default(), CTS))),
            // It changed and changed back: only the counter tells.
            (seen(CTS, Some(none)), seen(CTS, Some(pulse)), Some((CTS, CTS))),
            (seen(CTS, Some(pulse)), seen(CTS, Some(pulse)), None),
        ];
        for (before, now, told) in table {
            assert_eq!(now.tell(&before, inner), told.is_some());
            let told = told.map(|(now, changed)| Event::Modem { now, changed });
            assert_eq!(events.try_recv().ok(), told);
        }
        let faulty = Counts::default().with(|counts| counts.brk = 1);
        assert!(!seen(CTS, Some(faulty)).tell(&seen(CTS, Some(none)), inner), "no line has changed");
        assert_eq!(events.try_recv().ok(), Some(Event::Faults(Faults { brk: true, ..Faults::default() })));
    }

    #[test]
    fn a_device_without_lines_gets_no_thread() {
        let pair = open_pair().unwrap();
        let uart = Uart::new(pair.slave.as_fd()).unwrap();
        let _events = uart.inner().watchers.add();
        Watch::start(uart.inner());
        assert!(matches!(*uart.inner().watch.lock(), Running::No));
    }
}
