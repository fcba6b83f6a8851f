//! The messages of RFC 2217, the option for serial ports, for either role.
//!
//! Numbers and meanings are those of section 2 (settings), 3 (control), 4 (notifications) and 5 (flow control). A
//! message of the server has the number of the client's one and [`SERVER`].

use super::codec::{option, subnegotiation};
use crate::line::{Faults, FlowControl, Modem, Parity, StopBits};

/// What is added to the number of a message when the server sends it.
pub const SERVER: u8 = 100;

/// Which end of the connection says something. The server is the one that has the serial port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The one that wants to use the port.
    Client,
    /// The one that has it.
    Server,
}

/// What a message is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// Who the sender is.
    Signature = 0,
    /// Bits a second.
    Baud = 1,
    /// Bits of a character.
    DataBits = 2,
    /// The parity bit.
    Parity = 3,
    /// The stop bits.
    StopBits = 4,
    /// Flow control, break, DTR and RTS: see [`control`].
    Control = 5,
    /// What happened on the line: see [`line_bits`].
    Line = 6,
    /// What the modem drives: see [`modem_bits`].
    Modem = 7,
    /// Send no more.
    Suspend = 8,
    /// Go on sending.
    Resume = 9,
    /// Which bits of `Line` are told.
    LineMask = 10,
    /// Which bits of `Modem` are told.
    ModemMask = 11,
    /// Drop data that are on their way.
    Purge = 12,
}

impl Topic {
    const ALL: [Self; 13] = [
        Self::Signature,
        Self::Baud,
        Self::DataBits,
        Self::Parity,
        Self::StopBits,
        Self::Control,
        Self::Line,
        Self::Modem,
        Self::Suspend,
        Self::Resume,
        Self::LineMask,
        Self::ModemMask,
        Self::Purge,
    ];
}

/// How a rate is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Four bytes, the highest first: bits a second.
    Word,
    /// One byte, a code: what the first servers, Cisco's, took.
    Code,
}

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// Who the sender is. Empty: who are you?
    Signature(&'a [u8]),
    /// Bits a second; 0 asks for the rate in force. `None`: a code that is no rate.
    Baud(Option<u32>, Form),
    /// Any other topic, and its byte.
    Value(Topic, u8),
    /// A topic whose byte is missing: nothing can be set, but something may be waiting for an answer.
    Bare(Topic),
}

impl<'a> Message<'a> {
    /// Reads the payload of a subnegotiation that `sender` has sent. `None`: no message of RFC 2217.
    ///
    /// Rates of more than four bytes are read as their first four: there are servers that send eight.
    #[must_use]
    pub fn read(sender: Role, payload: &'a [u8]) -> Option<Self> {
        let (&number, operand) = payload.split_first()?;
        let number = match sender {
            Role::Client => number,
            Role::Server => number.checked_sub(SERVER)?,
        };
        let topic = *Topic::ALL.get(usize::from(number))?;
        Some(match (topic, operand) {
            (Topic::Signature, text) => Self::Signature(text),
            (Topic::Baud, [code]) => Self::Baud(rate_of(*code), Form::Code),
            (Topic::Baud, [a, b, c, d, ..]) => Self::Baud(Some(u32::from_be_bytes([*a, *b, *c, *d])), Form::Word),
            (Topic::Suspend | Topic::Resume, _) => Self::Value(topic, 0),
            (_, []) | (Topic::Baud, _) => Self::Bare(topic),
            (_, [value, ..]) => Self::Value(topic, *value),
        })
    }

    /// Adds the message as `sender` sends it: a whole subnegotiation. A rate that has no code is sent as a word.
    pub fn write(&self, sender: Role, out: &mut Vec<u8>) {
        let number = |topic: Topic| match sender {
            Role::Client => topic as u8,
            Role::Server => topic as u8 + SERVER,
        };
        match *self {
            Self::Signature(text) => {
                let mut payload = Vec::with_capacity(text.len() + 1);
                payload.push(number(Topic::Signature));
                payload.extend_from_slice(text);
                subnegotiation(option::COM_PORT, &payload, out);
            }
            Self::Baud(baud, form) => {
                let baud = baud.unwrap_or(0);
                if let Some(code) = code_of(baud).filter(|_| form == Form::Code) {
                    subnegotiation(option::COM_PORT, &[number(Topic::Baud), code], out);
                } else {
                    let [a, b, c, d] = baud.to_be_bytes();
                    subnegotiation(option::COM_PORT, &[number(Topic::Baud), a, b, c, d], out);
                }
            }
            Self::Value(topic @ (Topic::Suspend | Topic::Resume), _) | Self::Bare(topic) => {
                subnegotiation(option::COM_PORT, &[number(topic)], out);
            }
            Self::Value(topic, value) => subnegotiation(option::COM_PORT, &[number(topic), value], out),
        }
    }

    /// What it is about.
    #[must_use]
    pub const fn topic(&self) -> Topic {
        match self {
            Self::Signature(_) => Topic::Signature,
            Self::Baud(..) => Topic::Baud,
            Self::Value(topic, _) | Self::Bare(topic) => *topic,
        }
    }
}

/// The one-byte codes of rates.
const RATES: &[(u8, u32)] = &[
    (0, 0),
    (3, 300),
    (4, 600),
    (5, 1200),
    (6, 2400),
    (7, 4800),
    (8, 9600),
    (9, 14_400),
    (10, 19_200),
    (11, 28_800),
    (12, 38_400),
    (13, 57_600),
    (14, 115_200),
    (15, 230_400),
];

fn rate_of(code: u8) -> Option<u32> {
    RATES.iter().find(|(number, _)| *number == code).map(|(_, rate)| *rate)
}

fn code_of(rate: u32) -> Option<u8> {
    RATES.iter().find(|(_, baud)| *baud == rate).map(|(code, _)| *code)
}

/// The byte of `DataBits`; 0 asks.
#[must_use]
pub const fn data_bits_of(value: u8) -> Option<u8> {
    if matches!(value, 5..=8) { Some(value) } else { None }
}

/// The byte of `Parity`; 0 asks.
#[must_use]
pub const fn parity_of(value: u8) -> Option<Parity> {
    match value {
        1 => Some(Parity::None),
        2 => Some(Parity::Odd),
        3 => Some(Parity::Even),
        4 => Some(Parity::Mark),
        5 => Some(Parity::Space),
        _ => None,
    }
}

/// How a parity is written.
#[must_use]
pub const fn parity_value(parity: Parity) -> u8 {
    match parity {
        Parity::None => 1,
        Parity::Odd => 2,
        Parity::Even => 3,
        Parity::Mark => 4,
        Parity::Space => 5,
    }
}

/// The byte of `StopBits`; 0 asks.
#[must_use]
pub const fn stop_bits_of(value: u8) -> Option<StopBits> {
    match value {
        1 => Some(StopBits::One),
        2 => Some(StopBits::Two),
        3 => Some(StopBits::OneAndHalf),
        _ => None,
    }
}

/// How stop bits are written.
#[must_use]
pub const fn stop_bits_value(bits: StopBits) -> u8 {
    match bits {
        StopBits::One => 1,
        StopBits::Two => 2,
        StopBits::OneAndHalf => 3,
    }
}

/// The bytes of `Topic::Control`, section 3.
pub mod control {
    use super::FlowControl;

    /// Which flow control is in force, outbound or both ways?
    pub const ASK_FLOW: u8 = 0;
    /// Is the line held in the break condition?
    pub const ASK_BREAK: u8 = 4;
    /// It is, or is to be.
    pub const BREAK_ON: u8 = 5;
    /// It is not, or is not to be.
    pub const BREAK_OFF: u8 = 6;
    /// Is DTR on?
    pub const ASK_DTR: u8 = 7;
    /// It is, or is to be.
    pub const DTR_ON: u8 = 8;
    /// It is not, or is not to be.
    pub const DTR_OFF: u8 = 9;
    /// Is RTS on?
    pub const ASK_RTS: u8 = 10;
    /// It is, or is to be.
    pub const RTS_ON: u8 = 11;
    /// It is not, or is not to be.
    pub const RTS_OFF: u8 = 12;
    /// Which flow control is in force, inbound?
    pub const ASK_FLOW_IN: u8 = 13;
    /// Outbound flow control by DCD, which Linux does not have.
    pub const FLOW_DCD: u8 = 17;
    /// Inbound flow control by DTR, which Linux does not have.
    pub const FLOW_IN_DTR: u8 = 18;
    /// Outbound flow control by DSR, which Linux does not have.
    pub const FLOW_DSR: u8 = 19;

    /// Outbound flow control, or both ways.
    #[must_use]
    pub const fn flow_of(value: u8) -> Option<FlowControl> {
        match value {
            1 => Some(FlowControl::None),
            2 => Some(FlowControl::XonXoff),
            3 => Some(FlowControl::Hardware),
            _ => None,
        }
    }

    /// Inbound flow control.
    #[must_use]
    pub const fn flow_in_of(value: u8) -> Option<FlowControl> {
        match value.checked_sub(ASK_FLOW_IN) {
            Some(value) => flow_of(value),
            None => None,
        }
    }

    /// How outbound flow control is written.
    #[must_use]
    pub const fn flow_value(flow: FlowControl) -> u8 {
        match flow {
            FlowControl::None => 1,
            FlowControl::XonXoff => 2,
            FlowControl::Hardware => 3,
        }
    }

    /// How inbound flow control is written.
    #[must_use]
    pub const fn flow_in_value(flow: FlowControl) -> u8 {
        ASK_FLOW_IN + flow_value(flow)
    }
}

/// The byte of `Topic::Purge`: whether what the port received is to be dropped, and whether what it has still to send
/// is. `None`: it says neither.
#[must_use]
pub const fn purge_of(value: u8) -> Option<(bool, bool)> {
    match value {
        1 => Some((true, false)),
        2 => Some((false, true)),
        3 => Some((true, true)),
        _ => None,
    }
}

/// The bits of `Topic::Modem`: the levels of the lines, and which of them changed.
#[must_use]
pub fn modem_bits(now: Modem, changed: Modem) -> u8 {
    let level = [(now.dcd, 7), (now.ri, 6), (now.dsr, 5), (now.cts, 4)];
    // Of RI only the end of the ringing is told.
    let delta = [(changed.dcd, 3), (changed.ri && !now.ri, 2), (changed.dsr, 1), (changed.cts, 0)];
    bits(&level) | bits(&delta)
}

/// The levels of the modem's lines, and which of them changed.
#[must_use]
pub const fn modem_of(bits: u8) -> (Modem, Modem) {
    const fn lines(bits: u8) -> Modem {
        Modem { cts: bits & 1 != 0, dsr: bits & 2 != 0, ri: bits & 4 != 0, dcd: bits & 8 != 0 }
    }
    (lines(bits >> 4), lines(bits & 15))
}

/// `Topic::Line`: the transmitter is empty, and so is its holding register.
pub const LINE_IDLE: u8 = 0x60;

/// The bits of `Topic::Line` that tell of faults.
#[must_use]
pub fn line_bits(faults: Faults) -> u8 {
    bits(&[(faults.brk, 4), (faults.framing, 3), (faults.parity, 2), (faults.overrun, 1)])
}

/// The faults that the bits of `Topic::Line` tell of.
#[must_use]
pub const fn faults_of(bits: u8) -> Faults {
    Faults { brk: bits & 16 != 0, framing: bits & 8 != 0, parity: bits & 4 != 0, overrun: bits & 2 != 0 }
}

fn bits(set: &[(bool, u8)]) -> u8 {
    set.iter().fold(0, |bits, (on, place)| bits | u8::from(*on) << place)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::super::codec::{Event, Parser};
    use super::*;

    /// What the other end reads when `sender` writes `message`.
    fn payload(message: &Message<'_>, sender: Role) -> Vec<u8> {
        let mut wire = Vec::new();
        message.write(sender, &mut wire);
        let (mut parser, mut wire) = (Parser::default(), &wire[..]);
        let Some(Event::Sub(option::COM_PORT, payload)) = parser.next(&mut wire) else { unreachable!() };
        payload.to_vec()
    }

    #[test]
    fn messages_are_read_as_they_were_written() {
        let mut messages = vec![
            Message::Signature(b""),
            Message::Signature(b"a\xffb"),
            Message::Baud(Some(0), Form::Word),
            Message::Baud(Some(u32::MAX), Form::Word),
            Message::Baud(Some(9600), Form::Code),
            Message::Value(Topic::Suspend, 0),
            Message::Value(Topic::Resume, 0),
        ];
        let simple = |topic: &Topic| !matches!(topic, Topic::Signature | Topic::Baud | Topic::Suspend | Topic::Resume);
        for topic in Topic::ALL.into_iter().filter(simple) {
            messages.extend([Message::Value(topic, 0), Message::Value(topic, 255), Message::Bare(topic)]);
        }
        for message in messages {
            for (sender, number) in [(Role::Client, 0), (Role::Server, SERVER)] {
                let payload = payload(&message, sender);
                assert_eq!(payload[0], message.topic() as u8 + number);
                assert_eq!(Message::read(sender, &payload), Some(message));
            }
        }
    }

    #[test]
    fn rates_come_in_several_lengths() {
        let read = |payload: &'static [u8]| Message::read(Role::Server, payload);
        assert_eq!(read(&[101, 0, 0, 0x25, 0x80, 0, 0, 0, 0]), Some(Message::Baud(Some(9600), Form::Word)));
        assert_eq!(read(&[101, 8]), Some(Message::Baud(Some(9600), Form::Code)));
        assert_eq!(read(&[101, 200]), Some(Message::Baud(None, Form::Code)));
        assert_eq!(read(&[101, 1, 2]), Some(Message::Bare(Topic::Baud)));
        assert_eq!(payload(&Message::Baud(Some(12345), Form::Code), Role::Server), [101, 0, 0, 0x30, 0x39]);
    }

    #[test]
    fn what_is_not_of_this_protocol_is_no_message() {
        for payload in [&[][..], &[13], &[99], &[113], &[255]] {
            assert_eq!(Message::read(Role::Client, payload), None, "{payload:?}");
        }
        assert_eq!(Message::read(Role::Server, &[5, 1]), None);
    }

    #[test]
    fn lines_and_faults_become_bits_and_lines_again() {
        for byte in 0..=255 {
            let (now, changed) = modem_of(byte);
            let trailing_edge_only = if now.ri { byte & !4 } else { byte };
            assert_eq!(modem_bits(now, changed), trailing_edge_only);
            assert_eq!(line_bits(faults_of(byte)), byte & 0x1e);
        }
        let rts = Modem { cts: true, ..Modem::default() };
        assert_eq!(modem_bits(rts, rts), 0x11);
    }

    #[test]
    fn settings_become_bytes_and_settings_again() {
        for byte in 0..=255 {
            assert!(parity_of(byte).is_none_or(|parity| parity_value(parity) == byte));
            assert!(stop_bits_of(byte).is_none_or(|bits| stop_bits_value(bits) == byte));
            assert!(control::flow_of(byte).is_none_or(|flow| control::flow_value(flow) == byte));
            assert!(control::flow_in_of(byte).is_none_or(|flow| control::flow_in_value(flow) == byte));
            assert_eq!(data_bits_of(byte).is_some(), (5..=8).contains(&byte));
            assert_eq!(purge_of(byte).is_some(), (1..=3).contains(&byte));
        }
        assert_eq!(control::flow_in_of(16), Some(FlowControl::Hardware));
        assert_eq!((parity_of(5), stop_bits_of(3)), (Some(Parity::Space), Some(StopBits::OneAndHalf)));
    }
}
