#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;

use super::super::{Defaults, Planned};
use super::*;
use crate::endpoint::Plan;
use crate::endpoint::testing::Lines;

fn planned(address: &str) -> Result<Plan> {
    Plan::parse(address.as_bytes(), Direction::Both, &Defaults::default())
}

/// Opens the address once; `serve` is the far end, on a thread of its own.
async fn opened(address: &str, serve: fn(std::net::TcpStream)) -> (Result<Channel>, Lines) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let far = std::thread::spawn(move || serve(listener.accept().unwrap().0));
    let plan = planned(&address.replace("PORT", &port.to_string())).unwrap();
    let Planned::Single(endpoint) = &plan.planned else { panic!("one address") };
    let Opener::Connect(connect) = &endpoint.opener else { panic!("it connects") };
    let log = Lines::default();
    let channel = endpoint.connect(connect, &log.context()).await;
    if channel.is_err() {
        far.join().unwrap();
    }
    (channel, log)
}

/// Agrees to the option, answers the four questions with 9600 8N1, and says `more`. Nothing else is answered.
fn answered(mut stream: std::net::TcpStream, more: &[u8]) {
    stream.write_all(b"\xff\xfd\x2c").unwrap();
    let mut heard = Vec::new();
    // The last question: how many stop bits.
    while !heard.windows(4).any(|window| window == b"\xff\xfa\x2c\x04") {
        let mut block = [0; 1000];
        let count = stream.read(&mut block).unwrap();
        assert!(count > 0, "it has not asked");
        heard.extend_from_slice(&block[..count]);
    }
    let answers = b"\xff\xfa\x2c\x65\0\0\x25\x80\xff\xf0\xff\xfa\x2c\x66\x08\xff\xf0\
                    \xff\xfa\x2c\x67\x01\xff\xf0\xff\xfa\x2c\x68\x01\xff\xf0";
    stream.write_all(&[answers, more].concat()).unwrap();
    let _ = stream.read_to_end(&mut Vec::new());
}

fn terse(stream: std::net::TcpStream) {
    answered(stream, b"");
}

#[tokio::test]
async fn a_line_is_offered_and_a_dead_peer_found() {
    let (channel, log) = opened("RFC2217:127.0.0.1:PORT", terse).await;
    let channel = channel.unwrap();
    assert_eq!(channel.line.as_ref().unwrap().state().baud, 9600);
    assert!(channel.source.as_ref().unwrap().port().is_none(), "nothing bypasses the protocol");
    let port = channel.source.as_ref().unwrap().connection().unwrap();
    let socket = SockRef::from(port);
    assert!(socket.tcp_nodelay().unwrap() && socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE.0);
    assert!(port.as_fd().try_clone_to_owned().is_ok());
    assert!(log.all().iter().any(|line| line == "N the line of the far end has 9600 8N1"), "{:?}", log.all());
}

#[tokio::test]
async fn options_of_the_bytes_are_applied_above_the_protocol() {
    let (channel, _) = opened("RFC2217:127.0.0.1:PORT,readbytes=3,keepalive=0", |stream| {
        answered(stream, b"abcdef");
    })
    .await;
    let mut channel = channel.unwrap();
    let mut text = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(channel.source.as_mut().unwrap(), &mut text).await.unwrap();
    assert_eq!(text, b"abc");
    let port = channel.source.as_ref().unwrap().connection().unwrap();
    assert!(!SockRef::from(port).keepalive().unwrap());
}

#[tokio::test]
async fn a_far_end_without_a_port_is_an_error_that_names_the_remedy() {
    let (refused, _) = opened("RFC2217:127.0.0.1:PORT", |mut stream| {
        stream.write_all(b"\xff\xfe\x2c").unwrap();
        let _ = stream.read_to_end(&mut Vec::new());
    })
    .await;
    let error = refused.err().unwrap();
    assert_eq!(error.message(), "the far end has no serial port to set (RFC 2217)");
    assert!(error.advice().unwrap().contains("TCP:<host>:<port>"), "{error}");

    let (closed, _) = opened("RFC2217:127.0.0.1:PORT", drop).await;
    let error = closed.err().unwrap();
    assert_eq!(error.phase(), Phase::Connect);
    assert!(error.message().contains("closes the connection"), "{error}");
}

#[tokio::test]
async fn a_setting_the_line_does_not_take_is_an_error() {
    let (taken, _) = opened("RFC2217:127.0.0.1:PORT,baud=250000,bits=8,parity=odd,stop=2", terse).await;
    let error = taken.err().unwrap();
    assert_eq!(error.message(), "the line has 9600 8N1 instead of 250000 8O2");
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Open, Phase::Option));
    // Within what a divisor can do.
    let (near, _) = opened("RFC2217:127.0.0.1:PORT,baud=9700", terse).await;
    assert_eq!(near.unwrap().line.unwrap().state().baud, 9600);
}

#[tokio::test]
async fn what_is_not_answered_is_said() {
    let (channel, log) = opened("RFC2217:127.0.0.1:PORT,dtr=off", terse).await;
    assert!(!channel.unwrap().line.unwrap().state().dtr);
    let line = "W the far end does not answer to dtr; taken for done";
    assert!(log.all().iter().any(|told| told == line), "{:?}", log.all());
}

#[test]
fn the_option_makes_a_client_of_any_address_that_connects() {
    assert!(planned("TCP:127.0.0.1:1,rfc2217").is_ok());

    let error = planned("TCP-LISTEN:0,rfc2217=client").err().unwrap();
    assert!(error.message().starts_with("option rfc2217 is for servers"), "{error}");
    let error = planned("RFC2217:127.0.0.1:1,restore-line").err().unwrap();
    assert!(error.message().starts_with("option restore-line is for servers"), "{error}");
}

#[test]
fn settings_are_written_as_people_write_them() {
    let state = State { baud: 300, data_bits: 7, stop_bits: StopBits::OneAndHalf, ..State::default() };
    let all = [Parity::None, Parity::Odd, Parity::Even, Parity::Mark, Parity::Space];
    let words: Vec<_> = all.iter().map(|parity| shown(&State { parity: *parity, ..state })).collect();
    assert_eq!(words, ["300 7N1.5", "300 7O1.5", "300 7E1.5", "300 7M1.5", "300 7S1.5"]);
}
