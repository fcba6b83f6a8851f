"""Descriptors that are shared with others: who gets them, and in what state they are left."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import socket
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lines import Running, Tool, wait_until
from peers import ask, dial, pattern, wait_listening

Ports = Callable[[], int]


# Inheritance


@pytest.mark.parametrize("option", ["", ",pipes", ",pty,rawer", ",stderr"])
@pytest.mark.parametrize("kind", ["EXEC", "SYSTEM"])
def test_program_gets_three_descriptors(ferrule: Tool, kind: str, option: str) -> None:
    """Socat passes on what it inherited itself. `ls` opens one more to look into the folder."""
    reader, writer = os.pipe()
    with socket.socket() as other:
        inherited = (reader, writer, other.fileno())
        try:
            done = ferrule.run("-u", f"{kind}:'ls /proc/self/fd'{option}", "-", pass_fds=inherited)
        finally:
            os.close(reader)
            os.close(writer)
    assert (done.code, done.out.split()) == (0, [b"0", b"1", b"2", b"3"])


@pytest.mark.parametrize(("given", "taken"), [(5, 6), (6, 5), (9, 3)])
@pytest.mark.parametrize("option", ["", ",pipes"])
def test_program_gets_the_descriptors_it_was_promised(
    ferrule: Tool, given: int, taken: int, option: str
) -> None:
    """Besides those named: the three standard ones, and one more by which `ls` looks."""
    command = f"SYSTEM:'exec ls /proc/self/fd >&{taken}',fdin={given},fdout={taken}{option}"
    done = ferrule.run("-t", "10", "-", command)
    numbers = {int(word) for word in done.out.split()}
    assert {0, 1, 2, given, taken} <= numbers
    assert len(numbers - {0, 1, 2, given, taken}) <= 2, "the look, and what the shell saves"


@pytest.mark.parametrize("option", ["fdin=5", "fdin=5,fdout=6"])
def test_input_descriptor_of_a_program_without_input(tool: Tool, option: str) -> None:
    done = tool.run("-u", f"SYSTEM:'echo x',{option}", "-")
    assert (done.code, done.out, len(done.level("E"))) == (1, b"", 1)
    assert "fdin" in done.level("E")[0]


def test_program_of_a_listener_gets_neither_listener_nor_other_clients(
    ferrule: Tool, free_port: Ports
) -> None:
    port = free_port()
    line = ferrule.start(f"TCP-LISTEN:{port},reuseaddr,fork", "SYSTEM:'ls /proc/self/fd'")
    wait_listening(port)
    with dial(port), dial(port):
        assert ask(dial(port), b"").split() == [b"0", b"1", b"2", b"3"]
    line.terminate()


# Descriptors that are not there


@pytest.mark.parametrize("closed", ["<&-", ">&-", "<&- >&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("right", ["PIPE", "EXEC:cat"])
def test_start_with_closed_descriptors(ferrule: Tool, free_port: Ports, closed: str, right: str) -> None:
    """No socket may land on the number of a standard stream."""
    port = free_port()
    shell = ("bash", "-c", f'exec "$0" "$@" {closed}')
    line = ferrule.start("-t", "10", f"TCP-LISTEN:{port},reuseaddr,fork", right, wrap=shell)
    wait_listening(port)
    for number in range(3):
        assert ask(dial(port), pattern(5000, number)) == pattern(5000, number)
    for mark, number in (("<&-", 0), (" >&-", 1), ("2>&-", 2)):
        if mark in f" {closed}":
            assert os.readlink(f"/proc/{line.pid}/fd/{number}") == "/dev/null"  # noqa: PTH115
    assert line.terminate().code == 143


def test_closed_stdin_is_an_end_or_an_error(ferrule: Tool) -> None:
    shell = ("bash", "-c", 'exec "$0" "$@" <&-')
    done = ferrule.run("-", "PIPE", wrap=shell)
    assert done.out == b""
    assert done.code in (0, 1)


# O_NONBLOCK belongs to everybody who has the descriptor


class Shared:
    """Both ends of something; the line gets `theirs`, and the test looks at it afterwards."""

    def __init__(self, kind: str) -> None:
        if kind == "pty":
            self.ours, self.theirs = pty.openpty()
        elif kind == "socket":
            a, b = socket.socketpair()
            self.ours, self.theirs = a.detach(), b.detach()
        else:
            reader, writer = os.pipe()
            self.ours, self.theirs = (writer, reader) if kind == "pipe in" else (reader, writer)

    def close(self) -> None:
        os.close(self.ours)
        os.close(self.theirs)


@pytest.fixture(params=["pipe in", "pipe out", "pty", "socket"])
def shared(request: pytest.FixtureRequest) -> Iterator[Shared]:
    made = Shared(request.param)
    yield made
    made.close()


@pytest.mark.parametrize("end", [None, signal.SIGTERM, signal.SIGINT], ids=str)
def test_shared_descriptor_stays_blocking(
    tool: Tool, shared: Shared, request: pytest.FixtureRequest, end: signal.Signals | None
) -> None:
    out_only = request.node.callspec.params["shared"] == "pipe out"
    if out_only:
        line = tool.start("-", "EXEC:cat", stdout=shared.theirs)
        line.send(b"x\n")
        os.read(shared.ours, 1)
    else:
        line = tool.start("-,escape=0x0f", "EXEC:cat", stdin=shared.theirs)
        os.write(shared.ours, b"x\n")
        line.out.wait_for("x")
    if end is not None:
        line.terminate(end)
    elif out_only:
        line.finish()
    else:
        os.write(shared.ours, b"\x0f\n")
        line.wait()
    assert os.get_blocking(shared.theirs)
    assert not fcntl.fcntl(shared.theirs, fcntl.F_GETFL) & os.O_APPEND


def test_killed_line_leaves_a_terminal_blocking(tool: Tool) -> None:
    """Nothing can be restored after SIGKILL, so it must never have been changed."""
    shared = Shared("pty")
    try:
        line = tool.start("-", "EXEC:cat", stdin=shared.theirs)
        os.write(shared.ours, b"x\n")
        line.out.wait_for("x")
        line.terminate(signal.SIGKILL)
        assert os.get_blocking(shared.theirs)
    finally:
        shared.close()


# Terminals


@pytest.mark.parametrize(
    "left", ["STDIO,raw,echo=0,escape=0x0f", "-,rawer,escape=0x0f", "-,cfmakeraw,escape=15"]
)
@pytest.mark.parametrize("end", [None, signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=str)
def test_terminal_is_restored(tool: Tool, left: str, end: signal.Signals | None) -> None:
    master, slave = pty.openpty()
    try:
        before = termios.tcgetattr(slave)
        line = tool.start(left, "EXEC:cat", stdin=slave, stdout=slave)
        wait_until(lambda: not termios.tcgetattr(slave)[3] & termios.ICANON, "a raw terminal")
        os.write(master, b"x")
        assert os.read(master, 1) == b"x"
        if end is None:
            os.write(master, b"\x0f")
        else:
            line.kill(end)
        code = line.wait().code
        assert code == (128 + end.value if end else 0)
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)


def test_terminal_is_restored_after_a_failed_connection(tool: Tool, free_port: Ports) -> None:
    master, slave = pty.openpty()
    try:
        before = termios.tcgetattr(slave)
        line = tool.start("-,rawer", f"TCP:127.0.0.1:{free_port()}", stdin=slave, stdout=slave)
        assert line.wait().code == 1
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)


def test_terminal_of_a_suspended_reader_gets_bytes_whole(tool: Tool, tmp_path: Path) -> None:
    """All byte values through a raw terminal, in pieces."""
    master, slave = pty.openpty()
    try:
        line: Running = tool.start("-u", "-,rawer", "CREATE:got", stdin=slave)
        wait_until(lambda: not termios.tcgetattr(slave)[3] & termios.ICANON, "a raw terminal")
        data = pattern(20_000)
        for start in range(0, len(data), 500):
            os.write(master, data[start : start + 500])
            wait_until(
                lambda upto=start + 500: (
                    (tmp_path / "got").exists() and (tmp_path / "got").stat().st_size >= min(upto, len(data))
                ),
                "the piece in the file",
            )
        assert (tmp_path / "got").read_bytes() == data
        line.terminate()
    finally:
        os.close(master)
        os.close(slave)
