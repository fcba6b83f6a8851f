"""Relays: between two endpoints, both ways, until both directions end."""

from __future__ import annotations

import os

from ferrule import _core
from ferrule._core import Flow, Host, Outages, Report, Running
from ferrule.address import Address

TYPE_CHECKING = False
if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable
    from typing import Literal

    from ferrule.address import AddressLike
    from ferrule.capture import Capture

__all__ = ["Flow", "Host", "Outages", "Relay", "Report", "Running"]

# Seconds a cancelled task gives what was read to be written.
_GRACE = 0.1


class Relay:
    """Moves bytes both ways between two endpoints until both directions end.

    Args:
        src: Opened first. With ``fork=True`` a listening address is accepted from again and again.
        dst: Opened once for each connection of ``src``.
        idle_timeout: Seconds without a byte in either direction after which the relay ends; ``None``
            waits for ever.
        half_close_timeout: Seconds without a byte after which the relay ends once one direction has
            ended; ``None`` waits for the end of the other one.
        direction: Which ways bytes are moved; the end that is not needed is not opened.
        buffer_size: Bytes per read, exactly; ``None`` adapts to the traffic.
        capture: A file that keeps what is moved, with the time: ``.txt``, ``.hex`` or ``.pcapng``. A
            ``Capture`` says more about it. It is opened whenever the relay is run.

    Raises:
        AddressError: An address, an option or the capture is not valid; nothing has been opened.

    A relay can be run as often as wanted, also at the same time, and from any thread. After ``os.fork()``
    the child makes relays of its own: using one of the parent's raises ``RuntimeError``.
    """

    __slots__ = ("_core", "_dst", "_src")

    def __init__(
        self,
        src: AddressLike,
        dst: AddressLike,
        *,
        idle_timeout: float | None = None,
        half_close_timeout: float | None = None,
        direction: Literal["both", "left-to-right", "right-to-left"] = "both",
        buffer_size: int | None = None,
        capture: str | os.PathLike[str] | Capture | None = None,
    ) -> None:
        self._src = _text(src)
        self._dst = _text(dst)
        self._core = _core.Relay(
            self._src,
            self._dst,
            idle_timeout=idle_timeout,
            half_close_timeout=half_close_timeout,
            direction=direction,
            buffer_size=buffer_size,
            capture=_capture(capture),
        )

    def run(self) -> Report:
        """Relays until the end, with the interpreter free for other threads.

        Ctrl-C, on the main thread, closes everything within 200 ms and raises ``KeyboardInterrupt``.

        Raises:
            OpenError: An endpoint could not be opened.
            TransferError: Bytes were lost; ``report`` says how many.
            ChildError: A program that was an endpoint failed.
        """
        return self._core.run()

    def start(self, host: Host | None = None) -> Running:
        """Starts the relay and returns at once; errors come from ``wait()``.

        Args:
            host: The thread it shares with other relays; ``None`` starts one of its own.
        """
        return self._core.start(host)

    async def run_async(self) -> Report:
        """Relays until the end, beside the other tasks of the event loop.

        Cancelling the task ends the relay, and is over when everything is closed. Raises what ``run``
        raises.
        """
        import asyncio

        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        running = self.start()
        running.on_end(lambda: _call_soon(loop, ended.set))
        try:
            await ended.wait()
        except asyncio.CancelledError:
            running.stop()
            hurry = loop.call_later(_GRACE, running.abort)
            while not ended.is_set():
                try:
                    await ended.wait()
                except asyncio.CancelledError:
                    running.abort()
            hurry.cancel()
            raise
        finally:
            # Also when the coroutine is thrown away half way.
            running.abort()
        return running.wait(0)

    def __repr__(self) -> str:
        return f"Relay({os.fsdecode(self._src)!r}, {os.fsdecode(self._dst)!r})"


def _capture(
    capture: str | os.PathLike[str] | Capture | None,
) -> tuple[str, str | None, int | None, int | None] | None:
    """What the engine takes. No capture costs no import."""
    if capture is None:
        return None
    from ferrule.capture import Capture

    if not isinstance(capture, Capture):
        capture = Capture(capture)
    return capture.path, capture.format, capture.size, capture.files


def _text(address: AddressLike) -> bytes:
    return bytes(address) if isinstance(address, Address) else os.fsencode(address)


def _call_soon(loop: AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Runs ``callback`` in the loop, unless it was closed and nobody waits any more."""
    try:
        loop.call_soon_threadsafe(callback)
    except RuntimeError:
        if not loop.is_closed():
            raise
