//! Sockets: what socket2 leaves to its callers.

use std::io;
use std::os::fd::BorrowedFd;

use socket2::{SockAddr, SockRef, Socket};

/// accept4(2) with `SOCK_NONBLOCK | SOCK_CLOEXEC`: one call for the connection, its flags and its peer.
pub fn accept(listener: BorrowedFd<'_>) -> io::Result<(Socket, SockAddr)> {
    SockRef::from(&listener).accept4(libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC)
}

/// Whether listen(2) was called on the socket.
pub fn is_listening(socket: BorrowedFd<'_>) -> io::Result<bool> {
    SockRef::from(&socket).is_listener()
}

/// The address of a name in the abstract namespace (unix(7)). With `loose` its length is that of the whole
/// structure and the name is filled up with NUL bytes, as some old programs have it; otherwise the length
/// is just what the name needs.
///
/// # Errors
/// `InvalidInput` for a name that does not fit: most are 107 bytes.
pub fn abstract_address(name: &[u8], loose: bool) -> io::Result<SockAddr> {
    use std::os::unix::ffi::OsStrExt;
    let mut path = Vec::with_capacity(name.len() + 1);
    path.push(0);
    path.extend_from_slice(name);
    let mut address = SockAddr::unix(std::ffi::OsStr::from_bytes(&path))?;
    if loose {
        let whole = libc::socklen_t::try_from(size_of::<libc::sockaddr_un>()).unwrap_or(address.len());
        // SAFETY: the storage behind the address is zeroed and larger than sockaddr_un.
        unsafe { address.set_length(whole) };
    }
    Ok(address)
}

/// The highest descriptor number the process may have, plus one (`RLIMIT_NOFILE`, getrlimit(2)).
pub fn descriptor_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit};
    getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft)
}
