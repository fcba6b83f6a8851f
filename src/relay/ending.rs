//! The end of a session: resets passed on, ends given back, channels closed.

use std::os::fd::AsFd;
use std::time::Duration;

use super::direction::Direction;
use super::stop::{Stop, Stopping};
use crate::channel::{Attached, Channel, Class, shutdown};
use crate::endpoint;
use crate::error::Result;
use crate::sys;

/// How long a connection that is to be reset gets to send what it was given.
const SENDING: Duration = Duration::from_millis(100);
/// Pause between looks at what it has still to send.
const LOOK: Duration = Duration::from_millis(2);

/// Ends the connection that was written to with a reset, where the one that was read from ended that way: a
/// peer can tell a truncation from an end. Only once all bytes have arrived there; a reset would destroy them.
pub(super) async fn pass_reset_on(direction: &Direction) {
    let Some(port) = direction.sink_port().filter(|port| direction.was_reset() && port.class() == Class::Tcp) else {
        return;
    };
    let sent = async {
        while sys::io::unsent(port.as_fd()).is_ok_and(|bytes| bytes > 0) {
            tokio::time::sleep(LOOK).await;
        }
    };
    if tokio::time::timeout(SENDING, sent).await.is_ok() {
        // A connection that is gone needs no reset.
        let _ = sys::sockopt::set_linger(port.as_fd(), 0);
    }
}

/// Gives the ends back to the channels they came from, so that they can be shut down and closed together.
pub(super) fn put_back(direction: Option<Direction>, from: Option<&mut Channel>, to: Option<&mut Channel>) {
    let Some((source, sink)) = direction.map(Direction::into_ends) else { return };
    if let Some(from) = from {
        from.source = Some(source);
    }
    if let Some(to) = to {
        to.sink = Some(sink);
    }
}

pub(super) async fn close_both(
    left: Option<Box<Channel>>,
    right: Option<Box<Channel>>,
    context: &endpoint::Context,
    stop: &Stop,
) -> Result<()> {
    let mut result = Ok(());
    for channel in [left, right].into_iter().flatten() {
        result = result.and(close(channel, context, stop).await);
    }
    result
}

/// Closes a channel: its descriptors first, then its program, then what else was set up for it.
///
/// A program that took over the other channel (`nofork`) runs as long as it likes, until the relay is stopped.
async fn close(mut channel: Box<Channel>, context: &endpoint::Context, stop: &Stop) -> Result<()> {
    shutdown(&channel);
    drop((channel.source.take(), channel.sink.take()));
    let attached: Option<Box<dyn Attached>> = channel.attached.take();
    let mut result = Ok(());
    for mut program in attached.into_iter().chain(channel.also.take()) {
        let finish = program.finish(context, channel.end_close);
        let finished = if channel.handed_over {
            tokio::select! {
                finished = finish => finished,
                () = stop.reached(Stopping::Drain) => Ok(()),
            }
        } else {
            finish.await
        };
        result = result.and(finished);
    }
    result
}
