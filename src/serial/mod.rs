//! THE SERIAL PORTS OF THIS MACHINE: which there are, what is known of them, and finding one by what it is
//! rather than by a name that changes with each plug.

mod holders;
mod ports;
mod selector;
#[cfg(test)]
mod tests;
mod usb;

use std::path::{Path, PathBuf};

pub use holders::Holder;
pub use ports::Port;
pub use selector::Selector;
pub use usb::Usb;

/// Where devices, what the kernel knows of them, and processes are looked for.
#[derive(Debug, Clone)]
pub struct System {
    root: PathBuf,
}

impl Default for System {
    /// This machine.
    fn default() -> Self {
        Self::at("/")
    }
}

impl System {
    /// A machine whose /dev, /sys and /proc are below `root`.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    fn is_this_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }
}

/// The names of a directory in their order; none where there is no such directory.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_by(|a, b| natural(a).cmp(&natural(b)));
    names
}

/// A key that sorts `ttyUSB2` before `ttyUSB10`.
fn natural(name: &str) -> (&str, u64, &str) {
    let start = name.trim_end_matches(|c: char| c.is_ascii_digit());
    (start, name[start.len()..].parse().unwrap_or(0), name)
}

/// What a small file says, without blanks around; `None` when it says nothing.
fn read(file: &Path) -> Option<String> {
    let text = std::fs::read(file).ok()?;
    let text = String::from_utf8_lossy(&text).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// The last part of a path, as text.
fn last(path: &Path) -> Option<String> {
    Some(path.file_name()?.to_string_lossy().into_owned())
}
