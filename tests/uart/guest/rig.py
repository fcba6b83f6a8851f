"""What the cases are written with: checks, figures, wishes to the host, kernel modules, Ferrule."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import termios
import time
import traceback
import tty
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType, TracebackType
from typing import Any, Self, TypeVar

sys.path.insert(0, "/rig/site")

T = TypeVar("T")

LIMIT = 20.0
"""Seconds any single condition may take: everything is emulated."""
_CASE = 90
_numbers = itertools.count()
_MARK = "@ferrule "
_FINIT_MODULE = 313  # its number on x86_64, see syscalls(2)
_IGNORED = 4  # MODULE_INIT_COMPRESSED_FILE of finit_module(2)


class FailedError(Exception):
    """A case has failed; the text says what was wrong."""


def too_late(_number: int, _frame: FrameType | None) -> None:
    """End the case that is run: SIGALRM's handler."""
    raise FailedError(f"took longer than {_CASE} s")


def wait_until(condition: Callable[[], T | None], what: str, limit: float = LIMIT) -> T:
    """Return the first true value of `condition`, asked every millisecond."""
    deadline = time.monotonic() + limit
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise FailedError(f"not within {limit:g} s: {what}")
        time.sleep(0.001)
    return value


class Host:
    """The program outside that runs the machine; talked to over the console, an object a line."""

    def __init__(self) -> None:
        self._console = os.open("/dev/console", os.O_RDWR | os.O_NOCTTY)
        tty.setraw(self._console)
        self._answers = os.fdopen(os.dup(self._console), "rb", buffering=0)

    def say(self, say: str, **more: object) -> dict[str, Any]:
        """Say something and return the answer."""
        os.write(self._console, f"\r\n{_MARK}{json.dumps({'say': say, **more})}\r\n".encode())
        if say == "done":
            return {}
        line = bytearray()
        while not line.endswith(b"\n"):
            line += self._answers.read(1) or b""
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise FailedError(f"the host: {answer['error']}")
        return answer

    def ask(self, do: str, **more: object) -> None:
        """Have something done, and wait until it is."""
        self.say("ask", do=do, **more)


host: Host


@dataclass
class Case:
    """One case while it is run: what it has found."""

    lines: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def check(self, condition: object, what: str) -> None:
        """Take down whether `what` is so; the case goes on."""
        self.lines.append(f"{'ok' if condition else 'WRONG'}: {what}")
        if not condition:
            self.wrong.append(what)

    def figure(self, what: str, value: float, unit: str, most: float | None = None) -> None:
        """Take down a figure, and whether it is at most what it may be."""
        text = f"{what}: {value:.3g} {unit}"
        if most is None:
            self.lines.append(text)
        else:
            self.check(value <= most, f"{text}, at most {most:g}")


_cases: dict[str, Callable[[Case], None]] = {}


def case(run: Callable[[Case], None]) -> Callable[[Case], None]:
    """Enter a case, by the name of its function and what its documentation says."""
    _cases[run.__name__.replace("_", "-")] = run
    return run


def run_all(_modules: Iterable[ModuleType]) -> None:
    """Run the cases the host wants."""
    global host  # noqa: PLW0603 - there is one console
    host = Host()
    only = host.say("ready")["only"]
    for unknown in sorted({*only} - {*_cases}):
        host.say("end", case=unknown, passed=False, seconds=0.0, lines=[f"there are: {', '.join(_cases)}"])
    for name, run in _cases.items():
        if not only or name in only:
            _run(name, run)
    host.say("done")


def _run(name: str, run: Callable[[Case], None]) -> None:
    made = Case()
    start = time.monotonic()
    signal.alarm(_CASE)
    try:
        run(made)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)
        place = next((frame for frame in reversed(where) if frame.name == run.__name__), where[-1])
        text = str(error) if isinstance(error, FailedError) else f"{type(error).__name__}: {error}"
        made.check(False, f"{text} (line {place.lineno} of {Path(place.filename).name})")
        made.lines += [f"  | {line}" for line in Ferrule.last_words()]
    finally:
        signal.alarm(0)
        Ferrule.stop_all()
        Ferrule.forget_all()
    passed = not made.wrong and bool(made.lines)
    seconds = time.monotonic() - start
    host.say("end", case=name, passed=passed, seconds=seconds, lines=[run.__doc__ or "", *made.lines])


def load(module: str) -> None:
    """Load a kernel module and what it needs."""
    orders: dict[str, list[str]] = json.loads(Path("/rig/modules.json").read_text())
    libc = ctypes.CDLL(None, use_errno=True)
    there = {line.split()[0] for line in Path("/proc/modules").read_text().splitlines()}
    for path in orders[module]:
        name = Path(path).name
        if name.split(".")[0].replace("-", "_") in there:
            continue
        flags = 0 if name.endswith(".ko") else _IGNORED
        with Path(path).open("rb") as file:
            if libc.syscall(_FINIT_MODULE, file.fileno(), b"", flags) != 0:
                raise OSError(ctypes.get_errno(), f"module {path}")


class Ferrule:
    """A running command line.

    Args:
        words: Its arguments.
    """

    _running: list[Ferrule] = []  # noqa: RUF012 - all that are running

    def __init__(self, *words: str) -> None:
        self._log = Path(f"/tmp/ferrule-{next(_numbers)}.log")
        self.started = time.monotonic()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ferrule", "-d", "-d", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._running.append(self)

    def log(self) -> str:
        """Return what it has said."""
        return self._log.read_text(errors="replace")

    def check(self) -> bool:
        """Whether it runs; the case fails if it has ended."""
        if self.process.poll() is not None:
            raise FailedError(f"ferrule ended with {self.process.returncode}")
        return True

    def wait_listening(self, port: int) -> None:
        """Wait until it listens on a port."""
        wait_until(lambda: self.check() and listening(port), f"a listener on port {port}")

    def opened(self, prefix: str) -> str | None:
        """The path of an open file of its own that begins with `prefix`."""
        for descriptor in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with suppress(OSError):
                target = str(descriptor.readlink())
                if target.startswith(prefix) and "(deleted)" not in target:
                    return target
        return None

    def stop(self) -> int:
        """End it, and return its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise FailedError("ferrule does not end on SIGTERM") from None

    @classmethod
    def stop_all(cls) -> None:
        """End all of them."""
        for one in cls._running:
            one.process.kill()
            one.process.wait()

    @classmethod
    def forget_all(cls) -> None:
        """Begin anew: the next case has command lines of its own."""
        cls._running.clear()

    @classmethod
    def last_words(cls) -> list[str]:
        """What the command lines of this case said last."""
        return [line for one in cls._running for line in one.log().splitlines()[-12:]]


def listening(port: int) -> bool:
    """Whether somebody listens on a TCP port."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(row[1].endswith(f":{port:04X}") and row[3] == "0A" for row in rows)


def free_port() -> int:
    """A TCP port nobody has bound."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Watch:
    """A serial line opened by the case itself and left as it is."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self.descriptor)


class Port(Watch):
    """The same made raw, and not hung up when it is closed."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        tty.setraw(self.descriptor)
        attributes = termios.tcgetattr(self.descriptor)
        attributes[2] = (attributes[2] | termios.CLOCAL) & ~termios.HUPCL
        termios.tcsetattr(self.descriptor, termios.TCSANOW, attributes)
