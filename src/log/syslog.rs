//! Events to the system's log daemon, over /dev/log (syslog(3), RFC 3164).

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Level, Sink, WriterSink};
use crate::error::printable;
use crate::sys::time::LocalTime;

/// Where the daemon listens, see syslog(3).
const SOCKET: &str = "/dev/log";

/// The part of the system an event comes from; the numbers are those of syslog.h, section 4.1.1 of the RFC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facility(u8);

impl Facility {
    /// What socat(1) logs as unless told otherwise.
    pub const DAEMON: Self = Self(3);

    const NAMES: [(&'static str, u8); 20] = [
        ("auth", 4),
        ("authpriv", 10),
        ("cron", 9),
        ("daemon", 3),
        ("ftp", 11),
        ("kern", 0),
        ("lpr", 6),
        ("mail", 2),
        ("news", 7),
        ("syslog", 5),
        ("user", 1),
        ("uucp", 8),
        ("local0", 16),
        ("local1", 17),
        ("local2", 18),
        ("local3", 19),
        ("local4", 20),
        ("local5", 21),
        ("local6", 22),
        ("local7", 23),
    ];

    /// The facility of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| Self(*number))
    }

    /// Every name, for messages.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().map(|(name, _)| *name)
    }
}

/// Sends events to the log daemon. Where there is none, errors go to the fallback: they are too grave to be
/// lost, everything else would be a nuisance there.
pub struct SyslogSink {
    path: PathBuf,
    facility: Facility,
    tag: String,
    socket: Mutex<Option<UnixDatagram>>,
    fallback: Arc<WriterSink>,
}

impl SyslogSink {
    /// Logs as `program` and `pid`; connects with the first event.
    pub fn new(facility: Facility, program: &str, pid: u32, fallback: Arc<WriterSink>) -> Self {
        Self::at(SOCKET.into(), facility, format!("{program}[{pid}]"), fallback)
    }

    fn at(path: PathBuf, facility: Facility, tag: String, fallback: Arc<WriterSink>) -> Self {
        Self { path, facility, tag, socket: Mutex::new(None), fallback }
    }

    /// Sends a packet; a daemon that was started anew is found again.
    fn send(&self, packet: &[u8]) -> io::Result<()> {
        let mut socket = self.socket.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &*socket {
            match open.send(packet) {
                // The daemon is slow: this event is lost rather than the relay held up.
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => *socket = None,
                result => return result.map(drop),
            }
        }
        let open = UnixDatagram::unbound()?;
        open.set_nonblocking(true)?;
        open.connect(&self.path)?;
        open.send(packet)?;
        *socket = Some(open);
        Ok(())
    }
}

impl Sink for SyslogSink {
    fn write(&self, level: Level, message: &str) {
        let priority = self.facility.0 * 8 + severity(level);
        let (now, tag, letter) = (LocalTime::now().syslog(), &self.tag, level.letter());
        let packet = format!("<{priority}>{now} {tag}: {letter} {}", printable(message.as_bytes()));
        if self.send(packet.as_bytes()).is_err() && level >= Level::Error {
            self.fallback.write(level, message);
        }
    }
}

/// Section 4.1.1 of the RFC.
const fn severity(level: Level) -> u8 {
    match level {
        Level::Debug => 7,
        Level::Info => 6,
        Level::Notice => 5,
        Level::Warn => 4,
        Level::Error => 3,
        Level::Fatal => 2,
    }
}

/// Standard error while the relay starts, the log daemon from then on (`-lm`).
pub struct MixedSink {
    syslog: SyslogSink,
    started: AtomicBool,
}

impl MixedSink {
    /// Uses the fallback of `syslog` until the transfer begins.
    pub fn new(syslog: SyslogSink) -> Self {
        Self { syslog, started: AtomicBool::new(false) }
    }
}

impl Sink for MixedSink {
    fn write(&self, level: Level, message: &str) {
        if self.started.load(Ordering::Relaxed) {
            self.syslog.write(level, message);
        } else {
            self.syslog.fallback.write(level, message);
        }
    }

    fn started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs::File;
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use std::path::Path;

    use super::*;
    use crate::log::LineFormat;

    fn sink(path: &Path) -> (SyslogSink, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let fallback = WriterSink::file(File::from(OwnedFd::from(ours)), LineFormat::new("socat"));
        let facility = Facility::find("local3").unwrap();
        (SyslogSink::at(path.into(), facility, "socat[42]".to_owned(), Arc::new(fallback)), theirs)
    }

    fn receive(daemon: &UnixDatagram) -> String {
        let mut buffer = [0; 512];
        let count = daemon.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    }

    #[test]
    fn a_daemon_that_comes_back_is_found() {
        let path = std::env::temp_dir().join(format!("ferrule-syslog-{}", std::process::id()));
        let daemon = UnixDatagram::bind(&path).unwrap();
        let (sink, _stderr) = sink(&path);
        sink.write(Level::Warn, "50% %s %n");
        let packet = receive(&daemon);
        // local3 is 19, a warning 4.
        assert!(packet.starts_with("<156>") && packet.ends_with(" socat[42]: W 50% %s %n"), "{packet}");
        drop(daemon);
        std::fs::remove_file(&path).unwrap();
        let daemon = UnixDatagram::bind(&path).unwrap();
        sink.write(Level::Notice, "again");
        assert!(receive(&daemon).ends_with("N again"));
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn without_a_daemon_only_errors_are_seen() {
        let (sink, mut stderr) = sink(Path::new("/nonexistent/log"));
        sink.write(Level::Notice, "nuisance");
        sink.write(Level::Error, "grave");
        drop(sink);
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("E grave\n") && !text.contains("nuisance"), "{text}");
    }

    #[test]
    fn mixed_logging_switches_over_when_the_transfer_begins() {
        let path = std::env::temp_dir().join(format!("ferrule-mixed-{}", std::process::id()));
        let daemon = UnixDatagram::bind(&path).unwrap();
        let (syslog, mut stderr) = sink(&path);
        let mixed = MixedSink::new(syslog);
        mixed.write(Level::Notice, "early");
        mixed.started();
        mixed.write(Level::Notice, "late");
        assert!(receive(&daemon).ends_with("N late"));
        drop(mixed);
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("N early\n"), "{text}");
        std::fs::remove_file(&path).unwrap();
    }
}
