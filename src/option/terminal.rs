//! Options of terminals and pseudo terminals.
#![expect(clippy::unnecessary_wraps, reason = "the signature is that of Apply::Terminal")]

use nix::errno::Errno;
use nix::sys::termios::{
    BaudRate, ControlFlags, InputFlags, LocalFlags, OutputFlags, SpecialCharacterIndices, Termios, cfmakeraw,
    cfsetispeed, cfsetospeed, cfsetspeed,
};

use super::{Transport, Value};

/// A `Plan` row that chooses how a pseudo terminal is made; programs get one with it.
macro_rules! device {
    ($ptmx:literal) => {
        $crate::option::Apply::Plan(|settings, value| {
            if value.is_true() {
                settings.pty.ptmx = Some($ptmx);
                settings.program.transport = Transport::Pty;
            }
            Ok(())
        })
    };
}

fn words(error: Errno) -> String {
    error.desc().to_owned()
}

/// Sets or clears one flag of the local modes.
fn local<const FLAG: u32>(terminal: &mut Termios, value: &Value) -> Result<(), String> {
    terminal.local_flags.set(LocalFlags::from_bits_retain(FLAG), value.is_true());
    Ok(())
}

/// Each byte is given to the reader as soon as it has come.
fn byte_by_byte(terminal: &mut Termios) {
    terminal.control_chars[SpecialCharacterIndices::VMIN as usize] = 1;
    terminal.control_chars[SpecialCharacterIndices::VTIME as usize] = 0;
}

fn raw(terminal: &mut Termios, _value: &Value) -> Result<(), String> {
    terminal.input_flags &= InputFlags::IUTF8;
    terminal.output_flags -= OutputFlags::OPOST;
    terminal.local_flags -= LocalFlags::ISIG | LocalFlags::ICANON | LocalFlags::XCASE;
    byte_by_byte(terminal);
    Ok(())
}

fn rawer(terminal: &mut Termios, _value: &Value) -> Result<(), String> {
    // The speed lives in the control flags: clearing it too would hang the line up.
    let speed = terminal.control_flags & ControlFlags::CBAUD;
    terminal.input_flags = InputFlags::empty();
    terminal.output_flags = OutputFlags::empty();
    terminal.control_flags = speed | ControlFlags::CREAD | ControlFlags::CS8;
    terminal.local_flags = LocalFlags::empty();
    byte_by_byte(terminal);
    Ok(())
}

fn make_raw(terminal: &mut Termios, _value: &Value) -> Result<(), String> {
    cfmakeraw(terminal);
    Ok(())
}

fn sane(terminal: &mut Termios, _value: &Value) -> Result<(), String> {
    let input = &mut terminal.input_flags;
    *input -= InputFlags::IGNBRK | InputFlags::INLCR | InputFlags::IGNCR;
    *input -= InputFlags::IUCLC | InputFlags::IXANY | InputFlags::IXOFF | InputFlags::IUTF8;
    *input |= InputFlags::BRKINT | InputFlags::ICRNL | InputFlags::IMAXBEL;
    terminal.output_flags = OutputFlags::OPOST | OutputFlags::ONLCR;
    terminal.control_flags |= ControlFlags::CREAD;
    let local = &mut terminal.local_flags;
    *local -= LocalFlags::XCASE | LocalFlags::ECHONL | LocalFlags::NOFLSH | LocalFlags::TOSTOP | LocalFlags::ECHOPRT;
    *local |= LocalFlags::ISIG | LocalFlags::ICANON | LocalFlags::IEXTEN;
    *local |= LocalFlags::ECHO | LocalFlags::ECHOE | LocalFlags::ECHOK | LocalFlags::ECHOCTL | LocalFlags::ECHOKE;
    Ok(())
}

/// The speeds of termios(3).
fn speed(baud: i64) -> Result<BaudRate, String> {
    Ok(match baud {
        0 => BaudRate::B0,
        50 => BaudRate::B50,
        75 => BaudRate::B75,
        110 => BaudRate::B110,
        134 => BaudRate::B134,
        150 => BaudRate::B150,
        200 => BaudRate::B200,
        300 => BaudRate::B300,
        600 => BaudRate::B600,
        1200 => BaudRate::B1200,
        1800 => BaudRate::B1800,
        2400 => BaudRate::B2400,
        4800 => BaudRate::B4800,
        9600 => BaudRate::B9600,
        19_200 => BaudRate::B19200,
        38_400 => BaudRate::B38400,
        57_600 => BaudRate::B57600,
        115_200 => BaudRate::B115200,
        230_400 => BaudRate::B230400,
        460_800 => BaudRate::B460800,
        500_000 => BaudRate::B500000,
        576_000 => BaudRate::B576000,
        921_600 => BaudRate::B921600,
        1_000_000 => BaudRate::B1000000,
        1_152_000 => BaudRate::B1152000,
        1_500_000 => BaudRate::B1500000,
        2_000_000 => BaudRate::B2000000,
        2_500_000 => BaudRate::B2500000,
        3_000_000 => BaudRate::B3000000,
        3_500_000 => BaudRate::B3500000,
        4_000_000 => BaudRate::B4000000,
        _ => return Err(format!("{baud} baud is not one of the speeds of termios(3)")),
    })
}

crate::options! {
    /// Speed 0: hang the line up.
    "b0" : Flag, TERMIOS, Fd => Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B0).map_err(words));
    /// Speed of the line, both ways: 1000000 baud.
    "b1000000" : Flag, TERMIOS, Fd =>
        Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B1000000).map_err(words));
    /// Speed of the line, both ways: 110 baud.
    "b110" : Flag, TERMIOS, Fd => Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B110).map_err(words));
    /// Speed of the line, both ways: 115200 baud.
    "b115200" : Flag, TERMIOS, Fd =>
        Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B115200).map_err(words));
    /// Speed of the line, both ways: 1152000 baud.
    "b1152000" : Flag, TERMIOS, Fd =>
        Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B1152000).map_err(words));
    /// Speed of the line, both ways: 1200 baud.
    "b1200" : Flag, TERMIOS, Fd => Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B1200).map_err(words));
    /// Speed of the line, both ways: 134 baud.
    "b134" : Flag, TERMIOS, Fd => Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B134).map_err(words));
    /// Speed of the line, both ways: 150 baud.
    "b150" : Flag, TERMIOS, Fd => Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B150).map_err(words));
    /// Speed of the line, both ways: 1500000 baud.
    "b1500000" : Flag, TERMIOS, Fd =>
        Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B1500000).map_err(words));
    /// Speed of the line, both ways: 1800 baud.
    "b1800" : Flag, TERMIOS, Fd => Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B1800).map_err(words));
    /// Speed of the line, both ways: 19200 baud.
    "b19200" : Flag, TERMIOS, Fd => Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B19200).map_err(words));
    /// Speed of the line, both ways: 200 baud.
    "b200" : Flag, TERMIOS, Fd => Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B200).map_err(words));
    /// Speed of the line, both ways: 2000000 baud.
    "b2000000" : Flag, TERMIOS, Fd =>
        Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B2000000).map_err(words));
    /// Speed of the line, both ways: 230400 baud.
    "b230400" : Flag, TERMIOS, Fd =>
        Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B230400).map_err(words));
    /// Speed of the line, both ways: 2400 baud.
    "b2400" : Flag, TERMIOS, Fd => Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B2400).map_err(words));
    /// Speed of the line, both ways: 2500000 baud.
    "b2500000" : Flag, TERMIOS, Fd =>
        Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B2500000).map_err(words));
    /// Speed of the line, both ways: 300 baud.
    "b300" : Flag, TERMIOS, Fd => Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B300).map_err(words));
    /// Speed of the line, both ways: 3000000 baud.
    "b3000000" : Flag, TERMIOS, Fd =>
        Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B3000000).map_err(words));
    /// Speed of the line, both ways: 3500000 baud.
    "b3500000" : Flag, TERMIOS, Fd =>
        Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B3500000).map_err(words));
    /// Speed of the line, both ways: 38400 baud.
    "b38400" : Flag, TERMIOS, Fd => Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B38400).map_err(words));
    /// Speed of the line, both ways: 4000000 baud.
    "b4000000" : Flag, TERMIOS, Fd =>
        Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B4000000).map_err(words));
    /// Speed of the line, both ways: 460800 baud.
    "b460800" : Flag, TERMIOS, Fd =>
        Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B460800).map_err(words));
    /// Speed of the line, both ways: 4800 baud.
    "b4800" : Flag, TERMIOS, Fd => Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B4800).map_err(words));
    /// Speed of the line, both ways: 50 baud.
    "b50" : Flag, TERMIOS, Fd => Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B50).map_err(words));
    /// Speed of the line, both ways: 500000 baud.
    "b500000" : Flag, TERMIOS, Fd =>
        Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B500000).map_err(words));
    /// Speed of the line, both ways: 57600 baud.
    "b57600" : Flag, TERMIOS, Fd => Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B57600).map_err(words));
    /// Speed of the line, both ways: 576000 baud.
    "b576000" : Flag, TERMIOS, Fd =>
        Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B576000).map_err(words));
    /// Speed of the line, both ways: 600 baud.
    "b600" : Flag, TERMIOS, Fd => Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B600).map_err(words));
    /// Speed of the line, both ways: 75 baud.
    "b75" : Flag, TERMIOS, Fd => Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B75).map_err(words));
    /// Speed of the line, both ways: 921600 baud.
    "b921600" : Flag, TERMIOS, Fd =>
        Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B921600).map_err(words));
    /// Speed of the line, both ways: 9600 baud.
    "b9600" : Flag, TERMIOS, Fd => Terminal(|terminal, _value| cfsetspeed(terminal, BaudRate::B9600).map_err(words));
    /// The terminal shows what is typed; ECHO, see termios(3).
    "echo" : Bool, TERMIOS, Fd => Terminal(local::<{ LocalFlags::ECHO.bits() }>);
    /// Input comes in lines that can be edited; ICANON, see termios(3).
    "icanon" : Bool, TERMIOS, Fd => Terminal(local::<{ LocalFlags::ICANON.bits() }>);
    /// Special characters such as Ctrl-C send signals; ISIG, see termios(3).
    "isig" : Bool, TERMIOS, Fd => Terminal(local::<{ LocalFlags::ISIG.bits() }>);
    /// Speed of input in baud, one of the speeds of termios(3); 0 is that of output.
    "ispeed" : UnsignedInt, TERMIOS, Fd =>
        Terminal(|terminal, value| cfsetispeed(terminal, speed(value.int())?).map_err(words));
    /// Make the pseudo terminal with openpty(3).
    "openpty" : Bool, PTY, Bigen => device!(false);
    /// Speed of output in baud, one of the speeds of termios(3); 0 hangs up.
    "ospeed" : UnsignedInt, TERMIOS, Fd =>
        Terminal(|terminal, value| cfsetospeed(terminal, speed(value.int())?).map_err(words));
    /// Make the pseudo terminal by opening /dev/ptmx, see pts(4).
    "ptmx" : Bool, PTY, Bigen => device!(true);
    /// Seconds between two looks of `wait-slave`; 1 by default.
    "pty-interval" | "pty-intervall" : Timespec, PTY, Early => store!(pty.interval, value => Some(value.time()));
    /// Wait until somebody opens the slave side of the pseudo terminal.
    "pty-wait-slave" | "wait-slave" | "waitslave" : Bool, PTY, Early =>
        store!(pty.wait_slave, value => value.is_true());
    /// Pass bytes through without interpreting them, but keep the echo; `rawer` is what is wanted mostly. See
    /// termios(3).
    "raw" : Flag, TERMIOS, Fd => Terminal(raw);
    /// Settings fit for a person: line editing, echo, signals, NL for CR; as stty(1) sane, but special
    /// characters stay.
    "sane" : Flag, TERMIOS, Fd => Terminal(sane);
    /// Seconds that EIO, met when nobody has the slave open, is not the end; for programs that close and reopen
    /// it.
    "sitout-eio" : Timeval, PTY, Offset => store!(pty.sitout_eio, value => Some(value.time()));
    /// Symbolic link to the slave side of the pseudo terminal; removed at the end.
    "symbolic-link" | "link" : Text, PTY, Late => store!(pty.link, value => Some(value.path()));
    /// Pass bytes through as cfmakeraw(3) has it: no echo, no line editing, no signals, 8 bits.
    "termios-cfmakeraw" | "cfmakeraw" : Flag, TERMIOS, Fd => Terminal(make_raw);
    /// Pass bytes through untouched: every flag cleared, 8 bits, no parity, no echo, each byte at once; the
    /// speed stays. See termios(3).
    "termios-rawer" | "rawer" : Flag, TERMIOS, Fd => Terminal(rawer);
    /// Make the terminal the controlling terminal of the program or, without one, of this process; TIOCSCTTY,
    /// see ioctl_tty(2). Needs `setsid`.
    "tiocsctty" | "ctty" : Bool, TERMIOS, Late2 => store!(program.ctty, value => value.is_true());
    /// 3600 baud.
    "b3600" : Flag, TERMIOS, Specific => Unsupported("termios(3) has no such speed on Linux");
    /// 7200 baud.
    "b7200" : Flag, TERMIOS, Specific => Unsupported("termios(3) has no such speed on Linux");
    /// 900 baud.
    "b900" : Flag, TERMIOS, Specific => Unsupported("termios(3) has no such speed on Linux");
}
