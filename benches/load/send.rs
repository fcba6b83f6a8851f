//! Bulk: as many bytes as go through, each counted at the far end.

use std::net::Shutdown;
use std::ops::AddAssign;
use std::time::{Duration, Instant};

use nix::sys::epoll::EpollFlags;
use socket2::Socket;

use crate::Failure;
use crate::load::arguments::Arguments;
use crate::load::endpoint::{Endpoint, Service, Tally, Waiter, nothing_ready, transmit};
use crate::load::json::Object;
use crate::load::pattern;

struct Stream {
    socket: Socket,
    sent: u64,
    broken: bool,
}

/// What a run of bulk streams came to.
#[derive(Default)]
pub struct Outcome {
    pub streams: u64,
    /// Bytes that arrived, over all streams.
    pub bytes: u64,
    /// From the first byte to the last answer.
    pub elapsed: Duration,
    /// Streams of which not every byte arrived, or not as it was sent, or whose count never came back.
    pub bad: u64,
}

impl Outcome {
    pub fn describe(&self) -> Object {
        Object::default()
            .number("streams", self.streams)
            .number("bytes", self.bytes)
            .seconds("seconds", self.elapsed)
            .number("bad", self.bad)
    }
}

/// Runs beside each other: what they moved together, in the time of the longest.
impl AddAssign for Outcome {
    fn add_assign(&mut self, other: Self) {
        self.streams += other.streams;
        self.bytes += other.bytes;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.bad += other.bad;
    }
}

/// Streams that are open and have sent nothing yet.
pub struct Bulk {
    streams: Vec<Stream>,
    waiter: Waiter,
}

impl Bulk {
    /// Opens `count` streams, each up to the far end.
    pub fn open(endpoint: &Endpoint, count: usize, service: Service) -> Result<Self, Failure> {
        let waiter = Waiter::new()?;
        let mut streams = Vec::new();
        for token in 0..count {
            let socket = endpoint.open(service)?;
            waiter.add(&socket, token, EpollFlags::EPOLLOUT)?;
            streams.push(Stream { socket, sent: 0, broken: false });
        }
        Ok(Self { streams, waiter })
    }

    /// Sends for at most `limit`, at most `bytes` on each stream, then ends every stream and waits until all
    /// of it has arrived.
    pub fn run(mut self, limit: Duration, bytes: u64) -> Result<Outcome, Failure> {
        let start = Instant::now();
        let mut ready = nothing_ready();
        let mut sending = self.streams.len();
        while sending > 0 && start.elapsed() < limit {
            for token in self.waiter.wait(&mut ready, 100)? {
                let stream = &mut self.streams[token];
                if !stream.turn(bytes) {
                    self.waiter.remove(&stream.socket)?;
                    sending -= 1;
                }
            }
        }
        for stream in &mut self.streams {
            stream.broken |= stream.socket.shutdown(Shutdown::Write).is_err();
        }
        let mut outcome = Outcome { streams: self.streams.len() as u64, bytes: 0, elapsed: Duration::ZERO, bad: 0 };
        for stream in &self.streams {
            let tally = Tally::read(&stream.socket).unwrap_or_default();
            outcome.bytes += tally.bytes;
            let whole = Tally { bytes: stream.sent, faults: 0 };
            outcome.bad += u64::from(stream.broken || tally != whole);
        }
        outcome.elapsed = start.elapsed();
        Ok(outcome)
    }
}

impl Stream {
    /// Writes once; false when there is nothing more to write.
    fn turn(&mut self, bytes: u64) -> bool {
        let chunk = pattern::at(self.sent);
        let rest = usize::try_from(bytes - self.sent).unwrap_or(usize::MAX).min(chunk.len());
        match transmit(&self.socket, &chunk[..rest]) {
            Ok(count) => self.sent += count.unwrap_or(0) as u64,
            Err(_) => self.broken = true,
        }
        !self.broken && self.sent < bytes
    }
}

/// Sends `--streams` streams to `--to` for `--for` seconds, or `--bytes` on each; `--sink light` is a far end
/// that costs as little as can be.
pub fn send(arguments: &mut Arguments) -> Result<(), Failure> {
    let endpoint: Endpoint = arguments.required("to")?;
    let streams = arguments.or("streams", 1)?;
    let limit = arguments.seconds("for", 2.0)?;
    let bytes = arguments.or("bytes", u64::MAX)?;
    let service = match arguments.or("sink", "copying".to_owned())?.as_str() {
        "copying" => Service::Sink,
        "light" => Service::LightSink,
        other => return Err(format!("a sink is copying or light, not {other:?}").into()),
    };
    arguments.finish()?;
    Bulk::open(&endpoint, streams, service)?.run(limit, bytes)?.describe().print()
}
