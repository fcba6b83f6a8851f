"""What the tests of the Python API share."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

HOST = "127.0.0.1"
PATIENCE = 10.0

Script = Callable[..., "subprocess.Popen[str]"]


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


@pytest.fixture
def port() -> int:
    """A TCP port nobody listens on."""
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets, until its end."""
    with socket.create_server((HOST, 0), backlog=64) as server:

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                while block := connection.recv(65536):
                    connection.sendall(block)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def script() -> Iterator[Script]:
    """Runs Python code in a process of its own; what is left of it is killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()
