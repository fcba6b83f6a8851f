"""The commands beside socat's command line."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = str(Path(sys.executable).with_name("ferrule"))
FACES = [[SCRIPT], [sys.executable, "-m", "ferrule"]]


def ran(command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """What a command says."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, **variables},
    )


@pytest.mark.parametrize("face", FACES, ids=["script", "module"])
def test_help(face: list[str]) -> None:
    asked, wanted, bare = ran([*face, "--help"]), ran([*face, "help"]), ran(face)
    assert (asked.returncode, asked.stderr) == (0, "")
    assert "TCP-LISTEN:8080,fork" in asked.stdout
    assert wanted.stdout == asked.stdout
    assert max(map(len, asked.stdout.splitlines())) <= 100
    assert (bare.returncode, bare.stdout) == (1, "")
    assert bare.stderr.startswith("usage: ferrule")
    assert len(bare.stderr.splitlines()) < 6


@pytest.mark.parametrize("face", FACES, ids=["script", "module"])
def test_the_socat_face(face: list[str], tmp_path: Path) -> None:
    target = tmp_path / "out"
    done = ran([*face, "-u", "TEXT:hello", f"CREATE:{target}"])
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert target.read_text() == "hello"
    wrong = ran([*face, "NOSUCH:1", "PIPE"])
    assert wrong.returncode == 1
    assert "ferrule[" in wrong.stderr


def test_arguments_that_are_no_text(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\xfe"
    done = subprocess.run([SCRIPT, "-u", "TEXT:x", b"CREATE:" + name], check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert Path(os.fsdecode(name)).read_bytes() == b"x"


def test_explain() -> None:
    done = ran([SCRIPT, "explain", "TCP-LISTEN:8080,fork", "EXEC:cat"])
    assert (done.returncode, done.stderr) == (0, "")
    assert "8080" in done.stdout
    assert "\x1b" not in done.stdout
    named = ran([SCRIPT, "explain", "socat", "TCP-LISTEN:8080,fork", "EXEC:cat"])
    assert named.stdout == done.stdout
    data = json.loads(ran([SCRIPT, "explain", "--json", "TCP-LISTEN:8080,fork", "EXEC:cat"]).stdout)
    assert data


def test_explain_what_is_wrong() -> None:
    assert ran([SCRIPT, "explain"]).returncode == 1
    wrong = ran([SCRIPT, "explain", "TCP-LISTEN:8080,frok", "PIPE"])
    assert wrong.returncode == 1
    assert "fork" in wrong.stderr + wrong.stdout


def test_demo() -> None:
    done = ran([SCRIPT, "demo", "--json"])
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert result["serial"]["ok"]
    assert result["bulk"]["ok"]
    assert result["bulk"]["report"]["left_to_right"]["bytes"] == 256 << 20
    assert result["bulk"]["sent"] == result["bulk"]["received"]
    assert ran([SCRIPT, "demo", "--nonsense"]).returncode == 1


def on_terminal(**variables: str) -> bytes:
    """What the demo says on a terminal."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [SCRIPT, "demo"],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TERM": "xterm", **variables},
    )
    os.close(slave)
    output = b""
    try:
        while block := os.read(master, 4096):
            output += block
    except OSError:  # the terminal hangs up with its last user
        pass
    finally:
        os.close(master)
        assert process.wait(60) == 0
    return output


def test_demo_on_a_terminal() -> None:
    environment = dict.fromkeys(("NO_COLOR",), "")
    assert b"\x1b[1m" in on_terminal(**environment)
    plain = on_terminal(NO_COLOR="1")
    assert b"\x1b" not in plain
    assert plain.count(b"ok") == 2
