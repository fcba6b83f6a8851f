//! Signals, taken by a thread of their own: whatever the relay is doing, a signal is seen at once, and the
//! second one ends the process even when a blocked write holds everything else up.
//!
//! The first signal that ends the relay stops reading and accepting; what was read is still written. After a
//! short grace, or with the next signal, everything is dropped.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::log::{Level, Log};
use crate::notice;
use crate::relay::{Stop, Stopping};
use crate::sys::disposition;

/// Signals with another meaning here, or that nobody can catch.
const OTHERS: [Signal; 6] =
    [Signal::SIGKILL, Signal::SIGSTOP, Signal::SIGPIPE, Signal::SIGCHLD, Signal::SIGCONT, Signal::SIGUSR1];

/// How long a relay that is told to drop everything may take to do so.
const LAST_RESORT: Duration = Duration::from_millis(300);

/// What is done about signals.
pub struct Orders {
    /// Where they are told.
    pub log: Log,
    /// Stops the relay.
    pub stop: Stop,
    /// How long what was read may still be written.
    pub grace: Duration,
    /// Passes a signal on to programs whose options ask for it; true if one took it.
    pub pass: Box<dyn Fn(i32) -> bool + Send>,
    /// Shows the statistics.
    pub statistics: Box<dyn Fn() + Send>,
    /// Cleans up what must not stay behind when the process has to leave at once.
    pub abandon: Box<dyn Fn() + Send>,
}

/// The thread, and the signals the process leaves to it.
pub struct Signals {
    caught: Arc<AtomicI32>,
    /// Closed to end the thread.
    open: Option<OwnedFd>,
    thread: Option<JoinHandle<()>>,
    before: SigSet,
}

impl Signals {
    /// Takes the signals of `mask` (bit n stands for signal n) and SIGUSR1. A fault of the program's own (SIGSEGV
    /// and the like) ends it all the same: the kernel does not leave those blocked. Has to be called before other
    /// threads are started, which inherit what is blocked.
    pub fn take(mask: u64, orders: Orders) -> io::Result<Self> {
        let mut set = caught_signals(mask);
        // An interpreter around us has its own way with SIGINT, which would never be heard.
        if !set.contains(Signal::SIGINT) && !disposition::is_ignored(Signal::SIGINT) {
            disposition::default(Signal::SIGINT)?;
        }
        // A shell ignores SIGINT and SIGQUIT of background jobs, yet socat(1) catches them, and scripts end
        // it that way. SIGHUP stays ignored: that is what nohup(1) is for.
        if disposition::is_ignored(Signal::SIGHUP) {
            set.remove(Signal::SIGHUP);
        }
        let before = set.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        // From here on the drop restores the mask.
        let mut signals = Self { caught: Arc::default(), open: None, thread: None, before };
        let source = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        let (closed, open) = crate::sys::io::pipe()?;
        let watch = Watch { source, closed, caught: Arc::clone(&signals.caught), orders };
        signals.open = Some(open);
        signals.thread = Some(std::thread::Builder::new().name("signals".to_owned()).spawn(move || watch.run())?);
        Ok(signals)
    }

    /// The signal that ended the relay.
    pub fn caught(&self) -> Option<i32> {
        Some(self.caught.load(Ordering::Acquire)).filter(|signal| *signal != 0)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.open = None;
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been shown by the panic hook.
            let _ = thread.join();
        }
        // The set was the thread's own; setting it again cannot fail.
        let _ = self.before.thread_set_mask();
    }
}

fn caught_signals(mask: u64) -> SigSet {
    let chosen = |signal: Signal| mask >> (signal as i32) & 1 == 1;
    let mut set: SigSet = Signal::iterator()
        .filter(|signal| chosen(*signal) && !OTHERS.contains(signal))
        .collect();
    set.add(Signal::SIGUSR1);
    set
}

struct Watch {
    source: SignalFd,
    closed: OwnedFd,
    caught: Arc<AtomicI32>,
    orders: Orders,
}

enum Event {
    Signal(i32),
    Elapsed,
    Closed,
}

impl Watch {
    fn run(self) {
        let mut deadline = None;
        loop {
            match self.next(deadline) {
                Event::Closed => return,
                Event::Signal(number) if number == Signal::SIGUSR1 as i32 => (self.orders.statistics)(),
                Event::Signal(number) => deadline = self.end(number).or(deadline),
                Event::Elapsed => deadline = Some(self.press()),
            }
        }
    }

    /// Acts on a signal; the result is when to press on.
    fn end(&self, number: i32) -> Option<Instant> {
        let log = &self.orders.log;
        notice!(log, "socat_signal(): handling signal {number}");
        if self.caught.load(Ordering::Acquire) != 0 {
            return Some(self.press());
        }
        if (self.orders.pass)(number) {
            notice!(log, "socat_signal(): passed signal {number} on");
            return None;
        }
        log.write(level_of(number), format_args!("exiting on signal {number}"));
        self.caught.store(number, Ordering::Release);
        self.orders.stop.stop();
        notice!(log, "socat_signal(): finishing signal {number}");
        Some(Instant::now() + self.orders.grace)
    }

    /// The relay has had its time: first everything is dropped, then the process is left.
    fn press(&self) -> Instant {
        if self.orders.stop.state() == Stopping::Abort {
            (self.orders.abandon)();
            disposition::leave(128 + self.caught.load(Ordering::Acquire));
        }
        self.orders.stop.abort();
        Instant::now() + LAST_RESORT
    }

    fn next(&self, deadline: Option<Instant>) -> Event {
        loop {
            let timeout = match deadline {
                Some(deadline) => remaining(deadline),
                None => PollTimeout::NONE,
            };
            let mut set = [
                PollFd::new(self.closed.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.source.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut set, timeout) {
                Ok(0) => return Event::Elapsed,
                Ok(_) if set[0].any() == Some(true) => return Event::Closed,
                Ok(_) => {
                    if let Ok(Some(signal)) = self.source.read_signal() {
                        return Event::Signal(i32::try_from(signal.ssi_signo).unwrap_or(0));
                    }
                }
                Err(Errno::EINTR) => {}
                // Without poll nothing can be waited for: the kernel's default actions are all that is left.
                Err(_) => return Event::Closed,
            }
        }
    }
}

/// The time left, rounded up: poll(2) counts milliseconds, and must not spin through the last one.
fn remaining(deadline: Instant) -> PollTimeout {
    let left = deadline.saturating_duration_since(Instant::now()) + Duration::from_micros(999);
    PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
}

/// How grave the end by a signal is; see socat(1), SIGNALS.
fn level_of(number: i32) -> Level {
    match Signal::try_from(number) {
        Ok(Signal::SIGHUP | Signal::SIGINT) => Level::Notice,
        Ok(Signal::SIGTERM) => Level::Warn,
        _ => Level::Error,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// A watch without its thread, so that the process's own signals are left alone.
    fn watch(takes: bool) -> (Watch, Stop, OwnedFd) {
        let stop = Stop::default();
        let orders = Orders {
            log: Log::silent(),
            stop: stop.clone(),
            grace: Duration::from_millis(20),
            pass: Box::new(move |_| takes),
            statistics: Box::new(|| {}),
            abandon: Box::new(|| {}),
        };
        let source = SignalFd::with_flags(&SigSet::empty(), SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC).unwrap();
        let (closed, open) = crate::sys::io::pipe().unwrap();
        (Watch { source, closed, caught: Arc::default(), orders }, stop, open)
    }

    #[test]
    fn the_first_signal_drains_and_the_second_aborts() {
        let (watch, stop, _open) = watch(false);
        assert!(watch.end(15).is_some());
        assert_eq!((stop.state(), watch.caught.load(Ordering::Acquire)), (Stopping::Drain, 15));
        assert!(watch.end(2).is_some());
        // The exit code tells the first one.
        assert_eq!((stop.state(), watch.caught.load(Ordering::Acquire)), (Stopping::Abort, 15));
    }

    #[test]
    fn a_relay_that_does_not_end_in_its_grace_is_aborted() {
        let (watch, stop, _open) = watch(false);
        let deadline = watch.end(15);
        assert!(matches!(watch.next(deadline), Event::Elapsed));
        assert!(Instant::now() >= deadline.unwrap());
        watch.press();
        assert_eq!(stop.state(), Stopping::Abort);
    }

    #[test]
    fn a_signal_that_was_passed_on_ends_nothing() {
        let (watch, stop, _open) = watch(true);
        assert!(watch.end(2).is_none());
        assert_eq!((stop.state(), watch.caught.load(Ordering::Acquire)), (Stopping::No, 0));
    }

    #[test]
    fn the_thread_ends_with_its_owner() {
        let (watch, _stop, open) = watch(false);
        drop(open);
        assert!(matches!(watch.next(None), Event::Closed));
    }

    #[test]
    fn the_mask_says_what_is_caught() {
        let caught = caught_signals(0x89de);
        for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM, Signal::SIGUSR1, Signal::SIGABRT] {
            assert!(caught.contains(signal), "{signal}");
        }
        for signal in [Signal::SIGUSR2, Signal::SIGPIPE, Signal::SIGCHLD] {
            assert!(!caught.contains(signal), "{signal}");
        }
        assert!(!caught_signals(0).contains(Signal::SIGTERM));
        assert!(caught_signals(1 << 12).contains(Signal::SIGUSR2));
        assert!(!caught_signals(u64::MAX).contains(Signal::SIGKILL));
    }

    #[test]
    fn levels_are_the_ones_scripts_know() {
        let level = |signal: Signal| level_of(signal as i32);
        assert_eq!(level(Signal::SIGINT), Level::Notice);
        assert_eq!(level(Signal::SIGTERM), Level::Warn);
        assert_eq!(level(Signal::SIGQUIT), Level::Error);
    }
}
