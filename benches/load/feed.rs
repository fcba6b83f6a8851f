//! Serial devices that send at their line's speed, and the clients a relay hands it on to.

use std::collections::VecDeque;
use std::io::{BufRead as _, Write as _};
use std::time::{Duration, Instant};

use nix::sys::epoll::EpollFlags;
use nix::sys::socket::MsgFlags;
use socket2::Socket;

use crate::Failure;
use crate::load::arguments::Arguments;
use crate::load::device::Device;
use crate::load::endpoint::{Endpoint, Ready, Waiter, nothing_ready, receive};
use crate::load::json::Object;
use crate::load::latency::Times;
use crate::load::pattern;

/// How often a device sends, as the driver of a UART does: what has come since the last time.
const TICK: Duration = Duration::from_millis(10);
/// How long the first bytes may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// After so long without any byte the rest is missing.
const SILENCE: Duration = Duration::from_secs(2);
/// The receive buffer of a client that does not read, in bytes: it is to be full soon.
const STALLED_BUFFER: usize = 4096;
/// What each client sends at first, so that it is known when all are served.
const HELLO: u8 = b'!';
/// The most bytes a device is given at once while nothing is measured.
const FILL: usize = 4096;

/// A device while it sends.
struct Sender {
    device: Device,
    /// Bytes the relay could have read.
    given: u64,
    /// When the next piece is due.
    due: Instant,
}

/// A client that reads, and what is on its way to it.
struct Reader {
    socket: Socket,
    sender: usize,
    taken: u64,
    /// Where each piece ended, and when it was given.
    pieces: VecDeque<(u64, Instant)>,
    bad: bool,
}

impl Reader {
    /// Reads what is there, and notes how long each piece took.
    fn turn(&mut self, buffer: &mut [u8], times: &mut Times) -> Result<(), Failure> {
        let Some(count) = receive(&self.socket, buffer, MsgFlags::empty())? else {
            return Ok(());
        };
        if count == 0 {
            return Err("a relay closed a connection".into());
        }
        self.bad |= !pattern::agrees(self.taken, &buffer[..count]);
        self.taken += count as u64;
        while let Some((end, given)) = self.pieces.front()
            && *end <= self.taken
        {
            times.push(given.elapsed());
            self.pieces.pop_front();
        }
        Ok(())
    }
}

/// Everything of one run.
struct Feed {
    senders: Vec<Sender>,
    readers: Vec<Reader>,
    /// How many of the readers, one after the other, belong to each device.
    each: usize,
    /// Bytes that did not fit into a device. A real one would have lost them.
    refused: u64,
    /// Connected, and never read.
    stalled: Vec<Socket>,
    waiter: Waiter,
    ready: Ready,
    buffer: Vec<u8>,
}

impl Feed {
    fn open(devices: usize) -> Result<Self, Failure> {
        let senders = (0..devices)
            .map(|_| Ok(Sender { device: Device::open()?, given: 0, due: Instant::now() }))
            .collect::<Result<Vec<_>, Failure>>()?;
        Ok(Self {
            senders,
            readers: Vec::new(),
            each: 0,
            refused: 0,
            stalled: Vec::new(),
            waiter: Waiter::new()?,
            ready: nothing_ready(),
            buffer: vec![0; pattern::CHUNK],
        })
    }

    /// Connects clients to the relay of each device, and waits until the device has heard of all of them.
    fn connect(&mut self, endpoints: &[Endpoint], clients: usize, stalled: usize) -> Result<(), Failure> {
        if endpoints.len() != self.senders.len() {
            return Err(format!("{} endpoints for {} devices", endpoints.len(), self.senders.len()).into());
        }
        for (sender, endpoint) in endpoints.iter().enumerate() {
            for client in 0..clients {
                let socket = endpoint.connect()?;
                (&socket).write_all(&[HELLO])?;
                if client < stalled {
                    socket.set_recv_buffer_size(STALLED_BUFFER)?;
                    self.stalled.push(socket);
                    continue;
                }
                self.waiter.add(&socket, self.readers.len(), EpollFlags::EPOLLIN)?;
                self.readers.push(Reader { socket, sender, taken: 0, pieces: VecDeque::new(), bad: false });
            }
        }
        self.each = clients - stalled;
        let deadline = Instant::now() + PATIENCE;
        for sender in &self.senders {
            let mut heard = 0;
            while heard < clients {
                match sender.device.take(&mut self.buffer[..clients])? {
                    Some(count) => heard += count,
                    None if Instant::now() > deadline => return Err("a client whose bytes do not arrive".into()),
                    None => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        }
        Ok(())
    }

    /// Sends so many bytes from each device, as fast as they are taken, until there is no progress any more.
    fn fill(&mut self, bytes: u64) -> Result<(), Failure> {
        let mut times = Times::default();
        let mut last = (0, Instant::now());
        while last.1.elapsed() < SILENCE {
            for place in 0..self.senders.len() {
                let rest = bytes.saturating_sub(self.senders[place].given);
                self.send(place, usize::try_from(rest)?.min(FILL), Instant::now())?;
            }
            self.take(&mut times)?;
            let progress = self.taken() + self.senders.iter().map(|sender| sender.given).sum::<u64>();
            if self.missing() == 0 && self.senders.iter().all(|sender| sender.given >= bytes) {
                break;
            }
            if progress > last.0 {
                last = (progress, Instant::now());
            }
        }
        Ok(())
    }

    /// Sends `rate` bytes a second from each device for a while, and takes everything back.
    fn run(&mut self, rate: u64, length: Duration) -> Result<Times, Failure> {
        let start = Instant::now();
        let count = u32::try_from(self.senders.len())?;
        for (place, sender) in (0..count).zip(&mut self.senders) {
            sender.due = start + TICK * place / count; // not all in the same moment
        }
        let piece = usize::try_from(rate * u64::try_from(TICK.as_micros())? / 1_000_000)?.clamp(1, pattern::CHUNK);
        let mut times = Times::default();
        while start.elapsed() < length {
            self.give(piece)?;
            self.take(&mut times)?;
        }
        let mut last = (self.missing(), Instant::now());
        while last.0 > 0 && last.1.elapsed() < SILENCE {
            self.take(&mut times)?;
            let missing = self.missing();
            if missing < last.0 {
                last = (missing, Instant::now());
            }
        }
        Ok(times)
    }

    /// Gives what is due.
    fn give(&mut self, piece: usize) -> Result<(), Failure> {
        let now = Instant::now();
        for place in 0..self.senders.len() {
            let sender = &mut self.senders[place];
            if sender.due > now {
                continue;
            }
            sender.due += TICK;
            self.refused += (piece - self.send(place, piece, now)?) as u64;
        }
        Ok(())
    }

    /// Sends at most `most` bytes from one device, as many as fit, and returns how many that were.
    fn send(&mut self, place: usize, most: usize, now: Instant) -> Result<usize, Failure> {
        let sender = &mut self.senders[place];
        let count = sender.device.give(&pattern::at(sender.given)[..most])?.unwrap_or(0);
        if count > 0 {
            sender.given += count as u64;
            for reader in &mut self.readers[place * self.each..][..self.each] {
                reader.pieces.push_back((sender.given, now));
            }
        }
        Ok(count)
    }

    /// Takes what has arrived, and waits a moment if nothing has.
    fn take(&mut self, times: &mut Times) -> Result<(), Failure> {
        for token in self.waiter.wait(&mut self.ready, 1)? {
            self.readers[token].turn(&mut self.buffer, times)?;
        }
        Ok(())
    }

    /// Bytes that arrived, over all clients that read.
    fn taken(&self) -> u64 {
        self.readers.iter().map(|reader| reader.taken).sum()
    }

    /// Bytes that were given and did not arrive, over all clients that read.
    fn missing(&self) -> u64 {
        self.readers.iter().map(|reader| self.senders[reader.sender].given - reader.taken).sum()
    }
}

/// Is `--devices` devices, whose paths it prints. A line on stdin names the endpoint each of them is relayed to:
/// it connects `--clients` to each, of which the first `--stalled` never read. Another line has the devices send
/// `--fill` bytes as fast as they are taken, and then what is measured: `--rate` bytes a second for `--for` seconds; the outcome says what arrived and how late. All stays open
/// until stdin ends.
pub fn feed(arguments: &mut Arguments) -> Result<(), Failure> {
    let devices = arguments.or("devices", 1)?;
    let clients = arguments.or("clients", 1)?;
    let stalled = arguments.or("stalled", 0)?.min(clients);
    let rate = arguments.required("rate")?;
    let fill = arguments.or("fill", 0)?;
    let length = arguments.seconds("for", 2.0)?;
    arguments.finish()?;
    let mut feed = Feed::open(devices)?;
    let paths: Vec<&str> = feed.senders.iter().map(|sender| sender.device.path()).collect();
    Object::default().text("paths", &paths.join(" ")).print()?;
    let mut orders = std::io::stdin().lock().lines();
    let mut order = move || orders.next().ok_or("nobody gives orders any more");
    let endpoints = order()??.split_whitespace().map(str::parse).collect::<Result<Vec<Endpoint>, String>>()?;
    feed.connect(&endpoints, clients, stalled)?;
    Object::default().number("connected", (feed.readers.len() + feed.stalled.len()) as u64).print()?;
    order()??;
    feed.fill(fill)?;
    let before = feed.taken();
    let start = Instant::now();
    let times = feed.run(rate, length)?;
    let bad = feed.readers.iter().filter(|reader| reader.bad).count();
    let outcome = Object::default()
        .number("bytes", feed.taken() - before)
        .number("refused", feed.refused)
        .number("missing", feed.missing())
        .number("bad", bad as u64)
        .seconds("seconds", start.elapsed());
    times.describe(outcome).print()?;
    // The relay is looked at while it still serves all of them.
    let _ = order();
    Ok(())
}
