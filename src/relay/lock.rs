//! Lock files: made exclusively before an address is opened, removed afterwards.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use tokio::io::unix::AsyncFd;

use crate::error::{Error, ErrorKind, Phase, Result};
use crate::log::Log;
use crate::notice;
use crate::option::Life;

/// A lock file of ours. Dropping it removes the file, if it is still the one we made.
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

/// How often the name is looked at where the kernel tells nothing about it (network file systems).
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl LockFile {
    /// The lock files an address asks for, see `lockfile` and `waitlock` in socat(1).
    pub async fn of(life: &Life, log: &Log) -> Result<Vec<Self>> {
        let mut locks = Vec::new();
        if let Some(path) = &life.lockfile {
            locks.push(Self::take(path)?);
        }
        if let Some(path) = &life.waitlock {
            // Boxed, since it is large and few need it.
            locks.push(Box::pin(Self::wait(path, log)).await?);
        }
        Ok(locks)
    }

    /// Makes the file, mode 0644, with `pid\n` in it; fails when the name exists.
    pub fn take(path: &Path) -> Result<Self> {
        Self::create(path).map_err(|error| refused(path, error))
    }

    /// Makes the file as soon as the name is free. Dropping the future stops the waiting.
    pub async fn wait(path: &Path, log: &Log) -> Result<Self> {
        let mut changes = None;
        loop {
            match Self::create(path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                result => return result.map_err(|error| refused(path, error)),
            }
            // The watch is set up before the name is tried once more: no removal in between is missed.
            match &mut changes {
                None => {
                    notice!(log, "waiting for lock \"{}\"", path.display());
                    if let Some(advice) = owner_gone(path) {
                        crate::warning!(log, "lock \"{}\": {advice}", path.display());
                    }
                    changes = Some(watch(path));
                }
                Some(Ok(watch)) => {
                    // Elapsed or not, the name is tried again.
                    let _ = tokio::time::timeout(LOOK_AGAIN, changed(watch)).await;
                }
                Some(Err(_)) => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    fn create(path: &Path) -> io::Result<Self> {
        // O_EXCL never follows a link, see open(2).
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
        let lock = Self { path: path.to_owned(), identity: identity(&file.metadata()?) };
        // On an error the drop of `lock` removes the file.
        file.write_all(format!("{}\n", std::process::id()).as_bytes())?;
        Ok(lock)
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        let ours = std::fs::symlink_metadata(&self.path).is_ok_and(|data| identity(&data) == self.identity);
        if ours {
            // Nobody is left to be told about an error at this point.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn identity(data: &std::fs::Metadata) -> (u64, u64) {
    (data.dev(), data.ino())
}

fn refused(path: &Path, error: io::Error) -> Error {
    let name = path.display();
    if error.kind() != io::ErrorKind::AlreadyExists {
        return Error::open(Phase::Wait, error).at(format!("lock \"{name}\""));
    }
    let error = Error::new(ErrorKind::Open, Phase::Wait, format!("could not obtain lock \"{name}\""));
    match owner_gone(path) {
        Some(advice) => error.hint(advice),
        None => error,
    }
}

/// What to tell about a lock whose owner does not run any more.
fn owner_gone(path: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(32).read_to_string(&mut text).ok()?;
    let pid: i32 = text.trim().parse().ok().filter(|pid| *pid > 0)?;
    let gone = kill(Pid::from_raw(pid), None) == Err(Errno::ESRCH);
    gone.then(|| format!("process {pid}, which made it, does not run any more; remove the file to go on"))
}

/// Watches the directory of the name for what disappears from it.
fn watch(path: &Path) -> io::Result<AsyncFd<OwnedFd>> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(directory, AddWatchFlags::IN_DELETE | AddWatchFlags::IN_MOVED_FROM)?;
    crate::sys::fd::register(OwnedFd::from(inotify)).map_err(|(_, error)| error)
}

/// Waits for a change and forgets what exactly it was.
async fn changed(watch: &AsyncFd<OwnedFd>) -> io::Result<()> {
    let mut events = [0; 4096];
    let mut ready = watch.readable().await?;
    while crate::sys::io::read(std::os::fd::AsFd::as_fd(watch.get_ref()), &mut events).is_ok_and(|count| count > 0) {}
    ready.clear_ready();
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("ferrule-lock-{name}-{}", std::process::id()))
    }

    #[test]
    fn one_wins_and_the_file_goes_with_it() {
        let path = path("one");
        let lock = LockFile::take(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        let error = LockFile::take(&path).unwrap_err();
        assert_eq!(error.message(), format!("could not obtain lock \"{}\"", path.display()));
        assert_eq!(error.advice(), None);
        drop(lock);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_somebody_else_put_there_stays() {
        let path = path("other");
        let lock = LockFile::take(&path).unwrap();
        std::fs::rename(&path, path.with_extension("moved")).unwrap();
        std::fs::write(&path, "theirs").unwrap();
        drop(lock);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "theirs");
        std::fs::remove_file(&path).unwrap();
        std::fs::remove_file(path.with_extension("moved")).unwrap();
    }

    #[test]
    fn a_link_is_not_followed() {
        let path = path("link");
        std::os::unix::fs::symlink(path.with_extension("target"), &path).unwrap();
        assert!(LockFile::take(&path).is_err());
        assert!(!path.with_extension("target").exists());
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_dead_owner_is_named() {
        let path = path("dead");
        // No process has a number beyond PID_MAX_LIMIT.
        std::fs::write(&path, "99999999\n").unwrap();
        let error = LockFile::take(&path).unwrap_err();
        assert!(error.advice().is_some_and(|advice| advice.contains("process 99999999")), "{error:?}");
        std::fs::remove_file(&path).unwrap();
    }

    #[tokio::test(flavor = "current_thread")]
    async fn waiting_ends_when_the_file_goes() {
        let path = path("wait");
        let lock = LockFile::take(&path).unwrap();
        let log = Log::silent();
        let free = async {
            tokio::task::yield_now().await;
            drop(lock);
        };
        let start = std::time::Instant::now();
        let (lock, ()) = tokio::join!(LockFile::wait(&path, &log), free);
        assert!(lock.is_ok() && path.exists());
        // The kernel told it: there was no need to look again.
        assert!(start.elapsed() < LOOK_AGAIN);
    }
}
