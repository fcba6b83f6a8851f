#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicU32, Ordering};

use super::*;

/// A made-up machine.
struct Machine(PathBuf);

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Machine {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ferrule-machine-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let machine = Self(std::env::temp_dir().join(name).canonicalize_parent());
        for directory in ["dev/serial/by-id", "dev/serial/by-path", "sys/class/tty", "proc", "sys/bus"] {
            fs::create_dir_all(machine.0.join(directory)).unwrap();
        }
        machine
    }

    fn system(&self) -> System {
        System::at(&self.0)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn link(&self, from: &str, to: &str) {
        let from = self.0.join(from);
        fs::create_dir_all(from.parent().unwrap()).unwrap();
        fs::create_dir_all(self.0.join(to)).ok();
        symlink(self.0.join(to), from).unwrap();
    }

    /// An adapter of the usbserial drivers.
    fn adapter(&self, name: &str, plug: &str, interface: u8, [vid, pid, serial, product]: [&str; 4]) {
        let device = format!("sys/devices/usb1/{plug}");
        let port = format!("{device}/{plug}:1.{interface}/{name}");
        for (file, text) in [("idVendor", vid), ("idProduct", pid), ("serial", serial), ("product", product)] {
            self.write(&format!("{device}/{file}"), &format!("{text}\n"));
        }
        self.write(&format!("{device}/manufacturer"), "FTDI\n");
        self.write(&format!("{device}/{plug}:1.{interface}/bInterfaceNumber"), &format!("{interface:02x}\n"));
        self.link(&format!("{port}/driver"), "sys/bus/usb-serial/drivers/ftdi_sio");
        self.link(&format!("{port}/subsystem"), "sys/bus/usb-serial");
        self.write(&format!("sys/class/tty/{name}/dev"), "188:0\n");
        self.link(&format!("sys/class/tty/{name}/device"), &port);
        self.write(&format!("dev/{name}"), "");
    }

    /// A place of the 8250 driver; a type of 0 has no UART.
    fn uart(&self, name: &str, kind: &str) {
        let device = format!("sys/devices/pnp0/00:01/00:01:0/{name}");
        self.link(&format!("{device}/driver"), "sys/bus/serial-base/drivers/port");
        self.link(&format!("{device}/subsystem"), "sys/bus/serial-base");
        if !self.0.join("sys/devices/pnp0/00:01/driver").exists() {
            self.link("sys/devices/pnp0/00:01/driver", "sys/bus/pnp/drivers/serial");
        }
        self.write(&format!("sys/class/tty/{name}/type"), kind);
        self.link(&format!("sys/class/tty/{name}/device"), &device);
        self.write(&format!("dev/{name}"), "");
    }

    fn resolve(&self, name: &str) -> Result<String, crate::Error> {
        let path = Selector::parse(name.as_bytes()).unwrap().resolve(&self.system())?;
        Ok(path.strip_prefix(&self.0).unwrap_or(&path).display().to_string())
    }
}

trait Canonical {
    fn canonicalize_parent(self) -> Self;
}

impl Canonical for PathBuf {
    /// The temporary directory may be a link itself.
    fn canonicalize_parent(self) -> Self {
        self.parent().unwrap().canonicalize().unwrap().join(self.file_name().unwrap())
    }
}

const CABLE: [&str; 4] = ["0403", "6001", "A50285BI", "FT232R USB UART"];
const QUAD: [&str; 4] = ["0403", "6011", "FT4", "Quad RS232-HS"];

#[test]
fn ports_are_listed_with_all_that_is_known_of_them() {
    let machine = Machine::new();
    machine.adapter("ttyUSB10", "1-2", 0, QUAD);
    machine.adapter("ttyUSB2", "1-1.4", 0, CABLE);
    machine.uart("ttyS0", "4\n");
    machine.uart("ttyS1", "0\n");
    machine.write("sys/class/tty/tty7/dev", "4:7\n");
    machine.write("dev/tty7", "");
    symlink("../../ttyUSB2", machine.0.join("dev/serial/by-id/usb-FTDI_FT232R-if00-port0")).unwrap();
    symlink("../../ttyUSB2", machine.0.join("dev/serial/by-path/pci-0000:00:14.0-usb-0:1.4:1.0-port0")).unwrap();
    machine.write("proc/77/comm", "minicom\n");
    machine.link("proc/77/fd/5", "dev/ttyUSB2");
    machine.link("proc/77/fd/6", "dev/ttyUSB2");
    machine.write("proc/self/comm", "x\n");
    let ports = machine.system().ports();
    let names: Vec<_> = ports.iter().map(|port| port.path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["ttyS0", "ttyUSB2", "ttyUSB10"]);
    let [uart, cable, _] = &ports[..] else { unreachable!("three") };
    assert_eq!((uart.driver.as_deref(), &uart.usb), (Some("serial"), &None));
    assert_eq!(cable.driver.as_deref(), Some("ftdi_sio"));
    let usb = cable.usb.as_ref().unwrap();
    assert_eq!((usb.vid, usb.pid, usb.interface, usb.location.as_str()), (0x0403, 0x6001, Some(0), "1-1.4"));
    assert_eq!((usb.serial.as_deref(), cable.description().as_str()), (Some("A50285BI"), "FTDI FT232R USB UART"));
    assert_eq!(cable.by_id, [machine.0.join("dev/serial/by-id/usb-FTDI_FT232R-if00-port0")]);
    assert_eq!(cable.by_path.len(), 1);
    assert_eq!(cable.holders, [Holder { pid: 77, command: "minicom".to_owned() }]);
    assert_eq!(cable.holders[0].to_string(), "minicom (pid 77)");
    assert_eq!(machine.system().holders_of(&machine.0.join("dev/serial/by-id/usb-FTDI_FT232R-if00-port0")).len(), 1);
}

#[test]
fn a_machine_without_anything_has_no_ports() {
    let machine = Machine::new();
    assert_eq!(machine.system().ports(), []);
    assert!(machine.system().alternatives().contains("plugged in"));
    assert_eq!(System::at("/nonexistent").ports(), []);
}

#[test]
fn this_machine_can_be_asked() {
    for port in System::default().ports() {
        assert!(port.path.exists() && port.path.starts_with("/dev"), "{port:?}");
        assert!(!port.path.starts_with("/dev/pts"), "{port:?}");
    }
}

#[test]
fn a_port_is_found_by_any_of_its_names() {
    let machine = Machine::new();
    machine.adapter("ttyUSB2", "1-1.4", 0, CABLE);
    symlink("../../ttyUSB2", machine.0.join("dev/serial/by-id/usb-FTDI-port0")).unwrap();
    symlink("../../ttyUSB2", machine.0.join("dev/serial/by-path/pci-0:1.4:1.0")).unwrap();
    for (name, path) in [
        ("ttyUSB2", "dev/ttyUSB2"),
        ("ttyUSB9", "dev/ttyUSB9"),
        ("usb-FTDI-port0", "dev/serial/by-id/usb-FTDI-port0"),
        ("pci-0:1.4:1.0", "dev/serial/by-path/pci-0:1.4:1.0"),
        ("/dev/serial/by-path/pci-0:1", "/dev/serial/by-path/pci-0:1"),
        ("./port", "./port"),
        ("usb:0403:6001", "dev/ttyUSB2"),
        ("USB:403:6001:A50285BI", "dev/ttyUSB2"),
        ("usb:vid=0403:pid=0x6001:serial=A50285BI", "dev/ttyUSB2"),
        ("usb:vid=0403,pid=6001", "dev/ttyUSB2"),
        ("usb:product=ft232r:manufacturer=ftdi", "dev/ttyUSB2"),
        ("usb:location=1-1.4", "dev/ttyUSB2"),
        ("usb:location=1-1.4:1.0:interface=0", "dev/ttyUSB2"),
    ] {
        assert_eq!(machine.resolve(name).unwrap(), path, "{name}");
    }
}

#[test]
fn an_adapter_is_looked_up_again_each_time() {
    let machine = Machine::new();
    machine.adapter("ttyUSB0", "1-3", 0, CABLE);
    assert_eq!(machine.resolve("usb:serial=A50285BI").unwrap(), "dev/ttyUSB0");
    fs::remove_dir_all(machine.0.join("sys/class/tty/ttyUSB0")).unwrap();
    let error = machine.resolve("usb:serial=A50285BI").unwrap_err();
    assert_eq!((error.errno(), error.message()), (Some(libc::ENODEV), "no port is usb:serial=A50285BI"));
    machine.adapter("ttyUSB1", "1-5", 0, CABLE);
    assert_eq!(machine.resolve("usb:serial=A50285BI").unwrap(), "dev/ttyUSB1");
}

#[test]
fn what_does_not_fit_is_told_with_what_there_is() {
    let machine = Machine::new();
    machine.adapter("ttyUSB0", "1-2", 0, QUAD);
    machine.adapter("ttyUSB1", "1-2", 1, QUAD);
    for name in ["usb:vid=1234", "usb:0403:6001", "usb:serial=ft4", "usb:location=1", "usb:interface=2"] {
        let error = machine.resolve(name).unwrap_err();
        assert!(error.advice().unwrap().contains("ttyUSB0 (FTDI Quad RS232-HS), "), "{name}: {error:?}");
    }
    let error = machine.resolve("usb:serial=FT4").unwrap_err();
    assert!(error.message().starts_with("2 ports are usb:serial=FT4: ") && error.errno().is_none(), "{error:?}");
    assert_eq!(machine.resolve("usb:serial=FT4:interface=1").unwrap(), "dev/ttyUSB1");
}

#[test]
fn names_that_cannot_be_are_refused_before_anything_is_looked_at() {
    for (name, words) in [
        ("", "missing"),
        ("usb:", "needs a value"),
        ("usb:vid=", "needs a value"),
        ("usb:vid=zz", "hexadecimal"),
        ("usb:vid=12345", "hexadecimal"),
        ("usb:colour=red", "none of vid"),
        ("usb:interface=x", "no number"),
        ("usb:1:2:3:4", "no name"),
        ("usb:serial=1:2", "no name"),
        ("usb:\u{fffd}=1", "none of vid"),
    ] {
        let error = Selector::parse(name.as_bytes()).unwrap_err();
        assert!(error.contains(words), "{name}: {error}");
    }
    assert!(Selector::parse(b"usb:\xff").unwrap_err().contains("no text"));
}
