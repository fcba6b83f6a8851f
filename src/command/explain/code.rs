//! The Python code that does the same, with the names of the generated classes.

use super::{Explanation, Given, Half, Side, way};
use crate::command::numbers;
use crate::command::switches::CaptureSwitches;
use crate::endpoint::IpVersion;
use crate::option::{Groups, ValueType};
use crate::relay::Ways;

/// Words that cannot be names in Python, among the names of options.
const KEYWORDS: [&str; 8] = ["and", "async", "from", "global", "in", "is", "pass", "with"];
/// Prefixes that Python's names go without, where a shorter spelling exists.
const PREFIXES: [&str; 8] = ["so-", "tcp-", "udp-", "ip-", "ipv6-", "o-", "f-", "openssl-"];
/// Widest line.
const WIDTH: usize = 90;

/// A small program.
pub fn python(explanation: &Explanation) -> String {
    let sides = [&explanation.left, &explanation.right];
    let mut names: Vec<_> = sides.iter().flat_map(|side| side.halves.iter().map(class_name)).collect();
    if sides.iter().any(|side| side.halves.len() > 1) {
        names.push("Dual".to_owned());
    }
    names.push("Relay".to_owned());
    names.sort();
    names.dedup();
    let mut arguments: Vec<_> = sides.into_iter().map(address).collect();
    let switches = &explanation.switches;
    if let Some(limit) = switches.idle {
        arguments.push(format!("idle_timeout={}", limit.as_secs_f64()));
    }
    let told = switches.linger != crate::command::switches::Switches::default().linger;
    if let Some(limit) = switches.linger.filter(|_| told) {
        arguments.push(format!("half_close_timeout={}", limit.as_secs_f64()));
    }
    if switches.ways != Ways::Both {
        arguments.push(format!("direction=\"{}\"", way(switches.ways)));
    }
    if let Some(bytes) = switches.buffer {
        arguments.push(format!("buffer_size={bytes}"));
    }
    if let Some(capture) = capture(&switches.capture) {
        if capture.starts_with("Capture(") {
            names.push("Capture".to_owned());
            names.sort();
        }
        arguments.push(format!("capture={capture}"));
    }
    let mut code = format!("from ferrule import {}\n\n", names.join(", "));
    if !told && switches.ways == Ways::Both {
        code.push_str("# Waits for both ends; the command line gives the second one 0.5 s.\n");
    }
    code.push_str(&call("relay = Relay", &arguments));
    code.push_str("\nrelay.run()\n");
    code
}

/// The file alone, or what else is to be said about it.
fn capture(switches: &CaptureSwitches) -> Option<String> {
    let file = switches.file.as_ref()?;
    // Python has a name for it, not a dash.
    let file = if file == "-" { "/dev/stdout".as_ref() } else { file.as_os_str() };
    let mut arguments = vec![text(file.as_encoded_bytes())];
    let format = switches.format.clone().or_else(|| (file == "/dev/stdout").then(|| "pcapng".to_owned()));
    arguments.extend(format.map(|format| format!("format=\"{format}\"")));
    arguments.extend(switches.size.map(|size| format!("size={size}")));
    arguments.extend(switches.files.map(|files| format!("files={files}")));
    Some(if arguments.len() == 1 { arguments.concat() } else { format!("Capture({})", arguments.join(", ")) })
}

/// A call on one line, or with an argument on each.
fn call(name: &str, arguments: &[String]) -> String {
    let line = format!("{name}({})", arguments.join(", "));
    if line.chars().count() <= WIDTH {
        return line;
    }
    format!("{name}(\n    {},\n)", arguments.join(",\n    "))
}

fn address(side: &Side) -> String {
    let halves: Vec<_> = side.halves.iter().map(endpoint).collect();
    if halves.len() > 1 { format!("Dual({})", halves.join(", ")) } else { halves.concat() }
}

/// `TCP4-LISTEN` -> `Tcp4Listen`.
fn class_name(half: &Half) -> String {
    let capital = |part: &str| part[..1].to_uppercase() + &part[1..].to_lowercase();
    half.kind.name.split('-').filter(|part| !part.is_empty()).map(capital).collect()
}

fn endpoint(half: &Half) -> String {
    let optional = |name: &str| half.kind.usage.contains(&format!("[:<{name}>]:"));
    let parameters = half.parameters.iter();
    let mut arguments: Vec<_> =
        parameters.clone().filter(|(name, _)| !optional(name)).map(|(name, value)| parameter(name, value)).collect();
    // What may be missing in the middle can only be given by name.
    let inner = parameters.filter(|(name, _)| optional(name));
    arguments.extend(inner.map(|(name, value)| format!("{}={}", name.replace('-', "_"), parameter(name, value))));
    arguments.extend(options(half));
    format!("{}({})", class_name(half), arguments.join(", "))
}

fn parameter(name: &str, value: &str) -> String {
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    let numeric = name.ends_with("port") || matches!(name, "fdnum" | "protocol" | "domain" | "type" | "cid");
    if numeric && (is_number || value == "0") { value.to_owned() } else { text(value.as_bytes()) }
}

/// The options as keyword arguments; one that is given several times becomes a list.
fn options(half: &Half) -> Vec<String> {
    let mut arguments: Vec<(String, Vec<String>)> = Vec::new();
    for given in &half.given {
        let name = option_name(given);
        match arguments.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value(given)),
            None => arguments.push((name, vec![value(given)])),
        }
    }
    if let Some(wildcard) = wildcard(half) {
        arguments.push(("bind".to_owned(), vec![wildcard.to_owned()]));
    }
    let argument = |(name, values): (String, Vec<String>)| match values.as_slice() {
        [value] => format!("{name}={value}"),
        values => format!("{name}=[{}]", values.join(", ")),
    };
    arguments.into_iter().map(argument).collect()
}

/// Typed addresses bind to the loopback address, the command line to every one.
fn wildcard(half: &Half) -> Option<&'static str> {
    let listens = matches!(half.kind.usage, ":<port>" | ":<protocol>");
    if !listens || half.options.settings.socket.bind.is_some() {
        return None;
    }
    match (half.has(Groups::IP4), half.has(Groups::IP6)) {
        (true, true) if half.defaults.listen_ip == IpVersion::V4 => Some("\"0.0.0.0\""),
        (true, false) => Some("\"0.0.0.0\""),
        (_, true) => Some("\"[::]\""),
        (false, false) => None,
    }
}

/// The name without a prefix, where the option has such a spelling.
fn option_name(given: &Given) -> String {
    let row = given.row;
    let short = PREFIXES.iter().filter_map(|prefix| row.name.strip_prefix(prefix));
    let name = short.into_iter().find(|rest| row.aliases.contains(rest)).unwrap_or(row.name);
    let underscore = if KEYWORDS.contains(&name) { "_" } else { "" };
    name.replace('-', "_") + underscore
}

fn value(given: &Given) -> String {
    let Some(written) = &given.value else { return "True".to_owned() };
    let number = numbers::integer(written);
    match (given.row.value, number) {
        (ValueType::Bool, Ok(number)) => if number == 0 { "False" } else { "True" }.to_owned(),
        (ValueType::Mode, _) => format!("0o{}", String::from_utf8_lossy(written)),
        (
            ValueType::Int
            | ValueType::IntOrEmpty
            | ValueType::Byte
            | ValueType::UnsignedShort
            | ValueType::UnsignedInt
            | ValueType::Size
            | ValueType::Offset
            | ValueType::Offset32
            | ValueType::Linger
            | ValueType::IoctlVoid
            | ValueType::User
            | ValueType::Group,
            Ok(number),
        ) => number.to_string(),
        (ValueType::Timeval | ValueType::Timespec, _) => match numbers::seconds(written) {
            Ok(seconds) => seconds.to_string(),
            Err(_) => text(written),
        },
        _ => text(written),
    }
}

/// A literal: text where it is text, else bytes.
fn text(bytes: &[u8]) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        c if c.is_control() => format!("\\x{:02x}", u32::from(c)),
        c => c.to_string(),
    };
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("\"{}\"", text.chars().map(escape).collect::<String>()),
        Err(_) => format!("b\"{}\"", bytes.escape_ascii()),
    }
}
