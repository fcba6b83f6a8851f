//! Options of telnet and RFC 2217.

use super::{TelnetRole, Value};

/// A role; none where there is no value.
fn role(value: &Value) -> Result<Option<TelnetRole>, String> {
    match value {
        Value::None => Ok(None),
        value => match value.bytes() {
            b"server" => Ok(Some(TelnetRole::Server)),
            b"client" => Ok(Some(TelnetRole::Client)),
            other => Err(format!("\"{}\" is no role; there are server and client", other.escape_ascii())),
        },
    }
}

crate::options! {
    /// Give the serial line of the other address its settings and lines back when the last client that set them
    /// with RFC 2217 has gone. On by default where RFC 2217 is served.
    "restore-line" : Bool, LISTEN | CONNECT, Late => store!(telnet.restore_line, value => Some(value.is_true()));
    /// Speak telnet and its option for serial ports, RFC 2217: `server` lets the far end set the serial line of the
    /// other address, and is what a listening address does by itself. Where the other address has no such line,
    /// the settings are those of an imagined one.
    "rfc2217" : TextOrNone, LISTEN | CONNECT, Late => store!(telnet.rfc2217, value => Some(role(value)?));
    /// Speak telnet, RFC 854, as `server` or as `client`; by itself a listening address is the server. A server
    /// asks for bytes as they are (BINARY), one by one, and shows what is typed; both refuse other options.
    "telnet" : TextOrNone, LISTEN | CONNECT, Late => store!(telnet.telnet, value => Some(role(value)?));
}
