//! The source of a channel that speaks TELNET: finds the data, and has what is between them carried out in its place.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

use super::ahead::{Ahead, Order, Turn};
use super::codec::{Event, IAC, LineEnds, Parser, command, find, option};
use super::comport::{Message, Role};
use super::negotiation::{End, Negotiation};
use super::operator::Operator;
use super::wire::SharedWire;
use crate::channel::pool::SMALL;
use crate::channel::{Beside, Buffer, Port, Source};
use crate::info;
use crate::log::Log;

/// Most bytes of data read ahead while those before them cannot be written. What stands behind them is not seen, and so
/// not carried out.
const AHEAD: usize = 256 * 1024;
/// Most orders that wait then.
const ORDERS: usize = 1024;
/// How long the settings of the line wait for data before them that cannot be written. Less than clients wait for
/// their answers; more than a line needs for what its driver holds, if it sends at all.
const PATIENCE: Duration = Duration::from_secs(1);
/// What is answered to ARE YOU THERE: something a person can see (RFC 854).
const HERE: &[u8] = b"\r\n[ferrule: yes]\r\n";
/// Blocks without data that are read in a row before others get their turn.
const TURNS: usize = 32;

/// See the module.
pub(super) struct TelnetSource {
    inner: Box<dyn Source>,
    wire: SharedWire,
    negotiation: Negotiation,
    operator: Operator,
    log: Log,
    parser: Parser,
    line_ends: LineEnds,
    ahead: Ahead,
    /// Runs while data are stuck.
    patience: Option<Pin<Box<Sleep>>>,
    ended: bool,
    /// How it ended, if that was met in reading ahead.
    failure: Option<io::Error>,
}

impl TelnetSource {
    pub fn new(
        inner: Box<dyn Source>,
        wire: SharedWire,
        negotiation: Negotiation,
        operator: Operator,
        log: Log,
    ) -> Self {
        Self {
            inner,
            wire,
            negotiation,
            operator,
            log,
            parser: Parser::default(),
            line_ends: LineEnds::default(),
            ahead: Ahead::default(),
            patience: None,
            ended: false,
            failure: None,
        }
    }

    /// Takes a block apart. Data go to `room` as long as nothing stands before them.
    fn take_apart(&mut self, mut block: &[u8], room: &mut Option<&mut ReadBuf<'_>>) {
        let mut parser = std::mem::take(&mut self.parser);
        while let Some(event) = parser.next(&mut block) {
            match event {
                Event::Data(data) => self.take_data(data, room),
                Event::Negotiate(verb, option) => {
                    let heard = self.negotiation.hear(verb, option);
                    self.wire.lock().add(|out| out.extend(heard.reply.into_iter().flatten()));
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
        let mut wire = self.wire.lock();
        if !wire.is_busy() {
            wire.add(|out| out.extend(HERE));
        }
    }

    fn take_data(&mut self, data: &[u8], room: &mut Option<&mut ReadBuf<'_>>) {
        let padded = self.is_padded();
        let ends = &mut self.line_ends;
        let mut unpad = |data: &mut [u8]| if padded { ends.unpad(data) } else { data.len() };
        match room {
            Some(room) if self.ahead.is_idle() && room.remaining() >= data.len() => {
                let before = room.filled().len();
                room.put_slice(data);
                let kept = unpad(&mut room.filled_mut()[before..]);
                room.set_filled(before + kept);
            }
            _ => self.ahead.push(data, unpad),
        }
    }

    fn take_request(&mut self, payload: &[u8]) {
        if !self.operator.serves() {
            return;
        }
        let request = match Message::read(Role::Client, payload) {
            Some(Message::Signature([])) => Message::Signature(b""),
            Some(Message::Signature(text)) => {
                info!(self.log, "RFC 2217: the client is \"{}\"", String::from_utf8_lossy(text).escape_debug());
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
                let padding = pads(&self.negotiation);
                self.wire.lock().set_padding(padding);
            }
            (option::COM_PORT, Some((_, true))) if self.operator.agree() => {
                info!(self.log, "RFC 2217: the client sets the line");
            }
            _ => {}
        }
    }

    /// Whether the far end sends lines of the network virtual terminal: until it says that it does not any more.
    fn is_padded(&self) -> bool {
        !self.negotiation.is_on(option::BINARY, End::Far)
    }

    /// Reads a block. Ready without a byte in `buf` when it had no data, or was the end.
    fn poll_block(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
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
        ready!(Pin::new(&mut self.inner).poll_read(cx, &mut block))?;
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
            info!(self.log, "telnet: the peer ended in the middle of a command");
        }
        self.operator.client_ended();
        // Written to, a connection tells its loss only once.
        self.wire.lock().take_reset().map_or(Ok(()), Err)
    }

    fn poll_data(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        for _ in 0..TURNS {
            ready!(self.operator.poll_orders(cx, &mut self.ahead, Turn::Due));
            ready!(self.operator.poll_room(cx));
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
        while !self.ended
            && self.ahead.len() < AHEAD
            && self.ahead.orders() < ORDERS
            && self.operator.poll_room(cx).is_ready()
        {
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

impl AsyncRead for TelnetSource {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.patience = None;
        this.operator.settle();
        let polled = this.poll_data(cx, buf);
        this.operator.poll_news(cx);
        polled
    }
}

impl Source for TelnetSource {
    fn connection(&self) -> Option<&Arc<Port>> {
        self.inner.connection()
    }

    fn ahead(&self) -> usize {
        self.ahead.len()
    }

    fn has_unread(&self) -> bool {
        self.ahead.len() > 0 || self.inner.has_unread()
    }

    fn poll_beside(&mut self, cx: &mut Context<'_>) -> Beside {
        self.operator.settle();
        self.read_ahead(cx);
        let purged = self.ahead.purge();
        // What cannot be done yet has somebody who will be woken.
        let _ = self.operator.poll_orders(cx, &mut self.ahead, if purged { Turn::Due } else { Turn::Free });
        if self.poll_patience(cx).is_ready() {
            let _ = self.operator.poll_orders(cx, &mut self.ahead, Turn::All);
        }
        self.operator.poll_news(cx);
        if purged { Beside::Purge } else { Beside::Nothing }
    }
}
