//! Who opens an endpoint, and where: the options `su`, `setuid`, `setgid`, `chroot`, `chdir`, `umask`,
//! `netns` and `setsid`.
//!
//! A program (EXEC, SYSTEM, SHELL) gets them for itself ([`for_child`]). For all other kinds:
//!
//! - `chdir`, `umask` and `netns` hold while the endpoint is opened and must not be seen by other
//!   sessions or threads. It is opened on a thread of its own that shares neither working directory nor
//!   mask with the others (unshare(2), `CLONE_FS`) and alone enters the namespace (setns(2) is per thread),
//!   while the runtime's own thread goes on driving I/O. Host names are looked up on other threads, so
//!   outside the namespace.
//! - the others change the whole process, for good. The command line may do that; a library may not.

use std::ffi::{CString, OsString};
use std::future::Future;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, umask};
use tokio::sync::oneshot;

use super::Kind;
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::option::{Groups, Identity, Principal, Settings};
use crate::sys::identity::{self, Account, Credentials};
use crate::sys::process::Setup;

/// Variables for programs started after `su`: the process's own environment cannot be changed safely
/// while other threads may read it.
static ACCOUNT: Mutex<Vec<(String, OsString)>> = Mutex::new(Vec::new());

/// Variables that `su` has set for the programs this process starts from now on.
pub fn environment() -> Vec<(String, OsString)> {
    ACCOUNT.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// Whether the endpoint has options of this family that are applied around its opening. Programs apply
/// theirs by themselves.
pub fn concerns(kind: &Kind, settings: &Settings) -> bool {
    let identity = &settings.identity;
    !kind.groups.intersects(Groups::EXEC)
        && (settings.program.setsid || process_wide_option(settings).is_some() || is_apart(identity))
}

/// Checks before anything is opened that the process may be changed, if it has to be.
///
/// # Errors
/// An address error that names the option.
pub fn check(kind: &Kind, settings: &Settings, process_wide: bool) -> Result<()> {
    if process_wide || kind.groups.intersects(Groups::EXEC) {
        return Ok(());
    }
    match process_wide_option(settings) {
        Some(name) => {
            let text = format!("option {name} changes the whole process: only the command line may");
            Err(Error::text(text).hint("run ferrule as a process of its own, or give the option to EXEC"))
        }
        None => Ok(()),
    }
}

/// Opens an endpoint with the identity its options ask for.
///
/// What changes the whole process is done the `first` time only. `open` is called once, on another thread when that is needed; what it returns is then used on the
/// caller's. Dropping the future gives the opening up.
///
/// # Errors
/// What `open` returns, and what keeps the process from the identity asked for.
pub async fn opened<T, F, O>(settings: &Settings, first: bool, open: O) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
    O: FnOnce() -> F + Send + 'static,
{
    let later = if first { Some(before_open(settings)?) } else { None };
    let opened = if is_apart(&settings.identity) { apart(&settings.identity, open).await? } else { open().await? };
    if let Some(later) = later {
        later.apply(settings)?;
    }
    Ok(opened)
}

/// The first option given that changes the whole process.
fn process_wide_option(settings: &Settings) -> Option<&'static str> {
    let identity = &settings.identity;
    let given = [
        (identity.chroot_early.is_some(), "chroot-early"),
        (identity.chroot.is_some(), "chroot"),
        (identity.setgid_early.is_some(), "setgid-early"),
        (identity.setuid_early.is_some(), "setuid-early"),
        (identity.substuser_early.is_some(), "substuser-early"),
        (identity.setgid.is_some(), "setgid"),
        (identity.setuid.is_some(), "setuid"),
        (identity.substuser.is_some(), "substuser"),
        (identity.substuser_delayed.is_some(), "substuser-delayed"),
        (settings.program.setsid, "setsid"),
    ];
    given.into_iter().find(|(given, _)| *given).map(|(_, name)| name)
}

fn is_apart(identity: &Identity) -> bool {
    identity.chdir.is_some() || identity.umask.is_some() || identity.netns.is_some()
}

/// What is applied after opening, looked up before.
struct Later {
    /// `su-d`, whose account is that from before a chroot.
    delayed: Option<Account>,
}

/// Applies what comes before opening, in the order of the fields of [`Identity`].
fn before_open(settings: &Settings) -> Result<Later> {
    let identity = &settings.identity;
    let delayed = look_up(identity.substuser_delayed.as_ref(), None)?;
    // Before the opening, so that a terminal that is opened can become the controlling one (`ctty`).
    if settings.program.setsid {
        nix::unistd::setsid().map_err(|errno| failed("setsid", errno.into()))?;
    }
    if let Some(root) = &identity.chroot_early {
        identity::change_root(root).map_err(|error| failed("chroot-early", error))?;
    }
    take(look_up(identity.substuser_early.as_ref(), None)?, "substuser-early")?;
    take_ids(identity.setgid_early.as_ref(), identity.setuid_early.as_ref(), ["setgid-early", "setuid-early"])?;
    Ok(Later { delayed })
}

impl Later {
    /// Applies what comes after opening: root, then groups before users.
    fn apply(self, settings: &Settings) -> Result<()> {
        let identity = &settings.identity;
        let ids = (identity.setgid.as_ref(), identity.setuid.as_ref());
        if let Some(root) = &identity.chroot {
            identity::change_root(root).map_err(|error| failed("chroot", error))?;
        }
        take_ids(ids.0, None, ["setgid", "setuid"])?;
        take(look_up(identity.substuser.as_ref(), None)?, "substuser")?;
        take(self.delayed, "substuser-delayed")?;
        take_ids(None, ids.1, ["setgid", "setuid"])
    }
}

fn take(account: Option<Account>, option: &str) -> Result<()> {
    let Some(account) = account else { return Ok(()) };
    account.credentials.apply().map_err(|errno| failed(option, errno.into()))?;
    *ACCOUNT.lock().unwrap_or_else(PoisonError::into_inner) = account.environment();
    Ok(())
}

fn take_ids(group: Option<&Principal>, user: Option<&Principal>, options: [&str; 2]) -> Result<()> {
    let credentials = ids(group, user)?;
    let option = if group.is_some() { options[0] } else { options[1] };
    credentials.apply().map_err(|errno| failed(option, errno.into()))
}

fn ids(group: Option<&Principal>, user: Option<&Principal>) -> Result<Credentials> {
    Ok(Credentials {
        groups: None,
        group: group.map(identity::group_id).transpose().map_err(not_found)?,
        user: user.map(identity::user_id).transpose().map_err(not_found)?,
    })
}

fn look_up(user: Option<&Principal>, root: Option<&Path>) -> Result<Option<Account>> {
    user.map(|user| identity::account(user, root)).transpose().map_err(not_found)
}

fn failed(option: &str, error: io::Error) -> Error {
    Error::open(Phase::Option, error).hint(format!("this was the option {option}"))
}

fn not_found(error: io::Error) -> Error {
    Error::open(Phase::Option, error)
}

/// What a program does before it starts, and the variables its user's account adds.
pub(super) fn for_child(identity: &Identity) -> Result<(Setup, Vec<(String, OsString)>)> {
    let early_root = identity.chroot_early.clone();
    let inner_root = match (&early_root, &identity.chroot) {
        (Some(outer), Some(inner)) => Some(below(outer, inner)),
        (outer, inner) => inner.clone().or_else(|| outer.clone()),
    };
    let early = look_up(identity.substuser_early.as_ref(), early_root.as_deref())?;
    let late = look_up(identity.substuser.as_ref(), inner_root.as_deref())?;
    let delayed = look_up(identity.substuser_delayed.as_ref(), None)?;
    let account = delayed.as_ref().or(late.as_ref()).or(early.as_ref()).map(Account::environment);
    let of = |account: Option<Account>| account.map(|account| account.credentials);
    let first = [of(early), Some(ids(identity.setgid_early.as_ref(), identity.setuid_early.as_ref())?)];
    let second =
        [Some(ids(identity.setgid.as_ref(), None)?), of(late), of(delayed), Some(ids(None, identity.setuid.as_ref())?)];
    let mut setup = Setup::default();
    setup.namespace = identity.netns.as_deref().map(open_namespace).transpose()?;
    setup.umask = identity.umask;
    setup.directory = identity.chdir.as_deref().map(c_path).transpose()?;
    setup.roots = vec![
        (early_root.as_deref().map(c_path).transpose()?, changes(first)),
        (identity.chroot.as_deref().map(c_path).transpose()?, changes(second)),
    ];
    Ok((setup, account.unwrap_or_default()))
}

/// Only what changes something.
fn changes<const N: usize>(credentials: [Option<Credentials>; N]) -> Vec<Credentials> {
    credentials.into_iter().flatten().filter(|credentials| *credentials != Credentials::default()).collect()
}

/// Where `inner` is, seen from outside the root `outer`.
fn below(outer: &Path, inner: &Path) -> PathBuf {
    outer.join(inner.strip_prefix("/").unwrap_or(inner))
}

fn c_path(path: &Path) -> Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Error::text("a path cannot contain a NUL byte"))
}

fn open_namespace(name: &str) -> Result<std::os::fd::OwnedFd> {
    identity::open_namespace(name).map_err(|error| failed("netns", error))
}

/// Opens on a thread of its own, under another working directory, mask or network namespace.
async fn apart<T, F, O>(identity: &Identity, open: O) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T>>,
    O: FnOnce() -> F + Send + 'static,
{
    let place = Place {
        directory: identity.chdir.clone(),
        mask: identity.umask,
        namespace: identity.netns.as_deref().map(open_namespace).transpose()?,
    };
    let runtime = tokio::runtime::Handle::current();
    let (mut result, opened) = oneshot::channel();
    let work = move || {
        if let Err(error) = place.enter() {
            // An error nobody waits for is lost with the one who asked.
            let _ = result.send(Err(error));
            return;
        }
        let opened = runtime.block_on(async {
            tokio::select! {
                opened = open() => Some(opened),
                () = result.closed() => None,
            }
        });
        if let Some(opened) = opened {
            // A receiver that is gone drops what was opened, which closes it.
            let _ = result.send(opened);
        }
    };
    let thread = std::thread::Builder::new().name("opener".to_owned());
    thread.spawn(work).map_err(|error| Error::open(Phase::Open, error))?;
    let lost = |_| Error::new(ErrorKind::Open, Phase::Open, "the thread that opened it has failed");
    opened.await.map_err(lost)?
}

/// Where a thread works.
struct Place {
    directory: Option<PathBuf>,
    mask: Option<u32>,
    namespace: Option<std::os::fd::OwnedFd>,
}

impl Place {
    /// Takes the calling thread there, and only this thread.
    fn enter(&self) -> Result<()> {
        unshare(CloneFlags::CLONE_FS).map_err(|errno| Error::open(Phase::Open, errno.into()))?;
        if let Some(namespace) = &self.namespace {
            setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|errno| failed("netns", errno.into()))?;
        }
        if let Some(mask) = self.mask {
            umask(Mode::from_bits_truncate(mask));
        }
        if let Some(directory) = &self.directory {
            std::env::set_current_dir(directory).map_err(|error| failed("chdir", error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    use super::*;
    use crate::endpoint;

    fn pty() -> &'static Kind {
        endpoint::find("PTY").unwrap()
    }

    #[test]
    fn only_the_command_line_may_change_the_process() {
        let mut settings = Settings::default();
        settings.identity.substuser = Some(Principal::Id(0));
        let refused = check(pty(), &settings, false).unwrap_err();
        assert!(refused.to_string().contains("substuser"), "{refused}");
        assert!(check(pty(), &settings, true).is_ok());
        assert!(check(endpoint::find("EXEC").unwrap(), &settings, false).is_ok());
        assert!(!concerns(endpoint::find("EXEC").unwrap(), &settings));
        assert!(concerns(pty(), &settings));
        assert!(!concerns(pty(), &Settings::default()));
    }

    #[tokio::test]
    async fn directory_and_mask_hold_while_opening_and_nowhere_else() {
        let directory = std::env::temp_dir().join(format!("apart-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let before = std::env::current_dir().unwrap();
        let mut settings = Settings::default();
        settings.identity.chdir = Some(directory.clone());
        settings.identity.umask = Some(0o077);
        let open = || async {
            // Timers are the runtime's: they work on the other thread as well.
            tokio::time::sleep(Duration::from_millis(1)).await;
            std::fs::write("made", b"").map_err(|error| Error::open(Phase::Open, error))?;
            Ok(std::env::current_dir().unwrap())
        };
        let inside = opened(&settings, true, open).await.unwrap();
        assert_eq!(std::env::current_dir().unwrap(), before);
        assert_eq!(inside, directory.canonicalize().unwrap());
        let mode = std::fs::metadata(directory.join("made")).unwrap().permissions().mode();
        std::fs::remove_dir_all(&directory).unwrap();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_missing_directory_is_an_error_that_names_the_option() {
        let mut settings = Settings::default();
        settings.identity.chdir = Some("/no/such/directory".into());
        let error = opened(&settings, true, || async { Ok(()) }).await.unwrap_err();
        assert_eq!(error.io_kind(), Some(io::ErrorKind::NotFound));
        assert!(error.advice().unwrap().contains("chdir"));
    }

    /// Runs in a process of its own, see below: what it becomes it stays.
    #[tokio::test]
    async fn changes_the_process() {
        let Some(root) = std::env::var_os("CHANGE_THE_PROCESS") else { return };
        let mut settings = Settings::default();
        settings.identity.chroot = Some(root.into());
        settings.identity.substuser_delayed = Some(Principal::Name("daemon".to_owned()));
        // Opened before the rights are gone.
        let open = || async { std::fs::read("/etc/shadow").map_err(|error| Error::open(Phase::Open, error)) };
        opened(&settings, true, open).await.unwrap();
        assert!(nix::unistd::setuid(nix::unistd::Uid::from_raw(0)).is_err());
        assert_eq!(environment()[0], ("USER".to_owned(), "daemon".into()));
        let names: Vec<_> = std::fs::read_dir("/").unwrap().map(|entry| entry.unwrap().file_name()).collect();
        let groups = nix::unistd::getgroups().unwrap();
        println!("<{names:?} {} {} {groups:?}>", nix::unistd::getuid(), nix::unistd::getegid());
    }

    #[test]
    fn the_command_line_becomes_another_user_in_another_root_for_good() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let root = std::env::temp_dir().join(format!("root-of-process-{}", std::process::id()));
        std::fs::create_dir_all(root.join("only-this")).unwrap();
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "endpoint::identity::tests::changes_the_process", "--nocapture"]);
        let output = command.env("CHANGE_THE_PROCESS", &root).output().unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let user = nix::unistd::User::from_name("daemon").unwrap().unwrap();
        let expected = format!("<[\"only-this\"] {} {} [Gid({})]>", user.uid, user.gid, user.gid);
        assert!(text.contains(&expected), "{text}");
    }

    #[tokio::test]
    async fn giving_up_drops_what_is_being_opened() {
        struct Tell(Option<oneshot::Sender<()>>);
        impl Drop for Tell {
            fn drop(&mut self) {
                let _ = self.0.take().unwrap().send(());
            }
        }
        let (tell, told) = oneshot::channel();
        let mut settings = Settings::default();
        settings.identity.umask = Some(0o022);
        let tell = Tell(Some(tell));
        let open = move || async move {
            let _tell = tell;
            std::future::pending::<Result<()>>().await
        };
        let given_up = tokio::time::timeout(Duration::from_millis(50), opened(&settings, true, open)).await;
        assert!(given_up.is_err());
        tokio::time::timeout(Duration::from_secs(10), told).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_missing_namespace_is_an_error() {
        let mut settings = Settings::default();
        settings.identity.netns = Some("no-such-namespace".to_owned());
        let error = opened(&settings, true, || async { Ok(()) }).await.unwrap_err();
        assert!(error.advice().unwrap().contains("netns"));
    }
}
