//! What a relay did, as Python sees it.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::errors::exception;
use crate::relay;

/// One direction of a relay.
#[pyclass(frozen, eq, hash, get_all, module = "ferrule._core")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Bytes written to the sink.
    bytes: u64,
    /// Blocks they were moved in.
    blocks: u64,
    /// Bytes read from the source that could not be written.
    undelivered: u64,
    /// Bytes dropped because whoever sent them asked for that (`PURGE-DATA` of RFC 2217).
    purged: u64,
    /// Bytes dropped because an option says so (`share-slow=drop`, `share-access=ro`).
    discarded: u64,
}

impl From<relay::Flow> for Flow {
    fn from(flow: relay::Flow) -> Self {
        let relay::Flow { bytes, blocks, undelivered, purged, discarded } = flow;
        Self { bytes, blocks, undelivered, purged, discarded }
    }
}

#[pymethods]
impl Flow {
    fn __repr__(&self) -> String {
        let Self { bytes, blocks, undelivered, purged, discarded } = self;
        format!(
            "Flow(bytes={bytes}, blocks={blocks}, undelivered={undelivered}, purged={purged}, discarded={discarded})"
        )
    }

    /// The same as a dict of numbers.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("bytes", self.bytes)?;
        dict.set_item("blocks", self.blocks)?;
        dict.set_item("undelivered", self.undelivered)?;
        dict.set_item("purged", self.purged)?;
        dict.set_item("discarded", self.discarded)?;
        Ok(dict)
    }
}

/// How often and how long addresses with `reconnect` were away.
#[pyclass(frozen, eq, get_all, module = "ferrule._core")]
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outages {
    /// How often one was lost.
    count: u64,
    /// How long all of them were away together, in seconds; an outage counts once it is over.
    seconds: f64,
    /// Bytes that were written meanwhile, kept, and delivered afterwards.
    delivered: u64,
    /// Bytes that were written meanwhile and dropped, as `hold-discard` asks.
    discarded: u64,
}

impl From<relay::Outages> for Outages {
    fn from(outages: relay::Outages) -> Self {
        let relay::Outages { count, away, delivered, discarded } = outages;
        Self { count, seconds: away.as_secs_f64(), delivered, discarded }
    }
}

#[pymethods]
impl Outages {
    fn __repr__(&self) -> String {
        let Self { count, seconds, delivered, discarded } = self;
        format!("Outages(count={count}, seconds={seconds:.3}, delivered={delivered}, discarded={discarded})")
    }

    /// The same as a dict of numbers.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("count", self.count)?;
        dict.set_item("seconds", self.seconds)?;
        dict.set_item("delivered", self.delivered)?;
        dict.set_item("discarded", self.discarded)?;
        Ok(dict)
    }
}

/// What a relay did, or has done so far.
#[pyclass(frozen, module = "ferrule._core")]
#[derive(Debug)]
pub struct Report {
    report: relay::Report,
    running: bool,
}

impl Report {
    /// The report of a relay that has ended.
    pub fn last(report: relay::Report) -> Self {
        Self { report, running: false }
    }

    /// The totals of a relay under way.
    pub fn so_far(report: relay::Report) -> Self {
        Self { report, running: true }
    }
}

#[pymethods]
impl Report {
    /// From `src` to `dst`.
    #[getter]
    fn left_to_right(&self) -> Flow {
        self.report.left_to_right.into()
    }

    /// From `dst` to `src`.
    #[getter]
    fn right_to_left(&self) -> Flow {
        self.report.right_to_left.into()
    }

    /// Sessions served.
    #[getter]
    fn sessions(&self) -> u64 {
        self.report.sessions
    }

    /// Sessions of a forking relay that ended with an error.
    #[getter]
    fn failed(&self) -> u64 {
        self.report.failed
    }

    /// How often and how long addresses with `reconnect` were away.
    #[getter]
    fn outages(&self) -> Outages {
        self.report.outages.into()
    }

    /// Why the relay ended: `running`, `finished`, `half-close`, `idle`, `nobody-came`, `stopped`, `failed`.
    #[getter]
    fn ended(&self) -> &'static str {
        if self.running { "running" } else { self.report.ended.word() }
    }

    /// The first error, as the exception it is raised as; `None` without one.
    #[getter]
    fn error<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.report.error.as_ref().map(|error| exception(py, error).into_value(py).into_bound(py).into_any())
    }

    /// How long the relay took, in seconds.
    #[getter]
    fn duration(&self) -> f64 {
        self.report.duration.as_secs_f64()
    }

    /// Bytes read but not written, both ways.
    #[getter]
    fn undelivered(&self) -> u64 {
        self.report.undelivered()
    }

    /// Whether everything read was written and nothing failed.
    #[getter]
    fn is_success(&self) -> bool {
        self.report.is_success()
    }

    /// The same as a dict that JSON can hold.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("left_to_right", self.left_to_right().as_dict(py)?)?;
        dict.set_item("right_to_left", self.right_to_left().as_dict(py)?)?;
        dict.set_item("sessions", self.sessions())?;
        dict.set_item("failed", self.failed())?;
        dict.set_item("outages", self.outages().as_dict(py)?)?;
        dict.set_item("ended", self.ended())?;
        dict.set_item("error", self.report.error.as_ref().map(ToString::to_string))?;
        dict.set_item("duration", self.duration())?;
        Ok(dict)
    }

    fn __repr__(&self) -> String {
        format!(
            "<Report {}: {} bytes left to right, {} bytes right to left, {} undelivered, {:.3} s>",
            self.ended(),
            self.report.left_to_right.bytes,
            self.report.right_to_left.bytes,
            self.undelivered(),
            self.duration()
        )
    }
}
