"""Fixtures: serial devices, the peers that bring them to the network, and pyserial as their client.

A conftest takes them with `from serial_fixtures import *`, and needs the folders `tests/peers` and
`tests/python` on the path.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gateways
import lines
import pytest
from device import Device
from gateways import PyserialServer, Ser2net

__all__ = ["device", "pyserial_client", "pyserial_server", "ser2net"]

_SYSTEM = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))


def _ser2net_path() -> str:
    """Debian's ser2net. `make test` installs it as root, so only others may go without."""
    path = shutil.which("ser2net", path=_SYSTEM)
    if path:
        return path
    if os.geteuid() == 0:
        pytest.fail("ser2net is missing: apt-get install ser2net")
    pytest.skip("ser2net is not installed here and only root could install it")


@pytest.fixture
def device() -> Iterator[Callable[[], Device]]:
    """Makes serial devices: `device().path` is to be opened by what is tested."""
    with contextlib.ExitStack() as made:
        yield lambda: made.enter_context(Device())


@pytest.fixture
def ser2net(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[Callable[..., Ser2net]]:
    """Starts ser2net on a device: `ser2net(path)`, `ser2net(path, rfc2217=False, max_connections=4)`.

    Named otherwise: `speed` as ser2net has it (`9600n81`), `port` to listen on. All else is an option of
    the connection in ser2net.yaml(5), with `_` for `-`.
    """
    with lines.tool("ser2net", _ser2net_path(), tmp_path) as tool:

        def start(
            path: str, *, rfc2217: bool = True, speed: str = "115200n81", port: int = 0, **options: object
        ) -> Ser2net:
            port = port or free_port()
            stack = "telnet(rfc2217),tcp" if rfc2217 else "tcp"
            config = tmp_path / f"ser2net-{port}.yaml"
            text = gateways.ser2net_config(port, path, stack, speed, options)
            config.write_text("%YAML 1.1\n---\n" + text)
            return Ser2net(tool, port, config)

        yield start


@pytest.fixture
def pyserial_server() -> Iterator[Callable[..., PyserialServer]]:
    """Starts an RFC 2217 server of pyserial's parts on a loop-back plug: `pyserial_server()`."""
    with contextlib.ExitStack() as made:
        yield lambda **kind: made.enter_context(contextlib.closing(PyserialServer(**kind)))


@pytest.fixture
def pyserial_client() -> Iterator[Callable[..., Any]]:
    """Opens `rfc2217://` with pyserial: `pyserial_client(port, "ign_set_control", baudrate=9600)`."""
    with contextlib.ExitStack() as made:

        def open_client(port: int, options: str = "", **settings: Any) -> Any:
            client = gateways.pyserial_client(port, options, **settings)
            return made.enter_context(contextlib.closing(client))

        yield open_client
