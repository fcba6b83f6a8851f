"""Captures: what relays move, kept in files with the time."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

__all__ = ["Capture"]


class Capture:
    """A file that keeps what a relay moves, both ways, with the time of each block.

    It is made with mode 0600 and written at its end. A disk that is too slow costs blocks of the capture,
    which are counted there; a disk that is full ends it with a warning. The relay goes on either way.

    Args:
        path: The file, or a FIFO that has its reader.
        format: ``"text"`` has a line for each block, ``"hex"`` rows below it, ``"pcapng"`` packets for
            Wireshark. ``None`` goes by the name: ``.txt``, ``.hex`` or ``.pcapng``.
        size: Bytes after which a new file begins, 4096 or more; the older ones are called ``path.1``,
            ``path.2`` and so on. ``None`` keeps all in one file.
        files: How many of them there may be, with the one that is written; ``None`` are 10.
    """

    __slots__ = ("files", "format", "path", "size")

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        format: Literal["text", "hex", "pcapng"] | None = None,  # noqa: A002
        size: int | None = None,
        files: int | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.format = format
        self.size = size
        self.files = files

    def __repr__(self) -> str:
        given = [(name, getattr(self, name)) for name in ("format", "size", "files")]
        words = [repr(self.path), *(f"{name}={value!r}" for name, value in given if value is not None)]
        return f"Capture({', '.join(words)})"
