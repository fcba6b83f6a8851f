"""Programs that fail, refuse to end, or leave others behind."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lines import Running, Tool, wait_until
from peers import ask, dial, wait_listening

Ports = Callable[[], int]

GRACE = 8.0
"""Seconds within which a program that will not go must have been made to."""


def gone(line: Running) -> None:
    """Nothing that the line started is alive any more."""
    wait_until(lambda: line.descendants() == [], "the end of all descendants", 2)


# How the program ended. Socat notices by chance, and says 1 or 0.


@pytest.mark.parametrize("code", [1, 3, 127, 255])
@pytest.mark.parametrize("left", ["-", "-u"])
def test_failing_program(ferrule: Tool, code: int, left: str) -> None:
    command = f"SYSTEM:'echo said; exit {code}'"
    arguments = ("-", command) if left == "-" else ("-u", command, "-")
    for _ in range(5):
        done = ferrule.run(*arguments)
        assert (done.code, done.out) == (1, b"said\n")
        assert [text for text in done.level("WE") if f"exited with status {code}" in text]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP])
def test_program_killed_by_a_signal(ferrule: Tool, number: signal.Signals) -> None:
    done = ferrule.run("-u", f"SYSTEM:'echo said; kill -{number.value} $$'", "-")
    assert (done.code, done.out) == (1, b"said\n")
    assert [text for text in done.level("WE") if f"exited on signal {number.value}" in text]


@pytest.mark.parametrize("transport", ["", ",pipes", ",pty,rawer"])
@pytest.mark.parametrize("code", [0, 3])
def test_last_words_arrive(ferrule: Tool, transport: str, code: int) -> None:
    """A program that writes a lot and ends at once."""
    command = f"SYSTEM:'head -c 300000 /dev/zero; exit {code}'{transport}"
    done = ferrule.run("-u", command, "-")
    assert (done.code, len(done.out)) == (1 if code else 0, 300_000)


def test_program_we_ended_ourselves_has_not_failed(ferrule: Tool) -> None:
    line = ferrule.start("-", "EXEC:sleep 1000")
    started = time.monotonic()
    done = line.finish()
    assert time.monotonic() - started < GRACE
    assert (done.code, done.level("E")) == (0, [])
    gone(line)


@pytest.mark.parametrize("right", ["EXEC:false", "SYSTEM:'exit 3'", "SYSTEM:'kill -9 $$'"])
def test_listener_survives_failing_programs(ferrule: Tool, free_port: Ports, right: str) -> None:
    port = free_port()
    line = ferrule.start(f"TCP-LISTEN:{port},reuseaddr,fork", right)
    wait_listening(port)
    for _ in range(10):
        assert ask(dial(port), b"") == b""
    assert line.process.poll() is None
    assert line.terminate().code == 143


# Programs that cannot be started. Socat exits 0 for some of these.


@pytest.fixture
def not_executable(tmp_path: Path) -> Path:
    path = tmp_path / "plain"
    path.write_text("not a program\n")
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("options", ["", ",pipes", ",pty", ",stderr"])
def test_program_that_does_not_exist(ferrule: Tool, options: str) -> None:
    for arguments in (("-", f"EXEC:nosuchprogram{options}"), ("-u", f"EXEC:./no/such{options}", "-")):
        done = ferrule.run(*arguments)
        assert (done.code, done.out, len(done.level("E"))) == (1, b"", 1)
        assert "No such file or directory" in done.level("E")[0]
        assert "such" in done.level("E")[0], "the program is named"


def test_program_that_may_not_be_run(ferrule: Tool, not_executable: Path) -> None:
    done = ferrule.run("-", f"EXEC:{not_executable}")
    assert (done.code, len(done.level("E"))) == (1, 1)
    assert "Permission denied" in done.level("E")[0]


def test_listener_survives_a_program_that_does_not_exist(ferrule: Tool, free_port: Ports) -> None:
    port = free_port()
    line = ferrule.start(f"TCP-LISTEN:{port},reuseaddr,fork", "EXEC:nosuchprogram")
    wait_listening(port)
    for _ in range(3):
        assert ask(dial(port), b"") == b""
    done = line.terminate()
    assert (done.code, len(done.level("E"))) == (143, 3)


# Programs that stay


STUBBORN = "trap : TERM HUP; while :; do sleep 1000; done"


@pytest.mark.parametrize("address", [f"SYSTEM:'{STUBBORN}'", f"SYSTEM:'{STUBBORN}',pty,setsid,ctty"])
def test_program_that_ignores_term(ferrule: Tool, address: str) -> None:
    line = ferrule.start("-", address)
    wait_until(lambda: len(line.descendants()) > 1, "the program")
    started = time.monotonic()
    line.finish(GRACE + 2)
    assert time.monotonic() - started < GRACE
    gone(line)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_a_program_that_ignores_it(ferrule: Tool, number: signal.Signals) -> None:
    line = ferrule.start("-", f"SYSTEM:'echo up; {STUBBORN}'")
    line.out.wait_for("up")
    started = time.monotonic()
    assert line.terminate(number, GRACE + 2).code == 128 + number.value
    assert time.monotonic() - started < GRACE
    gone(line)


@pytest.mark.parametrize("transport", ["", ",pipes", ",pty"])
def test_grandchild_that_holds_the_pipe(ferrule: Tool, transport: str) -> None:
    """The program has ended, but what it left in the background never closes its output."""
    line = ferrule.start("-u", f"SYSTEM:'sleep 1000 & echo done'{transport}", "-")
    started = time.monotonic()
    done = line.wait(GRACE + 2)
    assert time.monotonic() - started < GRACE
    assert (done.code, done.out.strip()) == (0, b"done")
    gone(line)


def test_program_ends_with_its_client(tool: Tool, free_port: Ports) -> None:
    port = free_port()
    line = tool.start(f"TCP-LISTEN:{port},reuseaddr,fork", "EXEC:sleep 1000")
    wait_listening(port)
    alone = len(line.descendants())
    with dial(port):
        wait_until(lambda: len(line.descendants()) > alone, "the program")
    wait_until(lambda: len(line.descendants()) == alone, "the end of the program")
    assert line.terminate().code == 143


def test_killed_relay_leaves_no_program(ferrule: Tool) -> None:
    """Even SIGKILL to the relay is an end of file, at least, for the program."""
    line = ferrule.start("-", "EXEC:cat")
    line.send(b"x")
    line.out.wait_for("x")
    line.kill(signal.SIGKILL)
    line.wait()
    gone(line)
