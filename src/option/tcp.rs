//! Options of TCP sockets.

use libc::IPPROTO_TCP;

use super::socket::int;

crate::options! {
    /// Send full segments only, others after 200 ms; TCP_CORK, see tcp(7).
    "tcp-cork" | "cork" : Int, TCP, PastSocket => Socket(SocketMoment::Created, int::<IPPROTO_TCP, { libc::TCP_CORK }>);
    /// Accept a client when its first data have come, or after so many seconds; TCP_DEFER_ACCEPT, see tcp(7).
    "tcp-defer-accept" | "defer-accept" : Int, TCP, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_TCP, { libc::TCP_DEFER_ACCEPT }>);
    /// State of the connection; TCP_INFO, see tcp(7). The kernel lets nobody set it and says so.
    "tcp-info" | "info" : Int, TCP, PastSocket => Socket(SocketMoment::Created, int::<IPPROTO_TCP, { libc::TCP_INFO }>);
    /// Unanswered keepalive probes before the connection is given up; TCP_KEEPCNT, see tcp(7). Needs
    /// `keepalive`.
    "tcp-keepcnt" | "keepcnt" : Int, TCP, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_TCP, { libc::TCP_KEEPCNT }>);
    /// Seconds of silence before the first keepalive probe; TCP_KEEPIDLE, see tcp(7). Needs `keepalive`.
    "tcp-keepidle" | "keepidle" : Int, TCP, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_TCP, { libc::TCP_KEEPIDLE }>);
    /// Seconds between keepalive probes; TCP_KEEPINTVL, see tcp(7). Needs `keepalive`.
    "tcp-keepintvl" | "keepintvl" : Int, TCP, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_TCP, { libc::TCP_KEEPINTVL }>);
    /// Seconds an orphaned connection stays in FIN_WAIT2; TCP_LINGER2, see tcp(7).
    "tcp-linger2" | "linger2" : Int, TCP, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_TCP, { libc::TCP_LINGER2 }>);
    /// Largest segment in bytes, announced to the peer; TCP_MAXSEG, see tcp(7).
    "tcp-maxseg" | "maxseg" | "mss" : Int, TCP, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_TCP, { libc::TCP_MAXSEG }>);
    /// As `maxseg`, set on the connected socket.
    "tcp-maxseg-late" | "maxseg-late" | "mss-late" : Int, TCP, Connected =>
        Socket(SocketMoment::Connected, int::<IPPROTO_TCP, { libc::TCP_MAXSEG }>);
    /// Signatures of segments, RFC 2385; TCP_MD5SIG, see tcp(7). Linux wants a key where this gives a number,
    /// and says so.
    "tcp-md5sig" : Int, TCP, PastSocket => Socket(SocketMoment::Created, int::<IPPROTO_TCP, { libc::TCP_MD5SIG }>);
    /// Send small segments at once: no Nagle algorithm; TCP_NODELAY, see tcp(7).
    "tcp-nodelay" | "nodelay" : Int, TCP, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_TCP, { libc::TCP_NODELAY }>);
    /// Acknowledge at once; the kernel may fall back by itself. TCP_QUICKACK, see tcp(7).
    "tcp-quickack" | "quickack" : Int, TCP, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_TCP, { libc::TCP_QUICKACK }>);
    /// How often the first segment of a connection is sent again, 1 to 255; TCP_SYNCNT, see tcp(7).
    "tcp-syncnt" | "syncnt" : Int, TCP, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_TCP, { libc::TCP_SYNCNT }>);
    /// Largest receive window to announce, in bytes; TCP_WINDOW_CLAMP, see tcp(7).
    "tcp-window-clamp" | "window-clamp" : Int, TCP, PastSocket =>
        Socket(SocketMoment::Created, int::<IPPROTO_TCP, { libc::TCP_WINDOW_CLAMP }>);
    /// Milliseconds before an established connection is given up.
    "tcp-abort-threshold" | "abort-threshold" : Int, TCP, Specific =>
        Unsupported("TCP_ABORT_THRESHOLD is an option of Solaris");
    /// Milliseconds before an attempt to connect is given up.
    "tcp-conn-abort-threshold" | "conn-abort-threshold" : Int, TCP, Specific =>
        Unsupported("TCP_CONN_ABORT_THRESHOLD is an option of Solaris; connect-timeout does this");
    /// Time an attempt to connect may take.
    "tcp-keepinit" | "keepinit" : Int, TCP, Specific =>
        Unsupported("TCP_KEEPINIT is an option of Tru64; connect-timeout does this");
    /// Signatures of segments.
    "md5sig" : Int, TCP, Specific => Unsupported("the option is spelled tcp-md5sig");
    /// Send no TCP options.
    "tcp-noopt" | "noopt" : Int, TCP, Specific => Unsupported("TCP_NOOPT is an option of the BSDs");
    /// Send full segments only.
    "tcp-nopush" | "nopush" : Int, TCP, Specific =>
        Unsupported("TCP_NOPUSH is an option of the BSDs; tcp-cork does this on Linux");
    /// Protection against wrapped sequence numbers.
    "tcp-paws" | "paws" : Int, TCP, Specific => Unsupported("TCP_PAWS is an option of Tru64");
    /// Window scaling and time stamps.
    "tcp-rfc1323" | "rfc1323" : Int, TCP, Specific => Unsupported("TCP_RFC1323 is an option of AIX");
    /// No selective acknowledgements.
    "tcp-sack-disable" | "sack-disable" : Int, TCP, Specific => Unsupported("TCP_SACK_DISABLE is an option of OpenBSD");
    /// Selective acknowledgements.
    "tcp-sackena" | "sackena" : Int, TCP, Specific => Unsupported("TCP_SACKENA is an option of Tru64");
    /// Signatures of segments.
    "tcp-signature-enable" | "signature-enable" : Int, TCP, Specific =>
        Unsupported("TCP_SIGNATURE_ENABLE is an option of the BSDs");
    /// Urgent pointer as in RFC 1122.
    "tcp-stdurg" | "stdurg" : Int, TCP, Specific =>
        Unsupported("TCP_STDURG is an option of AIX; the setting is tcp_stdurg of tcp(7) on Linux");
    /// Time stamps in segments.
    "tcp-tsoptena" | "tsoptena" : Int, TCP, Specific => Unsupported("TCP_TSOPTENA is an option of Tru64");
}
