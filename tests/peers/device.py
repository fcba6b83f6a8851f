"""A serial device as far as a pseudo terminal can be one: no modem lines, no break, always eight bits."""

from __future__ import annotations

import contextlib
import os
import select
import termios
import threading
import time
import tty
from types import TracebackType

from lines import LIMIT

_PIECE = 65536


class Device:
    """A raw pseudo terminal. What opens `path` talks to whoever holds this object.

    The terminal's own side stays open, so that a program that closes it hangs nobody up.
    """

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        self._ended = threading.Event()
        self._echo: threading.Thread | None = None

    def read(self, count: int, limit: float = LIMIT) -> bytes:
        """Return the next `count` bytes the program has written; fewer if no more come in time."""
        data = bytearray()
        deadline = time.monotonic() + limit
        while len(data) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._master], [], [], left)[0]:
                break
            data += os.read(self._master, count - len(data))
        return bytes(data)

    def write(self, data: bytes, limit: float = LIMIT) -> None:
        """Have the program read `data`; wait while the terminal is full of what it has not read."""
        view = memoryview(data)
        deadline = time.monotonic() + limit
        while view:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([], [self._master], [], left)[1]:
                raise TimeoutError(f"{len(view)} bytes that nobody reads from {self.path}")
            with contextlib.suppress(BlockingIOError):
                view = view[os.write(self._master, view) :]

    def echo(self) -> None:
        """From now on send back whatever the program writes, in a thread."""
        self._echo = threading.Thread(target=self._send_back, daemon=True)
        self._echo.start()

    def _send_back(self) -> None:
        while not self._ended.is_set():
            if select.select([self._master], [], [], 0.05)[0]:
                with contextlib.suppress(OSError, TimeoutError):
                    self.write(os.read(self._master, _PIECE))

    @property
    def speed(self) -> int:
        """The speed the program has set: a constant of `termios`, such as `termios.B9600`."""
        return int(termios.tcgetattr(self._slave)[5])

    def close(self) -> None:
        """Hang up: the program reads the end of the stream, and can write no more."""
        self._ended.set()
        if self._echo is not None:
            self._echo.join(LIMIT)
        for descriptor in (self._master, self._slave):
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
