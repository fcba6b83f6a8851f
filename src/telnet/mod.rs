//! TELNET (RFC 854) and its option for serial ports (RFC 2217).
//!
//! Without I/O: [`codec`] takes a stream apart into data, commands and subnegotiations and writes them;
//! [`negotiation`] decides what is agreed on; [`comport`] gives the subnegotiations of RFC 2217 their meaning, for
//! either role; `server` answers them, [`client`] asks.
//!
//! [`speak`] puts all of it around the two ends of a channel: `source` reads, `operator` carries out, `wire` writes.
//! For the client of RFC 2217 `remote` reads and is the line.

mod ahead;
pub mod client;
pub mod codec;
pub mod comport;
pub mod negotiation;
mod operator;
pub(crate) mod remote;
mod server;
mod source;
mod tenancy;
mod wire;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::channel::{Channel, Sink, Source};
use crate::log::Log;
use crate::option::TelnetRole;
use codec::option;
use negotiation::{End, Negotiation};
use operator::{Attachment, Operator};
use source::TelnetSource;
use wire::{SharedWire, TelnetSink};

/// How TELNET is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manner {
    /// Which end this is.
    pub role: TelnetRole,
    /// The far end may set the line of the other side of the session, with RFC 2217. For servers.
    pub com_port: bool,
    /// The line gets its settings back when its last client leaves.
    pub restore: bool,
}

/// A channel that speaks TELNET over the given ends. Nothing is waited for: what cannot be written at
/// once is when the session begins.
#[must_use]
pub fn speak(source: Box<dyn Source>, sink: Box<dyn Sink>, manner: Manner, log: &Log) -> Channel {
    let mut negotiation = Negotiation::default();
    let wire = SharedWire::new(sink);
    let wishes: Vec<u8> = wishes(&mut negotiation, manner).into_iter().flatten().flatten().collect();
    let mut guard = wire.lock();
    guard.add(|out| out.extend(wishes));
    guard.greet();
    guard.set_padding(source::pads(&negotiation));
    drop(guard);
    let attachment = Arc::new(Attachment::new(manner.com_port));
    let operator = Operator::new(wire.clone(), Arc::clone(&attachment), manner.restore);
    let source = TelnetSource::new(source, wire.clone(), negotiation, operator, log.clone());
    Channel {
        source: Some(Box::new(source)),
        sink: Some(Box::new(TelnetSink::new(wire))),
        control: Some(attachment),
        ..Channel::default()
    }
}

/// What is asked of the far end at once; what it may ask is allowed.
///
/// A server wants every byte as it is, sent at once, and shows what is typed (or rather the line does). A client
/// leaves that to the server: BINARY changes what a host does to line ends.
fn wishes(negotiation: &mut Negotiation, manner: Manner) -> Vec<Option<[u8; 3]>> {
    let both = [
        (option::BINARY, End::Near),
        (option::BINARY, End::Far),
        (option::SUPPRESS_GO_AHEAD, End::Near),
        (option::SUPPRESS_GO_AHEAD, End::Far),
    ];
    if manner.role == TelnetRole::Client {
        for (option, end) in both {
            negotiation.allow(option, end);
        }
        negotiation.allow(option::ECHO, End::Far);
        return Vec::new();
    }
    let mut wishes: Vec<_> = both.iter().map(|(option, end)| negotiation.ask(*option, *end)).collect();
    wishes.push(negotiation.ask(option::ECHO, End::Near));
    if manner.com_port {
        // There are clients that expect the server to want it, and others that want the server to.
        negotiation.allow(option::COM_PORT, End::Near);
        wishes.push(negotiation.ask(option::COM_PORT, End::Far));
    }
    wishes
}
