//! WHAT FLOWS: an open endpoint, as a source and a sink of bytes.
//!
//! A [`Source`] is read, a [`Sink`] is written. Both know whether there is a bare descriptor below
//! ([`Port`]); only then can the relay move bytes in the kernel. Every wrapper (line ends, dump, escape)
//! hides the port, so that nothing can bypass it.

mod ends;
mod escape;
mod follow;
mod limit;
mod line_ends;
mod memory;
mod mirror;
pub(crate) mod pool;
mod port;
pub mod reconnect;
mod sit_out;
mod tap;

use std::ffi::OsString;
use std::os::fd::AsFd;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};

pub use ends::{PortSink, PortSource};
pub use escape::Escape;
pub use follow::Follow;
pub use limit::Limit;
pub use line_ends::{ReadLineEnds, WriteLineEnds};
pub use memory::{Nothing, Stalled, Text};
pub use mirror::{Mirror, MirrorControl};
pub use pool::Buffer;
pub use port::{Class, Port};
pub use sit_out::SitOut;
pub use tap::{Tap, Tapped};

use crate::endpoint::{BoxFuture, Context};
use crate::error::Result;
use crate::line::{Control, Line};
use crate::option::{LineEnd, Settings, Shut};

/// What bytes are read from. A read of 0 bytes is the end.
pub trait Source: AsyncRead + Send + Sync + Unpin {
    /// The bare descriptor, where reading from it is the same as reading from this.
    fn port(&self) -> Option<&Arc<Port>> {
        None
    }

    /// The connection the bytes come through, whatever is done to them on their way.
    fn connection(&self) -> Option<&Arc<Port>> {
        self.port()
    }

    /// How many bytes were taken from the connection and not read yet.
    fn ahead(&self) -> usize {
        0
    }

    /// Whether what is read comes in messages, each of which has to be read at once: the rest would be lost.
    fn in_messages(&self) -> bool {
        self.port().is_some_and(|port| port.class().keeps_boundaries())
    }

    /// Sees to what travels beside the bytes (commands to a line, answers, news of its signals) while none are
    /// read, because those read before still wait to be written. [`Beside::Purge`] says that these are not
    /// wanted any more.
    fn poll_beside(&mut self, _: &mut std::task::Context<'_>) -> Beside {
        Beside::Nothing
    }

    /// How many bytes are known to have arrived unread; asked when reading is to stop.
    fn arrived(&self) -> usize {
        let sizable = self.connection().filter(|port| !matches!(port.class(), Class::File | Class::Device));
        let waiting = sizable.and_then(|port| crate::sys::fd::bytes_waiting(port.as_fd()).ok());
        waiting.unwrap_or(0) + self.ahead()
    }

    /// Whether others get the same bytes as well: what this reader does not pass on is discarded, not lost.
    fn is_shared(&self) -> bool {
        false
    }

    /// Whether bytes are known to wait unread; asked when a direction is cut short.
    fn has_unread(&self) -> bool {
        self.port().is_some_and(|port| port.has_unread())
    }
}

/// What came of a look at what travels beside the bytes, see [`Source::poll_beside`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Nothing that concerns the bytes.
    Nothing,
    /// Whoever sent the bytes that still wait to be written wants them dropped.
    Purge,
}

/// What bytes are written to. `poll_shutdown` passes the end of the data on, the way the channel's
/// settings say; the other direction is not touched.
pub trait Sink: AsyncWrite + Send + Sync + Unpin {
    /// The bare descriptor, where writing to it is the same as writing to this.
    fn port(&self) -> Option<&Arc<Port>> {
        None
    }

    /// The connection the bytes go through, whatever is done to them on their way.
    fn connection(&self) -> Option<&Arc<Port>> {
        self.port()
    }

    /// Whether each write becomes a message of its own, whose size has a bound.
    fn in_messages(&self) -> bool {
        self.port().is_some_and(|port| port.class().keeps_boundaries())
    }

    /// Sees to what is left to do with bytes that were taken before, while none are written. Errors are told by
    /// the next write.
    fn poll_beside(&mut self, _: &mut std::task::Context<'_>) {}

    /// Drops what was taken and not passed on, and says how much that was; asked when a direction is over.
    fn give_up(&mut self) -> Unwritten {
        Unwritten::default()
    }
}

/// Bytes a sink has taken that never got anywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unwritten {
    /// They should have.
    pub lost: u64,
    /// They were dropped because the user wants them to be (`hold-discard`).
    pub discarded: u64,
}

/// A program or the like that lives as long as its channel.
pub trait Attached: Send + Sync {
    /// Waits for it, ends it if need be, and says whether it failed by itself. Called once the relay is
    /// over and the channel's descriptors are closed. `end_close` leaves it running.
    fn finish<'a>(&'a mut self, context: &'a Context, end_close: bool) -> BoxFuture<'a, Result<()>>;

    /// Passes a signal on, when the options of the address say so; true if it was taken.
    fn signal(&self, signal: i32) -> bool;
}

/// What is undone at the end, the last thing done first.
#[derive(Default)]
pub struct Guards(Vec<Box<dyn Send + Sync>>);

impl Guards {
    /// Adds something that is undone before all there is.
    pub fn push(&mut self, guard: Box<dyn Send + Sync>) {
        self.0.push(guard);
    }

    /// Moves all of another channel's here.
    pub fn append(&mut self, other: &mut Self) {
        self.0.append(&mut other.0);
    }
}

impl Extend<Box<dyn Send + Sync>> for Guards {
    fn extend<T: IntoIterator<Item = Box<dyn Send + Sync>>>(&mut self, guards: T) {
        self.0.extend(guards);
    }
}

impl Drop for Guards {
    fn drop(&mut self) {
        while let Some(guard) = self.0.pop() {
            drop(guard);
        }
    }
}

/// An open endpoint.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each stands for itself; no two exclude each other")]
pub struct Channel {
    /// What is read; `None` where the endpoint is only written.
    pub source: Option<Box<dyn Source>>,
    /// What is written; `None` where the endpoint is only read.
    pub sink: Option<Box<dyn Sink>>,
    /// Variables that tell a child of the other side who the peer is, without the program's prefix
    /// (`PEERADDR`). Empty unless the context asked for them.
    pub environment: Vec<(&'static str, OsString)>,
    /// The serial line at its far end, or what has the settings of one.
    pub line: Option<Arc<dyn Line>>,
    /// Whoever sets a line through it, and is given the one of the other side.
    pub control: Option<Arc<dyn Control>>,
    /// The program behind it.
    pub attached: Option<Box<dyn Attached>>,
    /// The program behind the writing half, where the halves of a dual address are programs both.
    pub also: Option<Box<dyn Attached>>,
    /// What is undone when the channel is dropped, the last first: names removed, terminals restored.
    pub guards: Guards,
    /// The line ends of what is written, see [`Channel::take_sink`].
    pub line_end: Option<LineEnd>,
    /// Other descriptors of the same connection exist: at the end it is shut down both ways, so that
    /// their holders see it, too.
    pub shared: bool,
    /// At the end only close: no shutdown, no signal to the program.
    pub end_close: bool,
    /// A broken pipe on writing is a notice, not an error.
    pub cool_write: bool,
    /// The program took the place of the relay (`nofork`): nothing is to be relayed, only waited for.
    pub handed_over: bool,
}

impl Channel {
    /// A channel that reads and writes one descriptor, with the wrappers the settings ask for.
    pub fn duplex(port: Port, settings: &Settings) -> Self {
        let port = Arc::new(port);
        Self::halves(
            Some(PortSource::new(Arc::clone(&port), &settings.flow)),
            Some(PortSink::new(port, &settings.flow)),
            settings,
        )
    }

    /// A channel that only reads a descriptor.
    pub fn source(port: Port, settings: &Settings) -> Self {
        Self::halves(Some(PortSource::new(Arc::new(port), &settings.flow)), None::<PortSink>, settings)
    }

    /// A channel that only writes a descriptor.
    pub fn sink(port: Port, settings: &Settings) -> Self {
        Self::halves(None::<PortSource>, Some(PortSink::new(Arc::new(port), &settings.flow)), settings)
    }

    /// A channel of two ends, with the wrappers the settings ask for around each.
    pub fn halves<R: Source + 'static, W: Sink + 'static>(
        source: Option<R>,
        sink: Option<W>,
        settings: &Settings,
    ) -> Self {
        let channel = Self {
            source: source.map(|source| Box::new(source) as Box<dyn Source>),
            sink: sink.map(|sink| Box::new(sink) as Box<dyn Sink>),
            end_close: settings.flow.end_close,
            cool_write: settings.flow.cool_write,
            ..Self::default()
        };
        // What the options do to the bytes they do above the layers.
        if settings.flow.layered { channel } else { channel.dressed(settings) }
    }

    /// The channel with the wrappers the settings ask for.
    #[must_use]
    pub fn dressed(mut self, settings: &Settings) -> Self {
        self.source = self.source.map(|source| wrap_source(source, settings));
        self.line_end = settings.flow.line_end;
        self
    }

    /// Adds something that is undone when the channel is dropped.
    #[must_use]
    pub fn guarded(mut self, guard: impl Send + Sync + 'static) -> Self {
        self.guards.push(Box::new(guard));
        self
    }

    /// Takes the sink out, for a direction. The taps see what really goes out: after the conversion of line
    /// ends.
    pub fn take_sink(&mut self, taps: &[Arc<dyn Tap>]) -> Option<Box<dyn Sink>> {
        let mut sink = self.sink.take()?;
        if !taps.is_empty() {
            sink = Box::new(Tapped::new(sink, taps.to_vec()));
        }
        if let Some(end) = self.line_end {
            sink = Box::new(WriteLineEnds::new(sink, end));
        }
        Some(sink)
    }

    /// Whether something is left to do at the end, once both ends were taken out.
    pub fn is_spent(&self) -> bool {
        let ends = self.source.is_none() && self.sink.is_none();
        let programs = self.attached.is_none() && self.also.is_none();
        ends && programs && self.guards.0.is_empty() && !self.shared
    }

    /// The numbers of the descriptors read and written, for the log and for `nofork`; -1 where there is none.
    pub fn descriptors(&self) -> (i32, i32) {
        let number = |port: Option<&Arc<Port>>| port.map_or(-1, |port| port.number());
        (number(self.source.as_deref().and_then(Source::port)), number(self.sink.as_deref().and_then(Sink::port)))
    }

    /// A second channel on the same connection, on descriptors of its own: for sessions that share an
    /// endpoint (`fork` on the second address).
    pub fn share(&self, settings: &Settings) -> std::io::Result<Self> {
        let mut settings = settings.clone();
        if settings.flow.end_close {
            // The end of one session is not the end of the connection.
            settings.flow.shut.get_or_insert(Shut::None);
        }
        let settings = &settings;
        let source = self.source.as_deref().and_then(Source::port).map(|port| port.duplicate()).transpose()?;
        let sink = self.sink.as_deref().and_then(Sink::port).map(|port| port.duplicate()).transpose()?;
        let mut shared = Self::halves(
            source.map(|port| PortSource::new(Arc::new(port), &settings.flow)),
            sink.map(|port| PortSink::new(Arc::new(port), &settings.flow)),
            settings,
        );
        shared.shared = true;
        Ok(shared)
    }
}

/// What must be shut down at the end so that other holders of the connection see it.
pub fn shutdown(channel: &Channel) {
    if !channel.shared || channel.end_close {
        return;
    }
    let ports = [channel.source.as_deref().and_then(Source::port), channel.sink.as_deref().and_then(Sink::port)];
    for port in ports.into_iter().flatten().filter(|port| port.class().is_socket()) {
        // Nothing can be done about a failure: the session is over.
        let _ = crate::sys::io::shutdown_both(port.as_fd());
    }
}

fn wrap_source(mut source: Box<dyn Source>, settings: &Settings) -> Box<dyn Source> {
    let flow = &settings.flow;
    if flow.ignore_eof {
        source = Box::new(Follow::new(source));
    }
    if let Some(limit) = flow.read_bytes.filter(|limit| *limit > 0) {
        source = Box::new(Limit::new(source, limit));
    }
    if let Some(byte) = flow.escape {
        source = Box::new(Escape::new(source, byte));
    }
    if let Some(end) = flow.line_end {
        source = Box::new(ReadLineEnds::new(source, end));
    }
    source
}

impl Source for Box<dyn Source> {
    fn port(&self) -> Option<&Arc<Port>> {
        (**self).port()
    }

    fn connection(&self) -> Option<&Arc<Port>> {
        (**self).connection()
    }

    fn ahead(&self) -> usize {
        (**self).ahead()
    }

    fn has_unread(&self) -> bool {
        (**self).has_unread()
    }

    fn arrived(&self) -> usize {
        (**self).arrived()
    }

    fn is_shared(&self) -> bool {
        (**self).is_shared()
    }

    fn in_messages(&self) -> bool {
        (**self).in_messages()
    }

    fn poll_beside(&mut self, cx: &mut std::task::Context<'_>) -> Beside {
        (**self).poll_beside(cx)
    }
}

impl Sink for Box<dyn Sink> {
    fn port(&self) -> Option<&Arc<Port>> {
        (**self).port()
    }

    fn connection(&self) -> Option<&Arc<Port>> {
        (**self).connection()
    }

    fn in_messages(&self) -> bool {
        (**self).in_messages()
    }

    fn poll_beside(&mut self, cx: &mut std::task::Context<'_>) {
        (**self).poll_beside(cx);
    }

    fn give_up(&mut self) -> Unwritten {
        (**self).give_up()
    }
}
