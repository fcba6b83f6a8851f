//! The far end: echoes on one thread, sinks on another, so that a message beside bulk waits for neither.

use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::MsgFlags;
use socket2::Socket;

use crate::Failure;
use crate::load::arguments::Arguments;
use crate::load::endpoint::{Endpoint, Service, Tally, Waiter, nothing_ready, receive, transmit};
use crate::load::json::Object;
use crate::load::pattern;

/// The most bytes of one echo. What does not fit back at once is kept until it does.
const ECHO_READ: usize = 64 * 1024;
/// The most bytes a light sink drops at once; the pages of this buffer are never touched.
const LIGHT_READ: usize = 1024 * 1024;
/// How many connections are accepted before the others get a turn.
const ACCEPTS: usize = 64;

/// Connections by the number of their descriptor, which is their token too.
struct Connections<C>(Vec<Option<C>>);

impl<C> Connections<C> {
    fn put(&mut self, token: usize, connection: C) {
        if self.0.len() <= token {
            self.0.resize_with(token + 1, || None);
        }
        self.0[token] = Some(connection);
    }

    fn get(&mut self, token: usize) -> Option<&mut C> {
        self.0.get_mut(token)?.as_mut()
    }

    fn take(&mut self, token: usize) -> Option<C> {
        self.0.get_mut(token)?.take()
    }
}

fn token(socket: &Socket) -> Result<usize, Failure> {
    Ok(usize::try_from(socket.as_raw_fd())?)
}

/// A connection that echoes, or has not said yet what it wants.
struct Echo {
    socket: Socket,
    chosen: bool,
    unsent: Vec<u8>,
}

/// What becomes of a connection after its turn.
enum Next {
    Stay,
    Wait(EpollFlags),
    Close,
    Become(Service, Tally),
}

impl Echo {
    fn turn(&mut self, buffer: &mut [u8]) -> Result<Next, Errno> {
        if !self.unsent.is_empty() {
            return self.flush();
        }
        let Some(count) = receive(&self.socket, buffer, MsgFlags::empty())? else {
            return Ok(Next::Stay);
        };
        let bytes = &buffer[..count];
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(Next::Close);
        };
        if !self.chosen {
            self.chosen = true;
            match Service::from_byte(first) {
                None => return Ok(Next::Close),
                Some(Service::Echo) => {}
                Some(sink) => {
                    transmit(&self.socket, &[first])?;
                    let faults = u64::from(!pattern::agrees(0, rest));
                    return Ok(Next::Become(sink, Tally { bytes: rest.len() as u64, faults }));
                }
            }
        }
        let sent = transmit(&self.socket, bytes)?.unwrap_or(0);
        if sent == count {
            return Ok(Next::Stay);
        }
        self.unsent = bytes[sent..].to_vec();
        Ok(Next::Wait(EpollFlags::EPOLLOUT))
    }

    fn flush(&mut self) -> Result<Next, Errno> {
        let sent = transmit(&self.socket, &self.unsent)?.unwrap_or(0);
        self.unsent.drain(..sent);
        if !self.unsent.is_empty() {
            return Ok(Next::Stay);
        }
        self.unsent = Vec::new(); // an idle connection keeps no buffer
        Ok(Next::Wait(EpollFlags::EPOLLIN))
    }
}

/// A connection that is read to its end.
struct Sink {
    socket: Socket,
    light: bool,
    tally: Tally,
}

impl Sink {
    /// Reads once; true at the end of the stream, after the answer.
    fn turn(&mut self, buffer: &mut [u8]) -> Result<bool, Errno> {
        let count = if self.light {
            receive(&self.socket, buffer, MsgFlags::MSG_TRUNC)?
        } else {
            receive(&self.socket, &mut buffer[..pattern::CHUNK], MsgFlags::empty())?
        };
        let Some(count) = count else { return Ok(false) };
        if count == 0 {
            // A sender gone too early counts its own stream as broken.
            let _ = (&self.socket).write_all(&self.tally.to_bytes());
            return Ok(true);
        }
        if !self.light && !pattern::agrees(self.tally.bytes, &buffer[..count]) {
            self.tally.faults += 1;
        }
        self.tally.bytes += count as u64;
        Ok(false)
    }
}

/// The sinks that are open, and the thread's wait for them.
struct Sinks {
    waiter: Waiter,
    open: Mutex<Connections<Sink>>,
}

impl Sinks {
    fn add(&self, sink: Sink) -> Result<(), Failure> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let token = token(&sink.socket)?;
        self.waiter.add(&sink.socket, token, EpollFlags::EPOLLIN)?;
        open.put(token, sink);
        Ok(())
    }

    fn read(&self) -> Result<(), Failure> {
        let mut buffer = vec![0; LIGHT_READ];
        let mut ready = nothing_ready();
        loop {
            let tokens = self.waiter.wait(&mut ready, u16::MAX)?;
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            for token in tokens {
                let Some(sink) = open.get(token) else {
                    continue;
                };
                if !matches!(sink.turn(&mut buffer), Ok(false)) {
                    open.take(token);
                }
            }
        }
    }
}

/// The thread that accepts and echoes.
struct Front {
    listener: Socket,
    waiter: Waiter,
    echoes: Connections<Echo>,
    sinks: Arc<Sinks>,
    buffer: Vec<u8>,
}

impl Front {
    fn accept(&mut self) -> Result<(), Failure> {
        for _ in 0..ACCEPTS {
            let socket = match self.listener.accept() {
                Ok((socket, _)) => socket,
                Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => return Ok(()),
                Err(why) => return Err(format!("accept: {why}").into()),
            };
            let token = token(&socket)?;
            self.waiter.add(&socket, token, EpollFlags::EPOLLIN)?;
            self.echoes.put(token, Echo { socket, chosen: false, unsent: Vec::new() });
        }
        Ok(())
    }

    fn turn(&mut self, token: usize) -> Result<(), Failure> {
        let Some(echo) = self.echoes.get(token) else {
            return Ok(());
        };
        match echo.turn(&mut self.buffer).unwrap_or(Next::Close) {
            Next::Stay => {}
            Next::Wait(flags) => self.waiter.change(&echo.socket, token, flags)?,
            Next::Close => drop(self.echoes.take(token)),
            Next::Become(service, tally) => {
                let Some(Echo { socket, .. }) = self.echoes.take(token) else {
                    return Ok(());
                };
                self.waiter.remove(&socket)?;
                self.sinks.add(Sink { socket, light: service == Service::LightSink, tally })?;
            }
        }
        Ok(())
    }
}

/// Listens on `--listen`, says so, and serves for `--for` seconds.
pub fn serve(arguments: &mut Arguments) -> Result<(), Failure> {
    let endpoint: Endpoint = arguments.required("listen")?;
    let limit = arguments.seconds("for", 900.0)?;
    arguments.finish()?;
    let (listener, bound) = endpoint.listen()?;
    let listening = token(&listener)?;
    let sinks = Arc::new(Sinks { waiter: Waiter::new()?, open: Mutex::new(Connections(Vec::new())) });
    let waiter = Waiter::new()?;
    waiter.add(&listener, listening, EpollFlags::EPOLLIN)?;
    std::thread::spawn({
        let sinks = Arc::clone(&sinks);
        move || sinks.read()
    });
    let echoes = Connections(Vec::new());
    let buffer = vec![0; ECHO_READ];
    let mut front = Front { listener, waiter, echoes, sinks, buffer };
    Object::default().text("listening", &bound.to_string()).print()?;

    let mut ready = nothing_ready();
    let end = Instant::now() + limit;
    while Instant::now() < end {
        for token in front.waiter.wait(&mut ready, 1000)? {
            if token == listening {
                front.accept()?;
            } else {
                front.turn(token)?;
            }
        }
    }
    Ok(())
}
