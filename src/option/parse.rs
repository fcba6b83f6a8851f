//! The options of one address: read, checked against the kind, and applied at their moments.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;

use super::{Apply, DescriptorMoment, PathMoment, Row, Settings, SocketMoment, Value};
use crate::endpoint::Kind;
use crate::error::{Error, Phase, Result};
use crate::spec::{Single, Spec};

/// How strictly options must fit the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// An option must have a group in common with the kind.
    Groups,
    /// Any option is tried (`-g`).
    AnyGroup,
}

/// The options of one address.
#[derive(Debug, Default)]
pub struct Options {
    /// What the `Plan` rows say.
    pub settings: Settings,
    /// All options in order of application: by phase, then as written.
    given: Vec<(&'static Row, Value)>,
}

impl Options {
    /// Reads the options of `single`. Opens nothing.
    pub fn parse(spec: &Spec, single: &Single, kind: &Kind, strictness: Strictness) -> Result<Self> {
        let _ = (spec, single, kind, strictness);
        Err(Error::text("not written yet"))
    }

    /// Whether the option with this canonical name was given.
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The value of the option with this canonical name; the last one counts.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.given.iter().rev().find(|(row, _)| row.name == name).map(|(_, value)| value)
    }

    /// Applies what belongs to this moment of a socket's life.
    pub fn on_socket(&self, moment: SocketMoment, fd: BorrowedFd<'_>) -> Result<()> {
        self.apply(|row, value| match row.apply {
            Apply::Socket(at, apply) if at == moment => Some(apply(fd, value)),
            _ => None,
        })
    }

    /// Applies what belongs to this moment of a descriptor's life.
    pub fn on_descriptor(&self, moment: DescriptorMoment, fd: BorrowedFd<'_>) -> Result<()> {
        self.apply(|row, value| match row.apply {
            Apply::Descriptor(at, apply) if at == moment => Some(apply(fd, value)),
            _ => None,
        })
    }

    /// Applies what belongs to this moment of a name in the file system.
    pub fn on_path(&self, moment: PathMoment, path: &Path) -> Result<()> {
        self.apply(|row, value| match row.apply {
            Apply::Path(at, apply) if at == moment => Some(apply(path, value)),
            _ => None,
        })
    }

    /// The flags for open(2): `base` with the bits of the options set or cleared.
    pub fn open_flags(&self, base: i32) -> i32 {
        self.given.iter().fold(base, |flags, (row, value)| match row.apply {
            Apply::OpenFlag(bit) if value.is_true() => flags | bit,
            Apply::OpenFlag(bit) => flags & !bit,
            _ => flags,
        })
    }

    /// Applies the settings of a terminal, all in one tcsetattr(3).
    pub fn apply_terminal(&self, fd: BorrowedFd<'_>) -> Result<()> {
        use nix::sys::termios::{SetArg, tcgetattr, tcsetattr};
        let mut settings = None;
        for (row, value) in &self.given {
            let Apply::Terminal(apply) = row.apply else { continue };
            let failed = |error: io::Error| Error::open(Phase::Option, error).at(format!("option {}", row.name));
            if settings.is_none() {
                settings = Some(tcgetattr(fd).map_err(|errno| failed(errno.into()))?);
            }
            if let Some(settings) = &mut settings {
                apply(settings, value).map_err(|text| failed(io::Error::other(text)))?;
            }
        }
        match settings {
            Some(settings) => tcsetattr(fd, SetArg::TCSANOW, &settings)
                .map_err(|errno| Error::open(Phase::Option, errno.into())),
            None => Ok(()),
        }
    }

    fn apply(&self, mut call: impl FnMut(&'static Row, &Value) -> Option<io::Result<()>>) -> Result<()> {
        for (row, value) in &self.given {
            if let Some(result) = call(row, value) {
                result.map_err(|error| Error::open(Phase::Option, error).at(format!("option {}", row.name)))?;
            }
        }
        Ok(())
    }
}
