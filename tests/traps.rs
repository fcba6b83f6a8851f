//! The traps of relays that splice, each with a test under its name.
//!
//! T10, the table of ways, is private: it is tested beside it (`relay/splice_tests.rs`), as are refusals of the
//! kernel (`relay/direction_tests.rs`). T11 (measure ends and relay apart, in turns, with byte counts) and T13
//! (do not take a runtime of many threads unmeasured) are rules for benchmarks, see `benches/`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod rig;

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ferrule::channel::{Buffer, Port, Tap};
use ferrule::endpoint::Direction::{Read, Write};
use ferrule::log::{Level, Log};
use ferrule::relay::{Relay, Settings, Stop, Ways};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use rig::{End, Last, Open, Running, Scratch, Task, Want, alone, both, exchange, far, noise, until};

const BULK: usize = 4 << 20;

/// A relay from a TCP listener, which may serve many, to a server of the test's.
struct Bridge {
    running: Running,
    server: TcpListener,
}

impl Bridge {
    fn new(options: &str, server_options: &str, settings: Settings) -> Self {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let to = format!("TCP:127.0.0.1:{}{server_options}", server.local_addr().unwrap().port());
        let running = Running::start(both(&format!("TCP-LISTEN:0,bind=127.0.0.1{options}")), both(&to), settings);
        Self { running, server }
    }

    /// One connection through the relay: its client and its server.
    fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect((Ipv4Addr::LOCALHOST, self.running.log.port())).unwrap();
        (client, rig::accepted_stream(&self.server))
    }

    fn ends(&self) -> (End, End) {
        let (client, server) = self.connect();
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        (End::new(client), End::new(server))
    }
}

/// Moves `size` bytes; both ends stay open.
#[track_caller]
fn burst(from: &End, to: &End, size: usize) {
    let data = noise(size, size);
    let mut tasks = [Task::send(from.again(), &data, Last::Keep), Task::receive(to.again(), Want::Bytes(data.len()))];
    exchange("burst", &mut tasks);
    let [_, received] = tasks;
    assert!(received.received() == data, "{size} bytes arrived, but not the ones that were sent");
}

/// Sends `data` and its end, and reads to the end.
#[track_caller]
fn carry(from: End, to: &End, data: &[u8]) {
    let mut tasks = [Task::send(from, data, Last::Finish), Task::receive(to.again(), Want::End)];
    exchange("carry", &mut tasks);
    let [_, received] = tasks;
    let received = received.received();
    assert!(received == data, "{} bytes of {} arrived", received.len(), data.len());
}

/// The time of each of `rounds` messages of 64 bytes, there and back.
#[track_caller]
fn ping_pong(client: &End, server: &End, rounds: usize) -> Vec<Duration> {
    let ping = |index| {
        let (message, begun) = (noise(index, 64), Instant::now());
        client.send(&message);
        assert!(server.receive(64) == message);
        server.send(&message);
        assert!(client.receive(64) == message);
        begun.elapsed()
    };
    let mut times: Vec<Duration> = (0..rounds).map(ping).collect();
    times.sort();
    times
}

/// The name of this test, run once more in a process of its own that is started by `program`.
fn again_under(program: &[&str], test: &str, mark: &str) -> io::Result<std::process::Output> {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg(std::env::current_exe()?).args(["--exact", test, "--nocapture"]);
    command.env(mark, "1").stdin(Stdio::null()).output()
}

/// EAGAIN from splice(2) means that the socket is empty or that the pipe is full. Segments as a network card
/// has them fill a pipe's slots long before its bytes: the last of them must not be waited for in vain.
#[test]
fn t1_small_segments_do_not_hang_the_tail() {
    const MARK: &str = "FERRULE_TEST_IN_NAMESPACE";
    if std::env::var_os(MARK).is_some() {
        // One segment a packet, no larger than Ethernet's: what MTU 1500 without TSO and GSO gives.
        for link in [&["mtu", "1500"][..], &["gso_max_segs", "1"], &["up"]] {
            let set = Command::new("ip").args(["link", "set", "lo"]).args(link).status().unwrap();
            assert!(set.success(), "ip link set lo {link:?}");
        }
        return bulk_both_ways();
    }
    let _alone = alone();
    let name = "t1_small_segments_do_not_hang_the_tail";
    match Command::new("unshare").args(["-n", "ip", "link"]).output() {
        Ok(tried) if tried.status.success() => {
            let output = again_under(&["unshare", "-n"], name, MARK).unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(
                output.status.success() && text.contains("1 passed"),
                "{text}{}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        tried => println!("skipped: no network namespace of its own, which takes root and iproute2: {tried:?}"),
    }
}

/// Bulk to the server, and back, with ends that come right behind the last byte, at odd sizes.
fn bulk_both_ways() {
    for size in [BULK, BULK + 1447, 23 * 1024 + 1] {
        let bridge = Bridge::new("", "", Settings::default());
        let (client, server) = bridge.ends();
        let (up, down) = (noise(1, size), noise(2, size));
        let mut tasks = [
            Task::send(client.again(), &up, Last::Finish),
            Task::receive(server.again(), Want::End),
            Task::send(server, &down, Last::Finish),
            Task::receive(client, Want::End),
        ];
        exchange("bulk both ways", &mut tasks);
        let [_, at_server, _, at_client] = tasks;
        assert!(at_server.received() == up && at_client.received() == down, "{size} bytes each way");
        let report = bridge.running.finish();
        assert_eq!((report.left_to_right.bytes, report.right_to_left.bytes), (size as u64, size as u64));
    }
}

/// `SPLICE_F_MORE` holds back the last segment of a burst, and the first message after it, 200 ms each.
#[test]
fn t2_messages_after_bulk_are_quick() {
    const ROUNDS: u32 = 10;
    let _alone = alone();
    let bridge = Bridge::new("", "", Settings::default());
    let (client, server) = bridge.ends();
    burst(&client, &server, BULK);
    burst(&server, &client, BULK);
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        // Large enough to be spliced; it ends in the middle of a segment, and in that of a page.
        burst(&client, &server, 100_001);
        burst(&server, &client, 100_001);
        ping_pong(&client, &server, 4);
    }
    let each = begun.elapsed() / ROUNDS;
    assert!(each < Duration::from_millis(200), "a burst each way and four messages take {each:?}");
    drop((client, server));
    bridge.running.finish();
}

fn is_nonblocking(fd: impl AsFd) -> bool {
    OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap()).contains(OFlag::O_NONBLOCK)
}

/// What is inherited belongs to the shell as well: its `O_NONBLOCK` is never touched, neither while the relay
/// runs nor afterwards.
#[test]
fn t3_shared_descriptors_stay_blocking() {
    let _alone = alone();
    let (pipe, give) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let terminal = nix::pty::openpty(None, None).unwrap();
    let (socket, other) = UnixStream::pair().unwrap();
    let cases: [(&str, OwnedFd, OwnedFd); 3] =
        [("pipe", pipe, give), ("terminal", terminal.slave, terminal.master), ("socket", socket.into(), other.into())];
    for (what, shared, near) in cases {
        let (far_plan, far_end) = far();
        let address = format!("FD:{}", shared.as_raw_fd());
        let running = Running::start(rig::plan(&address, Read), far_plan, one_way());
        let far = far_end.open(&running);
        let near = End::new(near);
        near.send(b"line\n");
        assert_eq!(far.receive(5), b"line\n", "{what}");
        assert!(!is_nonblocking(&shared), "{what} while the relay runs");
        running.stop.stop();
        running.report();
        assert!(!is_nonblocking(&shared), "{what} afterwards");
        running.end();
    }
}

fn one_way() -> Settings {
    Settings { ways: Ways::LeftToRight, ..Settings::default() }
}

/// At the end of the data the pipe is emptied first, however slow the reader; the FIN comes behind.
#[test]
fn t4_a_slow_reader_gets_everything_before_the_end() {
    let _alone = alone();
    let bridge = Bridge::new("", "", Settings::default());
    let (client, server) = bridge.ends();
    let data = noise(4, BULK);
    let sending = {
        let data = data.clone();
        std::thread::spawn(move || exchange("send", &mut [Task::send(client, &data, Last::Finish)]))
    };
    let mut received = Vec::new();
    // The first MiB at a trickle, while the client ends its data.
    while received.len() < 1 << 20 {
        received.extend(server.receive(64 * 1024));
        std::thread::sleep(Duration::from_millis(5));
    }
    received.extend(server.receive_all());
    assert!(received == data, "{} bytes of {} arrived", received.len(), data.len());
    sending.join().unwrap();
    drop(server);
    assert_eq!(bridge.running.finish().left_to_right.bytes, BULK as u64);
}

/// Bytes in the pipe of a connection that was torn down never reach the next one, which gets its pipes from
/// the same pool.
#[test]
fn t4_bytes_of_a_lost_connection_do_not_reach_the_next() {
    let _alone = alone();
    let bridge = Bridge::new(",fork", "", Settings::default());
    for round in 0..5 {
        let (client, server) = bridge.connect();
        let (lost, stopped) = (End::new(client.try_clone().unwrap()), End::new(server.try_clone().unwrap()));
        burst(&lost, &stopped, 300_000);
        // The server reads no more: the pipe fills up behind its socket.
        let secret = vec![b'!'; 65536];
        for _ in 0..3 {
            while lost.write_now(&secret).is_ok() {}
            std::thread::sleep(Duration::from_millis(10));
        }
        for socket in [&client, &server] {
            socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
        drop((client, server, lost, stopped));
        let (client, server) = bridge.ends();
        // Noise has no '!' in it.
        burst(&client, &server, 1_000_000);
        burst(&server, &client, 1_000_000 + round);
        carry(client, &server, b"end");
    }
    bridge.running.stop.abort();
    bridge.running.report();
    bridge.running.end();
}

/// The end of one direction is passed on at once, and leaves the other one alone for as long as it likes.
#[test]
fn t5_half_closes_are_passed_on_both_ways() {
    let _alone = alone();
    for client_first in [true, false] {
        let bridge = Bridge::new("", "", Settings::default());
        let (client, server) = bridge.ends();
        let (first, second) = if client_first { (client, server) } else { (server, client) };
        carry(first.again(), &second, &noise(5, BULK));
        // Longer than the half second after which others give up.
        std::thread::sleep(Duration::from_millis(600));
        carry(second, &first, &noise(6, BULK + 1));
        let report = bridge.running.finish();
        assert_eq!(report.left_to_right.bytes + report.right_to_left.bytes, 2 * BULK as u64 + 1);
    }
}

/// A connection that rests after a burst holds its two sockets and no pipe: those are the pool's, which a few
/// serve however many connections there are.
#[test]
fn t6_a_resting_connection_holds_two_descriptors() {
    const CONNECTIONS: usize = 20;
    let _alone = alone();
    let bridge = Bridge::new(",fork", "", Settings::default());
    bridge.running.log.port();
    let before = Open::now();
    let mut connections = Vec::new();
    for _ in 0..CONNECTIONS {
        let (client, server) = bridge.ends();
        burst(&client, &server, 1_000_000);
        burst(&server, &client, 1_000_000);
        connections.push((client, server));
    }
    let mut pipes = 0;
    until("the connections rest", || {
        pipes = Open::now().pipes - before.pipes;
        pipes <= 4
    });
    assert!(pipes >= 2, "the bursts were spliced");
    // Two of the four of each connection are the test's own.
    assert_eq!(Open::now().others.len() - before.others.len(), 4 * CONNECTIONS);
    for (client, server) in &connections {
        burst(client, server, 100);
    }
    drop(connections);
    until("all sessions have ended", || Open::now().others.len() == before.others.len());
    bridge.running.stop.abort();
    bridge.running.report();
    bridge.running.end();
}

/// The descriptors of the process run out when a pipe is wanted: the bytes are copied.
#[test]
fn t6_without_descriptors_for_pipes_bulk_is_copied() {
    let _alone = alone();
    let bridge = Bridge::new("", "", Settings::default());
    let (client, server) = bridge.ends();
    // The duplicates the burst works on are made first, as it would have none.
    let data = noise(6, BULK);
    let mut tasks = [Task::send(client.again(), &data, Last::Finish), Task::receive(server.again(), Want::End)];
    let before = Open::now();
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // The next number: /proc/self/fd is not looked at until there are more.
    let next = OwnedFd::from(std::fs::File::open("/dev/null").unwrap()).as_raw_fd();
    setrlimit(Resource::RLIMIT_NOFILE, u64::try_from(next).unwrap(), hard).unwrap();
    exchange("bulk without pipes", &mut tasks);
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    let [_, received] = tasks;
    assert!(received.received() == data);
    assert_eq!(Open::now().pipes, before.pipes, "there was no descriptor for a pipe");
    drop((client, server));
    bridge.running.finish();
}

/// The time the thread was on a CPU, of /proc/PID/schedstat, in nanoseconds.
fn cpu_time(thread: i32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).unwrap();
    Duration::from_nanos(text.split_whitespace().next().unwrap().parse().unwrap())
}

/// Checks that the relay hardly works for a while.
#[track_caller]
fn rests(running: &Running, what: &str) {
    let before = cpu_time(running.thread_id);
    std::thread::sleep(Duration::from_millis(300));
    let spent = cpu_time(running.thread_id).saturating_sub(before);
    assert!(spent < Duration::from_millis(60), "{what}: {spent:?} of CPU time in 300 ms");
}

/// Waiting is waiting: with a source that has nothing and a sink that takes nothing nobody spins, whichever
/// way the bytes go.
#[test]
fn t7_waiting_takes_no_cpu_time() {
    let _alone = alone();
    let bridge = Bridge::new("", "", Settings::default());
    let (client, server) = bridge.ends();
    burst(&client, &server, BULK);
    rests(&bridge.running, "TCP to TCP, idle");
    while client.fill() > 0 {}
    rests(&bridge.running, "TCP to TCP, full");
    drop((client, server));
    bridge.running.report();
    bridge.running.end();
}

/// As above, where a pipe is spliced straight to a socket and from one.
#[test]
fn t7_waiting_on_pipes_takes_no_cpu_time() {
    let _alone = alone();
    let (take, give) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let (back, output) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let address = format!("FD:{}!!FD:{}", take.as_raw_fd(), output.as_raw_fd());
    let (far_plan, far_end) = far();
    let running = Running::start(both(&address), far_plan, Settings::default());
    let (far, give, back) = (far_end.open(&running), End::new(give), End::new(back));
    burst(&give, &far, BULK);
    burst(&far, &back, BULK);
    rests(&running, "pipe and socket, idle");
    while give.fill() > 0 {}
    rests(&running, "pipe to socket, full");
    while far.fill() > 0 {}
    rests(&running, "socket to pipe, full");
    running.stop.abort();
    running.report();
    running.end();
}

/// Keeps what it is shown.
#[derive(Default)]
struct Keeps(Mutex<Vec<u8>>);

impl Tap for Keeps {
    fn block(&self, offset: u64, block: &[u8]) -> io::Result<()> {
        let mut kept = self.0.lock().unwrap();
        assert_eq!(offset, kept.len() as u64, "no block is left out");
        kept.extend_from_slice(block);
        Ok(())
    }
}

/// Splicing hides the bytes: who has to see them gets to see all of them.
#[test]
fn t8_a_tap_sees_every_byte_of_bulk() {
    let _alone = alone();
    let kept = Arc::new(Keeps::default());
    let settings = Settings { taps_right: vec![Arc::clone(&kept) as Arc<dyn Tap>], ..Settings::default() };
    let bridge = Bridge::new("", "", settings);
    let (client, server) = bridge.ends();
    let data = noise(8, BULK);
    carry(client, &server, &data);
    drop(server);
    bridge.running.finish();
    assert!(*kept.0.lock().unwrap() == data);
}

#[test]
fn t8_line_ends_of_bulk_are_converted() {
    let _alone = alone();
    let bridge = Bridge::new("", ",crnl", Settings::default());
    let (client, server) = bridge.ends();
    let line = "0123456789".repeat(7);
    let (sent, wanted) = (format!("{line}\n").repeat(20_000), format!("{line}\r\n").repeat(20_000));
    let mut tasks = [Task::send(client, sent.as_bytes(), Last::Finish), Task::receive(server, Want::End)];
    exchange("lines", &mut tasks);
    let [_, received] = tasks;
    assert!(received.received() == wanted.as_bytes());
    bridge.running.finish();
}

#[test]
fn t8_a_limit_in_the_midst_of_bulk_is_kept() {
    const LIMIT: usize = 1_000_003;
    let _alone = alone();
    let bridge = Bridge::new(&format!(",readbytes={LIMIT}"), "", Settings::default());
    let (client, server) = bridge.ends();
    let data = noise(9, BULK);
    // The client cannot write all of it: nobody reads the rest.
    client.send(&data[..LIMIT + 1000]);
    assert!(server.receive_all() == data[..LIMIT]);
    drop((client, server));
    bridge.running.report();
    bridge.running.end();
}

/// A peer that has gone is an error of its session, and neither a signal nor the end of the others. Rust
/// programs ignore SIGPIPE from their start; `command` sees to it where Rust did not start the process.
#[test]
fn t9_a_vanished_peer_ends_its_session_only() {
    let _alone = alone();
    assert!(ferrule::sys::disposition::is_ignored(nix::sys::signal::Signal::SIGPIPE));
    let bridge = Bridge::new(",fork", "", Settings::default());
    let (other_client, other_server) = bridge.ends();
    for size in [100, BULK] {
        let failed = bridge.running.log.count("Broken pipe") + bridge.running.log.count("reset by peer");
        let (client, server) = bridge.connect();
        let (client, server) = (End::new(client), server);
        burst(&client, &End::new(server.try_clone().unwrap()), size);
        socket2::SockRef::from(&server).set_linger(Some(Duration::ZERO)).unwrap();
        drop(server);
        // Until the relay has noticed, and lets the client know.
        until("the client is told", || client.write_now(&[b'x'; 8192]).is_err_and(|error| error != nix::Error::EAGAIN));
        until("the failure is told", || {
            bridge.running.log.count("Broken pipe") + bridge.running.log.count("reset by peer") > failed
        });
        burst(&other_client, &other_server, 100_000);
    }
    drop((other_client, other_server));
    bridge.running.stop.abort();
    bridge.running.report();
    bridge.running.end();
}

/// As above, where the kernel moves the bytes from socket to pipe and from pipe to socket by itself.
#[test]
fn t9_a_vanished_end_of_a_pipe_is_an_error() {
    let _alone = alone();
    let (back, output) = nix::unistd::pipe2(OFlag::O_CLOEXEC).unwrap();
    let (far_plan, far_end) = far();
    let address = format!("FD:{}", output.as_raw_fd());
    let settings = Settings { ways: Ways::RightToLeft, ..Settings::default() };
    let running = Running::start(rig::plan(&address, Write), far_plan, settings);
    let (far, back) = (far_end.open(&running), End::new(back));
    burst(&far, &back, BULK);
    drop(back);
    while far.write_now(&[b'x'; 8192]).is_ok() {}
    let report = running.report();
    let error = report.error.expect("what was written could not be passed on");
    assert_eq!(error.errno(), Some(libc::EPIPE));
    assert_eq!(error.phase(), ferrule::error::Phase::Write);
    running.end();
}

/// Bulk takes turns: a conversation beside it is never starved, and every stream flows.
#[test]
fn t12_bulk_leaves_turns_to_its_neighbours() {
    const STREAMS: usize = 8;
    let _alone = alone();
    let bridge = Bridge::new(",fork", "", Settings::default());
    let (client, server) = bridge.ends();
    let streams: Vec<(End, End)> = (0..STREAMS).map(|_| bridge.ends()).collect();
    let (over, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let moving: Vec<_> = streams
        .into_iter()
        .map(|(from, to)| {
            let (over, begun) = (Arc::clone(&over), Arc::clone(&begun));
            std::thread::spawn(move || {
                let (block, mut buffer, mut moved) = (vec![b'x'; 1 << 18], vec![0; 1 << 18], 0);
                while !over.load(Relaxed) {
                    let _ = from.write_now(&block);
                    let mut set = [nix::poll::PollFd::new(to.as_fd(), nix::poll::PollFlags::POLLIN)];
                    nix::poll::poll(&mut set, 10_u8).unwrap();
                    let count = to.read_now(&mut buffer).unwrap_or(0);
                    begun.fetch_add(usize::from(moved == 0 && count > 0), Relaxed);
                    moved += count;
                }
                moved
            })
        })
        .collect();
    until("every stream flows", || begun.load(Relaxed) == STREAMS);
    let times = ping_pong(&client, &server, 60);
    over.store(true, Relaxed);
    for stream in moving {
        stream.join().unwrap();
    }
    assert!(times[30] < Duration::from_millis(150), "half of the messages took longer than {:?}", times[30]);
    assert!(times[59] < Duration::from_secs(2), "a message took {:?}", times[59]);
    bridge.running.stop.abort();
    bridge.running.report();
    bridge.running.end();
}

/// The same where it is certain: sources that never have to be waited for, and sinks that take all, would
/// keep the runtime for good.
#[test]
fn t12_endless_sources_leave_turns_to_their_neighbours() {
    let _alone = alone();
    let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let to = format!("TCP:127.0.0.1:{}", server.local_addr().unwrap().port());
    let (log, stop) = (rig::Lines::default(), Stop::default());
    let (lines, stopping) = (log.clone(), stop.clone());
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = tokio::task::LocalSet::new();
        for _ in 0..8 {
            let (zero, null) = (rig::plan("OPEN:/dev/zero", Read), rig::plan("OPEN:/dev/null", Write));
            let endless = Arc::new(Relay::new(zero, null, one_way(), Log::silent()));
            let stopping = stopping.clone();
            local.spawn_local(async move { endless.run(&stopping).await });
        }
        let log = Log::new(Level::Notice, Box::new(lines));
        let relay = Arc::new(Relay::new(both("TCP-LISTEN:0,bind=127.0.0.1"), both(&to), Settings::default(), log));
        local.block_on(&runtime, async move { relay.run(&stopping).await })
    });
    let client = End::new(TcpStream::connect((Ipv4Addr::LOCALHOST, log.port())).unwrap());
    let server = rig::accepted(&server);
    let times = ping_pong(&client, &server, 20);
    stop.abort();
    thread.join().unwrap();
    assert!(times[10] < Duration::from_millis(200), "half of the messages took longer than {:?}", times[10]);
}

/// Where `O_DIRECT` can be had, or why not.
fn direct_directory() -> Option<&'static std::path::Path> {
    let target = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let probe = target.join(format!("probe-{}", std::process::id()));
    let tried = open_direct(&probe, OFlag::O_CREAT | OFlag::O_RDWR);
    let _ = std::fs::remove_file(&probe);
    if tried.is_err_and(|error| error == nix::Error::EINVAL) {
        println!("skipped: the file system of {} knows no O_DIRECT", target.display());
        return None;
    }
    Some(target)
}

fn open_direct(path: &std::path::Path, flags: OFlag) -> nix::Result<OwnedFd> {
    let mode = nix::sys::stat::Mode::from_bits_truncate(0o600);
    nix::fcntl::open(path, flags | OFlag::O_DIRECT | OFlag::O_CLOEXEC, mode)
}

fn is_direct(port: &Port) -> bool {
    OFlag::from_bits_retain(fcntl(port, FcntlArg::F_GETFL).unwrap()).contains(OFlag::O_DIRECT)
}

/// The buffers of the pool are aligned, so that `O_DIRECT` stays on for whole blocks; it goes with the first
/// piece of one.
#[test]
fn whole_blocks_pass_the_page_cache_by() {
    let _alone = alone();
    let Some(directory) = direct_directory() else { return };
    let scratch = Scratch::within(directory);
    let (path, data) = (scratch.path("file"), noise(11, 300_000));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let port = Port::new(open_direct(&path, OFlag::O_CREAT | OFlag::O_WRONLY).unwrap()).unwrap();
        for size in [16 * 1024, 256 * 1024, 300_000 - 272 * 1024] {
            let written = std::fs::read(&path).unwrap().len();
            let mut buffer = Buffer::take(size);
            buffer[..size].copy_from_slice(&data[written..written + size]);
            let count = poll_fn(|cx| port.poll_write(cx, &buffer[..size])).await.unwrap();
            assert_eq!((count, is_direct(&port)), (size, size % 4096 == 0), "{size} bytes at {written}");
        }
        assert!(std::fs::read(&path).unwrap() == data);
        let port = Port::new(open_direct(&path, OFlag::O_RDONLY).unwrap()).unwrap();
        let mut buffer = Buffer::take(256 * 1024);
        let count = poll_fn(|cx| port.poll_read(cx, &mut buffer)).await.unwrap();
        assert!(buffer[..count] == data[..count] && count == 256 * 1024 && is_direct(&port));
    });
}

/// `o-direct` passes the page cache by, which takes aligned memory and whole blocks; the piece behind the last
/// whole block is written all the same, and read.
#[test]
fn files_pass_the_page_cache_by_down_to_the_last_byte() {
    let _alone = alone();
    let Some(directory) = direct_directory() else { return };
    let scratch = Scratch::within(directory);
    for size in [0, 1, 4096, 16 * 1024, 100_000, BULK + 77] {
        let data = noise(10, size);
        let (from, to) = (scratch.text("from"), scratch.text("to"));
        std::fs::write(&from, &data).unwrap();
        let _ = std::fs::remove_file(&to);
        let left = rig::plan(&format!("OPEN:{from},rdonly,o-direct"), Read);
        let right = rig::plan(&format!("OPEN:{to},wronly,creat,o-direct"), Write);
        let report = Running::start(left, right, one_way()).finish();
        assert_eq!(report.left_to_right.bytes, size as u64);
        assert!(std::fs::read(&to).unwrap() == data, "{size} bytes");
    }
}
