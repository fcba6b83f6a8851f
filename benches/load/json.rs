//! One flat JSON object on a line of its own.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::Duration;

use crate::Failure;

/// An object being written, key by key.
#[derive(Default)]
pub struct Object {
    text: String,
}

impl Object {
    fn key(mut self, key: &str) -> Self {
        let comma = if self.text.is_empty() { "" } else { ", " };
        let _ = write!(self.text, "{comma}\"{key}\": ");
        self
    }

    pub fn number(self, key: &str, value: u64) -> Self {
        let mut object = self.key(key);
        let _ = write!(object.text, "{value}");
        object
    }

    pub fn seconds(self, key: &str, value: Duration) -> Self {
        let mut object = self.key(key);
        let _ = write!(object.text, "{:.9}", value.as_secs_f64());
        object
    }

    /// Text without quotes, backslashes or control characters, such as the name of an endpoint.
    pub fn text(self, key: &str, value: &str) -> Self {
        let mut object = self.key(key);
        let _ = write!(object.text, "\"{value}\"");
        object
    }

    /// Writes the line out at once: the reader waits for it.
    pub fn print(self) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{{{}}}", self.text)?;
        out.flush()?;
        Ok(())
    }
}
