"""Places on this machine where something can listen."""

import dataclasses
import socket
import time
from pathlib import Path

from comparison.processes import MeasureError, Relay

_LISTENING = "0A"
_ACCEPTS = 0x10000


@dataclasses.dataclass(frozen=True)
class Endpoint:
    """A TCP port on the loopback address, or the path of a UNIX stream socket."""

    kind: str
    place: str

    def __str__(self) -> str:
        """Return the endpoint as the load generator wants it."""
        return f"tcp:127.0.0.1:{self.place}" if self.kind == "tcp" else f"unix:{self.place}"

    @classmethod
    def parse(cls, text: str) -> "Endpoint":
        """Read what the load generator prints."""
        kind, _, address = text.partition(":")
        return cls(kind, address.rpartition(":")[2] if kind == "tcp" else address)

    @classmethod
    def free(cls, kind: str, directory: Path) -> "Endpoint":
        """Return a port or a path where nothing listens now."""
        if kind == "unix":
            return cls(kind, str(directory / f"{time.monotonic_ns()}.sock"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return cls(kind, str(probe.getsockname()[1]))

    def listens(self) -> bool:
        """Whether something listens here. No connection is made: a forking relay would fork for it."""
        if self.kind == "tcp":
            local = f"0100007F:{int(self.place):04X}"
            rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
            return any(row[1] == local and row[3] == _LISTENING for row in rows)
        rows = (line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:])
        # HAProxy listens under a longer name first, and then renames the file.
        listening = (row[-1] for row in rows if int(row[3], 16) & _ACCEPTS)
        return Path(self.place).exists() and any(name.startswith(self.place) for name in listening)

    def wait(self, relay: Relay, seconds: float = 10.0) -> None:
        """Return once something listens here; raise `MeasureError` if the relay ends or takes too long."""
        end = time.monotonic() + seconds
        while not self.listens():
            relay.check()
            if time.monotonic() > end:
                raise MeasureError(f"nothing listens on {self} after {seconds:g} s")
            time.sleep(0.005)
