//! Losses and returns on the paused clock, with openers that follow a script.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::VecDeque;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as Task, Poll, ready};

use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::*;
use crate::channel::reconnect::Outages;
use crate::channel::{Sink, Unwritten};
use crate::endpoint::testing::{Lines, Scratch};
use crate::endpoint::{self, Defaults, Plan};
use crate::line::{Change, Control, Event, Imagined, Line};
use crate::log::Log;
use crate::relay::{Relay, Report, Settings, Stop, Ways};

/// What a source does next; after the last it stays silent.
#[derive(Debug, Clone)]
enum Read {
    Bytes(&'static [u8]),
    Pause(Duration),
    End,
    Fail(i32),
}

use Read::{Bytes, End, Fail, Pause as Silent};

/// One attempt to connect.
#[derive(Clone, Default)]
struct Script {
    reads: Vec<Read>,
    /// So many bytes are taken, then writing fails.
    takes: Option<(usize, i32)>,
    line: Option<Arc<Imagined>>,
    control: Option<Arc<Taken>>,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Script").field(&self.reads).field(&self.takes).finish()
    }
}

fn reads(reads: &[Read]) -> Script {
    Script { reads: reads.to_vec(), ..Script::default() }
}

fn takes(bytes: usize, errno: i32) -> Script {
    Script { takes: Some((bytes, errno)), ..Script::default() }
}

/// Connects as its script says; refuses once that is at its end.
#[derive(Default)]
struct Scripted {
    script: Mutex<VecDeque<Option<Script>>>,
    /// When it was tried.
    tried: Mutex<Vec<Instant>>,
    /// What all its sinks were given.
    given: Arc<Mutex<Vec<u8>>>,
    /// How many bytes its sources gave.
    said: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

impl Scripted {
    fn new(script: impl IntoIterator<Item = Option<Script>>) -> Arc<Self> {
        Arc::new(Self { script: Mutex::new(script.into_iter().collect()), ..Self::default() })
    }

    fn tried(&self) -> Vec<Instant> {
        self.tried.lock().unwrap().clone()
    }

    fn given(&self) -> String {
        String::from_utf8(self.given.lock().unwrap().clone()).unwrap()
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

impl Connect for Scripted {
    fn connect<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(async move {
            self.tried.lock().unwrap().push(Instant::now());
            let script = self.script.lock().unwrap().pop_front().flatten();
            let refused = || Error::open(Phase::Connect, io::Error::from_raw_os_error(libc::ECONNREFUSED));
            let script = script.ok_or_else(refused)?;
            let said = Arc::clone(&self.said);
            let source = ScriptedSource { script: script.reads.into(), timer: None, said };
            let sink = ScriptedSink { takes: script.takes, given: Arc::clone(&self.given) };
            self.open.fetch_add(1, Ordering::Relaxed);
            let mut channel = Channel { source: Some(Box::new(source)), ..Channel::default() };
            channel.sink = Some(Box::new(sink));
            channel.line = script.line.map(|line| line as _);
            channel.control = script.control.map(|control| control as _);
            Ok(channel.guarded(Opened(Arc::clone(&self.open))))
        })
    }
}

struct Opened(Arc<AtomicUsize>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

struct ScriptedSource {
    script: VecDeque<Read>,
    timer: Option<Pin<Box<Sleep>>>,
    said: Arc<AtomicUsize>,
}

impl AsyncRead for ScriptedSource {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Task<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(timer) = &mut self.timer {
                ready!(timer.as_mut().poll(cx));
                self.timer = None;
            }
            match self.script.pop_front() {
                None => return Poll::Pending,
                Some(End) => return Poll::Ready(Ok(())),
                Some(Silent(time)) => self.timer = Some(Box::pin(tokio::time::sleep(time))),
                Some(Fail(errno)) => return Poll::Ready(Err(io::Error::from_raw_os_error(errno))),
                Some(Bytes(bytes)) => {
                    buf.put_slice(bytes);
                    self.said.fetch_add(bytes.len(), Ordering::Relaxed);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl Source for ScriptedSource {}

struct ScriptedSink {
    takes: Option<(usize, i32)>,
    given: Arc<Mutex<Vec<u8>>>,
}

impl AsyncWrite for ScriptedSink {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Task<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let count = match &mut self.takes {
            None => buf.len(),
            Some((0, errno)) => return Poll::Ready(Err(io::Error::from_raw_os_error(*errno))),
            Some((left, _)) => {
                let count = buf.len().min(*left);
                *left -= count;
                count
            }
        };
        self.given.lock().unwrap().extend(&buf[..count]);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Sink for ScriptedSink {}

/// The opener under test around a scripted one.
fn around(scripted: &Arc<Scripted>, change: impl FnOnce(&mut ReconnectSettings)) -> Reconnect {
    let mut options = Options::default();
    options.settings.reconnect.on = true;
    change(&mut options.settings.reconnect);
    let opening = Opening {
        inner: Arc::clone(scripted) as _,
        kind: endpoint::find("TCP-CONNECT").unwrap(),
        options: Arc::new(options),
        address: "TCP:far:1".to_owned(),
        path: None,
        manner: Manner::Peer,
    };
    Reconnect { opening: Arc::new(opening), direction: Direction::Both }
}

/// Its channel, the lines of its log, and what counts its outages.
async fn connected(
    scripted: &Arc<Scripted>,
    change: impl FnOnce(&mut ReconnectSettings),
) -> (Channel, Lines, impl Fn() -> Outages) {
    let lines = Lines::default();
    let context = lines.context();
    let channel = around(scripted, change).connect(&context).await.unwrap();
    (channel, lines, move || context.outages.sum())
}

async fn read(channel: &mut Channel) -> io::Result<Vec<u8>> {
    let mut block = vec![0; 100];
    let count = channel.source.as_mut().unwrap().read(&mut block).await?;
    block.truncate(count);
    Ok(block)
}

async fn write(channel: &mut Channel, bytes: &[u8]) -> io::Result<()> {
    channel.sink.as_mut().unwrap().write_all(bytes).await
}

/// Whether a future has to wait, after one look.
async fn waits<F: Future + Unpin>(future: &mut F) -> bool {
    std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut *future).poll(cx).is_pending())).await
}

const MILLI: Duration = Duration::from_millis(1);

#[tokio::test(start_paused = true)]
async fn an_end_is_not_the_end() {
    let scripted = Scripted::new([Some(reads(&[Bytes(b"one"), End])), None, None, Some(reads(&[Bytes(b"two")]))]);
    let (mut channel, lines, outages) = connected(&scripted, |_| {}).await;
    let begun = Instant::now();
    assert_eq!(read(&mut channel).await.unwrap(), b"one");
    assert_eq!(read(&mut channel).await.unwrap(), b"two");
    let tried: Vec<_> = scripted.tried().iter().map(|time| time.duration_since(begun).as_millis()).collect();
    assert_eq!(tried, [0, 50, 150, 350]);
    let counted = outages();
    assert_eq!((counted.count, counted.away.as_millis()), (1, 350));
    let expected = [
        "W TCP:far:1: connection lost, waiting for it to come back".to_owned(),
        "N TCP:far:1: back after 0.350 s".to_owned(),
    ];
    assert_eq!(lines.all(), expected);
    assert_eq!(scripted.open(), 1);
}

#[tokio::test(start_paused = true)]
async fn every_error_of_reading_is_a_loss_that_says_why() {
    for (errno, words) in [
        (libc::EIO, "I/O error"),
        (libc::ENODEV, "No such device"),
        (libc::ENXIO, "No such device or address"),
        (libc::ECONNRESET, "Connection reset by peer"),
        (libc::ETIMEDOUT, "Connection timed out"),
    ] {
        let scripted = Scripted::new([Some(reads(&[Fail(errno)])), Some(reads(&[Bytes(b"again")]))]);
        let (mut channel, lines, outages) = connected(&scripted, |_| {}).await;
        assert_eq!(read(&mut channel).await.unwrap(), b"again");
        assert_eq!(outages().count, 1);
        let told = lines.after("W TCP:far:1: connection lost (").unwrap();
        assert_eq!(told, format!("{words}), waiting for it to come back"));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_not_accepted_is_written_to_the_next_one() {
    let scripted = Scripted::new([Some(takes(3, libc::EIO)), Some(takes(2, libc::EPIPE)), Some(Script::default())]);
    let (mut channel, _, outages) = connected(&scripted, |_| {}).await;
    write(&mut channel, b"abcdef").await.unwrap();
    assert_eq!((scripted.given(), scripted.open()), ("abc".to_owned(), 0), "closed at once");
    write(&mut channel, b"gh").await.unwrap();
    channel.sink.as_mut().unwrap().flush().await.unwrap();
    assert_eq!((scripted.given(), scripted.open()), ("abcdefgh".to_owned(), 1));
    let counted = outages();
    assert_eq!((counted.count, counted.delivered, scripted.tried().len()), (2, 5, 3));
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_makes_the_writer_wait() {
    let scripted = Scripted::new([Some(reads(&[End])), None, None, Some(Script::default())]);
    let (mut channel, lines, outages) = connected(&scripted, |settings| settings.buffer = Some(4)).await;
    let mut source = channel.source.take().unwrap();
    let reader = tokio::spawn(async move { source.read(&mut [0; 1]).await });
    tokio::task::yield_now().await;
    write(&mut channel, b"1234").await.unwrap();
    assert_eq!(scripted.given(), "");
    write(&mut channel, b"5678").await.unwrap();
    assert_eq!((scripted.given(), scripted.tried().len()), ("12345678".to_owned(), 4));
    assert_eq!(outages().delivered, 4, "the rest went straight through");
    assert_eq!(lines.after("N TCP:far:1: back after 0.350 s, ").unwrap(), "4 bytes were kept meanwhile");
    reader.abort();
}

#[tokio::test(start_paused = true)]
async fn bytes_are_dropped_where_that_is_asked_for() {
    let scripted = Scripted::new([Some(reads(&[End])), None, Some(reads(&[Bytes(b"!")]))]);
    let (mut channel, lines, outages) = connected(&scripted, |settings| settings.discard = true).await;
    assert!(waits(&mut Box::pin(read(&mut channel))).await);
    write(&mut channel, b"nobody hears").await.unwrap();
    assert_eq!(read(&mut channel).await.unwrap(), b"!");
    write(&mut channel, b"heard").await.unwrap();
    assert_eq!((scripted.given(), outages().discarded, outages().delivered), ("heard".to_owned(), 12, 0));
    assert!(lines.after("N TCP:far:1: back after 0.150 s, 12 bytes were dropped").is_some(), "{:?}", lines.all());
    let unwritten = channel.sink.as_mut().unwrap().give_up();
    assert_eq!(unwritten, Unwritten { lost: 0, discarded: 12 });
}

#[tokio::test(start_paused = true)]
async fn the_time_of_holding_runs_out() {
    let scripted = Scripted::new([Some(reads(&[End]))]);
    let hold = Duration::from_secs(7);
    let (mut channel, _, outages) = connected(&scripted, |settings| settings.hold = Some(hold)).await;
    let begun = Instant::now();
    assert!(waits(&mut Box::pin(read(&mut channel))).await);
    write(&mut channel, b"kept").await.unwrap();
    let error = read(&mut channel).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    assert_eq!(error.to_string(), "did not come back within 7 s, the time of option hold");
    assert_eq!(begun.elapsed().as_secs(), 7);
    assert_eq!(outages().away.as_secs(), 7);
    assert_eq!(write(&mut channel, b"more").await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert_eq!(channel.sink.as_mut().unwrap().give_up(), Unwritten { lost: 4, discarded: 0 });
    assert_eq!(channel.sink.as_mut().unwrap().give_up(), Unwritten::default(), "counted once");
}

#[tokio::test(start_paused = true)]
async fn without_holding_the_end_is_passed_on() {
    for script in [[End], [Fail(libc::EIO)]] {
        let scripted = Scripted::new([Some(reads(&script)), Some(Script::default())]);
        let (mut channel, lines, outages) = connected(&scripted, |settings| settings.hold = Some(Duration::ZERO)).await;
        match &script[0] {
            End => assert_eq!(read(&mut channel).await.unwrap(), b""),
            _ => assert_eq!(read(&mut channel).await.unwrap_err().raw_os_error(), Some(libc::EIO)),
        }
        assert!(write(&mut channel, b"x").await.is_err());
        assert_eq!((scripted.tried().len(), outages(), lines.all()), (1, Outages::default(), Vec::new()));
    }
}

/// How many attempts there are in a simulated minute.
async fn attempts_in_a_minute(each: Option<Script>, change: impl FnOnce(&mut ReconnectSettings)) -> usize {
    let first = each.clone().unwrap_or_else(|| reads(&[End]));
    let scripted = Scripted::new(std::iter::once(Some(first)).chain(std::iter::repeat_n(each, 10_000)));
    let (mut channel, _, _) = connected(&scripted, change).await;
    let reading = async { while read(&mut channel).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(60), reading).await.unwrap_err();
    scripted.tried().len()
}

#[tokio::test(start_paused = true)]
async fn nothing_spins() {
    // After 0.05 + 0.1 + ... + 3.2 s the pause is 5 s.
    assert_eq!(attempts_in_a_minute(None, |_| {}).await, 1 + 7 + 10);
    let ends_at_once = || Some(reads(&[End]));
    assert_eq!(attempts_in_a_minute(ends_at_once(), |_| {}).await, 1 + 7 + 10, "it counts as a failure");
    assert_eq!(attempts_in_a_minute(Some(reads(&[Fail(libc::EIO)])), |_| {}).await, 1 + 7 + 10);
    let second = Some(Duration::from_secs(1));
    assert_eq!(attempts_in_a_minute(ends_at_once(), |settings| settings.longest = second).await, 1 + 5 + 58);
    let never = Some(Duration::ZERO);
    let most = attempts_in_a_minute(ends_at_once(), |settings| settings.longest = never).await;
    assert!((1000..=1201).contains(&most), "{most}: never less than 50 ms");
    let useful = attempts_in_a_minute(Some(reads(&[Bytes(b"x"), End])), |_| {}).await;
    assert!((1000..=1201).contains(&useful), "{useful}: one that was of use is tried again soon");
    let held = reads(&[Silent(Duration::from_secs(2)), End]);
    assert_eq!(attempts_in_a_minute(Some(held), |_| {}).await, 1 + 29, "one that held is tried again soon");
}

#[tokio::test(start_paused = true)]
async fn once_the_other_side_has_ended_an_end_is_the_end() {
    let scripted = Scripted::new([Some(reads(&[Bytes(b"bye"), End])), Some(Script::default())]);
    let (mut channel, _, outages) = connected(&scripted, |_| {}).await;
    channel.sink.as_mut().unwrap().shutdown().await.unwrap();
    assert_eq!(read(&mut channel).await.unwrap(), b"bye");
    assert_eq!(read(&mut channel).await.unwrap(), b"");
    assert_eq!(outages().count, 0);
}

#[tokio::test(start_paused = true)]
async fn the_other_side_ends_during_an_outage() {
    let scripted = Scripted::new([Some(reads(&[End]))]);
    let (mut channel, _, outages) = connected(&scripted, |_| {}).await;
    assert!(waits(&mut Box::pin(read(&mut channel))).await);
    tokio::time::advance(20 * MILLI).await;
    channel.sink.as_mut().unwrap().shutdown().await.unwrap();
    assert_eq!(read(&mut channel).await.unwrap(), b"", "nobody is there to wait for it");
    assert_eq!((outages().count, outages().away), (1, 20 * MILLI));
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_is_delivered_before_the_end() {
    let scripted = Scripted::new([Some(reads(&[End])), None, Some(Script::default())]);
    let (mut channel, _, _) = connected(&scripted, |_| {}).await;
    assert!(waits(&mut Box::pin(read(&mut channel))).await);
    write(&mut channel, b"last words").await.unwrap();
    channel.sink.as_mut().unwrap().shutdown().await.unwrap();
    assert_eq!((scripted.given().as_str(), scripted.tried().len()), ("last words", 3));
}

#[tokio::test(start_paused = true)]
async fn what_a_peer_said_last_is_read_though_it_takes_nothing_more() {
    let said = Script { takes: Some((0, libc::EPIPE)), ..reads(&[Bytes(b"and "), Bytes(b"bye")]) };
    let scripted = Scripted::new([Some(said), Some(reads(&[Bytes(b"hello")]))]);
    let (mut channel, _, outages) = connected(&scripted, |_| {}).await;
    write(&mut channel, b"kept").await.unwrap();
    assert_eq!((scripted.open(), outages().count), (0, 1));
    assert!(channel.source.as_ref().unwrap().has_unread());
    for block in [&b"and "[..], b"bye", b"hello"] {
        assert_eq!(read(&mut channel).await.unwrap(), block);
    }
    channel.sink.as_mut().unwrap().flush().await.unwrap();
    assert_eq!(scripted.given(), "kept");
}

#[tokio::test(start_paused = true)]
async fn dropping_ends_all_in_every_state() {
    let silent = || Some(reads(&[]));
    let scripted = Scripted::new([silent(), Some(reads(&[End])), Some(reads(&[End])), silent()]);
    let (channel, _, _) = connected(&scripted, |_| {}).await;
    assert_eq!(scripted.open(), 1);
    drop(channel);
    assert_eq!(scripted.open(), 0, "while it is there");
    let (mut channel, _, _) = connected(&scripted, |_| {}).await;
    assert!(waits(&mut Box::pin(read(&mut channel))).await);
    assert_eq!(scripted.open(), 0);
    drop(channel);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(scripted.tried().len(), 2, "nobody tries any more");
}

/// A control that keeps what it is attached to.
#[derive(Default)]
struct Taken(Mutex<Vec<Arc<dyn Line>>>);

impl Control for Taken {
    fn attach(&self, line: Arc<dyn Line>) {
        self.0.lock().unwrap().push(line);
    }

    fn must_have(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_becomes_what_it_was() {
    let [first, second] = [Arc::<Imagined>::default(), Arc::<Imagined>::default()];
    let with = |line: &Arc<Imagined>, script: &[Read]| Some(Script { line: Some(Arc::clone(line)), ..reads(script) });
    let script = [with(&first, &[Silent(MILLI), End]), None, with(&second, &[Bytes(b"!")])];
    let (mut channel, _, _) = connected(&Scripted::new(script), |_| {}).await;
    let line = channel.line.clone().unwrap();
    let mut events = line.watch();
    line.change(Change { baud: Some(9600), rts: Some(false), purge_in: true, ..Change::default() }).await.unwrap();
    assert_eq!((first.state().baud, line.state().baud), (9600, 9600));
    assert!(waits(&mut Box::pin(read(&mut channel))).await);
    let cts_low = events.try_recv().unwrap();
    assert!(matches!(cts_low, Event::Modem { now, .. } if !now.cts && now.dcd), "{cts_low:?}");
    tokio::time::advance(2 * MILLI).await;
    assert!(waits(&mut Box::pin(read(&mut channel))).await);
    let gone = events.try_recv().unwrap();
    assert!(matches!(gone, Event::Modem { now, changed } if !now.dcd && changed.dcd), "{gone:?}");
    let answer = line.change(Change { data_bits: Some(7), ..Change::default() }).await.unwrap();
    assert_eq!((answer.baud, answer.data_bits, answer.modem.dcd), (9600, 7, false));
    assert_eq!(read(&mut channel).await.unwrap(), b"!");
    let state = second.state();
    assert_eq!((state.baud, state.data_bits, state.rts, state.dtr), (9600, 7, false, true));
    assert!(matches!(events.try_recv().unwrap(), Event::Modem { now, .. } if now.dcd));
    second.set(&Change { dtr: Some(false), ..Change::default() });
    assert!(waits(&mut Box::pin(read(&mut channel))).await);
    let last = std::iter::from_fn(|| events.try_recv().ok()).last().unwrap();
    assert!(matches!(last, Event::Modem { now, .. } if !now.dcd), "watchers hear the new line: {last:?}");
}

/// A line that never answers.
struct Mute;

impl Line for Mute {
    fn change(&self, _: Change) -> BoxFuture<'static, io::Result<crate::line::State>> {
        Box::pin(std::future::pending())
    }

    fn state(&self) -> crate::line::State {
        crate::line::State::default()
    }

    fn watch(&self) -> tokio::sync::mpsc::Receiver<Event> {
        tokio::sync::mpsc::channel(1).1
    }

    fn is_real(&self) -> bool {
        true
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_wait_for_the_line_but_not_for_ever() {
    struct Silently(Mutex<u8>);
    impl Reopen for Silently {
        fn reopen(&self, _: bool) -> BoxFuture<'static, Channel> {
            *self.0.lock().unwrap() += 1;
            let mut channel = Channel { line: Some(Arc::new(Mute)), ..Channel::default() };
            channel.source = Some(Box::new(crate::channel::Stalled));
            channel.sink = Some(Box::new(crate::channel::Nothing));
            Box::pin(std::future::ready(channel))
        }
    }
    let lines = Lines::default();
    let mut first = Channel { line: Some(Arc::new(Imagined::default())), ..Channel::default() };
    first.source = Some(Box::new(crate::channel::Nothing));
    first.sink = Some(Box::new(crate::channel::Nothing));
    let hold = Hold {
        reopen: Box::new(Silently(Mutex::new(0))),
        limit: None,
        buffer: 10,
        discard: false,
        reads: true,
        name: "X".to_owned(),
        loss: "gone",
        log: lines.context().log,
        tally: Arc::default(),
    };
    let mut channel = channel::reconnect::channel(first, hold);
    let line = channel.line.clone().unwrap();
    line.change(Change { baud: Some(300), ..Change::default() }).await.unwrap();
    assert!(waits(&mut Box::pin(read(&mut channel))).await);
    let begun = Instant::now();
    write(&mut channel, b"after the line").await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert!(lines.after("W X: restoring the line: no answer within 5 s").is_some(), "{:?}", lines.all());
}

#[tokio::test(start_paused = true)]
async fn each_control_is_given_the_line() {
    let [first, second] = [Arc::<Taken>::default(), Arc::<Taken>::default()];
    let with =
        |control: &Arc<Taken>, script: &[Read]| Some(Script { control: Some(Arc::clone(control)), ..reads(script) });
    let scripted = Scripted::new([with(&first, &[End]), with(&second, &[Bytes(b"!")])]);
    let (mut channel, _, _) = connected(&scripted, |_| {}).await;
    let control = channel.control.clone().unwrap();
    assert!(control.must_have());
    control.attach(Arc::new(Imagined::default()));
    assert_eq!(read(&mut channel).await.unwrap(), b"!");
    assert_eq!((first.0.lock().unwrap().len(), second.0.lock().unwrap().len()), (1, 1));
}

/// Relays from `left` to a channel that is opened again.
async fn relayed(left: &Arc<Scripted>, right: Reconnect, ways: Ways, stop: Stop) -> (Report, Lines) {
    let lines = Lines::default();
    let log = Log::new(crate::log::Level::Notice, Box::new(lines.clone()));
    let kind = endpoint::find("TCP-CONNECT").unwrap();
    let left = Plan::of_opener(kind, "LEFT", Opener::Connect(Arc::clone(left) as _));
    let right = Plan::of_opener(kind, "RIGHT", Opener::Connect(Arc::new(right)));
    let settings = Settings { ways, linger: Some(Duration::from_secs(1)), ..Settings::default() };
    let relay = Arc::new(Relay::new(left, right, settings, log));
    let report = tokio::time::timeout(Duration::from_secs(100), relay.run(&stop)).await.expect("the relay ends");
    (report, lines)
}

/// Stops after a time.
fn stopping(after: Duration) -> Stop {
    let stop = Stop::default();
    let later = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(after).await;
        later.stop();
    });
    stop
}

#[tokio::test(start_paused = true)]
async fn one_way_the_writer_alone_brings_it_back() {
    let left = Scripted::new([Some(reads(&[Bytes(b"abc")]))]);
    let right = Scripted::new([Some(takes(1, libc::EIO)), None, Some(Script::default())]);
    let one_way = Reconnect { direction: Direction::Write, ..around(&right, |_| {}) };
    let stop = stopping(Duration::from_secs(10));
    let (report, _) = relayed(&left, one_way, Ways::LeftToRight, stop).await;
    assert_eq!(right.given(), "abc", "though nothing else was written");
    assert_eq!((report.left_to_right.bytes, report.undelivered(), report.outages.count), (3, 0, 1));
    assert!(report.is_success());
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_when_the_relay_is_stopped_is_undelivered() {
    let left = Scripted::new([Some(reads(&[Silent(MILLI), Bytes(b"abcdef")]))]);
    let right = Scripted::new([Some(reads(&[End]))]);
    let begun = Instant::now();
    let stop = stopping(Duration::from_secs(10));
    let (report, lines) = relayed(&left, around(&right, |_| {}), Ways::Both, stop).await;
    assert!(begun.elapsed() < Duration::from_millis(10_200), "{:?}", begun.elapsed());
    assert_eq!((report.left_to_right.bytes, report.left_to_right.undelivered), (0, 6));
    assert!(!report.is_success());
    assert_eq!(report.outages.away.as_secs(), 10);
    assert_eq!(right.open() + left.open(), 0);
    drop(lines);
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_an_outage_is_at_once() {
    let left = Scripted::new([Some(reads(&[]))]);
    let right = Scripted::new([Some(reads(&[End]))]);
    let begun = Instant::now();
    let stop = stopping(Duration::from_secs(10));
    let (report, _) = relayed(&left, around(&right, |_| {}), Ways::Both, stop).await;
    assert!(begun.elapsed() <= Duration::from_millis(10_010), "{:?}", begun.elapsed());
    assert!(report.is_success(), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn bytes_dropped_at_the_users_wish_are_no_failure_and_not_written() {
    let left = Scripted::new([Some(reads(&[Silent(MILLI), Bytes(b"dropped")]))]);
    let right = Scripted::new([Some(reads(&[End]))]);
    let stop = stopping(Duration::from_secs(10));
    let discarding = around(&right, |settings| settings.discard = true);
    let (report, _) = relayed(&left, discarding, Ways::Both, stop).await;
    assert_eq!((report.left_to_right.bytes, report.undelivered(), report.outages.discarded), (0, 0, 7));
    assert!(report.is_success());
}

#[tokio::test(start_paused = true)]
async fn a_time_of_holding_that_runs_out_is_an_error_with_all_counted() {
    let left = Scripted::new([Some(reads(&[Silent(MILLI), Bytes(b"abc"), Silent(10_000 * MILLI), End]))]);
    let right = Scripted::new([Some(reads(&[Bytes(b"hi"), End]))]);
    let limited = around(&right, |settings| settings.hold = Some(Duration::from_secs(3)));
    let (report, lines) = relayed(&left, limited, Ways::Both, Stop::default()).await;
    assert_eq!((report.right_to_left.bytes, report.left_to_right.undelivered), (2, 3));
    assert_eq!(report.error.unwrap().kind(), ErrorKind::Timeout);
    assert!(lines.after("E RIGHT: did not come back within 3 s").is_some(), "{:?}", lines.all());
}

/// Bytes that tell where they stand.
static DATA: LazyLock<Vec<u8>> = LazyLock::new(|| (0..20_000_u32).flat_map(u32::to_le_bytes).collect());

/// Blocks of [`DATA`] with pauses between; at the end it is over.
fn sender(blocks: &[(usize, u64)]) -> Vec<Read> {
    let mut script = Vec::new();
    let mut from = 0;
    for (length, pause) in blocks {
        script.extend([Bytes(&DATA[from..from + length]), Silent(Duration::from_millis(*pause))]);
        from += length;
    }
    script.push(End);
    script
}

/// Connections that are refused, end after a time, or fail after so many bytes.
fn connections() -> impl Strategy<Value = Vec<Option<Script>>> {
    let ends = (0..1500_u64).prop_map(|time| Some(reads(&[Silent(Duration::from_millis(time)), End])));
    let fails = (0..4000_usize).prop_map(|bytes| Some(takes(bytes, libc::EPIPE)));
    let last = Just(Some(reads(&[Silent(10 * MILLI), Bytes(b"!"), End])));
    let each = prop_oneof![Just(None), ends, fails, last];
    proptest::collection::vec(each, 0..8)
}

/// Runs on a clock of its own.
fn simulated<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_whatever_the_losses(
        blocks in proptest::collection::vec((1..3000_usize, 0..400_u64), 1..20),
        losses in connections(),
        buffer in 0..6000_usize,
        stop_after in proptest::option::of(0..6000_u64),
    ) {
        let left = Scripted::new([Some(Script { reads: sender(&blocks), ..Script::default() })]);
        let first = std::iter::once(Some(takes(100, libc::EIO))).filter(|_| losses.first().is_none_or(Option::is_none));
        let last = Some(Script::default());
        let right = Scripted::new(first.chain(losses.clone()).chain([last]));
        let (report, _) = simulated(async {
            let stop = stop_after.map_or_else(Stop::default, |after| stopping(Duration::from_millis(after)));
            relayed(&left, around(&right, |settings| settings.buffer = Some(buffer)), Ways::Both, stop).await
        });
        let given = right.given.lock().unwrap().clone();
        let (said, undelivered) = (left.said.load(Ordering::Relaxed), report.left_to_right.undelivered);
        prop_assert!(DATA.starts_with(&given), "in order, and once");
        prop_assert_eq!(given.len() as u64, report.left_to_right.bytes);
        prop_assert_eq!(said as u64, report.left_to_right.bytes + undelivered);
        prop_assert_eq!(right.open() + left.open(), 0);
        prop_assert_eq!(right.said.load(Ordering::Relaxed) as u64, report.right_to_left.bytes);
        if stop_after.is_none() {
            prop_assert_eq!(undelivered, 0);
            prop_assert!(report.is_success(), "{:?}", report);
        }
    }
}

/// What is wrong with an address.
fn refused(text: &str) -> String {
    Plan::parse(text.as_bytes(), Direction::Both, &Defaults::default()).err().expect(text).message().to_owned()
}

#[test]
fn what_cannot_be_reconnected_is_refused() {
    assert_eq!(refused("TCP:h:1,hold=3"), "option hold not allowed without option reconnect");
    assert_eq!(refused("OPEN:f,hold-buffer=3"), "option hold-buffer not allowed without option reconnect");
    assert_eq!(
        refused("TCP:h:1,reconnect-max=3,reconnect=0"),
        "option reconnect-max not allowed without option reconnect"
    );
    assert_eq!(refused("UNIX:s,hold-discard"), "option hold-discard not allowed without option reconnect");
    for name in ["readbytes=3", "escape=3", "ignoreeof"] {
        assert!(refused(&format!("OPEN:f,reconnect,{name}")).ends_with("is not allowed together with reconnect"));
    }
    assert!(refused("PIPE:p,reconnect").starts_with("option reconnect is for serial ports"));
    assert!(refused("TCP-LISTEN:1,reconnect").contains("not supported with this address type"));
    for text in ["TCP:h:1,reconnect,reconnect-max=0.5,hold=3,hold-buffer=0,hold-discard", "OPEN:/dev/ttyS0,reconnect"] {
        assert!(Plan::parse(text.as_bytes(), Direction::Both, &Defaults::default()).is_ok(), "{text}");
    }
}

async fn opened(text: &str) -> Result<()> {
    let plan = Plan::parse(text.as_bytes(), Direction::Both, &Defaults::default()).unwrap();
    let Opener::Connect(connect) = &plan.single().unwrap().opener else { panic!("it is a client") };
    connect.connect(&endpoint::testing::quiet()).await.map(drop)
}

#[tokio::test]
async fn files_are_neither_reopened_nor_made() {
    let scratch = Scratch::new("reconnect-file");
    let (file, missing) = (scratch.path("file"), scratch.path("missing"));
    std::fs::write(&file, b"from the start").unwrap();
    for keyword in ["OPEN", "GOPEN"] {
        let error = opened(&format!("{keyword}:{},reconnect", file.display())).await.unwrap_err();
        assert!(error.message().starts_with("is no terminal"), "{error}");
        let error = opened(&format!("{keyword}:{},reconnect", missing.display())).await.unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENOENT));
        assert!(!missing.exists());
        assert!(opened(&format!("{keyword}:/dev/null,reconnect")).await.is_err());
    }
}
