"""Connections, descriptors and waiting, for the tests of the Python API."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

HOST = "127.0.0.1"
PATIENCE = 10.0

Script = Callable[..., "subprocess.Popen[str]"]
"""Runs Python code with arguments in a process of its own."""


def wait_for(condition: Callable[[], object], what: str = "the condition") -> None:
    """Waits until the condition holds; fails when it does not."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not come true in {PATIENCE} s")
        time.sleep(0.002)


def connect(port: int) -> socket.socket:
    """A connection to the port, as soon as somebody listens."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection((HOST, port), timeout=PATIENCE)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)


def connect_unix(path: Path) -> socket.socket:
    """A connection to the socket, as soon as somebody listens."""
    deadline = time.monotonic() + PATIENCE
    while True:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE)
        try:
            client.connect(os.fspath(path))
        except (FileNotFoundError, ConnectionRefusedError):
            client.close()
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)
        else:
            return client


def everything(connection: socket.socket) -> bytes:
    """All that comes until the end."""
    return b"".join(iter(lambda: connection.recv(65536), b""))


def asked(connection: socket.socket, question: bytes) -> bytes:
    """What comes back for a question whose end is told."""
    with connection:
        connection.sendall(question)
        connection.shutdown(socket.SHUT_WR)
        return everything(connection)


def open_descriptors() -> list[str]:
    """What this process has open, sockets and all."""
    links = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            links.append(str(entry.readlink()))
    return sorted(links)
