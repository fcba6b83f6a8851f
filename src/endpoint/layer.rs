//! Layers: protocols between a channel and the relay, around whatever a kind opens.

use std::path::Path;
use std::sync::Arc;

use super::{Accept, Bind, BoxFuture, Connect, Context, Kind, Opener, Request, reconnect, telnet};
use crate::channel::Channel;
use crate::error::Result;
use crate::option::Settings;

/// A protocol spoken over a channel.
pub(super) trait Layer: Send + Sync {
    /// Takes over a channel that was connected; may wait for the far end to agree.
    fn connected<'a>(&'a self, channel: Channel, context: &'a Context) -> BoxFuture<'a, Result<Channel>>;

    /// Takes over a channel that was accepted. At once: others wait to be accepted.
    fn accepted(&self, channel: Channel, context: &Context) -> Result<Channel>;
}

/// Notes that layers will lie over the channels of a kind, before anything is planned.
pub(super) fn prepare(kind: &Kind, settings: &mut Settings) {
    telnet::prepare(kind, settings);
}

/// The opener of a kind with the layers the options ask for around it, the outermost last.
pub(super) fn around(opener: Opener, request: &Request<'_>) -> Result<Opener> {
    let opener = match telnet::layer(&opener, request)? {
        Some(layer) => over(opener, layer),
        None => opener,
    };
    reconnect::around(opener, request)
}

/// An opener whose channels `layer` takes over.
pub(super) fn over(opener: Opener, layer: Arc<dyn Layer>) -> Opener {
    match opener {
        Opener::Connect(inner) => Opener::Connect(Arc::new(Over { inner, layer })),
        Opener::Bind(inner) => Opener::Bind(Arc::new(Over { inner, layer })),
    }
}

struct Over<T> {
    inner: T,
    layer: Arc<dyn Layer>,
}

impl Connect for Over<Arc<dyn Connect>> {
    fn connect<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(async move {
            let channel = self.inner.connect(context).await?;
            self.layer.connected(channel, context).await
        })
    }

    fn appears_at(&self) -> Option<&Path> {
        self.inner.appears_at()
    }
}

impl Bind for Over<Arc<dyn Bind>> {
    fn bind<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Box<dyn Accept>>> {
        Box::pin(async move {
            let inner = self.inner.bind(context).await?;
            Ok(Box::new(Over { inner, layer: Arc::clone(&self.layer) }) as Box<dyn Accept>)
        })
    }
}

impl Accept for Over<Box<dyn Accept>> {
    fn accept<'a>(&'a mut self, context: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(async move {
            let channel = self.inner.accept(context).await?;
            self.layer.accepted(channel, context)
        })
    }
}
