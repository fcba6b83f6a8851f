//! UNIX sockets with a name in the file system: names of any length, what is in the way, who may connect.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use socket2::{Domain, SockAddr, SockRef, Socket, Type};

use super::sockname::shown;
use super::unlink::UnlinkGuard;
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::option::{Options, PathMoment};

/// The longest path that fits into an address (unix(7)): 108 bytes with the NUL byte at the end.
const LONGEST: usize = 107;

/// The address of a path.
pub(super) struct PathAddress {
    /// To connect or bind to.
    pub address: SockAddr,
    /// The path's directory, where the address leads through it; must stay open meanwhile.
    _directory: Option<OwnedFd>,
}

impl PathAddress {
    /// A path that is too long for an address is reached through /proc/self/fd, from its directory.
    ///
    /// # Errors
    /// Those of opening the directory; `ENAMETOOLONG` where the last name alone is too long.
    pub(super) fn new(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= LONGEST {
            return Ok(Self { address: SockAddr::unix(path)?, _directory: None });
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = nix::fcntl::open(parent, flags, Mode::empty())?;
        let name = path.file_name().unwrap_or_default();
        let short = own_path(&directory).join(name);
        if short.as_os_str().len() > LONGEST {
            return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
        }
        Ok(Self { address: SockAddr::unix(short)?, _directory: Some(directory) })
    }
}

/// The path that leads to what a descriptor of this process stands for (proc(5)).
fn own_path(fd: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}

/// Binds a socket to a path, with the path's options. The guard removes the name again, unless
/// `unlink-close` forbids it.
pub(super) fn bind(socket: &Socket, path: &Path, options: &Options) -> Result<Option<UnlinkGuard>> {
    let failed = |error: io::Error| Error::open(Phase::Bind, error);
    make_way(path, options)?;
    if let Some(mode) = options.settings.file.mode {
        // The name is born with the socket's own mode, less the umask: never open wider than asked for,
        // not even until the chmod below. Nothing process-wide has to change for it.
        nix::sys::stat::fchmod(socket.as_fd(), Mode::from_bits_truncate(mode)).map_err(|error| failed(error.into()))?;
    }
    let place = PathAddress::new(path).map_err(failed)?;
    socket.bind(&place.address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => exists(path, socket, &place.address),
        _ => failed(error),
    })?;
    let guard = UnlinkGuard::new(path).map_err(failed)?;
    dress(path, options)?;
    if options.settings.file.unlink_close.unwrap_or(true) {
        return Ok(Some(guard));
    }
    guard.keep();
    Ok(None)
}

/// Applies owner, group and mode to the new name. A listener does not listen yet, so nobody can connect
/// before this is done.
fn dress(path: &Path, options: &Options) -> Result<()> {
    let owned = ["user", "group", "perm"].iter().any(|name| options.has(name));
    if !owned || options.has("unlink-late") {
        return options.on_path(PathMoment::AfterOpen, path);
    }
    // Not through the name, which others may replace in a directory they can write to.
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let fd = nix::fcntl::open(path, flags, Mode::empty()).map_err(|error| Error::open(Phase::Option, error.into()))?;
    let pinned = Some(own_path(&fd)).filter(|pinned| pinned.exists());
    options.on_path(PathMoment::AfterOpen, pinned.as_deref().unwrap_or(path))
}

/// Runs the options that come before the name exists.
fn make_way(path: &Path, options: &Options) -> Result<()> {
    if options.settings.file.unlink_early {
        remove_socket(path)?;
    }
    options.on_path(PathMoment::Early, path)?;
    options.on_path(PathMoment::BeforeOpen, path)
}

/// Removes a socket that is in the way. Anything else is somebody's data and stays.
fn remove_socket(path: &Path) -> Result<()> {
    let metadata = match path.symlink_metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::open(Phase::Open, error)),
    };
    if !metadata.file_type().is_socket() {
        let message = format!("\"{}\" exists and is {}", shown(path), kind_of(&metadata));
        return Err(Error::new(ErrorKind::Open, Phase::Open, message)
            .hint("unlink-early makes way for a socket by removing an old socket only; remove this yourself"));
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::open(Phase::Open, error)),
        _ => Ok(()),
    }
}

/// What is there instead of a socket.
fn kind_of(metadata: &std::fs::Metadata) -> Cow<'static, str> {
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => "a file".into(),
        () if kind.is_dir() => "a directory".into(),
        () if kind.is_symlink() => "a symbolic link".into(),
        () if kind.is_fifo() => "a FIFO".into(),
        () => "a device".into(),
    }
}

/// The error for a name that is taken, with what is known about who took it.
fn exists(path: &Path, socket: &Socket, address: &SockAddr) -> Error {
    let taken = io::Error::from_raw_os_error(libc::EADDRINUSE);
    let error = Error::open(Phase::Bind, taken).worded(format!("\"{}\" exists", shown(path)));
    let Ok(metadata) = path.symlink_metadata() else { return error };
    if !metadata.file_type().is_socket() {
        return error.hint(format!("it is {}, not a socket", kind_of(&metadata)));
    }
    match is_alive(socket, address) {
        Some(true) => error.hint("another process is listening there"),
        Some(false) => error.hint("it was left behind by a process that is gone; option unlink-early removes it first"),
        None => error,
    }
}

/// Whether somebody holds the socket with this address: tried by connecting to it.
fn is_alive(socket: &Socket, address: &SockAddr) -> Option<bool> {
    let kind = SockRef::from(socket).r#type().ok()?;
    let probe = Socket::new(Domain::UNIX, Type::from(libc::c_int::from(kind)).nonblocking(), None).ok()?;
    match probe.connect(address) {
        Ok(()) => Some(true),
        Err(error) => match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => Some(false),
            Some(libc::EAGAIN | libc::EPROTOTYPE) => Some(true),
            _ => None,
        },
    }
}
