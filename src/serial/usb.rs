//! What a USB adapter says of itself, from the kernel's tree of devices.

use std::path::Path;

use super::{last, read};

/// How many devices above a terminal its adapter is, at most: port, interface, device.
const HEIGHT: usize = 5;

/// A USB device, and the interface of it that a port belongs to; see the USB specification 2.0, 9.6.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Usb {
    /// `idVendor`.
    pub vid: u16,
    /// `idProduct`.
    pub pid: u16,
    /// `iSerialNumber`, if it has one.
    pub serial: Option<String>,
    /// `iManufacturer`.
    pub manufacturer: Option<String>,
    /// `iProduct`.
    pub product: Option<String>,
    /// `bInterfaceNumber`: which of the device's ports it is.
    pub interface: Option<u8>,
    /// The plug it is in: bus, and the ports of the hubs on the way; `1-4.2`.
    pub location: String,
}

impl Usb {
    /// The adapter a device of the kernel's tree belongs to; `None` when it is not on USB.
    pub(super) fn of(device: &Path) -> Option<Self> {
        let mut above = device.ancestors().take(HEIGHT);
        let interface = above.clone().find_map(|level| hexadecimal(&level.join("bInterfaceNumber")));
        let adapter = above.find(|level| level.join("idVendor").exists())?;
        let text = |name: &str| read(&adapter.join(name));
        Some(Self {
            vid: hexadecimal(&adapter.join("idVendor"))?,
            pid: hexadecimal(&adapter.join("idProduct"))?,
            serial: text("serial"),
            manufacturer: text("manufacturer"),
            product: text("product"),
            interface: interface.and_then(|number| u8::try_from(number).ok()),
            location: last(adapter)?,
        })
    }
}

fn hexadecimal(file: &Path) -> Option<u16> {
    u16::from_str_radix(&read(file)?, 16).ok()
}
