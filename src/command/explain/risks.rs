//! What could go wrong with a command line, and what to do instead.

use super::{Half, Side};
use crate::command::switches::Switches;
use crate::log::Json;
use crate::option::{Groups, Settings};
use crate::relay::Ways;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Good to know.
    Note,
    /// May not be what was meant.
    Caution,
    /// Gives others what they should not have.
    Danger,
}

/// Something that could go wrong.
#[derive(Debug, Clone)]
pub struct Risk {
    /// A short name that does not change, for programs.
    pub name: &'static str,
    /// How much it matters.
    pub grade: Grade,
    /// What could go wrong.
    pub what: String,
    /// What to do about it.
    pub advice: &'static str,
}

impl Grade {
    /// The word shown.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Caution => "caution",
            Self::Danger => "danger",
        }
    }
}

impl Risk {
    pub(super) fn json(&self) -> Json {
        Json::object([
            ("name", Json::text(self.name)),
            ("grade", Json::text(self.grade.word())),
            ("what", Json::text(&self.what)),
            ("advice", Json::text(self.advice)),
        ])
    }
}

/// Everything that could go wrong, the gravest first.
pub fn risks(left: &Side, right: &Side, switches: &Switches) -> Vec<Risk> {
    let mut found = Vec::new();
    for (side, other) in [(left, right), (right, left)] {
        for half in &side.halves {
            found.extend(exposure(half, other));
            found.extend(
                [unverified(half), socket_file(half), shell(half), unlimited(half), single_use(half)]
                    .into_iter()
                    .flatten(),
            );
            found.extend([silent_peers(half, switches), outdated(half), privileged(half)].into_iter().flatten());
        }
        found.extend(
            side.warnings
                .iter()
                .map(|warning| note("warning", warning.clone(), "nothing to do if this is what was meant")),
        );
    }
    found.extend(general(left, right, switches));
    found.sort_by_key(|risk| std::cmp::Reverse(risk.grade));
    found
}

fn note(name: &'static str, what: impl Into<String>, advice: &'static str) -> Risk {
    Risk { name, grade: Grade::Note, what: what.into(), advice }
}

fn caution(name: &'static str, what: impl Into<String>, advice: &'static str) -> Risk {
    Risk { name, grade: Grade::Caution, what: what.into(), advice }
}

fn settings(half: &Half) -> &Settings {
    &half.options.settings
}

fn on_network(half: &Half) -> bool {
    half.has(Groups::IP4.and(Groups::IP6)) && !is_inherited(half)
}

/// Whether it was opened by somebody else and may be anything: such kinds take the options of all.
fn is_inherited(half: &Half) -> bool {
    half.has(Groups::SOCKET) && half.has(Groups::CHR) && !half.has(Groups::NAMED)
}

/// Whether it waits for others to come, rather than going to them.
fn awaits(half: &Half) -> bool {
    half.has(Groups::LISTEN) || half.kind.name.contains("-RECV")
}

/// Where a listener can be reached: `None` only from this machine.
fn reached(half: &Half) -> Option<&'static str> {
    let bind = settings(half).socket.bind.as_deref().unwrap_or_default();
    let host = bind.strip_prefix(b"[").unwrap_or(bind);
    let local = [&b"127."[..], b"localhost", b"::1", b"::ffff:127."];
    let wild = host.is_empty() || host.starts_with(b":") || host.starts_with(b"0.0.0.0") || host.starts_with(b"*");
    match () {
        () if local.iter().any(|start| host.starts_with(start)) => None,
        () if wild => Some("every network this machine is connected to"),
        () => Some("the network of its address"),
    }
}

/// Whether a listener chooses who may come in.
fn is_guarded(half: &Half) -> bool {
    let access = &settings(half).access;
    let certificates = half.has(Groups::OPENSSL) && !disables_verification(half);
    access.range.is_some() || access.tcpwrap.is_some() || certificates
}

fn disables_verification(half: &Half) -> bool {
    half.options.value("openssl-verify").is_some_and(|value| !value.is_true())
}

/// A listener anybody can reach, and what is behind it.
fn exposure(half: &Half, other: &Side) -> Vec<Risk> {
    let Some(reached) = reached(half).filter(|_| awaits(half) && on_network(half) && !is_guarded(half)) else {
        return Vec::new();
    };
    let name = half.kind.name;
    let what = format!("{name} is open to anybody on {reached}");
    let advice = "add bind=127.0.0.1 for this machine only, or range=10.0.0.0/8 for one network";
    let mut found = vec![caution("listens-everywhere", what, advice)];
    for behind in &other.halves {
        if let Some(thing) = valuable(behind) {
            let what = format!("whoever reaches {name} gets {thing}");
            found.push(Risk { name: "exposed", grade: Grade::Danger, what, advice });
        }
    }
    found
}

/// What somebody gets who is relayed to this endpoint.
fn valuable(half: &Half) -> Option<&'static str> {
    let runs = half.has(Groups::EXEC);
    match () {
        () if runs && matches!(half.kind.name, "SHELL" | "SYSTEM") => Some("a shell command of yours"),
        () if runs => Some("a program that runs as you"),
        () if matches!(half.kind.name, "PTY" | "READLINE") => Some("a terminal"),
        () if half.has(Groups::INTERFACE) => Some("a network interface"),
        () if half.has(Groups::NAMED) && half.has(Groups::REG) => Some("a file or device"),
        () => None,
    }
}

fn unverified(half: &Half) -> Option<Risk> {
    let applies = half.has(Groups::OPENSSL) && disables_verification(half);
    applies.then(|| Risk {
        name: "unverified",
        grade: Grade::Danger,
        what: format!(
            "{} does not check who the peer is: anybody in between can read and change everything",
            half.kind.name
        ),
        advice: "leave verify=0 away and name the authority with cafile=",
    })
}

fn socket_file(half: &Half) -> Option<Risk> {
    if !half.has(Groups::UNIX) || !awaits(half) {
        return None;
    }
    if half.kind.name.starts_with("ABSTRACT") {
        let what = "an abstract socket has no permissions: every user of this machine can connect";
        return Some(caution("abstract-socket", what, "use UNIX-LISTEN with mode=600"));
    }
    let restricted = ["perm", "mode", "perm-early", "umask", "user", "group", "user-early", "group-early"];
    let mode = settings(half).file.mode;
    match mode {
        Some(mode) if mode & 0o007 != 0 => {
            let what = format!("every user of this machine can connect to the socket (mode {mode:o})");
            Some(caution("socket-for-all", what, "use mode=600, or mode=660 with group="))
        }
        None if !restricted.iter().any(|name| half.options.has(name)) => {
            let what = "who may connect to the socket is left to the umask of the caller";
            Some(note("socket-mode", what, "say it: mode=600, or mode=660 with group="))
        }
        _ => None,
    }
}

fn shell(half: &Half) -> Option<Risk> {
    let applies = matches!(half.kind.name, "SHELL" | "SYSTEM");
    applies.then(|| {
        let what =
            format!("{} hands its text to a shell, which interprets every special character in it", half.kind.name);
        note("shell", what, "EXEC starts a program without a shell")
    })
}

fn unlimited(half: &Half) -> Option<Risk> {
    let life = &settings(half).life;
    let applies = life.fork && life.max_children.is_none() && awaits(half);
    applies.then(|| note("unlimited", "nothing limits how many are served at one time", "add max-children="))
}

fn single_use(half: &Half) -> Option<Risk> {
    let applies = half.has(Groups::LISTEN) && !settings(half).life.fork;
    applies.then(|| {
        let what = format!("{} serves one connection, then the relay ends", half.kind.name);
        note("single-use", what, "add fork to serve every connection")
    })
}

fn silent_peers(half: &Half, switches: &Switches) -> Option<Risk> {
    let applies = half.has(Groups::UDP) && settings(half).life.fork && switches.idle.is_none();
    applies.then(|| {
        let what =
            format!("a peer of {} does not say when it is done: sessions collect without an end", half.kind.name);
        caution("silent-peers", what, "end silent sessions with -T 60")
    })
}

fn outdated(half: &Half) -> Option<Risk> {
    let applies = settings(half).flow.cool_write;
    applies.then(|| {
        let what = "cool-write hides that bytes could not be written";
        note("outdated", what, "children-shutup makes the log of sessions quieter without that")
    })
}

fn privileged(half: &Half) -> Option<Risk> {
    let port = half.parameters.iter().find(|(name, _)| *name == "port").and_then(|(_, port)| port.parse::<u16>().ok());
    let low = awaits(half) && port.is_some_and(|port| port < 1024);
    let raw = half.has(Groups::INTERFACE) || half.kind.name.starts_with("IP");
    let applies = low || raw;
    applies.then(|| {
        let what = format!("{} needs privileges: root, or the capability for it", half.kind.name);
        note("privileged", what, "su= drops the privileges once the address is open")
    })
}

/// What follows from the switches, or from both addresses together.
fn general(left: &Side, right: &Side, switches: &Switches) -> Vec<Risk> {
    let mut found = Vec::new();
    let peers = Groups::EXEC.and(Groups::UNIX).and(Groups::IP4).and(Groups::IP6);
    let answers = |side: &Side| side.halves.iter().any(|half| half.has(peers) && !is_inherited(half));
    let short = switches.linger.filter(|limit| limit.as_secs() < 1);
    if let Some(limit) = short.filter(|_| switches.ways == Ways::Both && (answers(left) || answers(right))) {
        let what =
            format!("once one side has ended, an answer that takes longer than {} s is cut off", limit.as_secs_f64());
        found.push(caution("slow-answers", what, "give answers more time with -t 10, or -t inf"));
    }
    if switches.any_option {
        let what = "options are tried even where they do not fit the address (-g)";
        found.push(note("unchecked", what, "leave -g away"));
    }
    if switches.sloppy {
        found.push(note("sloppy", "some errors do not end the relay (-s)", "leave -s away"));
    }
    found
}
