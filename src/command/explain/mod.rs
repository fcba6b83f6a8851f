//! What a command line means: in words, as JSON, as a small picture, with its risks, and as Python.
//! Nothing is opened.

mod code;
mod risks;
mod words;

use std::ffi::OsString;
use std::sync::Arc;

use super::environment::{Lookup, defaults};
use super::run::directions;
use super::switches::{self, Reason, Request, Switches};
use crate::endpoint::{Defaults, Direction, Endpoint, Kind, Plan, Planned};
use crate::error::{Error, ErrorKind, Phase, Result, printable};
use crate::log::Json;
use crate::option::{self, Groups, Options, Row};
use crate::relay::Ways;
use crate::spec::{self, Single};

use risks::{Risk, risks};

/// Explains the words of a socat command line, without the program's name; `colour` is for terminals.
pub fn explain(arguments: &[OsString], json: bool, colour: bool) -> Result<String> {
    let explanation = Explanation::of(arguments, &|name| std::env::var_os(name))?;
    Ok(if json { format!("{}\n", explanation.json()) } else { words::text(&explanation, colour) })
}

/// Everything there is to say about a command line.
struct Explanation {
    left: Side,
    right: Side,
    switches: Switches,
    risks: Vec<Risk>,
}

/// One of the two addresses.
struct Side {
    address: String,
    /// One endpoint, or the one that is read and the one that is written.
    halves: Vec<Half>,
    warnings: Vec<String>,
}

/// One endpoint.
struct Half {
    kind: &'static Kind,
    address: String,
    direction: Direction,
    /// Names, as the usage has them, and values.
    parameters: Vec<(&'static str, String)>,
    given: Vec<Given>,
    options: Arc<Options>,
    defaults: Defaults,
}

/// One option as given.
struct Given {
    row: &'static Row,
    value: Option<Vec<u8>>,
}

impl Explanation {
    fn of(arguments: &[OsString], lookup: Lookup<'_>) -> Result<Self> {
        let (switches, [left, right]) = match switches::parse(arguments) {
            Ok(Request::Relay(switches, addresses)) => (*switches, addresses),
            Ok(Request::Version | Request::Help(_)) => return Err(usage("there is nothing to explain: no addresses")),
            Err(refusal) => {
                return Err(match refusal.reason {
                    Reason::Error(error) => error,
                    Reason::Plain(text) => usage(text),
                    Reason::Usage => usage("a switch has more letters than it can have"),
                });
            }
        };
        let defaults = defaults(&switches, "socat", lookup);
        let (left_way, right_way) = directions(switches.ways);
        let left = Side::of(left.as_encoded_bytes(), left_way, &defaults)?;
        let right = Side::of(right.as_encoded_bytes(), right_way, &defaults)?;
        let risks = risks(&left, &right, &switches);
        Ok(Self { left, right, switches, risks })
    }

    fn json(&self) -> Json {
        let seconds =
            |time: Option<std::time::Duration>| time.map_or(Json::Null, |time| Json::Number(time.as_secs_f64()));
        Json::object([
            ("left", self.left.json()),
            ("right", self.right.json()),
            ("direction", Json::text(way(self.switches.ways))),
            ("half_close_timeout", seconds(self.switches.linger)),
            ("idle_timeout", seconds(self.switches.idle)),
            ("switches", Json::list(words::switches(&self.switches).into_iter().map(Json::Text))),
            ("diagram", Json::text(words::diagram(self))),
            ("risks", Json::list(self.risks.iter().map(Risk::json))),
            ("python", Json::text(code::python(self))),
        ])
    }
}

impl Side {
    fn of(text: &[u8], direction: Direction, defaults: &Defaults) -> Result<Self> {
        let spec = spec::parse(text)?;
        let plan = Plan::new(&spec, direction, defaults)?;
        let half = |endpoint: &Endpoint, single: &Single| Half::of(endpoint, single, defaults);
        let halves = match (&plan.planned, &spec.second) {
            (Planned::Single(endpoint), Some(second)) if direction == Direction::Write => vec![half(endpoint, second)],
            (Planned::Single(endpoint), _) => vec![half(endpoint, &spec.first)],
            (Planned::Dual(two), second) => {
                vec![half(&two.0, &spec.first), half(&two.1, second.as_ref().unwrap_or(&spec.first))]
            }
        };
        Ok(Self { address: plan.address, halves, warnings: plan.warnings })
    }

    fn json(&self) -> Json {
        Json::object([
            ("address", Json::text(&self.address)),
            ("endpoints", Json::list(self.halves.iter().map(Half::json))),
        ])
    }
}

impl Half {
    fn of(endpoint: &Endpoint, single: &Single, defaults: &Defaults) -> Self {
        let kind = endpoint.kind;
        let groups = kind.groups.and(Groups::EVERY_KIND);
        let given = single.options.iter().filter_map(|option| {
            let row = option::find(&String::from_utf8_lossy(&option.name.bytes), groups)?;
            Some(Given { row, value: option.value.as_ref().map(|word| word.bytes.clone()) })
        });
        let names = parameter_names(kind, single.params.len());
        let values = single.params.iter().map(|word| printable(&word.bytes));
        Self {
            kind,
            address: endpoint.address.clone(),
            direction: endpoint.direction,
            parameters: names.into_iter().zip(values).collect(),
            given: given.collect(),
            options: Arc::clone(&endpoint.options),
            defaults: defaults.clone(),
        }
    }

    /// Whether it has one of these groups.
    fn has(&self, groups: Groups) -> bool {
        self.kind.groups.intersects(groups)
    }

    fn json(&self) -> Json {
        let parameter = |(name, value): &(&'static str, String)| (*name, Json::text(value));
        Json::object([
            ("kind", Json::text(self.kind.name)),
            ("address", Json::text(&self.address)),
            ("doc", Json::text(self.kind.doc.trim())),
            ("direction", Json::text(role(self.direction))),
            ("parameters", Json::object(self.parameters.iter().map(parameter))),
            ("options", Json::list(self.given.iter().map(Given::json))),
        ])
    }
}

impl Given {
    fn json(&self) -> Json {
        let value = self.value.as_ref().map_or(Json::Null, |value| Json::text(printable(value)));
        Json::object([("name", Json::text(self.row.name)), ("value", value), ("doc", Json::text(self.row.doc.trim()))])
    }
}

/// The names of `count` parameters, from a usage like `:<host>:<port>` or `:<server>[:<port>]:<host>`: the
/// ones in brackets are those that may be missing.
fn parameter_names(kind: &Kind, count: usize) -> Vec<&'static str> {
    let mut names: Vec<(&'static str, bool)> = Vec::new();
    let mut rest = kind.usage;
    while let Some((before, after)) = rest.split_once(":<") {
        let Some((name, after)) = after.split_once('>') else { break };
        names.push((name, before.ends_with('[')));
        rest = after;
    }
    let missing = names.len().saturating_sub(count);
    let mut left_out = 0;
    names.retain(|(_, optional)| {
        let out = *optional && left_out < missing;
        left_out += usize::from(out);
        !out
    });
    let mut names: Vec<_> = names.into_iter().map(|(name, _)| name).collect();
    // A usage that does not name them all, as FD's `<fdnum>` would without a colon.
    names.resize(count, "parameter");
    names
}

/// Which ways bytes go, as Python's `direction` has it.
const fn way(ways: Ways) -> &'static str {
    match ways {
        Ways::Both => "both",
        Ways::LeftToRight => "left-to-right",
        Ways::RightToLeft => "right-to-left",
    }
}

/// What is done with an endpoint.
const fn role(direction: Direction) -> &'static str {
    match direction {
        Direction::Both => "read and written",
        Direction::Read => "read",
        Direction::Write => "written",
    }
}

fn usage(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Usage, Phase::Parse, message)
}

#[cfg(test)]
mod tests;
