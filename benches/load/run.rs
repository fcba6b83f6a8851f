//! The process itself: its end, its descriptors, its cgroup.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use crate::Failure;
use crate::load::arguments::Arguments;

/// Ends with the parent, and may open as many descriptors as are allowed at all.
pub fn settle() -> Result<(), Failure> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(())
}

/// Settles, joins the cgroup whose member list is the file `--group`, and becomes the program after `--`.
/// Forked children of that program join the cgroup too; its own death is what ends them.
pub fn become_program(arguments: &mut Arguments) -> Result<(), Failure> {
    let group: Option<String> = arguments.optional("group")?;
    let command = arguments.take_rest();
    arguments.finish()?;
    settle()?;
    if let Some(members) = group {
        std::fs::write(members, "0")?;
    }
    let (program, words) = command.split_first().ok_or("no program after --")?;
    Err(Command::new(program).args(words).exec().into())
}
