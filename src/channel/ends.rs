//! The two ends of a [`Port`]: what is read from it, and what is written to it until it is shut.

use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{Class, Port, Sink, Source};
use crate::option::{Flow, Shut};
use crate::sys;

/// The reading end of a port.
pub struct PortSource {
    port: Arc<Port>,
    null_eof: bool,
}

impl PortSource {
    /// Reads `port` the way `flow` says.
    pub fn new(port: Arc<Port>, flow: &Flow) -> Self {
        Self { port, null_eof: flow.null_eof }
    }
}

impl AsyncRead for PortSource {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            let room = buf.initialize_unfilled();
            let wanted = room.len();
            let count = match ready!(self.port.poll_read(cx, room)) {
                // The other side of a pseudo terminal was closed.
                Err(error) if error.raw_os_error() == Some(libc::EIO) && self.port.class() == Class::Master => 0,
                Err(error) if is_reopened(&self.port, &error) => {
                    self.port = Arc::new(self.port.duplicate()?);
                    continue;
                }
                result => result?,
            };
            // An empty message is not the end, unless asked for; a closed SEQPACKET connection is.
            if count == 0
                && wanted > 0
                && self.port.class().keeps_boundaries()
                && !self.null_eof
                && !sys::fd::is_hung_up(self.port.as_fd())
            {
                continue;
            }
            buf.advance(count);
            return Poll::Ready(Ok(()));
        }
    }
}

impl Source for PortSource {
    fn port(&self) -> Option<&Arc<Port>> {
        Some(&self.port)
    }
}

/// The writing end of a port.
pub struct PortSink {
    port: Option<Arc<Port>>,
    shut: Option<Shut>,
    /// Whether the last byte written ended a line; a terminal's end-of-file character counts only there.
    at_line_start: bool,
}

impl PortSink {
    /// Writes `port`; at the end it is shut the way `flow` says, or the way its class does by itself.
    pub fn new(port: Arc<Port>, flow: &Flow) -> Self {
        Self { port: Some(port), shut: flow.shut, at_line_start: true }
    }

    /// The way the class is shut by itself.
    fn default_shut(class: Class) -> Shut {
        match class {
            Class::Tcp | Class::Unix | Class::Stream | Class::Packet | Class::Datagram => Shut::Down,
            Class::Pipe | Class::Master | Class::File => Shut::Close,
            Class::Terminal | Class::Device => Shut::None,
        }
    }

    fn closed() -> io::Error {
        io::Error::from_raw_os_error(libc::EPIPE)
    }
}

impl AsyncWrite for PortSink {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let count = loop {
            let Some(port) = &self.port else { return Poll::Ready(Err(Self::closed())) };
            match ready!(port.poll_write(cx, buf)) {
                Err(error) if is_reopened(port, &error) => self.port = Some(Arc::new(port.duplicate()?)),
                result => break result?,
            }
        };
        if let Some(last) = buf[..count].last() {
            self.at_line_start = *last == b'\n';
        }
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(port) = &self.port else { return Poll::Ready(Ok(())) };
        let shut = self.shut.unwrap_or(Self::default_shut(port.class()));
        match shut {
            Shut::None => {}
            Shut::Down => sys::io::shutdown_write(port.as_fd())?,
            Shut::Null => {
                ready!(port.poll_write(cx, &[]))?;
            }
            Shut::Close if port.class() == Class::Master => {
                // The master is read as well: the program behind it is told the way a person would.
                let end = sys::terminal::end_of_file(port.as_fd(), self.at_line_start);
                if !end.is_empty() {
                    // A slave that was closed has nobody left to be told.
                    let _ = ready!(port.poll_write(cx, &end));
                }
            }
            Shut::Close => {
                if port.class().is_socket() {
                    sys::io::shutdown_write(port.as_fd())?;
                }
            }
        }
        if shut == Shut::Close {
            self.port = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl Sink for PortSink {
    fn port(&self) -> Option<&Arc<Port>> {
        self.port.as_ref()
    }
}

/// Whether a master has got over a hang-up, and has to be registered anew to be waited for.
fn is_reopened(port: &Port, error: &io::Error) -> bool {
    port.class() == Class::Master && error.kind() == io::ErrorKind::WouldBlock
}
