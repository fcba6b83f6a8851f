"""Fixtures of the black-box tests; the conftest of each folder takes them from here."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import lines
import pytest
from lines import Tool
from peers import LOOPBACK, Collector, Handler, Server, bound, bound_unix

__all__ = ["collect", "ferrule", "free_port", "needs_ipv6", "program", "serve", "serve_unix", "socat", "tool"]

_PORTS_FROM = 18000
_PORTS_PER_WORKER = 1200
_numbers = itertools.count(os.getpid() % _PORTS_PER_WORKER)


def _ferrule_path() -> str:
    """The console script beside this interpreter, or what the variable FERRULE names."""
    path = os.environ.get("FERRULE") or str(Path(sys.executable).parent / "ferrule")
    found = shutil.which(path)
    if not found:
        pytest.fail(f"{path} is not there: install the package first, or name the program in FERRULE")
    return str(Path(found).absolute())


def _socat_path() -> str:
    """Debian's socat. `make test` installs it as root, so only others may go without."""
    path = shutil.which("socat")
    if path:
        return path
    if os.geteuid() == 0 and not os.environ.get("FERRULE_WITHOUT_SOCAT"):
        pytest.fail("socat is missing: apt-get install socat, or set FERRULE_WITHOUT_SOCAT=1")
    pytest.skip("socat is not installed here and only root could install it")


@pytest.fixture
def ferrule(tmp_path: Path) -> Iterator[Tool]:
    """The command under test."""
    with lines.tool("ferrule", _ferrule_path(), tmp_path) as made:
        yield made


@pytest.fixture
def socat(tmp_path: Path) -> Iterator[Tool]:
    """The program Ferrule stands in for."""
    with lines.tool("socat", _socat_path(), tmp_path) as made:
        yield made


@pytest.fixture(params=["ferrule", "socat"])
def tool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tool]:
    """Both in turn: what a test says of this fixture is true of the original, too."""
    path = _ferrule_path() if request.param == "ferrule" else _socat_path()
    with lines.tool(request.param, path, tmp_path) as made:
        yield made


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[[str], Tool]]:
    """Makes a tool of any other program (curl, sh, python ...) with the same guarantees."""
    made: list[Tool] = []

    def make(path: str) -> Tool:
        found = shutil.which(path)
        if not found:
            pytest.skip(f"{path} is not installed here")
        made.append(Tool(Path(path).name, found, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives TCP ports nobody has bound: below the ephemeral range, a range for each xdist worker."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10
    first = _PORTS_FROM + worker * _PORTS_PER_WORKER

    def find() -> int:
        for number in itertools.islice(_numbers, _PORTS_PER_WORKER):
            port = first + number % _PORTS_PER_WORKER
            with socket.socket() as probe:
                try:
                    probe.bind(("0.0.0.0", port))
                except OSError:
                    continue
            return port
        pytest.fail("no free port")

    return find


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts a TCP server on loopback: `serve(handler)`, optionally on a given host and port."""
    made: list[Server] = []

    def start(handle: Handler, host: str = LOOPBACK, port: int = 0) -> Server:
        made.append(Server(handle, bound(host, port)))
        return made[-1]

    yield start
    for server in made:
        server.close()


@pytest.fixture
def serve_unix() -> Iterator[Callable[[Handler, str | Path], Server]]:
    """Starts a server on a UNIX socket: `serve_unix(handler, path)`."""
    made: list[Server] = []

    def start(handle: Handler, path: str | Path) -> Server:
        made.append(Server(handle, bound_unix(path)))
        return made[-1]

    yield start
    for server in made:
        server.close()


@pytest.fixture
def collect() -> Iterator[Collector]:
    """A TCP server that keeps what it is sent."""
    server = Collector(bound())
    yield server
    server.close()


@pytest.fixture
def needs_ipv6() -> None:
    """Skips where the kernel has no IPv6 loopback."""
    try:
        bound("::1").close()
    except OSError as error:
        pytest.skip(f"no IPv6 loopback in this kernel: {error}")
