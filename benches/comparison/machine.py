"""What the figures depend on: the machine, what else it does, and the versions of the peers."""

import os
import platform
import re
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from comparison.relays import Tools

_WATCH = 0.5
_NUMBERED = re.compile(r"\d+\.\d+")


def _ticks() -> tuple[int, int]:
    """Return the CPU time spent idle and all CPU time since the machine started, in ticks."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return fields[3] + fields[4], sum(fields[:8])


def busy() -> float:
    """Watch for half a second, and return what share of the machine's CPU time others use."""
    idle, total = _ticks()
    time.sleep(_WATCH)
    later_idle, later_total = _ticks()
    return 1 - (later_idle - idle) / max(later_total - total, 1)


def _version(*command: str) -> str:
    """Return the line of a program's output that names its version."""
    name = Path(command[0]).name
    if not shutil.which(command[0]):
        return f"{name}: not installed"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines()]
    return next((line for line in lines if _NUMBERED.search(line)), f"{name}: version unknown")


def describe(tools: Tools, versions: Sequence[tuple[str, ...]]) -> list[str]:
    """Return the machine and what command lines say of the versions, a line each."""
    cpus = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = cpus[0].partition(":")[2].strip() if cpus else platform.machine()
    own = [_version(str(tools.ferrule), "-V")] if tools.ferrule else ["ferrule: not installed"]
    return [
        f"{os.cpu_count()} x {model}, Linux {platform.release()}, Python {platform.python_version()}",
        *own,
        *(_version(*command) for command in versions),
    ]
