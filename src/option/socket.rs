//! Options of sockets of any family.
#![expect(clippy::unnecessary_wraps, reason = "the signature is that of Apply::Plan")]

use std::io;
use std::os::fd::BorrowedFd;

use libc::SOL_SOCKET;

use super::{Settings, Value};
use crate::sys;

/// setsockopt(2) with an int.
pub(super) fn int<const LEVEL: i32, const NAME: i32>(fd: BorrowedFd<'_>, value: &Value) -> io::Result<()> {
    sys::sockopt::set_int(fd, LEVEL, NAME, value.c_int())
}

/// setsockopt(2) with one byte.
pub(super) fn byte<const LEVEL: i32, const NAME: i32>(fd: BorrowedFd<'_>, value: &Value) -> io::Result<()> {
    let byte: u8 = value.number().map_err(io::Error::other)?;
    sys::sockopt::set_bytes(fd, LEVEL, NAME, &[byte])
}

/// setsockopt(2) with a struct timeval.
fn time<const NAME: i32>(fd: BorrowedFd<'_>, value: &Value) -> io::Result<()> {
    sys::sockopt::set_time(fd, SOL_SOCKET, NAME, value.time())
}

fn linger(fd: BorrowedFd<'_>, value: &Value) -> io::Result<()> {
    sys::sockopt::set_linger(fd, value.c_int())
}

/// setsockopt(2) with a struct ucred, so that the answer is the kernel's.
fn peer_credentials(fd: BorrowedFd<'_>, _value: &Value) -> io::Result<()> {
    sys::sockopt::set_bytes(fd, SOL_SOCKET, libc::SO_PEERCRED, &[0; size_of::<libc::ucred>()])
}

/// The `setsockopt` rows.
fn raw(fd: BorrowedFd<'_>, value: &Value) -> io::Result<()> {
    match value {
        Value::SocketOption(level, name, bytes) => sys::sockopt::set_bytes(fd, *level, *name, bytes),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn reuseaddr(settings: &mut Settings, value: &Value) -> Result<(), String> {
    let leave_alone = matches!(value, Value::None);
    settings.socket.reuseaddr = Some((!leave_alone).then(|| value.is_true()));
    Ok(())
}

/// An address family by number or by name.
fn family(value: &Value) -> Result<i32, String> {
    let word = value.text()?.to_ascii_lowercase();
    match word.as_str() {
        "inet" | "inet4" | "ip4" | "ipv4" => Ok(libc::AF_INET),
        "inet6" | "ip6" | "ipv6" => Ok(libc::AF_INET6),
        _ => word.parse().map_err(|_| format!("unknown protocol family \"{word}\"")),
    }
}

crate::options! {
    /// Local address: `[host][:port]` for clients, the host for listeners, a path for UNIX sockets, bytes for
    /// generic ones.
    "bind" : Text, SOCKET, Bind => store!(socket.bind, value => Some(value.bytes().to_vec()));
    /// Seconds one attempt to connect may take.
    "connect-timeout" : Timeval, SOCKET, PastSocket =>
        store!(life.connect_timeout, value => super::listen::limit(value));
    /// Process (or, negative, process group) that gets SIGIO and SIGURG; FIOSETOWN, see ioctl(2).
    "fiosetown" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, |fd, value| sys::ioctl::set_int(fd, sys::ioctl::FIOSETOWN, value.c_int()));
    /// An empty datagram is the end of the input; otherwise it is passed over.
    "null-eof" : Bool, SOCKET, Offset => store!(flow.null_eof, value => value.is_true());
    /// Address family: a number (AF_* of socket(2)), or inet, inet4, ip4, ipv4, inet6, ip6, ipv6.
    "protocol-family" | "pf" : Text, SOCKET, PreSocket => store!(socket.family, value => Some(family(value)?));
    /// setsockopt(2) as `level:option:data` on the connected socket.
    "setsockopt" | "sockopt" : SocketOptionData, SOCKET, Connected => Socket(SocketMoment::Connected, raw);
    /// setsockopt(2) as `level:option:data` on the connected socket.
    "setsockopt-bin" | "sockopt-bin" : SocketOptionData, SOCKET, Connected => Socket(SocketMoment::Connected, raw);
    /// setsockopt(2) as `level:option:data` on the connected socket.
    "setsockopt-connected" | "sockopt-conn" : SocketOptionData, SOCKET, Connected =>
        Socket(SocketMoment::Connected, raw);
    /// setsockopt(2) as `level:option:number` on the connected socket.
    "setsockopt-int" | "sockopt-int" : SocketOptionInt, SOCKET, Connected => Socket(SocketMoment::Connected, raw);
    /// setsockopt(2) as `level:option:data` before the socket is bound.
    "setsockopt-listen" | "sockopt-listen" : SocketOptionData, SOCKET, PreBind => Socket(SocketMoment::BeforeBind, raw);
    /// setsockopt(2) as `level:option:data` as soon as the socket exists.
    "setsockopt-socket" | "sockopt-sock" : SocketOptionData, SOCKET, PastSocket => Socket(SocketMoment::Created, raw);
    /// setsockopt(2) as `level:option:text` on the connected socket; the text ends with a NUL.
    "setsockopt-string" | "sockopt-string" : SocketOptionText, SOCKET, Connected =>
        Socket(SocketMoment::Connected, raw);
    /// Process (or, negative, process group) that gets SIGIO and SIGURG; SIOCSPGRP, see socket(7).
    "siocspgrp" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, |fd, value| sys::ioctl::set_int(fd, sys::ioctl::SIOCSPGRP, value.c_int()));
    /// Whether the socket listens; SO_ACCEPTCONN, see socket(7). The kernel lets nobody set it and says so.
    "so-acceptconn" | "acceptconn" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_ACCEPTCONN }>);
    /// Attach a packet filter; SO_ATTACH_FILTER, see socket(7). A number is not a filter, and the kernel says
    /// so.
    "so-attach-filter" | "attach-filter" | "attachfilter" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_ATTACH_FILTER }>);
    /// Use only this network interface, by name; SO_BINDTODEVICE, see socket(7).
    "so-bindtodevice" | "bindtodevice" | "if" | "interface" : Text, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, |fd, value| sys::sockopt::bind_device(fd, value.bytes()));
    /// Allow to send to broadcast addresses; SO_BROADCAST, see socket(7).
    "so-broadcast" | "broadcast" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_BROADCAST }>);
    /// Compatibility with old BSDs; SO_BSDCOMPAT, see socket(7). Linux does nothing with it.
    "so-bsdcompat" | "bsdcompat" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_BSDCOMPAT }>);
    /// Record debugging information in the kernel; SO_DEBUG, see socket(7). Privileged.
    "so-debug" | "debug" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_DEBUG }>);
    /// Take the packet filter off; SO_DETACH_FILTER, see socket(7). Without a filter the kernel says so.
    "so-detach-filter" | "detach-filter" | "detachfilter" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_DETACH_FILTER }>);
    /// Send to directly connected hosts only; SO_DONTROUTE, see socket(7).
    "so-dontroute" | "dontroute" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_DONTROUTE }>);
    /// The socket's pending error; SO_ERROR, see socket(7). The kernel lets nobody set it and says so.
    "so-error" | "error" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_ERROR }>);
    /// Probe a silent connection, so that a dead peer is noticed; for the pace see `keepidle`, `keepintvl` and
    /// `keepcnt`. SO_KEEPALIVE, see socket(7).
    "so-keepalive" | "keepalive" : Int, SOCKET, Fd =>
        Socket(SocketMoment::Connected, int::<SOL_SOCKET, { libc::SO_KEEPALIVE }>);
    /// Seconds that close waits for unsent data; 0 resets the connection instead. SO_LINGER, see socket(7).
    "so-linger" | "linger" : Linger, SOCKET, PastSocket => Socket(SocketMoment::Created, linger);
    /// UDP over IPv4: send without a checksum; SO_NO_CHECK of asm-generic/socket.h.
    "so-no-check" | "no-check" | "nocheck" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_NO_CHECK }>);
    /// Urgent data stay in their place in the stream; SO_OOBINLINE, see socket(7).
    "so-oobinline" | "oobinline" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_OOBINLINE }>);
    /// Receive the credentials of the sender on UNIX sockets; SO_PASSCRED, see unix(7).
    "so-passcred" | "passcred" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_PASSCRED }>);
    /// Credentials of the peer on UNIX sockets; SO_PEERCRED, see unix(7). The kernel lets nobody set it and
    /// says so.
    "so-peercred" | "peercred" : IntTriple, SOCKET, PastSocket => Socket(SocketMoment::Created, peer_credentials);
    /// Priority of every packet sent, 0 to 6, higher for the privileged; SO_PRIORITY, see socket(7).
    "so-priority" | "priority" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_PRIORITY }>);
    /// Protocol, by number: the third argument of socket(2).
    "so-protocol" | "protocol" | "prototype" | "so-prototype" : Int, SOCKET, Socket =>
        store!(socket.protocol, value => Some(value.number()?));
    /// Size of the receive buffer in bytes; Linux doubles the number. SO_RCVBUF, see socket(7).
    "so-rcvbuf" | "rcvbuf" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_RCVBUF }>);
    /// As `rcvbuf`, set on the connected socket; the window scale of TCP is settled by then.
    "so-rcvbuf-late" | "rcvbuf-late" : Int, SOCKET, Late =>
        Socket(SocketMoment::Connected, int::<SOL_SOCKET, { libc::SO_RCVBUF }>);
    /// Bytes that must wait before the socket counts as readable; SO_RCVLOWAT, see socket(7).
    "so-rcvlowat" | "rcvlowat" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_RCVLOWAT }>);
    /// Seconds a blocking receive may take; SO_RCVTIMEO, see socket(7).
    "so-rcvtimeo" | "rcvtimeo" : Timeval, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, time::<{ libc::SO_RCVTIMEO }>);
    /// Let a listener bind while connections of its predecessor are in TIME_WAIT; on by default for listeners,
    /// `reuseaddr=` leaves it alone. SO_REUSEADDR, see socket(7).
    "so-reuseaddr" | "reuseaddr" : IntOrEmpty, SOCKET, PreBind => Plan(reuseaddr);
    /// Several sockets may bind the same address and port and share the clients; SO_REUSEPORT, see socket(7).
    "so-reuseport" | "reuseport" : Int, SOCKET, PreBind =>
        Socket(SocketMoment::BeforeBind, int::<SOL_SOCKET, { libc::SO_REUSEPORT }>);
    /// Security level of the peer's authentication; SO_SECURITY_AUTHENTICATION of asm-generic/socket.h. Kernels
    /// without it say so.
    "so-security-authentication" | "security-authentication" | "securityauthentication" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_SECURITY_AUTHENTICATION }>);
    /// Security level of encryption in the network layer; SO_SECURITY_ENCRYPTION_NETWORK of asm-
    /// generic/socket.h. Kernels without it say so.
    "so-security-encryption-network" | "security-encryption-network" | "securityencryptionnetwork"
        : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_SECURITY_ENCRYPTION_NETWORK }>);
    /// Security level of encryption in the transport layer; SO_SECURITY_ENCRYPTION_TRANSPORT of asm-
    /// generic/socket.h. Kernels without it say so.
    "so-security-encryption-transport" | "security-encryption-transport" | "securityencryptiontransport"
        : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_SECURITY_ENCRYPTION_TRANSPORT }>);
    /// Size of the send buffer in bytes; Linux doubles the number. SO_SNDBUF, see socket(7).
    "so-sndbuf" | "sndbuf" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_SNDBUF }>);
    /// As `sndbuf`, set on the connected socket.
    "so-sndbuf-late" | "sndbuf-late" : Int, SOCKET, Late =>
        Socket(SocketMoment::Connected, int::<SOL_SOCKET, { libc::SO_SNDBUF }>);
    /// Free bytes needed before the socket counts as writable; SO_SNDLOWAT, see socket(7). Linux lets nobody
    /// set it and says so.
    "so-sndlowat" | "sndlowat" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_SNDLOWAT }>);
    /// Seconds a blocking send may take; SO_SNDTIMEO, see socket(7).
    "so-sndtimeo" | "sndtimeo" : Timeval, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, time::<{ libc::SO_SNDTIMEO }>);
    /// Receive the time of arrival of each datagram; SO_TIMESTAMP, see socket(7).
    "so-timestamp" | "timestamp" : Int, SOCKET, PastSocket =>
        Socket(SocketMoment::Created, int::<SOL_SOCKET, { libc::SO_TIMESTAMP }>);
    /// Socket type, by number: 1 stream, 2 datagram, 3 raw, 5 sequenced packets; see socket(2).
    "so-type" | "socktype" | "type" : Int, SOCKET, Socket => store!(socket.kind, value => Some(value.number()?));
    /// Audit of the socket.
    "so-audit" | "audit" : Int, SOCKET, Specific => Unsupported("SO_AUDIT is an option of AIX");
    /// Check the checksum of received packets.
    "so-cksumrecv" | "cksumrecv" : Int, SOCKET, Specific => Unsupported("SO_CKSUMRECV is an option of AIX");
    /// Tell of errors of datagrams at once.
    "so-dgram-errind" | "dgram-errind" | "dgramerrind" : Int, SOCKET, Specific =>
        Unsupported("SO_DGRAM_ERRIND is an option of Solaris; ip-recverr does this on Linux");
    /// Close does not wait for unsent data.
    "so-dontlinger" | "dontlinger" : Int, SOCKET, Specific =>
        Unsupported("SO_DONTLINGER is an option of Solaris; not to linger is the default on Linux");
    /// Accept in the kernel.
    "so-kernaccept" | "kernaccept" : Int, SOCKET, Specific => Unsupported("SO_KERNACCEPT is an option of AIX");
    /// Do not let others bind the address.
    "so-noreuseaddr" | "noreuseaddr" : Int, SOCKET, Specific =>
        Unsupported("SO_NOREUSEADDR is an option of AIX; reuseaddr=0 does this on Linux");
    /// Use the buffers of the interface.
    "so-use-ifbufs" | "use-ifbufs" | "useifbufs" : Int, SOCKET, Specific =>
        Unsupported("SO_USE_IFBUFS is an option of AIX");
    /// Get a copy of what is sent.
    "so-useloopback" | "useloopback" : Int, SOCKET, Specific =>
        Unsupported("SO_USELOOPBACK is an option of the BSDs and Solaris");
}
