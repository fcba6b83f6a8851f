//! What an option's value can be, after reading.

use std::time::Duration;

/// The type of an option's value, as the table states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ValueType {
    /// No value is allowed.
    Flag,
    /// No value means true; otherwise a number, true unless zero.
    Bool,
    /// A signed number in base 0 (decimal, 0x, leading 0).
    Int,
    /// A number that may be left out: without `=` it is 1 (`reuseaddr`), with nothing behind `=` it is
    /// [`Value::None`] (`reuseaddr=`).
    IntOrEmpty,
    /// 0..255.
    Byte,
    /// 0..65535.
    UnsignedShort,
    /// A number >= 0.
    UnsignedInt,
    /// A number of bytes >= 0.
    Size,
    /// A file offset; no value means 1 as in socat(1).
    Offset,
    /// A file offset of 32 bits.
    Offset32,
    /// Seconds, with a fraction, kept as struct timeval by the kernel.
    Timeval,
    /// Seconds, with a fraction, kept as struct timespec.
    Timespec,
    /// Whole seconds of `SO_LINGER`.
    Linger,
    /// Any text.
    Text,
    /// Text that may be left out.
    TextOrNone,
    /// Permission bits, always octal.
    Mode,
    /// A user's name or number.
    User,
    /// A group's name or number.
    Group,
    /// Binary data in socat's notation ("dalan").
    Data,
    /// `level:option:data`, for setsockopt(2).
    SocketOptionData,
    /// `level:option:number`.
    SocketOptionInt,
    /// `level:option:text`, sent with a NUL behind it.
    SocketOptionText,
    /// A request number, for ioctl(2).
    IoctlVoid,
    /// `request:number`.
    IoctlInt,
    /// `request:number`, passed by pointer.
    IoctlIntPointer,
    /// `request:data`.
    IoctlData,
    /// `request:text`.
    IoctlText,
    /// An IPv4 address, dotted.
    Ipv4,
    /// An IPv4 address with an optional port.
    Ipv4Port,
    /// `group:interface-address[:interface]` or `group:interface`.
    Membership,
    /// `group:interface-address:source`.
    SourceMembership,
    /// `[group]:interface`.
    Membership6,
    /// `[group]:interface:[source]`.
    SourceMembership6,
    /// `number:number`.
    IntPair,
    /// `number:flags`, the flags a number without a sign.
    IntUnsignedLong,
    /// Three numbers; known to the table, not settable.
    IntTriple,
}

/// The third part of an ioctl value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IoctlArgument {
    /// NULL.
    None,
    /// The number itself.
    Int(i32),
    /// A pointer to the number.
    IntPointer(i32),
    /// A pointer to the bytes.
    Data(Vec<u8>),
}

/// A user or a group, by number or by name; a name is looked up when it is needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// A number.
    Id(u32),
    /// A name.
    Name(String),
}

/// A value after reading. Which variant it is follows from the row's [`ValueType`].
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `Flag`; `TextOrNone` without a value; `IntOrEmpty` with nothing behind `=`.
    None,
    /// `Bool`.
    Bool(bool),
    /// All whole numbers.
    Int(i64),
    /// `IntPair`, `IntUnsignedLong`.
    Pair(i64, i64),
    /// `Timeval`, `Timespec`.
    Time(Duration),
    /// `Text`, `TextOrNone`.
    Text(Vec<u8>),
    /// `Mode`.
    Mode(u32),
    /// `User`, `Group`.
    Principal(Principal),
    /// `Data`.
    Data(Vec<u8>),
    /// The `SocketOption*` types: level, option and the bytes to set.
    SocketOption(i32, i32, Vec<u8>),
    /// The `Ioctl*` types: request and argument.
    Ioctl(u64, IoctlArgument),
    /// An IPv4 address with an optional port.
    Ipv4(std::net::Ipv4Addr, Option<u16>),
    /// The membership types: the parts between the colons, brackets taken away, each read by the row.
    Parts(Vec<String>),
}

impl Value {
    /// Truth of a `Bool`; a missing value is true.
    #[must_use]
    pub fn is_true(&self) -> bool {
        match self {
            Self::Bool(on) => *on,
            Self::Int(number) => *number != 0,
            _ => true,
        }
    }

    /// The number, 1 where there is none.
    #[must_use]
    pub fn int(&self) -> i64 {
        match self {
            Self::Int(number) => *number,
            Self::Bool(on) => i64::from(*on),
            Self::Mode(mode) => i64::from(*mode),
            _ => 1,
        }
    }

    /// Both numbers; 0 where there are none.
    #[must_use]
    pub fn pair(&self) -> (i64, i64) {
        if let Self::Pair(first, second) = self { (*first, *second) } else { (0, 0) }
    }

    /// The number as a C int; the reader of the value has checked the range.
    #[must_use]
    pub fn c_int(&self) -> i32 {
        i32::try_from(self.int()).unwrap_or(i32::MAX)
    }

    /// The number in the type a setting has; 1 where there is none.
    ///
    /// # Errors
    /// Says that the number is out of range.
    pub fn number<T: TryFrom<i64>>(&self) -> Result<T, String> {
        let number = self.int();
        T::try_from(number).map_err(|_| format!("number {number} is out of range"))
    }

    /// The text, which must be UTF-8 here.
    ///
    /// # Errors
    /// Says that it is not.
    pub fn text(&self) -> Result<String, String> {
        String::from_utf8(self.bytes().to_vec()).map_err(|_| "text is not UTF-8".to_owned())
    }

    /// The user or group.
    ///
    /// # Errors
    /// Says that there is none.
    pub fn principal(&self) -> Result<Principal, String> {
        match self {
            Self::Principal(principal) => Ok(principal.clone()),
            _ => Err("a name or a number is missing".to_owned()),
        }
    }

    /// The time; zero where there is none.
    #[must_use]
    pub fn time(&self) -> Duration {
        if let Self::Time(time) = self { *time } else { Duration::ZERO }
    }

    /// The bytes of a text or of data; empty where there are none.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(bytes) | Self::Data(bytes) => bytes,
            _ => &[],
        }
    }

    /// The text as a path.
    #[must_use]
    pub fn path(&self) -> std::path::PathBuf {
        use std::os::unix::ffi::OsStrExt;
        std::ffi::OsStr::from_bytes(self.bytes()).into()
    }
}
