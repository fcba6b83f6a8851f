//! The options of one address, applied to a terminal: all in one step, and what the driver made of them checked.

use std::io;
use std::os::fd::BorrowedFd;

use super::applied::named;
use super::{Apply, Options, Row, Value};
use crate::error::{Error, Result};
use crate::line::{Parity, StopBits};
use crate::log::Log;
use crate::sys::terminal::{self, Restore, Termios, Word};
use crate::warning;

/// What a terminal option does.
type Change = fn(&mut Termios, &Value) -> Result<(), String>;

/// What a driver may keep as it was, though it was asked for something else and says that it did it.
struct Aspect {
    /// In words, such as "7 data bits".
    words: fn(&Termios) -> String,
    /// Whether the far end's bytes come out wrong, so that nothing should be relayed. tcsetattr(3) of glibc
    /// takes these for an error as well; those of the others that matter are told.
    vital: bool,
}

const ASPECTS: [Aspect; 5] = [
    Aspect { words: |settings| format!("{} data bits", settings.data_bits()), vital: true },
    Aspect { words: |settings| parity(settings.parity()).to_owned(), vital: true },
    Aspect {
        words: |settings| {
            if settings.has(Word::Control, libc::CREAD) { "the receiver on" } else { "the receiver off" }.to_owned()
        },
        vital: true,
    },
    Aspect {
        words: |settings| match settings.stop_bits() {
            StopBits::Two => "two stop bits".to_owned(),
            _ => "one stop bit".to_owned(),
        },
        vital: false,
    },
    Aspect {
        words: |settings| {
            if settings.has(Word::Control, libc::CRTSCTS) {
                "flow control with RTS and CTS"
            } else {
                "no flow control with RTS and CTS"
            }
            .to_owned()
        },
        vital: false,
    },
];

fn parity(parity: Parity) -> &'static str {
    match parity {
        Parity::None => "no parity",
        Parity::Odd => "odd parity",
        Parity::Even => "even parity",
        Parity::Mark => "mark parity",
        Parity::Space => "space parity",
    }
}

/// Says what an error means on a descriptor that is no terminal.
fn elsewhere(error: Error) -> Error {
    match error.errno() {
        Some(libc::ENOTTY) => error.hint("this is not a terminal: options of terminals go with the side that is one"),
        _ => error,
    }
}

impl Options {
    /// Changes the terminal's settings as all the options say, in one step and at once. The guard brings the
    /// earlier settings back when it is dropped; there is none without such options. The size, where one is given,
    /// stays.
    ///
    /// # Errors
    /// What is no terminal, and what its driver refuses: then the terminal is left as it was found. A speed that
    /// the driver replaces by another one, two stop bits and flow control that it has not are warnings.
    pub fn apply_terminal(&self, fd: BorrowedFd<'_>, log: &Log) -> Result<Option<Restore>> {
        let restore = self.change_terminal(fd, log).map_err(elsewhere)?;
        if let Some((columns, rows)) = self.settings.pty.size {
            named(terminal::set_size(fd, columns, rows), "tiocswinsz").map_err(elsewhere)?;
        }
        Ok(restore)
    }

    fn change_terminal(&self, fd: BorrowedFd<'_>, log: &Log) -> Result<Option<Restore>> {
        let Some(first) = self.terminal_rows().next().map(|(row, ..)| row.name) else { return Ok(None) };
        let (restore, before) = named(terminal::read(fd), first)?;
        let mut wanted = before;
        self.on_terminal(&mut wanted)?;
        named(wanted.write(fd), first)?;
        let kept = named(Termios::read(fd), first)?;
        self.check_kept(&before, &wanted, &kept, log)?;
        Ok(Some(restore))
    }

    /// As [`Options::apply_terminal`], for a terminal made for this address: it never had other settings.
    pub fn set_up_terminal(&self, fd: BorrowedFd<'_>, log: &Log) -> Result<()> {
        if let Some(restore) = self.apply_terminal(fd, log)? {
            restore.keep();
        }
        Ok(())
    }

    /// Changes a terminal's settings in memory as all the options say. Says whether there was anything.
    pub fn on_terminal(&self, settings: &mut Termios) -> Result<bool> {
        for (row, change, value) in self.terminal_rows() {
            named(change(settings, value).map_err(io::Error::other), row.name)?;
        }
        // As socat(1) with the C library of Debian has it: hardly any driver has two speeds.
        if self.has("ispeed") && !self.has("ospeed") {
            settings.set_speed(settings.input_speed());
        }
        Ok(self.has_terminal_settings())
    }

    /// Whether there are options that change settings.
    pub fn has_terminal_settings(&self) -> bool {
        self.terminal_rows().next().is_some()
    }

    /// The options that change a terminal's settings, with what they change and their value.
    fn terminal_rows(&self) -> impl Iterator<Item = (&'static Row, Change, &Value)> {
        self.given.iter().filter_map(|(row, value)| match row.apply {
            Apply::Terminal(change) => Some((*row, change, value)),
            _ => None,
        })
    }

    /// Compares what the options asked for with what the driver made of it.
    fn check_kept(&self, before: &Termios, wanted: &Termios, kept: &Termios, log: &Log) -> Result<()> {
        for Aspect { words, vital } in ASPECTS {
            let is = words(kept);
            if is == words(wanted) {
                continue;
            }
            match self.last_to_change(before, words) {
                Some(option) if vital => {
                    return named(Err(io::Error::other(format!("the driver keeps {is}"))), option)
                        .map_err(|error| error.hint("leave the option out, or take a port that can do it"));
                }
                Some(option) => warning!(log, "option {option}: the driver keeps {is}"),
                None => {}
            }
        }
        let speed = |settings: &Termios| (settings.output_speed(), settings.input_speed());
        let ((output, input), (output_kept, input_kept)) = (speed(wanted), speed(kept));
        if !terminal::is_near(output, output_kept)
            && let Some(option) = self.last_to_change(before, Termios::output_speed)
        {
            warning!(log, "option {option}: the driver keeps {output_kept} baud, not {output}");
        } else if !terminal::is_near(input, input_kept)
            && let Some(option) = self.last_to_change(before, Termios::input_speed)
        {
            warning!(log, "option {option}: the driver keeps {input_kept} baud for input, not {input}");
        }
        Ok(())
    }

    /// The last option that made something of the settings different.
    fn last_to_change<T: PartialEq>(&self, before: &Termios, what: fn(&Termios) -> T) -> Option<&'static str> {
        let mut settings = *before;
        let mut last = None;
        for (row, change, value) in self.terminal_rows() {
            let earlier = what(&settings);
            // None fails: all have been applied once.
            let _ = change(&mut settings, value);
            if what(&settings) != earlier {
                last = Some(row.name);
            }
        }
        last
    }
}

#[cfg(test)]
mod tests;
