#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::io::{Read as _, Write as _};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::endpoint::testing::{Lines, quiet};
use crate::endpoint::{Defaults, Plan, Planned};
use crate::line::{Event, FlowControl, Parity};
use crate::sys::terminal::{Pair, open_pair};

const LIMIT: Duration = Duration::from_secs(20);

/// Opens an address.
async fn open_as(text: &str, context: &Context) -> Result<Channel> {
    let plan = Plan::parse(text.as_bytes(), Direction::Both, &Defaults::default())?;
    let Planned::Single(endpoint) = &plan.planned else { panic!("one endpoint") };
    let Opener::Connect(connect) = &endpoint.opener else { panic!("no listener") };
    tokio::time::timeout(LIMIT, endpoint.connect(connect, context)).await.unwrap()
}

async fn open(text: &str) -> Result<Channel> {
    open_as(text, &quiet()).await
}

/// Opens the slave of a pair of terminals with these options behind its name.
async fn opened(pair: &Pair, options: &str) -> Channel {
    open(&format!("SERIAL:{}{options}", pair.name.display())).await.unwrap()
}

async fn refused(pair: &Pair, options: &str) -> Error {
    open(&format!("SERIAL:{}{options}", pair.name.display())).await.err().expect("it is refused")
}

fn settings(pair: &Pair) -> Termios {
    Termios::read(pair.slave.as_fd()).unwrap()
}

/// All that tcgetattr(3) tells.
fn all(settings: &Termios) -> ([libc::tcflag_t; 4], u32, Vec<u8>) {
    let words = [Word::Input, Word::Output, Word::Control, Word::Local];
    let characters = (0..19).map(|place| settings.character(place)).collect();
    (words.map(|word| settings.flags(word)), settings.output_speed(), characters)
}

#[tokio::test(flavor = "current_thread")]
async fn it_is_raw_and_fast_while_it_is_open_and_as_found_afterwards() {
    let pair = open_pair().unwrap();
    let found = settings(&pair);
    let channel = opened(&pair, "").await;
    let now = settings(&pair);
    assert_eq!((now.output_speed(), now.data_bits(), now.stop_bits()), (115_200, 8, StopBits::One));
    assert!(!now.has(Word::Local, libc::ECHO) && !now.has(Word::Local, libc::ICANON));
    assert!(now.has(Word::Control, libc::CLOCAL | libc::CREAD) && !now.has(Word::Control, libc::HUPCL));
    assert_eq!((now.flow_out(), now.character(libc::VMIN)), (FlowControl::None, 1));
    let state = channel.line.as_ref().unwrap().state();
    assert_eq!((state.baud, state.data_bits, state.parity), (115_200, 8, Parity::None));
    drop(channel);
    assert_eq!(all(&settings(&pair)), all(&found));
}

#[tokio::test(flavor = "current_thread")]
async fn every_setting_of_the_line_can_be_chosen() {
    let pair = open_pair().unwrap();
    let options = ",baud=12345,bits=7,parity=e,stop=2,flow=xonxoff,dtr=off,rts=on,break=ignore";
    let channel = opened(&pair, options).await;
    let (state, now) = (channel.line.as_ref().unwrap().state(), settings(&pair));
    assert_eq!((state.baud, state.data_bits, state.parity, state.stop_bits), (12_345, 7, Parity::Even, StopBits::Two));
    assert_eq!((state.flow_out, state.flow_in), (FlowControl::XonXoff, FlowControl::XonXoff));
    assert_eq!((state.dtr, state.rts), (false, true));
    assert!(now.has(Word::Input, libc::IXON | libc::IXOFF | libc::IGNBRK) && now.has(Word::Control, libc::CSTOPB));
    assert_eq!(now.output_speed(), 12_345);
    drop(channel);
    let channel = opened(&pair, ",break=mark,flow=rtscts").await;
    assert!(settings(&pair).has(Word::Input, libc::PARMRK) && settings(&pair).has(Word::Control, libc::CRTSCTS));
    drop(channel);
    // The options of terminals come last.
    let channel = opened(&pair, ",baud=300,b9600,hupcl,echo").await;
    assert_eq!((settings(&pair).output_speed(), channel.line.as_ref().unwrap().state().baud), (9600, 9600));
    assert!(settings(&pair).has(Word::Control, libc::HUPCL) && settings(&pair).has(Word::Local, libc::ECHO));
    drop(channel);
    assert!(settings(&pair).has(Word::Control, libc::HUPCL), "closing is to hang up");
}

#[tokio::test(flavor = "current_thread")]
async fn bytes_pass_untouched_both_ways() {
    let pair = open_pair().unwrap();
    let mut channel = opened(&pair, "").await;
    let mut far = std::fs::File::from(pair.master.try_clone().unwrap());
    let bytes: Vec<u8> = (0..=255).collect();
    channel.sink.as_mut().unwrap().write_all(&bytes).await.unwrap();
    let mut read = [0; 256];
    far.read_exact(&mut read).unwrap();
    assert_eq!(read.as_slice(), bytes);
    far.write_all(&bytes).unwrap();
    let mut read = [0; 256];
    tokio::time::timeout(LIMIT, channel.source.as_mut().unwrap().read_exact(&mut read)).await.unwrap().unwrap();
    assert_eq!(read.as_slice(), bytes);
}

#[tokio::test(flavor = "current_thread")]
async fn a_port_that_goes_away_is_an_error_of_its_own() {
    let pair = open_pair().unwrap();
    let mut channel = opened(&pair, "").await;
    drop(pair.master);
    let mut byte = [0; 1];
    let read = tokio::time::timeout(LIMIT, channel.source.as_mut().unwrap().read(&mut byte)).await.unwrap();
    assert_eq!(read.unwrap_err().raw_os_error(), Some(libc::ENODEV));
    let written = tokio::time::timeout(LIMIT, channel.sink.as_mut().unwrap().write(b"x")).await.unwrap();
    assert_eq!(written.unwrap_err().raw_os_error(), Some(libc::ENODEV));
    // Closing has nothing to bring back, and says nothing of it.
    drop(channel);
}

#[tokio::test(flavor = "current_thread")]
async fn an_end_of_file_that_was_asked_for_is_an_end() {
    let pair = open_pair().unwrap();
    let mut channel = opened(&pair, ",icanon").await;
    let mut far = std::fs::File::from(pair.master.try_clone().unwrap());
    far.write_all(&[settings(&pair).character(libc::VEOF)]).unwrap();
    let mut byte = [0; 1];
    let read = tokio::time::timeout(LIMIT, channel.source.as_mut().unwrap().read(&mut byte)).await.unwrap();
    assert_eq!(read.unwrap(), 0);
}

#[tokio::test(flavor = "current_thread")]
async fn one_has_it_at_a_time_unless_it_is_shared() {
    let pair = open_pair().unwrap();
    let channel = opened(&pair, "").await;
    assert!(sys::serial::is_exclusive(pair.slave.as_fd()).unwrap());
    let before = all(&settings(&pair));
    for options in ["", ",baud=300"] {
        let error = refused(&pair, options).await;
        assert_eq!(error.errno(), Some(libc::EBUSY));
        assert!(error.message().contains(" is in use") && error.advice().unwrap().contains("retry"), "{error:?}");
    }
    assert_eq!(all(&settings(&pair)), before, "the one who was refused changed nothing");
    assert!(sys::serial::is_exclusive(pair.slave.as_fd()).unwrap());
    drop(channel);
    let shared = [opened(&pair, ",exclusive=off").await, opened(&pair, ",exclusive=off").await];
    assert!(!sys::serial::is_exclusive(pair.slave.as_fd()).unwrap());
    drop(shared);
    opened(&pair, "").await;
}

#[tokio::test(flavor = "current_thread")]
async fn the_locks_of_other_programs_are_heeded_and_they_are_named() {
    let pair = open_pair().unwrap();
    let name = pair.name.display().to_string();
    let command = format!("exec flock --exclusive --nonblock {name} sh -c 'echo locked; read end'");
    let mut other = std::process::Command::new("sh")
        .args(["-c", &command])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    other.stdout.as_mut().unwrap().read_exact(&mut [0; 7]).unwrap();
    let error = refused(&pair, "").await;
    drop(other.stdin.take());
    other.wait().unwrap();
    assert!(error.message().contains(&format!("(pid {})", other.id())), "{error:?}");
    assert_eq!(error.errno(), Some(libc::EBUSY));
    opened(&pair, "").await;
}

#[tokio::test(flavor = "current_thread")]
async fn programs_that_use_the_library_of_rust_and_this_one_keep_each_other_out() {
    let pair = open_pair().unwrap();
    let name = pair.name.display().to_string();
    let port = tokio_serial::SerialStream::open(&tokio_serial::new(&name, 9600)).unwrap();
    assert_eq!(refused(&pair, "").await.errno(), Some(libc::EBUSY));
    drop(port);
    let channel = opened(&pair, "").await;
    assert!(tokio_serial::SerialStream::open(&tokio_serial::new(&name, 9600)).is_err());
    drop(channel);
    tokio_serial::SerialStream::open(&tokio_serial::new(&name, 9600)).unwrap();
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_no_port_is_told_in_words() {
    for (address, number, words) in [
        ("SERIAL:/dev/no-such-port", libc::ENOENT, "there is no /dev/no-such-port"),
        ("SERIAL:no-such-port", libc::ENOENT, "there is no /dev/no-such-port"),
        ("SERIAL:/dev/null", libc::ENOTTY, "/dev/null is no serial port"),
        ("SERIAL:/dev", libc::EISDIR, "/dev is no serial port"),
        ("SERIAL:usb:ffff:ffff", libc::ENODEV, "no port is usb:vid=ffff:pid=ffff"),
        ("SERIAL:'usb:vid=ffff,pid=ffff'", libc::ENODEV, "no port is usb:vid=ffff:pid=ffff"),
    ] {
        let error = open(address).await.err().unwrap();
        assert_eq!((error.errno(), error.message()), (Some(number), words), "{address}");
        assert!(error.advice().is_some_and(|hint| !hint.is_empty()), "{address}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn what_is_wrong_with_the_text_is_told_before_anything_is_opened() {
    for (options, words) in [
        (":usb:vid=zz", "hexadecimal"),
        (":usb:colour=red", "none of vid, pid"),
        (":", "missing"),
        (":/dev/x,stop=1.5", "Linux has no such setting"),
        (":/dev/x,stop=3", "\"3\" is none of 1, 1.5, 2"),
        (":/dev/x,bits=9", "5 to 8 bits, not 9"),
        (":/dev/x,baud=0", "hung up"),
        (":/dev/x,parity=some", "none of none, even, odd, mark, space"),
        (":/dev/x,flow=dsrdtr", "none of none, xonxoff, rtscts"),
        (":/dev/x,dtr=up", "missing numerical value"),
        (":/dev/x,reset=stm32", "esp-loader"),
    ] {
        let error = open(&format!("SERIAL{options}")).await.err().unwrap();
        assert!(error.message().contains(words), "{options}: {error:?}");
        assert_eq!(error.kind(), crate::error::ErrorKind::Address);
        assert!(error.location().is_some(), "{options}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn without_permission_the_remedy_is_named() {
    let pair = open_pair().unwrap();
    if nix::unistd::geteuid().is_root() {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o660);
        std::fs::set_permissions(&pair.name, mode).unwrap();
        let dialout = nix::unistd::Group::from_name("dialout").unwrap().map(|group| group.gid);
        nix::unistd::chown(&pair.name, None, dialout).unwrap();
        let name = pair.name.clone();
        let before = all(&settings(&pair));
        // The file system takes this thread for nobody: setfsuid(2).
        let error = std::thread::spawn(move || {
            nix::unistd::setfsgid(nix::unistd::Gid::from_raw(65534));
            nix::unistd::setfsuid(nix::unistd::Uid::from_raw(65534));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(open(&format!("SERIAL:{}", name.display()))).err().unwrap()
        });
        let error = error.join().unwrap();
        assert_eq!(error.errno(), Some(libc::EACCES));
        assert!(error.message().contains("this user may not open"), "{error:?}");
        assert_eq!(all(&settings(&pair)), before);
    } else {
        std::fs::set_permissions(&pair.name, std::os::unix::fs::PermissionsExt::from_mode(0o000)).unwrap();
        assert_eq!(refused(&pair, "").await.errno(), Some(libc::EACCES));
    }
}

#[tokio::test(flavor = "current_thread")]
async fn a_driver_without_a_bus_is_told_and_the_port_left_as_found() {
    let pair = open_pair().unwrap();
    let found = all(&settings(&pair));
    let error = refused(&pair, ",rs485,rs485-delay-before=0.002").await;
    assert!(error.message().starts_with("option rs485: the driver of this port cannot"), "{error:?}");
    assert_eq!(all(&settings(&pair)), found);
    assert!(!sys::serial::is_exclusive(pair.slave.as_fd()).unwrap());
}

#[tokio::test(flavor = "current_thread", start_paused = true)]
async fn a_reset_moves_both_lines_at_once_in_its_order() {
    let pair = open_pair().unwrap();
    let uart = Uart::new(pair.slave.as_fd()).unwrap();
    for (text, ends) in [("esp", (false, false)), ("esp-loader", (false, false)), ("arduino", (true, true))] {
        let address = format!("SERIAL:x,reset={text}");
        let plan = Plan::parse(address.as_bytes(), Direction::Both, &Defaults::default()).unwrap();
        let options = Arc::clone(&plan.single().unwrap().options);
        let serial = Serial {
            selector: Selector::parse(b"x").unwrap(),
            system: System::default(),
            direction: Direction::Both,
            options,
        };
        uart.set(&Change { dtr: Some(true), rts: Some(true), ..Change::default() }).unwrap();
        let mut events = uart.watch();
        let begun = tokio::time::Instant::now();
        serial.reset(&uart).await.unwrap();
        let wanted: u64 = steps(serial.serial().reset.unwrap()).iter().map(|step| step.2).sum();
        assert!(begun.elapsed() >= Duration::from_millis(wanted), "{text}");
        let state = uart.state();
        assert_eq!((state.dtr, state.rts), ends, "{text}");
        // The imagined far end has seen each step as one: DSR follows DTR, CTS follows RTS.
        let mut seen = Vec::new();
        while let Ok(Event::Modem { now, .. }) = events.try_recv() {
            seen.push((now.dsr, now.cts));
        }
        let mut expected: Vec<_> = steps(serial.serial().reset.unwrap()).iter().map(|step| (step.0, step.1)).collect();
        expected.dedup();
        assert_eq!(seen, expected, "{text}");
    }
}

#[test]
fn a_line_that_does_something_else_is_refused() {
    let kept = State { baud: 115_200, ..State::default() };
    let asked = Change { baud: Some(250_000), ..Change::to(&kept) };
    let error = check(&asked, &kept).unwrap_err();
    assert_eq!(error.message(), "option baud: the port cannot do 250000, it stays at 115200");
    assert!(check(&Change { baud: Some(115_300), ..asked }, &kept).is_ok());
    let asked = Change { parity: Some(Parity::Mark), ..Change::to(&kept) };
    assert!(check(&asked, &kept).unwrap_err().message().contains("parity: the port cannot do mark, it stays at none"));
}

#[tokio::test(flavor = "current_thread")]
async fn what_the_device_can_is_told_in_one_line() {
    let pair = open_pair().unwrap();
    let lines = Lines::default();
    let mut context = lines.context();
    context.log = crate::log::Log::new(crate::log::Level::Info, Box::new(lines.clone()));
    let channel = open_as(&format!("SERIAL:{},baud=9600", pair.name.display()), &context).await.unwrap();
    let told = lines.after(&format!("I {}: ", pair.name.display())).unwrap();
    let expected = "9600 baud, lines=imagined break=imagined faults=unknown low-latency=none exclusive=yes";
    assert_eq!(told, expected);
    drop(channel);
}

#[tokio::test(flavor = "current_thread")]
async fn a_terminal_opened_as_a_file_has_a_line_and_an_end() {
    let pair = open_pair().unwrap();
    let found = all(&settings(&pair));
    let mut channel = open(&format!("FILE:{},b9600,raw,echo=0", pair.name.display())).await.unwrap();
    let now = settings(&pair);
    assert_eq!(now.output_speed(), 9600);
    assert!(!now.has(Word::Local, libc::ECHO) && now.has(Word::Control, libc::CREAD));
    let line = channel.line.clone().unwrap();
    assert_eq!(line.state().baud, 9600);
    line.change(Change { baud: Some(300), ..Change::default() }).await.unwrap();
    assert_eq!(settings(&pair).output_speed(), 300);
    let ends = (channel.source.take(), channel.sink.take());
    drop((channel, ends));
    assert_eq!(all(&settings(&pair)), found, "both the options and the line are undone");
    assert!(line.change(Change::default()).await.is_err());
    let mut channel = open(&format!("FILE:{}", pair.name.display())).await.unwrap();
    drop(pair.master);
    let read = tokio::time::timeout(LIMIT, channel.source.as_mut().unwrap().read(&mut [0; 1])).await.unwrap();
    assert_eq!(read.unwrap(), 0, "as a file it ends");
}

#[tokio::test(flavor = "current_thread")]
async fn the_end_of_what_is_written_comes_at_once_where_nothing_waits() {
    let pair = open_pair().unwrap();
    let mut channel = opened(&pair, ",drain=20").await;
    let begun = Instant::now();
    channel.sink.as_mut().unwrap().write_all(b"bytes").await.unwrap();
    tokio::time::timeout(LIMIT, channel.sink.as_mut().unwrap().shutdown()).await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(10));
}
