"""``ferrule ports``: the serial ports of this machine, and what is known of them. Opens none."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from ferrule import _core
from ferrule.cli import complain, wants_colour

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ferrule._core import Port

HEADINGS = ("device", "usb", "what it is", "driver", "in use by")


def main(arguments: list[str]) -> int:
    """Lists the ports for people, or with ``--json`` for programs."""
    if arguments not in ([], ["--json"]):
        return complain("ports takes no arguments but --json")
    found = _core.ports()
    if arguments:
        print(json.dumps([port.as_dict() for port in found], indent=2))
    elif found:
        print("\n".join(table(found, colour=wants_colour(sys.stdout))))
    else:
        print("there are no serial ports", file=sys.stderr)
    return 0


def table(found: list[Port], *, colour: bool) -> Iterator[str]:
    """A line for each port, and below it its lasting names and what stands in the way."""
    rows = [HEADINGS, *map(row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def dim(text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if colour else text

    def line(cells: tuple[str, ...]) -> str:
        return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    yield dim(line(HEADINGS))
    for port, cells in zip(found, rows[1:], strict=True):
        yield line(cells)
        yield from (dim(f"    {link}") for link in (*port.by_id, *port.by_path))
        if port.refusal is not None:
            yield f"    this user may not open it: {port.refusal}"


def row(port: Port) -> tuple[str, ...]:
    """The cells of a port."""
    usb = "" if port.vid is None or port.pid is None else f"{port.vid:04x}:{port.pid:04x}"
    if usb and port.serial_number is not None:
        usb += f":{port.serial_number}"
    holders = ", ".join(f"{holder.command} ({holder.pid})" for holder in port.holders)
    return port.device, usb, port.description, port.driver or "", holders
