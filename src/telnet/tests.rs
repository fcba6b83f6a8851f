//! A channel that speaks TELNET, between a client that writes bytes and a line that notes what is done to it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, ReadHalf, WriteHalf};
use tokio::sync::mpsc;

use super::codec::{Event, Parser, Verb, command, escape, option, subnegotiation};
use super::{Manner, speak};
use crate::channel::{Beside, Channel, Sink, Source};
use crate::endpoint::BoxFuture;
use crate::line::{Change, Event as LineEvent, Imagined, Line, State};
use crate::log::Log;
use crate::option::TelnetRole;

struct Reading(ReadHalf<DuplexStream>);
struct Writing(WriteHalf<DuplexStream>);

impl AsyncRead for Reading {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl Source for Reading {}

impl AsyncWrite for Writing {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Sink for Writing {}

/// A line that does everything, and notes it.
#[derive(Default)]
struct Noting {
    line: Imagined,
    changes: Mutex<Vec<Change>>,
}

impl Noting {
    fn changes(&self) -> Vec<Change> {
        std::mem::take(&mut self.changes.lock().unwrap())
    }
}

impl Line for Noting {
    fn change(&self, change: Change) -> BoxFuture<'static, io::Result<State>> {
        self.changes.lock().unwrap().push(change);
        self.line.change(change)
    }

    fn state(&self) -> State {
        self.line.state()
    }

    fn watch(&self) -> mpsc::Receiver<LineEvent> {
        self.line.watch()
    }

    fn is_real(&self) -> bool {
        true
    }
}

const SERVER: Manner = Manner { role: TelnetRole::Server, com_port: true, restore: true };
/// What a server asks of each client.
const GREETING: usize = 6 * 3;

/// A client, the channel it is connected to, and the line.
struct Rig {
    client: DuplexStream,
    source: Box<dyn Source>,
    sink: Box<dyn Sink>,
    line: Arc<Noting>,
}

impl Rig {
    fn new(manner: Manner, room: usize) -> Self {
        let (client, near) = tokio::io::duplex(room);
        let (reading, writing) = tokio::io::split(near);
        let channel = speak(Box::new(Reading(reading)), Box::new(Writing(writing)), manner, &Log::silent());
        let line = Arc::new(Noting::default());
        let Channel { source, sink, control, .. } = channel;
        control.unwrap().attach(line.clone());
        Self { client, source: source.unwrap(), sink: sink.unwrap(), line }
    }

    /// A server whose greeting was read.
    async fn server() -> Self {
        let mut rig = Self::new(SERVER, 1 << 20);
        rig.idle();
        let mut greeting = [0; GREETING];
        rig.client.read_exact(&mut greeting).await.unwrap();
        rig
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.client.write_all(bytes).await.unwrap();
    }

    /// Reads some data, as a direction does that has written all before.
    async fn data(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 4096];
        let count = self.source.read(&mut buffer).await.unwrap();
        buffer.truncate(count);
        buffer
    }

    /// Reads once; there are no data.
    fn idle(&mut self) {
        let mut buffer = [0; 4096];
        let mut buffer = ReadBuf::new(&mut buffer);
        let read =
            Pin::new(&mut self.source).poll_read(&mut Context::from_waker(std::task::Waker::noop()), &mut buffer);
        assert!(read.is_pending(), "{read:?} {:?}", buffer.filled());
    }

    /// What a direction does that cannot write.
    fn beside(&mut self) -> Beside {
        self.source.poll_beside(&mut Context::from_waker(std::task::Waker::noop()))
    }

    /// All that was written to the client so far.
    fn heard(&mut self) -> Vec<u8> {
        let mut buffer = vec![0; 65536];
        let mut buffer = ReadBuf::new(&mut buffer);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let _ = Pin::new(&mut self.client).poll_read(&mut cx, &mut buffer);
        buffer.filled().to_vec()
    }

    /// The answers among that.
    fn answers(&mut self) -> Vec<Vec<u8>> {
        subs(&self.heard())
    }
}

fn subs(mut wire: &[u8]) -> Vec<Vec<u8>> {
    let (mut parser, mut all) = (Parser::default(), Vec::new());
    while let Some(event) = parser.next(&mut wire) {
        if let Event::Sub(option::COM_PORT, payload) = event {
            all.push(payload.to_vec());
        }
    }
    all
}

fn data_of(mut wire: &[u8]) -> Vec<u8> {
    let (mut parser, mut all) = (Parser::default(), Vec::new());
    while let Some(event) = parser.next(&mut wire) {
        if let Event::Data(data) = event {
            all.extend_from_slice(data);
        }
    }
    all
}

fn request(payload: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    subnegotiation(option::COM_PORT, payload, &mut wire);
    wire
}

#[tokio::test]
async fn the_lines_are_told_as_soon_as_the_option_is_agreed_on_and_when_they_change() {
    let mut rig = Rig::new(SERVER, 4096);
    rig.send(&Verb::Will.bytes(option::COM_PORT)).await;
    rig.idle();
    let heard = rig.heard();
    for expected in [Verb::Do.bytes(option::COM_PORT), Verb::Will.bytes(option::BINARY), Verb::Do.bytes(option::BINARY)]
    {
        assert!(heard.windows(3).any(|bytes| bytes == expected), "{heard:?}");
    }
    assert_eq!(heard.windows(3).filter(|bytes| *bytes == Verb::Do.bytes(option::COM_PORT)).count(), 1);
    assert_eq!(subs(&heard), [[107, 0xb0]]);
    rig.line.line.set(&Change { rts: Some(false), ..Change::default() });
    rig.idle();
    assert_eq!(rig.answers(), [[107, 0xa1]]);
}

#[tokio::test]
async fn a_client_that_wants_the_server_to_want_it_is_agreed_with() {
    let mut rig = Rig::server().await;
    rig.send(&Verb::Do.bytes(option::COM_PORT)).await;
    rig.idle();
    let heard = rig.heard();
    assert_eq!(&heard[..3], Verb::Will.bytes(option::COM_PORT));
    assert_eq!(subs(&heard), [[107, 0xb0]]);
}

#[tokio::test]
async fn unknown_options_are_refused_once() {
    let mut rig = Rig::server().await;
    rig.send(&[Verb::Do.bytes(47), Verb::Will.bytes(24), Verb::Wont.bytes(24), Verb::Dont.bytes(47)].concat()).await;
    rig.idle();
    assert_eq!(rig.heard(), [Verb::Wont.bytes(47), Verb::Dont.bytes(24)].concat());
}

#[tokio::test]
async fn requests_of_one_segment_are_one_change_and_each_is_answered() {
    let mut rig = Rig::server().await;
    rig.send(&[request(&[5, 9]), request(&[5, 12]), request(&[7, 0])].concat()).await;
    rig.idle();
    assert_eq!(rig.line.changes(), [Change { dtr: Some(false), rts: Some(false), ..Change::default() }]);
    assert_eq!(rig.answers()[..3], [[105, 9], [105, 12], [107, 0]]);
    rig.send(&[request(&[5, 8]), request(&[5, 9])].concat()).await;
    rig.idle();
    assert_eq!(rig.line.changes().len(), 2);
}

#[tokio::test]
async fn a_command_keeps_its_place_between_the_data() {
    let mut rig = Rig::server().await;
    rig.send(&[b"one".to_vec(), request(&[1, 8]), b"two\xff\xff".to_vec(), request(&[2, 7])].concat()).await;
    assert_eq!(rig.data().await, b"one");
    assert!(rig.line.changes().is_empty());
    assert_eq!(rig.data().await, b"two\xff");
    assert_eq!(rig.line.changes(), [Change { baud: Some(9600), ..Change::default() }]);
    rig.idle();
    assert_eq!(rig.line.changes(), [Change { data_bits: Some(7), ..Change::default() }]);
    assert_eq!(rig.answers(), [[101, 8], [102, 7]]);
}

#[tokio::test(start_paused = true)]
async fn while_data_are_stuck_questions_are_answered_and_settings_wait_for_a_while() {
    let mut rig = Rig::server().await;
    rig.send(b"stuck").await;
    assert_eq!(rig.data().await, b"stuck");
    rig.send(&[b"more".to_vec(), request(&[2, 0]), request(&[1, 8]), request(&[3, 0])].concat()).await;
    assert_eq!(rig.beside(), Beside::Nothing);
    assert_eq!(rig.answers(), [[102, 8]]);
    assert_eq!(rig.source.ahead(), 4);
    assert!(rig.line.changes().is_empty());
    tokio::time::sleep(Duration::from_millis(1100)).await;
    assert_eq!(rig.beside(), Beside::Nothing);
    assert_eq!(rig.answers(), [[101, 8], [103, 1]]);
    assert_eq!(rig.data().await, b"more");
}

#[tokio::test]
async fn a_purge_drops_the_data_before_it_and_none_behind_it() {
    let mut rig = Rig::server().await;
    rig.send(b"old").await;
    assert_eq!(rig.data().await, b"old");
    rig.send(&[b"older".to_vec(), request(&[1, 8]), request(&[12, 2]), b"new".to_vec()].concat()).await;
    assert_eq!(rig.beside(), Beside::Purge);
    assert_eq!(rig.beside(), Beside::Nothing);
    assert_eq!(rig.answers(), [vec![101, 8], vec![112, 2]]);
    assert!(rig.line.changes().iter().any(|change| change.purge_out && !change.purge_in));
    assert_eq!(rig.data().await, b"new");
}

#[tokio::test]
async fn a_purge_of_what_was_received_drops_what_the_client_has_not_taken() {
    let mut rig = Rig::new(SERVER, 64);
    rig.idle();
    let mut greeting = [0; GREETING];
    rig.client.read_exact(&mut greeting).await.unwrap();
    // A direction offers the same block until it is taken.
    let block = [b'x'; 100];
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let Poll::Ready(Ok(taken)) = Pin::new(&mut rig.sink).poll_write(&mut cx, &block) else { panic!() };
    assert!(Pin::new(&mut rig.sink).poll_write(&mut cx, &block[taken..]).is_pending());
    rig.send(&request(&[12, 1])).await;
    rig.idle();
    assert_eq!(rig.sink.write(&block[taken..]).await.unwrap(), 100 - taken);
    let mut wire = rig.heard();
    rig.idle();
    rig.sink.write_all(b"new").await.unwrap();
    wire.extend(rig.heard());
    assert_eq!(data_of(&wire), [&block[..taken], b"new"].concat());
    assert_eq!(subs(&wire), [[112, 1]]);
}

#[tokio::test]
async fn a_suspended_server_sends_answers_only() {
    let mut rig = Rig::server().await;
    rig.send(&request(&[8])).await;
    rig.idle();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(Pin::new(&mut rig.sink).poll_write(&mut cx, b"data").is_pending());
    rig.line.line.set(&Change { rts: Some(false), ..Change::default() });
    rig.send(&request(&[2, 0])).await;
    rig.idle();
    assert_eq!(rig.heard(), request(&[102, 8]));
    rig.send(&request(&[9])).await;
    rig.idle();
    rig.sink.write_all(b"data").await.unwrap();
    let heard = rig.heard();
    assert_eq!((subs(&heard), data_of(&heard)), (vec![vec![107, 0xa1]], b"data".to_vec()));
}

#[tokio::test]
async fn a_client_that_ends_its_side_cannot_hold_the_data_back() {
    let mut rig = Rig::server().await;
    rig.send(&request(&[8])).await;
    rig.idle();
    rig.client.shutdown().await.unwrap();
    let (mut sink, writing) = (rig.sink, async |sink: &mut Box<dyn Sink>| sink.write_all(b"data").await.unwrap());
    let mut block = [0; 16];
    let (read, ()) = tokio::join!(rig.source.read(&mut block), writing(&mut sink));
    assert_eq!(read.unwrap(), 0);
    let mut data = [0; 4];
    rig.client.read_exact(&mut data).await.unwrap();
    assert_eq!(&data, b"data");
}

#[tokio::test]
async fn the_end_comes_after_all_data_and_in_the_middle_of_a_command() {
    let mut rig = Rig::server().await;
    rig.send(&[b"last".to_vec(), request(&[1, 8]), b"\xff\xfa\x2c\x01".to_vec()].concat()).await;
    rig.client.shutdown().await.unwrap();
    assert_eq!(rig.data().await, b"last");
    assert_eq!(rig.data().await, b"");
    assert_eq!(rig.answers(), [[101, 8]]);
}

#[tokio::test]
async fn what_was_read_ahead_is_given_before_the_end() {
    let mut rig = Rig::server().await;
    rig.send(&[vec![b'x'; 100_000], request(&[1, 8]), b"tail".to_vec()].concat()).await;
    rig.client.shutdown().await.unwrap();
    rig.beside();
    let ahead = rig.source.ahead();
    assert!((90_000..=100_004).contains(&ahead), "{ahead}");
    let mut all = Vec::new();
    rig.source.read_to_end(&mut all).await.unwrap();
    assert_eq!(all.len(), 100_004);
    assert!(all.ends_with(b"xtail"));
    assert_eq!(rig.line.changes().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_break_key_is_a_short_break_and_a_person_gets_a_sign() {
    let mut rig = Rig::server().await;
    let brk = |on| Change { brk: Some(on), ..Change::default() };
    rig.send(&[b"a".to_vec(), vec![255, command::BREAK, 255, command::ARE_YOU_THERE], b"b".to_vec()].concat()).await;
    assert_eq!(rig.data().await, b"a");
    rig.idle();
    assert_eq!(rig.line.changes(), [brk(true)]);
    assert!(rig.heard().windows(7).any(|text| text == b"ferrule"));
    let begun = tokio::time::Instant::now();
    assert_eq!(rig.data().await, b"b");
    assert!(begun.elapsed() >= Duration::from_millis(250));
    assert_eq!(rig.line.changes(), [brk(false)]);
}

#[tokio::test]
async fn the_line_is_left_as_it_was_found() {
    let mut rig = Rig::server().await;
    rig.send(&[request(&[1, 8]), request(&[5, 5]), request(&[5, 9])].concat()).await;
    rig.idle();
    let state = rig.line.state();
    assert_eq!((state.baud, state.brk, state.dtr), (9600, true, false));
    let Rig { source, line, .. } = rig;
    drop(source);
    assert_eq!(line.state(), State { modem: line.state().modem, ..State::default() });
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answers_is_not_listened_to() {
    let mut rig = Rig::new(SERVER, 256 * 1024);
    let requests = request(&[0]).repeat(30_000);
    rig.send(&requests).await;
    for _ in 0..100 {
        rig.idle();
        rig.beside();
    }
    let mut answers = Vec::new();
    for _ in 0..2000 {
        answers.extend(rig.heard());
        rig.idle();
    }
    assert_eq!(subs(&answers).len(), 30_000);
}

#[tokio::test]
async fn lines_of_the_virtual_terminal_are_padded_where_binary_was_refused() {
    let mut rig = Rig::server().await;
    rig.send(&[b"\r\0", &Verb::Will.bytes(0)[..], b"\r\0"].concat()).await;
    assert_eq!(rig.data().await, b"\r\r\0");
    rig.sink.write_all(b"a\rb").await.unwrap();
    assert_eq!(rig.heard(), b"a\rb");
    rig.send(&[&Verb::Dont.bytes(0)[..], &Verb::Wont.bytes(0), b"c\r\0d\r\n"].concat()).await;
    assert_eq!(rig.data().await, b"c\rd\r\n");
    assert_eq!(rig.heard(), Verb::Dont.bytes(0));
    rig.sink.write_all(b"e\r\xfff\r\n\r").await.unwrap();
    assert_eq!(rig.heard(), b"e\r\0\xff\xfff\r\n\r\0");
}

#[tokio::test]
async fn a_client_asks_for_nothing_and_agrees_to_what_it_knows() {
    let client = Manner { role: TelnetRole::Client, com_port: false, restore: false };
    let mut rig = Rig::new(client, 4096);
    rig.idle();
    assert_eq!(rig.heard(), b"");
    rig.sink.write_all(b"\r").await.unwrap();
    assert_eq!(rig.heard(), b"\r\0");
    let asked = [Verb::Will.bytes(1), Verb::Do.bytes(0), Verb::Will.bytes(0), Verb::Do.bytes(24), Verb::Will.bytes(44)];
    rig.send(&asked.concat()).await;
    rig.idle();
    let answers =
        [Verb::Do.bytes(1), Verb::Will.bytes(0), Verb::Do.bytes(0), Verb::Wont.bytes(24), Verb::Dont.bytes(44)];
    assert_eq!(rig.heard(), answers.concat());
    rig.sink.write_all(b"\r").await.unwrap();
    assert_eq!(rig.heard(), b"\r");
}

/// Writes `data` with room for `room` bytes at a time, while requests come in; gives all the client read.
async fn through(data: &[u8], room: usize) -> Vec<u8> {
    let rig = Rig::new(SERVER, room);
    let (mut source, mut sink) = (rig.source, rig.sink);
    let (mut reading, mut writing) = tokio::io::split(rig.client);
    let mut wire = Vec::new();
    let serving = async move {
        let mut nothing = Vec::new();
        source.read_to_end(&mut nothing).await.unwrap();
        assert!(nothing.is_empty());
    };
    let sending = async move {
        sink.write_all(data).await.unwrap();
        sink.shutdown().await.unwrap();
    };
    let asking = async move {
        for _ in 0..20 {
            writing.write_all(&request(&[2, 0])).await.unwrap();
            tokio::task::yield_now().await;
        }
        writing.shutdown().await.unwrap();
    };
    let hearing = async { reading.read_to_end(&mut wire).await.unwrap() };
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, async { tokio::join!(serving, sending, asking, hearing) })
        .await
        .expect("they are done");
    rig.line.changes();
    wire
}

#[tokio::test]
async fn data_arrive_whole_whatever_room_there_is_and_whatever_goes_between_them() {
    let data: Vec<u8> =
        (0..40_000_u32).map(|number| if number % 3 == 0 { 255 } else { number.to_be_bytes()[3] }).collect();
    for room in [1, 2, 3, 7, 64, 4097, 100_000] {
        let wire = through(&data, room).await;
        assert_eq!(data_of(&wire), data, "{room}");
        // What could not be answered before the end was no more to be answered.
        assert!(subs(&wire).iter().all(|payload| *payload == [102, 8]), "{room}");
        let mut escaped = Vec::new();
        escape(&data, &mut escaped);
        assert!(wire.len() >= escaped.len() + GREETING, "{room}");
    }
}
