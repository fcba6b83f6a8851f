#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::endpoint::{Defaults, Direction};
use crate::log::Log;
use crate::relay::Settings;

/// Most bytes the task of one session may have. Thousands of idle connections are thousands of these, and
/// one more large value that lives across an `await` makes each of them larger.
const MOST: usize = 1300;

#[test]
fn an_idle_session_is_small() {
    let plan = || Plan::parse(b"STALL", Direction::Both, &Defaults::default()).unwrap();
    let relay = Arc::new(Relay::new(plan(), plan(), Settings::default(), Log::silent()));
    let context = relay.context();
    let task = Arc::clone(&relay).forked(Relay::serve_right, Box::default(), context, Stop::default());
    let size = size_of_val(&task);
    assert!(size < MOST, "the task of one session has {size} bytes");
}
