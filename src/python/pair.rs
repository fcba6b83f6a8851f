//! Two serial ports wired to each other, relayed on a thread of their own.

use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyTimeoutError;
use pyo3::prelude::*;

use super::errors::OrRaise;
use super::logging;
use super::relay::Running;
use crate::Result;
use crate::channel::Channel;
use crate::endpoint::{self, BoxFuture, Connect, Context, Opener, Plan, pty};
use crate::error::{Error, ErrorKind, Phase};
use crate::relay::{Relay, Settings};

/// How long making two terminals may take.
const PATIENCE: Duration = Duration::from_secs(5);

type Names = (PathBuf, PathBuf);

/// Makes two raw terminals wired to each other: the relay between them, and the name of each.
#[pyfunction]
#[pyo3(signature = (link_a=None, link_b=None))]
pub fn virtual_pair(py: Python<'_>, link_a: Option<PathBuf>, link_b: Option<PathBuf>) -> PyResult<(Running, Names)> {
    let (sender, names) = sync_channel(1);
    let other = Arc::<Mutex<Option<Channel>>>::default();
    let first = First { links: (link_a, link_b), names: sender, other: Arc::clone(&other) };
    let left = plan(Arc::new(first)).or_raise(py)?;
    let right = plan(Arc::new(Second(other))).or_raise(py)?;
    let running = Running::start(py, Relay::new(left, right, Settings::default(), logging::log(py)?))?;
    if let Ok(names) = py.detach(move || names.recv_timeout(PATIENCE)) {
        return Ok((running, names));
    }
    // Without names the relay has failed, and waiting for it says why.
    running.wait(py, Some(PATIENCE.as_secs_f64()))?;
    Err(PyTimeoutError::new_err("no terminals came up"))
}

fn plan(opener: Arc<dyn Connect>) -> Result<Plan> {
    let kind = endpoint::find("PTY").ok_or_else(|| Error::text("unknown device/address \"PTY\""))?;
    Ok(Plan::of_opener(kind, "virtual pair", Opener::Connect(opener)))
}

/// Makes both terminals, since they belong together.
struct First {
    links: (Option<PathBuf>, Option<PathBuf>),
    names: SyncSender<Names>,
    other: Arc<Mutex<Option<Channel>>>,
}

impl Connect for First {
    fn connect<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(async {
            let pair = pty::virtual_pair(self.links.0.as_deref(), self.links.1.as_deref())?;
            let (first, second) = pair.channels;
            *self.other.lock().unwrap_or_else(PoisonError::into_inner) = Some(second);
            // Whoever waited for the names may have given up.
            let _ = self.names.try_send(pair.names);
            Ok(first)
        })
    }
}

/// Gives the terminal that [`First`] has left.
struct Second(Arc<Mutex<Option<Channel>>>);

impl Connect for Second {
    fn connect<'a>(&'a self, _: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(async {
            let channel = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
            channel.ok_or_else(|| Error::new(ErrorKind::Open, Phase::Open, "the pair was opened already"))
        })
    }
}
