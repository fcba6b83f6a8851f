//! The table as text: the lines of `-hh` and `-hhh`, and the words that the reference page, completion and
//! the Python types are made of.

use super::{Apply, Row, ValueType, rows};

/// Columns of a help line, in characters; a tab goes to the next multiple of eight.
const NAME_WIDTH: usize = 40;
const GROUPS_WIDTH: usize = 40;
const PHASE_WIDTH: usize = 24;
const TAB: usize = 8;

/// One option, ready to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The canonical spelling.
    pub name: &'static str,
    /// Further spellings.
    pub aliases: &'static [&'static str],
    /// What stands behind `=`.
    pub value: ValueType,
    /// The groups, separated by commas.
    pub groups: String,
    /// The phase, in capitals.
    pub phase: String,
    /// What it does.
    pub doc: String,
    /// Why it cannot be used on this system, if it cannot.
    pub unsupported: Option<&'static str>,
}

impl From<&'static Row> for Entry {
    fn from(row: &'static Row) -> Self {
        let unsupported = if let Apply::Unsupported(why) = row.apply { Some(why) } else { None };
        Self {
            name: row.name,
            aliases: row.aliases,
            value: row.value,
            groups: row.groups.to_string(),
            phase: row.phase.name(),
            doc: row.doc.lines().map(str::trim).collect::<Vec<_>>().join(" "),
            unsupported,
        }
    }
}

/// Every option, those this system has not included, sorted by name as bytes.
pub fn entries() -> Vec<Entry> {
    let mut entries: Vec<_> = rows().map(Entry::from).collect();
    entries.sort_unstable_by_key(|entry| entry.name);
    entries
}

/// The rows that can be used on this system, sorted by name as bytes.
pub fn canonical() -> Vec<&'static Row> {
    let mut rows: Vec<_> = rows().filter(|row| is_supported(row)).collect();
    rows.sort_unstable_by_key(|row| row.name);
    rows
}

/// Every further spelling with the canonical one, sorted by alias as bytes.
pub fn aliases() -> Vec<(&'static str, &'static str)> {
    let mut pairs: Vec<_> = rows()
        .filter(|row| is_supported(row))
        .flat_map(|row| row.aliases.iter().map(|alias| (*alias, row.name)))
        .collect();
    pairs.sort_unstable();
    pairs
}

/// The line of `-hh`: name, groups, phase and type in columns made with tabs.
pub fn line(row: &Row) -> String {
    let name = padded(format!("      {}", row.name), NAME_WIDTH);
    let groups = padded(format!("groups={}", row.groups), GROUPS_WIDTH);
    let phase = padded(format!("phase={}", row.phase.name()), PHASE_WIDTH);
    format!("{name}{groups}{phase}type={}", word(row.value))
}

/// The line of `-hhh` for an alias.
pub fn alias_line(alias: &str, canonical: &str) -> String {
    format!("      {alias}\tis an alias for {canonical}")
}

/// The text with tabs behind it, one at least, that make it `width` characters wide where it is narrower.
/// It has to begin at a tab stop.
fn padded(mut text: String, width: usize) -> String {
    let tabs = width.saturating_sub(text.chars().count()).div_ceil(TAB).max(1);
    text.extend(std::iter::repeat_n('\t', tabs));
    text
}

fn is_supported(row: &Row) -> bool {
    !matches!(row.apply, Apply::Unsupported(_))
}

/// The word of `-hh` for a type.
#[must_use]
pub const fn word(value: ValueType) -> &'static str {
    use ValueType as Type;
    match value {
        Type::Flag => "CONST",
        Type::Bool => "BOOL",
        Type::Int | Type::IntOrEmpty | Type::IoctlVoid => "INT",
        Type::Byte => "BYTE",
        Type::UnsignedShort => "UNSIGNED-SHORT",
        Type::UnsignedInt => "UNSIGNED-INT",
        Type::Size => "SIZE_T",
        Type::Offset => "OFF64_T",
        Type::Offset32 => "OFF_T",
        Type::Timeval => "STRUCT-TIMEVAL",
        Type::Timespec => "STRUCT-TIMESPEC",
        Type::Linger => "STRUCT-LINGER",
        Type::Text => "STRING",
        Type::TextOrNone => "STRING-NULL",
        Type::Mode => "MODE_T",
        Type::User => "UID_T",
        Type::Group => "GID_T",
        Type::Data => "BIN",
        Type::SocketOptionData => "INT:INT:BIN",
        Type::SocketOptionInt => "INT:INT:INT",
        Type::SocketOptionText => "INT:INT:STRING",
        Type::IoctlIntPointer => "INT:INTP",
        Type::IoctlData => "INT:BIN",
        Type::IoctlText => "INT:STRING",
        Type::Ipv4 => "IP4NAME",
        Type::Ipv4Port => "IP4SOCK",
        Type::Membership | Type::Membership6 => "STRUCT-IP_MREQN",
        Type::SourceMembership => "STRUCT-IP_MREQ_SOURCE",
        Type::SourceMembership6 => "STRUCT-GROUP_SOURCE_REQ",
        Type::IoctlInt | Type::IntPair => "INT:INT",
        Type::IntUnsignedLong => "INT:UNSIGNED-LONG",
        Type::IntTriple => "INT[3]",
    }
}

/// What a person is to write behind `=`.
#[must_use]
pub const fn explanation(value: ValueType) -> &'static str {
    use ValueType as Type;
    match value {
        Type::Flag => "no value",
        Type::Bool => "0 or 1; 1 without a value",
        Type::Int => "a whole number",
        Type::IntOrEmpty => "a whole number; 1 without `=`, the system's own choice with nothing behind `=`",
        Type::Byte => "a number from 0 to 255",
        Type::UnsignedShort => "a number from 0 to 65535",
        Type::UnsignedInt => "a number from 0",
        Type::Size => "a number of bytes",
        Type::Offset | Type::Offset32 => "an offset in bytes; 1 without a value",
        Type::Timeval | Type::Timespec => "seconds, with a fraction",
        Type::Linger => "whole seconds",
        Type::Text => "a text",
        Type::TextOrNone => "a text, or no value",
        Type::Mode => "permission bits, octal",
        Type::User => "a user's name or number",
        Type::Group => "a group's name or number",
        Type::Data => "data in the notation for bytes",
        Type::SocketOptionData => "level:option:data",
        Type::SocketOptionInt => "level:option:number",
        Type::SocketOptionText => "level:option:text",
        Type::IoctlVoid => "a request number",
        Type::IoctlInt | Type::IoctlIntPointer => "request:number",
        Type::IoctlData => "request:data",
        Type::IoctlText => "request:text",
        Type::Ipv4 => "an IPv4 address",
        Type::Ipv4Port => "an IPv4 address, with :port if wanted",
        Type::Membership => "group:interface-address[:interface] or group:interface",
        Type::SourceMembership => "group:interface-address:source",
        Type::Membership6 => "[group]:interface",
        Type::SourceMembership6 => "[group]:interface:[source]",
        Type::IntPair => "number:number",
        Type::IntUnsignedLong => "number:flags",
        Type::IntTriple => "three numbers",
    }
}

/// The Python type a value is given as.
#[must_use]
pub const fn python_type(value: ValueType) -> &'static str {
    use ValueType as Type;
    match value {
        Type::Flag | Type::Bool => "bool",
        Type::Int
        | Type::Byte
        | Type::UnsignedShort
        | Type::UnsignedInt
        | Type::Size
        | Type::Offset
        | Type::Offset32
        | Type::Linger
        | Type::Mode
        | Type::IoctlVoid => "int",
        Type::IntOrEmpty => "int | None",
        Type::Timeval | Type::Timespec => "float",
        Type::User | Type::Group => "str | int",
        Type::TextOrNone => "str | bool",
        Type::Data => "bytes",
        _ => "str",
    }
}
