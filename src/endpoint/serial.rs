//! SERIAL: a serial port, set up for passing bytes through, exclusive, and left as it was found.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::{BoxFuture, Connect, Context, Direction, Kind, Opener, Request, file, terminal};
use crate::channel::Channel;
use crate::error::{Error, Phase, Result};
use crate::line::{Change, Closing, Line as _, State, StopBits, Uart};
use crate::log::Log;
use crate::option::{
    BusSettings, DescriptorMoment, Groups, LockApi, LockRequest, Options, ReadBreak, Reset, SerialSettings,
};
use crate::serial::{Selector, System};
use crate::sys;
use crate::sys::serial::Bus;
use crate::sys::termios::{Termios, Word, is_near};

pub(super) static KINDS: &[Kind] = &[Kind {
    name: "SERIAL",
    aliases: &[],
    usage: ":<device>",
    params: (1, usize::MAX),
    groups: Groups::FD.and(Groups::CHR).and(Groups::TERMIOS).and(Groups::SERIAL).and(Groups::UART).and(Groups::RETRY),
    direction: Direction::Both,
    doc: "A serial port: 115200 baud, 8N1, raw, nobody else may open it, modem lines are not waited for, and all is \
          left as it was found. The device is a path, a name of /dev or /dev/serial, or an adapter on USB by what it \
          says of itself: `usb:10c4:ea60`, `usb:vid=10c4:pid=ea60:serial=0001`, also with `product`, `manufacturer`, \
          `interface` and `location`; `ferrule ports` shows them. An adapter that is unplugged is an error, ENODEV.",
    plan,
}];

fn plan(request: &Request<'_>) -> Result<Opener> {
    let params = &request.spec.params;
    // The parts of a name with colons: of an adapter, or of a link below /dev/serial/by-path.
    let name = params.iter().map(|word| word.bytes.as_slice()).collect::<Vec<_>>().join(&b':');
    let selector = Selector::parse(&name).map_err(|reason| {
        let error = Error::text(format!("SERIAL: {reason}")).hint("write a path, or usb:vid=10c4:pid=ea60:serial=0001");
        match (params.first(), params.last()) {
            (Some(first), Some(last)) => error.span(first.span.start..last.span.end),
            _ => error,
        }
    })?;
    if request.options.settings.serial.stop == Some(StopBits::OneAndHalf) {
        return Err(Error::text("option stop cannot be 1.5 here: Linux has no such setting").hint("take 1 or 2"));
    }
    Ok(Opener::Connect(Arc::new(Serial {
        selector,
        system: System::default(),
        direction: request.direction,
        options: Arc::clone(&request.options),
    })))
}

struct Serial {
    selector: Selector,
    system: System,
    direction: Direction,
    options: Arc<Options>,
}

impl Connect for Serial {
    fn connect<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        // Boxed twice rather than once: opening a port is rare, and larger than most.
        Box::pin(async move { Box::pin(self.open(context)).await })
    }

    fn appears_at(&self) -> Option<&Path> {
        match &self.selector {
            Selector::Named(path) if path.is_absolute() => Some(path),
            // Whatever is new there may be the port.
            Selector::Named(_) | Selector::Usb(_) => Some(Path::new("/dev")),
        }
    }
}

impl Serial {
    async fn open(&self, context: &Context) -> Result<Channel> {
        let path = self.selector.resolve(&self.system)?;
        let fd = open_device(&path, self.direction).map_err(|error| self.refused(&path, error))?;
        let failed = |error| self.refused(&path, error);
        let uart = Uart::new(fd.as_fd()).map_err(failed)?;
        let name = path.display().to_string();
        let mut closing = Closing::new(&uart, fd.as_fd(), name.clone(), context.log.clone()).map_err(failed)?;
        self.lock(fd.as_fd(), &mut closing).map_err(failed)?;
        let options = &self.options;
        options.on_descriptor(DescriptorMoment::Opened, fd.as_fd())?;
        options.lock(fd.as_fd()).await?;
        let state = self.set_up(&uart, fd.as_fd(), &mut closing, &context.log).map_err(|error| match error {
            Trouble::System(error) => self.refused(&path, error),
            Trouble::Other(error) => error,
        })?;
        options.on_descriptor(DescriptorMoment::Late, fd.as_fd())?;
        let low_latency = self.low_latency(fd.as_fd(), &mut closing);
        self.take_bus(fd.as_fd(), &mut closing)?;
        crate::info!(
            context.log,
            "{name}: {} baud, {} low-latency={low_latency} exclusive={}",
            state.baud,
            uart.abilities(),
            if self.is_exclusive() { "yes" } else { "no" },
        );
        self.reset(&uart).await.map_err(failed)?;
        let serial = self.serial();
        closing.drive(serial.dtr_close, serial.rts_close);
        let ends = terminal::Ends { is_endless: true, drain: serial.drain.unwrap_or(terminal::DRAIN) };
        terminal::channel(fd, self.direction, &options.settings, uart, closing, ends)
            .map_err(|error| Error::open(Phase::Open, error))
    }

    fn serial(&self) -> &SerialSettings {
        &self.options.settings.serial
    }

    fn is_exclusive(&self) -> bool {
        self.serial().exclusive.unwrap_or(true)
    }

    /// Keeps others out, or is kept out by them.
    fn lock(&self, fd: BorrowedFd<'_>, closing: &mut Closing) -> io::Result<()> {
        if !self.is_exclusive() {
            return Ok(());
        }
        // Root gets past TIOCEXCL, and is to heed it all the same.
        let request = LockRequest { api: LockApi::Flock, exclusive: true, wait: false };
        if sys::serial::is_exclusive(fd)? || !sys::lock::try_lock(fd, &request)? {
            return Err(io::Error::from_raw_os_error(libc::EBUSY));
        }
        closing.locked();
        sys::serial::set_exclusive(fd, true)
    }

    /// What the line is set to.
    fn change(&self) -> Change {
        let (serial, usual) = (self.serial(), State::default());
        let flow = Some(serial.flow.unwrap_or_default());
        Change {
            baud: Some(serial.baud.unwrap_or(usual.baud)),
            data_bits: Some(serial.bits.unwrap_or(usual.data_bits)),
            parity: Some(serial.parity.unwrap_or_default()),
            stop_bits: Some(serial.stop.unwrap_or_default()),
            flow_out: flow,
            flow_in: flow,
            dtr: serial.dtr,
            rts: serial.rts,
            ..Change::default()
        }
    }

    /// Makes it pass bytes through at the right speed, and sees to it that this is so.
    fn set_up(&self, uart: &Uart, fd: BorrowedFd<'_>, closing: &mut Closing, log: &Log) -> Result<State, Trouble> {
        let mut settings = Termios::read(fd)?;
        settings.make_raw();
        settings.set(Word::Input, libc::INPCK | libc::IXOFF | libc::IXANY, false);
        settings.set(Word::Control, libc::CLOCAL | libc::CREAD, true);
        settings.set(Word::Control, libc::HUPCL, false);
        let read_break = self.serial().read_break;
        settings.set(Word::Input, libc::IGNBRK, read_break == Some(ReadBreak::Nothing));
        settings.set(Word::Input, libc::PARMRK, read_break == Some(ReadBreak::Mark));
        closing.set();
        settings.write(fd)?;
        let change = self.change();
        let state = uart.set(&change)?;
        check(&change, &state).map_err(Trouble::Other)?;
        self.options.set_up_terminal(fd, log).map_err(Trouble::Other)?;
        Ok(uart.state())
    }

    /// Asks the driver not to wait for more bytes; says what came of it.
    fn low_latency(&self, fd: BorrowedFd<'_>, closing: &mut Closing) -> &'static str {
        if self.serial().low_latency == Some(false) {
            return "as-found";
        }
        match sys::serial::low_latency(fd) {
            Ok(true) => return "on",
            Ok(false) => {}
            Err(_) => return "none",
        }
        match sys::serial::set_low_latency(fd, true) {
            Ok(true) => {
                closing.found_low_latency(false);
                "on"
            }
            _ => "refused",
        }
    }

    /// Drives an RS-485 bus, if asked to.
    fn take_bus(&self, fd: BorrowedFd<'_>, closing: &mut Closing) -> Result<()> {
        let serial = self.serial();
        if !serial.on_bus {
            return Ok(());
        }
        let refused = |error| {
            Error::open(Phase::Option, error)
                .worded("option rs485: the driver of this port cannot take turns on a bus by RTS")
                .hint("adapters that do so by themselves need no option")
        };
        let found = Bus::read(fd).map_err(refused)?;
        closing.found_bus(found);
        let BusSettings { rts_on_send, rts_after_send, echo, before, after } = serial.bus;
        let wanted = Bus::new(
            rts_on_send.unwrap_or(true),
            rts_after_send.unwrap_or(false),
            echo,
            milliseconds(before),
            milliseconds(after),
        );
        match wanted.write(fd).map_err(refused)? {
            kept if kept.is_on() => Ok(()),
            _ => Err(refused(io::Error::from_raw_os_error(libc::EOPNOTSUPP))),
        }
    }

    /// Resets the board behind the port, then drives the lines as they are to be.
    async fn reset(&self, uart: &Uart) -> io::Result<()> {
        let steps = steps(self.serial().reset.unwrap_or(Reset::None));
        for (dtr, rts, pause) in steps {
            uart.change(Change { dtr: Some(*dtr), rts: Some(*rts), ..Change::default() }).await?;
            tokio::time::sleep(Duration::from_millis(*pause)).await;
        }
        let SerialSettings { dtr, rts, .. } = *self.serial();
        if !steps.is_empty() && (dtr.is_some() || rts.is_some()) {
            uart.change(Change { dtr, rts, ..Change::default() }).await?;
        }
        Ok(())
    }

    /// Says in words why a port cannot be had, and what would help.
    fn refused(&self, path: &Path, error: io::Error) -> Error {
        let (number, name) = (error.raw_os_error(), path.display());
        let error = Error::open(Phase::Open, error);
        match number {
            Some(libc::ENOENT) => error.worded(format!("there is no {name}")).hint(self.system.alternatives()),
            Some(libc::EBUSY) => {
                let holders: Vec<String> = self.system.holders_of(path).iter().map(ToString::to_string).collect();
                let who = if holders.is_empty() { String::new() } else { format!(" by {}", holders.join(", ")) };
                let hint = "end it there, or wait for it with retry or forever; exclusive=off shares a port that is \
                            not locked";
                error.worded(format!("{name} is in use{who}")).hint(hint)
            }
            Some(libc::EACCES | libc::EPERM) => {
                let error = error.worded(format!("this user may not open {name}"));
                match self.system.refusal(path) {
                    Some(hint) => error.hint(hint),
                    None => error,
                }
            }
            Some(libc::ENXIO | libc::ENODEV | libc::EIO) => error
                .worded(format!("there is nothing behind {name}"))
                .hint("it was unplugged, or its driver is not loaded; ferrule ports lists the ports that work"),
            Some(libc::ENOTTY | libc::EISDIR) => {
                error.worded(format!("{name} is no serial port")).hint("FILE opens other devices and files")
            }
            _ => error,
        }
    }
}

/// Why setting up failed: the port is told in its own words.
enum Trouble {
    System(io::Error),
    Other(Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

fn open_device(path: &Path, direction: Direction) -> io::Result<OwnedFd> {
    // Without O_NONBLOCK the call would wait for a modem.
    let flags = file::access(direction) | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    Ok(nix::fcntl::open(path, flags, Mode::empty())?)
}

/// What a line was asked for must be what it does.
fn check(asked: &Change, kept: &State) -> Result<()> {
    let baud = asked.baud.unwrap_or(kept.baud);
    let differs = [
        ("baud", !is_near(baud, kept.baud), baud.to_string(), kept.baud.to_string()),
        ("bits", asked.data_bits != Some(kept.data_bits), words(asked.data_bits), kept.data_bits.to_string()),
        ("parity", asked.parity != Some(kept.parity), words(asked.parity), words(Some(kept.parity))),
        ("stop", asked.stop_bits != Some(kept.stop_bits), words(asked.stop_bits), words(Some(kept.stop_bits))),
        ("flow", asked.flow_out != Some(kept.flow_out), words(asked.flow_out), words(Some(kept.flow_out))),
    ];
    match differs.into_iter().find(|(_, differs, ..)| *differs) {
        None => Ok(()),
        Some((option, _, asked, kept)) => {
            let error = Error::open(Phase::Option, io::Error::from_raw_os_error(libc::EINVAL));
            Err(error
                .worded(format!("option {option}: the port cannot do {asked}, it stays at {kept}"))
                .hint("take what the port and the far end can both do"))
        }
    }
}

fn words<T: std::fmt::Debug>(value: Option<T>) -> String {
    value.map(|value| format!("{value:?}").to_lowercase()).unwrap_or_default()
}

fn milliseconds(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// DTR and RTS of a reset, and the milliseconds they stay so.
fn steps(reset: Reset) -> &'static [(bool, bool, u64)] {
    match reset {
        Reset::None => &[],
        Reset::Arduino => &[(false, false, 250), (true, true, 0)],
        // RTS pulls EN down, DTR pulls IO0 down, each only while the other one is off.
        Reset::Esp => &[(false, true, 100), (false, false, 0)],
        Reset::EspLoader => &[(false, true, 100), (true, false, 50), (false, false, 0)],
    }
}

#[cfg(test)]
#[path = "serial_tests.rs"]
mod tests;
