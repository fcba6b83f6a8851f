//! The load generator behind `peers.py` and `serial.py`: both ends of every relayed connection.
//!
//! `load ROLE [--KEY VALUE]...` plays one role and answers with one JSON object a line on stdout.
//! An endpoint is `tcp:127.0.0.1:PORT` (0 picks a free port) or `unix:PATH`.
//!
//! | role | does |
//! |---|---|
//! | `serve` | the far end: sinks and echoes, as the first byte of each connection asks |
//! | `send` | streams as many bytes as go through, and has them counted at the far end |
//! | `latency` | sends a few bytes there and back, one message at a time |
//! | `mixed` | both at once |
//! | `connections` | connects, sends one byte there and back, closes |
//! | `idle` | holds connections, and sends a burst through each when told to |
//! | `device` | is a serial device that echoes |
//! | `feed` | is serial devices that send at the speed of their lines, and the clients of their relays |
//! | `emit` | writes the bytes of one stream to stdout, for a file or a pipe |
//! | `floor` | a relay that does nothing but the calls no relay can do without, to compare with |
//! | `tokio-copy` | a relay on `tokio::io::copy_bidirectional`, to compare with |
//! | `run` | becomes another program, with its parent's death, descriptors and cgroup settled |
//!
//! Every role is bounded in time, most also in count, and none outlives the process that started it.

mod load {
    pub mod arguments;
    pub mod connections;
    pub mod device;
    pub mod endpoint;
    pub mod feed;
    pub mod floor;
    pub mod idle;
    pub mod json;
    pub mod latency;
    pub mod mixed;
    pub mod pattern;
    pub mod run;
    pub mod send;
    pub mod serve;
    pub mod tokio_copy;
}

use std::process::ExitCode;

use load::arguments::Arguments;

/// What goes wrong in a load generator is told to a person and never handled.
type Failure = Box<dyn std::error::Error + Send + Sync>;

fn play() -> Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let role = words.next().ok_or("usage: load ROLE [--KEY VALUE]...")?;
    let mut arguments = Arguments::parse(words)?;
    if role == "run" {
        return load::run::become_program(&mut arguments);
    }
    load::run::settle()?;
    match role.as_str() {
        "serve" => load::serve::serve(&mut arguments),
        "send" => load::send::send(&mut arguments),
        "latency" => load::latency::latency(&mut arguments),
        "mixed" => load::mixed::mixed(&mut arguments),
        "connections" => load::connections::connections(&mut arguments),
        "idle" => load::idle::idle(&mut arguments),
        "device" => load::device::echo(&mut arguments),
        "feed" => load::feed::feed(&mut arguments),
        "emit" => load::pattern::emit(&mut arguments),
        "floor" => load::floor::relay(&mut arguments),
        "tokio-copy" => load::tokio_copy::relay(&mut arguments),
        _ => Err(format!("no role {role:?}").into()),
    }
}

fn main() -> ExitCode {
    match play() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("load: {failure}");
            ExitCode::FAILURE
        }
    }
}
