//! What the kernel does when a signal comes, and leaving without a farewell.

use std::io;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Ignores a signal in the whole process.
pub fn ignore(signal: Signal) -> io::Result<()> {
    let action = SigAction::new(SigHandler::SigIgn, SaFlags::empty(), SigSet::empty());
    // SAFETY: no function of ours is installed, only the kernel's own way of ignoring.
    unsafe { sigaction(signal, &action) }?;
    Ok(())
}

/// Leaves a signal to the kernel's default action.
pub fn default(signal: Signal) -> io::Result<()> {
    let action = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    // SAFETY: no function of ours is installed, only the kernel's own way.
    unsafe { sigaction(signal, &action) }?;
    Ok(())
}

/// Whether a signal is ignored.
pub fn is_ignored(signal: Signal) -> bool {
    let mut action = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action sigaction only fills the struct, which lives as long as the call; where
    // it fails the struct stays all zeros, a valid value of its plain fields.
    let action = unsafe {
        libc::sigaction(signal as i32, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    };
    action.sa_sigaction == libc::SIG_IGN
}

/// Ends the process at once: no destructor runs, no buffer is written. For when the orderly way is blocked.
pub fn leave(code: i32) -> ! {
    // SAFETY: _exit has no preconditions; it only ends the process.
    unsafe { libc::_exit(code) }
}
