//! Groups of options: an option fits a kind when they have a group in common.

use std::fmt;

/// A set of groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Groups(u64);

macro_rules! groups {
    ($($name:ident = $bit:literal),* $(,)?) => {
        #[allow(missing_docs, reason = "the names are socat's own")]
        impl Groups {
            $(pub const $name: Self = Self(1 << $bit);)*
            const NAMES: &'static [(Self, &'static str)] = &[$((Self::$name, stringify!($name))),*];
        }
    };
}

groups! {
    FD = 0, FIFO = 1, CHR = 2, BLK = 3, REG = 4, SOCKET = 5, READLINE = 6, NAMED = 7, OPEN = 8, EXEC = 9,
    FORK = 10, LISTEN = 11, SHELL = 12, CHILD = 13, RETRY = 14, TERMIOS = 15, RANGE = 16, PTY = 17,
    PARENT = 18, UNIX = 19, IP4 = 20, IP6 = 21, INTERFACE = 22, UDP = 23, TCP = 24, SOCKS = 25,
    OPENSSL = 26, PROCESS = 27, APPL = 28, HTTP = 29, SCTP = 30, POSIXMQ = 31, DCCP = 32, UDPLITE = 33,
    // Not of socat:
    SERIAL = 34, CONNECT = 35, UART = 36,
}

impl Groups {
    /// No group.
    pub const NONE: Self = Self(0);
    /// Every group: an option of these fits every kind.
    pub const ALL: Self = Self(u64::MAX);
    /// What every kind has, though its table row does not say so.
    pub const EVERY_KIND: Self = Self::PROCESS.and(Self::APPL).and(Self::FD);

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether the sets have a group in common.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("(all)");
        }
        let mut separator = "";
        for (group, name) in Self::NAMES {
            if self.intersects(*group) {
                write!(f, "{separator}{name}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}
