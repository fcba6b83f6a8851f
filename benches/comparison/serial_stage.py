"""One measurement's stage: serial devices, a relay of them to the network, and its clients."""

import contextlib
import json
import math
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from comparison.bench import Bench, Figures
from comparison.endpoints import Endpoint
from comparison.processes import MeasureError, Relay, running
from comparison.serial_relays import Line, SerialPeer

_LISTENING = "0A"
_PATIENCE = 30.0


class Player:
    """A role of the load generator that takes orders and answers each with a line."""

    def __init__(self, popen: "subprocess.Popen[str]", log: IO[str]) -> None:
        """Adopt the process; use `playing`."""
        self._popen = popen
        self._log = log

    def answer(self) -> Any:
        """Return its next line; it is bounded in time itself."""
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if not line:
            self._popen.wait()
            self._log.seek(0)
            raise MeasureError(self._log.read().strip() or "the load generator ended early")
        return json.loads(line)

    def order(self, text: str) -> Any:
        """Give it a line and return its answer."""
        assert self._popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._popen.stdin.write(text + "\n")
            self._popen.stdin.flush()
        return self.answer()


@contextlib.contextmanager
def playing(bench: Bench, role: str, **options: object) -> Iterator[Player]:
    """Run a role of the load generator, and end it."""
    words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
    pipe = subprocess.PIPE
    with tempfile.TemporaryFile("w+") as log:
        command = [str(bench.tools.load), role, *words]
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True) as popen:
            try:
                yield Player(popen, log)
            finally:
                popen.kill()


def free(paths: Sequence[str]) -> list[Line]:
    """Give each device a TCP port where nothing listens now, all of them different."""
    with contextlib.ExitStack() as probes:
        lines = []
        for path in paths:
            probe = probes.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            lines.append(Line(path, Endpoint("tcp", str(probe.getsockname()[1]))))
        return lines


def _listening() -> set[int]:
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return {int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == _LISTENING}


@contextlib.contextmanager
def serving(
    bench: Bench, peer: SerialPeer, lines: Sequence[Line], clients: int = 1
) -> Iterator[tuple[Relay, float]]:
    """Run a peer's relay of lines; yield it once all listen, and how many seconds that took."""
    wanted = {int(line.listen.place) for line in lines}
    start = time.monotonic()
    with running(bench.tools.load, peer.command(bench.tools, lines, clients)) as relay:
        while not wanted <= _listening():
            relay.check()
            if time.monotonic() - start > _PATIENCE:
                raise MeasureError(f"not all of {len(lines)} ports listen after {_PATIENCE:g} s")
            time.sleep(0.002)
        yield relay, time.monotonic() - start


@contextlib.contextmanager
def echoing(bench: Bench, peer: SerialPeer) -> Iterator[tuple[Endpoint, Relay]]:
    """Run a device that echoes and a relay of it; yield where to connect to, and the relay."""
    with playing(bench, "device") as device:
        lines = free([device.answer()["path"]])
        with serving(bench, peer, lines) as (relay, _):
            yield lines[0].listen, relay


def feed(
    bench: Bench, peer: SerialPeer, devices: int, rate: int, clients: int = 1, **options: int
) -> Figures:
    """Have devices send `rate` bytes a second each, to so many clients each; return what became of it.

    The options are more of the load generator's role: ``stalled`` clients, bytes to ``fill`` buffers with.
    The figures are those of `comparison.serial_rows`.
    """
    options |= {"devices": devices, "clients": clients, "rate": rate}
    with playing(bench, "feed", **options, **{"for": bench.seconds}) as player:
        lines = free(player.answer()["paths"].split())
        with serving(bench, peer, lines, clients) as (relay, started):
            player.order(" ".join(str(line.listen) for line in lines))
            before = relay.cpu()
            run = player.order("go")
            used, memory = relay.cpu() - before, relay.memory()
    if run["bad"]:
        raise MeasureError(f"{run['bad']} streams were changed")
    wanted = run["bytes"] + run["missing"] + run["refused"] * (clients - options.get("stalled", 0))
    return {
        "core": used / run["seconds"] * 100,
        "p50": run["p50"] * 1e6 if run["count"] else math.inf,
        "p99": run["p99"] * 1e6 if run["count"] else math.inf,
        "started": started * 1000,
        "busy": memory / 1024 / 1024,
        "kept": run["bytes"] / wanted * 100,
    }
