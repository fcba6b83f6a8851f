//! Whole relays with a scripted listener and a scripted device, on a paused clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::future::Future;
use std::sync::Mutex;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::*;
use crate::channel::{Sink, Source};
use crate::endpoint::{Accept, Bind, BoxFuture, Connect, Direction, Kind, Opener, Planned, Request};
use crate::line::{Change, Control, Event, Imagined, Line, State};
use crate::log::{Level, Log};
use crate::option::{Busy, Groups, Options, Settings as Given, ShareAccess, Slow};
use crate::relay::{Report, Settings};

const SECOND: Duration = Duration::from_secs(1);
/// What the pipes to the clients and to the device hold.
const PIPE: usize = 4096;

impl Source for ReadHalf<DuplexStream> {}
impl Sink for WriteHalf<DuplexStream> {}

static KIND: Kind = Kind {
    name: "SCRIPTED",
    aliases: &[],
    usage: "",
    params: (0, 0),
    groups: Groups::FD,
    direction: Direction::Both,
    doc: "for tests",
    plan: |_: &Request<'_>| Err(Error::text("a test makes its openers itself")),
};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl crate::log::Sink for Lines {
    fn write(&self, _: Level, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

impl Lines {
    fn count(&self, part: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|line| line.contains(part)).count()
    }
}

/// Clients come when the test says so.
struct Listener(Mutex<Option<mpsc::UnboundedReceiver<Channel>>>);

impl Bind for Listener {
    fn bind<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Box<dyn Accept>>> {
        let clients = self.0.lock().unwrap().take().expect("bound once");
        Box::pin(std::future::ready(Ok(Box::new(Clients(clients)) as Box<dyn Accept>)))
    }
}

struct Clients(mpsc::UnboundedReceiver<Channel>);

impl Accept for Clients {
    fn accept<'a>(&'a mut self, _: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(async {
            match self.0.recv().await {
                Some(channel) => Ok(channel),
                None => std::future::pending().await,
            }
        })
    }
}

/// Gives the test the other end of each device that is opened; refuses while there is nobody to take it.
struct Devices {
    opened: mpsc::UnboundedSender<DuplexStream>,
    line: Option<Arc<Imagined>>,
    refuses: Arc<Mutex<bool>>,
}

impl Connect for Devices {
    fn connect<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        if *self.refuses.lock().unwrap() {
            let error = std::io::Error::from_raw_os_error(libc::ENODEV);
            return Box::pin(std::future::ready(Err(Error::open(Phase::Open, error))));
        }
        let (near, far) = duplex(PIPE);
        self.opened.send(far).unwrap();
        let mut channel = halves(near);
        channel.line = self.line.clone().map(|line| line as Arc<dyn Line>);
        Box::pin(std::future::ready(Ok(channel)))
    }
}

fn halves(end: DuplexStream) -> Channel {
    let (source, sink) = split(end);
    Channel::halves(Some(source), Some(sink), &Given::default())
}

/// Is given the line of the other side.
#[derive(Default)]
struct Setter(Mutex<Option<Arc<dyn Line>>>);

impl Control for Setter {
    fn attach(&self, line: Arc<dyn Line>) {
        *self.0.lock().unwrap() = Some(line);
    }

    fn must_have(&self) -> bool {
        true
    }
}

impl Setter {
    fn line(&self) -> Arc<dyn Line> {
        self.0.lock().unwrap().clone().expect("attached")
    }
}

struct Rig {
    clients: mpsc::UnboundedSender<Channel>,
    devices: mpsc::UnboundedReceiver<DuplexStream>,
    refuses: Arc<Mutex<bool>>,
    line: Arc<Imagined>,
    log: Lines,
    stop: Stop,
    relay: Arc<Relay>,
    running: JoinHandle<Report>,
}

impl Rig {
    /// A relay under way whose listener was given options.
    fn new(options: impl FnOnce(&mut Given)) -> Self {
        Self::with(false, Settings::default(), options)
    }

    fn with(flipped: bool, settings: Settings, options: impl FnOnce(&mut Given)) -> Self {
        let (clients, coming) = mpsc::unbounded_channel();
        let (opened, devices) = mpsc::unbounded_channel();
        let (refuses, line, log) = (Arc::default(), Arc::<Imagined>::default(), Lines::default());
        let device = Devices { opened, line: Some(Arc::clone(&line)), refuses: Arc::clone(&refuses) };
        let mut given = Given::default();
        given.life.fork = true;
        given.share.opened = Some(Opened::AtStart);
        options(&mut given);
        let mut listener =
            Plan::of_opener(&KIND, "LISTENER", Opener::Bind(Arc::new(Listener(Mutex::new(Some(coming))))));
        if let Planned::Single(endpoint) = &mut listener.planned {
            let mut options = Options::default();
            options.settings = given;
            endpoint.options = Arc::new(options);
        }
        let device = Plan::of_opener(&KIND, "DEVICE", Opener::Connect(Arc::new(device)));
        let (left, right) = if flipped { (device, listener) } else { (listener, device) };
        let relay = Arc::new(Relay::new(left, right, settings, Log::new(Level::Notice, Box::new(log.clone()))));
        let stop = Stop::default();
        let running = {
            let (relay, stop) = (Arc::clone(&relay), stop.clone());
            tokio::spawn(async move { relay.run(&stop).await })
        };
        Self { clients, devices, refuses, line, log, stop, relay, running }
    }

    async fn device(&mut self) -> DuplexStream {
        within(self.devices.recv()).await.expect("a device")
    }

    /// A client that has been accepted and joined.
    async fn client(&self) -> DuplexStream {
        let joined = self.log.count("joins");
        let client = self.comer();
        until(|| self.log.count("joins") > joined).await;
        client
    }

    /// A client that comes.
    fn comer(&self) -> DuplexStream {
        let (near, far) = duplex(PIPE);
        self.clients.send(halves(near)).unwrap();
        far
    }

    /// A client that sets the line.
    async fn setter(&self) -> (DuplexStream, Arc<Setter>) {
        let (joined, setter) = (self.log.count("joins"), Arc::<Setter>::default());
        let (near, far) = duplex(PIPE);
        let mut channel = halves(near);
        channel.control = Some(setter.clone());
        self.clients.send(channel).unwrap();
        until(|| self.log.count("joins") > joined && setter.0.lock().unwrap().is_some()).await;
        (far, setter)
    }

    async fn report(self) -> Report {
        within(self.running).await.unwrap()
    }
}

/// Waits for something, but not for ever.
async fn within<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(600 * SECOND, what).await.expect("in time")
}

/// Lets all others go on until something holds.
async fn until(mut holds: impl FnMut() -> bool) {
    for round in 0..10_000 {
        if holds() {
            return;
        }
        match round {
            0..100 => tokio::task::yield_now().await,
            // Nothing happens any more before the clock goes on.
            _ => tokio::time::sleep(Duration::from_millis(1)).await,
        }
    }
    panic!("waited in vain");
}

async fn write(end: &mut DuplexStream, data: &[u8]) {
    within(end.write_all(data)).await.unwrap();
}

async fn read(end: &mut DuplexStream, count: usize) -> Vec<u8> {
    let mut data = vec![0; count];
    within(end.read_exact(&mut data)).await.unwrap();
    data
}

async fn read_all(end: &mut DuplexStream) -> Vec<u8> {
    let mut data = Vec::new();
    within(end.read_to_end(&mut data)).await.unwrap();
    data
}

fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    (0..size).map(|_| next()).collect()
}

fn reader(mut client: DuplexStream, count: usize) -> JoinHandle<(DuplexStream, Vec<u8>)> {
    tokio::spawn(async move {
        let data = read(&mut client, count).await;
        (client, data)
    })
}

#[tokio::test(start_paused = true)]
async fn eight_clients_get_every_byte_in_order() {
    let mut rig = Rig::new(|given| given.share.slow = Slow::Wait);
    let mut device = rig.device().await;
    let data = noise(1_000_000);
    let mut readers = Vec::new();
    for _ in 0..8 {
        readers.push(reader(rig.client().await, data.len()));
    }
    write(&mut device, &data).await;
    for reader in readers {
        assert!(within(reader).await.unwrap().1 == data);
    }
    drop(device);
    let report = rig.report().await;
    assert_eq!(report.right_to_left.bytes, 8_000_000);
    assert_eq!((report.right_to_left.discarded, report.right_to_left.undelivered), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_read_delays_nobody_and_misses_the_oldest() {
    let mut rig = Rig::new(|given| given.share.queue = 10_000);
    let mut device = rig.device().await;
    let mut stuck = rig.client().await;
    let mut well = rig.client().await;
    let data = noise(500_000);
    for piece in data.chunks(1000) {
        write(&mut device, piece).await;
        // Bytes, not time, say what may wait: nothing more is read before this has arrived.
        assert!(read(&mut well, piece.len()).await == piece);
    }
    assert_eq!(rig.log.count("misses the oldest"), 1, "said once");
    let before = rig.relay.totals.right_to_left.flow().discarded;
    drop(device);
    let got = read_all(&mut stuck).await;
    assert_eq!(got.len() as u64 + before, data.len() as u64);
    assert!(got.len() > 10_000 && got[got.len() - 10_000..] == data[data.len() - 10_000..]);
    assert_eq!(rig.log.count("reads again; it missed"), 1);
    assert!(read_all(&mut well).await.is_empty());
    drop((stuck, well));
    let report = rig.report().await;
    assert!(report.is_success(), "what an option drops is no failure: {report:?}");
    assert_eq!(report.right_to_left.discarded, before);
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_read_is_closed_if_so_wished() {
    let mut rig = Rig::new(|given| (given.share.queue, given.share.slow) = (10_000, Slow::Kick));
    let mut device = rig.device().await;
    let mut stuck = rig.client().await;
    let well = rig.client().await;
    let data = noise(100_000);
    let reading = reader(well, data.len());
    write(&mut device, &data).await;
    let (well, got) = within(reading).await.unwrap();
    assert!(got == data);
    until(|| rig.log.count("leaves") == 1).await;
    assert_eq!(rig.log.count("it is closed"), 1);
    let got = read_all(&mut stuck).await;
    assert!(got == data[..got.len()]);
    let discarded = rig.relay.totals.right_to_left.flow().discarded;
    assert!(discarded > 10_000 && discarded <= (data.len() - got.len()) as u64, "{discarded}");
    drop((device, well));
    assert!(rig.report().await.is_success());
}

#[tokio::test(start_paused = true)]
async fn all_wait_for_the_slowest_if_so_wished() {
    let mut rig = Rig::new(|given| (given.share.queue, given.share.slow) = (10_000, Slow::Wait));
    let mut device = rig.device().await;
    let (slow, well) = (rig.client().await, rig.client().await);
    let data = noise(100_000);
    let reading = reader(well, data.len());
    let writing = {
        let data = data.clone();
        tokio::spawn(async move {
            device.write_all(&data).await.unwrap();
            device
        })
    };
    tokio::time::sleep(SECOND).await;
    assert!(!writing.is_finished() && !reading.is_finished(), "the device waits");
    let (_, got) = within(reader(slow, data.len())).await.unwrap();
    assert!(got == data);
    assert!(within(reading).await.unwrap().1 == data);
    drop(within(writing).await.unwrap());
    assert_eq!(rig.report().await.right_to_left.discarded, 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_one_that_has_gone() {
    for leaves in [true, false] {
        let mut rig = Rig::new(|given| (given.share.queue, given.share.slow) = (10_000, Slow::Wait));
        let mut device = rig.device().await;
        let ((slow, setter), well) = (rig.setter().await, rig.client().await);
        let data = noise(100_000);
        let reading = reader(well, 100_000);
        let writing = tokio::spawn(async move {
            device.write_all(&data).await.unwrap();
            device
        });
        tokio::time::sleep(SECOND).await;
        assert!(!reading.is_finished());
        if leaves {
            drop(slow);
        } else {
            // It waits for the one that purges, too, but not for what was purged.
            let purging = async {
                while !reading.is_finished() {
                    setter.line().change(Change { purge_in: true, ..Change::default() }).await.unwrap();
                    tokio::time::sleep(SECOND).await;
                }
            };
            within(purging).await;
        }
        let well = within(reading).await.unwrap().0;
        drop((within(writing).await.unwrap(), well));
        rig.stop.stop();
        rig.report().await;
    }
}

#[tokio::test(start_paused = true)]
async fn blocks_of_several_clients_are_written_whole() {
    const SIZE: usize = 3000;
    let mut rig = Rig::new(|_| ());
    let mut device = rig.device().await;
    let mut writers = Vec::new();
    for letter in b'a'..b'f' {
        let mut client = rig.client().await;
        writers.push(tokio::spawn(async move {
            for _ in 0..20 {
                write(&mut client, &[letter; SIZE]).await;
                // All of it is in the pipe, and so in one block, before the next one is.
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            client
        }));
    }
    let mut counts = [0; 5];
    // The device takes a few bytes at a time.
    for _ in 0..5 * 20 {
        let mut block = Vec::new();
        while block.len() < SIZE {
            block.extend(read(&mut device, 100).await);
        }
        let letter = block[0];
        assert!(block.iter().all(|byte| *byte == letter), "{}", String::from_utf8_lossy(&block));
        counts[usize::from(letter - b'a')] += 1;
    }
    assert_eq!(counts, [20; 5]);
    let clients = futures(writers).await;
    drop((device, clients));
    let report = rig.report().await;
    assert_eq!(report.left_to_right.bytes, 5 * 20 * SIZE as u64);
}

async fn futures<T>(tasks: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut results = Vec::new();
    for task in tasks {
        results.push(within(task).await.unwrap());
    }
    results
}

#[tokio::test(start_paused = true)]
async fn a_client_that_may_only_read_is_told_once_and_counted() {
    let mut rig = Rig::new(|given| given.share.access = ShareAccess::ReadOnly);
    let mut device = rig.device().await;
    let mut client = rig.client().await;
    for _ in 0..3 {
        write(&mut client, b"reboot\n").await;
        tokio::time::sleep(SECOND).await;
    }
    write(&mut device, b"still here").await;
    assert_eq!(read(&mut client, 10).await, b"still here");
    assert_eq!(rig.log.count("may not write (share-access=ro)"), 1);
    // Its end is seen all the same.
    client.shutdown().await.unwrap();
    assert!(read_all(&mut client).await.is_empty());
    until(|| rig.log.count("it was not allowed to write 21 bytes") == 1).await;
    rig.stop.stop();
    assert!(read_all(&mut device).await.is_empty());
    let report = rig.report().await;
    assert_eq!((report.left_to_right.bytes, report.left_to_right.discarded), (0, 21));
}

#[tokio::test(start_paused = true)]
async fn one_writes_until_it_is_silent_or_leaves() {
    let mut rig = Rig::new(|given| (given.share.access, given.share.lease) = (ShareAccess::Lease, Some(5 * SECOND)));
    let mut device = rig.device().await;
    let (mut first, mut second) = (rig.client().await, rig.client().await);
    write(&mut first, b"one").await;
    assert_eq!(read(&mut device, 3).await, b"one");
    tokio::time::sleep(4 * SECOND).await;
    write(&mut second, b"dropped").await;
    tokio::time::sleep(SECOND / 2).await;
    write(&mut first, b"two").await;
    assert_eq!(read(&mut device, 3).await, b"two");
    tokio::time::sleep(6 * SECOND).await;
    write(&mut second, b"three").await;
    assert_eq!(read(&mut device, 5).await, b"three");
    write(&mut first, b"dropped").await;
    tokio::time::sleep(SECOND / 2).await;
    assert_eq!(rig.log.count("may not write while client"), 2);
    drop(second);
    until(|| rig.log.count("leaves") == 1).await;
    write(&mut first, b"four").await;
    assert_eq!(read(&mut device, 4).await, b"four");
    drop((device, first));
    let report = rig.report().await;
    assert_eq!((report.left_to_right.bytes, report.left_to_right.discarded), (15, 14));
}

#[tokio::test(start_paused = true)]
async fn a_late_client_is_told_the_last_words_first() {
    let mut rig = Rig::new(|given| given.share.replay = 5);
    let mut device = rig.device().await;
    write(&mut device, b"booting... login: ").await;
    tokio::time::sleep(SECOND).await;
    let mut client = rig.client().await;
    assert_eq!(read(&mut client, 5).await, b"gin: ");
    write(&mut device, b"ok").await;
    assert_eq!(read(&mut client, 2).await, b"ok");
    let mut second = rig.client().await;
    assert_eq!(read(&mut second, 5).await, b"n: ok");
    drop((device, client, second));
    let report = rig.report().await;
    assert_eq!((report.right_to_left.bytes, report.right_to_left.discarded), (12, 13));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_one_too_many_is_refused() {
    let mut rig = Rig::new(|given| given.life.busy = Some(Busy::Refuse));
    let mut device = rig.device().await;
    let mut first = rig.client().await;
    assert!(read_all(&mut rig.comer()).await.is_empty(), "closed without a byte");
    assert_eq!((rig.log.count("refusing the client: 1 are served"), rig.log.count("joins")), (1, 1));
    write(&mut device, b"still served").await;
    assert_eq!(read(&mut first, 12).await, b"still served");
    drop(first);
    until(|| rig.log.count("leaves") == 1).await;
    let mut next = rig.client().await;
    write(&mut device, b"hello").await;
    assert_eq!(read(&mut next, 5).await, b"hello");
    drop((device, next));
    assert_eq!(rig.report().await.sessions, 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_gone_is_in_nobodys_way() {
    for busy in [Busy::Refuse, Busy::Kick] {
        let mut rig = Rig::new(|given| (given.life.busy, given.life.max_children) = (Some(busy), Some(2)));
        let mut device = rig.device().await;
        let mut first = rig.client().await;
        for _ in 0..10 {
            // Whether it listens on is not known, but the next one comes at once.
            drop(rig.client().await);
        }
        write(&mut device, b"hello").await;
        assert_eq!(read(&mut first, 5).await, b"hello");
        assert_eq!(rig.log.count("refusing") + rig.log.count("closing the oldest"), 0);
        drop((device, first));
        assert_eq!(rig.report().await.sessions, 11);
    }
}

#[tokio::test(start_paused = true)]
async fn the_oldest_client_makes_room_for_a_new_one() {
    let mut rig = Rig::new(|given| (given.life.busy, given.life.max_children) = (Some(Busy::Kick), Some(2)));
    let mut device = rig.device().await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(rig.client().await);
    }
    assert_eq!(rig.log.count("closing the oldest of 2 clients"), 2);
    for kicked in &mut clients[..2] {
        assert!(read_all(kicked).await.is_empty());
    }
    write(&mut device, b"hello").await;
    for served in &mut clients[2..] {
        assert_eq!(read(served, 5).await, b"hello");
    }
    drop((device, clients));
    assert_eq!(rig.report().await.sessions, 4);
}

#[tokio::test(start_paused = true)]
async fn a_client_waits_until_another_one_has_gone() {
    let mut rig = Rig::new(|given| given.life.busy = Some(Busy::Wait));
    let mut device = rig.device().await;
    let first = rig.client().await;
    let mut second = rig.comer();
    tokio::time::sleep(SECOND).await;
    assert_eq!(rig.log.count("joins"), 1);
    write(&mut device, b"first").await;
    drop(first);
    until(|| rig.log.count("joins") == 2).await;
    write(&mut device, b"second").await;
    assert_eq!(read(&mut second, 6).await, b"second");
    drop((device, second));
    assert_eq!(rig.report().await.sessions, 2);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_clients_come_and_go_and_leave_nothing() {
    let mut rig = Rig::new(|given| given.share.replay = 100);
    let mut device = rig.device().await;
    let mut asked = 0;
    for number in 0..1000_u32 {
        let mut client = rig.client().await;
        if number % 3 == 0 {
            write(&mut client, b"?").await;
            assert_eq!(read(&mut device, 1).await, b"?");
            asked += 1;
        }
        if number % 2 == 0 {
            write(&mut device, b"!").await;
        }
    }
    until(|| {
        rig.log.count("leaves, 0 stay") > 0 && rig.relay.totals.active.load(std::sync::atomic::Ordering::Relaxed) == 0
    })
    .await;
    drop(device);
    let report = rig.report().await;
    assert_eq!((report.sessions, report.left_to_right.bytes), (1000, asked));
    assert!(report.is_success(), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_device_is_the_end_of_all() {
    let mut rig = Rig::new(|_| ());
    let mut device = rig.device().await;
    let (mut first, mut second) = (rig.client().await, rig.client().await);
    write(&mut device, b"last words").await;
    device.shutdown().await.unwrap();
    assert_eq!(read_all(&mut first).await, b"last words");
    // Who has something to say still may.
    write(&mut first, b"bye").await;
    drop(first);
    assert_eq!(read(&mut device, 3).await, b"bye");
    assert_eq!(read_all(&mut second).await, b"last words");
    drop(second);
    assert!(read_all(&mut device).await.is_empty(), "closed");
    let report = rig.report().await;
    assert_eq!(report.ended, Ended::Finished);
    assert!(report.is_success(), "{report:?}");
    assert_eq!((report.right_to_left.bytes, report.left_to_right.bytes), (20, 3));
}

/// Fails at its first read, after a while.
struct Broken(std::pin::Pin<Box<tokio::time::Sleep>>);

impl tokio::io::AsyncRead for Broken {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
        _: &mut tokio::io::ReadBuf<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::ready!(self.0.as_mut().poll(cx));
        std::task::Poll::Ready(Err(std::io::Error::from_raw_os_error(libc::EIO)))
    }
}

impl Source for Broken {}

struct Breaks;

impl Connect for Breaks {
    fn connect<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        let source = Broken(Box::pin(tokio::time::sleep(SECOND)));
        let channel = Channel::halves(Some(source), Some(crate::channel::Nothing), &Given::default());
        Box::pin(std::future::ready(Ok(channel)))
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_device_is_told_once_and_ends_all() {
    let rig = Rig::new(|_| ());
    // The same listener with a device that breaks.
    rig.stop.abort();
    let (clients, coming) = mpsc::unbounded_channel();
    let mut listener = Plan::of_opener(&KIND, "LISTENER", Opener::Bind(Arc::new(Listener(Mutex::new(Some(coming))))));
    if let Planned::Single(endpoint) = &mut listener.planned {
        let mut options = Options::default();
        options.settings.life.fork = true;
        options.settings.share.opened = Some(Opened::AtStart);
        endpoint.options = Arc::new(options);
    }
    let device = Plan::of_opener(&KIND, "DEVICE", Opener::Connect(Arc::new(Breaks)));
    let relay = Arc::new(Relay::new(listener, device, Settings::default(), Log::silent()));
    let (near, mut far) = duplex(PIPE);
    clients.send(halves(near)).unwrap();
    let running = tokio::spawn(async move { relay.run(&Stop::default()).await });
    assert!(read_all(&mut far).await.is_empty());
    drop(far);
    let report = within(running).await.unwrap();
    assert_eq!((report.ended, report.failed), (Ended::Failed, 0));
    let error = report.error.unwrap();
    assert_eq!((error.errno(), error.address()), (Some(libc::EIO), Some("DEVICE")));
}

#[tokio::test(start_paused = true)]
async fn stopping_delivers_what_had_arrived() {
    let mut rig = Rig::new(|_| ());
    let mut device = rig.device().await;
    let (mut first, mut second) = (rig.client().await, rig.client().await);
    let data = noise(3 * PIPE);
    // More than the clients' pipes hold: the rest waits in the hub.
    write(&mut device, &data).await;
    until(|| rig.relay.totals.right_to_left.flow().bytes == 2 * PIPE as u64).await;
    rig.stop.stop();
    assert!(read_all(&mut first).await == data);
    assert!(read_all(&mut second).await == data);
    let report = rig.report().await;
    assert_eq!((report.ended, report.undelivered()), (Ended::Stopped, 0));
    assert_eq!(report.right_to_left.discarded, 0);
}

#[tokio::test(start_paused = true)]
async fn stopping_does_not_wait_for_one_that_does_not_read() {
    let mut rig = Rig::new(|_| ());
    let mut device = rig.device().await;
    let _stuck = rig.client().await;
    write(&mut device, &noise(3 * PIPE)).await;
    until(|| rig.relay.totals.right_to_left.flow().bytes == PIPE as u64).await;
    let begun = tokio::time::Instant::now();
    rig.stop.stop();
    let report = rig.report().await;
    assert!(begun.elapsed() <= Duration::from_millis(300), "{:?}", begun.elapsed());
    assert_eq!(report.right_to_left.discarded, 2 * PIPE as u64, "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lazy_device_is_open_while_there_are_clients() {
    let mut rig = Rig::new(|given| given.share.opened = Some(Opened::WithClients));
    tokio::time::sleep(SECOND).await;
    assert!(rig.devices.try_recv().is_err(), "not before the first client");
    for _ in 0..2 {
        let (mut first, second) = (rig.client().await, rig.client().await);
        let mut device = rig.device().await;
        assert!(rig.devices.try_recv().is_err(), "one for both");
        write(&mut device, b"hello").await;
        assert_eq!(read(&mut first, 5).await, b"hello");
        drop(first);
        write(&mut device, b"!").await;
        drop(second);
        assert!(read_all(&mut device).await.is_empty(), "closed with the last one");
    }
    // Without a device the client is let go; the next one tries again.
    *rig.refuses.lock().unwrap() = true;
    assert!(read_all(&mut rig.comer()).await.is_empty());
    *rig.refuses.lock().unwrap() = false;
    let mut client = rig.client().await;
    let device = rig.device().await;
    // The end of the device is not the end of the listener.
    drop(device);
    assert!(read_all(&mut client).await.is_empty());
    let mut next = rig.client().await;
    let mut device = rig.device().await;
    write(&mut device, b"again").await;
    assert_eq!(read(&mut next, 5).await, b"again");
    rig.stop.stop();
    let report = rig.report().await;
    assert_eq!((report.sessions, report.failed), (6, 1));
}

#[tokio::test(start_paused = true)]
async fn the_listener_may_be_the_second_address() {
    let mut rig = Rig::with(true, Settings::default(), |given| given.share.access = ShareAccess::Lease);
    let mut device = rig.device().await;
    let (mut first, mut second) = (rig.client().await, rig.client().await);
    write(&mut device, b"to all").await;
    assert_eq!((read(&mut first, 6).await, read(&mut second, 6).await), (b"to all".to_vec(), b"to all".to_vec()));
    write(&mut first, b"from one").await;
    assert_eq!(read(&mut device, 8).await, b"from one");
    write(&mut second, b"dropped").await;
    until(|| rig.log.count("may not write") == 1).await;
    drop((device, first, second));
    let report = rig.report().await;
    assert_eq!((report.left_to_right.bytes, report.right_to_left.bytes), (12, 8));
    assert_eq!((report.left_to_right.discarded, report.right_to_left.discarded), (0, 7));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_ended_is_let_go_when_the_device_is_silent() {
    for (linger, patience) in [(None, SECOND / 2), (Some(3 * SECOND), 3 * SECOND)] {
        let mut rig = Rig::with(false, Settings { linger, ..Settings::default() }, |_| ());
        let mut device = rig.device().await;
        let mut client = rig.client().await;
        write(&mut client, b"question").await;
        client.shutdown().await.unwrap();
        assert_eq!(read(&mut device, 8).await, b"question");
        let pause = patience * 4 / 5;
        for word in [b"an", b"sw", b"er"] {
            tokio::time::sleep(pause).await;
            write(&mut device, word).await;
            assert_eq!(read(&mut client, 2).await, word);
        }
        let begun = tokio::time::Instant::now();
        assert!(read_all(&mut client).await.is_empty());
        assert!(begun.elapsed() >= pause && begun.elapsed() <= patience + SECOND / 10, "{:?}", begun.elapsed());
        drop(device);
        assert!(rig.report().await.is_success());
    }
}

#[tokio::test(start_paused = true)]
async fn settings_of_the_last_client_count_and_the_others_are_told() {
    let mut rig = Rig::new(|given| given.share.restore = true);
    let device = rig.device().await;
    let ((one, first), (two, second)) = (rig.setter().await, rig.setter().await);
    let (mut told_first, mut told_second) = (first.line().watch(), second.line().watch());
    let change = Change { baud: Some(9600), rts: Some(false), ..Change::default() };
    let state = first.line().change(change).await.unwrap();
    assert_eq!((state.baud, second.line().state().baud), (9600, 9600));
    assert_eq!(within(told_second.recv()).await, Some(Event::State(state)));
    second.line().change(Change { baud: Some(300), ..Change::default() }).await.unwrap();
    let told = within(told_first.recv()).await;
    assert!(matches!(told, Some(Event::State(State { baud: 300, .. }))), "{told:?}");
    // What the line tells by itself is told to all. It may watch since it was asked to.
    tokio::time::sleep(SECOND).await;
    rig.line.set(&Change { rts: Some(true), ..Change::default() });
    for told in [&mut told_first, &mut told_second] {
        assert!(matches!(within(told.recv()).await, Some(Event::Modem { .. })));
    }
    drop(one);
    until(|| rig.log.count("leaves") == 1).await;
    assert_eq!(rig.line.state().baud, 300);
    drop(two);
    until(|| rig.line.state() == State { modem: rig.line.state().modem, ..State::default() }).await;
    drop(device);
    assert!(rig.report().await.is_success());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_may_not_write_may_not_set_either() {
    let mut rig = Rig::new(|given| given.share.access = ShareAccess::ReadOnly);
    let device = rig.device().await;
    let (client, setter) = rig.setter().await;
    let state = setter.line().change(Change { baud: Some(9600), ..Change::default() }).await.unwrap();
    assert_eq!((state.baud, rig.line.state().baud), (115_200, 115_200));
    drop((device, client));
    assert!(rig.report().await.is_success());
}

#[tokio::test(start_paused = true)]
async fn a_client_purges_its_own_queue_alone() {
    let mut rig = Rig::new(|_| ());
    let mut device = rig.device().await;
    let ((mut one, setter), mut two) = (rig.setter().await, rig.client().await);
    let data = noise(4 * PIPE);
    write(&mut device, &data).await;
    // What its pipe holds has been sent; the rest waits, some of it in the session.
    until(|| rig.relay.totals.right_to_left.flow().bytes == 2 * PIPE as u64).await;
    tokio::time::sleep(SECOND).await;
    setter.line().change(Change { purge_in: true, ..Change::default() }).await.unwrap();
    until(|| rig.relay.totals.right_to_left.flow().purged == 3 * PIPE as u64).await;
    write(&mut device, b"new").await;
    drop(device);
    let got = read_all(&mut one).await;
    assert!(got[..PIPE] == data[..PIPE] && got[PIPE..] == *b"new", "{} bytes", got.len());
    let got = read_all(&mut two).await;
    assert!(got[..data.len()] == data && got[data.len()..] == *b"new");
    drop((one, two));
    let report = rig.report().await;
    assert_eq!((report.right_to_left.purged, report.right_to_left.discarded), (3 * PIPE as u64, 0));
}

#[tokio::test]
async fn two_sided_sharing_is_refused() {
    let plan = |fork| {
        let mut plan = Plan::of_opener(&KIND, "TEST", Opener::Connect(Arc::new(Breaks)));
        if let Planned::Single(endpoint) = &mut plan.planned {
            let mut options = Options::default();
            options.settings.life.fork = fork;
            options.settings.share.opened = Some(Opened::AtStart).filter(|_| !fork);
            endpoint.options = Arc::new(options);
        }
        plan
    };
    let relay = Arc::new(Relay::new(plan(false), plan(true), Settings::default(), Log::silent()));
    let report = relay.run(&Stop::default()).await;
    assert!(report.error.unwrap().to_string().contains("TEST"), "names the address");
}
