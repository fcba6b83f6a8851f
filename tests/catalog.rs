//! The option table against the facts in `data/options.tsv`, and every row against a real kernel.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use ferrule::endpoint::{Direction, Kind};
use ferrule::option::{
    Apply, Groups, IoctlArgument, Options, Principal, Row, Settings, SocatPhase, Strictness, Value, ValueType, catalog,
    find, rows,
};
use ferrule::spec;
use ferrule::sys::sockopt::{get_bytes, get_int};
use ferrule::sys::terminal::{Termios, Word};

/// One line of the facts.
struct Fact {
    name: &'static str,
    aliases: Vec<&'static str>,
    value: &'static str,
    groups: &'static str,
    phase: &'static str,
}

fn facts() -> Vec<Fact> {
    let lines = include_str!("data/options.tsv").lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let columns: Vec<_> = line.split('\t').collect();
            let [name, aliases, value, groups, phase] = columns[..] else { panic!("line {line:?}") };
            let aliases = if aliases == "-" { Vec::new() } else { aliases.split(',').collect() };
            Fact { name, aliases, value, groups, phase }
        })
        .collect()
}

fn row(name: &str) -> &'static Row {
    rows().find(|row| row.name == name).unwrap_or_else(|| panic!("no row {name}"))
}

/// Values of a type, as the reader gives them.
fn samples(value: ValueType) -> Vec<Value> {
    use ValueType as Type;
    match value {
        Type::Flag => vec![Value::None],
        Type::Bool | Type::Switch => vec![Value::Bool(true), Value::Bool(false)],
        Type::IntOrEmpty => vec![Value::Int(1), Value::Int(0), Value::None],
        Type::Timeval | Type::Timespec => vec![Value::Time(Duration::from_millis(1500)), Value::Time(Duration::ZERO)],
        // The words are each right for some option.
        Type::Text => ["4", "lo", "none", "null", "1", "kick", "lease"].map(|word| Value::Text(word.into())).to_vec(),
        Type::TextOrNone => vec![Value::Text(b"name".to_vec()), Value::None],
        Type::Mode => vec![Value::Mode(0o640)],
        Type::User | Type::Group => vec![Value::Principal(Principal::Id(7))],
        Type::IntPair => vec![Value::Pair(100, 30)],
        Type::IntUnsignedLong => vec![Value::Pair(0, 0x500), Value::Pair(3, 0)],
        Type::Data => vec![Value::Data(vec![1, 1, 1, 1])],
        Type::SocketOptionData | Type::SocketOptionInt | Type::SocketOptionText => {
            vec![Value::SocketOption(libc::SOL_SOCKET, libc::SO_PRIORITY, 3_i32.to_ne_bytes().to_vec())]
        }
        Type::IoctlVoid => vec![Value::Ioctl(0x5420, IoctlArgument::None)],
        Type::IoctlInt => vec![Value::Ioctl(libc::FIONREAD, IoctlArgument::Int(0))],
        Type::IoctlIntPointer => vec![Value::Ioctl(libc::FIONREAD, IoctlArgument::IntPointer(0))],
        Type::IoctlData | Type::IoctlText => vec![Value::Ioctl(libc::FIONREAD, IoctlArgument::Data(vec![0]))],
        Type::Ipv4 | Type::Ipv4Port => vec![Value::Ipv4(Ipv4Addr::LOCALHOST, None)],
        Type::Membership => vec![parts(&["239.255.9.1", "127.0.0.1"])],
        Type::SourceMembership => vec![parts(&["232.1.9.1", "127.0.0.1", "127.0.0.1"])],
        Type::Membership6 => vec![parts(&["ff02::9:1", "lo"])],
        Type::SourceMembership6 => vec![parts(&["ff32::9:1", "lo", "::1"])],
        _ => vec![Value::Int(0), Value::Int(1), Value::Int(7), Value::Int(200)],
    }
}

fn parts(words: &[&str]) -> Value {
    Value::Parts(words.iter().map(|&word| word.to_owned()).collect())
}

#[test]
fn every_option_is_there_under_all_its_names() {
    let facts = facts();
    assert!(facts.len() > 300, "{} facts", facts.len());
    for fact in facts {
        let row = row(fact.name);
        assert_eq!(row.aliases, fact.aliases, "aliases of {}", fact.name);
        assert_eq!(format!("{:?}", row.value), fact.value, "type of {}", fact.name);
        let groups = if fact.groups == "ALL" { "(all)" } else { fact.groups };
        assert_eq!(row.groups.to_string(), groups, "groups of {}", fact.name);
        let unsupported = matches!(row.apply, Apply::Unsupported(_));
        assert_eq!(unsupported, fact.phase == "-", "support of {}", fact.name);
        let phase = if unsupported { SocatPhase::Specific.name() } else { fact.phase.to_owned() };
        assert_eq!(row.phase.name(), phase, "phase of {}", fact.name);
    }
}

#[test]
fn every_spelling_is_found_in_any_case() {
    for row in rows() {
        for spelling in row.aliases.iter().chain([&row.name]) {
            for text in [spelling.to_lowercase(), spelling.to_uppercase()] {
                let found = find(&text, row.groups).unwrap_or_else(|| panic!("no {text}"));
                assert_eq!(found.name, row.name, "{text}");
            }
        }
    }
}

#[test]
fn no_spelling_means_two_things() {
    let spellings = |row: &'static Row| row.aliases.iter().chain([&row.name]).copied();
    let all: Vec<_> = rows().flat_map(|row| spellings(row).map(move |spelling| (spelling, row))).collect();
    for (index, (spelling, row)) in all.iter().enumerate() {
        for (other, second) in &all[index + 1..] {
            let twice = spelling == other && row.groups.intersects(second.groups);
            assert!(!twice, "{spelling} is {} and {}", row.name, second.name);
        }
    }
}

#[test]
fn every_row_is_explained() {
    for row in rows() {
        let doc = row.doc.trim();
        assert!(doc.len() > 8 && doc.ends_with('.'), "{}: {doc:?}", row.name);
        if let Apply::Unsupported(why) = row.apply {
            assert!(!why.is_empty() && !why.ends_with('.'), "{}: {why:?}", row.name);
        }
    }
}

#[test]
fn no_plan_row_is_without_effect() {
    for row in rows() {
        let Apply::Plan(apply) = row.apply else { continue };
        let before = format!("{:?}", Settings::default());
        let changed = samples(row.value).iter().any(|value| {
            let mut settings = Settings::default();
            let _ = apply(&mut settings, value);
            format!("{settings:?}") != before
        });
        assert!(changed, "{} changes nothing", row.name);
    }
}

#[test]
fn plan_rows_refuse_what_cannot_be() {
    let refused = |name: &str, value: Value| {
        let Apply::Plan(apply) = row(name).apply else { panic!("{name} is no plan row") };
        apply(&mut Settings::default(), &value).expect_err(name)
    };
    assert!(refused("max-children", Value::Int(-1)).contains("out of range"));
    assert!(refused("escape", Value::Int(256)).contains("out of range"));
    assert!(refused("sourceport", Value::Int(65536)).contains("out of range"));
    assert!(refused("protocol-family", Value::Text(b"ip5".to_vec())).contains("ip5"));
    assert!(refused("tiocswinsz", Value::Pair(80, 65_536)).contains("65535"));
    assert!(refused("netns", Value::Text(b"../x".to_vec())).contains("namespace"));
    assert!(refused("ip-options", Value::Data(vec![1; 41])).contains("41"));
    assert!(refused("ip-add-membership", parts(&["localhost"])).contains("localhost"));
}

#[test]
fn plan_rows_say_what_was_written() {
    let settings = |given: &[(&str, Value)]| {
        let mut settings = Settings::default();
        for (name, value) in given {
            let Apply::Plan(apply) = row(name).apply else { panic!("{name} is no plan row") };
            apply(&mut settings, value).unwrap();
        }
        settings
    };
    assert_eq!(settings(&[]).socket.reuseaddr, None);
    assert_eq!(settings(&[("so-reuseaddr", Value::None)]).socket.reuseaddr, Some(None));
    assert_eq!(settings(&[("so-reuseaddr", Value::Int(0))]).socket.reuseaddr, Some(Some(false)));
    assert_eq!(settings(&[("protocol-family", Value::Text(b"IPv6".to_vec()))]).socket.family, Some(libc::AF_INET6));
    assert_eq!(settings(&[("readbytes", Value::Int(0))]).flow.read_bytes, None);
    assert_eq!(settings(&[("accept-timeout", Value::Time(Duration::ZERO))]).life.accept_timeout, None);
    assert_eq!(settings(&[("sigint", Value::None), ("sigint", Value::None)]).program.pass_signals, [libc::SIGINT]);
    let tables = settings(&[
        ("tcpwrap-hosts-deny-table", Value::Text(b"/d".to_vec())),
        ("tcpwrap-etc", Value::Text(b"/e".to_vec())),
    ]);
    assert_eq!(tables.access.hosts_deny.unwrap().to_str(), Some("/d"));
    assert_eq!(tables.access.hosts_allow.unwrap().to_str(), Some("/e/hosts.allow"));
    let flags = settings(&[("ai-all", Value::Bool(true)), ("ai-all", Value::Bool(false))]).socket.resolver_flags;
    assert_eq!(flags, (0, libc::AI_ALL));
}

#[test]
fn every_open_flag_has_a_bit() {
    for row in rows() {
        if let Apply::OpenFlag(bit) = row.apply {
            // O_LARGEFILE is none where every file may be large.
            assert!(bit != 0 || row.name == "o-largefile", "{}", row.name);
        }
    }
}

/// Either success or the kernel's own refusal.
fn judge(row: &Row, result: io::Result<()>) {
    if let Err(error) = result {
        assert!(error.raw_os_error().is_some(), "{}: {error}", row.name);
    }
}

#[test]
fn every_socket_row_asks_the_kernel() {
    for row in rows() {
        let Apply::Socket(_, apply) = row.apply else { continue };
        for value in samples(row.value) {
            let number_in_byte = !matches!((row.value, &value), (ValueType::Byte, Value::Int(number)) if *number > 255);
            assert!(number_in_byte);
            let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            let udp_v6 = UdpSocket::bind("[::1]:0").unwrap();
            let (unix, _peer) = UnixStream::pair().unwrap();
            for fd in [tcp.as_fd(), udp.as_fd(), udp_v6.as_fd(), unix.as_fd()] {
                judge(row, apply(fd, &value));
            }
        }
    }
}

/// Applies a socket row.
#[expect(clippy::needless_pass_by_value, reason = "the calls read better")]
fn set(fd: BorrowedFd<'_>, name: &str, value: Value) {
    let Apply::Socket(_, apply) = row(name).apply else { panic!("{name} is no socket row") };
    apply(fd, &value).unwrap_or_else(|error| panic!("{name}: {error}"));
}

#[test]
fn the_kernel_has_what_was_set() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let expect = |name: &str, value: i32, level: i32, option: i32, read: i32| {
        set(tcp.as_fd(), name, Value::Int(value.into()));
        assert_eq!(get_int(tcp.as_fd(), level, option).unwrap(), read, "{name}");
    };
    let (socket, tcp_level, ip) = (libc::SOL_SOCKET, libc::IPPROTO_TCP, libc::IPPROTO_IP);
    expect("so-keepalive", 1, socket, libc::SO_KEEPALIVE, 1);
    expect("so-rcvbuf", 20_000, socket, libc::SO_RCVBUF, 40_000);
    expect("so-sndbuf-late", 30_000, socket, libc::SO_SNDBUF, 60_000);
    expect("so-reuseport", 1, socket, libc::SO_REUSEPORT, 1);
    expect("so-priority", 5, socket, libc::SO_PRIORITY, 5);
    expect("so-oobinline", 1, socket, libc::SO_OOBINLINE, 1);
    expect("tcp-nodelay", 1, tcp_level, libc::TCP_NODELAY, 1);
    expect("tcp-keepidle", 33, tcp_level, libc::TCP_KEEPIDLE, 33);
    expect("tcp-keepintvl", 44, tcp_level, libc::TCP_KEEPINTVL, 44);
    expect("tcp-keepcnt", 5, tcp_level, libc::TCP_KEEPCNT, 5);
    expect("tcp-syncnt", 4, tcp_level, libc::TCP_SYNCNT, 4);
    expect("tcp-linger2", 9, tcp_level, libc::TCP_LINGER2, 9);
    expect("ip-ttl", 42, ip, libc::IP_TTL, 42);
    expect("ip-tos", 16, ip, libc::IP_TOS, 16);
    expect("ip-freebind", 1, ip, libc::IP_FREEBIND, 1);
    expect("ip-mtu-discover", 2, ip, libc::IP_MTU_DISCOVER, 2);
}

#[test]
fn structures_arrive_whole() {
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let fd = udp.as_fd();
    set(fd, "so-linger", Value::Int(12));
    let linger = socket2::SockRef::from(&udp).linger().unwrap();
    assert_eq!(linger, Some(Duration::from_secs(12)));
    set(fd, "so-rcvtimeo", Value::Time(Duration::from_millis(1500)));
    assert_eq!(udp.read_timeout().unwrap(), Some(Duration::from_millis(1500)));
    set(fd, "ip-multicast-ttl", Value::Int(3));
    assert_eq!(udp.multicast_ttl_v4().unwrap(), 3);
    set(fd, "ip-multicast-loop", Value::Int(0));
    assert!(!udp.multicast_loop_v4().unwrap());
    set(fd, "ip-multicast-if", Value::Ipv4(Ipv4Addr::LOCALHOST, None));
    let interface = socket2::SockRef::from(&udp).multicast_if_v4().unwrap();
    assert_eq!(interface, Ipv4Addr::LOCALHOST);
    set(fd, "so-bindtodevice", Value::Text(b"lo".to_vec()));
    let mut name = [0; libc::IFNAMSIZ];
    let length = get_bytes(fd, libc::SOL_SOCKET, libc::SO_BINDTODEVICE, &mut name).unwrap();
    assert_eq!(&name[..length], b"lo\0");
    let mark = Value::SocketOption(libc::SOL_SOCKET, libc::SO_PRIORITY, 4_i32.to_ne_bytes().to_vec());
    set(fd, "setsockopt-socket", mark);
    assert_eq!(get_int(fd, libc::SOL_SOCKET, libc::SO_PRIORITY).unwrap(), 4);
    set(fd, "fiosetown", Value::Int(i64::from(std::process::id())));
}

#[test]
fn ipv6_sockets_have_options_of_their_own() {
    use socket2::{Domain, Socket, Type};
    let socket = Socket::new(Domain::IPV6, Type::DGRAM, None).unwrap();
    let expect = |name: &str, value: i32, option: i32| {
        set(socket.as_fd(), name, Value::Int(value.into()));
        assert_eq!(get_int(socket.as_fd(), libc::IPPROTO_IPV6, option).unwrap(), value, "{name}");
    };
    expect("ipv6-v6only", 1, libc::IPV6_V6ONLY);
    expect("ipv6-unicast-hops", 11, libc::IPV6_UNICAST_HOPS);
    expect("ipv6-tclass", 32, libc::IPV6_TCLASS);
    expect("ipv6-recvpktinfo", 1, libc::IPV6_RECVPKTINFO);
    expect("ipv6-recverr", 1, libc::IPV6_RECVERR);
}

#[test]
fn every_descriptor_row_asks_the_kernel() {
    let directory = std::env::temp_dir().join(format!("catalog-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    for row in rows() {
        let Apply::Descriptor(_, apply) = row.apply else { continue };
        // These two would keep the file from being removed.
        if matches!(row.name, "fs-immutable" | "fs-append") {
            continue;
        }
        for value in samples(row.value) {
            let file = std::fs::File::create(directory.join("file")).unwrap();
            let (reader, _writer) = io::pipe().unwrap();
            for fd in [file.as_fd(), reader.as_fd()] {
                judge(row, apply(fd, &value));
            }
        }
    }
    std::fs::remove_dir_all(directory).unwrap();
}

/// The settings of a new pseudo terminal.
fn fresh_terminal() -> Termios {
    let pair = ferrule::sys::terminal::open_pair().unwrap();
    Termios::read(pair.slave.as_fd()).unwrap()
}

/// Applies a terminal row.
#[expect(clippy::needless_pass_by_value, reason = "the calls read better")]
fn set_terminal(terminal: &mut Termios, name: &str, value: Value) {
    let Apply::Terminal(apply) = row(name).apply else { panic!("{name} is no terminal row") };
    apply(terminal, &value).unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// All there is of the settings.
fn shown(terminal: &Termios) -> String {
    format!("{terminal:?}")
}

#[test]
fn every_terminal_row_changes_something() {
    let mut cleared = fresh_terminal();
    let mut full = cleared;
    for word in [Word::Input, Word::Output, Word::Control, Word::Local] {
        cleared.replace(word, !0, 0);
        full.replace(word, !0, !0);
    }
    for row in rows() {
        let Apply::Terminal(apply) = row.apply else { continue };
        let values = match row.name {
            "ispeed" | "ospeed" => vec![Value::Int(1200)],
            "csize" | "crdly" | "tabdly" => vec![Value::Int(0), Value::Int(3)],
            _ => samples(row.value),
        };
        let changes = [cleared, full].iter().any(|start| {
            values.iter().any(|value| {
                let mut terminal = *start;
                apply(&mut terminal, value).unwrap_or_else(|error| panic!("{}: {error}", row.name));
                shown(&terminal) != shown(start)
            })
        });
        assert!(changes, "{}", row.name);
    }
}

#[test]
fn no_two_terminal_rows_do_the_same() {
    // In socat(1) these have two names all the same, which are no aliases.
    let twins: [&[&str]; 6] = [
        &["bs1", "bsdly"],
        &["ff1", "ffdly"],
        &["nl1", "nldly"],
        &["vt1", "vtdly"],
        &["cr3", "crdly"],
        &["tab3", "tabdly", "xtabs"],
    ];
    let mut start = fresh_terminal();
    for word in [Word::Input, Word::Output, Word::Local] {
        start.replace(word, !0, 0);
    }
    let mut seen: Vec<(String, &str)> = Vec::new();
    for row in rows() {
        let Apply::Terminal(apply) = row.apply else { continue };
        let value = match row.value {
            // Nobody's character.
            ValueType::Byte => Value::Int(7),
            ValueType::UnsignedInt => Value::Int(3),
            ValueType::IntUnsignedLong => Value::Pair(0, 0x77),
            _ => Value::Bool(true),
        };
        let mut terminal = start;
        apply(&mut terminal, &value).unwrap();
        // Some ask for what is there already: 8 bits, no delay, 38400 baud.
        if shown(&terminal) != shown(&start) {
            seen.push((shown(&terminal), row.name));
        }
    }
    assert!(seen.len() > 90, "{} rows", seen.len());
    for (index, (left, name)) in seen.iter().enumerate() {
        for (right, other) in &seen[index + 1..] {
            let known = twins.iter().any(|names| names.contains(name) && names.contains(other));
            assert!(left != right || known, "{name} and {other}");
        }
    }
}

#[test]
fn raw_modes_leave_the_speed_alone() {
    for name in ["raw", "termios-rawer", "termios-cfmakeraw", "sane"] {
        let mut terminal = fresh_terminal();
        terminal.set_speed(12_345);
        set_terminal(&mut terminal, name, Value::None);
        assert_eq!((terminal.input_speed(), terminal.output_speed()), (12_345, 12_345), "{name}");
        assert_eq!(terminal.has(Word::Output, libc::OPOST), name == "sane", "{name}");
        assert_eq!(terminal.has(Word::Local, libc::ECHO), matches!(name, "raw" | "sane"), "{name}");
    }
}

#[test]
fn help_lines_can_be_read_by_scripts() {
    let canonical = catalog::canonical();
    assert!(canonical.windows(2).all(|pair| pair[0].name < pair[1].name), "sorted");
    for row in &canonical {
        let line = catalog::line(row);
        let body = line.strip_prefix("      ").expect("indented by six");
        let columns: Vec<_> = body.split('\t').filter(|column| !column.is_empty()).collect();
        let [name, groups, phase, value] = columns[..] else { panic!("{line:?}") };
        assert_eq!(name, row.name);
        assert_eq!(groups, format!("groups={}", row.groups));
        assert_eq!(phase, format!("phase={}", row.phase.name()));
        assert_eq!(value, format!("type={}", catalog::word(row.value)));
    }
    let line = |name| catalog::line(row(name)).replace('\t', " ");
    let squeeze = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(squeeze(line("lowport")), "lowport groups=UDP,TCP,SCTP,DCCP,UDPLITE phase=LATE type=BOOL");
    assert_eq!(squeeze(line("umask")), "umask groups=(all) phase=INIT type=MODE_T");
    assert!(!canonical.iter().any(|row| row.name == "so-audit"), "what the system has not is not offered");
}

#[test]
fn aliases_are_listed_with_what_they_mean() {
    let aliases = catalog::aliases();
    assert!(aliases.is_sorted());
    assert!(aliases.contains(&("nodelay", "tcp-nodelay")));
    assert_eq!(catalog::alias_line("nodelay", "tcp-nodelay"), "      nodelay\tis an alias for tcp-nodelay");
}

#[test]
fn entries_hold_what_documents_need() {
    let entries = catalog::entries();
    assert_eq!(entries.len(), rows().count());
    let find = |name: &str| entries.iter().find(|entry| entry.name == name).unwrap();
    assert_eq!(find("so-rcvbuf").groups, Groups::SOCKET.to_string());
    assert!(!find("perm").doc.contains('\n'));
    assert!(find("so-audit").unsupported.is_some());
    assert!(find("fork").unsupported.is_none());
    for entry in &entries {
        assert!(!catalog::explanation(entry.value).is_empty() && !catalog::python_type(entry.value).is_empty());
    }
}

/// A kind that takes every option.
static ANY: Kind = Kind {
    name: "ANY",
    aliases: &[],
    usage: "",
    params: (0, 0),
    groups: Groups::ALL,
    direction: Direction::Both,
    doc: "",
    plan: |_| Err(ferrule::Error::text("is never opened")),
};

/// What a person would write behind the name.
fn written(row: &Row) -> &'static str {
    use ValueType as Type;
    match row.value {
        Type::Flag | Type::Bool | Type::TextOrNone => "",
        Type::Switch => "=off",
        Type::IntOrEmpty => "=",
        Type::Text if row.name == "protocol-family" => "=ip6",
        Type::Text if ["flow", "parity", "reset"].contains(&row.name) => "=none",
        Type::Text if row.name == "break" => "=null",
        Type::Text if row.name == "stop" => "=2",
        Type::Byte if row.name == "bits" => "=7",
        Type::Text if row.name == "share-access" => "=lease",
        Type::Text if matches!(row.name, "share-slow" | "busy") => "=kick",
        Type::Text => "=word",
        Type::User | Type::Group => "=root",
        Type::Data => "=x0102",
        Type::SocketOptionData => "=1:12:i3",
        Type::SocketOptionInt => "=1:12:3",
        Type::SocketOptionText => "=1:25:lo",
        Type::IoctlInt | Type::IoctlIntPointer => "=0x541b:1",
        Type::IoctlData => "=0x541b:x00000000",
        Type::IoctlText => "=0x541b:text",
        Type::Ipv4 => "=127.0.0.1",
        Type::Ipv4Port => "=127.0.0.1:53",
        Type::Membership => "=239.1.2.3:127.0.0.1:lo",
        Type::SourceMembership => "=232.1.2.3:127.0.0.1:127.0.0.1",
        Type::Membership6 => "=[ff02::1]:lo",
        Type::SourceMembership6 => "=[ff32::1]:lo:[::1]",
        Type::IntPair | Type::IntUnsignedLong => "=3:1",
        Type::Timeval | Type::Timespec => "=1.5",
        _ => "=1",
    }
}

#[test]
fn every_option_can_be_written() {
    for row in rows() {
        for name in row.aliases.iter().chain([&row.name]) {
            // A serial line has stop bits; its character that stops output is vstop there.
            if (*name, row.name) == ("stop", "vstop") {
                continue;
            }
            let text = format!("ANY,fork,{name}{}", written(row));
            let spec = spec::parse(text.as_bytes()).unwrap();
            let read = Options::parse(&spec, &spec.first, &ANY, Strictness::Groups);
            let refused = matches!(row.apply, Apply::Unsupported(_)) || row.value == ValueType::IntTriple;
            match read {
                Ok(options) => assert!(options.has(row.name) && !refused, "{text}"),
                Err(error) => assert!(refused, "{text}: {error}"),
            }
        }
    }
}
