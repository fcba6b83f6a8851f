//! One command line from its first word to its exit code.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;

use super::dump::{Dump, Look, RawCopy};
use super::environment::{self, Lookup, Waits};
use super::file_name::{self, Own};
use super::logging::Logging;
use super::signals::{Orders, Signals};
use super::switches::{self, LockSwitch, LogSwitches, Reason, Refusal, Request, Switches};
use super::{capture, descriptors, help, relay_runtime, statistics, version};
use crate::channel::Tap;
use crate::endpoint::{Defaults, Direction, Plan};
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::log::{Log, write_whole};
use crate::relay::{Ended, LockFile, Relay, Report, Settings, Stop, Stopping, Ways};
use crate::sys::time::LocalTime;
use crate::{notice, sys, warning};

/// The exit code when something failed.
const FAILURE: i32 = 1;
/// The exit code when an address could not be opened and `-s` was given.
const NOT_OPENED: i32 = 255;
/// How long a relay that was told to stop may take to write what it has and to end its programs.
const GRACE: Duration = Duration::from_secs(2);

/// Serves one command line, the program's name first; returns the exit code.
pub fn main(words: Vec<OsString>) -> i32 {
    // Nothing that is opened later may get the number of a closed standard stream. If that fails, so will
    // everything else, and will say why.
    let _ = sys::fd::fill_standard();
    let mut words = words.into_iter();
    let program = program_name(words.next());
    let arguments: Vec<_> = words.collect();
    match switches::parse(&arguments) {
        Ok(Request::Version) => print(&version::text()),
        Ok(Request::Help(detail)) => print(&help::text(detail)),
        Ok(Request::Relay(switches, addresses)) => {
            relay(&switches, &addresses, &program, &|name| std::env::var_os(name))
        }
        Err(refusal) => refuse(&refusal, &program),
    }
}

/// The last part of the path the program was called by.
fn program_name(word: Option<OsString>) -> String {
    let word = word.unwrap_or_default();
    let name = Path::new(&word).file_name().unwrap_or_default();
    if name.is_empty() { "socat".to_owned() } else { crate::error::printable(name.as_encoded_bytes()) }
}

/// Shows a text on standard output; a reader that has seen enough is no failure.
fn print(text: &str) -> i32 {
    match io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => FAILURE,
        _ => 0,
    }
}

/// Shows a text on standard error, where there may be nobody to see it.
fn print_error(text: &str) {
    let _ = write_whole(std::os::fd::AsFd::as_fd(&io::stderr()), text.as_bytes());
}

fn refuse(refusal: &Refusal, program: &str) -> i32 {
    match &refusal.reason {
        Reason::Plain(text) => print_error(&format!("{text}\n")),
        Reason::Usage => print_error(&help::usage()),
        Reason::Error(error) => {
            let logging = open_log(&refusal.log, program, &|name| std::env::var_os(name));
            logging.unwrap_or_else(|_| Logging::plain(program)).tell_person(error);
        }
    }
    FAILURE
}

/// The log; without it, what is wrong is told on standard error.
fn open_log(switches: &LogSwitches, program: &str, lookup: Lookup<'_>) -> Result<Logging, i32> {
    Logging::open(switches, program, lookup).map_err(|error| {
        Logging::plain(program).tell(&error);
        FAILURE
    })
}

fn relay(switches: &Switches, addresses: &[OsString; 2], program: &str, lookup: Lookup<'_>) -> i32 {
    if switches.usage_shown {
        print_error(&help::usage());
    }
    let waits = Waits::read(lookup);
    std::thread::sleep(waits.main);
    let logging = match open_log(&switches.log, program, lookup) {
        Ok(logging) => logging,
        Err(code) => return code,
    };
    let served = prepare(switches, addresses, program, waits, &logging.log, lookup)
        .and_then(|relay| serve(&Arc::new(relay), switches));
    let code = match served {
        Ok((report, caught)) => conclude(&report, caught, switches, &logging),
        Err(error) => {
            logging.tell(&error);
            FAILURE
        }
    };
    match code {
        0 => notice!(logging.log, "exiting with status 0"),
        code => notice!(logging.log, "exit({code})"),
    }
    code
}

/// Checks both addresses, then opens the files of the dumps.
fn prepare(
    switches: &Switches,
    addresses: &[OsString; 2],
    program: &str,
    waits: Waits,
    log: &Log,
    lookup: Lookup<'_>,
) -> Result<Relay> {
    let defaults = environment::defaults(switches, program, lookup);
    let (left, right) = directions(switches.ways);
    let left = Plan::parse(addresses[0].as_encoded_bytes(), left, &defaults)?;
    let many = left.single().is_some_and(|endpoint| endpoint.options.settings.life.fork);
    let right = Plan::parse(addresses[1].as_encoded_bytes(), right, &Defaults { many, ..defaults.clone() })?;
    let own = Own { program: switches.log.program.as_deref().unwrap_or(program), now: LocalTime::now() };
    let pid: OsString = std::process::id().to_string().into();
    let capture = capture::settings(&switches.capture, [&left, &right], &own, lookup)?;
    let settings = Settings {
        ways: switches.ways,
        linger: switches.linger,
        idle: switches.idle,
        buffer: switches.buffer,
        taps_right: taps('>', "-r", switches, switches.dump.right.as_ref(), &own, lookup)?,
        taps_left: taps('<', "-R", switches, switches.dump.left.as_ref(), &own, lookup)?,
        capture,
        sloppy: switches.sloppy,
        // Sessions are tasks of this process, not processes: it is its own parent.
        environment: vec![("VERSION", version::SOCAT_VERSION.into()), ("PID", pid.clone()), ("PPID", pid)],
        program: defaults.program.clone(),
        before_transfer: before_transfer(switches.show.descriptors, waits.transfer),
        session_wait: waits.fork,
    };
    Ok(Relay::new(left, right, settings, log.clone()))
}

/// Which way each address is opened.
pub(super) fn directions(ways: Ways) -> (Direction, Direction) {
    match ways {
        Ways::Both => (Direction::Both, Direction::Both),
        Ways::LeftToRight => (Direction::Read, Direction::Write),
        Ways::RightToLeft => (Direction::Write, Direction::Read),
    }
}

/// What is shown the bytes of one direction.
fn taps(
    arrow: char,
    switch: &str,
    switches: &Switches,
    copy: Option<&OsString>,
    own: &Own<'_>,
    lookup: Lookup<'_>,
) -> Result<Vec<Arc<dyn Tap>>> {
    let mut taps: Vec<Arc<dyn Tap>> = Vec::new();
    let look = match (switches.dump.text, switches.dump.hex) {
        (true, true) => Some(Look::Both),
        (true, false) => Some(Look::Text),
        (false, true) => Some(Look::Hex),
        (false, false) => None,
    };
    if let Some(look) = look {
        taps.push(Arc::new(Dump::new(arrow, look, io::stderr())));
    }
    if let Some(name) = copy {
        let name = file_name::expand(name, own, lookup)?;
        let path = Path::new(&name);
        let named = |error| Error::open(Phase::Open, error).at(format!("option {switch} \"{}\"", path.display()));
        taps.push(Arc::new(RawCopy::append(path).map_err(named)?));
    }
    Ok(taps)
}

/// What is done before the first byte of the first session.
fn before_transfer(table: bool, wait: Duration) -> Option<Arc<dyn Fn() + Send + Sync>> {
    if !table && wait.is_zero() {
        return None;
    }
    let once = Once::new();
    Some(Arc::new(move || {
        once.call_once(|| {
            if table {
                print_error(&descriptors::table());
            }
            // A debugger wants the whole process to wait.
            std::thread::sleep(wait);
        });
    }))
}

/// Runs the relay; returns what it did and the signal that ended it.
fn serve(relay: &Arc<Relay>, switches: &Switches) -> Result<(Report, Option<i32>)> {
    let failed = |error| Error::open(Phase::Open, error);
    sys::disposition::ignore(Signal::SIGPIPE).map_err(failed)?;
    if relay.left.single().is_some_and(|endpoint| endpoint.options.settings.life.fork) {
        raise_descriptor_limit();
    }
    let stop = Stop::default();
    let lock = Arc::new(Mutex::new(None));
    let signals = Signals::take(switches.signals, orders(relay, switches, &stop, &lock)).map_err(failed)?;
    let runtime = relay_runtime().map_err(failed)?;
    let report: Result<Report> = runtime.block_on(async {
        if let Some(wanted) = &switches.lock {
            match obtain(wanted, &relay.log, &stop).await? {
                Some(file) => *lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(file),
                None => return Ok(Report { ended: Ended::Stopped, ..Report::default() }),
            }
        }
        Ok::<_, Error>(relay.run(&stop).await)
    });
    // A name that is still being looked up must not hold the end up.
    runtime.shutdown_background();
    let caught = signals.caught();
    drop(signals);
    drop(lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    Ok((report?, caught))
}

fn orders(relay: &Arc<Relay>, switches: &Switches, stop: &Stop, lock: &Arc<Mutex<Option<LockFile>>>) -> Orders {
    let (passing, telling, lock, switches) = (Arc::clone(relay), Arc::clone(relay), Arc::clone(lock), switches.clone());
    Orders {
        log: relay.log.clone(),
        stop: stop.clone(),
        grace: GRACE,
        pass: Box::new(move |signal| passing.pass_signal(signal)),
        statistics: Box::new(move || {
            let (right, left) = (telling.totals.left_to_right.flow(), telling.totals.right_to_left.flow());
            statistics::show(&telling.log, right, left, switches.ways, switches.show.experimental);
        }),
        abandon: Box::new(move || drop(lock.lock().unwrap_or_else(PoisonError::into_inner).take())),
    }
}

/// The lock file; nothing when the relay was stopped while it waited.
async fn obtain(wanted: &LockSwitch, log: &Log, stop: &Stop) -> Result<Option<LockFile>> {
    if !wanted.wait {
        return LockFile::take(&wanted.path).map(Some);
    }
    tokio::select! {
        lock = LockFile::wait(&wanted.path, log) => lock.map(Some),
        () = stop.reached(Stopping::Drain) => Ok(None),
    }
}

/// A listener that serves many needs two descriptors and more for each. Without the permission it serves as
/// many as it can.
fn raise_descriptor_limit() {
    if let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE)
        && soft < hard
    {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

/// Tells how the relay ended; returns the exit code.
fn conclude(report: &Report, caught: Option<i32>, switches: &Switches, logging: &Logging) -> i32 {
    if switches.show.statistics {
        let Report { left_to_right, right_to_left, .. } = report;
        statistics::show(&logging.log, *left_to_right, *right_to_left, switches.ways, switches.show.experimental);
    }
    if report.ended == Ended::NobodyCame {
        warning!(logging.log, "accept: Connection timed out");
    }
    if let Some(error) = &report.error {
        logging.tell(error);
    }
    exit_code(report, caught, switches.sloppy)
}

fn exit_code(report: &Report, caught: Option<i32>, sloppy: bool) -> i32 {
    match (&report.error, caught) {
        (_, Some(signal)) => 128 + signal,
        (Some(error), None) if sloppy && matches!(error.kind(), ErrorKind::Open | ErrorKind::Timeout) => NOT_OPENED,
        (None, None) if report.is_success() => 0,
        _ => FAILURE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::Flow;

    #[test]
    fn the_program_is_called_by_the_last_part_of_its_path() {
        assert_eq!(program_name(Some("/usr/local/bin/gate".into())), "gate");
        assert_eq!(program_name(Some("".into())), "socat");
        assert_eq!(program_name(None), "socat");
    }

    #[test]
    fn the_exit_code_says_how_it_ended() {
        let open = Error::open(Phase::Connect, io::Error::from_raw_os_error(libc::ECONNREFUSED));
        let failed = Report { error: Some(open), ended: Ended::Failed, ..Report::default() };
        let lost = Report { left_to_right: Flow { undelivered: 1, ..Flow::default() }, ..Report::default() };
        let nobody = Report { ended: Ended::NobodyCame, ..Report::default() };
        assert_eq!(exit_code(&Report::default(), None, false), 0);
        assert_eq!(exit_code(&nobody, None, false), 0);
        assert_eq!(exit_code(&lost, None, true), 1);
        assert_eq!(exit_code(&failed, None, false), 1);
        assert_eq!(exit_code(&failed, None, true), 255);
        assert_eq!(exit_code(&failed, Some(15), false), 143);
        assert_eq!(exit_code(&Report::default(), Some(2), false), 130);
    }

    #[test]
    fn a_direction_opens_one_end_of_each_address() {
        assert_eq!(directions(Ways::LeftToRight), (Direction::Read, Direction::Write));
        assert_eq!(directions(Ways::RightToLeft), (Direction::Write, Direction::Read));
    }
}
