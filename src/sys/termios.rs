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
        let code = if baud == 0 { libc::B0 } else { code(baud) };
        self.replace(Word::Control, libc::CIBAUD, code << libc::IBSHIFT);
        self.0.c_ispeed = if baud == 0 { self.0.c_ospeed } else { baud };
    }

    /// Sets the speed of output, in bits a second, and of input where it has none of its own; 0 hangs up.
    pub fn set_output_speed(&mut self, baud: u32) {
        self.replace(Word::Control, libc::CBAUD, code(baud));
        self.0.c_ospeed = baud;
        if self.flags(Word::Control) & libc::CIBAUD == 0 {
            self.0.c_ispeed = baud;
        }
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
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::terminal::{Pair, open_pair};

    /// A pseudo terminal and its settings.
    fn fresh() -> (Pair, Termios) {
        let pair = open_pair().unwrap();
        let settings = Termios::read(pair.slave.as_fd()).unwrap();
        (pair, settings)
    }

    /// Sets what `change` makes of a new terminal's settings, and gives what is read back.
    fn kept(change: impl FnOnce(&mut Termios)) -> Termios {
        let (pair, mut settings) = fresh();
        change(&mut settings);
        settings.write(pair.slave.as_fd()).unwrap();
        Termios::read(pair.slave.as_fd()).unwrap()
    }

    #[test]
    fn any_speed_is_kept() {
        let named = CODES.iter().map(|(baud, _)| *baud);
        for baud in named.chain([12_345, 250_000, 74_880, 10_400, 31_250, 1, u32::MAX]) {
            let kept = kept(|settings| settings.set_speed(baud));
            assert_eq!((kept.input_speed(), kept.output_speed()), (baud, baud));
        }
    }

    #[test]
    fn speeds_with_a_code_are_seen_by_programs_that_know_only_those() {
        let (pair, mut settings) = fresh();
        for (baud, code) in CODES {
            settings.set_speed(baud);
            settings.write(pair.slave.as_fd()).unwrap();
            let old = nix::sys::termios::tcgetattr(&pair.slave).unwrap();
            assert_eq!(nix::sys::termios::cfgetospeed(&old) as speed_t, code, "{baud}");
        }
    }

    #[test]
    fn input_has_the_speed_of_output_or_one_of_its_own() {
        let split = kept(|settings| {
            settings.set_input_speed(75);
            settings.set_output_speed(1200);
        });
        assert_eq!((split.input_speed(), split.output_speed()), (75, 1200));
        let odd = kept(|settings| {
            settings.set_output_speed(115_201);
            settings.set_input_speed(12_345);
        });
        assert_eq!((odd.input_speed(), odd.output_speed()), (12_345, 115_201));
        let one = kept(|settings| {
            settings.set_input_speed(75);
            settings.set_input_speed(0);
            settings.set_output_speed(9600);
        });
        assert_eq!((one.input_speed(), one.output_speed()), (9600, 9600));
        let raised = kept(|settings| {
            settings.set_input_speed(75);
            settings.set_speed(300);
        });
        assert_eq!((raised.input_speed(), raised.output_speed()), (300, 300));
    }

    #[test]
    fn a_speed_is_what_was_asked_for_within_two_percent() {
        assert!(is_near(115_200, 115_200) && is_near(115_200, 115_384) && is_near(0, 0));
        assert!(!is_near(250_000, 115_200) && !is_near(9600, 9800) && !is_near(0, 1) && is_near(u32::MAX, u32::MAX));
    }

    #[test]
    fn every_parity_is_told_from_the_others() {
        let (_pair, mut settings) = fresh();
        let all = [Parity::None, Parity::Odd, Parity::Even, Parity::Mark, Parity::Space];
        for first in all {
            for then in all {
                settings.set_parity(first);
                settings.set_parity(then);
                assert_eq!(settings.parity(), then, "{first:?}");
            }
        }
        // A pseudo terminal keeps how a parity would be made, but has none: pty(4) forces CS8 without PARENB.
        assert_eq!(kept(|settings| settings.set_parity(Parity::Mark)).parity(), Parity::None);
    }

    #[test]
    fn sizes_and_stop_bits_there_are_are_set_and_others_refused() {
        let (_pair, mut settings) = fresh();
        for bits in 5..=8 {
            settings.set_data_bits(bits).unwrap();
            assert_eq!(settings.data_bits(), bits);
        }
        for bits in [0, 4, 9, 255] {
            assert!(settings.set_data_bits(bits).unwrap_err().contains(&bits.to_string()));
            assert_eq!(settings.data_bits(), 8);
        }
        settings.set_stop_bits(StopBits::Two).unwrap();
        assert!(settings.set_stop_bits(StopBits::OneAndHalf).unwrap_err().contains("one and a half"));
        assert_eq!(settings.stop_bits(), StopBits::Two);
        let kept = kept(|settings| settings.set_stop_bits(StopBits::Two).unwrap());
        assert_eq!(kept.stop_bits(), StopBits::Two);
    }

    #[test]
    fn flow_control_is_set_each_way_as_far_as_there_is_one() {
        use FlowControl as Flow;
        let table = [
            ((Flow::None, Flow::None), (Flow::None, Flow::None)),
            ((Flow::XonXoff, Flow::None), (Flow::XonXoff, Flow::None)),
            ((Flow::None, Flow::XonXoff), (Flow::None, Flow::XonXoff)),
            ((Flow::XonXoff, Flow::XonXoff), (Flow::XonXoff, Flow::XonXoff)),
            ((Flow::Hardware, Flow::Hardware), (Flow::Hardware, Flow::Hardware)),
            ((Flow::Hardware, Flow::XonXoff), (Flow::Hardware, Flow::XonXoff)),
            // RTS and CTS serve both ways or none.
            ((Flow::Hardware, Flow::None), (Flow::Hardware, Flow::Hardware)),
            ((Flow::None, Flow::Hardware), (Flow::None, Flow::None)),
        ];
        for ((out, into), expected) in table {
            let kept = kept(|settings| {
                settings.set_flow_out(Flow::Hardware);
                settings.set_flow_in(Flow::XonXoff);
                settings.set_flow_out(out);
                settings.set_flow_in(into);
            });
            assert_eq!((kept.flow_out(), kept.flow_in()), expected, "{out:?} {into:?}");
        }
    }

    #[test]
    fn a_change_is_made_as_far_as_it_can_be_and_read_back() {
        let (_pair, mut settings) = fresh();
        let state = State {
            baud: 12_345,
            data_bits: 7,
            parity: Parity::Space,
            stop_bits: StopBits::Two,
            flow_out: FlowControl::Hardware,
            flow_in: FlowControl::Hardware,
            dtr: false,
            brk: true,
            ..State::default()
        };
        settings.change(&Change::to(&state));
        assert_eq!(settings.state(state), state);
        settings.change(&Change {
            data_bits: Some(9),
            stop_bits: Some(StopBits::OneAndHalf),
            parity: Some(Parity::Odd),
            ..Change::default()
        });
        assert_eq!(settings.state(state), State { parity: Parity::Odd, ..state });
    }

    #[test]
    fn raw_is_what_cfmakeraw_makes_of_it() {
        use nix::sys::termios::{ControlFlags, InputFlags, LocalFlags, OutputFlags, cfmakeraw, tcgetattr};
        let (pair, mut settings) = fresh();
        let mut expected = tcgetattr(&pair.slave).unwrap();
        expected.input_flags = InputFlags::all();
        expected.output_flags = OutputFlags::all();
        expected.control_flags = ControlFlags::all();
        expected.local_flags = LocalFlags::all();
        settings.replace(Word::Input, !0, InputFlags::all().bits());
        settings.replace(Word::Output, !0, OutputFlags::all().bits());
        settings.replace(Word::Control, !0, ControlFlags::all().bits());
        settings.replace(Word::Local, !0, LocalFlags::all().bits());
        settings.set_character(libc::VMIN, 9);
        cfmakeraw(&mut expected);
        settings.make_raw();
        assert_eq!(settings.flags(Word::Input), expected.input_flags.bits());
        assert_eq!(settings.flags(Word::Output), expected.output_flags.bits());
        assert_eq!(settings.flags(Word::Control), expected.control_flags.bits());
        assert_eq!(settings.flags(Word::Local), expected.local_flags.bits());
        assert_eq!((settings.character(libc::VMIN), settings.character(libc::VTIME)), (1, 0));
    }

    #[test]
    fn what_is_no_terminal_has_no_settings() {
        let (reader, _writer) = io::pipe().unwrap();
        assert_eq!(Termios::read(reader.as_fd()).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
        let pair = open_pair().unwrap();
        let settings = Termios::read(pair.slave.as_fd()).unwrap();
        drop(pair.master);
        assert_eq!(settings.write(pair.slave.as_fd()).unwrap_err().raw_os_error(), Some(libc::EIO));
    }
}
