//! Starting a program with nothing but what it is given, and following it by its pidfd.
//!
//! Between fork(2) and execve(2) only async-signal-safe calls are made, and nothing is allocated: names
//! are looked up, paths turned into C strings and descriptors moved out of the way before the fork.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::resource::{Resource, getrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, chdir, chroot, setpgid, setsid};

use super::identity::Credentials;

/// What can fail between fork(2) and the program's first instruction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Step {
    /// execve(2), or fork(2) itself.
    Execute,
    /// Entering the network namespace.
    Namespace,
    /// Changing the working directory.
    Directory,
    /// Changing the root directory.
    Root,
    /// Changing user or groups.
    Credentials,
    /// Beginning a session.
    Session,
    /// Joining or founding the process group.
    Group,
    /// Putting the descriptors at their numbers.
    Descriptors,
    /// Taking the controlling terminal.
    Terminal,
}

impl Step {
    const ALL: [Self; 9] = [
        Self::Execute,
        Self::Namespace,
        Self::Directory,
        Self::Root,
        Self::Credentials,
        Self::Session,
        Self::Group,
        Self::Descriptors,
        Self::Terminal,
    ];

    /// The child's error, with the step in the upper half of the number: std passes the number on from the
    /// child to the parent as it is, and errno(3) needs 12 bits.
    fn failed(self, errno: Errno) -> io::Error {
        io::Error::from_raw_os_error((self as i32) << 16 | errno as i32)
    }
}

/// Why a program could not be started.
#[derive(Debug)]
pub struct Failure {
    /// What was being done.
    pub step: Step,
    /// The operating system's error.
    pub error: io::Error,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let number = error.raw_os_error().unwrap_or(0);
        match Step::ALL.iter().find(|step| **step as i32 == number >> 16) {
            Some(step) if *step != Step::Execute => {
                Self { step: *step, error: io::Error::from_raw_os_error(number & 0xffff) }
            }
            _ => Self { step: Step::Execute, error },
        }
    }
}

/// What the child does before it becomes the program; in the order of the fields.
#[derive(Debug, Default)]
pub struct Setup {
    /// The network namespace to enter.
    pub namespace: Option<OwnedFd>,
    /// The file mode creation mask.
    pub umask: Option<u32>,
    /// The working directory.
    pub directory: Option<CString>,
    /// Root directories to change to, one after the other, each with the credentials taken on then.
    pub roots: Vec<(Option<CString>, Vec<Credentials>)>,
    /// Whether it begins a session of its own.
    pub session: bool,
    /// The process group it joins; 0 founds its own.
    pub group: Option<i32>,
    /// The descriptor, by its number in the child, that becomes the controlling terminal.
    pub terminal: Option<RawFd>,
    /// Descriptors, and the numbers they get in the child. All others above 2 are closed by execve(2).
    descriptors: Vec<(Arc<OwnedFd>, RawFd)>,
    /// Where to stop when the kernel has no `close_range(2)`.
    limit: RawFd,
}

impl Setup {
    /// Gives the child `fd` under `number`.
    pub fn give(&mut self, fd: &Arc<OwnedFd>, number: RawFd) {
        self.descriptors.push((Arc::clone(fd), number));
    }

    /// Moves the descriptors above every number the child will use, so that none overwrites another, and
    /// occupies the numbers beyond 2: std reports a failed execve(2) through a pipe of its own, which must
    /// not get one of them. The returned descriptors have to live until the program runs.
    fn prepare(&mut self) -> io::Result<Vec<OwnedFd>> {
        let highest = self.descriptors.iter().map(|(_, number)| *number).max().unwrap_or(2).max(2);
        for (fd, _) in &mut self.descriptors {
            if fd.as_raw_fd() <= highest {
                *fd = Arc::new(duplicate_above(fd.as_fd(), highest + 1)?);
            }
        }
        let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
        self.limit = RawFd::try_from(limit).unwrap_or(RawFd::MAX).min(1 << 20);
        let mut occupied = Vec::new();
        for (fd, number) in self.descriptors.iter().filter(|(_, number)| *number > 2) {
            let taken = duplicate_above(fd.as_fd(), *number)?;
            if taken.as_raw_fd() == *number {
                occupied.push(taken);
            }
        }
        Ok(occupied)
    }

    /// Runs in the child. Async-signal-safe: system calls only, and no allocation.
    fn run(&self) -> io::Result<()> {
        reset_signals()?;
        close_on_exec(3, self.limit);
        if let Some(namespace) = &self.namespace {
            setns(namespace, CloneFlags::CLONE_NEWNET).map_err(|errno| Step::Namespace.failed(errno))?;
        }
        if let Some(mask) = self.umask {
            umask(Mode::from_bits_truncate(mask));
        }
        if let Some(directory) = &self.directory {
            chdir(directory.as_c_str()).map_err(|errno| Step::Directory.failed(errno))?;
        }
        if self.session {
            setsid().map_err(|errno| Step::Session.failed(errno))?;
        }
        // The leader of a session leads its group already, and may not be moved.
        if let Some(group) = self.group.filter(|group| !(self.session && *group == 0)) {
            setpgid(Pid::from_raw(0), Pid::from_raw(group)).map_err(|errno| Step::Group.failed(errno))?;
        }
        for (fd, number) in &self.descriptors {
            put(fd.as_fd(), *number).map_err(|errno| Step::Descriptors.failed(errno))?;
        }
        if let Some(number) = self.terminal {
            take_terminal(number).map_err(|errno| Step::Terminal.failed(errno))?;
        }
        for (root, credentials) in &self.roots {
            if let Some(root) = root {
                chroot(root.as_c_str()).map_err(|errno| Step::Root.failed(errno))?;
                enter_root().map_err(|errno| Step::Root.failed(errno))?;
            }
            for credentials in credentials {
                credentials.apply().map_err(|errno| Step::Credentials.failed(errno))?;
            }
        }
        Ok(())
    }
}

/// Signals as a program expects them: none blocked (the relay blocks those it waits for), and the two that
/// an interpreter around us may ignore at their default. Those a shell ignores (nohup) stay so.
fn reset_signals() -> io::Result<()> {
    SigSet::empty().thread_set_mask()?;
    super::disposition::default(Signal::SIGPIPE)?;
    super::disposition::default(Signal::SIGXFSZ)
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With this exit status.
    Exited(i32),
    /// By this signal.
    Signalled(i32),
    /// Nobody knows: the process was started with SIGCHLD ignored, so that the kernel forgets its children.
    Unknown,
}

/// A child that has been started and not yet been waited for.
#[derive(Debug)]
pub struct Process {
    pid: Pid,
    pidfd: OwnedFd,
    /// Whether it leads a process group of its own, which is then signalled as a whole.
    leads: bool,
    reaped: bool,
}

/// Starts `command` with `setup`.
///
/// # Errors
/// Which step failed and why, execve(2) included; no child is left then.
pub fn spawn(mut command: Command, mut setup: Setup) -> Result<Process, Failure> {
    let leads = setup.session || setup.group == Some(0);
    let occupied = setup.prepare()?;
    // SAFETY: `run` makes system calls only; it neither allocates nor takes a lock.
    unsafe { command.pre_exec(move || setup.run()) };
    let child = command.spawn()?;
    drop(occupied);
    let pid = Pid::from_raw(child.id().cast_signed());
    // The number is still the child's: nobody but this process can wait for it, and nobody else here does.
    match pidfd_open(pid) {
        Ok(pidfd) => Ok(Process { pid, pidfd, leads, reaped: false }),
        Err(error) => {
            // Without a way to follow the child it must not be left behind.
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
            let _ = nix::sys::wait::waitpid(pid, None);
            Err(Failure { step: Step::Execute, error })
        }
    }
}

/// Becomes the program: returns only when that fails. The process is then good for nothing but reporting it.
pub fn replace(mut command: Command, mut setup: Setup) -> Failure {
    let occupied = match setup.prepare() {
        Ok(occupied) => occupied,
        Err(error) => return error.into(),
    };
    // SAFETY: `run` makes system calls only, which may be made in this process as in a child.
    unsafe { command.pre_exec(move || setup.run()) };
    let error = command.exec();
    drop(occupied);
    error.into()
}

impl Process {
    /// Its number.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// A descriptor that becomes readable when it has ended; see `pidfd_open(2)`.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// How it ended, if it has. It is waited for then, and no zombie is left.
    pub fn reap(&mut self) -> Option<Outcome> {
        self.wait(libc::WNOHANG)
    }

    fn wait(&mut self, flags: libc::c_int) -> Option<Outcome> {
        if self.reaped {
            return Some(Outcome::Unknown);
        }
        let outcome = wait_for(self.pidfd.as_fd(), flags)?;
        self.reaped = true;
        Some(outcome)
    }

    /// Sends a signal to the process, and to all of its group where that is its own. Errors mean that
    /// nobody is left to signal.
    pub fn signal(&self, signal: i32) {
        let all = self.leads && self.signal_group(signal);
        if !all && !self.reaped {
            let _ = pidfd_send_signal(self.pidfd.as_fd(), signal, 0);
        }
    }

    /// Whether a member of its own group is left. False where it has none. A zombie its parent has not
    /// waited for counts as a member.
    pub fn group_is_alive(&self) -> bool {
        self.leads && self.signal_group(0)
    }

    fn signal_group(&self, signal: i32) -> bool {
        match pidfd_send_signal(self.pidfd.as_fd(), signal, PIDFD_SIGNAL_PROCESS_GROUP) {
            Ok(()) => true,
            // Linux before 6.9. As long as it has a member the group keeps its number from other use.
            Err(Errno::EINVAL) => {
                // SAFETY: kill(2) takes two integers.
                unsafe { libc::kill(-self.pid.as_raw(), signal) == 0 }
            }
            Err(_) => false,
        }
    }

    /// Ends it at once, and waits for it; one that a KILL does not end within `patience` is waited for
    /// in the background.
    pub fn end_now(mut self, patience: Duration) {
        self.signal(libc::SIGKILL);
        let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        let _ = poll(&mut [PollFd::new(self.pidfd.as_fd(), PollFlags::POLLIN)], patience);
        if self.reap().is_none() {
            self.leave();
        }
    }

    /// Leaves it running; a thread waits for it, so that it does not stay a zombie while this process lives.
    pub fn leave(mut self) {
        if self.reap().is_some() {
            return;
        }
        // A thread that cannot be started leaves a zombie to be, which is all that can be done.
        let _ = std::thread::Builder::new().name("reaper".to_owned()).stack_size(64 * 1024).spawn(move || {
            self.wait(0);
        });
    }
}

/// A copy of `fd` whose number is at least `number`, closed on exec.
pub fn duplicate_above(fd: BorrowedFd<'_>, number: RawFd) -> io::Result<OwnedFd> {
    super::fd::own(fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(number))?)
}

/// The flag of `pidfd_send_signal(2)` that means the group; Linux 6.9.
const PIDFD_SIGNAL_PROCESS_GROUP: libc::c_uint = 1 << 2;

fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open(2) takes two integers.
    let number = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    super::fd::own(RawFd::try_from(number).unwrap_or(-1))
}

/// waitid(2) for a process that ends; `None` while it runs and `flags` hold WNOHANG.
fn wait_for(pidfd: BorrowedFd<'_>, flags: libc::c_int) -> Option<Outcome> {
    let id = pidfd.as_raw_fd().cast_unsigned();
    loop {
        // SAFETY: all zeroes is a siginfo_t; the kernel fills it in, and it lives as long as the call.
        let (result, info) = unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let result = libc::waitid(libc::P_PIDFD, id, &raw mut info, libc::WEXITED | flags);
            (result, info)
        };
        if result < 0 {
            match Errno::last() {
                Errno::EINTR => continue,
                _ => return Some(Outcome::Unknown),
            }
        }
        // SAFETY: after a successful waitid(2) the fields of a child's end are filled in; the process
        // number is 0 when there was nothing to report.
        let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
        return match (pid, info.si_code) {
            (0, _) => None,
            (_, libc::CLD_EXITED) => Some(Outcome::Exited(status)),
            _ => Some(Outcome::Signalled(status)),
        };
    }
}

fn pidfd_send_signal(pidfd: BorrowedFd<'_>, signal: i32, flags: libc::c_uint) -> Result<(), Errno> {
    let none = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null pointer for the information makes the kernel fill it in as kill(2) does.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, none, flags) };
    Errno::result(result).map(drop)
}

/// Marks all descriptors from `first` on to be closed by execve(2). `limit` bounds the search on kernels
/// without `close_range(2)` or its flag (before Linux 5.11).
fn close_on_exec(first: RawFd, limit: RawFd) {
    // SAFETY: close_range(2) takes integers; with this flag it closes nothing now.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 {
        return;
    }
    for number in first..limit {
        // SAFETY: F_SETFD changes a flag only; a number that is not open is an error without effect.
        unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// dup2(2), which leaves the copy open across execve(2).
fn put(fd: BorrowedFd<'_>, number: RawFd) -> Result<(), Errno> {
    // SAFETY: runs in the child, or in a process about to be replaced; what was open at `number` is meant
    // to be replaced, and no object of this program will use it again.
    Errno::result(unsafe { libc::dup2(fd.as_raw_fd(), number) }).map(drop)
}

/// TIOCSCTTY; see `ioctl_tty(2)`. It puts the session leader's group in the foreground, too.
fn take_terminal(number: RawFd) -> Result<(), Errno> {
    // SAFETY: the argument is an integer: do not steal the terminal from another session.
    Errno::result(unsafe { libc::ioctl(number, libc::TIOCSCTTY, 0) }).map(drop)
}

/// After chroot(2): a working directory outside the new root would be a way out of it.
pub(super) fn enter_root() -> Result<(), Errno> {
    let mut buffer = [0_u8; 4096];
    // SAFETY: getcwd(2) writes at most the given length. The system call itself, unlike the library's
    // function, allocates nothing and says "(unreachable)" outside the root.
    let length = unsafe { libc::syscall(libc::SYS_getcwd, buffer.as_mut_ptr(), buffer.len()) };
    if length > 0 && buffer[0] == b'/' { Ok(()) } else { chdir(c"/") }
}
