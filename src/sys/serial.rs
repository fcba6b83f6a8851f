//! What a serial port has that other terminals have not: modem lines, break, counters of faults, latency,
//! RS-485; `ioctl_tty(2)`, linux/serial.h and Documentation/driver-api/serial of the kernel.
//!
//! Each of these is up to the driver: [`is_missing`] tells a driver that has not got it from a port that failed.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;

use super::alarm::Alarm;
use crate::line::{Faults, Modem};

/// `ASYNC_LOW_LATENCY` of `linux/tty_flags.h`: what was received is handed on at once.
const LOW_LATENCY: libc::c_int = 1 << 13;
/// linux/serial.h: the RS-485 mode is on.
const RS485_ENABLED: u32 = 1;
/// linux/serial.h: RTS is active while sending.
const RS485_RTS_ON_SEND: u32 = 1 << 1;
/// linux/serial.h: RTS is active when nothing is sent.
const RS485_RTS_AFTER_SEND: u32 = 1 << 2;
/// linux/serial.h: what is sent is received, too.
const RS485_RX_DURING_TX: u32 = 1 << 4;
/// `ENOIOCTLCMD` of the kernel, which some drivers let out.
const NO_IOCTL: i32 = 515;

/// Whether an error only says that the driver has no such thing.
pub fn is_missing(error: &io::Error) -> bool {
    let numbers = [libc::ENOTTY, libc::EINVAL, libc::ENOSYS, libc::EOPNOTSUPP, NO_IOCTL];
    error.raw_os_error().is_some_and(|number| numbers.contains(&number))
}

/// Whether an error says that the port is no longer there: unplugged, or hung up.
pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::ENODEV | libc::ENXIO))
}

/// The lines of a port, both those we drive and those the far end drives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lines(libc::c_int);

impl Lines {
    /// `TIOCMGET`.
    pub fn read(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let mut bits: libc::c_int = 0;
        // SAFETY: TIOCMGET writes one int through the pointer, which lives as long as the call.
        Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCMGET, &raw mut bits) })?;
        Ok(Self(bits))
    }

    /// `TIOCMSET`: DTR and RTS change together.
    pub fn write(self, fd: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: TIOCMSET reads one int through the pointer, which lives as long as the call.
        Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCMSET, &raw const self.0) })?;
        Ok(())
    }

    fn has(self, bit: libc::c_int) -> bool {
        self.0 & bit != 0
    }

    /// Data terminal ready, driven by us.
    pub fn dtr(self) -> bool {
        self.has(libc::TIOCM_DTR)
    }

    /// Request to send, driven by us.
    pub fn rts(self) -> bool {
        self.has(libc::TIOCM_RTS)
    }

    /// What the far end drives.
    pub fn modem(self) -> Modem {
        Modem {
            cts: self.has(libc::TIOCM_CTS),
            dsr: self.has(libc::TIOCM_DSR),
            ri: self.has(libc::TIOCM_RNG),
            dcd: self.has(libc::TIOCM_CAR),
        }
    }

    /// The same with other levels of what we drive; `None` leaves one as it is.
    #[must_use]
    pub fn driving(self, dtr: Option<bool>, rts: Option<bool>) -> Self {
        let put = |bits: libc::c_int, bit: libc::c_int, on: Option<bool>| match on {
            Some(true) => bits | bit,
            Some(false) => bits & !bit,
            None => bits,
        };
        Self(put(put(self.0, libc::TIOCM_DTR, dtr), libc::TIOCM_RTS, rts))
    }
}

/// Waits until the far end changes a line: `TIOCMIWAIT`.
///
/// # Errors
/// EINTR when an [`Alarm`] of this thread came first; see [`is_missing`] and [`is_gone`].
pub fn wait_for_change(fd: BorrowedFd<'_>) -> io::Result<()> {
    let any = libc::TIOCM_CTS | libc::TIOCM_DSR | libc::TIOCM_RNG | libc::TIOCM_CAR;
    // SAFETY: TIOCMIWAIT takes the lines as a number, no pointer.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCMIWAIT, any) })?;
    Ok(())
}

/// How often things have happened since the port came up: `struct serial_icounter_struct` of linux/serial.h.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    pub(crate) cts: libc::c_int,
    dsr: libc::c_int,
    ring: libc::c_int,
    dcd: libc::c_int,
    received: libc::c_int,
    sent: libc::c_int,
    framing: libc::c_int,
    overrun: libc::c_int,
    parity: libc::c_int,
    pub(crate) brk: libc::c_int,
    buffer_overrun: libc::c_int,
    reserved: [libc::c_int; 9],
}

impl Counts {
    /// `TIOCGICOUNT`.
    pub fn read(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let mut counts = Self::default();
        // SAFETY: TIOCGICOUNT fills one serial_icounter_struct through the pointer, which lives as long as the
        // call; `Counts` has its layout.
        Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGICOUNT, &raw mut counts) })?;
        Ok(counts)
    }

    /// The same with a change.
    #[cfg(test)]
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Which lines the far end has changed since `before`, even if they changed back.
    pub fn moved_since(&self, before: &Self) -> Modem {
        Modem {
            cts: self.cts != before.cts,
            dsr: self.dsr != before.dsr,
            ri: self.ring != before.ring,
            dcd: self.dcd != before.dcd,
        }
    }

    /// What went wrong since `before`.
    pub fn faults_since(&self, before: &Self) -> Faults {
        Faults {
            overrun: self.overrun != before.overrun || self.buffer_overrun != before.buffer_overrun,
            parity: self.parity != before.parity,
            framing: self.framing != before.framing,
            brk: self.brk != before.brk,
        }
    }
}

/// Begins a break, once what was written is sent: the call waits for that, but no longer than `limit`, so it
/// must not be made on the runtime's thread. `TIOCSBRK`.
///
/// # Errors
/// EINTR when the limit came first: there is no break then.
pub fn begin_break(fd: BorrowedFd<'_>, limit: Duration) -> io::Result<()> {
    let _alarm = Alarm::every(limit)?;
    // SAFETY: TIOCSBRK takes no argument.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSBRK) })?;
    Ok(())
}

/// Ends a break. `TIOCCBRK`.
pub fn end_break(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: TIOCCBRK takes no argument.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCCBRK) })?;
    Ok(())
}

/// Drops what was received and not read, what was written and not sent, or both: tcflush(3).
pub fn purge(fd: BorrowedFd<'_>, input: bool, output: bool) -> io::Result<()> {
    use nix::sys::termios::{FlushArg, tcflush};
    let what = match (input, output) {
        (true, true) => FlushArg::TCIOFLUSH,
        (true, false) => FlushArg::TCIFLUSH,
        (false, true) => FlushArg::TCOFLUSH,
        (false, false) => return Ok(()),
    };
    Ok(tcflush(fd, what)?)
}

/// Allows nobody else to open the port (`TIOCEXCL`), or allows it again. Root may open it all the same.
pub fn set_exclusive(fd: BorrowedFd<'_>, on: bool) -> io::Result<()> {
    let request = if on { libc::TIOCEXCL } else { libc::TIOCNXCL };
    // SAFETY: neither request takes an argument.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), request) })?;
    Ok(())
}

/// Whether somebody has said that nobody else may open the port: `TIOCGEXCL`.
pub fn is_exclusive(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let mut on: libc::c_int = 0;
    // SAFETY: TIOCGEXCL writes one int through the pointer, which lives as long as the call.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGEXCL, &raw mut on) })?;
    Ok(on != 0)
}

/// `struct serial_struct` of linux/serial.h.
#[repr(C)]
#[derive(Clone, Copy)]
struct Hardware {
    kind: libc::c_int,
    line: libc::c_int,
    port: libc::c_uint,
    irq: libc::c_int,
    flags: libc::c_int,
    xmit_fifo_size: libc::c_int,
    custom_divisor: libc::c_int,
    baud_base: libc::c_int,
    close_delay: libc::c_ushort,
    io_type: libc::c_char,
    reserved: [libc::c_char; 1],
    hub6: libc::c_int,
    closing_wait: libc::c_ushort,
    closing_wait2: libc::c_ushort,
    iomem_base: *mut libc::c_uchar,
    iomem_reg_shift: libc::c_ushort,
    port_high: libc::c_uint,
    iomap_base: libc::c_ulong,
}

fn hardware(fd: BorrowedFd<'_>) -> io::Result<Hardware> {
    let mut hardware = std::mem::MaybeUninit::<Hardware>::zeroed();
    // SAFETY: TIOCGSERIAL fills one serial_struct through the pointer, which lives as long as the call;
    // `Hardware` has its layout.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGSERIAL, hardware.as_mut_ptr()) })?;
    // SAFETY: all zeros is a value of it, and the call has filled in the rest.
    Ok(unsafe { hardware.assume_init() })
}

/// Whether what was received is handed on at once: `ASYNC_LOW_LATENCY` of `TIOCGSERIAL`.
pub fn low_latency(fd: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(hardware(fd)?.flags & LOW_LATENCY != 0)
}

/// Has what was received handed on at once, or not: `ASYNC_LOW_LATENCY` of `TIOCSSERIAL`. A USB adapter then
/// waits 1 ms instead of 16 for more bytes. Gives what the flag is afterwards: drivers may ignore it.
pub fn set_low_latency(fd: BorrowedFd<'_>, on: bool) -> io::Result<bool> {
    let mut hardware = hardware(fd)?;
    hardware.flags = if on { hardware.flags | LOW_LATENCY } else { hardware.flags & !LOW_LATENCY };
    // SAFETY: TIOCSSERIAL reads one serial_struct through the pointer, which lives as long as the call.
    Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSSERIAL, &raw const hardware) })?;
    low_latency(fd)
}

/// How a port drives the sender of an RS-485 bus: `struct serial_rs485` of linux/serial.h.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bus {
    flags: u32,
    before: u32,
    after: u32,
    rest: [u32; 5],
}

impl Bus {
    /// The mode is on: RTS has the level `rts_on_send` while sending, `rts_after_send` otherwise, with pauses
    /// around the bytes, in milliseconds.
    #[must_use]
    pub fn new(rts_on_send: bool, rts_after_send: bool, echo: bool, before: u32, after: u32) -> Self {
        let flag = |on: bool, flag: u32| if on { flag } else { 0 };
        let flags = RS485_ENABLED
            | flag(rts_on_send, RS485_RTS_ON_SEND)
            | flag(rts_after_send, RS485_RTS_AFTER_SEND)
            | flag(echo, RS485_RX_DURING_TX);
        Self { flags, before, after, rest: [0; 5] }
    }

    /// Whether the mode is on.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.flags & RS485_ENABLED != 0
    }

    /// `TIOCGRS485`. Some adapters mind being asked; so this is for ports that are to be set.
    pub fn read(fd: BorrowedFd<'_>) -> io::Result<Self> {
        let mut bus = Self::default();
        // SAFETY: TIOCGRS485 fills one serial_rs485 through the pointer, which lives as long as the call.
        Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGRS485, &raw mut bus) })?;
        Ok(bus)
    }

    /// `TIOCSRS485`; gives what the driver made of it.
    pub fn write(mut self, fd: BorrowedFd<'_>) -> io::Result<Self> {
        // SAFETY: TIOCSRS485 reads and writes one serial_rs485 through the pointer, which lives as long as the
        // call.
        Errno::result(unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCSRS485, &raw mut self) })?;
        Ok(self)
    }
}

/// Whether the terminal has no wire at its end: a pseudo terminal, a virtual console; by the major numbers of
/// Documentation/admin-guide/devices.txt.
pub fn is_without_wire(fd: BorrowedFd<'_>) -> io::Result<bool> {
    let number = nix::sys::stat::fstat(fd)?.st_rdev;
    let (major, minor) = (nix::sys::stat::major(number), nix::sys::stat::minor(number));
    Ok(matches!((major, minor), (3 | 136..=143, _) | (4 | 5, 0..64)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::terminal::open_pair;

    #[test]
    fn the_structures_have_the_kernels_sizes() {
        assert_eq!(size_of::<Counts>(), 80);
        assert_eq!(size_of::<Bus>(), 32);
        assert_eq!(size_of::<Hardware>(), if cfg!(target_pointer_width = "64") { 72 } else { 60 });
    }

    #[test]
    fn a_pseudo_terminal_says_that_it_has_none_of_it() {
        let pair = open_pair().unwrap();
        let fd = pair.slave.as_fd();
        let refusals = [
            Lines::read(fd).map(drop).unwrap_err(),
            Lines::default().write(fd).unwrap_err(),
            Counts::read(fd).map(drop).unwrap_err(),
            low_latency(fd).map(drop).unwrap_err(),
            Bus::read(fd).map(drop).unwrap_err(),
            wait_for_change(fd).unwrap_err(),
        ];
        for refusal in refusals {
            assert!(is_missing(&refusal) && !is_gone(&refusal), "{refusal}");
        }
        assert!(is_without_wire(fd).unwrap());
        drop(pair.master);
        assert!(is_gone(&Lines::read(fd).map(drop).unwrap_err()));
    }

    #[test]
    fn a_port_can_be_made_exclusive_and_shared_again() {
        let pair = open_pair().unwrap();
        for on in [true, false] {
            set_exclusive(pair.slave.as_fd(), on).unwrap();
            assert_eq!(is_exclusive(pair.slave.as_fd()).unwrap(), on);
        }
    }

    #[test]
    fn lines_are_driven_together_and_the_others_stay() {
        let lines = Lines(libc::TIOCM_CTS | libc::TIOCM_DTR);
        let driven = lines.driving(Some(false), Some(true));
        assert_eq!((driven.dtr(), driven.rts(), driven.modem().cts, driven.modem().dsr), (false, true, true, false));
        assert_eq!(lines.driving(None, None), lines);
    }

    #[test]
    fn counters_tell_what_happened_in_between() {
        let before = Counts { cts: 3, parity: 1, ..Counts::default() };
        let after = Counts { cts: 5, dcd: 1, parity: 1, brk: 1, buffer_overrun: 2, ..Counts::default() };
        assert_eq!(after.moved_since(&before), Modem { cts: true, dcd: true, ..Modem::default() });
        assert_eq!(after.faults_since(&before), Faults { overrun: true, brk: true, ..Faults::default() });
        assert_eq!(after.faults_since(&after), Faults::default());
    }

    #[test]
    fn a_break_of_a_pseudo_terminal_is_begun_at_once() {
        let pair = open_pair().unwrap();
        begin_break(pair.slave.as_fd(), Duration::from_secs(5)).unwrap();
        end_break(pair.slave.as_fd()).unwrap();
    }
}
