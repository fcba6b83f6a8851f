//! Ping-pong: a few bytes there and back, the next only after the last has returned.

use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

use socket2::Socket;

use crate::Failure;
use crate::load::arguments::Arguments;
use crate::load::endpoint::{Endpoint, Service};
use crate::load::json::Object;

/// Times, and what share of them was shorter than what.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    pub fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds `count`, `p50`, `p99`, `p999` and `max`, all but the first in seconds.
    pub fn describe(mut self, object: Object) -> Object {
        self.0.sort_unstable();
        object
            .number("count", self.len() as u64)
            .seconds("p50", self.share(500))
            .seconds("p99", self.share(990))
            .seconds("p999", self.share(999))
            .seconds("max", self.share(1000))
    }

    /// The time `thousandths` of all were not longer than; the times are sorted.
    fn share(&self, thousandths: usize) -> Duration {
        let rank = (self.0.len() * thousandths).div_ceil(1000);
        self.0.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// One connection to an echo.
pub struct PingPong {
    socket: Socket,
    message: Vec<u8>,
    answer: Vec<u8>,
}

impl PingPong {
    pub fn open(endpoint: &Endpoint, size: usize) -> Result<Self, Failure> {
        let socket = endpoint.open(Service::Echo)?;
        let message = b"ferrule!".iter().copied().cycle().take(size).collect();
        Ok(Self { socket, message, answer: vec![0; size] })
    }

    /// One message there and back.
    pub fn turn(&mut self) -> Result<Duration, Failure> {
        let start = Instant::now();
        (&self.socket).write_all(&self.message)?;
        (&self.socket).read_exact(&mut self.answer)?;
        let time = start.elapsed();
        if self.answer != self.message {
            return Err("the echo is not what was sent".into());
        }
        Ok(time)
    }

    /// Turns for as long as `more` says so.
    pub fn run(&mut self, mut more: impl FnMut(&Times) -> bool) -> Result<Times, Failure> {
        let mut times = Times::default();
        while more(&times) {
            let time = self.turn()?;
            times.push(time);
        }
        Ok(times)
    }
}

/// Sends `--size` bytes there and back for `--for` seconds, at most `--count` times.
pub fn latency(arguments: &mut Arguments) -> Result<(), Failure> {
    let endpoint: Endpoint = arguments.required("to")?;
    let size = arguments.or("size", 1)?;
    let limit = arguments.seconds("for", 2.0)?;
    let count = arguments.or("count", 1_000_000)?;
    arguments.finish()?;
    let mut ping_pong = PingPong::open(&endpoint, size)?;
    let unmeasured = (count / 10).min(1000); // caches, and a relay's choice of its way
    for _ in 0..unmeasured {
        ping_pong.turn()?;
    }
    let end = Instant::now() + limit;
    let times = ping_pong.run(|times| times.len() < count && Instant::now() < end)?;
    let turns = (unmeasured + times.len()) as u64;
    times.describe(Object::default().number("turns", turns)).print()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_ranks() {
        let times = Times((1..=200).map(Duration::from_millis).collect());
        assert_eq!(times.share(500), Duration::from_millis(100));
        assert_eq!(times.share(990), Duration::from_millis(198));
        assert_eq!(times.share(1000), Duration::from_millis(200));
        assert_eq!(Times::default().share(500), Duration::ZERO);
    }
}
