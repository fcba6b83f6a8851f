#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::line::{FlowControl, Parity, StopBits};

const BOTH: [(u8, Verb); 5] = [
    (option::COM_PORT, Verb::Do),
    (option::BINARY, Verb::Do),
    (option::BINARY, Verb::Will),
    (option::SUPPRESS_GO_AHEAD, Verb::Do),
    (option::SUPPRESS_GO_AHEAD, Verb::Will),
];

/// A client whose server has agreed to everything.
fn agreed() -> Client {
    let mut client = Client::new();
    for (option, verb) in BOTH {
        assert_eq!(receive(&mut client, &verb.bytes(option)), b"");
    }
    client.out().clear();
    client
}

fn receive(client: &mut Client, bytes: &[u8]) -> Vec<u8> {
    let mut data = Vec::new();
    client.take(bytes, &mut data);
    data
}

fn server(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.write(Role::Server, &mut bytes);
    bytes
}

fn answer(client: &mut Client, message: &Message<'_>) {
    assert_eq!(receive(client, &server(message)), b"");
}

fn value(topic: Topic, value: u8) -> Message<'static> {
    Message::Value(topic, value)
}

/// The payloads of what is to be sent.
fn sent(client: &mut Client) -> Vec<Vec<u8>> {
    let bytes = std::mem::take(client.out());
    let (mut parser, mut rest, mut all) = (Parser::default(), &bytes[..], Vec::new());
    while let Some(found) = parser.next(&mut rest) {
        match found {
            Found::Sub(option::COM_PORT, payload) => all.push(payload.to_vec()),
            Found::Command(code) => all.push(vec![IAC, code]),
            other => unreachable!("{other:?}"),
        }
    }
    all
}

#[test]
fn it_offers_the_option_and_takes_it_either_way_round() {
    let mut client = Client::new();
    assert!(client.out().starts_with(&Verb::Will.bytes(option::COM_PORT)));
    assert_eq!((client.agreement(), client.sends_binary()), (Agreement::Open, false));
    assert_eq!(agreed().agreement(), Agreement::Agreed);
    assert!(agreed().sends_binary());
    receive(&mut client, &Verb::Will.bytes(option::COM_PORT));
    assert_eq!(client.agreement(), Agreement::Agreed);
    let mut refused = Client::new();
    receive(&mut refused, &Verb::Dont.bytes(option::COM_PORT));
    assert_eq!(refused.agreement(), Agreement::Refused);
}

#[test]
fn settings_not_asked_for_are_asked_after() {
    let mut client = agreed();
    let wish = Change { baud: Some(250_000), parity: Some(Parity::Mark), ..Change::default() };
    let ticket = client.ask_settings(&wish);
    let expected = [vec![1, 0, 3, 0xd0, 0x90], vec![2, 0], vec![3, 4], vec![4, 0]];
    assert_eq!(sent(&mut client), expected);
    // One of the answers is twice as long as it should be, as sredird sends them.
    receive(&mut client, b"\xff\xfa\x2c\x65\x00\x03\xd0\x90\x00\x00\x00\x00\xff\xf0");
    answer(&mut client, &value(Topic::DataBits, 7));
    answer(&mut client, &value(Topic::Parity, 4));
    assert!(!client.is_answered(&ticket));
    answer(&mut client, &value(Topic::StopBits, 2));
    assert!(client.is_answered(&ticket));
    let state = client.state();
    assert_eq!((state.baud, state.data_bits, state.parity), (250_000, 7, Parity::Mark));
    assert_eq!(state.stop_bits, StopBits::Two);
    assert!(client.take_events().is_empty());
}

#[test]
fn an_answer_is_the_truth_whatever_was_asked_for() {
    let mut client = agreed();
    let ticket = client.ask(&Change { baud: Some(250_000), data_bits: Some(5), ..Change::default() });
    answer(&mut client, &Message::Baud(Some(115_200), Form::Word));
    answer(&mut client, &value(Topic::DataBits, 8));
    assert!(client.is_answered(&ticket));
    assert_eq!((client.state().baud, client.state().data_bits), (115_200, 8));
}

#[test]
fn what_is_never_answered_is_taken_for_done_and_not_waited_for_again() {
    let mut client = agreed();
    let change = Change { dtr: Some(false), rts: Some(false), purge_in: true, ..Change::default() };
    let ticket = client.ask(&change);
    assert_eq!(sent(&mut client), [vec![5, 9], vec![5, 12], vec![12, 1]]);
    answer(&mut client, &value(Topic::Control, control::RTS_OFF));
    assert!(!client.is_answered(&ticket));
    assert_eq!(client.give_up(&ticket), [Subject::Dtr, Subject::Purge]);
    assert!(client.is_answered(&ticket) && !client.state().dtr && !client.state().rts);

    let again = client.ask(&Change { dtr: Some(true), ..Change::default() });
    assert!(client.is_answered(&again), "the server does not answer to this");
    assert_eq!(sent(&mut client), [[5, 8]], "but is told");
    // A late answer: now it does.
    answer(&mut client, &value(Topic::Control, control::DTR_ON));
    let third = client.ask(&Change { dtr: Some(false), ..Change::default() });
    assert!(!client.is_answered(&third));
}

#[test]
fn a_second_change_waits_for_its_own_answer() {
    let mut client = agreed();
    let first = client.ask(&Change { baud: Some(1200), ..Change::default() });
    let second = client.ask(&Change { baud: Some(2400), ..Change::default() });
    answer(&mut client, &Message::Baud(Some(1200), Form::Code));
    assert!(client.is_answered(&first) && !client.is_answered(&second));
    answer(&mut client, &Message::Baud(Some(2400), Form::Word));
    assert!(client.is_answered(&second));
    assert_eq!(client.state().baud, 2400);
}

#[test]
fn speed_zero_hangs_up_and_another_one_does_not() {
    let mut client = agreed();
    let ticket = client.ask(&Change { baud: Some(0), ..Change::default() });
    assert_eq!(sent(&mut client), [[5, 9], [5, 12]], "0 would ask for the speed");
    answer(&mut client, &value(Topic::Control, control::DTR_OFF));
    answer(&mut client, &value(Topic::Control, control::RTS_OFF));
    assert!(client.is_answered(&ticket));
    assert_eq!((client.state().baud, client.state().dtr), (0, false));
    client.ask(&Change { baud: Some(9600), ..Change::default() });
    assert_eq!(sent(&mut client), [vec![1, 0, 0, 0x25, 0x80], vec![5, 8], vec![5, 11]]);
    answer(&mut client, &Message::Baud(Some(9600), Form::Word));
    assert_eq!(client.state().baud, 9600);
}

#[test]
fn inbound_flow_control_is_named_only_where_it_differs() {
    let mut client = agreed();
    let flow = |out, into| Change { flow_out: Some(out), flow_in: Some(into), ..Change::default() };
    client.ask(&flow(FlowControl::Hardware, FlowControl::Hardware));
    assert_eq!(sent(&mut client), [[5, 3]]);
    client.ask(&flow(FlowControl::None, FlowControl::XonXoff));
    assert_eq!(sent(&mut client), [[5, 1], [5, 15]]);
}

#[test]
fn a_server_without_break_is_sent_the_break_key() {
    let mut client = agreed();
    let on = Change { brk: Some(true), ..Change::default() };
    let off = Change { brk: Some(false), ..Change::default() };
    client.ask(&off);
    assert!(sent(&mut client).is_empty(), "nothing to release");
    let ticket = client.ask(&on);
    assert_eq!(sent(&mut client), [[5, 5]]);
    client.give_up(&ticket);
    client.ask(&off);
    client.ask(&on);
    assert_eq!(sent(&mut client), [vec![5, 6], vec![IAC, command::BREAK], vec![5, 5]]);
}

#[test]
fn news_of_the_line_are_told() {
    let mut client = agreed();
    let now = Modem { cts: true, dcd: true, ..Modem::default() };
    answer(&mut client, &value(Topic::Modem, 0x94));
    let changed = Modem { cts: true, dcd: true, ri: true, ..Modem::default() };
    assert_eq!(client.take_events(), [Event::Modem { now, changed }]);
    assert_eq!(client.state().modem, now);
    answer(&mut client, &value(Topic::Line, 0x62));
    answer(&mut client, &value(Topic::Line, 0x60));
    receive(&mut client, &[IAC, command::BREAK]);
    let overrun = Faults { overrun: true, ..Faults::default() };
    let brk = Faults { brk: true, ..Faults::default() };
    assert_eq!(client.take_events(), [Event::Faults(overrun), Event::Faults(brk)]);
    // An answer nobody asked for: somebody else has set the line.
    answer(&mut client, &Message::Baud(Some(300), Form::Word));
    let [Event::State(state)] = client.take_events()[..] else { unreachable!() };
    assert_eq!(state.baud, 300);
}

#[test]
fn suspending_works_both_ways_but_not_where_it_is_misunderstood() {
    let mut client = agreed();
    answer(&mut client, &value(Topic::Suspend, 0));
    assert!(client.is_suspended());
    answer(&mut client, &value(Topic::Resume, 0));
    assert!(!client.is_suspended());

    client.suspend();
    assert!(sent(&mut client).is_empty(), "nobody knows who that is");
    answer(&mut client, &Message::Signature(b"ser2net"));
    client.suspend();
    client.resume();
    assert!(sent(&mut client).is_empty(), "it would set the flow control of the line");
    answer(&mut client, &Message::Signature(b"acme 1.0"));
    client.suspend();
    client.suspend();
    client.resume();
    client.resume();
    assert_eq!(sent(&mut client), [[8], [9]]);
    answer(&mut client, &Message::Signature(b""));
    assert_eq!(sent(&mut client), [[&[0], SIGNATURE].concat()]);
}

#[test]
fn data_are_unescaped_and_without_binary_unpadded() {
    let mut client = agreed();
    assert_eq!(receive(&mut client, b"a\r\0b\xff\xffc"), b"a\r\0b\xffc");
    assert!(client.is_plain(b"a\r\0") && !client.is_plain(b"a\xff"));
    receive(&mut client, b"\xff");
    assert!(!client.is_plain(b"a"), "in the middle of a command");
    let mut lines = Client::new();
    assert_eq!(receive(&mut lines, b"a\r\0b\r\n"), b"a\rb\r\n");
    assert_eq!(receive(&mut lines, b"\r"), b"\r");
    assert_eq!(receive(&mut lines, b"\0c"), b"c");
    assert!(!lines.is_plain(b"a"));
}
