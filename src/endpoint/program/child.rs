//! The program behind a channel: waited for, ended if need be, never left a zombie.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::silence::{Watch, exit_of};
use crate::channel::Attached;
use crate::endpoint::{BoxFuture, Context};
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::log::Log;
use crate::option::Settings;
use crate::sys;
use crate::sys::process::{Outcome, Process};
use crate::{info, warning};

/// How long a program that has closed its output, and so is about to end, gets for it.
const FINISHING: Duration = Duration::from_millis(500);
/// How long one that still holds its output gets after the channel was closed, before it is told to end.
const CUT_OFF: Duration = Duration::from_millis(100);
/// How long one that is only written to gets for what it has still to do with its input.
const DIGESTING: Duration = Duration::from_secs(5);
/// How long it gets between TERM and KILL.
const GRACE: Duration = Duration::from_millis(500);
/// How long a KILL may take before the wait for it goes on in the background.
const KILLING: Duration = Duration::from_secs(1);
/// Pause between looks at a process group, which cannot be waited for.
const LOOK: Duration = Duration::from_millis(5);

/// A program that runs as long as its channel.
pub(super) struct Child {
    /// `None` once nothing is left to do.
    process: Option<Process>,
    /// What its output was read from; `None` if it is only written to. As long as it is held the
    /// program cannot see its channel closed.
    pub output: Option<OwnedFd>,
    /// Ends the output when the program has ended.
    pub watch: Option<Watch>,
    /// It works on the descriptors of the other channel, by itself.
    handed_over: bool,
    /// It is not ended with the channel.
    end_close: bool,
    /// Signals that are for it.
    passes: Vec<i32>,
}

/// Where a program stands when its channel is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It owns its channel: the end is its own business.
    Independent,
    /// Nobody holds the writing side of its output any more.
    Finished,
    /// Somebody does: the end comes from us.
    CutOff,
    /// It is only written to, and got its end of file.
    Fed,
}

impl Child {
    /// Follows `process`.
    pub fn new(process: Process, settings: &Settings) -> Self {
        Self {
            process: Some(process),
            output: None,
            watch: None,
            handed_over: false,
            end_close: settings.flow.end_close,
            passes: settings.program.pass_signals.clone(),
        }
    }

    /// Follows a process that works on the descriptors of the other channel.
    pub fn handed_over(process: Process, settings: &Settings) -> Self {
        let mut child = Self::new(process, settings);
        child.handed_over = true;
        child
    }

    /// Lets go of the output, so that the program sees it closed, and says who held it until now.
    fn let_go(&mut self) -> Standing {
        let cut = self.watch.take().is_some_and(|watch| watch.has_cut());
        match self.output.take() {
            _ if self.handed_over => Standing::Independent,
            Some(output) if !cut && sys::fd::is_hung_up(output.as_fd()) => Standing::Finished,
            Some(_) => Standing::CutOff,
            None => Standing::Fed,
        }
    }

    async fn end(&mut self, log: &Log, end_close: bool) -> Result<()> {
        // While `output` is held the program cannot see its channel closed: how it has ended until now is
        // its own doing.
        let by_itself = self.process.as_mut().and_then(Process::reap);
        let standing = self.let_go();
        let Some(process) = &mut self.process else { return Ok(()) };
        let pid = process.pid();
        let outcome = match standing {
            _ if by_itself.is_some() || end_close => by_itself,
            Standing::Independent => ended_within(process, None).await,
            Standing::Finished => ended_within(process, Some(FINISHING)).await,
            Standing::Fed => ended_within(process, Some(DIGESTING)).await,
            // What one does that was cut off, even if it fails, is our doing.
            Standing::CutOff => ended_within(process, Some(CUT_OFF)).await.map(|_| Outcome::Exited(0)),
        };
        if end_close {
            self.leave();
            return outcome.map_or(Ok(()), |outcome| judge(outcome, pid, log));
        }
        if outcome.is_none() {
            if standing == Standing::Fed {
                warning!(
                    log,
                    "child {pid} has not ended within {} s after its input: terminating",
                    DIGESTING.as_secs()
                );
            }
            terminate(process, log).await;
        }
        // What the program has left running and that let go of the channel is none of our business; what
        // still held it would stay for nothing.
        if standing == Standing::CutOff {
            end_group(process).await;
        }
        self.leave();
        outcome.map_or(Ok(()), |outcome| judge(outcome, pid, log))
    }

    /// Nothing more is done to it, but it is waited for when it ends.
    fn leave(&mut self) {
        if let Some(process) = self.process.take() {
            process.leave();
        }
    }
}

impl Attached for Child {
    fn finish<'a>(&'a mut self, context: &'a Context, end_close: bool) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.end(&context.log, end_close))
    }

    fn signal(&self, signal: i32) -> bool {
        let taken = self.passes.contains(&signal);
        if let (true, Some(process)) = (taken, &self.process) {
            process.signal(signal);
        }
        taken
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        match self.process.take() {
            Some(process) if self.end_close => process.leave(),
            // Usually a KILL takes effect in far less than a millisecond.
            Some(process) => process.end_now(Duration::from_millis(50)),
            None => {}
        }
    }
}

/// Waits until the process has ended, `patience` at most, and reaps it.
async fn ended_within(process: &mut Process, patience: Option<Duration>) -> Option<Outcome> {
    if let Some(outcome) = process.reap() {
        return Some(outcome);
    }
    let deadline = patience.map(|patience| Instant::now() + patience);
    match (exit_of(process), deadline) {
        (Ok(exit), Some(deadline)) => {
            let _ = timeout_at(deadline, exit.readable()).await;
        }
        (Ok(exit), None) => {
            let _ = exit.readable().await;
        }
        // Without a descriptor to spare: look from time to time.
        (Err(_), _) => {
            while deadline.is_none_or(|deadline| Instant::now() < deadline) {
                sleep(LOOK).await;
                if let Some(outcome) = process.reap() {
                    return Some(outcome);
                }
            }
        }
    }
    process.reap()
}

/// Ends it: TERM, [`GRACE`], KILL.
async fn terminate(process: &mut Process, log: &Log) {
    let pid = process.pid();
    info!(log, "kill({pid}, SIGTERM)");
    process.signal(libc::SIGTERM);
    if ended_within(process, Some(GRACE)).await.is_none() {
        info!(log, "kill({pid}, SIGKILL)");
        process.signal(libc::SIGKILL);
        ended_within(process, Some(KILLING)).await;
    }
}

/// Ends what is left of the group of a process that has ended: TERM, [`GRACE`], KILL.
async fn end_group(process: &Process) {
    if !process.group_is_alive() {
        return;
    }
    process.signal(libc::SIGTERM);
    let deadline = Instant::now() + GRACE;
    while process.group_is_alive() {
        if Instant::now() >= deadline {
            process.signal(libc::SIGKILL);
            return;
        }
        sleep(LOOK).await;
    }
}

/// Whether an end that was not our doing is a failure.
fn judge(outcome: Outcome, pid: i32, log: &Log) -> Result<()> {
    let text = match outcome {
        Outcome::Exited(0) | Outcome::Unknown => return Ok(()),
        Outcome::Exited(status) => format!("child {pid} exited with status {status}"),
        Outcome::Signalled(signal) => format!("child {pid} exited on signal {signal}"),
    };
    warning!(log, "waitpid(): {text}");
    Err(Error::new(ErrorKind::Child, Phase::Wait, text).logged())
}
