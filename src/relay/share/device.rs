//! The device's task: reads it for all clients, and closes it when the last one has gone.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::JoinHandle;

use super::Sharing;
use super::client;
use super::hub::{FAREWELL, Hub, Manner};
use crate::channel::pool::{LARGE, SMALL};
use crate::channel::{Buffer, Channel, Source};
use crate::endpoint::Context;
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::line::{self, Change, State};
use crate::relay::ending::close_both;
use crate::relay::open::open_once;
use crate::relay::serve::until_stopped;
use crate::relay::session::{DRAIN, Outcome};
use crate::relay::stop::{Stop, Stopping};
use crate::relay::{Relay, Ways};

/// How long it may take to read what had arrived when the relay was stopped.
const LAST_WORDS: Duration = Duration::from_millis(20);

/// The device, as long as somebody uses it; dropping it closes it at once.
pub struct Device {
    pub hub: Arc<Hub>,
    /// Ends its reading.
    stop: Stop,
    /// The line as it was opened.
    opened: Option<State>,
    task: Task,
}

/// A task that ends when its handle is dropped.
struct Task(JoinHandle<Result<()>>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Device {
    /// Takes over an open channel.
    fn start(relay: &Arc<Relay>, sharing: &Sharing<'_>, mut channel: Box<Channel>, context: &Context) -> Self {
        let settings = &relay.settings;
        let manner = Manner {
            settings: sharing.listener.options.settings.share.clone(),
            farewell: settings.linger.unwrap_or(FAREWELL),
            flipped: sharing.flipped,
        };
        // What goes one way only is not read here for nobody.
        let (unread, unwritten) = if sharing.flipped {
            (Ways::RightToLeft, Ways::LeftToRight)
        } else {
            (Ways::LeftToRight, Ways::RightToLeft)
        };
        let mut sink = channel.take_sink(&[]);
        if settings.ways == unread {
            channel.source = None;
        }
        if settings.ways == unwritten {
            sink = None;
        }
        // Somebody who must have a line to set through the device finds no single one among the clients.
        line::join(&channel, &Channel::default());
        let hub = Hub::new(manner, &mut channel, sink, Arc::clone(&relay.totals), context.log.clone());
        let (hub, stop) = (Arc::new(hub), Stop::default());
        let tended = Tended {
            relay: Arc::clone(relay),
            hub: Arc::clone(&hub),
            channel,
            address: sharing.device.address.clone(),
            context: context.clone(),
            stop: stop.clone(),
        };
        let opened = hub.line.as_ref().map(|line| line.state());
        Self { hub, stop, opened, task: Task(tokio::spawn(tended.run())) }
    }

    /// Reads what has arrived, and no more.
    pub async fn drain(&self) {
        self.stop.stop();
        self.hub.over().await;
    }

    /// Closes it, and says why it ended if it failed.
    pub async fn close(mut self) -> Result<()> {
        self.stop.abort();
        match (&mut self.task.0).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Ok(()),
        }
    }

    /// Puts the settings of the line back, if that is asked for and nobody is there any more.
    async fn restore(&self) {
        let Some((line, opened)) = self.hub.line.as_ref().zip(self.opened) else { return };
        if !self.hub.manner.settings.restore || !self.hub.is_vacant() || line.state() == opened {
            return;
        }
        match line.change(Change::to(&opened)).await {
            Ok(_) => crate::info!(self.hub.log, "the settings of the line are back to what they were"),
            Err(error) => crate::warning!(self.hub.log, "the settings of the line cannot be put back: {error}"),
        }
    }
}

/// Where sessions find the device; opens it with the first of them if nobody has before.
#[derive(Default)]
pub struct Board {
    current: tokio::sync::Mutex<Weak<Device>>,
    /// Clients so far, over all devices.
    clients: AtomicU64,
}

impl Board {
    /// The device that is open, or else a new one.
    pub async fn enter(&self, relay: &Arc<Relay>, context: &Context) -> Result<Arc<Device>> {
        let Some(sharing) = relay.sharing().transpose()? else {
            return Err(Error::open(Phase::Open, io::ErrorKind::NotFound.into()));
        };
        let mut current = self.current.lock().await;
        if let Some(device) = current.upgrade().filter(|device| !device.hub.is_over() || !sharing.is_lazy()) {
            return Ok(device);
        }
        let channel = open_once(sharing.device, context).await?;
        let device = Arc::new(Device::start(relay, &sharing, channel, context));
        *current = Arc::downgrade(&device);
        Ok(device)
    }

    /// The device that is open, but for one that is being opened or closed.
    pub fn current(&self) -> Option<Arc<Device>> {
        self.current.try_lock().ok()?.upgrade()
    }

    /// Closes the device if nobody else uses it. Nobody can open it anew before that is done.
    pub async fn leave(&self, device: Arc<Device>) -> Result<()> {
        device.restore().await;
        let _current = self.current.lock().await;
        match Arc::into_inner(device) {
            Some(device) => device.close().await,
            None => Ok(()),
        }
    }

    /// Joins one client to the device, until either has ended.
    pub async fn serve(&self, relay: Arc<Relay>, mut left: Box<Channel>, context: Context, stop: Stop) -> Outcome {
        let device = match Box::pin(until_stopped(self.enter(&relay, &context), &stop)).await {
            Ok(device) => device,
            Err(ending) => return ending,
        };
        let stop = stop.child();
        let number = self.clients.fetch_add(1, Ordering::Relaxed) + 1;
        let mut right = Box::new(client::channel(&device.hub, &mut left, number, stop.clone()));
        if device.hub.manner.flipped {
            std::mem::swap(&mut left, &mut right);
        }
        let mut outcome = relay.session(left, right, &context, &stop).await;
        if let Err(error) = Box::pin(self.leave(device)).await {
            outcome.error.get_or_insert(error);
        }
        outcome
    }
}

/// What the device's task works with.
struct Tended {
    relay: Arc<Relay>,
    hub: Arc<Hub>,
    channel: Box<Channel>,
    address: String,
    context: Context,
    stop: Stop,
}

impl Tended {
    /// Reads the device until it ends or that is stopped; closes it when all clients have gone.
    async fn run(mut self) -> Result<()> {
        let mut source = self.channel.source.take();
        let programs = [self.channel.attached.as_deref(), self.channel.also.as_deref()];
        let ended = tokio::select! {
            biased;
            () = self.stop.reached(Stopping::Drain) => None,
            ended = pump(&mut source, &self.hub, self.relay.settings.buffer) => Some(ended),
            never = self.relay.pass_signals_to(programs) => match never {},
            never = tell_events(&self.hub) => match never {},
        };
        if let (None, Some(source)) = (&ended, &mut source)
            && self.stop.state() == Stopping::Drain
        {
            last_words(source, &self.hub).await;
        }
        self.hub.end();
        let result = match ended {
            Some(Err((phase, error))) => Err(Error::transfer(phase, error).at(self.address.clone())),
            _ => Ok(()),
        };
        self.hub.vacant().await;
        self.hub.close();
        self.channel.source = source;
        self.channel.sink = self.hub.writers().take();
        if let Some(sink) = &mut self.channel.sink {
            // The other side cannot hold up the end for long, and errors say nothing to anybody now.
            let shutdown = std::future::poll_fn(|cx| Pin::new(&mut *sink).poll_shutdown(cx));
            let _ = tokio::time::timeout(DRAIN, shutdown).await;
        }
        let lost = self.count_unwritten();
        let closed = close_both(None, Some(self.channel), &self.context, &self.stop).await;
        result.and(lost).and(closed)
    }

    /// Counts what the device had taken from clients and never passed on (`reconnect`).
    fn count_unwritten(&mut self) -> Result<()> {
        let unwritten = self.channel.sink.as_mut().map(|sink| sink.give_up()).unwrap_or_default();
        let (_, told) = self.hub.tallies();
        told.take_back(unwritten.lost + unwritten.discarded);
        told.lose(unwritten.lost);
        if unwritten.lost == 0 {
            return Ok(());
        }
        let message = format!("{} bytes of clients were kept and could not be written", unwritten.lost);
        // An error of the device comes before this one.
        crate::warning!(self.hub.log, "{}: {message}", self.address);
        Err(Error::new(ErrorKind::Transfer, Phase::Write, message).at(self.address.clone()))
    }
}

/// Gives the hub all the device says, until its end.
async fn pump(
    source: &mut Option<Box<dyn Source>>,
    hub: &Hub,
    buffer: Option<usize>,
) -> Result<(), (Phase, io::Error)> {
    let Some(source) = source else { return Err((Phase::Write, hub.broken().await)) };
    let size = match buffer {
        Some(size) => size.max(1),
        None if source.in_messages() => LARGE,
        None => SMALL.min(hub.manner.settings.queue),
    };
    loop {
        std::future::poll_fn(|cx| hub.poll_room(cx, size)).await;
        if read(source, hub, size).await.map_err(|error| (Phase::Read, error))? == 0 {
            return Ok(());
        }
        // Whoever can takes it before there is more.
        tokio::task::yield_now().await;
    }
}

/// Reads once; 0 is the end. The buffer is taken for the call only.
async fn read(source: &mut Box<dyn Source>, hub: &Hub, size: usize) -> io::Result<usize> {
    std::future::poll_fn(|cx| {
        let mut buffer = Buffer::take(size);
        let mut room = ReadBuf::new(&mut buffer[..size]);
        match Pin::new(&mut *source).poll_read(cx, &mut room) {
            Poll::Pending => {
                hub.writers().poll_beside(cx);
                hub.rest();
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                hub.push(room.filled());
                Poll::Ready(Ok(room.filled().len()))
            }
        }
    })
    .await
}

/// Reads what has arrived by now.
async fn last_words(source: &mut Box<dyn Source>, hub: &Hub) {
    let mut left = source.arrived();
    let reading = async {
        while left > 0 {
            match read(source, hub, left.min(SMALL)).await {
                Ok(count) if count > 0 => left = left.saturating_sub(count),
                _ => break,
            }
        }
    };
    // What cannot be read in time had not arrived.
    let _ = tokio::time::timeout(LAST_WORDS, reading).await;
}

/// Tells the clients what the line tells, as long as any of them watches.
async fn tell_events(hub: &Hub) -> std::convert::Infallible {
    let Some(line) = &hub.line else { return std::future::pending().await };
    loop {
        hub.watched.notified().await;
        let mut events = line.watch();
        while let Some(event) = events.recv().await {
            if !hub.tell(event, None) {
                break;
            }
        }
    }
}
