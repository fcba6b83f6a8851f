//! Which serial ports there are.
//!
//! What is no port does not count: pseudo terminals, virtual consoles, and the places of an 8250 driver that
//! have no UART, which are four `ttyS` on most machines.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, Gid, Group, eaccess};

use super::{Holder, System, Usb, last, names, natural, read};

/// A serial port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Port {
    /// Its device: `/dev/ttyUSB0`. This name may be another one after the next plug.
    pub path: PathBuf,
    /// Links that say which adapter it is: `/dev/serial/by-id/...`.
    pub by_id: Vec<PathBuf>,
    /// Links that say which plug it is in: `/dev/serial/by-path/...`.
    pub by_path: Vec<PathBuf>,
    /// The driver of the kernel: `ftdi_sio`.
    pub driver: Option<String>,
    /// The adapter, if it is one.
    pub usb: Option<Usb>,
    /// Who has it open. Of processes of other users only root is told.
    pub holders: Vec<Holder>,
    /// Why this user may not open it, and what would help.
    pub refusal: Option<String>,
}

impl Port {
    /// What it is, in a few words.
    #[must_use]
    pub fn description(&self) -> String {
        let Some(usb) = &self.usb else {
            return self.driver.clone().unwrap_or_default();
        };
        let words: Vec<&str> = [&usb.manufacturer, &usb.product].into_iter().flatten().map(String::as_str).collect();
        if words.is_empty() { format!("USB {:04x}:{:04x}", usb.vid, usb.pid) } else { words.join(" ") }
    }
}

impl System {
    /// All serial ports, in the order of their names. Looks only: opening a port would move its lines.
    pub fn ports(&self) -> Vec<Port> {
        let mut links = self.links("dev/serial/by-id");
        let mut paths = self.links("dev/serial/by-path");
        let mut holders = self.holders();
        let mut found = self.port_names();
        found.sort_by(|a, b| natural(a).cmp(&natural(b)));
        let port = |name: String| {
            let path = self.path("dev").join(&name);
            let device = self.path("sys/class/tty").join(&name).join("device").canonicalize().ok();
            Port {
                by_id: links.remove(&path).unwrap_or_default(),
                by_path: paths.remove(&path).unwrap_or_default(),
                driver: device.as_deref().and_then(driver),
                usb: device.as_deref().and_then(Usb::of),
                holders: holders.remove(&path).unwrap_or_default(),
                refusal: refusal(&path),
                path,
            }
        };
        found.into_iter().map(port).collect()
    }

    /// The names of all ports that have a device: what the kernel's tree says, and on this machine what the
    /// serialport library finds besides, such as Bluetooth.
    fn port_names(&self) -> Vec<String> {
        let class = self.path("sys/class/tty");
        let has_device = |name: &String| class.join(name).join("device").exists();
        let mut found: Vec<String> = names(&class).into_iter().filter(has_device).collect();
        // The library panics where there is no such directory.
        if self.is_this_machine() && class.exists() {
            let listed = tokio_serial::available_ports().unwrap_or_default();
            found.extend(listed.iter().filter_map(|port| Some(port.port_name.strip_prefix("/dev/")?.to_owned())));
        }
        found.sort();
        found.dedup();
        found.retain(|name| self.path("dev").join(name).exists() && !is_vacant(&class.join(name)));
        found
    }

    /// Where the links of a directory lead, and their names.
    fn links(&self, directory: &str) -> HashMap<PathBuf, Vec<PathBuf>> {
        let directory = self.path(directory);
        let mut links: HashMap<PathBuf, Vec<PathBuf>> = HashMap::new();
        for name in names(&directory) {
            let link = directory.join(name);
            if let Ok(device) = link.canonicalize() {
                links.entry(device).or_default().push(link);
            }
        }
        links
    }
}

/// A place for a UART without one: its type is 0, `PORT_UNKNOWN` of linux/serial.h.
fn is_vacant(class: &Path) -> bool {
    read(&class.join("type")).is_some_and(|kind| kind == "0")
}

/// The driver of a device, or of the one above it: the port of a driver's own bus (`serial-base`) says nothing.
fn driver(device: &Path) -> Option<String> {
    let link = |level: &Path, name: &str| level.join(name).canonicalize().ok().and_then(|path| last(&path));
    let own = |level: &&Path| link(level, "subsystem").is_none_or(|bus| bus != "serial-base");
    device.ancestors().take(4).filter(own).find_map(|level| link(level, "driver"))
}

/// Why this user may not open the device.
fn refusal(path: &Path) -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    if eaccess(path, AccessFlags::R_OK | AccessFlags::W_OK).is_ok() {
        return None;
    }
    let owner = std::fs::metadata(path).ok()?;
    // What the group may not do either is up to the administrator.
    let members = owner.mode() & 0o060 == 0o060;
    let group = Group::from_gid(Gid::from_raw(owner.gid())).ok().flatten().filter(|_| members && owner.gid() != 0);
    Some(match group {
        Some(group) => {
            format!("its users are in the group {0}: sudo usermod -aG {0} $USER, then log in again", group.name)
        }
        None => "only root may open it".to_owned(),
    })
}

impl System {
    /// Why this user may not open a device, and what would help.
    pub fn refusal(&self, path: &Path) -> Option<String> {
        refusal(path)
    }

    /// What there is instead of a port that is missing, for messages.
    pub fn alternatives(&self) -> String {
        let ports = self.ports();
        if ports.is_empty() {
            return "there is no serial port at all; is the adapter plugged in?".to_owned();
        }
        let words = |port: &Port| match port.description() {
            nothing if nothing.is_empty() => port.path.display().to_string(),
            words => format!("{} ({words})", port.path.display()),
        };
        let names: Vec<String> = ports.iter().map(words).collect();
        format!("there is {}", names.join(", "))
    }
}
