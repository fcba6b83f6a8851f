//! What was moved, as `--statistics` and SIGUSR1 tell it.

use crate::log::{Level, Log};
use crate::relay::{Flow, Ways};
use crate::warning;

/// Logs the totals of the directions that are in use, whatever the verbosity.
pub fn show(log: &Log, left_to_right: Flow, right_to_left: Flow, ways: Ways, experimental: bool) {
    if !experimental {
        warning!(log, "statistics are experimental");
    }
    for line in lines(left_to_right, right_to_left, ways) {
        log.always(Level::Info, format_args!("{line}"));
    }
}

fn lines(left_to_right: Flow, right_to_left: Flow, ways: Ways) -> Vec<String> {
    let directions = [
        ("left to right", left_to_right, ways != Ways::RightToLeft),
        ("right to left", right_to_left, ways != Ways::LeftToRight),
    ];
    let shown: Vec<_> = directions.iter().filter(|(.., used)| *used).collect();
    let width =
        |number: fn(&Flow) -> u64| shown.iter().map(|(_, flow, _)| number(flow).to_string().len()).max().unwrap_or(0);
    let (blocks, bytes) = (width(|flow| flow.blocks), width(|flow| flow.bytes));
    let line = |(name, flow, _): &&(&str, Flow, bool)| {
        // The plural is the one scripts know.
        format!("STATISTICS: {name}: {:blocks$} packets(s), {:bytes$} byte(s)", flow.blocks, flow.bytes)
    };
    shown.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RIGHT: Flow = Flow { bytes: 1_048_576, blocks: 9, undelivered: 0, purged: 0, discarded: 0 };
    const LEFT: Flow = Flow { bytes: 5, blocks: 12, undelivered: 0, purged: 0, discarded: 0 };

    #[test]
    fn numbers_of_both_directions_are_aligned() {
        assert_eq!(
            lines(RIGHT, LEFT, Ways::Both),
            [
                "STATISTICS: left to right:  9 packets(s), 1048576 byte(s)",
                "STATISTICS: right to left: 12 packets(s),       5 byte(s)",
            ]
        );
    }

    #[test]
    fn only_the_direction_in_use_is_shown() {
        assert_eq!(lines(RIGHT, LEFT, Ways::LeftToRight), ["STATISTICS: left to right: 9 packets(s), 1048576 byte(s)"]);
        assert_eq!(lines(RIGHT, LEFT, Ways::RightToLeft), ["STATISTICS: right to left: 12 packets(s), 5 byte(s)"]);
    }
}
