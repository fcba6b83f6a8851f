"""Devices that come and go: pseudo terminals behind a symbolic link."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
import time
from pathlib import Path

import pytest
from lines import LIMIT, Running


class Plug:
    """A terminal under a name of its own, which can be unplugged and plugged in again."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self._master: int | None = None
        self.back()

    def out(self) -> None:
        """The name goes, then the device; nobody has it open any more who is not told so."""
        if self._master is not None:
            self.link.unlink()
            os.close(self._master)
            self._master = None

    def back(self) -> float:
        """Another device under the same name, set up like a new one. Gives the time when it is there."""
        self._master, slave = pty.openpty()
        name = os.ttyname(slave)
        os.set_blocking(self._master, False)
        os.close(slave)
        self.link.symlink_to(name)
        return time.monotonic()

    def write(self, data: bytes) -> None:
        assert self._master is not None
        os.write(self._master, data)

    def read(self, count: int) -> bytes:
        """So many bytes that the device is given."""
        assert self._master is not None
        data, deadline = b"", time.monotonic() + LIMIT
        while len(data) < count:
            if time.monotonic() > deadline:
                pytest.fail(f"only {data!r} within {LIMIT:g} s")
            # A master whose slave nobody has open is always ready, with an error.
            select.select([self._master], [], [], 0.01)
            try:
                data += os.read(self._master, count - len(data))
            except OSError:
                time.sleep(0.002)
        return data


def taken_from(line: Running) -> bool:
    """Whether a command line has read all of its standard input so far."""
    assert line.process.stdin is not None
    waiting = fcntl.ioctl(line.process.stdin, termios.FIONREAD, struct.pack("i", 0))
    return struct.unpack("i", waiting) == (0,)
