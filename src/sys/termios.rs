//! The settings of a terminal as the kernel has them: `struct termios2`, where a speed is any number of bits a
//! second and input may have another one than output; termios(3) and `TCGETS2` of `ioctl_tty(2)`.
//!
//! What is asked for and what a driver does are two things: tcsetattr(3) succeeds when it did any of it. So what
//! counts is read back.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use libc::{speed_t, tcflag_t};
use nix::errno::Errno;

use crate::line::{Change, FlowControl, Parity, State, StopBits};

#[cfg(any(not(target_os = "linux"), target_arch = "powerpc", target_arch = "powerpc64"))]
compile_error!("terminals are set with termios2, which this system has not; see `ioctl_tty(2)`, TCGETS2");

/// The speeds that have a code of their own, see termios(3). All others are `BOTHER`, which programs that know
/// the old structure only cannot read.
const CODES: [(u32, speed_t); 31] = [
    (0, libc::B0),
    (50, libc::B50),
    (75, libc::B75),
    (110, libc::B110),
    (134, libc::B134),
    (150, libc::B150),
    (200, libc::B200),
    (300, libc::B300),
    (600, libc::B600),
    (1200, libc::B1200),
    (1800, libc::B1800),
    (2400, libc::B2400),
    (4800, libc::B4800),
    (9600, libc::B9600),
    (19_200, libc::B19200),
    (38_400, libc::B38400),
    (57_600, libc::B57600),
    (115_200, libc::B115200),
    (230_400, libc::B230400),
    (460_800, libc::B460800),
    (500_000, libc::B500000),
    (576_000, libc::B576000),
    (921_600, libc::B921600),
    (1_000_000, libc::B1000000),
    (1_152_000, libc::B1152000),
    (1_500_000, libc::B1500000),
    (2_000_000, libc::B2000000),
    (2_500_000, libc::B2500000),
    (3_000_000, libc::B3000000),
    (3_500_000, libc::B3500000),
    (4_000_000, libc::B4000000),
];

/// One of the four words of flags of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// `c_iflag`.
    Input,
    /// `c_oflag`.
    Output,
    /// `c_cflag`.
    Control,
    /// `c_lflag`.
    Local,
}

/// The settings of a terminal.
#[derive(Debug, Clone, Copy)]
pub struct Termios(libc::termios2);

impl Default for Termios {
    /// Those of no terminal: nothing is set, not even a speed.
    fn default() -> Self {
        // SAFETY: all fields are integers and arrays of integers.
        Self(unsafe { std::mem::zeroed() })
    }
}

impl Termios {
    /// What is in force.
    ///
    /// # Errors
    /// ENOTTY where there is no terminal; EIO where it is gone.
    pub fn read(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let mut settings = std::mem::MaybeUninit::uninit();
        // SAFETY: TCGETS2 fills one termios2 through the pointer, which lives as long as the call.
        Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TCGETS2, settings.as_mut_ptr()) })?;
        // SAFETY: the call succeeded, so all of it has been written.
        Ok(Self(unsafe { settings.assume_init() }))
    }

    /// Sets all of it at once, without waiting for the output to drain: `TCSANOW`. What the driver cannot do it
    /// leaves as it was, without an error: see [`Termios::read`].
    ///
    /// # Errors
    /// ENOTTY where there is no terminal; EIO where it is gone.
    pub fn write(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: TCSETS2 reads one termios2 through the pointer, which lives as long as the call.
        Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TCSETS2, &raw const self.0) })?;
        Ok(())
    }

    /// One word of flags.
    #[must_use]
    pub fn flags(&self, word: Word) -> tcflag_t {
        match word {
            Word::Input => self.0.c_iflag,
            Word::Output => self.0.c_oflag,
            Word::Control => self.0.c_cflag,
            Word::Local => self.0.c_lflag,
        }
    }

    /// Whether all of these flags are set.
    #[must_use]
    pub fn has(&self, word: Word, flags: tcflag_t) -> bool {
        self.flags(word) & flags == flags
    }

    /// Sets or clears these flags.
    pub fn set(&mut self, word: Word, flags: tcflag_t, on: bool) {
        self.replace(word, flags, if on { flags } else { 0 });
    }

    /// Puts `bits` where `mask` has ones.
    pub fn replace(&mut self, word: Word, mask: tcflag_t, bits: tcflag_t) {
        let flags = match word {
            Word::Input => &mut self.0.c_iflag,
            Word::Output => &mut self.0.c_oflag,
            Word::Control => &mut self.0.c_cflag,
            Word::Local => &mut self.0.c_lflag,
        };
        *flags = (*flags & !mask) | (bits & mask);
        if word == Word::Control {
            self.follow_codes();
        }
    }

    /// A control character or a limit of reading, by its place (`VEOF`, `VMIN`); 0 where there is none.
    #[must_use]
    pub fn character(&self, place: usize) -> u8 {
        self.0.c_cc.get(place).copied().unwrap_or_default()
    }

    /// Sets a control character or a limit of reading; 0 is none.
    pub fn set_character(&mut self, place: usize, byte: u8) {
        if let Some(character) = self.0.c_cc.get_mut(place) {
            *character = byte;
        }
    }

    /// Bytes pass through untouched: no echo, no lines, no signals, 8 bits, no parity; cfmakeraw(3). Each byte is
    /// given to the reader as soon as it has come.
    pub fn make_raw(&mut self) {
        let input = libc::IGNBRK | libc::BRKINT | libc::PARMRK | libc::ISTRIP;
        self.set(Word::Input, input | libc::INLCR | libc::IGNCR | libc::ICRNL | libc::IXON, false);
        self.set(Word::Output, libc::OPOST, false);
        self.set(Word::Local, libc::ECHO | libc::ECHONL | libc::ICANON | libc::ISIG | libc::IEXTEN, false);
        self.replace(Word::Control, libc::CSIZE | libc::PARENB, libc::CS8);
        self.set_character(libc::VMIN, 1);
        self.set_character(libc::VTIME, 0);
    }

    /// Bits a second of input.
    #[must_use]
    pub fn input_speed(&self) -> u32 {
        self.0.c_ispeed
    }

    /// Bits a second of output; 0 hangs up.
    #[must_use]
    pub fn output_speed(&self) -> u32 {
        self.0.c_ospeed
    }

    /// Sets the speed both ways, in bits a second; 0 hangs up: DTR and RTS go down.
    pub fn set_speed(&mut self, baud: u32) {
        self.set_input_speed(0);
        self.set_output_speed(baud);
    }

    /// Sets the speed of input, in bits a second; 0 is that of output, whatever it becomes. Few drivers have two
    /// speeds: the others take that of output for both.
    pub fn set_input_speed(&mut self, baud: u32) {
        self.0.c_ispeed = baud;
        self.replace(Word::Control, libc::CIBAUD, code(baud) << libc::IBSHIFT);
    }

    /// Sets the speed of output, in bits a second, and of input where it has none of its own; 0 hangs up.
    pub fn set_output_speed(&mut self, baud: u32) {
        self.0.c_ospeed = baud;
        self.replace(Word::Control, libc::CBAUD, code(baud));
    }

    /// Makes the speeds in bits a second what their codes among the flags say, as the kernel will.
    fn follow_codes(&mut self) {
        let named = |code| CODES.iter().find(|(_, other)| *other == code).map(|(baud, _)| *baud);
        if let Some(baud) = named(self.0.c_cflag & libc::CBAUD) {
            self.0.c_ospeed = baud;
        }
        self.0.c_ispeed = match (self.0.c_cflag & libc::CIBAUD) >> libc::IBSHIFT {
            0 => self.0.c_ospeed,
            code => named(code).unwrap_or(self.0.c_ispeed),
        };
    }

    /// Bits of a character, 5 to 8, without parity.
    #[must_use]
    pub fn data_bits(&self) -> u8 {
        match self.flags(Word::Control) & libc::CSIZE {
            libc::CS5 => 5,
            libc::CS6 => 6,
            libc::CS7 => 7,
            _ => 8,
        }
    }

    /// Sets the bits of a character.
    ///
    /// # Errors
    /// Says which there are.
    pub fn set_data_bits(&mut self, bits: u8) -> Result<(), String> {
        let size = match bits {
            5 => libc::CS5,
            6 => libc::CS6,
            7 => libc::CS7,
            8 => libc::CS8,
            _ => return Err(format!("a character of a serial line has 5 to 8 bits, not {bits}")),
        };
        self.replace(Word::Control, libc::CSIZE, size);
        Ok(())
    }

    /// The parity bit that is sent and expected.
    #[must_use]
    pub fn parity(&self) -> Parity {
        let flags = self.flags(Word::Control);
        match (flags & libc::PARENB != 0, flags & libc::PARODD != 0, flags & libc::CMSPAR != 0) {
            (false, ..) => Parity::None,
            (true, false, false) => Parity::Even,
            (true, true, false) => Parity::Odd,
            (true, false, true) => Parity::Space,
            (true, true, true) => Parity::Mark,
        }
    }

    /// Sets the parity bit. What comes is checked only with `INPCK`, see termios(3).
    pub fn set_parity(&mut self, parity: Parity) {
        let bits = match parity {
            Parity::None => 0,
            Parity::Even => libc::PARENB,
            Parity::Odd => libc::PARENB | libc::PARODD,
            Parity::Space => libc::PARENB | libc::CMSPAR,
            Parity::Mark => libc::PARENB | libc::PARODD | libc::CMSPAR,
        };
        self.replace(Word::Control, libc::PARENB | libc::PARODD | libc::CMSPAR, bits);
    }

    /// The stop bits: one or two.
    #[must_use]
    pub fn stop_bits(&self) -> StopBits {
        if self.has(Word::Control, libc::CSTOPB) { StopBits::Two } else { StopBits::One }
    }

    /// Sets the stop bits.
    ///
    /// # Errors
    /// One and a half cannot be had: `CSTOPB` is two (though many UARTs make it one and a half of 5 data bits).
    pub fn set_stop_bits(&mut self, bits: StopBits) -> Result<(), String> {
        let two = match bits {
            StopBits::One => false,
            StopBits::Two => true,
            StopBits::OneAndHalf => {
                return Err("Linux has no setting for one and a half stop bits; take 1 or 2".to_owned());
            }
        };
        self.set(Word::Control, libc::CSTOPB, two);
        Ok(())
    }

    /// How the far end makes us pause.
    #[must_use]
    pub fn flow_out(&self) -> FlowControl {
        self.flow(libc::IXON)
    }

    /// How we make the far end pause.
    #[must_use]
    pub fn flow_in(&self) -> FlowControl {
        self.flow(libc::IXOFF)
    }

    fn flow(&self, characters: tcflag_t) -> FlowControl {
        if self.has(Word::Input, characters) {
            FlowControl::XonXoff
        } else if self.has(Word::Control, libc::CRTSCTS) {
            FlowControl::Hardware
        } else {
            FlowControl::None
        }
    }

    /// Sets how the far end makes us pause. RTS and CTS go together: `Hardware` serves both ways, and anything
    /// else ends it both ways.
    pub fn set_flow_out(&mut self, flow: FlowControl) {
        self.set(Word::Control, libc::CRTSCTS, flow == FlowControl::Hardware);
        self.set(Word::Input, libc::IXON, flow == FlowControl::XonXoff);
    }

    /// Sets how we make the far end pause: with XON and XOFF or without. Whether RTS does it is up to
    /// [`Termios::set_flow_out`], since Linux has no setting for one way only.
    pub fn set_flow_in(&mut self, flow: FlowControl) {
        self.set(Word::Input, libc::IXOFF, flow == FlowControl::XonXoff);
    }

    /// Makes what the change says of settings, as far as Linux has them: the rest stays. Signals, break and
    /// purges are not settings.
    pub fn change(&mut self, change: &Change) {
        if let Some(baud) = change.baud {
            self.set_speed(baud);
        }
        // What cannot be had stays as it is, and is found by whoever reads it back.
        let _ = change.data_bits.map(|bits| self.set_data_bits(bits));
        let _ = change.stop_bits.map(|bits| self.set_stop_bits(bits));
        if let Some(parity) = change.parity {
            self.set_parity(parity);
        }
        if let Some(flow) = change.flow_out {
            self.set_flow_out(flow);
        }
        if let Some(flow) = change.flow_in {
            self.set_flow_in(flow);
        }
    }

    /// `state` with the settings of this terminal; signals and break stay.
    #[must_use]
    pub fn state(&self, state: State) -> State {
        State {
            baud: self.output_speed(),
            data_bits: self.data_bits(),
            parity: self.parity(),
            stop_bits: self.stop_bits(),
            flow_out: self.flow_out(),
            flow_in: self.flow_in(),
            ..state
        }
    }
}

/// The code of a speed.
fn code(baud: u32) -> tcflag_t {
    CODES.iter().find(|(speed, _)| *speed == baud).map_or(libc::BOTHER, |(_, code)| *code)
}

/// Whether a driver that was asked for one speed and keeps the other has done what was asked for: a divisor
/// rarely fits exactly, and the kernel itself takes 2 % for the same.
#[must_use]
pub fn is_near(asked: u32, kept: u32) -> bool {
    asked.abs_diff(kept) <= asked / 50
}

#[cfg(test)]
mod tests;
