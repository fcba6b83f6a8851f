//! How a port is named: by its device, by a link, or by what the adapter says of itself.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{Port, System, Usb};
use crate::error::{Error, ErrorKind, Phase, Result, excerpt};

/// What begins the name of a port that is chosen by its adapter.
const USB: &[u8] = b"usb:";

/// A port, by name. It is looked up at each opening, since adapters come back under other names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// A path, or the name of a device in /dev or of a link below /dev/serial.
    Named(PathBuf),
    /// The port of an adapter.
    Usb(Vec<Trait>),
}

/// One thing that is known of an adapter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trait {
    /// `idVendor`.
    Vid(u16),
    /// `idProduct`.
    Pid(u16),
    /// The serial number, as it is.
    Serial(String),
    /// A part of the manufacturer's name, in any case of letters.
    Manufacturer(String),
    /// A part of the product's name, in any case of letters.
    Product(String),
    /// The plug: `1-4.2`; with `:1.0` behind it the interface, too.
    Location(String),
    /// Which of several ports of the adapter.
    Interface(u8),
}

impl Selector {
    /// Reads a name.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Self, String> {
        if text.is_empty() {
            return Err("the name of the port is missing".to_owned());
        }
        match text.split_at_checked(USB.len()) {
            Some((start, traits)) if start.eq_ignore_ascii_case(USB) => Ok(Self::Usb(traits_of(traits)?)),
            _ => Ok(Self::Named(PathBuf::from(OsStr::from_bytes(text)))),
        }
    }

    /// The device to open now.
    ///
    /// # Errors
    /// ENODEV when no adapter is there that fits; or that several are.
    pub fn resolve(&self, system: &System) -> Result<PathBuf> {
        match self {
            Self::Named(name) => Ok(system.named(name)),
            Self::Usb(traits) => one_of(self, system, system.ports(), traits),
        }
    }
}

impl System {
    /// The path of a device: names without a slash are looked for where devices are.
    fn named(&self, name: &std::path::Path) -> PathBuf {
        if name.as_os_str().as_bytes().contains(&b'/') {
            return name.to_owned();
        }
        let places = ["dev", "dev/serial/by-id", "dev/serial/by-path"];
        let found = places.iter().map(|place| self.path(place).join(name)).find(|path| path.exists());
        found.unwrap_or_else(|| self.path("dev").join(name))
    }
}

fn one_of(selector: &Selector, system: &System, mut ports: Vec<Port>, traits: &[Trait]) -> Result<PathBuf> {
    ports.retain(|port| port.usb.as_ref().is_some_and(|usb| traits.iter().all(|wanted| wanted.fits(usb))));
    match ports.as_slice() {
        [port] => Ok(port.path.clone()),
        [] => {
            let error = Error::open(Phase::Open, std::io::Error::from_raw_os_error(libc::ENODEV));
            Err(error.worded(format!("no port is {selector}")).hint(system.alternatives()))
        }
        several => {
            let names: Vec<String> = several.iter().map(|port| port.path.display().to_string()).collect();
            let message = format!("{} ports are {selector}: {}", names.len(), names.join(", "));
            let hint = "tell them apart with serial=, interface= or location=; ferrule ports shows them";
            Err(Error::new(ErrorKind::Open, Phase::Open, message).hint(hint))
        }
    }
}

/// The traits behind `usb:`, with colons or commas between; `10c4:ea60:0001` is vendor, product, serial number.
fn traits_of(text: &[u8]) -> Result<Vec<Trait>, String> {
    let text = std::str::from_utf8(text).map_err(|_| format!("\"{}\" is no text", excerpt(text)))?;
    let mut pairs: Vec<(&str, String)> = Vec::new();
    let mut bare = ["vid", "pid", "serial"].into_iter();
    for part in text.split([':', ',']) {
        match (part.split_once('='), pairs.last_mut()) {
            (Some((key, value)), _) => {
                bare.by_ref().for_each(drop);
                pairs.push((key, value.to_owned()));
            }
            // A colon that belongs to the value: location=1-4.2:1.0.
            (None, Some((key, value))) if *key == "location" => *value = format!("{value}:{part}"),
            (None, _) => {
                let key =
                    bare.next().ok_or_else(|| format!("\"{}\" has no name before it", excerpt(part.as_bytes())))?;
                pairs.push((key, part.to_owned()));
            }
        }
    }
    pairs.into_iter().map(|(key, value)| Trait::read(key, value)).collect()
}

impl Trait {
    fn read(key: &str, value: String) -> Result<Self, String> {
        if value.is_empty() {
            return Err(format!("\"{}\" needs a value", excerpt(key.as_bytes())));
        }
        let hexadecimal = || {
            let digits = value.strip_prefix("0x").unwrap_or(&value);
            let number = if digits.len() <= 4 { u16::from_str_radix(digits, 16).ok() } else { None };
            number.ok_or_else(|| format!("\"{}\" is no number of 1 to 4 hexadecimal digits", excerpt(value.as_bytes())))
        };
        Ok(match key {
            "vid" => Self::Vid(hexadecimal()?),
            "pid" => Self::Pid(hexadecimal()?),
            "serial" => Self::Serial(value),
            "manufacturer" => Self::Manufacturer(value),
            "product" => Self::Product(value),
            "location" => Self::Location(value),
            "interface" => {
                let number = value.parse().map_err(|_| format!("\"{}\" is no number", excerpt(value.as_bytes())));
                Self::Interface(number?)
            }
            _ => {
                let known = "vid, pid, serial, manufacturer, product, location, interface";
                return Err(format!("\"{}\" is none of {known}", excerpt(key.as_bytes())));
            }
        })
    }

    fn fits(&self, usb: &Usb) -> bool {
        let contains = |text: &Option<String>, part: &str| {
            text.as_ref().is_some_and(|text| text.to_lowercase().contains(&part.to_lowercase()))
        };
        match self {
            Self::Vid(number) => usb.vid == *number,
            Self::Pid(number) => usb.pid == *number,
            Self::Serial(serial) => usb.serial.as_ref() == Some(serial),
            Self::Manufacturer(name) => contains(&usb.manufacturer, name),
            Self::Product(name) => contains(&usb.product, name),
            Self::Interface(number) => usb.interface == Some(*number),
            Self::Location(place) => match place.split_once(':') {
                None => usb.location == *place,
                Some((plug, interface)) => {
                    // Behind the colon stand configuration and interface.
                    let number = interface.rsplit('.').next().and_then(|number| number.parse().ok());
                    usb.location == plug && usb.interface == number
                }
            },
        }
    }
}

impl fmt::Display for Trait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Vid(number) => write!(f, "vid={number:04x}"),
            Self::Pid(number) => write!(f, "pid={number:04x}"),
            Self::Serial(text) => write!(f, "serial={text}"),
            Self::Manufacturer(text) => write!(f, "manufacturer={text}"),
            Self::Product(text) => write!(f, "product={text}"),
            Self::Location(text) => write!(f, "location={text}"),
            Self::Interface(number) => write!(f, "interface={number}"),
        }
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => write!(f, "{}", name.display()),
            Self::Usb(traits) => {
                f.write_str("usb")?;
                traits.iter().try_for_each(|known| write!(f, ":{known}"))
            }
        }
    }
}
