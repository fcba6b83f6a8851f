#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::line::{FlowControl, Imagined, Line, Parity, StopBits};
use crate::telnet::codec::{Event as Found, Parser, option};

/// What a client reads: the payloads of all subnegotiations.
fn payloads(mut wire: &[u8]) -> Vec<Vec<u8>> {
    let (mut parser, mut all) = (Parser::default(), Vec::new());
    while let Some(found) = parser.next(&mut wire) {
        let Found::Sub(option::COM_PORT, payload) = found else { unreachable!("{found:?}") };
        all.push(payload.to_vec());
    }
    all
}

/// Carries one request out on a line that can do everything, and gives the payload of its answer.
fn ask(server: &mut Server, line: &Imagined, payload: &'static [u8]) -> Vec<Vec<u8>> {
    let mut batch = Batch::default();
    assert!(batch.add(Message::read(Role::Client, payload).unwrap()));
    let state = line.set(&batch.change());
    let mut out = Vec::new();
    server.answer(&batch, &state, &mut out);
    payloads(&out)
}

#[test]
fn every_request_gets_one_answer_with_what_is_in_force() {
    let baud = |baud: u32| [&[101][..], &baud.to_be_bytes()].concat();
    let cases: Vec<(&'static [u8], Vec<u8>)> = vec![
        (&[0], [&[100], SIGNATURE.as_bytes()].concat()),
        (&[1, 0, 0, 0, 0], baud(115_200)),
        (&[1, 0, 0, 0x25, 0x80], baud(9600)),
        (&[1, 14], vec![101, 14]),
        (&[1, 0], vec![101, 14]),
        // A code that is no rate changes nothing.
        (&[1, 77], vec![101, 14]),
        (&[1, 0, 0, 0x30, 0x39], baud(12345)),
        // A rate without a code is told as it is.
        (&[1, 0], baud(12345)),
        (&[1, 1, 2], baud(12345)),
        (&[1], baud(12345)),
        (&[2, 0], vec![102, 8]),
        (&[2, 7], vec![102, 7]),
        (&[2, 9], vec![102, 7]),
        (&[2, 4], vec![102, 7]),
        (&[2], vec![102, 7]),
        (&[3, 0], vec![103, 1]),
        (&[3, 5], vec![103, 5]),
        (&[3, 4], vec![103, 4]),
        (&[3, 9], vec![103, 4]),
        (&[4, 0], vec![104, 1]),
        (&[4, 3], vec![104, 3]),
        (&[4, 2], vec![104, 2]),
        (&[4, 200], vec![104, 2]),
        (&[5, 0], vec![105, 1]),
        (&[5, 3], vec![105, 3]),
        (&[5, 13], vec![105, 16]),
        (&[5, 14], vec![105, 14]),
        (&[5, 0], vec![105, 3]),
        (&[5, 15], vec![105, 15]),
        (&[5, 16], vec![105, 16]),
        (&[5, 2], vec![105, 2]),
        (&[5, 18], vec![105, 15]),
        (&[5, 17], vec![105, 2]),
        (&[5, 19], vec![105, 2]),
        (&[5, 1], vec![105, 1]),
        (&[5, 13], vec![105, 14]),
        (&[5, 4], vec![105, 6]),
        (&[5, 5], vec![105, 5]),
        (&[5, 4], vec![105, 5]),
        (&[5, 6], vec![105, 6]),
        (&[5, 7], vec![105, 8]),
        (&[5, 9], vec![105, 9]),
        (&[5, 7], vec![105, 9]),
        (&[5, 8], vec![105, 8]),
        (&[5, 10], vec![105, 11]),
        (&[5, 12], vec![105, 12]),
        (&[5, 11], vec![105, 11]),
        (&[5, 20], vec![105, 1]),
        (&[5, 255], vec![105, 1]),
        (&[5], vec![105, 1]),
        (&[6, 0], vec![106, 0x60]),
        // CTS follows RTS; DSR and DCD follow DTR.
        (&[7, 0], vec![107, 0xb0]),
        (&[10, 30], vec![110, 30]),
        (&[10], vec![110, 30]),
        (&[11, 0], vec![111, 0]),
        (&[11, 255], vec![111, 255]),
        (&[12, 1], vec![112, 1]),
        (&[12, 2], vec![112, 2]),
        (&[12, 3], vec![112, 3]),
        (&[12, 9], vec![112, 9]),
    ];
    assert_eq!(cases.len(), 60);
    let (mut server, line) = (Server::default(), Imagined::default());
    for (request, answer) in cases {
        assert_eq!(ask(&mut server, &line, request), [answer], "{request:?}");
    }
    let state = line.state();
    assert_eq!((state.baud, state.data_bits, state.parity), (12345, 7, Parity::Mark));
    assert_eq!((state.stop_bits, state.flow_in), (StopBits::Two, FlowControl::None));
}

#[test]
fn what_is_no_request_gets_no_answer() {
    let (mut server, line) = (Server::default(), Imagined::default());
    assert!(ask(&mut server, &line, b"\x00somebody").is_empty());
    assert!(ask(&mut server, &line, &[8]).is_empty());
    assert!(server.is_suspended());
    assert_eq!(ask(&mut server, &line, &[2, 0]), [[102, 8]]);
    assert!(ask(&mut server, &line, &[9]).is_empty());
    assert!(!server.is_suspended());
}

#[test]
fn lines_change_together_but_a_pulse_stays_a_pulse() {
    let read = |payload| Message::read(Role::Client, payload).unwrap();
    let mut batch = Batch::default();
    for payload in [&[5, 9][..], &[5, 11], &[5, 7], &[1, 8]] {
        assert!(batch.add(read(payload)));
    }
    let expected = Change { dtr: Some(false), rts: Some(true), baud: Some(9600), ..Change::default() };
    assert_eq!(batch.change(), expected);
    // Set, or asked for, already.
    for payload in [&[5, 8][..], &[5, 12], &[1, 9]] {
        assert!(!batch.add(read(payload)), "{payload:?}");
    }
    assert!(batch.add(read(&[5, 10])) && batch.add(read(&[5, 5])));
    assert!(!batch.add(read(&[5, 6])));
    let mut asked = Batch::default();
    assert!(asked.add(read(&[3, 0])) && !asked.add(read(&[3, 2])));
}

#[test]
fn only_what_changes_how_data_are_sent_waits_for_them() {
    let read = |payload| Message::read(Role::Client, payload).unwrap();
    for payload in [&[1, 8][..], &[2, 7], &[3, 1], &[4, 1], &[5, 5], &[5, 8], &[5, 12], &[12, 2], &[12, 3]] {
        assert!(keeps_its_place(&read(payload)), "{payload:?}");
    }
    for payload in [&[0][..], &[1, 0], &[2, 0], &[5, 0], &[5, 1], &[5, 14], &[7, 0], &[8], &[9], &[11, 1], &[12, 1]] {
        assert!(!keeps_its_place(&read(payload)), "{payload:?}");
    }
    assert!(purges_data(&read(&[12, 3])) && !purges_data(&read(&[12, 1])));
}

#[test]
fn news_are_told_as_the_masks_say() {
    let told = |server: &mut Server| {
        let mut out = Vec::new();
        server.tell(&mut out);
        assert!(!server.has_news());
        payloads(&out)
    };
    let line = Imagined::default();
    let mut server = Server::default();
    let cts = Modem { cts: true, ..Modem::default() };
    assert!(server.agree(cts) && !server.agree(cts));
    assert_eq!(told(&mut server), [[107, 0x10]]);
    assert!(told(&mut server).is_empty());
    // Two changes before anybody could be told are one message.
    server.heard(&Event::Modem { now: Modem::default(), changed: cts });
    let dcd = Modem { dcd: true, ..Modem::default() };
    server.heard(&Event::Modem { now: dcd, changed: dcd });
    assert_eq!(told(&mut server), [[107, 0x89]]);
    // A line that fell is told to those who watch its level only.
    ask(&mut server, &line, &[11, 0x80]);
    server.heard(&Event::Modem { now: Modem::default(), changed: dcd });
    assert_eq!(told(&mut server), [[107, 0]]);
    server.heard(&Event::Modem { now: cts, changed: cts });
    assert!(told(&mut server).is_empty());
    server.catch_up(dcd);
    assert_eq!(told(&mut server), [[107, 0x80]]);
    ask(&mut server, &line, &[11, 4]);
    let ring = Modem { ri: true, ..Modem::default() };
    server.heard(&Event::Modem { now: ring, changed: ring });
    assert_eq!(told(&mut server), Vec::<Vec<u8>>::new());
    server.heard(&Event::Modem { now: Modem::default(), changed: ring });
    assert_eq!(told(&mut server), [[107, 4]]);
    // Nobody hears of faults unless they want to.
    let faults = Faults { framing: true, brk: true, ..Faults::default() };
    server.heard(&Event::Faults(faults));
    assert!(told(&mut server).is_empty());
    ask(&mut server, &line, &[10, 0x10]);
    server.heard(&Event::Faults(faults));
    assert_eq!(told(&mut server), [[106, 0x10]]);
}
