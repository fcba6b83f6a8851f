"""Two ends of one USB cable in one kernel: modem lines that others drive, and breaks they send."""

from __future__ import annotations

import fcntl
import os
import statistics
import termios
import threading
import time
from pathlib import Path

import rig
import wire
from loop_plug import served
from rig import LIMIT, Case, Port, case, wait_until

_NEAR = "/dev/ttyACM0"
_FAR = "/dev/ttyGS0"
_WAIT = 0x545C  # TIOCMIWAIT of <asm-generic/ioctls.h>
_TIMES = 20
_GOAL_MS = 20


def _cable() -> None:
    # g_serial would have modprobe load usb_f_acm, and there is none here.
    for module in ("cdc_acm", "dummy_hcd", "usb_f_acm", "g_serial"):
        rig.load(module)
    wait_until(lambda: Path(_NEAR).exists() and Path(_FAR).exists(), f"{_NEAR} and {_FAR}")


class _Kernel:
    """When the kernel itself tells of a change of DCD, to somebody who waits for it by TIOCMIWAIT."""

    def __init__(self, port: Port) -> None:
        self.told: list[float] = []
        self._ended = False
        self._thread = threading.Thread(target=self._wait, args=(port.descriptor,), daemon=True)
        self._thread.start()

    def _wait(self, descriptor: int) -> None:
        while not self._ended:
            fcntl.ioctl(descriptor, _WAIT, termios.TIOCM_CD)
            self.told.append(time.monotonic())

    def end(self) -> None:
        """End with the next change."""
        self._ended = True

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join(LIMIT)


@case
def modem_notices(found: Case) -> None:
    """A modem line that changes is told to the client within 20 ms."""
    _cable()
    with Port(_NEAR) as near, served(_NEAR) as (_, port), wire.Client(port) as client:
        mask = client.ask(wire.MODEM_MASK, b"\xff")
        found.check(mask == b"\xff", f"the mask is answered with {mask.hex()}")
        client.wait_told(wire.NOTIFY_MODEM, 0)
        kernel = _Kernel(near)
        waits, later = [], []
        for number in range(_TIMES):
            for wanted in (wire.DCD, 0):
                if number == _TIMES - 1 and not wanted:
                    kernel.end()
                since, told = len(client.told), len(kernel.told)
                start = time.monotonic()
                if wanted:
                    far = os.open(_FAR, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
                else:
                    os.close(far)
                when = client.wait_told(wire.NOTIFY_MODEM, since, wanted, wire.DCD)[0]
                wait_until(lambda count=told: len(kernel.told) > count, "the kernel's own notice")
                waits.append((when - start) * 1000)
                later.append((when - kernel.told[told]) * 1000)
        kernel.join()
        found.figure(f"{len(waits)} changes of DCD told, half of them within", statistics.median(waits), "ms")
        found.figure("99 of 100 within", statistics.quantiles(waits, n=100)[98], "ms")
        found.figure(
            "after the kernel has told of it, half of them", statistics.median(later), "ms", _GOAL_MS
        )


@case
def break_over_usb(found: Case) -> None:
    """A break from the far end of the cable is told, and data still goes both ways."""
    _cable()
    with Port(_FAR) as far, served(_NEAR) as (_, port), wire.Client(port) as client:
        client.ask(wire.LINE_MASK, bytes((wire.BREAK,)))
        since = len(client.told)
        start = time.monotonic()
        termios.tcsendbreak(far.descriptor, 0)
        when = client.wait_told(wire.NOTIFY_LINE, since, wire.BREAK, wire.BREAK)[0]
        found.figure("told after", (when - start) * 1000, "ms")
        os.write(far.descriptor, b"up")
        wait_until(lambda: client.data.endswith(b"up"), "data from the far end")
        client.send(b"down")
        received = b""

        def arrived() -> bool:
            nonlocal received
            try:
                received += os.read(far.descriptor, 100)
            except BlockingIOError:
                return False
            return len(received) >= 4

        wait_until(arrived, "data at the far end")
        found.check(client.data == b"\0up", f"up came {bytes(client.data)!r}: the break is read as a byte 0")
        found.check(received == b"down", f"down came {received!r}")
