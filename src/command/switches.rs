//! The switches of the socat command line. Reading them opens nothing and prints nothing.
//!
//! Switches come first; two addresses follow. Single letters are not merged, values may be glued to their
//! letter or follow as the next word (socat(1), OPTIONS).

mod read;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::endpoint::IpVersion;
use crate::error::Error;
use crate::log::{Facility, Level};
use crate::relay::Ways;

pub use read::{is_address, parse};

/// What a command line asks for.
#[derive(Debug)]
pub enum Request {
    /// `-V`.
    Version,
    /// `-h`, `-hh`, `-hhh`.
    Help(HelpDetail),
    /// Two addresses and how to relay between them.
    Relay(Box<Switches>, [OsString; 2]),
}

/// How much help is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HelpDetail {
    /// Switches and address types.
    Addresses,
    /// The canonical options, too.
    Options,
    /// Every alias, too.
    Aliases,
}

/// A command line that cannot be served; the exit code is 1.
#[derive(Debug)]
pub struct Refusal {
    /// What is wrong.
    pub reason: Reason,
    /// The log as far as the switches before the mistake set it up.
    pub log: LogSwitches,
}

/// What is wrong with a command line.
#[derive(Debug)]
pub enum Reason {
    /// Told as it is, without the form of the log.
    Plain(String),
    /// The usage is shown.
    Usage,
    /// Logged.
    Error(Error),
}

/// Everything the switches say.
#[derive(Debug, Clone)]
pub struct Switches {
    /// Where events go and what they look like.
    pub log: LogSwitches,
    /// What is shown of the bytes.
    pub dump: DumpSwitches,
    /// What is kept of the bytes.
    pub capture: CaptureSwitches,
    /// What is shown of the relay.
    pub show: ShowSwitches,
    /// `-b`: bytes per read; `None` adapts to the traffic.
    pub buffer: Option<usize>,
    /// `-t`: see [`crate::relay::Settings::linger`].
    pub linger: Option<Duration>,
    /// `-T`: see [`crate::relay::Settings::idle`].
    pub idle: Option<Duration>,
    /// `-u`, `-U`.
    pub ways: Ways,
    /// `-S`: bit n stands for signal n.
    pub signals: u64,
    /// `-L`, `-W`.
    pub lock: Option<LockSwitch>,
    /// `-4`, `-6`, `-0`.
    pub ip: Option<IpVersion>,
    /// `-g`: options are not checked against the address type.
    pub any_option: bool,
    /// `-s`: errors do not end what can go on.
    pub sloppy: bool,
    /// Something was wrong, but not so much that the relay cannot run: the usage is shown.
    pub usage_shown: bool,
}

/// The log.
#[derive(Debug, Clone)]
pub struct LogSwitches {
    /// `-ls`, `-lf`, `-ly`, `-lm`.
    pub destination: Destination,
    /// `-d`.
    pub level: Level,
    /// How often `-d` was given.
    raised: u8,
    /// `-lu`.
    pub micros: bool,
    /// `-lh`.
    pub host: bool,
    /// `-lp`.
    pub program: Option<String>,
}

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard error.
    Stderr,
    /// Appended to a file.
    File(PathBuf),
    /// The log daemon.
    Syslog(Facility),
    /// Standard error until the transfer begins, then the log daemon.
    Mixed(Facility),
}

/// What is shown of the bytes.
#[derive(Debug, Clone, Default)]
pub struct DumpSwitches {
    /// `-v`.
    pub text: bool,
    /// `-x`.
    pub hex: bool,
    /// `-r`: file for the bytes from left to right, with variables in its name.
    pub right: Option<OsString>,
    /// `-R`: file for the bytes from right to left.
    pub left: Option<OsString>,
}

/// What is kept of the bytes; these switches are not socat's.
#[derive(Debug, Clone, Default)]
pub struct CaptureSwitches {
    /// `--capture`: the file, with variables in its name, or `-` for standard output.
    pub file: Option<OsString>,
    /// `--capture-format`: what the name of the file would tell otherwise.
    pub format: Option<String>,
    /// `--capture-size`: bytes after which a new file begins.
    pub size: Option<u64>,
    /// `--capture-files`: how many are kept.
    pub files: Option<u32>,
}

/// What is shown of the relay.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShowSwitches {
    /// `-D`.
    pub descriptors: bool,
    /// `--statistics`.
    pub statistics: bool,
    /// `--experimental`: no warning about what is experimental.
    pub experimental: bool,
}

/// A lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockSwitch {
    /// Its name.
    pub path: PathBuf,
    /// Wait while it exists, instead of failing.
    pub wait: bool,
}

impl Default for LogSwitches {
    fn default() -> Self {
        Self {
            destination: Destination::Stderr,
            level: Level::Warn,
            raised: 0,
            micros: false,
            host: false,
            program: None,
        }
    }
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            log: LogSwitches::default(),
            dump: DumpSwitches::default(),
            capture: CaptureSwitches::default(),
            show: ShowSwitches::default(),
            buffer: None,
            linger: Some(Duration::from_millis(500)),
            idle: None,
            ways: Ways::Both,
            signals: 0x89de,
            lock: None,
            ip: None,
            any_option: false,
            sloppy: false,
            usage_shown: false,
        }
    }
}

#[cfg(test)]
mod tests;
