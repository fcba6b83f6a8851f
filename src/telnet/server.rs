//! The server of RFC 2217: requests become one change of the line, and each gets exactly one answer, with what is in
//! force then.
//!
//! SUSPEND and RESUME (section 5) are the exception: 108 and 109 are not answers but the server's own wish that the
//! client be silent. While a client has suspended the server it is sent no data and no news; what it asks for is
//! answered all the same, since a client that waits would take the server for dead.

use super::comport::{self, Form, Message, Role, Topic, control};
use crate::line::{Change, Event, Faults, Modem, State};

/// What a client is told about the server.
const SIGNATURE: &str = concat!("ferrule ", env!("CARGO_PKG_VERSION"));

/// The bits of `Topic::Modem` that tell of changes.
const DELTAS: u8 = 0x0f;

/// Most requests carried out together.
const BATCH: usize = 64;

/// What a request looks at or sets, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Aspects(u16);

impl Aspects {
    const BAUD: Self = Self(1);
    const DATA_BITS: Self = Self(1 << 1);
    const PARITY: Self = Self(1 << 2);
    const STOP_BITS: Self = Self(1 << 3);
    const FLOW_OUT: Self = Self(1 << 4);
    const FLOW_IN: Self = Self(1 << 5);
    const BREAK: Self = Self(1 << 6);
    const DTR: Self = Self(1 << 7);
    const RTS: Self = Self(1 << 8);

    const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    fn of(request: &Message<'_>) -> Self {
        match *request {
            Message::Baud(..) | Message::Bare(Topic::Baud) => Self::BAUD,
            Message::Value(Topic::DataBits, _) | Message::Bare(Topic::DataBits) => Self::DATA_BITS,
            Message::Value(Topic::Parity, _) | Message::Bare(Topic::Parity) => Self::PARITY,
            Message::Value(Topic::StopBits, _) | Message::Bare(Topic::StopBits) => Self::STOP_BITS,
            Message::Value(Topic::Control, value) => match value {
                control::ASK_BREAK..=control::BREAK_OFF => Self::BREAK,
                control::ASK_DTR..=control::DTR_OFF => Self::DTR,
                control::ASK_RTS..=control::RTS_OFF => Self::RTS,
                control::ASK_FLOW_IN..=16 | control::FLOW_IN_DTR => Self::FLOW_IN,
                _ => Self::FLOW_OUT.and(Self::FLOW_IN),
            },
            _ => Self::default(),
        }
    }
}

/// What a request changes; nothing where it asks, or where what it says is no setting.
fn change_of(request: &Message<'_>) -> Change {
    let mut change = Change::default();
    match *request {
        Message::Baud(baud, _) => change.baud = baud.filter(|baud| *baud != 0),
        Message::Value(Topic::DataBits, value) => change.data_bits = comport::data_bits_of(value),
        Message::Value(Topic::Parity, value) => change.parity = comport::parity_of(value),
        Message::Value(Topic::StopBits, value) => change.stop_bits = comport::stop_bits_of(value),
        Message::Value(Topic::Control, value) => match value {
            control::BREAK_ON | control::BREAK_OFF => change.brk = Some(value == control::BREAK_ON),
            control::DTR_ON | control::DTR_OFF => change.dtr = Some(value == control::DTR_ON),
            control::RTS_ON | control::RTS_OFF => change.rts = Some(value == control::RTS_ON),
            _ => {
                change.flow_out = control::flow_of(value);
                change.flow_in = change.flow_out.or(control::flow_in_of(value));
            }
        },
        Message::Value(Topic::Purge, value) => {
            (change.purge_in, change.purge_out) = comport::purge_of(value).unwrap_or_default();
        }
        _ => {}
    }
    change
}

/// Whether a request has to wait until the data that came before it are written: it would change how they are sent.
pub(super) fn keeps_its_place(request: &Message<'_>) -> bool {
    let change = change_of(request);
    let free =
        Change { flow_out: change.flow_out, flow_in: change.flow_in, purge_in: change.purge_in, ..Change::default() };
    change != free
}

/// Whether a request wants the data dropped that came before it.
pub(super) fn purges_data(request: &Message<'_>) -> bool {
    change_of(request).purge_out
}

/// Requests that are carried out together, so that lines which are meant to change together do.
#[derive(Debug, Default)]
pub(super) struct Batch {
    requests: Vec<Message<'static>>,
    change: Change,
    touched: Aspects,
}

impl Batch {
    /// Adds a request. False when it has to wait for the next batch: what it sets was set or asked for already, and
    /// a pulse is more than its end.
    pub fn add(&mut self, request: Message<'static>) -> bool {
        let (change, aspects) = (change_of(&request), Aspects::of(&request));
        let again = !change.is_empty() && self.touched.meets(aspects);
        if again || self.requests.len() >= BATCH {
            return false;
        }
        self.touched = self.touched.and(aspects);
        self.change = self.change.then(&change);
        self.requests.push(request);
        true
    }

    /// What is to be changed.
    pub fn change(&self) -> Change {
        self.change
    }
}

/// The state of one client.
#[derive(Debug)]
pub(super) struct Server {
    line_mask: u8,
    modem_mask: u8,
    suspended: bool,
    is_agreed: bool,
    /// The modem's lines, as far as was heard.
    lines: Modem,
    /// News of the modem's lines to be told: what they are, and which changed.
    modem: Option<(Modem, Modem)>,
    /// The client has just agreed to the option, and is told the lines as they are.
    is_new: bool,
    /// News of faults to be told.
    faults: Faults,
}

impl Default for Server {
    /// All news of the modem's lines are wanted and none of faults: sections 3.1 and 4 of the RFC.
    fn default() -> Self {
        Self {
            line_mask: 0,
            modem_mask: 255,
            suspended: false,
            is_agreed: false,
            lines: Modem::default(),
            modem: None,
            is_new: false,
            faults: Faults::default(),
        }
    }
}

impl Server {
    /// The client and the server have agreed on the option: the client learns the lines without asking, once.
    pub fn agree(&mut self, modem: Modem) -> bool {
        let first = !std::mem::replace(&mut self.is_agreed, true);
        if first {
            self.modem = Some((modem, Modem::default()));
            self.lines = modem;
            self.is_new = true;
        }
        first
    }

    /// News were missed: the modem's lines are these now.
    pub fn catch_up(&mut self, now: Modem) {
        let changed = now.differing(self.lines);
        self.heard(&Event::Modem { now, changed });
    }

    /// Whether the client wants no data and no news.
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// The client has ended its side: it cannot ask for data any more, nor refuse them.
    pub fn client_ended(&mut self) {
        self.suspended = false;
    }

    /// Answers the requests of a batch; `state` is what is in force now.
    pub fn answer(&mut self, batch: &Batch, state: &State, out: &mut Vec<u8>) {
        for request in &batch.requests {
            if let Some(answer) = self.answer_to(request, state) {
                answer.write(Role::Server, out);
            }
        }
    }

    fn answer_to(&mut self, request: &Message<'static>, state: &State) -> Option<Message<'static>> {
        let form = if let Message::Baud(_, form) = request { *form } else { Form::Word };
        let value = if let Message::Value(_, value) = request { Some(*value) } else { None };
        let topic = request.topic();
        Some(Message::Value(
            topic,
            match topic {
                // What the client says about itself is no request.
                Topic::Signature if *request != Message::Signature(b"") => return None,
                Topic::Signature => return Some(Message::Signature(SIGNATURE.as_bytes())),
                Topic::Baud => return Some(Message::Baud(Some(state.baud), form)),
                Topic::DataBits => state.data_bits,
                Topic::Parity => comport::parity_value(state.parity),
                Topic::StopBits => comport::stop_bits_value(state.stop_bits),
                Topic::Control => control_value(value.unwrap_or(control::ASK_FLOW), state),
                Topic::Line => comport::LINE_IDLE,
                Topic::Modem => comport::modem_bits(state.modem, Modem::default()),
                Topic::Suspend | Topic::Resume => {
                    self.suspended = topic == Topic::Suspend;
                    return None;
                }
                Topic::LineMask => {
                    self.line_mask = value.unwrap_or(self.line_mask);
                    self.line_mask
                }
                Topic::ModemMask => {
                    self.modem_mask = value.unwrap_or(self.modem_mask);
                    self.modem_mask
                }
                Topic::Purge => value.unwrap_or(0),
            },
        ))
    }

    /// Takes what a line tells by itself. News that were not told yet are told together.
    pub fn heard(&mut self, event: &Event) {
        match event {
            Event::Modem { now, changed } => {
                let before = self.modem.map(|(_, changed)| changed).unwrap_or_default();
                let either = Modem {
                    cts: before.cts || changed.cts,
                    dsr: before.dsr || changed.dsr,
                    ri: before.ri || changed.ri,
                    dcd: before.dcd || changed.dcd,
                };
                self.modem = Some((*now, either));
                self.lines = *now;
            }
            Event::Faults(faults) => {
                let before = self.faults;
                self.faults = Faults {
                    overrun: before.overrun || faults.overrun,
                    parity: before.parity || faults.parity,
                    framing: before.framing || faults.framing,
                    brk: before.brk || faults.brk,
                };
            }
            // The protocol has no message for it: clients ask.
            Event::State(_) => {}
        }
    }

    /// Whether there are news to be told.
    pub fn has_news(&self) -> bool {
        self.modem.is_some() || self.faults != Faults::default()
    }

    /// Tells the news the client wants to hear.
    pub fn tell(&mut self, out: &mut Vec<u8>) {
        if let Some((now, changed)) = self.modem.take() {
            // A line that fell has no bit set but that of its change, which the mask may hide.
            let bits = comport::modem_bits(now, changed);
            let concerned = comport::modem_bits(changed, changed) | (bits & DELTAS);
            let is_new = std::mem::take(&mut self.is_new);
            if self.modem_mask & concerned != 0 || (is_new && self.modem_mask != 0) {
                Message::Value(Topic::Modem, bits & self.modem_mask).write(Role::Server, out);
            }
        }
        let bits = comport::line_bits(std::mem::take(&mut self.faults)) & self.line_mask;
        if bits != 0 {
            Message::Value(Topic::Line, bits).write(Role::Server, out);
        }
    }
}

/// What is in force of what a byte of `Topic::Control` is about. Flow control by DCD, DSR and DTR does not exist on
/// Linux: the answer is what there is instead.
fn control_value(value: u8, state: &State) -> u8 {
    let of = |on: bool, yes: u8, no: u8| if on { yes } else { no };
    match value {
        control::ASK_BREAK..=control::BREAK_OFF => of(state.brk, control::BREAK_ON, control::BREAK_OFF),
        control::ASK_DTR..=control::DTR_OFF => of(state.dtr, control::DTR_ON, control::DTR_OFF),
        control::ASK_RTS..=control::RTS_OFF => of(state.rts, control::RTS_ON, control::RTS_OFF),
        control::ASK_FLOW_IN..=16 | control::FLOW_IN_DTR => control::flow_in_value(state.flow_in),
        _ => control::flow_value(state.flow_out),
    }
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
