"""How a command line ends: exit codes, signals, timeouts."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lines import Running, Tool
from peers import (
    LOOPBACK,
    Server,
    answer_after,
    dial,
    echo,
    read_exactly,
    wait_listening,
    wait_unix_listening,
)

Ports = Callable[[], int]
Serve = Callable[..., Server]

CAUGHT = [
    (signal.SIGHUP, 129, "N"),
    (signal.SIGINT, 130, "N"),
    (signal.SIGQUIT, 131, "E"),
    (signal.SIGABRT, 134, "E"),
    (signal.SIGTERM, 143, "W"),
]


def busy(tool: Tool, *switches: str) -> Running:
    """A line that is in the middle of its work."""
    line = tool.start(*switches, "-", "PIPE")
    line.send(b"working")
    line.out.wait_for("working")
    return line


# Signals


@pytest.mark.parametrize(("number", "code", "level"), CAUGHT, ids=[row[0].name for row in CAUGHT])
def test_caught_signal(tool: Tool, number: signal.Signals, code: int, level: str) -> None:
    done = busy(tool, "-d", "-d").terminate(number)
    assert (done.code, done.out) == (code, b"working")
    said = f"exiting on signal {number.value}"
    assert [entry.level for entry in done.log if entry.text == said] == [level]
    assert f"exit({code})" in done.level("N")


@pytest.mark.parametrize("number", [signal.SIGUSR2, signal.SIGALRM])
def test_signal_that_is_left_to_the_kernel(tool: Tool, number: signal.Signals) -> None:
    assert busy(tool).terminate(number).code == -number.value


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_no_signal_is_caught_with_an_empty_mask(ferrule: Tool, number: signal.Signals) -> None:
    """Debian's socat has no -S."""
    assert busy(ferrule, "-S", "0").terminate(number).code == -number.value


@pytest.mark.parametrize(
    ("mask", "number", "code"),
    [("0x8000", signal.SIGTERM, 143), ("0x8000", signal.SIGINT, -2), ("2", signal.SIGHUP, 129)],
)
def test_mask_chooses_the_signals(ferrule: Tool, mask: str, number: signal.Signals, code: int) -> None:
    """Debian's socat has no -S."""
    assert busy(ferrule, "-S", mask).terminate(number).code == code


def test_usr1_does_not_end_the_line(ferrule: Tool) -> None:
    """Debian's socat dies of it."""
    line = busy(ferrule)
    for _ in range(3):
        line.kill(signal.SIGUSR1)
    line.wait_for_log("STATISTICS")
    line.send(b" still")
    line.out.wait_for("working still")
    assert line.finish().code == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signal_removes_what_was_made(tool: Tool, tmp_path: Path, number: signal.Signals) -> None:
    path, lock = tmp_path / "s", tmp_path / "lock"
    line = tool.start("-L", str(lock), f"UNIX-LISTEN:{path},fork", f"PTY,link={tmp_path}/tty")
    wait_unix_listening(path)
    assert lock.exists()
    line.terminate(number)
    assert list(tmp_path.iterdir()) == []


def test_signal_while_connecting(tool: Tool, free_port: Ports) -> None:
    line = tool.start("-", f"TCP:{LOOPBACK}:{free_port()},forever,interval=60")
    line2 = tool.start("-d", "-d", "-", f"TCP:{LOOPBACK}:{free_port()},forever,interval=60")
    line2.wait_for_log("refused|unavailable")
    started = time.monotonic()
    assert (line2.terminate().code, line.terminate().code) == (143, 143)
    assert time.monotonic() - started < 5, "the pause between two attempts does not delay the end"


def test_signal_while_listening(tool: Tool, free_port: Ports) -> None:
    port = free_port()
    line = tool.start(f"TCP-LISTEN:{port},reuseaddr", "PIPE")
    wait_listening(port)
    assert line.terminate(signal.SIGINT).code == 130


# Codes of ends that nobody asked for


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["-", "PIPE"], 0),
        (["-u", "/dev/null", "-"], 0),
        (["-T", "0.2", "PIPE", "PIPE"], 0),
        (["-u", "./missing/file", "-"], 1),
        (["-u", "-", "CREATE:missing/file"], 1),
        (["-", "UNIX-CONNECT:./nobody"], 1),
        (["-u", "OPEN:./nobody", "-"], 1),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_exit_code(tool: Tool, arguments: list[str], code: int) -> None:
    done = tool.run(*arguments, limit=20)
    assert done.code == code
    assert len(done.level("E")) == code, "an error says so once, a success says nothing"


def test_listener_that_cannot_listen_gives_up(ferrule: Tool, serve: Serve) -> None:
    """Socat ends without a word when the retries are used up; we keep its code and say why."""
    server = serve(echo)
    done = ferrule.run(f"TCP-LISTEN:{server.port},bind={LOOPBACK},retry=2,interval=0.1,reuseaddr=0", "PIPE")
    assert done.code in (1, 255)
    assert "Address already in use" in done.err


# -t and -T


@pytest.mark.parametrize("wait", ["0", "0.3", "1"])
def test_answer_that_comes_too_late_is_not_awaited(tool: Tool, serve: Serve, wait: str) -> None:
    server = serve(answer_after(6, b"late"))
    started = time.monotonic()
    done = tool.run("-t", wait, "-", f"TCP:{LOOPBACK}:{server.port}", stdin=b"x")
    assert float(wait) - 0.1 < time.monotonic() - started < float(wait) + 3
    assert (done.code, done.out) == (0, b"")


def test_default_wait_is_half_a_second(tool: Tool, serve: Serve) -> None:
    server = serve(answer_after(6, b"late"))
    started = time.monotonic()
    assert tool.run("-", f"TCP:{LOOPBACK}:{server.port}", stdin=b"x").out == b""
    assert 0.4 < time.monotonic() - started < 3


def test_wait_is_counted_from_the_last_byte(tool: Tool) -> None:
    """An answer longer than -t arrives whole as long as it never pauses for as long."""
    command = "cat; for i in 1 2 3 4 5 6 7 8; do sleep 0.25; echo $i; done"
    done = tool.run("-t", "1", "-", f"SYSTEM:'{command}'", stdin=b"x\n")
    assert (done.code, done.out) == (0, b"x\n1\n2\n3\n4\n5\n6\n7\n8\n")


@pytest.mark.parametrize("switch", [["-T", "0.5"], ["-T0.5"], ["-T", "5e-1"]], ids=" ".join)
def test_idle_line_ends(tool: Tool, switch: list[str]) -> None:
    line = tool.start("-d", "-d", *switch, "-", "PIPE")
    started = time.monotonic()
    line.send(b"x")
    done = line.wait()
    assert 0.4 < time.monotonic() - started < 4
    assert (done.code, done.out) == (0, b"x")
    assert [text for text in done.level("N") if "inactivity timeout triggered" in text]


@pytest.mark.parametrize("value", ["-1", "100"])
def test_idle_timeout_can_be_off_or_far_away(ferrule: Tool, value: str) -> None:
    """Debian's socat takes a negative time for none at all."""
    line = ferrule.start(f"-T{value}", "-", "PIPE")
    with pytest.raises(subprocess.TimeoutExpired):
        line.process.wait(1)
    line.send(b"x")
    line.out.wait_for("x")
    assert line.finish().code == 0


def test_idle_children_end_one_by_one(tool: Tool, free_port: Ports) -> None:
    port = free_port()
    line = tool.start("-T", "0.6", f"TCP-LISTEN:{port},reuseaddr,fork", "PIPE")
    wait_listening(port)
    with dial(port) as idle, dial(port) as active:
        for _ in range(4):
            active.sendall(b"x")
            assert read_exactly(active, 1) == b"x"
            time.sleep(0.3)
        assert idle.recv(1) == b"", "dropped while the other lived on"
        active.sendall(b"y")
        assert read_exactly(active, 1) == b"y"
    assert line.terminate().code == 143, "the listener itself is never idle"
