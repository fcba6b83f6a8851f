//! The kinds and options as plain data, for what is generated from them.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::text::spelling;
use crate::endpoint::{self, Direction, Kind};
use crate::option::{self, Apply, Groups, Row};

/// Every kind and every option, with the options that fit each kind.
#[pyfunction]
pub fn catalog(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let catalog = PyDict::new(py);
    let options = option::rows().map(|row| row_data(py, row)).collect::<PyResult<Vec<_>>>()?;
    let kinds = endpoint::kinds().map(|kind| kind_data(py, kind)).collect::<PyResult<Vec<_>>>()?;
    catalog.set_item("options", PyList::new(py, options)?)?;
    catalog.set_item("kinds", PyList::new(py, kinds)?)?;
    Ok(catalog)
}

fn row_data<'py>(py: Python<'py>, row: &'static Row) -> PyResult<Bound<'py, PyDict>> {
    let data = PyDict::new(py);
    data.set_item("name", row.name)?;
    data.set_item("short", spelling(row))?;
    data.set_item("aliases", row.aliases)?;
    data.set_item("value", format!("{:?}", row.value))?;
    data.set_item("groups", row.groups.to_string())?;
    data.set_item("phase", row.phase.name())?;
    data.set_item("supported", !matches!(row.apply, Apply::Unsupported(_)))?;
    data.set_item("doc", row.doc.trim())?;
    Ok(data)
}

fn kind_data<'py>(py: Python<'py>, kind: &'static Kind) -> PyResult<Bound<'py, PyDict>> {
    let data = PyDict::new(py);
    data.set_item("name", kind.name)?;
    data.set_item("aliases", kind.aliases)?;
    data.set_item("usage", kind.usage)?;
    data.set_item("params", kind.params)?;
    data.set_item("groups", kind.groups.to_string())?;
    data.set_item("direction", direction(kind.direction))?;
    data.set_item("doc", kind.doc.trim())?;
    let groups = kind.groups.and(Groups::EVERY_KIND);
    // Two rows may share a spelling; the one a kind takes is the one a look-up finds.
    let fits = |row: &&Row| {
        row.groups.intersects(groups) && option::find(row.name, groups).is_some_and(|found| std::ptr::eq(found, *row))
    };
    let fitting = option::rows().enumerate().filter(|(_, row)| fits(row)).map(|(index, _)| index);
    data.set_item("options", fitting.collect::<Vec<_>>())?;
    Ok(data)
}

const fn direction(direction: Direction) -> &'static str {
    match direction {
        Direction::Both => "both",
        Direction::Read => "read",
        Direction::Write => "write",
    }
}
