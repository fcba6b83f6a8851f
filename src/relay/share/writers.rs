//! Writing to the device: one client at a time, a whole block each, in the order they came.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::AsyncWrite;

use crate::channel::Sink;

/// The device's sink and those who write to it.
///
/// Only the client whose turn it is writes, straight from its own block: nothing is copied, a device that
/// takes no more is felt by those who write, and what was not written is still held and counted by its session.
#[derive(Default)]
pub struct Writers {
    sink: Option<Box<dyn Sink>>,
    /// Whose turn it is.
    holder: Option<u64>,
    /// Who waits for it.
    waiting: VecDeque<(u64, Waker)>,
}

impl Writers {
    /// Writers to `sink`.
    pub fn new(sink: Option<Box<dyn Sink>>) -> Self {
        Self { sink, ..Self::default() }
    }

    /// Takes the sink out, to close it.
    pub fn take(&mut self) -> Option<Box<dyn Sink>> {
        self.sink.take()
    }

    /// Writes some of a client's block; its turn lasts until all of `block` is written.
    pub fn poll_write(&mut self, client: u64, cx: &mut Context<'_>, block: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_turn(client, cx));
        let Some(sink) = &mut self.sink else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        let written = ready!(Pin::new(sink).poll_write(cx, block));
        if !matches!(written, Ok(count) if count > 0 && count < block.len()) {
            self.release(client);
        }
        Poll::Ready(written)
    }

    /// Flushes the sink.
    pub fn poll_flush(&mut self, client: u64, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_turn(client, cx));
        let flushed = match &mut self.sink {
            Some(sink) => ready!(Pin::new(sink).poll_flush(cx)),
            None => Ok(()),
        };
        self.release(client);
        Poll::Ready(flushed)
    }

    /// Lets the sink see to what it has taken and not passed on yet, unless a client is writing, which does.
    pub fn poll_beside(&mut self, cx: &mut Context<'_>) {
        if let (None, Some(sink)) = (self.holder, &mut self.sink) {
            sink.poll_beside(cx);
        }
    }

    /// A client has nothing to write any more, or not what it began.
    pub fn release(&mut self, client: u64) {
        if self.holder == Some(client) {
            self.holder = None;
        }
        self.wake_next();
    }

    /// A client is gone.
    pub fn forget(&mut self, client: u64) {
        self.waiting.retain(|(waiting, _)| *waiting != client);
        self.release(client);
    }

    fn wake_next(&self) {
        if let (None, Some((_, waker))) = (self.holder, self.waiting.front()) {
            waker.wake_by_ref();
        }
    }

    fn poll_turn(&mut self, client: u64, cx: &mut Context<'_>) -> Poll<()> {
        let place = self.waiting.iter().position(|(waiting, _)| *waiting == client);
        let is_next = place.map_or(self.waiting.is_empty(), |place| place == 0);
        if self.holder == Some(client) || (self.holder.is_none() && is_next) {
            if let Some(place) = place {
                self.waiting.remove(place);
            }
            self.holder = Some(client);
            return Poll::Ready(());
        }
        match place.and_then(|place| self.waiting.get_mut(place)) {
            Some((_, waker)) => waker.clone_from(cx.waker()),
            None => self.waiting.push_back((client, cx.waker().clone())),
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::{Arc, Mutex};

    use super::*;

    /// Takes so many bytes with each write, and no more in all than it was allowed.
    struct Narrow {
        written: Arc<Mutex<Vec<u8>>>,
        most: usize,
        allowed: Arc<Mutex<usize>>,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, block: &[u8]) -> Poll<io::Result<usize>> {
            let mut allowed = self.allowed.lock().unwrap();
            let count = block.len().min(self.most).min(*allowed);
            if count == 0 {
                return Poll::Pending;
            }
            *allowed -= count;
            self.written.lock().unwrap().extend(&block[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    impl Sink for Narrow {}

    struct Rig {
        writers: Writers,
        written: Arc<Mutex<Vec<u8>>>,
        allowed: Arc<Mutex<usize>>,
    }

    fn rig(most: usize, allowed: usize) -> Rig {
        let (written, allowed) = (Arc::default(), Arc::new(Mutex::new(allowed)));
        let sink = Narrow { written: Arc::clone(&written), most, allowed: Arc::clone(&allowed) };
        Rig { writers: Writers::new(Some(Box::new(sink))), written, allowed }
    }

    impl Rig {
        fn write(&mut self, client: u64, block: &[u8]) -> Option<usize> {
            let cx = &mut Context::from_waker(Waker::noop());
            match self.writers.poll_write(client, cx, block) {
                Poll::Ready(count) => Some(count.unwrap()),
                Poll::Pending => None,
            }
        }

        fn written(&self) -> String {
            String::from_utf8(self.written.lock().unwrap().clone()).unwrap()
        }
    }

    #[test]
    fn a_block_is_written_whole_before_the_next_one_comes() {
        let mut rig = rig(2, 100);
        assert_eq!(rig.write(1, b"aaaa"), Some(2));
        assert_eq!(rig.write(2, b"bbbb"), None);
        assert_eq!(rig.write(3, b"cc"), None);
        assert_eq!(rig.write(1, b"aa"), Some(2));
        // The first one comes last now, and the one who waited longest first.
        assert_eq!(rig.write(1, b"dd"), None);
        assert_eq!(rig.write(3, b"cc"), None);
        assert_eq!(rig.write(2, b"bbbb"), Some(2));
        assert_eq!(rig.write(2, b"bb"), Some(2));
        assert_eq!(rig.write(3, b"cc"), Some(2));
        assert_eq!(rig.write(1, b"dd"), Some(2));
        assert_eq!(rig.written(), "aaaabbbbccdd");
    }

    #[test]
    fn whoever_leaves_or_drops_its_block_lets_the_next_one_write() {
        let mut rig = rig(2, 2);
        assert_eq!(rig.write(1, b"aaaa"), Some(2));
        assert_eq!(rig.write(1, b"aa"), None, "the device takes no more");
        assert_eq!(rig.write(2, b"bb"), None);
        assert_eq!(rig.write(3, b"cc"), None);
        *rig.allowed.lock().unwrap() = 100;
        rig.writers.forget(2);
        rig.writers.release(1);
        assert_eq!(rig.write(3, b"cc"), Some(2));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(rig.writers.poll_flush(1, cx).is_ready());
        assert_eq!(rig.written(), "aacc");
        assert!(rig.writers.waiting.is_empty() && rig.writers.holder.is_none());
    }
}
