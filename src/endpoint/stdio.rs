//! STDIO, STDIN, STDOUT, STDERR and FD: descriptors the process inherited.
//!
//! They belong to others as well (the shell, the caller of a library), so `O_NONBLOCK` is never set on
//! them and they are never closed: the channel works on descriptors of its own.

use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Arc;

use super::{BoxFuture, Connect, Context, Direction, Kind, Opener, Request};
use crate::channel::{Channel, Guards, Port, PortSink, PortSource};
use crate::error::{Error, Phase, Result};
use crate::log::Log;
use crate::option::{DescriptorMoment, Groups, Options, Settings, Shut};
use crate::spec::values;
use crate::{notice, sys};

/// What an inherited descriptor may be, and thereby which options fit.
const INHERITED: Groups = Groups::FD
    .and(Groups::FIFO)
    .and(Groups::CHR)
    .and(Groups::BLK)
    .and(Groups::REG)
    .and(Groups::SOCKET)
    .and(Groups::TERMIOS)
    .and(Groups::UNIX)
    .and(Groups::IP4)
    .and(Groups::IP6)
    .and(Groups::UDP)
    .and(Groups::TCP)
    .and(Groups::SCTP)
    .and(Groups::DCCP)
    .and(Groups::UDPLITE);

pub(super) static KINDS: &[Kind] = &[
    Kind {
        name: "STDIO",
        aliases: &["-"],
        usage: "",
        params: (0, 0),
        groups: INHERITED,
        direction: Direction::Both,
        doc: "Standard input for reading and standard output for writing.",
        plan: |request| Ok(standard(request, 0, 1)),
    },
    Kind {
        name: "STDIN",
        aliases: &[],
        usage: "",
        params: (0, 0),
        groups: INHERITED,
        direction: Direction::Read,
        doc: "Standard input.",
        plan: |request| Ok(standard(request, 0, 0)),
    },
    Kind {
        name: "STDOUT",
        aliases: &[],
        usage: "",
        params: (0, 0),
        groups: INHERITED,
        direction: Direction::Write,
        doc: "Standard output.",
        plan: |request| Ok(standard(request, 1, 1)),
    },
    Kind {
        name: "STDERR",
        aliases: &[],
        usage: "",
        params: (0, 0),
        groups: INHERITED,
        direction: Direction::Write,
        doc: "Standard error.",
        plan: |request| Ok(standard(request, 2, 2)),
    },
    Kind {
        name: "FD",
        aliases: &[],
        usage: ":<fdnum>",
        params: (1, 1),
        groups: INHERITED,
        direction: Direction::Both,
        doc: "A descriptor the process inherited, by its number. One digit alone means the same.",
        plan: numbered,
    },
];

fn standard(request: &Request<'_>, input: RawFd, output: RawFd) -> Opener {
    Opener::Connect(Arc::new(Inherited {
        input,
        output,
        direction: request.direction,
        options: Arc::clone(&request.options),
        word: match (input, output) {
            (0, 1) => "stdio",
            (0, _) => "stdin",
            (1, _) => "stdout",
            _ => "stderr",
        },
    }))
}

fn numbered(request: &Request<'_>) -> Result<Opener> {
    let word = &request.spec.params[0];
    let number = values::whole_number(&word.bytes).ok().and_then(|number| RawFd::try_from(number).ok());
    let Some(number) = number.filter(|number| *number >= 0) else {
        return Err(Error::text(format!(
            "\"{}\" is not the number of a descriptor",
            crate::error::excerpt(&word.bytes)
        ))
        .span(word.span.clone()));
    };
    Ok(Opener::Connect(Arc::new(Inherited {
        input: number,
        output: number,
        direction: request.direction,
        options: Arc::clone(&request.options),
        word: "file descriptor",
    })))
}

struct Inherited {
    input: RawFd,
    output: RawFd,
    direction: Direction,
    options: Arc<Options>,
    word: &'static str,
}

impl Inherited {
    async fn open(&self, context: &Context) -> Result<Channel> {
        let settings = self.settings();
        let (reads, writes) = (self.direction.reads(), self.direction.writes());
        let doing = match self.direction {
            Direction::Both => "reading from and writing to",
            Direction::Read => "reading from",
            Direction::Write => "writing to",
        };
        let log = &context.log;
        notice!(log, "{doing} {}", self.word);
        let mut guards = Guards::default();
        let channel = if self.input == self.output && reads && writes {
            Channel::duplex(self.port(self.input, (true, true), &mut guards, log).await?, &settings)
        } else {
            let source = if reads { Some(self.port(self.input, (true, false), &mut guards, log).await?) } else { None };
            let sink = if writes { Some(self.port(self.output, (false, true), &mut guards, log).await?) } else { None };
            Channel::halves(
                source.map(|port| PortSource::new(Arc::new(port), &settings.flow)),
                sink.map(|port| PortSink::new(Arc::new(port), &settings.flow)),
                &settings,
            )
        };
        Ok(Channel { guards, ..channel })
    }

    /// One descriptor, for (reading, writing).
    async fn port(&self, number: RawFd, uses: (bool, bool), guards: &mut Guards, log: &Log) -> Result<Port> {
        let failed = |error| Error::open(Phase::Open, error);
        let fd = sys::fd::borrow(number).map_err(failed)?;
        guards.extend(self.prepare(fd, log).await?);
        Port::shared(fd, uses.0, uses.1).map_err(failed)
    }

    /// At the end of the data nothing is shut down, unless an option says so: others hold the descriptor.
    fn settings(&self) -> Settings {
        let mut settings = self.options.settings.clone();
        settings.flow.shut.get_or_insert(Shut::None);
        settings
    }

    /// Applies the options; what they changed on a terminal is undone by the guard.
    async fn prepare(&self, fd: BorrowedFd<'_>, log: &Log) -> Result<Option<Box<dyn Send + Sync>>> {
        self.options.on_inherited_socket(fd)?;
        self.options.on_descriptor(DescriptorMoment::Opened, fd)?;
        self.options.lock(fd).await?;
        let restore = self.options.apply_terminal(fd, log)?;
        self.options.on_descriptor(DescriptorMoment::Late, fd)?;
        Ok(restore.map(|restore| Box::new(restore) as Box<dyn Send + Sync>))
    }
}

impl Connect for Inherited {
    fn connect<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(self.open(context))
    }
}
