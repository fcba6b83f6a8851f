//! What was moved, what was not, who ended it and why.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::channel::reconnect::{OutageTally, Outages};
use crate::error::Error;

/// One direction.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flow {
    /// Bytes written to the sink.
    pub bytes: u64,
    /// Blocks they were moved in.
    pub blocks: u64,
    /// Bytes read from the source that could not be written.
    pub undelivered: u64,
    /// Bytes read from the source and dropped because whoever sent them asked for that.
    pub purged: u64,
    /// Bytes read from the source and dropped because an option says so: a client of a shared channel that does
    /// not read in time misses them, or may not write them.
    pub discarded: u64,
}

/// Why a relay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ended {
    /// Every direction came to its end.
    #[default]
    Finished,
    /// One direction had ended and the other was silent for too long (`-t`).
    Lingered,
    /// Both directions were silent for too long (`-T`).
    Idle,
    /// Nobody connected in time (`accept-timeout`).
    NobodyCame,
    /// It was told to stop: Ctrl-C, a signal, `Running.stop()`.
    Stopped,
    /// Something failed; see `error`.
    Failed,
}

impl Ended {
    /// The word for programs and people.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Lingered => "half-close",
            Self::Idle => "idle",
            Self::NobodyCame => "nobody-came",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
        }
    }
}

/// What a relay did.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// From the left endpoint to the right one.
    pub left_to_right: Flow,
    /// From the right endpoint to the left one.
    pub right_to_left: Flow,
    /// Sessions served.
    pub sessions: u64,
    /// Sessions that ended with an error.
    pub failed: u64,
    /// How often and how long channels with `reconnect` were away.
    pub outages: Outages,
    /// Why it ended.
    pub ended: Ended,
    /// The first error.
    pub error: Option<Error>,
    /// How long it took.
    pub duration: Duration,
}

impl Report {
    /// Whether everything read was written and nothing failed.
    pub fn is_success(&self) -> bool {
        self.error.is_none() && self.undelivered() == 0
    }

    /// Bytes read but not written, both ways.
    pub fn undelivered(&self) -> u64 {
        self.left_to_right.undelivered + self.right_to_left.undelivered
    }
}

/// Running totals of one direction, shared by all sessions.
#[derive(Debug, Default)]
pub struct Tally {
    bytes: AtomicU64,
    blocks: AtomicU64,
    undelivered: AtomicU64,
    purged: AtomicU64,
    discarded: AtomicU64,
}

impl Tally {
    /// Counts one block.
    pub fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.blocks.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts bytes as not written after all.
    pub fn take_back(&self, bytes: u64) {
        let less = |written: u64| Some(written.saturating_sub(bytes));
        // It never says no.
        let _ = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Counts bytes that were read but not written.
    pub fn lose(&self, bytes: u64) {
        self.undelivered.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes that were dropped at their sender's wish.
    pub fn purge(&self, bytes: u64) {
        self.purged.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts bytes that were dropped because an option says so.
    pub fn discard(&self, bytes: u64) {
        self.discarded.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn flow(&self) -> Flow {
        Flow {
            bytes: self.bytes.load(Ordering::Relaxed),
            blocks: self.blocks.load(Ordering::Relaxed),
            undelivered: self.undelivered.load(Ordering::Relaxed),
            purged: self.purged.load(Ordering::Relaxed),
            discarded: self.discarded.load(Ordering::Relaxed),
        }
    }
}

/// Running totals, shared by all sessions of a relay.
#[derive(Debug, Default)]
pub struct Totals {
    /// From the left endpoint to the right one.
    pub left_to_right: Tally,
    /// From the right endpoint to the left one.
    pub right_to_left: Tally,
    /// Sessions begun.
    pub sessions: AtomicU64,
    /// Sessions under way.
    pub active: AtomicU64,
    /// Sessions that failed.
    pub failed: AtomicU64,
    /// Channels that were away.
    pub outages: Arc<OutageTally>,
}
