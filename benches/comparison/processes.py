"""Processes under measurement: their end, their CPU, their memory, their descriptors."""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

_GRACE = 2.0
_TICKS = os.sysconf("SC_CLK_TCK")


class MeasureError(Exception):
    """A run that gives no figure, and why."""


class Group:
    """A control group that counts the CPU time of its members, children that have ended included."""

    _HOMES = (("/sys/fs/cgroup/cpuacct", "cpuacct.usage"), ("/sys/fs/cgroup", "cpu.stat"))

    def __init__(self, directory: Path, counter: Path) -> None:
        """Adopt a directory in the control group file system; use `create`."""
        self._directory = directory
        self._counter = counter
        self.members = directory / "cgroup.procs"

    @classmethod
    def create(cls) -> "Group | None":
        """Make a new group, or None where this user may not."""
        for home, counter in cls._HOMES:
            with contextlib.suppress(OSError):
                directory = Path(tempfile.mkdtemp(prefix="ferrule-bench-", dir=home))
                if (directory / counter).exists():
                    return cls(directory, directory / counter)
                directory.rmdir()
        return None

    def cpu(self) -> float:
        """Return the CPU time used so far, in seconds."""
        text = self._counter.read_text()
        if text.startswith("usage_usec"):
            return int(text.split()[1]) / 1e6
        return int(text) / 1e9

    def remove(self) -> None:
        """Remove the group, which its last members may be leaving only now."""
        for _ in range(250):
            with contextlib.suppress(OSError):
                self._directory.rmdir()
                return
            time.sleep(0.02)


class Relay:
    """A running relay: the leader of a session of its own, with whatever it has forked."""

    def __init__(self, popen: "subprocess.Popen[bytes]", group: Group | None, log: IO[bytes]) -> None:
        """Adopt a process started as the leader of a session; use `running`."""
        self._popen = popen
        self._group = group
        self._log = log

    def check(self) -> None:
        """Raise `MeasureError` with the relay's last words if it has ended."""
        if self._popen.poll() is not None:
            self._log.seek(0)
            words = self._log.read().decode(errors="replace").strip()[-300:]
            raise MeasureError(f"the relay ended with {self._popen.returncode}: {words}")

    def _stats(self) -> Iterator[list[str]]:
        """Yield the fields after the name in /proc/PID/stat of each process of the session, PID first."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == self._popen.pid:
                    yield [entry.name, *fields]

    def cpu(self) -> float:
        """Return the CPU time used so far, in seconds, by ended children too."""
        if self._group is not None:
            return self._group.cpu()
        return sum(int(ticks) for fields in self._stats() for ticks in fields[12:16]) / _TICKS

    def memory(self) -> int:
        """Return the proportional set size of all processes of the relay, in bytes."""
        total = 0
        for fields in self._stats():
            with contextlib.suppress(OSError):
                rollup = Path("/proc", fields[0], "smaps_rollup").read_text()
                total += next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
        return total * 1024

    def descriptors(self) -> int:
        """Return the number of open descriptors of all processes of the relay."""
        total = 0
        for fields in self._stats():
            with contextlib.suppress(OSError):
                total += len(os.listdir(f"/proc/{fields[0]}/fd"))  # noqa: PTH208 - ten thousand Paths
        return total

    def stop(self) -> None:
        """End every process of the relay's session, and wait for the leader."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._popen.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._popen.wait(_GRACE)
                if not any(self._stats()):
                    break
        self._popen.wait()


@contextlib.contextmanager
def running(load: Path, command: Sequence[str]) -> Iterator[Relay]:
    """Run a relay in a session and control group of its own, with all descriptors it may have."""
    group = Group.create()
    join = ["--group", str(group.members)] if group else []
    with tempfile.TemporaryFile() as log:
        popen = subprocess.Popen(
            [str(load), "run", *join, "--", *command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        relay = Relay(popen, group, log)
        try:
            yield relay
        finally:
            relay.stop()
            if group is not None:
                group.remove()
