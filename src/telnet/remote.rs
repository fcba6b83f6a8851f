//! The line at the far end of a connection that speaks RFC 2217: its data as a source and a sink, its settings and
//! signals as a [`Line`].
//!
//! What the far end says comes with the data, so it is read with them: by the source, and while nobody can take data
//! up to [`AHEAD`] bytes ahead of them. A change of the line that waits for its answer relies on that.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::client::{Agreement, Client, Subject, Ticket};
use super::wire::{SharedWire, TelnetSink};
use crate::channel::pool::SMALL;
use crate::channel::{Beside, Buffer, Port, Sink, Source};
use crate::endpoint::BoxFuture;
use crate::line::{Change, Event, Line, State, Watchers};

/// How long the far end may take to agree and to answer to the first settings, as long as pyserial gives it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(3);

/// How long an answer to a later change is waited for. It is a round trip away, where it comes at all.
const ANSWER: Duration = Duration::from_secs(1);

/// As [`ANSWER`], for what many servers leave unanswered when a connection begins.
const COURTESY: Duration = Duration::from_millis(500);

/// How many bytes of data are read before anybody takes them, so that answers behind them are found.
const AHEAD: usize = 64 * 1024;

/// How many settings are asked for when a connection begins: speed, size, parity, stop bits.
const SETTINGS: usize = 4;

/// Reads in a row that gave no data, after which the neighbours get their turn.
const TURN: usize = 64;

/// Why a connection does not become a line.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The far end has no serial port to offer.
    Refused,
    /// It has not said whether it has.
    Silent,
    /// It has closed the connection.
    Closed,
    /// It has not answered to these settings.
    Unanswered(Vec<Subject>),
    /// It has settings other than those asked for.
    Otherwise(State),
}

/// What stays known of a line when its connection is gone.
#[derive(Default)]
struct Known {
    state: Mutex<State>,
    watchers: Watchers,
}

/// One connection.
struct Session {
    wire: SharedWire,
    conversation: Mutex<Conversation>,
    known: Arc<Known>,
}

struct Conversation {
    client: Client,
    /// Those who wait for an answer.
    waiting: Vec<Waker>,
    /// Who reads, to be told that what was read is not wanted.
    reader: Option<Waker>,
    /// What was received up to now is not wanted.
    purged: bool,
    suspended: bool,
    closed: bool,
}

impl Session {
    fn lock(&self) -> MutexGuard<'_, Conversation> {
        self.conversation.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the client, and sees to what comes of it: commands, news, answers.
    fn with<T>(&self, act: impl FnOnce(&mut Client) -> T) -> T {
        let mut conversation = self.lock();
        let client = &mut conversation.client;
        let result = act(client);
        let mut wire = self.wire.lock();
        wire.add(|out| out.append(client.out()));
        wire.set_padding(!client.sends_binary());
        let suspended = client.is_suspended();
        if suspended != conversation.suspended {
            wire.suspend(suspended);
        }
        drop(wire);
        conversation.suspended = suspended;
        let events = conversation.client.take_events();
        *self.known.state.lock().unwrap_or_else(PoisonError::into_inner) = conversation.client.state();
        let waiting = std::mem::take(&mut conversation.waiting);
        drop(conversation);
        for event in events {
            self.known.watchers.tell(event);
        }
        waiting.into_iter().for_each(Waker::wake);
        result
    }

    fn close(&self) {
        self.lock().closed = true;
        self.with(|_| ());
    }

    fn ask(&self, change: &Change) -> io::Result<Ticket> {
        if self.lock().closed || self.wire.lock().is_crowded() {
            return Err(gone());
        }
        if change.purge_in {
            let mut conversation = self.lock();
            conversation.purged = true;
            conversation.reader.take().into_iter().for_each(Waker::wake);
        }
        Ok(self.with(|client| client.ask(change)))
    }

    /// Waits for the answers, unless it is `late`.
    fn poll_answer(&self, cx: &mut Context<'_>, ticket: &Ticket, late: bool) -> Poll<io::Result<State>> {
        let _ = self.wire.lock().poll_commands(cx);
        if late {
            self.with(|client| client.give_up(ticket));
        }
        let mut conversation = self.lock();
        if conversation.client.is_answered(ticket) {
            return Poll::Ready(Ok(conversation.client.state()));
        }
        if conversation.closed {
            return Poll::Ready(Err(gone()));
        }
        if !conversation.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
            conversation.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the connection to the line is gone")
}

/// The line at the far end.
struct Remote {
    /// Ends with its channel, not with whoever still holds the line.
    session: Weak<Session>,
    known: Arc<Known>,
}

impl Line for Remote {
    fn change(&self, change: Change) -> BoxFuture<'static, io::Result<State>> {
        // At once: what is written from now on goes out behind it.
        let asked = self.session.upgrade().ok_or_else(gone).and_then(|session| session.ask(&change));
        let session = Weak::clone(&self.session);
        Box::pin(async move {
            let ticket = asked?;
            let limit = tokio::time::sleep(ANSWER);
            tokio::pin!(limit);
            std::future::poll_fn(|cx| {
                let Some(session) = session.upgrade() else { return Poll::Ready(Err(gone())) };
                let late = limit.as_mut().poll(cx).is_ready();
                session.poll_answer(cx, &ticket, late)
            })
            .await
        })
    }

    fn state(&self) -> State {
        *self.known.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self) -> mpsc::Receiver<Event> {
        let receiver = self.known.watchers.add();
        if let Some(session) = self.session.upgrade() {
            session.with(Client::ask_faults);
        }
        receiver
    }

    fn is_real(&self) -> bool {
        true
    }
}

/// What comes from the line.
struct RemoteSource {
    inner: Box<dyn Source>,
    session: Arc<Session>,
    /// Read already, from `start` on.
    ahead: Vec<u8>,
    start: usize,
    /// The end, or an error, found while reading ahead.
    end: Option<io::Result<()>>,
}

impl RemoteSource {
    /// Takes note of what is beside the data; a purge drops what was read ahead.
    fn begin_turn(&mut self, cx: &mut Context<'_>) -> Beside {
        let _ = self.session.wire.lock().poll_commands(cx);
        let mut conversation = self.session.lock();
        if !conversation.reader.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            conversation.reader = Some(cx.waker().clone());
        }
        if !std::mem::take(&mut conversation.purged) {
            return Beside::Nothing;
        }
        drop(conversation);
        self.clear_ahead();
        Beside::Purge
    }

    fn clear_ahead(&mut self) {
        (self.ahead, self.start) = (Vec::new(), 0);
        self.session.with(Client::resume);
    }

    /// Takes a block that was received apart; what is data in it is added to what was read ahead.
    fn take(&mut self, block: &[u8]) {
        let ahead = &mut self.ahead;
        self.session.with(|client| client.take(block, ahead));
    }

    /// Reads ahead what can be read, as far as there is room. An end is kept for who reads.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) {
        for _ in 0..TURN {
            if self.end.is_some() || self.ahead() >= AHEAD {
                return;
            }
            let mut raw = Buffer::take(SMALL);
            let mut room = ReadBuf::new(&mut raw);
            let Poll::Ready(read) = Pin::new(&mut self.inner).poll_read(cx, &mut room) else { return };
            let block = room.filled();
            if read.is_err() || block.is_empty() {
                self.end = Some(read);
                self.session.close();
                return;
            }
            let (ahead, session) = (&mut self.ahead, &self.session);
            session.with(|client| client.take(block, ahead));
        }
        cx.waker().wake_by_ref();
    }

    /// Reads ahead until `done`; false when the far end closes before.
    async fn until(&mut self, done: impl Fn(&Client) -> bool) -> bool {
        std::future::poll_fn(|cx| {
            self.begin_turn(cx);
            self.poll_ahead(cx);
            // What was read may have to be answered.
            let _ = self.session.wire.lock().poll_commands(cx);
            if done(&self.session.lock().client) {
                return Poll::Ready(true);
            }
            if self.end.is_some() { Poll::Ready(false) } else { Poll::Pending }
        })
        .await
    }

    /// Waits for the answers, no longer than until `limit`; gives what remained unanswered.
    async fn answers(&mut self, ticket: &Ticket, limit: Instant) -> Result<Vec<Subject>, Failure> {
        match tokio::time::timeout_at(limit, self.until(|client| client.is_answered(ticket))).await {
            Ok(true) => Ok(Vec::new()),
            Ok(false) => Err(Failure::Closed),
            Err(_) => Ok(self.session.with(|client| client.give_up(ticket))),
        }
    }
}

impl AsyncRead for RemoteSource {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.begin_turn(cx);
        for _ in 0..TURN {
            if this.ahead() > 0 {
                let count = this.ahead().min(buf.remaining());
                buf.put_slice(&this.ahead[this.start..this.start + count]);
                this.start += count;
                if this.ahead() == 0 {
                    this.clear_ahead();
                    let _ = this.session.wire.lock().poll_commands(cx);
                }
                return Poll::Ready(Ok(()));
            }
            if let Some(end) = this.end.take() {
                return Poll::Ready(end);
            }
            let before = buf.filled().len();
            let read = ready!(Pin::new(&mut this.inner).poll_read(cx, buf));
            let block = &buf.filled()[before..];
            if read.is_err() || block.is_empty() {
                this.session.close();
                return Poll::Ready(read);
            }
            if this.session.lock().client.is_plain(block) {
                return Poll::Ready(Ok(()));
            }
            this.take(&buf.filled()[before..]);
            buf.set_filled(before);
            let _ = this.session.wire.lock().poll_commands(cx);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Source for RemoteSource {
    fn connection(&self) -> Option<&Arc<Port>> {
        self.inner.connection()
    }

    fn ahead(&self) -> usize {
        self.ahead.len() - self.start
    }

    fn has_unread(&self) -> bool {
        self.ahead() > 0 || self.inner.has_unread()
    }

    fn poll_beside(&mut self, cx: &mut Context<'_>) -> Beside {
        let beside = self.begin_turn(cx);
        self.poll_ahead(cx);
        if self.ahead() >= AHEAD {
            self.session.with(Client::suspend);
        }
        let _ = self.session.wire.lock().poll_commands(cx);
        beside
    }
}

impl Drop for RemoteSource {
    fn drop(&mut self) {
        // Whoever waits for an answer need not wait any more.
        self.session.close();
    }
}

/// A connection that has become a line.
pub(crate) struct Opened {
    pub source: Box<dyn Source>,
    pub sink: Box<dyn Sink>,
    pub line: Arc<dyn Line>,
    /// What the far end has not answered to, though it was set.
    pub unanswered: Vec<Subject>,
    /// Who the far end says it is.
    pub signature: Option<String>,
}

/// Agrees with the far end on RFC 2217 and sets the line as `wish` says; the rest stays as it is there.
///
/// Cancel safe: dropping the future closes the connection.
pub(crate) async fn open(source: Box<dyn Source>, sink: Box<dyn Sink>, wish: &Change) -> Result<Opened, Failure> {
    let limit = Instant::now() + PATIENCE;
    let session = Arc::new(Session {
        wire: SharedWire::new(sink),
        conversation: Mutex::new(Conversation {
            client: Client::new(),
            waiting: Vec::new(),
            reader: None,
            purged: false,
            suspended: false,
            closed: false,
        }),
        known: Arc::default(),
    });
    session.with(|_| ());
    let mut source =
        RemoteSource { inner: source, session: Arc::clone(&session), ahead: Vec::new(), start: 0, end: None };
    match tokio::time::timeout_at(limit, source.until(|client| client.agreement() != Agreement::Open)).await {
        Err(_) => return Err(Failure::Silent),
        Ok(false) => return Err(Failure::Closed),
        Ok(true) => {}
    }
    if session.lock().client.agreement() == Agreement::Refused {
        return Err(Failure::Refused);
    }
    // All at once, so that it takes one round trip.
    let (settings, controls) = session.with(|client| {
        client.ask_around(wish);
        let settings = client.ask_settings(wish);
        let controls = Change { baud: None, data_bits: None, parity: None, stop_bits: None, ..*wish };
        (settings, client.ask(&controls))
    });
    let mut unanswered = source.answers(&settings, limit).await?;
    if unanswered.len() == SETTINGS {
        // Whoever agrees and then knows nothing of it agrees to anything: an echo does.
        return Err(Failure::Silent);
    }
    unanswered.retain(|subject| is_wished(wish, *subject));
    if !unanswered.is_empty() {
        return Err(Failure::Unanswered(unanswered));
    }
    let state = session.lock().client.state();
    if !wish.is_met_by(&state) {
        return Err(Failure::Otherwise(state));
    }
    let unanswered = source.answers(&controls, limit.min(Instant::now() + COURTESY)).await?;
    let signature = session.lock().client.signature().map(str::to_owned);
    let line = Arc::new(Remote { session: Arc::downgrade(&session), known: Arc::clone(&session.known) });
    let sink = Box::new(TelnetSink::new(session.wire.clone()));
    Ok(Opened { source: Box::new(source), sink, line, unanswered, signature })
}

fn is_wished(wish: &Change, subject: Subject) -> bool {
    match subject {
        Subject::Baud => wish.baud.is_some(),
        Subject::DataBits => wish.data_bits.is_some(),
        Subject::Parity => wish.parity.is_some(),
        Subject::StopBits => wish.stop_bits.is_some(),
        _ => true,
    }
}

#[cfg(test)]
#[path = "remote_tests.rs"]
mod tests;
