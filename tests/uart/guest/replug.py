"""A USB adapter that is pulled out and plugged in again while a client is connected."""

from __future__ import annotations

import socket
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rig
import wire
from loop_plug import served, speed
from rig import LIMIT, Case, Ferrule, Watch, case, free_port, wait_until

_PATH = "/dev/ttyUSB0"
_NEXT = "/dev/ttyUSB1"  # its name when somebody still had the old one open
_TIMES = 3
_GOAL_MS = 1000
_plugged: list[bool] = []


@contextmanager
def _adapter() -> Iterator[None]:
    """The adapter, plugged in at the start and pulled out at the end; what it sends comes back."""
    rig.load("uhci_hcd")
    rig.load("ftdi_sio")
    rig.host.ask("echo", wire="usb")
    _plug()
    try:
        wait_until(lambda: Path(_PATH).exists(), _PATH)
        yield
    finally:
        Ferrule.stop_all()
        if _plugged:
            _unplug()


def _plug() -> None:
    rig.host.ask("plug")
    _plugged.append(True)


def _unplug() -> None:
    rig.host.ask("unplug")
    _plugged.clear()
    wait_until(lambda: not Path(_PATH).exists(), f"the end of {_PATH}")


def _echoes(client: socket.socket, text: bytes) -> bool:
    client.sendall(text)
    back = b""
    while len(back) < len(text):
        piece = client.recv(len(text) - len(back))
        if not piece:
            return False
        back += piece
    return back == text


@case
@_adapter()
def replug(found: Case) -> None:
    """With `reconnect` a client outlives the adapter being pulled out, and has it back within a second."""
    port = free_port()
    ferrule = Ferrule(f"TCP-LISTEN:{port},bind=127.0.0.1", f"SERIAL:{_PATH},reconnect")
    ferrule.wait_listening(port)
    with socket.create_connection(("127.0.0.1", port), LIMIT) as client:
        found.check(_echoes(client, b"first"), "bytes go through the adapter and back")
        for number in range(_TIMES):
            _unplug()
            wait_until(lambda: ferrule.check() and not ferrule.opened("/dev/ttyUSB"), "the adapter let go of")
            _plug()
            wait_until(lambda: Path(_PATH).exists() or Path(_NEXT).exists(), "the adapter's name")
            start = time.monotonic()
            wait_until(lambda: ferrule.check() and ferrule.opened("/dev/ttyUSB"), "the adapter opened again")
            found.figure(
                f"opened again after its name was back, {number + 1}",
                (time.monotonic() - start) * 1000,
                "ms",
                _GOAL_MS,
            )
            found.check(ferrule.opened(_PATH), f"it is {_PATH} again")
            found.check(_echoes(client, b"again %d" % number), "the client of before goes on")
        found.check(ferrule.check(), "one process all the time")


@case
@_adapter()
def written_while_away(found: Case) -> None:
    """What a client writes while the adapter is out is delivered when it is back."""
    port = free_port()
    ferrule = Ferrule(f"TCP-LISTEN:{port},bind=127.0.0.1", f"SERIAL:{_PATH},reconnect")
    ferrule.wait_listening(port)
    with socket.create_connection(("127.0.0.1", port), LIMIT) as client:
        found.check(_echoes(client, b"first"), "bytes go through the adapter and back")
        _unplug()
        wait_until(lambda: ferrule.check() and not ferrule.opened("/dev/ttyUSB"), "the adapter let go of")
        data = bytes(range(256)) * 8
        client.sendall(data)
        _plug()
        back = bytearray()
        while len(back) < len(data) and (piece := client.recv(4096)):
            back += piece
        found.check(bytes(back) == data, f"{len(data)} bytes arrived, whole and in order")


@case
@_adapter()
def settings_come_back(found: Case) -> None:
    """What an RFC 2217 client has set is set again on an adapter that was pulled out and plugged in."""
    with served(f"{_PATH},reconnect") as (ferrule, port), wire.Client(port) as client:
        client.ask(wire.SET_BAUD, (57600).to_bytes(4, "big"))
        client.ask(wire.SET_PARITY, bytes((wire.EVEN,)))
        _unplug()
        wait_until(lambda: ferrule.check() and not ferrule.opened("/dev/ttyUSB"), "the adapter let go of")
        _plug()
        wait_until(lambda: ferrule.check() and ferrule.opened("/dev/ttyUSB"), "the adapter opened again")
        client.send(b"again")
        client.wait_data(b"again")
        with Watch(_PATH) as now:
            found.check(speed(now) == 57600, f"the speed is {speed(now)} again")
            parity = termios.tcgetattr(now.descriptor)[2] & (termios.PARENB | termios.PARODD)
            found.check(parity == termios.PARENB, "the parity is even again")
        answer = client.ask(wire.SET_BAUD, bytes(4))
        found.check(int.from_bytes(answer, "big") == 57600, "and the client is told so")


@case
@_adapter()
def low_latency(found: Case) -> None:
    """A USB adapter hands each byte on at once, without being told to."""
    timer = Path("/sys/bus/usb-serial/devices/ttyUSB0/latency_timer")
    before = timer.read_text().strip()
    port = free_port()
    ferrule = Ferrule(f"TCP-LISTEN:{port},bind=127.0.0.1", f"SERIAL:{_PATH}")
    ferrule.wait_listening(port)
    with socket.create_connection(("127.0.0.1", port), LIMIT) as client:
        found.check(_echoes(client, b"first"), "bytes go through the adapter and back")
        now = timer.read_text().strip()
        found.check(now == "1", f"the adapter's latency timer: {before} ms before, {now} ms now")
