"""Two serial ports wired to each other, for programs and tests that need some."""

from __future__ import annotations

import os

from ferrule import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from ferrule._core import Report

__all__ = ["VirtualPair", "virtual_pair"]


class VirtualPair:
    """Two pseudo terminals, raw, relayed to each other until ``close()`` or the end of the block.

    Programs may open and close them as often as they like.

    Attributes:
        a: Path of one of them: the link, if one was asked for, else the terminal's own.
        b: Path of the other one.
    """

    a: str
    b: str

    def __init__(
        self, link_a: str | os.PathLike[str] | None = None, link_b: str | os.PathLike[str] | None = None
    ) -> None:
        self._running, (path_a, path_b) = _core.virtual_pair(link_a, link_b)
        self.a = os.fspath(link_a or path_a)
        self.b = os.fspath(link_b or path_b)

    @property
    def report(self) -> Report:
        """What was moved between them; left is ``a``."""
        return self._running.report

    def close(self) -> None:
        """Removes both terminals."""
        self._running.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def virtual_pair(
    link_a: str | os.PathLike[str] | None = None, link_b: str | os.PathLike[str] | None = None
) -> VirtualPair:
    """Makes two serial ports wired to each other; as a context manager they go with the block.

    Args:
        link_a: A name for the first one, a symbolic link; ``None`` uses the terminal's own.
        link_b: A name for the second one.

    Raises:
        OpenError: There is no terminal to be had, or something that is no link has the name.

        >>> with virtual_pair() as pair, serial.Serial(pair.a) as port:
        ...     port.write(b"hello")
    """
    return VirtualPair(link_a, link_b)
