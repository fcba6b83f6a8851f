"""The well-known lines of operation: recording, statistics, diagnostics, locks, environment, activation."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from lines import Running, Tool, log_lines, wait_until
from peers import LOOPBACK, Server, answer_after, ask, bound, dial, echo, read_exactly, wait_listening

Ports = Callable[[], int]
Serve = Callable[..., Server]
STAMP = re.compile(rb"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d+")


# 40 and 41: recording what passes


def dump_of(line: Running) -> bytes:
    return STAMP.sub(b"STAMP", line.err.data)


@pytest.mark.parametrize(
    ("switches", "wanted"),
    [
        (("-v",), b"> STAMP  length=4 from=0 to=3\nask\n< STAMP  length=6 from=0 to=5\nanswer"),
        (
            ("-x",),
            b"> STAMP  length=4 from=0 to=3\n 61 73 6b 0a\n"
            b"< STAMP  length=6 from=0 to=5\n 61 6e 73 77 65 72\n",
        ),
        (
            ("-x", "-v"),
            b"> STAMP  length=4 from=0 to=3\n 61 73 6b 0a" + b" " * 38 + b"ask.\n--\n"
            b"< STAMP  length=6 from=0 to=5\n 61 6e 73 77 65 72" + b" " * 32 + b"answer\n--\n",
        ),
    ],
)
def test_sniffing_forwarder(
    tool: Tool, serve: Serve, free_port: Ports, switches: tuple[str, ...], wanted: bytes
) -> None:
    server, port = serve(answer_after(0, b"answer")), free_port()
    line = tool.start(
        *switches, "-t", "10", f"TCP-LISTEN:{port},reuseaddr,fork", f"TCP:{LOOPBACK}:{server.port}"
    )
    wait_listening(port)
    assert ask(dial(port), b"ask\n") == b"answer"
    wait_until(lambda: len(dump_of(line)) >= len(wanted), "the dump")
    assert dump_of(line) == wanted
    line.terminate()


def test_raw_records(tool: Tool, serve: Serve, free_port: Ports, tmp_path: Path) -> None:
    server, port = serve(answer_after(0, b"answer")), free_port()
    right = f"TCP:{LOOPBACK}:{server.port}"
    line = tool.start("-r", "l2r", "-R", "r2l", "-t", "10", f"TCP-LISTEN:{port},reuseaddr,fork", right)
    wait_listening(port)
    for _ in range(3):
        assert ask(dial(port), b"ask\0\xff\n") == b"answer"
    line.terminate()
    assert (tmp_path / "l2r").read_bytes() == b"ask\0\xff\n" * 3
    assert (tmp_path / "r2l").read_bytes() == b"answer" * 3


@pytest.mark.parametrize("inner", ["same", "socat"])
def test_recording_by_tee(
    tool: Tool, socat: Tool, serve: Serve, free_port: Ports, tmp_path: Path, inner: str
) -> None:
    server, port = serve(echo), free_port()
    inside = tool.path if inner == "same" else socat.path
    command = f"SYSTEM:'tee l2r | {inside} -t 5 - \"TCP:{LOOPBACK}:{server.port}\" | tee r2l'"
    line = tool.start("-t", "10", f"TCP-LISTEN:{port},fork", command)
    wait_listening(port)
    assert ask(dial(port), b"recorded\n") == b"recorded\n"
    for name in ("l2r", "r2l"):
        assert (tmp_path / name).read_bytes() == b"recorded\n"
    line.terminate()


# 79: statistics, younger than Debian's socat


def statistics(text: str) -> list[tuple[str, int, int]]:
    expression = r"STATISTICS: (left to right|right to left): +(\d+) packets\(s\), +(\d+) byte\(s\)"
    rows = [re.fullmatch(expression, line.text) for line in log_lines(text) if line.level == "I"]
    return [(row[1], int(row[2]), int(row[3])) for row in rows if row]


def test_statistics_at_the_end(ferrule: Tool) -> None:
    done = ferrule.run("--statistics", "-", "PIPE", stdin=b"x" * 1234)
    rows = statistics(done.err)
    assert [(name, size) for name, _, size in rows] == [("left to right", 1234), ("right to left", 1234)]
    assert all(1 <= packets <= 1234 for _, packets, _ in rows)
    assert done.level("W") == ["statistics are experimental"]
    widths = {len(line.text) for line in done.log if line.level == "I"}
    assert len(widths) == 1, "the numbers are aligned"


@pytest.mark.parametrize("switch", ["-u", "-U"])
def test_statistics_of_one_direction(ferrule: Tool, switch: str) -> None:
    pair = ("-", "CREATE:f") if switch == "-u" else ("CREATE:f", "-")
    done = ferrule.run("--experimental", "--statistics", switch, *pair, stdin=b"x" * 99)
    name = "left to right" if switch == "-u" else "right to left"
    assert [(row[0], row[2]) for row in statistics(done.err)] == [(name, 99)]
    assert done.level("W") == []


def test_statistics_on_a_signal(ferrule: Tool) -> None:
    line = ferrule.start("-", "PIPE")
    for count in (1, 2):
        line.send(b"12345")
        wait_until(lambda wanted=5 * count: len(line.out) >= wanted, "the echo")
        line.kill(signal.SIGUSR1)
        line.wait_for_log(f"(right to left.*){{{count}}}")
    done = line.finish()
    assert (done.code, done.out) == (0, b"1234512345")
    assert [row[2] for row in statistics(done.err)] == [5, 5, 10, 10]


# 80: diagnostics


def test_notices_go_where_they_are_sent(tool: Tool, tmp_path: Path) -> None:
    done = tool.run("-d", "-d", "-lf", "log", "-lp", "recorder", "-lu", "-", "PIPE", stdin=b"x")
    assert (done.code, done.err) == (0, "")
    lines = log_lines((tmp_path / "log").read_text())
    assert {line.program for line in lines} == {"recorder"}
    assert "exiting with status 0" in [line.text for line in lines]


# 81: a failed connection, for scripts


@pytest.mark.parametrize(
    "address", ["TCP:127.0.0.1:{}", "TCP4-CONNECT:localhost:{}", "TCP:127.0.0.1:{},fork"]
)
def test_failed_connection_says_one_error(tool: Tool, free_port: Ports, address: str) -> None:
    done = tool.run("/dev/null", address.format(free_port()))
    assert (done.code, done.out) == (1, b"")
    assert done.err.count(" E ") == 1
    assert done.level("E")[0].endswith("Connection refused")


# 82: locks


def test_second_instance_is_locked_out(tool: Tool, tmp_path: Path) -> None:
    lock = tmp_path / "lk"
    first = tool.start("-L", str(lock), "-", "PIPE")
    first.send(b"x")
    first.out.wait_for("x")
    assert int(lock.read_text()) == first.pid
    second = tool.run("-L", str(lock), "-", "PIPE", stdin=b"y")
    assert (second.code, second.out) == (1, b"")
    assert second.level("E") == [f'could not obtain lock "{lock}"']
    assert first.finish().code == 0
    assert not lock.exists()
    assert tool.run("-L", str(lock), "-", "PIPE", stdin=b"y").out == b"y"


def test_waiting_for_the_lock(tool: Tool, tmp_path: Path) -> None:
    lock = tmp_path / "lk"
    first = tool.start("-L", str(lock), "-", "PIPE")
    wait_until(lock.exists, "the lock")
    second = tool.start("-d", "-d", "-W", str(lock), "-", "PIPE")
    second.wait_for_log(f' N waiting for lock "{lock}"')
    second.send(b"y")
    assert first.finish().code == 0
    second.out.wait_for("y")
    assert int(lock.read_text()) == second.pid
    assert second.finish().code == 0
    assert not lock.exists()


# 83: what a program learns of its peer


def test_environment_of_a_tcp_server(tool: Tool, free_port: Ports) -> None:
    port = free_port()
    names = ("PEERADDR", "PEERPORT", "SOCKADDR", "SOCKPORT")
    command = "echo " + " ".join(f"$SOCAT_{name}" for name in names)
    line = tool.start("-t", "10", f"TCP4-LISTEN:{port},reuseaddr,fork", f"SYSTEM:'{command}'")
    wait_listening(port)
    for source in (LOOPBACK, "127.0.0.2"):
        connection = dial(port, source=source)
        own = connection.getsockname()[1]
        assert ask(connection, b"").decode().split() == [source, str(own), LOOPBACK, str(port)]
    line.terminate()


def test_environment_of_an_ipv6_server(tool: Tool, free_port: Ports, needs_ipv6: None) -> None:
    port = free_port()
    line = tool.start("-t", "10", f"TCP6-LISTEN:{port},reuseaddr", "SYSTEM:'echo $SOCAT_PEERADDR'")
    wait_listening(port)
    assert ask(dial(port, "::1"), b"") == b"[0000:0000:0000:0000:0000:0000:0000:0001]\n"
    line.wait()


def test_environment_names_processes_and_version(tool: Tool) -> None:
    line = tool.start("-u", "SYSTEM:'echo $SOCAT_PID $SOCAT_PPID $SOCAT_VERSION'", "-")
    pid, ppid, version = line.wait().out.decode().split()
    assert (int(pid), int(ppid)) == (line.pid, line.pid)
    assert re.fullmatch(r"\d+(\.\d+)+\S*", version)


def test_environment_prefix_follows_the_program_name(tool: Tool, free_port: Ports) -> None:
    port = free_port()
    command = "SYSTEM:'echo $MYTOOL_PEERADDR/$SOCAT_PEERADDR'"
    line = tool.start("-t", "10", "-lp", "mytool", f"TCP4-LISTEN:{port},reuseaddr", command)
    wait_listening(port)
    assert ask(dial(port), b"") == b"127.0.0.1/\n"
    line.wait()


# 84: sockets that are there already


def test_listening_socket_as_stdin(ferrule: Tool) -> None:
    """ACCEPT-FD is younger than Debian's socat."""
    with bound() as listener:
        listener.listen()
        line = ferrule.start("ACCEPT-FD:0", "PIPE", stdin=listener.fileno())
        with dial(listener.getsockname()[1]) as client:
            client.sendall(b"activated")
            assert read_exactly(client, 9) == b"activated"
        assert line.wait().code == 0


@pytest.mark.parametrize("number", [3, 11])
def test_listening_socket_on_any_descriptor(ferrule: Tool, number: int) -> None:
    with bound() as listener:
        listener.listen()
        os.dup2(listener.fileno(), held := 40 + number, inheritable=True)
        try:
            command = f'exec "$0" "$@" {number}<&{held} {held}<&-'
            shell = ("bash", "-c", command)
            line = ferrule.start(f"ACCEPT-FD:{number},fork", "PIPE", wrap=shell, pass_fds=(held,))
        finally:
            os.close(held)
        port = listener.getsockname()[1]
        assert [ask(dial(port), b"activated") for _ in range(3)] == [b"activated"] * 3
        assert line.terminate().code == 143


def test_connection_as_stdin_and_stdout(tool: Tool) -> None:
    """A template unit of systemd, or inetd without `wait`."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            line = tool.start(
                "-t", "10", "-", "EXEC:'tr a-z A-Z'", stdin=theirs.fileno(), stdout=theirs.fileno()
            )
        assert ask(ours, b"inetd") == b"INETD"
        assert line.wait().code == 0
