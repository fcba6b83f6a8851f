//! Options of listeners: how long and how many clients wait, and who may come.
#![expect(clippy::unnecessary_wraps, reason = "the signature is that of Apply::Plan")]

use std::time::Duration;

use super::{Settings, Value};

/// A time limit; none when it is zero.
pub(super) fn limit(value: &Value) -> Option<Duration> {
    Some(value.time()).filter(|time| !time.is_zero())
}

/// Both tables in one directory; tables that were named stay.
fn tables_in(settings: &mut Settings, value: &Value) -> Result<(), String> {
    let directory = value.path();
    let access = &mut settings.access;
    access.hosts_allow.get_or_insert_with(|| directory.join("hosts.allow"));
    access.hosts_deny.get_or_insert_with(|| directory.join("hosts.deny"));
    Ok(())
}

crate::options! {
    /// Seconds to wait for a client; then the address gives up, without an error.
    "accept-timeout" | "listen-timeout" : Timeval, LISTEN, Listen => store!(life.accept_timeout, value => limit(value));
    /// How many clients may wait to be accepted, see listen(2); 5 by default.
    "backlog" : Int, LISTEN, Listen => store!(socket.backlog, value => Some(value.number()?));
    /// Clients: take a free local port of 640 to 1023. Listeners: refuse clients whose port is 1024 or above.
    "lowport" : Bool, UDP | TCP | SCTP | DCCP | UDPLITE, Late => store!(access.low_port, value => value.is_true());
    /// Serve only clients of these addresses: `address/bits`, `address:mask` or `[address]/bits`. Others are
    /// refused with a warning.
    "range" : Text, RANGE, Accept => store!(access.range, value => Some(value.bytes().to_vec()));
    /// Clients: the local port. Listeners: the port a client must come from. 0 to 65535.
    "sourceport" | "sp" : UnsignedShort, UDP | TCP | SCTP | DCCP | UDPLITE, Late =>
        store!(access.source_port, value => Some(value.number()?));
    /// Directory of hosts.allow and hosts.deny, instead of /etc; see hosts_access(5).
    "tcpwrap-etc" | "tcpwrap-dir" : Text, RANGE, Accept => Plan(tables_in);
    /// File to read instead of hosts.allow, see hosts_access(5).
    "tcpwrap-hosts-allow-table" | "allow-table" | "hosts-allow" : Text, RANGE, Accept =>
        store!(access.hosts_allow, value => Some(value.path()));
    /// File to read instead of hosts.deny, see hosts_access(5).
    "tcpwrap-hosts-deny-table" | "deny-table" | "hosts-deny" : Text, RANGE, Accept =>
        store!(access.hosts_deny, value => Some(value.path()));
    /// Serve only clients that hosts.allow and hosts.deny let in, see hosts_access(5), under this daemon name
    /// or the program's.
    "tcpwrappers" | "libwrap" | "tcpwrap" | "tcpwrapper" | "wrap" : TextOrNone, RANGE, Accept =>
        store!(access.tcpwrap, value => Some(value.bytes().to_vec()));
}
