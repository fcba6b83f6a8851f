//! `--capture` and its relatives, checked.

use std::path::PathBuf;

use super::environment::Lookup;
use super::file_name::{self, Own};
use super::switches::CaptureSwitches;
use crate::capture::{Settings, Target};
use crate::endpoint::{Direction, Endpoint, Plan, Planned};
use crate::error::{Error, ErrorKind, Phase, Result};
use crate::option::Transport;

/// What is to be captured. Opens nothing.
pub fn settings(
    switches: &CaptureSwitches,
    plans: [&Plan; 2],
    own: &Own<'_>,
    lookup: Lookup<'_>,
) -> Result<Option<Settings>> {
    let Some(file) = &switches.file else {
        let alone = switches.format.is_some() || switches.size.is_some() || switches.files.is_some();
        return if alone { Err(usage("there is no capture").hint("add --capture FILE")) } else { Ok(None) };
    };
    let takes_over = |endpoint: &&Endpoint| endpoint.options.settings.program.transport == Transport::NoFork;
    if let Some(end) = plans.iter().flat_map(|plan| ends(plan)).find(takes_over) {
        let message =
            format!("the capture would stay empty: with nofork nothing passes between {} and us", end.address);
        return Err(usage(message).hint("leave nofork away, or the capture"));
    }
    let target = if file == "-" {
        if let Some(end) = plans.iter().find_map(|plan| writes_stdout(plan)) {
            let message = format!("the capture cannot go to standard output, which is the end {end} of the relay");
            return Err(usage(message).hint("name a file instead of -, or a FIFO"));
        }
        Target::Stdout
    } else {
        Target::File(PathBuf::from(file_name::expand(file, own, lookup)?))
    };
    Settings::new(target, switches.format.as_deref(), switches.size, switches.files).map(Some)
}

fn ends(plan: &Plan) -> Vec<&Endpoint> {
    match &plan.planned {
        Planned::Single(endpoint) => vec![endpoint],
        Planned::Dual(halves) => vec![&halves.0, &halves.1],
    }
}

/// The address that standard output belongs to.
fn writes_stdout(plan: &Plan) -> Option<&str> {
    let is_stdout = |endpoint: &&Endpoint| match endpoint.kind.name {
        // What is written to a text is shown.
        "STDIO" | "TEXT" => endpoint.direction != Direction::Read,
        "STDOUT" => true,
        "FD" => {
            let head = endpoint.address.split(',').next().unwrap_or_default();
            head.rsplit(':').next().is_some_and(|number| number.trim_start_matches('0') == "1")
        }
        _ => false,
    };
    ends(plan).into_iter().find(is_stdout).map(|endpoint| endpoint.address.as_str())
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, Phase::Parse, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::endpoint::Defaults;

    fn plan(address: &str, direction: Direction) -> Plan {
        Plan::parse(address.as_bytes(), direction, &Defaults::default()).unwrap()
    }

    #[test]
    fn standard_output_is_an_end_only_where_it_is_written() {
        for (address, direction, is_end) in [
            ("-", Direction::Both, true),
            ("STDIO", Direction::Write, true),
            ("-", Direction::Read, false),
            ("STDIN!!CREATE:x", Direction::Both, false),
            ("TEXT:x", Direction::Both, true),
            ("TEXT:x", Direction::Read, false),
            ("TEXT:x!!PIPE", Direction::Both, false),
            ("TEXT:x!!STDOUT", Direction::Both, true),
            ("STDIO!!PIPE", Direction::Both, false),
            ("PIPE!!-", Direction::Both, true),
            ("1", Direction::Write, true),
            ("FD:01,cloexec", Direction::Write, true),
            ("FD:11", Direction::Both, false),
            ("STDERR", Direction::Write, false),
            ("TCP:host:1", Direction::Both, false),
        ] {
            assert_eq!(writes_stdout(&plan(address, direction)).is_some(), is_end, "{address}");
        }
    }

    #[test]
    fn a_program_that_takes_over_leaves_nothing_to_capture() {
        let defaults = Defaults { process_wide: true, ..Defaults::default() };
        let [left, right] = [&b"STDIN!!CREATE:x"[..], b"EXEC:cat,nofork"]
            .map(|text| Plan::parse(text, Direction::Both, &defaults).unwrap());
        let own = Own { program: "socat", now: crate::sys::time::LocalTime::now() };
        let switches = CaptureSwitches { file: Some("x.txt".into()), ..CaptureSwitches::default() };
        let error = settings(&switches, [&left, &right], &own, &|_| None).unwrap_err();
        assert_eq!(error.advice(), Some("leave nofork away, or the capture"));
    }

    #[test]
    fn a_size_without_a_capture_is_a_mistake() {
        let plan = plan("PIPE", Direction::Both);
        let own = Own { program: "socat", now: crate::sys::time::LocalTime::now() };
        let settings = |switches: &CaptureSwitches| settings(switches, [&plan, &plan], &own, &|_| None);
        assert!(settings(&CaptureSwitches::default()).unwrap().is_none());
        let lonely = CaptureSwitches { size: Some(1 << 20), ..CaptureSwitches::default() };
        assert_eq!(settings(&lonely).unwrap_err().advice(), Some("add --capture FILE"));
        let named = CaptureSwitches { file: Some("$PROGNAME.txt".into()), ..CaptureSwitches::default() };
        assert_eq!(settings(&named).unwrap().unwrap().target, Target::File("socat.txt".into()));
    }
}
