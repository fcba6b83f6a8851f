//! MANY CLIENTS, ONE CHANNEL: a listener with `share` joins all its clients to one channel of the other address.
//!
//! The channel is called the device here, since that is what it mostly is. Its task reads it and puts what it
//! says into one queue, in which each client has a place of its own ([`backlog`]); so one that does not read
//! delays neither the device nor the others. Clients write to the device in turns of whole blocks ([`writers`]).
//! To its session a client's part of the device is a channel like any other ([`client`]).

mod backlog;
mod client;
mod device;
mod hub;
mod lease;
mod line;
mod seat;
#[cfg(test)]
mod tests;
mod writers;

use std::sync::Arc;

use device::{Board, Device};

use super::Relay;
use super::open::life;
use super::report::Ended;
use super::serve::until_stopped;
use super::session::Outcome;
use super::sessions::Stops;
use super::stop::{Stop, Stopping};
use crate::channel::Channel;
use crate::endpoint::{Context, Endpoint, Plan};
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::option::Opened;

/// Which address shares the other one.
pub(super) struct Sharing<'a> {
    /// Where the clients come from.
    pub listener: &'a Endpoint,
    /// What they share.
    pub device: &'a Plan,
    /// The listener is the right address.
    pub flipped: bool,
}

impl Sharing<'_> {
    /// Whether the device is open only while there are clients.
    fn is_lazy(&self) -> bool {
        self.listener.options.settings.share.opened == Some(Opened::WithClients)
    }
}

impl Relay {
    /// Whether one address shares the other, and which; an error if that cannot be.
    pub(super) fn sharing(&self) -> Option<Result<Sharing<'_>>> {
        let shares =
            |plan: &'_ Plan| plan.single().is_some_and(|endpoint| endpoint.options.settings.share.opened.is_some());
        let (plan, device, flipped) = match (shares(&self.left), shares(&self.right)) {
            (false, false) => return None,
            (true, _) => (&self.left, &self.right, false),
            (false, true) => (&self.right, &self.left, true),
        };
        if device.single().is_some_and(|endpoint| life(endpoint).fork) {
            let error = Error::new(ErrorKind::Address, Phase::Plan, "cannot be shared and fork at the same time")
                .hint("share opens the other address once; leave fork and share away there");
            return Some(Err(error.at(device.address.clone())));
        }
        plan.single().map(|listener| Ok(Sharing { listener, device, flipped }))
    }

    /// Serves all clients of one address with one channel of the other.
    pub(super) async fn serve_hub(self: &Arc<Self>, sharing: Sharing<'_>, context: &Context, stop: &Stop) -> Outcome {
        let board = Arc::new(Board::default());
        let device = if sharing.is_lazy() {
            None
        } else {
            match until_stopped(board.enter(self, context), stop).await {
                Ok(device) => Some(device),
                Err(ending) => return ending,
            }
        };
        let mut ending = self.serve_clients(sharing.listener, &board, device.as_deref(), context, stop).await;
        if let Some(device) = device
            && let Err(error) = board.leave(device).await
        {
            ending.ended = if ending.ended == Ended::Stopped { Ended::Stopped } else { Ended::Failed };
            ending.error.get_or_insert(error);
        }
        ending
    }

    /// Serves clients until the device ends, the listener does, or `stop` is used.
    async fn serve_clients(
        self: &Arc<Self>,
        listener: &Endpoint,
        board: &Arc<Board>,
        device: Option<&Device>,
        context: &Context,
        stop: &Stop,
    ) -> Outcome {
        let (accepting, sessions) = (Stop::default(), Stop::default());
        let serve = {
            let board = Arc::clone(board);
            move |relay: Arc<Self>, client: Box<Channel>, context: Context, stop: Stop| {
                let board = Arc::clone(&board);
                async move { board.serve(relay, client, context, stop).await }
            }
        };
        let dismiss = || board.current().is_some_and(|device| device.hub.dismiss_one());
        let stops = Stops { accepting: &accepting, sessions: &sessions, dismiss: &dismiss };
        let mut serving = std::pin::pin!(self.serve_many(listener, context, stops, serve));
        let over = async {
            match device {
                Some(device) => device.hub.over().await,
                None => std::future::pending().await,
            }
        };
        let first = tokio::select! {
            biased;
            () = stop.reached(Stopping::Drain) => Ended::Stopped,
            ending = &mut serving => return ending,
            () = over => Ended::Finished,
        };
        if first == Ended::Finished {
            // Clients are still told what came before the end, and may go on writing.
            accepting.stop();
            tokio::select! {
                biased;
                () = stop.reached(Stopping::Drain) => {}
                ending = &mut serving => return finished(ending),
            }
        }
        // What had arrived at the device comes before the end of the sessions.
        let current = board.current();
        if let Some(device) = &current {
            device.drain().await;
        }
        accepting.stop();
        sessions.stop();
        let mut ending = serving.await;
        if let Some(device) = current
            && let Err(error) = board.leave(device).await
        {
            ending.error.get_or_insert(error);
        }
        ending
    }
}

/// The end of accepting, which was not for the user's wish.
fn finished(ending: Outcome) -> Outcome {
    let ended = if ending.error.is_some() { Ended::Failed } else { Ended::Finished };
    Outcome { ended, ..ending }
}
