"""The switches of the socat command line: how they are read, what is refused, and the help."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from lines import Done, Tool

TEXT = b"one\ntwo\n"
ALIAS = re.compile(r"^ {3,9}(\S+)\s+is an alias (?:name )?for (?:canonical )?(\S+)$", re.MULTILINE)
OPTION = re.compile(r"^ {6}(\S+)\t+groups=(\S+)\t+phase=(\S+)\t+type=(\S.*)$", re.MULTILINE)
ADDRESS = re.compile(r"^ {6}([A-Za-z0-9-]+)(\S*)\s+groups=([A-Z0-9,_]+)$", re.MULTILINE)

SWITCHES = {
    *("-V", "-h", "-hh", "-hhh", "-d", "-D", "--experimental", "--statistics", "-ly", "-lf", "-ls", "-lm"),
    *("-lp", "-lu", "-lh", "-v", "-x", "-r", "-R", "-b", "-s", "-S", "-t", "-T", "-u", "-U", "-g", "-L"),
    *("-W", "-0", "-4", "-6"),
}


def refused(done: Done) -> str:
    """The only error of a line that did nothing."""
    assert (done.code, done.out) == (1, b"")
    errors = done.level("E")
    assert len(errors) == 1, done.err
    return errors[0]


# What is refused, and with which words


@pytest.mark.parametrize("switch", ["-vx", "-xv", "-uv"])
def test_merged_switches_get_a_hint(tool: Tool, switch: str) -> None:
    done = tool.run(switch, "-", "PIPE", stdin=TEXT)
    assert (done.code, done.out) == (1, b"")
    assert "Do not merge single character options" in done.err
    assert f"-{switch[1]} -{switch[2]}" in done.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-b", "garbage", "-", "PIPE"], "missing numerical value"),
        (["-b", "10x", "-", "PIPE"], "trailing garbage"),
        (["-b10x", "-", "PIPE"], "trailing garbage"),
        (["-b", "0x1z", "-", "PIPE"], "trailing garbage"),
        (["-b", "99999999999999999999", "-", "PIPE"], "to big"),
        (["-t", "1x", "-", "PIPE"], "trailing garbage"),
        (["-T", "soon", "-", "PIPE"], "missing numerical value"),
        (["-,escape=300x", "PIPE"], "trailing garbage"),
        (["-,end-close=0", "PIPE"], "no value permitted"),
        (["-b"], "requires an argument"),
        (["-q", "-", "PIPE"], 'unknown option "-q"; use option "-h" for help'),
        (["--nonsense", "-", "PIPE"], 'unknown option "--nonsense"; use option "-h" for help'),
        (["-d"], 'exactly 2 addresses required (there are 0); use option "-h" for help'),
        (["-"], 'exactly 2 addresses required (there are 1); use option "-h" for help'),
        (["-", "PIPE", "-"], 'exactly 2 addresses required (there are 3); use option "-h" for help'),
        (["-", "PIPE", "-d"], 'exactly 2 addresses required (there are 3); use option "-h" for help'),
        (["-u", "-U", "-", "PIPE"], "must not be combined"),
        (["-L", "l", "-W", "w", "-", "PIPE"], "only one -L and -W option allowed"),
        (["-W", "w", "-L", "l", "-", "PIPE"], "only one -L and -W option allowed"),
        (["nothing", "-"], 'unknown device/address "nothing"'),
        (["-", "nothing:1"], 'unknown device/address "nothing"'),
        (["10", "-"], 'unknown device/address "10"'),
        (["TCP:localhost", "-"], "TCP: wrong number of parameters (1 instead of 2)"),
        (["-,nothing", "PIPE"], 'parseopts_table(): unknown option "nothing"'),
        (
            ["-,backlog=3", "PIPE"],
            'parseopts_table(): option "backlog" not supported with this address type',
        ),
    ],
)
def test_refused_lines(tool: Tool, tmp_path: Path, arguments: list[str], words: str) -> None:
    assert words in refused(tool.run(*arguments, stdin=TEXT))
    assert list(tmp_path.iterdir()) == [], "nothing was created before the text was understood"


def test_usage_follows_a_wrong_number_of_parameters(ferrule: Tool) -> None:
    """Debian's socat does not say the usage yet."""
    error = refused(ferrule.run("TCP:localhost", "-"))
    assert error == "TCP: wrong number of parameters (1 instead of 2): usage: TCP:<host>:<port>"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-S", "2x", "-", "PIPE"], "trailing garbage"),
        (["TCP-LISTEN:80000", "PIPE"], "80000"),
        (["TCP-LISTEN:", "PIPE"], "empty port and service"),
        (['CREATE:"open', "PIPE"], "syntax error"),
        (["EXEC:'cat", "PIPE"], "syntax error"),
    ],
)
def test_refused_lines_that_debian_treats_differently(
    ferrule: Tool, arguments: list[str], words: str
) -> None:
    """Debian's socat accepts, truncates or names these otherwise."""
    error = refused(ferrule.run(*arguments, stdin=TEXT))
    assert words in error or words.replace("syntax error", "unexpected end") in error


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["-,reuseadr", "PIPE"], "reuseaddr"),
        (["TCP-LISTN:1", "PIPE"], "TCP-LISTEN"),
        (["TCP:::1:80", "PIPE"], "bracket"),
        (["file.txt", "-"], "./file.txt"),
    ],
)
def test_mistakes_get_a_hint(ferrule: Tool, arguments: list[str], hint: str) -> None:
    """Ours alone: what was probably meant, below the line that scripts know."""
    done = ferrule.run(*arguments, stdin=TEXT)
    assert (done.code, len(done.level("E"))) == (1, 1)
    after = done.err.splitlines()[1:]
    assert hint in "\n".join(after)


# What is accepted


@pytest.mark.parametrize("switch", ["-D", "-s", "-g", "-4", "-6", "-lu", "-lh", "-ls", "-d", "-v", "-x"])
def test_switch_alone_changes_no_byte(tool: Tool, switch: str) -> None:
    done = tool.run(switch, "-", "PIPE", stdin=TEXT)
    assert (done.code, done.out) == (0, TEXT)


@pytest.mark.parametrize(
    "switches", [["-0"], ["-d0"], ["-d4"], ["--experimental"], ["-S", "0x8006"], ["-S0x89de"]]
)
def test_younger_switches_change_no_byte(ferrule: Tool, switches: list[str]) -> None:
    """Debian's socat does not have these."""
    done = ferrule.run(*switches, "-", "PIPE", stdin=TEXT)
    assert (done.code, done.out) == (0, TEXT)


@pytest.mark.parametrize(
    "switches",
    [["-b", "1"], ["-b1"], ["-b", "0x10"], ["-b", "010"], ["-b65536"], ["-b", "100000"]],
    ids=" ".join,
)
@pytest.mark.parametrize("right", ["PIPE", "EXEC:cat"])
def test_block_size_changes_no_byte(tool: Tool, switches: list[str], right: str) -> None:
    data = bytes(range(256)) * 40
    done = tool.run("-t", "10", *switches, "-", right, stdin=data)
    assert (done.code, done.out == data) == (0, True)


def test_block_size_is_the_size_of_a_block(tool: Tool) -> None:
    done = tool.run("-v", "-b", "3", "-u", "-", "-", stdin=b"abcdefgh")
    assert done.out == b"abcdefgh"
    assert re.findall(r"length=(\d+)", done.err) == ["3", "3", "2"]


@pytest.mark.parametrize(
    ("switch", "pair"), [("-u", ("./given", "./taken")), ("-U", ("./taken,creat", "./given"))]
)
def test_one_direction(tool: Tool, tmp_path: Path, switch: str, pair: tuple[str, str]) -> None:
    (tmp_path / "given").write_bytes(TEXT)
    started = time.monotonic()
    assert tool.run("-t", "20", switch, *pair).code == 0
    assert time.monotonic() - started < 5, "the end of the only direction is the end"
    assert (tmp_path / "taken").read_bytes() == TEXT


def test_group_check_can_be_left_out(tool: Tool) -> None:
    words = "not supported with this address type"
    assert words in tool.run("-,backlog=3", "PIPE").err
    assert words not in tool.run("-g", "-,backlog=3", "PIPE").err


def test_other_letters_after_d_show_the_usage_and_go_on(ferrule: Tool) -> None:
    """Debian's socat ends here."""
    done = ferrule.run("-dx", "-", "PIPE", stdin=TEXT)
    assert (done.code, done.out) == (0, TEXT)
    assert "sage" in done.err


# The version and the help, as scripts read them


def test_version_layout(tool: Tool) -> None:
    done = tool.run("-V")
    lines = done.out.decode().splitlines()
    assert (done.code, done.err) == (0, "")
    assert re.match(r"socat version \d+\.\d+\.\d+(\.\d+)? on \S", lines[1])
    assert re.match(r" {3}running on \S", lines[2])
    assert lines[3] == "features:"
    features = lines[4:]
    assert all(
        re.fullmatch(r"  #(define|undef) WITH_[A-Z0-9_]+( \d.*)?( /\*\w+\*/)?", line) for line in features
    )
    for name in ("STDIO", "FILE", "PIPE", "UNIX", "IP4", "TCP", "LISTEN", "EXEC", "PTY", "RETRY"):
        assert f"  #define WITH_{name} 1" in features


@pytest.mark.parametrize("switch", ["-Vx", "-V1"])
def test_version_takes_no_more_letters(tool: Tool, switch: str) -> None:
    done = tool.run(switch)
    assert (done.code, done.out) == (1, b"")
    assert "sage" in done.err


@pytest.mark.parametrize(("switch", "other"), [("-h", "-?"), ("-hh", "-??"), ("-hhh", "-???")])
def test_help_goes_to_stdout(tool: Tool, switch: str, other: str) -> None:
    asked, same = tool.run(switch), tool.run(other)
    assert (asked.code, asked.err, len(asked.out) > 1000) == (0, "", True)
    assert same.out == asked.out
    text = asked.out.decode()
    for heading in ("bi-address", "single-address", "address-head"):
        assert re.search(rf"^   {heading}:", text, re.MULTILINE)


def test_help_lists_all_switches(ferrule: Tool) -> None:
    """Debian's socat knows fewer."""
    text = ferrule.run("-h").out.decode().partition("   bi-address:")[0]
    rows = [re.split(r"[\s\[<|]", row.strip())[0] for row in text.splitlines() if row.startswith("      -")]
    assert set(rows) >= SWITCHES
    assert len(rows) == 33, "-d has a second row for its digits"


def addresses_of(done: Done) -> dict[str, tuple[str, str]]:
    text = done.out.decode().partition("address-head:")[2].partition("   opt:")[0]
    return {name.lower(): (rest.lower(), groups) for name, rest, groups in ADDRESS.findall(text)}


def test_help_lists_the_addresses_in_order(tool: Tool) -> None:
    found = addresses_of(tool.run("-h"))
    assert list(found) == sorted(found)
    assert found["tcp-connect"][0] == ":<host>:<port>"
    assert found["tcp-listen"][0].startswith(":<port>")
    assert found["unix-listen"] == (":<filename>", "FD,SOCKET,NAMED,LISTEN,CHILD,RETRY,UNIX")
    assert {"FD", "SOCKET", "LISTEN", "CHILD", "RANGE", "TCP"} <= set(found["tcp-listen"][1].split(","))


def test_help_lists_the_options_in_order(tool: Tool) -> None:
    assert OPTION.findall(tool.run("-h").out.decode()) == []
    rows = OPTION.findall(tool.run("-hh").out.decode().partition("   opt:\n")[2])
    names = [row[0] for row in rows]
    assert names == sorted(names)
    assert len(names) > 280
    assert "backlog" in names
    assert "so-reuseaddr" in names or "reuseaddr" in names


def test_help_lists_the_aliases(tool: Tool) -> None:
    assert len(ALIAS.findall(tool.run("-hhh").out.decode())) > 200
    assert dict(ALIAS.findall(tool.run("-hhh").out.decode()))["wronly"] == "o-wronly"


# Families of addresses, and groups of options, that Ferrule does not have yet; README.md names them, too.
COMING_ADDRESSES = re.compile(
    r"(udp|sctp|dccp|ip[46]?-|vsock|openssl|ssl|dtls|socks|proxy|tun|interface|if$|readline|socket-|posixmq"
    r"|datagram|dgram|sendto|ip[46]?$|.*-(recv|recvfrom|send|sendto)$)"
)
COMING_GROUPS = {
    "OPENSSL", "SOCKS4", "SOCKS5", "SOCKS", "HTTP", "READLINE", "INTERFACE", "SCTP", "DCCP",
    "UDPLITE", "POSIXMQ", "UDP", "IP-SOCKS4", "TUN",
}  # fmt: skip


def test_no_name_of_debian_is_unknown(ferrule: Tool, socat: Tool) -> None:
    """The keywords, options and aliases that the original lists are listed by Ferrule, too."""

    def listed(tool: Tool) -> tuple[dict[str, set[str]], dict[str, str], set[str]]:
        done = tool.run("-hhh")
        text = done.out.decode()
        options = {name: set(groups.split(",")) for name, groups, *_ in OPTION.findall(text)}
        aliases = {alias.lower(): name.lower() for alias, name in ALIAS.findall(text)}
        return options, aliases, set(addresses_of(done))

    options, aliases, addresses = listed(socat)
    ours, our_aliases, our_addresses = listed(ferrule)
    known = set(ours) | set(our_aliases) | our_addresses
    coming = {name for name, groups in options.items() if groups <= COMING_GROUPS}
    wanted = set(options) - coming
    wanted |= {name for name in addresses if not COMING_ADDRESSES.match(name)}
    wanted |= {
        alias
        for alias, name in aliases.items()
        if name not in coming and not COMING_ADDRESSES.match(name.split(":")[0])
    }
    assert len(wanted) > 540
    assert sorted(wanted - known) == []
