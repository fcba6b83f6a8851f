"""One measurement's stage: the far end, a relay before it, and the load generator's near end."""

import contextlib
import dataclasses
import json
import subprocess
from collections.abc import Callable, Iterator

from comparison.endpoints import Endpoint
from comparison.processes import MeasureError, Relay, running
from comparison.relays import Peer, Tools

Figures = dict[str, float]

_PATIENCE = 120.0


@dataclasses.dataclass(frozen=True)
class Stage:
    """A relay that listens, with the far end behind it.

    Args:
        near: Where to connect to.
        relay: None when the near end is the far end itself.
    """

    near: Endpoint
    relay: Relay | None

    def cpu(self) -> float:
        """Return the CPU time the relay has used, in seconds."""
        return self.relay.cpu() if self.relay else 0.0


@dataclasses.dataclass(frozen=True)
class Bench:
    """What every row's measurement starts from.

    Args:
        tools: Where the programs are.
        seconds: How long a run of bulk or messages lasts.
    """

    tools: Tools
    seconds: float

    def load(self, role: str, **options: object) -> Figures:
        """Play one role of the load generator to its end and return what it prints."""
        words = [word for key, value in options.items() for word in (f"--{key}", str(value))]
        try:
            done = subprocess.run(
                [str(self.tools.load), role, *words],
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise MeasureError(f"{role} took longer than {_PATIENCE:g} s") from None
        if done.returncode != 0:
            raise MeasureError(done.stderr.strip())
        outcome: Figures = json.loads(done.stdout)
        if outcome.get("bad"):
            raise MeasureError(f"{role}: {outcome['bad']} incomplete or changed")
        return outcome

    @contextlib.contextmanager
    def far_end(self, kind: str = "tcp") -> Iterator[Endpoint]:
        """Run the far end on a free endpoint."""
        listen = "tcp:127.0.0.1:0" if kind == "tcp" else Endpoint.free(kind, self.tools.directory)
        command = [str(self.tools.load), "serve", "--listen", str(listen)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                line = server.stdout.readline()
                if not line:
                    raise MeasureError("the far end did not start")
                yield Endpoint.parse(json.loads(line)["listening"])
            finally:
                server.kill()

    @contextlib.contextmanager
    def held(self, near: Endpoint, connections: int) -> Iterator[Callable[[int], None]]:
        """Hold idle connections; yield what sends a burst of so many bytes through each of them and back."""
        command = [str(self.tools.load), "idle", "--to", str(near), "--connections", str(connections)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as holder:
            orders, answers, errors = holder.stdin, holder.stdout, holder.stderr
            assert orders and answers and errors

            def answer() -> None:
                if not answers.readline():
                    raise MeasureError(f"idle: {errors.read().strip()}")

            def burst(size: int) -> None:
                orders.write(f"{size}\n")
                orders.flush()
                answer()

            try:
                answer()
                yield burst
            finally:
                holder.kill()

    @contextlib.contextmanager
    def stage(self, peer: Peer, near: str = "tcp", far: str = "tcp") -> Iterator[Stage]:
        """Run the far end, and the peer's relay to it."""
        with self.far_end(far) as target:
            if peer.command is None:
                yield Stage(target, None)
                return
            listen = Endpoint.free(near, self.tools.directory)
            with running(self.tools.load, peer.command(self.tools, listen, target)) as relay:
                listen.wait(relay)
                yield Stage(listen, relay)
