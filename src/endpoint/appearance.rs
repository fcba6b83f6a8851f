//! Waiting until a name is in the file system: a device that is plugged in, a link that is made anew.
//!
//! inotify(7) tells of changes in the directory of the name and of whatever the name links to
//! (`/dev/serial/by-id/...` links to `/dev/ttyUSB0`), and in the nearest directory above where one of these is
//! missing itself: `/dev/serial` goes with the last device. Each change leads to a look, and a new look to the
//! directories. Where there is no inotify nothing is ever told.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;

use crate::sys;

/// Most symbolic links followed, see `path_resolution(7)`.
const LINKS: usize = 40;
/// Changes come in bursts: the name, its owner, its mode, its links. Also bounds how often anything is looked at.
const BURST: Duration = Duration::from_millis(10);

/// What a name stands for; differs when it is another thing, or can be opened by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    file: (u64, u64, u64),
    access: (u32, u32, u32),
    changed: (i64, i64),
}

/// Watches for a name.
pub(super) struct Appearance {
    path: PathBuf,
    /// As it is given to inotify, and as it is read.
    inotify: Option<(Inotify, AsyncFd<OwnedFd>)>,
}

impl Appearance {
    /// Watches for `path`, which must be absolute. Must be called inside a runtime.
    pub(super) fn of(path: &Path) -> Self {
        let appearance = Self { path: path.to_owned(), inotify: start() };
        appearance.watch();
        appearance
    }

    /// What is there under the name now.
    pub(super) fn look(&self) -> Option<Seen> {
        let data = self.path.metadata().ok()?;
        Some(Seen {
            file: (data.dev(), data.ino(), data.rdev()),
            access: (data.mode(), data.uid(), data.gid()),
            changed: (data.ctime(), data.ctime_nsec()),
        })
    }

    /// Waits until the name stands for something else than `seen`, and for something at all; never less than a
    /// moment. Cancel safe.
    pub(super) async fn wait(&self, seen: Option<Seen>) {
        let Some((_, changes)) = &self.inotify else { return std::future::pending().await };
        tokio::time::sleep(BURST).await;
        loop {
            // Before the look: what changes after it is told.
            self.watch();
            let now = self.look();
            if now.is_some() && now != seen {
                return;
            }
            match changes.readable().await {
                Ok(mut ready) => {
                    tokio::time::sleep(BURST).await;
                    // What changed does not matter, only that it is read.
                    while sys::io::read(changes.as_fd(), &mut [0; 4096]).is_ok_and(|count| count > 0) {}
                    ready.clear_ready();
                }
                Err(_) => return std::future::pending().await,
            }
        }
    }

    /// Watches all directories of now. Those watched already stay so: the kernel knows them.
    fn watch(&self) {
        let Some((inotify, _)) = &self.inotify else { return };
        let what = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        for directory in directories(&self.path) {
            // A directory that has just gone is told by the one above; the pauses between attempts are left.
            let _ = inotify.add_watch(&directory, what);
        }
    }
}

/// Two descriptors of one instance: one to add watches, one the runtime waits for.
fn start() -> Option<(Inotify, AsyncFd<OwnedFd>)> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC).ok()?;
    let read = inotify.as_fd().try_clone_to_owned().ok()?;
    let read = sys::fd::register(read).ok()?;
    Some((inotify, read))
}

/// The directories whose changes may concern the name.
fn directories(path: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut next = path.to_owned();
    for _ in 0..LINKS {
        let parent = next.parent().unwrap_or(Path::new("/")).to_owned();
        found.push(nearest(&parent));
        match std::fs::read_link(&next) {
            Ok(target) => next = parent.join(target),
            Err(_) => break,
        }
    }
    if path.is_dir() {
        found.push(path.to_owned());
    }
    found.sort();
    found.dedup();
    found
}

/// The directory, or the nearest above that exists.
fn nearest(directory: &Path) -> PathBuf {
    directory.ancestors().find(|place| place.is_dir()).unwrap_or(Path::new("/")).to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::os::unix::fs::symlink;

    use super::*;
    use crate::endpoint::testing::Scratch;

    const LIMIT: Duration = Duration::from_secs(10);

    /// Waits for `path` while `change` is made once the waiting has begun.
    async fn told(path: &Path, seen: Option<Seen>, change: impl FnOnce()) {
        let appearance = Appearance::of(path);
        let mut wait = std::pin::pin!(appearance.wait(seen));
        let begun = tokio::time::timeout(Duration::from_millis(30), wait.as_mut()).await;
        assert!(begun.is_err(), "it is not there yet");
        change();
        tokio::time::timeout(LIMIT, wait).await.expect("the change is told");
    }

    #[tokio::test]
    async fn a_new_name_is_told() {
        let scratch = Scratch::new("appears");
        let path = scratch.path("name");
        told(&path, None, || std::fs::write(&path, b"").unwrap()).await;
    }

    #[tokio::test]
    async fn directories_that_come_with_the_name_are_told() {
        let scratch = Scratch::new("appears-deep");
        let path = scratch.path("serial/by-id/usb-adapter");
        let (directory, target) = (path.parent().unwrap(), scratch.path("ttyUSB0"));
        told(&path, None, || {
            std::fs::create_dir_all(directory).unwrap();
            std::fs::write(&target, b"").unwrap();
            symlink("../../ttyUSB0", &path).unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn the_target_of_a_link_is_told() {
        let (scratch, other) = (Scratch::new("appears-link"), Scratch::new("appears-target"));
        let (path, target) = (scratch.path("link"), other.path("device"));
        symlink(&target, &path).unwrap();
        told(&path, None, || std::fs::write(&target, b"").unwrap()).await;
    }

    #[tokio::test]
    async fn the_same_thing_is_told_when_others_may_open_it() {
        use std::os::unix::fs::PermissionsExt;
        let scratch = Scratch::new("appears-mode");
        let path = scratch.path("name");
        std::fs::write(&path, b"").unwrap();
        told(&path, Appearance::of(&path).look(), || {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        })
        .await;
    }

    #[tokio::test]
    async fn a_directory_that_vanishes_and_comes_back_is_told() {
        let scratch = Scratch::new("appears-again");
        let path = scratch.path("by-id/name");
        let directory = path.parent().unwrap();
        std::fs::create_dir(directory).unwrap();
        let appearance = Appearance::of(&path);
        std::fs::remove_dir(directory).unwrap();
        let mut wait = std::pin::pin!(appearance.wait(None));
        assert!(tokio::time::timeout(Duration::from_millis(30), wait.as_mut()).await.is_err());
        std::fs::create_dir(directory).unwrap();
        std::fs::write(&path, b"").unwrap();
        tokio::time::timeout(LIMIT, wait).await.expect("the name is told");
    }

    #[test]
    fn loops_of_links_end() {
        let scratch = Scratch::new("appears-loop");
        symlink("b", scratch.path("a")).unwrap();
        symlink("a", scratch.path("b")).unwrap();
        assert_eq!(directories(&scratch.path("a")), [scratch.path("")]);
        assert!(!scratch.path("a").exists());
    }
}
