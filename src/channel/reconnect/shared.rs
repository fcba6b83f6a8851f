//! What both ends of a channel that is opened again share: the channel of the moment, and what waits for the next.

use std::collections::VecDeque;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::Hold;
use super::line::{KeptControl, KeptLine};
use super::wakers::{End, Wakers};
use crate::channel::pool::LARGE;
use crate::channel::{Buffer, Channel, Sink, Source};
use crate::endpoint::BoxFuture;
use crate::error::system_message;
use crate::line::State;
use crate::sys;
use crate::{notice, warning};

/// A channel that held for so long, or from which a byte was read, was not in vain.
const SETTLED: Duration = Duration::from_secs(1);
/// How long a line may take to become what the lost one was; bytes are not written before.
const RESTORING: Duration = Duration::from_secs(5);

/// Most bytes read from a channel that cannot be written to any more: what a socket holds unless the system was
/// told otherwise (tcp(7), `tcp_rmem`), and a little more.
const MOST_SAVED: usize = 8 << 20;

/// What both ends share.
pub(super) struct Shared {
    pub(super) present: Present,
    /// The other side has nothing more to say: the end of the channel is the end.
    pub(super) shut: bool,
    pub(super) hold: Hold,
    /// Most bytes kept.
    pub(super) room: usize,
    /// Bytes written while it was away, and not delivered yet.
    pub(super) kept: VecDeque<u8>,
    /// Blocks that were read from a channel which could not be written to any more, before it was closed.
    pub(super) saved: VecDeque<Vec<u8>>,
    /// Bytes dropped in this outage.
    pub(super) dropped: u64,
    /// Bytes dropped in all outages, and not asked for yet.
    pub(super) discarded: u64,
    pub(super) line: Option<KeptLine>,
    pub(super) control: Option<KeptControl>,
    pub(super) wakers: Arc<Wakers>,
}

/// Where the channel is.
pub(super) enum Present {
    Here(Box<Open>),
    Away(Away),
    /// For good. With the time it was waited for in vain.
    Over(Option<Duration>),
}

/// A channel that is open.
pub(super) struct Open {
    pub(super) channel: Channel,
    pub(super) since: Instant,
    /// Something was read from it.
    pub(super) useful: bool,
    /// Makes its line what the lost one was.
    pub(super) restoring: Option<BoxFuture<'static, Option<io::Result<State>>>>,
}

impl Open {
    pub(super) fn new(channel: Channel, restoring: Option<BoxFuture<'static, io::Result<State>>>) -> Self {
        let restoring = restoring.map(|made| {
            let limited = tokio::time::timeout(RESTORING, made);
            Box::pin(async move { limited.await.ok() }) as BoxFuture<'static, _>
        });
        Self { channel, since: Instant::now(), useful: false, restoring }
    }

    /// Whether the far end is gone, which nobody sees where nothing is read.
    fn is_hung_up(&self) -> bool {
        self.channel.sink.as_deref().and_then(Sink::port).is_some_and(|port| sys::fd::is_hung_up(port.as_fd()))
    }
}

/// A channel that is waited for.
pub(super) struct Away {
    pub(super) since: Instant,
    /// `None` says that it was waited for long enough.
    pub(super) coming: BoxFuture<'static, Option<Channel>>,
}

impl Shared {
    /// The channel that is open; `None` when there will be none any more.
    pub(super) fn poll_open(&mut self, end: End, cx: &Context<'_>) -> Poll<Option<&mut Open>> {
        self.wakers.set(end, cx);
        if let Present::Away(away) = &mut self.present {
            // Either end may be the one that is polled next.
            let waker = Waker::from(Arc::clone(&self.wakers));
            let coming = ready!(away.coming.as_mut().poll(&mut Context::from_waker(&waker)));
            let since = away.since;
            match coming {
                Some(channel) => self.arrive(channel, since),
                None => self.expire(since),
            }
        }
        self.poll_line();
        match &mut self.present {
            Present::Here(open) => Poll::Ready(Some(open)),
            _ => Poll::Ready(None),
        }
    }

    /// As [`Shared::poll_open`] for writing: the line has become what it was, and nothing that was kept is left.
    pub(super) fn poll_writable(&mut self, cx: &mut Context<'_>) -> Poll<Option<&mut Open>> {
        let reads = self.hold.reads;
        loop {
            let Some(open) = ready!(self.poll_open(End::Sink, cx)) else { return Poll::Ready(None) };
            if open.restoring.is_some() {
                return Poll::Pending;
            }
            if !reads && open.is_hung_up() {
                self.lose(None);
                continue;
            }
            match ready!(self.poll_deliver(cx)) {
                Ok(()) => break,
                Err(error) => self.fail_writing(&error, cx),
            }
        }
        match &mut self.present {
            Present::Here(open) => Poll::Ready(Some(open)),
            _ => Poll::Ready(None),
        }
    }

    /// Passes on what the line tells, and makes it what it was.
    fn poll_line(&mut self) {
        let Some(line) = &self.line else { return };
        let waker = Waker::from(Arc::clone(&self.wakers));
        let mut cx = Context::from_waker(&waker);
        line.poll_events(&mut cx);
        let Present::Here(open) = &mut self.present else { return };
        let Some(restoring) = &mut open.restoring else { return };
        let Poll::Ready(restored) = restoring.as_mut().poll(&mut cx) else { return };
        open.restoring = None;
        match restored {
            Some(Ok(_)) => {}
            // The channel says itself that it is gone again.
            Some(Err(error)) => {
                warning!(self.hold.log, "{}: restoring the line: {}", self.hold.name, system_message(&error));
            }
            None => {
                let (name, seconds) = (&self.hold.name, RESTORING.as_secs());
                warning!(self.hold.log, "{name}: restoring the line: no answer within {seconds} s, going on without");
            }
        }
    }

    /// Writes what was kept.
    fn poll_deliver(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Present::Here(open) = &mut self.present else { return Poll::Ready(Ok(())) };
        let Some(sink) = &mut open.channel.sink else { return Poll::Ready(Ok(())) };
        while !self.kept.is_empty() {
            let count = ready!(Pin::new(&mut *sink).poll_write(cx, self.kept.as_slices().0))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.kept.drain(..count);
            self.hold.tally.deliver(count as u64);
        }
        if self.kept.capacity() > 0 {
            self.kept = VecDeque::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Takes bytes for a channel that is away: keeps or drops them. One that is back takes what was kept first.
    pub(super) fn keep(&mut self, block: &[u8]) -> Poll<io::Result<usize>> {
        if !matches!(self.present, Present::Away(_)) {
            return Poll::Pending;
        }
        if self.hold.discard {
            self.dropped += block.len() as u64;
            self.discarded += block.len() as u64;
            self.hold.tally.discard(block.len() as u64);
            return Poll::Ready(Ok(block.len()));
        }
        let count = block.len().min(self.room.saturating_sub(self.kept.len()));
        if count == 0 {
            return Poll::Pending;
        }
        self.kept.extend(&block[..count]);
        Poll::Ready(Ok(count))
    }

    /// The channel takes no more bytes. What it still has to say is saved before it is closed.
    pub(super) fn fail_writing(&mut self, error: &io::Error, cx: &mut Context<'_>) {
        if let Present::Here(open) = &mut self.present
            && self.hold.reads
            && let Some(source) = &mut open.channel.source
        {
            save(&mut **source, &mut self.saved, cx);
            open.useful |= !self.saved.is_empty();
        }
        self.lose(Some(error));
    }

    /// Gives what was saved; true if there was anything.
    pub(super) fn give_saved(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let Some(mut block) = self.saved.pop_front() else { return false };
        let rest = block.split_off(block.len().min(buf.remaining()));
        buf.put_slice(&block);
        if !rest.is_empty() {
            self.saved.push_front(rest);
        }
        true
    }

    /// Whether the end of the channel is the end of all.
    pub(super) fn is_last(&self) -> bool {
        self.shut || self.hold.limit.is_some_and(|limit| limit.is_zero())
    }

    /// Closes the channel that has ended, and waits for another one; or it was the last.
    pub(super) fn lose(&mut self, error: Option<&io::Error>) {
        let Present::Here(open) = &self.present else { return };
        let settled = open.useful || open.since.elapsed() >= SETTLED;
        // Closed before anything else is done: a device that is held gets another name when it comes back.
        self.present = Present::Over(None);
        self.line.iter().for_each(KeptLine::lose);
        self.control.iter().for_each(KeptControl::lose);
        if !self.is_last() {
            let (hold, why) = (&self.hold, error.map(|error| format!(" ({})", system_message(error))));
            let (name, loss, why) = (&hold.name, hold.loss, why.unwrap_or_default());
            warning!(hold.log, "{name}: {loss}{why}, waiting for it to come back");
            hold.tally.begin();
            self.present = Present::Away(Away { since: Instant::now(), coming: self.coming(settled) });
        }
        self.wakers.wake_all();
    }

    fn coming(&self, settled: bool) -> BoxFuture<'static, Option<Channel>> {
        let coming = self.hold.reopen.reopen(settled);
        match self.hold.limit {
            None => Box::pin(async move { Some(coming.await) }),
            Some(limit) => Box::pin(async move { tokio::time::timeout(limit, coming).await.ok() }),
        }
    }

    /// Another channel takes the place of the lost one.
    fn arrive(&mut self, mut channel: Channel, since: Instant) {
        let away = self.outage_over(since);
        let (log, name, kept) = (&self.hold.log, &self.hold.name, self.kept.len());
        match (kept, self.dropped) {
            (0, 0) => notice!(log, "{name}: back after {away:.3} s"),
            (0, dropped) => notice!(log, "{name}: back after {away:.3} s, {dropped} bytes were dropped meanwhile"),
            (kept, _) => notice!(log, "{name}: back after {away:.3} s, {kept} bytes were kept meanwhile"),
        }
        self.dropped = 0;
        let restoring = match (&self.line, channel.line.take()) {
            (Some(kept), Some(line)) => kept.replace(line),
            _ => None,
        };
        if let (Some(kept), Some(control)) = (&self.control, channel.control.take()) {
            kept.replace(control);
        }
        self.present = Present::Here(Box::new(Open::new(channel, restoring)));
    }

    /// It did not come back in time.
    fn expire(&mut self, since: Instant) {
        self.outage_over(since);
        self.present = Present::Over(self.hold.limit);
    }

    /// The seconds it was away.
    fn outage_over(&self, since: Instant) -> f64 {
        let away = since.elapsed();
        self.hold.tally.end(away);
        self.wakers.wake_all();
        away.as_secs_f64()
    }

    /// What is said to those who go on after the end: an error, when it was not the channel's own.
    pub(super) fn after_end(&self) -> io::Result<()> {
        let Present::Over(Some(limit)) = self.present else { return Ok(()) };
        let words = format!("did not come back within {} s, the time of option hold", limit.as_secs_f64());
        Err(io::Error::new(io::ErrorKind::TimedOut, words))
    }

    /// The end of what is written, with nothing kept: there is no reason to wait for a channel any more.
    pub(super) fn end(&mut self) {
        self.shut = true;
        if let Present::Away(away) = &self.present {
            self.outage_over(away.since);
            self.present = Present::Over(None);
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Present::Away(away) = &self.present {
            self.hold.tally.end(away.since.elapsed());
        }
        let unread: usize = self.saved.iter().map(Vec::len).sum();
        if unread > 0 {
            let name = &self.hold.name;
            warning!(self.hold.log, "{name}: {unread} bytes of a connection that was lost were not passed on");
        }
    }
}

/// Reads what is there.
fn save(source: &mut dyn Source, saved: &mut VecDeque<Vec<u8>>, cx: &mut Context<'_>) {
    let mut buffer = Buffer::take(LARGE);
    // Those of earlier connections count: nobody may have taken them yet.
    let mut total: usize = saved.iter().map(Vec::len).sum();
    while total < MOST_SAVED {
        let mut room = ReadBuf::new(&mut buffer);
        let Poll::Ready(Ok(())) = Pin::new(&mut *source).poll_read(cx, &mut room) else { return };
        let block = room.filled();
        if block.is_empty() {
            return;
        }
        total += block.len();
        saved.push_back(block.to_vec());
    }
}

pub(super) fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
