//! The switches of the socat command line. Reading them opens nothing and prints nothing.
//!
//! Switches come first; two addresses follow. Single letters are not merged, values may be glued to their
//! letter or follow as the next word (socat(1), OPTIONS).

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::Duration;

use super::numbers;
use crate::endpoint::IpVersion;
use crate::error::{Error, ErrorKind, Phase, printable};
use crate::log::{Facility, Level};
use crate::relay::Ways;

/// What a command line asks for.
#[derive(Debug)]
pub enum Request {
    /// `-V`.
    Version,
    /// `-h`, `-hh`, `-hhh`.
    Help(HelpDetail),
    /// Two addresses and how to relay between them.
    Relay(Box<Switches>, [OsString; 2]),
}

/// How much help is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HelpDetail {
    /// Switches and address types.
    Addresses,
    /// The canonical options, too.
    Options,
    /// Every alias, too.
    Aliases,
}

/// A command line that cannot be served; the exit code is 1.
#[derive(Debug)]
pub struct Refusal {
    /// What is wrong.
    pub reason: Reason,
    /// The log as far as the switches before the mistake set it up.
    pub log: LogSwitches,
}

/// What is wrong with a command line.
#[derive(Debug)]
pub enum Reason {
    /// Told as it is, without the form of the log.
    Plain(String),
    /// The usage is shown.
    Usage,
    /// Logged.
    Error(Error),
}

/// Everything the switches say.
#[derive(Debug, Clone)]
pub struct Switches {
    /// Where events go and what they look like.
    pub log: LogSwitches,
    /// What is shown of the bytes.
    pub dump: DumpSwitches,
    /// What is shown of the relay.
    pub show: ShowSwitches,
    /// `-b`: bytes per read; `None` adapts to the traffic.
    pub buffer: Option<usize>,
    /// `-t`: see [`crate::relay::Settings::linger`].
    pub linger: Option<Duration>,
    /// `-T`: see [`crate::relay::Settings::idle`].
    pub idle: Option<Duration>,
    /// `-u`, `-U`.
    pub ways: Ways,
    /// `-S`: bit n stands for signal n.
    pub signals: u64,
    /// `-L`, `-W`.
    pub lock: Option<LockSwitch>,
    /// `-4`, `-6`, `-0`.
    pub ip: Option<IpVersion>,
    /// `-g`: options are not checked against the address type.
    pub any_option: bool,
    /// `-s`: errors do not end what can go on.
    pub sloppy: bool,
    /// Something was wrong, but not so much that the relay cannot run: the usage is shown.
    pub usage_shown: bool,
}

/// The log.
#[derive(Debug, Clone)]
pub struct LogSwitches {
    /// `-ls`, `-lf`, `-ly`, `-lm`.
    pub destination: Destination,
    /// `-d`.
    pub level: Level,
    /// How often `-d` was given.
    raised: u8,
    /// `-lu`.
    pub micros: bool,
    /// `-lh`.
    pub host: bool,
    /// `-lp`.
    pub program: Option<String>,
}

/// Where events go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Standard error.
    Stderr,
    /// Appended to a file.
    File(PathBuf),
    /// The log daemon.
    Syslog(Facility),
    /// Standard error until the transfer begins, then the log daemon.
    Mixed(Facility),
}

/// What is shown of the bytes.
#[derive(Debug, Clone, Default)]
pub struct DumpSwitches {
    /// `-v`.
    pub text: bool,
    /// `-x`.
    pub hex: bool,
    /// `-r`: file for the bytes from left to right, with variables in its name.
    pub right: Option<OsString>,
    /// `-R`: file for the bytes from right to left.
    pub left: Option<OsString>,
}

/// What is shown of the relay.
#[derive(Debug, Clone, Copy, Default)]
pub struct ShowSwitches {
    /// `-D`.
    pub descriptors: bool,
    /// `--statistics`.
    pub statistics: bool,
    /// `--experimental`: no warning about what is experimental.
    pub experimental: bool,
}

/// A lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockSwitch {
    /// Its name.
    pub path: PathBuf,
    /// Wait while it exists, instead of failing.
    pub wait: bool,
}

impl Default for LogSwitches {
    fn default() -> Self {
        Self {
            destination: Destination::Stderr,
            level: Level::Warn,
            raised: 0,
            micros: false,
            host: false,
            program: None,
        }
    }
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            log: LogSwitches::default(),
            dump: DumpSwitches::default(),
            show: ShowSwitches::default(),
            buffer: None,
            linger: Some(Duration::from_millis(500)),
            idle: None,
            ways: Ways::Both,
            signals: 0x89de,
            lock: None,
            ip: None,
            any_option: false,
            sloppy: false,
            usage_shown: false,
        }
    }
}

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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use super::*;

    fn request(line: &[&str]) -> Result<Request, Refusal> {
        parse(&line.iter().map(OsString::from).collect::<Vec<_>>())
    }

    fn switches(line: &[&str]) -> Switches {
        match request(&[line, &["-", "PIPE"]].concat()) {
            Ok(Request::Relay(switches, addresses)) if addresses == ["-", "PIPE"] => *switches,
            other => panic!("{line:?}: {other:?}"),
        }
    }

    fn error(line: &[&str]) -> String {
        match request(line).map_err(|refusal| refusal.reason) {
            Err(Reason::Error(error)) => error.line(),
            other => panic!("{line:?}: {other:?}"),
        }
    }

    #[test]
    fn defaults_are_socats() {
        let switches = switches(&[]);
        assert_eq!((switches.signals, switches.buffer), (0x89de, None));
        assert_eq!((switches.linger, switches.idle), (Some(Duration::from_millis(500)), None));
        assert_eq!((switches.log.level, switches.log.destination), (Level::Warn, Destination::Stderr));
        assert!(!switches.any_option && !switches.sloppy && !switches.usage_shown);
    }

    #[test]
    fn values_are_glued_or_follow() {
        for line in [["-b100", "-t1.5", "-T", "3"].as_slice(), &["-b", "0x64", "-t", "1.5", "-T3"]] {
            let switches = switches(line);
            assert_eq!(switches.buffer, Some(100));
            assert_eq!(
                (switches.linger, switches.idle),
                (Some(Duration::from_millis(1500)), Some(Duration::from_secs(3)))
            );
        }
        let switches = switches(&["-r", "-u", "-Rleft", "-lf", "log", "-lpgate", "-S0", "-L", "lock"]);
        assert_eq!(switches.dump.right, Some("-u".into()));
        assert_eq!(switches.dump.left, Some("left".into()));
        assert_eq!(switches.log.destination, Destination::File("log".into()));
        assert_eq!(switches.log.program.as_deref(), Some("gate"));
        assert_eq!((switches.signals, switches.ways), (0, Ways::Both));
        assert_eq!(switches.lock, Some(LockSwitch { path: "lock".into(), wait: false }));
    }

    #[test]
    fn times_have_their_limits() {
        assert_eq!(switches(&["-T-1"]).idle, None);
        assert_eq!(switches(&["-T0"]).idle, Some(Duration::ZERO));
        assert_eq!(switches(&["-t0"]).linger, Some(Duration::ZERO));
        assert_eq!(switches(&["-t-1"]).linger, Some(Duration::ZERO));
        assert_eq!(switches(&["-tinf"]).linger, None);
        assert_eq!(switches(&["-b0"]).buffer, None);
    }

    #[test]
    fn verbosity_counts_from_the_errors() {
        let levels = [
            (&["-d"] as &[&str], Level::Warn),
            (&["-d", "-d"], Level::Notice),
            (&["-dd"], Level::Notice),
            (&["-d", "-dd"], Level::Info),
            (&["-dddd"], Level::Debug),
            (&["-ddddddd"], Level::Debug),
            (&["-d0"], Level::Error),
            (&["-d1"], Level::Warn),
            (&["-d2"], Level::Notice),
            (&["-d3"], Level::Info),
            (&["-d4"], Level::Debug),
            (&["-d2", "-d"], Level::Info),
            (&["-d4", "-d0", "-d"], Level::Warn),
        ];
        for (line, level) in levels {
            assert_eq!(switches(line).log.level, level, "{line:?}");
        }
        let odd = switches(&["-dx"]);
        assert!(odd.usage_shown && odd.log.level == Level::Warn);
    }

    #[test]
    fn log_switches_are_told_apart() {
        let log = |line: &[&str]| switches(line).log;
        assert_eq!(log(&["-ly"]).destination, Destination::Syslog(Facility::DAEMON));
        assert_eq!(Some(log(&["-lylocal3"]).destination), Facility::find("local3").map(Destination::Syslog));
        assert_eq!(log(&["-lm"]).destination, Destination::Mixed(Facility::DAEMON));
        assert_eq!(log(&["-ly", "-ls"]).destination, Destination::Stderr);
        assert!(log(&["-lu", "-lh"]).micros && log(&["-lu", "-lh"]).host);
        assert_eq!(error(&["-lyl", "-", "-"]), "unknown syslog facility \"l\"");
        assert_eq!(error(&["-lz"]), "unknown log option \"-lz\"; use option \"-h\" for help");
        // A facility apart is an address; so there are three.
        assert!(error(&["-ly", "local3", "-", "-"]).contains("(there are 3)"));
    }

    #[test]
    fn flags_set_what_they_say() {
        let all = switches(&["-D", "-v", "-x", "-s", "-g", "-u", "-6", "--statistics", "--experimental"]);
        assert!(all.show.descriptors && all.show.statistics && all.show.experimental);
        assert!(all.dump.text && all.dump.hex && all.sloppy && all.any_option);
        assert_eq!((all.ways, all.ip), (Ways::LeftToRight, Some(IpVersion::V6)));
        assert_eq!(switches(&["-U"]).ways, Ways::RightToLeft);
        assert_eq!(switches(&["-4"]).ip, Some(IpVersion::V4));
        assert_eq!(switches(&["-0"]).ip, Some(IpVersion::Any));
    }

    #[test]
    fn merged_letters_are_refused_with_the_right_words() {
        for (word, apart) in [("-vx", "-v -x"), ("-uv", "-u -v"), ("-Dgs", "-D -g -s"), ("-4v", "-4 -v")] {
            let Err(Refusal { reason: Reason::Plain(text), .. }) = request(&[word, "-", "-"]) else { panic!("{word}") };
            let expected = format!("Do not merge single character options, i.e. use \"{apart}\" instead of \"{word}\"");
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn help_and_version_end_the_reading() {
        let helps = [("-h", HelpDetail::Addresses), ("-??", HelpDetail::Options), ("-hhh", HelpDetail::Aliases)];
        for (word, detail) in helps {
            assert!(matches!(request(&[word, "-q"]), Ok(Request::Help(found)) if found == detail), "{word}");
        }
        assert!(matches!(request(&["-V"]), Ok(Request::Version)));
        assert!(matches!(request(&["--version"]), Ok(Request::Version)));
        assert!(matches!(request(&["--help"]), Ok(Request::Help(HelpDetail::Addresses))));
        for word in ["-Vx", "-hx", "-hhhh", "-h?"] {
            assert!(matches!(request(&[word]), Err(Refusal { reason: Reason::Usage, .. })), "{word}");
        }
    }

    #[test]
    fn mistakes_have_the_messages_scripts_know() {
        assert_eq!(error(&["-q"]), "unknown option \"-q\"; use option \"-h\" for help");
        assert_eq!(error(&["--statistic"]), "unknown option \"--statistic\"; use option \"-h\" for help");
        assert_eq!(error(&["-u", "-U", "-", "-"]), "-U and -u must not be combined");
        assert_eq!(error(&["-L", "a", "-W", "b", "-", "-"]), "only one -L and -W option allowed");
        assert_eq!(error(&[]), "exactly 2 addresses required (there are 0); use option \"-h\" for help");
        assert_eq!(error(&["-", "-", "-v"]), "exactly 2 addresses required (there are 3); use option \"-h\" for help");
        assert_eq!(error(&["-b"]), "option -b requires an argument; use option \"-h\" for help");
        assert!(error(&["-b", "12x", "-", "-"]).contains("trailing garbage"));
        assert!(error(&["-t", "", "-", "-"]).contains("missing numerical value of option \"-t\""));
        assert!(error(&["-b", "-5", "-", "-"]).starts_with("buffer size option (-b) to big"));
        assert!(error(&["-b", "99999999999999", "-", "-"]).starts_with("buffer size option (-b) to big"));
    }

    #[test]
    fn a_late_switch_is_explained() {
        let Err(Refusal { reason: Reason::Error(error), .. }) = request(&["-", "PIPE", "-v"]) else { panic!() };
        assert_eq!(error.advice(), Some("switches come before the addresses: -v"));
    }

    #[test]
    fn addresses_may_begin_with_a_dash() {
        for word in ["-", "-,raw", "-:x", "-!!PIPE", "", "TCP:x:1", "/dev/null", "4"] {
            assert!(is_address(word.as_ref()), "{word}");
        }
        for word in ["-v", "--", "-1"] {
            assert!(!is_address(word.as_ref()), "{word}");
        }
    }
}
