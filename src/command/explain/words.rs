//! An explanation for people.

use std::time::Duration;

use super::risks::Grade;
use super::{Explanation, Half, Side, code, role};
use crate::command::switches::{Destination, Switches};
use crate::endpoint::IpVersion;
use crate::error::printable;
use crate::relay::Ways;

/// Widest line.
const WIDTH: usize = 100;
/// Most characters of an address in the picture.
const BOX: usize = 36;

/// Colours, or none.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn grade(self, grade: Grade) -> String {
        let code = match grade {
            Grade::Note => "36",
            Grade::Caution => "33",
            Grade::Danger => "1;31",
        };
        self.with(code, grade.word())
    }
}

/// The whole explanation.
pub fn text(explanation: &Explanation, colour: bool) -> String {
    let paint = Paint(colour);
    let mut lines = vec![diagram(explanation), String::new()];
    for (name, side) in [("Left", &explanation.left), ("Right", &explanation.right)] {
        lines.push(paint.bold(name));
        lines.extend(side.halves.iter().flat_map(|half| endpoint(half, side, paint)));
        lines.push(String::new());
    }
    lines.push(paint.bold("How"));
    lines.extend(switches(&explanation.switches).iter().flat_map(|line| wrapped(line, "  ", "  ")));
    lines.push(String::new());
    if !explanation.risks.is_empty() {
        lines.push(paint.bold("Risks"));
        for risk in &explanation.risks {
            let start = format!("  {}: ", paint.grade(risk.grade));
            lines.extend(wrapped(&risk.what, &start, "    "));
            lines.extend(wrapped(risk.advice, "    -> ", "       "));
        }
        lines.push(String::new());
    }
    lines.push(paint.bold("In Python"));
    lines.extend(code::python(explanation).lines().map(|line| format!("    {line}").trim_end().to_owned()));
    lines.join("\n") + "\n"
}

fn endpoint(half: &Half, side: &Side, paint: Paint) -> Vec<String> {
    let use_of = if side.halves.len() > 1 { format!(" ({})", role(half.direction)) } else { String::new() };
    let mut lines = vec![format!("  {}{use_of}", paint.with("1;32", half.kind.name))];
    lines.extend(wrapped(&first_paragraph(half.kind.doc), "    ", "    "));
    lines.extend(half.parameters.iter().map(|(name, value)| format!("    {name}: {value}")));
    for given in &half.given {
        let value = given.value.as_ref().map(|value| format!("={}", printable(value))).unwrap_or_default();
        let start = format!("    {}{value}  ", paint.with("32", given.row.name));
        lines.extend(wrapped(&first_paragraph(given.row.doc), &start, "        "));
    }
    lines
}

fn first_paragraph(doc: &str) -> String {
    let paragraph = doc.trim().split("\n\n").next().unwrap_or_default();
    paragraph.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A text in lines of at most [`WIDTH`] characters; colours in `start` take no room.
fn wrapped(text: &str, start: &str, indent: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = start.to_owned();
    let mut width = visible(start);
    let mut is_fresh = true;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if !is_fresh && width + 1 + length > WIDTH {
            lines.push(std::mem::replace(&mut line, indent.to_owned()));
            width = indent.len();
            is_fresh = true;
        }
        if !is_fresh {
            line.push(' ');
            width += 1;
        }
        line.push_str(word);
        width += length;
        is_fresh = false;
    }
    lines.push(line.trim_end().to_owned());
    lines
}

/// The characters of a text that take room on a terminal.
fn visible(text: &str) -> usize {
    let mut in_escape = false;
    text.chars()
        .filter(|c| {
            let counts = !in_escape && *c != '\x1b';
            in_escape = if in_escape { *c != 'm' } else { *c == '\x1b' };
            counts
        })
        .count()
}

/// What the switches do, a sentence each.
pub fn switches(switches: &Switches) -> Vec<String> {
    let mut lines = vec![ways(switches).to_owned()];
    if switches.ways == Ways::Both {
        lines.push(match switches.linger {
            Some(limit) => format!("once one side has ended, the other may stay silent for {} (-t)", seconds(limit)),
            None => "each side may take as long as it wants to end (-t)".to_owned(),
        });
    }
    if let Some(limit) = switches.idle {
        lines.push(format!("ends when nothing was moved for {} (-T)", seconds(limit)));
    }
    if let Some(bytes) = switches.buffer {
        lines.push(format!("moves blocks of at most {bytes} bytes (-b)"));
    }
    if let Some(version) = switches.ip {
        let version = match version {
            IpVersion::V4 => "IPv4 is preferred (-4)",
            IpVersion::V6 => "IPv6 is preferred (-6)",
            IpVersion::Any => "no version of IP is preferred (-0)",
        };
        lines.push(version.to_owned());
    }
    if let Some(lock) = &switches.lock {
        let otherwise = if lock.wait { "waits while it exists (-W)" } else { "fails if it exists (-L)" };
        lines.push(format!("holds the lock file {}, {otherwise}", lock.path.display()));
    }
    lines.extend(shown(switches));
    lines
}

fn ways(switches: &Switches) -> &'static str {
    match switches.ways {
        Ways::Both => "bytes are moved both ways",
        Ways::LeftToRight => "bytes are moved from left to right only (-u)",
        Ways::RightToLeft => "bytes are moved from right to left only (-U)",
    }
}

/// What is shown, and where.
fn shown(switches: &Switches) -> Vec<String> {
    let mut lines = Vec::new();
    let dump = match (switches.dump.text, switches.dump.hex) {
        (true, true) => Some("as text and hexadecimal (-v -x)"),
        (true, false) => Some("as text (-v)"),
        (false, true) => Some("as hexadecimal (-x)"),
        (false, false) => None,
    };
    lines.extend(dump.map(|form| format!("every byte is shown on standard error {form}")));
    for (name, arrow, switch) in
        [(&switches.dump.right, "left to right", "-r"), (&switches.dump.left, "right to left", "-R")]
    {
        lines.extend(name.iter().map(|name| {
            format!("bytes from {arrow} are also appended to {} ({switch})", printable(name.as_encoded_bytes()))
        }));
    }
    lines.extend(captured(switches));
    match &switches.log.destination {
        Destination::Stderr => {}
        Destination::File(path) => lines.push(format!("events are logged to the file {} (-lf)", path.display())),
        Destination::Syslog(_) => lines.push("events are logged to the system's log (-ly)".to_owned()),
        Destination::Mixed(_) => {
            lines.push("events are logged to standard error, then to the system's log (-lm)".to_owned());
        }
    }
    if switches.show.descriptors {
        lines.push("all open descriptors are listed before the transfer (-D)".to_owned());
    }
    if switches.show.statistics {
        lines.push("what was moved is told at the end (--statistics)".to_owned());
    }
    lines
}

/// What is kept of the bytes.
fn captured(switches: &Switches) -> Option<String> {
    let capture = &switches.capture;
    let file = capture.file.as_ref()?;
    let place = if file == "-" {
        "on standard output".to_owned()
    } else {
        format!("in {}", printable(file.as_encoded_bytes()))
    };
    let form = capture.format.as_ref().map(|format| format!(" as {format}")).unwrap_or_default();
    let size = capture.size.map(|size| {
        let files = capture.files.unwrap_or(crate::capture::FILES);
        format!(", in files of {size} bytes, the last {files} of them")
    });
    Some(format!("what passes is kept with the time {place}{form}{} (--capture)", size.unwrap_or_default()))
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

/// The two addresses in boxes, and which way bytes go.
pub fn diagram(explanation: &Explanation) -> String {
    let boxes = [&explanation.left, &explanation.right].map(|side| {
        let names: Vec<_> = side.halves.iter().map(|half| short(&half.address)).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
        (names, width)
    });
    let [(left, left_width), (right, right_width)] = boxes;
    let rows = left.len().max(right.len());
    let arrow = match explanation.switches.ways {
        Ways::Both => " <====> ",
        Ways::LeftToRight => " =====> ",
        Ways::RightToLeft => " <===== ",
    };
    let edge = |width: usize| format!("+{}+", "-".repeat(width + 2));
    let border = format!("  {}        {}", edge(left_width), edge(right_width));
    let mut lines = vec![border.clone()];
    for row in 0..rows {
        let cell = |names: &[String], width: usize| {
            let name = names.get(row).map_or("", String::as_str);
            format!("| {name}{} |", " ".repeat(width - name.chars().count()))
        };
        let middle = if row == 0 { arrow } else { "        " };
        lines.push(format!("  {}{middle}{}", cell(&left, left_width), cell(&right, right_width)));
    }
    lines.push(border);
    lines.join("\n")
}

/// An address without its options, and not too long.
fn short(address: &str) -> String {
    let head = address.split(',').next().unwrap_or(address);
    match head.char_indices().nth(BOX) {
        Some((end, _)) => format!("{}...", &head[..end]),
        None => head.to_owned(),
    }
}
