//! SPEC -> CHANNEL: one file for each family of kinds. [`KINDS`] is the only registry.
//!
//! A kind's `plan` function turns a checked [`Request`] into an [`Opener`]; it opens nothing. The opener is
//! then used as often as wanted: by `retry`, by `fork`, by every session of a listener.

mod abstract_unix;
mod accept_fd;
mod access;
mod file;
pub mod identity;
mod inet;
mod layer;
mod listener;
mod local;
mod pipe;
mod plan;
mod program;
pub mod pty;
mod resolve;
mod socket;
mod socketpair;
mod sockname;
mod stdio;
mod tcp;
mod tcpwrap;
#[cfg(test)]
mod testing;
mod text;
mod unix;
mod unix_path;
mod unlink;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::channel::Channel;
use crate::error::Result;
use crate::log::Log;
use crate::option::{Groups, Options};
use crate::spec::Single;

pub use plan::{Endpoint, Plan, Planned};

/// A boxed future; opening may allocate.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// One address type.
#[derive(Debug)]
pub struct Kind {
    /// The canonical keyword, upper case.
    pub name: &'static str,
    /// Further keywords.
    pub aliases: &'static [&'static str],
    /// What follows the keyword, for usage messages: `:<host>:<port>`.
    pub usage: &'static str,
    /// How many parameters it takes, least and most.
    pub params: (usize, usize),
    /// Which options fit.
    pub groups: Groups,
    /// Which way bytes can go.
    pub direction: Direction,
    /// What it is, for help and reference.
    pub doc: &'static str,
    /// Makes the opener; checks everything that can be checked without opening.
    pub plan: fn(&Request<'_>) -> Result<Opener>,
}

/// Which way bytes go through a channel, seen from the relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Read and written.
    Both,
    /// Only read: a source.
    Read,
    /// Only written: a sink.
    Write,
}

impl Direction {
    /// Whether the relay reads from it.
    #[must_use]
    pub const fn reads(self) -> bool {
        matches!(self, Self::Both | Self::Read)
    }

    /// Whether the relay writes to it.
    #[must_use]
    pub const fn writes(self) -> bool {
        matches!(self, Self::Both | Self::Write)
    }
}

/// What a kind's `plan` function is given.
pub struct Request<'a> {
    /// The kind itself.
    pub kind: &'static Kind,
    /// The address as written, for messages.
    pub address: &'a str,
    /// The spec, with the words and their places.
    pub spec: &'a Single,
    /// The options, read and checked.
    pub options: Arc<Options>,
    /// Which way bytes will go.
    pub direction: Direction,
    /// What the whole relay has chosen.
    pub defaults: &'a Defaults,
}

/// Choices of the whole relay that endpoints ask for.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// IP version of listeners that leave it open (`-4 -6 -0`, `SOCAT_DEFAULT_LISTEN_IP`).
    pub listen_ip: IpVersion,
    /// IP version preferred by clients (`-4 -6 -0`, `SOCAT_PREFERRED_RESOLVE_IP`).
    pub resolve_ip: IpVersion,
    /// The program's name: first word of environment variables for children, upper-cased.
    pub program: String,
    /// Whether options may change the whole process (`su`, `chroot`, `nofork`): the command line may, a library may not.
    pub process_wide: bool,
    /// The other address forks: this one is opened for each of its channels, so nothing can take the place
    /// of the whole process.
    pub many: bool,
    /// Options an address type does not take are tried all the same (`-g`).
    pub any_option: bool,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            listen_ip: IpVersion::V4,
            resolve_ip: IpVersion::V4,
            program: "socat".to_owned(),
            process_wide: false,
            many: false,
            any_option: false,
        }
    }
}

/// A choice of IP version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IpVersion {
    /// Version 4 (preferred).
    V4,
    /// Version 6 (preferred).
    V6,
    /// Listeners are dual stack, clients take the resolver's order.
    Any,
}

/// What is known when an endpoint is opened.
#[derive(Debug, Clone)]
pub struct Context {
    /// Where events go.
    pub log: Log,
    /// Variables for children: who the peer of the other side is, and so on. Shared, since sessions are many.
    pub environment: Arc<Vec<(String, std::ffi::OsString)>>,
    /// Whether channels are to say who their peer is ([`Channel::environment`]): it costs system calls.
    pub environment_wanted: bool,
    /// The descriptors of the channel that was opened before, for `nofork`: to read from, to write to.
    pub other: Option<(std::os::fd::RawFd, std::os::fd::RawFd)>,
    /// Where listeners say what they listen on.
    pub listening: Arc<Listening>,
}

impl Context {
    /// What is known before anything was opened: where events go.
    #[must_use]
    pub fn new(log: Log) -> Self {
        Self { log, environment: Arc::default(), environment_wanted: false, other: None, listening: Arc::default() }
    }
}

/// The names of the sockets a relay listens on, with the port the system chose: `127.0.0.1:40123`.
#[derive(Debug, Default)]
pub struct Listening(std::sync::Mutex<Vec<String>>);

impl Listening {
    /// One more.
    pub fn add(&self, name: String) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(name);
    }

    /// All so far, in the order they were opened.
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }
}

/// How an endpoint is opened.
pub enum Opener {
    /// Opened as it is.
    Connect(Arc<dyn Connect>),
    /// Bound first, then channels are accepted.
    Bind(Arc<dyn Bind>),
}

/// Opens a channel.
pub trait Connect: Send + Sync {
    /// One attempt; `retry` and `interval` are the relay's. Cancel safe: dropping the future closes all.
    fn connect<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Channel>>;
}

/// Opens something that channels are accepted from.
pub trait Bind: Send + Sync {
    /// One attempt to bind and listen.
    fn bind<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Box<dyn Accept>>>;
}

/// Something that channels are accepted from.
pub trait Accept: Send {
    /// Waits for the next channel that may be served. Errors of a single client (ECONNABORTED ...) and
    /// shortages (EMFILE ...) are dealt with inside; an error returned is fatal for the listener.
    /// Cancel safe: dropping the future loses no connection.
    fn accept<'a>(&'a mut self, context: &'a Context) -> BoxFuture<'a, Result<Channel>>;
}

/// All kinds, file by file. The only place they are listed.
pub static KINDS: &[&[Kind]] = &[
    abstract_unix::KINDS,
    accept_fd::KINDS,
    file::KINDS,
    pipe::KINDS,
    program::KINDS,
    pty::KINDS,
    socketpair::KINDS,
    stdio::KINDS,
    tcp::KINDS,
    text::KINDS,
    unix::KINDS,
];

/// Every kind.
pub fn kinds() -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().flat_map(|family| family.iter())
}

/// The kind with this keyword, in any case of letters.
pub fn find(keyword: &str) -> Option<&'static Kind> {
    kinds().find(|kind| {
        kind.name.eq_ignore_ascii_case(keyword) || kind.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(keyword))
    })
}
