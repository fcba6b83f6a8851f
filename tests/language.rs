//! Random addresses by the hundred thousand. `FERRULE_FUZZ_INPUTS=10000000 cargo test --release --test
//! language` makes it millions; `FERRULE_FUZZ_SEED` repeats a run that failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use ferrule::Error;
use ferrule::endpoint::{self, Defaults, Direction, Kind, Plan};
use ferrule::error::ErrorKind;
use ferrule::option::{self, Groups, Options, Strictness};
use ferrule::spec::{self, Single, Spec, diagnose, values};

/// A kind that takes whatever the generator makes.
static ANY: Kind = Kind {
    name: "ANY",
    aliases: &[],
    usage: ":<host>:<port>",
    params: (0, 4),
    groups: Groups::ALL,
    direction: Direction::Both,
    doc: "",
    plan: |_| Err(Error::text("a test never gets here")),
};

/// Steele, Lea, Flood: Fast splittable pseudorandom number generators (2014), the mixing function.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit).unwrap()).unwrap()
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

const SEPARATORS: &[&str] = &[":", ":", ",", ",", ",", "=", "=", "!!", "!", " "];
const QUOTES: &[&str] = &["'", "\"", "\\", "(", ")", "[", "]", "{", "}", "\\n", "\\0", "''"];
const WORDS: &[&str] = &[
    "TCP",
    "-",
    "0",
    "10",
    "./f",
    "a",
    "localhost",
    "[::1]",
    "::1",
    "fe80::1%eth0",
    "127.0.0.1/8",
    "80",
    "65536",
    "99999999999999999999",
    "0x1f",
    "-1",
    "1e-3",
    ".5",
    "077",
    "x00ff",
    "b1",
    "i-2",
    "\"s\"",
    "224.0.0.1:eth0",
    "1:2:3",
    "1:2:x0f",
    "fork",
    "frok",
    "mode",
    "bind",
    "\u{fc}",
    "\n",
    "echo it's",
];

/// Words as people write them, glued together as nobody would.
fn text(random: &mut Random, names: &[&str]) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..random.below(14) {
        match random.below(16) {
            0..5 => text.extend_from_slice(random.one(SEPARATORS).as_bytes()),
            5..7 => text.extend_from_slice(random.one(QUOTES).as_bytes()),
            7..11 => text.extend_from_slice(random.one(WORDS).as_bytes()),
            11..15 => text.extend_from_slice(random.one(names).as_bytes()),
            _ => text.extend_from_slice(&random.next().to_le_bytes()[..random.below(4)]),
        }
    }
    text
}

/// An address with the form of one: a keyword, some parameters, some options.
fn address(random: &mut Random, names: &[&str]) -> Vec<u8> {
    let mut text = random.one(&["ANY", "TCP", "TCP-LISTEN", "EXEC", "OPEN", "PTY"]).as_bytes().to_vec();
    for _ in 0..random.below(4) {
        text.push(b':');
        text.extend_from_slice(random.one(WORDS).as_bytes());
    }
    for _ in 0..random.below(4) {
        text.push(b',');
        text.extend_from_slice(random.one(names).as_bytes());
        if random.below(3) > 0 {
            text.push(b'=');
            text.extend_from_slice(random.one(WORDS).as_bytes());
        }
    }
    text
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn random_addresses_are_read_or_refused_with_a_reason() {
    let seed = number("FERRULE_FUZZ_SEED").unwrap_or_else(|| RandomState::new().hash_one(0));
    let inputs = number("FERRULE_FUZZ_INPUTS").unwrap_or(200_000);
    println!("FERRULE_FUZZ_SEED={seed}");
    let mut names: Vec<&str> =
        option::rows().flat_map(|row| std::iter::once(row.name).chain(row.aliases.iter().copied())).collect();
    names.extend(endpoint::kinds().map(|kind| kind.name));
    names.push("nothing-like-it");
    let mut random = Random(seed);
    let mut read = 0_u64;
    for input in 0..inputs {
        let text = if input % 2 == 0 { text(&mut random, &names) } else { address(&mut random, &names) };
        // Explaining what is wrong takes far longer than finding it: not for every input.
        read += u64::from(check(&text, input % 8 < 2));
    }
    // A generator whose inputs are all refused, or all accepted, would test nothing.
    assert!(inputs < 1000 || (inputs / 10..inputs).contains(&read), "{read} of {inputs}");
}

/// What is said about a text: the message, the part underlined, the hint.
fn said(text: &str) -> (String, String, String) {
    let Err(error) = Plan::parse(text.as_bytes(), Direction::Both, &Defaults::default()) else {
        panic!("{text} is a right address");
    };
    let place = error.location().unwrap().span.clone();
    (error.message().to_owned(), text[place].to_owned(), error.advice().unwrap_or("").to_owned())
}

#[test]
fn mistakes_are_explained_at_their_place() {
    for (text, message, place, hint) in [
        ("foo", "unknown device/address \"foo\"", "foo", "./foo"),
        ("10", "unknown device/address \"10\"", "10", "FD:10"),
        ("TPC:a:1", "unknown device/address \"TPC\"", "TPC", "did you mean TCP?"),
        ("TCP:a", "TCP: wrong number of parameters (1 instead of 2): usage: TCP:<host>:<port>", "", ""),
        ("TCP:::1:80", "TCP: wrong number of parameters (4 instead of 2)", "1:80", "TCP:[::1]:80"),
        ("TCP-L:[::1]:80", "TCP-L: wrong number of parameters (2 instead of 1)", "80", "TCP-L:80,bind=[::1]"),
        ("TCP:a:80000", "port 80000 is out of range", "80000", ""),
        ("TCP:a:", "empty port and service", "", ""),
        ("TCP:a b:1", "\"a b\" is not a host name", "a b", ""),
        ("TCP:a:1,bind=b:99999", "port 99999 is out of range", "bind=b:99999", ""),
        ("TCP-L:1,bind=a:2", "option bind takes no port here", "bind=a:2", ""),
        ("TCP-L:1,range=1.2.3.4", "range \"1.2.3.4\": missing netmask delimiter", "range=1.2.3.4", "ADDRESS/BITS"),
        ("TCP:a:1,reuseadr", "parseopts_table(): unknown option \"reuseadr\"", "reuseadr", "reuseaddr"),
        (
            "PTY,wait_slave",
            "parseopts_table(): unknown option \"wait_slave\"",
            "wait_slave",
            "did you mean wait-slave?",
        ),
        (
            "TCP:a:1,backlog=3",
            "parseopts_table(): option \"backlog\" not supported with this address type",
            "backlog",
            "backlog is an option of TCP-LISTEN",
        ),
        ("EXEC:echo a,b", "parseopts_table(): unknown option \"b\"", "b", "EXEC:'echo a,b'"),
        ("SYSTEM:echo a: b", "SYSTEM: wrong number of parameters (2 instead of 1)", " b", "SYSTEM:'echo a: b'"),
        ("EXEC:echo it\\'s", "syntax error: unexpected end", "echo it\\'s", "\\'"),
        ("FD:x", "\"x\" is not the number of a descriptor", "x", ""),
        ("EXEC:cat,link=a,fdin=3", "option link needs a pseudo terminal", "link=a", "pty"),
        ("PTY,mode=9", "parseopts(): missing numerical value of option \"mode=9\"", "9", "octal"),
        ("TCP-L:1,max-children=2", "option max-children not allowed without option fork", "max-children=2", ""),
        ("-,chroot=/", "option chroot changes the whole process", "chroot=/", "process of its own"),
        ("UNIX-L:/x,fork!!-", "option fork is not allowed here", "fork", "!!"),
        ("EXEC:cat,nofork!!-", "option nofork is not allowed here", "nofork", "!!"),
        ("-!!EXEC:cat,nofork", "option nofork is not allowed here", "nofork", "!!"),
    ] {
        let (said, at, advice) = said(text);
        assert!(said.starts_with(message), "{text}: {said}");
        assert_eq!(at, place, "{text}: {said}");
        assert!(if hint.is_empty() { advice.is_empty() } else { advice.contains(hint) }, "{text}: {advice}");
    }
}

/// Reads the text, and everything in it if `thoroughly`. Says whether it was an address.
fn check(text: &[u8], thoroughly: bool) -> bool {
    let shown = || String::from_utf8_lossy(text);
    let spec = match spec::parse(text) {
        Ok(spec) => spec,
        Err(error) => {
            check_error(&error, text);
            return false;
        }
    };
    let printed = spec.to_bytes();
    assert_eq!(spec::parse(&printed).ok().as_ref(), Some(&spec), "{}", shown());
    if !thoroughly {
        return true;
    }
    if let Err(error) = Plan::new(&spec, Direction::Both, &Defaults::default()) {
        check_error(&error, text);
    }
    for single in std::iter::once(&spec.first).chain(&spec.second) {
        check_single(&spec, single, text);
    }
    true
}

fn check_single(spec: &Spec, single: &Single, text: &[u8]) {
    for result in [
        diagnose::kind_of(spec, single).map(|_| ()),
        diagnose::check_params(&ANY, spec, single),
        Options::parse(spec, single, &ANY, Strictness::AnyGroup).map(|_| ()),
    ] {
        if let Err(error) = result {
            check_error(&error, text);
        }
    }
    for word in &single.params {
        if let Ok(words) = values::split_command(&word.bytes) {
            let again: Vec<u8> = words.iter().map(|word| spec::quote(word)).collect::<Vec<_>>().join(&b' ');
            assert_eq!(values::split_command(&again), Ok(words));
        }
        let _ = values::port(&word.bytes).is_ok();
    }
}

/// Every error about a text names a place in it and fits on a screen.
fn check_error(error: &Error, text: &[u8]) {
    let shown = String::from_utf8_lossy(text);
    assert_eq!(error.kind(), ErrorKind::Address, "{shown}");
    let place = error.location().unwrap_or_else(|| panic!("{shown}: {error}"));
    assert!(place.span.start <= place.span.end && place.span.end <= text.len(), "{shown}: {error}");
    let detail = error.detail();
    assert!(detail.contains('^'), "{shown}: {detail}");
    let lines = [error.message()].into_iter().chain(detail.split('\n'));
    for line in lines {
        assert!(line.len() < 2000 && !line.contains(char::is_control), "{shown}: {line}");
    }
}
