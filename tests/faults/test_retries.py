"""Attempts that are made again: how often, how far apart, and what is said about them."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from lines import Tool, wait_until
from peers import LOOPBACK, Server, ask, bound, bound_unix, dial, dial_unix, echo, listening, wait_listening

Ports = Callable[[], int]
Serve = Callable[..., Server]


@pytest.mark.parametrize(("retries", "interval"), [(1, 0.5), (3, 0.3), (5, 0.1)])
@pytest.mark.parametrize("kind", ["TCP:127.0.0.1:{port}", "UNIX-CONNECT:{folder}/nobody"])
def test_client_gives_up_after_its_retries(
    tool: Tool, free_port: Ports, tmp_path: Path, retries: int, interval: float, kind: str
) -> None:
    address = kind.format(port=free_port(), folder=tmp_path)
    started = time.monotonic()
    done = tool.run("-", f"{address},retry={retries},interval={interval}")
    took = time.monotonic() - started
    assert retries * interval * 0.95 < took < retries * interval + 2.5
    assert (done.code, len(done.level("E"))) == (1, 1)


@pytest.mark.parametrize("retries", [0, 1, 4])
def test_every_attempt_is_told(ferrule: Tool, free_port: Ports, retries: int) -> None:
    """Debian's socat tells only the last."""
    port = free_port()
    done = ferrule.run("-dd", "-", f"TCP:{LOOPBACK}:{port},retry={retries},interval=0.05")
    refused = [entry for entry in done.log if "Connection refused" in entry.text and "connect(" in entry.text]
    assert [entry.level for entry in refused] == ["N"] * retries + ["W"]
    assert len(done.level("E")) == 1


@pytest.mark.parametrize("option", ["forever,interval=0.05", "retry=100000,interval=0.05"])
def test_patient_client_leaks_nothing(ferrule: Tool, free_port: Ports, option: str) -> None:
    line = ferrule.start("-dd", "-", f"TCP:{LOOPBACK}:{free_port()},{option}")
    process = psutil.Process(line.pid)
    wait_until(lambda: line.err.data.count(b"Connection refused") >= 3, "three attempts")
    before = process.num_fds()
    wait_until(lambda: line.err.data.count(b"Connection refused") >= 30, "thirty attempts")
    assert process.num_fds() <= before + 1
    assert line.terminate().code == 143


def test_listener_waits_for_its_port(tool: Tool, free_port: Ports) -> None:
    port = free_port()
    holder = bound(LOOPBACK, port)
    holder.listen()
    line = tool.start("-t", "10", f"TCP-LISTEN:{port},bind={LOOPBACK},retry=100,interval=0.1", "PIPE")
    time.sleep(0.5)  # a few failed attempts
    assert line.process.poll() is None
    holder.close()
    wait_listening(port)
    assert ask(dial(port), b"ping") == b"ping"
    assert line.wait().code == 0


def test_unix_client_waits_for_its_server(tool: Tool, serve_unix: Serve, tmp_path: Path) -> None:
    path = tmp_path / "late"
    line = tool.start("-t", "10", "-", f"UNIX-CONNECT:{path},retry=100,interval=0.1")
    time.sleep(0.3)
    assert line.process.poll() is None
    serve_unix(echo, path)
    line.feed(b"ping")
    done = line.wait()
    assert (done.code, done.out, done.err) == (0, b"ping", "")


def test_target_of_a_forwarder_is_tried_again_for_each_client(
    tool: Tool, serve: Serve, free_port: Ports
) -> None:
    port, target = free_port(), free_port()
    left = f"TCP-LISTEN:{port},reuseaddr,fork"
    line = tool.start("-t", "10", left, f"TCP:{LOOPBACK}:{target},retry=100,interval=0.1")
    wait_listening(port)
    with dial(port) as early:
        early.sendall(b"early")
        assert not listening(target)
        server = serve(echo, LOOPBACK, target)
        assert early.recv(5, 0x100) == b"early"
    assert ask(dial(port), b"later") == b"later"
    wait_until(lambda: server.accepted == 2, "two connections")
    assert line.terminate().code == 143


def test_connect_timeout(tool: Tool) -> None:
    """A server whose queue is full does not answer at all."""
    with bound() as full:
        full.listen(0)
        port = full.getsockname()[1]
        with dial(port):
            started = time.monotonic()
            done = tool.run("/dev/null", f"TCP:{LOOPBACK}:{port},connect-timeout=0.5")
            took = time.monotonic() - started
    assert 0.4 < took < 3
    assert (done.code, len(done.level("E"))) == (1, 1)
    assert "timed out" in done.level("E")[0]


@pytest.mark.parametrize("interval", [0.5])
def test_reconnecting_client_keeps_its_pace(ferrule: Tool, serve: Serve, interval: float) -> None:
    """`fork` on a client connects again and again; socat does so in a hot loop when the ends come fast."""
    server = serve(lambda connection: None)
    line = ferrule.start(f"TCP:{LOOPBACK}:{server.port},fork,interval={interval}", "EXEC:true")
    wait_until(lambda: server.accepted >= 1, "the first connection")
    before, started = server.accepted, time.monotonic()
    wait_until(lambda: server.accepted >= before + 4, "four more connections")
    assert time.monotonic() - started > 3 * interval * 0.9
    assert line.terminate().code == 143


def test_refused_unix_socket_is_told_as_it_is(tool: Tool, tmp_path: Path) -> None:
    with bound_unix(tmp_path / "s"):
        pass
    done = tool.run("-", f"UNIX-CONNECT:{tmp_path}/s")
    assert (done.code, len(done.level("E"))) == (1, 1)
    assert "Connection refused" in done.level("E")[0]
    with pytest.raises(ConnectionRefusedError):
        dial_unix(tmp_path / "s")
