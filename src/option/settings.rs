//! What options have to say to the endpoint and to the relay, typed. Options that are a call on a
//! descriptor are not here: they stay rows and are applied at their moment.

use std::path::PathBuf;
use std::time::Duration;

use super::membership::Membership;
use super::value::Principal;

/// Everything the `Plan` options of one address say.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How often, how long, how many.
    pub life: Life,
    /// What happens to the bytes and at their end.
    pub flow: Flow,
    /// Who may connect, and from which port to connect.
    pub access: Access,
    /// What a socket is made of.
    pub socket: SocketSettings,
    /// How a program is started and connected.
    pub program: ProgramSettings,
    /// Who the process is and where it stands.
    pub identity: Identity,
    /// Pseudo terminals.
    pub pty: PtySettings,
    /// Files and names in the file system.
    pub file: FileSettings,
    /// Opening and connecting do not wait: a FIFO is opened without a peer, a connection is relayed before
    /// it stands.
    pub nonblock: bool,
}

/// Policies of the relay.
#[derive(Debug, Clone)]
pub struct Life {
    /// Serve every connection, not just the first.
    pub fork: bool,
    /// Most sessions at one time.
    pub max_children: Option<usize>,
    /// Steps by which the log of sessions is lowered.
    pub children_shutup: u8,
    /// Further attempts after a failed open.
    pub retry: u64,
    /// Attempts without an end.
    pub forever: bool,
    /// Pause between attempts.
    pub interval: Duration,
    /// How long a listener waits for a client.
    pub accept_timeout: Option<Duration>,
    /// How long one attempt to connect may take.
    pub connect_timeout: Option<Duration>,
    /// Created exclusively before the address is opened, removed afterwards; fails when it exists.
    pub lockfile: Option<PathBuf>,
    /// As `lockfile`, but waits while it exists.
    pub waitlock: Option<PathBuf>,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            fork: false,
            max_children: None,
            children_shutup: 0,
            retry: 0,
            forever: false,
            interval: Duration::from_secs(1),
            accept_timeout: None,
            connect_timeout: None,
            lockfile: None,
            waitlock: None,
        }
    }
}

/// How the line ends of a channel differ from NL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineEnd {
    /// CR alone.
    Cr,
    /// CR NL.
    CrLf,
}

/// What is done to a channel when no more bytes will be written to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shut {
    /// Nothing.
    None,
    /// shutdown(`SHUT_WR`).
    Down,
    /// close(2) of the writing descriptor.
    Close,
    /// An empty datagram.
    Null,
}

/// The bytes of a channel.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct Flow {
    /// What to do after the last byte written; the kind's own way when `None`.
    pub shut: Option<Shut>,
    /// Only close at the end: no shutdown of the connection, no signal to the child.
    pub end_close: bool,
    /// An empty datagram is the end.
    pub null_eof: bool,
    /// The end of the data is not the end: wait for more, as `tail -f` does.
    pub ignore_eof: bool,
    /// The end comes after so many bytes were read.
    pub read_bytes: Option<u64>,
    /// The end comes when this byte is read; it and what follows it in the block are dropped.
    pub escape: Option<u8>,
    /// Conversion of line ends.
    pub line_end: Option<LineEnd>,
    /// A broken pipe on writing is a notice, not an error.
    pub cool_write: bool,
}

/// Who may connect; for clients the local port.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Addresses peers may have, as written; the endpoint reads it for its family.
    pub range: Option<Vec<u8>>,
    /// The peer's port; for clients the local one.
    pub source_port: Option<u16>,
    /// The peer's port must be below 1024; for clients the local one is.
    pub low_port: bool,
    /// Check clients with the hosts access tables under this daemon name (empty: the program's).
    pub tcpwrap: Option<Vec<u8>>,
    /// hosts.allow's path.
    pub hosts_allow: Option<PathBuf>,
    /// hosts.deny's path.
    pub hosts_deny: Option<PathBuf>,
}

/// What a socket is made of.
#[derive(Debug, Clone, Default)]
pub struct SocketSettings {
    /// Address family by number (AF_*).
    pub family: Option<i32>,
    /// Local address as written; the endpoint reads it for its family.
    pub bind: Option<Vec<u8>>,
    /// Socket type by number (SOCK_*).
    pub kind: Option<i32>,
    /// Protocol by number.
    pub protocol: Option<i32>,
    /// Queue length of listen(2).
    pub backlog: Option<i32>,
    /// `SO_REUSEADDR`: `None` is the kind's default, `Some(None)` leaves it alone.
    pub reuseaddr: Option<Option<bool>>,
    /// getaddrinfo(3) flags to set and to clear.
    pub resolver_flags: (i32, i32),
    /// Changes to the resolver, see resolver(3).
    pub resolver: ResolverSettings,
    /// Multicast groups to join; joined by `Options::on_socket` when the socket is created.
    pub memberships: Vec<Membership>,
    /// IP options of every packet; set by `Options::on_socket` when the socket is created.
    pub ip_options: Vec<u8>,
    /// `unix-bind-tempname`: a template, empty for the default one.
    pub bind_tempname: Option<Vec<u8>>,
    /// Length of a UNIX address: just what the name needs, or all of `sockaddr_un`.
    pub loose_length: bool,
}

/// Changes to the resolver of glibc for the look-ups of one address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResolverSettings {
    /// `RES_*` flags to set and to clear.
    pub flags: (u64, u64),
    /// Name server to ask.
    pub server: Option<std::net::SocketAddrV4>,
    /// Seconds before a query is sent again.
    pub retransmit: Option<i32>,
    /// How often a query is sent.
    pub retry: Option<i32>,
}

/// How a program is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// A socketpair.
    #[default]
    Socketpair,
    /// Two pipes.
    Pipes,
    /// A pseudo terminal.
    Pty,
    /// Nothing between: the program takes over the other channel's descriptors.
    NoFork,
}

/// How a program is started.
#[derive(Debug, Clone, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct ProgramSettings {
    /// What connects it.
    pub transport: Transport,
    /// Its descriptor for reading, instead of 0.
    pub fdin: Option<i32>,
    /// Its descriptor for writing, instead of 1.
    pub fdout: Option<i32>,
    /// Its standard error goes where its output goes.
    pub stderr: bool,
    /// A session of its own.
    pub setsid: bool,
    /// The pseudo terminal is its controlling terminal.
    pub ctty: bool,
    /// Process group: 0 or 1 is one of its own.
    pub process_group: Option<i32>,
    /// The first argument begins with `-`.
    pub login: bool,
    /// PATH for finding it, and in its environment.
    pub path: Option<Vec<u8>>,
    /// The shell of SHELL.
    pub shell: Option<PathBuf>,
    /// Signals passed on instead of ending the relay.
    pub pass_signals: Vec<i32>,
}

/// Who the process is. Applied in the child where there is one, else to the whole process.
#[derive(Debug, Clone, Default)]
pub struct Identity {
    /// chroot(2) before opening.
    pub chroot_early: Option<PathBuf>,
    /// chroot(2) after opening.
    pub chroot: Option<PathBuf>,
    /// setgid(2) before opening.
    pub setgid_early: Option<Principal>,
    /// setuid(2) before opening.
    pub setuid_early: Option<Principal>,
    /// Switch user and groups before opening.
    pub substuser_early: Option<Principal>,
    /// setgid(2) after opening.
    pub setgid: Option<Principal>,
    /// setuid(2) after opening.
    pub setuid: Option<Principal>,
    /// Switch user and groups after opening.
    pub substuser: Option<Principal>,
    /// As `substuser`, looked up before a chroot.
    pub substuser_delayed: Option<Principal>,
    /// Working directory while opening; a child's own.
    pub chdir: Option<PathBuf>,
    /// File mode creation mask while opening; a child's own.
    pub umask: Option<u32>,
    /// Network namespace while opening; a child's own.
    pub netns: Option<String>,
}

/// Pseudo terminals.
#[derive(Debug, Clone, Default)]
pub struct PtySettings {
    /// Symbolic link to the slave.
    pub link: Option<PathBuf>,
    /// Wait until somebody opens the slave.
    pub wait_slave: bool,
    /// Pause between looks.
    pub interval: Option<Duration>,
    /// How long EIO on the master is not the end.
    pub sitout_eio: Option<Duration>,
    /// Columns and rows of any terminal, also one that was not made here; see `Options::apply_terminal`.
    pub size: Option<(u16, u16)>,
    /// Open /dev/ptmx (`Some(true)`) or use openpty(3) (`Some(false)`).
    pub ptmx: Option<bool>,
}

/// Which calls take a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockApi {
    /// Record locks of fcntl(2), over the whole file.
    Record,
    /// flock(2).
    Flock,
}

/// A lock that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LockRequest {
    /// Which calls take it.
    pub api: LockApi,
    /// Nobody else may have it.
    pub exclusive: bool,
    /// Wait while it is taken; otherwise that is an error.
    pub wait: bool,
}

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessMode {
    /// `O_RDONLY`.
    Read,
    /// `O_WRONLY`.
    Write,
    /// `O_RDWR`.
    ReadWrite,
}

/// Files and names in the file system.
#[derive(Debug, Clone, Default)]
pub struct FileSettings {
    /// The kind has a name in the file system: owner and permissions are those of the name. A fact of the
    /// kind, not an option.
    pub named: bool,
    /// Remove the name at the end; the kind's own way when `None`.
    pub unlink_close: Option<bool>,
    /// Permission bits: what files and FIFOs are created with (less the umask); `Options` changes those of
    /// sockets and pseudo terminals, and of descriptors without a name, once they are open.
    pub mode: Option<u32>,
    /// Owner; changed by `Options` once it is open.
    pub user: Option<Principal>,
    /// Group owner; changed by `Options` once it is open.
    pub group: Option<Principal>,
    /// Read, write or both, whatever the direction; applied by `Options::open_flags`.
    pub access: Option<AccessMode>,
    /// Add `O_APPEND`, or leave it away, whatever the kind's own way; applied by `Options::open_flags`, and
    /// by `Options::on_descriptor` to what was opened by somebody else.
    pub append: Option<bool>,
    /// Locks to take once it is open, in this order; see `Options::lock`.
    pub locks: Vec<LockRequest>,
    /// `unlink-early` was given: `Options::on_path` removes the name first of all.
    pub unlink_early: bool,
}
