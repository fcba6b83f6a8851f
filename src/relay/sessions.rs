//! The sessions of a listener that serves many: how many there may be, and who makes room.

use std::collections::VecDeque;

use tokio::task::{AbortHandle, JoinSet};

use super::open::life;
use super::session::Outcome;
use super::stop::Stop;
use crate::endpoint::{Context, Endpoint};
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::option::Busy;
use crate::{notice, warning};

/// The sessions of one listener.
#[derive(Default)]
pub(super) struct Sessions {
    pub tasks: JoinSet<Outcome>,
    /// Those that may have to make room for another one, the oldest first.
    pub movable: VecDeque<(AbortHandle, Stop)>,
    /// The first error of a session.
    error: Option<Error>,
}

/// How serving many is stopped: what is accepted from, and what was accepted.
#[derive(Clone, Copy)]
pub(super) struct Stops<'a> {
    pub accepting: &'a Stop,
    pub sessions: &'a Stop,
    /// Ends a session nobody would miss; false if there is none.
    pub dismiss: &'a (dyn Fn() -> bool + Send + Sync),
}

impl<'a> Stops<'a> {
    /// All is stopped at the same time.
    pub fn both(stop: &'a Stop) -> Self {
        Self { accepting: stop, sessions: stop, dismiss: &|| false }
    }
}

impl Sessions {
    /// Stops the one that is served longest.
    fn stop_oldest(&mut self) {
        while let Some((task, stop)) = self.movable.pop_front() {
            if !task.is_finished() {
                return stop.stop();
            }
        }
    }

    pub fn note(&mut self, joined: std::result::Result<Outcome, tokio::task::JoinError>) {
        let error = match joined {
            Ok(outcome) => outcome.error,
            Err(error) if error.is_panic() => {
                Some(Error::new(ErrorKind::Transfer, Phase::Close, "a session failed in an unexpected way"))
            }
            Err(_) => None,
        };
        if self.error.is_none() {
            self.error = error;
        }
    }

    pub fn collect(&mut self) {
        while let Some(joined) = self.tasks.try_join_next() {
            self.note(joined);
        }
    }

    pub async fn collect_all(&mut self) {
        while let Some(joined) = self.tasks.join_next().await {
            self.note(joined);
        }
    }
}

/// Waits while `max-children` sessions are under way.
pub(super) async fn capacity(sessions: &mut Sessions, endpoint: &Endpoint, context: &Context) -> Result<()> {
    let Some(most) = life(endpoint).most().filter(|_| matches!(life(endpoint).busy, None | Some(Busy::Wait))) else {
        return Ok(());
    };
    while sessions.tasks.len() >= most {
        notice!(context.log, "max-children reached: all {most} maxchildren are active, waiting");
        if let Some(joined) = sessions.tasks.join_next().await {
            sessions.note(joined);
        }
    }
    Ok(())
}

/// Whether a client that was accepted can be served; makes the one that is served longest go, if need be.
pub(super) async fn room(
    sessions: &mut Sessions,
    endpoint: &Endpoint,
    context: &Context,
    stops: Stops<'_>,
) -> Result<bool> {
    let Some(most) = life(endpoint).most() else { return Ok(true) };
    if sessions.tasks.len() >= most {
        // Whoever went before this one came has its turn to notice that.
        tokio::task::yield_now().await;
        sessions.collect();
    }
    if sessions.tasks.len() < most {
        return Ok(true);
    }
    if !(stops.dismiss)() {
        if life(endpoint).busy != Some(Busy::Kick) {
            warning!(context.log, "refusing the client: {most} are served, and max-children allows no more");
            return Ok(false);
        }
        notice!(context.log, "closing the oldest of {most} clients for a new one");
        sessions.stop_oldest();
    }
    while sessions.tasks.len() >= most {
        if let Some(joined) = sessions.tasks.join_next().await {
            sessions.note(joined);
        }
    }
    Ok(true)
}
