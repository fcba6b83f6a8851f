//! The options of an address on real files, sockets and terminals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use super::*;
use crate::option::{Groups, LockApi, Principal, Settings, find};

/// Options as they are after reading.
fn options(given: &[(&str, Value)]) -> Options {
    let mut settings = Settings::default();
    let mut rows: Vec<_> =
        given.iter().map(|(name, value)| (find(name, Groups::ALL).unwrap(), value.clone())).collect();
    rows.sort_by_key(|(row, _)| row.phase);
    for (row, value) in &rows {
        if let Apply::Plan(apply) = row.apply {
            apply(&mut settings, value).unwrap();
        }
    }
    Options { settings, given: rows, ..Options::default() }
}

/// A directory of its own, removed afterwards.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("option-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn file(&self, content: &str) -> (PathBuf, File) {
        let path = self.0.join("file");
        fs::write(&path, content).unwrap();
        let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        (path, file)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn open_flags_follow_the_options() {
    let base = libc::O_RDWR | libc::O_APPEND;
    let flags = |given: &[(&str, Value)]| options(given).open_flags(base);
    assert_eq!(flags(&[]), base);
    assert_eq!(
        flags(&[("creat", Value::Bool(true)), ("excl", Value::Bool(true))]),
        base | libc::O_CREAT | libc::O_EXCL
    );
    assert_eq!(flags(&[("append", Value::Bool(false))]), libc::O_RDWR);
    assert_eq!(flags(&[("wronly", Value::Bool(true))]), libc::O_WRONLY | libc::O_APPEND);
    assert_eq!(flags(&[("rdonly", Value::Bool(true))]), libc::O_RDONLY | libc::O_APPEND);
    assert_eq!(flags(&[("rdonly", Value::Bool(false))]), base);
}

#[test]
fn append_reaches_what_somebody_else_opened() {
    let directory = Directory::new("append");
    let (path, file) = directory.file("old");
    let options = options(&[("append", Value::Bool(true))]);
    options.on_descriptor(DescriptorMoment::Late, file.as_fd()).unwrap();
    sys::io::write(file.as_fd(), b"new").unwrap();
    assert_eq!(fs::read(path).unwrap(), b"oldnew");
}

#[test]
fn places_are_changed_after_everything_else() {
    let directory = Directory::new("seek");
    let (path, file) = directory.file("0123456789");
    let options =
        options(&[("ftruncate", Value::Int(6)), ("seek-end", Value::Int(-2)), ("perm-late", Value::Mode(0o640))]);
    options.on_descriptor(DescriptorMoment::Opened, file.as_fd()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 10);
    options.on_descriptor(DescriptorMoment::Late, file.as_fd()).unwrap();
    let mut rest = [0; 8];
    assert_eq!(sys::io::read(file.as_fd(), &mut rest).unwrap(), 2);
    assert_eq!(&rest[..2], b"45");
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn permissions_belong_to_the_name_or_to_the_descriptor() {
    let directory = Directory::new("perm");
    let (path, file) = directory.file("");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let mode = || fs::metadata(&path).unwrap().permissions().mode() & 0o777;
    let mut options = options(&[("mode", Value::Mode(0o664)), ("group", Value::Principal(own_group(&path)))]);
    options.settings.file.named = true;
    options.on_descriptor(DescriptorMoment::Opened, file.as_fd()).unwrap();
    options.on_path(PathMoment::AfterOpen, &path).unwrap();
    assert_eq!(mode(), 0o600, "a file that was there keeps its permissions");
    options.settings.file.named = false;
    options.on_descriptor(DescriptorMoment::Opened, file.as_fd()).unwrap();
    assert_eq!(mode(), 0o664);

    let socket = directory.0.join("socket");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    options.settings.file.named = true;
    options.settings.file.mode = Some(0o600);
    options.on_path(PathMoment::AfterOpen, &socket).unwrap();
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
}

fn own_group(path: &Path) -> Principal {
    Principal::Id(fs::metadata(path).unwrap().gid())
}

#[test]
fn names_are_removed_at_their_moment() {
    let directory = Directory::new("unlink");
    for (name, moment) in [
        ("unlink-early", PathMoment::Early),
        ("unlink", PathMoment::BeforeOpen),
        ("unlink-late", PathMoment::AfterOpen),
    ] {
        let (path, _file) = directory.file("");
        let options = options(&[(name, Value::Bool(true))]);
        for at in [PathMoment::Early, PathMoment::BeforeOpen, PathMoment::AfterOpen] {
            options.on_path(at, &path).unwrap();
            assert_eq!(path.exists(), at < moment, "{name} {at:?}");
        }
    }
}

#[test]
fn an_unknown_user_is_named() {
    let directory = Directory::new("user");
    let (path, _file) = directory.file("");
    let nobody = Value::Principal(Principal::Name("no such user".into()));
    let error = options(&[("user-early", nobody)]).on_path(PathMoment::BeforeOpen, &path).unwrap_err();
    assert_eq!(error.to_string(), "option: user-early: unknown user \"no such user\"");
}

#[test]
fn an_option_the_kernel_refuses_is_named_with_its_number() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let options = options(&[("so-acceptconn", Value::Int(1))]);
    let error = options.on_socket(SocketMoment::Created, socket.as_fd()).unwrap_err();
    assert_eq!(error.errno(), Some(libc::ENOPROTOOPT));
    assert!(error.to_string().contains("so-acceptconn"), "{error}");
}

#[test]
fn inherited_sockets_get_the_options_of_every_moment() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let options = options(&[("nodelay", Value::Int(1)), ("keepalive", Value::Int(1)), ("reuseport", Value::Int(1))]);
    options.on_inherited_socket(socket.as_fd()).unwrap();
    for (level, name) in [
        (libc::IPPROTO_TCP, libc::TCP_NODELAY),
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE),
        (libc::SOL_SOCKET, libc::SO_REUSEPORT),
    ] {
        assert_eq!(sys::sockopt::get_int(socket.as_fd(), level, name).unwrap(), 1);
    }
}

#[test]
fn ip_options_given_twice_are_joined() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let options = options(&[("ip-options", Value::Data(vec![1; 3])), ("ip-options", Value::Data(vec![1]))]);
    options.on_socket(SocketMoment::Created, socket.as_fd()).unwrap();
    let mut bytes = [0; 40];
    let count = sys::sockopt::get_bytes(socket.as_fd(), IPPROTO_IP, libc::IP_OPTIONS, &mut bytes).unwrap();
    assert_eq!(&bytes[..count], [1; 4]);
}

#[test]
fn groups_are_joined_by_name_index_and_address() {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket_v6 = std::net::UdpSocket::bind("[::1]:0").unwrap();
    let parts = |text: &str| Value::Parts(text.split('|').map(str::to_owned).collect());
    let v4 = options(&[
        ("membership", parts("239.255.7.1|127.0.0.1")),
        ("membership", parts("239.255.7.2|lo")),
        ("membership", parts("239.255.7.3|1")),
        ("membership", parts("239.255.7.4|127.0.0.1|lo")),
        ("source-membership", parts("232.1.7.5|127.0.0.1|127.0.0.1")),
        ("source-membership", parts("232.1.7.6|lo|127.0.0.1")),
    ]);
    v4.on_socket(SocketMoment::Created, socket.as_fd()).unwrap();
    // Joining once more shows that the kernel has each of them.
    for membership in &v4.settings.socket.memberships {
        let again = sys::multicast::join(socket.as_fd(), membership).unwrap_err();
        assert!(matches!(again.raw_os_error(), Some(libc::EADDRINUSE | libc::EADDRNOTAVAIL)), "{again}");
    }
    let v6 = options(&[("join-group", parts("ff02::7:1|lo")), ("join-source-group", parts("ff32::7:2|1|::1"))]);
    v6.on_socket(SocketMoment::Created, socket_v6.as_fd()).unwrap();
    let nowhere = options(&[("join-group", parts("ff02::7:1|nosuchif0"))]);
    let error = nowhere.on_socket(SocketMoment::Created, socket_v6.as_fd()).unwrap_err();
    assert_eq!(error.errno(), Some(libc::ENODEV));
}

#[test]
fn the_slave_of_a_pseudo_terminal_is_meant_where_its_master_is_given() {
    let pair = nix::pty::openpty(None, None).unwrap();
    let options = options(&[("perm-late", Value::Mode(0o640))]);
    let shared = fs::metadata("/dev/ptmx").unwrap().permissions().mode();
    options.on_descriptor(DescriptorMoment::Late, pair.master.as_fd()).unwrap();
    let number = sys::terminal::slave_number(pair.master.as_fd()).unwrap();
    let slave = fs::metadata(format!("/dev/pts/{number}")).unwrap();
    assert_eq!(slave.permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::metadata("/dev/ptmx").unwrap().permissions().mode(), shared);
}

#[tokio::test(start_paused = true)]
async fn a_lock_is_waited_for_or_refused() {
    for (wait, refuse, api) in [("f-setlkw", "f-setlk", LockApi::Record), ("flock", "flock-nb", LockApi::Flock)] {
        let directory = Directory::new(wait);
        let (path, holder) = directory.file("");
        let request = LockRequest { api, exclusive: true, wait: false };
        assert!(sys::lock::try_lock(holder.as_fd(), &request).unwrap());

        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let refused = options(&[(refuse, Value::Bool(true))]).lock(file.as_fd()).await.unwrap_err();
        assert_eq!(refused.errno(), Some(libc::EAGAIN), "{refuse}");

        let waiting = options(&[(wait, Value::Bool(true))]);
        let release = async {
            tokio::time::sleep(Duration::from_secs(3)).await;
            drop(holder);
        };
        let started = tokio::time::Instant::now();
        let (locked, ()) = tokio::join!(waiting.lock(file.as_fd()), release);
        locked.unwrap();
        assert!(started.elapsed() >= Duration::from_secs(3), "{wait}");
    }
}
