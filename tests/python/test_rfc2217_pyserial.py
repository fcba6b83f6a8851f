"""pyserial's own tests, through its rfc2217:// against our server.

They want a port whose RTS and DTR are wired to CTS and DSR and that gives back what it is sent. The files
come from pyserial's source distribution, which `make test` fetches.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from lines import Tool
from peers import LOOPBACK
from slaves import echoing

SOURCES = Path(sys.prefix) / "pyserial" / "test"
SUITE = Path(__file__).parent / "pyserial_suite.py"

FILES: list[tuple[str, ...]] = [
    ("test.py", "Test4_Nonblocking", "Test_MoreTimeouts"),
    ("test.py", "Test3_Timeout"),
    ("test.py", "Test1_Forever", "Test2_Forever", "Test0_DataWires"),
    ("test_advanced.py",),
    ("test_cancel.py",),
    ("test_high_load.py",),
    ("test_iolib.py",),
    ("test_readline.py",),
    ("test_rs485.py",),
    ("test_threaded.py",),
    ("test_exclusive.py",),
    ("test_settings_dict.py",),
]

IMPOSSIBLE = {
    # A read with a time-out of 0 gives one byte, whatever has come.
    "Test4_Nonblocking.test2_Loopback",
    "Test4_Nonblocking.test2_LoopbackTimeout",
    # "write_timeout is currently not supported".
    "Test_MoreTimeouts.test_WriteTimeout",
    # "serial instance has no cancel_read", "... no cancel_write".
    "TestCancelRead.test_cancel_once",
    "TestCancelWrite.test_cancel_once",
}
"""What pyserial's client cannot do, whatever the server does: see serial/rfc2217.py."""

SKIPPED = {
    # Only POSIX ports know RS-485 and exclusive use.
    "Test_RS485_class.test_RS485_class",
    "Test_exclusive.test_exclusive_none",
    "Test_exclusive.test_exclusive_false",
    "Test_exclusive.test_exclusive_true",
    "Test_exclusive.test_exclusive_only_true",
}


@contextlib.contextmanager
def port(ferrule: Tool, target: str, number: int) -> Iterator[str]:
    """Serves a looped port; gives its URL."""
    link = ferrule.folder / f"slave-{number}"
    address = f"PTY,link={link},raw,echo=0" if target == "PTY" else target
    with echoing(link) if target == "PTY" else contextlib.nullcontext():
        line = ferrule.start("-d", "-d", f"RFC2217-LISTEN:0,bind={LOOPBACK},fork", address)
        found = line.wait_for_log(rf"listening on AF=2 {LOOPBACK}:(\d+)")
        yield f"rfc2217://{LOOPBACK}:{int(found[1])}"


def failures(outcome: dict[str, str]) -> set[str]:
    return {name for name, result in outcome.items() if result not in {"passed", "skipped"}}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("target", ["PIPE", "PTY"])
def test_all_that_pyserial_can_pass_passes(ferrule: Tool, target: str) -> None:
    if not SOURCES.is_dir():
        pytest.fail(f"pyserial's tests are not in {SOURCES}: make test fetches them")

    def run(number: int) -> dict[str, str]:
        file, *classes = FILES[number]
        with port(ferrule, target, number) as url:
            command = [sys.executable, str(SUITE), str(SOURCES / file), url, *classes]
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, (FILES[number], done.stderr)
        outcome: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
        return outcome

    with ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(run, range(len(FILES))))
    # Some of them give an echo 50 ms, less than a busy machine may take: what failed is run again, alone.
    for number, outcome in enumerate(outcomes):
        if failures(outcome) - IMPOSSIBLE:
            outcomes[number] = run(number)
    together = {name: result for outcome in outcomes for name, result in outcome.items()}
    assert failures(together) == IMPOSSIBLE, together
    assert {name for name, result in together.items() if result == "skipped"} == SKIPPED
    assert sum(result == "passed" for result in together.values()) >= 32
