//! What the tests of whole relays share: a relay on a thread, the ends a test holds, and what a process has open.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(dead_code, reason = "each of the tests that share this uses its own part")]

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use ferrule::channel::{Channel, Port};
use ferrule::endpoint::{self, BoxFuture, Connect, Defaults, Direction, Kind, Opener, Plan};
use ferrule::log::{Level, Log, Sink};
use ferrule::option::{Groups, Settings as Options};
use ferrule::relay::{Relay, Report, Settings, Stop};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::oneshot;

/// How long anything may take; only a test that fails waits so long.
pub const LIMIT: Duration = Duration::from_secs(10);

/// The tests of one file that count descriptors run one after the other.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until `condition` holds.
#[track_caller]
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < LIMIT, "waited in vain: {what}");
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Bytes without a pattern that a lost or doubled block would hide in; printable, so that an address can
/// hold them.
pub fn noise(seed: usize, size: usize) -> Vec<u8> {
    const PERIOD: usize = 2 << 20;
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[(state >> 32) as usize % 64]
        };
        (0..PERIOD).map(|_| next()).collect()
    });
    BYTES.iter().cycle().skip(seed * 7919 % PERIOD).take(size).copied().collect()
}

/// A directory that is removed with all that is in it.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    pub fn within(directory: &Path) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ferrule-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = directory.join(name);
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// As [`Scratch::path`], for an address.
    pub fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    pub fn root(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// What was logged, a line for each event.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Sink for Lines {
    fn write(&self, _: Level, message: &str) {
        self.0.lock().unwrap().push(message.to_owned());
    }
}

impl Lines {
    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    pub fn count(&self, part: &str) -> usize {
        self.all().iter().filter(|line| line.contains(part)).count()
    }

    /// Waits for a line and gives what stands behind `part` in it.
    #[track_caller]
    pub fn behind(&self, part: &str) -> String {
        let mut found = None;
        let begun = Instant::now();
        while found.is_none() {
            assert!(begun.elapsed() < LIMIT, "no line \"{part}\" in {:?}", self.all());
            std::thread::sleep(Duration::from_micros(200));
            found = self.all().iter().find_map(|line| line.split_once(part).map(|(_, rest)| rest.to_owned()));
        }
        found.unwrap()
    }

    /// The port a TCP listener got.
    #[track_caller]
    pub fn port(&self) -> u16 {
        let line = self.behind("listening on ");
        line.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port")
    }
}

/// A relay on a thread and a runtime of its own.
pub struct Running {
    pub log: Lines,
    pub stop: Stop,
    /// The thread's number, for /proc.
    pub thread_id: i32,
    report: mpsc::Receiver<Option<Report>>,
    go: mpsc::Sender<()>,
    cancel: Option<oneshot::Sender<()>>,
    release: Option<oneshot::Sender<()>>,
    thread: JoinHandle<()>,
}

impl Running {
    /// Starts a relay at once.
    pub fn start(left: Plan, right: Plan, settings: Settings) -> Self {
        let running = Self::prepare(left, right, settings);
        running.go();
        running
    }

    /// Makes the thread and its runtime, but not yet the relay.
    pub fn prepare(left: Plan, right: Plan, settings: Settings) -> Self {
        let (log, stop) = (Lines::default(), Stop::default());
        let (go, may_go) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        let (done, report) = mpsc::channel();
        let (cancel, cancelled) = oneshot::channel();
        let (release, released) = oneshot::channel();
        let (lines, stopping) = (log.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            ready.send(nix::unistd::gettid().as_raw()).unwrap();
            if may_go.recv().is_err() {
                return;
            }
            let relay = Relay::new(left, right, settings, Log::new(Level::Notice, Box::new(lines)));
            runtime.block_on(async move {
                let relay = Arc::new(relay);
                let report = tokio::select! {
                    report = relay.run(&stopping) => Some(report),
                    _ = cancelled => None,
                };
                drop(relay);
                done.send(report).unwrap();
                // The runtime goes on, so that tasks that were left behind show.
                let _ = released.await;
            });
        });
        let thread_id = is_ready.recv_timeout(LIMIT).unwrap();
        Self { log, stop, thread_id, report, go, cancel: Some(cancel), release: Some(release), thread }
    }

    pub fn go(&self) {
        self.go.send(()).unwrap();
    }

    /// Waits for the end of the relay; its runtime goes on.
    #[track_caller]
    pub fn report(&self) -> Report {
        let report = self.report.recv_timeout(LIMIT);
        report.unwrap_or_else(|_| panic!("the relay does not end: {:?}", self.log.all())).unwrap()
    }

    /// Drops the relay's future; its runtime goes on.
    #[track_caller]
    pub fn cancel(&mut self) {
        self.cancel.take().unwrap().send(()).expect("the relay is under way");
        let report = self.report.recv_timeout(LIMIT).unwrap();
        assert!(report.is_none(), "the relay had ended by itself: {report:?}");
    }

    /// Ends the runtime and the thread.
    pub fn end(mut self) {
        drop((self.cancel.take(), self.release.take()));
        self.thread.join().unwrap();
    }

    /// Waits for the end of the relay, which must be a success, and ends all.
    #[track_caller]
    pub fn finish(self) -> Report {
        let report = self.report();
        assert!(report.is_success(), "{report:?} {:?}", self.log.all());
        self.end();
        report
    }
}

/// One descriptor a test reads or writes; does not block.
pub struct End {
    fd: OwnedFd,
    socket: bool,
}

impl End {
    pub fn new(fd: impl Into<OwnedFd>) -> Self {
        let fd = fd.into();
        let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL).unwrap());
        fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK)).unwrap();
        let socket = nix::sys::stat::fstat(&fd).unwrap().st_mode & libc::S_IFMT == libc::S_IFSOCK;
        Self { fd, socket }
    }

    /// A second descriptor of the same thing.
    pub fn again(&self) -> Self {
        Self { fd: self.fd.try_clone().unwrap(), socket: self.socket }
    }

    /// Ends the data: the other direction of a socket goes on.
    pub fn finish(self) {
        if self.socket {
            let _ = nix::sys::socket::shutdown(
                std::os::fd::AsRawFd::as_raw_fd(&self.fd),
                nix::sys::socket::Shutdown::Write,
            );
        }
    }

    pub fn write_now(&self, data: &[u8]) -> nix::Result<usize> {
        nix::unistd::write(&self.fd, data)
    }

    pub fn read_now(&self, buffer: &mut [u8]) -> nix::Result<usize> {
        nix::unistd::read(&self.fd, buffer)
    }

    /// Writes until nothing more fits, 8 MiB at most, with a pause for the relay to move some on; returns how
    /// many bytes that were.
    pub fn fill(&self) -> usize {
        let (mut total, block) = (0, vec![b'x'; 65536]);
        for _ in 0..3 {
            while total < 8 << 20
                && let Ok(count) = self.write_now(&block)
            {
                total += count;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        total
    }

    /// Writes all of `data`.
    #[track_caller]
    pub fn send(&self, data: &[u8]) {
        exchange("send", &mut [Task::send(self.again(), data, Last::Keep)]);
    }

    /// Reads `count` bytes.
    #[track_caller]
    pub fn receive(&self, count: usize) -> Vec<u8> {
        let mut tasks = [Task::receive(self.again(), Want::Bytes(count))];
        exchange("receive", &mut tasks);
        let [task] = tasks;
        task.received()
    }

    /// Reads to the end.
    #[track_caller]
    pub fn receive_all(&self) -> Vec<u8> {
        let mut tasks = [Task::receive(self.again(), Want::End)];
        exchange("receive all", &mut tasks);
        let [task] = tasks;
        task.received()
    }
}

impl AsFd for End {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// What is done with an end when all is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Last {
    Keep,
    Finish,
}

/// How much is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    Bytes(usize),
    End,
}

/// Something to be written or read, while other things are.
pub enum Task<'a> {
    Send { end: Option<End>, data: &'a [u8], done: usize, last: Last },
    Receive { end: End, want: Want, received: Vec<u8>, done: bool },
}

impl<'a> Task<'a> {
    pub fn send(end: End, data: &'a [u8], last: Last) -> Self {
        Self::Send { end: Some(end), data, done: 0, last }
    }

    pub fn receive(end: End, want: Want) -> Self {
        Self::Receive { end, want, received: Vec::new(), done: want == Want::Bytes(0) }
    }

    /// What was read.
    pub fn received(self) -> Vec<u8> {
        match self {
            Self::Send { .. } => Vec::new(),
            Self::Receive { received, .. } => received,
        }
    }

    fn waits_for(&self) -> Option<PollFd<'_>> {
        match self {
            Self::Send { end, .. } => end.as_ref().map(|end| PollFd::new(end.as_fd(), PollFlags::POLLOUT)),
            Self::Receive { end, done, .. } => (!done).then(|| PollFd::new(end.as_fd(), PollFlags::POLLIN)),
        }
    }

    fn step(&mut self) {
        match self {
            Self::Send { end, data, done, last } => {
                let Some(open) = end else { return };
                while *done < data.len() {
                    match open.write_now(&data[*done..]) {
                        Ok(count) => *done += count,
                        Err(Errno::EAGAIN) => return,
                        Err(error) => panic!("write after {done} bytes: {error}"),
                    }
                }
                let end = end.take().unwrap();
                if *last == Last::Finish {
                    end.finish();
                }
            }
            Self::Receive { end, want, received, done } => {
                let mut buffer = vec![0; 65536];
                while !*done {
                    let room = match want {
                        Want::Bytes(count) => (*count - received.len()).min(buffer.len()),
                        Want::End => buffer.len(),
                    };
                    match end.read_now(&mut buffer[..room]) {
                        // The master of a pseudo terminal was closed.
                        Ok(0) | Err(Errno::EIO) if *want == Want::End => *done = true,
                        Ok(0) => panic!("the end came after {} bytes, wanted {want:?}", received.len()),
                        Ok(count) => received.extend_from_slice(&buffer[..count]),
                        Err(Errno::EAGAIN) => return,
                        Err(error) => panic!("read after {} bytes: {error}", received.len()),
                    }
                    *done |= *want == Want::Bytes(received.len());
                }
            }
        }
    }
}

/// Writes and reads until everything is done.
#[track_caller]
pub fn exchange(what: &str, tasks: &mut [Task<'_>]) {
    let begun = Instant::now();
    loop {
        for task in &mut *tasks {
            task.step();
        }
        let mut waiting: Vec<PollFd<'_>> = tasks.iter().filter_map(Task::waits_for).collect();
        if waiting.is_empty() {
            return;
        }
        poll(&mut waiting, PollTimeout::from(100_u8)).unwrap();
        if begun.elapsed() >= LIMIT {
            let standing = tasks.iter().map(|task| match task {
                Task::Send { data, done, end, .. } => format!("sent {done} of {}, open {}", data.len(), end.is_some()),
                Task::Receive { want, received, done, .. } => {
                    format!("received {} of {want:?}, done {done}", received.len())
                }
            });
            panic!("{what}: stuck; {}", standing.collect::<Vec<_>>().join("; "));
        }
    }
}

/// The address `text`, for this direction.
#[track_caller]
pub fn plan(text: &str, direction: Direction) -> Plan {
    let shown = if text.len() > 200 { &text[..200] } else { text };
    Plan::parse(text.as_bytes(), direction, &Defaults::default()).unwrap_or_else(|error| panic!("{shown}: {error}"))
}

/// As [`plan`], for both directions.
#[track_caller]
pub fn both(text: &str) -> Plan {
    plan(text, Direction::Both)
}

static KIND: Kind = Kind {
    name: "TEST",
    aliases: &[],
    usage: "",
    params: (0, 0),
    groups: Groups::FD,
    direction: Direction::Both,
    doc: "for tests",
    plan: |_| unreachable!("plans are made by hand"),
};

/// An endpoint whose other end the test gets when it is opened.
struct Far(Mutex<mpsc::Sender<UnixStream>>);

impl Connect for Far {
    fn connect<'a>(&'a self, _: &'a endpoint::Context) -> BoxFuture<'a, ferrule::Result<Channel>> {
        Box::pin(async move {
            let (ours, theirs) = UnixStream::pair().unwrap();
            self.0.lock().unwrap().send(theirs).unwrap();
            Ok(Channel::duplex(Port::new(ours.into()).unwrap(), &Options::default()))
        })
    }
}

/// A plan for a UNIX connection, and where its other end comes out once it is open.
pub fn far() -> (Plan, FarEnd) {
    let (sender, receiver) = mpsc::channel();
    (Plan::of_opener(&KIND, "FAR", Opener::Connect(Arc::new(Far(Mutex::new(sender))))), FarEnd(receiver))
}

pub struct FarEnd(mpsc::Receiver<UnixStream>);

impl FarEnd {
    #[track_caller]
    pub fn open(&self, running: &Running) -> End {
        let Ok(end) = self.0.recv_timeout(LIMIT) else {
            panic!("the relay does not open its other side: {:?}", running.log.all())
        };
        End::new(end)
    }
}

/// An endpoint that is never open, and says when it is asked.
struct Never(Mutex<mpsc::Sender<()>>);

impl Connect for Never {
    fn connect<'a>(&'a self, _: &'a endpoint::Context) -> BoxFuture<'a, ferrule::Result<Channel>> {
        Box::pin(async move {
            self.0.lock().unwrap().send(()).unwrap();
            std::future::pending().await
        })
    }
}

/// A plan that is never open, and where it says that somebody waits for it.
pub fn never() -> (Plan, mpsc::Receiver<()>) {
    let (sender, receiver) = mpsc::channel();
    (Plan::of_opener(&KIND, "NEVER", Opener::Connect(Arc::new(Never(Mutex::new(sender))))), receiver)
}

/// Accepts one connection.
#[track_caller]
pub fn accepted(listener: &TcpListener) -> End {
    End::new(accepted_stream(listener))
}

#[track_caller]
pub fn accepted_stream(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).unwrap();
    let mut found = None;
    until("a connection", || match listener.accept() {
        Ok((stream, _)) => {
            found = Some(stream);
            true
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        Err(error) => panic!("accept: {error}"),
    });
    found.unwrap()
}

/// What this process has open.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Open {
    /// Numbers and what they stand for, without pipes.
    pub others: Vec<String>,
    pub pipes: usize,
}

impl Open {
    /// Looks into /proc/self/fd. Numbers tell nothing: sockets are told apart by their inodes.
    pub fn now() -> Self {
        let mut open = Self::default();
        for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
            // The descriptor of the directory itself is gone by now.
            let Ok(target) = std::fs::read_link(entry.unwrap().path()) else { continue };
            let target = target.to_string_lossy().into_owned();
            if target.starts_with("pipe:") {
                open.pipes += 1;
            } else if !target.starts_with("/proc/") {
                open.others.push(target);
            }
        }
        open.others.sort();
        open
    }

    pub fn count(&self, begin: &str) -> usize {
        self.others.iter().filter(|target| target.starts_with(begin)).count()
    }
}

/// Children of this process, whatever their state, as /proc tells them.
pub fn children() -> Vec<String> {
    let own = std::process::id().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        // The name in brackets may hold anything; state and parent follow it.
        let Some((name, rest)) = stat.rsplit_once(')') else { continue };
        if rest.split_whitespace().nth(1) == Some(&own) {
            found.push(format!("{name}){}", rest.split_whitespace().next().unwrap_or_default()));
        }
    }
    found
}

/// Processes that name `path` in their arguments.
pub fn naming(path: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(line) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(path.to_str().unwrap()) {
            found.push(line);
        }
    }
    found
}
