//! Options of UNIX sockets.

crate::options! {
    /// Bind the client's socket to a name of its own, made from this template whose XXXXXX is replaced, or from
    /// /tmp/socat-bind.XXXXXX.
    "unix-bind-tempname" | "bind-tempname" : TextOrNone, UNIX, PreOpen =>
        store!(socket.bind_tempname, value => Some(value.bytes().to_vec()));
    /// UNIX addresses are as long as their name (default), or as long as sockaddr_un with 0; see unix(7).
    "unix-tightsocklen" | "tightsocklen" : Bool, UNIX, PreBind =>
        store!(socket.loose_length, value => !value.is_true());
}
