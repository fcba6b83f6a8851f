"""The program behind each script of this folder: reads the command line, measures, prints, writes."""

import argparse
import dataclasses
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from comparison import machine, tables
from comparison.bench import Bench, Figures
from comparison.goals import Goal
from comparison.processes import MeasureError
from comparison.relays import Tools

Runs = dict[tuple[str, str], list[Figures]]
_ROOT = Path(__file__).resolve().parents[2]


class Peer(Protocol):
    """What is measured: `comparison.relays` has some."""

    @property
    def name(self) -> str:
        """As in ``--peers`` and the tables."""

    def available(self, tools: Tools) -> bool:
        """Whether the program is there to be measured."""


P = TypeVar("P", bound=Peer)


@dataclasses.dataclass(frozen=True)
class Row(Generic[P]):
    """One line of the benchmark.

    Args:
        name: As in ``--only``.
        title: What is measured, for people.
        peers: Names of the relays it can be measured with.
        measure: Makes one run.
    """

    name: str
    title: str
    peers: tuple[str, ...]
    measure: Callable[[Bench, P], Figures]


@dataclasses.dataclass(frozen=True)
class Comparison(Generic[P]):
    """What one script measures.

    Args:
        words: Its documentation.
        rows: What is measured.
        peers: With what, by their names.
        goals: What is to be reached.
        versions: The command lines that print versions of peers.
    """

    words: str
    rows: Sequence[Row[P]]
    peers: Mapping[str, P]
    goals: Sequence[Goal]
    versions: Sequence[tuple[str, ...]]


def arguments(comparison: Comparison[P]) -> argparse.Namespace:
    """Read the command line."""

    def names(text: str) -> list[str]:
        return text.split(",")

    known = [row.name for row in comparison.rows]
    parser = argparse.ArgumentParser(
        description=comparison.words, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="counted runs of each peer in each row")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of one run of bulk or messages")
    parser.add_argument("--only", type=names, default=known, help="rows: a,b,...")
    parser.add_argument("--peers", type=names, default=list(comparison.peers), help="relays: a,b,...")
    parser.add_argument("--nice", type=int, default=0, help="of all that is measured; -10 keeps others out")
    parser.add_argument("--ferrule", type=Path, help="the ferrule script, if not beside the interpreter")
    parser.add_argument("--load", type=Path, help="a load generator already built")
    parser.add_argument("--json", type=Path, help="write every run's figures to this file")
    parser.add_argument("--markdown", action="store_true", help="print Markdown tables")
    options = parser.parse_args()
    for unknown in {*options.only} - {*known} | {*options.peers} - {*comparison.peers}:
        parser.error(f"no row or peer {unknown!r}; rows: {', '.join(known)}")
    return options


def build() -> Path:
    """Build the load generator and return its path."""
    command = ["cargo", "build", "--release", "--example", "load", "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, check=False, text=True)
    if done.returncode != 0:
        sys.exit("the load generator does not build")
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


def measure(bench: Bench, row: Row[P], peers: Sequence[P], rounds: int) -> tuple[Runs, dict[str, str]]:
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


def report(
    comparison: Comparison[P], runs: Runs, failures: dict[str, dict[str, str]], markdown: bool
) -> None:
    """Print the goals, every figure, and what has none."""
    rows = [row for row in comparison.rows if row.name in failures]
    titles = {row.name: row.title for row in rows}
    medians = {
        key: {name: statistics.median(run[name] for run in counted) for name in counted[0]}
        for key, counted in runs.items()
        if counted
    }
    goals = [goal for goal in comparison.goals if goal.row in titles]
    if goals:
        print(tables.goals(titles, goals, medians, markdown), end="\n\n")
    print(tables.figures(titles, runs, medians, markdown))
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row, why_not in failures.items():
        for peer, why in why_not.items():
            reasons[peer, why].append(row)
    for (peer, why), names in reasons.items():
        print(f"\n- no figures of {peer} for {', '.join(names)}: {why}")


def measure_all(
    comparison: Comparison[P], bench: Bench, options: argparse.Namespace
) -> tuple[Runs, dict[str, dict[str, str]], str]:
    """Measure the rows asked for until interrupted; the last value says how busy others were before each."""
    runs: Runs = {}
    failures: dict[str, dict[str, str]] = {}
    others: list[str] = []
    for row in (row for row in comparison.rows if row.name in options.only):
        peers = [comparison.peers[name] for name in row.peers if name in options.peers]
        present = [peer for peer in peers if peer.available(bench.tools)]
        others.append(f"{row.name} {machine.busy():.0%}")
        try:
            counted, failures[row.name] = measure(bench, row, present, options.rounds)
        except KeyboardInterrupt:
            break
        runs.update(counted)
        failures[row.name] |= {peer.name: "not installed" for peer in peers if peer not in present}
    return runs, failures, ", ".join(others)


def run(comparison: Comparison[P]) -> None:
    """Measure, print, write."""
    options = arguments(comparison)
    os.nice(options.nice)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # the relays' contexts end them
    with tempfile.TemporaryDirectory(prefix="ferrule-bench-") as directory:
        tools = Tools(options.load or build(), find_ferrule(options.ferrule), Path(directory))
        context = machine.describe(tools, comparison.versions)
        runs, failures, others = measure_all(comparison, Bench(tools, options.seconds), options)
    context.append(f"CPU time that others took just before each row: {others}")
    print("\n".join(f"- {line}" for line in context), end="\n\n")
    report(comparison, runs, failures, options.markdown)
    if options.json:
        named = {f"{row} {peer}": counted for (row, peer), counted in runs.items()}
        outcome = {"context": context, "runs": named, "failures": failures}
        options.json.write_text(json.dumps(outcome, indent=1) + "\n")
