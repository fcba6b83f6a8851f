//! How programs are started and connected.
#![expect(clippy::unnecessary_wraps, reason = "the signature is that of Apply::Plan")]

use super::{Settings, Transport, Value};

/// A `Plan` row that chooses what connects the program; a false value takes the choice back.
macro_rules! transport {
    ($transport:expr) => {
        $crate::option::Apply::Plan(|settings, value| {
            let program = &mut settings.program;
            if value.is_true() {
                program.transport = $transport;
            } else if program.transport == $transport {
                program.transport = Transport::default();
            }
            Ok(())
        })
    };
}

/// A signal that is passed on.
fn pass<const SIGNAL: i32>(settings: &mut Settings, _value: &Value) -> Result<(), String> {
    let signals = &mut settings.program.pass_signals;
    if !signals.contains(&SIGNAL) {
        signals.push(SIGNAL);
    }
    Ok(())
}

crate::options! {
    /// Begin the program's first argument with `-`, so that a shell acts as a login shell.
    "dash" | "login" : Bool, EXEC, PreExec => store!(program.login, value => value.is_true());
    /// Descriptor the program reads from, instead of 0.
    "fdin" : UnsignedShort, FORK, PastBigen => store!(program.fdin, value => Some(value.number()?));
    /// Descriptor the program writes to, instead of 1.
    "fdout" : UnsignedShort, FORK, PastBigen => store!(program.fdout, value => Some(value.number()?));
    /// Execute the program in this very process, on the descriptors of the first address; nothing is relayed.
    "nofork" : Bool, FORK, Bigen => transport!(Transport::NoFork);
    /// Where to look for the program; becomes PATH in its environment.
    "path" : Text, EXEC, PreExec => store!(program.path, value => Some(value.bytes().to_vec()));
    /// Connect the program with two pipes instead of a socket pair.
    "pipes" : Bool, FORK, Bigen => transport!(Transport::Pipes);
    /// Connect the program with a pseudo terminal.
    "pty" : Bool, FORK, Bigen => transport!(Transport::Pty);
    /// Process group of the program, see setpgid(2); 0, 1 or no value: one of its own.
    "setpgid" | "pgid" : Int, FORK, Late => store!(program.process_group, value => Some(value.number()?));
    /// The shell that runs the command, instead of the one of the environment variable SHELL.
    "shell" : Text, SHELL, PreExec => store!(program.shell, value => Some(value.path()));
    /// Pass SIGHUP on to the program instead of ending.
    "sighup" : Flag, PARENT, Late => Plan(pass::<{ libc::SIGHUP }>);
    /// Pass SIGINT on to the program instead of ending.
    "sigint" : Flag, PARENT, Late => Plan(pass::<{ libc::SIGINT }>);
    /// Pass SIGQUIT on to the program instead of ending.
    "sigquit" : Flag, PARENT, Late => Plan(pass::<{ libc::SIGQUIT }>);
    /// The program's standard error goes where its output goes.
    "stderr" : Bool, FORK, PastFork => store!(program.stderr, value => value.is_true());
}
