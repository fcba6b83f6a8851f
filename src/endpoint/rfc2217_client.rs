//! RFC2217: the client of a serial port in the network, RFC 2217.

use std::sync::Arc;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

use super::layer::Layer;
use super::socket::Shape;
use super::{BoxFuture, Context, Direction, Kind, Opener, Request, inet};
use crate::channel::{Channel, Class, Source};
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::line::{Change, Parity, State, StopBits};
use crate::option::{Groups, Options, SerialSettings};
use crate::telnet::client::Subject;
use crate::telnet::remote::{self, Failure, Opened};
use crate::{notice, warning};

const GROUPS: Groups = Groups::FD
    .and(Groups::SOCKET)
    .and(Groups::CHILD)
    .and(Groups::RETRY)
    .and(Groups::TCP)
    .and(Groups::IP4)
    .and(Groups::IP6)
    .and(Groups::CONNECT)
    .and(Groups::SERIAL);

/// The name of the kind whose connections are those of a client without being told.
pub(super) const CONNECT: &str = "RFC2217";

pub(super) static KINDS: &[Kind] = &[Kind {
    name: CONNECT,
    aliases: &["RFC2217-CONNECT"],
    usage: ":<host>:<port>",
    params: (2, 2),
    groups: GROUPS,
    direction: Direction::Both,
    doc: "A serial port in the network, as ser2net, pyserial and terminal servers offer it (RFC 2217): a TCP \
          connection whose far end is set as a port nearby is. What the options do not say stays as it is there.",
    plan: |request| inet::client(request, None, Shape::TCP),
}];

/// The client's layer, for an address that connects.
pub(super) fn layer(opener: &Opener, request: &Request<'_>) -> Result<Arc<dyn Layer>> {
    if matches!(opener, Opener::Bind(_)) {
        return Err(Error::text("option rfc2217 is for servers where an address listens")
            .hint("a client of a serial port in the network connects: RFC2217:<host>:<port>"));
    }
    if request.options.settings.telnet.restore_line.is_some() {
        return Err(Error::text("option restore-line is for servers of RFC 2217, which have the line"));
    }
    Ok(Arc::new(Client::new(Arc::clone(&request.options))))
}

/// Seconds of silence before the far end is asked whether it is still there, between two such questions, and how
/// many may go unanswered: a terminal server that loses its power says nothing.
const KEEPALIVE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);

/// Makes a line of a connection.
struct Client {
    options: Arc<Options>,
    wish: Change,
    /// No option of TCP says how a dead peer is found.
    keepalive: bool,
}

impl Client {
    /// The client that sets what the options say.
    fn new(options: Arc<Options>) -> Self {
        let named = ["so-keepalive", "tcp-keepidle", "tcp-keepintvl", "tcp-keepcnt"];
        let keepalive = !named.iter().any(|name| options.has(name));
        Self { wish: wish(&options.settings.serial), keepalive, options }
    }

    fn keep_alive(&self, source: &dyn Source) {
        let Some(port) = source.connection().filter(|port| self.keepalive && port.class() == Class::Tcp) else {
            return;
        };
        let (time, interval, retries) = KEEPALIVE;
        let keepalive = TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(retries);
        // Only a precaution.
        let _ = SockRef::from(&**port).set_tcp_keepalive(&keepalive);
    }

    async fn open(&self, mut channel: Channel, context: &Context) -> Result<Channel> {
        let (Some(source), Some(sink)) = (channel.source.take(), channel.sink.take()) else {
            return Err(Error::new(ErrorKind::Open, Phase::Connect, "a line is read and written"));
        };
        self.keep_alive(&*source);
        let opened = remote::open(source, sink, &self.wish).await.map_err(|failure| self.error(failure))?;
        let Opened { source, sink, line, unanswered, signature } = opened;
        notice!(
            context.log,
            "the line of {} has {}",
            signature.as_deref().unwrap_or("the far end"),
            shown(&line.state())
        );
        for subject in unanswered {
            warning!(context.log, "the far end does not answer to {}; taken for done", subject.word());
        }
        let channel = Channel { source: Some(source), sink: Some(sink), line: Some(line), ..channel };
        Ok(channel.dressed(&self.options.settings))
    }

    fn error(&self, failure: Failure) -> Error {
        let error = |phase, text: String| Error::new(ErrorKind::Open, phase, text);
        let raw = "TCP:<host>:<port> connects to a port without RFC 2217; a server may have to be told to speak it";
        match failure {
            Failure::Refused => {
                error(Phase::Connect, "the far end has no serial port to set (RFC 2217)".to_owned()).hint(raw)
            }
            Failure::Silent => Error::new(
                ErrorKind::Timeout,
                Phase::Connect,
                format!("the far end does not answer to RFC 2217 within {} s", remote::PATIENCE.as_secs()),
            )
            .hint(raw),
            Failure::Closed => {
                error(Phase::Connect, "the far end closes the connection before RFC 2217 is agreed on".to_owned())
                    .hint("a port that serves one client at a time may be in use")
            }
            Failure::Unanswered(subjects) => {
                let words: Vec<_> = subjects.into_iter().map(Subject::word).collect();
                error(Phase::Option, format!("the far end does not answer to {}", words.join(", ")))
                    .hint("without the option the setting stays as it is there")
            }
            Failure::Otherwise(state) => {
                let asked = shown(&self.wish.applied_to(state));
                error(Phase::Option, format!("the line has {} instead of {asked}", shown(&state)))
                    .hint("the far end cannot do what the options ask for, or does not allow it")
            }
        }
    }
}

impl Layer for Client {
    fn connected<'a>(&'a self, channel: Channel, context: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(self.open(channel, context))
    }

    fn accepted(&self, _: Channel, _: &Context) -> Result<Channel> {
        Err(Error::text("a client of RFC 2217 connects; rfc2217=server is what listens"))
    }
}

/// What the options ask of the line.
fn wish(serial: &SerialSettings) -> Change {
    Change {
        baud: serial.baud,
        data_bits: serial.bits,
        parity: serial.parity,
        stop_bits: serial.stop,
        flow_out: serial.flow,
        flow_in: serial.flow,
        dtr: serial.dtr,
        rts: serial.rts,
        ..Change::default()
    }
}

/// Settings as people write them: `9600 8N1`.
fn shown(state: &State) -> String {
    let parity = match state.parity {
        Parity::None => 'N',
        Parity::Odd => 'O',
        Parity::Even => 'E',
        Parity::Mark => 'M',
        Parity::Space => 'S',
    };
    let stop = match state.stop_bits {
        StopBits::One => "1",
        StopBits::OneAndHalf => "1.5",
        StopBits::Two => "2",
    };
    format!("{} {}{parity}{stop}", state.baud, state.data_bits)
}

#[cfg(test)]
#[path = "rfc2217_client_tests.rs"]
mod tests;
