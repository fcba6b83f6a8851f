//! The source of a channel that speaks TELNET: finds the data, carries out what is between them, and sees to what
//! goes the other way beside the data.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::ahead::{Ahead, Order, Turn};
use super::codec::{Event, IAC, LineEnds, Parser, command, find, option};
use super::comport::{Message, Role};
use super::negotiation::{End, Negotiation};
use super::server::{Batch, Server};
use super::tenancy::Tenancy;
use super::wire::SharedWire;
use crate::channel::pool::SMALL;
use crate::channel::{Beside, Buffer, Port, Source};
use crate::endpoint::BoxFuture;
use crate::info;
use crate::line::{self, Change, Control, Line, State};
use crate::log::Log;

/// Most bytes of data read ahead while those before them cannot be written. What stands behind them is not seen, and so
/// not carried out.
const AHEAD: usize = 256 * 1024;
/// Most orders that wait then.
const ORDERS: usize = 1024;
/// How long the settings of the line wait for data before them that cannot be written. Less than clients wait for
/// their answers; more than a line needs for what its driver holds, if it sends at all.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long the line is held when the break key is pressed: tcsendbreak(3) takes 0.25 to 0.5 s.
const BREAK: Duration = Duration::from_millis(250);
/// What is answered to ARE YOU THERE: something a person can see (RFC 854).
const HERE: &[u8] = b"\r\n[ferrule: yes]\r\n";
/// Blocks without data that are read in a row before others get their turn.
const TURNS: usize = 32;

/// The line of the other side, once the session has joined them.
#[derive(Default)]
pub(super) struct Attachment {
    line: OnceLock<Arc<dyn Line>>,
    must_have: bool,
}

impl Attachment {
    pub fn new(must_have: bool) -> Self {
        Self { line: OnceLock::new(), must_have }
    }
}

impl Control for Attachment {
    fn attach(&self, line: Arc<dyn Line>) {
        // A session attaches once.
        let _ = self.line.set(line);
    }

    fn must_have(&self) -> bool {
        self.must_have
    }
}

/// What is being done; nothing else is done meanwhile.
enum Work {
    Nothing,
    Requests(BoxFuture<'static, io::Result<State>>, Batch),
    Break(BoxFuture<'static, io::Result<State>>),
}

/// What the source of a channel is made of.
pub(super) struct Parts {
    pub inner: Box<dyn Source>,
    pub wire: SharedWire,
    pub attachment: Arc<Attachment>,
    pub negotiation: Negotiation,
    /// The far end may set the line.
    pub server: Option<Server>,
    /// The line is to be left as it was found.
    pub restore: bool,
    pub log: Log,
}

/// See the module.
pub(super) struct TelnetSource {
    parts: Parts,
    parser: Parser,
    line_ends: LineEnds,
    ahead: Ahead,
    /// Futures are not to be shared between threads; the lock is never taken.
    work: Mutex<Work>,
    events: Option<mpsc::Receiver<line::Event>>,
    tenancy: Option<Tenancy>,
    /// Runs while data are stuck.
    patience: Option<Pin<Box<Sleep>>>,
    ended: bool,
    /// How it ended, if that was met in reading ahead.
    failure: Option<io::Error>,
}

impl TelnetSource {
    pub fn new(parts: Parts) -> Self {
        Self {
            parts,
            parser: Parser::default(),
            line_ends: LineEnds::default(),
            ahead: Ahead::default(),
            work: Mutex::new(Work::Nothing),
            events: None,
            tenancy: None,
            patience: None,
            ended: false,
            failure: None,
        }
    }

    fn line(&self) -> Option<&Arc<dyn Line>> {
        self.parts.attachment.line.get()
    }

    fn state(&self) -> State {
        self.line().map(|line| line.state()).unwrap_or_default()
    }

    /// Begins to use the line, as soon as there is one.
    fn settle(&mut self) {
        if self.tenancy.is_none()
            && let Some(line) = self.line().cloned()
        {
            self.events = self.parts.server.is_some().then(|| line.watch());
            self.tenancy = Some(Tenancy::new(line, self.parts.restore));
        }
    }

    /// Waits for what is being done, and answers.
    fn poll_work(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let work = self.work();
        match work {
            Work::Nothing => {}
            Work::Break(breaking) => {
                // A line that is gone ends the session by itself.
                let _ = ready!(breaking.as_mut().poll(cx));
                *work = Work::Nothing;
            }
            Work::Requests(changing, _) => {
                let changed = ready!(changing.as_mut().poll(cx));
                if let Work::Requests(_, batch) = std::mem::replace(work, Work::Nothing) {
                    let state = changed.unwrap_or_else(|_| self.state());
                    self.answer(&batch, &state);
                }
            }
        }
        Poll::Ready(())
    }

    fn work(&mut self) -> &mut Work {
        self.work.get_mut().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&mut self, batch: &Batch, state: &State) {
        let Some(server) = &mut self.parts.server else { return };
        let mut wire = self.parts.wire.lock();
        if batch.change().purge_in {
            wire.purge();
        }
        wire.add(|out| server.answer(batch, state, out));
        wire.suspend(server.is_suspended());
    }

    /// Carries out what has its turn.
    fn poll_orders(&mut self, cx: &mut Context<'_>, turn: Turn) -> Poll<()> {
        loop {
            ready!(self.poll_work(cx));
            let Some(order) = self.ahead.next(turn) else { return Poll::Ready(()) };
            ready!(self.poll_room(cx));
            match order {
                Order::Break => {
                    self.ahead.done();
                    if let Some(line) = self.line().cloned() {
                        *self.work() = Work::Break(Box::pin(short_break(line)));
                    }
                }
                Order::Request(_) => self.begin(turn),
            }
        }
    }

    /// Waits until the far end has read its answers.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut wire = self.parts.wire.lock();
        if wire.is_crowded() { wire.poll_commands(cx) } else { Poll::Ready(()) }
    }

    /// Begins to carry out the next requests, as many as go together.
    fn begin(&mut self, turn: Turn) {
        let mut batch = Batch::default();
        while let Some(Order::Request(request)) = self.ahead.next(turn)
            && batch.add(request)
        {
            self.ahead.done();
        }
        match self.line() {
            Some(line) if !batch.change().is_empty() => {
                let changing = line.change(batch.change());
                *self.work() = Work::Requests(changing, batch);
            }
            _ => {
                let state = self.state();
                self.answer(&batch, &state);
            }
        }
    }

    /// Tells the far end what it is to know beside the data.
    fn poll_news(&mut self, cx: &mut Context<'_>) {
        self.settle();
        let modem = self.state().modem;
        let Some(server) = &mut self.parts.server else {
            let _ = self.parts.wire.lock().poll_commands(cx);
            return;
        };
        let mut count = 0;
        while let Some(Poll::Ready(Some(event))) = self.events.as_mut().map(|events| events.poll_recv(cx)) {
            server.heard(&event);
            count += 1;
        }
        if count >= line::EVENTS {
            // Some of them may have found no room.
            server.catch_up(modem);
        }
        let mut wire = self.parts.wire.lock();
        // Whatever cannot be written yet has somebody who will be woken.
        let _ = wire.poll_commands(cx);
        if server.has_news() && !wire.is_busy() {
            wire.add(|out| server.tell(out));
            let _ = wire.poll_commands(cx);
        }
    }

    /// Takes a block apart. Data go to `room` as long as nothing stands before them.
    fn take_apart(&mut self, mut block: &[u8], room: &mut Option<&mut ReadBuf<'_>>) {
        let mut parser = std::mem::take(&mut self.parser);
        while let Some(event) = parser.next(&mut block) {
            match event {
                Event::Data(data) => self.take_data(data, room),
                Event::Negotiate(verb, option) => {
                    let heard = self.parts.negotiation.hear(verb, option);
                    self.parts.wire.lock().add(|out| out.extend(heard.reply.into_iter().flatten()));
                    self.agreed(option, heard.changed);
                }
                Event::Sub(option::COM_PORT, payload) => self.take_request(payload),
                Event::Command(command::BREAK) => self.ahead.order(Order::Break),
                Event::Command(command::ARE_YOU_THERE) => self.say_here(),
                // Options that were refused have no subnegotiations, and the other commands mean nothing to a line.
                Event::Sub(..) | Event::Command(_) => {}
            }
        }
        self.parser = parser;
    }

    fn say_here(&mut self) {
        let mut wire = self.parts.wire.lock();
        if !wire.is_busy() {
            wire.add(|out| out.extend(HERE));
        }
    }

    fn take_data(&mut self, data: &[u8], room: &mut Option<&mut ReadBuf<'_>>) {
        let padded = self.is_padded();
        let ends = &mut self.line_ends;
        let mut unpad = |data: &mut [u8]| if padded { ends.unpad(data) } else { data.len() };
        match room {
            Some(room) if self.ahead.is_empty() && room.remaining() >= data.len() => {
                let before = room.filled().len();
                room.put_slice(data);
                let kept = unpad(&mut room.filled_mut()[before..]);
                room.set_filled(before + kept);
            }
            _ => self.ahead.push(data, unpad),
        }
    }

    fn take_request(&mut self, payload: &[u8]) {
        if self.parts.server.is_none() {
            return;
        }
        let request = match Message::read(Role::Client, payload) {
            Some(Message::Signature([])) => Message::Signature(b""),
            Some(Message::Signature(text)) => {
                info!(self.parts.log, "RFC 2217: the client is \"{}\"", String::from_utf8_lossy(text).escape_debug());
                return;
            }
            Some(Message::Baud(baud, form)) => Message::Baud(baud, form),
            Some(Message::Value(topic, value)) => Message::Value(topic, value),
            Some(Message::Bare(topic)) => Message::Bare(topic),
            None => return,
        };
        self.ahead.order(Order::Request(request));
    }

    /// Both ends have agreed on something new.
    fn agreed(&mut self, option: u8, changed: Option<(End, bool)>) {
        match (option, changed) {
            (option::BINARY, _) => {
                let padding = pads(&self.parts.negotiation);
                self.parts.wire.lock().set_padding(padding);
            }
            (option::COM_PORT, Some((_, true))) => {
                self.settle();
                let modem = self.state().modem;
                if let Some(server) = &mut self.parts.server
                    && server.agree(modem)
                {
                    info!(self.parts.log, "RFC 2217: the client sets the line");
                }
            }
            _ => {}
        }
    }

    /// Whether the far end sends lines of the network virtual terminal: until it says that it does not any more.
    fn is_padded(&self) -> bool {
        !self.parts.negotiation.is_on(option::BINARY, End::Far)
    }

    /// Reads a block. Ready without a byte in `buf` when it had no data, or was the end.
    fn poll_block(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.parts.inner).poll_read(cx, buf))?;
        let block = &buf.filled()[before..];
        if block.is_empty() {
            return Poll::Ready(self.end());
        }
        let plain = if self.parser.is_at_data() && !self.is_padded() { find(block, IAC) } else { Some(0) };
        let Some(plain) = plain else { return Poll::Ready(Ok(())) };
        let length = block.len() - plain;
        let mut scratch = Buffer::take(length);
        scratch[..length].copy_from_slice(&block[plain..]);
        buf.set_filled(before + plain);
        self.take_apart(&scratch[..length], &mut Some(buf));
        Poll::Ready(Ok(()))
    }

    /// As [`Self::poll_block`], while the data read before cannot be written.
    fn poll_block_ahead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut scratch = Buffer::take(SMALL);
        let mut block = ReadBuf::new(&mut scratch[..SMALL]);
        ready!(Pin::new(&mut self.parts.inner).poll_read(cx, &mut block))?;
        if block.filled().is_empty() {
            return Poll::Ready(self.end());
        }
        self.take_apart(block.filled(), &mut None);
        Poll::Ready(Ok(()))
    }

    /// The far end sends no more.
    fn end(&mut self) -> io::Result<()> {
        self.ended = true;
        if !self.parser.is_at_data() {
            info!(self.parts.log, "telnet: the peer ended in the middle of a command");
        }
        if let Some(server) = &mut self.parts.server {
            server.client_ended();
        }
        let mut wire = self.parts.wire.lock();
        wire.suspend(false);
        // Written to, a connection tells its loss only once.
        wire.take_reset().map_or(Ok(()), Err)
    }

    fn poll_data(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        for _ in 0..TURNS {
            ready!(self.poll_orders(cx, Turn::Due));
            ready!(self.poll_room(cx));
            let data = self.ahead.data();
            if !data.is_empty() {
                let count = data.len().min(buf.remaining());
                buf.put_slice(&data[..count]);
                self.ahead.pass(count);
                return Poll::Ready(Ok(()));
            }
            if self.ended {
                return Poll::Ready(self.failure.take().map_or(Ok(()), Err));
            }
            ready!(self.poll_block(cx, buf))?;
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads ahead, a bounded amount. What goes wrong is told when it is the data's turn.
    fn read_ahead(&mut self, cx: &mut Context<'_>) {
        while !self.ended && self.ahead.len() < AHEAD && self.ahead.orders() < ORDERS && self.poll_room(cx).is_ready() {
            match self.poll_block_ahead(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    self.failure = Some(error);
                    self.ended = true;
                }
                Poll::Pending => return,
            }
        }
    }

    /// Whether data were stuck for so long that what waits for them is not to wait any more.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.ahead.orders() == 0 {
            self.patience = None;
            return Poll::Pending;
        }
        self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE))).as_mut().poll(cx)
    }
}

/// Whether lines of the network virtual terminal are sent to the far end. Not from the moment on when BINARY was asked
/// for, unless it is refused: whoever agrees reads what stands behind the question that way.
pub(super) fn pads(negotiation: &Negotiation) -> bool {
    !negotiation.is_hoped_for(option::BINARY, End::Near)
}

/// Holds the line in the break condition for a moment.
async fn short_break(line: Arc<dyn Line>) -> io::Result<State> {
    line.change(Change { brk: Some(true), ..Change::default() }).await?;
    tokio::time::sleep(BREAK).await;
    line.change(Change { brk: Some(false), ..Change::default() }).await
}

impl AsyncRead for TelnetSource {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.patience = None;
        this.settle();
        let polled = this.poll_data(cx, buf);
        this.poll_news(cx);
        polled
    }
}

impl Source for TelnetSource {
    fn connection(&self) -> Option<&Arc<Port>> {
        self.parts.inner.connection()
    }

    fn ahead(&self) -> usize {
        self.ahead.len()
    }

    fn has_unread(&self) -> bool {
        self.ahead.len() > 0 || self.parts.inner.has_unread()
    }

    fn poll_beside(&mut self, cx: &mut Context<'_>) -> Beside {
        self.settle();
        self.read_ahead(cx);
        let purged = self.ahead.purge();
        // What cannot be done yet has somebody who will be woken.
        let _ = self.poll_orders(cx, if purged { Turn::Due } else { Turn::Free });
        if self.poll_patience(cx).is_ready() {
            let _ = self.poll_orders(cx, Turn::All);
        }
        self.poll_news(cx);
        if purged { Beside::Purge } else { Beside::Nothing }
    }
}
