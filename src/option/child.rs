//! How often an address is opened: sessions (`fork`) and attempts (`retry`).

crate::options! {
    /// Lower the log level of messages about sessions by so many steps; without a value by one.
    "children-shutup" : Int, CHILD, PastAccept => store!(life.children_shutup, value => value.number()?);
    /// Repeat failed attempts to open without an end.
    "forever" : Bool, RETRY, Init => store!(life.forever, value => value.is_true());
    /// Serve every connection or datagram in a session of its own and go on accepting; a client connects again
    /// and again.
    "fork" : Bool, CHILD, PastAccept => store!(life.fork, value => value.is_true());
    /// Seconds between two attempts, or between two connections of a client with `fork`; 1 by default.
    "interval" | "intervall" : Timespec, RETRY, Init => store!(life.interval, value => value.time());
    /// Most sessions at one time; further clients wait until one has ended. Needs `fork`.
    "max-children" | "maxchildren" : Int, CHILD, PastAccept =>
        store!(life.max_children, value => Some(value.number()?));
    /// Further attempts after opening has failed; 0 by default.
    "retry" : UnsignedInt, RETRY, Init => store!(life.retry, value => value.number()?);
}
