//! The file of a capture: opened at its end, with mode 0600; begun anew when it is full.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag, openat, renameat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, ftruncate, unlinkat};

use super::pcapng::{self, MAGIC};
use super::{Format, Rotation, Settings, Target, place};
use crate::channel::Class;
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::log::Log;
use crate::{sys, warning};

/// Who may read a capture: it may hold secrets.
const MODE: u32 = 0o600;
/// How long a reader may let us wait once the relay is over, in milliseconds.
const STALL: u16 = 100;

/// Where blocks go.
pub(super) struct Output {
    out: Out,
    /// Bytes of the file.
    length: u64,
}

enum Out {
    /// A file of its own, with its place, and when to begin a new one.
    File { file: Flock<File>, place: Place, rotation: Option<Rotation> },
    /// Anything else, and whether it has to be asked before it is written.
    Stream { fd: OwnedFd, asks: bool },
}

/// Where files are, whatever becomes of the process's own directory and root.
struct Place {
    folder: OwnedFd,
    name: OsString,
}

impl Output {
    /// Opens what the settings name.
    pub(super) fn open(settings: &Settings, log: &Log) -> Result<Self> {
        match &settings.target {
            Target::Stdout => Self::stdout(settings.format),
            Target::File(path) => Self::file(path, settings, log),
        }
    }

    fn stdout(format: Format) -> Result<Self> {
        let stdout = io::stdout();
        let failed = |error| Error::open(Phase::Open, error);
        let class = sys::fd::classify(stdout.as_fd()).map_err(failed)?;
        if class == Class::Terminal && format == Format::Pcapng {
            return Err(Error::new(ErrorKind::Open, Phase::Open, "packets are nothing for a terminal")
                .hint("pipe them into a program: | wireshark -k -i -"));
        }
        // Never O_NONBLOCK on what others hold as well; without /proc it is asked before it is written.
        let again = (class == Class::Pipe).then(|| sys::fd::reopen_nonblocking(stdout.as_fd(), false, true).ok());
        let fd = match again.flatten() {
            Some(fd) => fd,
            None => stdout.as_fd().try_clone_to_owned().map_err(failed)?,
        };
        Ok(Self { out: Out::Stream { fd, asks: class != Class::File }, length: 0 })
    }

    fn file(path: &Path, settings: &Settings, log: &Log) -> Result<Self> {
        let failed = |error| Error::open(Phase::Open, error);
        // Opening what is no file may do something: a FIFO waits for its reader, a terminal gets its signals.
        if path.metadata().is_ok_and(|found| !found.is_file()) {
            return Self::stream(path, settings);
        }
        let file = File::options().read(true).append(true).create(true).mode(MODE).open(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| locked(errno))?;
        let whole = is_whole(&file, length, settings.format)?;
        // A link is not for us to rename: it may be /dev/stdout.
        if (settings.rotation.is_some() || !whole) && !path.symlink_metadata().map_err(failed)?.is_file() {
            return Err(fixed());
        }
        let place = Place::of(path).map_err(failed)?;
        let mut output = Self { out: Out::File { file, place, rotation: settings.rotation }, length };
        if !whole {
            warning!(log, "{}: its end is not whole; it is kept under another name", place_of(settings));
            output.turn().map_err(failed)?;
        }
        Ok(output)
    }

    /// A FIFO, a device: written as it is.
    fn stream(path: &Path, settings: &Settings) -> Result<Self> {
        let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
        let file = File::options().append(true).custom_flags(flags).open(path).map_err(|error| {
            let nobody = error.raw_os_error() == Some(libc::ENXIO);
            let error = Error::open(Phase::Open, error);
            if nobody { error.worded("nobody reads this FIFO").hint("start its reader first") } else { error }
        })?;
        if settings.rotation.is_some() {
            return Err(fixed());
        }
        Ok(Self { out: Out::Stream { fd: file.into(), asks: true }, length: 0 })
    }

    /// Bytes of the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Whether so many more bytes would be too many.
    pub(super) fn is_full(&self, more: usize) -> bool {
        match &self.out {
            Out::File { rotation: Some(rotation), .. } => self.length.saturating_add(more as u64) > rotation.size,
            _ => false,
        }
    }

    /// Writes whole records. When that fails, the file ends with the one before. A stream nobody reads is given
    /// up once `closing` says that the relay is over.
    pub(super) fn write(&mut self, bytes: &[u8], closing: &dyn Fn() -> bool) -> io::Result<()> {
        let written = match &self.out {
            Out::File { file, .. } => write_all(file.as_fd(), bytes, None),
            Out::Stream { fd, asks } => write_all(fd.as_fd(), bytes, asks.then_some(closing)),
        };
        if let (Err(_), Out::File { file, .. }) = (&written, &self.out) {
            // What is left over would hide what another capture appends. There is no more to be done if that fails.
            let _ = ftruncate(file.as_fd(), i64::try_from(self.length).unwrap_or(i64::MAX));
        }
        self.length += bytes.len() as u64;
        written
    }

    /// Gives the file another name and begins a new one.
    pub(super) fn turn(&mut self) -> io::Result<()> {
        let Out::File { file, place, rotation } = &mut self.out else { return Ok(()) };
        place.shift(rotation.map(|rotation| rotation.files))?;
        let flags = OFlag::O_RDWR | OFlag::O_APPEND | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC;
        let next = openat(place.folder.as_fd(), place.name.as_os_str(), flags, Mode::from_bits_truncate(MODE))?;
        *file = Flock::lock(File::from(next), FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno)?;
        self.length = 0;
        Ok(())
    }
}

impl Place {
    fn of(path: &Path) -> io::Result<Self> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = File::options().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(folder)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        Ok(Self { folder: folder.into(), name: name.to_owned() })
    }

    fn numbered(&self, number: u32) -> OsString {
        let mut name = self.name.clone();
        if number > 0 {
            name.push(format!(".{number}"));
        }
        name
    }

    /// Counts the names of all files up by one; of `files` the oldest is replaced.
    fn shift(&self, files: Option<u32>) -> io::Result<()> {
        let exists = |number: &u32| {
            let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
            nix::sys::stat::fstatat(&self.folder, self.numbered(*number).as_os_str(), flags).is_ok()
        };
        let most = files.unwrap_or(u32::MAX);
        // As far as there is a file in the way.
        let first_free = (0..most).find(|number| !exists(number)).unwrap_or(most);
        if first_free == most && most > 0 {
            self.gone(&self.numbered(most - 1))?;
        }
        let last = first_free.min(most.saturating_sub(1));
        for number in (0..last).rev() {
            let (from, to) = (self.numbered(number), self.numbered(number + 1));
            renameat(&self.folder, from.as_os_str(), &self.folder, to.as_os_str())?;
        }
        Ok(())
    }

    fn gone(&self, name: &OsStr) -> io::Result<()> {
        Ok(unlinkat(&self.folder, name, UnlinkatFlags::NoRemoveDir)?)
    }
}

fn place_of(settings: &Settings) -> String {
    place(&settings.target)
}

fn fixed() -> Error {
    Error::new(ErrorKind::Open, Phase::Open, "this is no plain file: another one cannot take its place")
        .hint("name a file, or leave the size away")
}

fn locked(errno: Errno) -> Error {
    let error = Error::open(Phase::Open, errno.into());
    match errno {
        Errno::EWOULDBLOCK => {
            error.worded("another capture writes this file").hint("name another one, $$ in it is unique")
        }
        _ => error,
    }
}

/// Whether something can be appended to the file. An error when it holds something else.
fn is_whole(file: &File, length: u64, format: Format) -> Result<bool> {
    if length == 0 {
        return Ok(true);
    }
    let read = |at| {
        let mut four = [0; 4];
        file.read_exact_at(&mut four, at).ok().map(|()| four)
    };
    let packets = read(0) == Some(MAGIC);
    match (packets, format) {
        (true, Format::Pcapng) => Ok(pcapng::is_whole(length, read)),
        (false, Format::Text | Format::Hex) => {
            let mut last = [0];
            Ok(file.read_exact_at(&mut last, length - 1).is_ok() && last == *b"\n")
        }
        (true, _) => Err(other("packets")),
        (false, Format::Pcapng) => Err(other("something else than packets")),
    }
}

fn other(what: &str) -> Error {
    Error::new(ErrorKind::Open, Phase::Open, format!("the file holds {what}")).hint("name another one, or move it away")
}

/// Writes all. With `closing` it asks before, and gives up on a reader that does not read when that is true.
fn write_all(fd: BorrowedFd<'_>, mut bytes: &[u8], closing: Option<&dyn Fn() -> bool>) -> io::Result<()> {
    while !bytes.is_empty() {
        let mut most = bytes.len();
        if let Some(closing) = closing {
            match poll(&mut [PollFd::new(fd, PollFlags::POLLOUT)], PollTimeout::from(STALL)) {
                Ok(0) if closing() => {
                    return Err(io::Error::new(io::ErrorKind::TimedOut, "its reader does not read"));
                }
                Ok(0) | Err(Errno::EINTR) => continue,
                Ok(_) => {}
                Err(errno) => return Err(errno.into()),
            }
            // As much as poll(2) promises to find room for, where the descriptor is one that blocks.
            most = most.min(libc::PIPE_BUF);
        }
        match nix::unistd::write(fd, &bytes[..most]) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
