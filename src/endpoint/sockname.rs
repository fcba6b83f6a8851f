//! The name of a socket: in the log (`AF=2 1.2.3.4:80`) and in the environment of children.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use socket2::SockAddr;

use crate::error::printable;

/// What a UNIX socket without a name is called.
const ANONYMOUS: &str = "<anon>";

/// The name of one end of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// IPv4 or IPv6.
    Inet(SocketAddr),
    /// A UNIX socket in the file system.
    Path(PathBuf),
    /// A UNIX socket in the abstract namespace, without the NUL byte in front.
    Abstract(Vec<u8>),
    /// A UNIX socket without a name.
    Anonymous,
    /// Another family, by its number.
    Other(u16),
    /// The system would not tell.
    Unknown,
}

impl From<&SockAddr> for Name {
    fn from(address: &SockAddr) -> Self {
        if let Some(inet) = address.as_socket() {
            Self::Inet(inet)
        } else if let Some(path) = address.as_pathname() {
            Self::Path(path.to_owned())
        } else if let Some(name) = address.as_abstract_namespace() {
            Self::Abstract(name.to_owned())
        } else if address.is_unix() {
            Self::Anonymous
        } else {
            Self::Other(address.family())
        }
    }
}

impl From<SocketAddr> for Name {
    fn from(address: SocketAddr) -> Self {
        Self::Inet(address)
    }
}

impl Name {
    /// Adds the variables `address` and, where there is a port, `port` to what children are told.
    pub(super) fn tell(
        &self,
        address: &'static str,
        port: &'static str,
        environment: &mut Vec<(&'static str, OsString)>,
    ) {
        environment.push((address, self.text()));
        if let Self::Inet(inet) = self {
            environment.push((port, inet.port().to_string().into()));
        }
    }

    /// The name as it is written in addresses, made printable: `127.0.0.1:80`, `[::1]:80`, `/run/x`.
    pub(super) fn plain(&self) -> String {
        match self {
            Self::Inet(inet) => inet.to_string(),
            other => printable(other.text().as_bytes()),
        }
    }

    /// The address alone, as children are told it. A NUL byte, which no variable can hold, is spelled `\0`.
    fn text(&self) -> OsString {
        match self {
            Self::Inet(inet) => match inet.ip() {
                IpAddr::V4(ip) => ip.to_string().into(),
                IpAddr::V6(ip) => format!("[{}]", Groups(ip)).into(),
            },
            Self::Path(path) => path.clone().into_os_string(),
            Self::Abstract(name) => without_nul(name),
            Self::Anonymous => ANONYMOUS.into(),
            Self::Other(family) => format!("AF={family}").into(),
            Self::Unknown => "<unknown>".into(),
        }
    }
}

fn without_nul(name: &[u8]) -> OsString {
    let mut text = b"\\0".to_vec();
    for byte in name {
        if *byte == 0 { text.extend(b"\\0") } else { text.push(*byte) }
    }
    std::ffi::OsStr::from_bytes(&text).to_owned()
}

/// An IPv6 address in full, all eight groups of four digits.
struct Groups(Ipv6Addr);

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, group) in self.0.segments().iter().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            write!(f, "{separator}{group:04x}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(SocketAddr::V4(inet)) => write!(f, "AF={} {inet}", libc::AF_INET),
            Self::Inet(SocketAddr::V6(inet)) => {
                write!(f, "AF={} [{}]:{}", libc::AF_INET6, Groups(*inet.ip()), inet.port())
            }
            Self::Path(path) => write!(f, "AF={} \"{}\"", libc::AF_UNIX, shown(path)),
            Self::Abstract(name) => {
                let name = printable(name);
                write!(f, "AF={} \"\\0{}\"", libc::AF_UNIX, name.replace("\\x00", "\\0"))
            }
            Self::Anonymous => write!(f, "AF={} \"{ANONYMOUS}\"", libc::AF_UNIX),
            Self::Other(family) => write!(f, "AF={family}"),
            Self::Unknown => f.write_str("<unknown>"),
        }
    }
}

/// A path for a message.
pub(super) fn shown(path: &Path) -> Cow<'_, str> {
    printable(path.as_os_str().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(name: &Name) -> Vec<(&'static str, OsString)> {
        let mut environment = Vec::new();
        name.tell("PEERADDR", "PEERPORT", &mut environment);
        environment
    }

    #[test]
    fn inet_names_read_as_in_socat() {
        let v4 = Name::Inet(SocketAddr::from(([127, 0, 0, 1], 80)));
        assert_eq!(v4.to_string(), "AF=2 127.0.0.1:80");
        assert_eq!(variables(&v4), [("PEERADDR", "127.0.0.1".into()), ("PEERPORT", "80".into())]);
        let v6 = Name::Inet(SocketAddr::from((Ipv6Addr::LOCALHOST, 80)));
        assert_eq!(v6.to_string(), "AF=10 [0000:0000:0000:0000:0000:0000:0000:0001]:80");
        assert_eq!(variables(&v6)[0], ("PEERADDR", "[0000:0000:0000:0000:0000:0000:0000:0001]".into()));
    }

    #[test]
    fn unix_names_read_as_in_socat() {
        assert_eq!(Name::Path("/tmp/a\nb".into()).to_string(), "AF=1 \"/tmp/a\\x0ab\"");
        assert_eq!(Name::Anonymous.to_string(), "AF=1 \"<anon>\"");
        assert_eq!(variables(&Name::Anonymous), [("PEERADDR", "<anon>".into())]);
        let hidden = Name::Abstract(b"x\0y".to_vec());
        assert_eq!(hidden.to_string(), "AF=1 \"\\0x\\0y\"");
        assert_eq!(variables(&hidden), [("PEERADDR", "\\0x\\0y".into())]);
    }
}
