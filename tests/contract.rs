//! One contract for every kind of endpoint: bytes arrive whole, ends are passed on, and whenever the relay is
//! dropped nothing is left behind: no descriptor, no child, no name. A kind without a fixture fails.
//!
//! One test, because it counts what the process has open and puts other things in the place of its standard
//! descriptors; every failure names its kind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod rig;

use std::any::Any;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use ferrule::endpoint::{self, Direction, Opener, Planned};
use ferrule::relay::{Ended, Settings, Ways};
use ferrule::telnet::codec::{self, Verb};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use socket2::{Domain, SockAddr, Socket, Type};

use rig::{End, LIMIT, Last, Open, Running, Scratch, Task, Want, both, exchange, far, never, noise, plan, until};

/// Which way bytes go, seen from the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Both,
    /// It is only written to.
    To,
    /// It is only read from.
    From,
}

impl Way {
    const fn direction(self) -> Direction {
        match self {
            Self::Both => Direction::Both,
            Self::To => Direction::Write,
            Self::From => Direction::Read,
        }
    }

    /// For a relay whose left (or right) address is the endpoint.
    const fn ways(self, side: Side) -> Ways {
        match (self, side) {
            (Self::Both, _) => Ways::Both,
            (Self::To, Side::Right) | (Self::From, Side::Left) => Ways::LeftToRight,
            (Self::To, Side::Left) | (Self::From, Side::Right) => Ways::RightToLeft,
        }
    }
}

/// Which address of the relay the endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// What plays the other side of an endpoint.
enum Near {
    /// Two ends of the test's: what the endpoint was written is read at `input`, what it is to give is
    /// written to `output`; without that it gives by itself what the fixture was told.
    Ends { input: Option<End>, output: Option<End> },
    /// What it is written comes back.
    Echo,
    /// What it was written is in this file when the relay has ended.
    File(PathBuf),
    /// It gives by itself what the fixture was told.
    Given,
}

/// An endpoint ready to be opened.
struct Setup {
    address: String,
    /// Plays the other side, once the relay is under way.
    near: Box<dyn FnOnce(&Running) -> Near>,
    /// Names that exist while it is open and are gone when it is not.
    names: Vec<PathBuf>,
    /// What the address refers to.
    held: Box<dyn Any>,
}

impl Setup {
    fn new(address: impl Into<String>, near: impl FnOnce(&Running) -> Near + 'static) -> Self {
        Self { address: address.into(), near: Box::new(near), names: Vec::new(), held: Box::new(()) }
    }

    fn named(mut self, name: PathBuf) -> Self {
        self.names.push(name);
        self
    }

    fn holding(mut self, held: impl Any) -> Self {
        self.held = Box::new(held);
        self
    }
}

/// An address that does not get open, and the line of the log that shows it is waiting.
type Waits = fn(&Scratch) -> (Setup, Way, &'static str);

struct Fixture {
    kind: &'static str,
    /// Tells fixtures of one kind apart.
    variant: &'static str,
    ways: &'static [Way],
    /// Makes it for one way; a kind that gives by itself is to give these bytes.
    make: fn(&Scratch, Way, &[u8]) -> Setup,
    /// The other side sees the end of what was written while the other way is still open.
    passes_end: bool,
    /// The other side can end its data and still be written to.
    half_closes: bool,
    waits: &'static [Waits],
}

const ALL: &[Way] = &[Way::Both, Way::To, Way::From];
const ONE_WAY: &[Way] = &[Way::To, Way::From];

/// A fixture of a connection: both ways, with half closes.
const fn connection(kind: &'static str, make: fn(&Scratch, Way, &[u8]) -> Setup, waits: &'static [Waits]) -> Fixture {
    Fixture { kind, variant: "", ways: ALL, make, passes_end: true, half_closes: true, waits }
}

/// A fixture that has nothing to wait for.
const fn simple(
    kind: &'static str,
    variant: &'static str,
    ways: &'static [Way],
    make: fn(&Scratch, Way, &[u8]) -> Setup,
) -> Fixture {
    Fixture { kind, variant, ways, make, passes_end: true, half_closes: true, waits: &[] }
}

const FIXTURES: &[Fixture] = &[
    connection("TCP-CONNECT", |_, _, _| tcp_client("TCP", false), &[|_| tcp_queued("TCP", false), |_| retrying()]),
    connection("TCP4-CONNECT", |_, _, _| tcp_client("TCP4", false), &[|_| tcp_queued("TCP4", false)]),
    connection("TCP6-CONNECT", |_, _, _| tcp_client("TCP6", true), &[|_| tcp_queued("TCP6", true)]),
    connection(
        "RFC2217",
        |_, _, _| serial_client(),
        &[|_| tcp_queued("RFC2217", false), |_| (unanswered("RFC2217"), Way::Both, "successfully connected to")],
    ),
    connection("TCP-LISTEN", |_, _, _| tcp_listener("TCP-LISTEN", false), &[|_| lone_tcp("TCP-LISTEN", false)]),
    connection("TCP4-LISTEN", |_, _, _| tcp_listener("TCP4-LISTEN", false), &[|_| lone_tcp("TCP4-LISTEN", false)]),
    connection("TCP6-LISTEN", |_, _, _| tcp_listener("TCP6-LISTEN", true), &[|_| lone_tcp("TCP6-LISTEN", true)]),
    connection("RFC2217-LISTEN", |_, _, _| served_line(), &[|_| (served_line(), Way::Both, "listening on")]),
    connection(
        "UNIX-CONNECT",
        |scratch, _, _| unix_client("UNIX-CONNECT", scratch),
        &[|scratch| unix_queued("UNIX-CONNECT", scratch)],
    ),
    connection(
        "UNIX-CLIENT",
        |scratch, _, _| unix_client("UNIX-CLIENT", scratch),
        &[|scratch| unix_queued("UNIX-CLIENT", scratch)],
    ),
    connection(
        "UNIX-LISTEN",
        |scratch, _, _| unix_listener(scratch),
        &[|scratch| (unix_listener(scratch), Way::Both, "listening on")],
    ),
    connection(
        "ABSTRACT-CONNECT",
        |scratch, _, _| abstract_client("ABSTRACT-CONNECT", scratch),
        &[|scratch| abstract_queued("ABSTRACT-CONNECT", scratch)],
    ),
    connection(
        "ABSTRACT-CLIENT",
        |scratch, _, _| abstract_client("ABSTRACT-CLIENT", scratch),
        &[|scratch| abstract_queued("ABSTRACT-CLIENT", scratch)],
    ),
    connection(
        "ABSTRACT-LISTEN",
        |scratch, _, _| abstract_listener(scratch),
        &[|scratch| (abstract_listener(scratch), Way::Both, "listening on")],
    ),
    connection("ACCEPT-FD", |_, _, _| accept_fd(), &[|_| (accept_fd(), Way::Both, "listening on")]),
    simple("OPEN", "file", ONE_WAY, |scratch, way, given| file("OPEN", ",creat", scratch, way, given)),
    Fixture {
        passes_end: false,
        half_closes: false,
        ..simple("OPEN", "terminal", ONE_WAY, |_, way, _| open_terminal("OPEN", way))
    },
    // What is read has no end: see `a_line_that_goes_away_is_an_error`.
    Fixture {
        passes_end: false,
        half_closes: false,
        ..simple("SERIAL", "", &[Way::To], |_, way, _| open_terminal("SERIAL", way))
    },
    simple("CREATE", "", &[Way::To], |scratch, way, given| file("CREATE", "", scratch, way, given)),
    simple("GOPEN", "file", ONE_WAY, |scratch, way, given| file("GOPEN", "", scratch, way, given)),
    simple("GOPEN", "socket", ALL, |scratch, _, _| unix_client("GOPEN", scratch)),
    simple("PIPE", "unnamed", &[Way::Both], |_, _, _| Setup::new("PIPE", |_| Near::Echo)),
    Fixture { waits: &[unread_fifo], ..simple("PIPE", "FIFO", ONE_WAY, fifo) },
    simple("SOCKETPAIR", "datagram", &[Way::Both], |_, _, _| Setup::new("SOCKETPAIR", |_| Near::Echo)),
    simple("SOCKETPAIR", "stream", &[Way::Both], |_, _, _| Setup::new("SOCKETPAIR,so-type=1", |_| Near::Echo)),
    simple("EXEC", "", ALL, |scratch, way, given| program("EXEC", "", scratch, way, given)),
    simple("EXEC", "pipes", ALL, |scratch, way, given| program("EXEC", ",pipes", scratch, way, given)),
    simple("SYSTEM", "", ALL, |scratch, way, given| program("SYSTEM", "", scratch, way, given)),
    simple("SHELL", "", ALL, |scratch, way, given| program("SHELL", ",shell=/bin/sh", scratch, way, given)),
    Fixture {
        passes_end: false,
        half_closes: false,
        waits: &[|scratch| (pty(scratch), Way::Both, "PTY is")],
        ..simple("PTY", "", &[Way::Both, Way::From], |scratch, _, _| pty(scratch))
    },
    Fixture { passes_end: false, ..simple("FD", "socket", ALL, |_, _, _| inherited_socket()) },
    Fixture { passes_end: false, ..simple("FD", "pipe", ONE_WAY, |_, way, _| inherited_pipe(way)) },
    Fixture { passes_end: false, ..simple("STDIO", "", ALL, |_, way, _| standard("STDIO", way)) },
    simple("STDIN", "", &[Way::From], |_, way, _| standard("STDIN", way)),
    Fixture { passes_end: false, ..simple("STDOUT", "", &[Way::To], |_, way, _| standard("STDOUT", way)) },
    Fixture { passes_end: false, ..simple("STDERR", "", &[Way::To], |_, way, _| standard("STDERR", way)) },
    Fixture { passes_end: false, ..simple("TEXT", "", ALL, |_, way, given| text(way, given)) },
    // Never gives nor takes a byte: see `a_stalled_endpoint_moves_nothing`.
    simple("STALL", "", &[], |_, _, _| Setup::new("STALL", |_| Near::Given)),
];

const fn host(six: bool) -> &'static str {
    if six { "[::1]" } else { "127.0.0.1" }
}

fn tcp_server(six: bool) -> TcpListener {
    let port = 0;
    if six { TcpListener::bind((Ipv6Addr::LOCALHOST, port)) } else { TcpListener::bind((Ipv4Addr::LOCALHOST, port)) }
        .expect("a loopback address")
}

fn duplex(end: End) -> Near {
    Near::Ends { input: Some(end.again()), output: Some(end) }
}

fn tcp_client(keyword: &str, six: bool) -> Setup {
    let listener = tcp_server(six);
    let address = format!("{keyword}:{}:{}", host(six), listener.local_addr().unwrap().port());
    Setup::new(address, move |_| duplex(rig::accepted(&listener)))
}

/// A client of a serial port: the near end is that of a server of RFC 2217, whose protocol threads of its own see to.
fn serial_client() -> Setup {
    let listener = tcp_server(false);
    let address = format!("RFC2217:127.0.0.1:{}", listener.local_addr().unwrap().port());
    Setup::new(address, move |_| duplex(serial_server(rig::accepted_stream(&listener))))
}

/// A server that says nothing: the client waits for it to agree.
fn unanswered(keyword: &str) -> Setup {
    let listener = tcp_server(false);
    let address = format!("{keyword}:127.0.0.1:{}", listener.local_addr().unwrap().port());
    Setup::new(address, |_| Near::Given).holding(listener)
}

/// The data of a connection whose server agrees to everything and answers the four settings.
fn serial_server(mut stream: TcpStream) -> End {
    stream.set_nonblocking(false).unwrap();
    let (near, data) = UnixStream::pair().unwrap();
    let (mut tcp, mut plain) = (stream.try_clone().unwrap(), data.try_clone().unwrap());
    let (answered, all) = channel();
    std::thread::spawn(move || {
        let _ = serve_data(&mut tcp, &mut plain, &answered);
        let _ = plain.shutdown(Shutdown::Write);
    });
    // Who ends the data before has not answered.
    all.recv_timeout(LIMIT).expect("it asks for the settings");
    std::thread::spawn(move || {
        let (mut data, mut block) = (data, vec![0; 65536]);
        while let Ok(count @ 1..) = data.read(&mut block) {
            let mut escaped = Vec::new();
            codec::escape(&block[..count], &mut escaped);
            if stream.write_all(&escaped).is_err() {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Write);
    });
    End::new(near)
}

fn serve_data(tcp: &mut TcpStream, plain: &mut UnixStream, answered: &Sender<()>) -> std::io::Result<()> {
    let (mut parser, mut block) = (codec::Parser::default(), vec![0; 65536]);
    loop {
        let count = tcp.read(&mut block)?;
        if count == 0 {
            return Ok(());
        }
        let mut rest = &block[..count];
        while let Some(found) = parser.next(&mut rest) {
            match found {
                codec::Event::Data(data) => plain.write_all(data)?,
                codec::Event::Negotiate(Verb::Will, option) => tcp.write_all(&Verb::Do.bytes(option))?,
                codec::Event::Negotiate(Verb::Do, option) => tcp.write_all(&Verb::Will.bytes(option))?,
                codec::Event::Sub(option, &[topic @ 1..=4, ..]) => {
                    let value = if topic == 2 { 8 } else { 1 };
                    let answer = if topic == 1 { vec![101, 0, 0, 37, 128] } else { vec![topic + 100, value] };
                    let mut bytes = Vec::new();
                    codec::subnegotiation(option, &answer, &mut bytes);
                    tcp.write_all(&bytes)?;
                    if topic == 4 {
                        let _ = answered.send(());
                    }
                }
                _ => {}
            }
        }
    }
}

fn tcp_listener(keyword: &str, six: bool) -> Setup {
    let address = format!("{keyword}:0,bind={}", host(six));
    Setup::new(address, move |running| {
        let port = running.log.port();
        let stream = if six {
            TcpStream::connect((Ipv6Addr::LOCALHOST, port))
        } else {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        };
        duplex(End::new(stream.unwrap()))
    })
}

/// A client that refuses what the server asks of it by saying nothing. The bytes of the tests need no escape.
fn served_line() -> Setup {
    const QUESTIONS: usize = 6 * 3;
    Setup::new("RFC2217-LISTEN:0,bind=127.0.0.1", move |running| {
        let end = End::new(TcpStream::connect((Ipv4Addr::LOCALHOST, running.log.port())).unwrap());
        assert_eq!(end.receive(QUESTIONS).len(), QUESTIONS);
        duplex(end)
    })
}

fn lone_tcp(keyword: &str, six: bool) -> (Setup, Way, &'static str) {
    (tcp_listener(keyword, six), Way::Both, "listening on")
}

/// A listener whose queue is full: further connections stay in SYN-SENT (listen(2), `backlog`).
fn tcp_queued(keyword: &str, six: bool) -> (Setup, Way, &'static str) {
    let domain = if six { Domain::IPV6 } else { Domain::IPV4 };
    let listener = Socket::new(domain, Type::STREAM, None).unwrap();
    let any: SockAddr = if six { (Ipv6Addr::LOCALHOST, 0).into_addr() } else { (Ipv4Addr::LOCALHOST, 0).into_addr() };
    listener.bind(&any).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let first = TcpStream::connect(address).unwrap();
    let text = format!("{keyword}:{}:{}", host(six), address.port());
    let setup = Setup::new(text, |_| Near::Given).holding((listener, first));
    (setup, Way::Both, "opening connection to")
}

trait IntoAddr {
    fn into_addr(self) -> SockAddr;
}

impl<T: Into<std::net::IpAddr>> IntoAddr for (T, u16) {
    fn into_addr(self) -> SockAddr {
        std::net::SocketAddr::new(self.0.into(), self.1).into()
    }
}

/// A port nobody listens on, tried again and again.
fn retrying() -> (Setup, Way, &'static str) {
    let port = tcp_server(false).local_addr().unwrap().port();
    let text = format!("TCP:127.0.0.1:{port},forever,interval=100");
    (Setup::new(text, |_| Near::Given), Way::Both, "trying again in")
}

fn accepted_unix(listener: &UnixListener) -> Near {
    listener.set_nonblocking(true).unwrap();
    let mut found = None;
    until("a UNIX connection", || {
        found = listener.accept().ok();
        found.is_some()
    });
    duplex(End::new(found.unwrap().0))
}

fn unix_client(keyword: &str, scratch: &Scratch) -> Setup {
    let listener = UnixListener::bind(scratch.path("socket")).unwrap();
    Setup::new(format!("{keyword}:{}", scratch.text("socket")), move |_| accepted_unix(&listener))
}

fn unix_listener(scratch: &Scratch) -> Setup {
    let path = scratch.path("socket");
    let setup = Setup::new(format!("UNIX-LISTEN:{}", scratch.text("socket")), move |running| {
        running.log.behind("listening on");
        duplex(End::new(UnixStream::connect(scratch_socket(running)).unwrap()))
    });
    setup.named(path)
}

/// The path a UNIX listener tells.
fn scratch_socket(running: &Running) -> PathBuf {
    running.log.behind("listening on AF=1 \"").trim_end_matches('"').into()
}

/// A socket whose queue is full, so that connect(2) says EAGAIN.
fn queued_at(address: &SockAddr) -> impl Any {
    let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
    listener.bind(address).unwrap();
    listener.listen(0).unwrap();
    let mut waiting = Vec::new();
    loop {
        let client = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).unwrap();
        if client.connect(address).is_err() {
            return (listener, waiting);
        }
        waiting.push(client);
        assert!(waiting.len() < 10, "the queue has no bound");
    }
}

fn unix_queued(keyword: &str, scratch: &Scratch) -> (Setup, Way, &'static str) {
    let held = queued_at(&SockAddr::unix(scratch.path("socket")).unwrap());
    let address = format!("{keyword}:{}", scratch.text("socket"));
    (Setup::new(address, |_| Near::Given).holding(held), Way::Both, "opening connection to")
}

/// A name in the abstract namespace nobody else has.
fn hidden(scratch: &Scratch) -> String {
    scratch.text("hidden").replace('/', "-")
}

fn abstract_client(keyword: &str, scratch: &Scratch) -> Setup {
    let address = SocketAddr::from_abstract_name(hidden(scratch)).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    Setup::new(format!("{keyword}:{}", hidden(scratch)), move |_| accepted_unix(&listener))
}

fn abstract_queued(keyword: &str, scratch: &Scratch) -> (Setup, Way, &'static str) {
    let held = queued_at(&SockAddr::unix(format!("\0{}", hidden(scratch))).unwrap());
    let address = format!("{keyword}:{}", hidden(scratch));
    (Setup::new(address, |_| Near::Given).holding(held), Way::Both, "opening connection to")
}

fn abstract_listener(scratch: &Scratch) -> Setup {
    let name = hidden(scratch);
    Setup::new(format!("ABSTRACT-LISTEN:{name}"), move |running| {
        running.log.behind("listening on");
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        duplex(End::new(UnixStream::connect_addr(&address).unwrap()))
    })
}

fn accept_fd() -> Setup {
    let listener = tcp_server(false);
    let address = listener.local_addr().unwrap();
    let text = format!("ACCEPT-FD:{}", listener.as_raw_fd());
    let setup = Setup::new(text, move |running| {
        running.log.behind("listening on");
        duplex(End::new(TcpStream::connect(address).unwrap()))
    });
    setup.holding(listener)
}

fn file(keyword: &str, options: &str, scratch: &Scratch, way: Way, given: &[u8]) -> Setup {
    let path = scratch.path("file");
    if way == Way::From {
        std::fs::write(&path, given).unwrap();
    }
    let address = format!("{keyword}:{}{options}", scratch.text("file"));
    Setup::new(address, move |_| if way == Way::To { Near::File(path) } else { Near::Given })
}

/// A pseudo terminal of the test's, whose slave is opened by its name; the end of a terminal is its hang-up.
fn open_terminal(keyword: &str, way: Way) -> Setup {
    let pair = nix::pty::openpty(None, None).unwrap();
    make_raw(&pair.slave);
    let name = nix::unistd::ttyname(&pair.slave).unwrap();
    let (master, slave) = (End::new(pair.master), pair.slave);
    Setup::new(format!("{keyword}:{}", name.display()), move |running| {
        // From here on only the relay has the slave.
        until("the terminal is open", || {
            rig::Open::now().count(name.to_str().unwrap()) > 1 || running.log.count("transfer loop") > 0
        });
        drop(slave);
        match way {
            Way::To => Near::Ends { input: Some(master), output: None },
            _ => Near::Ends { input: None, output: Some(master) },
        }
    })
}

fn make_raw(terminal: &OwnedFd) {
    let mut settings = nix::sys::termios::tcgetattr(terminal).unwrap();
    nix::sys::termios::cfmakeraw(&mut settings);
    nix::sys::termios::tcsetattr(terminal, nix::sys::termios::SetArg::TCSANOW, &settings).unwrap();
}

fn fifo(scratch: &Scratch, way: Way, _: &[u8]) -> Setup {
    let path = scratch.path("fifo");
    let setup = Setup::new(format!("PIPE:{}", scratch.text("fifo")), {
        let path = path.clone();
        move |_| {
            let access = if way == Way::To { OFlag::O_RDONLY } else { OFlag::O_WRONLY };
            let mut found = None;
            until("the FIFO can be opened", || {
                found = nix::fcntl::open(&path, access | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC, Mode::empty()).ok();
                found.is_some()
            });
            let end = found.map(End::new);
            if way == Way::To {
                // Before somebody writes to it a FIFO is at its end.
                until("the relay has the FIFO, too", || Open::now().count(path.to_str().unwrap()) > 1);
                Near::Ends { input: end, output: None }
            } else {
                Near::Ends { input: None, output: end }
            }
        }
    });
    setup.named(path)
}

/// A FIFO nobody reads is waited for; that is not logged.
fn unread_fifo(scratch: &Scratch) -> (Setup, Way, &'static str) {
    (fifo(scratch, Way::To, &[]), Way::To, "")
}

fn program(keyword: &str, options: &str, scratch: &Scratch, way: Way, given: &[u8]) -> Setup {
    let path = scratch.path("file");
    if way == Way::From {
        std::fs::write(&path, given).unwrap();
    }
    let command = match way {
        Way::Both => format!("tee {}", path.display()),
        Way::To => format!("dd of={} bs=65536 status=none", path.display()),
        Way::From => format!("cat {}", path.display()),
    };
    // The shell starts a process of its own for all but the last command.
    let rest = if keyword == "EXEC" { "" } else { "; true" };
    Setup::new(format!("{keyword}:{command}{rest}{options}"), move |_| match way {
        Way::Both => Near::Echo,
        Way::To => Near::File(path),
        Way::From => Near::Given,
    })
}

fn pty(scratch: &Scratch) -> Setup {
    let path = scratch.path("link");
    let setup = Setup::new(format!("PTY,link={},raw,echo=0,wait-slave", scratch.text("link")), {
        let path = path.clone();
        move |running| {
            running.log.behind("PTY is ");
            until("the link", || path.symlink_metadata().is_ok());
            let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
            duplex(End::new(nix::fcntl::open(&path, flags, Mode::empty()).unwrap()))
        }
    });
    setup.named(path)
}

fn inherited_socket() -> Setup {
    let (ours, theirs) = UnixStream::pair().unwrap();
    Setup::new(format!("FD:{}", theirs.as_raw_fd()), |_| duplex(End::new(ours))).holding(theirs)
}

fn inherited_pipe(way: Way) -> Setup {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    if way == Way::To {
        let number = write.as_raw_fd();
        let near = |_: &Running| Near::Ends { input: Some(End::new(read)), output: None };
        Setup::new(format!("FD:{number}"), near).holding(write)
    } else {
        let number = read.as_raw_fd();
        let near = |_: &Running| Near::Ends { input: None, output: Some(End::new(write)) };
        Setup::new(format!("FD:{number}"), near).holding(read)
    }
}

/// Something else in the place of a standard descriptor, until dropped.
struct Swapped {
    number: i32,
    saved: OwnedFd,
}

impl Swapped {
    fn new(number: i32, other: &OwnedFd) -> Self {
        let saved = ferrule::sys::fd::inherited(number).unwrap();
        Self::put(number, other);
        Self { number, saved }
    }

    fn put(number: i32, fd: &OwnedFd) {
        match number {
            0 => nix::unistd::dup2_stdin(fd),
            1 => nix::unistd::dup2_stdout(fd),
            _ => nix::unistd::dup2_stderr(fd),
        }
        .unwrap();
    }
}

impl Drop for Swapped {
    fn drop(&mut self) {
        Self::put(self.number, &self.saved);
    }
}

fn standard(keyword: &'static str, way: Way) -> Setup {
    let (input, give) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let (take, output) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let number = if keyword == "STDERR" { 2 } else { 1 };
    let held = (Swapped::new(0, &input), Swapped::new(number, &output));
    let near = move |_: &Running| {
        let (input, output) = (End::new(take), End::new(give));
        match way {
            Way::Both => Near::Ends { input: Some(input), output: Some(output) },
            Way::To => Near::Ends { input: Some(input), output: None },
            Way::From => Near::Ends { input: None, output: Some(output) },
        }
    };
    Setup::new(keyword, near).holding(held)
}

fn text(way: Way, given: &[u8]) -> Setup {
    let (take, output) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let held = Swapped::new(1, &output);
    let address = format!("TEXT:\"{}\"", std::str::from_utf8(given).unwrap());
    let near = move |_: &Running| {
        let input = End::new(take);
        if way == Way::From { Near::Given } else { Near::Ends { input: Some(input), output: None } }
    };
    Setup::new(address, near).holding(held)
}

/// Who ends first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    /// Both write and read at once; then both end.
    Together,
    /// The far side ends, and is then answered.
    FarFirst,
    /// The near side ends, and is then answered.
    NearFirst,
}

/// One relay between the endpoint and a connection of the test's.
struct Case<'a> {
    fixture: &'a Fixture,
    way: Way,
    side: Side,
    order: Order,
    /// What goes to the endpoint.
    to: &'a [u8],
    /// What comes from it.
    from: &'a [u8],
}

impl Case<'_> {
    /// Relays, and checks that every byte and every end arrives and that nothing is left.
    fn run(&self) {
        leaves_nothing(|scratch| {
            let setup = (self.fixture.make)(scratch, self.way, self.from);
            let (far_plan, far_end) = far();
            let near_plan = plan(&setup.address, self.way.direction());
            let (left, right) = match self.side {
                Side::Left => (near_plan, far_plan),
                Side::Right => (far_plan, near_plan),
            };
            let settings = Settings { ways: self.way.ways(self.side), ..Settings::default() };
            let running = Running::start(left, right, settings);
            let near = (setup.near)(&running);
            let far = far_end.open(&running);
            for name in &setup.names {
                until("the name exists", || name.symlink_metadata().is_ok());
            }
            let file = if let Near::File(path) = &near { Some(path.clone()) } else { None };
            match self.way {
                Way::Both => self.both(near, far),
                Way::To => self.to(near, far),
                Way::From => self.from(near, far),
            }
            let report = running.report();
            assert!(report.is_success(), "{report:?} {:?}", running.log.all());
            assert_eq!(report.ended, Ended::Finished);
            if let Some(path) = file {
                assert_whole("the file", &std::fs::read(path).unwrap(), self.to);
            }
            let echo_or_given = if self.way == Way::To { 0 } else { self.returned().len() };
            let sent = if self.way == Way::From { 0 } else { self.to.len() };
            let (in_flow, out_flow) = match self.side {
                Side::Left => (report.right_to_left, report.left_to_right),
                Side::Right => (report.left_to_right, report.right_to_left),
            };
            assert_eq!((in_flow.bytes, out_flow.bytes), (sent as u64, echo_or_given as u64), "{report:?}");
            gone(&setup.names);
            drop(setup.held);
            running
        });
    }

    /// What is read from the endpoint.
    fn returned(&self) -> &[u8] {
        if self.echoes() { self.to } else { self.from }
    }

    fn echoes(&self) -> bool {
        let program = ["EXEC", "SYSTEM", "SHELL"].contains(&self.fixture.kind);
        let pipe = (self.fixture.kind, self.fixture.variant) == ("PIPE", "unnamed");
        self.way == Way::Both && (program || pipe || self.fixture.kind == "SOCKETPAIR")
    }

    /// What the near side waits for when the far side has ended.
    fn end_or_all(&self) -> Want {
        if self.fixture.passes_end { Want::End } else { Want::Bytes(self.to.len()) }
    }

    fn both(&self, near: Near, far: End) {
        match near {
            Near::Echo => {
                let mut tasks = [Task::send(far.again(), self.to, Last::Finish), Task::receive(far, Want::End)];
                exchange("echo", &mut tasks);
                let [_, back] = tasks;
                assert_whole("the echo", &back.received(), self.to);
            }
            Near::Ends { input: Some(input), output: None } => {
                let mut tasks = [
                    Task::send(far.again(), self.to, Last::Finish),
                    Task::receive(far, Want::End),
                    Task::receive(input, Want::Bytes(self.to.len())),
                ];
                exchange("to the sink, from the text", &mut tasks);
                let [_, given, taken] = tasks;
                assert_whole("the text", &given.received(), self.from);
                assert_whole("what was written", &taken.received(), self.to);
            }
            Near::Ends { input: Some(input), output: Some(output) } => match self.order {
                Order::Together => self.together(input, output, &far),
                Order::FarFirst => self.far_first(input, output, far),
                Order::NearFirst => self.near_first(input, output, far),
            },
            _ => panic!("the fixture does not fit both ways"),
        }
    }

    fn together(&self, input: End, output: End, far: &End) {
        let mut tasks = [
            Task::send(far.again(), self.to, Last::Keep),
            Task::send(output.again(), self.from, Last::Keep),
            Task::receive(far.again(), Want::Bytes(self.from.len())),
            Task::receive(input.again(), Want::Bytes(self.to.len())),
        ];
        exchange("together", &mut tasks);
        let [_, _, at_far, at_near] = tasks;
        assert_whole("at the far side", &at_far.received(), self.from);
        assert_whole("at the near side", &at_near.received(), self.to);
        far.again().finish();
        if self.fixture.passes_end {
            assert_whole("after the far end", &input.receive_all(), b"");
        }
        output.finish();
        drop(input);
        assert_whole("after the near end", &far.receive_all(), b"");
    }

    fn far_first(&self, input: End, output: End, far: End) {
        let mut tasks =
            [Task::send(far.again(), self.to, Last::Finish), Task::receive(input.again(), self.end_or_all())];
        exchange("the far side's bytes and end", &mut tasks);
        let [_, at_near] = tasks;
        assert_whole("at the near side", &at_near.received(), self.to);
        drop(input);
        let mut tasks = [Task::send(output, self.from, Last::Finish), Task::receive(far, Want::End)];
        exchange("the near side's answer and end", &mut tasks);
        let [_, at_far] = tasks;
        assert_whole("at the far side", &at_far.received(), self.from);
    }

    fn near_first(&self, input: End, output: End, far: End) {
        let mut tasks = [Task::send(output, self.from, Last::Finish), Task::receive(far.again(), Want::End)];
        exchange("the near side's bytes and end", &mut tasks);
        let [_, at_far] = tasks;
        assert_whole("at the far side", &at_far.received(), self.from);
        let mut tasks = [Task::send(far, self.to, Last::Finish), Task::receive(input, self.end_or_all())];
        exchange("the far side's answer and end", &mut tasks);
        let [_, at_near] = tasks;
        assert_whole("at the near side", &at_near.received(), self.to);
    }

    fn to(&self, near: Near, far: End) {
        let mut tasks = vec![Task::send(far, self.to, Last::Finish)];
        if let Near::Ends { input: Some(input), .. } = near {
            tasks.push(Task::receive(input, self.end_or_all()));
        }
        exchange("to the endpoint", &mut tasks);
        if let Some(received) = tasks.into_iter().nth(1).map(Task::received) {
            assert_whole("what was written", &received, self.to);
        }
    }

    fn from(&self, near: Near, far: End) {
        let output = match near {
            // Of a terminal the input is the same, and would keep it open.
            Near::Ends { input, output } => {
                drop(input);
                output
            }
            _ => None,
        };
        if let (Some(output), false) = (&output, self.fixture.half_closes) {
            // The end of a terminal is its hang-up, and that takes along what was not read.
            let mut tasks = [
                Task::receive(far.again(), Want::Bytes(self.from.len())),
                Task::send(output.again(), self.from, Last::Keep),
            ];
            exchange("from the endpoint", &mut tasks);
            let [received, _] = tasks;
            assert_whole("what was read", &received.received(), self.from);
        }
        let rest = if self.fixture.half_closes { self.from } else { b"" };
        let mut tasks = vec![Task::receive(far, Want::End)];
        tasks.extend(output.map(|output| Task::send(output, rest, Last::Finish)));
        exchange("from the endpoint", &mut tasks);
        let received = tasks.into_iter().next().map(Task::received).unwrap_or_default();
        assert_whole("what was read, to the end", &received, rest);
    }
}

/// The relay is dropped while its other address is not open yet.
fn dropped_while_the_other_opens(fixture: &Fixture, way: Way) {
    leaves_nothing(|scratch| {
        let setup = (fixture.make)(scratch, way, b"given");
        let (never_plan, asked) = never();
        let settings = Settings { ways: way.ways(Side::Left), ..Settings::default() };
        let mut running = Running::start(plan(&setup.address, way.direction()), never_plan, settings);
        let near = (setup.near)(&running);
        asked.recv_timeout(LIMIT).expect("the other address is opened");
        for name in &setup.names {
            assert!(name.symlink_metadata().is_ok(), "{} is missing", name.display());
        }
        running.cancel();
        drop(near);
        gone(&setup.names);
        drop(setup.held);
        running
    });
}

/// The relay is dropped while it is opening: connecting, accepting, waiting for somebody.
fn dropped_while_opening(waits: Waits) {
    leaves_nothing(|scratch| {
        let (setup, way, line) = waits(scratch);
        let (far_plan, _far_end) = far();
        let settings = Settings { ways: way.ways(Side::Left), ..Settings::default() };
        let mut running = Running::start(plan(&setup.address, way.direction()), far_plan, settings);
        if !line.is_empty() {
            running.log.behind(line);
        }
        for name in &setup.names {
            until("the name exists", || name.symlink_metadata().is_ok());
        }
        // What was logged is begun right after.
        std::thread::sleep(Duration::from_millis(5));
        running.cancel();
        gone(&setup.names);
        drop(setup.held);
        running
    });
}

/// The relay is dropped with bytes under way, as many as fit.
fn dropped_while_copying(fixture: &Fixture, way: Way) {
    leaves_nothing(|scratch| {
        let setup = (fixture.make)(scratch, way, &noise(7, 100_000));
        let (far_plan, far_end) = far();
        let settings = Settings { ways: way.ways(Side::Left), ..Settings::default() };
        let mut running = Running::start(plan(&setup.address, way.direction()), far_plan, settings);
        let near = (setup.near)(&running);
        let far = far_end.open(&running);
        if way != Way::From {
            assert!(far.fill() > 0);
        }
        if let Near::Ends { output: Some(output), .. } = &near {
            assert!(output.fill() > 0);
        }
        if way == Way::From && matches!(near, Near::Given) {
            // It gives all by itself and would be at its end: the relay is over, or about to be.
            running.report();
        } else {
            running.cancel();
        }
        drop((near, far));
        gone(&setup.names);
        drop(setup.held);
        running
    });
}

/// Never gives a byte nor an end, never takes one; nothing is left of it when the relay gives up.
fn a_stalled_endpoint_moves_nothing() {
    for size in [0, 100] {
        leaves_nothing(|_| {
            let (far_plan, far_end) = far();
            let settings = Settings { idle: Some(Duration::from_millis(50)), ..Settings::default() };
            let running = Running::start(both("STALL"), far_plan, settings);
            let far = far_end.open(&running);
            let data = noise(3, size);
            exchange("to STALL", &mut [Task::send(far.again(), &data, Last::Finish)]);
            let report = running.report();
            assert_eq!(report.right_to_left.bytes + report.left_to_right.bytes, 0);
            assert_eq!(report.right_to_left.undelivered, size as u64, "{report:?}");
            assert_eq!(report.is_success(), size == 0, "{report:?}");
            assert_whole("from STALL", &far.receive_all(), b"");
            running
        });
    }
    leaves_nothing(|_| {
        let (far_plan, far_end) = far();
        let mut running = Running::start(both("STALL"), far_plan, Settings::default());
        assert!(far_end.open(&running).fill() > 0);
        running.cancel();
        running
    });
}

/// Bytes go both ways over a line, until it goes away: a line has no end, so that is an error, and nothing is left.
fn a_line_that_goes_away_is_an_error() {
    for side in [Side::Left, Side::Right] {
        leaves_nothing(|_| {
            let setup = open_terminal("SERIAL", Way::Both);
            let (far_plan, far_end) = far();
            let line = both(&setup.address);
            let (left, right) = if side == Side::Left { (line, far_plan) } else { (far_plan, line) };
            let running = Running::start(left, right, Settings::default());
            let Near::Ends { output: Some(near), .. } = (setup.near)(&running) else { panic!("a terminal") };
            let far = far_end.open(&running);
            let (to, from) = (noise(1, 10_000), noise(2, 10_000));
            let mut tasks = [
                Task::send(far.again(), &to, Last::Keep),
                Task::send(near.again(), &from, Last::Keep),
                Task::receive(far.again(), Want::Bytes(from.len())),
                Task::receive(near.again(), Want::Bytes(to.len())),
            ];
            exchange("over the line", &mut tasks);
            let [_, _, at_far, at_near] = tasks;
            assert_whole("at the far side", &at_far.received(), &from);
            assert_whole("at the line", &at_near.received(), &to);
            drop(near);
            assert_whole("after the line", &far.receive_all(), b"");
            far.finish();
            let report = running.report();
            let error = report.error.expect("an error");
            assert_eq!((report.ended, error.errno()), (Ended::Failed, Some(libc::ENODEV)), "{error:?}");
            running
        });
    }
}

/// Sessions of a listener that serves many are dropped with it.
fn dropped_with_many_sessions(listener: &'static str) {
    leaves_nothing(|scratch| {
        let path = scratch.path("socket");
        let tcp = listener.starts_with("TCP");
        let address = if tcp { listener.to_owned() } else { format!("{listener}:{},fork", path.display()) };
        let mut running =
            Running::start(both(&address), both(&format!("EXEC:tee {}", scratch.text("file"))), Settings::default());
        running.log.behind("listening on");
        let ends: Vec<End> = (0..5)
            .map(|_| {
                if tcp {
                    End::new(TcpStream::connect((Ipv4Addr::LOCALHOST, running.log.port())).unwrap())
                } else {
                    End::new(UnixStream::connect(&path).unwrap())
                }
            })
            .collect();
        for (index, end) in ends.iter().enumerate() {
            let data = noise(index, 1000);
            end.send(&data);
            assert_whole("through the program", &end.receive(data.len()), &data);
        }
        assert_eq!(rig::children().len(), 5);
        running.cancel();
        for end in &ends {
            assert_whole("after the drop", &end.receive_all(), b"");
        }
        gone(&[path]);
        running
    });
}

/// Runs `scenario`, ends its relay, and makes sure that the process has open what it had before and no
/// child is left. While the runtime lives only pipes may be open that were not before: those in reserve.
#[track_caller]
fn leaves_nothing(scenario: impl FnOnce(&Scratch) -> Running) {
    let scratch = Scratch::new();
    let before = Open::now();
    let running = scenario(&scratch);
    until("no child is left", || rig::children().is_empty());
    until("no program is left", || rig::naming(scratch.root()).is_empty());
    let mut left = Vec::new();
    until("only the runtime is open", || {
        left = Open::now().others;
        left.retain(|target| !before.others.contains(target) && !target.starts_with("anon_inode:[event"));
        // The two ends of the runtime's own socket pair stay as long as the process.
        left.is_empty()
    });
    running.end();
    let after = Open::now();
    assert_eq!(after, before, "open before and after");
}

#[track_caller]
fn gone(names: &[PathBuf]) {
    for name in names {
        until("the name is gone", || name.symlink_metadata().is_err());
    }
}

#[track_caller]
fn assert_whole(what: &str, got: &[u8], expected: &[u8]) {
    let same = got.iter().zip(expected).take_while(|(got, expected)| got == expected).count();
    assert!(got == expected, "{what}: {} bytes instead of {}, the first {same} right", got.len(), expected.len());
}

/// Sizes around what is read at once, and one that is bulk.
const SIZES: [usize; 7] = [0, 1, 777, 16 * 1024 - 1, 16 * 1024, 16 * 1024 + 1, BULK];
const BULK: usize = 1024 * 1024;

/// All cases of one fixture, each under its name.
fn cases(fixture: &'static Fixture) -> Vec<(String, Box<dyn Fn()>)> {
    let mut cases: Vec<(String, Box<dyn Fn()>)> = Vec::new();
    for &way in fixture.ways {
        for (index, size) in SIZES.into_iter().enumerate() {
            let orders: &[Order] = match (way, fixture.half_closes) {
                (Way::Both, true) => &[Order::Together, Order::FarFirst, Order::NearFirst],
                (Way::Both, false) => &[Order::Together, Order::FarFirst],
                _ => &[Order::FarFirst],
            };
            // Bulk in every order, other sizes in turn.
            let turn = index % orders.len();
            let orders = if size >= BULK { orders } else { &orders[turn..=turn] };
            for &order in orders {
                let side = if index % 2 == 0 { Side::Left } else { Side::Right };
                let other = SIZES[(index + 3) % SIZES.len()];
                let run = move || {
                    let (to, from) = (noise(1, size), noise(2, if way == Way::From { size } else { other }));
                    Case { fixture, way, side, order, to: &to, from: &from }.run();
                };
                cases.push((format!("{way:?} {order:?} {side:?} {size} bytes"), Box::new(run)));
            }
        }
        cases.push((format!("{way:?} dropped while the other opens"), {
            Box::new(move || dropped_while_the_other_opens(fixture, way))
        }));
        cases.push((format!("{way:?} dropped while copying"), Box::new(move || dropped_while_copying(fixture, way))));
    }
    for (index, &waits) in fixture.waits.iter().enumerate() {
        cases.push((format!("dropped while opening, {index}"), Box::new(move || dropped_while_opening(waits))));
    }
    cases
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("panicked").to_owned()
}

/// Failures after which no further cases are tried.
const ENOUGH: usize = 6;

#[test]
fn every_kind_keeps_the_contract() {
    let mut failures = Vec::new();
    let mut check = |name: String, run: &dyn Fn()| {
        // A defect of all kinds is told well enough by some, and each waits its time.
        if failures.len() >= ENOUGH {
            return;
        }
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            failures.push(format!("{name}: {}", message(&*panic)));
        }
    };
    for kind in endpoint::kinds() {
        check(kind.name.to_owned(), &|| {
            assert!(FIXTURES.iter().any(|fixture| fixture.kind == kind.name), "this kind has no fixture");
        });
    }
    for fixture in FIXTURES {
        let name = format!("{} {}", fixture.kind, fixture.variant);
        check(name.clone(), &|| fits(fixture));
        for (case, run) in cases(fixture) {
            check(format!("{name}: {case}"), &*run);
        }
    }
    check("STALL".to_owned(), &a_stalled_endpoint_moves_nothing);
    check("SERIAL".to_owned(), &a_line_that_goes_away_is_an_error);
    check("TCP-LISTEN fork".to_owned(), &|| dropped_with_many_sessions("TCP-LISTEN:0,bind=127.0.0.1,fork"));
    check("UNIX-LISTEN fork".to_owned(), &|| dropped_with_many_sessions("UNIX-LISTEN"));
    assert!(failures.is_empty(), "{} broken:\n{}", failures.len(), failures.join("\n"));
}

/// A fixture names a kind there is, covers all its ways, and shows how a listener waits.
fn fits(fixture: &Fixture) {
    let kind = endpoint::find(fixture.kind).expect("there is such a kind");
    assert_eq!(kind.name, fixture.kind, "not an alias");
    for way in fixture.ways {
        assert!(!way.direction().reads() || kind.direction.reads());
        assert!(!way.direction().writes() || kind.direction.writes());
    }
    let Some(&way) = fixture.ways.first() else { return };
    let scratch = Scratch::new();
    let setup = (fixture.make)(&scratch, way, b"");
    if let Planned::Single(endpoint) = plan(&setup.address, way.direction()).planned {
        let listens = matches!(endpoint.opener, Opener::Bind(_));
        assert!(!listens || !fixture.waits.is_empty(), "a listener can be dropped while it accepts");
    }
}
