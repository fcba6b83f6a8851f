//! A program's end is the end of its output, even when something it started still holds the other side:
//! after [`SILENCE`] without a byte. Without this a forgotten background job keeps the relay for ever.
//!
//! A stream socket is told by shutdown(2), so that the relay goes on working on the bare descriptor. What
//! cannot be shut down (pipes, pseudo terminals, datagrams) gets a source around it that watches.

use std::future::Future as _;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep, sleep};

use crate::channel::Beside;
use crate::channel::{Port, Source};
use crate::sys;
use crate::sys::process::Process;

/// How long the output has to be silent after the program's end.
pub(super) const SILENCE: Duration = Duration::from_millis(500);
/// How often a socket is looked at during that time.
const LOOKS: u32 = 5;

/// Becomes readable when a program has ended.
pub(super) type Exit = AsyncFd<OwnedFd>;

/// Watches for the end of `process`.
pub(super) fn exit_of(process: &Process) -> io::Result<Exit> {
    sys::fd::register(process.pidfd().try_clone_to_owned()?).map_err(|(_, error)| error)
}

/// A source that ends with a program.
pub(super) struct UntilExit {
    inner: Box<dyn Source>,
    exit: Exit,
    exited: bool,
    silence: Option<Pin<Box<Sleep>>>,
}

impl UntilExit {
    /// Reads `inner` until it ends, or has been silent since `exit`.
    pub fn new(inner: Box<dyn Source>, exit: Exit) -> Self {
        Self { inner, exit, exited: false, silence: None }
    }
}

impl AsyncRead for UntilExit {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if let Poll::Ready(result) = Pin::new(&mut this.inner).poll_read(cx, buf) {
            if let Some(silence) = &mut this.silence {
                silence.as_mut().reset(Instant::now() + SILENCE);
            }
            return Poll::Ready(result);
        }
        if !this.exited {
            let _still_readable = ready!(this.exit.poll_read_ready(cx))?;
            this.exited = true;
        }
        let silence = this.silence.get_or_insert_with(|| Box::pin(sleep(SILENCE)));
        ready!(silence.as_mut().poll(cx));
        Poll::Ready(Ok(()))
    }
}

impl Source for UntilExit {
    fn has_unread(&self) -> bool {
        self.inner.has_unread()
    }

    fn in_messages(&self) -> bool {
        self.inner.in_messages()
    }

    fn poll_beside(&mut self, cx: &mut Context<'_>) -> Beside {
        self.inner.poll_beside(cx)
    }
}

/// Ends the output of a socket some time after the program's end; stops watching when dropped.
pub(super) struct Watch {
    task: JoinHandle<()>,
    cut: Arc<AtomicBool>,
}

impl Watch {
    /// Watches for `exit`, and whether anything is read from `port` after it.
    pub fn new(port: &Arc<Port>, exit: Exit) -> Self {
        let cut = Arc::new(AtomicBool::new(false));
        let task = tokio::spawn(watch(Arc::downgrade(port), exit, Arc::clone(&cut)));
        Self { task, cut }
    }

    /// Whether it has ended the output while somebody still held the other side.
    pub fn has_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The relay's descriptor is only borrowed between the pauses: it has to close when the relay closes it.
async fn watch(port: Weak<Port>, exit: Exit, cut: Arc<AtomicBool>) {
    if exit.readable().await.is_err() {
        return;
    }
    let mut seen = None;
    let mut silent = 0;
    while silent < LOOKS {
        {
            let Some(port) = port.upgrade() else { return };
            if sys::fd::is_hung_up(port.as_fd()) {
                return;
            }
            let reads = Some(port.reads());
            silent = if seen == reads && !port.has_unread() { silent + 1 } else { 0 };
            seen = reads;
        }
        sleep(SILENCE / LOOKS).await;
    }
    if let Some(port) = port.upgrade() {
        cut.store(true, Ordering::Relaxed);
        // One that cannot be shut down is closed already.
        let _ = sys::io::shutdown_read(port.as_fd());
    }
}
