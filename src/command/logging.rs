//! The log the switches ask for.

use std::sync::Arc;

use super::environment::{Lookup, host_name};
use super::switches::{Destination, LogSwitches};
use crate::error::{Error, Phase, Result};
use crate::failure;
use crate::log::{LineFormat, Log, MixedSink, Sink, SyslogSink, WriterSink};

/// The log, and where the details of an error go.
pub struct Logging {
    /// Where events go.
    pub log: Log,
    stderr: Arc<WriterSink>,
    /// Events are seen on standard error while the relay starts.
    on_stderr: bool,
}

impl Logging {
    /// Opens the log; `program` is the name unless `-lp` gave another one.
    pub fn open(switches: &LogSwitches, program: &str, lookup: Lookup<'_>) -> Result<Self> {
        let mut format = LineFormat::new(switches.program.as_deref().unwrap_or(program));
        format.micros = switches.micros;
        format.host = switches.host.then(|| host_name(lookup));
        let stderr = Arc::new(WriterSink::stderr(format.clone()));
        let syslog = |facility| SyslogSink::new(facility, &format.program, format.pid, Arc::clone(&stderr));
        let sink: Box<dyn Sink> = match &switches.destination {
            Destination::Stderr => Box::new(Arc::clone(&stderr)),
            Destination::Syslog(facility) => Box::new(syslog(*facility)),
            Destination::Mixed(facility) => Box::new(MixedSink::new(syslog(*facility))),
            Destination::File(path) => {
                let named = |error| Error::open(Phase::Open, error).at(format!("log file \"{}\"", path.display()));
                Box::new(WriterSink::append(path, format.clone()).map_err(named)?)
            }
        };
        let on_stderr = matches!(switches.destination, Destination::Stderr | Destination::Mixed(_));
        Ok(Self { log: Log::new(switches.level, sink), stderr, on_stderr })
    }

    /// A log on standard error with nothing but the program's name, for when the right one cannot be had.
    pub fn plain(program: &str) -> Self {
        let stderr = Arc::new(WriterSink::stderr(LineFormat::new(program)));
        let log = Log::new(LogSwitches::default().level, Box::new(Arc::clone(&stderr)));
        Self { log, stderr, on_stderr: true }
    }

    /// Logs an error, unless it was told already. The place and the hint follow where a person sees them.
    pub fn tell(&self, error: &Error) {
        if error.is_logged() {
            return;
        }
        failure!(self.log, "{}", error.line());
        if self.on_stderr {
            self.stderr.plain(&error.detail());
        }
    }

    /// As [`Logging::tell`], but a person sees it in any case: a command line that is wrong is told where
    /// it was typed, wherever the log goes.
    pub fn tell_person(&self, error: &Error) {
        self.tell(error);
        if !self.on_stderr {
            self.stderr.write(crate::log::Level::Error, &error.line());
            self.stderr.plain(&error.detail());
        }
    }
}
