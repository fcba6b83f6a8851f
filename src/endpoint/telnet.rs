//! The layer of telnet and RFC 2217: which addresses have it, and in which role.

use std::sync::Arc;

use super::layer::Layer;
use super::{BoxFuture, Context, Kind, Opener, Request, rfc2217_client};
use crate::channel::Channel;
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::option::{Options, Settings, TelnetRole};
use crate::telnet::{Manner, speak};

/// Notes what follows from the kind, before anything is planned: whether telnet is spoken over its channels.
pub(super) fn prepare(kind: &Kind, settings: &mut Settings) {
    if kind.name == super::rfc2217::LISTEN {
        settings.telnet.rfc2217.get_or_insert(Some(TelnetRole::Server));
    }
    if kind.name == rfc2217_client::CONNECT {
        settings.telnet.rfc2217.get_or_insert(Some(TelnetRole::Client));
    }
    settings.flow.layered |= settings.telnet.telnet.is_some() || settings.telnet.rfc2217.is_some();
}

/// The layer that the options ask for.
pub(super) fn layer(opener: &Opener, request: &Request<'_>) -> Result<Option<Arc<dyn Layer>>> {
    let telnet = &request.options.settings.telnet;
    let own = if matches!(opener, Opener::Bind(_)) { TelnetRole::Server } else { TelnetRole::Client };
    let (role, com_port) = match (telnet.rfc2217, telnet.telnet) {
        (Some(Some(one)), Some(Some(other))) if one != other => {
            return Err(Error::text("option telnet and option rfc2217 name different roles"));
        }
        (Some(role), other) => (role.or(other.flatten()).unwrap_or(own), true),
        (None, Some(role)) => (role.unwrap_or(own), false),
        (None, None) if telnet.restore_line.is_some() => {
            return Err(Error::text("option restore-line is for addresses that speak RFC 2217")
                .hint("option rfc2217 lets the far end set the line of the other address"));
        }
        (None, None) => return Ok(None),
    };
    if com_port && role == TelnetRole::Client {
        return rfc2217_client::layer(opener, request).map(Some);
    }
    let manner = Manner { role, com_port, restore: com_port && telnet.restore_line.unwrap_or(true) };
    Ok(Some(Arc::new(Telnet { manner, options: Arc::clone(&request.options) })))
}

struct Telnet {
    manner: Manner,
    options: Arc<Options>,
}

impl Telnet {
    fn take_over(&self, mut channel: Channel, context: &Context) -> Result<Channel> {
        let (Some(source), Some(sink)) = (channel.source.take(), channel.sink.take()) else {
            let message = "telnet needs an address that is read and written";
            return Err(Error::new(ErrorKind::Open, Phase::Open, message));
        };
        let spoken = speak(source, sink, self.manner, &context.log);
        let channel = Channel { source: spoken.source, sink: spoken.sink, control: spoken.control, ..channel };
        Ok(channel.dressed(&self.options.settings))
    }
}

impl Layer for Telnet {
    fn connected<'a>(&'a self, channel: Channel, context: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(std::future::ready(self.take_over(channel, context)))
    }

    fn accepted(&self, channel: Channel, context: &Context) -> Result<Channel> {
        self.take_over(channel, context)
    }
}
