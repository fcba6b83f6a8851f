//! The framing of TELNET: what is data, what is a command (RFC 854, RFC 855).
//!
//! The parser is pushed bytes as they come and never waits: whatever a stream is cut into, the events are the same.
//! Data are slices of what was pushed; only subnegotiations are gathered, up to [`SUB_LIMIT`] bytes.

/// Interpret as command: the byte that begins every command, and is doubled among data.
pub const IAC: u8 = 255;

/// End of a subnegotiation.
const SE: u8 = 240;
/// Beginning of a subnegotiation.
const SB: u8 = 250;
const CR: u8 = b'\r';
const NUL: u8 = 0;

/// A subnegotiation longer than this is dropped as a whole. The longest sensible one is a signature.
pub const SUB_LIMIT: usize = 1024;

/// Options of TELNET, by their numbers.
pub mod option {
    /// Eight bits without the line ends of the network virtual terminal, RFC 856.
    pub const BINARY: u8 = 0;
    /// Who hears a character shows it, RFC 857.
    pub const ECHO: u8 = 1;
    /// No go-ahead after each line, RFC 858.
    pub const SUPPRESS_GO_AHEAD: u8 = 3;
    /// The settings of a serial port, RFC 2217.
    pub const COM_PORT: u8 = 44;
}

/// Commands without a parameter that concern somebody here; RFC 854, "TELNET command structure".
pub mod command {
    /// The break key.
    pub const BREAK: u8 = 243;
    /// Are you there?
    pub const ARE_YOU_THERE: u8 = 246;
}

/// The four verbs of option negotiation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// The sender wants to use the option, or agrees to.
    Will,
    /// The sender does not use it, or no more.
    Wont,
    /// The receiver is to use it, or may.
    Do,
    /// The receiver is not to use it, or no more.
    Dont,
}

impl Verb {
    const fn code(self) -> u8 {
        match self {
            Self::Will => 251,
            Self::Wont => 252,
            Self::Do => 253,
            Self::Dont => 254,
        }
    }

    const fn of(code: u8) -> Option<Self> {
        match code {
            251 => Some(Self::Will),
            252 => Some(Self::Wont),
            253 => Some(Self::Do),
            254 => Some(Self::Dont),
            _ => None,
        }
    }

    /// The command, as it is sent.
    #[must_use]
    pub const fn bytes(self, option: u8) -> [u8; 3] {
        [IAC, self.code(), option]
    }
}

/// What was found in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'a> {
    /// Data, unescaped; never empty. Two of them in a row may be one for the sender.
    Data(&'a [u8]),
    /// A command without a parameter, see [`command`].
    Command(u8),
    /// A word about an option.
    Negotiate(Verb, u8),
    /// A subnegotiation of an option, unescaped.
    Sub(u8, &'a [u8]),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Data,
    /// After IAC.
    Command,
    /// After a verb: its option follows.
    Option(Verb),
    /// After SB: the option follows.
    SubOption,
    /// After SB and IAC: the option follows, if this is an escape.
    SubOptionEscape,
    Sub,
    /// After IAC in a subnegotiation.
    SubCommand,
}

/// Takes a stream apart.
#[derive(Debug, Clone, Default)]
pub struct Parser {
    state: State,
    option: u8,
    sub: Vec<u8>,
    /// The subnegotiation is too long to be kept.
    too_long: bool,
}

impl Parser {
    /// The next event of `input`, which is shortened by what it was made of. `None`: all of it was used up, and
    /// what was begun goes on with the next input.
    pub fn next<'e, 'input: 'e>(&'e mut self, input: &mut &'input [u8]) -> Option<Event<'e>> {
        while let Some((&byte, rest)) = input.split_first() {
            match self.state {
                State::Data if byte != IAC => {
                    let (data, rest) = input.split_at(find(input, IAC).unwrap_or(input.len()));
                    *input = rest;
                    return Some(Event::Data(data));
                }
                State::Command if byte == IAC => {
                    self.state = State::Data;
                    let (data, rest) = input.split_at(1);
                    *input = rest;
                    return Some(Event::Data(data));
                }
                State::Sub if byte != IAC => {
                    let (text, rest) = input.split_at(find(input, IAC).unwrap_or(input.len()));
                    *input = rest;
                    self.gather(text);
                }
                _ => {
                    *input = rest;
                    if let Some(found) = self.step(byte) {
                        return Some(match found {
                            Found::Command(code) => Event::Command(code),
                            Found::Negotiate(verb, option) => Event::Negotiate(verb, option),
                            Found::Sub => Event::Sub(self.option, &self.sub),
                        });
                    }
                }
            }
        }
        None
    }

    /// Whether the next byte that is not IAC is data.
    #[must_use]
    pub fn is_at_data(&self) -> bool {
        self.state == State::Data
    }

    /// Takes one byte of a command.
    fn step(&mut self, byte: u8) -> Option<Found> {
        let (state, found) = match (self.state, byte) {
            (State::Data, _) => (State::Command, None),
            (State::Command, SB) => (State::SubOption, None),
            // An end without a beginning ends nothing, and `IAC SB IAC SE` names no option.
            (State::Command | State::SubOptionEscape, SE) => (State::Data, None),
            (State::Command, code) => match Verb::of(code) {
                Some(verb) => (State::Option(verb), None),
                None => (State::Data, Some(Found::Command(code))),
            },
            (State::Option(verb), option) => (State::Data, Some(Found::Negotiate(verb, option))),
            (State::SubOption, IAC) => (State::SubOptionEscape, None),
            (State::SubOption, option) | (State::SubOptionEscape, option @ IAC) => {
                self.begin(option);
                (State::Sub, None)
            }
            (State::Sub, _) => (State::SubCommand, None),
            (State::SubCommand, IAC) => {
                self.gather(&[IAC]);
                (State::Sub, None)
            }
            (State::SubCommand, SE) => (State::Data, (!self.too_long).then_some(Found::Sub)),
            // Any other command in the middle: the end was lost, and what was gathered is not to be trusted.
            (State::SubOptionEscape | State::SubCommand, _) => {
                self.state = State::Command;
                return self.step(byte);
            }
        };
        self.state = state;
        found
    }

    fn begin(&mut self, option: u8) {
        self.option = option;
        self.sub.clear();
        self.too_long = false;
    }

    fn gather(&mut self, text: &[u8]) {
        self.too_long |= self.sub.len() + text.len() > SUB_LIMIT;
        if !self.too_long {
            self.sub.extend_from_slice(text);
        }
    }
}

enum Found {
    Command(u8),
    Negotiate(Verb, u8),
    Sub,
}

/// Where a byte is first. Long stretches without it are looked through many bytes at a time.
#[must_use]
pub fn find(bytes: &[u8], wanted: u8) -> Option<usize> {
    const STRETCH: usize = 256;
    let mut start = 0;
    for stretch in bytes.chunks(STRETCH) {
        if stretch.contains(&wanted) {
            return stretch.iter().position(|byte| *byte == wanted).map(|place| start + place);
        }
        start += stretch.len();
    }
    None
}

/// Adds data with its IAC bytes doubled.
pub fn escape(data: &[u8], out: &mut Vec<u8>) {
    let mut rest = data;
    while let Some(place) = find(rest, IAC) {
        out.extend_from_slice(&rest[..=place]);
        out.push(IAC);
        rest = &rest[place + 1..];
    }
    out.extend_from_slice(rest);
}

/// Adds a whole subnegotiation.
pub fn subnegotiation(option: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[IAC, SB]);
    escape(&[option], out);
    escape(payload, out);
    out.extend_from_slice(&[IAC, SE]);
}

/// The carriage returns of the network virtual terminal: without BINARY one that stands alone is sent as CR NUL
/// (RFC 854, "The NVT printer and keyboard").
#[derive(Debug, Clone, Copy, Default)]
pub struct LineEnds {
    after_cr: bool,
}

impl LineEnds {
    /// Takes away the NUL of each CR NUL; returns how many bytes are left, at the front.
    pub fn unpad(&mut self, data: &mut [u8]) -> usize {
        let mut kept = 0;
        for place in 0..data.len() {
            let byte = data[place];
            if !(self.after_cr && byte == NUL) {
                data[kept] = byte;
                kept += 1;
            }
            self.after_cr = byte == CR;
        }
        kept
    }

    /// What is written behind a byte whose next one is `next`: the NUL of a CR that is not followed by LF. A CR at
    /// the end of a block counts as standing alone.
    #[must_use]
    pub const fn padding(byte: u8, next: Option<u8>) -> Option<u8> {
        if byte == CR && !matches!(next, Some(b'\n')) { Some(NUL) } else { None }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use proptest::prelude::*;

    use super::*;

    /// An event that owns what it tells; data in a row are one.
    #[derive(Debug, Clone, PartialEq, Eq)]
    enum Told {
        Data(Vec<u8>),
        Command(u8),
        Negotiate(Verb, u8),
        Sub(u8, Vec<u8>),
    }

    fn told<'a>(blocks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Told> {
        let mut parser = Parser::default();
        let mut all = Vec::new();
        for mut block in blocks {
            while let Some(event) = parser.next(&mut block) {
                match (event, all.last_mut()) {
                    (Event::Data(data), Some(Told::Data(last))) => last.extend_from_slice(data),
                    (Event::Data(data), _) => all.push(Told::Data(data.to_vec())),
                    (Event::Command(code), _) => all.push(Told::Command(code)),
                    (Event::Negotiate(verb, option), _) => all.push(Told::Negotiate(verb, option)),
                    (Event::Sub(option, payload), _) => all.push(Told::Sub(option, payload.to_vec())),
                }
            }
            assert!(block.is_empty());
        }
        all
    }

    #[test]
    fn a_stream_is_taken_apart() {
        let stream = b"ab\xff\xffc\xff\xfb\x00\xff\xf3\xff\xfa\x2c\x05\xff\xff\xff\xf0\xff\xf6d";
        let expected = [
            Told::Data(b"ab\xffc".to_vec()),
            Told::Negotiate(Verb::Will, option::BINARY),
            Told::Command(command::BREAK),
            Told::Sub(option::COM_PORT, vec![5, 255]),
            Told::Command(command::ARE_YOU_THERE),
            Told::Data(b"d".to_vec()),
        ];
        assert_eq!(told([&stream[..]]), expected);
    }

    #[test]
    fn what_is_malformed_costs_only_itself() {
        let cases: [(&[u8], Vec<Told>); 6] = [
            (b"\xff\xf0a", vec![Told::Data(b"a".to_vec())]),
            (b"\xff\xfa\xff\xf0a", vec![Told::Data(b"a".to_vec())]),
            (b"\xff\xfa\x2c\xff\xf0a", vec![Told::Sub(44, vec![]), Told::Data(b"a".to_vec())]),
            // A negotiation inside: the subnegotiation was never ended.
            (b"\xff\xfa\x2c\x01\xff\xfd\x03a", vec![Told::Negotiate(Verb::Do, 3), Told::Data(b"a".to_vec())]),
            (b"\xff\xfa\x2c\x01\xff\xfa\x2c\x02\xff\xf0", vec![Told::Sub(44, vec![2])]),
            (b"\xff\xfa\xff\xff\x01\xff\xf0", vec![Told::Sub(255, vec![1])]),
        ];
        for (stream, expected) in cases {
            assert_eq!(told([stream]), expected, "{stream:x?}");
        }
    }

    #[test]
    fn a_subnegotiation_without_end_is_dropped_and_the_stream_goes_on() {
        let mut stream = vec![IAC, SB, option::COM_PORT];
        stream.resize(SUB_LIMIT + 4, b'x');
        assert_eq!(told([&stream[..]]), []);
        stream.extend_from_slice(b"\xff\xf0data\xff\xfa\x2c\x07\x00\xff\xf0");
        let expected = [Told::Data(b"data".to_vec()), Told::Sub(44, vec![7, 0])];
        assert_eq!(told([&stream[..]]), expected);
    }

    #[test]
    fn carriage_returns_are_padded_and_unpadded() {
        let text = b"a\rb\r\nc\r";
        let mut padded = Vec::new();
        for (place, byte) in text.iter().enumerate() {
            padded.push(*byte);
            padded.extend(LineEnds::padding(*byte, text.get(place + 1).copied()));
        }
        assert_eq!(padded, b"a\r\0b\r\nc\r\0");
        let mut ends = LineEnds::default();
        let (front, back) = padded.split_at_mut(2);
        let kept = ends.unpad(front);
        assert_eq!(&front[..kept], b"a\r");
        let kept = ends.unpad(back);
        assert_eq!(&back[..kept], b"b\r\nc\r");
    }

    /// Bytes of which many mean something to the parser.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![3 => Just(IAC), 1 => 239..=254_u8, 1 => Just(44_u8), 2 => any::<u8>()];
        proptest::collection::vec(byte, 0..200)
    }

    proptest! {
        #[test]
        fn where_a_stream_is_cut_does_not_matter(stream in stream()) {
            let whole = told([&stream[..]]);
            for place in 0..=stream.len() {
                let (front, back) = stream.split_at(place);
                prop_assert_eq!(&told([front, back]), &whole, "cut at {}", place);
            }
            prop_assert_eq!(&told(stream.chunks(1)), &whole);
        }

        #[test]
        fn what_is_written_is_read_again(data in proptest::collection::vec(any::<u8>(), 1..600),
                                         option in any::<u8>(),
                                         payload in proptest::collection::vec(any::<u8>(), 0..100)) {
            let mut out = Vec::new();
            escape(&data, &mut out);
            subnegotiation(option, &payload, &mut out);
            out.extend_from_slice(&Verb::Wont.bytes(option));
            let expected = [Told::Data(data), Told::Sub(option, payload), Told::Negotiate(Verb::Wont, option)];
            prop_assert_eq!(told([&out[..]]), expected);
        }

        #[test]
        fn the_first_place_is_found(bytes in proptest::collection::vec(0..4_u8, 0..900), wanted in 0..5_u8) {
            prop_assert_eq!(find(&bytes, wanted), bytes.iter().position(|byte| *byte == wanted));
        }
    }
}
