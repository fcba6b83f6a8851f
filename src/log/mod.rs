//! Events -> sinks: what happened, how grave it is, and where it is written.
//!
//! A [`Log`] is cheap to clone and is handed down the flow; there is no global logger, so that several
//! relays of one process can log to different places.

mod json;
mod line;
mod syslog;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

pub use json::Json;
pub use line::{Format, JsonFormat, LineFormat};
pub use syslog::{Facility, MixedSink, SyslogSink};
pub use writer::{WriterSink, write_whole};

/// How grave an event is. The letters are socat's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// Every step.
    Debug,
    /// What an experienced user may want to know.
    Info,
    /// What every user may want to know: connections, starts, ends.
    Notice,
    /// Something odd, the work goes on.
    Warn,
    /// Something failed; the relay or the session ends.
    Error,
    /// The process ends at once.
    Fatal,
}

impl Level {
    /// The letter of a log line.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Debug => 'D',
            Self::Info => 'I',
            Self::Notice => 'N',
            Self::Warn => 'W',
            Self::Error => 'E',
            Self::Fatal => 'F',
        }
    }

    /// The word for programs.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Notice => "notice",
            Self::Warn => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }

    const fn from_index(index: u8) -> Self {
        match index {
            0 => Self::Debug,
            1 => Self::Info,
            2 => Self::Notice,
            3 => Self::Warn,
            4 => Self::Error,
            _ => Self::Fatal,
        }
    }

    /// This level lowered by `steps`; errors of a forked session can be made warnings that way.
    #[must_use]
    pub fn lowered(self, steps: u8) -> Self {
        Self::from_index((self as u8).saturating_sub(steps))
    }
}

/// Where events go.
pub trait Sink: Send + Sync {
    /// Takes one event; must not block the relay for longer than a write(2).
    fn write(&self, level: Level, message: &str);
    /// The transfer begins: a sink that logs elsewhere during start-up switches over.
    fn started(&self) {}
}

impl<T: Sink + ?Sized> Sink for Arc<T> {
    fn write(&self, level: Level, message: &str) {
        (**self).write(level, message);
    }

    fn started(&self) {
        (**self).started();
    }
}

/// The handle events are given to.
#[derive(Clone)]
pub struct Log {
    shared: Arc<Shared>,
    /// Steps by which this handle's events are lowered (`children-shutup`).
    lowered: u8,
}

struct Shared {
    level: AtomicU8,
    sink: Box<dyn Sink>,
}

impl Log {
    /// A log that shows events of `level` and graver ones on `sink`.
    pub fn new(level: Level, sink: Box<dyn Sink>) -> Self {
        Self { shared: Arc::new(Shared { level: AtomicU8::new(level as u8), sink }), lowered: 0 }
    }

    /// A log that shows nothing.
    pub fn silent() -> Self {
        struct Nowhere;
        impl Sink for Nowhere {
            fn write(&self, _: Level, _: &str) {}
        }
        let log = Self::new(Level::Fatal, Box::new(Nowhere));
        log.shared.level.store(Level::Fatal as u8 + 1, Ordering::Relaxed);
        log
    }

    /// The same log with every event's level lowered by `steps`.
    #[must_use]
    pub fn lowered(&self, steps: u8) -> Self {
        Self { shared: Arc::clone(&self.shared), lowered: self.lowered.saturating_add(steps) }
    }

    /// Whether an event of `level` would be shown; ask before formatting costly messages.
    #[inline]
    pub fn enabled(&self, level: Level) -> bool {
        level.lowered(self.lowered) as u8 >= self.shared.level.load(Ordering::Relaxed)
    }

    /// Shows one event.
    pub fn write(&self, level: Level, message: fmt::Arguments<'_>) {
        if self.enabled(level) {
            self.shared.sink.write(level.lowered(self.lowered), &message.to_string());
        }
    }

    /// Shows one event whatever the verbosity (statistics).
    pub fn always(&self, level: Level, message: fmt::Arguments<'_>) {
        self.shared.sink.write(level, &message.to_string());
    }

    /// Tells the sink that the transfer begins.
    pub fn started(&self) {
        self.shared.sink.started();
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("lowered", &self.lowered).finish_non_exhaustive()
    }
}

/// Shows an event at level D.
#[macro_export]
macro_rules! debug { ($log:expr, $($arg:tt)*) => { $log.write($crate::log::Level::Debug, format_args!($($arg)*)) } }
/// Shows an event at level I.
#[macro_export]
macro_rules! info { ($log:expr, $($arg:tt)*) => { $log.write($crate::log::Level::Info, format_args!($($arg)*)) } }
/// Shows an event at level N.
#[macro_export]
macro_rules! notice { ($log:expr, $($arg:tt)*) => { $log.write($crate::log::Level::Notice, format_args!($($arg)*)) } }
/// Shows an event at level W.
#[macro_export]
macro_rules! warning { ($log:expr, $($arg:tt)*) => { $log.write($crate::log::Level::Warn, format_args!($($arg)*)) } }
/// Shows an event at level E.
#[macro_export]
macro_rules! failure { ($log:expr, $($arg:tt)*) => { $log.write($crate::log::Level::Error, format_args!($($arg)*)) } }
