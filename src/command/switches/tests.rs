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
        assert_eq!((switches.linger, switches.idle), (Some(Duration::from_millis(1500)), Some(Duration::from_secs(3))));
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
fn captures_have_long_names() {
    let capture =
        switches(&["--capture", "-", "--capture-format=hex", "--capture-size", "10M", "--capture-files=3"]).capture;
    assert_eq!((capture.file, capture.format), (Some("-".into()), Some("hex".to_owned())));
    assert_eq!((capture.size, capture.files), (Some(10 << 20), Some(3)));
    assert_eq!(switches(&["--capture=a=b"]).capture.file, Some("a=b".into()));
    assert_eq!(error(&["--capture"]), "option --capture requires an argument; use option \"-h\" for help");
    assert!(error(&["--captured", "x"]).starts_with("unknown option \"--captured\""));
    assert_eq!(error(&["--capture-size", "1x"]), "trailing garbage in numerical arg of option \"--capture-size\"");
    assert_eq!(error(&["--capture-files=-1"]), "value out of range of option \"--capture-files\"");
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
