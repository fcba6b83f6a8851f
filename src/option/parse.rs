//! The options of one address: read and checked against the kind. They are applied in `applied`.

use super::{Apply, Groups, Row, Settings, TABLES, Value, find_in};
use crate::endpoint::{self, Kind};
use crate::error::{Error, Result, excerpt};
use crate::spec::{OptionSpec, Single, Span, Spec, diagnose, values};
use crate::sys::terminal::Termios;

/// Files of rows; all there are, except in tests.
type Tables = &'static [&'static [Row]];

/// How strictly options must fit the kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strictness {
    /// An option must have a group in common with the kind.
    Groups,
    /// Any option is tried (`-g`).
    AnyGroup,
}

/// The options of one address.
#[derive(Debug, Default)]
pub struct Options {
    /// What the `Plan` rows say.
    pub settings: Settings,
    /// All options in order of application: by phase, then as written.
    pub(super) given: Vec<(&'static Row, Value)>,
    /// Where each of them stands in the text of the address.
    pub(super) places: Vec<Span>,
}

impl Options {
    /// Reads the options of `single`. Opens nothing.
    ///
    /// # Errors
    /// An option that is unknown, that the kind does not take, that this system cannot have, whose value is
    /// wrong, or that does not go with another one. Each points at its place in the text.
    pub fn parse(spec: &Spec, single: &Single, kind: &Kind, strictness: Strictness) -> Result<Self> {
        Self::parse_from(TABLES, spec, single, kind, strictness)
    }

    fn parse_from(tables: Tables, spec: &Spec, single: &Single, kind: &Kind, strictness: Strictness) -> Result<Self> {
        let mut given = Vec::with_capacity(single.options.len());
        for (index, option) in single.options.iter().enumerate() {
            let row = row_of(tables, spec, single, index, kind, strictness)?;
            given.push((row, read(spec, row, option)?, option));
        }
        // Stable: within a phase the order is the one written.
        given.sort_by_key(|(row, ..)| row.phase);
        let mut settings = Settings::default();
        for (row, value, option) in &given {
            let checked = match row.apply {
                Apply::Plan(apply) => apply(&mut settings, value),
                // Applied once the terminal is open; whether the value fits is told before.
                Apply::Terminal(change) => change(&mut Termios::default(), value),
                _ => Ok(()),
            };
            checked.map_err(|reason| wrong(spec, option, &reason))?;
        }
        check_together(spec, &settings, &given)?;
        let places = given.iter().map(|(.., option)| option.span()).collect();
        let given = given.into_iter().map(|(row, value, _)| (row, value)).collect();
        Ok(Self { settings, given, places })
    }

    /// Points an error at the last option with this name, canonical or not, if it was given.
    pub fn blame(&self, name: &str, error: Error) -> Error {
        let index = self.given.iter().rposition(|(row, _)| row.name == name || row.aliases.contains(&name));
        match index.and_then(|index| self.places.get(index)) {
            Some(place) => error.span(place.clone()),
            None => error,
        }
    }

    /// Whether the option with this canonical name was given.
    pub fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The value of the option with this canonical name; the last one counts.
    pub fn value(&self, name: &str) -> Option<&Value> {
        self.given.iter().rev().find(|(row, _)| row.name == name).map(|(_, value)| value)
    }
}

/// The row of an option, which fits the kind.
fn row_of(
    tables: Tables,
    spec: &Spec,
    single: &Single,
    index: usize,
    kind: &Kind,
    strictness: Strictness,
) -> Result<&'static Row> {
    let option = &single.options[index];
    let groups = kind.groups.and(Groups::EVERY_KIND);
    let name = std::str::from_utf8(&option.name.bytes).ok();
    let Some(row) = name.and_then(|name| find_in(tables, name, groups)) else {
        let rows = &mut tables.iter().flat_map(|table| table.iter());
        return Err(diagnose::unknown_option(spec, single, index, kind, rows));
    };
    if strictness == Strictness::Groups && !row.groups.intersects(groups) {
        return Err(diagnose::misplaced_option(spec, single, index, kind, row, endpoint::kinds()));
    }
    match row.apply {
        Apply::Unsupported(reason) => Err(wrong(spec, option, reason)),
        _ => Ok(row),
    }
}

/// The value of an option.
fn read(spec: &Spec, row: &Row, option: &OptionSpec) -> Result<Value> {
    let text = option.value.as_ref().map(|word| word.bytes.as_slice());
    values::read(row.value, text).map_err(|fault| {
        let message = fault.of_option(&excerpt(&option.name.bytes), &excerpt(&spec.text[option.span()]));
        let word = option.value.as_ref().filter(|word| !word.span.is_empty()).unwrap_or(&option.name);
        fault.saying(message, word).place(&spec.text, option.span())
    })
}

/// The error of an option for a reason in words.
fn wrong(spec: &Spec, option: &OptionSpec, reason: &str) -> Error {
    let name = excerpt(&option.name.bytes);
    // A reason may quote the value.
    Error::text(format!("option \"{name}\": {}", excerpt(reason.as_bytes()))).place(&spec.text, option.span())
}

/// Checks what no option can see alone.
fn check_together(spec: &Spec, settings: &Settings, given: &[(&Row, Value, &OptionSpec)]) -> Result<()> {
    let life = &settings.life;
    let checks = [
        (
            "max-children",
            life.max_children.is_some() && !life.fork,
            "option max-children not allowed without option fork",
        ),
        (
            "waitlock",
            life.lockfile.is_some() && life.waitlock.is_some(),
            "only one of the options lockfile and waitlock is allowed",
        ),
    ];
    for (name, wrong, message) in checks {
        if wrong && let Some((.., option)) = given.iter().rev().find(|(row, ..)| row.name == name) {
            return Err(Error::text(message).place(&spec.text, option.span()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use std::path::Path;

    use super::*;
    use crate::endpoint::{Direction, Request};
    use crate::option::{SocatPhase, ValueType};
    use crate::spec;

    static KIND: Kind = Kind {
        name: "TEST-LISTEN",
        aliases: &[],
        usage: ":<port>",
        params: (1, 1),
        groups: Groups::LISTEN.and(Groups::RETRY),
        direction: Direction::Both,
        doc: "",
        plan: |_: &Request<'_>| Err(Error::text("a test never gets here")),
    };

    const fn row(name: &'static str, value: ValueType, groups: Groups, phase: SocatPhase, apply: Apply) -> Row {
        Row { name, aliases: &[], value, groups, phase, apply, doc: "" }
    }

    static ROWS: [Row; 8] = [
        row(
            "fork",
            ValueType::Bool,
            Groups::LISTEN,
            SocatPhase::PastAccept,
            Apply::Plan(|settings, value| {
                settings.life.fork = value.is_true();
                Ok(())
            }),
        ),
        row(
            "max-children",
            ValueType::Int,
            Groups::LISTEN,
            SocatPhase::PastAccept,
            Apply::Plan(|settings, value| {
                let most = usize::try_from(value.int()).map_err(|_| "less than none".to_owned())?;
                settings.life.max_children = Some(most);
                Ok(())
            }),
        ),
        row(
            "lockfile",
            ValueType::Text,
            Groups::APPL,
            SocatPhase::Init,
            Apply::Plan(|settings, value| {
                settings.life.lockfile = Some(value.path());
                Ok(())
            }),
        ),
        row(
            "waitlock",
            ValueType::Text,
            Groups::APPL,
            SocatPhase::Init,
            Apply::Plan(|settings, value| {
                settings.life.waitlock = Some(value.path());
                Ok(())
            }),
        ),
        row("nonblock", ValueType::Bool, Groups::FD, SocatPhase::Open, Apply::OpenFlag(4)),
        row("trunc", ValueType::Bool, Groups::OPEN, SocatPhase::Open, Apply::OpenFlag(8)),
        row("cork", ValueType::Bool, Groups::LISTEN, SocatPhase::Late, Apply::Unsupported("no corks here")),
        row(
            "echo",
            ValueType::Byte,
            Groups::LISTEN,
            SocatPhase::Fd,
            Apply::Terminal(|settings, value| match value.int() {
                0 => Err("no echo".to_owned()),
                byte => {
                    settings.set_character(0, u8::try_from(byte).unwrap());
                    Ok(())
                }
            }),
        ),
    ];
    static TABLES: [&[Row]; 1] = [&ROWS];

    fn parse_as(text: &str, strictness: Strictness) -> Result<Options> {
        let spec = spec::parse(text.as_bytes()).unwrap();
        Options::parse_from(&TABLES, &spec, &spec.first, &KIND, strictness)
    }

    fn options(text: &str) -> Options {
        parse_as(text, Strictness::Groups).unwrap()
    }

    /// The message, and the text it points at.
    fn error(text: &str) -> (String, String) {
        let error = parse_as(text, Strictness::Groups).unwrap_err();
        let place = error.location().unwrap();
        (error.message().to_owned(), text[place.span.clone()].to_owned())
    }

    fn pair(message: &str, place: &str) -> (String, String) {
        (message.to_owned(), place.to_owned())
    }

    #[test]
    fn options_are_read_and_applied_to_the_settings() {
        let options = options("T:1,FORK,max-children=3,lockfile='a,b'");
        assert!(options.settings.life.fork);
        assert_eq!(options.settings.life.max_children, Some(3));
        assert_eq!(options.settings.life.lockfile.as_deref(), Some(Path::new("a,b")));
        assert_eq!(options.value("max-children"), Some(&Value::Int(3)));
        assert!(options.has("fork") && !options.has("waitlock"));
    }

    #[test]
    fn the_last_of_one_option_counts_and_phases_come_in_order() {
        let options = options("T:1,fork=1,nonblock,fork=0,nonblock=0,lockfile=a,lockfile=b");
        assert!(!options.settings.life.fork);
        assert_eq!(options.settings.life.lockfile.as_deref(), Some(Path::new("b")));
        let order: Vec<&str> = options.given.iter().map(|(row, _)| row.name).collect();
        assert_eq!(order, ["lockfile", "lockfile", "nonblock", "nonblock", "fork", "fork"]);
        assert_eq!(options.open_flags(5), 1);
    }

    #[test]
    fn every_kind_has_the_groups_of_the_process_and_its_descriptor() {
        assert_eq!(options("T:1,nonblock").open_flags(0), 4);
    }

    #[test]
    fn errors_found_later_point_at_their_option() {
        let text = "T:1,lockfile=a,fork,lockfile=b";
        let options = options(text);
        let place = |name: &str| {
            let error = options.blame(name, Error::text("wrong")).place(&text.as_bytes().into(), 0..1);
            text[error.location().unwrap().span.clone()].to_owned()
        };
        assert_eq!(place("lockfile"), "lockfile=b");
        assert_eq!(place("fork"), "fork");
        assert_eq!(place("nonblock"), "T");
    }

    #[test]
    fn the_groups_are_checked_unless_told_not_to() {
        let message = "parseopts_table(): option \"trunc\" not supported with this address type";
        assert_eq!(error("T:1,trunc"), pair(message, "trunc"));
        assert_eq!(parse_as("T:1,trunc", Strictness::AnyGroup).unwrap().open_flags(0), 8);
    }

    #[test]
    fn wrong_options_are_told_at_their_place() {
        for (text, message, place) in [
            ("T:1,frok", "parseopts_table(): unknown option \"frok\"", "frok"),
            ("T:1,=3", "parseopts_table(): unknown option \"\"", "=3"),
            ("T:1,echo=0", "option \"echo\": no echo", "echo=0"),
            ("T:1,cork=1", "option \"cork\": no corks here", "cork=1"),
            ("T:1,fork=yes", "parseopts(): missing numerical value of option \"fork=yes\"", "yes"),
            ("T:1,fork=", "parseopts(): missing numerical value of option \"fork=\"", "fork"),
            ("T:1,fork=1x", "parseopts(): trailing garbage in numerical arg of option \"fork=1x\"", "x"),
            ("T:1,fork='1x'", "parseopts(): trailing garbage in numerical arg of option \"fork='1x'\"", "'1x'"),
            ("T:1,lockfile", "option \"lockfile\": value required", "lockfile"),
            ("T:1,fork,max-children=-1", "option \"max-children\": less than none", "max-children=-1"),
            ("T:1,max-children=2", "option max-children not allowed without option fork", "max-children=2"),
            ("T:1,waitlock=a,lockfile=b", "only one of the options lockfile and waitlock is allowed", "waitlock=a"),
        ] {
            assert_eq!(error(text), pair(message, place), "{text}");
        }
    }

    #[test]
    fn terminals_get_their_options() {
        use std::os::fd::AsFd;
        let pair = crate::sys::terminal::open_pair().unwrap();
        let mut settings = Termios::read(pair.slave.as_fd()).unwrap();
        assert!(!options("T:1,fork").on_terminal(&mut settings).unwrap());
        assert!(options("T:1,echo=7").on_terminal(&mut settings).unwrap());
        assert_eq!(settings.character(0), 7);
    }
}
