//! Options of the relay that any address can have: line ends, ends of the data, lock files.

use super::LineEnd;

crate::options! {
    /// Lines end with CR on this channel: NL becomes CR when writing, CR becomes NL when reading.
    "cr" : Flag, APPL, Late => store!(flow.line_end, _value => Some(LineEnd::Cr));
    /// Lines end with CR NL on this channel: NL becomes CR NL when writing, every CR is taken away when
    /// reading.
    "crnl" | "crlf" : Flag, APPL, Late => store!(flow.line_end, _value => Some(LineEnd::CrLf));
    /// A byte (0 to 255) that ends the input when it is read. It is dropped with whatever follows it in its
    /// block.
    "escape" : Int, APPL, Init => store!(flow.escape, value => Some(value.number()?));
    /// The end of the data is not the end: wait for more, as `tail -f` does on a growing file.
    "ignoreeof" | "ignoreof" : Bool, APPL, Late => store!(flow.ignore_eof, value => value.is_true());
    /// Create this file, with the process id in it, before the address is opened; fail when it exists. It is
    /// removed at the end.
    "lockfile" : Text, APPL, Init => store!(life.lockfile, value => Some(value.path()));
    /// The input ends after so many bytes; 0 sets no limit.
    "readbytes" | "bytes" : Size, APPL, Late =>
        store!(flow.read_bytes, value => Some(value.number()?).filter(|bytes| *bytes != 0));
    /// As `lockfile`, but wait as long as the file exists.
    "waitlock" : Text, APPL, Init => store!(life.waitlock, value => Some(value.path()));
}
