"""Measure Ferrule beside socat, HAProxy, nginx, asyncio and tokio's own copy, and compare with the goals.

    python benches/peers.py [--rounds 5] [--only names] [--peers names] [--json FILE] [--markdown]

Loopback only. In each row the peers take turns; the first round is thrown away (unless it is the only one), the
figures are medians over the others, and every ratio is between figures of one run. Every run counts its bytes at the
far end: a peer that loses some has no figure. What is not installed is said to be not measured.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from peers import tables
from peers.bench import Bench, Figures
from peers.goals import GOALS
from peers.processes import MeasureError
from peers.relays import PEERS, Peer, Tools
from peers.rows import ROWS, Row

Runs = dict[tuple[str, str], list[Figures]]
_ROOT = Path(__file__).resolve().parent.parent


def arguments() -> argparse.Namespace:
    """Read the command line."""

    def names(text: str) -> list[str]:
        return text.split(",")

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="counted runs of each peer in each row")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one run of bulk or messages")
    parser.add_argument("--only", type=names, default=[row.name for row in ROWS], help="rows: a,b,...")
    parser.add_argument("--peers", type=names, default=list(PEERS), help="relays: a,b,...")
    parser.add_argument("--ferrule", type=Path, help="the ferrule script, if not beside the interpreter")
    parser.add_argument("--load", type=Path, help="a load generator already built")
    parser.add_argument("--json", type=Path, help="write every run's figures to this file")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    options = parser.parse_args()
    for unknown in {*options.only} - {row.name for row in ROWS} | {*options.peers} - {*PEERS}:
        parser.error(f"no row or peer {unknown!r}; rows: {', '.join(row.name for row in ROWS)}")
    return options


def build() -> Path:
    """Build the load generator and return its path."""
    command = ["cargo", "build", "--release", "--example", "load", "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, check=True, text=True)
    messages = (json.loads(line) for line in done.stdout.splitlines())
    return Path(next(m["executable"] for m in messages if m.get("target", {}).get("name") == "load"))


def find_ferrule(given: Path | None) -> Path | None:
    """Return the ferrule script: the one given, or the one installed beside this interpreter."""
    script = given or Path(sys.executable).with_name("ferrule")
    if script.exists():
        return script.absolute()
    if given:
        sys.exit(f"{given} does not exist")
    return None


def measure(bench: Bench, row: Row, peers: Sequence[Peer], rounds: int) -> tuple[Runs, dict[str, str]]:
    """Measure one row: the counted runs of each peer, and why a peer has none."""
    runs: Runs = defaultdict(list)
    failures: dict[str, str] = {}
    for count in range(rounds + (rounds > 1)):
        for peer in (peer for peer in peers if peer.name not in failures):
            try:
                run = row.measure(bench, peer)
            except MeasureError as failure:
                failures[peer.name] = str(failure)
                runs.pop((row.name, peer.name), None)
                print(f"{row.name} {peer.name}: {failure}", file=sys.stderr)
                continue
            words = ", ".join(f"{tables.number(value)} {tables.UNITS[name]}" for name, value in run.items())
            thrown = count == 0 and rounds > 1
            print(f"{row.name} {peer.name}: {words}" + " (thrown away)" * thrown, file=sys.stderr)
            if not thrown:
                runs[row.name, peer.name].append(run)
    return runs, failures


def version(*command: str) -> str:
    """Return the line of a program's output that names its version."""
    if not shutil.which(command[0]):
        return f"{Path(command[0]).name}: not installed"
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = (done.stdout + done.stderr).splitlines()
    return next((line for line in lines if "version" in line.lower()), " ".join(lines[:1])).strip()


def surroundings(tools: Tools) -> list[str]:
    """Return what the figures depend on, a line each."""
    cpus = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = cpus[0].partition(":")[2].strip() if cpus else platform.machine()
    own = [version(str(tools.ferrule), "-V")] if tools.ferrule else []
    return [
        f"{os.cpu_count()} x {model}, Linux {platform.release()}, Python {platform.python_version()}",
        *own,
        version("socat", "-V"),
        version("haproxy", "-v"),
        version("nginx", "-v"),
    ]


def report(rows: Sequence[Row], runs: Runs, failures: dict[str, dict[str, str]], markdown: bool) -> None:
    """Print the goals, every figure, and what has none."""
    medians = {
        key: {name: statistics.median(run[name] for run in counted) for name in counted[0]}
        for key, counted in runs.items()
        if counted
    }
    if any(goal.row == row.name for goal in GOALS for row in rows):
        print(tables.goals(rows, medians, markdown), end="\n\n")
    print(tables.figures(rows, runs, medians, markdown))
    for row, reasons in failures.items():
        for peer, reason in reasons.items():
            print(f"\nnot measured: {row} {peer}: {reason}")


def main() -> None:
    """Measure, print, write."""
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the relays' contexts end them
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows = [row for row in ROWS if row.name in options.only]
    runs: Runs = {}
    failures: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory(prefix="ferrule-bench-") as directory:
        tools = Tools(options.load or build(), find_ferrule(options.ferrule), Path(directory))
        bench = Bench(tools, options.seconds)
        context = surroundings(tools)
        for row in rows:
            peers = [PEERS[name] for name in row.peers if name in options.peers]
            present = [peer for peer in peers if peer.available(tools)]
            counted, failed = measure(bench, row, present, options.rounds)
            runs.update(counted)
            failures[row.name] = failed | {
                peer.name: "not installed" for peer in peers if not peer.available(tools)
            }
    print("\n".join(context), end="\n\n")
    report(rows, runs, failures, options.markdown)
    if options.json:
        named = {f"{row} {peer}": counted for (row, peer), counted in runs.items()}
        outcome = {"context": context, "runs": named, "failures": failures}
        options.json.write_text(json.dumps(outcome, indent=1) + "\n")


if __name__ == "__main__":
    main()
