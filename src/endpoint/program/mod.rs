//! EXEC, SYSTEM, SHELL: a program whose input and output are the channel.
//!
//! A program runs in a process group of its own, so that it can be ended together with what it started;
//! except where the relay itself runs in the foreground of its controlling terminal: there a program in
//! another group would be stopped when it asks the user something (ssh and its passwords), and the
//! terminal's own signals (Ctrl-C) reach it by themselves. It inherits its standard descriptors and what
//! `fdin` and `fdout` say, nothing else.

mod child;
mod command;
mod silence;
mod transport;

use std::ffi::OsString;
use std::os::fd::RawFd;
use std::process::Command;
use std::sync::Arc;

use super::{BoxFuture, Connect, Context, Direction, Kind, Opener, Request, identity};
use crate::channel::Channel;
use crate::error::{Error, Phase, Result};
use crate::option::{Groups, Options, ProgramSettings, Settings, Transport};
use crate::sys::process::{self, Failure, Process, Setup, Step};
use crate::{notice, sys, warning};

use child::Child;
use command::CommandLine;
use transport::Ends;

const GROUPS: Groups = Groups::FD
    .and(Groups::FIFO)
    .and(Groups::SOCKET)
    .and(Groups::EXEC)
    .and(Groups::FORK)
    .and(Groups::TERMIOS)
    .and(Groups::PTY)
    .and(Groups::PARENT)
    .and(Groups::UNIX);

/// The kinds of this file.
pub(super) static KINDS: &[Kind] = &[
    Kind {
        name: "EXEC",
        aliases: &[],
        usage: ":<command-line>",
        params: (1, 1),
        groups: GROUPS,
        direction: Direction::Both,
        doc: "Runs a program, found in PATH, and speaks with it over its standard input and output. The command \
              line is split at spaces; quotes keep them. No shell expands anything.",
        plan: |request| plan(request, |text, settings| CommandLine::exec(text.unwrap_or_default(), settings)),
    },
    Kind {
        name: "SYSTEM",
        aliases: &[],
        usage: ":<shell-command>",
        params: (1, 1),
        groups: GROUPS,
        direction: Direction::Both,
        doc: "Runs a command with /bin/sh and speaks with it over its standard input and output.",
        plan: |request| plan(request, |text, settings| CommandLine::system(text.unwrap_or_default(), settings)),
    },
    Kind {
        name: "SHELL",
        aliases: &[],
        usage: "[:<shell-command>]",
        params: (0, 1),
        groups: GROUPS.and(Groups::SHELL),
        direction: Direction::Both,
        doc: "Runs a command with the shell of the environment variable SHELL or of the option `shell`; without a \
              command an interactive shell.",
        plan: |request| plan(request, CommandLine::shell),
    },
];

/// A program ready to be started.
struct Program {
    line: CommandLine,
    options: Arc<Options>,
    transport: Transport,
    direction: Direction,
    /// With `nofork` the program replaces this process.
    takes_over: bool,
}

fn plan(request: &Request<'_>, read: fn(Option<&[u8]>, &ProgramSettings) -> Result<CommandLine>) -> Result<Opener> {
    let settings = &request.options.settings;
    let transport = match settings.program.transport {
        // `ptmx` and `openpty` alone ask for a pseudo terminal as well.
        Transport::Socketpair if settings.pty.ptmx.is_some() => Transport::Pty,
        transport => transport,
    };
    check(settings, transport, request.direction)?;
    let line = match request.spec.params.first() {
        Some(word) => word.read(|text| read(Some(text), &settings.program))?,
        None => read(None, &settings.program)?,
    };
    Ok(Opener::Connect(Arc::new(Program {
        line,
        options: Arc::clone(&request.options),
        transport,
        direction: request.direction,
        takes_over: request.defaults.process_wide && !request.defaults.many,
    })))
}

/// Options that cannot do what they are there for.
fn check(settings: &Settings, transport: Transport, direction: Direction) -> Result<()> {
    let useless = [
        (settings.program.fdin.is_some() && !direction.writes(), "fdin", "read-only"),
        (settings.program.fdout.is_some() && !direction.reads(), "fdout", "write-only"),
        (settings.program.stderr && !direction.reads(), "stderr", "write-only"),
    ];
    if let Some((_, name, mode)) = useless.into_iter().find(|(applies, ..)| *applies) {
        return Err(Error::text(format!("option {name} is useless in {mode} mode")));
    }
    // `wait-slave` is allowed, and true at once: the program has the slave open.
    let terminal = [
        (settings.pty.link.is_some(), "link"),
        (settings.pty.wait_slave, "wait-slave"),
        (settings.pty.interval.is_some(), "pty-interval"),
        (settings.pty.sitout_eio.is_some(), "sitout-eio"),
        (settings.program.ctty && transport != Transport::NoFork, "ctty"),
    ];
    if let Some((_, name)) = terminal.into_iter().find(|(given, _)| *given && transport != Transport::Pty) {
        return Err(Error::text(format!("option {name} needs a pseudo terminal")).hint("add the option pty"));
    }
    let socket = &settings.socket;
    let named = [(socket.bind.is_some(), "bind"), (socket.bind_tempname.is_some(), "unix-bind-tempname")];
    if let Some((_, name)) = named.into_iter().find(|(given, _)| *given) {
        return Err(Error::text(format!("option {name} does not apply: the socket of a program has no address")));
    }
    let typed = socket.kind.is_some() || socket.family.is_some() || socket.protocol.is_some();
    if typed && transport != Transport::Socketpair {
        return Err(Error::text("socket options do not apply: the program is not connected by a socket"));
    }
    Ok(())
}

impl Connect for Program {
    fn connect<'a>(&'a self, context: &'a Context) -> BoxFuture<'a, Result<Channel>> {
        Box::pin(async move {
            if self.transport == Transport::NoFork { self.take_over(context) } else { self.start(context) }
        })
    }
}

impl Program {
    /// Starts the program with the channel between.
    fn start(&self, context: &Context) -> Result<Channel> {
        let settings = &self.options.settings;
        notice!(context.log, "forking off child, using {} for {}", transport_word(self.transport), way(self.direction));
        let mut ends = Ends::open(self.transport, &self.options, self.direction, &context.log)?;
        let (mut setup, account) = identity::for_child(&settings.identity)?;
        let (input, output) = self.numbers();
        ends.give(&mut setup, input, output, settings.program.stderr);
        self.place(&mut setup, context, input, output);
        let process = self.spawn(setup, account, context)?;
        ends.close_theirs();
        let output = ends.hold_output(self.direction);
        let exit = silence::exit_of(&process);
        // From here on dropping the child ends the program, whatever else fails.
        let mut child = Child::new(process, settings);
        let failed = |error| Error::open(Phase::Open, error);
        child.output = output.map_err(failed)?;
        let (mut channel, watch) =
            ends.into_channel(settings, self.direction, exit.map_err(failed)?).map_err(failed)?;
        child.watch = watch;
        channel.attached = Some(Box::new(child));
        Ok(channel)
    }

    /// `nofork`: the program gets the descriptors of the other channel. Where the process may be given up
    /// for it the program takes its place; otherwise it is a child that is only waited for.
    fn take_over(&self, context: &Context) -> Result<Channel> {
        let settings = &self.options.settings;
        let Some((read, write)) = context.other else {
            let text = "nofork takes over the descriptors of the first address, so it is for the second one";
            return Err(Error::new(crate::error::ErrorKind::Open, Phase::Execute, text));
        };
        let (mut setup, account) = identity::for_child(&settings.identity)?;
        let (input, output) = self.numbers();
        for (fd, number) in [(read, input), (write, output)] {
            give_inherited(&mut setup, fd, number)?;
        }
        if settings.program.stderr {
            give_inherited(&mut setup, write, 2)?;
        }
        self.place(&mut setup, context, input, output);
        if self.takes_over {
            setup.group = settings.program.process_group.map(founded);
            notice!(context.log, "execvp'ing \"{}\"", self.line.program.display());
            return Err(self.failed(process::replace(self.command(account, context), setup)));
        }
        let process = self.spawn(setup, account, context)?;
        let child = Child::handed_over(process, settings);
        Ok(Channel { attached: Some(Box::new(child)), handed_over: true, ..Channel::default() })
    }

    /// The numbers of the descriptors the program reads from and writes to.
    fn numbers(&self) -> (RawFd, RawFd) {
        let program = &self.options.settings.program;
        (program.fdin.unwrap_or(0), program.fdout.unwrap_or(1))
    }

    /// Session, process group and controlling terminal.
    fn place(&self, setup: &mut Setup, context: &Context, input: RawFd, output: RawFd) {
        let program = &self.options.settings.program;
        setup.session = program.setsid;
        setup.group = match program.process_group {
            Some(group) => Some(founded(group)),
            None if program.setsid || sys::terminal::is_foreground() => None,
            None => Some(0),
        };
        if program.ctty && !program.setsid {
            warning!(context.log, "option ctty has no effect without setsid: only a session's leader gets a terminal");
        } else if program.ctty {
            setup.terminal = Some(if self.direction.writes() { input } else { output });
        }
    }

    fn spawn(&self, setup: Setup, account: Vec<(String, OsString)>, context: &Context) -> Result<Process> {
        let process = process::spawn(self.command(account, context), setup).map_err(|failure| self.failed(failure))?;
        notice!(context.log, "forked off child process {}", process.pid());
        notice!(context.log, "execvp'ing \"{}\"", self.line.program.display());
        Ok(process)
    }

    fn command(&self, account: Vec<(String, OsString)>, context: &Context) -> Command {
        use std::os::unix::process::CommandExt as _;
        let mut command = Command::new(&self.line.program);
        command.arg0(&self.line.name).args(&self.line.arguments);
        command.envs(context.environment.iter().map(|(name, value)| (name, value)));
        command.envs(identity::environment()).envs(account);
        command.envs(self.line.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn failed(&self, failure: Failure) -> Error {
        let program = self.line.program.display();
        let identity = &self.options.settings.identity;
        let hint = match failure.step {
            Step::Execute if failure.error.kind() == std::io::ErrorKind::NotFound => {
                if self.line.program.as_encoded_bytes().contains(&b'/') {
                    format!("there is no file \"{program}\", or not the interpreter it names")
                } else {
                    format!("there is no program \"{program}\" in PATH")
                }
            }
            Step::Execute => format!("the program was \"{program}\""),
            Step::Namespace => "this was entering the network namespace".to_owned(),
            Step::Directory => match &identity.chdir {
                Some(path) => format!("this was changing to the directory \"{}\"", path.display()),
                None => "this was changing the directory".to_owned(),
            },
            Step::Root => "this was chroot".to_owned(),
            Step::Credentials => "this was changing user or groups, which needs the right to do so".to_owned(),
            Step::Session => "this was beginning a session".to_owned(),
            Step::Group => "this was joining the process group".to_owned(),
            Step::Descriptors => "this was giving the program its descriptors".to_owned(),
            Step::Terminal => "this was taking the controlling terminal".to_owned(),
        };
        Error::open(Phase::Execute, failure.error).hint(hint)
    }
}

/// `setpgid`, `setpgid=0` and `setpgid=1` all found a group.
fn founded(group: i32) -> i32 {
    if group == 1 { 0 } else { group }
}

/// Gives the program a descriptor of the other channel, in blocking mode, as programs expect it.
fn give_inherited(setup: &mut Setup, fd: RawFd, number: RawFd) -> Result<()> {
    if fd < 0 {
        return Ok(());
    }
    let copy = sys::fd::borrow(fd).and_then(|fd| {
        sys::fd::set_nonblocking(fd, false)?;
        process::duplicate_above(fd, 3)
    });
    setup.give(&Arc::new(copy.map_err(|error| Error::open(Phase::Execute, error))?), number);
    Ok(())
}

const fn transport_word(transport: Transport) -> &'static str {
    match transport {
        Transport::Socketpair => "socket",
        Transport::Pipes => "pipes",
        Transport::Pty => "pty",
        Transport::NoFork => "nothing",
    }
}

const fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Both => "reading and writing",
        Direction::Read => "reading",
        Direction::Write => "writing",
    }
}

#[cfg(test)]
mod tests;
