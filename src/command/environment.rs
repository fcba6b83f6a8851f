//! The environment variables the command line reads. Their names are fixed, whatever the program's name.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use super::numbers;
use super::switches::Switches;
use crate::endpoint::{Defaults, IpVersion};

/// Looks a variable up; a function, so that tests need not change the process.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The name children know the program by unless it is called something else: scripts ask for `SOCAT_PEERADDR`.
const KNOWN_AS: &str = "socat";

/// The name of this program's own executable.
const OWN_NAME: &str = "ferrule";

/// Pauses that give a debugger the time to attach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waits {
    /// Before anything is done.
    pub main: Duration,
    /// Before bytes are moved.
    pub transfer: Duration,
    /// In each session of a listener that serves many.
    pub fork: Duration,
}

impl Waits {
    /// Reads `SOCAT_MAIN_WAIT`, `SOCAT_TRANSFER_WAIT` and `SOCAT_FORK_WAIT`, in seconds.
    pub fn read(lookup: Lookup<'_>) -> Self {
        let wait = |name| {
            let seconds = lookup(name).and_then(|text| numbers::seconds(text.as_bytes()).ok());
            seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default()
        };
        Self { main: wait("SOCAT_MAIN_WAIT"), transfer: wait("SOCAT_TRANSFER_WAIT"), fork: wait("SOCAT_FORK_WAIT") }
    }
}

/// What endpoints are told: the switches first, then the environment, then IPv4.
pub fn defaults(switches: &Switches, program: &str, lookup: Lookup<'_>) -> Defaults {
    let version = |name| {
        lookup(name).and_then(|value| match value.as_bytes() {
            b"4" => Some(IpVersion::V4),
            b"6" => Some(IpVersion::V6),
            b"0" => Some(IpVersion::Any),
            _ => None,
        })
    };
    let listen = version("SOCAT_DEFAULT_LISTEN_IP").filter(|version| *version != IpVersion::Any);
    let resolve = version("SOCAT_PREFERRED_RESOLVE_IP");
    Defaults {
        listen_ip: switches.ip.or(listen).unwrap_or(IpVersion::V4),
        resolve_ip: switches.ip.or(resolve).unwrap_or(IpVersion::V4),
        program: children_name(switches, program),
        process_wide: true,
        many: false,
        any_option: switches.any_option,
    }
}

/// The host name for log lines: `HOSTNAME`, else the kernel's.
pub fn host_name(lookup: Lookup<'_>) -> String {
    let name = lookup("HOSTNAME").or_else(|| nix::unistd::gethostname().ok());
    name.map(|name| crate::error::printable(name.as_bytes())).unwrap_or_default()
}

/// What the names of variables for children begin with.
fn children_name(switches: &Switches, program: &str) -> String {
    match &switches.log.program {
        Some(name) => name.clone(),
        None if program == OWN_NAME => KNOWN_AS.to_owned(),
        None => program.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<OsString> {
        let value = match name {
            "SOCAT_DEFAULT_LISTEN_IP" | "HOSTNAME" => "6",
            "SOCAT_PREFERRED_RESOLVE_IP" => "0",
            "SOCAT_MAIN_WAIT" => "1.5",
            "SOCAT_FORK_WAIT" => "soon",
            _ => return None,
        };
        Some(value.into())
    }

    #[test]
    fn switches_win_over_the_environment() {
        let mut switches = Switches::default();
        let read = defaults(&switches, "socat", &lookup);
        assert_eq!((read.listen_ip, read.resolve_ip), (IpVersion::V6, IpVersion::Any));
        let read = defaults(&switches, "socat", &|_| None);
        assert_eq!((read.listen_ip, read.resolve_ip), (IpVersion::V4, IpVersion::V4));
        switches.ip = Some(IpVersion::V4);
        let read = defaults(&switches, "socat", &lookup);
        assert_eq!((read.listen_ip, read.resolve_ip), (IpVersion::V4, IpVersion::V4));
    }

    #[test]
    fn a_listener_has_no_version_zero_in_the_environment() {
        let read = defaults(&Switches::default(), "socat", &|_| Some("0".into()));
        assert_eq!((read.listen_ip, read.resolve_ip), (IpVersion::V4, IpVersion::Any));
    }

    #[test]
    fn children_see_the_names_scripts_ask_for() {
        let mut switches = Switches::default();
        assert_eq!(defaults(&switches, "ferrule", &lookup).program, "socat");
        assert_eq!(defaults(&switches, "socat1", &lookup).program, "socat1");
        switches.log.program = Some("gate".to_owned());
        assert_eq!(defaults(&switches, "ferrule", &lookup).program, "gate");
    }

    #[test]
    fn waits_are_seconds() {
        let waits = Waits::read(&lookup);
        assert_eq!(waits, Waits { main: Duration::from_millis(1500), ..Waits::default() });
        assert_eq!(host_name(&lookup), "6");
    }
}
