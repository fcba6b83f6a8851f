#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::endpoint::Defaults;
use crate::error::ErrorKind;
use crate::log::Log;
use crate::option::Principal;
use crate::spec::Single;
use crate::spec::Word;

/// No wait in these tests is longer.
const LIMIT: Duration = Duration::from_secs(20);

fn context() -> Context {
    Context::new(Log::silent())
}

fn planned(kind: &str, text: &str, settings: Settings, direction: Direction) -> Result<Arc<dyn Connect>> {
    planned_by(kind, text, settings, direction, &Defaults::default())
}

fn planned_by(
    kind: &str,
    text: &str,
    settings: Settings,
    direction: Direction,
    defaults: &Defaults,
) -> Result<Arc<dyn Connect>> {
    let word = |bytes: &[u8]| Word { bytes: bytes.to_vec(), span: 0..bytes.len() };
    let spec = Single {
        keyword: word(kind.as_bytes()),
        params: vec![word(text.as_bytes())],
        options: Vec::new(),
        span: 0..text.len(),
    };
    let mut options = Options::default();
    options.settings = settings;
    let options = Arc::new(options);
    let kind = crate::endpoint::find(kind).unwrap();
    let request = Request { kind, address: text, spec: &spec, options, direction, defaults };
    match (kind.plan)(&request)? {
        Opener::Connect(connect) => Ok(connect),
        Opener::Bind(_) => panic!("a program is connected"),
    }
}

async fn started(kind: &str, text: &str, settings: Settings) -> Channel {
    planned(kind, text, settings, Direction::Both).unwrap().connect(&context()).await.unwrap()
}

fn with(change: impl FnOnce(&mut Settings)) -> Settings {
    let mut settings = Settings::default();
    change(&mut settings);
    settings
}

/// Writes `input`, ends it, and reads all output.
async fn talk(channel: &mut Channel, input: &[u8]) -> String {
    let mut output = Vec::new();
    let work = async {
        if let Some(sink) = &mut channel.sink {
            sink.write_all(input).await.unwrap();
            sink.shutdown().await.unwrap();
        }
        channel.source.as_mut().unwrap().read_to_end(&mut output).await.unwrap();
    };
    tokio::time::timeout(LIMIT, work).await.unwrap();
    String::from_utf8_lossy(&output).into_owned()
}

/// Closes the channel and finishes its program, as the relay does.
async fn finished(mut channel: Channel) -> Result<()> {
    drop((channel.source.take(), channel.sink.take()));
    let mut program = channel.attached.take().unwrap();
    tokio::time::timeout(LIMIT, program.finish(&context(), channel.end_close)).await.unwrap()
}

/// What SYSTEM says without input.
async fn said(command: &str, settings: Settings) -> String {
    let mut channel = started("SYSTEM", command, settings).await;
    let output = talk(&mut channel, b"").await;
    finished(channel).await.unwrap();
    output
}

async fn until(mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(LIMIT, wait).await.expect("the condition did not come true");
}

/// A process's state, parent and process group; `None` when it is gone.
fn process_stat(pid: i32) -> Option<(char, i32, i32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = text.rsplit(')').next()?.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn is_running(pid: i32) -> bool {
    process_stat(pid).is_some_and(|(state, ..)| state != 'Z')
}

async fn read_pid(channel: &mut Channel) -> i32 {
    let mut line = String::new();
    let source = channel.source.as_mut().unwrap();
    while !line.ends_with('\n') {
        let byte = tokio::time::timeout(LIMIT, source.read_u8()).await.unwrap().unwrap();
        line.push(char::from(byte));
    }
    line.trim().parse().unwrap()
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("program-{name}-{}", std::process::id()))
}

#[tokio::test]
async fn every_transport_carries_bytes_both_ways_and_the_end() {
    for transport in [Transport::Socketpair, Transport::Pipes, Transport::Pty] {
        let mut channel = started("EXEC", "cat", with(|s| s.program.transport = transport)).await;
        let output = talk(&mut channel, b"one\ntwo\n").await;
        if transport == Transport::Pty {
            // The line discipline echoes, and makes CR NL of NL.
            assert_eq!(output, "one\r\ntwo\r\none\r\ntwo\r\n");
        } else {
            assert_eq!(output, "one\ntwo\n");
        }
        finished(channel).await.unwrap();
    }
}

#[tokio::test]
async fn much_output_arrives_whole_before_the_end() {
    for transport in [Transport::Socketpair, Transport::Pipes, Transport::Pty] {
        let output = said("head -c 1000000 /dev/zero | tr '\\0' x", with(|s| s.program.transport = transport)).await;
        assert_eq!(output.len(), 1_000_000, "{transport:?}");
    }
}

#[tokio::test]
async fn a_socketpair_can_keep_boundaries() {
    let settings = with(|s| s.socket.kind = Some(libc::SOCK_SEQPACKET));
    let mut channel = started("EXEC", "cat", settings).await;
    let source = channel.source.as_mut().unwrap();
    let mut buffer = [0; 64];
    for message in [&b"first"[..], b"second"] {
        channel.sink.as_mut().unwrap().write_all(message).await.unwrap();
        let count = tokio::time::timeout(LIMIT, source.read(&mut buffer)).await.unwrap().unwrap();
        assert_eq!(&buffer[..count], message);
    }
    assert_eq!(source.port().unwrap().class(), crate::channel::Class::Packet);
}

#[tokio::test]
async fn a_status_that_is_not_zero_is_a_failure_each_time() {
    for _ in 0..20 {
        let mut channel = started("EXEC", "false", Settings::default()).await;
        talk(&mut channel, b"").await;
        let error = finished(channel).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Child);
        assert!(error.message().ends_with("exited with status 1"), "{error}");
        assert!(error.is_logged());
    }
}

#[tokio::test]
async fn a_death_by_signal_is_a_failure() {
    let mut channel = started("SYSTEM", "kill -SEGV $$", Settings::default()).await;
    talk(&mut channel, b"").await;
    let error = finished(channel).await.unwrap_err();
    assert!(error.message().ends_with("exited on signal 11"), "{error}");
}

#[tokio::test]
async fn a_late_status_is_waited_for() {
    let mut channel = started("SYSTEM", "exec >&- <&-; sleep 0.2; exit 3", Settings::default()).await;
    talk(&mut channel, b"").await;
    assert!(finished(channel).await.unwrap_err().message().ends_with("status 3"));
}

#[tokio::test]
async fn one_that_would_go_on_is_terminated_and_that_is_no_failure() {
    let mut channel = started("SYSTEM", "echo $$; exec sleep 1000", Settings::default()).await;
    let pid = read_pid(&mut channel).await;
    let begun = Instant::now();
    finished(channel).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(process_stat(pid), None);
}

#[tokio::test]
async fn dying_of_our_closing_is_no_failure() {
    let mut channel = started("EXEC", "yes", Settings::default()).await;
    let mut some = [0; 1000];
    channel.source.as_mut().unwrap().read_exact(&mut some).await.unwrap();
    finished(channel).await.unwrap();
}

#[tokio::test]
async fn one_that_ignores_term_is_killed_after_the_grace() {
    let mut channel =
        started("SYSTEM", "trap '' TERM; echo $$; while :; do sleep 0.05; done", Settings::default()).await;
    let pid = read_pid(&mut channel).await;
    let begun = Instant::now();
    finished(channel).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert_eq!(process_stat(pid), None);
}

#[tokio::test]
async fn what_holds_the_channel_ends_with_it() {
    // In a session of its own, so that it is a group whatever terminal the tests run in.
    let settings = with(|s| s.program.setsid = true);
    let mut channel = started("SYSTEM", "sleep 1000 & echo $!", settings).await;
    let pid = read_pid(&mut channel).await;
    let begun = Instant::now();
    finished(channel).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    until(|| !is_running(pid)).await;
}

#[tokio::test]
async fn its_end_is_the_end_though_others_hold_the_channel() {
    let command = "(sleep 0.2; echo soon; exec sleep 1000) & echo now";
    for transport in [Transport::Socketpair, Transport::Pipes, Transport::Pty] {
        let settings = with(|s| {
            s.program.transport = transport;
            s.program.process_group = Some(0);
        });
        let begun = Instant::now();
        let mut channel = started("SYSTEM", command, settings).await;
        let output = talk(&mut channel, b"").await.replace('\r', "");
        assert_eq!(output, "now\nsoon\n", "{transport:?}");
        finished(channel).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(3), "{transport:?}: {:?}", begun.elapsed());
    }
    let settings = with(|s| s.socket.kind = Some(libc::SOCK_DGRAM));
    let mut channel = started("SYSTEM", "echo datagram", settings).await;
    let mut bytes = [0; 64];
    let source = channel.source.as_mut().unwrap();
    for expected in [9, 0] {
        let count = tokio::time::timeout(LIMIT, source.read(&mut bytes)).await.unwrap().unwrap();
        assert_eq!(count, expected);
    }
}

#[tokio::test]
async fn a_status_from_before_the_end_counts_though_others_hold_the_channel() {
    let mut channel = started("SYSTEM", "sleep 1000 & echo $$; exit 4", with(|s| s.program.setsid = true)).await;
    let pid = read_pid(&mut channel).await;
    until(|| !is_running(pid)).await;
    assert!(finished(channel).await.unwrap_err().message().ends_with("status 4"));
}

#[tokio::test]
async fn what_let_go_of_the_channel_is_left_alone() {
    let settings = with(|s| s.program.setsid = true);
    let mut channel = started("SYSTEM", "sleep 1000 </dev/null >/dev/null 2>&1 & echo $!", settings).await;
    let pid = read_pid(&mut channel).await;
    talk(&mut channel, b"").await;
    finished(channel).await.unwrap();
    assert!(is_running(pid));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
}

#[tokio::test]
async fn end_close_leaves_it_running_and_reaps_it_later() {
    let mut channel =
        started("SYSTEM", "trap '' HUP PIPE; echo $$; read x; sleep 0.2", with(|s| s.flow.end_close = true)).await;
    let pid = read_pid(&mut channel).await;
    finished(channel).await.unwrap();
    assert!(is_running(pid));
    until(|| process_stat(pid).is_none()).await;
}

#[tokio::test]
async fn dropping_ends_and_reaps_it() {
    let mut channel =
        started("SYSTEM", "trap '' TERM HUP PIPE; echo $$; while :; do sleep 0.05; done", Settings::default()).await;
    let pid = read_pid(&mut channel).await;
    drop(channel);
    until(|| process_stat(pid).is_none()).await;
}

#[tokio::test]
async fn dropping_finish_half_way_ends_it_too() {
    let mut channel =
        started("SYSTEM", "trap '' TERM HUP PIPE; echo $$; while :; do sleep 0.05; done", Settings::default()).await;
    let pid = read_pid(&mut channel).await;
    let given_up = tokio::time::timeout(Duration::from_millis(20), finished(channel)).await;
    assert!(given_up.is_err());
    until(|| process_stat(pid).is_none()).await;
}

#[tokio::test]
async fn a_program_that_cannot_be_run_is_an_error_of_that_kind() {
    let cases = [
        ("no-such-program", std::io::ErrorKind::NotFound, "PATH"),
        ("/no/such/program", std::io::ErrorKind::NotFound, "/no/such/program"),
        ("/etc/passwd", std::io::ErrorKind::PermissionDenied, "/etc/passwd"),
    ];
    for (program, kind, hint) in cases {
        let connect = planned("EXEC", program, Settings::default(), Direction::Both).unwrap();
        let error = connect.connect(&context()).await.err().unwrap();
        assert_eq!((error.phase(), error.io_kind()), (Phase::Execute, Some(kind)));
        assert!(error.advice().unwrap().contains(hint), "{error:?}");
    }
}

#[tokio::test]
async fn a_failed_step_before_the_program_is_named() {
    let settings = with(|s| s.identity.chdir = Some("/no/such/directory".into()));
    let connect = planned("EXEC", "cat", settings, Direction::Both).unwrap();
    let error = connect.connect(&context()).await.err().unwrap();
    assert_eq!(error.errno(), Some(libc::ENOENT));
    assert!(error.advice().unwrap().contains("/no/such/directory"), "{error:?}");
}

#[tokio::test]
async fn it_inherits_only_its_standard_descriptors() {
    for transport in [Transport::Socketpair, Transport::Pipes, Transport::Pty] {
        let settings = with(|s| s.program.transport = transport);
        // The descriptor ls opens for the directory comes on top.
        let output = said("exec ls /proc/self/fd", settings).await;
        let numbers: Vec<&str> = output.split_whitespace().collect();
        assert_eq!(numbers, ["0", "1", "2", "3"], "{transport:?}");
    }
}

#[tokio::test]
async fn other_numbers_can_be_chosen() {
    let settings = with(|s| {
        s.program.fdin = Some(3);
        s.program.fdout = Some(4);
    });
    let mut channel = started("SYSTEM", "ls /proc/self/fd >&4; cat <&3 >&4", settings).await;
    let output = talk(&mut channel, b"input").await;
    assert!(output.starts_with("0\n1\n2\n3\n4\n") && output.ends_with("input"), "{output}");
    finished(channel).await.unwrap();
}

#[tokio::test]
async fn a_failed_start_is_seen_with_any_numbers() {
    // The pipe std reports the failure through must not be overwritten.
    for number in 3..40 {
        let settings = with(|s| s.program.fdin = Some(number));
        let connect = planned("EXEC", "no-such-program", settings, Direction::Both).unwrap();
        assert!(connect.connect(&context()).await.is_err(), "{number}");
    }
}

#[tokio::test]
async fn stderr_can_go_where_the_output_goes() {
    assert_eq!(said("echo error >&2", with(|s| s.program.stderr = true)).await, "error\n");
}

#[tokio::test]
async fn only_the_wanted_direction_is_connected() {
    let connect = planned("SYSTEM", "readlink /proc/self/fd/0", Settings::default(), Direction::Read).unwrap();
    let mut channel = connect.connect(&context()).await.unwrap();
    assert!(channel.sink.is_none());
    let ours = std::fs::read_link("/proc/self/fd/0").unwrap();
    assert_eq!(talk(&mut channel, b"").await.trim(), ours.to_str().unwrap());
    finished(channel).await.unwrap();

    let file = scratch("written");
    let text = format!("cat > {}", file.display());
    let connect = planned("SYSTEM", &text, Settings::default(), Direction::Write).unwrap();
    let mut channel = connect.connect(&context()).await.unwrap();
    assert!(channel.source.is_none());
    channel.sink.as_mut().unwrap().write_all(b"all of it").await.unwrap();
    channel.sink.as_mut().unwrap().shutdown().await.unwrap();
    finished(channel).await.unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), b"all of it");
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn one_that_is_only_written_to_may_work_on_after_its_input() {
    let connect =
        planned("SYSTEM", "cat >/dev/null; sleep 0.8; exit 7", Settings::default(), Direction::Write).unwrap();
    let mut channel = connect.connect(&context()).await.unwrap();
    channel.sink.as_mut().unwrap().write_all(b"food").await.unwrap();
    assert!(finished(channel).await.unwrap_err().message().ends_with("status 7"));
}

#[tokio::test]
async fn variables_and_path_reach_it() {
    let mut context = context();
    context.environment = Arc::new(vec![("SOCAT_PEERADDR".to_owned(), "127.0.0.1".into())]);
    let settings = with(|s| s.program.path = Some(b"/bin".to_vec()));
    let connect = planned("SYSTEM", "echo $SOCAT_PEERADDR $PATH $0", settings, Direction::Both).unwrap();
    let mut channel = connect.connect(&context).await.unwrap();
    assert_eq!(talk(&mut channel, b"").await, "127.0.0.1 /bin sh\n");
    finished(channel).await.unwrap();
}

#[tokio::test]
async fn path_is_where_it_is_looked_for() {
    let directory = scratch("path");
    std::fs::create_dir_all(&directory).unwrap();
    let program = directory.join("only-here");
    std::fs::write(&program, "#!/bin/sh\necho found\n").unwrap();
    std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let path = format!("{}:/bin:/usr/bin", directory.display());
    let mut channel = started("EXEC", "only-here", with(|s| s.program.path = Some(path.into_bytes()))).await;
    let output = talk(&mut channel, b"").await;
    std::fs::remove_dir_all(&directory).unwrap();
    assert_eq!(output, "found\n");
    finished(channel).await.unwrap();
}

#[tokio::test]
async fn login_directory_and_mask_are_its_own() {
    let settings = with(|s| {
        s.program.login = true;
        s.identity.chdir = Some("/usr".into());
        s.identity.umask = Some(0o027);
    });
    let before = std::env::current_dir().unwrap();
    assert_eq!(said("echo $0; pwd; umask", settings).await, "-sh\n/usr\n0027\n");
    assert_eq!(std::env::current_dir().unwrap(), before);
}

#[tokio::test]
async fn a_shell_is_run_by_its_path() {
    let settings = with(|s| s.program.shell = Some("/bin/sh".into()));
    let mut channel = started("SHELL", "echo $0 $SHELL", settings).await;
    assert_eq!(talk(&mut channel, b"").await, "sh /bin/sh\n");
    finished(channel).await.unwrap();
}

#[tokio::test]
async fn it_leads_a_group_unless_told_otherwise() {
    let settings = with(|s| s.program.process_group = Some(1));
    let mut channel = started("SYSTEM", "echo $$; read x", settings).await;
    let pid = read_pid(&mut channel).await;
    assert_eq!(process_stat(pid).unwrap().2, pid);
    finished(channel).await.unwrap();

    // In the foreground of a terminal it shares our group, or it could not ask the user anything.
    let mut channel = started("SYSTEM", "echo $$; read x", Settings::default()).await;
    let pid = read_pid(&mut channel).await;
    let expected = if sys::terminal::is_foreground() { nix::unistd::getpgrp().as_raw() } else { pid };
    assert_eq!(process_stat(pid).unwrap().2, expected);
    finished(channel).await.unwrap();
}

#[tokio::test]
async fn with_a_session_and_ctty_it_has_a_terminal() {
    let settings = with(|s| {
        s.program.transport = Transport::Pty;
        s.program.setsid = true;
        s.program.ctty = true;
    });
    let output = said("echo to-the-terminal >/dev/tty; ps -o tpgid= -p $$; echo $$", settings).await;
    let words: Vec<&str> = output.split_whitespace().collect();
    assert_eq!(words[0], "to-the-terminal");
    assert_eq!(words[1], words[2], "its group is in the foreground: {output}");
}

#[tokio::test]
async fn without_ctty_it_has_none() {
    let settings = with(|s| {
        s.program.transport = Transport::Pty;
        s.program.setsid = true;
    });
    let output = said("(echo yes >/dev/tty) 2>/dev/null || echo none; tty", settings).await;
    assert!(output.starts_with("none\r\n/dev/pts/"), "{output}");
}

#[tokio::test]
async fn a_link_to_its_terminal_lives_as_long_as_the_channel() {
    let link = scratch("link");
    let settings = with(|s| {
        s.program.transport = Transport::Pty;
        s.pty.link = Some(link.clone());
    });
    let mut channel = started("SYSTEM", "tty", settings).await;
    let target = std::fs::read_link(&link).unwrap();
    assert_eq!(talk(&mut channel, b"").await.trim(), target.to_str().unwrap());
    drop(channel);
    assert!(std::fs::symlink_metadata(&link).is_err());
}

#[tokio::test]
async fn signals_are_passed_on_when_asked_for() {
    let settings = with(|s| s.program.pass_signals = vec![libc::SIGINT]);
    let mut channel =
        started("SYSTEM", "trap 'echo caught; exit 0' INT; echo $$; while :; do sleep 0.02; done", settings).await;
    read_pid(&mut channel).await;
    let program = channel.attached.as_ref().unwrap();
    assert!(!program.signal(libc::SIGHUP));
    assert!(program.signal(libc::SIGINT));
    assert_eq!(talk(&mut channel, b"").await, "caught\n");
    finished(channel).await.unwrap();
}

#[tokio::test]
async fn default_actions_of_signals_are_restored() {
    // SIGPIPE is ignored here; SigIgn of a program that inherited that would have bit 12 set.
    let output = said("grep -E 'SigIgn|SigBlk' /proc/self/status", Settings::default()).await;
    for line in output.lines() {
        let mask = u64::from_str_radix(line.split_whitespace().nth(1).unwrap(), 16).unwrap();
        assert_eq!(mask & (1 << (libc::SIGPIPE - 1)), 0, "{line}");
    }
    assert!(output.contains("SigBlk:\t0000000000000000"), "{output}");
}

#[tokio::test]
async fn it_becomes_another_user_for_good() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let settings = with(|s| s.identity.substuser = Some(Principal::Name("daemon".to_owned())));
    let output = said("id -un; id -Gn; echo $USER $LOGNAME; grep Uid /proc/self/status", settings).await;
    let uid = nix::unistd::User::from_name("daemon").unwrap().unwrap().uid;
    assert_eq!(output, format!("daemon\ndaemon\ndaemon daemon\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\n"));

    let settings = with(|s| {
        s.identity.setgid = Some(Principal::Id(12));
        s.identity.setuid_early = None;
        s.identity.setuid = Some(Principal::Id(34));
    });
    assert_eq!(said("id -u; id -g", settings).await, "34\n12\n");
}

#[tokio::test]
async fn a_root_is_its_own() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let root = scratch("root");
    std::fs::create_dir_all(&root).unwrap();
    let settings = with(|s| s.identity.chroot = Some(root.clone()));
    // Nothing is in there, so that the error tells.
    let connect = planned("EXEC", "/bin/sh", settings, Direction::Both).unwrap();
    let error = connect.connect(&context()).await.err().unwrap();
    std::fs::remove_dir_all(&root).unwrap();
    assert_eq!(error.errno(), Some(libc::ENOENT));
    assert!(error.advice().unwrap().contains("/bin/sh"));
    assert!(std::path::Path::new("/bin/sh").exists());
}

/// A statically linked program every Debian has, which says who it is without any other file.
const STATIC: &str = "/sbin/ldconfig";

#[tokio::test]
async fn a_program_runs_within_its_root() {
    if !nix::unistd::geteuid().is_root() || !std::path::Path::new(STATIC).exists() {
        return;
    }
    let root = scratch("inner-root");
    std::fs::create_dir_all(root.join("etc")).unwrap();
    std::fs::copy(STATIC, root.join("inside")).unwrap();
    std::fs::write(root.join("etc/passwd"), "guest:x:77:78::/:/bin/sh\n").unwrap();
    let run = |user: u32, early: bool| {
        let settings = with(|s| {
            let path = Some(root.clone());
            *(if early { &mut s.identity.chroot_early } else { &mut s.identity.chroot }) = path;
            s.identity.substuser = Some(Principal::Id(user));
        });
        planned("EXEC", "/inside --version", settings, Direction::Both).unwrap()
    };
    for early in [false, true] {
        let mut channel = run(77, early).connect(&context()).await.unwrap();
        assert!(talk(&mut channel, b"").await.starts_with("ldconfig"));
        finished(channel).await.unwrap();
    }
    // The accounts are those of the root.
    let error = run(0, false).connect(&context()).await.err().unwrap();
    std::fs::remove_dir_all(&root).unwrap();
    assert!(error.message().contains("su-d"), "{error}");
}

#[tokio::test]
async fn a_network_namespace_is_its_own() {
    let name = format!("ferrule-{}", std::process::id());
    let ip = |verb| Command::new("ip").args(["netns", verb, &name]).status().is_ok_and(|status| status.success());
    if !nix::unistd::geteuid().is_root() || !ip("add") {
        return;
    }
    let settings = with(|s| s.identity.netns = Some(name.clone()));
    let inside = said("readlink /proc/self/ns/net", settings.clone()).await;
    let look = || async { Ok(std::fs::read_link("/proc/thread-self/ns/net").unwrap()) };
    let apart = identity::opened(&settings, true, look).await.unwrap();
    assert!(ip("delete"));
    let ours = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    assert_ne!(inside.trim(), ours.to_str().unwrap());
    assert_eq!(inside.trim(), apart.to_str().unwrap());
}

#[tokio::test]
async fn nofork_in_a_library_gives_a_child_the_other_channel() {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    theirs.set_nonblocking(true).unwrap();
    let mut context = context();
    let number = std::os::fd::AsRawFd::as_raw_fd(&theirs);
    context.other = Some((number, number));
    let settings = with(|s| s.program.transport = Transport::NoFork);
    let connect = planned("SYSTEM", "cat; sleep 0.7; echo bye; exit 5", settings, Direction::Both).unwrap();
    let channel = connect.connect(&context).await.unwrap();
    assert!(channel.handed_over && channel.source.is_none() && channel.sink.is_none());
    drop(theirs);
    ours.set_nonblocking(true).unwrap();
    let mut ours = tokio::net::UnixStream::from_std(ours).unwrap();
    ours.write_all(b"hello ").await.unwrap();
    ours.shutdown().await.unwrap();
    // It is waited for without a limit: it works by itself.
    assert!(finished(channel).await.unwrap_err().message().ends_with("status 5"));
    let mut output = String::new();
    ours.read_to_string(&mut output).await.unwrap();
    assert_eq!(output, "hello bye\n");
}

/// Runs in a process of its own, see below: the program takes its place.
#[tokio::test]
async fn becomes_the_program() {
    if std::env::var_os("BECOME_THE_PROGRAM").is_none() {
        return;
    }
    let defaults = Defaults { process_wide: true, ..Defaults::default() };
    let settings = with(|s| s.program.transport = Transport::NoFork);
    let text = "echo pid $$; cat; exec ls /proc/self/fd";
    let connect = planned_by("SYSTEM", text, settings, Direction::Both, &defaults).unwrap();
    let mut context = context();
    context.other = Some((0, 1));
    let error = connect.connect(&context).await.err().unwrap();
    panic!("still here: {error}");
}

#[tokio::test]
async fn nofork_on_the_command_line_takes_the_place_of_the_process() {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "endpoint::program::tests::becomes_the_program", "--nocapture"]);
    command.env("BECOME_THE_PROGRAM", "1");
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"input\n").unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    // The test harness says something first.
    let (_, ours) = text.split_once("pid ").unwrap();
    assert_eq!(ours, format!("{pid}\ninput\n0\n1\n2\n3\n"));
}

#[tokio::test]
async fn nofork_needs_another_channel() {
    let settings = with(|s| s.program.transport = Transport::NoFork);
    let connect = planned("EXEC", "cat", settings, Direction::Both).unwrap();
    assert!(connect.connect(&context()).await.err().unwrap().message().contains("second"));
}

#[test]
fn options_that_cannot_work_are_errors_of_the_text() {
    let refused = |settings, direction| planned("EXEC", "cat", settings, direction).err().unwrap().to_string();
    assert!(refused(with(|s| s.program.fdin = Some(3)), Direction::Read).contains("fdin"));
    assert!(refused(with(|s| s.program.fdout = Some(3)), Direction::Write).contains("fdout"));
    assert!(refused(with(|s| s.pty.link = Some("x".into())), Direction::Both).contains("link"));
    assert!(refused(with(|s| s.program.ctty = true), Direction::Both).contains("ctty"));
    assert!(refused(with(|s| s.socket.bind = Some(b"x".to_vec())), Direction::Both).contains("bind"));
    let typed = with(|s| {
        s.program.transport = Transport::Pipes;
        s.socket.kind = Some(2);
    });
    assert!(refused(typed, Direction::Both).contains("socket"));
    let ptmx = with(|s| {
        s.pty.ptmx = Some(true);
        s.pty.link = Some("x".into());
    });
    assert!(planned("EXEC", "cat", ptmx, Direction::Both).is_ok());
}

#[tokio::test]
async fn many_in_a_row_leave_nothing_behind() {
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    drop(started("EXEC", "true", Settings::default()).await);
    let before = count();
    for _ in 0..30 {
        let mut channel = started("EXEC", "true", Settings::default()).await;
        talk(&mut channel, b"").await;
        finished(channel).await.unwrap();
    }
    // Other tests run at the same time and hold some, but not one for each of ours.
    assert!(count() < before + 30);
}
