//! Two channels being relayed: two directions, their timers, and the end of both.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::Instant;

use super::capturing::{self, with_recording};
use super::clock::Alarm;
use super::direction::Direction;
use super::ending::{close_both, pass_reset_on, put_back};
use super::report::{Ended, Flow, Tally};
use super::stop::{Stop, Stopping};
use super::{Relay, Settings, Ways};
use crate::capture::{Recording, Toward};
use crate::channel::{Attached, Channel};
use crate::endpoint;
use crate::error::{Error, ErrorKind, Phase};
use crate::line;
use crate::log::{Level, Log};
use crate::{failure, notice, warning};

/// How long what was read may take to be written once the relay is told to stop.
pub(super) const DRAIN: Duration = Duration::from_millis(100);

/// What one session did.
#[derive(Debug, Default)]
pub struct Outcome {
    /// From the left channel to the right one.
    pub right: Flow,
    /// From the right channel to the left one.
    pub left: Flow,
    /// Why it ended.
    pub ended: Ended,
    /// The first error.
    pub error: Option<Error>,
}

/// What the directions are polled with.
struct Way<'a> {
    direction: Option<Direction>,
    /// What else there is to know about it: tally, addresses.
    relay: &'a Relay,
    /// The number of the descriptor that is read, for the log.
    descriptor: i32,
    /// 1 is the left channel, 2 the right one; for the log.
    side: u8,
    /// The end was logged.
    told: bool,
    /// The error that ended it, told already.
    error: Option<Error>,
}

impl<'a> Way<'a> {
    fn tally(&self) -> &'a Tally {
        let totals = &self.relay.totals;
        if self.side == 1 { &totals.left_to_right } else { &totals.right_to_left }
    }

    /// The address that did not do its part, for errors.
    fn address(&self, phase: Phase) -> &'a str {
        let is_left = (self.side == 1) == (phase == Phase::Read);
        if is_left { &self.relay.left.address } else { &self.relay.right.address }
    }

    fn poll(&mut self, cx: &mut Context<'_>, log: &Log) -> bool {
        let tally = self.tally();
        let Some(direction) = &mut self.direction else { return true };
        let done = direction.is_done() || direction.poll(cx, tally, &self.relay.turns).is_ready();
        let (error, is_cool, has_ended) = (direction.take_error(), direction.is_cool(), direction.has_ended());
        if let Some(error) = error {
            self.told = true;
            let address = self.address(error.phase());
            let error = error.at(address);
            // At once, since the other direction may go on for long.
            if is_cool {
                notice!(log, "{}", error.line());
            } else {
                failure!(log, "{}", error.line());
                self.error = Some(error.logged());
            }
        }
        if has_ended && !self.told {
            self.told = true;
            notice!(log, "socket {} (fd {}) is at EOF", self.side, self.descriptor);
        }
        done
    }

    /// Gives up when `other` has lost the connection this one writes to.
    fn follow(&mut self, other: &Self) {
        let tally = self.tally();
        if let (Some(direction), Some(other)) = (&mut self.direction, &other.direction)
            && other.was_reset()
            && !direction.is_done()
            && direction.answers(other)
        {
            direction.abandon(tally);
        }
    }

    fn blocks(&self) -> u64 {
        self.direction.as_ref().map_or(0, |direction| direction.flow().blocks + direction.flow().bytes)
    }

    /// Came to its end, and was there to begin with.
    fn is_over(&self) -> bool {
        self.direction.as_ref().is_some_and(Direction::is_done)
    }

    fn is_open(&self) -> bool {
        self.direction.as_ref().is_some_and(|direction| !direction.is_done())
    }
}

/// The future that moves the bytes.
struct Moving<'a> {
    right: Way<'a>,
    left: Way<'a>,
    settings: &'a Settings,
    log: &'a Log,
    alarm: Option<Alarm>,
    last: Instant,
    seen: u64,
}

impl Moving<'_> {
    fn was_reset(&self) -> bool {
        [&self.right, &self.left].iter().any(|way| way.direction.as_ref().is_some_and(Direction::was_reset))
    }

    /// The time the session may be silent for, as things stand, and why it would end then.
    fn patience(&self) -> Option<(Duration, Ended)> {
        let one_over = self.right.is_over() || self.left.is_over();
        let linger = self.settings.linger.filter(|_| one_over).map(|limit| (limit, Ended::Lingered));
        let idle = self.settings.idle.map(|limit| (limit, Ended::Idle));
        linger.into_iter().chain(idle).min_by_key(|(limit, _)| *limit)
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let Some((limit, ended)) = self.patience() else { return Poll::Pending };
        let seen =
            self.right.blocks() + self.left.blocks() + u64::from(self.right.is_over()) + u64::from(self.left.is_over());
        if seen != self.seen {
            self.seen = seen;
            self.last = Instant::now();
        }
        let deadline = self.last + limit;
        if Instant::now() >= deadline {
            return Poll::Ready(ended);
        }
        // An alarm that is early (bytes moved since it was set) is set anew when it goes off, not with each block.
        let fits = |alarm: &Alarm| alarm.time() <= deadline && alarm.time() > Instant::now();
        if !self.alarm.as_ref().is_some_and(fits) {
            self.alarm = Some(self.right.relay.clock.set(deadline, cx));
        }
        Poll::Pending
    }
}

impl Future for Moving<'_> {
    type Output = Ended;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        let this = self.get_mut();
        let right = this.right.poll(cx, this.log);
        let left = this.left.poll(cx, this.log);
        this.left.follow(&this.right);
        this.right.follow(&this.left);
        let over = |way: &Way<'_>, done| done || way.is_over();
        if over(&this.right, right) && over(&this.left, left) {
            return Poll::Ready(Ended::Finished);
        }
        this.poll_timer(cx)
    }
}

/// Relays between two channels until both directions have ended, a timer cuts them, or `stop` is used.
pub async fn run(
    mut left: Box<Channel>,
    mut right: Box<Channel>,
    relay: &Relay,
    context: &endpoint::Context,
    stop: &Stop,
) -> Outcome {
    let (log, settings) = (&context.log, &relay.settings);
    if log.enabled(Level::Notice) {
        let ((a, b), (c, d)) = (left.descriptors(), right.descriptors());
        notice!(log, "starting data transfer loop with FDs [{a},{b}] and [{c},{d}]");
    }
    line::join(&left, &right);
    let recording = relay.recording(&left, &right);
    let mut moving = Moving {
        right: way(&mut left, &mut right, 1, relay, recording.as_deref()),
        left: way(&mut right, &mut left, 2, relay, recording.as_deref()),
        settings,
        log,
        alarm: None,
        last: Instant::now(),
        seen: 0,
    };
    // Of most channels nothing is left but their ends, and idle sessions are many.
    let [mut left, mut right] = [left, right].map(|channel| Some(channel).filter(|channel| !channel.is_spent()));
    let program =
        |channel: &'_ Option<Box<Channel>>| channel.as_ref().is_some_and(|channel| channel.attached.is_some());
    let ended = if program(&left) || program(&right) {
        let programs = [&left, &right].map(|channel| channel.as_ref().and_then(|channel| channel.attached.as_deref()));
        Box::pin(drive_with_signals(&mut moving, relay, programs, stop)).await
    } else {
        drive(&mut moving, stop).await
    };
    let mut outcome = conclude(&mut moving, ended, settings);
    // What few sessions need is boxed, for the sake of the many idle ones.
    if moving.was_reset() {
        Box::pin(pass_resets_on(&moving)).await;
    }
    put_back(moving.right.direction.take(), left.as_deref_mut(), right.as_deref_mut());
    put_back(moving.left.direction.take(), right.as_deref_mut(), left.as_deref_mut());
    if (left.is_some() || right.is_some())
        && let Err(error) = Box::pin(close_both(left, right, context, stop)).await
    {
        outcome.error.get_or_insert(error);
    }
    if outcome.error.is_some() && outcome.ended != Ended::Stopped {
        outcome.ended = Ended::Failed;
    }
    if let Some(recording) = recording {
        capturing::conclude(*recording, &outcome);
    }
    outcome
}

/// The direction from `from` to `to`; none when one of them has no such end, or it is not wanted.
fn way<'a>(from: &mut Channel, to: &mut Channel, side: u8, relay: &'a Relay, recording: Option<&Recording>) -> Way<'a> {
    let settings = &relay.settings;
    let (wanted, taps, toward) = match side {
        1 => (settings.ways != Ways::RightToLeft, &settings.taps_right, Toward::Right),
        _ => (settings.ways != Ways::LeftToRight, &settings.taps_left, Toward::Left),
    };
    let taps = with_recording(taps, recording, toward);
    let descriptor = from.descriptors().0;
    let ends = if wanted && from.source.is_some() && to.sink.is_some() {
        from.source.take().zip(to.take_sink(&taps))
    } else {
        None
    };
    let direction = ends.map(|(source, sink)| Direction::new(source, sink, settings.buffer, to.cool_write));
    Way { direction, relay, descriptor, side, told: false, error: None }
}

/// As [`drive`], while signals are passed on to the programs of the session.
async fn drive_with_signals(
    moving: &mut Moving<'_>,
    relay: &Relay,
    programs: [Option<&dyn Attached>; 2],
    stop: &Stop,
) -> Ended {
    tokio::select! {
        biased;
        ended = drive(moving, stop) => ended,
        never = relay.pass_signals_to(programs) => match never {},
    }
}

/// Polls the session until it ends by itself or is stopped.
async fn drive(moving: &mut Moving<'_>, stop: &Stop) -> Ended {
    tokio::select! {
        biased;
        ended = &mut *moving => return ended,
        () = stop.reached(Stopping::Drain) => {}
    }
    Box::pin(drain(moving, stop)).await;
    Ended::Stopped
}

/// Writes what has arrived, and reads no more.
async fn drain(moving: &mut Moving<'_>, stop: &Stop) {
    for way in [&mut moving.right, &mut moving.left] {
        way.told = true;
        if let Some(direction) = &mut way.direction {
            direction.stop_reading();
        }
    }
    tokio::select! {
        biased;
        () = stop.reached(Stopping::Abort) => {}
        _ = tokio::time::timeout(DRAIN, &mut *moving) => {}
    }
}

/// Counts what is left over and says why the session ended.
fn conclude(moving: &mut Moving<'_>, ended: Ended, settings: &Settings) -> Outcome {
    let mut outcome = Outcome { ended, ..Outcome::default() };
    if ended == Ended::Idle {
        notice!(moving.log, "inactivity timeout triggered");
    }
    if ended == Ended::Lingered && moving.log.enabled(Level::Info) {
        crate::info!(moving.log, "half close: the other direction was silent for {} s", seconds(settings.linger));
    }
    let cut = matches!(ended, Ended::Lingered | Ended::Idle);
    for way in [&mut moving.right, &mut moving.left] {
        let waiting = way.is_open() && way.direction.as_ref().is_some_and(Direction::has_pending);
        let (tally, address) = (way.tally(), way.address(Phase::Read));
        let Some(direction) = &mut way.direction else { continue };
        direction.abandon(tally);
        let cut_short = || cut_short(ended, settings).at(address);
        let error = way.error.take().or_else(|| (cut && waiting).then(cut_short));
        if outcome.error.is_none() {
            outcome.error = error;
        }
    }
    let flow = |way: &Way<'_>| way.direction.as_ref().map(Direction::flow).unwrap_or_default();
    outcome.right = flow(&moving.right);
    outcome.left = flow(&moving.left);
    let lost = outcome.right.undelivered + outcome.left.undelivered;
    let written: u64 =
        [outcome.right, outcome.left].iter().filter(|flow| flow.undelivered > 0).map(|flow| flow.bytes).sum();
    if lost > 0 {
        let message = format!("{lost} bytes were read but could not be written, after {written} that were");
        if outcome.error.is_some() {
            warning!(moving.log, "{message}");
        } else {
            outcome.error = Some(Error::new(ErrorKind::Transfer, Phase::Write, message));
        }
    }
    outcome
}

fn cut_short(ended: Ended, settings: &Settings) -> Error {
    let (switch, limit) = if ended == Ended::Idle { ("-T", settings.idle) } else { ("-t", settings.linger) };
    Error::new(ErrorKind::Transfer, Phase::Read, format!("cut after {} s with bytes still waiting", seconds(limit)))
        .hint(format!("a longer {switch} gives the other side more time"))
}

fn seconds(limit: Option<Duration>) -> f64 {
    limit.unwrap_or_default().as_secs_f64()
}

/// Passes resets on, each way.
async fn pass_resets_on(moving: &Moving<'_>) {
    for direction in [&moving.right, &moving.left].into_iter().filter_map(|way| way.direction.as_ref()) {
        pass_reset_on(direction).await;
    }
}
