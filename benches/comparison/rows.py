"""What is measured: each row's runs, from a peer to figures.

| figure | unit |
|---|---|
| ``rate`` | 1e9 bytes a second |
| ``cpu`` | seconds of the relay's CPU per 1e9 bytes |
| ``p50`` ``p99`` | microseconds |
| ``each`` | microseconds of the relay's CPU per round trip or connection |
| ``conns`` | connections a second |
| ``busy`` | MiB of process memory (proportional set size) in the middle of the run |
| ``rest`` | MiB of process memory with no connection |
| ``memory`` | KiB of process memory per connection, beyond that |
| ``after`` | the same after a burst through each connection, as a multiple |
| ``descriptors`` | per connection |
| ``first`` | milliseconds from the start to the first byte at the server |
"""

import functools
import threading
import time
from collections.abc import Callable

from comparison import one_shot
from comparison.bench import Bench, Figures, Stage
from comparison.processes import MeasureError
from comparison.program import Row
from comparison.relays import Peer

_BURST = 256 * 1024
_SETTLE = 1.0
_MIB = 1024 * 1024


def _cpu(stage: Stage, before: float, units: float, name: str) -> Figures:
    """Return the relay's CPU time since `before` over a number of units, unless there is no relay."""
    return {name: (stage.cpu() - before) / units} if stage.relay else {}


def _during(bench: Bench, stage: Stage, run: Callable[[], Figures]) -> tuple[Figures, Figures]:
    """Make a run; return its outcome, and the memory of the relay, if any, in the middle of it."""
    memory: Figures = {}
    if stage.relay is None:
        return run(), memory
    relay = stage.relay
    timer = threading.Timer(bench.seconds / 2, lambda: memory.update(busy=relay.memory() / _MIB))
    timer.start()
    try:
        return run(), memory
    finally:
        timer.cancel()
        timer.join()


def _bulk(streams: int, sink: str, near: str, far: str, bench: Bench, peer: Peer) -> Figures:
    with bench.stage(peer, near, far) as stage:
        before = stage.cpu()
        options = {"streams": streams, "sink": sink, "for": bench.seconds}
        run, memory = _during(bench, stage, lambda: bench.load("send", to=stage.near, **options))
        return {
            "rate": run["bytes"] / run["seconds"] / 1e9,
            **_cpu(stage, before, run["bytes"] / 1e9, "cpu"),
            **memory,
        }


def _latency(size: int, bench: Bench, peer: Peer) -> Figures:
    with bench.stage(peer) as stage:
        before = stage.cpu()
        run = bench.load("latency", to=stage.near, size=size, **{"for": bench.seconds})
        return {
            "p50": run["p50"] * 1e6,
            "p99": run["p99"] * 1e6,
            **_cpu(stage, before, run["turns"] / 1e6, "each"),
        }


def _mixed(bench: Bench, peer: Peer) -> Figures:
    with bench.stage(peer) as stage:
        before = stage.cpu()
        run = bench.load("mixed", to=stage.near, **{"for": bench.seconds})
        return {
            "p50": run["p50"] * 1e6,
            "p99": run["p99"] * 1e6,
            "rate": run["bytes"] / run["seconds"] / 1e9,
            **_cpu(stage, before, run["bytes"] / 1e9, "cpu"),
        }


def _connections(clients: int, bench: Bench, peer: Peer) -> Figures:
    with bench.stage(peer) as stage:
        before = stage.cpu()
        run = bench.load("connections", to=stage.near, clients=clients, **{"for": bench.seconds})
        return {
            "conns": run["count"] / run["seconds"],
            "p99": run["p99"] * 1e6,
            **_cpu(stage, before, run["count"] / 1e6, "each"),
        }


def _idle(connections: int, bench: Bench, peer: Peer) -> Figures:
    with bench.stage(peer) as stage:
        relay = stage.relay
        if relay is None:
            raise MeasureError("nothing relays")
        bench.load("latency", to=stage.near, count=10)  # what the first connection takes stays
        time.sleep(_SETTLE)
        memory, descriptors = relay.memory(), relay.descriptors()
        with bench.held(stage.near, connections) as burst:
            time.sleep(_SETTLE)
            idle = relay.memory() - memory
            opened = relay.descriptors() - descriptors
            burst(_BURST)
            time.sleep(_SETTLE)
            after = relay.memory() - memory
    return {
        "rest": memory / _MIB,
        "memory": idle / 1024 / connections,
        "after": after / max(idle, 1),
        "descriptors": round(opened / connections, 2),
    }


_ALL = ("ferrule", "socat", "socat-b262144", "haproxy", "nginx", "asyncio", "tokio", "direct")
# What no relay of short connections can do without.
_SHORT = (*_ALL, "floor")
_RELAYS = _ALL[:-1]
_THREADS = tuple(name for name in _RELAYS if not name.startswith("socat"))
_UNIX = ("ferrule", "socat", "socat-b262144", "haproxy", "nginx", "asyncio", "direct")
_STDIN = ("ferrule", "socat", "socat-b262144")


def _part(measure: Callable[..., Figures], *arguments: object) -> Callable[[Bench, Peer], Figures]:
    return functools.partial(measure, *arguments)


ROWS = (
    Row("streams", "64 TCP streams, light sink", _ALL, _part(_bulk, 64, "light", "tcp", "tcp")),
    Row("stream", "one TCP stream, ends that copy", _ALL, _part(_bulk, 1, "copying", "tcp", "tcp")),
    Row("latency", "1 byte there and back", _ALL, _part(_latency, 1)),
    Row("latency64", "64 bytes there and back", _ALL, _part(_latency, 64)),
    Row("mixed", "64 bytes there and back beside four bulk streams", _ALL, _mixed),
    Row("connections", "connect, request, close: 32 clients", _SHORT, _part(_connections, 32)),
    Row("connections1", "connect, request, close: one client", _SHORT, _part(_connections, 1)),
    Row("idle", "1,000 idle connections", _RELAYS, _part(_idle, 1000)),
    Row("idle9700", "9,700 idle connections", _THREADS, _part(_idle, 9700)),
    Row("tcp-unix", "TCP to UNIX, one stream", _UNIX, _part(_bulk, 1, "copying", "tcp", "unix")),
    Row("unix-tcp", "UNIX to TCP, one stream", _UNIX, _part(_bulk, 1, "copying", "unix", "tcp")),
    Row("unix-unix", "UNIX to UNIX, one stream", _UNIX, _part(_bulk, 1, "copying", "unix", "unix")),
    Row("file", "file to TCP, start to end", _STDIN, one_shot.file_to_tcp),
    Row("pipe", "pipe to TCP, start to end", _STDIN, one_shot.pipe_to_tcp),
    Row("start-up", "start to first byte", ("ferrule", "socat", "python"), one_shot.start_up),
)
