"""The virtual machine: its console, what its serial lines lead to, and what can be done to it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from packages import Emulator

_MEMORY = "768"
_PATIENCE = 20.0
_ADAPTER = "adapter"
# Only errors of the kernel, which could cut a line of the cases in two.
_APPEND = "console=ttyS0,115200 rdinit=/init loglevel=4 panic=-1"

FIRST = "first"
"""What /dev/ttyS1 leads to; a break comes by command."""
SECOND = "second"
"""What /dev/ttyS2 leads to: telnet, so that a break keeps its place between the bytes."""
ADAPTER = "usb"
"""What the USB adapter leads to, while it is plugged in."""


class MachineError(Exception):
    """The machine does not do what it is told to; the text says what and why."""


def _dial(path: Path, alive: Callable[[], bool]) -> socket.socket:
    """Connect to a socket of the machine, which it makes while it starts."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        peer = socket.socket(socket.AF_UNIX)
        peer.settimeout(_PATIENCE)
        try:
            peer.connect(str(path))
            return peer
        except OSError as error:
            peer.close()
            if not alive() or time.monotonic() > deadline:
                raise MachineError(f"{path.name}: {error}") from error
        time.sleep(0.02)


class Control:
    """Commands to the machine: QEMU's machine protocol, one JSON object a line."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._lines = peer.makefile("rb")
        self._lines.readline()  # the greeting
        self.run("qmp_capabilities")

    def run(self, command: str, **arguments: object) -> Any:
        """Run one command and return what it answers; events are passed over."""
        request = {"execute": command, "arguments": arguments}
        self._peer.sendall(json.dumps(request).encode() + b"\n")
        while line := self._lines.readline():
            answer = json.loads(line)
            if "error" in answer:
                raise MachineError(f"{command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]
        raise MachineError(f"{command}: the machine has gone")

    def close(self) -> None:
        """Hang up."""
        self._lines.close()
        self._peer.close()


class Machine:
    """A running guest.

    Args:
        emulator: What runs it.
        kernel: What is booted.
        files: The guest's file system.
        folder: Where its sockets are made; their whole paths have at most 107 bytes, see unix(7).
    """

    def __init__(self, emulator: Emulator, kernel: Path, files: Path, folder: Path) -> None:
        self._folder = folder
        self._wires: dict[str, socket.socket] = {}
        self._echoes: dict[str, threading.Thread] = {}
        self._process = subprocess.Popen(
            [*emulator.command, *_options(kernel, files, folder)],
            env={**os.environ, **emulator.environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        try:
            self._control = Control(_dial(folder / "control", self.alive))
            for name in (FIRST, SECOND, ADAPTER):
                self._wires[name] = _dial(folder / name, self.alive)
        except BaseException:
            self.close()
            raise

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process.poll() is None

    def read(self) -> bytes:
        """Return what comes from the console next; nothing at the end."""
        assert self._process.stdout is not None
        return os.read(self._process.stdout.fileno(), 65536)

    def enter(self, line: str) -> None:
        """Type a line at the console."""
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")

    def send(self, wire: str, data: bytes) -> None:
        """Have data arrive at the guest's end of a wire. On `SECOND`, FF F3 is a break, FF FF the byte FF."""
        self._wires[wire].sendall(data)

    def send_break(self, wire: str) -> None:
        """Have a break arrive at the guest's end of a wire."""
        self._control.run("chardev-send-break", id=wire)

    def plug(self) -> None:
        """Plug the USB adapter in, once the machine is done with the one that was pulled out."""
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._control.run("device_add", driver="usb-serial", id=_ADAPTER, chardev=ADAPTER)
                return
            except MachineError as error:
                if "in use" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def unplug(self) -> None:
        """Pull the USB adapter out."""
        self._control.run("device_del", id=_ADAPTER)

    def echo(self, wire: str) -> None:
        """Send back whatever comes out of a wire from now on."""
        if wire in self._echoes:
            return
        peer = self._wires[wire]
        peer.settimeout(None)

        def send_back() -> None:
            with contextlib.suppress(OSError):
                while data := peer.recv(4096):
                    peer.sendall(data)

        self._echoes[wire] = threading.Thread(target=send_back, daemon=True)
        self._echoes[wire].start()

    def close(self) -> None:
        """Switch it off."""
        self._process.kill()
        self._process.wait()
        for wire in self._wires.values():
            with contextlib.suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)
            wire.close()
        for echo in self._echoes.values():
            echo.join(_PATIENCE)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._control.close()
        self.close()


def _options(kernel: Path, files: Path, folder: Path) -> list[str]:
    """QEMU's options: emulated processors, since the machine that tests may itself be virtual."""

    def wire(name: str, more: str = "") -> list[str]:
        return ["-chardev", f"socket,id={name},path={folder / name},server=on,wait=off{more}"]

    return [
        # A processor that has RDRAND, without which the kernel has no random numbers this early.
        *("-accel", "tcg", "-cpu", "max", "-smp", "2", "-m", _MEMORY),
        *("-nodefaults", "-display", "none", "-no-reboot", "-usb"),
        *("-kernel", str(kernel), "-initrd", str(files), "-append", _APPEND),
        *("-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"),
        *(*wire(FIRST), "-serial", f"chardev:{FIRST}"),
        *(*wire(SECOND, ",telnet=on"), "-serial", f"chardev:{SECOND}"),
        *wire(ADAPTER),
        *("-qmp", f"unix:{folder / 'control'},server=on,wait=off"),
    ]
