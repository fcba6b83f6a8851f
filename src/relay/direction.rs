//! One direction of a session: Moving -> Flushing -> Shutting -> Done.
//!
//! A direction knows nothing of the other one; an error here never stops the other before that ends by
//! itself.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;

use super::copy::{Appetite, Held, poll_read_block, poll_write_some};
use super::report::{Flow, Tally};
use super::splice::{Pipe, USER_PIPE_SIZE, Way, way};
use super::turns::{Ticket, Turns};
use crate::channel::{Beside, Class, Port, Sink, Source};
use crate::error::{Error, Phase};
use crate::sys;

/// Bytes moved in one turn before the neighbours get theirs.
const QUANTUM: usize = 256 * 1024;
/// A read this large means bulk traffic, for which splicing pays.
const BULK: usize = 16 * 1024;
/// A splice this small means that the bulk is over.
const TRICKLE: usize = 4 * 1024;
/// Asked for in one splice; the pipe's slots are the real bound.
const SPLICE: usize = 256 * 1024;

/// Where a direction stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Moving,
    Flushing,
    Shutting,
    /// As `Shutting`, after an error: further ones say nothing new.
    Failing,
    Done,
}

/// One direction of a session.
#[expect(clippy::struct_excessive_bools, reason = "each stands for itself; no two exclude each other")]
pub struct Direction {
    source: Box<dyn Source>,
    sink: Box<dyn Sink>,
    state: State,
    held: Held,
    /// The best way for this pair of ends; falls back to copying for good when the kernel refuses.
    way: Way,
    /// Splicing at the moment: the traffic is bulk.
    bulk: bool,
    /// The source has ended or is not to be read any more.
    ended: bool,
    /// The relay is stopping: so many bytes had arrived by then, and are still read.
    last_bytes: Option<usize>,
    /// The source's connection is gone, with a reset or the like.
    reset: bool,
    /// What the source has read ahead and was counted as undelivered.
    given_up: usize,
    appetite: Appetite,
    /// Its place among those that have used up their quantum.
    ticket: Option<Ticket>,
    flow: Flow,
    error: Option<Error>,
    cool_write: bool,
    cool: bool,
}

impl Direction {
    /// A direction from `source` to `sink`. `buffer` fixes the size of the blocks, which splicing has not.
    pub fn new(source: Box<dyn Source>, sink: Box<dyn Sink>, buffer: Option<usize>, cool_write: bool) -> Self {
        let (way, appetite) = match buffer {
            Some(_) => (Way::Copy, Appetite::new(buffer)),
            None => (way(&*source, &*sink), Appetite::between(&*source, &*sink)),
        };
        Self {
            source,
            sink,
            state: State::Moving,
            held: Held::Nothing,
            way,
            bulk: false,
            ended: false,
            last_bytes: None,
            reset: false,
            given_up: 0,
            appetite,
            ticket: None,
            flow: Flow::default(),
            error: None,
            cool_write,
            cool: false,
        }
    }

    /// Moves what can be moved; ready when the direction is done.
    pub fn poll(&mut self, cx: &mut Context<'_>, tally: &Tally, turns: &Arc<Turns>) -> Poll<()> {
        loop {
            let polled = self.poll_steps(cx, tally, turns);
            // A source that is being read sees to what travels beside its bytes then; so does a sink.
            let waits_to_write = polled.is_pending() && (self.held.len() > 0 || self.state != State::Moving);
            if polled.is_pending() && !waits_to_write {
                self.sink.poll_beside(cx);
            }
            if !waits_to_write || self.source.poll_beside(cx) == Beside::Nothing {
                return polled;
            }
            self.purge(tally);
        }
    }

    /// Drops what is held, at the wish of whoever sent it.
    fn purge(&mut self, tally: &Tally) {
        let count = std::mem::take(&mut self.held).len() as u64;
        self.flow.purged += count;
        tally.purge(count);
    }

    fn poll_steps(&mut self, cx: &mut Context<'_>, tally: &Tally, turns: &Arc<Turns>) -> Poll<()> {
        loop {
            let step = match self.state {
                State::Moving => ready!(self.poll_move(cx, tally, turns)),
                State::Flushing => {
                    ready!(Pin::new(&mut self.sink).poll_flush(cx)).map_err(|error| (Phase::Write, error))
                }
                State::Shutting | State::Failing => {
                    ready!(Pin::new(&mut self.sink).poll_shutdown(cx)).map_err(|error| (Phase::Close, error))
                }
                State::Done => return Poll::Ready(()),
            };
            self.state = match (step, self.state) {
                (Err(_), State::Failing) => State::Done,
                (Err((phase, error)), state) => {
                    self.fail(phase, error, tally);
                    // Whatever went wrong, the other side learns that nothing more will come. Only a lost
                    // connection is told otherwise: by losing the other one as well.
                    if self.reset || state == State::Shutting { State::Done } else { State::Failing }
                }
                (Ok(()), State::Moving) => State::Flushing,
                (Ok(()), State::Flushing) => State::Shutting,
                (Ok(()), _) => State::Done,
            };
        }
    }

    /// Reads no more than what has arrived; that, and what is held, is still written.
    pub fn stop_reading(&mut self) {
        let waiting = self.source.arrived();
        self.last_bytes = Some(waiting);
        self.ended |= waiting == 0;
    }

    /// Whether the connection it read from is gone: nothing can be written to it any more, either.
    pub fn was_reset(&self) -> bool {
        self.reset
    }

    /// Whether it writes to the connection `other` reads from.
    pub fn answers(&self, other: &Self) -> bool {
        match (self.sink.connection(), other.source.connection()) {
            (Some(sink), Some(source)) => Arc::ptr_eq(sink, source),
            _ => false,
        }
    }

    /// The connection it writes to.
    pub fn sink_port(&self) -> Option<&Arc<Port>> {
        self.sink.connection()
    }

    /// Gives up: what is held is counted as undelivered, or as discarded when others have got it, and so is
    /// what the sink could not pass on.
    pub fn abandon(&mut self, tally: &Tally) {
        self.drop_held(tally);
        let unwritten = self.sink.give_up();
        let never_written = unwritten.lost + unwritten.discarded;
        self.flow.bytes = self.flow.bytes.saturating_sub(never_written);
        self.flow.undelivered += unwritten.lost;
        tally.take_back(never_written);
        tally.lose(unwritten.lost);
        self.ticket = None;
        self.state = State::Done;
    }

    fn drop_held(&mut self, tally: &Tally) {
        let ahead = self.source.ahead();
        let lost = (std::mem::take(&mut self.held).len() + ahead.saturating_sub(self.given_up)) as u64;
        self.given_up = ahead;
        if self.source.is_shared() {
            self.flow.discarded += lost;
            tally.discard(lost);
        } else {
            self.flow.undelivered += lost;
            tally.lose(lost);
        }
    }

    /// Whether it came to its end.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Whether its source has ended.
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Whether bytes are held, or wait in the source.
    pub fn has_pending(&self) -> bool {
        self.held.len() > 0 || (!self.ended && self.source.has_unread())
    }

    /// What it moved so far.
    pub fn flow(&self) -> Flow {
        self.flow
    }

    /// The error that ended it.
    pub fn take_error(&mut self) -> Option<Error> {
        self.error.take()
    }

    /// Whether its error is none to the user: the other side went away from a `cool-write` channel.
    pub fn is_cool(&self) -> bool {
        self.cool
    }

    /// The ends, to close them or to shut them down.
    pub fn into_ends(self) -> (Box<dyn Source>, Box<dyn Sink>) {
        (self.source, self.sink)
    }

    fn fail(&mut self, phase: Phase, error: io::Error, tally: &Tally) {
        self.drop_held(tally);
        let broken = matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
        self.cool = self.cool_write && broken && phase == Phase::Write;
        // A program or a UNIX peer that leaves its input unread resets the connection, too, but all it said has come.
        self.reset = phase == Phase::Read && self.source.connection().is_some_and(|port| port.class() == Class::Tcp);
        self.error = Some(Error::transfer(phase, error));
        self.ended = true;
    }

    /// Reads and writes in turns, until the source ends or this turn's quantum is used up.
    fn poll_move(
        &mut self,
        cx: &mut Context<'_>,
        tally: &Tally,
        turns: &Arc<Turns>,
    ) -> Poll<Result<(), (Phase, io::Error)>> {
        if self.ticket.as_ref().is_some_and(|ticket| !ticket.is_called()) {
            return Poll::Pending;
        }
        self.ticket = None;
        let mut left = QUANTUM;
        loop {
            ready!(self.poll_deliver(cx, tally)).map_err(|error| (Phase::Write, error))?;
            if self.ended {
                self.rest();
                return Poll::Ready(Ok(()));
            }
            if left == 0 {
                self.ticket = Some(turns.wait(cx));
                return Poll::Pending;
            }
            let Poll::Ready(count) = self.poll_fetch(cx, tally) else {
                self.rest();
                // What has arrived may not have been told by epoll yet.
                if self.last_bytes.is_some() && !self.source.has_unread() {
                    self.ended = true;
                    continue;
                }
                return Poll::Pending;
            };
            match count {
                Ok(0) => self.ended = true,
                Ok(count) => {
                    left = left.saturating_sub(count);
                    self.last_bytes = self.last_bytes.map(|last| last.saturating_sub(count));
                    self.ended |= self.last_bytes == Some(0);
                }
                Err(error) if self.bulk && self.is_refused(&error) => {
                    self.way = Way::Copy;
                    self.bulk = false;
                }
                Err(error) => return Poll::Ready(Err((self.fetching(), error))),
            }
        }
    }

    /// Whether splicing has to be given up. A splice from end to end does not tell which of them is broken,
    /// and says so even when there is nothing to write: read(2) and write(2) find out.
    fn is_refused(&self, error: &io::Error) -> bool {
        sys::io::is_splice_refusal(error) || (self.way == Way::Direct && error.kind() == io::ErrorKind::BrokenPipe)
    }

    /// What fails when fetching does: from end to end it may be the writing, and a pipe can always be read.
    fn fetching(&self) -> Phase {
        let from_pipe = self.source.port().is_some_and(|port| port.class() == Class::Pipe);
        if self.bulk && self.way == Way::Direct && from_pipe { Phase::Write } else { Phase::Read }
    }

    /// Gives an idle direction's pipe back.
    fn rest(&mut self) {
        if let Held::Piped(pipe) = std::mem::take(&mut self.held) {
            pipe.give_back();
        }
    }

    /// Gets bytes from the source; 0 is its end.
    fn poll_fetch(&mut self, cx: &mut Context<'_>, tally: &Tally) -> Poll<io::Result<usize>> {
        if self.bulk {
            if self.way == Way::Direct {
                return self.poll_direct(cx, tally);
            }
            if self.have_pipe() {
                return self.poll_splice(cx);
            }
            self.bulk = false;
        }
        let held = ready!(poll_read_block(&mut *self.source, cx, &mut self.appetite))?;
        let count = held.len();
        self.held = held;
        if count >= BULK && self.way != Way::Copy {
            self.enter_bulk();
        }
        Poll::Ready(Ok(count))
    }

    fn enter_bulk(&mut self) {
        self.bulk = true;
        if self.way == Way::Direct {
            for port in [self.source.port(), self.sink.port()].into_iter().flatten() {
                if port.class() == Class::Pipe {
                    sys::io::set_pipe_size(port.as_fd(), USER_PIPE_SIZE);
                }
            }
        }
    }

    /// Makes sure that a pipe is at hand; without one the direction copies for now.
    fn have_pipe(&mut self) -> bool {
        if matches!(self.held, Held::Nothing) {
            match Pipe::take() {
                Some(pipe) => self.held = Held::Piped(pipe),
                None => return false,
            }
        }
        matches!(self.held, Held::Piped(_))
    }

    /// Fills the empty pipe.
    fn poll_splice(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let (Some(port), Held::Piped(pipe)) = (self.source.port(), &mut self.held) else {
            return Poll::Ready(Err(io::Error::from_raw_os_error(libc::EINVAL)));
        };
        let count = ready!(port.poll_splice_out(cx, pipe.entry(), SPLICE))?;
        pipe.filled = count;
        self.bulk = count == 0 || count >= TRICKLE;
        Poll::Ready(Ok(count))
    }

    /// Moves bytes from end to end in one call; nothing is held in between.
    fn poll_direct(&mut self, cx: &mut Context<'_>, tally: &Tally) -> Poll<io::Result<usize>> {
        let (Some(from), Some(to)) = (self.source.port(), self.sink.port()) else {
            return Poll::Ready(Err(io::Error::from_raw_os_error(libc::EINVAL)));
        };
        let count = ready!(from.poll_splice_to(cx, to, SPLICE))?;
        if count > 0 {
            self.count(count, tally);
            self.flow.blocks += 1;
            self.bulk = count >= TRICKLE;
        }
        Poll::Ready(Ok(count))
    }

    /// Writes what is held.
    fn poll_deliver(&mut self, cx: &mut Context<'_>, tally: &Tally) -> Poll<io::Result<()>> {
        loop {
            let count = match &mut self.held {
                Held::Nothing => return Poll::Ready(Ok(())),
                Held::Piped(pipe) if pipe.filled == 0 => {
                    if !self.bulk {
                        self.rest();
                    }
                    return Poll::Ready(Ok(()));
                }
                Held::Block { buffer, start, end } => {
                    let count = ready!(poll_write_some(&mut *self.sink, cx, &buffer[*start..*end]))?;
                    *start += count;
                    if start == end {
                        self.held = Held::Nothing;
                        self.flow.blocks += 1;
                    }
                    count
                }
                Held::Piped(_) => match ready!(self.poll_unpipe(cx))? {
                    Some(count) => count,
                    None => continue,
                },
            };
            self.count(count, tally);
        }
    }

    /// Writes from the pipe. `None`: the sink takes no splices, the bytes are in a buffer now.
    fn poll_unpipe(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<usize>>> {
        let (Some(port), Held::Piped(pipe)) = (self.sink.port(), &mut self.held) else {
            return Poll::Ready(Err(io::Error::from_raw_os_error(libc::EINVAL)));
        };
        match ready!(port.poll_splice_in(cx, pipe.exit(), pipe.filled)) {
            Ok(0) => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => {
                pipe.filled -= count.min(pipe.filled);
                if pipe.filled == 0 {
                    self.flow.blocks += 1;
                }
                Poll::Ready(Ok(Some(count)))
            }
            Err(error) if sys::io::is_splice_refusal(&error) => {
                self.way = Way::Copy;
                self.bulk = false;
                self.rescue()?;
                Poll::Ready(Ok(None))
            }
            Err(error) => Poll::Ready(Err(error)),
        }
    }

    /// Takes the bytes back out of the pipe into a buffer.
    fn rescue(&mut self) -> io::Result<()> {
        if let Held::Piped(mut pipe) = std::mem::take(&mut self.held) {
            let mut bytes = crate::channel::Buffer::take(pipe.filled);
            let mut end = 0;
            while pipe.filled > 0 {
                end += pipe.rescue(&mut bytes[end..])?;
            }
            self.held = Held::Block { buffer: bytes, start: 0, end };
        }
        Ok(())
    }

    fn count(&mut self, bytes: usize, tally: &Tally) {
        self.flow.bytes += bytes as u64;
        tally.add(bytes as u64);
    }
}

#[cfg(test)]
#[path = "direction_tests.rs"]
pub(super) mod tests;
