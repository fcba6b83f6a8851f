//! The client of RFC 2217, without I/O: what is to be sent for a line to be set, and what the answers say of it.
//!
//! Servers differ in what they answer. So an answer is the truth whatever was asked for, what was never answered is
//! taken for done, and a server that did not answer to something once is not waited for in that again.

use super::codec::{Event as Found, IAC, LineEnds, Parser, Verb, command, find, option};
use super::comport::{
    Form, Message, Role, Topic, control, data_bits_of, faults_of, modem_of, parity_of, parity_value, stop_bits_of,
    stop_bits_value,
};
use super::negotiation::{End, Negotiation};
use crate::line::{Change, Event, Faults, Modem, State};

/// What a server is told when it asks who this is.
const SIGNATURE: &[u8] = concat!("ferrule ", env!("CARGO_PKG_VERSION")).as_bytes();

/// The faults a server is asked to tell of: break, framing, parity, overrun; section 4, `SET-LINESTATE-MASK`.
const LINE_MASK: u8 = 0x1e;

/// What is asked for and answered on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Bits a second.
    Baud,
    /// Bits of a character.
    DataBits,
    /// The parity bit.
    Parity,
    /// The stop bits.
    StopBits,
    /// Outbound flow control, or both ways.
    Flow,
    /// Inbound flow control.
    FlowIn,
    /// The break condition.
    Break,
    /// Data terminal ready.
    Dtr,
    /// Request to send.
    Rts,
    /// Dropping data.
    Purge,
}

const SUBJECTS: [Subject; 10] = [
    Subject::Baud,
    Subject::DataBits,
    Subject::Parity,
    Subject::StopBits,
    Subject::Flow,
    Subject::FlowIn,
    Subject::Break,
    Subject::Dtr,
    Subject::Rts,
    Subject::Purge,
];

impl Subject {
    /// What a control message with this value is about.
    const fn of_control(value: u8) -> Option<Self> {
        match value {
            0..=3 | control::FLOW_DCD | control::FLOW_DSR => Some(Self::Flow),
            4..=6 => Some(Self::Break),
            7..=9 => Some(Self::Dtr),
            10..=12 => Some(Self::Rts),
            13..=16 | control::FLOW_IN_DTR => Some(Self::FlowIn),
            _ => None,
        }
    }

    /// The word for people: the name of the option that sets it, where there is one.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Baud => "baud",
            Self::DataBits => "bits",
            Self::Parity => "parity",
            Self::StopBits => "stop",
            Self::Flow | Self::FlowIn => "flow",
            Self::Break => "break",
            Self::Dtr => "dtr",
            Self::Rts => "rts",
            Self::Purge => "purge",
        }
    }
}

/// Where one subject stands.
#[derive(Debug, Clone, Copy, Default)]
struct Account {
    asked: u32,
    answered: u32,
    /// The server has let a question go unanswered.
    mute: bool,
}

/// The answers a change waits for: how many of each subject there are by then.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ticket([Option<u32>; SUBJECTS.len()]);

/// Whether the far end has agreed to be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// It has not said yet.
    Open,
    /// It has a serial port.
    Agreed,
    /// It has none.
    Refused,
}

/// One connection's client.
#[derive(Debug)]
pub struct Client {
    parser: Parser,
    negotiation: Negotiation,
    ends: LineEnds,
    /// To be sent.
    out: Vec<u8>,
    /// What is known of the line.
    state: State,
    /// What was asked for, to be taken for done where no answer comes.
    wish: Change,
    accounts: [Account; SUBJECTS.len()],
    /// Happened on the line, and not told yet.
    events: Vec<Event>,
    /// The server wants nothing to be sent.
    suspended: bool,
    /// The server was asked to send nothing.
    suspending: bool,
    signature: Option<String>,
    masked: bool,
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// A client that offers all it needs: the option for serial ports, and eight bits both ways.
    #[must_use]
    pub fn new() -> Self {
        let mut negotiation = Negotiation::default();
        // Servers that stand in for a terminal's host offer it. It changes nothing.
        negotiation.allow(option::ECHO, End::Far);
        let asked = [
            negotiation.ask(option::COM_PORT, End::Near),
            negotiation.ask(option::BINARY, End::Near),
            negotiation.ask(option::BINARY, End::Far),
            negotiation.ask(option::SUPPRESS_GO_AHEAD, End::Near),
            negotiation.ask(option::SUPPRESS_GO_AHEAD, End::Far),
        ];
        // Some servers say that they will, where RFC 2217 has them say that the client may.
        negotiation.allow(option::COM_PORT, End::Far);
        Self {
            parser: Parser::default(),
            negotiation,
            ends: LineEnds::default(),
            out: asked.into_iter().flatten().flatten().collect(),
            state: State::default(),
            wish: Change::default(),
            accounts: [Account::default(); SUBJECTS.len()],
            events: Vec::new(),
            suspended: false,
            suspending: false,
            signature: None,
            masked: false,
        }
    }

    /// Whether a block that was received is data as it is.
    #[must_use]
    pub fn is_plain(&self, block: &[u8]) -> bool {
        self.parser.is_at_data() && self.negotiation.is_on(option::BINARY, End::Far) && find(block, IAC).is_none()
    }

    /// Takes what was received; adds the data in it to `data`.
    pub fn take(&mut self, mut input: &[u8], data: &mut Vec<u8>) {
        let mut parser = std::mem::take(&mut self.parser);
        while let Some(found) = parser.next(&mut input) {
            match found {
                Found::Data(bytes) => self.data(bytes, data),
                Found::Command(command::BREAK) => {
                    self.events.push(Event::Faults(Faults { brk: true, ..Faults::default() }));
                }
                Found::Negotiate(verb, option) => self.negotiate(verb, option),
                Found::Sub(option::COM_PORT, payload) => {
                    if let Some(message) = Message::read(Role::Server, payload) {
                        self.hear(&message);
                    }
                }
                Found::Command(_) | Found::Sub(..) => {}
            }
        }
        self.parser = parser;
    }

    fn data(&mut self, bytes: &[u8], data: &mut Vec<u8>) {
        let start = data.len();
        data.extend_from_slice(bytes);
        if !self.negotiation.is_on(option::BINARY, End::Far) {
            let kept = self.ends.unpad(&mut data[start..]);
            data.truncate(start + kept);
        }
    }

    fn negotiate(&mut self, verb: Verb, option: u8) {
        self.out.extend(self.negotiation.hear(verb, option).reply.into_iter().flatten());
    }

    /// Whether the far end has a serial port.
    #[must_use]
    pub fn agreement(&self) -> Agreement {
        let either = |test: fn(&Negotiation, u8, End) -> bool| {
            [End::Near, End::Far].into_iter().any(|end| test(&self.negotiation, option::COM_PORT, end))
        };
        if either(Negotiation::is_on) {
            Agreement::Agreed
        } else if either(Negotiation::is_refused) {
            Agreement::Refused
        } else {
            Agreement::Open
        }
    }

    /// Takes note of a message of the server.
    fn hear(&mut self, message: &Message<'_>) {
        let state = &mut self.state;
        let subject = match *message {
            Message::Signature([]) => return self.send(&Message::Signature(SIGNATURE)),
            Message::Signature(text) => {
                self.signature = Some(crate::error::excerpt(text));
                return;
            }
            Message::Baud(rate, _) => {
                // A line that was hung up stays so until it is given a speed.
                if let Some(rate) = rate.filter(|rate| *rate != 0 && self.wish.baud != Some(0)) {
                    state.baud = rate;
                }
                Subject::Baud
            }
            Message::Value(Topic::Modem, bits) => return self.hear_modem(bits),
            Message::Value(Topic::Line, bits) => {
                let faults = faults_of(bits);
                if faults != Faults::default() {
                    self.events.push(Event::Faults(faults));
                }
                return;
            }
            Message::Value(Topic::Suspend, _) => {
                self.suspended = true;
                return;
            }
            Message::Value(Topic::Resume, _) => {
                self.suspended = false;
                return;
            }
            Message::Value(topic, value) => match note(state, topic, value) {
                Some(subject) => subject,
                None => return,
            },
            Message::Bare(_) => return,
        };
        let account = &mut self.accounts[subject as usize];
        account.mute = false;
        if account.answered < account.asked {
            account.answered += 1;
        } else {
            // Nobody here has asked: another user of the line has set it.
            self.events.push(Event::State(self.state));
        }
    }

    fn hear_modem(&mut self, bits: u8) {
        let (now, told) = modem_of(bits);
        let before = std::mem::replace(&mut self.state.modem, now);
        let found = now.differing(before);
        let changed = Modem {
            cts: told.cts || found.cts,
            dsr: told.dsr || found.dsr,
            ri: told.ri || found.ri,
            dcd: told.dcd || found.dcd,
        };
        self.events.push(Event::Modem { now, changed });
    }

    fn send(&mut self, message: &Message<'_>) {
        message.write(Role::Client, &mut self.out);
    }

    /// Asks for one thing, and notes that an answer is to come.
    fn request(&mut self, subject: Subject, message: &Message<'_>, ticket: &mut Ticket) {
        self.send(message);
        let account = &mut self.accounts[subject as usize];
        account.asked = account.asked.wrapping_add(1);
        if account.mute {
            account.answered = account.asked;
        } else {
            ticket.0[subject as usize] = Some(account.asked);
        }
    }

    /// Asks for the four settings: those of `change` are set, and the server says what the others are.
    pub fn ask_settings(&mut self, change: &Change) -> Ticket {
        let mut ticket = Ticket::default();
        // 0 asks.
        let (baud, bits) = (change.baud.unwrap_or(0), change.data_bits.unwrap_or(0));
        let (parity, stop) = (change.parity.map_or(0, parity_value), change.stop_bits.map_or(0, stop_bits_value));
        self.request(Subject::Baud, &Message::Baud(Some(baud), Form::Word), &mut ticket);
        self.value(Subject::DataBits, Topic::DataBits, bits, &mut ticket);
        self.value(Subject::Parity, Topic::Parity, parity, &mut ticket);
        self.value(Subject::StopBits, Topic::StopBits, stop, &mut ticket);
        self.remember(change);
        ticket
    }

    /// Asks for what a server may leave unanswered: who it is, flow control, DTR and RTS, but for those that `change`
    /// is going to set. Nobody waits for it; what does come comes before the answers to all that is asked later.
    pub fn ask_around(&mut self, change: &Change) {
        self.send(&Message::Signature(&[]));
        let questions = [
            (change.flow_out.is_some(), control::ASK_FLOW),
            (change.dtr.is_some(), control::ASK_DTR),
            (change.rts.is_some(), control::ASK_RTS),
        ];
        for (_, question) in questions.into_iter().filter(|(is_set, _)| !is_set) {
            self.send(&Message::Value(Topic::Control, question));
        }
    }

    /// Asks for faults to be told, once. The lines of the modem are told by default.
    pub fn ask_faults(&mut self) {
        if !std::mem::replace(&mut self.masked, true) {
            self.send(&Message::Value(Topic::LineMask, LINE_MASK));
        }
    }

    fn value(&mut self, subject: Subject, topic: Topic, value: u8, ticket: &mut Ticket) {
        self.request(subject, &Message::Value(topic, value), ticket);
    }

    fn control(&mut self, subject: Subject, value: u8, ticket: &mut Ticket) {
        self.value(subject, Topic::Control, value, ticket);
    }

    fn remember(&mut self, change: &Change) {
        self.wish = Change { purge_in: false, purge_out: false, ..self.wish.then(change) };
    }

    /// Asks for a change. Speed 0, which would ask the server for its speed, becomes what it means to Linux: DTR and
    /// RTS go down, until another speed is set.
    pub fn ask(&mut self, change: &Change) -> Ticket {
        let mut change = *change;
        let was_down = self.state.baud == 0;
        match change.baud {
            Some(0) => (change.dtr, change.rts, self.state.baud) = (Some(false), Some(false), 0),
            Some(_) if was_down => {
                change.dtr = change.dtr.or(Some(true));
                change.rts = change.rts.or(Some(true));
            }
            _ => {}
        }
        self.remember(&change);
        let mut ticket = Ticket::default();
        let ticket_of = &mut ticket;
        if let Some(baud) = change.baud.filter(|baud| *baud != 0) {
            self.request(Subject::Baud, &Message::Baud(Some(baud), Form::Word), ticket_of);
        }
        if let Some(bits) = change.data_bits {
            self.value(Subject::DataBits, Topic::DataBits, bits, ticket_of);
        }
        if let Some(parity) = change.parity {
            self.value(Subject::Parity, Topic::Parity, parity_value(parity), ticket_of);
        }
        if let Some(bits) = change.stop_bits {
            self.value(Subject::StopBits, Topic::StopBits, stop_bits_value(bits), ticket_of);
        }
        self.ask_control(&change, ticket_of);
        ticket
    }

    fn ask_control(&mut self, change: &Change, ticket: &mut Ticket) {
        if let Some(flow) = change.flow_out {
            self.control(Subject::Flow, control::flow_value(flow), ticket);
        }
        // Flow control as such is for both ways, section 3: only a difference is worth a message that few servers know.
        if let Some(flow) = change.flow_in.filter(|flow| change.flow_out.unwrap_or(self.state.flow_out) != *flow) {
            self.control(Subject::FlowIn, control::flow_in_value(flow), ticket);
        }
        let switch = |on: bool, (yes, no): (u8, u8)| if on { yes } else { no };
        if let Some(on) = change.dtr {
            self.control(Subject::Dtr, switch(on, (control::DTR_ON, control::DTR_OFF)), ticket);
        }
        if let Some(on) = change.rts {
            self.control(Subject::Rts, switch(on, (control::RTS_ON, control::RTS_OFF)), ticket);
        }
        if let Some(on) = change.brk.filter(|on| *on || self.state.brk) {
            if on && self.accounts[Subject::Break as usize].mute {
                self.out.extend_from_slice(&[IAC, command::BREAK]);
            }
            self.control(Subject::Break, switch(on, (control::BREAK_ON, control::BREAK_OFF)), ticket);
        }
        let purge = u8::from(change.purge_in) | (u8::from(change.purge_out) << 1);
        if purge != 0 {
            self.value(Subject::Purge, Topic::Purge, purge, ticket);
        }
    }

    /// Whether everything was answered.
    #[must_use]
    pub fn is_answered(&self, ticket: &Ticket) -> bool {
        self.unanswered(ticket).next().is_none()
    }

    fn unanswered<'a>(&'a self, ticket: &'a Ticket) -> impl Iterator<Item = Subject> + 'a {
        SUBJECTS.into_iter().filter(|subject| {
            let account = self.accounts[*subject as usize];
            ticket.0[*subject as usize].is_some_and(|needed| account.answered < needed)
        })
    }

    /// Waits no longer: what was not answered is taken for done, and not waited for again. Says what that is.
    pub fn give_up(&mut self, ticket: &Ticket) -> Vec<Subject> {
        let unanswered: Vec<_> = self.unanswered(ticket).collect();
        let wished = self.wish.applied_to(self.state);
        for subject in &unanswered {
            let account = &mut self.accounts[*subject as usize];
            (account.answered, account.mute) = (account.asked, true);
            let state = &mut self.state;
            match subject {
                Subject::Baud => state.baud = wished.baud,
                Subject::DataBits => state.data_bits = wished.data_bits,
                Subject::Parity => state.parity = wished.parity,
                Subject::StopBits => state.stop_bits = wished.stop_bits,
                Subject::Flow => (state.flow_out, state.flow_in) = (wished.flow_out, wished.flow_in),
                Subject::FlowIn => state.flow_in = wished.flow_in,
                Subject::Break => state.brk = wished.brk,
                Subject::Dtr => state.dtr = wished.dtr,
                Subject::Rts => state.rts = wished.rts,
                Subject::Purge => {}
            }
        }
        unanswered
    }

    /// What is known of the line.
    #[must_use]
    pub fn state(&self) -> State {
        self.state
    }

    /// What has happened on the line since this was asked last.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// Who the server says it is, printable.
    #[must_use]
    pub fn signature(&self) -> Option<&str> {
        self.signature.as_deref()
    }

    /// Whether the server wants nothing to be sent: `FLOWCONTROL-SUSPEND`, section 5.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.suspended
    }

    /// Asks the server to send nothing. Not ser2net, nor what else is made of gensio: that takes the message for
    /// one that sets the flow control of the line.
    pub fn suspend(&mut self) {
        let misread = |signature: &str| ["ser2net", "gensio"].iter().any(|name| signature.contains(name));
        let known = self.signature().is_some_and(|signature| !misread(signature));
        if known && !std::mem::replace(&mut self.suspending, true) {
            self.send(&Message::Value(Topic::Suspend, 0));
        }
    }

    /// Lets the server send again.
    pub fn resume(&mut self) {
        if std::mem::replace(&mut self.suspending, false) {
            self.send(&Message::Value(Topic::Resume, 0));
        }
    }

    /// What is to be sent, in its order; whoever sends takes it away.
    pub fn out(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// Whether data are sent as they are, but for IAC.
    #[must_use]
    pub fn sends_binary(&self) -> bool {
        self.negotiation.is_on(option::BINARY, End::Near)
    }
}

/// Notes a value the server tells; says what it is about.
fn note(state: &mut State, topic: Topic, value: u8) -> Option<Subject> {
    match topic {
        Topic::DataBits => state.data_bits = data_bits_of(value).unwrap_or(state.data_bits),
        Topic::Parity => state.parity = parity_of(value).unwrap_or(state.parity),
        Topic::StopBits => state.stop_bits = stop_bits_of(value).unwrap_or(state.stop_bits),
        Topic::Control => {
            if let Some(flow) = control::flow_of(value) {
                (state.flow_out, state.flow_in) = (flow, flow);
            }
            state.flow_in = control::flow_in_of(value).unwrap_or(state.flow_in);
            match value {
                control::BREAK_ON | control::BREAK_OFF => state.brk = value == control::BREAK_ON,
                control::DTR_ON | control::DTR_OFF => state.dtr = value == control::DTR_ON,
                control::RTS_ON | control::RTS_OFF => state.rts = value == control::RTS_ON,
                _ => {}
            }
            return Subject::of_control(value);
        }
        Topic::Purge => return Some(Subject::Purge),
        _ => return None,
    }
    Some(match topic {
        Topic::DataBits => Subject::DataBits,
        Topic::Parity => Subject::Parity,
        _ => Subject::StopBits,
    })
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
