//! Settings of a pseudo terminal, set and read back.
#![allow(clippy::unwrap_used, reason = "tests")]
use std::os::fd::AsFd;

use super::*;
use crate::sys::terminal::{Pair, open_pair};

/// A pseudo terminal and its settings.
fn fresh() -> (Pair, Termios) {
    let pair = open_pair().unwrap();
    let settings = Termios::read(pair.slave.as_fd()).unwrap();
    (pair, settings)
}

/// Sets what `change` makes of a new terminal's settings, and gives what is read back.
fn kept(change: impl FnOnce(&mut Termios)) -> Termios {
    let (pair, mut settings) = fresh();
    change(&mut settings);
    settings.write(pair.slave.as_fd()).unwrap();
    Termios::read(pair.slave.as_fd()).unwrap()
}

#[test]
fn any_speed_is_kept() {
    let named = CODES.iter().map(|(baud, _)| *baud);
    for baud in named.chain([12_345, 250_000, 74_880, 10_400, 31_250, 1, u32::MAX]) {
        let kept = kept(|settings| settings.set_speed(baud));
        assert_eq!((kept.input_speed(), kept.output_speed()), (baud, baud));
    }
}

#[test]
fn speeds_with_a_code_are_seen_by_programs_that_know_only_those() {
    let (pair, mut settings) = fresh();
    for (baud, code) in CODES {
        settings.set_speed(baud);
        settings.write(pair.slave.as_fd()).unwrap();
        let old = nix::sys::termios::tcgetattr(&pair.slave).unwrap();
        assert_eq!(nix::sys::termios::cfgetospeed(&old) as speed_t, code, "{baud}");
    }
}

#[test]
fn input_has_the_speed_of_output_or_one_of_its_own() {
    let split = kept(|settings| {
        settings.set_input_speed(75);
        settings.set_output_speed(1200);
    });
    assert_eq!((split.input_speed(), split.output_speed()), (75, 1200));
    let odd = kept(|settings| {
        settings.set_output_speed(115_201);
        settings.set_input_speed(12_345);
    });
    assert_eq!((odd.input_speed(), odd.output_speed()), (12_345, 115_201));
    let one = kept(|settings| {
        settings.set_input_speed(75);
        settings.set_input_speed(0);
        settings.set_output_speed(9600);
    });
    assert_eq!((one.input_speed(), one.output_speed()), (9600, 9600));
    let raised = kept(|settings| {
        settings.set_input_speed(75);
        settings.set_speed(300);
    });
    assert_eq!((raised.input_speed(), raised.output_speed()), (300, 300));
}

#[test]
fn a_speed_is_what_was_asked_for_within_two_percent() {
    assert!(is_near(115_200, 115_200) && is_near(115_200, 115_384) && is_near(0, 0));
    assert!(!is_near(250_000, 115_200) && !is_near(9600, 9800) && !is_near(0, 1) && is_near(u32::MAX, u32::MAX));
}

#[test]
fn every_parity_is_told_from_the_others() {
    let (_pair, mut settings) = fresh();
    let all = [Parity::None, Parity::Odd, Parity::Even, Parity::Mark, Parity::Space];
    for first in all {
        for then in all {
            settings.set_parity(first);
            settings.set_parity(then);
            assert_eq!(settings.parity(), then, "{first:?}");
        }
    }
    // A pseudo terminal keeps how a parity would be made, but has none: pty(4) forces CS8 without PARENB.
    assert_eq!(kept(|settings| settings.set_parity(Parity::Mark)).parity(), Parity::None);
}

#[test]
fn sizes_and_stop_bits_there_are_are_set_and_others_refused() {
    let (_pair, mut settings) = fresh();
    for bits in 5..=8 {
        settings.set_data_bits(bits).unwrap();
        assert_eq!(settings.data_bits(), bits);
    }
    for bits in [0, 4, 9, 255] {
        assert!(settings.set_data_bits(bits).unwrap_err().contains(&bits.to_string()));
        assert_eq!(settings.data_bits(), 8);
    }
    settings.set_stop_bits(StopBits::Two).unwrap();
    assert!(settings.set_stop_bits(StopBits::OneAndHalf).unwrap_err().contains("one and a half"));
    assert_eq!(settings.stop_bits(), StopBits::Two);
    let kept = kept(|settings| settings.set_stop_bits(StopBits::Two).unwrap());
    assert_eq!(kept.stop_bits(), StopBits::Two);
}

#[test]
fn flow_control_is_set_each_way_as_far_as_there_is_one() {
    use FlowControl as Flow;
    let table = [
        ((Flow::None, Flow::None), (Flow::None, Flow::None)),
        ((Flow::XonXoff, Flow::None), (Flow::XonXoff, Flow::None)),
        ((Flow::None, Flow::XonXoff), (Flow::None, Flow::XonXoff)),
        ((Flow::XonXoff, Flow::XonXoff), (Flow::XonXoff, Flow::XonXoff)),
        ((Flow::Hardware, Flow::Hardware), (Flow::Hardware, Flow::Hardware)),
        ((Flow::Hardware, Flow::XonXoff), (Flow::Hardware, Flow::XonXoff)),
        // RTS and CTS serve both ways or none.
        ((Flow::Hardware, Flow::None), (Flow::Hardware, Flow::Hardware)),
        ((Flow::None, Flow::Hardware), (Flow::None, Flow::None)),
    ];
    for ((out, into), expected) in table {
        let kept = kept(|settings| {
            settings.set_flow_out(Flow::Hardware);
            settings.set_flow_in(Flow::XonXoff);
            settings.set_flow_out(out);
            settings.set_flow_in(into);
        });
        assert_eq!((kept.flow_out(), kept.flow_in()), expected, "{out:?} {into:?}");
    }
}

#[test]
fn a_change_is_made_as_far_as_it_can_be_and_read_back() {
    let (_pair, mut settings) = fresh();
    let state = State {
        baud: 12_345,
        data_bits: 7,
        parity: Parity::Space,
        stop_bits: StopBits::Two,
        flow_out: FlowControl::Hardware,
        flow_in: FlowControl::Hardware,
        dtr: false,
        brk: true,
        ..State::default()
    };
    settings.change(&Change::to(&state));
    assert_eq!(settings.state(state), state);
    settings.change(&Change {
        data_bits: Some(9),
        stop_bits: Some(StopBits::OneAndHalf),
        parity: Some(Parity::Odd),
        ..Change::default()
    });
    assert_eq!(settings.state(state), State { parity: Parity::Odd, ..state });
}

#[test]
fn raw_is_what_cfmakeraw_makes_of_it() {
    use nix::sys::termios::{ControlFlags, InputFlags, LocalFlags, OutputFlags, cfmakeraw, tcgetattr};
    let (pair, mut settings) = fresh();
    let mut expected = tcgetattr(&pair.slave).unwrap();
    expected.input_flags = InputFlags::all();
    expected.output_flags = OutputFlags::all();
    expected.control_flags = ControlFlags::all();
    expected.local_flags = LocalFlags::all();
    settings.replace(Word::Input, !0, InputFlags::all().bits());
    settings.replace(Word::Output, !0, OutputFlags::all().bits());
    settings.replace(Word::Control, !0, ControlFlags::all().bits());
    settings.replace(Word::Local, !0, LocalFlags::all().bits());
    settings.set_character(libc::VMIN, 9);
    cfmakeraw(&mut expected);
    settings.make_raw();
    assert_eq!(settings.flags(Word::Input), expected.input_flags.bits());
    assert_eq!(settings.flags(Word::Output), expected.output_flags.bits());
    assert_eq!(settings.flags(Word::Control), expected.control_flags.bits());
    assert_eq!(settings.flags(Word::Local), expected.local_flags.bits());
    assert_eq!((settings.character(libc::VMIN), settings.character(libc::VTIME)), (1, 0));
}

#[test]
fn what_is_no_terminal_has_no_settings() {
    let (reader, _writer) = io::pipe().unwrap();
    assert_eq!(Termios::read(reader.as_fd()).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    let pair = open_pair().unwrap();
    let settings = Termios::read(pair.slave.as_fd()).unwrap();
    drop(pair.master);
    assert_eq!(settings.write(pair.slave.as_fd()).unwrap_err().raw_os_error(), Some(libc::EIO));
}
