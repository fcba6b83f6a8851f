//! The one error type: what went wrong, at which address, in which phase, and what would help.

use std::fmt;
use std::io;
use std::sync::Arc;

use crate::spec::Span;

/// What every fallible function of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Which family an error belongs to; decides the exception's class in Python and the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The command line itself is wrong: an unknown switch, too few addresses.
    Usage,
    /// An address or an option is not valid; nothing has been opened.
    Address,
    /// An endpoint could not be opened.
    Open,
    /// Bytes could not be moved.
    Transfer,
    /// Something took longer than it was allowed to.
    Timeout,
    /// A child process failed.
    Child,
}

/// What was being done when the error came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Reading the text of an address.
    Parse,
    /// Checking the address against the catalog.
    Plan,
    /// Resolving a host name.
    Resolve,
    /// open(2) and its relatives, and what is done to a path before.
    Open,
    /// socket(2) and the options set on a new socket.
    Socket,
    /// bind(2).
    Bind,
    /// listen(2).
    Listen,
    /// accept(2).
    Accept,
    /// connect(2).
    Connect,
    /// Applying an option to an open descriptor.
    Option,
    /// Starting a program.
    Execute,
    /// Waiting for a lock file, a terminal's slave and the like.
    Wait,
    /// Reading from the endpoint.
    Read,
    /// Writing to the endpoint.
    Write,
    /// Closing it.
    Close,
}

impl Phase {
    /// The word shown to a person.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Plan => "plan",
            Self::Resolve => "resolve",
            Self::Open => "open",
            Self::Socket => "socket",
            Self::Bind => "bind",
            Self::Listen => "listen",
            Self::Accept => "accept",
            Self::Connect => "connect",
            Self::Option => "option",
            Self::Execute => "execute",
            Self::Wait => "wait",
            Self::Read => "read",
            Self::Write => "write",
            Self::Close => "close",
        }
    }
}

/// The place in the text an error is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The whole text of the address.
    pub text: Arc<[u8]>,
    /// Byte offsets into `text`.
    pub span: Span,
}

/// An error with everything a person or a program wants to know about it.
///
/// Boxed inside, so that `Result` stays small on the hot paths.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    phase: Phase,
    address: Option<String>,
    message: String,
    hint: Option<String>,
    place: Option<Place>,
    span: Option<Span>,
    source: Option<Arc<io::Error>>,
    logged: bool,
}

impl Error {
    /// An error of `kind` in `phase`; `message` is lower case, without a period.
    pub fn new(kind: ErrorKind, phase: Phase, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            phase,
            address: None,
            message: message.into(),
            hint: None,
            place: None,
            span: None,
            source: None,
            logged: false,
        }))
    }

    /// A text error: the address or option is not valid.
    pub fn text(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Address, Phase::Parse, message)
    }

    /// A failed system call while opening; the message is the operating system's.
    pub fn open(phase: Phase, source: io::Error) -> Self {
        Self::system(ErrorKind::Open, phase, source)
    }

    /// A failed system call while moving bytes.
    pub fn transfer(phase: Phase, source: io::Error) -> Self {
        Self::system(ErrorKind::Transfer, phase, source)
    }

    fn system(kind: ErrorKind, phase: Phase, source: io::Error) -> Self {
        let kind = if source.kind() == io::ErrorKind::TimedOut { ErrorKind::Timeout } else { kind };
        let mut error = Self::new(kind, phase, system_message(&source));
        error.0.source = Some(Arc::new(source));
        error
    }

    /// Says it in better words than the operating system's; its number stays.
    #[must_use]
    pub fn worded(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// Names the address, unless an inner layer already did.
    #[must_use]
    pub fn at(mut self, address: impl Into<String>) -> Self {
        if self.0.address.is_none() {
            self.0.address = Some(address.into());
        }
        self
    }

    /// Says what the message is about, in front of it.
    #[must_use]
    pub fn about(mut self, what: &str) -> Self {
        self.0.message = format!("{what}: {}", self.0.message);
        self
    }

    /// Says what would help.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Points at a place in a text that is not at hand, unless an inner layer already did; whoever has the
    /// text calls [`Error::place`].
    #[must_use]
    pub fn span(mut self, span: Span) -> Self {
        self.0.span.get_or_insert(span);
        self
    }

    /// Points at the place in the text; at a narrower one if [`Error::span`] named it.
    #[must_use]
    pub fn place(mut self, text: &Arc<[u8]>, span: Span) -> Self {
        if self.0.place.is_none() {
            let span = self.0.span.take().unwrap_or(span);
            self.0.place = Some(Place { text: Arc::clone(text), span });
        }
        self
    }

    /// Marks the error as shown already, so that it is told once.
    #[must_use]
    pub fn logged(mut self) -> Self {
        self.0.logged = true;
        self
    }

    /// Whether somebody has told it already.
    pub fn is_logged(&self) -> bool {
        self.0.logged
    }

    /// The family.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was being done.
    pub fn phase(&self) -> Phase {
        self.0.phase
    }

    /// The address as written, if known.
    pub fn address(&self) -> Option<&str> {
        self.0.address.as_deref()
    }

    /// The bare message, without address and phase.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What would help, if anything is known to.
    pub fn advice(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// The place in the text, for text errors.
    pub fn location(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// The operating system's number, see errno(3).
    pub fn errno(&self) -> Option<i32> {
        self.0.source.as_ref().and_then(|source| source.raw_os_error())
    }

    /// The operating system's error kind.
    pub fn io_kind(&self) -> Option<io::ErrorKind> {
        self.0.source.as_ref().map(|source| source.kind())
    }

    /// The line scripts look for: the address and what is wrong with it, without the phase.
    pub fn line(&self) -> String {
        match &self.0.address {
            Some(address) if !matches!(self.0.kind, ErrorKind::Address | ErrorKind::Usage) => {
                format!("{address}: {}", self.0.message)
            }
            _ => self.0.message.clone(),
        }
    }

    /// The text with a caret under the place and the hint, as further lines after the message.
    ///
    /// Empty when there is neither a place nor a hint. Control bytes of the text are escaped.
    pub fn detail(&self) -> String {
        let mut lines = String::new();
        if let Some(place) = &self.0.place {
            let (line, start, width) = underline(place);
            lines = format!("  {line}\n  {}{}", " ".repeat(start), "^".repeat(width));
        }
        if let Some(hint) = &self.0.hint {
            if !lines.is_empty() {
                lines.push('\n');
            }
            lines.push_str("  hint: ");
            lines.push_str(hint);
        }
        lines
    }
}

/// The operating system's words, capitalised as strerror(3) has them, without Rust's "(os error N)".
pub fn system_message(error: &io::Error) -> String {
    match error.raw_os_error() {
        // Typewriters are long gone, from glibc as well.
        Some(libc::ENOTTY) => "Inappropriate ioctl for device".to_owned(),
        Some(errno) => nix::errno::Errno::from_raw(errno).desc().to_owned(),
        None => error.to_string(),
    }
}

/// Bytes as printable text: control bytes and what is not UTF-8 become `\xNN`.
pub fn printable(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
                let mut buffer = [0; 4];
                c.encode_utf8(&mut buffer).bytes().for_each(|byte| push_escaped(&mut out, byte));
            } else {
                out.push(c);
            }
        }
        chunk.invalid().iter().for_each(|byte| push_escaped(&mut out, *byte));
    }
    out
}

fn push_escaped(out: &mut String, byte: u8) {
    let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
    out.extend(['\\', 'x', digit(byte >> 4), digit(byte & 15)]);
}

/// The most of a word that a message repeats, in bytes.
const EXCERPT: usize = 200;

/// [`printable`] for a word inside a message: a very long one is cut.
pub fn excerpt(word: &[u8]) -> String {
    match word.get(..EXCERPT) {
        Some(start) if word.len() > EXCERPT => printable(start) + "...",
        _ => printable(word),
    }
}

/// How much of a text [`Error::detail`] shows on its line, in columns.
const COLUMNS: usize = 100;

/// The printable text around a place, the column of its first character and how many are meant.
fn underline(place: &Place) -> (String, usize, usize) {
    let end = place.text.len();
    let from = place.span.start.min(end);
    let to = place.span.end.clamp(from, end);
    let parts = [&place.text[..from], &place.text[from..to], &place.text[to..]].map(printable);
    let column = parts[0].chars().count();
    let width = parts[1].chars().count();
    let total = column + width + parts[2].chars().count();
    if total <= COLUMNS {
        return (parts.concat(), column, width.max(1));
    }
    // A third of the window is what stands before the place, unless the text ends soon after it.
    let first = column.saturating_sub(COLUMNS / 3).min(total - COLUMNS);
    let shown: String = parts.iter().flat_map(|part| part.chars()).skip(first).take(COLUMNS).collect();
    let (left, right) = (if first > 0 { "..." } else { "" }, if first + COLUMNS < total { "..." } else { "" });
    let width = width.clamp(1, (first + COLUMNS - column).max(1));
    (format!("{left}{shown}{right}"), left.len() + column - first, width)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &self.0;
        if let Some(address) = &inner.address {
            write!(f, "{address}: ")?;
        }
        if !matches!(inner.kind, ErrorKind::Address | ErrorKind::Usage) {
            write!(f, "{}: ", inner.phase.word())?;
        }
        f.write_str(&inner.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}, {self}", self.0.kind)?;
        if let Some(hint) = &self.0.hint {
            write!(f, "; {hint}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|source| source.as_ref() as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detail(text: &str, span: Span) -> String {
        Error::text("wrong").place(&Arc::from(text.as_bytes()), span).detail()
    }

    #[test]
    fn the_caret_stands_under_the_place() {
        assert_eq!(detail("TCP:a:b", 4..5), "  TCP:a:b\n      ^");
        assert_eq!(detail("TCP:\u{fc}b:c", 4..7), "  TCP:\u{fc}b:c\n      ^^");
        assert_eq!(detail("a\nb", 2..3), "  a\\x0ab\n       ^");
        assert_eq!(detail("TCP", 3..3), "  TCP\n     ^");
        assert_eq!(detail("", 0..0), "  \n  ^");
    }

    #[test]
    fn places_beyond_the_text_are_its_end() {
        assert_eq!(detail("TCP", 7..9), "  TCP\n     ^");
    }

    #[test]
    fn long_texts_are_shown_around_the_place() {
        let text = format!("{}HERE{}", "a".repeat(500), "b".repeat(500));
        let detail = detail(&text, 500..504);
        let (line, caret) = detail.split_once('\n').unwrap_or_default();
        assert_eq!(line.len(), 2 + 3 + COLUMNS + 3);
        assert!(line.starts_with("  ...a") && line.ends_with("b..."), "{line}");
        assert_eq!(caret.find("^^^^"), line.find("HERE"));
        assert_eq!(caret.trim_start(), "^^^^");
    }

    #[test]
    fn long_places_are_cut_at_the_window() {
        let at_end = detail(&"a".repeat(300), 290..300);
        assert!(at_end.starts_with("  ...a") && at_end.ends_with(&"^".repeat(10)), "{at_end}");
        assert_eq!(at_end.lines().map(str::len).max(), Some(2 + 3 + COLUMNS));
        let whole = detail(&"a".repeat(300), 0..300);
        assert_eq!(whole, format!("  {}...\n  {}", "a".repeat(COLUMNS), "^".repeat(COLUMNS)));
    }

    #[test]
    fn a_narrower_place_wins() {
        let text = Arc::from(&b"TCP:a:99999"[..]);
        let error = Error::text("wrong").span(6..11).place(&text, 0..11).place(&text, 0..1);
        assert_eq!(error.location().map(|place| place.span.clone()), Some(6..11));
    }
}
