//! Names in the file system that are removed when what they stood for is closed.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// No process has this number.
const NOBODY: u32 = 0;

/// Removes a name when dropped, if it still stands for what it stood for: somebody else may have put
/// another entry in its place meanwhile. Names of sockets, FIFOs and links of pseudo terminals are guarded.
#[derive(Debug)]
pub struct UnlinkGuard {
    /// Absolute, so that a later chdir(2) changes nothing.
    path: PathBuf,
    device: u64,
    inode: u64,
    /// A forked copy of the process has a copy of the guard, but does not own the name.
    owner: u32,
}

impl UnlinkGuard {
    /// Guards the entry that has this name now; a symbolic link is guarded itself, not what it points to.
    ///
    /// # Errors
    /// Those of lstat(2).
    pub fn new(path: &Path) -> io::Result<Self> {
        let metadata = path.symlink_metadata()?;
        Ok(Self {
            path: std::path::absolute(path)?,
            device: metadata.dev(),
            inode: metadata.ino(),
            owner: std::process::id(),
        })
    }

    /// Gives the name up: it stays.
    pub fn keep(mut self) {
        self.owner = NOBODY;
    }

    fn is_ours(&self) -> bool {
        self.owner == std::process::id()
            && self
                .path
                .symlink_metadata()
                .is_ok_and(|metadata| metadata.dev() == self.device && metadata.ino() == self.inode)
    }
}

impl Drop for UnlinkGuard {
    fn drop(&mut self) {
        if self.is_ours() {
            // Nobody is left to tell about a failure; the name stays, as after a crash.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::endpoint::testing::Scratch;

    #[test]
    fn what_was_guarded_is_removed() {
        let scratch = Scratch::new("unlink");
        let path = scratch.path("name");
        std::fs::write(&path, "").unwrap();
        drop(UnlinkGuard::new(&path).unwrap());
        assert!(!path.exists());
    }

    #[test]
    fn what_is_kept_stays() {
        let scratch = Scratch::new("kept");
        let path = scratch.path("name");
        std::fs::write(&path, "").unwrap();
        UnlinkGuard::new(&path).unwrap().keep();
        assert!(path.exists());
    }

    #[test]
    fn what_took_its_place_is_left_alone() {
        let scratch = Scratch::new("replaced");
        let (path, kept) = (scratch.path("name"), scratch.path("kept"));
        std::fs::write(&path, "old").unwrap();
        let guard = UnlinkGuard::new(&path).unwrap();
        // The old entry lives on under another name, so that its inode number cannot be given to the new one.
        std::fs::rename(&path, kept).unwrap();
        std::fs::write(&path, "new").unwrap();
        drop(guard);
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
    }
}
