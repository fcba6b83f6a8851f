//! `-h`, `-hh`, `-hhh`: the switches, and everything the tables of address types and options know.

use std::fmt::Write as _;

use super::switches::HelpDetail;
use crate::endpoint::{self, Kind};
use crate::option::catalog;

/// Form and meaning of every switch.
const SWITCHES: [(&str, &str); 33] = [
    ("-V", "print version and feature information to stdout, and exit"),
    ("-h|-?", "print a help text describing command line options and addresses"),
    ("-hh", "like -h, plus a list of all common address option names"),
    ("-hhh", "like -hh, plus a list of all alias names of addresses and options"),
    ("-d", "increase verbosity (twice: notices, 3 times: infos, 4 times: debug)"),
    ("-d<0-4>", "set verbosity level (1 is default: errors and warnings)"),
    ("-D", "print a table of all open file descriptors before the transfer"),
    ("--experimental", "no warnings about experimental features"),
    ("--statistics", "print transfer statistics at termination (and on SIGUSR1)"),
    ("-ly[facility]", "log to syslog, using facility (default is daemon)"),
    ("-lf<logfile>", "log to file"),
    ("-ls", "log to stderr (default if no other log)"),
    ("-lm[facility]", "mixed log mode (stderr during initialization, then syslog)"),
    ("-lp<progname>", "set the program name used for logging and vars"),
    ("-lu", "use microseconds for logging timestamps"),
    ("-lh", "add hostname to log messages"),
    ("-v", "verbose text dump of data traffic"),
    ("-x", "verbose hexadecimal dump of data traffic"),
    ("-r <file>", "raw dump of data flowing from left to right"),
    ("-R <file>", "raw dump of data flowing from right to left"),
    ("-b<size_t>", "set data buffer size exactly (without it the size adapts to the traffic)"),
    ("-s", "sloppy (continue on error)"),
    ("-S<sigmask>", "catch and log these signals (bit n is signal n; 4 6 7 8 11 stay with the kernel)"),
    ("-t<timeout>", "wait seconds before closing second channel (0.5)"),
    ("-T<timeout>", "total inactivity timeout in seconds"),
    ("-u", "unidirectional mode (left to right)"),
    ("-U", "unidirectional mode (right to left)"),
    ("-g", "do not check option groups"),
    ("-L <lockfile>", "try to obtain lock, or fail"),
    ("-W <lockfile>", "try to obtain lock, or wait"),
    ("-0", "do not prefer an IP version"),
    ("-4", "prefer IPv4 if version is not explicitly specified"),
    ("-6", "prefer IPv6 if version is not explicitly specified"),
];

/// The text of the help.
pub fn text(detail: HelpDetail) -> String {
    let mut text = usage();
    text.push_str(
        "   bi-address:  /* is an address that may act both as data source and sink */\n\
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
    let mut text = "ferrule by the Ferrule developers - takes the command lines of socat(1)\n\
                    Usage:\n\
                    socat [options] <bi-address> <bi-address>\n   options (general command line options):\n"
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
