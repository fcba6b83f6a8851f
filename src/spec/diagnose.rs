//! Messages that teach: what is wrong with a text, where, and what was probably meant.

use super::{Single, Spec};
use crate::endpoint::{self, Kind};
use crate::error::{Error, Result};

/// The kind a spec's keyword names; an unknown keyword names the nearest ones.
pub fn kind_of(spec: &Spec, single: &Single) -> Result<&'static Kind> {
    let keyword = String::from_utf8_lossy(&single.keyword.bytes);
    endpoint::find(&keyword).ok_or_else(|| {
        Error::text(format!("unknown device/address \"{keyword}\"")).place(&spec.text, single.keyword.span.clone())
    })
}
