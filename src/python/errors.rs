//! The error type of the crate as exceptions of `ferrule.errors`.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{IntoPyDict, PyModule};

use crate::error::{Error, ErrorKind, Phase};

/// The exception for an error; never fails, at worst it is the exception of the failure to make it.
pub fn exception(py: Python<'_>, error: &Error) -> PyErr {
    build(py, error).unwrap_or_else(|failure| failure)
}

fn build(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let class = module(py)?.getattr(class_name(error))?;
    let details = [
        ("detail", error.detail().into_pyobject(py)?.into_any()),
        ("address", error.address().into_pyobject(py)?.into_any()),
        ("phase", error.phase().word().into_pyobject(py)?.into_any()),
        ("errno", error.errno().into_pyobject(py)?.into_any()),
        ("hint", error.advice().into_pyobject(py)?.into_any()),
    ];
    let exception = class.call((error.to_string(),), Some(&details.into_py_dict(py)?))?;
    Ok(PyErr::from_value(exception))
}

fn module(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    static MODULE: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    Ok(MODULE.get_or_try_init(py, || PyModule::import(py, "ferrule.errors").map(Bound::unbind))?.bind(py))
}

fn class_name(error: &Error) -> &'static str {
    let moving = matches!(error.phase(), Phase::Read | Phase::Write | Phase::Close);
    match error.kind() {
        ErrorKind::Usage | ErrorKind::Address => "AddressError",
        ErrorKind::Open => "OpenError",
        ErrorKind::Transfer => "TransferError",
        ErrorKind::Timeout if moving => "TransferTimeoutError",
        ErrorKind::Timeout => "OpenTimeoutError",
        ErrorKind::Child => "ChildError",
    }
}

/// Lets `?` turn results of the crate into results of Python.
pub trait OrRaise<T> {
    /// The value, or the exception for the error.
    fn or_raise(self, py: Python<'_>) -> PyResult<T>;
}

impl<T> OrRaise<T> for crate::error::Result<T> {
    fn or_raise(self, py: Python<'_>) -> PyResult<T> {
        self.map_err(|error| exception(py, &error))
    }
}
