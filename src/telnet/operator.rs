//! Works the line as the far end orders, answers, and tells it what the line has to say.

use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::mpsc;

use super::ahead::{Ahead, Order, Turn};
use super::server::{Batch, Server};
use super::tenancy::Tenancy;
use super::wire::SharedWire;
use crate::endpoint::BoxFuture;
use crate::line::{self, Change, Control, Line, State};

/// How long the line is held when the break key is pressed: tcsendbreak(3) takes 0.25 to 0.5 s.
const BREAK: Duration = Duration::from_millis(250);
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

/// See the module.
pub(super) struct Operator {
    wire: SharedWire,
    attachment: Arc<Attachment>,
    /// The far end may set the line.
    server: Option<Server>,
    /// The line is to be left as it was found.
    restore: bool,
    /// Futures are not to be shared between threads; the lock is never taken.
    work: Mutex<Work>,
    events: Option<mpsc::Receiver<line::Event>>,
    tenancy: Option<Tenancy>,
}

impl Operator {
    /// For a far end that may set the line, or else press the break key only.
    pub fn new(wire: SharedWire, attachment: Arc<Attachment>, restore: bool) -> Self {
        Self {
            wire,
            server: attachment.must_have.then(Server::default),
            attachment,
            restore,
            work: Mutex::new(Work::Nothing),
            events: None,
            tenancy: None,
        }
    }

    /// Whether the far end may set the line.
    pub fn serves(&self) -> bool {
        self.server.is_some()
    }

    /// The far end and this one have agreed that it may; true the first time.
    pub fn agree(&mut self) -> bool {
        self.settle();
        let modem = self.state().modem;
        self.server.as_mut().is_some_and(|server| server.agree(modem))
    }

    /// The far end says no more.
    pub fn client_ended(&mut self) {
        if let Some(server) = &mut self.server {
            server.client_ended();
        }
        self.wire.lock().suspend(false);
    }

    fn line(&self) -> Option<&Arc<dyn Line>> {
        self.attachment.line.get()
    }

    fn state(&self) -> State {
        self.line().map(|line| line.state()).unwrap_or_default()
    }

    /// Begins to use the line, as soon as there is one.
    pub fn settle(&mut self) {
        if self.tenancy.is_none()
            && let Some(line) = self.line().cloned()
        {
            self.events = self.server.is_some().then(|| line.watch());
            self.tenancy = Some(Tenancy::new(line, self.restore));
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
        let Some(server) = &mut self.server else { return };
        let mut wire = self.wire.lock();
        if batch.change().purge_in {
            wire.purge();
        }
        wire.add(|out| server.answer(batch, state, out));
        wire.suspend(server.is_suspended());
    }

    /// Carries out what has its turn.
    pub fn poll_orders(&mut self, cx: &mut Context<'_>, ahead: &mut Ahead, turn: Turn) -> Poll<()> {
        loop {
            ready!(self.poll_work(cx));
            let Some(order) = ahead.next(turn) else { return Poll::Ready(()) };
            ready!(self.poll_room(cx));
            match order {
                Order::Break => {
                    ahead.done();
                    if let Some(line) = self.line().cloned() {
                        *self.work() = Work::Break(Box::pin(short_break(line)));
                    }
                }
                Order::Request(_) => self.begin(ahead, turn),
            }
        }
    }

    /// Waits until the far end has read its answers.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut wire = self.wire.lock();
        if wire.is_crowded() { wire.poll_commands(cx) } else { Poll::Ready(()) }
    }

    /// Begins to carry out the next requests, as many as go together.
    fn begin(&mut self, ahead: &mut Ahead, turn: Turn) {
        let mut batch = Batch::default();
        while let Some(Order::Request(request)) = ahead.next(turn)
            && batch.add(request)
        {
            ahead.done();
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
    pub fn poll_news(&mut self, cx: &mut Context<'_>) {
        self.settle();
        let Some(server) = &mut self.server else {
            let _ = self.wire.lock().poll_commands(cx);
            return;
        };
        let mut count = 0;
        while let Some(Poll::Ready(Some(event))) = self.events.as_mut().map(|events| events.poll_recv(cx)) {
            server.heard(&event);
            count += 1;
        }
        if count >= line::EVENTS
            && let Some(line) = self.attachment.line.get()
        {
            // Some of them may have found no room.
            server.catch_up(line.state().modem);
        }
        let mut wire = self.wire.lock();
        // Whatever cannot be written yet has somebody who will be woken.
        let _ = wire.poll_commands(cx);
        if server.has_news() && !wire.is_busy() {
            wire.add(|out| server.tell(out));
            let _ = wire.poll_commands(cx);
        }
    }
}

/// Holds the line in the break condition for a moment.
async fn short_break(line: Arc<dyn Line>) -> io::Result<State> {
    line.change(Change { brk: Some(true), ..Change::default() }).await?;
    tokio::time::sleep(BREAK).await;
    line.change(Change { brk: Some(false), ..Change::default() }).await
}
