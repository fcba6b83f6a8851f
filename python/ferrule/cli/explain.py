"""``ferrule explain``: what a socat command line would do, in words. Opens nothing."""

from __future__ import annotations

import os
import sys

from ferrule import _core
from ferrule.cli import complain, wants_colour
from ferrule.errors import RelayError


def main(arguments: list[str]) -> int:
    """Explains the command line ``arguments``; ``--json`` first gives it for programs."""
    json = arguments[:1] == ["--json"]
    words = arguments[1:] if json else arguments
    if words and os.path.basename(words[0]) in ("socat", "ferrule"):  # noqa: PTH119
        words = words[1:]
    if not words:
        return complain("explain needs a command line: ferrule explain TCP-LISTEN:8080,fork TCP:db:5432")
    try:
        text = _core.explain(words, json=json, colour=not json and wants_colour(sys.stdout))
    except RelayError as error:
        return complain(str(error))
    print(text.rstrip("\n"))
    return 0
