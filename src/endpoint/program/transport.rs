//! What connects a program: a socketpair, two pipes or a pseudo terminal.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::Arc;

use nix::fcntl::OFlag;

use super::silence::{Exit, UntilExit, Watch};
use crate::channel::{Channel, Class, Port, PortSink, PortSource, Source};
use crate::endpoint::{Direction, pty};
use crate::error::{Error, Phase, Result};
use crate::log::Log;
use crate::option::{DescriptorMoment, Options, Settings, SocketMoment, Transport};
use crate::sys::process::Setup;

/// Both ends of what connects a program.
pub(super) struct Ends {
    ours: Ours,
    /// What the program reads from.
    input: Option<Arc<OwnedFd>>,
    /// What the program writes to.
    output: Option<Arc<OwnedFd>>,
}

enum Ours {
    Socket(OwnedFd, Option<Class>),
    Pipes { from: Option<OwnedFd>, to: Option<OwnedFd> },
    Terminal(pty::Terminal),
}

impl Ends {
    /// Opens both ends, and applies the options to ours.
    pub fn open(transport: Transport, options: &Options, direction: Direction, log: &Log) -> Result<Self> {
        match transport {
            Transport::Pty => Self::terminal(options, direction, log),
            Transport::Pipes => Self::pipes(options, direction, log),
            _ => Self::socketpair(options, direction, log),
        }
    }

    fn socketpair(options: &Options, direction: Direction, log: &Log) -> Result<Self> {
        let settings = &options.settings.socket;
        let domain = settings.family.map_or(socket2::Domain::UNIX, socket2::Domain::from);
        let kind = settings.kind.map_or(socket2::Type::STREAM, socket2::Type::from);
        let protocol = settings.protocol.map(socket2::Protocol::from);
        let (ours, theirs) =
            socket2::Socket::pair(domain, kind, protocol).map_err(|error| Error::open(Phase::Socket, error))?;
        let ours = OwnedFd::from(ours);
        apply(options, ours.as_fd(), log)?;
        // Only what was not chosen by number is known without asking.
        let plain = settings.family.is_none() && settings.kind.is_none();
        let theirs = Arc::new(OwnedFd::from(theirs));
        Ok(Self {
            ours: Ours::Socket(ours, plain.then_some(Class::Unix)),
            input: direction.writes().then(|| Arc::clone(&theirs)),
            output: direction.reads().then_some(theirs),
        })
    }

    fn pipes(options: &Options, direction: Direction, log: &Log) -> Result<Self> {
        let pipe = || nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|errno| Error::open(Phase::Open, errno.into()));
        let (from, output) =
            if direction.reads() { pipe().map(|(read, write)| (Some(read), Some(write)))? } else { (None, None) };
        let (input, to) =
            if direction.writes() { pipe().map(|(read, write)| (Some(read), Some(write)))? } else { (None, None) };
        for fd in [&from, &to].into_iter().flatten() {
            apply(options, fd.as_fd(), log)?;
        }
        Ok(Self { ours: Ours::Pipes { from, to }, input: input.map(Arc::new), output: output.map(Arc::new) })
    }

    fn terminal(options: &Options, direction: Direction, log: &Log) -> Result<Self> {
        let mut terminal = pty::Terminal::open(options, log)?;
        let slave = terminal.take_slave().map(Arc::new);
        Ok(Self {
            ours: Ours::Terminal(terminal),
            input: slave.clone().filter(|_| direction.writes()),
            output: slave.filter(|_| direction.reads()),
        })
    }

    /// Gives the program its ends under these numbers.
    pub fn give(&self, setup: &mut Setup, input: RawFd, output: RawFd, stderr: bool) {
        if let Some(fd) = &self.input {
            setup.give(fd, input);
        }
        if let Some(fd) = &self.output {
            setup.give(fd, output);
            if stderr {
                setup.give(fd, 2);
            }
        }
    }

    /// Closes the program's ends, once it has them: an end is seen when the last holder closes.
    pub fn close_theirs(&mut self) {
        self.input = None;
        self.output = None;
    }

    /// A second descriptor on what the program's output is read from. It tells at the end whether
    /// anybody still holds the other side.
    pub fn hold_output(&self, direction: Direction) -> io::Result<Option<OwnedFd>> {
        let fd = match &self.ours {
            _ if !direction.reads() => None,
            Ours::Socket(fd, _) => Some(fd.as_fd()),
            Ours::Pipes { from, .. } => from.as_ref().map(AsFd::as_fd),
            Ours::Terminal(terminal) => Some(terminal.master.as_fd()),
        };
        fd.map(|fd| fd.try_clone_to_owned()).transpose()
    }

    /// Our ends as a channel whose source ends with the program, see [`super::silence`].
    pub fn into_channel(
        self,
        settings: &Settings,
        direction: Direction,
        exit: Exit,
    ) -> io::Result<(Channel, Option<Watch>)> {
        match self.ours {
            Ours::Socket(fd, class) => {
                let port = Arc::new(match class {
                    Some(class) => Port::of_class(fd, class)?,
                    None => Port::new(fd)?,
                });
                Ok(socket_channel(&port, settings, direction, exit))
            }
            Ours::Pipes { from, to } => Ok((pipe_channel(from, to, settings, exit)?, None)),
            Ours::Terminal(terminal) => {
                let until = |source: Box<dyn Source>| Box::new(UntilExit::new(source, exit)) as Box<dyn Source>;
                Ok((terminal.into_channel(settings, direction, until)?, None))
            }
        }
    }
}

fn socket_channel(port: &Arc<Port>, settings: &Settings, direction: Direction, exit: Exit) -> (Channel, Option<Watch>) {
    let source = direction.reads().then(|| PortSource::new(Arc::clone(port), &settings.flow));
    let sink = direction.writes().then(|| PortSink::new(Arc::clone(port), &settings.flow));
    // A datagram socket has no end that could be read.
    match source {
        Some(source) if port.class() == Class::Datagram => {
            (Channel::halves(Some(UntilExit::new(Box::new(source), exit)), sink, settings), None)
        }
        Some(source) => (Channel::halves(Some(source), sink, settings), Some(Watch::new(port, exit))),
        None => (Channel::halves(None::<PortSource>, sink, settings), None),
    }
}

fn pipe_channel(from: Option<OwnedFd>, to: Option<OwnedFd>, settings: &Settings, exit: Exit) -> io::Result<Channel> {
    let port = |fd| Port::of_class(fd, Class::Pipe).map(Arc::new);
    let source = from.map(port).transpose()?.map(|port| PortSource::new(port, &settings.flow));
    let sink = to.map(port).transpose()?.map(|port| PortSink::new(port, &settings.flow));
    Ok(Channel::halves(source.map(|source| UntilExit::new(Box::new(source), exit)), sink, settings))
}

/// Applies the options that are calls on a descriptor, all in their order: nothing happens to this one
/// between its creation and its use.
fn apply(options: &Options, fd: BorrowedFd<'_>, log: &Log) -> Result<()> {
    for moment in
        [SocketMoment::Created, SocketMoment::BeforeBind, SocketMoment::BeforeConnect, SocketMoment::Connected]
    {
        options.on_socket(moment, fd)?;
    }
    options.on_descriptor(DescriptorMoment::Opened, fd)?;
    options.set_up_terminal(fd, log)?;
    options.on_descriptor(DescriptorMoment::Late, fd)
}
