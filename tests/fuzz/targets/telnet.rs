//! Any bytes through the parser of TELNET: it never fails, and where they are cut changes nothing.
#![no_main]

use ferrule::telnet::codec::{Event, Parser};
use ferrule::telnet::comport::{Message, Role};

fn told(blocks: &[&[u8]]) -> Vec<(u8, u8, Vec<u8>)> {
    let mut parser = Parser::default();
    let mut all: Vec<(u8, u8, Vec<u8>)> = Vec::new();
    for block in blocks {
        let mut block = *block;
        while let Some(event) = parser.next(&mut block) {
            match (event, all.last_mut()) {
                (Event::Data(data), Some((0, _, last))) => last.extend_from_slice(data),
                (Event::Data(data), _) => all.push((0, 0, data.to_vec())),
                (Event::Command(code), _) => all.push((1, code, Vec::new())),
                (Event::Negotiate(verb, option), _) => all.push((2, option, verb.bytes(option).to_vec())),
                (Event::Sub(option, payload), _) => {
                    let _ = Message::read(Role::Client, payload);
                    let _ = Message::read(Role::Server, payload);
                    all.push((3, option, payload.to_vec()));
                }
            }
        }
    }
    all
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some((&place, stream)) = input.split_first() else { return };
    let (front, back) = stream.split_at(usize::from(place).min(stream.len()));
    assert_eq!(told(&[stream]), told(&[front, back]));
});
