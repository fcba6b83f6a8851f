"""Starts command lines, waits for conditions, and ends whatever was started, by pid."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import psutil
import pytest

T = TypeVar("T")

LIMIT = 10.0
"""Seconds any single condition may take."""

MARK = "FERRULE_TEST_LINE"
"""Environment variable that marks all descendants of one command line."""

LOG_LINE = re.compile(
    r"^(?P<date>\d{4}/\d\d/\d\d) (?P<time>\d\d:\d\d:\d\d(?:\.\d+)?) (?:(?P<host>[^\s\[]+) )?"
    r"(?P<program>[^\s\[]+)\[(?P<pid>\d+)\] (?P<level>[DINWEF]) (?P<text>.*)$"
)


def wait_until(condition: Callable[[], T], what: str, limit: float = LIMIT) -> T:
    """Return the first true value of `condition`; fail the test when there is none in time."""
    deadline = time.monotonic() + limit
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"not within {limit:g} s: {what}")
        time.sleep(0.01)


@dataclass(frozen=True)
class LogLine:
    """One line in socat's log format, taken apart."""

    date: str
    time: str
    host: str | None
    program: str
    pid: int
    level: str
    text: str


def log_lines(text: str) -> list[LogLine]:
    """Return the lines of `text` that have the log format; others (hints, dumps) are left out."""
    found = (LOG_LINE.match(line) for line in text.splitlines())
    return [LogLine(**{**m.groupdict(), "pid": int(m["pid"])}) for m in found if m]


@dataclass(frozen=True)
class Done:
    """What a command line left behind: exit status (negative: the signal), stdout, stderr."""

    code: int
    out: bytes
    err: str

    @property
    def log(self) -> list[LogLine]:
        """The log lines on stderr."""
        return log_lines(self.err)

    def level(self, letters: str) -> list[str]:
        """The texts of all log lines whose level is one of `letters`."""
        return [line.text for line in self.log if line.level in letters]


class Collected:
    """Gathers what arrives on a pipe, in a thread."""

    def __init__(self, pipe: IO[bytes] | None) -> None:
        self._data = bytearray()
        self._pipe = pipe
        self._thread = threading.Thread(target=self._gather, daemon=True)
        if pipe is not None:
            self._thread.start()

    def _gather(self) -> None:
        assert self._pipe is not None
        while piece := os.read(self._pipe.fileno(), 65536):
            self._data += piece

    @property
    def data(self) -> bytes:
        return bytes(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def finish(self, limit: float) -> None:
        """Wait for the end of the pipe, then close it."""
        if self._pipe is None:
            return
        self._thread.join(limit)
        if self._thread.is_alive():
            pytest.fail("somebody still holds the output pipe of a command line that has ended")
        self._pipe.close()

    def wait_for(self, pattern: str | bytes, limit: float = LIMIT) -> re.Match[bytes]:
        """Wait until `pattern` (a regular expression) is in what has arrived."""
        wanted = re.compile(
            pattern.encode() if isinstance(pattern, str) else pattern, re.DOTALL | re.MULTILINE
        )
        deadline = time.monotonic() + limit
        while True:
            if found := wanted.search(self.data):
                return found
            if time.monotonic() > deadline:
                pytest.fail(f"not within {limit:g} s: {wanted.pattern!r} in {self.data[-2000:]!r}")
            time.sleep(0.005)


class Running:
    """A started command line."""

    def __init__(self, argv: list[str], env: Mapping[str, str], **popen: Any) -> None:
        self.argv = argv
        self.mark = uuid.uuid4().hex
        popen.setdefault("stdin", subprocess.PIPE)
        popen.setdefault("stdout", subprocess.PIPE)
        popen.setdefault("stderr", subprocess.PIPE)
        popen.setdefault("umask", 0o022)
        popen.setdefault("start_new_session", True)
        self.process = subprocess.Popen(argv, env={**env, MARK: self.mark}, bufsize=0, **popen)
        self.out = Collected(self.process.stdout)
        self.err = Collected(self.process.stderr)
        self._feeder: threading.Thread | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, data: bytes) -> None:
        """Write a short piece (less than a pipe holds) to stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(data)

    def end_input(self) -> None:
        """Close stdin."""
        if self.process.stdin is not None:
            self.process.stdin.close()

    def feed(self, data: bytes) -> None:
        """Write `data` of any size to stdin and close it, in a thread."""
        assert self.process.stdin is not None
        pipe = self.process.stdin

        def pour() -> None:
            view = memoryview(data)
            with contextlib.suppress(BrokenPipeError), pipe:
                while view:
                    view = view[pipe.write(view) :]

        self._feeder = threading.Thread(target=pour, daemon=True)
        self._feeder.start()

    def kill(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait_for_log(self, pattern: str, limit: float = LIMIT) -> re.Match[bytes]:
        return self.err.wait_for(pattern, limit)

    def wait(self, limit: float = LIMIT) -> Done:
        """Wait for the end of the process (stdin is left as it is) and for the end of its output."""
        try:
            self.process.wait(limit)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running after {limit:g} s: {self.argv}\nstderr: {self.err.data[-2000:]!r}")
        if self._feeder is not None:
            self._feeder.join(limit)
        self.end_input()
        self.out.finish(limit)
        self.err.finish(limit)
        return Done(self.process.returncode, self.out.data, self.err.data.decode(errors="replace"))

    def finish(self, limit: float = LIMIT) -> Done:
        """Close stdin, then wait."""
        if self._feeder is None:
            self.end_input()
        return self.wait(limit)

    def terminate(self, number: signal.Signals = signal.SIGTERM, limit: float = LIMIT) -> Done:
        """Signal the process, then wait."""
        self.kill(number)
        return self.wait(limit)

    def descendants(self) -> list[psutil.Process]:
        """All living processes of this line, also those that left its session or lost their parent."""
        return [process for process in psutil.process_iter() if _carries(process, self.mark)]

    def stop(self) -> None:
        """End everything this line started; never fails."""
        for _ in range(3):
            for process in self.descendants():
                with contextlib.suppress(psutil.Error):
                    process.kill()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self._feeder is not None:
            self._feeder.join(1)
        with contextlib.suppress(BrokenPipeError):
            self.end_input()
        for pipe in (self.process.stdout, self.process.stderr):
            if pipe is not None:
                pipe.close()


def _carries(process: psutil.Process, mark: str) -> bool:
    """Whether `process` is alive (no zombie) and was started below the line with this mark."""
    try:
        return process.environ().get(MARK) == mark and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OSError):
        return False


class Tool:
    """A program to be started again and again, each time in the folder of the test."""

    def __init__(self, name: str, path: str, folder: Path) -> None:
        self.name = name
        self.path = path
        self.folder = folder
        self._lines: list[Running] = []

    def start(
        self, *args: str, wrap: tuple[str, ...] = (), env: Mapping[str, str] | None = None, **popen: Any
    ) -> Running:
        """Start `wrap... tool args...`; `env` is added to a small fixed environment."""
        popen.setdefault("cwd", self.folder)
        line = Running([*wrap, self.path, *args], {**plain_environment(self.folder), **(env or {})}, **popen)
        self._lines.append(line)
        return line

    def run(self, *args: str, stdin: bytes = b"", limit: float = LIMIT, **more: Any) -> Done:
        """Start, feed `stdin`, wait for the end."""
        line = self.start(*args, **more)
        if line.process.stdin is not None:
            line.feed(stdin)
        return line.wait(limit)

    def stop(self) -> None:
        for line in self._lines:
            line.stop()


def plain_environment(home: Path) -> dict[str, str]:
    """What every command line gets: no locale, no settings of the person who runs the tests."""
    kept = {
        name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV") if name in os.environ
    }
    return {"PATH": os.defpath, **kept, "HOME": str(home), "LC_ALL": "C", "TERM": "dumb", "USER": "tester"}


@contextlib.contextmanager
def tool(name: str, path: str, folder: Path) -> Iterator[Tool]:
    """A tool whose lines are all ended on leaving."""
    made = Tool(name, path, folder)
    try:
        yield made
    finally:
        made.stop()
