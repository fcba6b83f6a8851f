//! CHANNEL <-> CHANNEL: two channels become a session of two independent directions.
//!
//! Nothing here names an endpoint. [`Relay::run`] opens the plans, serves them ([`serve`]: retry, fork,
//! max-children), runs a session for each pair of channels and adds up the [`Report`].

mod background;
mod capturing;
mod clock;
mod copy;
mod direction;
mod ending;
mod lock;
mod open;
mod report;
mod serve;
mod session;
mod sessions;
mod share;
mod splice;
mod stop;
mod turns;

use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use background::{Background, Ending, Host, Outcome, panicked};
pub use lock::LockFile;
pub use report::{Ended, Flow, Report, Totals};
pub use stop::{Stop, Stopping};

pub use crate::channel::reconnect::Outages;

use crate::capture::{self, Capture};
use crate::channel::Tap;
use crate::endpoint::{Listening, Plan};
use crate::log::Log;

/// Two checked addresses and how to relay between them.
pub struct Relay {
    /// Opened first.
    pub left: Plan,
    /// Opened second, once for each connection of `left`.
    pub right: Plan,
    /// How.
    pub settings: Settings,
    /// Where events go.
    pub log: Log,
    /// What was moved so far, over all sessions; may be read at any time.
    pub totals: Arc<Totals>,
    /// What the relay listens on, as far as it has come.
    pub listening: Arc<Listening>,
    /// Wakes sessions that have been silent for as long as they may.
    clock: Arc<clock::Clock>,
    /// Directions in bulk, one after the other.
    turns: Arc<turns::Turns>,
    /// Signals passed on to programs.
    signals: tokio::sync::broadcast::Sender<i32>,
    /// What is being captured into, while the relay runs.
    capture: Mutex<Option<Capture>>,
}

impl Relay {
    /// A relay between two checked addresses. Nothing is opened before [`Relay::run`].
    pub fn new(left: Plan, right: Plan, settings: Settings, log: Log) -> Self {
        let signals = tokio::sync::broadcast::Sender::new(8);
        Self {
            left,
            right,
            settings,
            log,
            totals: Arc::default(),
            listening: Arc::default(),
            clock: Arc::default(),
            turns: Arc::default(),
            signals,
            capture: Mutex::default(),
        }
    }
}

/// Which ways bytes are moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ways {
    /// Both.
    #[default]
    Both,
    /// From the left endpoint to the right one only (`-u`).
    LeftToRight,
    /// From the right endpoint to the left one only (`-U`).
    RightToLeft,
}

/// How to relay.
#[derive(Clone, Default)]
pub struct Settings {
    /// Which ways.
    pub ways: Ways,
    /// How long the other direction may stay silent after one has ended; `None` waits for its end.
    pub linger: Option<Duration>,
    /// How long both directions may stay silent; `None` waits for ever.
    pub idle: Option<Duration>,
    /// Bytes per read, exactly; `None` adapts to the traffic.
    pub buffer: Option<usize>,
    /// What is shown the bytes from left to right.
    pub taps_right: Vec<Arc<dyn Tap>>,
    /// What is shown the bytes from right to left.
    pub taps_left: Vec<Arc<dyn Tap>>,
    /// Where the bytes of all sessions are kept, each time the relay runs.
    pub capture: Option<capture::Settings>,
    /// An error is logged, but what can go on goes on (`-s`).
    pub sloppy: bool,
    /// Variables for every child, without the program's prefix (`VERSION`, `PID`, `PPID`).
    pub environment: Vec<(&'static str, std::ffi::OsString)>,
    /// The program's name, see [`crate::endpoint::Defaults::program`].
    pub program: String,
    /// Called once, with the descriptors, before bytes are moved (`-D`).
    pub before_transfer: Option<Arc<dyn Fn() + Send + Sync>>,
    /// Pause of each session of a listener that serves many, so that a debugger can attach.
    pub session_wait: Duration,
}
