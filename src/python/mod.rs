//! The only code that names `pyo3`: the extension module `ferrule._core`.
//!
//! Everything here is thin. A relay runs on a thread of its own ([`crate::relay::Background`]), so that
//! bytes never wait for the interpreter; Python only waits for that thread, with the interpreter released.

mod catalog;
mod errors;
mod logging;
mod pair;
mod ports;
mod relay;
mod report;
mod text;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use pyo3::prelude::*;

/// A word of a command line: text as the system decoded it, or bytes.
#[derive(FromPyObject)]
enum Argument {
    Text(OsString),
    Bytes(Vec<u8>),
}

impl From<Argument> for OsString {
    fn from(argument: Argument) -> Self {
        match argument {
            Argument::Text(text) => text,
            Argument::Bytes(bytes) => Self::from_vec(bytes),
        }
    }
}

fn words(argv: Vec<Argument>) -> Vec<OsString> {
    argv.into_iter().map(Into::into).collect()
}

/// The engine of Ferrule. Use it through the package `ferrule`.
#[pymodule(gil_used = false)]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::catalog::catalog;
    #[pymodule_export]
    use super::pair::virtual_pair;
    #[pymodule_export]
    use super::ports::{Holder, Port, ports};
    #[pymodule_export]
    use super::relay::{Host, Relay, Running};
    #[pymodule_export]
    use super::report::{Flow, Outages, Report};
    #[pymodule_export]
    use super::text::{compose, parse, quote};

    #[pymodule_export]
    #[allow(non_upper_case_globals, reason = "the name is Python's")]
    const __version__: &str = env!("CARGO_PKG_VERSION");

    /// The socat command line. `argv` begins with the program's name; gives the exit code.
    #[pyfunction]
    fn main(py: Python<'_>, argv: Vec<super::Argument>) -> i32 {
        py.detach(|| crate::command::main(super::words(argv)))
    }

    /// What a socat command line would do, in words.
    #[pyfunction]
    #[pyo3(signature = (argv, *, json=false, colour=false))]
    fn explain(py: Python<'_>, argv: Vec<super::Argument>, json: bool, colour: bool) -> PyResult<String> {
        use super::errors::OrRaise;
        crate::command::explain::explain(&super::words(argv), json, colour).or_raise(py)
    }
}
