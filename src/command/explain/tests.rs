#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;

fn explained(line: &str) -> Explanation {
    let words: Vec<_> = line.split(' ').map(OsString::from).collect();
    Explanation::of(&words, &|_| None).unwrap()
}

fn names(line: &str) -> Vec<&'static str> {
    explained(line).risks.iter().map(|risk| risk.name).collect()
}

#[test]
fn a_shell_for_everybody_is_the_first_thing_said() {
    let risks = explained("TCP-LISTEN:8080,fork EXEC:cat").risks;
    assert_eq!((risks[0].name, risks[0].grade.word()), ("exposed", "danger"));
    assert!(names("TCP-LISTEN:8080,fork EXEC:cat").contains(&"listens-everywhere"));
    assert!(names("TCP-LISTEN:8080,fork EXEC:cat").contains(&"unlimited"));
}

#[test]
fn loopback_and_ranges_are_no_exposure() {
    for guarded in ["bind=127.0.0.1", "bind=localhost", "range=10.0.0.0/8"] {
        let found = names(&format!("TCP-LISTEN:8080,fork,{guarded} EXEC:cat"));
        assert!(!found.contains(&"exposed") && !found.contains(&"listens-everywhere"), "{guarded}: {found:?}");
    }
    assert!(names("TCP-LISTEN:8080,bind=0.0.0.0 STDIO").contains(&"listens-everywhere"));
    assert!(names("TCP-LISTEN:8080 STDIO").contains(&"single-use"));
}

#[test]
fn short_patience_is_pointed_out() {
    assert!(names("- TCP:localhost:80").contains(&"slow-answers"));
    assert!(!names("-t 10 - TCP:localhost:80").contains(&"slow-answers"));
    assert!(!names("-u - TCP:localhost:80").contains(&"slow-answers"));
    assert!(!names("- PIPE").contains(&"slow-answers"));
}

#[test]
fn sockets_for_all_users_are_pointed_out() {
    assert!(names("UNIX-LISTEN:/tmp/s PIPE").contains(&"socket-mode"));
    assert!(!names("UNIX-LISTEN:/tmp/s,mode=600 PIPE").contains(&"socket-mode"));
    assert!(names("ABSTRACT-LISTEN:s PIPE").contains(&"abstract-socket"));
}

#[test]
fn python_says_the_same() {
    let code = code::python(&explained("-T 60 TCP-LISTEN:8080,fork,so-rcvbuf=0x1000 UNIX-CONNECT:/run/x\\\"y"));
    assert!(code.starts_with("from ferrule import Relay, TcpListen, UnixConnect\n"), "{code}");
    assert!(code.contains("TcpListen(8080, fork=True, rcvbuf=4096, bind=\"0.0.0.0\")"), "{code}");
    assert!(code.contains(r#"UnixConnect("/run/x\"y")"#) && code.contains("idle_timeout=60"), "{code}");
    let code = code::python(&explained("-u -t 3 - STDIN!!STDOUT"));
    assert!(code.contains("half_close_timeout=3, direction=\"left-to-right\""), "{code}");
    assert!(code.contains("Relay(Stdio(), Stdout(), "), "{code}");
}

#[test]
fn both_halves_of_a_dual_address_are_told() {
    let explanation = explained("STDIN!!STDOUT PIPE");
    let kinds: Vec<_> = explanation.left.halves.iter().map(|half| half.kind.name).collect();
    assert_eq!(kinds, ["STDIN", "STDOUT"]);
    assert!(code::python(&explanation).contains("Dual(Stdin(), Stdout())"));
    let text = words::text(&explanation, false);
    assert!(text.contains("STDIN (read)") && text.contains("STDOUT (written)"), "{text}");
}

#[test]
fn colour_changes_nothing_but_the_colour() {
    let explanation = explained("TCP-LISTEN:8080,fork EXEC:cat");
    let (plain, coloured) = (words::text(&explanation, false), words::text(&explanation, true));
    assert!(!plain.contains('\x1b') && coloured.contains('\x1b'));
    let mut stripped = String::new();
    for part in coloured.split('\x1b') {
        stripped.push_str(part.strip_prefix('[').and_then(|part| part.split_once('m')).map_or(part, |(_, rest)| rest));
    }
    assert_eq!(stripped, plain);
    assert!(plain.lines().all(|line| line.chars().count() <= 100), "{plain}");
}

#[test]
fn the_picture_shows_the_way() {
    let picture = |line: &str| words::diagram(&explained(line));
    assert_eq!(picture("- PIPE"), "  +---+        +------+\n  | - | <====> | PIPE |\n  +---+        +------+");
    assert!(picture("-u - PIPE").contains(" =====> "));
    assert!(picture("-U - PIPE").contains(" <===== "));
}

#[test]
fn json_holds_everything() {
    let words: Vec<_> = ["-T", "60", "TCP-LISTEN:8080,fork", "-"].map(OsString::from).into();
    let json = explain(&words, true, false).unwrap();
    for part in [
        "\"kind\":\"TCP-LISTEN\"",
        "\"parameters\":{\"port\":\"8080\"}",
        "\"name\":\"fork\",\"value\":null",
        "\"direction\":\"both\",\"half_close_timeout\":0.5,\"idle_timeout\":60",
        "\"risks\":[{\"name\":",
        "\"python\":\"from ferrule import Relay, Stdio, TcpListen",
    ] {
        assert!(json.contains(part), "{part} in {json}");
    }
}

#[test]
fn mistakes_are_errors() {
    let error =
        |line: &[&str]| explain(&line.iter().map(OsString::from).collect::<Vec<_>>(), false, false).unwrap_err();
    assert!(error(&["-"]).message().starts_with("exactly 2 addresses required"));
    assert!(error(&["-vx", "-", "-"]).message().starts_with("Do not merge"));
    assert!(error(&["-V"]).message().contains("nothing to explain"));
    assert!(error(&["NO-SUCH-KIND", "-"]).message().contains("unknown device/address"));
}

#[test]
fn parameters_have_the_names_of_the_usage() {
    static KIND: Kind = Kind {
        name: "X",
        aliases: &[],
        usage: ":<socks-server>[:<socks-port>]:<host>:<port>",
        params: (3, 4),
        groups: Groups::NONE,
        direction: Direction::Both,
        doc: "",
        plan: |_| Err(Error::text("never planned")),
    };
    assert_eq!(parameter_names(&KIND, 4), ["socks-server", "socks-port", "host", "port"]);
    assert_eq!(parameter_names(&KIND, 3), ["socks-server", "host", "port"]);
}
