//! Ping-pong beside bulk, through the same relay.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::Failure;
use crate::load::arguments::Arguments;
use crate::load::endpoint::{Endpoint, Service};
use crate::load::latency::PingPong;
use crate::load::send::{Bulk, Outcome};

/// Sends `--streams` bulk streams to `--to` for `--for` seconds, and meanwhile `--size` bytes there and back.
pub fn mixed(arguments: &mut Arguments) -> Result<(), Failure> {
    let endpoint: Endpoint = arguments.required("to")?;
    let streams = arguments.or("streams", 4)?;
    let size = arguments.or("size", 64)?;
    let limit = arguments.seconds("for", 2.0)?;
    arguments.finish()?;
    let mut ping_pong = PingPong::open(&endpoint, size)?;
    let bulks = (0..streams).map(|_| Bulk::open(&endpoint, 1, Service::Sink)).collect::<Result<Vec<_>, _>>()?;
    let over = AtomicBool::new(false);
    let (outcomes, times) = std::thread::scope(|scope| {
        let senders: Vec<_> = bulks
            .into_iter()
            .map(|bulk| {
                scope.spawn(|| {
                    let outcome = bulk.run(limit, u64::MAX);
                    over.store(true, Ordering::Relaxed);
                    outcome
                })
            })
            .collect();
        let times = ping_pong.run(|_| !over.load(Ordering::Relaxed));
        let outcomes: Vec<_> = senders.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        (outcomes, times)
    });
    let mut sum = Outcome::default();
    for outcome in outcomes {
        sum += outcome.map_err(|_| "a sender panicked")??;
    }
    times?.describe(sum.describe()).print()
}
