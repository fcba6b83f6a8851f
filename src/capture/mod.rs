//! CAPTURE: what a relay moves, kept in a file with the time: as text, as hexadecimal, or as packets.
//!
//! [`Capture::open`] opens the file and starts the thread that writes it. Each session has a [`Recording`], whose
//! taps are shown the bytes. They put them into a bounded queue and never wait: a disk that is too slow costs
//! blocks of the capture, which are counted there, never a byte or the time of the relay.

mod frame;
mod output;
mod pcapng;
mod queue;
mod render;
mod session;
mod text;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

pub use session::{Recording, Side};

use crate::error::{Error, ErrorKind, Phase, Result};
use crate::log::Log;
use crate::warning;
use output::Output;
use queue::Queue;
use session::{Flow, Session};
use writer::Writer;

/// Files kept when they are to have a size and nobody says how many.
pub const FILES: u32 = 10;
/// Least size of a file, in bytes.
pub const LEAST: u64 = 4096;
/// How long the end of the relay waits for the disk to take the next bytes.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toward {
    /// From the left endpoint to the right one.
    Right,
    /// From the right endpoint to the left one.
    Left,
}

impl Toward {
    const fn index(self) -> usize {
        self as usize
    }

    const fn other(self) -> Self {
        match self {
            Self::Right => Self::Left,
            Self::Left => Self::Right,
        }
    }
}

/// What a capture looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One line for each block: time, session, direction, escaped text.
    Text,
    /// Rows of hexadecimal bytes below such a line.
    Hex,
    /// Packets for Wireshark: pcapng.
    Pcapng,
}

impl Format {
    /// Every format with its name, which is also the extension of its files.
    pub const ALL: [(&'static str, Self); 3] = [("txt", Self::Text), ("hex", Self::Hex), ("pcapng", Self::Pcapng)];

    /// The format of that name; `text` is one, too.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        let name = if name == "text" { "txt" } else { name };
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }
}

/// Where a capture goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A file, at its end; or a FIFO or device.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// How long files may become, and how many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes of a file.
    pub size: u64,
    /// Files, with the one that is written.
    pub files: u32,
}

/// What is to be captured, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where to.
    pub target: Target,
    /// In which form.
    pub format: Format,
    /// When to begin a new file.
    pub rotation: Option<Rotation>,
}

impl Settings {
    /// Checks what is asked for; without a `format` the name of the file tells. Opens nothing.
    ///
    /// # Errors
    /// The format is not clear, or a size or number makes no sense.
    pub fn new(target: Target, format: Option<&str>, size: Option<u64>, files: Option<u32>) -> Result<Self> {
        let formats = "one of text, hex and pcapng";
        let format = match format {
            Some(name) => {
                Format::find(name).ok_or_else(|| usage(format!("a capture has no format \"{name}\"")).hint(formats))?
            }
            None => told_by_name(&target).ok_or_else(|| {
                usage(format!("the name of {} does not say its format", place(&target)))
                    .hint("let it end in .txt, .hex or .pcapng, or say the format: text, hex or pcapng")
            })?,
        };
        let rotation = match (size, files) {
            (None, None) => None,
            (None, Some(_)) => {
                let hint = "say also how long a file may become";
                return Err(usage("a capture has a number of files, but these have no size").hint(hint));
            }
            (Some(size), _) if size < LEAST => {
                return Err(usage(format!("files of {size} bytes are too small for a capture"))
                    .hint(format!("{LEAST} bytes are the least")));
            }
            (Some(_), Some(0)) => return Err(usage("a capture of no files keeps nothing").hint("1 is the least")),
            (Some(_), _) if target == Target::Stdout => {
                return Err(usage("standard output has no second file to go on with")
                    .hint("name a file, or leave the size away"));
            }
            (Some(size), files) => Some(Rotation { size, files: files.unwrap_or(FILES) }),
        };
        Ok(Self { target, format, rotation })
    }
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, Phase::Parse, message)
}

fn told_by_name(target: &Target) -> Option<Format> {
    match target {
        Target::Stdout => Some(Format::Pcapng),
        Target::File(path) => Format::find(path.extension()?.to_str()?),
    }
}

/// What a target is called in messages.
fn place(target: &Target) -> String {
    match target {
        Target::Stdout => "capture on standard output".to_owned(),
        Target::File(path) => {
            format!("capture file \"{}\"", crate::error::printable(Path::new(path).as_os_str().as_encoded_bytes()))
        }
    }
}

/// An open capture and the thread that writes it. Dropping it writes what waits, and ends it.
#[derive(Debug)]
pub struct Capture {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
    place: String,
    log: Log,
}

impl Capture {
    /// Opens the file; `title` says what is captured.
    ///
    /// # Errors
    /// The file cannot be opened, holds something else, or is being written by another capture.
    pub fn open(settings: &Settings, title: &str, log: &Log) -> Result<Self> {
        let place = place(&settings.target);
        let output = Output::open(settings, log).map_err(|error| error.at(&place))?;
        let queue = Arc::new(Queue::new());
        let writer = Writer::new(output, settings.format, title, Arc::clone(&queue));
        let (told, here) = (log.clone(), place.clone());
        let thread = std::thread::Builder::new().name("capture".to_owned()).spawn(move || {
            if let Err(error) = writer.run() {
                let error = Error::transfer(Phase::Write, error).at(here);
                warning!(told, "{}; the capture ends here, the relay goes on", error.line());
            }
        });
        let thread = thread.map_err(|error| Error::open(Phase::Execute, error).at(&place))?;
        Ok(Self { queue, thread: Some(thread), place, log: log.clone() })
    }

    /// What records a session between these two.
    pub fn session(&self, left: &Side, right: &Side) -> Recording {
        let number = self.queue.number();
        Recording::new(Arc::clone(&self.queue), Session::new(number, left, right))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.queue.close();
        // What waits has a bound; so has this, as long as it gets on.
        let mut written = self.queue.written();
        while !self.queue.wait_over(PATIENCE) {
            if std::mem::replace(&mut written, self.queue.written()) == written {
                warning!(self.log, "{}: the end is missing: it could not be written in time", self.place);
                return;
            }
        }
        // A panic of the thread has been shown by the panic hook.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

#[cfg(test)]
mod tests;
