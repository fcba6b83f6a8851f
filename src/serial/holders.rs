//! Who has a port open, as far as this user may know: /proc/PID/fd, see proc(5).

use std::collections::HashMap;
use std::path::PathBuf;

use super::{System, names, read};

/// A process that has a port open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// The name of its command.
    pub command: String,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (pid {})", self.command, self.pid)
    }
}

impl System {
    /// Who has which device open. Of processes of other users only root is told.
    pub(super) fn holders(&self) -> HashMap<PathBuf, Vec<Holder>> {
        let mut holders: HashMap<PathBuf, Vec<Holder>> = HashMap::new();
        let devices = self.path("dev");
        for pid in names(&self.path("proc")).iter().filter_map(|name| name.parse::<u32>().ok()) {
            let process = self.path("proc").join(pid.to_string());
            let files = process.join("fd");
            for file in names(&files) {
                let Ok(device) = std::fs::read_link(files.join(file)) else { continue };
                if !device.starts_with(&devices) {
                    continue;
                }
                let of_device = holders.entry(device).or_default();
                if of_device.last().is_none_or(|holder| holder.pid != pid) {
                    let command = read(&process.join("comm")).unwrap_or_else(|| "?".to_owned());
                    of_device.push(Holder { pid, command });
                }
            }
        }
        holders
    }

    /// Who has this device open, but for this process.
    pub fn holders_of(&self, device: &std::path::Path) -> Vec<Holder> {
        let device = device.canonicalize().unwrap_or_else(|_| device.to_owned());
        let mut holders = self.holders().remove(&device).unwrap_or_default();
        holders.retain(|holder| holder.pid != std::process::id());
        holders
    }
}
