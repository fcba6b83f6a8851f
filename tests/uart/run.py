"""Test Ferrule on serial lines that have modem lines, breaks and plugs: those of a virtual machine.

    python tests/uart/run.py [--only CASE,...] [--console] [--seconds 300]

Builds a guest out of Debian's packages (see packages.py), this interpreter and the installed `ferrule`, boots
it in QEMU without hardware support, and has the cases in `guest/` run there. They ask for what only the
outside can do: a break, an adapter plugged in or out. Exit code 0 says that every case has passed.

Downloads and what is made of them stay in `target/uart`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import image
import packages
from machine import Machine, MachineError

_CACHE = Path(__file__).resolve().parents[2] / "target" / "uart"
_MARK = "@ferrule "


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", help="cases: a,b,...; all unless given")
    parser.add_argument("--console", action="store_true", help="show what the guest's console says")
    parser.add_argument("--seconds", type=float, default=300, help="after which the machine is switched off")
    return parser.parse_args()


class Outcome:
    """What the guest has said so far."""

    def __init__(self) -> None:
        self.passed: list[str] = []
        self.failed: list[str] = []
        self.done = False

    def add(self, said: dict[str, Any]) -> None:
        """Take down the end of a case, and tell it."""
        (self.passed if said["passed"] else self.failed).append(said["case"])
        print(
            f"{'PASS' if said['passed'] else 'FAIL'}  {said['case']}  ({said['seconds']:.1f} s)", flush=True
        )
        for line in said["lines"]:
            print(f"      {line}", flush=True)

    @property
    def good(self) -> bool:
        """Whether all cases were run, and all have passed."""
        return self.done and bool(self.passed) and not self.failed


def lines(machine: Machine, shown: bool) -> Iterator[str]:
    """Yield the lines of the console."""
    rest = b""
    while piece := machine.read():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            text = line.decode(errors="replace").rstrip("\r")
            if shown or "Kernel panic" in text:
                print(f"      | {text}", file=sys.stderr, flush=True)
            yield text


def actions(machine: Machine) -> dict[str, Callable[[dict[str, Any]], None]]:
    """What a case can ask for."""
    return {
        "send": lambda asked: machine.send(asked["wire"], asked["text"].encode("latin-1")),
        "break": lambda asked: machine.send_break(asked["wire"]),
        "echo": lambda asked: machine.echo(asked["wire"]),
        "plug": lambda _: machine.plug(),
        "unplug": lambda _: machine.unplug(),
    }


def serve(machine: Machine, options: argparse.Namespace) -> Outcome:
    """Do what the guest asks for until it has run its cases."""
    outcome = Outcome()
    can = actions(machine)
    for line in lines(machine, options.console):
        before, marked, text = line.partition(_MARK)
        if not marked:
            continue
        try:
            said = json.loads(text)
        except ValueError:
            print(f"a line of the guest was cut: {before}{marked}{text}", file=sys.stderr)
            continue
        answer: dict[str, object] = {}
        match said["say"]:
            case "ready":
                answer = {"only": [name for name in options.only.split(",") if name]}
            case "ask":
                try:
                    can[said["do"]](said)
                except (MachineError, OSError) as error:
                    answer = {"error": str(error)}
            case "end":
                outcome.add(said)
            case "done":
                outcome.done = True
                break
        machine.enter(json.dumps(answer))
    return outcome


def main() -> None:
    """Build, boot, report."""
    options = arguments()
    if platform.machine() != "x86_64":
        sys.exit("the guest runs this machine's interpreter, and its kernel is one for x86_64")
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    _CACHE.mkdir(parents=True, exist_ok=True)
    try:
        emulator, kernel = packages.emulator(_CACHE), packages.kernel(_CACHE)
    except packages.MissingError as error:
        sys.exit(f"make test-uart: {error}")
    files = _CACHE / "guest.cpio"
    image.build(files, kernel.modules)
    version = subprocess.run(
        [*emulator.command, "--version"],
        env={**os.environ, **emulator.environment},
        capture_output=True,
        text=True,
        check=False,
    ).stdout.partition("\n")[0]
    print(f"{version}, {kernel.image.name}, guest of {files.stat().st_size >> 20} MiB", flush=True)
    with tempfile.TemporaryDirectory(prefix="ferrule-uart-") as folder:
        try:
            with Machine(emulator, kernel.image, files, Path(folder)) as machine:
                limit = threading.Timer(options.seconds, machine.close)
                limit.start()
                try:
                    outcome = serve(machine, options)
                finally:
                    limit.cancel()
        except MachineError as error:
            sys.exit(f"the machine: {error}")
    if not outcome.done:
        print(f"FAIL  the guest ended early; see --console, or give it more than {options.seconds:g} s")
    print(f"{len(outcome.passed)} passed, {len(outcome.failed)} failed")
    sys.exit(0 if outcome.good else 1)


if __name__ == "__main__":
    main()
