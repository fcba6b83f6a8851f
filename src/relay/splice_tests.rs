#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use super::*;
use crate::channel::{Port, PortSink, PortSource};
use crate::option::Flow;

#[test]
fn a_pipe_with_bytes_in_it_is_never_used_again() {
    let mut pipe = Pipe::take().expect("a pipe");
    sys::io::write(pipe.entry(), b"secret").expect("room");
    pipe.filled = 6;
    pipe.give_back();
    let mut next = Pipe::take().expect("a pipe");
    assert_eq!(next.filled, 0);
    let mut buffer = [0; 16];
    assert_eq!(next.rescue(&mut buffer).expect_err("empty").kind(), io::ErrorKind::WouldBlock);
    next.give_back();
}

#[test]
fn an_empty_pipe_is_used_again() {
    let pipe = Pipe::take().unwrap();
    let number = pipe.entry().as_raw_fd();
    pipe.give_back();
    assert_eq!(Pipe::take().unwrap().entry().as_raw_fd(), number);
}

/// A port that says it is of this class; the table asks for nothing else.
fn port(class: Class) -> Arc<Port> {
    let (end, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    Arc::new(Port::of_class(end.into(), class).unwrap())
}

fn chosen(from: &Arc<Port>, to: &Arc<Port>) -> Way {
    way(&PortSource::new(Arc::clone(from), &Flow::default()), &PortSink::new(Arc::clone(to), &Flow::default()))
}

const CLASSES: [Class; 10] = [
    Class::Tcp,
    Class::Unix,
    Class::Stream,
    Class::Packet,
    Class::Datagram,
    Class::Pipe,
    Class::Terminal,
    Class::Master,
    Class::File,
    Class::Device,
];

/// Each pair of classes and its way, from what was measured. A pair that is to be moved another way needs
/// a new measurement first: unix to TCP and files are slower spliced than copied.
#[tokio::test]
async fn every_pair_of_classes_has_the_way_that_was_measured() {
    let ports = CLASSES.map(port);
    for (from, source) in CLASSES.iter().zip(&ports) {
        for (to, sink) in CLASSES.iter().zip(&ports) {
            let expected = match (from, to) {
                (Class::Tcp, Class::Tcp | Class::Unix) | (Class::Unix, Class::Unix) => Way::Splice,
                (Class::Pipe, Class::Tcp | Class::Unix | Class::Pipe) | (Class::Tcp | Class::Unix, Class::Pipe) => {
                    Way::Direct
                }
                _ => Way::Copy,
            };
            assert_eq!(chosen(source, sink), expected, "{from:?} to {to:?}");
        }
    }
}

/// A source around another one, as every wrapper is.
struct Wrapped;

impl AsyncRead for Wrapped {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Poll::Pending
    }
}

impl Source for Wrapped {}

#[tokio::test]
async fn what_cannot_be_spliced_without_blocking_is_copied() {
    let tcp = port(Class::Tcp);
    let sink = PortSink::new(Arc::clone(&tcp), &Flow::default());
    assert_eq!(way(&Wrapped, &sink), Way::Copy, "a wrapper hides the port");
    // A socket that others hold as well: O_NONBLOCK is not ours to set, and splice(2) would block.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let inherited = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let shared = Arc::new(Port::shared(inherited.as_fd(), true, true).unwrap());
    assert_eq!(shared.class(), Class::Tcp);
    assert_eq!(chosen(&shared, &tcp), Way::Copy);
    assert_eq!(chosen(&tcp, &shared), Way::Copy);
}

/// Whatever refuses them (the limit of descriptors, the quota of pipe memory): the bytes are copied.
#[tokio::test]
async fn without_pipes_the_bytes_are_copied() {
    REFUSED.set(Some(Instant::now()));
    assert!(Pipe::take().is_none(), "no pipe is asked for soon after a refusal");
    let data: Vec<u8> = (0..1_000_000_u32).map(|number| number.to_le_bytes()[(number % 3) as usize]).collect();
    let (moved, _) = super::super::direction::tests::through_unix(&data, |_| {}).await;
    assert!(moved == data, "{} bytes of {} arrived", moved.len(), data.len());
    assert!(REFUSED.get().is_some() && FREE.with_borrow(Vec::is_empty), "no pipe was made");
}

#[test]
fn pipes_are_tried_again_after_a_pause() {
    REFUSED.set(Instant::now().checked_sub(REFUSED_PAUSE));
    assert!(Pipe::take().is_some());
    assert!(REFUSED.get().is_none());
}
