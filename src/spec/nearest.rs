//! Which of the known names a wrong one was probably meant to be.

/// The longest name worth comparing: real ones are shorter.
const LONGEST: usize = 48;

/// Up to `most` of `names` that are near to `wrong`, the nearest first. Letters' case does not matter.
pub(super) fn nearest<'a>(wrong: &str, names: impl Iterator<Item = &'a str>, most: usize) -> Vec<&'a str> {
    if wrong.is_empty() || wrong.len() > LONGEST {
        return Vec::new();
    }
    // One slip in a short word, two in a longer one, three in a long one. A word of which every letter is
    // wrong is near to nothing.
    let limit = (wrong.len() / 3).clamp(1, 3).min(wrong.len() - 1);
    let mut near: Vec<(usize, &str)> = names
        .filter_map(|name| distance(wrong.as_bytes(), name.as_bytes(), limit).map(|distance| (distance, name)))
        .collect();
    near.sort_by_key(|(distance, name)| (*distance, name.len().abs_diff(wrong.len())));
    near.dedup_by_key(|(_, name)| *name);
    // What is much further away than the best is no help beside it.
    let best = near.first().map_or(0, |(distance, _)| *distance);
    near.into_iter().filter(|(distance, _)| *distance <= best + 1).map(|(_, name)| name).take(most).collect()
}

/// How many letters must be added, taken away, changed or swapped with their neighbour (the restricted
/// Damerau-Levenshtein distance); `None` when more than `limit`.
fn distance(left: &[u8], right: &[u8], limit: usize) -> Option<usize> {
    if left.len().abs_diff(right.len()) > limit {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (row, from) in left.iter().enumerate() {
        let mut current = Vec::with_capacity(above.len());
        current.push(row + 1);
        for (column, to) in right.iter().enumerate() {
            let changed = above[column] + usize::from(!from.eq_ignore_ascii_case(to));
            let mut least = changed.min(above[column + 1] + 1).min(current[column] + 1);
            let swapped = row > 0
                && column > 0
                && left[row - 1].eq_ignore_ascii_case(to)
                && right[column - 1].eq_ignore_ascii_case(from);
            if swapped {
                least = least.min(before[column - 1] + 1);
            }
            current.push(least);
        }
        // A swap looks back two rows: only when both are beyond the limit there is no way back.
        if current.iter().chain(&above).all(|distance| *distance > limit) {
            return None;
        }
        before = std::mem::replace(&mut above, current);
    }
    Some(above[right.len()]).filter(|distance| *distance <= limit)
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn listed(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [name] => (*name).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_count_slips() {
        for (left, right, slips) in [
            ("", "", 0),
            ("", "ab", 2),
            ("fork", "FORK", 0),
            ("frok", "fork", 1),
            ("reuseadr", "reuseaddr", 1),
            ("reuse-addr", "reuseaddr", 1),
            ("kitten", "sitting", 3),
            ("ca", "abc", 3),
        ] {
            assert_eq!(distance(left.as_bytes(), right.as_bytes(), 9), Some(slips), "{left} {right}");
            assert_eq!(distance(right.as_bytes(), left.as_bytes(), slips), Some(slips), "{right} {left}");
            assert!(slips == 0 || distance(left.as_bytes(), right.as_bytes(), slips - 1).is_none(), "{left} {right}");
        }
    }

    #[test]
    fn the_nearest_names_come_first() {
        let names = ["TCP-LISTEN", "TCP-CONNECT", "TCP", "UDP", "UNIX-LISTEN", "PTY"];
        let near = |wrong| nearest(wrong, names.into_iter(), 3);
        assert_eq!(near("tcp-lisen"), ["TCP-LISTEN"]);
        assert_eq!(near("TCP-CONECT"), ["TCP-CONNECT"]);
        assert_eq!(near("TPC"), ["TCP"]);
        assert_eq!(near("TDP"), ["TCP", "UDP"]);
        assert!(near("localhost").is_empty());
        assert!(near("").is_empty());
        assert!(near(&"x".repeat(1_000_000)).is_empty());
    }

    #[test]
    fn lists_read_as_sentences_do() {
        assert_eq!(listed(&["a"]), "a");
        assert_eq!(listed(&["a", "b"]), "a or b");
        assert_eq!(listed(&["a", "b", "c"]), "a, b or c");
    }
}
