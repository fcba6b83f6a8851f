//! The runtime of the command line.

use std::io;

use tokio::runtime::{Builder, Runtime};

/// One thread, the steadiest and the quickest to start. It looks for new events after every few tasks, so
/// that a busy session does not keep the others waiting.
pub fn relay_runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_io().enable_time().event_interval(8).build()
}
