//! The options of one address, applied at their moments.
//!
//! An endpoint calls, as far as it has the thing: [`Options::on_path`] with a name in the file system,
//! [`Options::on_socket`] with a socket, [`Options::on_descriptor`] with the descriptor that carries the data,
//! [`Options::lock`] and [`Options::apply_terminal`] with the same. Everything else stands in
//! [`Options::settings`](super::Settings).

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use libc::{IPPROTO_IP, O_ACCMODE, O_APPEND};
use nix::fcntl::OFlag;

use super::{AccessMode, Apply, DescriptorMoment, LockRequest, Options, PathMoment, Row, SocketMoment, Value};
use crate::error::{Error, Phase, Result};
use crate::sys;
use crate::sys::terminal::Restore;

/// Flags of open(2) that fcntl(`F_SETFL`) can change later.
const CHANGEABLE: i32 = libc::O_DIRECT | libc::O_NOATIME;

/// First and longest pause between two looks at a lock that is taken.
const LOCK_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

impl Options {
    /// Applies what belongs to this moment of a socket's life. Options of the moment `Created` are inherited
    /// by the connections a listening socket accepts.
    pub fn on_socket(&self, moment: SocketMoment, fd: BorrowedFd<'_>) -> Result<()> {
        self.each(|row, value| match row.apply {
            Apply::Socket(at, apply) if at == moment => Some(apply(fd, value)),
            _ => None,
        })?;
        if moment == SocketMoment::Created { self.on_new_socket(fd) } else { Ok(()) }
    }

    /// Applies the socket options of every moment, to a socket that somebody else has made.
    pub fn on_inherited_socket(&self, fd: BorrowedFd<'_>) -> Result<()> {
        self.each(|row, value| match row.apply {
            Apply::Socket(_, apply) => Some(apply(fd, value)),
            _ => None,
        })?;
        self.on_new_socket(fd)
    }

    /// Socket options that several rows gather.
    fn on_new_socket(&self, fd: BorrowedFd<'_>) -> Result<()> {
        let socket = &self.settings.socket;
        if !socket.ip_options.is_empty() {
            let set = sys::sockopt::set_bytes(fd, IPPROTO_IP, libc::IP_OPTIONS, &socket.ip_options);
            named(set, "ip-options")?;
        }
        for membership in &socket.memberships {
            named(sys::multicast::join(fd, membership), "membership")?;
        }
        Ok(())
    }

    /// Applies what belongs to this moment of a descriptor's life.
    pub fn on_descriptor(&self, moment: DescriptorMoment, fd: BorrowedFd<'_>) -> Result<()> {
        if moment == DescriptorMoment::Opened && !self.settings.file.named {
            self.own_descriptor(fd)?;
        }
        self.each(|row, value| match row.apply {
            Apply::Descriptor(at, apply) if at == moment => Some(apply(fd, value)),
            Apply::OpenFlag(bit) if moment == DescriptorMoment::Opened && bit & CHANGEABLE != 0 => {
                Some(sys::fd::set_status_flag(fd, OFlag::from_bits_retain(bit), value.is_true()))
            }
            _ => None,
        })?;
        match self.settings.file.append {
            Some(on) if moment == DescriptorMoment::Late => {
                named(sys::fd::set_status_flag(fd, OFlag::O_APPEND, on), "append")
            }
            _ => Ok(()),
        }
    }

    /// `user`, `group` and `perm` of what has no name in the file system.
    fn own_descriptor(&self, fd: BorrowedFd<'_>) -> Result<()> {
        let file = &self.settings.file;
        if file.user.is_some() || file.group.is_some() {
            named(sys::file::set_owner(fd, file.user.as_ref(), file.group.as_ref()), "user")?;
        }
        match file.mode {
            Some(mode) => named(sys::file::set_mode(fd, mode), "perm"),
            None => Ok(()),
        }
    }

    /// Applies what belongs to this moment of a name in the file system: that of a file, a FIFO or a UNIX
    /// socket, or of the slave of a pseudo terminal.
    pub fn on_path(&self, moment: PathMoment, path: &Path) -> Result<()> {
        match moment {
            PathMoment::Early if self.settings.file.unlink_early => named(sys::file::remove(path), "unlink-early")?,
            PathMoment::AfterOpen => self.own_path(path)?,
            _ => {}
        }
        self.each(|row, value| match row.apply {
            Apply::Path(at, apply) if at == moment => Some(apply(path, value)),
            _ => None,
        })
    }

    /// `user`, `group` and `perm` of a name. Files and FIFOs were created with their permissions, and those
    /// that were there before keep theirs.
    fn own_path(&self, path: &Path) -> Result<()> {
        let file = &self.settings.file;
        if file.user.is_some() || file.group.is_some() {
            named(sys::file::set_path_owner(path, file.user.as_ref(), file.group.as_ref()), "user")?;
        }
        match file.mode {
            Some(mode) if sys::file::is_socket_or_slave(path) => named(sys::file::set_path_mode(path, mode), "perm"),
            _ => Ok(()),
        }
    }

    /// The flags for open(2): `base` with the bits of the options set or cleared.
    pub fn open_flags(&self, base: i32) -> i32 {
        let mut flags = self.given.iter().fold(base, |flags, (row, value)| match row.apply {
            Apply::OpenFlag(bit) if value.is_true() => flags | bit,
            Apply::OpenFlag(bit) => flags & !bit,
            _ => flags,
        });
        match self.settings.file.append {
            Some(true) => flags |= O_APPEND,
            Some(false) => flags &= !O_APPEND,
            None => {}
        }
        let access = match self.settings.file.access {
            Some(AccessMode::Read) => libc::O_RDONLY,
            Some(AccessMode::Write) => libc::O_WRONLY,
            Some(AccessMode::ReadWrite) => libc::O_RDWR,
            None => flags & O_ACCMODE,
        };
        (flags & !O_ACCMODE) | access
    }

    /// Takes the locks that were asked for, waiting for those that may be waited for. Cancel safe: locks
    /// taken so far end with the descriptor.
    pub async fn lock(&self, fd: BorrowedFd<'_>) -> Result<()> {
        for request in &self.settings.file.locks {
            let taken = take(fd, request).await;
            named(taken, "lock")?;
        }
        Ok(())
    }

    /// Changes the terminal's settings as all the options say, in one step: tcsetattr(3) with `TCSANOW`.
    /// The guard brings the earlier settings back when it is dropped; there is none without such options.
    pub fn apply_terminal(&self, fd: BorrowedFd<'_>) -> Result<Option<Restore>> {
        let mut rows = self.given.iter().filter(|(row, _)| matches!(row.apply, Apply::Terminal(_))).peekable();
        let Some((first, _)) = rows.peek() else { return Ok(None) };
        let (restore, mut settings) = named(sys::terminal::read(fd), first.name)?;
        for (row, value) in rows {
            if let Apply::Terminal(apply) = row.apply {
                named(apply(&mut settings, value).map_err(io::Error::other), row.name)?;
            }
        }
        named(sys::terminal::set(fd, &settings), first.name)?;
        Ok(Some(restore))
    }

    /// Whether [`Options::apply_terminal`] has something to do.
    pub fn has_terminal_settings(&self) -> bool {
        self.given.iter().any(|(row, _)| matches!(row.apply, Apply::Terminal(_)))
    }

    /// `setsid` and `ctty` for an address that starts no program: this process begins a session, whose
    /// controlling terminal `fd` becomes.
    pub fn lead_session(&self, fd: BorrowedFd<'_>) -> Result<()> {
        if self.settings.program.setsid {
            named(nix::unistd::setsid().map(drop).map_err(io::Error::from), "setsid")?;
        }
        if self.settings.program.ctty { named(sys::terminal::take_control(fd), "ctty") } else { Ok(()) }
    }

    fn each(&self, mut call: impl FnMut(&'static Row, &Value) -> Option<io::Result<()>>) -> Result<()> {
        for (row, value) in &self.given {
            if let Some(result) = call(row, value) {
                named(result, row.name)?;
            }
        }
        Ok(())
    }
}

/// An error that says which option it is about.
fn named<T>(result: io::Result<T>, option: &str) -> Result<T> {
    result.map_err(|error| Error::open(Phase::Option, error).about(option))
}

/// Takes one lock.
async fn take(fd: BorrowedFd<'_>, request: &LockRequest) -> io::Result<()> {
    let (mut pause, longest) = LOCK_PAUSE;
    while !sys::lock::try_lock(fd, request)? {
        if !request.wait {
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use std::fs::{self, File, OpenOptions};
    use std::os::fd::AsFd;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::path::PathBuf;

    use nix::sys::termios::{BaudRate, LocalFlags, cfgetospeed, tcgetattr};

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
        Options { settings, given: rows }
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
        let options =
            options(&[("nodelay", Value::Int(1)), ("keepalive", Value::Int(1)), ("reuseport", Value::Int(1))]);
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
    fn terminal_settings_change_in_one_step_and_come_back() {
        let pair = nix::pty::openpty(None, None).unwrap();
        let before = tcgetattr(&pair.slave).unwrap();
        let flag = Value::None;
        let given = options(&[("b9600", flag.clone()), ("rawer", flag), ("echo", Value::Bool(true))]);
        assert!(given.has_terminal_settings());
        let guard = given.apply_terminal(pair.slave.as_fd()).unwrap().expect("a guard");
        let changed = tcgetattr(&pair.slave).unwrap();
        assert_eq!(cfgetospeed(&changed), BaudRate::B9600);
        assert_eq!(changed.local_flags, LocalFlags::ECHO);
        drop(guard);
        let after = tcgetattr(&pair.slave).unwrap();
        assert_eq!((after.local_flags, cfgetospeed(&after)), (before.local_flags, cfgetospeed(&before)));
        assert_eq!((after.input_flags, after.control_chars), (before.input_flags, before.control_chars));
        assert!(options(&[]).apply_terminal(pair.slave.as_fd()).unwrap().is_none());
    }

    #[test]
    fn what_is_no_terminal_is_an_error() {
        let directory = Directory::new("tty");
        let (_path, file) = directory.file("");
        let error = options(&[("raw", Value::None)]).apply_terminal(file.as_fd()).unwrap_err();
        assert_eq!(error.errno(), Some(libc::ENOTTY));
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
}
