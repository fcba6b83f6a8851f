//! The calls that no relay of short connections can do without, and nothing around them.
//!
//! One thread, an edge-triggered epoll, one buffer for all. A write that would have to wait ends the run, nothing
//! is counted, no time is limited: this is no relay to use. It tells how many connections a second the kernel of
//! this machine allows any relay that has both ends on the same processors.

use std::net::Shutdown;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::MsgFlags;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::Failure;
use crate::load::arguments::Arguments;
use crate::load::endpoint::{Endpoint, Waiter, nothing_ready, receive, transmit};

/// The token of the listener; those of connections are their places.
const LISTENER: usize = usize::MAX;
/// More than the requests measured.
const READ: usize = 16 * 1024;

/// A connection from the client, with the one to the far end.
struct Pair {
    ends: [Socket; 2],
    ended: [bool; 2],
}

struct Floor {
    listener: Socket,
    far: SockAddr,
    domain: Domain,
    waiter: Waiter,
    pairs: Vec<Option<Pair>>,
    free: Vec<usize>,
}

impl Floor {
    fn accept(&mut self) -> Result<(), Failure> {
        loop {
            let near = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(why) if why.raw_os_error() == Some(Errno::EAGAIN as i32) => return Ok(()),
                Err(why) => return Err(format!("accept: {why}").into()),
            };
            let far = Socket::new(self.domain, Type::STREAM.nonblocking(), None)?;
            far.set_tcp_nodelay(true)?;
            match far.connect(&self.far) {
                Err(why) if why.raw_os_error() != Some(Errno::EINPROGRESS as i32) => return Err(why.into()),
                _ => {}
            }
            let place = self.free.pop().unwrap_or_else(|| {
                self.pairs.push(None);
                self.pairs.len() - 1
            });
            let events = EpollFlags::EPOLLIN | EpollFlags::EPOLLRDHUP | EpollFlags::EPOLLET;
            self.waiter.add(&far, place * 2 + 1, events)?;
            self.waiter.add(&near, place * 2, events)?;
            self.pairs[place] = Some(Pair { ends: [near, far], ended: [false; 2] });
        }
    }

    fn turn(&mut self, token: usize, buffer: &mut [u8]) -> Result<(), Failure> {
        let (place, side) = (token / 2, token % 2);
        let Some(pair) = &mut self.pairs[place] else { return Ok(()) };
        let (from, to) = (&pair.ends[side], &pair.ends[1 - side]);
        match receive(from, buffer, MsgFlags::empty())? {
            None => {}
            Some(0) if pair.ended[side] => {}
            Some(0) => {
                pair.ended[side] = true;
                if pair.ended[1 - side] {
                    self.pairs[place] = None;
                    self.free.push(place);
                } else {
                    to.shutdown(Shutdown::Write)?;
                }
            }
            Some(count) if transmit(to, &buffer[..count])? == Some(count) => {}
            Some(_) => return Err("a write would have to wait".into()),
        }
        Ok(())
    }
}

/// Relays short connections from `--listen` to `--to`, for `--for` seconds.
pub fn relay(arguments: &mut Arguments) -> Result<(), Failure> {
    let near: Endpoint = arguments.required("listen")?;
    let far: Endpoint = arguments.required("to")?;
    let limit: Duration = arguments.seconds("for", 900.0)?;
    arguments.finish()?;
    let mut floor = Floor {
        listener: near.listen()?.0,
        far: far.address()?,
        domain: far.domain(),
        waiter: Waiter::new()?,
        pairs: Vec::new(),
        free: Vec::new(),
    };
    floor.waiter.add(&floor.listener, LISTENER, EpollFlags::EPOLLIN)?;
    let mut buffer = vec![0; READ];
    let mut ready = nothing_ready();
    let start = Instant::now();
    while start.elapsed() < limit {
        for token in floor.waiter.wait(&mut ready, 100)? {
            if token == LISTENER {
                floor.accept()?;
            } else {
                floor.turn(token, &mut buffer)?;
            }
        }
    }
    Ok(())
}
