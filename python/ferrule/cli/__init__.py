"""The commands beside socat's command line: one module each, with ``main(arguments) -> exit code``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import TextIO


def wants_colour(stream: TextIO) -> bool:
    """Whether to use colours on ``stream``: it is a terminal, and nobody said no (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def complain(message: str) -> int:
    """Says what is wrong with the arguments; gives the exit code for that."""
    print(f"ferrule: {message}", file=sys.stderr)
    return 1
