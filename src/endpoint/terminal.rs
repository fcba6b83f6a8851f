//! Channels on terminals: bytes, and the line beside them.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{Context, Direction};
use crate::channel::{Channel, Class, Port, PortSink, PortSource, Source};
use crate::error::{Error, Phase, Result};
use crate::line::{Closing, Uart, UartSink, UartSource};
use crate::option::{DescriptorMoment, Options, Settings};

/// How long what was written may take to be sent at the end, unless it is said.
pub(super) const DRAIN: Duration = Duration::from_secs(10);

/// How a channel on a terminal ends.
#[derive(Clone, Copy)]
pub(super) struct Ends {
    /// A line has no end: where reading comes to one, the port is gone.
    pub is_endless: bool,
    /// How long what was written may take to be sent.
    pub drain: Duration,
}

/// A channel on an open terminal, with its line; `closing` is undone when it is dropped.
pub(super) fn channel(
    fd: OwnedFd,
    direction: Direction,
    settings: &Settings,
    uart: Uart,
    closing: Closing,
    ends: Ends,
) -> io::Result<Channel> {
    let port = Arc::new(Port::of_class(fd, Class::Terminal)?);
    let source = direction.reads().then(|| PortSource::new(Arc::clone(&port), &settings.flow));
    let source = source.map(|source| {
        if ends.is_endless { Box::new(UartSource::new(source)) as Box<dyn Source> } else { Box::new(source) }
    });
    let sink = direction.writes().then(|| UartSink::new(PortSink::new(port, &settings.flow), ends.drain));
    let mut channel = Channel::halves(source, sink, settings).guarded(closing);
    channel.line = Some(Arc::new(uart));
    Ok(channel)
}

/// A channel on a terminal that was opened by its name, with its options, as socat(1) has it: its settings are
/// only changed as they say.
pub(super) async fn open_channel(
    fd: OwnedFd,
    path: &Path,
    direction: Direction,
    options: &Options,
    context: &Context,
) -> Result<Channel> {
    let failed = |error| Error::open(Phase::Open, error);
    options.on_descriptor(DescriptorMoment::Opened, fd.as_fd())?;
    options.lock(fd.as_fd()).await?;
    let restore = options.apply_terminal(fd.as_fd(), &context.log)?;
    options.on_descriptor(DescriptorMoment::Late, fd.as_fd())?;
    let uart = Uart::new(fd.as_fd()).map_err(failed)?;
    let closing = Closing::new(&uart, fd.as_fd(), path.display().to_string(), context.log.clone()).map_err(failed)?;
    let ends = Ends { is_endless: false, drain: DRAIN };
    let mut channel = channel(fd, direction, &options.settings, uart, closing, ends).map_err(failed)?;
    // Undone after what the line has changed.
    let mut earlier = std::mem::take(&mut channel.guards);
    channel.guards.extend(restore.map(|restore| Box::new(restore) as Box<dyn Send + Sync>));
    channel.guards.append(&mut earlier);
    Ok(channel)
}
