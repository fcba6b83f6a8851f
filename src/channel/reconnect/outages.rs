//! How often and how long channels were away, and what became of the bytes written meanwhile.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How often and how long channels that are opened again were away.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outages {
    /// How often one was lost.
    pub count: u64,
    /// How long all of them were away together; an outage counts once it is over.
    pub away: Duration,
    /// Bytes that were written meanwhile, kept, and delivered afterwards.
    pub delivered: u64,
    /// Bytes that were written meanwhile and dropped, as `hold-discard` asks.
    pub discarded: u64,
}

/// Running totals of outages, shared by all channels of a relay.
#[derive(Debug, Default)]
pub struct OutageTally {
    count: AtomicU64,
    micros: AtomicU64,
    delivered: AtomicU64,
    discarded: AtomicU64,
}

impl OutageTally {
    pub(super) fn begin(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self, away: Duration) {
        self.micros.fetch_add(u64::try_from(away.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn deliver(&self, bytes: u64) {
        self.delivered.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn discard(&self, bytes: u64) {
        self.discarded.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What was counted so far.
    pub fn sum(&self) -> Outages {
        Outages {
            count: self.count.load(Ordering::Relaxed),
            away: Duration::from_micros(self.micros.load(Ordering::Relaxed)),
            delivered: self.delivered.load(Ordering::Relaxed),
            discarded: self.discarded.load(Ordering::Relaxed),
        }
    }
}
