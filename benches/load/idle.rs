//! Connections that do nothing, and what they are after they have done something.

use std::io::BufRead as _;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::MsgFlags;
use socket2::Socket;

use crate::Failure;
use crate::load::arguments::Arguments;
use crate::load::endpoint::{Endpoint, Service, Waiter, nothing_ready, receive, transmit};
use crate::load::json::Object;
use crate::load::pattern;

/// How many connections have their burst at the same time.
const WINDOW: usize = 64;
/// How long the bursts of one window may take.
const LIMIT: Duration = Duration::from_secs(20);
/// The most bytes taken back at once.
const READ: usize = 64 * 1024;

/// One connection's burst on its way.
#[derive(Default)]
struct Burst {
    sent: u64,
    returned: u64,
}

impl Burst {
    /// Sends and takes back what is possible; true when all has returned.
    fn turn(&mut self, socket: &Socket, bytes: u64, buffer: &mut [u8]) -> Result<bool, Failure> {
        if self.sent < bytes {
            let chunk = pattern::at(self.sent);
            let rest = usize::try_from(bytes - self.sent)?.min(chunk.len());
            self.sent += transmit(socket, &chunk[..rest])?.unwrap_or(0) as u64;
        }
        match receive(socket, buffer, MsgFlags::empty())? {
            None => {}
            Some(0) => return Err(Errno::ECONNRESET.into()),
            Some(count) if !pattern::agrees(self.returned, &buffer[..count]) => {
                return Err("a burst came back changed".into());
            }
            Some(count) => self.returned += count as u64,
        }
        Ok(self.returned == bytes)
    }
}

/// Sends `bytes` through each of a few connections and back.
fn burst(sockets: &[Socket], bytes: u64) -> Result<(), Failure> {
    let waiter = Waiter::new()?;
    let both = EpollFlags::EPOLLIN | EpollFlags::EPOLLOUT;
    let mut bursts = Vec::new();
    for (token, socket) in sockets.iter().enumerate() {
        waiter.add(socket, token, both)?;
        bursts.push(Burst::default());
    }
    let mut buffer = vec![0; READ];
    let mut ready = nothing_ready();
    let mut left = sockets.len();
    let end = Instant::now() + LIMIT;
    while left > 0 {
        if Instant::now() > end {
            return Err(format!("{left} bursts did not come back").into());
        }
        for token in waiter.wait(&mut ready, 100)? {
            let (socket, burst) = (&sockets[token], &mut bursts[token]);
            if burst.turn(socket, bytes, &mut buffer)? {
                waiter.remove(socket)?;
                left -= 1;
            } else if burst.sent == bytes {
                waiter.change(socket, token, EpollFlags::EPOLLIN)?;
            }
        }
    }
    Ok(())
}

/// Opens `--connections` to `--to` and holds them until stdin ends, `--for` seconds at most. Each line on
/// stdin sends a burst of so many bytes through every connection and back.
pub fn idle(arguments: &mut Arguments) -> Result<(), Failure> {
    let endpoint: Endpoint = arguments.required("to")?;
    let count = arguments.or("connections", 1000)?;
    let limit = arguments.seconds("for", 120.0)?;
    arguments.finish()?;
    std::thread::spawn(move || {
        std::thread::sleep(limit);
        std::process::exit(1);
    });
    let start = Instant::now();
    let sockets = (0..count).map(|_| endpoint.open(Service::Echo)).collect::<Result<Vec<_>, _>>()?;
    Object::default().number("held", sockets.len() as u64).seconds("seconds", start.elapsed()).print()?;
    for line in std::io::stdin().lock().lines() {
        let bytes = line?.trim().parse()?;
        let start = Instant::now();
        for window in sockets.chunks(WINDOW) {
            burst(window, bytes)?;
        }
        Object::default().number("burst", bytes).seconds("seconds", start.elapsed()).print()?;
    }
    Ok(())
}
