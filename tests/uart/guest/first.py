"""The guest's first process: prepares what a program takes for granted, then runs the cases."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct
import time
from pathlib import Path

import rig

# Importing a module of cases enters its cases.
import breaks  # isort: skip
import gadget  # isort: skip
import loop_plug  # isort: skip
import ports  # isort: skip
import replug  # isort: skip

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 1
_PLACES = (
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("devpts", "/dev/pts"),
    ("tmpfs", "/tmp"),
)


def _mount() -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    for kind, place in _PLACES:
        Path(place).mkdir(exist_ok=True)
        if libc.mount(kind.encode(), place.encode(), kind.encode(), 0, None) != 0:
            raise OSError(ctypes.get_errno(), f"mounting {place}")


def _loopback_up() -> None:
    with socket.socket() as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def main() -> None:
    """Run the cases the host wants, and wait to be switched off."""
    os.environ.update(PATH="/bin", HOME="/tmp", LC_ALL="C.UTF-8", PYTHONPATH="/rig/site")
    _mount()
    _loopback_up()
    signal.signal(signal.SIGALRM, rig.too_late)
    rig.run_all((loop_plug, breaks, ports, replug, gadget))
    while True:
        time.sleep(60)
