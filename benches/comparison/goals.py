"""What Ferrule is to reach, each a ratio to a peer in the same run."""

import dataclasses
from collections.abc import Mapping

Medians = Mapping[tuple[str, str], Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class Goal:
    """One bound on one of Ferrule's figures.

    Args:
        row: Name of the row.
        figure: Name of the figure; see `comparison.rows` for units.
        least: Whether the bound is the least that is wanted, not the most.
        bound: A multiple of the peer's figure, or the figure itself without a peer.
        peer: Whose figure in the same row is the measure.
    """

    row: str
    figure: str
    least: bool
    bound: float
    peer: str | None = None

    def describe(self) -> str:
        """Return the bound as in the table."""
        sign = "at least" if self.least else "at most"
        return f"{sign} {self.bound:.3g}" + (f" x {self.peer}" if self.peer else "")

    def ratio(self, medians: Medians) -> float | None:
        """Return Ferrule's figure as a multiple of the peer's, or None if either was not measured."""
        own = medians.get((self.row, "ferrule"), {}).get(self.figure)
        if own is None or self.peer is None:
            return own
        other = medians.get((self.row, self.peer), {}).get(self.figure)
        return own / other if other else None

    def met(self, medians: Medians) -> bool | None:
        """Whether the bound is kept, or None if that was not measured."""
        ratio = self.ratio(medians)
        if ratio is None:
            return None
        return ratio >= self.bound if self.least else ratio <= self.bound


def _least(row: str, figure: str, bound: float, peer: str | None = None) -> Goal:
    return Goal(row, figure, True, bound, peer)


def _most(row: str, figure: str, bound: float, peer: str | None = None) -> Goal:
    return Goal(row, figure, False, bound, peer)


GOALS = (
    _least("streams", "rate", 4.0, "socat"),
    _least("streams", "rate", 1.0, "haproxy"),
    _most("streams", "cpu", 1 / 7, "socat"),
    _least("stream", "rate", 1.6, "socat"),
    _most("stream", "cpu", 0.35, "socat"),
    _most("latency", "p50", 1.10, "socat"),
    _most("latency", "p99", 1.3, "socat"),
    _most("mixed", "p99", 2.5, "socat"),
    _most("mixed", "p99", 0.2, "tokio"),
    _least("mixed", "rate", 1.5, "socat"),
    _least("connections", "conns", 7.0, "socat"),
    _least("connections", "conns", 0.9, "haproxy"),
    _least("connections1", "conns", 2.5, "socat"),
    _most("idle", "memory", 2.5),
    _most("idle", "descriptors", 2.0),
    _most("idle", "after", 1.1),
    _most("idle9700", "memory", 2.5),
    _most("idle9700", "descriptors", 2.0),
    _most("idle9700", "after", 1.1),
    _least("tcp-unix", "rate", 2.5, "socat"),
    _least("unix-tcp", "rate", 1.3, "socat"),
    _least("unix-unix", "rate", 2.0, "socat"),
    _least("file", "rate", 1.15, "socat"),
    _least("pipe", "rate", 1.0, "socat"),
    _most("pipe", "cpu", 0.75, "socat"),
    _most("start-up", "first", 1.4, "python"),
)
