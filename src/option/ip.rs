//! Options of IP sockets and of the look-up of host names.
#![expect(clippy::unnecessary_wraps, reason = "the signature is that of Apply::Plan")]

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::BorrowedFd;

use libc::{IPPROTO_IP, IPPROTO_IPV6};

use super::socket::{byte, int};
use super::{Settings, Value, membership};
use crate::sys;

// Flags of the C library's resolver, from its resolv.h.
const RES_DEBUG: u64 = 0x2;
const RES_USEVC: u64 = 0x8;
const RES_IGNTC: u64 = 0x20;
const RES_RECURSE: u64 = 0x40;
const RES_DEFNAMES: u64 = 0x80;
const RES_STAYOPEN: u64 = 0x100;
const RES_DNSRCH: u64 = 0x200;

/// Most bytes of options an IPv4 header has room for, RFC 791 section 3.1.
const MOST_IP_OPTIONS: usize = 40;

/// A `Plan` row that joins a multicast group.
macro_rules! membership {
    ($read:path) => {
        $crate::option::Apply::Plan(|settings, value| {
            settings.socket.memberships.push($read(value)?);
            Ok(())
        })
    };
}

/// Sets or clears a flag of getaddrinfo(3).
fn lookup<const FLAG: i32>(settings: &mut Settings, value: &Value) -> Result<(), String> {
    let (set, clear) = &mut settings.socket.resolver_flags;
    let (to, from) = if value.is_true() { (set, clear) } else { (clear, set) };
    *to |= FLAG;
    *from &= !FLAG;
    Ok(())
}

/// Sets or clears a flag of resolver(3).
fn resolve<const FLAG: u64>(settings: &mut Settings, value: &Value) -> Result<(), String> {
    let (set, clear) = &mut settings.socket.resolver.flags;
    let (to, from) = if value.is_true() { (set, clear) } else { (clear, set) };
    *to |= FLAG;
    *from &= !FLAG;
    Ok(())
}

fn name_server(settings: &mut Settings, value: &Value) -> Result<(), String> {
    /// The port of name servers, RFC 1035 section 4.2.
    const DOMAIN: u16 = 53;
    let Value::Ipv4(address, port) = value else { return Err("is not an IPv4 address".to_owned()) };
    settings.socket.resolver.server = Some(SocketAddrV4::new(*address, port.unwrap_or(DOMAIN)));
    Ok(())
}

fn ip_options(settings: &mut Settings, value: &Value) -> Result<(), String> {
    let options = &mut settings.socket.ip_options;
    options.extend_from_slice(value.bytes());
    if options.len() > MOST_IP_OPTIONS {
        return Err(format!("{} bytes of IP options, a header has room for {MOST_IP_OPTIONS}", options.len()));
    }
    Ok(())
}

fn multicast_interface(fd: BorrowedFd<'_>, value: &Value) -> io::Result<()> {
    match value {
        Value::Ipv4(address, _) => sys::sockopt::set_bytes(fd, IPPROTO_IP, libc::IP_MULTICAST_IF, &address.octets()),
        _ => Err(io::ErrorKind::InvalidInput.into()),
    }
}

crate::options! {
    /// Look up only addresses of families this host has addresses of; AI_ADDRCONFIG, see getaddrinfo(3).
    "ai-addrconfig" | "addrconfig" : Bool, IP4 | IP6, Offset => Plan(lookup::<{ libc::AI_ADDRCONFIG }>);
    /// With `ai-v4mapped`, give both IPv6 and mapped IPv4 addresses; AI_ALL, see getaddrinfo(3).
    "ai-all" : Bool, IP4 | IP6, Offset => Plan(lookup::<{ libc::AI_ALL }>);
    /// Without a host, look up the wildcard address instead of loopback; AI_PASSIVE, see getaddrinfo(3). On for
    /// listeners and for `bind`.
    "ai-passive" | "passive" : Bool, IP4 | IP6, Offset => Plan(lookup::<{ libc::AI_PASSIVE }>);
    /// Give IPv4 addresses in IPv6 form where there is no IPv6 address; AI_V4MAPPED, see getaddrinfo(3).
    "ai-v4mapped" | "v4mapped" : Bool, IP4 | IP6, Offset => Plan(lookup::<{ libc::AI_V4MAPPED }>);
    /// Join an IPv4 multicast group, as `group:interface-address[:interface]` or `group:interface`, the
    /// interface by name or index; IP_ADD_MEMBERSHIP, see ip(7).
    "ip-add-membership" | "add-membership" | "ip-membership" | "membership" : Membership, IP4 | IP6, PastSocket =>
        membership!(membership::v4);
    /// Join an IPv4 multicast group for what one source sends, as `group:interface-address:source`;
    /// IP_ADD_SOURCE_MEMBERSHIP, see ip(7).
    "ip-add-source-membership" | "add-source-membership" | "source-membership"
        : SourceMembership, IP4 | IP6, PastSocket => membership!(membership::v4_source);
    /// Allow to bind an address this host does not have (yet); IP_FREEBIND, see ip(7).
    "ip-freebind" | "freebind" | "ipfreebind" : Int, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IP, { libc::IP_FREEBIND }>);
    /// Raw sockets: the data begin with the IP header; IP_HDRINCL, see ip(7).
    "ip-hdrincl" | "hdrincl" | "iphdrincl" : Int, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IP, { libc::IP_HDRINCL }>);
    /// The known path MTU in bytes; IP_MTU, see ip(7). The kernel lets nobody set it and says so.
    "ip-mtu" | "ipmtu" | "mtu" : Int, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IP, { libc::IP_MTU }>);
    /// Path MTU discovery: 0 never, 1 per route, 2 always (sets the don't-fragment bit), 3 probe;
    /// IP_MTU_DISCOVER, see ip(7).
    "ip-mtu-discover" | "ipmtudiscover" | "mtudiscover" : Int, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IP, { libc::IP_MTU_DISCOVER }>);
    /// Address of the interface IPv4 multicast is sent from; IP_MULTICAST_IF, see ip(7).
    "ip-multicast-if" | "multicast-if" : Ipv4, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, multicast_interface);
    /// Whether this host gets its own multicast packets, 1 or 0; IP_MULTICAST_LOOP, see ip(7).
    "ip-multicast-loop" | "ipmulticastloop" | "mcloop" | "multicast-loop" | "multicastloop"
        : Byte, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, byte::<IPPROTO_IP, { libc::IP_MULTICAST_LOOP }>);
    /// Time to live of multicast packets in hops, 1 by default; IP_MULTICAST_TTL, see ip(7).
    "ip-multicast-ttl" | "ipmulticastttl" | "multicast-ttl" | "multicastttl" : Byte, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, byte::<IPPROTO_IP, { libc::IP_MULTICAST_TTL }>);
    /// IP options of every packet sent, as bytes; given again, more bytes are added. IP_OPTIONS, see ip(7); at
    /// most 40 bytes.
    "ip-options" | "ipoptions" : Data, IP4 | IP6, PastSocket => Plan(ip_options);
    /// Receive the destination address and interface of each packet; IP_PKTINFO, see ip(7).
    "ip-pktinfo" | "ippktinfo" | "pktinfo" : Int, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IP, { libc::IP_PKTINFO }>);
    /// The packet's options; IP_PKTOPTIONS of linux/in.h. The kernel lets nobody set it and says so.
    "ip-pktoptions" | "ippktoptions" | "pktoptions" | "pktopts" : Int, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IP, { libc::IP_PKTOPTIONS }>);
    /// Receive errors (ICMP) with their details; IP_RECVERR, see ip(7).
    "ip-recverr" | "iprecverr" | "recverr" : Int, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IP, { libc::IP_RECVERR }>);
    /// Receive the IP options of each packet; IP_RECVOPTS, see ip(7).
    "ip-recvopts" | "iprecvopts" | "recvopts" : Int, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IP, { libc::IP_RECVOPTS }>);
    /// Receive the type of service of each packet; IP_RECVTOS, see ip(7).
    "ip-recvtos" | "iprecvtos" | "recvtos" : Int, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IP, { libc::IP_RECVTOS }>);
    /// Receive the time to live of each packet; IP_RECVTTL, see ip(7).
    "ip-recvttl" | "iprecvttl" | "recvttl" : Int, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IP, { libc::IP_RECVTTL }>);
    /// Receive the IP options of each packet as they came, unprocessed; IP_RETOPTS, see ip(7).
    "ip-retopts" | "ipretopts" | "retopts" : Int, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IP, { libc::IP_RETOPTS }>);
    /// Raw sockets: get the packets with the router alert option; IP_ROUTER_ALERT, see ip(7).
    "ip-router-alert" | "iprouteralert" | "routeralert" : Int, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IP, { libc::IP_ROUTER_ALERT }>);
    /// Type of service of every packet sent, 0 to 255; IP_TOS, see ip(7).
    "ip-tos" | "iptos" | "tos" : Int, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IP, { libc::IP_TOS }>);
    /// Allow to bind and to accept for addresses of others (transparent proxies); IP_TRANSPARENT, see ip(7).
    /// Privileged.
    "ip-transparent" | "transparent" : Bool, IP4 | IP6, PreBind =>
        Socket(SocketMoment::BeforeBind, int::<IPPROTO_IP, { libc::IP_TRANSPARENT }>);
    /// Time to live of every packet sent, in hops, 1 to 255; IP_TTL, see ip(7).
    "ip-ttl" | "ipttl" | "ttl" : Int, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IP, { libc::IP_TTL }>);
    /// Receive the authentication header of each packet; IPV6_AUTHHDR, see ipv6(7). Kernels without it say so.
    "ipv6-authhdr" | "authhdr" : Int, IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_AUTHHDR }>);
    /// Destination options of packets sent; IPV6_DSTOPTS, see RFC 3542. The kernel judges whether the number
    /// makes sense.
    "ipv6-dstopts" | "dstopts" : Int, IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_DSTOPTS }>);
    /// Hop limit of one packet; IPV6_HOPLIMIT, see RFC 3542. The kernel judges whether it can be set on a
    /// socket.
    "ipv6-hoplimit" | "hoplimit" : Int, IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_HOPLIMIT }>);
    /// Hop-by-hop options of packets sent; IPV6_HOPOPTS, see RFC 3542. The kernel judges whether the number
    /// makes sense.
    "ipv6-hopopts" | "hopopts" : Int, IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_HOPOPTS }>);
    /// Join an IPv6 multicast group, as `[group]:interface`, the interface by name or index;
    /// IPV6_ADD_MEMBERSHIP, see ipv6(7).
    "ipv6-join-group" | "ipv6-add-membership" | "join-group" : Membership6, IP6, PastSocket =>
        membership!(membership::v6);
    /// Join an IPv6 multicast group for what one source sends, as `[group]:interface:[source]`;
    /// MCAST_JOIN_SOURCE_GROUP, see RFC 3678.
    "ipv6-join-source-group" | "ipv6-add-source-membership" | "join-source-group"
        : SourceMembership6, IP6, PastSocket => membership!(membership::v6_source);
    /// Path MTU discovery of IPv6: 0 never, 1 per route, 2 always; IPV6_MTU_DISCOVER, see ipv6(7).
    "ipv6-mtu-discover" | "mtudiscover6" : Int, IP4 | IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_MTU_DISCOVER }>);
    /// Whether this host gets its own IPv6 multicast packets, 1 or 0; IPV6_MULTICAST_LOOP, see ipv6(7).
    "ipv6-multicast-loop" | "ipv6-mcloop" | "mcloop6" : Int, IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_MULTICAST_LOOP }>);
    /// Source address and interface of packets sent; IPV6_PKTINFO, see RFC 3542. The kernel judges whether the
    /// number makes sense.
    "ipv6-pktinfo" : Int, IP6, PastSocket => Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_PKTINFO }>);
    /// Receive the destination options of each packet; IPV6_RECVDSTOPTS, see RFC 3542.
    "ipv6-recvdstopts" | "recvdstopts" : Int, IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_RECVDSTOPTS }>);
    /// Receive errors (ICMPv6) with their details; IPV6_RECVERR, see ipv6(7).
    "ipv6-recverr" : Int, IP6, PastSocket => Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_RECVERR }>);
    /// Receive the hop limit of each packet; IPV6_RECVHOPLIMIT, see RFC 3542.
    "ipv6-recvhoplimit" | "recvhoplimit" : Int, IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_RECVHOPLIMIT }>);
    /// Receive the hop-by-hop options of each packet; IPV6_RECVHOPOPTS, see RFC 3542.
    "ipv6-recvhopopts" | "recvhopopts" : Int, IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_RECVHOPOPTS }>);
    /// Receive a message when the path MTU changes; IPV6_RECVPATHMTU, see RFC 3542.
    "ipv6-recvpathmtu" : Int, IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_RECVPATHMTU }>);
    /// Receive the destination address and interface of each packet; IPV6_RECVPKTINFO, see RFC 3542.
    "ipv6-recvpktinfo" | "recvpktinfo" : Int, IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_RECVPKTINFO }>);
    /// Receive the routing header of each packet; IPV6_RECVRTHDR, see RFC 3542.
    "ipv6-recvrthdr" | "recvrthdr" : Int, IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_RECVRTHDR }>);
    /// Receive the traffic class of each packet; IPV6_RECVTCLASS, see RFC 3542.
    "ipv6-recvtclass" : Int, IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_RECVTCLASS }>);
    /// Routing header of packets sent; IPV6_RTHDR, see RFC 3542. The kernel judges whether the number makes
    /// sense.
    "ipv6-rthdr" | "rthdr" : Int, IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_RTHDR }>);
    /// Traffic class of every packet sent, 0 to 255; -1 is the kernel's own choice. IPV6_TCLASS, see RFC 3542.
    "ipv6-tclass" : Int, IP6, PastSocket => Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_TCLASS }>);
    /// Hop limit of every packet sent, 1 to 255; -1 is the route's. IPV6_UNICAST_HOPS, see ipv6(7).
    "ipv6-unicast-hops" | "unicast-hops" : Int, IP6, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_IPV6, { libc::IPV6_UNICAST_HOPS }>);
    /// 1: the socket serves IPv6 only; 0: IPv4 too, in mapped addresses. IPV6_V6ONLY, see ipv6(7).
    "ipv6-v6only" | "ipv6only" | "v6only" : Int, IP6, PreBind =>
        Socket(SocketMoment::BeforeBind, int::<IPPROTO_IPV6, { libc::IPV6_V6ONLY }>);
    /// The resolver prints debugging messages, if it was built to; RES_DEBUG of resolver(3).
    "res-debug" : Bool, IP4 | IP6, Offset => Plan(resolve::<RES_DEBUG>);
    /// Add the default domain to names without a dot; RES_DEFNAMES of resolver(3).
    "res-defnames" | "defnames" : Bool, IP4 | IP6, Offset => Plan(resolve::<RES_DEFNAMES>);
    /// Search names in the host's domain and in those above; RES_DNSRCH of resolver(3).
    "res-dnsrch" | "dnsrch" : Bool, IP4 | IP6, Offset => Plan(resolve::<RES_DNSRCH>);
    /// Take truncated answers instead of asking again over TCP; RES_IGNTC of resolver(3).
    "res-igntc" | "igntc" : Bool, IP4 | IP6, Offset => Plan(resolve::<RES_IGNTC>);
    /// Ask this name server, an IPv4 address with an optional port (53 by default); see resolver(3).
    "res-nsaddr" | "dns" | "nameserver" | "nsaddr" : Ipv4Port, IP4 | IP6, Offset => Plan(name_server);
    /// Ask the name server to ask others; RES_RECURSE of resolver(3).
    "res-recurse" | "recurse" : Bool, IP4 | IP6, Offset => Plan(resolve::<RES_RECURSE>);
    /// Seconds before an unanswered query is sent again; see resolver(3).
    "res-retrans" | "res-maxretrans" | "retrans" : Int, IP4 | IP6, Offset =>
        store!(socket.resolver.retransmit, value => Some(value.number()?));
    /// How often an unanswered query is sent; see resolver(3).
    "res-retry" | "res-maxretry" : Int, IP4 | IP6, Offset =>
        store!(socket.resolver.retry, value => Some(value.number()?));
    /// Keep the connection to the name server between queries; RES_STAYOPEN of resolver(3).
    "res-stayopen" | "stayopen" : Bool, IP4 | IP6, Offset => Plan(resolve::<RES_STAYOPEN>);
    /// Ask the name server over TCP; RES_USEVC of resolver(3).
    "res-usevc" | "usevc" : Bool, IP4 | IP6, Offset => Plan(resolve::<RES_USEVC>);
    /// Accept answers of authoritative name servers only.
    "res-aaonly" | "aaonly" : Bool, IP4 | IP6, Specific =>
        Unsupported("RES_AAONLY is not implemented by the C library");
    /// Receive the flow id of each packet.
    "ipv6-flowinfo" | "flowinfo" : Int, IP6, Specific =>
        Unsupported("IPV6_FLOWINFO cannot be set as a number on Linux");
    /// Receive the destination address of each packet.
    "ip-recvdstaddr" | "iprecvdstaddr" | "recvdstaddr" : Int, IP4 | IP6, Specific =>
        Unsupported("IP_RECVDSTADDR is an option of the BSDs; ip-pktinfo gives the address on Linux");
    /// Receive the interface of each packet.
    "ip-recvif" | "recvif" : Int, IP4 | IP6, Specific =>
        Unsupported("IP_RECVIF is an option of the BSDs; ip-pktinfo gives the interface on Linux");
    /// Ask primary name servers only.
    "res-primary" | "primary" : Bool, IP4 | IP6, Specific =>
        Unsupported("RES_PRIMARY is not implemented by the C library");
}
