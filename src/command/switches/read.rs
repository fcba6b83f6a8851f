//! Words of a command line -> switches.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::time::Duration;

use super::{Destination, HelpDetail, LockSwitch, Reason, Refusal, Request, Switches};
use crate::command::numbers;
use crate::endpoint::IpVersion;
use crate::error::{Error, ErrorKind, Phase, printable};
use crate::log::{Facility, Level};
use crate::relay::Ways;

/// Largest value of `-b`: 1 GiB.
const LARGEST_BUFFER: usize = 1 << 30;

/// Reads a command line without its first word, the program.
pub fn parse(arguments: &[OsString]) -> Result<Request, Refusal> {
    let mut reader = Reader { rest: arguments.iter(), switches: Switches::default() };
    match reader.read() {
        Ok(Some(request)) => Ok(request),
        Ok(None) => reader.addresses(),
        Err(reason) => Err(Refusal { reason, log: reader.switches.log }),
    }
}

/// Whether a word is an address rather than a switch.
pub fn is_address(word: &OsStr) -> bool {
    match word.as_bytes() {
        [b'-', rest @ ..] => {
            rest.is_empty() || rest.starts_with(b",") || rest.starts_with(b":") || rest.starts_with(b"!!")
        }
        _ => true,
    }
}

struct Reader<'a> {
    rest: std::slice::Iter<'a, OsString>,
    switches: Switches,
}

impl Reader<'_> {
    /// Reads switches up to the first address; those that ask for help or the version end the reading.
    fn read(&mut self) -> Result<Option<Request>, Reason> {
        while let Some(word) = self.rest.as_slice().first().filter(|word| !is_address(word)) {
            self.rest.next();
            if let Some(request) = self.switch(word)? {
                return Ok(Some(request));
            }
        }
        Ok(None)
    }

    fn addresses(mut self) -> Result<Request, Refusal> {
        let refuse = |error, log| Err(Refusal { reason: Reason::Error(error), log });
        match <[OsString; 2]>::try_from(self.rest.as_slice().to_vec()) {
            Ok(addresses) => Ok(Request::Relay(Box::new(self.switches), addresses)),
            Err(words) => {
                let message =
                    format!("exactly 2 addresses required (there are {}); use option \"-h\" for help", words.len());
                let late = self.rest.find(|word| !is_address(word));
                let error = match late {
                    Some(word) => usage(message)
                        .hint(format!("switches come before the addresses: {}", printable(word.as_bytes()))),
                    None => usage(message),
                };
                refuse(error, self.switches.log)
            }
        }
    }

    fn switch(&mut self, word: &OsStr) -> Result<Option<Request>, Reason> {
        let bytes = word.as_bytes();
        match bytes {
            b"--help" => return Ok(Some(Request::Help(HelpDetail::Addresses))),
            b"--version" => return Ok(Some(Request::Version)),
            b"--statistics" => self.switches.show.statistics = true,
            b"--experimental" => self.switches.show.experimental = true,
            [b'-', b'-', name @ ..] if name.starts_with(b"capture") => self.capture(word)?,
            [b'-', b'-', ..] => return Err(unknown(word)),
            [b'-', b'V'] => return Ok(Some(Request::Version)),
            [b'-', b'V', ..] => return Err(Reason::Usage),
            [b'-', b'h' | b'?', ..] => return help(&bytes[1..]).map(|detail| Some(Request::Help(detail))),
            [b'-', b'd', rest @ ..] => self.verbosity(rest),
            [b'-', b'l', rest @ ..] => self.log(word, rest)?,
            [b'-', letter @ (b'b' | b'r' | b'R' | b'S' | b't' | b'T' | b'L' | b'W'), rest @ ..] => {
                let name = format!("-{}", char::from(*letter));
                let value = self.value(&name, rest)?;
                self.valued(*letter, &name, &value)?;
            }
            [b'-', letter] => self.flag(*letter, word)?,
            [b'-', letter, ..] if b"DvxsguU460".contains(letter) => return Err(Reason::Plain(merged(bytes))),
            _ => return Err(unknown(word)),
        }
        Ok(None)
    }

    fn flag(&mut self, letter: u8, word: &OsStr) -> Result<(), Reason> {
        let switches = &mut self.switches;
        match letter {
            b'D' => switches.show.descriptors = true,
            b'v' => switches.dump.text = true,
            b'x' => switches.dump.hex = true,
            b's' => switches.sloppy = true,
            b'g' => switches.any_option = true,
            b'u' | b'U' => {
                let ways = if letter == b'u' { Ways::LeftToRight } else { Ways::RightToLeft };
                if switches.ways != Ways::Both && switches.ways != ways {
                    return Err(Reason::Error(usage("-U and -u must not be combined")));
                }
                switches.ways = ways;
            }
            b'4' => switches.ip = Some(IpVersion::V4),
            b'6' => switches.ip = Some(IpVersion::V6),
            b'0' => switches.ip = Some(IpVersion::Any),
            _ => return Err(unknown(word)),
        }
        Ok(())
    }

    fn valued(&mut self, letter: u8, name: &str, value: &OsStr) -> Result<(), Reason> {
        let switches = &mut self.switches;
        let wrong = |problem| Reason::Error(usage(format!("{problem} of option \"{name}\"")));
        match letter {
            b'b' => switches.buffer = buffer_size(numbers::integer(value.as_bytes()).map_err(wrong)?)?,
            b'S' => {
                let mask = numbers::integer(value.as_bytes()).map_err(wrong)?;
                // As strtoul(3) has it, -1 means every bit.
                switches.signals = u64::try_from(mask).unwrap_or(u64::MAX);
            }
            b't' => {
                let seconds = numbers::seconds(value.as_bytes()).map_err(wrong)?;
                switches.linger = Duration::try_from_secs_f64(seconds.max(0.0)).ok();
            }
            b'T' => {
                let seconds = numbers::seconds(value.as_bytes()).map_err(wrong)?;
                switches.idle = Duration::try_from_secs_f64(seconds).ok();
            }
            b'r' => switches.dump.right = Some(value.to_owned()),
            b'R' => switches.dump.left = Some(value.to_owned()),
            _ => {
                if switches.lock.is_some() {
                    return Err(Reason::Error(usage("only one -L and -W option allowed")));
                }
                switches.lock = Some(LockSwitch { path: value.into(), wait: letter == b'W' });
            }
        }
        Ok(())
    }

    /// `--capture FILE`, `--capture=FILE`, and the others that begin so.
    fn capture(&mut self, word: &OsStr) -> Result<(), Reason> {
        let (name, glued) = match word.as_bytes().iter().position(|byte| *byte == b'=') {
            Some(end) => (&word.as_bytes()[..end], Some(OsStr::from_bytes(&word.as_bytes()[end + 1..]).to_owned())),
            None => (word.as_bytes(), None),
        };
        let known: [&[u8]; 4] = [b"--capture", b"--capture-format", b"--capture-size", b"--capture-files"];
        if !known.contains(&name) {
            return Err(unknown(word));
        }
        let name = printable(name);
        let value = match glued {
            Some(value) => value,
            None => self.value(&name, b"")?,
        };
        let wrong = |problem| Reason::Error(usage(format!("{problem} of option \"{name}\"")));
        let capture = &mut self.switches.capture;
        match &*name {
            "--capture" => capture.file = Some(value),
            "--capture-format" => capture.format = Some(printable(value.as_bytes())),
            "--capture-size" => capture.size = Some(numbers::size(value.as_bytes()).map_err(wrong)?),
            _ => {
                let files = numbers::integer(value.as_bytes()).map_err(wrong)?;
                capture.files = Some(u32::try_from(files).map_err(|_| wrong(numbers::RANGE))?);
            }
        }
        Ok(())
    }

    /// `-d` once more, `-d2` for a level; anything else shows the usage, but the relay runs.
    fn verbosity(&mut self, rest: &[u8]) {
        let log = &mut self.switches.log;
        let levels = [Level::Error, Level::Warn, Level::Notice, Level::Info, Level::Debug];
        match rest {
            [digit @ b'0'..=b'4'] => {
                log.raised = digit - b'0';
                log.level = levels[usize::from(log.raised)];
            }
            more if more.iter().all(|byte| *byte == b'd') => {
                let times = u8::try_from(more.len() + 1).unwrap_or(u8::MAX);
                log.raised = log.raised.saturating_add(times).min(4);
                // Warnings are shown by default: the first -d changes nothing.
                log.level = levels[usize::from(log.raised.max(1))];
            }
            _ => self.switches.usage_shown = true,
        }
    }

    fn log(&mut self, word: &OsStr, rest: &[u8]) -> Result<(), Reason> {
        match rest {
            b"s" => self.switches.log.destination = Destination::Stderr,
            b"u" => self.switches.log.micros = true,
            b"h" => self.switches.log.host = true,
            [b'y', name @ ..] => self.switches.log.destination = Destination::Syslog(facility(name)?),
            [b'm', name @ ..] => self.switches.log.destination = Destination::Mixed(facility(name)?),
            [b'f', name @ ..] => {
                self.switches.log.destination = Destination::File(self.value("-lf", name)?.into());
            }
            [b'p', name @ ..] => {
                let name = self.value("-lp", name)?;
                self.switches.log.program = Some(printable(name.as_bytes()));
            }
            _ => {
                let word = printable(word.as_bytes());
                let error = usage(format!("unknown log option \"{word}\"; use option \"-h\" for help"));
                return Err(Reason::Error(error));
            }
        }
        Ok(())
    }

    /// What is glued to the switch, else the next word whatever it looks like.
    fn value(&mut self, name: &str, glued: &[u8]) -> Result<OsString, Reason> {
        if !glued.is_empty() {
            return Ok(OsString::from_vec(glued.to_vec()));
        }
        self.rest.next().cloned().ok_or_else(|| {
            Reason::Error(usage(format!("option {name} requires an argument; use option \"-h\" for help")))
        })
    }
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, Phase::Parse, message)
}

fn unknown(word: &OsStr) -> Reason {
    let word = printable(word.as_bytes());
    Reason::Error(usage(format!("unknown option \"{word}\"; use option \"-h\" for help")))
}

fn help(letters: &[u8]) -> Result<HelpDetail, Reason> {
    match letters {
        b"h" | b"?" => Ok(HelpDetail::Addresses),
        b"hh" | b"??" => Ok(HelpDetail::Options),
        b"hhh" | b"???" => Ok(HelpDetail::Aliases),
        _ => Err(Reason::Usage),
    }
}

fn merged(word: &[u8]) -> String {
    let apart: Vec<_> = word[1..].iter().map(|letter| format!("-{}", printable(&[*letter]))).collect();
    let word = printable(word);
    format!("Do not merge single character options, i.e. use \"{}\" instead of \"{word}\"", apart.join(" "))
}

fn buffer_size(bytes: i128) -> Result<Option<usize>, Reason> {
    match usize::try_from(bytes) {
        Ok(0) => Ok(None),
        Ok(bytes) if bytes <= LARGEST_BUFFER => Ok(Some(bytes)),
        // The spelling is the one scripts know.
        _ => Err(Reason::Error(usage(format!("buffer size option (-b) to big - {bytes} (max is {LARGEST_BUFFER})")))),
    }
}

fn facility(name: &[u8]) -> Result<Facility, Reason> {
    if name.is_empty() {
        return Ok(Facility::DAEMON);
    }
    Facility::find(&String::from_utf8_lossy(name)).ok_or_else(|| {
        let known: Vec<_> = Facility::names().collect();
        let error = usage(format!("unknown syslog facility \"{}\"", printable(name)));
        Reason::Error(error.hint(format!("one of {}", known.join(" "))))
    })
}
