#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use super::super::{Control, FlowControl, Modem, Parity, StopBits};
use super::*;
use crate::line::Closing;
use crate::log::Log;
use crate::sys::terminal::{Pair, open_pair};
use crate::sys::termios::Word;

fn pseudo() -> (Pair, Uart) {
    let pair = open_pair().unwrap();
    let uart = Uart::new(pair.slave.as_fd()).unwrap();
    (pair, uart)
}

#[test]
fn a_pseudo_terminal_does_what_it_can_and_imagines_the_rest() {
    let (pair, uart) = pseudo();
    assert_eq!(uart.abilities(), Abilities { is_real: false, has_lines: false, counts: false });
    assert_eq!(uart.abilities().to_string(), "lines=imagined break=imagined faults=unknown");
    let change = Change {
        baud: Some(12_345),
        data_bits: Some(7),
        parity: Some(Parity::Mark),
        stop_bits: Some(StopBits::OneAndHalf),
        flow_out: Some(FlowControl::Hardware),
        dtr: Some(false),
        rts: Some(true),
        brk: Some(true),
        ..Change::default()
    };
    let state = uart.set(&change).unwrap();
    assert_eq!((state.baud, state.data_bits, state.parity), (12_345, 7, Parity::Mark));
    assert_eq!((state.stop_bits, state.flow_out), (StopBits::OneAndHalf, FlowControl::Hardware));
    assert_eq!((state.dtr, state.rts, state.brk), (false, true, true));
    assert_eq!(state.modem, Modem { cts: true, ..Modem::default() });
    assert_eq!(uart.state(), state);
    // What it can do it has done.
    let kept = Termios::read(pair.slave.as_fd()).unwrap();
    assert_eq!((kept.output_speed(), kept.flow_out()), (12_345, FlowControl::Hardware));
}

#[test]
fn imagined_lines_are_watched_without_a_thread() {
    let (_pair, uart) = pseudo();
    let mut events = uart.watch();
    uart.set(&Change { rts: Some(false), ..Change::default() }).unwrap();
    let Ok(Event::Modem { now, changed }) = events.try_recv() else { unreachable!("nothing was told") };
    assert!(!now.cts && changed.cts && !changed.dcd);
}

#[test]
fn a_purge_drops_what_was_received() {
    let (pair, uart) = pseudo();
    crate::sys::terminal::make_raw(pair.slave.as_fd()).unwrap();
    sys::io::write(pair.master.as_fd(), b"old").unwrap();
    // A pseudo terminal hands bytes over in a worker of the kernel.
    while sys::fd::bytes_waiting(pair.slave.as_fd()).unwrap() < 3 {
        std::thread::yield_now();
    }
    uart.set(&Change { purge_in: true, ..Change::default() }).unwrap();
    assert_eq!(sys::fd::bytes_waiting(pair.slave.as_fd()).unwrap(), 0);
}

#[tokio::test(flavor = "current_thread")]
async fn a_line_that_is_gone_says_so_in_one_number() {
    let (pair, uart) = pseudo();
    let lost = |result: io::Result<State>| result.unwrap_err().raw_os_error() == Some(libc::ENODEV);
    drop(pair.master);
    assert!(lost(uart.set(&Change { baud: Some(300), ..Change::default() })));
    assert!(lost(uart.change(Change { dtr: Some(true), ..Change::default() }).await));
    let (_pair, uart) = pseudo();
    let before = uart.state();
    uart.close();
    assert!(lost(uart.change(Change::default()).await));
    // What was known of it stays known.
    assert_eq!(uart.state().data_bits, before.data_bits);
}

#[test]
fn what_was_changed_through_the_line_is_brought_back_in_closing() {
    let (pair, uart) = pseudo();
    let found = Termios::read(pair.slave.as_fd()).unwrap();
    let closing = |uart: &Uart| Closing::new(uart, pair.slave.as_fd(), "port".into(), Log::silent()).unwrap();
    let guard = closing(&uart);
    uart.set(&Change { baud: Some(300), stop_bits: Some(StopBits::Two), ..Change::default() }).unwrap();
    drop(guard);
    let back = Termios::read(pair.slave.as_fd()).unwrap();
    assert_eq!((back.output_speed(), back.stop_bits()), (found.output_speed(), found.stop_bits()));
    // What somebody else changed meanwhile is left alone.
    let guard = closing(&Uart::new(pair.slave.as_fd()).unwrap());
    let mut other = found;
    other.set_speed(1200);
    other.write(pair.slave.as_fd()).unwrap();
    drop(guard);
    assert_eq!(Termios::read(pair.slave.as_fd()).unwrap().output_speed(), 1200);
}

#[test]
fn hupcl_stays_as_it_was_wanted_and_locks_are_given_up() {
    let (pair, uart) = pseudo();
    let fd = pair.slave.as_fd();
    let mut found = Termios::read(fd).unwrap();
    found.set(Word::Control, libc::HUPCL, true);
    found.write(fd).unwrap();
    let mut guard = Closing::new(&uart, fd, "port".into(), Log::silent()).unwrap();
    guard.set();
    guard.locked();
    serial::set_exclusive(fd, true).unwrap();
    let mut wanted = found;
    wanted.set(Word::Control, libc::HUPCL, false);
    wanted.set_speed(300);
    wanted.write(fd).unwrap();
    drop(guard);
    let back = Termios::read(fd).unwrap();
    assert_eq!((back.output_speed(), back.has(Word::Control, libc::HUPCL)), (found.output_speed(), false));
    assert!(!serial::is_exclusive(fd).unwrap());
}

/// Takes whatever line it is given, if it may refuse one.
struct Choosy(Mutex<Option<Arc<dyn Line>>>);

impl Control for Choosy {
    fn attach(&self, line: Arc<dyn Line>) {
        *self.0.lock().unwrap() = Some(line);
    }

    fn must_have(&self) -> bool {
        false
    }
}

#[test]
fn a_pseudo_terminal_is_no_wire() {
    use crate::channel::Channel;
    let (_pair, uart) = pseudo();
    assert!(!uart.is_real());
    let control = Arc::new(Choosy(Mutex::default()));
    let left = Channel { line: Some(Arc::new(uart)), ..Channel::default() };
    let right = Channel { control: Some(control.clone()), ..Channel::default() };
    crate::line::join(&left, &right);
    assert!(control.0.lock().unwrap().is_none());
}
