//! PIPE: an unnamed pipe, which echoes, or a FIFO.

use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::unlink::UnlinkGuard;
use super::{BoxFuture, Connect, Context, Direction, Kind, Opener, file};
use crate::channel::{Channel, Class, Port, PortSink, PortSource};
use crate::error::{Error, Phase, Result};
use crate::option::{DescriptorMoment, Groups, Options, PathMoment};
use crate::sys;

pub(super) static KINDS: &[Kind] = &[Kind {
    name: "PIPE",
    aliases: &["ECHO", "FIFO"],
    usage: "[:<filename>]",
    params: (0, 1),
    groups: Groups::FD.and(Groups::FIFO).and(Groups::NAMED).and(Groups::OPEN),
    direction: Direction::Both,
    doc: "Without a name an unnamed pipe: what is written to it is read back. With a name a FIFO, made if it is missing.",
    plan: |request| {
        Ok(match request.spec.params.first() {
            None => Opener::Connect(Arc::new(Unnamed {
                direction: request.direction,
                options: Arc::clone(&request.options),
            })),
            Some(word) => Opener::Connect(Arc::new(Named {
                path: word.path(),
                direction: request.direction,
                options: Arc::clone(&request.options),
            })),
        })
    },
}];

struct Unnamed {
    direction: Direction,
    options: Arc<Options>,
}

impl Unnamed {
    fn open(&self) -> Result<Channel> {
        let (read, write) = sys::io::pipe().map_err(|error| Error::open(Phase::Open, error))?;
        let settings = &self.options.settings;
        for fd in [&read, &write] {
            self.options.on_descriptor(DescriptorMoment::Opened, fd.as_fd())?;
            self.options.on_descriptor(DescriptorMoment::Late, fd.as_fd())?;
        }
        let port = |fd| Port::of_nonblocking(fd, Class::Pipe).map_err(|error| Error::open(Phase::Open, error));
        // Both ends are kept, whatever the direction: a pipe with one end alone would be broken or at its end.
        let (source, sink) = (port(read)?, port(write)?);
        let mut channel = Channel::halves(
            Some(PortSource::new(Arc::new(source), &settings.flow)),
            Some(PortSink::new(Arc::new(sink), &settings.flow)),
            settings,
        );
        let unused: Box<dyn Send + Sync> = match self.direction {
            Direction::Both => return Ok(channel),
            Direction::Read => Box::new(channel.sink.take()),
            Direction::Write => Box::new(channel.source.take()),
        };
        channel.guards.push(unused);
        Ok(channel)
    }
}

impl Connect for Unnamed {
    fn connect<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(async move { self.open() })
    }
}

struct Named {
    path: PathBuf,
    direction: Direction,
    options: Arc<Options>,
}

impl Named {
    async fn open(&self, context: &Context) -> Result<Channel> {
        let options = &self.options;
        options.on_path(PathMoment::Early, &self.path)?;
        options.on_path(PathMoment::BeforeOpen, &self.path)?;
        let made = self.make()?;
        let flags = OFlag::from_bits_retain(options.open_flags(file::access(self.direction).bits()));
        let fd = file::open_patiently(&self.path, flags - OFlag::O_CREAT, options).await?;
        options.on_path(PathMoment::AfterOpen, &self.path)?;
        let mut channel = file::open_channel(fd, self.direction, options, &context.log).await?;
        channel.guards.extend(made.map(|guard| Box::new(guard) as Box<dyn Send + Sync>));
        Ok(channel)
    }

    /// Makes the FIFO if the name is free. One we made is removed at the end, unless told otherwise.
    fn make(&self) -> Result<Option<UnlinkGuard>> {
        let failed = |error: io::Error| Error::open(Phase::Open, error);
        let mode = Mode::from_bits_truncate(self.options.settings.file.mode.unwrap_or(0o666));
        let unlink = self.options.settings.file.unlink_close;
        match nix::unistd::mkfifo(&self.path, mode) {
            Ok(()) if unlink.unwrap_or(true) => Ok(Some(UnlinkGuard::new(&self.path).map_err(failed)?)),
            Err(nix::errno::Errno::EEXIST) if unlink == Some(true) => {
                Ok(Some(UnlinkGuard::new(&self.path).map_err(failed)?))
            }
            Ok(()) | Err(nix::errno::Errno::EEXIST) => Ok(None),
            Err(error) => Err(failed(error.into())),
        }
    }
}

impl Connect for Named {
    fn connect<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(self.open(context))
    }
}
