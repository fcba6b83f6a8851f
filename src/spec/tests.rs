//! The language as a whole: what texts mean, and that printing them changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::values::split_command;
use super::*;

/// The address written out: keyword, parameters and options, each in angle brackets.
fn words(single: &Single) -> String {
    let show = |word: &Word| format!("<{}>", String::from_utf8_lossy(&word.bytes));
    let params = single.params.iter().map(|word| format!(":{}", show(word)));
    let options = single.options.iter().map(|option| {
        format!(
            ",{}{}",
            show(&option.name),
            option.value.as_ref().map_or(String::new(), |value| format!("={}", show(value)))
        )
    });
    std::iter::once(show(&single.keyword)).chain(params).chain(options).collect()
}

fn read(text: &str) -> String {
    let spec = parse(text.as_bytes()).unwrap();
    let second = spec.second.as_ref().map_or(String::new(), |second| format!("!!{}", words(second)));
    words(&spec.first) + &second
}

#[test]
fn words_are_separated() {
    for (text, meaning) in [
        ("", "<>"),
        ("PTY", "<PTY>"),
        ("TCP:a:80", "<TCP>:<a>:<80>"),
        ("OPEN:", "<OPEN>:<>"),
        ("OPEN::", "<OPEN>:<>:<>"),
        ("TCP:a:80,fork", "<TCP>:<a>:<80>,<fork>"),
        ("TCP:a:80,bind=b:1=2,x=", "<TCP>:<a>:<80>,<bind>=<b:1=2>,<x>=<>"),
        ("OPEN:a=b", "<OPEN>:<a=b>"),
        ("OPEN:a!b!", "<OPEN>:<a!b!>"),
        ("PTY,,,raw,", "<PTY>,<raw>"),
        ("PTY,=3", "<PTY>,<>=<3>"),
        ("PTY,a:b", "<PTY>,<a:b>"),
        ("PTY, a", "<PTY>,< a>"),
        ("a!!b", "<a>!!<b>"),
        ("a!!!b", "<a>!!<!b>"),
        ("a,b=c!!d:e,f", "<a>,<b>=<c>!!<d>:<e>,<f>"),
        ("!!", "<>!!<>"),
    ] {
        assert_eq!(read(text), meaning, "{text}");
    }
}

#[test]
fn short_forms_stand_for_keywords() {
    for (text, meaning) in [
        ("-", "<STDIO>"),
        ("-,raw", "<STDIO>,<raw>"),
        ("-:x", "<STDIO>:<x>"),
        ("\"-\"", "<STDIO>"),
        ("0", "<FD>:<0>"),
        ("9,raw", "<FD>:<9>,<raw>"),
        ("3:x", "<FD>:<3>:<x>"),
        ("10", "<10>"),
        ("-x", "<-x>"),
        ("./f", "<GOPEN>:<./f>"),
        ("/a:b,c", "<GOPEN>:</a>:<b>,<c>"),
        ("'/a,b'", "<GOPEN>:</a,b>"),
        ("a'/b'", "<GOPEN>:<a/b>"),
        ("a:/b", "<a>:</b>"),
        ("a,/b", "<a>,</b>"),
        ("0!!1", "<FD>:<0>!!<FD>:<1>"),
        ("/a!!/b", "<GOPEN>:</a>!!<GOPEN>:</b>"),
        ("-!!-", "<STDIO>!!<STDIO>"),
    ] {
        assert_eq!(read(text), meaning, "{text}");
    }
}

#[test]
fn quotes_go_and_brackets_stay() {
    for (text, meaning) in [
        (r#"O:a"b:c"d"#, "<O>:<ab:cd>"),
        (r"O:a'b,c'd", "<O>:<ab,cd>"),
        (r#"O:'a"b'"#, r#"<O>:<a"b>"#),
        (r"O:'a\'b'", "<O>:<a'b>"),
        (r#"O:"a\"b\q""#, r#"<O>:<a"bq>"#),
        (r"O:'a!!b'", "<O>:<a!!b>"),
        (r"O:a\!!b", "<O>:<a!!b>"),
        (r"O:a\:b\,c\=d\\", r"<O>:<a:b,c=d\>"),
        (r"O:\x41\101", "<O>:<x41101>"),
        (r"O:\0\a\b\f\n\r\t\v", "<O>:<\0\x07\x08\x0c\n\r\t\x0b>"),
        (r"O:[::1]:80", "<O>:<[::1]>:<80>"),
        ("O:(a,b(c),d),e", "<O>:<(a,b(c),d)>,<e>"),
        ("O:{'}',:b}", "<O>:<{'}',:b}>"),
        ("O:(b]c),d", "<O>:<(b]c)>,<d>"),
        ("O:[b'c,]'d],e", "<O>:<[b'c,]'d]>,<e>"),
        (r"O:(\),:b)", "<O>:<(),:b)>"),
        (r#"O:(a"b)c"d,e),f"#, r#"<O>:<(a"b)c"d,e)>,<f>"#),
        ("O:a]b", "<O>:<a]b>"),
        (r#"O:"a 'b"c' d""#, r#"<O>:<a 'b"c' d>"#),
        (r#"O:"(x "y")""#, r#"<O>:<(x "y")>"#),
        (r#"O:"a)b""#, "<O>:<a)b>"),
        ("O:'(a',b", "<O>:<(a>,<b>"),
        (r#"O,"na=me"=v"#, "<O>,<na=me>=<v>"),
        (r#"op"e"n:x"#, "<open>:<x>"),
        ("O,a='b,c'd,e", "<O>,<a>=<b,cd>,<e>"),
    ] {
        assert_eq!(read(text), meaning, "{text}");
    }
}

#[test]
fn an_open_bracket_reaches_to_the_end() {
    assert_eq!(read("O:a[b,c"), "<O>:<a[b,c>");
    assert_eq!(read("O:(\"a)"), "<O>:<(\"a)>");
    assert_eq!(read("O:(it's"), "<O>:<(it's>");
}

#[test]
fn unbalanced_texts_are_refused_at_their_place() {
    for (text, span) in [
        ("OPEN:\"a", 5..6),
        ("OPEN:'a,b", 5..6),
        ("OPEN:a,b=c'", 10..11),
        ("SYSTEM:\"echo it's\"", 15..16),
        ("O:\"(a\",b", 5..6),
        ("O:x\\", 3..4),
        ("a!!b!!c", 4..7),
    ] {
        let error = parse(text.as_bytes()).unwrap_err();
        assert!(error.message().starts_with("syntax error"), "{text}: {error}");
        assert_eq!(error.location().unwrap().span, span, "{text}");
        assert!(error.advice().is_some());
    }
}

#[test]
fn spans_point_into_the_text() {
    let text = b"TCP:'a':80,bind=\"b\"!!-,raw";
    let spec = parse(text).unwrap();
    let at = |span: &Span| std::str::from_utf8(&text[span.clone()]).unwrap();
    assert_eq!(at(&spec.first.span), "TCP:'a':80,bind=\"b\"");
    assert_eq!(at(&spec.first.keyword.span), "TCP");
    assert_eq!(at(&spec.first.params[0].span), "'a'");
    assert_eq!(at(&spec.first.options[0].span()), "bind=\"b\"");
    let second = spec.second.unwrap();
    assert_eq!(at(&second.span), "-,raw");
    assert_eq!(at(&second.keyword.span), "-");
    assert_eq!(at(&second.options[0].span()), "raw");
}

#[test]
fn words_print_as_they_need_to() {
    for (bytes, text) in [
        ("", "''"),
        ("a", "a"),
        ("/a/b-c_d.e", "/a/b-c_d.e"),
        ("[::1]", "[::1]"),
        ("[::1", "'[::1'"),
        ("a b", "'a b'"),
        ("a:b", "'a:b'"),
        ("a!!b", "'a!!b'"),
        ("a!", "'a!'"),
        ("it's", r"'it\'s'"),
        ("sh -c 'exit 3'", "\"sh -c 'exit 3'\""),
        ("a\\b", r"'a\\b'"),
        ("a\nb\0", r"'a\nb\0'"),
        ("\x1b", "'\x1b'"),
    ] {
        assert_eq!(String::from_utf8(quote(bytes.as_bytes())).unwrap(), text);
    }
}

#[test]
fn specs_print_in_their_canonical_form() {
    for (text, printed) in [
        ("-", "STDIO"),
        ("0", "FD:0"),
        ("./x", "GOPEN:./x"),
        ("TCP:\"a\":80,,fork,bind=[::1]:1", "TCP:a:80,fork,bind=[::1]:1"),
        ("SYSTEM:'echo a,b'!!-", "SYSTEM:'echo a,b'!!STDIO"),
        ("O,''=x,y=", "O,''=x,y="),
        ("", ""),
    ] {
        assert_eq!(parse(text.as_bytes()).unwrap().to_string(), printed);
    }
}

#[test]
fn commands_are_split_at_spaces() {
    let split = |text: &str| -> Vec<String> {
        split_command(text.as_bytes()).unwrap().into_iter().map(|word| String::from_utf8(word).unwrap()).collect()
    };
    assert_eq!(split("a b"), ["a", "b"]);
    assert_eq!(split("  a   b  "), ["a", "b"]);
    assert_eq!(split("a 'b c' \"d e\""), ["a", "b c", "d e"]);
    assert_eq!(split("a (b c) {d e}f"), ["a", "(b c)", "{d e}f"]);
    assert_eq!(split("a [b 'c d']"), ["a", "[b 'c d']"]);
    assert_eq!(split(r"a\ b c\nd"), ["a b", "c\nd"]);
    assert_eq!(split("'' a"), ["", "a"]);
    assert_eq!(split("a\tb:c,d!!e"), ["a\tb:c,d!!e"]);
    assert!(split("  ").is_empty());
    assert!(split_command(b"echo it's").is_err());
    assert!(split_command(b"echo \\").is_err());
}

#[test]
fn long_and_deep_texts_take_linear_time() {
    let million = 1 << 20;
    let texts = [
        b"a".repeat(million),
        b"(".repeat(million),
        b"([{".repeat(million / 3),
        [b"O:".to_vec(), b"[".repeat(10_000), b"]".repeat(10_000)].concat(),
        b"\"'".repeat(million / 2),
        b":".repeat(million),
        b",".repeat(million),
        b",a=b".repeat(million / 4),
        b"\\n".repeat(million / 2),
        b"!".repeat(million),
    ];
    for text in texts {
        let start = Instant::now();
        let outcome = parse(&text);
        // A hundred times what it takes on a slow machine without optimisation; quadratic would be hours.
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", &text[..8]);
        if let Ok(spec) = outcome {
            assert_eq!(parse(&spec.to_bytes()).unwrap(), spec);
            let error = diagnose::kind_of(&spec, &spec.first).unwrap_err();
            assert!(error.message().len() + error.detail().len() < 2000);
        }
    }
}

/// Texts made of what the grammar is made of.
fn texts() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            ":", ",", "=", "!!", "!", "'", "\"", "\\", "(", ")", "[", "]", "{", "}", " ", "-", "/", "0", "TCP", "a", "b", "\n",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_quoted_word_is_one_word(bytes: Vec<u8>, near in texts()) {
        for bytes in [bytes, near] {
            let word = quote(&bytes);
            let text = [b"O:x:", word.as_slice(), b":y,", &word, b"=", &word, b",z!!O:", &word].concat();
            let spec = parse(&text).unwrap();
            prop_assert_eq!(&spec.first.params[1].bytes, &bytes);
            prop_assert_eq!(spec.first.params.len(), 3);
            prop_assert_eq!(&spec.first.options[0].name.bytes, &bytes);
            prop_assert_eq!(&spec.first.options[0].value.as_ref().unwrap().bytes, &bytes);
            prop_assert_eq!(&spec.first.options[1].name.bytes, b"z");
            prop_assert_eq!(&spec.second.unwrap().params[0].bytes, &bytes);
        }
    }

    #[test]
    fn a_quoted_command_keeps_its_words(words in prop::collection::vec(texts(), 0..5)) {
        let command = words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(&b' ');
        prop_assert_eq!(&split_command(&command).unwrap(), &words);
        let text = [b"EXEC:".to_vec(), quote(&command)].concat();
        prop_assert_eq!(&parse(&text).unwrap().first.params[0].bytes, &command);
    }

    #[test]
    fn a_printed_spec_is_the_same(text in texts()) {
        if let Ok(spec) = parse(&text) {
            let printed = spec.to_bytes();
            let again = parse(&printed);
            prop_assert_eq!(again.as_ref().ok(), Some(&spec), "{}", spec);
            prop_assert_eq!(again.unwrap().to_bytes(), printed);
        }
    }

    #[test]
    fn no_text_panics_and_every_error_has_a_place(text in texts()) {
        if let Err(error) = parse(&text) {
            let place = error.location().unwrap();
            prop_assert!(place.span.start < place.span.end && place.span.end <= text.len());
            prop_assert!(error.detail().contains('^'));
        }
        let _ = split_command(&text).is_ok();
    }
}
