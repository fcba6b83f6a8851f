"""Breaks that arrive at a 16550, and what an RFC 2217 client hears of them."""

from __future__ import annotations

import time

import rig
import wire
from loop_plug import PATH, served
from rig import Case, Port, case

_TELNET_PATH = "/dev/ttyS2"
_BREAK_IN_TELNET = "\xff\xf3"
_TIMES = 10


@case
def received_break(found: Case) -> None:
    """A break on the line is told to the client that asked for line states, soon and once."""
    with Port(PATH), served(PATH) as (_, port), wire.Client(port) as client:
        mask = client.ask(wire.LINE_MASK, bytes((wire.BREAK,)))
        found.check(mask == bytes((wire.BREAK,)), f"the mask is answered with {mask.hex()}")
        rig.host.ask("send", wire="first", text="before")
        client.wait_data(b"before")
        waits = []
        for _ in range(_TIMES):
            since = len(client.told)
            start = time.monotonic()
            rig.host.ask("break", wire="first")
            when = client.wait_told(wire.NOTIFY_LINE, since, wire.BREAK, wire.BREAK)[0]
            waits.append((when - start) * 1000)
        waits.sort()
        found.figure(
            f"{_TIMES} breaks told, the middle one after", waits[_TIMES // 2], "ms with the host's way"
        )
        rig.host.ask("send", wire="first", text="after")
        client.wait_data(bytes(_TIMES) + b"after")
        told = sum(one[2] == wire.NOTIFY_LINE and one[3][0] & wire.BREAK != 0 for one in client.told)
        found.check(told == _TIMES, f"{told} notices of {_TIMES} breaks")
        found.check(True, "each was read as one byte 0, before the data that came after them")


def _between(found: Case, way: str, read: bytes) -> None:
    """A break in the middle of data: what is read for it, and when the client is told."""
    with served(f"{_TELNET_PATH},break={way}") as (_, port), wire.Client(port) as client:
        client.ask(wire.LINE_MASK, bytes((wire.BREAK,)))
        rig.host.ask("send", wire="second", text="before")
        rig.wait_until(lambda: len(client.data) >= 6, "the data before the break")
        since = len(client.told)
        # The emulated line takes a break before the bytes it arrives with.
        rig.host.ask("send", wire="second", text=f"{_BREAK_IN_TELNET}after")
        place = client.wait_told(wire.NOTIFY_LINE, since, wire.BREAK, wire.BREAK)[1]
        client.wait_data(b"before" + read + b"after")
        found.check(True, f"break={way}: read as {read!r}, and nothing else came or went")
        found.lines.append(f"break={way}: told after {place} bytes of data, 6 of them before the break")


@case
def break_between_bytes(found: Case) -> None:
    """A break in the middle of data is read as asked for, in its place, and told."""
    with Port(_TELNET_PATH):
        _between(found, "null", b"\0")
        _between(found, "ignore", b"")
        _between(found, "mark", b"\xff\0\0")
