//! Any bytes as an address: no panic, and what can be read is the same after printing.
#![no_main]

use ferrule::endpoint::{Defaults, Direction, Plan};
use ferrule::spec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    match spec::parse(text) {
        Ok(parsed) => assert_eq!(spec::parse(&parsed.to_bytes()).as_ref().ok(), Some(&parsed)),
        Err(error) => assert!(error.location().is_some() && !error.detail().is_empty()),
    }
    if let Err(error) = Plan::parse(text, Direction::Both, &Defaults::default()) {
        let _ = (error.to_string(), error.detail());
    }
    let word = spec::quote(text);
    let parsed = spec::parse(&[b"OPEN:", word.as_slice()].concat()).map(|spec| spec.first.params);
    assert_eq!(parsed.as_ref().ok().map(|params| params[0].bytes.as_slice()), Some(text));
});
