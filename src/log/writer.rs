//! Events as lines on a descriptor: standard error or a file. A reader that does not read never holds the
//! relay up; what finds no room is counted, and told as soon as there is room again.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Format, Level, Sink};
use crate::channel::Class;
use crate::sys;
use crate::sys::time::LocalTime;

/// Most bytes kept for a reader that does not read at the moment.
const BACKLOG: usize = 64 * 1024;
/// How long the end waits for such a reader.
const PATIENCE: Duration = Duration::from_millis(200);

/// Writes events to standard error or to a file.
pub struct WriterSink {
    format: Box<dyn Format>,
    out: Output,
    /// Regular files are always ready: they need not be asked.
    asks: bool,
    backlog: Mutex<Backlog>,
}

enum Output {
    Stderr(io::Stderr),
    File(File),
}

#[derive(Default)]
struct Backlog {
    lines: VecDeque<Vec<u8>>,
    bytes: usize,
    lost: u64,
}

impl WriterSink {
    /// Writes to descriptor 2.
    pub fn stderr(format: impl Format + 'static) -> Self {
        Self::new(format, Output::Stderr(io::stderr()))
    }

    /// Appends to the file at `path`, which is created if it does not exist.
    pub fn append(path: &Path, format: impl Format + 'static) -> io::Result<Self> {
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        Ok(Self::new(format, Output::File(file)))
    }

    /// Writes to an open file, socket or pipe.
    pub fn file(file: File, format: impl Format + 'static) -> Self {
        Self::new(format, Output::File(file))
    }

    fn new(format: impl Format + 'static, out: Output) -> Self {
        let asks = !matches!(sys::fd::classify(out.as_fd()), Ok(Class::File));
        Self { format: Box::new(format), out, asks, backlog: Mutex::default() }
    }

    /// Writes lines that are no events, each with its end; in order with the events.
    pub fn plain(&self, lines: &str) {
        let mut backlog = self.backlog();
        for line in lines.lines() {
            backlog.push(format!("{line}\n").into_bytes());
        }
        self.drain(&mut backlog);
    }

    fn backlog(&self) -> MutexGuard<'_, Backlog> {
        self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what can be written without waiting.
    fn drain(&self, backlog: &mut Backlog) {
        while let Some(line) = backlog.lines.front_mut() {
            if self.asks && !sys::fd::ready_now(self.out.as_fd(), true) {
                return;
            }
            match sys::io::write(self.out.as_fd(), line) {
                Ok(count) if count < line.len() => {
                    line.drain(..count);
                    backlog.bytes -= count;
                }
                Ok(_) => backlog.pop(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // A full disk or a reader that is gone: the line is lost, later ones may find room again.
                Err(_) => {
                    backlog.pop();
                    backlog.lost += 1;
                    return;
                }
            }
        }
    }

    fn tell_losses(&self, backlog: &mut Backlog) {
        if backlog.lost > 0 && backlog.lines.is_empty() {
            let message = format!("{} messages were lost because the log could not be written", backlog.lost);
            backlog.lost = 0;
            backlog.push(self.format.line(LocalTime::now(), Level::Warn, &message));
        }
    }
}

impl Sink for WriterSink {
    fn write(&self, level: Level, message: &str) {
        let line = self.format.line(LocalTime::now(), level, message);
        let mut backlog = self.backlog();
        self.drain(&mut backlog);
        self.tell_losses(&mut backlog);
        backlog.push(line);
        self.drain(&mut backlog);
    }
}

impl Drop for WriterSink {
    fn drop(&mut self) {
        let end = Instant::now() + PATIENCE;
        let mut backlog = std::mem::take(&mut *self.backlog());
        loop {
            self.drain(&mut backlog);
            self.tell_losses(&mut backlog);
            self.drain(&mut backlog);
            let left = end.saturating_duration_since(Instant::now());
            if backlog.lines.is_empty() || left.is_zero() {
                return;
            }
            wait_writable(self.out.as_fd(), left);
        }
    }
}

impl Backlog {
    fn push(&mut self, line: Vec<u8>) {
        if self.bytes + line.len() > BACKLOG {
            self.lost += 1;
        } else {
            self.bytes += line.len();
            self.lines.push_back(line);
        }
    }

    fn pop(&mut self) {
        if let Some(line) = self.lines.pop_front() {
            self.bytes -= line.len();
        }
    }
}

impl AsFd for Output {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Stderr(stderr) => stderr.as_fd(),
            Self::File(file) => file.as_fd(),
        }
    }
}

/// Waits until a descriptor takes bytes, at most for `most`.
fn wait_writable(fd: BorrowedFd<'_>, most: Duration) {
    let timeout = PollTimeout::try_from(most).unwrap_or(PollTimeout::ZERO);
    // Whether it is ready is asked again by who called.
    let _ = poll(&mut [PollFd::new(fd, PollFlags::POLLOUT)], timeout);
}

/// Writes all of `bytes`, waiting as long as it takes: for dumps, which must be whole.
pub fn write_whole(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(fd, bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR) => {}
            // Somebody else may have made the shared descriptor a non-blocking one.
            Err(Errno::EAGAIN) => wait_writable(fd, Duration::from_secs(1)),
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::log::{LineFormat, Log};

    fn sink(out: impl Into<OwnedFd>) -> WriterSink {
        WriterSink::file(File::from(out.into()), LineFormat::new("socat"))
    }

    #[test]
    fn events_of_the_level_and_graver_ones_are_written() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let log = Log::new(Level::Notice, Box::new(sink(ours)));
        crate::info!(log, "hidden");
        crate::notice!(log, "shown {}", 1);
        log.always(Level::Info, format_args!("always"));
        drop(log);
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        let ends: Vec<_> = text.lines().map(|line| line.split_once("] ").unwrap().1).collect();
        assert_eq!(ends, ["N shown 1", "I always"]);
    }

    #[test]
    fn a_blocked_reader_costs_lines_but_no_time_and_is_told() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let log = Log::new(Level::Notice, Box::new(sink(writer)));
        let start = Instant::now();
        for number in 0..10_000 {
            crate::notice!(log, "event {number}");
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        drop(log);
        let text = reader.join().unwrap();
        assert!(text.contains("N event 0\n"));
        let told = text.lines().find(|line| line.contains("messages were lost")).unwrap();
        let lost: usize = told.split("W ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let shown = text.lines().filter(|line| line.contains("N event")).count();
        assert_eq!(shown + lost, 10_000);
    }

    #[test]
    fn plain_lines_have_no_prefix() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let sink = sink(ours);
        sink.plain("  TCP:x\n  ^^^");
        drop(sink);
        let mut text = String::new();
        theirs.read_to_string(&mut text).unwrap();
        assert_eq!(text, "  TCP:x\n  ^^^\n");
    }

    #[test]
    fn a_dump_is_written_whole_to_a_descriptor_that_does_not_block() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            theirs.read_to_end(&mut bytes).unwrap();
            bytes.len()
        });
        write_whole(ours.as_fd(), &vec![7; 3_000_000]).unwrap();
        drop(ours);
        assert_eq!(reader.join().unwrap(), 3_000_000);
    }
}
