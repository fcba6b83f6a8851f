//! The device's serial line, as one client sees it.

use std::io;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::hub::Hub;
use crate::endpoint::BoxFuture;
use crate::line::{Change, Event, Line, State};

/// The line all clients have in common: the last one that sets it is right, and the others are told.
pub struct SharedLine {
    inner: Arc<dyn Line>,
    hub: Arc<Hub>,
    client: u64,
}

impl SharedLine {
    /// The line for one client.
    pub fn new(inner: Arc<dyn Line>, hub: &Arc<Hub>, client: u64) -> Self {
        Self { inner, hub: Arc::clone(hub), client }
    }
}

impl Line for SharedLine {
    /// A client that may not write changes nothing, but for its own queue, and learns what is in force.
    fn change(&self, change: Change) -> BoxFuture<'static, io::Result<State>> {
        if change.purge_in {
            self.hub.purge(self.client);
        }
        if change.purge_out {
            // What it had begun to write will not be written to its end.
            self.hub.writers().release(self.client);
        }
        if !self.hub.may_set(self.client) {
            return Box::pin(std::future::ready(Ok(self.inner.state())));
        }
        let settings = Change { purge_in: false, purge_out: false, ..change };
        let (changing, hub, client) = (self.inner.change(change), Arc::clone(&self.hub), self.client);
        Box::pin(async move {
            let state = changing.await?;
            if !settings.is_empty() {
                hub.tell(Event::State(state), Some(client));
            }
            Ok(state)
        })
    }

    fn state(&self) -> State {
        self.inner.state()
    }

    fn watch(&self) -> mpsc::Receiver<Event> {
        let watchers = self.hub.watchers(self.client);
        self.hub.watched.notify_one();
        // A client that is gone is told nothing.
        watchers.map_or_else(|| mpsc::channel(1).1, |watchers| watchers.add())
    }

    fn is_real(&self) -> bool {
        self.inner.is_real()
    }
}
