//! Names and addresses: getaddrinfo(3) and getnameinfo(3) with socket types, flags and resolver settings of
//! one's own. All calls block; run them on a thread that may.

use std::ffi::{CStr, CString};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ptr;

use crate::option::ResolverSettings;

/// What is asked of getaddrinfo(3).
#[derive(Debug, Clone)]
pub struct Query {
    /// Host name or number; `None` asks for the wildcard or loopback address, see `AI_PASSIVE`.
    pub host: Option<CString>,
    /// Service name or number; `None` leaves the port 0.
    pub service: Option<CString>,
    /// `AF_INET`, `AF_INET6` or `AF_UNSPEC`.
    pub family: i32,
    /// `SOCK_*`: decides which table a service name is looked up in.
    pub kind: i32,
    /// `AI_*`.
    pub flags: i32,
}

/// Looks a name up; blocks. The addresses come in the resolver's order (RFC 6724).
///
/// # Errors
/// The words of `gai_strerror(3)`, or the system's error for `EAI_SYSTEM`.
pub fn lookup(query: &Query, settings: &ResolverSettings) -> io::Result<Vec<SocketAddr>> {
    let _restored = Changed::apply(settings)?;
    // SAFETY: addrinfo is a plain C struct for which zero is a valid value of every field.
    let mut hints: libc::addrinfo = unsafe { std::mem::zeroed() };
    hints.ai_family = query.family;
    hints.ai_socktype = query.kind;
    hints.ai_flags = query.flags;
    let mut list = ptr::null_mut();
    let pointer = |text: &Option<CString>| text.as_ref().map_or(ptr::null(), |text| text.as_ptr());
    // SAFETY: both strings end in NUL and live as long as the call, or are null, which the call allows;
    // `hints` and `list` live as long as the call.
    let code =
        unsafe { libc::getaddrinfo(pointer(&query.host), pointer(&query.service), &raw const hints, &raw mut list) };
    if code != 0 {
        return Err(failure(code));
    }
    let mut addresses = Vec::new();
    let mut next = list;
    while !next.is_null() {
        // SAFETY: the call succeeded, so `list` is a chain of valid entries that ends in null.
        let entry = unsafe { &*next };
        addresses.extend(address_of(entry));
        next = entry.ai_next;
    }
    // SAFETY: `list` came from getaddrinfo and is freed once; nothing borrows from it any more.
    unsafe { libc::freeaddrinfo(list) };
    Ok(addresses)
}

/// The address of one entry, if it is of a family we know.
fn address_of(entry: &libc::addrinfo) -> Option<SocketAddr> {
    match entry.ai_family {
        libc::AF_INET => {
            // SAFETY: an entry of this family points to a sockaddr_in; it is read without asking for alignment.
            let v4 = unsafe { ptr::read_unaligned(entry.ai_addr.cast::<libc::sockaddr_in>()) };
            let ip = Ipv4Addr::from(u32::from_be(v4.sin_addr.s_addr));
            Some(SocketAddrV4::new(ip, u16::from_be(v4.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above, with sockaddr_in6.
            let v6 = unsafe { ptr::read_unaligned(entry.ai_addr.cast::<libc::sockaddr_in6>()) };
            let ip = Ipv6Addr::from(v6.sin6_addr.s6_addr);
            Some(SocketAddrV6::new(ip, u16::from_be(v6.sin6_port), v6.sin6_flowinfo, v6.sin6_scope_id).into())
        }
        _ => None,
    }
}

/// The name of an address (reverse look-up); blocks. `None` when it has none.
pub fn name_of(address: SocketAddr) -> Option<String> {
    let address = socket2::SockAddr::from(address);
    let mut name = [0; 1025]; // NI_MAXHOST, getnameinfo(3)
    // SAFETY: the address is valid for its length, and the buffer is written within the length given.
    let code = unsafe {
        libc::getnameinfo(
            address.as_ptr().cast(),
            address.len(),
            name.as_mut_ptr(),
            1025,
            ptr::null_mut(),
            0,
            libc::NI_NAMEREQD,
        )
    };
    // SAFETY: after success the buffer holds a string that ends in NUL.
    (code == 0).then(|| unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned())
}

fn failure(code: i32) -> io::Error {
    if code == libc::EAI_SYSTEM {
        return io::Error::last_os_error();
    }
    // SAFETY: gai_strerror returns a static string for every number.
    let words = unsafe { CStr::from_ptr(libc::gai_strerror(code)) }.to_string_lossy().into_owned();
    io::Error::other(words)
}

/// The start of glibc's `struct __res_state` (resolv.h), whose layout is part of its ABI. The thread's own
/// one is only reached through a pointer, so what follows these fields need not be described.
#[cfg(target_env = "gnu")]
#[repr(C)]
struct State {
    retransmit: libc::c_int,
    retry: libc::c_int,
    options: libc::c_ulong,
    server_count: libc::c_int,
    servers: [libc::sockaddr_in; 3],
}

#[cfg(target_env = "gnu")]
unsafe extern "C" {
    /// The calling thread's resolver state, see resolver(3).
    #[link_name = "__res_state"]
    fn res_state() -> *mut State;
}

/// The calling thread's resolver settings, changed; what was there before comes back when this is dropped.
#[cfg(target_env = "gnu")]
struct Changed(Option<State>);

#[cfg(target_env = "gnu")]
impl Changed {
    /// `RES_INIT` of resolv.h: the state has been read from resolv.conf.
    const INITIALISED: libc::c_ulong = 1;
    #[allow(clippy::cast_possible_truncation, reason = "AF_INET is 2")]
    const IPV4: libc::sa_family_t = libc::AF_INET as libc::sa_family_t;

    fn apply(settings: &ResolverSettings) -> io::Result<Self> {
        if *settings == ResolverSettings::default() {
            return Ok(Self(None));
        }
        // SAFETY: glibc returns a valid pointer to the state of this thread, which nobody else touches; the
        // fields are those at the start of the real struct.
        let state = unsafe { &mut *res_state() };
        // SAFETY: res_init only reads resolv.conf into this thread's state.
        if state.options & Self::INITIALISED == 0 && unsafe { libc::res_init() } != 0 {
            return Err(io::Error::other("the resolver could not be initialised"));
        }
        let before = State { ..*state };
        let (set, clear) = settings.flags;
        state.options = (state.options | set) & !clear;
        if let Some(seconds) = settings.retransmit {
            state.retransmit = seconds;
        }
        if let Some(count) = settings.retry {
            state.retry = count;
        }
        if let Some(server) = settings.server {
            state.server_count = 1;
            state.servers[0].sin_family = Self::IPV4;
            state.servers[0].sin_port = server.port().to_be();
            state.servers[0].sin_addr.s_addr = u32::from(*server.ip()).to_be();
        }
        Ok(Self(Some(before)))
    }
}

#[cfg(target_env = "gnu")]
impl Drop for Changed {
    fn drop(&mut self) {
        if let Some(before) = self.0.take() {
            // SAFETY: as in `apply`: the same thread's state, through the same pointer.
            unsafe { *res_state() = before };
        }
    }
}

/// Other C libraries have no resolver state to change.
#[cfg(not(target_env = "gnu"))]
struct Changed;

#[cfg(not(target_env = "gnu"))]
impl Changed {
    fn apply(settings: &ResolverSettings) -> io::Result<Self> {
        if *settings == ResolverSettings::default() {
            return Ok(Self);
        }
        Err(io::Error::new(io::ErrorKind::Unsupported, "the res- options need the GNU C library"))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::net::UdpSocket;

    use super::*;

    fn query(host: &str, service: Option<&str>) -> Query {
        Query {
            host: Some(CString::new(host).unwrap()),
            service: service.map(|service| CString::new(service).unwrap()),
            family: libc::AF_UNSPEC,
            kind: libc::SOCK_STREAM,
            flags: 0,
        }
    }

    #[test]
    fn numbers_need_no_name_server() {
        let found = lookup(&query("127.0.0.1", Some("80")), &ResolverSettings::default()).unwrap();
        assert_eq!(found, ["127.0.0.1:80".parse().unwrap()]);
    }

    #[test]
    fn words_of_the_resolver_are_kept() {
        let error = lookup(&query("127.0.0.1", Some("no-such-service")), &ResolverSettings::default()).unwrap_err();
        assert!(error.to_string().to_lowercase().contains("serv"), "{error}");
    }

    /// A name server for one question: answers every A query with 192.0.2.7.
    fn answer_one(socket: &UdpSocket) {
        let mut packet = [0; 512];
        let (length, client) = socket.recv_from(&mut packet).unwrap();
        let mut reply = packet[..length].to_vec();
        reply[2] |= 0x80; // RFC 1035 section 4.1.1: QR
        reply[7] = 1; // one answer
        reply[11] = 0; // no additional records, whatever the query had
        let question_end = 12 + packet[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
        reply.truncate(question_end);
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
        socket.send_to(&reply, client).unwrap();
    }

    #[test]
    #[cfg(target_env = "gnu")]
    fn the_name_server_is_the_one_asked_for_and_is_restored() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let SocketAddr::V4(server) = socket.local_addr().unwrap() else { panic!("IPv4 was bound") };
        let settings =
            ResolverSettings { server: Some(server), retry: Some(1), retransmit: Some(2), ..Default::default() };
        let answering = std::thread::spawn(move || answer_one(&socket));
        let asked = Query { family: libc::AF_INET, ..query("ferrule-test.example.", None) };
        let found = lookup(&asked, &settings).unwrap();
        answering.join().unwrap();
        assert_eq!(found, ["192.0.2.7:0".parse().unwrap()]);
        // SAFETY: this thread's own state, read only.
        let after = unsafe { &*res_state() };
        assert_ne!(after.servers[0].sin_port, server.port().to_be());
        assert_ne!(after.retransmit, 2);
    }
}
