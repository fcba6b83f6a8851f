//! Options of channels that are opened again when they end.

crate::options! {
    /// Open it again whenever it ends (the device is unplugged, the connection lost), while the other side
    /// stays connected: a device as soon as its name is back, a connection after a pause that grows up to
    /// reconnect-max. The first opening follows retry, forever and interval.
    "reconnect" : Bool, SERIAL | CONNECT | OPEN, Init => store!(reconnect.on, value => value.is_true());
    /// The longest pause between two attempts to open it again, in seconds; 5 by default. The first one is
    /// 0.05 s long, and each is twice the one before.
    "reconnect-max" : Timespec, SERIAL | CONNECT | OPEN, Init =>
        store!(reconnect.longest, value => Some(value.time()));
    /// With reconnect: seconds the other side is held while it is away; then that is an error. For ever by
    /// default; 0 holds nothing, and the end is passed on as without reconnect.
    "hold" : Timespec, SERIAL | CONNECT | OPEN, Init => store!(reconnect.hold, value => Some(value.time()));
    /// With reconnect: how many bytes written to it are kept while it is away, and delivered when it is back;
    /// 65536 by default. Then no more is read from the other side.
    "hold-buffer" : Size, SERIAL | CONNECT | OPEN, Init =>
        store!(reconnect.buffer, value => Some(value.number()?));
    /// With reconnect: drop what is written to it while it is away. It is counted and told, and no error.
    "hold-discard" : Bool, SERIAL | CONNECT | OPEN, Init => store!(reconnect.discard, value => value.is_true());
}
