//! What is written to the far end: data, escaped, and between them the commands of this end.
//!
//! Both ends of a channel write here: the sink its data, the source its answers. An escape that was begun is always
//! ended first.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};

use tokio::io::AsyncWrite;

use super::codec::{IAC, LineEnds, find};
use crate::channel::pool::SMALL;
use crate::channel::{Buffer, Port, Sink};
use crate::sys;

/// With so many bytes of answers waiting to be written no further request is carried out: the far end does not read
/// what it asked for.
const CROWDED: usize = 64 * 1024;
/// With so many, news of the line is gathered instead of sent.
const BUSY: usize = 4 * 1024;
/// A stretch of so many bytes that need no escape is written as it is.
const PLAIN: usize = 4 * 1024;

/// Least that is escaped at a time.
const LEAST: usize = 512;

const CR: u8 = b'\r';

/// Who waits until something can be written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Writer {
    /// The sink.
    Data,
    /// The source.
    Commands,
}

/// Wakes both writers: they may be polled by different tasks, and a descriptor knows one waker only.
#[derive(Default)]
struct Writers(Mutex<[Option<Waker>; 2]>);

impl Writers {
    fn register(&self, writer: Writer, waker: &Waker) {
        let mut wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = &mut wakers[writer as usize];
        if !place.as_ref().is_some_and(|known| known.will_wake(waker)) {
            *place = Some(waker.clone());
        }
    }
}

impl Wake for Writers {
    fn wake(self: Arc<Self>) {
        let wakers = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

/// The writing half of a connection that speaks TELNET.
pub(super) struct Wire {
    sink: Box<dyn Sink>,
    /// Commands, and the rest of an escape, in the order they are to be written.
    out: Vec<u8>,
    written: usize,
    writers: Arc<Writers>,
    waker: Waker,
    /// The far end reads lines of the network virtual terminal: it has refused BINARY.
    padding: bool,
    /// The far end has asked for no more data.
    suspended: bool,
    /// Bytes of data that were offered and could not be taken.
    stuck: usize,
    /// Bytes of data that the far end does not want any more.
    unwanted: usize,
    /// Nothing can be written any more: it was shut down, or is broken.
    over: bool,
    /// How much is escaped at a time.
    appetite: usize,
    /// What broke it, if that was the loss of the connection: the source may not be told again.
    reset: Option<io::Error>,
}

impl Wire {
    pub fn new(sink: Box<dyn Sink>) -> Self {
        let writers = Arc::<Writers>::default();
        Self {
            sink,
            out: Vec::new(),
            written: 0,
            waker: Waker::from(Arc::clone(&writers)),
            writers,
            padding: false,
            suspended: false,
            stuck: 0,
            unwanted: 0,
            over: false,
            appetite: SMALL,
            reset: None,
        }
    }

    /// Adds commands, with what `write` adds.
    pub fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        if !self.over {
            write(&mut self.out);
        }
    }

    /// Writes what can be written at once to a connection that was just made, before anybody polls it: the other
    /// address may take long to open, and the far end learns at least that somebody is here.
    pub fn greet(&mut self) {
        let Some(port) = self.sink.port().filter(|port| port.class().is_socket() && !self.out.is_empty()) else {
            return;
        };
        // Whatever went wrong will go wrong again when the session begins.
        if let Ok(count) = sys::io::send(port.as_fd(), &self.out[self.written..]) {
            self.written += count;
        }
        if self.written == self.out.len() {
            self.out = Vec::new();
            self.written = 0;
        }
    }

    pub fn is_crowded(&self) -> bool {
        self.out.len() - self.written > CROWDED
    }

    pub fn is_busy(&self) -> bool {
        self.suspended || self.out.len() - self.written > BUSY
    }

    pub fn set_padding(&mut self, padding: bool) {
        self.padding = padding;
    }

    /// Holds data back, or sends them again. Answers are sent all the same.
    pub fn suspend(&mut self, on: bool) {
        if std::mem::replace(&mut self.suspended, on) && !on {
            self.waker.wake_by_ref();
        }
    }

    /// Drops the data that wait to be taken.
    pub fn purge(&mut self) {
        self.unwanted = std::mem::take(&mut self.stuck);
        if self.unwanted > 0 {
            self.waker.wake_by_ref();
        }
    }

    /// How the connection was lost, if that was found in writing.
    pub fn take_reset(&mut self) -> Option<io::Error> {
        self.reset.take()
    }

    /// Writes the commands. A failure is the data's to tell, and no reason to read no more.
    pub fn poll_commands(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.out.is_empty() {
            return Poll::Ready(());
        }
        self.writers.register(Writer::Commands, cx.waker());
        if let Err(error) = ready!(self.poll_drain()) {
            self.over = true;
            self.out = Vec::new();
            self.written = 0;
            self.reset = Some(error).filter(|error| error.kind() == io::ErrorKind::ConnectionReset);
        }
        Poll::Ready(())
    }

    fn poll_drain(&mut self) -> Poll<io::Result<()>> {
        let mut cx = Context::from_waker(&self.waker);
        while self.written < self.out.len() {
            match ready!(Pin::new(&mut self.sink).poll_write(&mut cx, &self.out[self.written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                count => self.written += count,
            }
        }
        // Nothing is kept while idle.
        self.out = Vec::new();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_data(&mut self, data: &[u8]) -> Poll<io::Result<usize>> {
        if self.unwanted > 0 {
            let count = self.unwanted.min(data.len());
            self.unwanted -= count;
            return Poll::Ready(Ok(count));
        }
        ready!(self.poll_drain())?;
        if self.suspended {
            return Poll::Pending;
        }
        let plain = self.plain(data);
        let mut cx = Context::from_waker(&self.waker);
        if plain == data.len() || plain >= PLAIN {
            return Pin::new(&mut self.sink).poll_write(&mut cx, &data[..plain]);
        }
        let mut escaped = Buffer::take(SMALL);
        let (taken, length) = self.escape(data, &mut escaped[..self.appetite]);
        let count = ready!(Pin::new(&mut self.sink).poll_write(&mut cx, &escaped[..length]))?;
        // What does not fit is escaped again.
        self.appetite = (2 * count).clamp(LEAST, SMALL);
        if count == length {
            return Poll::Ready(Ok(taken));
        }
        let (mut taken, mut end) = (0, 0);
        while end < count {
            end += 1 + usize::from(self.second(data, taken).is_some());
            taken += 1;
        }
        // The second half of an escape goes first of all.
        self.out.extend_from_slice(&escaped[count..end]);
        Poll::Ready(Ok(taken))
    }

    /// How many bytes are written as they are.
    fn plain(&self, data: &[u8]) -> usize {
        let plain = find(data, IAC).unwrap_or(data.len());
        if self.padding { find(&data[..plain], CR).unwrap_or(plain) } else { plain }
    }

    /// What is written behind the byte at `place`.
    fn second(&self, data: &[u8], place: usize) -> Option<u8> {
        match data[place] {
            IAC => Some(IAC),
            byte if self.padding => LineEnds::padding(byte, data.get(place + 1).copied()),
            _ => None,
        }
    }

    /// Fills `room` with as much as fits; returns how much of the data that is, and how long.
    fn escape(&self, data: &[u8], room: &mut [u8]) -> (usize, usize) {
        let (mut taken, mut length) = (0, 0);
        while taken < data.len() && length + 2 <= room.len() {
            let plain = self.plain(&data[taken..]).min(room.len() - length);
            if plain > 0 {
                room[length..length + plain].copy_from_slice(&data[taken..taken + plain]);
                (taken, length) = (taken + plain, length + plain);
                continue;
            }
            room[length] = data[taken];
            length += 1;
            if let Some(second) = self.second(data, taken) {
                room[length] = second;
                length += 1;
            }
            taken += 1;
        }
        (taken, length)
    }
}

/// A wire that a source and a sink share.
#[derive(Clone)]
pub(super) struct SharedWire(Arc<Mutex<Wire>>);

impl SharedWire {
    pub fn new(sink: Box<dyn Sink>) -> Self {
        Self(Arc::new(Mutex::new(Wire::new(sink))))
    }

    pub fn lock(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sink of a channel that speaks TELNET.
pub(super) struct TelnetSink {
    wire: SharedWire,
    connection: Option<Arc<Port>>,
}

impl TelnetSink {
    pub fn new(wire: SharedWire) -> Self {
        let connection = wire.lock().sink.connection().cloned();
        Self { wire, connection }
    }
}

impl AsyncWrite for TelnetSink {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let mut wire = self.wire.lock();
        wire.writers.register(Writer::Data, cx.waker());
        let polled = wire.poll_data(data);
        wire.stuck = if polled.is_pending() { data.len() } else { 0 };
        polled
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.wire.lock();
        wire.writers.register(Writer::Data, cx.waker());
        ready!(wire.poll_drain())?;
        let waker = wire.waker.clone();
        Pin::new(&mut wire.sink).poll_flush(&mut Context::from_waker(&waker))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut wire = self.wire.lock();
        wire.writers.register(Writer::Data, cx.waker());
        ready!(wire.poll_drain())?;
        wire.over = true;
        let waker = wire.waker.clone();
        Pin::new(&mut wire.sink).poll_shutdown(&mut Context::from_waker(&waker))
    }
}

impl Sink for TelnetSink {
    fn connection(&self) -> Option<&Arc<Port>> {
        self.connection.as_ref()
    }
}
