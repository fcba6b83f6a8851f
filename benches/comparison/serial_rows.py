"""What is measured of serial ports, and what Ferrule is to reach.

| figure | unit |
|---|---|
| ``p50`` ``p99`` | microseconds: of a round trip, or from a device to a client |
| ``each`` | microseconds of the relay's CPU per round trip |
| ``speed`` | 1e6 bytes a second there and back |
| ``core`` | percent of one processor |
| ``started`` | milliseconds from the start until every port listens |
| ``busy`` | MiB of process memory (proportional set size) with all clients served |
| ``kept`` | percent of what the devices had to send that arrived at the clients that read |
| ``slower`` | the median delay with a client that does not read, as a multiple of the one without |

A device is a pseudo terminal. It sends what its line would have received every 10 ms; what then does not
fit into the terminal is lost, as it would be by the driver of a real one.
"""

import functools
import time
from collections.abc import Callable

from comparison.bench import Bench, Figures
from comparison.goals import Goal
from comparison.processes import MeasureError
from comparison.program import Row
from comparison.serial_relays import SerialPeer
from comparison.serial_stage import echoing, feed

_BITS = 10  # of a byte on the line, with start and stop
_DUPLEX = 4 * 1024 * 1024
_SHARED_RATE = 200_000
# More than the buffers between a relay and a client that does not read hold.
_FILL = 8_000_000
_CLIENTS = 4


def _echo(bench: Bench, peer: SerialPeer) -> Figures:
    with echoing(bench, peer) as (near, relay):
        before = relay.cpu()
        run = bench.load("latency", to=near, size=1, **{"for": bench.seconds})
        each = (relay.cpu() - before) / run["turns"] * 1e6
    return {"p50": run["p50"] * 1e6, "p99": run["p99"] * 1e6, "each": each}


def _duplex(bench: Bench, peer: SerialPeer) -> Figures:
    with echoing(bench, peer) as (near, _), bench.held(near, 1) as burst:
        start = time.monotonic()
        burst(_DUPLEX)
        return {"speed": _DUPLEX / (time.monotonic() - start) / 1e6}


def _ports(count: int, baud: int, bench: Bench, peer: SerialPeer) -> Figures:
    run = feed(bench, peer, count, baud // _BITS)
    if run["kept"] < 100:
        raise MeasureError(f"only {run['kept']:.4g} % of what the devices sent arrived")
    return run


def _stalled(bench: Bench, peer: SerialPeer) -> Figures:
    without = feed(bench, peer, 1, _SHARED_RATE, _CLIENTS - 1, fill=_FILL)
    beside = feed(bench, peer, 1, _SHARED_RATE, _CLIENTS, fill=_FILL, stalled=1)
    return {
        "kept": beside["kept"],
        "slower": beside["p50"] / without["p50"],
        "p50": beside["p50"],
        "p99": beside["p99"],
    }


def _part(measure: Callable[..., Figures], *arguments: object) -> Callable[[Bench, SerialPeer], Figures]:
    return functools.partial(measure, *arguments)


_ALL = ("ferrule", "socat", "ser2net", "ser2net-chardelay")
# One process serves all ports.
_MANY = ("ferrule", "ser2net", "ser2net-chardelay")

ROWS = (
    Row("echo", "1 byte to a device and back", _ALL, _echo),
    Row("duplex", "4 MiB to a device and back at once", _ALL, _duplex),
    Row("ports256", "256 devices at 115200 baud to the network", _MANY, _part(_ports, 256, 115_200)),
    Row("ports1000", "1,000 devices at 9600 baud to the network", _MANY, _part(_ports, 1000, 9600)),
    Row("stalled", "one client of four does not read", _MANY[:2], _stalled),
)

GOALS = (
    Goal("echo", "p50", False, 1.2, "socat"),
    Goal("echo", "p99", False, 1.0, "ser2net"),
    Goal("duplex", "speed", True, 1.0, "ser2net"),
    Goal("ports256", "core", False, 1.0, "ser2net"),
    Goal("ports256", "kept", True, 100),
    Goal("ports1000", "busy", False, 64),
    Goal("ports1000", "started", False, 1000),
    Goal("ports1000", "kept", True, 100),
    Goal("stalled", "kept", True, 100),
    Goal("stalled", "slower", False, 1.2),
)
