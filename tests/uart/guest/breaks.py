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
        rig.wait_until(lambda: client.data.endswith(b"after"), "the data after the breaks")
        told = sum(one[2] == wire.NOTIFY_LINE and one[3][0] & wire.BREAK != 0 for one in client.told)
        found.check(told == _TIMES, f"{told} notices of {_TIMES} breaks")
        found.check(bytes(client.data) == b"after", f"the data after them is {bytes(client.data)!r}")


@case
def break_between_bytes(found: Case) -> None:
    """A break in the middle of data takes nothing away from it, and adds nothing."""
    with Port(_TELNET_PATH), served(_TELNET_PATH) as (_, port), wire.Client(port) as client:
        client.ask(wire.LINE_MASK, bytes((wire.BREAK,)))
        since = len(client.told)
        rig.host.ask("send", wire="second", text=f"before{_BREAK_IN_TELNET}after")
        _, place, _, _ = client.wait_told(wire.NOTIFY_LINE, since, wire.BREAK, wire.BREAK)
        client.wait_data(b"beforeafter")
        found.lines.append(f"told after {place} of 11 bytes; it came after 6")
