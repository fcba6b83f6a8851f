//! A channel that is opened again when it ends (`reconnect`), while its other side goes on.
//!
//! [`channel`] puts a source and a sink around those of the channel that is open at the moment. When one of them
//! ends or fails the channel is closed at once, and what opens another one ([`Reopen`]) is polled by both ends,
//! so that dropping them is cancelling in every state. Meanwhile what is written is kept up to a bound, then not
//! taken any more; it is delivered first when a channel is back.
//!
//! What the kernel has accepted for a channel that is lost may never have arrived: nobody tells. Only what it has
//! not accepted is written again.

mod ends;
mod line;
mod outages;
mod shared;
mod wakers;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use self::ends::{HeldSink, HeldSource};
use self::line::{KeptControl, KeptLine};
pub use self::outages::{OutageTally, Outages};
use self::shared::{Open, Present, Shared};
use self::wakers::Wakers;
use super::Channel;
use crate::endpoint::BoxFuture;
use crate::log::Log;

/// Opens a channel again.
pub trait Reopen: Send + Sync {
    /// Waits for another channel, for as long as the future lives. `settled` says that the lost one had been of
    /// use: pauses between attempts begin small again.
    fn reopen(&self, settled: bool) -> BoxFuture<'static, Channel>;
}

/// How a channel is held while it is away.
pub struct Hold {
    /// Opens it again.
    pub reopen: Box<dyn Reopen>,
    /// How long its other side is held; for ever when `None`. Zero holds nothing.
    pub limit: Option<Duration>,
    /// How many bytes written meanwhile are kept.
    pub buffer: usize,
    /// What is written meanwhile is dropped.
    pub discard: bool,
    /// Both ends are in use: a channel that can no longer be written to is read to its end.
    pub reads: bool,
    /// What the log calls it: the address.
    pub name: String,
    /// What is said of it when it ends: `device gone`.
    pub loss: &'static str,
    /// Where events go.
    pub log: Log,
    /// Where outages are counted.
    pub tally: Arc<OutageTally>,
}

/// A channel around `first` and those that take its place.
pub fn channel(mut first: Channel, hold: Hold) -> Channel {
    let wakers = Arc::<Wakers>::default();
    let messages = (
        first.source.as_ref().is_some_and(|source| source.in_messages()),
        first.sink.as_ref().is_some_and(|sink| sink.in_messages()),
    );
    let outer = Channel {
        environment: std::mem::take(&mut first.environment),
        line_end: first.line_end,
        end_close: first.end_close,
        cool_write: first.cool_write,
        ..Channel::default()
    };
    let line = first.line.take().map(|line| KeptLine::new(line, Arc::clone(&wakers)));
    let control = first.control.take().map(KeptControl::new);
    let (reads, writes) = (first.source.is_some(), first.sink.is_some());
    let shared = Shared {
        present: Present::Here(Box::new(Open::new(first, None))),
        shut: false,
        // Messages would be joined.
        room: if messages.1 { 0 } else { hold.buffer },
        hold,
        kept: VecDeque::new(),
        saved: VecDeque::new(),
        dropped: 0,
        discarded: 0,
        line: line.clone(),
        control: control.clone(),
        wakers,
    };
    let shared = Arc::new(Mutex::new(shared));
    Channel {
        source: reads.then(|| Box::new(HeldSource { shared: Arc::clone(&shared), messages: messages.0 }) as _),
        sink: writes.then(|| Box::new(HeldSink { shared, messages: messages.1 }) as _),
        line: line.map(|line| Arc::new(line) as _),
        control: control.map(|control| Arc::new(control) as _),
        ..outer
    }
}
