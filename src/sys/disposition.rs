//! What the kernel does when a signal comes, and leaving without a farewell.

use std::io;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// Ignores a signal in the whole process; returns whether it was ignored before.
pub fn ignore(signal: Signal) -> io::Result<bool> {
    change(signal, SigHandler::SigIgn)
}

/// Gives a signal its default effect; returns whether it was ignored before.
pub fn reset(signal: Signal) -> io::Result<bool> {
    change(signal, SigHandler::SigDfl)
}

fn change(signal: Signal, handler: SigHandler) -> io::Result<bool> {
    let action = SigAction::new(handler, SaFlags::empty(), SigSet::empty());
    // SAFETY: no function of ours is installed, only the kernel's own ways of ignoring and of the default.
    let before = unsafe { sigaction(signal, &action) }?;
    Ok(matches!(before.handler(), SigHandler::SigIgn))
}

/// Ends the process at once: no destructor runs, no buffer is written. For when the orderly way is blocked.
pub fn leave(code: i32) -> ! {
    // SAFETY: _exit has no preconditions; it only ends the process.
    unsafe { libc::_exit(code) }
}
