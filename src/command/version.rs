//! `-V`: the version and what is built in, in the layout scripts parse.

use std::fmt::Write as _;

use crate::endpoint;
use crate::option::{self, Apply, Groups};

/// The version of socat whose command line this is.
pub const SOCAT_VERSION: &str = "1.8.1.3";

/// A feature and how it is known to be there.
enum Test {
    /// Always.
    Yes,
    /// Never.
    No,
    /// An address type exists.
    Kind(&'static str),
    /// An option exists and can be applied.
    Option(&'static str),
    /// Options of a group exist.
    Group(Groups),
}

const FEATURES: [(&str, Test); 44] = [
    ("HELP", Test::Yes),
    ("STATS", Test::Yes),
    ("STDIO", Test::Kind("STDIO")),
    ("FDNUM", Test::Kind("FD")),
    ("FILE", Test::Kind("OPEN")),
    ("CREAT", Test::Kind("CREATE")),
    ("GOPEN", Test::Kind("GOPEN")),
    ("TERMIOS", Test::Group(Groups::TERMIOS)),
    ("PIPE", Test::Kind("PIPE")),
    ("STALL", Test::Kind("STALL")),
    ("TEXT", Test::Kind("TEXT")),
    ("SOCKETPAIR", Test::Kind("SOCKETPAIR")),
    ("UNIX", Test::Kind("UNIX-CONNECT")),
    ("ABSTRACT_UNIXSOCKET", Test::Kind("ABSTRACT-CONNECT")),
    ("IP4", Test::Kind("TCP4-CONNECT")),
    ("IP6", Test::Kind("TCP6-CONNECT")),
    ("RAWIP", Test::Kind("IP-SENDTO")),
    ("GENERICSOCKET", Test::Kind("SOCKET-CONNECT")),
    ("INTERFACE", Test::Kind("INTERFACE")),
    ("TCP", Test::Kind("TCP-CONNECT")),
    ("UDP", Test::Kind("UDP-CONNECT")),
    ("SCTP", Test::Kind("SCTP-CONNECT")),
    ("DCCP", Test::Kind("DCCP-CONNECT")),
    ("UDPLITE", Test::Kind("UDPLITE-CONNECT")),
    ("LISTEN", Test::Kind("TCP-LISTEN")),
    ("POSIXMQ", Test::Kind("POSIXMQ-READ")),
    ("SOCKS4", Test::Kind("SOCKS4")),
    ("SOCKS4A", Test::Kind("SOCKS4A")),
    ("SOCKS5", Test::Kind("SOCKS5-CONNECT")),
    ("VSOCK", Test::Kind("VSOCK-CONNECT")),
    ("NAMESPACES", Test::Option("netns")),
    ("PROXY", Test::Kind("PROXY")),
    ("SYSTEM", Test::Kind("SYSTEM")),
    ("SHELL", Test::Kind("SHELL")),
    ("EXEC", Test::Kind("EXEC")),
    ("READLINE", Test::Kind("READLINE")),
    ("TUN", Test::Kind("TUN")),
    ("PTY", Test::Kind("PTY")),
    ("OPENSSL", Test::Kind("OPENSSL")),
    ("FIPS", Test::No),
    ("LIBWRAP", Test::Option("tcpwrappers")),
    ("SYCLS", Test::No),
    ("FILAN", Test::Yes),
    ("RETRY", Test::Option("retry")),
];

impl Test {
    fn holds(&self) -> bool {
        match self {
            Self::Yes => true,
            Self::No => false,
            Self::Kind(name) => endpoint::find(name).is_some(),
            Self::Option(name) => option::find(name, Groups::ALL)
                .is_some_and(|row| row.name == *name && !matches!(row.apply, Apply::Unsupported(_))),
            Self::Group(group) => option::rows().any(|row| row.groups.intersects(*group)),
        }
    }
}

/// The text of `-V`.
pub fn text() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let mut text = format!(
        "ferrule {version} by the Ferrule developers - joins any two endpoints\n\
         socat version {SOCAT_VERSION} on ferrule {version}, compatible\n\
         {}\nfeatures:\n",
        system()
    );
    for (name, test) in &FEATURES {
        // Writing into a String cannot fail.
        let _ = if test.holds() {
            writeln!(text, "  #define WITH_{name} 1")
        } else {
            writeln!(text, "  #undef WITH_{name}")
        };
    }
    text.push_str("  #undef WITH_DEVTESTS\n  #define WITH_MSGLEVEL 0 /*debug*/\n  #define WITH_DEFAULT_IPV 4\n");
    text
}

fn system() -> String {
    let Ok(name) = nix::sys::utsname::uname() else { return "   running on Linux".to_owned() };
    format!(
        "   running on {} version {}, release {}, machine {}",
        name.sysname().display(),
        name.version().display(),
        name.release().display(),
        name.machine().display()
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn scripts_find_the_version_and_the_features() {
        let text = text();
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[1].starts_with("socat version 1.8.1.3 on "), "{}", lines[1]);
        assert_eq!(lines[1].split(' ').nth(2), Some(SOCAT_VERSION));
        assert!(lines[2].starts_with("   running on "));
        assert_eq!(lines[3], "features:");
        assert_eq!(lines.len(), 4 + 47);
        for line in &lines[4..49] {
            let (define, name) = line.trim_start().split_once(" WITH_").unwrap();
            assert_eq!(define == "#define", name.ends_with(" 1"), "{line}");
        }
        assert!(lines.contains(&"  #define WITH_MSGLEVEL 0 /*debug*/"));
        assert!(lines.contains(&"  #define WITH_HELP 1"));
    }

    #[test]
    fn features_follow_from_what_is_built_in() {
        let shown = text();
        for (feature, kind) in [("TCP", "TCP-CONNECT"), ("OPENSSL", "OPENSSL"), ("PTY", "PTY")] {
            let defined = shown.contains(&format!("  #define WITH_{feature} 1\n"));
            assert_eq!(defined, endpoint::find(kind).is_some(), "{feature}");
        }
    }
}
