//! The serial ports of this machine, as Python sees them.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::serial::{self, System};

/// A process that has a port open.
#[pyclass(frozen, eq, hash, get_all, module = "ferrule._core")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Its number.
    pid: u32,
    /// The name of its command.
    command: String,
}

#[pymethods]
impl Holder {
    fn __repr__(&self) -> String {
        format!("Holder(pid={}, command={:?})", self.pid, self.command)
    }
}

/// A serial port.
#[pyclass(frozen, eq, hash, get_all, module = "ferrule._core")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Port {
    /// Its device: `/dev/ttyUSB0`. This name may be another one after the next plug.
    device: String,
    /// What it is, in a few words.
    description: String,
    /// Links that say which adapter it is: `/dev/serial/by-id/...`.
    by_id: Vec<String>,
    /// Links that say which plug it is in: `/dev/serial/by-path/...`.
    by_path: Vec<String>,
    /// The driver of the kernel: `ftdi_sio`.
    driver: Option<String>,
    /// The vendor's number on USB; `None` when it is not on USB.
    vid: Option<u16>,
    /// The product's number on USB.
    pid: Option<u16>,
    /// The adapter's serial number.
    serial_number: Option<String>,
    /// The adapter's manufacturer.
    manufacturer: Option<String>,
    /// The adapter's product name.
    product: Option<String>,
    /// Which of several ports of the adapter it is.
    interface: Option<u8>,
    /// The plug the adapter is in: `1-4.2`.
    location: Option<String>,
    /// Who has it open; of processes of other users only root is told.
    holders: Vec<Holder>,
    /// Why this user may not open it, and what would help; `None` when this user may.
    refusal: Option<String>,
}

impl From<serial::Port> for Port {
    fn from(port: serial::Port) -> Self {
        let texts = |paths: &[std::path::PathBuf]| paths.iter().map(|path| path.display().to_string()).collect();
        let holder = |holder: serial::Holder| Holder { pid: holder.pid, command: holder.command };
        let (description, usb) = (port.description(), port.usb);
        Self {
            device: port.path.display().to_string(),
            description,
            by_id: texts(&port.by_id),
            by_path: texts(&port.by_path),
            driver: port.driver,
            vid: usb.as_ref().map(|usb| usb.vid),
            pid: usb.as_ref().map(|usb| usb.pid),
            interface: usb.as_ref().and_then(|usb| usb.interface),
            location: usb.as_ref().map(|usb| usb.location.clone()),
            serial_number: usb.as_ref().and_then(|usb| usb.serial.clone()),
            manufacturer: usb.as_ref().and_then(|usb| usb.manufacturer.clone()),
            product: usb.and_then(|usb| usb.product),
            holders: port.holders.into_iter().map(holder).collect(),
            refusal: port.refusal,
        }
    }
}

#[pymethods]
impl Port {
    fn __repr__(&self) -> String {
        format!("<Port {}: {}>", self.device, self.description)
    }

    fn __str__(&self) -> &str {
        &self.device
    }

    /// For what takes a path, such as `open()`.
    fn __fspath__(&self) -> &str {
        &self.device
    }

    /// The same as a dict that JSON can hold.
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("device", &self.device)?;
        dict.set_item("description", &self.description)?;
        dict.set_item("by_id", &self.by_id)?;
        dict.set_item("by_path", &self.by_path)?;
        dict.set_item("driver", &self.driver)?;
        dict.set_item("vid", self.vid)?;
        dict.set_item("pid", self.pid)?;
        dict.set_item("serial_number", &self.serial_number)?;
        dict.set_item("manufacturer", &self.manufacturer)?;
        dict.set_item("product", &self.product)?;
        dict.set_item("interface", self.interface)?;
        dict.set_item("location", &self.location)?;
        let holders = self.holders.iter().map(|holder| {
            let of_one = PyDict::new(py);
            of_one.set_item("pid", holder.pid)?;
            of_one.set_item("command", &holder.command)?;
            Ok(of_one)
        });
        dict.set_item("holders", holders.collect::<PyResult<Vec<_>>>()?)?;
        dict.set_item("refusal", &self.refusal)?;
        Ok(dict)
    }
}

/// The serial ports of the machine whose /dev, /sys and /proc are below `root`.
#[pyfunction]
#[pyo3(signature = (root=None))]
pub fn ports(py: Python<'_>, root: Option<std::path::PathBuf>) -> Vec<Port> {
    py.detach(|| {
        let system = root.map_or_else(System::default, System::at);
        system.ports().into_iter().map(Port::from).collect()
    })
}
