//! What the hub knows of one client.

use std::sync::Arc;
use std::task::Waker;

use crate::line::Watchers;
use crate::relay::stop::Stop;

/// What is known of a client.
#[expect(clippy::struct_excessive_bools, reason = "each stands for itself; no two exclude each other")]
pub struct Seat {
    /// Its descriptor, for the log.
    pub descriptor: i32,
    /// Whoever reads for it.
    pub waker: Option<Waker>,
    /// The same, while it cannot read since it has still to write.
    pub stuck: Option<Waker>,
    /// Closes it.
    pub stop: Stop,
    /// Those who watch the line for it.
    pub watchers: Arc<Watchers>,
    /// Bytes of the device it did not get.
    pub missed: u64,
    /// Bytes of its own that the device did not get.
    pub refused: u64,
    /// It does not keep up.
    pub is_late: bool,
    /// It is told nothing more.
    pub is_dismissed: bool,
    /// Its data has ended.
    pub has_ended: bool,
    /// It wants nothing of what was said so far.
    pub purges: bool,
}

impl Seat {
    pub fn new(descriptor: i32, stop: Stop) -> Self {
        Self {
            descriptor,
            waker: None,
            stuck: None,
            stop,
            watchers: Arc::default(),
            missed: 0,
            refused: 0,
            is_late: false,
            is_dismissed: false,
            has_ended: false,
            purges: false,
        }
    }

    /// The client's name in the log.
    pub fn name(&self, client: u64) -> String {
        format!("client {client} (fd {})", self.descriptor)
    }

    /// What it lost, with what it misses in leaving.
    pub fn losses(&self, left: u64) -> String {
        let missed = (self.missed + left, "it missed");
        let refused = (self.refused, "it was not allowed to write");
        let lost = [missed, refused].into_iter().filter(|(count, _)| *count > 0);
        lost.map(|(count, what)| format!("; {what} {count} bytes")).collect::<Vec<_>>().concat()
    }
}
