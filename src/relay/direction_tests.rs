//! What happens when the kernel refuses to splice although the table of ways says that it can.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::future::poll_fn;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

use super::*;
use crate::channel::{Port, PortSink, PortSource};
use crate::option::Flow as Options;

fn direction(from: Port, to: Port) -> Direction {
    let source = PortSource::new(Arc::new(from), &Options::default());
    let sink = PortSink::new(Arc::new(to), &Options::default());
    Direction::new(Box::new(source), Box::new(sink), None, false)
}

/// Runs the direction to its end and gives it back.
async fn finished(mut direction: Direction) -> Direction {
    let tally = Tally::default();
    let turns = Arc::default();
    let moving = poll_fn(|cx| direction.poll(cx, &tally, &turns));
    tokio::time::timeout(Duration::from_secs(20), moving).await.expect("the direction ends");
    assert!(direction.error.is_none(), "{:?}", direction.error);
    assert_eq!(tally.flow().bytes, direction.flow.bytes);
    assert_eq!(direction.flow.undelivered, 0);
    direction
}

/// Reads to the end, on a thread.
fn reader(mut end: UnixStream) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut received = Vec::new();
        end.read_to_end(&mut received).unwrap();
        received
    })
}

/// Writes everything and ends, on a thread.
fn writer(mut end: impl Write + Send + 'static, data: &[u8]) -> std::thread::JoinHandle<()> {
    let data = data.to_vec();
    std::thread::spawn(move || end.write_all(&data).unwrap())
}

/// What arrives of `data` from a UNIX socket to another one, which is changed first.
pub(in crate::relay) async fn through_unix(data: &[u8], change: impl FnOnce(&UnixStream)) -> (Vec<u8>, bool) {
    let (near, from) = UnixStream::pair().unwrap();
    let (to, far) = UnixStream::pair().unwrap();
    change(&to);
    let direction = direction(Port::new(from.into()).unwrap(), Port::new(to.into()).unwrap());
    assert_eq!(direction.way, Way::Splice);
    let (writing, reading) = (writer(near, data), reader(far));
    let direction = finished(direction).await;
    writing.join().unwrap();
    (reading.join().unwrap(), direction.way == Way::Splice)
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|place| u8::try_from(place % 251).unwrap()).collect()
}

/// splice(2) takes no descriptor with `O_APPEND` to write to: EINVAL, while write(2) goes on.
fn refuse_splices(socket: impl AsFd) {
    sys::fd::set_status_flag(socket.as_fd(), OFlag::O_APPEND, true).unwrap();
}

#[tokio::test]
async fn bulk_is_spliced_and_whole() {
    let data = pattern(3_000_000);
    let (received, spliced) = through_unix(&data, |_| {}).await;
    assert!(received == data && spliced);
}

#[tokio::test]
async fn bytes_in_a_pipe_the_sink_refuses_are_rescued() {
    let data = pattern(3_000_000);
    let (received, spliced) = through_unix(&data, |to| refuse_splices(to)).await;
    assert!(received == data, "{} bytes of {} arrived", received.len(), data.len());
    assert!(!spliced, "the sink is not asked again");
}

#[tokio::test]
async fn a_pipe_whose_splice_is_refused_is_read() {
    let data = pattern(3_000_000);
    let (from, near) = sys::io::pipe().unwrap();
    sys::fd::set_nonblocking(near.as_fd(), false).unwrap();
    let (to, far) = UnixStream::pair().unwrap();
    refuse_splices(&to);
    let direction = direction(Port::new(from).unwrap(), Port::new(to.into()).unwrap());
    assert_eq!(direction.way, Way::Direct);
    let (writing, reading) = (writer(std::fs::File::from(near), &data), reader(far));
    let direction = finished(direction).await;
    writing.join().unwrap();
    assert!(reading.join().unwrap() == data);
    assert_eq!(direction.way, Way::Copy);
}

/// inotify(7) can be polled and read, and gives more than 16 KiB at a time, but not spliced: it stands for
/// any source whose class promises more than the kernel keeps.
#[tokio::test]
async fn a_source_that_refuses_splices_is_read() {
    let directory = std::env::temp_dir().join(format!("ferrule-refusal-{}", std::process::id()));
    std::fs::create_dir(&directory).unwrap();
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).unwrap();
    inotify.add_watch(&directory, AddWatchFlags::IN_CREATE).unwrap();
    // Each event has 16 bytes and the name with a NUL, here 256 in all: whole events fill a read exactly.
    let event = 16 + 240;
    let make = |from: usize, to: usize| {
        for number in from..to {
            std::fs::write(directory.join(format!("{number:0239}")), "").unwrap();
        }
    };
    make(0, 100);
    let (to, far) = UnixStream::pair().unwrap();
    far.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let from = Port::of_class(OwnedFd::from(inotify), Class::Unix).unwrap();
    let mut direction = direction(from, Port::new(to.into()).unwrap());
    assert_eq!(direction.way, Way::Splice);
    let (tally, turns) = (Tally::default(), Arc::default());
    for events in [100, 200] {
        let arrived = poll_fn(|cx| match direction.poll(cx, &tally, &turns) {
            Poll::Pending if tally.flow().bytes < events * event => Poll::Pending,
            _ => Poll::Ready(()),
        });
        tokio::time::timeout(Duration::from_secs(20), arrived).await.expect("the events arrive");
        assert_eq!(tally.flow().bytes, events * event);
        if events == 100 {
            make(100, 200);
        }
    }
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(direction.way, Way::Copy, "the source was asked for splices, once");
    let mut received = vec![0; 200 * usize::try_from(event).unwrap()];
    (&far).read_exact(&mut received).unwrap();
    for (number, piece) in received.chunks(usize::try_from(event).unwrap()).enumerate() {
        assert_eq!(std::str::from_utf8(&piece[16..255]).unwrap(), format!("{number:0239}"));
    }
}

/// A layer that gives a few bytes and holds others back.
#[derive(Default)]
struct Ahead {
    given: bool,
}

impl tokio::io::AsyncRead for Ahead {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buf: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::replace(&mut self.given, true) {
            return Poll::Pending;
        }
        buf.put_slice(b"given");
        Poll::Ready(Ok(()))
    }
}

impl Source for Ahead {
    fn ahead(&self) -> usize {
        7
    }
}

#[tokio::test]
async fn what_a_layer_has_read_ahead_is_counted_once_as_undelivered() {
    let (to, mut far) = UnixStream::pair().unwrap();
    let source = Ahead::default();
    let sink = PortSink::new(Arc::new(Port::new(to.into()).unwrap()), &Options::default());
    let mut direction = Direction::new(Box::new(source), Box::new(sink), None, false);
    let (tally, turns) = (Tally::default(), Arc::default());
    let moved = poll_fn(|cx| match direction.poll(cx, &tally, &turns) {
        Poll::Pending if direction.flow.bytes == 0 => Poll::Pending,
        polled => Poll::Ready(polled),
    });
    assert!(tokio::time::timeout(Duration::from_secs(20), moved).await.expect("bytes are moved").is_pending());
    let mut given = [0; 5];
    far.read_exact(&mut given).unwrap();
    direction.abandon(&tally);
    direction.abandon(&tally);
    assert_eq!((direction.flow.bytes, direction.flow.undelivered), (5, 7));
}
