//! `-h`, `-hh`, `-hhh`: the switches, and everything the tables of address types and options know.

use std::fmt::Write as _;

use super::switches::HelpDetail;
use crate::endpoint::{self, Kind};
use crate::option::catalog;

/// Form and meaning of every switch.
const SWITCHES: [(&str, &str); 37] = [
    ("-V", "say which version this is and what is built in"),
    ("-h|-?", "this list, and the address types"),
    ("-hh", "and the options"),
    ("-hhh", "and all other names of both"),
    ("-d", "say more: two for notices, three for infos, four for debugging"),
    ("-d<0-4>", "say so much: 0 errors, 1 warnings (unless told otherwise), 2 notices, 3 infos, 4 all"),
    ("-D", "show the open descriptors before bytes are moved"),
    ("--experimental", "do not warn of what may still change"),
    ("--statistics", "say at the end what was moved (SIGUSR1 asks for it at any time)"),
    ("-ly[facility]", "log to syslog (facility daemon)"),
    ("-lf<logfile>", "log to this file, at its end"),
    ("-ls", "log to standard error, which is where it goes anyway"),
    ("-lm[facility]", "log to standard error while starting, then to syslog"),
    ("-lp<progname>", "name in log lines, and prefix of the variables for programs"),
    ("-lu", "log the time with microseconds"),
    ("-lh", "log the name of this host"),
    ("-v", "show what passes as text"),
    ("-x", "show what passes as hex"),
    ("-r <file>", "copy what goes to the right into this file, at its end"),
    ("-R <file>", "copy what goes to the left into this file, at its end"),
    ("--capture <file>", "keep what passes, with the time: .txt lines, .hex rows, .pcapng packets; - is stdout"),
    ("--capture-format <format>", "text, hex or pcapng, whatever the name"),
    ("--capture-size <size>", "begin a new file after so many bytes (K, M, G); the older ones are file.1, file.2 ..."),
    ("--capture-files <number>", "keep so many of them (10)"),
    ("-b<size_t>", "move blocks of just so many bytes (else the size follows the traffic)"),
    ("-s", "go on after errors where that is possible"),
    ("-S<sigmask>", "signals that end the relay in order, bit n for signal n"),
    ("-t<timeout>", "seconds of silence after one side has ended until all ends (0.5)"),
    ("-T<timeout>", "seconds of silence on both sides until all ends (never)"),
    ("-u", "only from left to right"),
    ("-U", "only from right to left"),
    ("-g", "try options on address types they are not made for"),
    ("-L <lockfile>", "make this lock file, or fail when it exists"),
    ("-W <lockfile>", "make this lock file, as soon as it is gone"),
    ("-0", "leave the IP version open"),
    ("-4", "IPv4 where the address leaves it open (as without this)"),
    ("-6", "IPv6 where the address leaves it open"),
];

/// The text of the help.
pub fn text(detail: HelpDetail) -> String {
    let mut text = usage();
    text.push_str(
        "   bi-address:\n\
         \x20     <single-address>\n\
         \x20     <single-address>!!<single-address>\n\
         \x20  single-address:\n\
         \x20     <address-head>[,<opts>]\n\
         \x20  address-head:\n",
    );
    text.extend(addresses(detail).into_iter().map(|line| line + "\n"));
    text.push_str("   opts:\n      <opt>{,<opts>}:\n");
    if detail >= HelpDetail::Options {
        text.push_str("   opt:\n");
        text.extend(options(detail).into_iter().map(|line| line + "\n"));
    }
    text
}

/// The switches alone, as shown when something about them is wrong.
pub fn usage() -> String {
    let mut text = "ferrule: joins two endpoints and relays between them\n\
                    usage:\n\
                    \x20  ferrule [switches] <bi-address> <bi-address>\n   switches:\n"
        .to_owned();
    for (form, meaning) in SWITCHES {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "      {form:<15} {meaning}");
    }
    text
}

/// One line for each address type, with its short forms and aliases where they are wanted, in C order.
fn addresses(detail: HelpDetail) -> Vec<String> {
    let mut lines = Vec::new();
    for kind in endpoint::kinds() {
        lines.push(line(kind));
        if detail == HelpDetail::Aliases {
            lines.extend(kind.aliases.iter().map(|alias| catalog::alias_line(alias, kind.name)));
        }
    }
    if detail == HelpDetail::Aliases {
        for (short, long) in [("<num>", "FD:<num>"), ("<filename>", "GOPEN:<filename>")] {
            lines.push(catalog::alias_line(short, long));
        }
    }
    lines.sort_by(|one, other| name_of(one).cmp(name_of(other)));
    lines
}

/// One line for each option, with its aliases where they are wanted, in C order.
fn options(detail: HelpDetail) -> Vec<String> {
    let mut lines: Vec<_> = catalog::canonical().into_iter().map(catalog::line).collect();
    if detail == HelpDetail::Aliases {
        lines.extend(catalog::aliases().into_iter().map(|(alias, name)| catalog::alias_line(alias, name)));
    }
    lines.sort_by(|one, other| name_of(one).cmp(name_of(other)));
    lines
}

/// What a line is sorted by.
fn name_of(line: &str) -> &str {
    line.trim_start().split(['\t', ':', '[']).next().unwrap_or_default()
}

/// An address type and its groups, padded with tabs so that they line up behind short names.
fn line(kind: &Kind) -> String {
    let head = format!("      {}{}", kind.name, kind.usage);
    let tabs = 4_usize.saturating_sub(head.len() / 8).max(1);
    format!("{head}{}groups={}", "\t".repeat(tabs), kind.groups)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn block<'a>(text: &'a str, from: &str, to: &str) -> Vec<&'a str> {
        let lines = text.lines().skip_while(|line| *line != from).skip(1);
        lines.take_while(|line| *line != to).collect()
    }

    #[test]
    fn every_switch_has_its_line() {
        let text = text(HelpDetail::Addresses);
        for (form, meaning) in SWITCHES {
            let line = text.lines().find(|line| line.starts_with(&format!("      {form} "))).unwrap();
            assert!(line.ends_with(meaning));
        }
    }

    #[test]
    fn every_address_type_and_option_has_its_line_in_order() {
        let text = text(HelpDetail::Aliases);
        let addresses = block(&text, "   address-head:", "   opts:");
        for kind in endpoint::kinds() {
            let start = format!("      {}{}\t", kind.name, kind.usage);
            let line = addresses.iter().find(|line| line.starts_with(&start)).unwrap();
            assert!(line.ends_with(&format!("\tgroups={}", kind.groups)), "{line}");
        }
        for short in ["-\tis an alias for STDIO", "<num>\tis an alias for FD:<num>"] {
            assert_eq!(addresses.iter().filter(|line| line.trim_start() == short).count(), 1, "{addresses:?}");
        }
        let options = block(&text, "   opt:", "");
        for row in catalog::canonical() {
            let line = options.iter().find(|line| line.starts_with(&format!("      {}\t", row.name))).unwrap();
            assert!(line.contains("\tphase=") && line.contains("\ttype="), "{line}");
        }
        for lines in [addresses, options] {
            let names: Vec<_> = lines.iter().map(|line| name_of(line)).collect();
            assert!(names.is_sorted(), "{names:?}");
        }
    }

    #[test]
    fn each_detail_adds_to_the_one_before() {
        let sizes = [HelpDetail::Addresses, HelpDetail::Options, HelpDetail::Aliases].map(|detail| text(detail).len());
        assert!(sizes.is_sorted() && !text(HelpDetail::Addresses).contains("   opt:"));
    }
}
