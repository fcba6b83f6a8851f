//! A relay and a relay under way, as Python sees them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use pyo3::exceptions::{PyRuntimeError, PyTimeoutError, PyValueError};
use pyo3::prelude::*;

use super::errors::{OrRaise, exception};
use super::logging;
use super::report::Report;
use crate::capture;
use crate::endpoint::{Defaults, Direction, Plan};
use crate::relay::{self, Background, Ending, Ways};

/// How often a waiting main thread looks for signals: Ctrl-C is to be answered within 200 ms.
const TICK: Duration = Duration::from_millis(40);
/// How long what was read may take to be written after Ctrl-C, before all is dropped.
const GRACE: Duration = Duration::from_millis(100);
/// How long an aborted relay is waited for; it closes at once, but for a system call that blocks.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a relay that has ended waits for the handlers of its log.
const LOG_PATIENCE: Duration = Duration::from_millis(50);

/// Two checked addresses and how to relay between them.
#[pyclass(frozen, module = "ferrule._core")]
pub struct Relay {
    src: Vec<u8>,
    dst: Vec<u8>,
    settings: relay::Settings,
    process: u32,
}

#[pymethods]
impl Relay {
    #[new]
    #[pyo3(signature = (
        src, dst, *, idle_timeout=None, half_close_timeout=None, direction="both", buffer_size=None, capture=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "they are Python's keyword arguments")]
    fn new(
        py: Python<'_>,
        src: Vec<u8>,
        dst: Vec<u8>,
        idle_timeout: Option<f64>,
        half_close_timeout: Option<f64>,
        direction: &str,
        buffer_size: Option<usize>,
        capture: Option<Capture>,
    ) -> PyResult<Self> {
        let settings = relay::Settings {
            ways: ways(direction)?,
            idle: idle_timeout.map(|limit| seconds("idle_timeout", limit)).transpose()?,
            linger: half_close_timeout.map(|limit| seconds("half_close_timeout", limit)).transpose()?,
            buffer: buffer_size.map(buffer_bytes).transpose()?,
            capture: capture.map(|capture| capture.settings(py)).transpose()?,
            environment: environment(),
            program: Defaults::default().program,
            ..relay::Settings::default()
        };
        let relay = Self { src, dst, settings, process: std::process::id() };
        relay.plans().or_raise(py)?;
        Ok(relay)
    }

    /// Starts the relay on a thread of its own, or on that of a host.
    #[pyo3(signature = (host=None))]
    fn start(&self, py: Python<'_>, host: Option<&Host>) -> PyResult<Running> {
        same_process(self.process)?;
        let (left, right) = self.plans().or_raise(py)?;
        let relay = relay::Relay::new(left, right, self.settings.clone(), logging::log(py)?);
        match host {
            None => Running::start(py, relay),
            Some(host) => Running::of(py, host.start(relay)?),
        }
    }

    /// Relays until the end. Ctrl-C on the main thread closes everything, then raises.
    fn run(&self, py: Python<'_>) -> PyResult<Report> {
        let running = self.start(py, None)?;
        let waited = running.wait(py, None);
        if running.is_running()? {
            let background = running.background()?;
            py.detach(|| background.close(GRACE, PATIENCE));
        }
        waited
    }
}

/// Path, format, bytes of a file, number of files.
#[derive(FromPyObject)]
struct Capture(PathBuf, Option<String>, Option<u64>, Option<u32>);

impl Capture {
    fn settings(self, py: Python<'_>) -> PyResult<capture::Settings> {
        let Self(path, format, size, files) = self;
        capture::Settings::new(capture::Target::File(path), format.as_deref(), size, files).or_raise(py)
    }
}

impl Relay {
    fn plans(&self) -> crate::Result<(Plan, Plan)> {
        let (left, right) = match self.settings.ways {
            Ways::Both => (Direction::Both, Direction::Both),
            Ways::LeftToRight => (Direction::Read, Direction::Write),
            Ways::RightToLeft => (Direction::Write, Direction::Read),
        };
        let defaults = Defaults::default();
        Ok((Plan::parse(&self.src, left, &defaults)?, Plan::parse(&self.dst, right, &defaults)?))
    }
}

/// A thread that relays share.
#[pyclass(frozen, module = "ferrule._core")]
pub struct Host {
    /// Only taken when dropped.
    host: Option<relay::Host>,
    process: u32,
}

#[pymethods]
impl Host {
    #[new]
    fn new(py: Python<'_>) -> PyResult<Self> {
        let host = py.detach(relay::Host::new).or_raise(py)?;
        Ok(Self { host: Some(host), process: std::process::id() })
    }
}

impl Host {
    fn start(&self, relay: relay::Relay) -> PyResult<Background> {
        same_process(self.process)?;
        let host = self.host.as_ref().ok_or_else(|| PyRuntimeError::new_err("the host is gone"))?;
        Ok(host.start(relay))
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // A forked child has a copy, but not the thread.
        if same_process(self.process).is_err() {
            std::mem::forget(self.host.take());
        }
    }
}

/// A relay under way.
#[pyclass(frozen, weakref, module = "ferrule._core")]
pub struct Running {
    /// Only taken when dropped.
    background: Option<Arc<Background>>,
    process: u32,
}

#[pymethods]
impl Running {
    /// Asks the relay to end: nothing more is accepted or read, what was read is still written.
    fn stop(&self) -> PyResult<()> {
        self.background()?.stop();
        Ok(())
    }

    /// Makes the relay end at once.
    fn abort(&self) -> PyResult<()> {
        self.background()?.abort();
        Ok(())
    }

    /// Waits for the end.
    #[pyo3(signature = (timeout=None))]
    pub fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Report> {
        let background = self.background()?;
        let deadline = match timeout {
            Some(limit) => Instant::now().checked_add(seconds("timeout", limit)?),
            None => None,
        };
        let main = is_main_thread(py)?;
        loop {
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let step = if main { Some(left.map_or(TICK, |left| left.min(TICK))) } else { left };
            if py.detach(|| background.wait(step)) {
                return self.result(py);
            }
            py.check_signals()?;
            if left.is_some_and(|left| left.is_zero()) {
                return Err(PyTimeoutError::new_err("the relay is still running"));
            }
        }
    }

    /// Stops the relay, aborts it after `grace` seconds, and waits until everything is closed.
    #[pyo3(signature = (grace=1.0))]
    fn close(&self, py: Python<'_>, grace: f64) -> PyResult<()> {
        let (background, grace) = (self.background()?, seconds("grace", grace)?);
        py.detach(|| background.close(grace, PATIENCE));
        logging::flush(py, LOG_PATIENCE);
        Ok(())
    }

    /// Whether the relay has not ended yet.
    #[getter]
    fn is_running(&self) -> PyResult<bool> {
        Ok(self.background()?.outcome().is_none())
    }

    /// What was done: so far, or at the end.
    #[getter]
    fn report(&self) -> PyResult<Report> {
        let background = self.background()?;
        Ok(match background.outcome() {
            None => Report::so_far(background.progress()),
            Some(outcome) => Report::last(report(background, outcome)),
        })
    }

    /// What the relay listens on, as far as it has come: `127.0.0.1:40123`, `[::1]:4000`, or a path.
    #[getter]
    fn listening(&self) -> PyResult<Vec<String>> {
        Ok(self.background()?.listening())
    }

    /// Sessions under way: clients that are being served.
    #[getter]
    fn active(&self) -> PyResult<u64> {
        Ok(self.background()?.active())
    }

    /// Calls `callback` without arguments when everything is closed, on a thread of the relay's own.
    fn on_end(&self, callback: Py<PyAny>) -> PyResult<()> {
        self.background()?.on_end(move || {
            // Without an interpreter there is nobody left to tell.
            let _ = Python::try_attach(|py| {
                if let Err(error) = callback.call0(py) {
                    error.write_unraisable(py, Some(callback.bind(py)));
                }
                drop(callback);
            });
        });
        Ok(())
    }

    fn __enter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    /// Ends the relay. Its failure is raised, unless the block has raised already or it was stopped here.
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        _value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py, 1.0)?;
        if kind.is_none() && !self.is_running()? {
            self.result(py)?;
        }
        Ok(())
    }

    fn __repr__(&self) -> PyResult<String> {
        Ok(if self.is_running()? { "<Running>" } else { "<Running: ended>" }.to_owned())
    }
}

impl Running {
    /// Starts a relay.
    pub fn start(py: Python<'_>, relay: relay::Relay) -> PyResult<Self> {
        let background = py.detach(|| Background::start(relay)).or_raise(py)?;
        Self::of(py, background)
    }

    fn of(py: Python<'_>, background: Background) -> PyResult<Self> {
        let background = Arc::new(background);
        remember(py, &background)?;
        Ok(Self { background: Some(background), process: std::process::id() })
    }

    fn background(&self) -> PyResult<&Background> {
        same_process(self.process)?;
        self.background.as_deref().ok_or_else(|| PyRuntimeError::new_err("the relay is gone"))
    }

    /// The report of a relay that has ended, or the exception it ended with.
    fn result(&self, py: Python<'_>) -> PyResult<Report> {
        logging::flush(py, LOG_PATIENCE);
        let background = self.background()?;
        let report = background.outcome().map_or_else(|| background.progress(), |outcome| report(background, outcome));
        let failure = report.error.clone().filter(|_| report.ended != relay::Ended::Stopped);
        let report = Report::last(report);
        match failure {
            None => Ok(report),
            Some(error) => {
                let raised = exception(py, &error);
                raised.value(py).setattr("report", report)?;
                Err(raised)
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // A forked child has a copy, but neither the relay's thread nor locks that can be trusted.
        if same_process(self.process).is_err() {
            std::mem::forget(self.background.take());
        }
        if let Some(background) = &self.background {
            background.abort();
        }
    }
}

/// A relay of this process, as long as its thread has something to do.
struct Live {
    process: u32,
    relay: Weak<Background>,
    ending: Ending,
}

/// Relays under way, to be ended with the interpreter. Only locked while attached to the interpreter.
static LIVE: Mutex<Vec<Live>> = Mutex::new(Vec::new());

fn remember(py: Python<'_>, background: &Arc<Background>) -> PyResult<()> {
    /// A forked child inherits this together with what Python does at its exit.
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if !REGISTERED.swap(true, Ordering::Relaxed) {
        py.import("atexit")?.call_method1("register", (wrap_pyfunction!(close_all, py)?,))?;
    }
    let process = std::process::id();
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    // Those of the parent of a fork are left alone: their locks may be held for ever.
    live.retain(|relay| relay.process != process || !relay.ending.is_over());
    live.push(Live { process, relay: Arc::downgrade(background), ending: background.ending() });
    Ok(())
}

/// Ends all relays of this process, so that nothing they made stays behind, and no thread of theirs meets
/// an interpreter that is going away.
#[pyfunction]
fn close_all(py: Python<'_>) {
    let process = std::process::id();
    let mut live = std::mem::take(&mut *LIVE.lock().unwrap_or_else(PoisonError::into_inner));
    let strangers: Vec<_> = live.extract_if(.., |relay| relay.process != process).collect();
    std::mem::forget(strangers);
    py.detach(|| {
        let relays: Vec<_> = live.iter().filter_map(|live| live.relay.upgrade()).collect();
        for relay in &relays {
            relay.stop();
        }
        for relay in &relays {
            relay.close(GRACE, PATIENCE);
        }
        for live in &live {
            live.ending.wait(PATIENCE);
        }
    });
    logging::finish(py, PATIENCE);
}

fn report(background: &Background, outcome: relay::Outcome) -> relay::Report {
    outcome.unwrap_or_else(|words| relay::Report {
        ended: relay::Ended::Failed,
        error: Some(relay::panicked(&words)),
        ..background.progress()
    })
}

fn same_process(owner: u32) -> PyResult<()> {
    if owner == std::process::id() {
        return Ok(());
    }
    let message = format!("this relay belongs to process {owner}; after os.fork() the child makes relays of its own");
    Err(PyRuntimeError::new_err(message))
}

fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import("threading")?;
    let main = threading.call_method0("main_thread")?.getattr("ident")?;
    threading.call_method0("get_ident")?.eq(main)
}

fn ways(direction: &str) -> PyResult<Ways> {
    match direction {
        "both" => Ok(Ways::Both),
        "left-to-right" => Ok(Ways::LeftToRight),
        "right-to-left" => Ok(Ways::RightToLeft),
        _ => Err(PyValueError::new_err(format!(
            "direction must be \"both\", \"left-to-right\" or \"right-to-left\", not {direction:?}"
        ))),
    }
}

fn seconds(name: &str, value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value)
        .map_err(|_| PyValueError::new_err(format!("{name} must be a number of seconds, 0 or more, not {value}")))
}

fn buffer_bytes(bytes: usize) -> PyResult<usize> {
    /// What two buffers of may be allocated without asking.
    const MOST: usize = 1 << 30;
    if (1..=MOST).contains(&bytes) {
        return Ok(bytes);
    }
    Err(PyValueError::new_err(format!("buffer_size must be 1 to {MOST} bytes, not {bytes}")))
}

/// What every child is told, without the prefix.
fn environment() -> Vec<(&'static str, std::ffi::OsString)> {
    let process = std::process::id().to_string();
    vec![("VERSION", env!("CARGO_PKG_VERSION").into()), ("PID", process.clone().into()), ("PPID", process.into())]
}
