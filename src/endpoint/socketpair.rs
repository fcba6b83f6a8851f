//! SOCKETPAIR: two sockets connected with each other; what is written into one is read from the other.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};

use super::socket::{self, Shape};
use super::{BoxFuture, Connect, Context, Direction, Kind, Opener, Request};
use crate::channel::{Channel, Class, Port, PortSink, PortSource};
use crate::error::{Error, Phase, Result};
use crate::option::{Flow, Groups, Options, Shut, SocketMoment};

pub(super) static KINDS: &[Kind] = &[Kind {
    name: "SOCKETPAIR",
    aliases: &[],
    usage: "",
    params: (0, 0),
    groups: Groups::FD.and(Groups::SOCKET),
    direction: Direction::Both,
    doc: "An echo: what is written is read back. Of datagram sockets, so that blocks stay apart; so-type=1 makes \
          it a stream, so-type=5 a SEQPACKET pair.",
    plan,
}];

fn plan(request: &Request<'_>) -> Result<Opener> {
    if request.options.settings.socket.bind.is_some() {
        return Err(Error::text("option bind does not fit: a pair of sockets has no names"));
    }
    Ok(Opener::Connect(Arc::new(Pair { direction: request.direction, options: Arc::clone(&request.options) })))
}

struct Pair {
    direction: Direction,
    options: Arc<Options>,
}

impl Pair {
    fn open(&self) -> Result<Channel> {
        let options = &*self.options;
        let settings = &options.settings;
        let shape = Shape { kind: libc::SOCK_DGRAM, protocol: 0 }.changed(&settings.socket);
        let class = shape.class(Domain::UNIX);
        let protocol = (shape.protocol != 0).then(|| Protocol::from(shape.protocol));
        let domain = settings.socket.family.map_or(Domain::UNIX, Domain::from);
        let (read, write) = Socket::pair(domain, Type::from(shape.kind).nonblocking(), protocol)
            .map_err(|error| Error::open(Phase::Socket, error))?;
        for socket in [&read, &write] {
            options.on_socket(SocketMoment::Created, socket.as_fd())?;
            socket::dress(options, socket.as_fd())?;
        }
        let port = |socket| {
            let port = Port::of_nonblocking(OwnedFd::from(socket), class);
            port.map(Arc::new).map_err(|error| Error::open(Phase::Open, error))
        };
        let flow = echoing(&settings.flow, class);
        let (source, sink) = (PortSource::new(port(read)?, &flow), PortSink::new(port(write)?, &flow));
        let mut channel = Channel::halves(Some(source), Some(sink), settings);
        // Both sockets are kept whatever the direction: one alone would be broken or at its end.
        let unused: Box<dyn Send + Sync> = match self.direction {
            Direction::Both => return Ok(channel),
            Direction::Read => Box::new(channel.sink.take()),
            Direction::Write => Box::new(channel.source.take()),
        };
        channel.guards.push(unused);
        Ok(channel)
    }
}

/// Datagram sockets do not pass the end on, so an empty datagram stands for it: only our own end can send
/// one, and it does so at the end alone.
fn echoing(flow: &Flow, class: Class) -> Flow {
    let mut flow = flow.clone();
    if class == Class::Datagram && flow.shut.is_none() {
        flow.shut = Some(Shut::Null);
        flow.null_eof = true;
    }
    flow
}

impl Connect for Pair {
    fn connect<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(async move { self.open() })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use crate::endpoint::testing::{connect, plan, quiet};

    async fn echo(kind: Option<i32>) -> Vec<usize> {
        let opener = plan("SOCKETPAIR", &[], |settings| settings.socket.kind = kind);
        let mut channel = connect(opener, &quiet()).await.unwrap();
        let sink = channel.sink.as_mut().unwrap();
        sink.write_all(b"one").await.unwrap();
        sink.write_all(b"three").await.unwrap();
        sink.shutdown().await.unwrap();
        let mut reads = Vec::new();
        loop {
            let count = channel.source.as_mut().unwrap().read(&mut [0; 64]).await.unwrap();
            reads.push(count);
            if count == 0 {
                return reads;
            }
        }
    }

    #[tokio::test]
    async fn blocks_stay_apart_and_the_end_arrives() {
        assert_eq!(echo(None).await, [3, 5, 0]);
        assert_eq!(echo(Some(libc::SOCK_SEQPACKET)).await, [3, 5, 0]);
        assert_eq!(echo(Some(libc::SOCK_STREAM)).await, [8, 0]);
    }
}
