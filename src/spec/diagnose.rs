//! Messages that teach: what is wrong with a text, where, and what was probably meant. Where the right
//! text can be guessed it is shown whole, and it is checked that it means what it should.

use std::ops::Range;

use super::nearest::{listed, nearest};
use super::{Single, Spec, Word, network, parse, values};
use crate::endpoint::{self, Kind};
use crate::error::{Error, Result, excerpt, printable};
use crate::option::{Groups, Row};

/// How many names a hint offers.
const OFFERED: usize = 3;

/// The kind a spec's keyword names; an unknown keyword names the nearest ones.
pub fn kind_of(spec: &Spec, single: &Single) -> Result<&'static Kind> {
    let known = std::str::from_utf8(&single.keyword.bytes).ok().and_then(endpoint::find);
    known.ok_or_else(|| unknown_keyword(spec, single, endpoint::kinds()))
}

/// Checks how many parameters there are.
///
/// # Errors
/// The wrong number, with the usage; what the text should have been where an IPv6 address lacks its
/// brackets, or a colon its quotes.
pub fn check_params(kind: &Kind, spec: &Spec, single: &Single) -> Result<()> {
    let (least, most) = kind.params;
    let count = single.params.len();
    if (least..=most).contains(&count) {
        return Ok(());
    }
    let keyword = excerpt(&single.keyword.bytes);
    let usage = format!("{keyword}{}", kind.usage);
    let wanted = values::span(&(least..=most));
    let message = format!("{keyword}: wrong number of parameters ({count} instead of {wanted}): usage: {usage}");
    // Missing parameters are missing at the end; superfluous ones are pointed at.
    let place = match (single.params.get(most), single.params.last()) {
        (Some(from), Some(to)) => from.span.start..to.span.end,
        (None, Some(to)) => to.span.end..to.span.end,
        _ => single.keyword.span.clone(),
    };
    let error = Error::text(message).place(&spec.text, place);
    Err(match params_hint(kind, spec, single) {
        Some(hint) => error.hint(hint),
        None => error,
    })
}

fn params_hint(kind: &Kind, spec: &Spec, single: &Single) -> Option<String> {
    if single.params.len() <= kind.params.1 {
        return None;
    }
    if let Some(text) = bracketed(kind, spec, single) {
        return Some(format!("IPv6 addresses go in brackets: {text}"));
    }
    let written = ["<filename>", "<command-line>", "<shell-command>", "<string>", "<mqname>"];
    if kind.params.1 == 1 && written.iter().any(|name| kind.usage.contains(name)) {
        let last = single.params.last()?;
        let text = quoted(spec, single, single.params[0].span.start..last.span.end)?;
        return Some(format!("a colon inside a parameter must be quoted: {text}"));
    }
    match single.params.as_slice() {
        [.., port] if kind.usage == ":<port>" => {
            let keyword = excerpt(&single.keyword.bytes);
            let host = &spec.text[single.params[0].span.start..port.span.start - 1];
            let host = if host.contains(&b':') && !host.starts_with(b"[") {
                format!("[{}]", excerpt(host))
            } else {
                excerpt(host)
            };
            let port = excerpt(&spec.text[port.span.clone()]);
            Some(format!("the address to listen on is an option: {keyword}:{port},bind={host}"))
        }
        _ => None,
    }
}

/// The text with brackets around parameters that are an IPv6 address together, if the number of
/// parameters is right then.
fn bracketed(kind: &Kind, spec: &Spec, single: &Single) -> Option<String> {
    let (least, most) = kind.params;
    let params = &single.params;
    let superfluous = params.len().checked_sub(most)?;
    // The address has at most eight groups, so there are few ways to join. The last parameter is a port.
    for joined in superfluous + 1..=(params.len() - least + 1).min(9) {
        for first in (0..params.len().saturating_sub(joined)).rev() {
            let span = params[first].span.start..params[first + joined - 1].span.end;
            if network::is_version_six(&spec.text[span.clone()]) {
                return readable(&edited(&spec.text, &[(span.start, "["), (span.end, "]")]));
            }
        }
    }
    None
}

/// The most of a corrected text that is still a help to read, in bytes.
const READABLE: usize = 1000;

/// A corrected text, unless nobody would read it.
fn readable(text: &[u8]) -> Option<String> {
    (text.len() <= READABLE).then(|| printable(text))
}

/// The text with something inserted at offsets, which come in their order.
fn edited(text: &[u8], insertions: &[(usize, &str)]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(text.len() + 8);
    let mut done = 0;
    for (at, inserted) in insertions {
        whole.extend_from_slice(&text[done..*at]);
        whole.extend_from_slice(inserted.as_bytes());
        done = *at;
    }
    whole.extend_from_slice(&text[done..]);
    whole
}

/// The text with `range` as one quoted parameter, if there is a way to quote it.
fn quoted(spec: &Spec, single: &Single, range: Range<usize>) -> Option<String> {
    let inside = &spec.text[range.clone()];
    for quote in ["'", "\""] {
        if inside.contains(&quote.as_bytes()[0]) {
            continue;
        }
        let text = [&spec.text[..range.start], quote.as_bytes(), inside, quote.as_bytes(), &spec.text[range.end..]];
        let text = text.concat();
        let half = |spec: Spec| match spec.second {
            Some(second) if single.span.start > 0 => second,
            _ => spec.first,
        };
        if parse(&text).is_ok_and(|spec| half(spec).params.len() == 1) {
            return readable(&text);
        }
    }
    None
}

fn unknown_keyword(spec: &Spec, single: &Single, kinds: impl Iterator<Item = &'static Kind>) -> Error {
    let keyword = excerpt(&single.keyword.bytes);
    let error =
        Error::text(format!("unknown device/address \"{keyword}\"")).place(&spec.text, single.keyword.span.clone());
    if keyword.is_empty() {
        return error.hint("an address begins with a keyword, as in TCP:host:port; - is standard input and output");
    }
    if keyword.bytes().all(|byte| byte.is_ascii_digit()) {
        return error
            .hint(format!("descriptors above 9 are written FD:{keyword}, files in this directory ./{keyword}"));
    }
    let near = nearest(
        &keyword,
        kinds.flat_map(|kind| std::iter::once(kind.name).chain(kind.aliases.iter().copied())),
        OFFERED,
    );
    let lone = single.params.is_empty();
    let port =
        || single.params.len() == 1 && matches!(values::port(&single.params[0].bytes), Ok(values::PortText::Number(_)));
    error.hint(match (near.as_slice(), lone) {
        ([], true) => format!("a bare file name needs ./ in front: ./{keyword}"),
        ([], false) if port() => format!("for a connection write TCP:{keyword}:{}", excerpt(&single.params[0].bytes)),
        ([], false) => "an address begins with a keyword, as in TCP:host:port or OPEN:file".to_owned(),
        (near, true) => format!("did you mean {}? a bare file name needs ./ in front: ./{keyword}", listed(near)),
        (near, false) => format!("did you mean {}?", listed(near)),
    })
}

/// The error about an option nobody knows. `rows` are all there are.
pub(crate) fn unknown_option(
    spec: &Spec,
    single: &Single,
    index: usize,
    kind: &Kind,
    rows: &mut dyn Iterator<Item = &'static Row>,
) -> Error {
    let option = &single.options[index];
    let name = excerpt(&option.name.bytes);
    let place = if name.is_empty() { option.span() } else { option.name.span.clone() };
    let error = Error::text(format!("parseopts_table(): unknown option \"{name}\"")).place(&spec.text, place);
    let rows: Vec<&Row> = rows.collect();
    let known = |word: &Word| {
        let name = String::from_utf8_lossy(&word.bytes);
        rows.iter().flat_map(|row| spellings(row)).any(|spelling| spelling.eq_ignore_ascii_case(&name))
    };
    let fitting = kind.groups.and(Groups::EVERY_KIND);
    let suits = |row: &&Row| row.groups.intersects(fitting);
    let mut near = nearest_options(&name, &rows.iter().copied().filter(suits), OFFERED);
    if near.is_empty() {
        near = nearest_options(&name, &rows.iter().copied(), 1);
    }
    let guess = (!near.is_empty()).then(|| format!("did you mean {}?", listed(&near)));
    let command = command_with_comma(spec, single, kind, known)
        .map(|text| format!("a comma inside a command must be quoted: {text}"));
    match (guess, command) {
        // A slip in one word is likelier than a comma, unless that word could be no option.
        (Some(guess), Some(command)) if is_option_like(&name) => error.hint(format!("{guess} {command}")),
        (_, Some(command)) => error.hint(command),
        (Some(guess), None) => error.hint(guess),
        (None, None) => error,
    }
}

/// Names near to a wrong one, the nearest spelling of each option.
fn nearest_options<'a>(name: &str, rows: &(impl Iterator<Item = &'a Row> + Clone), most: usize) -> Vec<&'static str> {
    let spelled = |spelling: &str| rows.clone().position(|row| spellings(row).any(|other| other == spelling));
    let mut taken = Vec::new();
    let mut near = nearest(name, rows.clone().flat_map(spellings), usize::MAX);
    near.retain(|spelling| {
        let row = spelled(spelling);
        let new = !taken.contains(&row);
        taken.push(row);
        new
    });
    near.truncate(most);
    near
}

fn spellings(row: &Row) -> impl Iterator<Item = &'static str> {
    std::iter::once(row.name).chain(row.aliases.iter().copied())
}

fn is_option_like(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// The text with the command quoted up to the last of its options that is none.
fn command_with_comma(spec: &Spec, single: &Single, kind: &Kind, known: impl Fn(&Word) -> bool) -> Option<String> {
    let command = single.params.first().filter(|_| kind.usage.contains("command"))?;
    let last = single.options.iter().rev().find(|option| !known(&option.name))?;
    quoted(spec, single, command.span.start..last.span().end)
}

/// The error about an option that exists but not for this kind. `kinds` are all there are.
pub(crate) fn misplaced_option(
    spec: &Spec,
    single: &Single,
    index: usize,
    kind: &Kind,
    row: &Row,
    kinds: impl Iterator<Item = &'static Kind>,
) -> Error {
    let name = &single.options[index].name;
    let shown = excerpt(&name.bytes);
    let error = Error::text(format!("parseopts_table(): option \"{shown}\" not supported with this address type"))
        .place(&spec.text, name.span.clone());
    let mut takers: Vec<&str> =
        kinds.filter(|taker| taker.groups.intersects(row.groups)).map(|taker| taker.name).collect();
    // Relatives first: TCP-LISTEN is a better answer about TCP-CONNECT than SCTP-LISTEN.
    takers.sort_by_key(|taker| std::cmp::Reverse(common_prefix(taker, kind.name)));
    let (shown_takers, rest) = takers.split_at(takers.len().min(2 * OFFERED));
    match (shown_takers, rest.len()) {
        ([], _) => error,
        (takers, 0) => error.hint(format!("{shown} is an option of {}", takers.join(", "))),
        (takers, more) => error.hint(format!("{shown} is an option of {} and {more} more", takers.join(", "))),
    }
}

fn common_prefix(left: &str, right: &str) -> usize {
    left.bytes().zip(right.bytes()).take_while(|(left, right)| left == right).count()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
    use super::*;
    use crate::endpoint::Direction;
    use crate::option::{Apply, SocatPhase, ValueType};

    const fn kind(name: &'static str, usage: &'static str, params: (usize, usize), groups: Groups) -> Kind {
        let plan = |_: &endpoint::Request<'_>| Err(Error::text("a test never gets here"));
        Kind { name, aliases: &[], usage, params, groups, direction: Direction::Both, doc: "", plan }
    }

    static TCP: Kind = kind("TCP", ":<host>:<port>", (2, 2), Groups::TCP);
    static TCP_LISTEN: Kind = kind("TCP-LISTEN", ":<port>", (1, 1), Groups::TCP.and(Groups::LISTEN));
    static UNIX_LISTEN: Kind = kind("UNIX-LISTEN", ":<filename>", (1, 1), Groups::UNIX.and(Groups::LISTEN));
    static SYSTEM: Kind = kind("SYSTEM", ":<shell-command>", (1, 1), Groups::FORK);
    static SOCKS5: Kind =
        kind("SOCKS5", ":<socks-server>[:<socks-port>]:<target-host>:<target-port>", (3, 4), Groups::TCP);
    static PTY: Kind = kind("PTY", "", (0, 0), Groups::PTY);
    static ALL: [&Kind; 6] = [&TCP, &TCP_LISTEN, &UNIX_LISTEN, &SYSTEM, &SOCKS5, &PTY];

    const fn row(name: &'static str, aliases: &'static [&'static str], groups: Groups) -> Row {
        let value = ValueType::Bool;
        let apply = Apply::Unsupported("a row of the tests");
        Row { name, aliases, value, groups, phase: SocatPhase::Init, apply, doc: "" }
    }

    static ROWS: [Row; 6] = [
        row("backlog", &[], Groups::LISTEN),
        row("fork", &[], Groups::LISTEN),
        row("nodelay", &[], Groups::TCP),
        row("pty", &[], Groups::FORK),
        row("forever", &[], Groups::ALL),
        row("pty-wait-slave", &["wait-slave", "waitslave"], Groups::PTY),
    ];

    fn known(name: &str) -> &'static Kind {
        ALL.iter().find(|kind| kind.name.eq_ignore_ascii_case(name)).unwrap()
    }

    fn params_error(text: &str) -> (String, String) {
        let spec = parse(text.as_bytes()).unwrap();
        let kind = known(std::str::from_utf8(&spec.first.keyword.bytes).unwrap());
        let error = check_params(kind, &spec, &spec.first).unwrap_err();
        (error.message().to_owned(), error.advice().unwrap_or("").to_owned())
    }

    fn keyword_hint(text: &str) -> String {
        let spec = parse(text.as_bytes()).unwrap();
        let error = unknown_keyword(&spec, &spec.first, ALL.into_iter());
        assert!(error.message().starts_with("unknown device/address \""), "{error}");
        error.advice().unwrap_or("").to_owned()
    }

    fn option_hint(text: &str) -> String {
        let spec = parse(text.as_bytes()).unwrap();
        let kind = known(std::str::from_utf8(&spec.first.keyword.bytes).unwrap());
        let is_unknown = |name: &Word| !ROWS.iter().any(|row| row.name.as_bytes() == name.bytes);
        let index = spec.first.options.iter().position(|option| is_unknown(&option.name)).unwrap();
        let error = unknown_option(&spec, &spec.first, index, kind, &mut ROWS.iter());
        assert!(error.message().starts_with("parseopts_table(): unknown option \""), "{error}");
        error.advice().unwrap_or("").to_owned()
    }

    #[test]
    fn an_unknown_keyword_names_the_nearest() {
        assert_eq!(keyword_hint("TPC:a:1"), "did you mean TCP?");
        assert_eq!(keyword_hint("tcp-lisen:80"), "did you mean TCP-LISTEN?");
        assert_eq!(keyword_hint("pyt"), "did you mean PTY? a bare file name needs ./ in front: ./pyt");
        assert_eq!(keyword_hint("notes.txt"), "a bare file name needs ./ in front: ./notes.txt");
        assert_eq!(keyword_hint("localhost:80"), "for a connection write TCP:localhost:80");
        assert_eq!(keyword_hint("10"), "descriptors above 9 are written FD:10, files in this directory ./10");
        assert!(keyword_hint("").contains("begins with a keyword"));
        assert!(keyword_hint("x:y:z").contains("begins with a keyword"));
    }

    #[test]
    fn the_number_of_parameters_is_checked() {
        let (message, hint) = params_error("TCP:localhost");
        assert_eq!(message, "TCP: wrong number of parameters (1 instead of 2): usage: TCP:<host>:<port>");
        assert_eq!(hint, "");
        let (message, _) = params_error("socks5:a");
        assert!(message.starts_with("socks5: wrong number of parameters (1 instead of 3 to 4): usage: socks5:<"));
        let spec = parse(b"TCP:a:1").unwrap();
        assert!(check_params(&TCP, &spec, &spec.first).is_ok());
    }

    #[test]
    fn bare_ipv6_addresses_are_recognised() {
        let hint = |text| params_error(text).1;
        assert_eq!(hint("TCP:::1:80"), "IPv6 addresses go in brackets: TCP:[::1]:80");
        assert_eq!(hint("TCP:fe80::1:80,nodelay"), "IPv6 addresses go in brackets: TCP:[fe80::1]:80,nodelay");
        assert_eq!(hint("TCP:fe80::1%eth0:80"), "IPv6 addresses go in brackets: TCP:[fe80::1%eth0]:80");
        assert_eq!(hint("TCP::::80"), "IPv6 addresses go in brackets: TCP:[::]:80");
        assert_eq!(hint("TCP:1:2:3:4:5:6:7:8:80"), "IPv6 addresses go in brackets: TCP:[1:2:3:4:5:6:7:8]:80");
        assert_eq!(hint("SOCKS5:proxy:1080:::1:80"), "IPv6 addresses go in brackets: SOCKS5:proxy:1080:[::1]:80");
        assert_eq!(hint("TCP-LISTEN:::1:80"), "the address to listen on is an option: TCP-LISTEN:80,bind=[::1]");
        assert_eq!(
            hint("TCP-LISTEN:127.0.0.1:80"),
            "the address to listen on is an option: TCP-LISTEN:80,bind=127.0.0.1"
        );
        assert_eq!(hint("TCP:a:b:c"), "");
    }

    #[test]
    fn a_colon_in_a_command_is_recognised() {
        let (_, hint) = params_error("SYSTEM:echo a: b,pty");
        assert_eq!(hint, "a colon inside a parameter must be quoted: SYSTEM:'echo a: b',pty");
    }

    #[test]
    fn an_unknown_option_names_the_nearest_that_fit() {
        assert_eq!(option_hint("TCP-LISTEN:80,frok"), "did you mean fork?");
        assert_eq!(option_hint("TCP:a:80,backlo"), "did you mean backlog?");
        assert_eq!(option_hint("TCP:a:80,nodelya=1"), "did you mean nodelay?");
        assert_eq!(option_hint("PTY,wait_slave"), "did you mean wait-slave?");
        assert_eq!(option_hint("TCP:a:80,quiteunlikeany"), "");
    }

    #[test]
    fn a_comma_in_a_command_is_recognised() {
        let quoted = |text| format!("a comma inside a command must be quoted: {text}");
        assert_eq!(option_hint("SYSTEM:echo a,b"), quoted("SYSTEM:'echo a,b'"));
        assert_eq!(option_hint("SYSTEM:echo a, b c,pty"), quoted("SYSTEM:'echo a, b c',pty"));
        assert_eq!(option_hint("SYSTEM:echo 'a',b"), quoted("SYSTEM:\"echo 'a',b\""));
        assert_eq!(option_hint("SYSTEM:cut -d, -f2=x"), quoted("SYSTEM:'cut -d, -f2=x'"));
        assert_eq!(option_hint("SYSTEM:a,b!!PTY"), quoted("SYSTEM:'a,b'!!PTY"));
        assert_eq!(option_hint("SYSTEM:cat,ptyy"), format!("did you mean pty? {}", quoted("SYSTEM:'cat,ptyy'")));
    }

    #[test]
    fn a_misplaced_option_names_the_kinds_that_take_it() {
        let spec = parse(b"TCP:a:80,backlog=3").unwrap();
        let error = misplaced_option(&spec, &spec.first, 0, &TCP, &ROWS[0], ALL.into_iter());
        assert_eq!(error.message(), "parseopts_table(): option \"backlog\" not supported with this address type");
        assert_eq!(error.advice(), Some("backlog is an option of TCP-LISTEN, UNIX-LISTEN"));
        assert_eq!(error.location().unwrap().span, 9..16);
    }
}
