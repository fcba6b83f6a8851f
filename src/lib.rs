//! Ferrule joins any two endpoints and relays between them, both ways, losing nothing.
//!
//! The way of the data is the order of the modules:
//!
//! 1. [`spec`]: the text of an address becomes a [`spec::Spec`]. Nothing is opened.
//! 2. [`option`]: the table of options gives each word of the spec its type and its moment.
//! 3. [`endpoint`]: a spec and its options become a [`endpoint::Plan`], which can be opened as often as wanted.
//! 4. [`channel`]: an open endpoint, a source and a sink of bytes.
//! 5. [`line`]: what goes beside the bytes, the settings and signals of a serial line.
//! 6. [`relay`]: two channels become a session of two independent directions, and a [`relay::Report`].
//! 7. [`capture`]: what they moved, kept in a file.
//!
//! Beside them: [`telnet`] (a protocol over a channel, and what it says of a line), [`error`] (one error type),
//! [`log`] (events and where they go), [`command`] (the socat command line), [`sys`] (every `unsafe` block) and
//! `python` (the only code that names PyO3).

pub mod capture;
pub mod channel;
pub mod command;
pub mod endpoint;
pub mod error;
pub mod line;
pub mod log;
pub mod option;
#[cfg(feature = "python")]
mod python;
pub mod relay;
pub mod serial;
pub mod spec;
pub mod sys;
pub mod telnet;

pub use error::{Error, Result};
