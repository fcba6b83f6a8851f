//! Options of terminals and pseudo terminals.
#![expect(clippy::unnecessary_wraps, reason = "the signature is that of Apply::Terminal")]

use super::{Transport, Value};
use crate::sys::terminal::{Termios, Word};

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

/// A row that sets or clears one flag.
macro_rules! flag {
    ($word:ident, $flag:ident) => {
        $crate::option::Apply::Terminal(|terminal, value| {
            terminal.set(Word::$word, libc::$flag, value.is_true());
            Ok(())
        })
    };
}

/// A row that chooses one of what some bits of a word can be.
macro_rules! bits {
    ($word:ident, $mask:ident, $bits:ident) => {
        $crate::option::Apply::Terminal(|terminal, _value| {
            terminal.replace(Word::$word, libc::$mask, libc::$bits);
            Ok(())
        })
    };
}

/// A row that writes a number into some bits of a word.
macro_rules! field {
    ($word:ident, $mask:ident) => {
        $crate::option::Apply::Terminal(|terminal, value| field(terminal, Word::$word, libc::$mask, value))
    };
}

/// A row for one of the special characters or the limits of reading.
macro_rules! character {
    ($place:ident) => {
        $crate::option::Apply::Terminal(|terminal, value| {
            terminal.set_character(libc::$place, value.number()?);
            Ok(())
        })
    };
}

/// A row for a speed both ways.
macro_rules! baud {
    ($baud:literal) => {
        $crate::option::Apply::Terminal(|terminal, _value| {
            terminal.set_speed($baud);
            Ok(())
        })
    };
}

/// Writes the number, which is at most what there is room for, into the bits of `mask`.
fn field(terminal: &mut Termios, word: Word, mask: u32, value: &Value) -> Result<(), String> {
    let number: u32 = value.number()?;
    let most = mask >> mask.trailing_zeros();
    if number > most {
        return Err(format!("{number} is out of range (0 to {most})"));
    }
    terminal.replace(word, mask, number << mask.trailing_zeros());
    Ok(())
}

fn speed(terminal: &mut Termios, value: &Value, set: fn(&mut Termios, u32)) -> Result<(), String> {
    set(terminal, value.number()?);
    Ok(())
}

/// Each byte is given to the reader as soon as it has come.
fn byte_by_byte(terminal: &mut Termios) {
    terminal.set_character(libc::VMIN, 1);
    terminal.set_character(libc::VTIME, 0);
}

fn raw(terminal: &mut Termios, _value: &Value) -> Result<(), String> {
    terminal.replace(Word::Input, !libc::IUTF8, 0);
    terminal.set(Word::Output, libc::OPOST, false);
    terminal.set(Word::Local, libc::ISIG | libc::ICANON | libc::XCASE, false);
    byte_by_byte(terminal);
    Ok(())
}

fn rawer(terminal: &mut Termios, _value: &Value) -> Result<(), String> {
    terminal.replace(Word::Input, !0, 0);
    terminal.replace(Word::Output, !0, 0);
    // The speed lives in the control flags: clearing it too would hang the line up.
    terminal.replace(Word::Control, !(libc::CBAUD | libc::CIBAUD), libc::CREAD | libc::CS8);
    terminal.replace(Word::Local, !0, 0);
    byte_by_byte(terminal);
    Ok(())
}

fn make_raw(terminal: &mut Termios, _value: &Value) -> Result<(), String> {
    terminal.make_raw();
    Ok(())
}

fn sane(terminal: &mut Termios, _value: &Value) -> Result<(), String> {
    let shown = libc::ECHO | libc::ECHOE | libc::ECHOK | libc::ECHOCTL | libc::ECHOKE;
    let unused = libc::XCASE | libc::ECHONL | libc::NOFLSH | libc::TOSTOP | libc::ECHOPRT;
    let mapped = libc::IGNBRK | libc::INLCR | libc::IGNCR | libc::IUCLC | libc::IXANY | libc::IXOFF;
    terminal.set(Word::Input, mapped, false);
    terminal.set(Word::Input, libc::BRKINT | libc::ICRNL | libc::IMAXBEL, true);
    terminal.replace(Word::Output, !0, libc::OPOST | libc::ONLCR);
    terminal.set(Word::Control, libc::CREAD, true);
    terminal.set(Word::Local, unused, false);
    terminal.set(Word::Local, libc::ISIG | libc::ICANON | libc::IEXTEN | shown, true);
    Ok(())
}

/// `word:flags`.
fn set_flags(terminal: &mut Termios, value: &Value) -> Result<(), String> {
    let (word, flags) = value.pair();
    let words = [Word::Input, Word::Output, Word::Control, Word::Local];
    let word = usize::try_from(word).ok().and_then(|word| words.get(word));
    let word = word.ok_or("the words of flags are 0 (input), 1 (output), 2 (control) and 3 (local)")?;
    let flags = u32::try_from(flags).map_err(|_| format!("flags {flags} do not fit into a word of 32 bits"))?;
    terminal.replace(*word, !0, flags);
    Ok(())
}

/// `columns:rows`.
fn size(value: &Value) -> Result<(u16, u16), String> {
    let (columns, rows) = value.pair();
    match (u16::try_from(columns), u16::try_from(rows)) {
        (Ok(columns), Ok(rows)) => Ok((columns, rows)),
        _ => Err("a terminal has 0 to 65535 columns and rows".to_owned()),
    }
}

crate::options! {
    /// Speed 0: hang the line up, DTR and RTS go down.
    "b0" : Flag, TERMIOS, Fd => baud!(0);
    /// Speed of the line, both ways: 1000000 baud.
    "b1000000" : Flag, TERMIOS, Fd => baud!(1_000_000);
    /// Speed of the line, both ways: 110 baud.
    "b110" : Flag, TERMIOS, Fd => baud!(110);
    /// Speed of the line, both ways: 115200 baud.
    "b115200" : Flag, TERMIOS, Fd => baud!(115_200);
    /// Speed of the line, both ways: 1152000 baud.
    "b1152000" : Flag, TERMIOS, Fd => baud!(1_152_000);
    /// Speed of the line, both ways: 1200 baud.
    "b1200" : Flag, TERMIOS, Fd => baud!(1200);
    /// Speed of the line, both ways: 134 baud.
    "b134" : Flag, TERMIOS, Fd => baud!(134);
    /// Speed of the line, both ways: 150 baud.
    "b150" : Flag, TERMIOS, Fd => baud!(150);
    /// Speed of the line, both ways: 1500000 baud.
    "b1500000" : Flag, TERMIOS, Fd => baud!(1_500_000);
    /// Speed of the line, both ways: 1800 baud.
    "b1800" : Flag, TERMIOS, Fd => baud!(1800);
    /// Speed of the line, both ways: 19200 baud.
    "b19200" : Flag, TERMIOS, Fd => baud!(19_200);
    /// Speed of the line, both ways: 200 baud.
    "b200" : Flag, TERMIOS, Fd => baud!(200);
    /// Speed of the line, both ways: 2000000 baud.
    "b2000000" : Flag, TERMIOS, Fd => baud!(2_000_000);
    /// Speed of the line, both ways: 230400 baud.
    "b230400" : Flag, TERMIOS, Fd => baud!(230_400);
    /// Speed of the line, both ways: 2400 baud.
    "b2400" : Flag, TERMIOS, Fd => baud!(2400);
    /// Speed of the line, both ways: 2500000 baud.
    "b2500000" : Flag, TERMIOS, Fd => baud!(2_500_000);
    /// Speed of the line, both ways: 300 baud.
    "b300" : Flag, TERMIOS, Fd => baud!(300);
    /// Speed of the line, both ways: 3000000 baud.
    "b3000000" : Flag, TERMIOS, Fd => baud!(3_000_000);
    /// Speed of the line, both ways: 3500000 baud.
    "b3500000" : Flag, TERMIOS, Fd => baud!(3_500_000);
    /// Speed of the line, both ways: 38400 baud.
    "b38400" : Flag, TERMIOS, Fd => baud!(38_400);
    /// Speed of the line, both ways: 4000000 baud.
    "b4000000" : Flag, TERMIOS, Fd => baud!(4_000_000);
    /// Speed of the line, both ways: 460800 baud.
    "b460800" : Flag, TERMIOS, Fd => baud!(460_800);
    /// Speed of the line, both ways: 4800 baud.
    "b4800" : Flag, TERMIOS, Fd => baud!(4800);
    /// Speed of the line, both ways: 50 baud.
    "b50" : Flag, TERMIOS, Fd => baud!(50);
    /// Speed of the line, both ways: 500000 baud.
    "b500000" : Flag, TERMIOS, Fd => baud!(500_000);
    /// Speed of the line, both ways: 57600 baud.
    "b57600" : Flag, TERMIOS, Fd => baud!(57_600);
    /// Speed of the line, both ways: 576000 baud.
    "b576000" : Flag, TERMIOS, Fd => baud!(576_000);
    /// Speed of the line, both ways: 600 baud.
    "b600" : Flag, TERMIOS, Fd => baud!(600);
    /// Speed of the line, both ways: 75 baud.
    "b75" : Flag, TERMIOS, Fd => baud!(75);
    /// Speed of the line, both ways: 921600 baud.
    "b921600" : Flag, TERMIOS, Fd => baud!(921_600);
    /// Speed of the line, both ways: 9600 baud.
    "b9600" : Flag, TERMIOS, Fd => baud!(9600);
    /// A break interrupts: it discards what waits, and SIGINT goes to the foreground; BRKINT, see termios(3).
    "brkint" : Bool, TERMIOS, Fd => flag!(Input, BRKINT);
    /// Delay 0 after a backspace; BS0, see termios(3).
    "bs0" : Flag, TERMIOS, Fd => bits!(Output, BSDLY, BS0);
    /// Delay 1 after a backspace; BS1, see termios(3).
    "bs1" : Flag, TERMIOS, Fd => bits!(Output, BSDLY, BS1);
    /// Delay after a backspace, 0 or 1; BSDLY, see termios(3).
    "bsdly" : Bool, TERMIOS, Fd => field!(Output, BSDLY);
    /// The lines of the modem are ignored: no carrier is waited for, its loss does not hang up; CLOCAL, see termios(3).
    "clocal" : Bool, TERMIOS, Fd => flag!(Control, CLOCAL);
    /// The parity bit, where there is one, is always the same: 0 (space), or with `parodd` 1 (mark); CMSPAR, see
    /// termios(3). Not of socat(1).
    "cmspar" : Bool, TERMIOS, Fd => flag!(Control, CMSPAR);
    /// Delay 0 after a carriage return; CR0, see termios(3).
    "cr0" : Flag, TERMIOS, Fd => bits!(Output, CRDLY, CR0);
    /// Delay 1 after a carriage return; CR1, see termios(3).
    "cr1" : Flag, TERMIOS, Fd => bits!(Output, CRDLY, CR1);
    /// Delay 2 after a carriage return; CR2, see termios(3).
    "cr2" : Flag, TERMIOS, Fd => bits!(Output, CRDLY, CR2);
    /// Delay 3 after a carriage return; CR3, see termios(3).
    "cr3" : Flag, TERMIOS, Fd => bits!(Output, CRDLY, CR3);
    /// Delay after a carriage return, 0 to 3; CRDLY, see termios(3).
    "crdly" : UnsignedInt, TERMIOS, Fd => field!(Output, CRDLY);
    /// The line is received from; CREAD, see termios(3).
    "cread" : Bool, TERMIOS, Fd => flag!(Control, CREAD);
    /// Flow control with the lines RTS and CTS, both ways; CRTSCTS, see termios(3).
    "crtscts" : Bool, TERMIOS, Fd => flag!(Control, CRTSCTS);
    /// Characters of 5 bits, without parity; CS5, see termios(3).
    "cs5" : Flag, TERMIOS, Fd => bits!(Control, CSIZE, CS5);
    /// Characters of 6 bits, without parity; CS6, see termios(3).
    "cs6" : Flag, TERMIOS, Fd => bits!(Control, CSIZE, CS6);
    /// Characters of 7 bits, without parity; CS7, see termios(3).
    "cs7" : Flag, TERMIOS, Fd => bits!(Control, CSIZE, CS7);
    /// Characters of 8 bits, without parity; CS8, see termios(3).
    "cs8" : Flag, TERMIOS, Fd => bits!(Control, CSIZE, CS8);
    /// Size of characters, 0 to 3 for 5 to 8 bits; CSIZE, see termios(3).
    "csize" : UnsignedInt, TERMIOS, Fd => field!(Control, CSIZE);
    /// Two stop bits instead of one; CSTOPB, see termios(3).
    "cstopb" : Bool, TERMIOS, Fd => flag!(Control, CSTOPB);
    /// The terminal shows what is typed; ECHO, see termios(3).
    "echo" : Bool, TERMIOS, Fd => flag!(Local, ECHO);
    /// Control characters are shown as ^X; ECHOCTL, see termios(3).
    "echoctl" | "ctlecho" : Bool, TERMIOS, Fd => flag!(Local, ECHOCTL);
    /// The erase character wipes out the character before it; ECHOE, see termios(3).
    "echoe" | "crterase" : Bool, TERMIOS, Fd => flag!(Local, ECHOE);
    /// The kill character begins a new line; ECHOK, see termios(3).
    "echok" : Bool, TERMIOS, Fd => flag!(Local, ECHOK);
    /// The kill character wipes out the line; ECHOKE, see termios(3).
    "echoke" | "crtkill" : Bool, TERMIOS, Fd => flag!(Local, ECHOKE);
    /// NL is shown even without `echo`; ECHONL, see termios(3).
    "echonl" : Bool, TERMIOS, Fd => flag!(Local, ECHONL);
    /// Characters that are erased are printed; ECHOPRT, see termios(3).
    "echoprt" | "prterase" : Bool, TERMIOS, Fd => flag!(Local, ECHOPRT);
    /// Delay 0 after a form feed; FF0, see termios(3).
    "ff0" : Flag, TERMIOS, Fd => bits!(Output, FFDLY, FF0);
    /// Delay 1 after a form feed; FF1, see termios(3).
    "ff1" : Flag, TERMIOS, Fd => bits!(Output, FFDLY, FF1);
    /// Delay after a form feed, 0 or 1; FFDLY, see termios(3).
    "ffdly" : Bool, TERMIOS, Fd => field!(Output, FFDLY);
    /// Output is dropped; Linux keeps the flag and does nothing with it; FLUSHO, see termios(3).
    "flusho" : Bool, TERMIOS, Fd => flag!(Local, FLUSHO);
    /// DTR and RTS go down when the last one closes the line; HUPCL, see termios(3).
    "hupcl" | "hup" : Bool, TERMIOS, Fd => flag!(Control, HUPCL);
    /// Input comes in lines that can be edited; ICANON, see termios(3).
    "icanon" : Bool, TERMIOS, Fd => flag!(Local, ICANON);
    /// CR of the input becomes NL; ICRNL, see termios(3).
    "icrnl" : Bool, TERMIOS, Fd => flag!(Input, ICRNL);
    /// Special characters beyond those of POSIX are minded, such as LNEXT; IEXTEN, see termios(3).
    "iexten" : Bool, TERMIOS, Fd => flag!(Local, IEXTEN);
    /// Breaks of the input are ignored; IGNBRK, see termios(3).
    "ignbrk" : Bool, TERMIOS, Fd => flag!(Input, IGNBRK);
    /// CR of the input is dropped; IGNCR, see termios(3).
    "igncr" : Bool, TERMIOS, Fd => flag!(Input, IGNCR);
    /// Characters of the input with a wrong parity or without a stop bit are dropped; IGNPAR, see termios(3).
    "ignpar" : Bool, TERMIOS, Fd => flag!(Input, IGNPAR);
    /// A bell sounds when the queue of the input is full; Linux always does; IMAXBEL, see termios(3).
    "imaxbel" : Bool, TERMIOS, Fd => flag!(Input, IMAXBEL);
    /// NL of the input becomes CR; INLCR, see termios(3).
    "inlcr" : Bool, TERMIOS, Fd => flag!(Input, INLCR);
    /// The parity of the input is checked; INPCK, see termios(3).
    "inpck" : Bool, TERMIOS, Fd => flag!(Input, INPCK);
    /// Special characters such as Ctrl-C send signals; ISIG, see termios(3).
    "isig" : Bool, TERMIOS, Fd => flag!(Local, ISIG);
    /// Speed of input in baud, any number, and of output unless that is given with `ospeed`; 0 is that of output. Few
    /// drivers have two speeds. Programs that know only the speeds of termios(3) see none of the others.
    "ispeed" : UnsignedInt, TERMIOS, Fd => Terminal(|terminal, value| speed(terminal, value, Termios::set_input_speed));
    /// The eighth bit of the input is cleared; ISTRIP, see termios(3).
    "istrip" : Bool, TERMIOS, Fd => flag!(Input, ISTRIP);
    /// Upper case of the input becomes lower case; IUCLC, see termios(3).
    "iuclc" : Bool, TERMIOS, Fd => flag!(Input, IUCLC);
    /// Output that was stopped goes on with any character, not with START only; IXANY, see termios(3).
    "ixany" : Bool, TERMIOS, Fd => flag!(Input, IXANY);
    /// STOP and START are sent when the queue of the input is full and has room again: XON/XOFF, by us; IXOFF, see
    /// termios(3).
    "ixoff" | "tandem" : Bool, TERMIOS, Fd => flag!(Input, IXOFF);
    /// STOP and START of the input stop and start output: XON/XOFF, by the far end; IXON, see termios(3).
    "ixon" : Bool, TERMIOS, Fd => flag!(Input, IXON);
    /// Delay 0 after a new line; NL0, see termios(3).
    "nl0" : Flag, TERMIOS, Fd => bits!(Output, NLDLY, NL0);
    /// Delay 1 after a new line; NL1, see termios(3).
    "nl1" : Flag, TERMIOS, Fd => bits!(Output, NLDLY, NL1);
    /// Delay after a new line, 0 or 1; NLDLY, see termios(3).
    "nldly" : Bool, TERMIOS, Fd => field!(Output, NLDLY);
    /// Signals of special characters leave the queues as they are; NOFLSH, see termios(3).
    "noflsh" : Bool, TERMIOS, Fd => flag!(Local, NOFLSH);
    /// CR of the output becomes NL; OCRNL, see termios(3).
    "ocrnl" : Bool, TERMIOS, Fd => flag!(Output, OCRNL);
    /// Fill characters are DEL; else NUL; OFDEL, see termios(3).
    "ofdel" : Bool, TERMIOS, Fd => flag!(Output, OFDEL);
    /// Delays of the output are made with fill characters; OFILL, see termios(3).
    "ofill" : Bool, TERMIOS, Fd => flag!(Output, OFILL);
    /// Lower case of the output becomes upper case; OLCUC, see termios(3).
    "olcuc" : Bool, TERMIOS, Fd => flag!(Output, OLCUC);
    /// NL of the output becomes CR NL; ONLCR, see termios(3).
    "onlcr" : Bool, TERMIOS, Fd => flag!(Output, ONLCR);
    /// NL of the output returns to the first column; ONLRET, see termios(3).
    "onlret" : Bool, TERMIOS, Fd => flag!(Output, ONLRET);
    /// CR of the output is dropped in the first column; ONOCR, see termios(3).
    "onocr" : Bool, TERMIOS, Fd => flag!(Output, ONOCR);
    /// Make the pseudo terminal with openpty(3).
    "openpty" : Bool, PTY, Bigen => device!(false);
    /// The output is processed as the other options say; else it passes through; OPOST, see termios(3).
    "opost" : Bool, TERMIOS, Fd => flag!(Output, OPOST);
    /// Speed of output in baud, any number, and of input unless that is given with `ispeed`; 0 hangs up.
    "ospeed" : UnsignedInt, TERMIOS, Fd =>
        Terminal(|terminal, value| speed(terminal, value, Termios::set_output_speed));
    /// A parity bit is sent and expected: an even one, unless `parodd` or `cmspar` say otherwise; PARENB, see
    /// termios(3).
    "parenb" : Bool, TERMIOS, Fd => flag!(Control, PARENB);
    /// Characters of the input with a wrong parity are marked with the bytes 255 and 0 before them; PARMRK, see
    /// termios(3).
    "parmrk" : Bool, TERMIOS, Fd => flag!(Input, PARMRK);
    /// The parity, where there is one, is odd; with `cmspar` its bit is always 1; PARODD, see termios(3).
    "parodd" : Bool, TERMIOS, Fd => flag!(Control, PARODD);
    /// What waits in the queue of the input is shown again when the next character comes; PENDIN, see termios(3).
    "pendin" : Bool, TERMIOS, Fd => flag!(Local, PENDIN);
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
    /// characters and IUTF8 stay.
    "sane" : Flag, TERMIOS, Fd => Terminal(sane);
    /// Seconds that EIO, met when nobody has the slave open, is not the end; for programs that close and reopen it.
    "sitout-eio" : Timeval, PTY, Offset => store!(pty.sitout_eio, value => Some(value.time()));
    /// Symbolic link to the slave side of the pseudo terminal; removed at the end.
    "symbolic-link" | "link" : Text, PTY, Late => store!(pty.link, value => Some(value.path()));
    /// Delay 0 after a tab; TAB0, see termios(3).
    "tab0" : Flag, TERMIOS, Fd => bits!(Output, TABDLY, TAB0);
    /// Delay 1 after a tab; TAB1, see termios(3).
    "tab1" : Flag, TERMIOS, Fd => bits!(Output, TABDLY, TAB1);
    /// Delay 2 after a tab; TAB2, see termios(3).
    "tab2" : Flag, TERMIOS, Fd => bits!(Output, TABDLY, TAB2);
    /// Tabs of the output become spaces; TAB3, see termios(3).
    "tab3" : Flag, TERMIOS, Fd => bits!(Output, TABDLY, TAB3);
    /// Delay after a tab, 0 to 3; TABDLY, see termios(3).
    "tabdly" : UnsignedInt, TERMIOS, Fd => field!(Output, TABDLY);
    /// Pass bytes through as cfmakeraw(3) has it: no echo, no line editing, no signals, 8 bits.
    "termios-cfmakeraw" | "cfmakeraw" : Flag, TERMIOS, Fd => Terminal(make_raw);
    /// Pass bytes through untouched: every flag cleared, 8 bits, no parity, no echo, each byte at once; the speed
    /// stays. See termios(3).
    "termios-rawer" | "rawer" : Flag, TERMIOS, Fd => Terminal(rawer);
    /// All flags of one word, as `word:flags`: word 0 is c_iflag, 1 c_oflag, 2 c_cflag, 3 c_lflag. See termios(3) and
    /// the numbers in asm-generic/termbits.h.
    "termios-setflags" | "setflags" : IntUnsignedLong, TERMIOS, Fd => Terminal(set_flags);
    /// Make the terminal the controlling terminal of the program or, without one, of this process; TIOCSCTTY, see
    /// ioctl_tty(2). Needs `setsid`.
    "tiocsctty" | "ctty" : Bool, TERMIOS, Late2 => store!(program.ctty, value => value.is_true());
    /// Size of the terminal in characters, as `columns:rows`; TIOCSWINSZ, see ioctl_tty(2). It stays at the end.
    "tiocswinsz" | "winsz" : IntPair, TERMIOS, Fd => store!(pty.size, value => Some(size(value)?));
    /// Processes in the background that write are stopped with SIGTTOU; TOSTOP, see termios(3).
    "tostop" : Bool, TERMIOS, Fd => flag!(Local, TOSTOP);
    /// The character that drops output; Linux does not mind it, as a number; 0 for none. VDISCARD, see termios(3).
    "vdiscard" | "discard" : Byte, TERMIOS, Fd => character!(VDISCARD);
    /// The character that ends the input, as a number; 0 for none. VEOF, see termios(3).
    "veof" | "eof" : Byte, TERMIOS, Fd => character!(VEOF);
    /// The character that ends a line, beside NL, as a number; 0 for none. VEOL, see termios(3).
    "veol" | "eol" : Byte, TERMIOS, Fd => character!(VEOL);
    /// The character that ends a line, too, as a number; 0 for none. VEOL2, see termios(3).
    "veol2" | "eol2" : Byte, TERMIOS, Fd => character!(VEOL2);
    /// The character that erases the one before it, as a number; 0 for none. VERASE, see termios(3).
    "verase" | "erase" : Byte, TERMIOS, Fd => character!(VERASE);
    /// The character that sends SIGINT, as a number; 0 for none. VINTR, see termios(3).
    "vintr" | "intr" : Byte, TERMIOS, Fd => character!(VINTR);
    /// The character that erases the line, as a number; 0 for none. VKILL, see termios(3).
    "vkill" | "kill" : Byte, TERMIOS, Fd => character!(VKILL);
    /// The character that takes its meaning from the next one, as a number; 0 for none. VLNEXT, see termios(3).
    "vlnext" | "lnext" : Byte, TERMIOS, Fd => character!(VLNEXT);
    /// Bytes a read waits for when input does not come in lines; VMIN, see termios(3).
    "vmin" | "min" : Byte, TERMIOS, Fd => character!(VMIN);
    /// The character that sends SIGQUIT, as a number; 0 for none. VQUIT, see termios(3).
    "vquit" | "quit" : Byte, TERMIOS, Fd => character!(VQUIT);
    /// The character that shows the line again, as a number; 0 for none. VREPRINT, see termios(3).
    "vreprint" | "reprint" | "rprnt" : Byte, TERMIOS, Fd => character!(VREPRINT);
    /// The character that starts output again, as a number; 0 for none. VSTART, see termios(3).
    "vstart" | "start" : Byte, TERMIOS, Fd => character!(VSTART);
    /// The character that stops output, as a number; 0 for none. VSTOP, see termios(3).
    "vstop" | "stop" : Byte, TERMIOS, Fd => character!(VSTOP);
    /// The character that sends SIGTSTP, as a number; 0 for none. VSUSP, see termios(3).
    "vsusp" | "susp" : Byte, TERMIOS, Fd => character!(VSUSP);
    /// The character that switches shells; Linux does not mind it, as a number; 0 for none. VSWTC, see termios(3).
    "vswtc" | "swtc" | "swtch" : Byte, TERMIOS, Fd => character!(VSWTC);
    /// Delay 0 after a vertical tab; VT0, see termios(3).
    "vt0" : Flag, TERMIOS, Fd => bits!(Output, VTDLY, VT0);
    /// Delay 1 after a vertical tab; VT1, see termios(3).
    "vt1" : Flag, TERMIOS, Fd => bits!(Output, VTDLY, VT1);
    /// Delay after a vertical tab, 0 or 1; VTDLY, see termios(3).
    "vtdly" : Bool, TERMIOS, Fd => field!(Output, VTDLY);
    /// Tenths of a second a read waits for more bytes when input does not come in lines; VTIME, see termios(3).
    "vtime" | "time" : Byte, TERMIOS, Fd => character!(VTIME);
    /// The character that erases the word before it, as a number; 0 for none. VWERASE, see termios(3).
    "vwerase" | "werase" : Byte, TERMIOS, Fd => character!(VWERASE);
    /// Upper case is written and read with a backslash; XCASE, see termios(3).
    "xcase" : Bool, TERMIOS, Fd => flag!(Local, XCASE);
    /// Tabs of the output become spaces; XTABS, see termios(3).
    "xtabs" : Flag, TERMIOS, Fd => bits!(Output, TABDLY, XTABS);
    /// 3600 baud.
    "b3600" : Flag, TERMIOS, Specific => Unsupported("Linux has no such speed by name; write ospeed=3600");
    /// 7200 baud.
    "b7200" : Flag, TERMIOS, Specific => Unsupported("Linux has no such speed by name; write ospeed=7200");
    /// 900 baud.
    "b900" : Flag, TERMIOS, Specific => Unsupported("Linux has no such speed by name; write ospeed=900");
    /// The character that sends SIGTSTP once it is read.
    "vdsusp" | "dsusp" : Byte, TERMIOS, Specific => Unsupported("Linux has no such character; `vsusp` is what there is");
}
