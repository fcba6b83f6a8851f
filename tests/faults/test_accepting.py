"""A listener outlives what accept() and its clients do to it."""

from __future__ import annotations

import contextlib
import re
import select
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from lines import LIMIT, Running, Tool, wait_until
from peers import LOOPBACK, Server, ask, dial, echo, listening, read_exactly, reset, wait_listening

Ports = Callable[[], int]
Serve = Callable[..., Server]


def listener(tool: Tool, port: int, *rest: str, options: str = "fork", **more: object) -> Running:
    right = rest or ("PIPE",)
    line = tool.start(f"TCP-LISTEN:{port},bind={LOOPBACK},reuseaddr,{options}", *right, **more)
    wait_listening(port)
    return line


def descriptors(line: Running) -> int:
    return len(list(Path(f"/proc/{line.pid}/fd").iterdir()))


def one_round(port: int) -> None:
    with dial(port) as client:
        client.sendall(b"ping")
        assert read_exactly(client, 4) == b"ping"


# Out of descriptors


def test_listener_survives_and_resumes_when_out_of_descriptors(ferrule: Tool, free_port: Ports) -> None:
    port = free_port()
    limited = ("prlimit", "--nofile=40:40")
    line = listener(ferrule, port, options="fork,backlog=128", wrap=limited)
    waiting = {dial(port): number for number in range(60)}
    for client, number in waiting.items():
        client.sendall(b"%04d" % number)
    assert 0 < len(readable(waiting, 1.0)) < 60, "the limit must bite for this test to mean something"
    assert cpu_share(line, 1.0) < 0.2, "waiting for descriptors is not busy waiting"
    assert line.process.poll() is None
    deadline = time.monotonic() + LIMIT
    while waiting and time.monotonic() < deadline:
        for client in readable(waiting, 0.5):
            assert read_exactly(client, 4) == b"%04d" % waiting.pop(client)
            client.close()
    left = len(waiting)
    for client in waiting:
        client.close()
    assert left == 0, f"{left} clients were never served"
    one_round(port)
    assert line.terminate().code == 143


def readable(clients: dict[socket.socket, int], limit: float) -> list[socket.socket]:
    return select.select(list(clients), [], [], limit)[0]


def cpu_share(line: Running, seconds: float) -> float:
    process = psutil.Process(line.pid)
    before = process.cpu_times()
    time.sleep(seconds)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / seconds


@pytest.mark.parametrize(
    "error",
    [
        *("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"),
        *("ECONNABORTED", "EPROTO", "EPERM", "EINTR", "ENETDOWN", "EHOSTUNREACH"),
    ],
)
def test_listener_survives_errors_of_accept(
    ferrule: Tool, free_port: Ports, tmp_path: Path, error: str
) -> None:
    """EAGAIN is not among them: invented, it would contradict what epoll has just said."""
    port, trace = free_port(), tmp_path / "trace"
    line = listener(ferrule, port, wrap=strace(trace, f"accept,accept4:error={error}:when=1+2"))
    for _ in range(4):
        one_round(port)
    assert line.process.poll() is None
    line.terminate()
    injected = [row for row in trace.read_text().splitlines() if "(INJECTED)" in row]
    assert len(injected) >= 2, "the error must have been met"
    assert all(error in row for row in injected)


def strace(trace: Path, injected: str) -> tuple[str, ...]:
    """Run below strace, which stays out of the way: the command itself is our child."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed here")
    calls = injected.partition(":")[0]
    return ("strace", "-D", "-f", "-qq", "-o", str(trace), "-e", f"trace={calls}", "-e", f"inject={injected}")


def test_clients_that_are_gone_before_they_are_accepted(ferrule: Tool, free_port: Ports) -> None:
    port = free_port()
    line = listener(ferrule, port, options="fork,backlog=300")
    for _ in range(200):
        reset(dial(port))
    one_round(port)
    assert line.terminate().code == 143


# Nothing is left behind


def test_connections_leave_no_descriptor_and_no_child(ferrule: Tool, free_port: Ports) -> None:
    port = free_port()
    line = listener(ferrule, port)
    one_round(port)
    before = settled(line)
    for _ in range(5000):
        one_round(port)
    wait_until(lambda: descriptors(line) <= before, f"{before} descriptors again")
    assert children(line) == []
    assert line.terminate().code == 143


def test_connections_to_a_server_leave_no_descriptor(ferrule: Tool, serve: Serve, free_port: Ports) -> None:
    server, port = serve(echo), free_port()
    line = listener(ferrule, port, f"TCP:{LOOPBACK}:{server.port}")
    one_round(port)
    before = settled(line)
    for _ in range(300):
        one_round(port)
    wait_until(lambda: descriptors(line) <= before, f"{before} descriptors again")


@pytest.mark.parametrize("right", ["EXEC:cat", "SYSTEM:'exec cat'", "EXEC:cat,pty,rawer"])
def test_programs_leave_no_descriptor_and_no_zombie(ferrule: Tool, free_port: Ports, right: str) -> None:
    port = free_port()
    line = listener(ferrule, port, right)
    one_round(port)
    wait_until(lambda: children(line) == [], "no child")
    before = settled(line)
    for _ in range(60):
        one_round(port)
    wait_until(lambda: children(line) == [], "no child, not even a zombie")
    wait_until(lambda: descriptors(line) <= before, f"{before} descriptors again")


def test_short_lived_programs_leave_no_zombie(ferrule: Tool, free_port: Ports) -> None:
    port = free_port()
    line = listener(ferrule, port, "EXEC:echo done")
    before = settled(line)
    assert [ask(dial(port), b"") for _ in range(60)] == [b"done\n"] * 60
    wait_until(lambda: children(line) == [], "no child, not even a zombie")
    wait_until(lambda: descriptors(line) <= before, f"{before} descriptors again")


def test_refused_clients_leave_no_descriptor(ferrule: Tool, free_port: Ports) -> None:
    port = free_port()
    line = listener(ferrule, port, options="fork,range=127.0.0.2/32")
    before = descriptors(line)
    for _ in range(500):
        with dial(port) as client:
            assert client.recv(1) == b""
    with dial(port, source="127.0.0.2") as client:
        client.sendall(b"ping")
        assert read_exactly(client, 4) == b"ping"
    wait_until(lambda: descriptors(line) <= before, f"{before} descriptors again")
    assert line.terminate().code == 143


def test_failing_target_leaves_no_descriptor(ferrule: Tool, free_port: Ports) -> None:
    port = free_port()
    line = listener(ferrule, port, f"TCP:{LOOPBACK}:{free_port()}")
    before = descriptors(line)
    for _ in range(200):
        with dial(port) as client:
            assert client.recv(1) == b""
    wait_until(lambda: descriptors(line) <= before, f"{before} descriptors again")
    done = line.terminate()
    assert (done.code, len(done.level("E"))) == (143, 200)


def children(line: Running) -> list[tuple[int, str]]:
    """All children, zombies as well."""
    found = []
    for child in psutil.Process(line.pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append((child.pid, child.status()))
    return found


def settled(line: Running) -> int:
    """The number of descriptors once it has stopped changing."""
    seen = [descriptors(line)]

    def still() -> bool:
        time.sleep(0.05)
        seen.append(descriptors(line))
        return len(seen) > 4 and len(set(seen[-4:])) == 1

    wait_until(still, "a steady number of descriptors")
    return seen[-1]


# Limits that were asked for


def test_max_children(tool: Tool, free_port: Ports) -> None:
    port = free_port()
    line = listener(tool, port, options="fork,max-children=2")
    with dial(port) as first, dial(port) as second, dial(port) as third:
        for client in (first, second):
            client.sendall(b"ping")
            assert read_exactly(client, 4) == b"ping"
        third.sendall(b"ping")
        assert select.select([third], [], [], 0.7)[0] == [], "served beyond the limit"
        first.close()
        assert read_exactly(third, 4) == b"ping"
    assert line.terminate().code == 143


def test_max_children_says_that_it_waits(ferrule: Tool, free_port: Ports) -> None:
    """Debian's socat is silent about it."""
    port = free_port()
    line = tool_with_notices(ferrule, port)
    with dial(port) as first, dial(port) as second:
        first.sendall(b"ping")
        assert read_exactly(first, 4) == b"ping"
        second.sendall(b"ping")
        line.wait_for_log(r" N max-?children.* active, waiting")
        first.close()
        assert read_exactly(second, 4) == b"ping"


def tool_with_notices(tool: Tool, port: int) -> Running:
    line = tool.start("-d", "-d", f"TCP-LISTEN:{port},reuseaddr,fork,max-children=1", "PIPE")
    wait_listening(port)
    return line


def test_max_children_needs_fork(tool: Tool, free_port: Ports) -> None:
    done = tool.run(f"TCP-LISTEN:{free_port()},max-children=2", "PIPE")
    assert (done.code, len(done.level("E"))) == (1, 1)
    assert re.search("max-?children", done.level("E")[0])


@pytest.mark.parametrize("options", ["accept-timeout=0.3", "fork,accept-timeout=0.3"])
@pytest.mark.parametrize("kind", ["TCP4-LISTEN:{port}", "UNIX-LISTEN:{folder}/s"])
def test_accept_timeout(tool: Tool, free_port: Ports, tmp_path: Path, kind: str, options: str) -> None:
    address = kind.format(port=free_port(), folder=tmp_path)
    started = time.monotonic()
    done = tool.run("-d", f"{address},{options}", "PIPE")
    assert 0.2 < time.monotonic() - started < 4
    assert (done.code, done.level("W"), done.level("E")) == (0, ["accept: Connection timed out"], [])
    assert list(tmp_path.iterdir()) == []


def test_accept_timeout_waits_for_the_children(tool: Tool, free_port: Ports) -> None:
    port = free_port()
    line = listener(tool, port, options="fork,accept-timeout=2")
    with dial(port) as client:
        client.sendall(b"ping")
        assert read_exactly(client, 4) == b"ping"
        wait_until(lambda: not listening(port), "the end of the listening")
        client.sendall(b"pong")
        assert read_exactly(client, 4) == b"pong"
        assert line.process.poll() is None
    assert line.wait().code == 0
