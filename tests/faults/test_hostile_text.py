"""Text that wants to break something: endless, unbalanced, or full of control characters."""

from __future__ import annotations

import signal
import socket
import time
from pathlib import Path

import pytest
from lines import LIMIT, Done, Tool
from peers import dial_unix, read_exactly, wait_unix_listening

DEEP = 10_000
LONG = 100_000


def refused(done: Done) -> None:
    assert done.code == 1, (done.code, done.err[:500])
    assert len(done.level("EF")) == 1
    assert len(done.err) < 20_000, "nobody wants the whole text back"


@pytest.mark.parametrize(
    "text",
    [
        "[" * DEEP,
        "TCP:" + "[({" * DEEP,
        "TCP:" + "[" * DEEP + "]" * DEEP + ":80",
        "'" * (DEEP + 1),
        "CREATE:" + "\"'" * DEEP + '"',
        "TCP:localhost:" + "9" * LONG,
        "TCP:" + "x" * LONG + ":80",
        "TCP" + ":1" * DEEP,
        "x" * LONG,
        "-," + "x" * LONG,
        "-,user=" + "x" * LONG,
        "-,escape=" + "1" * LONG,
        "PIPE" + "!!PIPE" * DEEP,
        "PIPE:" + "/x" * (LONG // 2),
        "CREATE:" + "x" * LONG,
        "UNIX-CONNECT:" + "x" * 5000,
        "TCP:localhost:80\\",
        'CREATE:"',
        "-,setsockopt=1:2:x" + "00" * 5000,
        "SOCKET-CONNECT:2:6:x" + "0" * 9999,
    ],
    ids=lambda text: f"{text[:24]}..{len(text)}",
)
def test_endless_text_is_refused(ferrule: Tool, tmp_path: Path, text: str) -> None:
    started = time.monotonic()
    refused(ferrule.run(text, "-"))
    assert time.monotonic() - started < 5
    assert list(tmp_path.iterdir()) == []


def test_endlessly_many_options_without_a_name(ferrule: Tool) -> None:
    """Empty options are none."""
    done = ferrule.run("-" + "," * LONG, "PIPE", stdin=b"x")
    assert (done.code, done.out) == (0, b"x")


@pytest.mark.parametrize("text", ["%n%s%x%d", "$(id)", "`id`", "{0}{name}"])
def test_text_is_only_text(ferrule: Tool, text: str) -> None:
    """No format string, no shell, in whatever the message says of it."""
    done = ferrule.run("-", f"UNIX-CONNECT:./{text}")
    assert (done.code, len(done.level("E"))) == (1, 1)
    assert text in done.level("E")[0]
    assert "uid=" not in done.err


@pytest.mark.parametrize("text", ["a\x1b[31mred", "a\nb", "a\rb", "a\x07b"])
def test_control_characters_do_not_reach_the_terminal(ferrule: Tool, text: str) -> None:
    done = ferrule.run("-", f"UNIX-CONNECT:./'{text}'")
    assert done.code == 1
    assert not set(done.err) & {"\x1b", "\r", "\x07"}
    assert len(done.level("E")) == 1
    assert not [row for row in done.err.splitlines() if row.startswith("b")]


def test_name_of_a_peer_cannot_forge_a_log_line(ferrule: Tool, tmp_path: Path) -> None:
    path = tmp_path / "s"
    line = ferrule.start("-d", "-d", f"UNIX-LISTEN:{path},fork", "PIPE")
    wait_unix_listening(path)
    forged = "x\n2001/01/01 00:00:00 forged[1] E \x1b[31mforged"
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(LIMIT)
        peer.bind("\0" + forged)
        peer.connect(str(path))
        peer.sendall(b"ping")
        assert read_exactly(peer, 4) == b"ping"
    done = line.terminate()
    assert "forged" in done.err
    assert [entry for entry in done.log if entry.program == "forged"] == []
    assert "\x1b" not in done.err


def test_rain_of_signals_while_logging(ferrule: Tool, tmp_path: Path) -> None:
    path = tmp_path / "s"
    line = ferrule.start("-d4", f"UNIX-LISTEN:{path},fork", "PIPE")
    wait_unix_listening(path)
    for number in range(300):
        for rain in (signal.SIGUSR1, signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT):
            line.kill(rain)
        if number % 10 == 0:
            with dial_unix(path) as client:
                client.sendall(b"ping")
                assert read_exactly(client, 4) == b"ping"
    done = line.terminate()
    assert done.code == 143
    broken = [row for row in done.err.splitlines() if " ferrule[" in row[25:]]
    assert broken == [], "lines run into each other"
