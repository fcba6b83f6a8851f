//! OPEN, CREATE and GOPEN: files, devices and FIFOs by their name; GOPEN also UNIX sockets.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::unlink::UnlinkGuard;
use super::{BoxFuture, Connect, Context, Direction, Kind, Opener, Request, unix};
use crate::channel::{Channel, Port};
use crate::error::{Error, Phase, Result};
use crate::log::Log;
use crate::option::{DescriptorMoment, Groups, Options, PathMoment};

const FILE: Groups = Groups::FD
    .and(Groups::FIFO)
    .and(Groups::CHR)
    .and(Groups::BLK)
    .and(Groups::REG)
    .and(Groups::NAMED)
    .and(Groups::OPEN);

pub(super) static KINDS: &[Kind] = &[
    Kind {
        name: "OPEN",
        aliases: &["FILE"],
        usage: ":<filename>",
        params: (1, 1),
        groups: FILE.and(Groups::TERMIOS),
        direction: Direction::Both,
        doc: "A file, device or FIFO, opened with just the flags given as options. It must exist, unless creat is given.",
        plan: |request| Ok(opener(request, Manner::Open)),
    },
    Kind {
        name: "CREATE",
        aliases: &["CREAT"],
        usage: ":<filename>",
        params: (1, 1),
        groups: Groups::FD.and(Groups::REG).and(Groups::NAMED),
        direction: Direction::Write,
        doc: "A new file to write to; one that exists is emptied.",
        plan: |request| {
            if request.direction == Direction::Read {
                return Err(Error::text("CREATE is only written to, it cannot be the side that is read"));
            }
            Ok(opener(request, Manner::Create))
        },
    },
    Kind {
        name: "GOPEN",
        aliases: &[],
        usage: ":<filename>",
        params: (1, 1),
        groups: FILE.and(Groups::TERMIOS).and(Groups::SOCKET).and(Groups::UNIX),
        direction: Direction::Both,
        doc: "Whatever the name stands for: a UNIX socket is connected to, a file that exists is appended to, \
              a missing one is created. A bare word with a slash means the same.",
        plan: |request| Ok(opener(request, Manner::Any)),
    },
];

/// How a name is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Open,
    Create,
    Any,
}

struct File {
    path: PathBuf,
    manner: Manner,
    direction: Direction,
    options: Arc<Options>,
}

fn opener(request: &Request<'_>, manner: Manner) -> Opener {
    Opener::Connect(Arc::new(File {
        path: request.spec.params[0].path(),
        manner,
        direction: request.direction,
        options: Arc::clone(&request.options),
    }))
}

impl Connect for File {
    fn connect<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(self.open(context))
    }
}

impl File {
    async fn open(&self, context: &Context) -> Result<Channel> {
        let options = &self.options;
        options.on_path(PathMoment::Early, &self.path)?;
        let kind = self.path.metadata().ok().map(|metadata| metadata.file_type());
        if self.manner == Manner::Any && kind.is_some_and(|kind| kind.is_socket()) {
            return unix::connect_any(&self.path, options, context).await;
        }
        options.on_path(PathMoment::BeforeOpen, &self.path)?;
        let exists = self.path.symlink_metadata().is_ok();
        let fd = open_patiently(&self.path, self.flags(exists), options).await?;
        options.on_path(PathMoment::AfterOpen, &self.path)?;
        let mut channel = open_channel(fd, self.direction, options, &context.log).await?;
        if options.settings.file.unlink_close == Some(true) {
            channel = channel.guarded(UnlinkGuard::new(&self.path).map_err(|error| Error::open(Phase::Open, error))?);
        }
        Ok(channel)
    }

    fn flags(&self, exists: bool) -> OFlag {
        let access = OFlag::from_bits_retain(self.options.open_flags(access(self.direction).bits())) & OFlag::O_ACCMODE;
        let base = match self.manner {
            Manner::Create => OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_TRUNC,
            // Appending also to a new file: sessions that open it at the same time must not write over each other.
            Manner::Any if !exists && access == OFlag::O_RDONLY => access | OFlag::O_CREAT,
            Manner::Any if !exists => access | OFlag::O_CREAT | OFlag::O_APPEND,
            Manner::Any if access != OFlag::O_RDONLY => access | OFlag::O_APPEND,
            Manner::Open | Manner::Any => access,
        };
        OFlag::from_bits_retain(self.options.open_flags(base.bits()))
    }
}

/// The access mode the direction needs.
pub(super) fn access(direction: Direction) -> OFlag {
    match direction {
        Direction::Both => OFlag::O_RDWR,
        Direction::Read => OFlag::O_RDONLY,
        Direction::Write => OFlag::O_WRONLY,
    }
}

/// The longest pause between two looks for a reader of a FIFO.
const PAUSE: Duration = Duration::from_millis(100);

/// Opens a name without ever blocking the runtime: always with `O_NONBLOCK`, so that neither a modem
/// line nor the other end of a FIFO is waited for inside the call. A FIFO nobody reads yet is tried again
/// until somebody does, as open(2) would wait, unless `nonblock` was given.
pub(super) async fn open_patiently(path: &Path, flags: OFlag, options: &Options) -> Result<OwnedFd> {
    let mode = Mode::from_bits_truncate(options.settings.file.mode.unwrap_or(0o666));
    let flags_now = flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
    let mut pause = Duration::from_millis(1);
    loop {
        match nix::fcntl::open(path, flags_now, mode) {
            Ok(fd) => return Ok(fd),
            Err(nix::errno::Errno::ENXIO) if is_fifo(path) && !options.settings.nonblock => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE);
            }
            Err(error) => return Err(Error::open(Phase::Open, io::Error::from(error))),
        }
    }
}

fn is_fifo(path: &Path) -> bool {
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo())
}

/// A channel on a descriptor that is ours alone, in the direction it was opened for, with its options.
pub(super) async fn open_channel(fd: OwnedFd, direction: Direction, options: &Options, log: &Log) -> Result<Channel> {
    options.on_descriptor(DescriptorMoment::Opened, fd.as_fd())?;
    options.lock(fd.as_fd()).await?;
    let restore = options.apply_terminal(fd.as_fd(), log)?;
    options.on_descriptor(DescriptorMoment::Late, fd.as_fd())?;
    let port = Port::new(fd).map_err(|error| Error::open(Phase::Open, error))?;
    let settings = &options.settings;
    let mut channel = match direction {
        Direction::Both => Channel::duplex(port, settings),
        Direction::Read => Channel::source(port, settings),
        Direction::Write => Channel::sink(port, settings),
    };
    channel.guards.extend(restore.map(|restore| Box::new(restore) as Box<dyn Send + Sync>));
    Ok(channel)
}
