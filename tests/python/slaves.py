"""Programs on the slave of a pseudo terminal."""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def echoing(link: Path) -> Iterator[None]:
    """Sends back whatever comes on the terminal that `link` names, whenever there is one."""
    done = threading.Event()

    def serve() -> None:
        while not done.wait(0.005):
            with contextlib.suppress(OSError):
                fd = os.open(link, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
                try:
                    _echo(fd, done)
                finally:
                    os.close(fd)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join(10)


def _echo(fd: int, done: threading.Event) -> None:
    """Until the master is closed: then reading fails, or there is nothing to read though there should be."""
    waiting = b""
    while not done.is_set():
        readable, writable, _ = select.select([] if waiting else [fd], [fd] if waiting else [], [], 0.1)
        if readable:
            waiting = os.read(fd, 4096)
            if not waiting:
                return
        if writable:
            waiting = waiting[os.write(fd, waiting) :]
