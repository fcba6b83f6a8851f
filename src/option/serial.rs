//! Options of serial lines (SERIAL), and of ports of this machine alone (UART).

use super::{ReadBreak, Reset, Value};
use crate::error::excerpt;
use crate::line::{FlowControl, Parity, StopBits};

/// The thing with this name, in any case of letters.
fn one_of<T: Copy>(value: &Value, choices: &[(&str, T)]) -> Result<T, String> {
    let is_it = |(name, _): &&(&str, T)| name.as_bytes().eq_ignore_ascii_case(value.bytes());
    choices.iter().find(is_it).map(|(_, thing)| *thing).ok_or_else(|| {
        let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
        format!("\"{}\" is none of {}", excerpt(value.bytes()), names.join(", "))
    })
}

const PARITIES: &[(&str, Parity)] = &[
    ("none", Parity::None),
    ("even", Parity::Even),
    ("odd", Parity::Odd),
    ("mark", Parity::Mark),
    ("space", Parity::Space),
    ("n", Parity::None),
    ("e", Parity::Even),
    ("o", Parity::Odd),
    ("m", Parity::Mark),
    ("s", Parity::Space),
];
const STOP_BITS: &[(&str, StopBits)] = &[("1", StopBits::One), ("1.5", StopBits::OneAndHalf), ("2", StopBits::Two)];
const FLOWS: &[(&str, FlowControl)] =
    &[("none", FlowControl::None), ("xonxoff", FlowControl::XonXoff), ("rtscts", FlowControl::Hardware)];
const BREAKS: &[(&str, ReadBreak)] =
    &[("null", ReadBreak::Null), ("ignore", ReadBreak::Nothing), ("mark", ReadBreak::Mark)];
const RESETS: &[(&str, Reset)] =
    &[("none", Reset::None), ("arduino", Reset::Arduino), ("esp", Reset::Esp), ("esp-loader", Reset::EspLoader)];

/// Bits of a character.
fn bits(value: &Value) -> Result<u8, String> {
    match value.number()? {
        bits @ 5..=8 => Ok(bits),
        bits => Err(format!("a character of a serial line has 5 to 8 bits, not {bits}")),
    }
}

/// Bits a second, more than none: 0 hangs up.
fn baud(value: &Value) -> Result<u32, String> {
    match value.number()? {
        0 => Err("a line with 0 baud is hung up".to_owned()),
        baud => Ok(baud),
    }
}

crate::options! {
    /// Speed of the line, both ways, in bits a second: any number the port can do. 115200 by default.
    "baud" | "baudrate" : UnsignedInt, SERIAL, Fd => store!(serial.baud, value => Some(baud(value)?));
    /// Bits of a character, 5 to 8; 8 by default.
    "bits" | "databits" | "bytesize" : Byte, SERIAL, Fd => store!(serial.bits, value => Some(bits(value)?));
    /// What the break condition of the line is read as: `null`, a byte 0, as by default; `ignore`, nothing;
    /// `mark`, the bytes FF 00 00 while every FF of the data is doubled, see PARMRK in termios(3).
    "break" : Text, UART, Fd => store!(serial.read_break, value => Some(one_of(value, BREAKS)?));
    /// How many seconds what was written may take to be sent at the end; 10 by default. What is left over then
    /// is dropped, with an error.
    "drain" : Timespec, UART, Fd => store!(serial.drain, value => Some(value.time()));
    /// Level of DTR once the port is open, set together with RTS. The kernel raises both in opening, and they
    /// stay so by default.
    "dtr" : Switch, SERIAL, Fd => store!(serial.dtr, value => Some(value.is_true()));
    /// Level of DTR when the port is closed. It stays as it is by default, unless `hupcl` has it go down.
    "dtr-close" : Switch, UART, Late => store!(serial.dtr_close, value => Some(value.is_true()));
    /// Nobody else may open the port, and it is refused if somebody has it locked: flock(2) and TIOCEXCL of
    /// ioctl_tty(2). On by default.
    "exclusive" : Switch, UART, Fd => store!(serial.exclusive, value => Some(value.is_true()));
    /// How the receiver makes the sender pause, both ways: `none`, as by default, `xonxoff` or `rtscts`.
    "flow" | "flowcontrol" : Text, SERIAL, Fd => store!(serial.flow, value => Some(one_of(value, FLOWS)?));
    /// Have the driver hand on what was received at once, see setserial(8): a USB adapter then waits 1 ms for
    /// more bytes instead of 16. On by default where the driver has it; `off` leaves the driver as it is.
    "low-latency" : Switch, UART, Fd => store!(serial.low_latency, value => Some(value.is_true()));
    /// The parity bit: `none`, as by default, `even`, `odd`, `mark` or `space`, or their first letters.
    "parity" : Text, SERIAL, Fd => store!(serial.parity, value => Some(one_of(value, PARITIES)?));
    /// Reset the board behind the port once it is open: `arduino` raises DTR behind a pause; `esp` pulses RTS,
    /// which is EN, and starts the program; `esp-loader` does it while DTR, which is IO0, asks for the loader;
    /// `none`, as by default.
    "reset" : Text, UART, Late => store!(serial.reset, value => Some(one_of(value, RESETS)?));
    /// The port drives an RS-485 bus and takes turns by RTS, see TIOCSRS485 in the kernel's serial-rs485
    /// document. An error where the driver cannot.
    "rs485" : Switch, UART, Fd => store!(serial.on_bus, value => value.is_true());
    /// Seconds from the last bit to the release of an RS-485 bus; the kernel counts in milliseconds.
    "rs485-delay-after" : Timespec, UART, Fd => store!(serial.bus.after, value => value.time());
    /// Seconds from taking an RS-485 bus to the first bit; the kernel counts in milliseconds.
    "rs485-delay-before" : Timespec, UART, Fd => store!(serial.bus.before, value => value.time());
    /// What is sent to an RS-485 bus is received, too.
    "rs485-echo" : Switch, UART, Fd => store!(serial.bus.echo, value => value.is_true());
    /// Level of RTS while nothing is sent to an RS-485 bus; off by default.
    "rs485-rts-after-send" : Switch, UART, Fd => store!(serial.bus.rts_after_send, value => Some(value.is_true()));
    /// Level of RTS while something is sent to an RS-485 bus; on by default.
    "rs485-rts-on-send" : Switch, UART, Fd => store!(serial.bus.rts_on_send, value => Some(value.is_true()));
    /// Level of RTS once the port is open, set together with DTR. The kernel raises both in opening, and they
    /// stay so by default; with `flow=rtscts` the kernel drives RTS.
    "rts" : Switch, SERIAL, Fd => store!(serial.rts, value => Some(value.is_true()));
    /// Level of RTS when the port is closed. It stays as it is by default, unless `hupcl` has it go down.
    "rts-close" : Switch, UART, Late => store!(serial.rts_close, value => Some(value.is_true()));
    /// The stop bits: `1`, as by default, or `2`; `1.5` for lines that are not of Linux.
    "stop" | "stopbits" : Text, SERIAL, Fd => store!(serial.stop, value => Some(one_of(value, STOP_BITS)?));
}
