"""``ferrule serial``: a serial port on the network, or a remote one as a local device."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from typing import TYPE_CHECKING

from ferrule._core import quote
from ferrule.cli import complain, wants_colour
from ferrule.errors import RelayError
from ferrule.relay import Relay

if TYPE_CHECKING:
    from types import FrameType

    from ferrule.relay import Report, Running

# Seconds between two looks at the totals.
_LOOK = 0.5
_EXAMPLES = """
examples:
  ferrule serial /dev/ttyUSB0 --listen 4000
  ferrule serial /dev/ttyUSB0 --listen 4000 --rfc2217 --baud 9600
  ferrule serial usb:vid=10c4:pid=ea60 --listen 0.0.0.0:4000 --read-only
  ferrule serial rfc2217://gateway:4000 --pty /tmp/ttyV0
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ferrule serial",
        description="Put a serial port on the network, or make a remote one a local device.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("port", help="a path, a by-id name, usb:vid=..:pid=.., or rfc2217://HOST:PORT")
    ends = parser.add_mutually_exclusive_group(required=True)
    ends.add_argument(
        "--listen", metavar="[HOST:]PORT", help="serve TCP clients here (host 127.0.0.1, port 0: any)"
    )
    ends.add_argument("--pty", metavar="LINK", help="make a local device of this name")
    parser.add_argument("--rfc2217", action="store_true", help="clients set speed and lines, too (RFC 2217)")
    parser.add_argument("--baud", type=int, metavar="N", help="bits a second (115200)")
    parser.add_argument("--bits", choices="5678", help="bits of a character (8)")
    parser.add_argument(
        "--parity", choices=("none", "even", "odd", "mark", "space"), help="parity bit (none)"
    )
    parser.add_argument("--stop", choices=("1", "1.5", "2"), help="stop bits (1)")
    parser.add_argument("--flow", choices=("none", "xonxoff", "rtscts"), help="flow control (none)")
    parser.add_argument("--clients", type=int, metavar="N", help="most clients at one time (any number)")
    parser.add_argument("--read-only", action="store_true", help="clients get the data and send none")
    parser.add_argument(
        "--replay", metavar="BYTES", help="what a new client is sent first of what came before"
    )
    parser.add_argument("--no-reconnect", action="store_true", help="end when the port is unplugged")
    parser.add_argument("--capture", metavar="FILE", help="record all bytes: .txt, .hex or .pcapng")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object a line: opened, each second, ended"
    )
    return parser


def _device(options: argparse.Namespace) -> str:
    """The address of the port."""
    port: str = options.port
    if port.lower().startswith("rfc2217://"):
        address = port
    else:
        address = f"SERIAL:{quote(port).decode(errors='surrogateescape')}"
    for name in ("baud", "bits", "parity", "stop", "flow"):
        if (value := getattr(options, name)) is not None:
            address += f",{name}={value}"
    return address if options.no_reconnect else f"{address},reconnect"


def _clients(options: argparse.Namespace) -> str:
    """The address of the other side."""
    if options.pty is not None:
        return f"PTY,rawer,link={quote(options.pty).decode(errors='surrogateescape')}"
    host, _, port = options.listen.rpartition(":")
    kind = "RFC2217-LISTEN" if options.rfc2217 else "TCP-LISTEN"
    address = f"{kind}:{port},bind={host or '127.0.0.1'},reuseaddr,nodelay,keepalive,fork,share"
    if ":" in host:
        address += ",pf=ip6"
    if options.clients is not None:
        address += f",max-children={options.clients},busy=refuse"
    if options.read_only:
        address += ",share-access=ro"
    if options.rfc2217:
        address += ",share-restore"
    if options.replay is not None:
        address += f",share-replay={options.replay}"
    return address


def _size(count: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


class _Face:
    """What is shown while the relay runs: a live line on a terminal, plain lines or JSON elsewhere."""

    def __init__(self, *, as_json: bool, serves: bool) -> None:
        self.as_json = as_json
        self.serves = serves
        self.live = not as_json and sys.stdout.isatty()
        self.colour = wants_colour(sys.stdout)
        self.last = (time.monotonic(), 0, 0)
        self.told = 0.0

    def opened(self, device: str, clients: str, running: Running) -> None:
        """Says what was opened."""
        where = running.listening
        if self.as_json:
            self._print({"event": "opened", "device": device, "other": clients, "listening": where})
            return
        print(f"device   {device}")
        print(f"clients  {', '.join(where)}" if where else f"device   {clients}")
        print("Ctrl-C ends it", flush=True)

    def progress(self, running: Running) -> None:
        """Shows the rates."""
        report, now = running.report, time.monotonic()
        to_port, from_port = report.left_to_right.bytes, report.right_to_left.bytes
        before, to_before, from_before = self.last
        self.last = (now, to_port, from_port)
        seconds = max(now - before, 1e-3)
        rates = ((to_port - to_before) / seconds, (from_port - from_before) / seconds)
        if self.live:
            line = f"in {_size(rates[1])}/s  out {_size(rates[0])}/s"
            line += f"  total {_size(from_port)} in, {_size(to_port)} out"
            if self.serves:
                line += f"  {running.active} client{'' if running.active == 1 else 's'}"
            dim, plain = ("\x1b[2m", "\x1b[0m") if self.colour else ("", "")
            print(f"\r\x1b[K{dim}{line}{plain}", end="", flush=True)
        elif self.as_json and now - self.told >= 1:
            self.told = now
            self._print({"event": "progress", "clients": running.active, "in": from_port, "out": to_port})

    def ended(self, report: Report) -> None:
        """Says what was moved."""
        if self.as_json:
            self._print({"event": "ended", **report.as_dict()})
            return
        if self.live:
            print("\r\x1b[K", end="")
        to_port, from_port = report.left_to_right.bytes, report.right_to_left.bytes
        print(
            f"{from_port:,} bytes in, {to_port:,} bytes out, {report.undelivered:,} undelivered", flush=True
        )

    @staticmethod
    def _print(thing: dict[str, object]) -> None:
        print(json.dumps(thing), flush=True)


class _Ended(BaseException):
    """SIGTERM has come."""


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    raise _Ended


def _watch(running: Running, face: _Face, device: str, clients: str) -> None:
    """Shows what happens until the relay ends."""
    shown = False
    while True:
        try:
            running.wait(_LOOK if shown else 0.05)
        except TimeoutError:
            if not shown and (running.listening or not face.serves):
                shown = True
                face.opened(device, clients, running)
            if shown:
                face.progress(running)
        else:
            return


def main(arguments: list[str]) -> int:
    """Runs the bridge until Ctrl-C; gives the exit code."""
    options = _parser().parse_args(arguments)
    device, clients = _device(options), _clients(options)
    face = _Face(as_json=options.json, serves=options.listen is not None)
    try:
        relay = Relay(clients, device, capture=options.capture)
        before = signal.signal(signal.SIGTERM, _terminate)
        try:
            running = relay.start()
            try:
                _watch(running, face, device, clients)
            finally:
                running.close()
                signal.signal(signal.SIGTERM, before)
                if running.report.ended != "failed":
                    face.ended(running.report)
        except _Ended:
            return 128 + signal.SIGTERM
    except RelayError as error:
        return complain(str(error))
    return 0
