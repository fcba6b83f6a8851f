//! The options of one address: read and checked against the kind. They are applied in `applied`.

use super::{Row, Settings, Value};
use crate::endpoint::Kind;
use crate::error::{Error, Result};
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
    pub(super) given: Vec<(&'static Row, Value)>,
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
}
