//! Joining multicast groups.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::BorrowedFd;

use libc::{IPPROTO_IP, IPPROTO_IPV6};

use super::sockopt::set_struct;
use crate::option::{Interface, Membership};

/// Joins a group.
pub fn join(fd: BorrowedFd<'_>, membership: &Membership) -> io::Result<()> {
    match membership {
        Membership::V4 { group, local, interface } => {
            let request = libc::ip_mreqn {
                imr_multiaddr: in_addr(*group),
                imr_address: in_addr(*local),
                imr_ifindex: index(interface)?.cast_signed(),
            };
            set_struct(fd, IPPROTO_IP, libc::IP_ADD_MEMBERSHIP, &request)
        }
        Membership::V4Source { group, local, interface: Interface::Any, source } => {
            let request = libc::ip_mreq_source {
                imr_multiaddr: in_addr(*group),
                imr_interface: in_addr(*local),
                imr_sourceaddr: in_addr(*source),
            };
            set_struct(fd, IPPROTO_IP, libc::IP_ADD_SOURCE_MEMBERSHIP, &request)
        }
        Membership::V4Source { group, interface, source, .. } => {
            let of = |address: &Ipv4Addr| SocketAddr::V4(SocketAddrV4::new(*address, 0));
            join_source(fd, IPPROTO_IP, interface, of(group), of(source))
        }
        Membership::V6 { group, interface } => socket2::SockRef::from(&fd).join_multicast_v6(group, index(interface)?),
        Membership::V6Source { group, interface, source } => {
            let of = |address| SocketAddr::V6(SocketAddrV6::new(address, 0, 0, 0));
            join_source(fd, IPPROTO_IPV6, interface, of(*group), of(*source))
        }
    }
}

/// Joins a group for what one source sends, as RFC 3678 section 5.1 has it for both families.
fn join_source(
    fd: BorrowedFd<'_>,
    level: i32,
    interface: &Interface,
    group: SocketAddr,
    source: SocketAddr,
) -> io::Result<()> {
    let request = libc::group_source_req {
        gsr_interface: index(interface)?,
        gsr_group: storage(group),
        gsr_source: storage(source),
    };
    set_struct(fd, level, libc::MCAST_JOIN_SOURCE_GROUP, &request)
}

fn storage(address: SocketAddr) -> libc::sockaddr_storage {
    let address = socket2::SockAddr::from(address);
    // SAFETY: both are the same type of the C library, of which socket2 keeps one inside, initialised whole.
    unsafe { address.as_ptr().cast::<libc::sockaddr_storage>().read() }
}

fn in_addr(address: Ipv4Addr) -> libc::in_addr {
    libc::in_addr { s_addr: u32::from_ne_bytes(address.octets()) }
}

/// The index of an interface, 0 for any.
fn index(interface: &Interface) -> io::Result<u32> {
    match interface {
        Interface::Any => Ok(0),
        Interface::Index(index) => Ok(*index),
        Interface::Name(name) => Ok(nix::net::if_::if_nametoindex(name.as_str())?),
    }
}
