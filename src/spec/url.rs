//! The URLs of pyserial that name something on the network, as addresses: `rfc2217://host:port` and
//! `socket://host:port` (pyserial's documentation, "URL Handlers").

use super::{Fault, OptionSpec, Single, Word};

/// A scheme, and the keyword that means the same.
const SCHEMES: [(&[u8], &str); 2] = [(b"rfc2217", "RFC2217"), (b"socket", "TCP")];
/// What may stand behind the `?`, and the option that means the same; none where a client always does it.
const QUERIES: [(&[u8], Option<&str>); 3] =
    [(b"timeout", Some("connect-timeout")), (b"ign_set_control", None), (b"poll_modem", None)];

/// Puts the address a URL stands for in its place; anything else stays as it is.
pub(super) fn resolve(single: &mut Single) -> Result<(), Fault> {
    let known = SCHEMES.iter().find(|(scheme, _)| single.keyword.bytes.eq_ignore_ascii_case(scheme));
    let Some((_, keyword)) = known else { return Ok(()) };
    if !single.params.first().is_some_and(|host| host.bytes.starts_with(b"//")) {
        return Ok(());
    }
    single.keyword.bytes = keyword.as_bytes().to_vec();
    single.params[0] = part(&single.params[0], 2, usize::MAX);
    let Some(last) = single.params.last_mut() else { return Ok(()) };
    let Some(query) = last.bytes.iter().position(|byte| *byte == b'?') else { return Ok(()) };
    let asked = part(last, query + 1, usize::MAX);
    // pyserial's own examples end the authority with a slash now and then.
    let end = if query > 0 && last.bytes[query - 1] == b'/' { query - 1 } else { query };
    *last = part(last, 0, end);
    let options = read(&asked)?;
    single.options.splice(0..0, options);
    Ok(())
}

/// The options a query asks for.
fn read(query: &Word) -> Result<Vec<OptionSpec>, Fault> {
    let mut options = Vec::new();
    let mut at = 0;
    for pair in query.bytes.split(|byte| *byte == b'&') {
        let (from, to) = (at, at + pair.len());
        at = to + 1;
        let equals = pair.iter().position(|byte| *byte == b'=').map_or(to, |equals| from + equals);
        let name = part(query, from, equals);
        let Some((_, option)) = QUERIES.iter().find(|(known, _)| *known == name.bytes) else {
            let hint = "of pyserial's, timeout, ign_set_control and poll_modem are known; other options follow a comma";
            let text = String::from_utf8_lossy(&name.bytes).into_owned();
            return Err(Fault::new(format!("unknown option \"{}\" of a URL", text.escape_debug()))
                .bytes(name.span)
                .hint(hint));
        };
        if let Some(option) = option {
            let value = (equals < to).then(|| part(query, equals + 1, to));
            options.push(OptionSpec { name: Word { bytes: option.as_bytes().to_vec(), ..name }, value });
        }
    }
    Ok(options)
}

/// The bytes of a word from one place to another, with their place in the text where no quotes are between.
fn part(word: &Word, from: usize, to: usize) -> Word {
    let to = to.min(word.bytes.len());
    let plain = word.span.len() == word.bytes.len();
    let span = if plain { word.span.start + from..word.span.start + to } else { word.span.clone() };
    Word { bytes: word.bytes[from..to].to_vec(), span }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use crate::spec::parse;

    #[test]
    fn urls_are_the_addresses_they_mean() {
        for (url, address) in [
            ("rfc2217://ser:4000", "RFC2217:ser:4000"),
            ("RFC2217://[::1]:4000,baud=9600", "RFC2217:[::1]:4000,baud=9600"),
            ("rfc2217://ser:4000?timeout=2.5&ign_set_control", "RFC2217:ser:4000,connect-timeout=2.5"),
            ("rfc2217://ser:4000/?poll_modem,dtr=off", "RFC2217:ser:4000,dtr=off"),
            ("socket://ser:7000", "TCP:ser:7000"),
            ("socket:ser:7000", "socket:ser:7000"),
            ("rfc2217:ser:7000", "rfc2217:ser:7000"),
        ] {
            assert_eq!(parse(url.as_bytes()).unwrap(), parse(address.as_bytes()).unwrap(), "{url}");
        }
    }

    #[test]
    fn a_query_nobody_knows_is_pointed_at() {
        let text = "rfc2217://ser:4000?timeout=2&loging=debug";
        let error = parse(text.as_bytes()).unwrap_err();
        assert_eq!(&text[error.location().unwrap().span.clone()], "loging");
        assert!(error.message().contains("unknown option \"loging\" of a URL"), "{}", error.message());
    }

    #[test]
    fn places_are_those_of_the_text() {
        let text = "socket://ser:70";
        let spec = parse(text.as_bytes()).unwrap();
        let places: Vec<&str> = spec.first.params.iter().map(|word| &text[word.span.clone()]).collect();
        assert_eq!(places, ["ser", "70"]);
    }
}
