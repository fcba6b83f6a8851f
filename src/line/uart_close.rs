//! The end of a port: it is left as it was found, and closing it never blocks.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::uart::Uart;
use crate::log::Log;
use crate::sys;
use crate::sys::serial::{self, Bus, Lines};
use crate::sys::termios::{Termios, Word};
use crate::warning;

/// Leaves a port as it was found when it is dropped, and lets go of it.
pub struct Closing {
    uart: Uart,
    fd: OwnedFd,
    name: String,
    log: Log,
    settings: Termios,
    /// The settings were changed by us; those changed through the line are brought back anyway.
    was_set: bool,
    low_latency: Option<bool>,
    bus: Option<Bus>,
    is_exclusive: bool,
    dtr: Option<bool>,
    rts: Option<bool>,
}

impl Closing {
    /// Notes what there is now; `name` is for messages.
    ///
    /// # Errors
    /// ENOTTY when it is no terminal.
    pub fn new(uart: &Uart, fd: BorrowedFd<'_>, name: String, log: Log) -> io::Result<Self> {
        Ok(Self {
            uart: uart.clone(),
            fd: fd.try_clone_to_owned()?,
            name,
            log,
            settings: Termios::read(fd)?,
            was_set: false,
            low_latency: None,
            bus: None,
            is_exclusive: false,
            dtr: None,
            rts: None,
        })
    }

    /// The settings are going to be changed.
    pub fn set(&mut self) {
        self.was_set = true;
    }

    /// The mode of the driver was this.
    pub fn found_low_latency(&mut self, on: bool) {
        self.low_latency = Some(on);
    }

    /// The mode of the bus was this.
    pub fn found_bus(&mut self, bus: Bus) {
        self.bus = Some(bus);
    }

    /// The port was locked by us.
    pub fn locked(&mut self) {
        self.is_exclusive = true;
    }

    /// What the lines we drive are to be left as.
    pub fn drive(&mut self, dtr: Option<bool>, rts: Option<bool>) {
        (self.dtr, self.rts) = (dtr, rts);
    }

    /// The settings as they were found, but for `HUPCL`: the kernel looks at it in closing, so that it cannot be
    /// brought back without its effect, DTR and RTS going down.
    fn settings_back(&self) -> io::Result<()> {
        let now = Termios::read(self.fd.as_fd())?;
        let mut settings = self.settings;
        settings.set(Word::Control, libc::HUPCL, now.has(Word::Control, libc::HUPCL));
        settings.write(self.fd.as_fd())
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let fd = self.fd.as_fd();
        let unsent = sys::io::unsent(fd).unwrap_or(0);
        if unsent > 0 {
            warning!(self.log, "{}: {unsent} bytes are dropped that were written and not sent", self.name);
            // close(2) would wait for them, for half a minute: closing_wait of setserial(8).
            let _ = serial::purge(fd, false, true);
        }
        self.uart.close();
        // What follows are attempts: a port that was unplugged has nothing to be brought back.
        if self.was_set || self.uart.was_changed() {
            let _ = self.settings_back();
        }
        if let Some(on) = self.low_latency {
            let _ = serial::set_low_latency(fd, on);
        }
        if let Some(bus) = self.bus {
            let _ = bus.write(fd);
        }
        if self.dtr.is_some() || self.rts.is_some() {
            let _ = Lines::read(fd).and_then(|lines| lines.driving(self.dtr, self.rts).write(fd));
        }
        if self.is_exclusive {
            let _ = serial::set_exclusive(fd, false);
            sys::lock::unlock(fd);
        }
    }
}
