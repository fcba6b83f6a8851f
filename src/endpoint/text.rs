//! TEXT and STALL: endpoints without anything outside the relay.

use std::sync::Arc;

use super::{BoxFuture, Connect, Context, Direction, Kind, Opener, Request};
use crate::channel::{Channel, Port, PortSink, Stalled, Text};
use crate::error::{Error, Phase, Result};
use crate::option::{Groups, Options, Shut};
use crate::{sys, warning};

pub(super) static KINDS: &[Kind] = &[
    Kind {
        name: "TEXT",
        aliases: &[],
        usage: ":<string>",
        params: (1, 1),
        groups: Groups::FD.and(Groups::FIFO),
        direction: Direction::Both,
        doc: "Gives a literal text once, then ends; what is written to it goes to standard output.",
        plan: |request| {
            let bytes = request.spec.params[0].bytes.clone();
            Ok(opener(request, Content::Text(bytes)))
        },
    },
    Kind {
        name: "STALL",
        aliases: &[],
        usage: "",
        params: (0, 0),
        groups: Groups::FD.and(Groups::FIFO),
        direction: Direction::Both,
        doc: "Never gives a byte nor an end, and never takes one: for tests of time-outs.",
        plan: |request| Ok(opener(request, Content::Stall)),
    },
];

enum Content {
    Text(Vec<u8>),
    Stall,
}

struct Internal {
    content: Content,
    direction: Direction,
    options: Arc<Options>,
}

fn opener(request: &Request<'_>, content: Content) -> Opener {
    Opener::Connect(Arc::new(Internal { content, direction: request.direction, options: Arc::clone(&request.options) }))
}

impl Internal {
    fn open(&self, context: &Context) -> Result<Channel> {
        let mut settings = self.options.settings.clone();
        let Content::Text(text) = &self.content else {
            let source = self.direction.reads().then_some(Stalled);
            let sink = self.direction.writes().then_some(Stalled);
            return Ok(Channel::halves(source, sink, &settings));
        };
        if self.direction == Direction::Write {
            warning!(context.log, "TEXT address is only written to: it acts as STDOUT");
        }
        settings.flow.shut.get_or_insert(Shut::None);
        let sink = if self.direction.writes() {
            let port = sys::fd::borrow(1).and_then(|fd| Port::shared(fd, false, true));
            let port = port.map_err(|error| Error::open(Phase::Open, error))?;
            Some(PortSink::new(Arc::new(port), &settings.flow))
        } else {
            None
        };
        let source = self.direction.reads().then(|| Text::new(text.clone()));
        Ok(Channel::halves(source, sink, &settings))
    }
}

impl Connect for Internal {
    fn connect<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(async move { self.open(context) })
    }
}
