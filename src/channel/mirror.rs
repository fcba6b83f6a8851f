//! The master of a pseudo terminal that stands for a line elsewhere: the speed a program sets on the slave, its
//! stop bits, flow control and flushes, become those of the line.
//!
//! The kernel tells the master of them: packet mode and `EXTPROC` of `ioctl_tty(2)` and termios(3). Programs that
//! clear `EXTPROC` are looked after instead, [`PAUSE`] apart. Size and parity are not to be seen on a pseudo
//! terminal, nor break, DTR and RTS: the kernel has none of them there.
//!
//! What a program wrote before it set something has mostly been read by then. Where it has not, the kernel tells
//! of the setting first, so it is made first: a program that cares waits for an answer in between.

use std::future::Future as _;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::{Beside, Port, Source};
use crate::endpoint::BoxFuture;
use crate::info;
use crate::line::{Change, Control, Event, FlowControl, Line, State, StopBits};
use crate::log::Log;
use crate::sys::pty;
use crate::sys::termios::{Termios, Word, is_near};

/// Time between two looks at settings the kernel does not tell of.
const PAUSE: Duration = Duration::from_millis(30);

/// Takes the line a [`Mirror`] is to set. Only a real one: without it the terminal is left as it is.
#[derive(Default)]
pub struct MirrorControl(Mutex<Option<Arc<dyn Line>>>);

impl MirrorControl {
    fn is_given(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn take(&self) -> Option<Arc<dyn Line>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Control for MirrorControl {
    fn attach(&self, line: Arc<dyn Line>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(line);
    }

    fn must_have(&self) -> bool {
        false
    }
}

/// The part of a line's settings that shows on a pseudo terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shown {
    baud: u32,
    stop_bits: StopBits,
    flow_out: FlowControl,
    flow_in: FlowControl,
}

impl Shown {
    fn on(settings: &Termios) -> Self {
        Self {
            baud: settings.output_speed(),
            stop_bits: settings.stop_bits(),
            flow_out: settings.flow_out(),
            flow_in: settings.flow_in(),
        }
    }

    /// What makes a line have these settings, all of them.
    fn whole(self) -> Change {
        Change {
            baud: Some(self.baud),
            stop_bits: Some(self.stop_bits),
            flow_out: Some(self.flow_out),
            flow_in: Some(self.flow_in),
            ..Change::default()
        }
    }

    /// What became different.
    fn since(self, before: Self) -> Change {
        Change {
            baud: Some(self.baud).filter(|now| *now != before.baud),
            stop_bits: Some(self.stop_bits).filter(|now| *now != before.stop_bits),
            flow_out: Some(self.flow_out).filter(|now| *now != before.flow_out),
            flow_in: Some(self.flow_in).filter(|now| *now != before.flow_in),
            ..Change::default()
        }
    }

    /// What is to become different on a terminal so that it shows what the line has. A speed that is near
    /// enough stays as the program wrote it.
    fn towards(self, state: &State) -> Change {
        let shown = Self {
            // A terminal with speed 0 is hung up.
            baud: if state.baud == 0 || is_near(self.baud, state.baud) { self.baud } else { state.baud },
            stop_bits: state.stop_bits,
            flow_out: state.flow_out,
            flow_in: state.flow_in,
        };
        shown.since(self)
    }
}

/// Something waited for, kept where sources are shared between threads.
struct Awaited<T>(Mutex<BoxFuture<'static, T>>);

impl<T> Awaited<T> {
    fn new(future: BoxFuture<'static, T>) -> Self {
        Self(Mutex::new(future))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<T> {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner).as_mut().poll(cx)
    }
}

/// The terminal while it stands for a line.
struct Mirrored {
    port: Arc<Port>,
    line: Arc<dyn Line>,
    events: mpsc::Receiver<Event>,
    /// What the slave had when it was last looked at.
    shown: Shown,
    /// Whether the kernel tells of changes: `EXTPROC` is set.
    told: bool,
    /// Found, and not passed on yet.
    wanted: Change,
    /// Being made on the line; nothing is read meanwhile.
    under_way: Option<Awaited<io::Result<State>>>,
    /// Until the next look, where the kernel does not tell.
    pause: Option<Pin<Box<Sleep>>>,
    /// Until the kernel tells, while no data are read.
    urgent: Option<Awaited<io::Result<()>>>,
    log: Log,
}

impl Mirrored {
    /// Begins: the terminal shows what the line has, but for what the `wish` says, which the line is to have, and
    /// for the speed that a program has set since the terminal was `made`: it need not have waited for the line.
    fn begin(port: &Arc<Port>, line: Arc<dyn Line>, wish: Change, made: Shown, log: &Log) -> io::Result<Self> {
        pty::set_packet_mode(port.as_fd(), true)?;
        let events = line.watch();
        let mut settings = Termios::read(port.as_fd())?;
        let Change { baud, stop_bits, .. } = Shown::on(&settings).since(made);
        let wish = wish.then(&Change { baud, stop_bits, ..Change::default() });
        let state = wish.applied_to(line.state());
        settings.change(&Shown::on(&settings).towards(&state));
        settings.set(Word::Local, libc::EXTPROC, true);
        settings.write(port.as_fd())?;
        let mut mirrored = Self {
            port: Arc::clone(port),
            line,
            events,
            shown: Shown::on(&settings),
            told: true,
            wanted: wish,
            under_way: None,
            pause: None,
            urgent: None,
            log: log.clone(),
        };
        mirrored.read_back()?;
        info!(log, "the settings of this terminal are passed on to the line of the other address");
        Ok(mirrored)
    }

    /// Another line takes the place of the one before: it gets all that shows, and the `wish` for the rest.
    fn change_over(&mut self, line: Arc<dyn Line>, wish: Change) {
        self.events = line.watch();
        self.line = line;
        self.under_way = None;
        self.wanted = wish.then(&self.shown.whole());
    }

    fn read_back(&mut self) -> io::Result<()> {
        let settings = Termios::read(self.port.as_fd())?;
        self.shown = Shown::on(&settings);
        self.told = settings.has(Word::Local, libc::EXTPROC);
        Ok(())
    }

    /// Looks what a program has changed.
    fn look(&mut self) -> io::Result<()> {
        let before = self.shown;
        self.read_back()?;
        self.wanted = self.wanted.then(&self.shown.since(before));
        Ok(())
    }

    /// Takes note of what the kernel tells.
    fn note(&mut self, status: u8) -> io::Result<()> {
        self.wanted.purge_in |= status & pty::FLUSHED_INPUT != 0;
        self.wanted.purge_out |= status & pty::FLUSHED_OUTPUT != 0;
        if status & pty::SET != 0 { self.look() } else { Ok(()) }
    }

    /// Makes the terminal show what the line has. A program that has set something since is not interfered with.
    fn show(&mut self, state: &State) -> io::Result<()> {
        let mut settings = Termios::read(self.port.as_fd())?;
        let change = self.shown.towards(state);
        if change.is_empty() || Shown::on(&settings) != self.shown {
            return Ok(());
        }
        settings.change(&change);
        settings.write(self.port.as_fd())?;
        self.read_back()
    }

    /// Takes note of what came of a change.
    fn finish(&mut self, made: io::Result<State>) -> io::Result<()> {
        match made {
            Ok(state) => {
                info!(self.log, "the line has {} baud now", state.baud);
                self.show(&state)
            }
            // Its channel ends by itself, and says why.
            Err(error) => {
                info!(self.log, "the line cannot be set: {error}");
                Ok(())
            }
        }
    }

    /// Passes on what is wanted, and waits until it is done.
    fn poll_settle(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(change) = &mut self.under_way {
                let made = ready!(change.poll(cx));
                self.under_way = None;
                self.finish(made)?;
            }
            if self.wanted.is_empty() {
                return Poll::Ready(Ok(()));
            }
            self.under_way = Some(Awaited::new(self.line.change(std::mem::take(&mut self.wanted))));
        }
    }

    /// Waits for what comes otherwise than by reading; true when there is something to pass on.
    fn poll_news(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        while let Poll::Ready(Some(event)) = self.events.poll_recv(cx) {
            if let (Event::State(state), true, true) = (event, self.wanted.is_empty(), self.under_way.is_none()) {
                self.show(&state)?;
            }
        }
        if self.told {
            self.pause = None;
        } else {
            let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(PAUSE)));
            if pause.as_mut().poll(cx).is_ready() {
                pause.as_mut().reset(tokio::time::Instant::now() + PAUSE);
                // Registers the timer anew.
                let _ = pause.as_mut().poll(cx);
                self.look()?;
            }
        }
        Ok(!self.wanted.is_empty())
    }

    /// Takes what the kernel tells, without reading data. Says whether the output was dropped by the program.
    fn poll_told(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut purged = false;
        loop {
            while let Some(status) = pty::read_status(self.port.as_fd())? {
                purged |= status & pty::FLUSHED_OUTPUT != 0;
                self.note(status)?;
            }
            let port = &self.port;
            let urgent = self.urgent.get_or_insert_with(|| Awaited::new(told(Arc::clone(port))));
            match urgent.poll(cx) {
                Poll::Ready(result) => {
                    self.urgent = None;
                    result?;
                }
                Poll::Pending => return Ok(purged),
            }
        }
    }

    /// Passes on what does not wait until the bytes before it are written: what may be in the way of these.
    fn poll_hasten(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let Change { flow_out, flow_in, purge_in, purge_out, .. } = self.wanted;
        let now = Change { flow_out, flow_in, purge_in, purge_out, ..Change::default() };
        if self.under_way.is_none() && !now.is_empty() {
            self.wanted = Change { flow_out: None, flow_in: None, purge_in: false, purge_out: false, ..self.wanted };
            self.under_way = Some(Awaited::new(self.line.change(now)));
        }
        match self.under_way.as_mut().map(|change| change.poll(cx)) {
            Some(Poll::Ready(made)) => {
                self.under_way = None;
                self.finish(made)
            }
            _ => Ok(()),
        }
    }
}

/// Waits until the kernel tells something of the slave.
fn told(port: Arc<Port>) -> BoxFuture<'static, io::Result<()>> {
    Box::pin(async move {
        let fd = crate::sys::fd::register_urgent(port.as_fd().try_clone_to_owned()?)?;
        let _seen = fd.ready(Interest::PRIORITY).await?;
        Ok(())
    })
}

/// Reads a master, and passes on what is set on its slave once there is a line.
pub struct Mirror {
    inner: Box<dyn Source>,
    port: Arc<Port>,
    control: Arc<MirrorControl>,
    wish: Change,
    made: Shown,
    /// The settings may become others without a word: the slave is closed for a while, and new when it is opened.
    sat_out: bool,
    mirrored: Option<Mirrored>,
    log: Log,
}

impl Mirror {
    /// Reads `inner`, which is `port` or waits for its slave (`sat_out`). `wish` is what the line is to have to
    /// begin with; `made` is what the terminal had when nobody could have opened it.
    pub fn new(
        inner: Box<dyn Source>,
        port: &Arc<Port>,
        control: Arc<MirrorControl>,
        wish: Change,
        made: &Termios,
        sat_out: bool,
        log: &Log,
    ) -> Self {
        let (port, made, log) = (Arc::clone(port), Shown::on(made), log.clone());
        Self { inner, port, control, wish, made, sat_out, mirrored: None, log }
    }

    /// Begins as soon as there is a line.
    fn adopt(&mut self) -> io::Result<Option<&mut Mirrored>> {
        if let Some(line) = self.control.take() {
            match &mut self.mirrored {
                Some(mirrored) => mirrored.change_over(line, self.wish),
                None => self.mirrored = Some(Mirrored::begin(&self.port, line, self.wish, self.made, &self.log)?),
            }
        }
        if let Some(mirrored) = &mut self.mirrored
            && self.sat_out
        {
            mirrored.told = false;
        }
        Ok(self.mirrored.as_mut())
    }
}

/// Reads a packet: what stands at its beginning, and into `buf` what follows. `None` is the end.
fn poll_packet(
    inner: &mut Box<dyn Source>,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<Option<u8>>> {
    let mut scratch = [0; 2];
    // The byte at the beginning and one more need room.
    let small = buf.remaining() < scratch.len();
    let room = if small { &mut scratch[..] } else { buf.initialize_unfilled() };
    let mut packet = ReadBuf::new(room);
    ready!(Pin::new(inner).poll_read(cx, &mut packet))?;
    let Some((status, data)) = packet.filled().split_first() else { return Poll::Ready(Ok(None)) };
    let (status, count) = (*status, data.len());
    if small {
        buf.put_slice(&scratch[1..=count]);
    } else {
        buf.initialize_unfilled().copy_within(1..=count, 0);
        buf.advance(count);
    }
    Poll::Ready(Ok(Some(status)))
}

impl AsyncRead for Mirror {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            this.adopt()?;
            let Some(mirrored) = &mut this.mirrored else { return Pin::new(&mut this.inner).poll_read(cx, buf) };
            if !mirrored.told {
                mirrored.look()?;
            }
            ready!(mirrored.poll_settle(cx))?;
            let filled = buf.filled().len();
            match poll_packet(&mut this.inner, cx, buf) {
                Poll::Pending if mirrored.poll_news(cx)? => {}
                Poll::Pending => return Poll::Pending,
                Poll::Ready(packet) => match packet? {
                    None => return Poll::Ready(Ok(())),
                    Some(pty::DATA) if buf.filled().len() > filled => return Poll::Ready(Ok(())),
                    Some(status) => mirrored.note(status)?,
                },
            }
        }
    }
}

impl Source for Mirror {
    fn port(&self) -> Option<&Arc<Port>> {
        // What is read from the descriptor is packets then.
        if self.mirrored.is_some() || self.control.is_given() { None } else { self.inner.port() }
    }

    fn has_unread(&self) -> bool {
        self.inner.has_unread()
    }

    fn in_messages(&self) -> bool {
        self.inner.in_messages()
    }

    fn poll_beside(&mut self, cx: &mut Context<'_>) -> Beside {
        // An error is met again by reading, and told there.
        let Ok(Some(mirrored)) = self.adopt() else { return Beside::Nothing };
        let purged = mirrored.poll_told(cx).unwrap_or(false);
        let _ = mirrored.poll_news(cx);
        let _ = mirrored.poll_hasten(cx);
        if purged { Beside::Purge } else { Beside::Nothing }
    }
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
