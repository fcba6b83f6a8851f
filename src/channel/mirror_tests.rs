#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs::File;
use std::io::Write;

use nix::sys::termios::{FlushArg, tcflush};
use tokio::io::AsyncReadExt;

use super::*;
use crate::channel::{Class, PortSource};
use crate::line::{Parity, Watchers};
use crate::option::Flow;
use crate::sys::terminal::open_pair;

/// A line that keeps what was asked of it, and can refuse.
#[derive(Default)]
struct Fake {
    state: Mutex<State>,
    changes: Mutex<Vec<Change>>,
    watchers: Watchers,
    /// The fastest it can.
    limit: Option<u32>,
}

impl Line for Fake {
    fn change(&self, change: Change) -> BoxFuture<'static, io::Result<State>> {
        self.changes.lock().unwrap().push(change);
        let mut state = self.state.lock().unwrap();
        *state = change.applied_to(*state);
        state.baud = state.baud.min(self.limit.unwrap_or(u32::MAX));
        let after = *state;
        Box::pin(std::future::ready(Ok(after)))
    }

    fn state(&self) -> State {
        *self.state.lock().unwrap()
    }

    fn watch(&self) -> mpsc::Receiver<Event> {
        self.watchers.add()
    }

    fn is_real(&self) -> bool {
        true
    }
}

struct Rig {
    mirror: Mirror,
    slave: File,
    line: Arc<Fake>,
}

impl Rig {
    fn new(line: Fake, wish: Change) -> Self {
        let pair = open_pair().unwrap();
        let port = Arc::new(Port::of_class(pair.master, Class::Master).unwrap());
        let control = Arc::new(MirrorControl::default());
        let inner = Box::new(PortSource::new(Arc::clone(&port), &Flow::default()));
        let made = Termios::read(port.as_fd()).unwrap();
        let mirror = Mirror::new(inner, &port, Arc::clone(&control), wish, &made, false, &Log::silent());
        let line = Arc::new(line);
        control.attach(line.clone());
        Self { mirror, slave: File::from(pair.slave), line }
    }

    fn settings(&self) -> Termios {
        Termios::read(self.slave.as_fd()).unwrap()
    }

    fn set(&self, change: impl FnOnce(&mut Termios)) {
        let mut settings = self.settings();
        change(&mut settings);
        settings.write(self.slave.as_fd()).unwrap();
    }

    /// Polls for reading once: what the program did is passed on, but nothing is to be read.
    fn pass_on(&mut self) {
        let mut buffer = [0; 64];
        let mut buf = ReadBuf::new(&mut buffer);
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let read = Pin::new(&mut self.mirror).poll_read(&mut cx, &mut buf);
        assert!(read.is_pending(), "{read:?} {:?}", buf.filled());
    }

    /// Reads until `done`, which nothing but the line tells.
    async fn until(&mut self, done: impl Fn(&Fake) -> bool) {
        let line = Arc::clone(&self.line);
        let read = async {
            let mut byte = [0];
            let read = self.mirror.read(&mut byte);
            tokio::pin!(read);
            std::future::poll_fn(|cx| {
                assert!(read.as_mut().poll(cx).is_pending());
                if done(&line) { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        };
        tokio::time::timeout(Duration::from_secs(10), read).await.unwrap();
    }

    fn changes(&self) -> Vec<Change> {
        std::mem::take(&mut *self.line.changes.lock().unwrap())
    }
}

fn baud(baud: u32) -> Change {
    Change { baud: Some(baud), ..Change::default() }
}

#[tokio::test]
async fn what_a_program_sets_is_set_on_the_line_and_data_pass_whole() {
    let mut rig = Rig::new(Fake::default(), Change::default());
    rig.pass_on();
    assert!(rig.changes().is_empty());
    assert_eq!(rig.settings().output_speed(), 115_200, "the terminal shows the line's speed");
    rig.set(|settings| {
        settings.make_raw();
        settings.set_speed(250_000);
        settings.set_stop_bits(StopBits::Two).unwrap();
    });
    rig.until(|line| line.state().baud == 250_000).await;
    let expected = Change { stop_bits: Some(StopBits::Two), ..baud(250_000) };
    assert_eq!(rig.changes(), [expected]);

    let bytes: Vec<u8> = (0..4000_u32).map(|number| u8::try_from(number % 251).unwrap()).collect();
    for room in [1, 2, 3, 4096] {
        rig.slave.write_all(&bytes).unwrap();
        let mut read = Vec::new();
        while read.len() < bytes.len() {
            let mut buffer = vec![0; room];
            let count = rig.mirror.read(&mut buffer).await.unwrap();
            assert!(count > 0);
            read.extend_from_slice(&buffer[..count]);
        }
        assert!(read == bytes, "with room for {room}");
    }
}

#[tokio::test]
async fn a_program_that_clears_extproc_is_looked_after() {
    let mut rig = Rig::new(Fake::default(), Change::default());
    rig.pass_on();
    rig.set(|settings| settings.set(Word::Local, !0, false));
    rig.pass_on();
    for speed in [1200, 74_880] {
        rig.set(|settings| settings.set_speed(speed));
        rig.until(|line| line.state().baud == speed).await;
    }
    // And once it is set again, the kernel tells.
    rig.set(|settings| settings.set(Word::Local, libc::EXTPROC, true));
    rig.pass_on();
    rig.set(|settings| settings.set_speed(300));
    rig.until(|line| line.state().baud == 300).await;
    assert_eq!(rig.changes(), [baud(1200), baud(74_880), baud(300)]);
}

#[tokio::test]
async fn what_the_line_refused_is_shown_to_the_program() {
    let mut rig = Rig::new(Fake { limit: Some(115_200), ..Fake::default() }, Change::default());
    rig.pass_on();
    rig.set(|settings| settings.set_speed(250_000));
    rig.until(|line| !line.changes.lock().unwrap().is_empty()).await;
    assert_eq!(rig.settings().output_speed(), 115_200);
    rig.pass_on();
    assert_eq!(rig.changes(), [baud(250_000)], "its own change is not taken for one of a program");
}

#[tokio::test]
async fn a_line_set_by_somebody_else_is_shown() {
    let mut rig = Rig::new(Fake::default(), Change::default());
    rig.pass_on();
    let state = State { baud: 2400, stop_bits: StopBits::Two, ..State::default() };
    rig.line.watchers.tell(Event::State(state));
    rig.pass_on();
    let settings = rig.settings();
    assert_eq!((settings.output_speed(), settings.stop_bits()), (2400, StopBits::Two));
    rig.pass_on();
    assert!(rig.changes().is_empty());
}

#[tokio::test]
async fn flushes_are_passed_on() {
    let mut rig = Rig::new(Fake::default(), Change::default());
    rig.pass_on();
    for (queue, count) in [(FlushArg::TCIFLUSH, 1), (FlushArg::TCOFLUSH, 2)] {
        tcflush(&rig.slave, queue).unwrap();
        rig.until(|line| line.changes.lock().unwrap().len() == count).await;
    }
    let input = Change { purge_in: true, ..Change::default() };
    let output = Change { purge_out: true, ..Change::default() };
    assert_eq!(rig.changes(), [input, output]);
}

#[tokio::test]
async fn a_flush_purges_what_cannot_be_written_and_a_speed_waits_for_it() {
    let mut rig = Rig::new(Fake::default(), Change::default());
    rig.pass_on();
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert_eq!(rig.mirror.poll_beside(&mut cx), Beside::Nothing);
    rig.slave.write_all(b"behind").unwrap();
    rig.set(|settings| {
        settings.set_speed(300);
        settings.set_flow_out(FlowControl::Hardware);
    });
    assert_eq!(rig.mirror.poll_beside(&mut cx), Beside::Nothing);
    let hastened =
        Change { flow_out: Some(FlowControl::Hardware), flow_in: Some(FlowControl::Hardware), ..Change::default() };
    let made = rig.changes();
    assert_eq!(made[0].flow_out, hastened.flow_out, "it may be what the bytes wait for: {made:?}");
    assert!(made.iter().all(|change| change.baud.is_none()), "{made:?}");

    // While it is stuck, a flush is noticed without anything being read.
    let mirror = &mut rig.mirror;
    let slave = rig.slave.try_clone().unwrap();
    let purged = std::future::poll_fn(|cx| match mirror.poll_beside(cx) {
        Beside::Purge => Poll::Ready(()),
        Beside::Nothing => Poll::Pending,
    });
    let flush = async {
        tokio::task::yield_now().await;
        tcflush(&slave, FlushArg::TCOFLUSH).unwrap();
    };
    let both = async { tokio::join!(purged, flush) };
    tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
    assert!(rig.changes().iter().any(|change| change.purge_out));

    let mut buffer = [0; 64];
    let count = rig.mirror.read(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..count], b"behind");
    assert_eq!(rig.changes(), [baud(300)]);
}

#[tokio::test]
async fn the_line_is_given_what_the_options_of_the_terminal_ask_for() {
    let wish = Change { data_bits: Some(7), parity: Some(Parity::Even), ..baud(9600) };
    let mut rig = Rig::new(Fake::default(), wish);
    rig.pass_on();
    assert_eq!(rig.changes(), [wish]);
    assert_eq!(rig.settings().output_speed(), 9600);
    // Another line in its place gets all of it.
    let other = Arc::new(Fake::default());
    rig.set(|settings| settings.set_speed(19_200));
    rig.until(|line| line.state().baud == 19_200).await;
    rig.mirror.control.attach(other.clone());
    rig.pass_on();
    let state = other.state();
    assert_eq!((state.baud, state.data_bits, state.parity), (19_200, 7, Parity::Even));
}

#[tokio::test]
async fn a_program_need_not_wait_for_the_line() {
    let mut rig = Rig::new(Fake::default(), Change::default());
    // The line is there, but nothing has been read yet.
    rig.set(|settings| settings.set_speed(1200));
    rig.pass_on();
    assert_eq!(rig.changes(), [baud(1200)]);
    assert_eq!(rig.settings().output_speed(), 1200);
}

#[tokio::test]
async fn without_a_line_the_terminal_is_left_as_it_is() {
    let pair = open_pair().unwrap();
    let port = Arc::new(Port::of_class(pair.master, Class::Master).unwrap());
    let inner = Box::new(PortSource::new(Arc::clone(&port), &Flow::default()));
    let made = Termios::read(port.as_fd()).unwrap();
    let mut mirror = Mirror::new(inner, &port, Arc::default(), baud(300), &made, false, &Log::silent());
    assert!(mirror.port().is_some() && !mirror.control.must_have());
    File::from(pair.slave.try_clone().unwrap()).write_all(b"line\n").unwrap();
    let mut buffer = [0; 16];
    let count = mirror.read(&mut buffer).await.unwrap();
    assert_eq!(&buffer[..count], b"line\r\n");
    assert!(!Termios::read(pair.slave.as_fd()).unwrap().has(Word::Local, libc::EXTPROC));
}
