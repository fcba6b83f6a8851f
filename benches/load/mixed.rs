//! Ping-pong beside bulk, through the same relay.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::Failure;
use crate::load::arguments::Arguments;
use crate::load::endpoint::{Endpoint, Service};
use crate::load::latency::PingPong;
use crate::load::send::Bulk;

/// Sends `--streams` bulk streams to `--to` for `--for` seconds, and meanwhile `--size` bytes there and back.
pub fn mixed(arguments: &mut Arguments) -> Result<(), Failure> {
    let endpoint: Endpoint = arguments.required("to")?;
    let streams = arguments.or("streams", 4)?;
    let size = arguments.or("size", 64)?;
    let limit = arguments.seconds("for", 2.0)?;
    arguments.finish()?;
    let mut ping_pong = PingPong::open(&endpoint, size)?;
    let bulk = Bulk::open(&endpoint, streams, Service::Sink)?;
    let over = AtomicBool::new(false);
    let (outcome, times) = std::thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let outcome = bulk.run(limit, u64::MAX);
            over.store(true, Ordering::Relaxed);
            outcome
        });
        let times = ping_pong.run(|_| !over.load(Ordering::Relaxed));
        (sender.join(), times)
    });
    let outcome = outcome.map_err(|_| "the bulk thread failed")??;
    times?.describe(outcome.describe()).print()
}
