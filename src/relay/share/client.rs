//! A client's part of the shared channel: a source and a sink as any others, so that its session is one, too.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::hub::{Hub, Read};
use super::line::SharedLine;
use crate::channel::{Beside, Channel, Sink, Source};
use crate::option::ShareAccess;
use crate::relay::stop::Stop;

/// Blocks of a client that are refused in one turn, before the neighbours get theirs.
const REFUSED_IN_A_ROW: usize = 16;

/// A place in the hub; dropping it leaves.
pub struct Place {
    pub hub: Arc<Hub>,
    pub client: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.hub.leave(self.client);
    }
}

/// The shared channel for one client, whose own channel is prepared for it. Its number is one no other client
/// has; `stop` closes it.
pub fn channel(hub: &Arc<Hub>, client: &mut Channel, number: u64, stop: Stop) -> Channel {
    let (read, write) = client.descriptors();
    hub.join(number, if read < 0 { write } else { read }, stop);
    let place = Arc::new(Place { hub: Arc::clone(hub), client: number });
    // Clients come and go as they like.
    client.cool_write = true;
    if hub.manner.settings.access != ShareAccess::ReadWrite {
        let asks = |source| Box::new(Permitted { inner: source, place: Arc::clone(&place) }) as Box<dyn Source>;
        client.source = client.source.take().map(asks);
    }
    let (reads, writes) = hub.ends();
    let source = || Box::new(ClientSource { place: Arc::clone(&place), silence: None }) as Box<dyn Source>;
    let sink = || Box::new(ClientSink { place: Arc::clone(&place) }) as Box<dyn Sink>;
    Channel {
        source: reads.then(source),
        sink: writes.then(sink),
        line: hub.line.as_ref().map(|line| Arc::new(SharedLine::new(Arc::clone(line), hub, number)) as _),
        cool_write: hub.is_cool(),
        ..Channel::default()
    }
}

/// What the device says, for one client.
struct ClientSource {
    place: Arc<Place>,
    /// Ends what is said to a client that has ended its data itself.
    silence: Option<Pin<Box<Sleep>>>,
}

impl AsyncRead for ClientSource {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Place { hub, client } = &*self.place;
        match hub.poll_read(*client, cx, buf) {
            Read::End => Poll::Ready(Ok(())),
            Read::Nothing => Poll::Pending,
            Read::Bytes => {
                self.silence = None;
                Poll::Ready(Ok(()))
            }
            Read::Parting => {
                let farewell = hub.manner.farewell;
                let sleep = || Box::pin(tokio::time::sleep_until(Instant::now() + farewell));
                self.silence.get_or_insert_with(sleep).as_mut().poll(cx).map(Ok)
            }
        }
    }
}

impl Source for ClientSource {
    fn poll_beside(&mut self, cx: &mut Context<'_>) -> Beside {
        self.place.hub.poll_beside(self.place.client, cx)
    }

    fn has_unread(&self) -> bool {
        self.arrived() > 0
    }

    fn arrived(&self) -> usize {
        self.place.hub.waiting(self.place.client)
    }

    fn is_shared(&self) -> bool {
        true
    }
}

/// What one client tells the device.
struct ClientSink {
    place: Arc<Place>,
}

impl AsyncWrite for ClientSink {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, block: &[u8]) -> Poll<io::Result<usize>> {
        let Place { hub, client } = &*self.place;
        let written = ready!(hub.writers().poll_write(*client, cx, block));
        if let Err(error) = &written {
            hub.fail(error);
        }
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.place.hub.writers().poll_flush(self.place.client, cx)
    }

    /// The end of one client's data is not the device's.
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.place.hub.part(self.place.client);
        Poll::Ready(Ok(()))
    }
}

impl Sink for ClientSink {
    fn in_messages(&self) -> bool {
        self.place.hub.in_messages()
    }
}

/// A client's own data, as far as it may write. The rest is read and dropped, rather than left where it is:
/// otherwise neither the client's end nor what it says beside its bytes would be seen.
struct Permitted {
    inner: Box<dyn Source>,
    place: Arc<Place>,
}

impl AsyncRead for Permitted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        for _ in 0..REFUSED_IN_A_ROW {
            ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
            let count = buf.filled().len() - before;
            let Place { hub, client } = &*self.place;
            if count == 0 || hub.may_write(*client) {
                return Poll::Ready(Ok(()));
            }
            hub.refuse(*client, count as u64);
            buf.set_filled(before);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Source for Permitted {
    fn in_messages(&self) -> bool {
        self.inner.in_messages()
    }

    fn poll_beside(&mut self, cx: &mut Context<'_>) -> Beside {
        self.inner.poll_beside(cx)
    }

    fn has_unread(&self) -> bool {
        self.inner.has_unread()
    }

    fn arrived(&self) -> usize {
        self.inner.arrived()
    }
}
