"""What the command line writes beside the data: log lines, notices, dumps, records."""

from __future__ import annotations

import datetime
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from lines import Done, Tool, log_lines
from peers import LOOPBACK, Server, ask, dial, dial_unix, echo, wait_listening, wait_unix_listening

Ports = Callable[[], int]
Serve = Callable[..., Server]
STAMP = re.compile(r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d+")
ODD = b"ab\tc\x00\x01\x7f\x80\xff\\\nzz\r\a\b\v\f\x1b[0m"


# The format of a line


def test_line_format(tool: Tool) -> None:
    before = datetime.datetime.now().replace(microsecond=0)
    line = tool.start("-d", "-d", "-", "PIPE")
    done = line.finish()
    after = datetime.datetime.now()
    assert [entry.text for entry in done.log] == [text.split("] N ")[1] for text in done.err.splitlines()]
    for entry in done.log:
        stamp = datetime.datetime.strptime(f"{entry.date} {entry.time}", "%Y/%m/%d %H:%M:%S")
        assert before <= stamp <= after
        assert (entry.program, entry.pid, entry.host) == (os.path.basename(tool.path), line.pid, None)  # noqa: PTH119


def test_microseconds(tool: Tool) -> None:
    done = tool.run("-d", "-d", "-lu", "-", "PIPE")
    assert done.log
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d\.\d{6}", entry.time) for entry in done.log)


@pytest.mark.parametrize(("env", "host"), [({"HOSTNAME": "harbour"}, "harbour"), ({}, socket.gethostname())])
def test_host_name(tool: Tool, env: dict[str, str], host: str) -> None:
    done = tool.run("-d", "-d", "-lh", "-", "PIPE", env=env)
    assert {entry.host for entry in done.log} == {host}


@pytest.mark.parametrize("name", [["-lp", "other"], ["-lpother"]], ids=" ".join)
def test_program_name(tool: Tool, name: list[str]) -> None:
    done = tool.run("-d", "-d", *name, "-", "PIPE")
    assert {entry.program for entry in done.log} == {"other"}


@pytest.mark.parametrize("file", [["-lf", "log"], ["-lflog"]], ids=" ".join)
def test_log_file_is_appended_to(tool: Tool, tmp_path: Path, file: list[str]) -> None:
    (tmp_path / "log").write_text("kept\n")
    done = tool.run("-d", "-d", *file, "-", "PIPE", stdin=b"x")
    assert (done.code, done.out, done.err) == (0, b"x", "")
    text = (tmp_path / "log").read_text()
    assert text.startswith("kept\n")
    assert log_lines(text)[-1].text == "exiting with status 0"


def test_log_file_gets_the_errors(tool: Tool, tmp_path: Path) -> None:
    done = tool.run("-lf", "log", "-", "nothing:1")
    assert (done.code, done.err) == (1, "")
    assert [(entry.level, entry.text) for entry in log_lines((tmp_path / "log").read_text())][:1] == [
        ("E", 'unknown device/address "nothing"')
    ]


@pytest.mark.parametrize(
    ("switches", "levels"),
    [
        (["-d0"], ""),
        (["-d1"], ""),
        ([], ""),
        (["-d"], ""),
        (["-dd"], "N"),
        (["-ddd"], "NI"),
        (["-d3"], "NI"),
    ],
    ids=str,
)
def test_verbosity(ferrule: Tool, switches: list[str], levels: str) -> None:
    """Debian's socat has no digits after -d, and -d there adds the warnings."""
    done = ferrule.run(*switches, "-", "PIPE", stdin=b"x")
    assert {entry.level for entry in done.log} == set(levels)


@pytest.mark.parametrize(("switch", "count"), [("-d0", 0), ("-d1", 1), ("-d2", 1), ("-d", 1)])
def test_warnings_are_on_unless_refused(ferrule: Tool, free_port: Ports, switch: str, count: int) -> None:
    """Debian's socat needs -d to warn."""
    done = ferrule.run(switch, f"TCP4-LISTEN:{free_port()},accept-timeout=0.1", "PIPE")
    assert (done.code, len(done.level("W"))) == (0, count)


# The notices that scripts look for, in the order of a life


def in_order(done: Done, wanted: list[str]) -> None:
    """Each expression matches a notice, one after the other; other notices may stand between."""
    notices = iter(done.level("N"))
    for expression in wanted:
        assert any(re.fullmatch(expression, text) for text in notices), (
            f"{expression!r} is missing, or not in its place:\n{done.err}"
        )


AF4 = r"AF=2 127\.0\.0\.1:"
START = r"starting data transfer loop with FDs \[\d+,\d+\] and \[\d+,\d+\]"
FIRST_END = r"socket 1 \(fd \d+\) is at EOF"
SECOND_END = r"socket 2 \(fd \d+\) is at EOF"


def test_notices_of_a_client(tool: Tool, serve: Serve) -> None:
    server = serve(echo)
    done = tool.run("-d", "-d", "-t", "10", "-", f"TCP:{LOOPBACK}:{server.port}", stdin=b"x")
    wanted = [
        "reading from and writing to stdio",
        rf"opening connection to {AF4}{server.port}",
        rf"successfully connected from local address {AF4}\d+",
        START,
        FIRST_END,
        SECOND_END,
        "exiting with status 0",
    ]
    in_order(done, wanted)


def test_notices_of_a_client_name_what_was_asked(ferrule: Tool, serve: Serve) -> None:
    """Debian's socat only names the resolved addresses."""
    server = serve(echo)
    done = ferrule.run("-dd", "-t", "10", "-", f"TCP:localhost:{server.port}", stdin=b"x")
    wanted = [
        rf"opening connection to localhost:{server.port}",
        rf"opening connection to {AF4}{server.port}",
        rf"successfully connected from local address {AF4}\d+",
        rf"successfully connected to localhost:{server.port}",
        START,
    ]
    in_order(done, wanted)


@pytest.mark.parametrize("options", ["reuseaddr", "reuseaddr,fork"])
def test_notices_of_a_listener(tool: Tool, free_port: Ports, options: str) -> None:
    port = free_port()
    line = tool.start("-d", "-d", f"TCP4-LISTEN:{port},{options}", "PIPE")
    wait_listening(port)
    connection = dial(port)
    own = connection.getsockname()[1]
    assert ask(connection, b"x") == b"x"
    line.wait_for_log("socket 2 .* at EOF")
    done = line.terminate() if "fork" in options else line.wait()
    wanted = [
        rf"listening on AF=2 0\.0\.0\.0:{port}",
        rf"accepting connection from {AF4}{own} on {AF4}{port}",
        START,
        FIRST_END,
        SECOND_END,
    ]
    in_order(done, wanted)


def test_notices_of_a_unix_listener(tool: Tool, tmp_path: Path) -> None:
    path = tmp_path / "s"
    line = tool.start("-d", "-d", f"UNIX-LISTEN:{path}", "PIPE")
    wait_unix_listening(path)
    assert ask(dial_unix(path), b"x") == b"x"
    name = re.escape(str(path))
    wanted = [
        f'listening on AF=1 "{name}"',
        f'accepting connection from AF=1 "<anon>" on AF=1 "{name}"',
        START,
        "exiting with status 0",
    ]
    in_order(line.wait(), wanted)


def test_notices_of_ipv6_are_written_in_full(tool: Tool, serve: Serve, needs_ipv6: None) -> None:
    server = serve(echo, "::1")
    done = tool.run("-d", "-d", "-t", "10", "-", f"TCP6:[::1]:{server.port}", stdin=b"x")
    full = r"\[0000:0000:0000:0000:0000:0000:0000:0001\]"
    in_order(done, [f"opening connection to AF=10 {full}:{server.port}", START, "exiting with status 0"])


def test_notices_of_a_program(tool: Tool) -> None:
    done = tool.run("-d", "-d", "-t", "10", "-", "EXEC:cat", stdin=b"x")
    in_order(done, ["reading from and writing to stdio", r"forked off child process \d+", START])
    in_order(done, ['execvp\'ing "cat"'])


def test_notices_of_a_terminal(tool: Tool) -> None:
    line = tool.start("-d", "-d", "PTY,rawer", "PIPE")
    line.wait_for_log(r" N PTY is /dev/pts/\d+$")
    line.wait_for_log(START)
    assert line.terminate().code == 143


def test_notices_after_an_error(tool: Tool, free_port: Ports) -> None:
    done = tool.run("-d", "-d", "/dev/null", f"TCP:{LOOPBACK}:{free_port()}")
    assert done.level("EN")[-2:] == [done.level("E")[0], "exit(1)"]


def test_error_of_a_failed_connection(ferrule: Tool, free_port: Ports) -> None:
    """Debian's socat has the same words in one line, as an error."""
    port = free_port()
    done = ferrule.run("/dev/null", f"TCP:{LOOPBACK}:{port}")
    assert len(done.level("W")) == 1
    assert re.fullmatch(
        rf"connect\(\d+, AF=2 127\.0\.0\.1:{port}, 16\): Connection refused", done.level("W")[0]
    )
    assert done.level("E") == [f"TCP:{LOOPBACK}:{port}: Connection refused"]


# Dumps: exact bytes, the time masked


def dumped(done: Done) -> str:
    return STAMP.sub("STAMP", done.err)


@pytest.mark.parametrize(
    ("switches", "wanted"),
    [
        (["-v"], "ab\tc.....\\\\\nzz\\r\\a\\b\\v\\f.[0m"),
        (["-x"], " 61 62 09 63 00 01 7f 80 ff 5c 0a 7a 7a 0d 07 08 0b 0c 1b 5b 30 6d\n"),
        (
            ["-v", "-x"],
            " 61 62 09 63 00 01 7f 80 ff 5c 0a                 ab.c.....\\.\n"
            " 7a 7a 0d 07 08 0b 0c 1b 5b 30 6d                 zz......[0m\n--\n",
        ),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(("direction", "sign"), [("-u", ">"), ("-U", "<")])
def test_dump(
    tool: Tool, tmp_path: Path, switches: list[str], wanted: str, direction: str, sign: str
) -> None:
    pair = ("-", "CREATE:out") if direction == "-u" else ("CREATE:out", "-")
    done = tool.run(*switches, direction, *pair, stdin=ODD)
    assert done.code == 0
    assert (tmp_path / "out").read_bytes() == ODD
    assert dumped(done) == f"{sign} STAMP  length=22 from=0 to=21\n{wanted}"


def test_dump_breaks_rows_after_sixteen_bytes_and_newlines(tool: Tool) -> None:
    done = tool.run("-v", "-x", "-u", "-", "-", stdin=b"0123456789abcdefXY\n\nz")
    assert dumped(done) == (
        "> STAMP  length=21 from=0 to=20\n"
        " 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef\n"
        " 58 59 0a                                         XY.\n"
        " 0a                                               .\n"
        " 7a                                               z\n"
        "--\n"
    )


def test_dump_counts_on_and_has_microseconds(ferrule: Tool) -> None:
    """Debian's socat writes nine digits with three zeros in front."""
    done = ferrule.run("-v", "-b", "4", "-u", "-", "-", stdin=b"0123456789")
    heads = re.findall(r"> \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.(\d+)  length=(\d) from=(\d) to=(\d)\n", done.err)
    assert [head[1:] for head in heads] == [("4", "0", "3"), ("4", "4", "7"), ("2", "8", "9")]
    assert all(len(head[0]) == 6 for head in heads)


def test_dump_shows_data_after_conversion(tool: Tool) -> None:
    done = tool.run("-v", "-u", "-", "-,crlf", stdin=b"a\nb\n")
    assert dumped(done) == "> STAMP  length=6 from=0 to=5\na\\r\nb\\r\n"


def test_dump_goes_to_stderr_even_with_a_log_file(tool: Tool, tmp_path: Path) -> None:
    done = tool.run("-d", "-d", "-lf", "log", "-v", "-u", "-", "-", stdin=b"x")
    assert dumped(done) == "> STAMP  length=1 from=0 to=0\nx"
    assert "length=" not in (tmp_path / "log").read_text()


# Records


@pytest.mark.parametrize(("left", "right"), [(["-r", "a"], ["-R", "b"]), (["-ra"], ["-Rb"])])
def test_records_are_appended(tool: Tool, tmp_path: Path, left: list[str], right: list[str]) -> None:
    for _ in range(2):
        done = tool.run(*left, *right, "-t", "10", "-", "EXEC:'tr a-z A-Z'", stdin=ODD)
        assert (done.code, done.err) == (0, "")
    assert (tmp_path / "a").read_bytes() == ODD * 2
    assert (tmp_path / "b").read_bytes() == ODD.upper() * 2
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o664 & ~0o022


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("in-$$", "in-{pid}"),
        ("${WHERE}.raw", "harbour.raw"),
        ("$WHERE-x", "harbour-x"),
        (r"\$WHERE", "$WHERE"),
        ("$PROGNAME.in", "{name}.in"),
        ("at-$TIMESTAMP", r"at-\d{{8}}T\d{{6}}"),
        ("at-$MICROS", r"at-\d{{6}}"),
    ],
)
def test_names_of_records_have_variables(ferrule: Tool, tmp_path: Path, name: str, wanted: str) -> None:
    """Debian's socat takes the name as it stands."""
    line = ferrule.start("-r", name, "-u", "-", "-", env={"WHERE": "harbour"})
    line.send(b"x")
    assert line.finish().code == 0
    (made,) = tmp_path.iterdir()
    expected = wanted.format(pid=line.pid, name=Path(ferrule.path).name)
    assert made.name == expected or re.fullmatch(expected, made.name)
    assert made.read_bytes() == b"x"
