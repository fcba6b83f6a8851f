//! `reconnect`: whatever a kind connects, it is connected again when it ends. The channel that does so is in
//! [`channel::reconnect`]; here is how another attempt is made, and when.
//!
//! The first opening is not this file's: it fails as ever, or is repeated by `retry` and `forever`. From then on
//! there is no end of attempts but that of `hold`. Pauses between them double, so that nothing spins; a connection
//! that ends at once without a byte counts as a failed attempt. A device is tried as soon as its name is back.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::appearance::Appearance;
use super::{BoxFuture, Connect, Context, Direction, Kind, Opener, Request, identity};
use crate::channel::reconnect::{Hold, Reopen};
use crate::channel::{self, Channel, Class, Source};
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::option::{Groups, Options, ReconnectSettings};
use crate::warning;

/// The first pause before an attempt.
const SHORTEST: Duration = Duration::from_millis(50);
/// The longest one, unless `reconnect-max` says otherwise.
const LONGEST: Duration = Duration::from_secs(5);
/// What is kept during an outage, unless `hold-buffer` says otherwise; in bytes.
const BUFFER: usize = 64 * 1024;
/// How much less grave the log of another attempt is: what it complains of is worth an info.
const LOWERED: u8 = 2;

/// The opener with reconnecting around it, if the options ask for that.
pub(super) fn around(opener: Opener, request: &Request<'_>) -> Result<Opener> {
    let settings = &request.options.settings.reconnect;
    if !settings.on {
        return match unused(settings) {
            Some(name) => Err(Error::text(format!("option {name} not allowed without option reconnect"))),
            None => Ok(opener),
        };
    }
    let manner = manner(request.kind).ok_or_else(|| {
        Error::text("option reconnect is for serial ports, terminals and connections that are made from here")
    })?;
    let Opener::Connect(inner) = opener else {
        return Err(Error::text("option reconnect is for what is connected to: listeners take fork"));
    };
    check_flow(&request.options)?;
    let path = place(&*inner, request)?;
    Ok(Opener::Connect(Arc::new(Reconnect {
        opening: Arc::new(Opening {
            inner,
            kind: request.kind,
            options: Arc::clone(&request.options),
            address: request.address.to_owned(),
            path,
            manner,
        }),
        direction: request.direction,
    })))
}

/// The name of an option that says nothing without `reconnect`.
fn unused(settings: &ReconnectSettings) -> Option<&'static str> {
    let given = [
        (settings.longest.is_some(), "reconnect-max"),
        (settings.hold.is_some(), "hold"),
        (settings.buffer.is_some(), "hold-buffer"),
        (settings.discard, "hold-discard"),
    ];
    given.into_iter().find(|(given, _)| *given).map(|(_, name)| name)
}

/// An end that the user asks for would be taken for a loss.
fn check_flow(options: &Options) -> Result<()> {
    let flow = &options.settings.flow;
    let given =
        [(flow.read_bytes.is_some(), "readbytes"), (flow.escape.is_some(), "escape"), (flow.ignore_eof, "ignoreeof")];
    match given.into_iter().find(|(given, _)| *given) {
        Some((_, name)) => {
            let error = Error::text(format!("option {name} is not allowed together with reconnect"));
            Err(error.hint("with reconnect the end of the data is never the end"))
        }
        None => Ok(()),
    }
}

/// Where the channel appears in the file system, as an absolute path.
fn place(inner: &dyn Connect, request: &Request<'_>) -> Result<Option<PathBuf>> {
    let Some(path) = inner.appears_at() else { return Ok(None) };
    let base = request.options.settings.identity.chdir.clone().unwrap_or_default();
    let path = std::path::absolute(base.join(path)).map_err(|error| Error::open(Phase::Plan, error))?;
    Ok(Some(path))
}

/// What is connected, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// A serial port: whoever opens it sees to what it is.
    Port,
    /// A name that must be a terminal's, or a socket's.
    Named,
    /// A peer.
    Peer,
}

impl Manner {
    const fn loss(self) -> &'static str {
        match self {
            Self::Port | Self::Named => "device gone",
            Self::Peer => "connection lost",
        }
    }
}

fn manner(kind: &Kind) -> Option<Manner> {
    let has = |group| kind.groups.intersects(group);
    if has(Groups::SERIAL) {
        Some(Manner::Port)
    } else if has(Groups::CONNECT) {
        Some(Manner::Peer)
    } else if has(Groups::OPEN) && has(Groups::TERMIOS) {
        Some(Manner::Named)
    } else {
        None
    }
}

/// Connects, and connects again.
struct Reconnect {
    opening: Arc<Opening>,
    direction: Direction,
}

/// How one attempt is made.
struct Opening {
    inner: Arc<dyn Connect>,
    kind: &'static Kind,
    options: Arc<Options>,
    address: String,
    /// Where it appears.
    path: Option<PathBuf>,
    manner: Manner,
}

impl Connect for Reconnect {
    fn connect<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(async move {
            let first = self.opening.open(context).await?;
            let settings = &self.opening.options.settings.reconnect;
            let mut lowered = context.clone();
            lowered.log = context.log.lowered(LOWERED);
            let again = Again {
                opening: Arc::clone(&self.opening),
                context: lowered,
                pause: Arc::new(Mutex::new(Pause::new(settings.longest.unwrap_or(LONGEST)))),
            };
            let hold = Hold {
                reopen: Box::new(again),
                limit: settings.hold,
                buffer: settings.buffer.unwrap_or(BUFFER),
                discard: settings.discard,
                reads: self.direction.reads(),
                name: self.opening.address.clone(),
                loss: self.opening.manner.loss(),
                log: context.log.clone(),
                tally: Arc::clone(&context.outages),
            };
            Ok(channel::reconnect::channel(first, hold))
        })
    }
}

impl Opening {
    /// One attempt, where the process is what the options made of it.
    async fn open(self: &Arc<Self>, context: &Context) -> Result<Channel> {
        if self.manner != Manner::Named {
            return self.inner.connect(context).await;
        }
        // A name that is missing must not be made: GOPEN would put a file in the place of a device.
        let path = self.path.as_deref().or_else(|| self.inner.appears_at()).unwrap_or(Path::new(""));
        check_name(path)?;
        let channel = self.inner.connect(context).await?;
        let port = channel.source.as_deref().and_then(Source::port).or_else(|| channel.sink.as_deref()?.port());
        match port.map(|port| port.class()) {
            Some(class) if class != Class::Terminal && !class.is_socket() => Err(not_a_terminal()),
            _ => Ok(channel),
        }
    }

    /// One attempt to open it again: under the directory, mask and network of the first one.
    async fn open_again(self: &Arc<Self>, context: &Context) -> Result<Channel> {
        let settings = &self.options.settings;
        if !identity::concerns(self.kind, settings) {
            return self.open(context).await;
        }
        let (this, context) = (Arc::clone(self), context.clone());
        identity::opened(settings, false, move || async move { this.open(&context).await }).await
    }
}

/// Whether there is a terminal or a socket of this name; more is known once it is open.
fn check_name(path: &Path) -> Result<()> {
    use std::os::unix::fs::FileTypeExt;
    let kind = path.metadata().map_err(|error| Error::open(Phase::Open, error))?.file_type();
    if kind.is_char_device() || kind.is_socket() { Ok(()) } else { Err(not_a_terminal()) }
}

fn not_a_terminal() -> Error {
    Error::new(
        ErrorKind::Open,
        Phase::Open,
        "is no terminal: option reconnect would read or write it from its start again",
    )
    .hint("leave reconnect away, or ignoreeof waits for what is appended to a file")
}

/// Opens again, with what lasts over several losses.
struct Again {
    opening: Arc<Opening>,
    context: Context,
    pause: Arc<Mutex<Pause>>,
}

impl Reopen for Again {
    fn reopen(&self, settled: bool) -> BoxFuture<'static, Channel> {
        let (opening, context, pause) = (Arc::clone(&self.opening), self.context.clone(), Arc::clone(&self.pause));
        if settled {
            lock(&pause).reset();
        }
        Box::pin(async move { come_back(&opening, &context, &pause).await })
    }
}

/// Tries until it is open: after each pause, and whenever its name stands for something new.
async fn come_back(opening: &Arc<Opening>, context: &Context, pause: &Mutex<Pause>) -> Channel {
    let appearance = opening.path.as_deref().map(Appearance::of);
    let mut seen = appearance.as_ref().and_then(Appearance::look);
    loop {
        let length = lock(pause).next();
        match &appearance {
            Some(appearance) => drop(tokio::time::timeout(length, appearance.wait(seen)).await),
            None => tokio::time::sleep(length).await,
        }
        match opening.open_again(context).await {
            Ok(channel) => return channel,
            Err(error) => {
                let (next, error) = (lock(pause).length, error.at(opening.address.clone()));
                // Lowered already.
                warning!(context.log, "{}; trying again in {} s", error.line(), next.as_secs_f64());
                // After the attempt: what it changed itself (owner, mode) is no reason for another one.
                seen = appearance.as_ref().and_then(Appearance::look);
            }
        }
    }
}

/// The pause before an attempt.
#[derive(Debug)]
struct Pause {
    length: Duration,
    longest: Duration,
}

impl Pause {
    fn new(longest: Duration) -> Self {
        // A pause of nothing would spin.
        let longest = longest.max(SHORTEST);
        Self { length: SHORTEST, longest }
    }

    /// The one that is due; the next one is twice as long.
    fn next(&mut self) -> Duration {
        let due = self.length;
        self.length = (due * 2).min(self.longest);
        due
    }

    fn reset(&mut self) {
        self.length = SHORTEST;
    }
}

fn lock(pause: &Mutex<Pause>) -> std::sync::MutexGuard<'_, Pause> {
    pause.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
