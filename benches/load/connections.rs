//! Connections that live for one byte there and back.

use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::MsgFlags;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::Failure;
use crate::load::arguments::Arguments;
use crate::load::endpoint::{Endpoint, Service, Waiter, nothing_ready, receive, transmit};
use crate::load::json::Object;
use crate::load::latency::Times;

/// One of the clients, with the connection it has open.
struct Client {
    socket: Socket,
    start: Instant,
    sent: bool,
}

/// What a ready client came to.
enum Turn {
    Wait(EpollFlags),
    Done(Duration),
}

impl Client {
    /// Connects without waiting, and sends at once if that already works, which it does on loopback.
    fn open(address: &SockAddr, domain: Domain) -> Result<Self, Failure> {
        let start = Instant::now();
        let socket = Socket::new(domain, Type::STREAM.nonblocking(), None)?;
        match socket.connect(address) {
            Err(why) if why.raw_os_error() != Some(Errno::EINPROGRESS as i32) => {
                return Err(why.into());
            }
            _ => {}
        }
        Ok(Self { socket, start, sent: false })
    }

    fn turn(&mut self) -> Result<Turn, Errno> {
        if !self.sent {
            self.sent = transmit(&self.socket, &[Service::Echo.byte()])?.is_some();
            return Ok(Turn::Wait(if self.sent { EpollFlags::EPOLLIN } else { EpollFlags::EPOLLOUT }));
        }
        match receive(&self.socket, &mut [0; 8], MsgFlags::empty())? {
            None => Ok(Turn::Wait(EpollFlags::EPOLLIN)),
            Some(1) => Ok(Turn::Done(self.start.elapsed())),
            Some(_) => Err(Errno::EPROTO),
        }
    }
}

/// The clients, each of which opens its next connection when the last is done.
struct Crowd {
    address: SockAddr,
    domain: Domain,
    waiter: Waiter,
    clients: Vec<Option<Client>>,
    times: Times,
    failed: u64,
}

impl Crowd {
    fn open(&mut self, place: usize) -> Result<(), Failure> {
        let mut client = Client::open(&self.address, self.domain)?;
        match client.turn() {
            Ok(Turn::Wait(flags)) => self.waiter.add(&client.socket, place, flags)?,
            Ok(Turn::Done(_)) | Err(_) => return Err("a new connection failed at once".into()),
        }
        self.clients[place] = Some(client);
        Ok(())
    }

    /// Lets one client go on; true when its connection is over.
    fn turn(&mut self, place: usize) -> Result<bool, Failure> {
        let Some(client) = &mut self.clients[place] else {
            return Ok(false);
        };
        let waited_to_send = !client.sent;
        match client.turn() {
            Ok(Turn::Wait(flags)) => {
                if waited_to_send {
                    self.waiter.change(&client.socket, place, flags)?;
                }
                return Ok(false);
            }
            Ok(Turn::Done(time)) => self.times.push(time),
            Err(_) => self.failed += 1,
        }
        self.clients[place] = None;
        Ok(true)
    }
}

/// `--clients` at a time to `--to`, for `--for` seconds, at most `--count` in all: every connection leaves its
/// port unusable for a while, and beyond half of the local port range connect itself is what is slow.
pub fn connections(arguments: &mut Arguments) -> Result<(), Failure> {
    let endpoint: Endpoint = arguments.required("to")?;
    let clients = arguments.or("clients", 1)?;
    let limit = arguments.seconds("for", 2.0)?;
    let count: usize = arguments.or("count", 8_000)?;
    arguments.finish()?;
    let mut crowd = Crowd {
        address: endpoint.address()?,
        domain: endpoint.domain(),
        waiter: Waiter::new()?,
        clients: Vec::new(),
        times: Times::default(),
        failed: 0,
    };
    crowd.clients.resize_with(clients, || None);
    let start = Instant::now();
    let mut last = start;
    for place in 0..clients {
        crowd.open(place)?;
    }
    let mut opened = clients;
    let mut open = clients;
    let mut ready = nothing_ready();
    // A second more for those open at the end; what has not come back by then has failed.
    while open > 0 && start.elapsed() < limit + Duration::from_secs(1) {
        for place in crowd.waiter.wait(&mut ready, 100)? {
            if !crowd.turn(place)? {
                continue;
            }
            last = Instant::now();
            open -= 1;
            if opened < count && last - start < limit {
                crowd.open(place)?;
                opened += 1;
                open += 1;
            }
        }
    }
    let outcome = Object::default()
        .number("clients", clients as u64)
        .seconds("seconds", last - start)
        .number("bad", crowd.failed + open as u64);
    crowd.times.describe(outcome).print()
}
