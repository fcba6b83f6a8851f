#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::log::{Level, Sink};

const LIMIT: Duration = Duration::from_secs(20);

/// Keeps the lines of the log.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<String>>>);

impl Sink for Kept {
    fn write(&self, level: Level, message: &str) {
        self.0.lock().unwrap().push(format!("{} {message}", level.letter()));
    }
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("pty-{name}-{}", std::process::id()))
}

async fn open(settings: Settings) -> Result<(Channel, PathBuf)> {
    let kept = Kept::default();
    let mut options = Options::default();
    options.settings = settings;
    let pty = Pty { options: Arc::new(options), direction: Direction::Both };
    let log = Log::new(Level::Notice, Box::new(kept.clone()));
    let context = Context::new(log);
    let channel = pty.connect(&context).await?;
    let line = kept.0.lock().unwrap().remove(0);
    Ok((channel, line.strip_prefix("N PTY is ").unwrap().into()))
}

async fn opened(change: impl FnOnce(&mut Settings)) -> (Channel, PathBuf) {
    let mut settings = Settings::default();
    change(&mut settings);
    tokio::time::timeout(LIMIT, open(settings)).await.unwrap().unwrap()
}

/// Opens a slave as a client does, raw.
fn client(path: &Path) -> File {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    terminal::make_raw(file.as_fd()).unwrap();
    file
}

async fn read(channel: &mut Channel, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let source = channel.source.as_mut().unwrap();
    tokio::time::timeout(LIMIT, source.read_exact(&mut bytes)).await.unwrap().unwrap();
    bytes
}

#[tokio::test]
async fn what_one_side_writes_the_other_reads() {
    let (mut channel, name) = opened(|_| {}).await;
    let mut client = client(&name);
    client.write_all(b"to the master").unwrap();
    assert_eq!(read(&mut channel, 13).await, b"to the master");
    channel.sink.as_mut().unwrap().write_all(b"to the slave").await.unwrap();
    let mut bytes = [0; 12];
    client.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"to the slave");
}

#[tokio::test]
async fn clients_may_come_and_go() {
    let (mut channel, name) = opened(|_| {}).await;
    for _ in 0..3 {
        client(&name).write_all(b"hello").unwrap();
        assert_eq!(read(&mut channel, 5).await, b"hello");
    }
    let mut buffer = [0];
    let read = channel.source.as_mut().unwrap().read(&mut buffer);
    // Neither an end nor an error: it waits.
    assert!(tokio::time::timeout(Duration::from_millis(100), read).await.is_err());
    // What is written while nobody is there waits in the terminal.
    channel.sink.as_mut().unwrap().write_all(b"later\n").await.unwrap();
    let mut bytes = [0; 6];
    OpenOptions::new().read(true).open(&name).unwrap().read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"later\n");
}

#[tokio::test]
async fn with_wait_slave_the_last_close_is_the_end() {
    let link = scratch("waited");
    let path = link.clone();
    let opening = tokio::spawn(async move {
        opened(|s| {
            s.pty.wait_slave = true;
            s.pty.link = Some(path);
        })
        .await
    });
    while std::fs::symlink_metadata(&link).is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!opening.is_finished());
    let begun = std::time::Instant::now();
    let mut first = client(&link);
    let (mut channel, _) = tokio::time::timeout(LIMIT, opening).await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_millis(900), "it is told, and does not look once a second");
    first.write_all(b"bye").unwrap();
    drop(first);
    let mut all = Vec::new();
    tokio::time::timeout(LIMIT, channel.source.as_mut().unwrap().read_to_end(&mut all)).await.unwrap().unwrap();
    assert_eq!(all, b"bye");
}

#[tokio::test]
async fn a_client_that_takes_over_from_another_is_waited_for_not_spun_on() {
    let link = scratch("taken-over");
    let path = link.clone();
    let opening = tokio::spawn(async move {
        opened(|s| {
            s.pty.wait_slave = true;
            s.pty.link = Some(path);
        })
        .await
    });
    while std::fs::symlink_metadata(&link).is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let first = client(&link);
    let (mut channel, name) = tokio::time::timeout(LIMIT, opening).await.unwrap().unwrap();
    // The hang-up reaches the runtime, but nobody reads before the next client is there.
    drop(first);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let mut second = client(&name);
    let mut buffer = [0];
    let waiting = channel.source.as_mut().unwrap().read(&mut buffer);
    assert!(tokio::time::timeout(Duration::from_millis(50), waiting).await.is_err());
    second.write_all(b"!").unwrap();
    assert_eq!(read(&mut channel, 1).await, b"!");
    channel.sink.as_mut().unwrap().write_all(b"?").await.unwrap();
    second.read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"?");
}

#[tokio::test]
async fn a_closed_slave_can_be_sat_out() {
    let link = scratch("sat-out");
    let path = link.clone();
    let opening = tokio::spawn(async move {
        opened(|s| {
            s.pty.wait_slave = true;
            s.pty.link = Some(path);
            s.pty.sitout_eio = Some(Duration::from_millis(400));
        })
        .await
    });
    while std::fs::symlink_metadata(&link).is_err() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(client(&link));
    let late = scratch("sat-out");
    let again = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        client(&late).write_all(b"again").unwrap();
    });
    // A client without a word is gone before it is noticed, so that the second one ends the wait.
    let (mut channel, _) = tokio::time::timeout(LIMIT, opening).await.unwrap().unwrap();
    assert_eq!(read(&mut channel, 5).await, b"again");
    again.join().unwrap();
    let begun = std::time::Instant::now();
    let mut buffer = [0];
    let end = tokio::time::timeout(LIMIT, channel.source.as_mut().unwrap().read(&mut buffer)).await;
    assert_eq!(end.unwrap().unwrap(), 0);
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_link_points_to_the_slave_and_goes_with_the_channel() {
    let link = scratch("link");
    let (channel, name) = opened(|s| s.pty.link = Some(link.clone())).await;
    assert_eq!(std::fs::read_link(&link).unwrap(), name);
    drop(channel);
    assert!(std::fs::symlink_metadata(&link).is_err());
    assert!(!name.exists());
}

#[tokio::test]
async fn another_link_is_replaced_and_one_that_is_not_ours_any_more_stays() {
    let link = scratch("other-link");
    std::os::unix::fs::symlink("/nowhere", &link).unwrap();
    let (channel, name) = opened(|s| s.pty.link = Some(link.clone())).await;
    assert_eq!(std::fs::read_link(&link).unwrap(), name);
    std::fs::remove_file(&link).unwrap();
    std::os::unix::fs::symlink("/elsewhere", &link).unwrap();
    drop(channel);
    assert_eq!(std::fs::read_link(&link).unwrap(), Path::new("/elsewhere"));
    std::fs::remove_file(&link).unwrap();
}

#[tokio::test]
async fn files_and_directories_are_never_replaced() {
    let directory = scratch("in-the-way");
    std::fs::create_dir_all(directory.join("sub")).unwrap();
    std::fs::write(directory.join("file"), "precious").unwrap();
    for name in ["file", "sub"] {
        let mut settings = Settings::default();
        settings.pty.link = Some(directory.join(name));
        let error = open(settings).await.err().unwrap();
        assert!(error.message().contains("not replaced"), "{error}");
    }
    assert_eq!(std::fs::read(directory.join("file")).unwrap(), b"precious");
    let left: Vec<_> = std::fs::read_dir(&directory).unwrap().collect();
    assert_eq!(left.len(), 2, "{left:?}");

    let (channel, name) = opened(|s| {
        s.pty.link = Some(directory.join("file"));
        s.file.unlink_early = true;
        s.file.unlink_close = Some(false);
    })
    .await;
    drop(channel);
    assert_eq!(std::fs::read_link(directory.join("file")).unwrap(), name, "unlink-close=0 keeps it");
    std::fs::remove_dir_all(&directory).unwrap();
}

#[tokio::test]
async fn the_mode_is_the_slaves() {
    let (_channel, name) = opened(|s| s.file.mode = Some(0o606)).await;
    assert_eq!(std::fs::metadata(&name).unwrap().permissions().mode() & 0o777, 0o606);
}

#[tokio::test]
async fn the_end_is_said_to_a_client_that_reads_lines() {
    let (mut channel, name) = opened(|_| {}).await;
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        File::open(&name).unwrap().read_to_string(&mut text).unwrap();
        text
    });
    let sink = channel.sink.as_mut().unwrap();
    sink.write_all(b"line\nrest").await.unwrap();
    sink.shutdown().await.unwrap();
    let joined = tokio::task::spawn_blocking(move || reader.join().unwrap());
    assert_eq!(tokio::time::timeout(LIMIT, joined).await.unwrap().unwrap(), "line\nrest");
}

#[tokio::test]
async fn a_virtual_pair_is_raw_and_outlives_its_clients() {
    let links = (scratch("left"), scratch("right"));
    let VirtualPair { names, channels } = virtual_pair(Some(&links.0), Some(&links.1)).unwrap();
    assert_eq!(std::fs::read_link(&links.0).unwrap(), names.0);
    assert_eq!(std::fs::read_link(&links.1).unwrap(), names.1);
    let (mut left, mut right) = channels;
    for text in [&b"\x03\x04\r\n\x11\xff"[..], b"\x7f\x1a"] {
        OpenOptions::new().write(true).open(&names.0).unwrap().write_all(text).unwrap();
        let bytes = read(&mut left, text.len()).await;
        assert_eq!(bytes, text);
        right.sink.as_mut().unwrap().write_all(&bytes).await.unwrap();
        let mut got = vec![0; text.len()];
        File::open(&links.1).unwrap().read_exact(&mut got).unwrap();
        assert_eq!(got, text);
    }
    drop((left, right));
    assert!(!links.0.exists() && !links.1.exists());
}

#[test]
fn terminal_options_stay_for_the_users_of_the_slave() {
    let plan =
        crate::endpoint::Plan::parse(b"PTY,rawer", Direction::Both, &crate::endpoint::Defaults::default()).unwrap();
    let terminal = Terminal::open(&plan.single().unwrap().options, &Log::silent()).unwrap();
    let slave = File::open(&terminal.name).unwrap();
    let flags = nix::sys::termios::tcgetattr(&slave).unwrap().local_flags;
    assert!(!flags.intersects(nix::sys::termios::LocalFlags::ICANON | nix::sys::termios::LocalFlags::ECHO));
}
