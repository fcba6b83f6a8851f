//! The options of an address on real terminals.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex};

use super::*;
use crate::endpoint::{Direction, Kind};
use crate::error::Error;
use crate::log::{Level, Sink};
use crate::option::{Groups, Strictness};
use crate::spec;
use crate::sys::terminal::{Pair, open_pair};

/// A kind that has terminals.
static KIND: Kind = Kind {
    name: "TERMINAL",
    aliases: &[],
    usage: "",
    params: (0, 0),
    groups: Groups::TERMIOS,
    direction: Direction::Both,
    doc: "",
    plan: |_| Err(Error::text("a test never gets here")),
};

fn read(text: &str) -> Result<Options> {
    let spec = spec::parse(format!("TERMINAL,{text}").as_bytes()).unwrap();
    Options::parse(&spec, &spec.first, &KIND, Strictness::Groups)
}

fn options(text: &str) -> Options {
    read(text).unwrap()
}

/// What was logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Sink for Lines {
    fn write(&self, level: Level, message: &str) {
        self.0.lock().unwrap().push(format!("{} {message}", level.letter()));
    }
}

/// A pseudo terminal, its settings once the options are applied, and what was logged.
fn applied(text: &str) -> (Pair, Termios, Vec<String>) {
    let pair = open_pair().unwrap();
    let lines = Lines::default();
    let log = Log::new(Level::Warn, Box::new(lines.clone()));
    let settings = {
        let _guard = options(text).apply_terminal(pair.slave.as_fd(), &log).unwrap();
        Termios::read(pair.slave.as_fd()).unwrap()
    };
    let logged = lines.0.lock().unwrap().clone();
    (pair, settings, logged)
}

/// All there is of the settings.
fn all(settings: &Termios) -> String {
    format!("{settings:?}")
}

#[test]
fn settings_change_in_one_step_and_come_back() {
    let pair = open_pair().unwrap();
    let read = || Termios::read(pair.slave.as_fd()).unwrap();
    let before = read();
    let guard = options("b9600,rawer,echo,ospeed=12345,intr=7").apply_terminal(pair.slave.as_fd(), &Log::silent());
    let guard = guard.unwrap().expect("a guard");
    let changed = read();
    assert_eq!((changed.output_speed(), changed.input_speed()), (12_345, 12_345));
    assert_eq!((changed.flags(Word::Local), changed.character(libc::VINTR)), (libc::ECHO, 7));
    drop(guard);
    assert_eq!(all(&read()), all(&before));
}

#[test]
fn without_terminal_options_nothing_is_asked_of_the_descriptor() {
    let (reader, _writer) = io::pipe().unwrap();
    let none = Options::default();
    assert!(none.apply_terminal(reader.as_fd(), &Log::silent()).unwrap().is_none() && !none.has_terminal_settings());
    let error = options("raw").apply_terminal(reader.as_fd(), &Log::silent()).unwrap_err();
    assert_eq!((error.errno(), error.to_string().contains("raw")), (Some(libc::ENOTTY), true), "{error}");
}

#[test]
fn what_the_driver_cannot_do_is_refused_and_the_terminal_left_as_it_was() {
    // A pseudo terminal has 8 bits, no parity and a receiver that is always on.
    for (text, expected) in [
        ("b9600,cs7", "cs7: the driver keeps 8 data bits"),
        ("csize=0,raw", "csize: the driver keeps 8 data bits"),
        ("b300,parenb,parodd", "parodd: the driver keeps no parity"),
        ("parodd,parenb,b300", "parenb: the driver keeps no parity"),
        ("cmspar,parenb", "parenb: the driver keeps no parity"),
        ("echo=0,cread=0", "cread: the driver keeps the receiver on"),
        ("setflags=2:0", "termios-setflags: the driver keeps 8 data bits"),
    ] {
        let pair = open_pair().unwrap();
        let read = || all(&Termios::read(pair.slave.as_fd()).unwrap());
        let before = read();
        let error = options(text).apply_terminal(pair.slave.as_fd(), &Log::silent()).unwrap_err().to_string();
        assert!(error.ends_with(expected), "{text}: {error}");
        assert_eq!(read(), before, "{text}");
    }
}

#[test]
fn what_the_driver_does_otherwise_is_told_once_and_with_the_last_option_that_asked() {
    let pair = open_pair().unwrap();
    let before = Termios::read(pair.slave.as_fd()).unwrap();
    // Drivers that have only one speed, one stop bit and no RTS and CTS need hardware: their answer is made here.
    for (text, answer, told) in [
        ("b9600,ospeed=250000", "b115200", vec!["ospeed: the driver keeps 115200 baud, not 250000"]),
        ("ospeed=9600,ispeed=300", "b9600", vec!["ispeed: the driver keeps 9600 baud for input, not 300"]),
        ("cstopb,b9600", "b9600", vec!["cstopb: the driver keeps one stop bit"]),
        ("crtscts", "b38400", vec!["crtscts: the driver keeps no flow control with RTS and CTS"]),
        ("ospeed=115200", "ospeed=115384", vec![]),
        ("echo=0", "b50,cstopb,crtscts", vec![]),
    ] {
        let (given, mut wanted, mut kept) = (options(text), before, before);
        given.on_terminal(&mut wanted).unwrap();
        options(answer).on_terminal(&mut kept).unwrap();
        let lines = Lines::default();
        let log = Log::new(Level::Warn, Box::new(lines.clone()));
        given.check_kept(&before, &wanted, &kept, &log).unwrap();
        let logged = lines.0.lock().unwrap().clone();
        let told: Vec<_> = told.iter().map(|line| format!("W option {line}")).collect();
        assert_eq!(logged, told, "{text}");
    }
}

#[test]
fn a_pseudo_terminal_does_what_it_is_asked_for_in_silence() {
    let (_pair, settings, logged) = applied("ispeed=75,ospeed=12345,cstopb,crtscts,ixoff,vmin=7,tab3");
    assert_eq!(logged, Vec::<String>::new());
    assert_eq!((settings.input_speed(), settings.output_speed()), (75, 12_345));
    assert!(settings.has(Word::Control, libc::CSTOPB | libc::CRTSCTS) && settings.has(Word::Input, libc::IXOFF));
    assert!(settings.has(Word::Output, libc::TAB3) && settings.character(libc::VMIN) == 7);
}

#[test]
fn a_speed_of_input_alone_is_that_of_output_as_well() {
    for (text, speeds) in [
        ("ispeed=300", (300, 300)),
        ("ospeed=300", (300, 300)),
        ("ispeed=12345", (12_345, 12_345)),
        ("ispeed=300,ospeed=1200", (300, 1200)),
        ("ospeed=1200,ispeed=300", (300, 1200)),
        ("b9600,ispeed=300", (300, 300)),
        ("ispeed=300,b9600", (9600, 9600)),
        ("ispeed=0", (38_400, 38_400)),
        ("ispeed=0,ospeed=75", (75, 75)),
        ("b0", (0, 0)),
        ("ospeed=0", (0, 0)),
    ] {
        let (_pair, settings, _) = applied(text);
        assert_eq!((settings.input_speed(), settings.output_speed()), speeds, "{text}");
    }
}

#[test]
fn values_that_do_not_fit_are_refused_before_anything_is_opened() {
    for (text, expected) in [
        ("csize=4", "option \"csize\": 4 is out of range (0 to 3)"),
        ("crdly=4", "option \"crdly\": 4 is out of range (0 to 3)"),
        ("tabdly=9600", "option \"tabdly\": 9600 is out of range (0 to 3)"),
        (
            "setflags=4:0",
            "option \"setflags\": the words of flags are 0 (input), 1 (output), 2 (control) and 3 (local)",
        ),
        (
            "setflags=-1:0",
            "option \"setflags\": the words of flags are 0 (input), 1 (output), 2 (control) and 3 (local)",
        ),
        ("setflags=0:0x100000000", "option \"setflags\": flags 4294967296 do not fit into a word of 32 bits"),
        ("winsz=-1:24", "option \"winsz\": a terminal has 0 to 65535 columns and rows"),
        ("winsz=80:65536", "option \"winsz\": a terminal has 0 to 65535 columns and rows"),
    ] {
        assert_eq!(read(text).unwrap_err().to_string(), expected);
    }
}

#[test]
fn the_size_is_set_with_or_without_settings_and_stays() {
    for text in ["winsz=132:43", "winsz=1:2,raw,winsz=132:43"] {
        let (pair, ..) = applied(text);
        let stty = std::process::Command::new("stty").arg("size").stdin(pair.slave).output().unwrap();
        assert_eq!(String::from_utf8(stty.stdout).unwrap(), "43 132\n", "{text}");
    }
    let (reader, _writer) = io::pipe().unwrap();
    let error = options("winsz=1:2").apply_terminal(reader.as_fd(), &Log::silent()).unwrap_err();
    assert_eq!(error.errno(), Some(libc::ENOTTY));
}

#[test]
fn whole_words_are_set_as_written() {
    let mut settings = applied("echo").1;
    let text = "setflags=0:0x500,setflags=1:5,setflags=2:0x18b2,setflags=3:0x8a3b";
    options(text).on_terminal(&mut settings).unwrap();
    let words = [Word::Input, Word::Output, Word::Control, Word::Local].map(|word| settings.flags(word));
    assert_eq!(words, [0x500, 5, 0x18b2, 0x8a3b]);
    assert_eq!((settings.output_speed(), settings.input_speed()), (115_200, 115_200));
}
