"""One side has said all it had to say; what the other still answers must arrive."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lines import Done, Tool
from peers import (
    LOOPBACK,
    Server,
    answer_after,
    ask,
    dial,
    dial_unix,
    pattern,
    read_all,
    wait_listening,
    wait_unix_listening,
)

Ports = Callable[[], int]
Serve = Callable[..., Server]

QUESTION = pattern(1000)
ANSWER = pattern(100_000, 1)


def counted_loss(done: Done) -> bool:
    """Whether a warning or an error speaks of bytes that were not moved."""
    return any("byte" in text for text in done.level("WE"))


# The answer comes late, and -t gives it the time


@pytest.mark.parametrize("delay", [1, 5])
def test_late_answer_to_stdio(tool: Tool, serve: Serve, delay: float) -> None:
    server = serve(answer_after(delay, ANSWER))
    done = tool.run("-t", "10", "-", f"TCP:{LOOPBACK}:{server.port}", stdin=QUESTION)
    assert (done.code, done.out == ANSWER, done.err) == (0, True, "")


@pytest.mark.parametrize("delay", [1, 5])
def test_late_answer_through_a_forwarder(tool: Tool, serve: Serve, free_port: Ports, delay: float) -> None:
    server, port = serve(answer_after(delay, ANSWER)), free_port()
    line = tool.start("-t", "10", f"TCP-LISTEN:{port},reuseaddr", f"TCP:{LOOPBACK}:{server.port}")
    wait_listening(port)
    assert ask(dial(port), QUESTION) == ANSWER
    assert line.wait().code == 0


def test_late_answer_through_unix_sockets(tool: Tool, serve_unix: Serve, tmp_path: Path) -> None:
    front, back = tmp_path / "front", tmp_path / "back"
    serve_unix(answer_after(1, ANSWER), back)
    line = tool.start("-t", "10", f"UNIX-LISTEN:{front}", f"UNIX-CONNECT:{back}")
    wait_unix_listening(front)
    assert ask(dial_unix(front), QUESTION) == ANSWER
    assert line.wait().code == 0


@pytest.mark.parametrize("delay", [1, 5])
def test_late_answer_of_a_program(tool: Tool, delay: int) -> None:
    command = f"cat >/dev/null; sleep {delay}; seq 1 20000"
    done = tool.run("-t", "10", "-", f"SYSTEM:'{command}'", stdin=QUESTION)
    assert (done.code, done.out) == (0, b"".join(b"%d\n" % n for n in range(1, 20_001)))


def test_question_after_the_answer(tool: Tool, serve: Serve) -> None:
    """The server closes its half first; the client still has something to send."""
    got: list[bytes] = []

    def greet_and_listen(connection: socket.socket) -> None:
        connection.sendall(b"bye")
        connection.shutdown(socket.SHUT_WR)
        got.append(read_all(connection))

    server = serve(greet_and_listen)
    line = tool.start("-t", "10", "-", f"TCP:{LOOPBACK}:{server.port}")
    line.out.wait_for("bye")
    line.send(QUESTION)
    done = line.finish()
    server.finish()
    assert (done.code, done.out, got) == (0, b"bye", [QUESTION])


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_both_sides_close_at_the_same_time(tool: Tool, serve: Serve, free_port: Ports, size: int) -> None:
    data = pattern(size)
    got: list[bytes] = []

    def exchange(connection: socket.socket) -> None:
        got.append(ask(connection, data))

    server, port = serve(exchange), free_port()
    line = tool.start("-t", "10", f"TCP-LISTEN:{port},reuseaddr", f"TCP:{LOOPBACK}:{server.port}")
    wait_listening(port)
    assert ask(dial(port), data) == data
    assert line.wait().code == 0
    server.finish()
    assert got == [data]


def test_answer_of_a_server_that_does_not_listen(ferrule: Tool, serve: Serve) -> None:
    """Closing with unread input makes the kernel send RST; the answer was on its way before."""

    def answer_and_hang_up(connection: socket.socket) -> None:
        connection.recv(1, socket.MSG_PEEK)  # there is input, and it is never read
        connection.sendall(ANSWER[:1000])

    server = serve(answer_and_hang_up)
    line = ferrule.start("-t", "10", "-", f"TCP:{LOOPBACK}:{server.port}")
    line.send(QUESTION)
    line.out.wait_for(".")
    assert line.finish().out == ANSWER[:1000]


# The default -t: as short as scripts expect, but never silent about a loss. Socat exits 0 here.


def test_cut_answer_to_stdout_is_an_error(ferrule: Tool, serve: Serve) -> None:
    server = serve(answer_after(0, pattern(50_000_000)))
    reader, writer = os.pipe()
    try:
        started = time.monotonic()
        line = ferrule.start("-", f"TCP:{LOOPBACK}:{server.port}", stdout=writer)
        done = line.finish()  # nobody has read from the pipe
        assert time.monotonic() - started < 6
    finally:
        os.close(writer)
        os.close(reader)
    assert done.code == 1
    assert counted_loss(done), done.err


@pytest.mark.parametrize("forked", [False, True])
def test_cut_answer_to_a_client_is_an_error(
    ferrule: Tool, serve: Serve, free_port: Ports, forked: bool
) -> None:
    server, port = serve(answer_after(0, pattern(20_000_000))), free_port()
    left = f"TCP-LISTEN:{port},reuseaddr" + (",fork" if forked else "")
    line = ferrule.start(left, f"TCP:{LOOPBACK}:{server.port}")
    wait_listening(port)
    with dial(port) as client:
        client.shutdown(socket.SHUT_WR)
        if not forked:
            done = line.wait()  # the client has not read a byte
            assert done.code == 1
        else:
            line.wait_for_log("byte")
            done = line.terminate()
            assert done.code == 143, "one connection does not decide over the listener"
    assert counted_loss(done), done.err


def test_nothing_waiting_is_no_error(tool: Tool, serve: Serve) -> None:
    """The direction that is cut had nothing to give: that is the ordinary end."""
    server = serve(answer_after(8, b"much too late"))
    done = tool.run("-", f"TCP:{LOOPBACK}:{server.port}", stdin=QUESTION)
    assert (done.code, done.out, done.err) == (0, b"", "")
