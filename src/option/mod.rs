//! THE TABLE: every option as one row, with its spellings, the type of its value, and the moment and the
//! function that apply it. The parser, `-hh`, the reference page, completion and the Python types all
//! derive from the rows. Nothing is opened here.

/// Writes a `Plan` row that stores a value: `store!(life.fork, value => value.is_true())`. The expression
/// may use `?` on a `Result<_, String>`.
macro_rules! store {
    ($($field:ident).+, $value:ident => $what:expr) => {
        $crate::option::Apply::Plan(|settings, $value| {
            settings.$($field).+ = $what;
            Ok(())
        })
    };
}

mod applied;
mod applied_terminal;
pub mod catalog;
pub mod groups;
mod membership;
mod parse;
mod settings;
mod value;

mod appl;
mod child;
mod descriptor;
mod file;
mod ip;
mod listen;
mod process;
mod program;
mod reconnect;
mod serial;
mod share;
mod socket;
mod tcp;
mod telnet;
mod terminal;
mod unix;

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

pub use groups::Groups;
pub use membership::{Interface, Membership};
pub use parse::{Options, Strictness};
pub use settings::*;
pub use value::{IoctlArgument, Principal, Value, ValueType};

use crate::sys::terminal::Termios;

/// One option.
#[derive(Debug)]
pub struct Row {
    /// The canonical spelling, lower case.
    pub name: &'static str,
    /// Further spellings that mean the same.
    pub aliases: &'static [&'static str],
    /// What stands behind `=`.
    pub value: ValueType,
    /// The option fits every kind that has one of these groups.
    pub groups: Groups,
    /// The phase socat(1) applies it in; shown by `-hh`, and the order of application.
    pub phase: SocatPhase,
    /// When and how it is applied.
    pub apply: Apply,
    /// What it does, with units and source; for the help, the reference page and Python's docstrings.
    pub doc: &'static str,
}

/// The moment an option is applied; each holds the function that can be called at that moment only.
#[derive(Debug, Clone, Copy)]
pub enum Apply {
    /// Read by the endpoint or the relay; changes the plan before anything is opened. The error says why
    /// the value does not fit.
    Plan(fn(&mut Settings, &Value) -> Result<(), String>),
    /// A bit of open(2); on descriptors opened otherwise it is set with fcntl(`F_SETFL`).
    OpenFlag(i32),
    /// On the name in the file system. Kinds call these with the path they open.
    Path(PathMoment, fn(&Path, &Value) -> io::Result<()>),
    /// On a socket.
    Socket(SocketMoment, fn(BorrowedFd<'_>, &Value) -> io::Result<()>),
    /// On any open descriptor.
    Descriptor(DescriptorMoment, fn(BorrowedFd<'_>, &Value) -> io::Result<()>),
    /// On a terminal's settings; all of an address are applied in one tcsetattr(3).
    Terminal(fn(&mut Termios, &Value) -> Result<(), String>),
    /// Known, but this system has nothing it could be applied to; the text says what is missing.
    Unsupported(&'static str),
}

/// When a path option runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathMoment {
    /// First of all (`unlink-early`).
    Early,
    /// Before opening (`perm-early`, `user-early`, `unlink`).
    BeforeOpen,
    /// After the name exists and the descriptor is open (`unlink-late`, `perm`, `user`, `group`).
    AfterOpen,
}

/// When a socket option runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SocketMoment {
    /// Right after socket(2).
    Created,
    /// Before bind(2).
    BeforeBind,
    /// Before listen(2).
    BeforeListen,
    /// Before connect(2).
    BeforeConnect,
    /// On the connected or accepted socket.
    Connected,
}

/// When a descriptor option runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DescriptorMoment {
    /// As soon as the descriptor that carries the data is open.
    Opened,
    /// After everything else (`perm-late`, `seek`, `ftruncate`, `append`).
    Late,
}

/// The phases of socat(1), in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "the names are socat's own and are shown as they are")]
pub enum SocatPhase {
    Offset,
    Init,
    Early,
    PreOpen,
    Open,
    PastOpen,
    PreSocket,
    Socket,
    PastSocket,
    PreBigen,
    Bigen,
    PastBigen,
    Fd,
    PreBind,
    Bind,
    PastBind,
    PreListen,
    Listen,
    PastListen,
    PreConnect,
    Connect,
    PastConnect,
    PreAccept,
    Accept,
    PastAccept,
    Connected,
    PreFork,
    Fork,
    PastFork,
    Late,
    Late2,
    PreExec,
    Exec,
    PastExec,
    Specific,
}

impl SocatPhase {
    /// The name shown by `-hh`.
    #[must_use]
    pub fn name(self) -> String {
        format!("{self:?}").to_uppercase()
    }
}

/// All rows, file by file. The only place the files of rows are listed.
pub static TABLES: &[&[Row]] = &[
    appl::ROWS,
    child::ROWS,
    descriptor::ROWS,
    file::ROWS,
    ip::ROWS,
    listen::ROWS,
    process::ROWS,
    program::ROWS,
    reconnect::ROWS,
    serial::ROWS,
    share::ROWS,
    socket::ROWS,
    tcp::ROWS,
    telnet::ROWS,
    terminal::ROWS,
    unix::ROWS,
];

/// Every row of the table.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// The row with this spelling, in any case of letters. Options of several address families may share a
/// spelling; the one that fits `groups` is preferred.
pub fn find(name: &str, groups: Groups) -> Option<&'static Row> {
    find_in(TABLES, name, groups)
}

/// As [`find`], among these tables.
fn find_in(tables: &'static [&'static [Row]], name: &str, groups: Groups) -> Option<&'static Row> {
    let rows = || tables.iter().flat_map(|table| table.iter());
    let spelled = |row: &&Row| {
        row.name.eq_ignore_ascii_case(name) || row.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    };
    rows().filter(spelled).find(|row| row.groups.intersects(groups)).or_else(|| rows().find(spelled))
}

/// Writes rows the way they are read: documentation first, then
/// `"name" | "alias" : ValueType, Groups, Phase => Apply`.
#[macro_export]
#[doc(hidden)]
macro_rules! options {
    ($(
        $(#[doc = $doc:literal])+
        $name:literal $(| $alias:literal)* : $value:ident, $($group:ident)|+, $phase:ident => $apply:expr;
    )*) => {
        /// The rows of this file.
        #[allow(clippy::redundant_closure_for_method_calls, reason = "rows read alike")]
        pub(super) static ROWS: &[$crate::option::Row] = {
            #[allow(unused_imports, reason = "not every file of rows uses every moment")]
            use $crate::option::{Apply::*, DescriptorMoment, PathMoment, SocketMoment};
            &[$(
                $crate::option::Row {
                    name: $name,
                    aliases: &[$($alias),*],
                    value: $crate::option::ValueType::$value,
                    groups: $crate::option::Groups::NONE$(.and($crate::option::Groups::$group))+,
                    phase: $crate::option::SocatPhase::$phase,
                    apply: $apply,
                    doc: concat!($($doc, "\n"),+),
                },
            )*]
        };
    };
}
