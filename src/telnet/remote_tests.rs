#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::os::fd::OwnedFd;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::super::codec::{self, Event as Found, Parser, Verb, option};
use super::super::comport::{Form, Message, Role, Topic};
use super::*;
use crate::channel::{Class, PortSink, PortSource};
use crate::option::Flow;

const LIMIT: Duration = Duration::from_secs(20);

/// A server of RFC 2217 that answers to what it is asked, unless it is told otherwise.
struct Server {
    stream: UnixStream,
    parser: Parser,
    data: Vec<u8>,
    /// The requests, in their order.
    asked: Vec<Vec<u8>>,
    /// What it answers to a request, if anything.
    answers: fn(&[u8]) -> Option<Vec<u8>>,
    /// What it says of the option.
    agrees: Option<bool>,
}

/// Agrees with everything; where it is asked for a setting it has 9600 7E2.
fn obliging(request: &[u8]) -> Option<Vec<u8>> {
    let mut answer = request.to_vec();
    answer[0] += 100;
    match request {
        [0, ..] => answer = b"\x64acme".to_vec(),
        [1, 0, 0, 0, 0] => answer = vec![101, 0, 0, 0x25, 0x80],
        [2, 0] => answer[1] = 7,
        [3, 0] => answer[1] = 3,
        [4, 0] => answer[1] = 2,
        [5, ask @ (0 | 4 | 7 | 10)] => answer[1] = ask + 1,
        [8 | 9, ..] => return None,
        _ => {}
    }
    Some(answer)
}

impl Server {
    fn new(answers: fn(&[u8]) -> Option<Vec<u8>>) -> (Self, Box<dyn Source>, Box<dyn Sink>) {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        let port = Arc::new(Port::of_class(OwnedFd::from(near), Class::Unix).unwrap());
        let source = Box::new(PortSource::new(Arc::clone(&port), &Flow::default()));
        let sink = Box::new(PortSink::new(port, &Flow::default()));
        let stream = UnixStream::from_std(far).unwrap();
        let server = Self {
            stream,
            parser: Parser::default(),
            data: Vec::new(),
            asked: Vec::new(),
            answers,
            agrees: Some(true),
        };
        (server, source, sink)
    }

    /// Takes what has come, and answers. False at the end.
    async fn step(&mut self) -> bool {
        let mut block = vec![0; 100_000];
        let count = self.stream.read(&mut block).await.unwrap();
        let (mut block, mut out) = (&block[..count], Vec::new());
        while let Some(found) = self.parser.next(&mut block) {
            match found {
                Found::Data(data) => self.data.extend_from_slice(data),
                Found::Sub(option::COM_PORT, request) => {
                    self.asked.push(request.to_vec());
                    let answer = (self.answers)(request);
                    if let Some(answer) = answer {
                        codec::subnegotiation(option::COM_PORT, &answer, &mut out);
                    }
                }
                Found::Negotiate(verb, option) => {
                    let agrees = if option == option::COM_PORT { self.agrees } else { Some(true) };
                    let reply = match (verb, agrees) {
                        (_, None) => continue,
                        (Verb::Will, Some(true)) => Verb::Do,
                        (Verb::Do, Some(true)) => Verb::Will,
                        (Verb::Will, _) => Verb::Dont,
                        _ => Verb::Wont,
                    };
                    out.extend_from_slice(&reply.bytes(option));
                }
                _ => {}
            }
        }
        // Byte by byte now and then would be the same: the parser's own tests show it.
        self.stream.write_all(&out).await.unwrap();
        count > 0
    }

    /// Goes on while `other` is under way.
    async fn during<T>(&mut self, other: impl Future<Output = T>) -> T {
        tokio::pin!(other);
        let both = async {
            loop {
                tokio::select! {
                    result = &mut other => return result,
                    going = self.step() => if !going { return other.await },
                }
            }
        };
        tokio::time::timeout(LIMIT, both).await.expect("it comes to an end")
    }

    /// Goes on until `done`.
    async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let all = async {
            while !done(self) {
                assert!(self.step().await, "it ended");
            }
        };
        tokio::time::timeout(LIMIT, all).await.expect("it comes to an end");
    }

    async fn say(&mut self, message: &Message<'_>) {
        let mut out = Vec::new();
        message.write(Role::Server, &mut out);
        self.stream.write_all(&out).await.unwrap();
    }
}

async fn opened(answers: fn(&[u8]) -> Option<Vec<u8>>, wish: &Change) -> (Server, Result<Opened, Failure>) {
    let (mut server, source, sink) = Server::new(answers);
    let opened = server.during(open(source, sink, wish)).await;
    (server, opened)
}

async fn line() -> (Server, Opened) {
    let (server, opened) = opened(obliging, &Change::default()).await;
    (server, opened.unwrap())
}

fn baud(baud: u32) -> Change {
    Change { baud: Some(baud), ..Change::default() }
}

/// Polls for reading, which sees to what is beside the data, while `other` is under way.
async fn reading<T>(source: &mut Box<dyn Source>, other: impl Future<Output = T>) -> T {
    tokio::pin!(other);
    std::future::poll_fn(|cx| {
        let mut none = [0; 8];
        let mut buf = ReadBuf::new(&mut none);
        assert!(Pin::new(&mut *source).poll_read(cx, &mut buf).is_pending(), "no data were sent");
        other.as_mut().poll(cx)
    })
    .await
}

#[tokio::test]
async fn the_line_is_as_the_far_end_says() {
    let (server, opened) = line().await;
    let state = opened.line.state();
    assert_eq!((state.baud, state.data_bits), (9600, 7));
    assert!(opened.line.is_real() && opened.unanswered.is_empty());
    assert_eq!(opened.signature.as_deref(), Some("acme"));
    // Nothing was set: who only asks leaves everything as it is.
    let asks = |request: &Vec<u8>| request[1..].iter().all(|byte| *byte == 0) || matches!(request[..], [5, 7 | 10]);
    assert!(server.asked.iter().all(asks), "{:?}", server.asked);
}

#[tokio::test]
async fn settings_asked_for_are_set_first() {
    let wish = Change { dtr: Some(false), data_bits: Some(8), ..baud(250_000) };
    let (server, opened) = opened(obliging, &wish).await;
    let state = opened.unwrap().line.state();
    assert_eq!((state.baud, state.data_bits, state.dtr), (250_000, 8, false));
    let set = |request: &[u8]| server.asked.iter().position(|asked| asked == request).unwrap();
    assert!(set(&[1, 0, 3, 0xd0, 0x90]) < set(&[5, 9]));
    assert!(!server.asked.contains(&vec![5, 7]), "what is set is not asked for");
}

#[tokio::test(start_paused = true)]
async fn a_far_end_without_a_line_is_told_apart() {
    let (mut server, source, sink) = Server::new(obliging);
    server.agrees = Some(false);
    let failure = server.during(open(source, sink, &Change::default())).await.err().unwrap();
    assert!(matches!(failure, Failure::Refused), "{failure:?}");

    let (mut server, source, sink) = Server::new(obliging);
    server.agrees = None;
    let begun = Instant::now();
    let failure = server.during(open(source, sink, &Change::default())).await.err().unwrap();
    assert!(matches!(failure, Failure::Silent), "{failure:?}");
    assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());

    // What comes back is what it says itself: the offer looks like an agreement, but nothing is ever answered.
    let (mut server, source, sink) = Server::new(obliging);
    let (mut reads, mut writes) = server.stream.split();
    let echo = tokio::io::copy(&mut reads, &mut writes);
    let wish = Change::default();
    tokio::select! {
        opened = open(source, sink, &wish) => {
            let failure = opened.err().unwrap();
            assert!(matches!(failure, Failure::Silent), "{failure:?}");
        }
        _ = echo => panic!("it was closed"),
    }

    let (server, source, sink) = Server::new(obliging);
    drop(server);
    let failure = open(source, sink, &Change::default()).await.err().unwrap();
    assert!(matches!(failure, Failure::Closed), "{failure:?}");
}

#[tokio::test(start_paused = true)]
async fn a_setting_that_was_asked_for_must_be_answered_and_be_so() {
    fn without_parity(request: &[u8]) -> Option<Vec<u8>> {
        if request[0] == 3 { None } else { obliging(request) }
    }
    fn slow(request: &[u8]) -> Option<Vec<u8>> {
        if request[0] == 1 { Some(vec![101, 0, 1, 0xc2, 0]) } else { obliging(request) }
    }
    let parity = Change { parity: Some(crate::line::Parity::Odd), ..Change::default() };
    let (_, failed) = opened(without_parity, &parity).await;
    let Some(Failure::Unanswered(subjects)) = failed.err() else { panic!("it was not answered") };
    assert_eq!(subjects, [Subject::Parity]);
    // Who does not ask for it need not have an answer.
    let (_, opened_without) = opened(without_parity, &Change::default()).await;
    assert_eq!(opened_without.unwrap().line.state().baud, 9600);

    let (_, failed) = opened(slow, &baud(250_000)).await;
    let Some(Failure::Otherwise(state)) = failed.err() else { panic!("it has another speed") };
    assert_eq!(state.baud, 115_200);
}

#[tokio::test(start_paused = true)]
async fn a_far_end_that_does_not_answer_to_control_is_taken_at_its_word() {
    fn deaf(request: &[u8]) -> Option<Vec<u8>> {
        if matches!(request[0], 5 | 12) { None } else { obliging(request) }
    }
    let wish = Change { dtr: Some(false), ..Change::default() };
    let (mut server, opened) = opened(deaf, &wish).await;
    let mut opened = opened.unwrap();
    assert_eq!(opened.unanswered, [Subject::Dtr]);
    assert!(!opened.line.state().dtr);
    // What comes later waits once, and then no more.
    let purge = Change { purge_in: true, ..Change::default() };
    for most in [ANSWER, Duration::ZERO] {
        let begun = Instant::now();
        let change = reading(&mut opened.source, opened.line.change(purge));
        server.during(change).await.unwrap();
        assert_eq!(begun.elapsed().as_secs(), most.as_secs());
    }
}

#[tokio::test]
async fn bytes_pass_whole_both_ways() {
    let (mut server, mut opened) = line().await;
    let bytes: Vec<u8> = (0..=255_u8).chain([255, 255, 13, 0, 13, 10, 255]).cycle().take(100_000).collect();
    let mut wire = Vec::new();
    codec::escape(&bytes, &mut wire);
    let mut read = vec![0; bytes.len()];
    let (writer, reader) = (&mut opened.sink, &mut opened.source);
    server.during(writer.write_all(&bytes)).await.unwrap();
    server.until(|server| server.data.len() >= bytes.len()).await;
    assert!(server.data == bytes);
    let sent = async {
        server.stream.write_all(&wire).await.unwrap();
    };
    let ((), got) = tokio::join!(sent, tokio::time::timeout(LIMIT, reader.read_exact(&mut read)));
    got.unwrap().unwrap();
    assert!(read == bytes);
    drop(server);
    assert_eq!(opened.source.read(&mut [0; 8]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_change_goes_out_behind_the_data_and_gives_the_answer() {
    let (mut server, mut opened) = line().await;
    opened.sink.write_all(b"before").await.unwrap();
    let change = opened.line.change(baud(57_600));
    // Though nobody has waited for it yet, it has its place.
    opened.sink.write_all(b"after").await.unwrap();
    let state = server.during(reading(&mut opened.source, change)).await.unwrap();
    assert_eq!((state.baud, opened.line.state().baud), (57_600, 57_600));
    server.until(|server| server.data.len() >= 11).await;

    let (mut server, mut opened) = line().await;
    opened.sink.write_all(b"before").await.unwrap();
    drop(opened.line.change(baud(300)));
    opened.sink.write_all(b"after").await.unwrap();
    let mut wire = vec![0; 6 + 10 + 5];
    server.stream.read_exact(&mut wire).await.unwrap();
    assert_eq!(wire, b"before\xff\xfa\x2c\x01\0\0\x01\x2c\xff\xf0after");
}

#[tokio::test]
async fn answers_are_found_behind_data_nobody_takes() {
    let (mut server, mut opened) = line().await;
    let block = vec![b'x'; 10_000];
    server.stream.write_all(&block).await.unwrap();
    let mut change = opened.line.change(baud(57_600));
    let source = &mut opened.source;
    let beside = std::future::poll_fn(|cx| {
        assert_eq!(source.poll_beside(cx), Beside::Nothing);
        change.as_mut().poll(cx)
    });
    assert_eq!(server.during(beside).await.unwrap().baud, 57_600);
    assert_eq!(opened.source.ahead(), block.len());
    let mut read = vec![0; block.len()];
    opened.source.read_exact(&mut read).await.unwrap();
    assert!(read == block && opened.source.ahead() == 0);
}

#[tokio::test]
async fn a_far_end_that_goes_on_sending_is_asked_to_pause() {
    let (mut server, mut opened) = line().await;
    server.asked.clear();
    let flood = vec![b'x'; 16 * AHEAD];
    let source = &mut opened.source;
    let stuck = std::future::poll_fn(|cx| {
        assert_eq!(source.poll_beside(cx), Beside::Nothing);
        if source.ahead() >= AHEAD { Poll::Ready(()) } else { Poll::Pending }
    });
    let (mut reads, mut writes) = server.stream.split();
    let sent = writes.write_all(&flood);
    tokio::pin!(sent);
    tokio::select! { () = stuck => {}, _ = &mut sent => panic!("more was read than there is room for") }
    assert!(opened.source.ahead() < AHEAD + SMALL);
    let mut wire = [0; 6];
    let mut all = vec![0; flood.len()];
    reads.read_exact(&mut wire).await.unwrap();
    assert_eq!(wire, *b"\xff\xfa\x2c\x08\xff\xf0");
    let (sent, read) = tokio::join!(sent, opened.source.read_exact(&mut all));
    sent.unwrap();
    read.unwrap();
    assert!(all == flood);
    reads.read_exact(&mut wire).await.unwrap();
    assert_eq!(wire, *b"\xff\xfa\x2c\x09\xff\xf0");
}

#[tokio::test]
async fn what_was_received_is_dropped_by_a_purge() {
    let (mut server, mut opened) = line().await;
    server.stream.write_all(b"stale").await.unwrap();
    let source = &mut opened.source;
    std::future::poll_fn(|cx| {
        assert_eq!(source.poll_beside(cx), Beside::Nothing);
        if source.ahead() == 5 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    let change = opened.line.change(Change { purge_in: true, ..Change::default() });
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(opened.source.poll_beside(&mut cx), Beside::Purge);
    assert_eq!(opened.source.poll_beside(&mut cx), Beside::Nothing, "once");
    assert_eq!(opened.source.ahead(), 0);
    server.during(reading(&mut opened.source, change)).await.unwrap();
    assert_eq!(server.asked.last().unwrap(), &[12, 1]);
}

#[tokio::test]
async fn a_far_end_that_wants_no_data_gets_none() {
    let (mut server, mut opened) = line().await;
    server.say(&Message::Value(Topic::Suspend, 0)).await;
    let mut events = opened.line.watch();
    server.say(&Message::Value(Topic::Modem, 0x80)).await;
    reading(&mut opened.source, events.recv()).await.unwrap();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(std::pin::pin!(opened.sink.write_all(b"data")).poll(&mut cx).is_pending());
    server.say(&Message::Value(Topic::Resume, 0)).await;
    let (source, sink) = (&mut opened.source, &mut opened.sink);
    let written = reading(source, sink.write_all(b"data"));
    server.during(written).await.unwrap();
    server.until(|server| server.data == b"data").await;
    // Faults are told only if the far end is asked to.
    assert!(server.asked.contains(&vec![10, 0x1e]));
}

#[tokio::test]
async fn a_line_whose_connection_is_gone_says_so_and_keeps_its_state() {
    let (server, mut opened) = line().await;
    let change = opened.line.change(baud(300));
    drop(server);
    assert_eq!(opened.source.read(&mut [0; 8]).await.unwrap(), 0);
    let error = tokio::time::timeout(LIMIT, change).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::NotConnected);
    let Opened { line, source, sink, .. } = opened;
    drop((source, sink));
    assert_eq!(line.change(baud(300)).await.unwrap_err().kind(), io::ErrorKind::NotConnected);
    assert_eq!(Change::to(&line.state()).baud, Some(9600));
}

#[tokio::test]
async fn another_user_of_the_line_is_noticed() {
    let (mut server, mut opened) = line().await;
    let mut events = opened.line.watch();
    server.say(&Message::Baud(Some(1200), Form::Word)).await;
    let event = reading(&mut opened.source, events.recv()).await.unwrap();
    assert!(matches!(event, Event::State(state) if state.baud == 1200), "{event:?}");
}
