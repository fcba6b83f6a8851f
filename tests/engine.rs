//! The engine's promise: every byte read is written, or counted as undelivered with an error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use ferrule::channel::{Channel, Sink, Source};
use ferrule::endpoint::{self, BoxFuture, Connect, Direction, Kind, Opener, Plan};
use ferrule::log::Log;
use ferrule::option::Groups;
use ferrule::relay::{Ended, Relay, Report, Settings, Stop};
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// What a scripted source does next.
#[derive(Debug, Clone)]
enum Read {
    Bytes(Vec<u8>),
    Pause(Duration),
    Fail(i32),
}

/// What a scripted sink does with the next write.
#[derive(Debug, Clone)]
enum Write {
    Take(usize),
    Pause(Duration),
    Fail(i32),
}

struct ScriptedSource {
    script: VecDeque<Read>,
    timer: Option<Pin<Box<Sleep>>>,
    /// Bytes handed out.
    given: Arc<Mutex<Vec<u8>>>,
}

impl AsyncRead for ScriptedSource {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(timer) = &mut self.timer {
                std::task::ready!(timer.as_mut().poll(cx));
                self.timer = None;
            }
            match self.script.pop_front() {
                None => return Poll::Ready(Ok(())),
                Some(Read::Pause(time)) => self.timer = Some(Box::pin(tokio::time::sleep(time))),
                Some(Read::Fail(errno)) => return Poll::Ready(Err(io::Error::from_raw_os_error(errno))),
                Some(Read::Bytes(mut bytes)) => {
                    if bytes.is_empty() {
                        continue;
                    }
                    let rest = bytes.split_off(bytes.len().min(buf.remaining()));
                    if !rest.is_empty() {
                        self.script.push_front(Read::Bytes(rest));
                    }
                    buf.put_slice(&bytes);
                    self.given.lock().unwrap().extend(&bytes);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl Source for ScriptedSource {
    fn has_unread(&self) -> bool {
        self.timer.is_none() && matches!(self.script.front(), Some(Read::Bytes(_)))
    }
}

struct ScriptedSink {
    script: VecDeque<Write>,
    timer: Option<Pin<Box<Sleep>>>,
    state: Arc<Mutex<Taken>>,
}

#[derive(Debug, Default)]
struct Taken {
    bytes: Vec<u8>,
    shut: Option<Instant>,
}

impl AsyncWrite for ScriptedSink {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            if let Some(timer) = &mut self.timer {
                std::task::ready!(timer.as_mut().poll(cx));
                self.timer = None;
            }
            let most = match self.script.pop_front() {
                None => usize::MAX,
                Some(Write::Take(most)) => most.max(1),
                Some(Write::Pause(time)) => {
                    self.timer = Some(Box::pin(tokio::time::sleep(time)));
                    continue;
                }
                Some(Write::Fail(errno)) => return Poll::Ready(Err(io::Error::from_raw_os_error(errno))),
            };
            let count = buf.len().min(most);
            self.state.lock().unwrap().bytes.extend(&buf[..count]);
            return Poll::Ready(Ok(count));
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.lock().unwrap().shut = Some(Instant::now());
        Poll::Ready(Ok(()))
    }
}

impl Sink for ScriptedSink {}

/// An endpoint that opens once, as scripted.
struct Scripted {
    ends: Mutex<Option<(ScriptedSource, ScriptedSink)>>,
    given: Arc<Mutex<Vec<u8>>>,
    taken: Arc<Mutex<Taken>>,
}

impl Scripted {
    fn new(reads: Vec<Read>, writes: Vec<Write>) -> Self {
        let (given, taken) = (Arc::default(), Arc::default());
        let source = ScriptedSource { script: reads.into(), timer: None, given: Arc::clone(&given) };
        let sink = ScriptedSink { script: writes.into(), timer: None, state: Arc::clone(&taken) };
        Self { ends: Mutex::new(Some((source, sink))), given, taken }
    }
}

struct Shared(Arc<Scripted>);

impl Connect for Shared {
    fn connect<'a>(&'a self, _: &'a endpoint::Context) -> BoxFuture<'a, ferrule::Result<Channel>> {
        Box::pin(async move {
            let (source, sink) = self.0.ends.lock().unwrap().take().expect("opened once");
            Ok(Channel::halves(Some(source), Some(sink), &ferrule::option::Settings::default()))
        })
    }
}

static KIND: Kind = Kind {
    name: "SCRIPTED",
    aliases: &[],
    usage: "",
    params: (0, 0),
    groups: Groups::FD,
    direction: Direction::Both,
    doc: "for tests",
    plan: |_| unreachable!("plans are made by hand"),
};

fn plan(scripted: &Arc<Scripted>) -> Plan {
    Plan::of_opener(&KIND, "SCRIPTED", Opener::Connect(Arc::new(Shared(Arc::clone(scripted)))))
}

fn relay(left: &Arc<Scripted>, right: &Arc<Scripted>, settings: Settings) -> Arc<Relay> {
    Arc::new(Relay::new(plan(left), plan(right), settings, Log::silent()))
}

/// Runs on the paused clock: pauses cost nothing and are exact.
fn run(left: &Arc<Scripted>, right: &Arc<Scripted>, settings: Settings) -> Report {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(relay(left, right, settings).run(&Stop::default()))
}

fn bytes(text: &str) -> Read {
    Read::Bytes(text.as_bytes().to_vec())
}

fn scripted(reads: Vec<Read>, writes: Vec<Write>) -> Arc<Scripted> {
    Arc::new(Scripted::new(reads, writes))
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_answer_five_seconds_after_the_end_arrives() {
    let client = scripted(vec![bytes("question")], vec![]);
    let server = scripted(vec![Read::Pause(5 * SECOND), bytes("answer")], vec![]);
    let report = run(&client, &server, Settings::default());
    assert!(report.is_success(), "{report:?}");
    assert_eq!(client.taken.lock().unwrap().bytes, b"answer");
    assert_eq!(server.taken.lock().unwrap().bytes, b"question");
    assert!(server.taken.lock().unwrap().shut.is_some(), "the end of the question was passed on");
    assert_eq!(report.left_to_right.bytes, 8);
    assert_eq!(report.right_to_left.bytes, 6);
}

#[test]
fn linger_counts_from_the_last_byte() {
    let client = scripted(vec![bytes("q")], vec![]);
    let drip =
        vec![Read::Pause(SECOND), bytes("a"), Read::Pause(SECOND), bytes("b"), Read::Pause(9 * SECOND), bytes("c")];
    let server = scripted(drip, vec![]);
    let report = run(&client, &server, Settings { linger: Some(2 * SECOND), ..Settings::default() });
    assert_eq!(report.ended, Ended::Lingered);
    assert!(report.is_success(), "nothing waited when it was cut: {report:?}");
    assert_eq!(client.taken.lock().unwrap().bytes, b"ab");
}

#[test]
fn a_cut_with_bytes_waiting_is_an_error() {
    let client = scripted(vec![bytes("q")], vec![Write::Pause(60 * SECOND)]);
    let server = scripted(vec![bytes("answer")], vec![]);
    let report = run(&client, &server, Settings { linger: Some(SECOND), ..Settings::default() });
    assert!(!report.is_success());
    assert_eq!(report.right_to_left.undelivered, 6);
    assert!(report.error.unwrap().to_string().contains("cut after 1 s"));
}

#[test]
fn silence_ends_an_idle_relay_and_traffic_keeps_it() {
    let mut reads = Vec::new();
    for _ in 0..5 {
        reads.extend([Read::Pause(SECOND), bytes("x")]);
    }
    reads.push(Read::Pause(100 * SECOND));
    let (left, right) = (scripted(reads, vec![]), scripted(vec![Read::Pause(1000 * SECOND)], vec![]));
    let report = run(&left, &right, Settings { idle: Some(2 * SECOND), ..Settings::default() });
    assert_eq!(report.ended, Ended::Idle);
    assert_eq!(report.left_to_right.bytes, 5);
    assert_eq!(report.duration, 7 * SECOND);
}

#[test]
fn an_error_in_one_direction_does_not_stop_the_other() {
    let left = scripted(vec![bytes("lost")], vec![]);
    let right = scripted(vec![Read::Pause(3 * SECOND), bytes("still here")], vec![Write::Fail(libc::EPIPE)]);
    let report = run(&left, &right, Settings::default());
    assert_eq!(left.taken.lock().unwrap().bytes, b"still here");
    assert_eq!(report.left_to_right.undelivered, 4);
    assert_eq!(report.error.unwrap().errno(), Some(libc::EPIPE));
}

#[test]
fn bytes_before_a_reset_are_delivered() {
    let left = scripted(vec![bytes("before"), Read::Fail(libc::ECONNRESET)], vec![]);
    let right = scripted(vec![], vec![Write::Take(1), Write::Pause(SECOND)]);
    let report = run(&left, &right, Settings::default());
    assert_eq!(right.taken.lock().unwrap().bytes, b"before");
    assert!(right.taken.lock().unwrap().shut.is_some(), "the other side learns that nothing more will come");
    assert_eq!(report.undelivered(), 0);
    assert_eq!(report.error.unwrap().errno(), Some(libc::ECONNRESET));
}

#[test]
fn stopping_writes_what_was_read_and_reads_no_more() {
    let left = scripted(vec![bytes("in flight"), bytes("never read")], vec![]);
    let right =
        scripted(vec![Read::Pause(1000 * SECOND)], vec![Write::Take(2), Write::Pause(Duration::from_millis(50))]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let report = runtime.block_on(async {
        let stop = Stop::default();
        let relay = relay(&left, &right, Settings { buffer: Some(9), ..Settings::default() });
        let (report, ()) = tokio::join!(relay.run(&stop), async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            stop.stop();
        });
        report
    });
    assert_eq!(report.ended, Ended::Stopped);
    assert_eq!(right.taken.lock().unwrap().bytes, b"in flight");
    assert_eq!(report.undelivered(), 0);
}

#[test]
fn aborting_counts_what_was_in_flight() {
    let left = scripted(vec![bytes("in flight")], vec![]);
    let right = scripted(vec![Read::Pause(1000 * SECOND)], vec![Write::Pause(1000 * SECOND)]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let report = runtime.block_on(async {
        let stop = Stop::default();
        let relay = relay(&left, &right, Settings::default());
        let (report, ()) = tokio::join!(relay.run(&stop), async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            stop.stop();
        });
        report
    });
    assert_eq!(report.left_to_right.undelivered, 9);
    assert!(report.error.is_some());
    assert!(report.duration < Duration::from_millis(200));
}

fn reads() -> impl Strategy<Value = Vec<Read>> {
    let step = prop_oneof![
        8 => prop::collection::vec(any::<u8>(), 0..40_000).prop_map(Read::Bytes),
        4 => prop::collection::vec(any::<u8>(), 0..20).prop_map(Read::Bytes),
        2 => (0..3000_u64).prop_map(|ms| Read::Pause(Duration::from_millis(ms))),
        1 => prop::sample::select(vec![libc::ECONNRESET, libc::EIO, libc::ETIMEDOUT]).prop_map(Read::Fail),
    ];
    prop::collection::vec(step, 0..8)
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let step = prop_oneof![
        6 => (1..100_000_usize).prop_map(Write::Take),
        3 => (1..4_usize).prop_map(Write::Take),
        2 => (0..3000_u64).prop_map(|ms| Write::Pause(Duration::from_millis(ms))),
        1 => prop::sample::select(vec![libc::EPIPE, libc::ENOSPC, libc::ECONNRESET]).prop_map(Write::Fail),
    ];
    prop::collection::vec(step, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    /// Whatever the ends do: what was written is a prefix of what was read, and the rest is counted, with
    /// an error; without one, everything arrived.
    #[test]
    fn nothing_is_lost_silently(
        ra in reads(), wa in writes(), rb in reads(), wb in writes(),
        linger in prop::option::of(0..4000_u64), buffer in prop::option::of(1..70_000_usize),
    ) {
        let (left, right) = (scripted(ra, wa), scripted(rb, wb));
        let settings = Settings { linger: linger.map(Duration::from_millis), buffer, ..Settings::default() };
        let report = run(&left, &right, settings);
        for (from, to, flow) in [(&left, &right, report.left_to_right), (&right, &left, report.right_to_left)] {
            let (given, taken) = (from.given.lock().unwrap(), to.taken.lock().unwrap());
            prop_assert_eq!(flow.bytes, taken.bytes.len() as u64);
            prop_assert_eq!(flow.bytes + flow.undelivered, given.len() as u64);
            prop_assert!(given.starts_with(&taken.bytes));
        }
        if report.error.is_none() {
            prop_assert_eq!(report.undelivered(), 0);
        }
    }
}
