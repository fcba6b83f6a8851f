"""Takes the code blocks out of the documentation and runs them with other ports, hosts and paths put in."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from lines import LIMIT, Done, Running, Tool, plain_environment
from peers import LOOPBACK, Handler, Server, wait_listening

ROOT = Path(__file__).resolve().parents[2]
PORTS = ("80", "2375", "3334", "4000", "4001", "5432", "5555", "6000", "7777", "8080", "8888", "9999")
"""Numbers that stand for ports; each becomes a free one."""

WORDS = {
    "10.0.0.0/8": "127.0.0.2/32",
    "-T 600": "-T 0.5",
    "accept-timeout=10": "accept-timeout=0.3",
    "interval=5": "interval=0.1",
    "interval=1": "interval=0.1",
}
"""Words that become others, so that a test is quick and stays on this machine."""

ELSEWHERE = r"[\w.-]*\bexample\.org|192\.168\.1\.\d+"
PLACES = r"/(?:tmp|run|var|srv)/[\w./-]+|/dev/ttyUSB0"
PLACEHOLDER = re.compile(
    "|".join(
        [
            *(f"(?P<word{n}>{re.escape(word)}\\b)" for n, word in enumerate(WORDS)),
            f"(?P<host>{ELSEWHERE})",
            f"(?P<path>(?<![\\w.]){PLACES})",
            r"(?P<name>(?<=ABSTRACT-LISTEN:)chat|(?<=ABSTRACT-CONNECT:)chat)",
            rf"(?P<port>(?<![\w.])(?:{'|'.join(PORTS)})(?![\w.]))",
        ]
    )
)


@dataclass(frozen=True)
class Block:
    """One code block: its language (empty when indented) and its text."""

    language: str
    text: str


@dataclass
class Recipe:
    """The code blocks below one heading, or below a paragraph that begins in bold."""

    document: str
    heading: str
    blocks: list[Block] = field(default_factory=list)


def recipes_of(document: str) -> list[Recipe]:
    """Return the recipes of a Markdown file, in order; headings without code are none."""
    found = [Recipe(document, document)]
    lines = (ROOT / document).read_text().splitlines()
    at = 0
    while at < len(lines):
        line = lines[at]
        at += 1
        if heading := re.match(r"#+ (.*)|\*\*(.+?)\*\*", line):
            found.append(Recipe(document, heading[1] or heading[2]))
        elif line.startswith("```"):
            end = lines.index("```", at)
            found[-1].blocks.append(Block(line[3:], "\n".join(lines[at:end]) + "\n"))
            at = end + 1
        elif line.startswith("    ") and not lines[at - 2].strip():
            end = next(
                (n for n in range(at, len(lines)) if lines[n].strip() and not lines[n].startswith("    ")),
                len(lines),
            )
            text = "\n".join(text[4:] for text in lines[at - 1 : end]).rstrip()
            found[-1].blocks.append(Block("", text + "\n"))
            at = end
    return [recipe for recipe in found if recipe.blocks]


class Stage:
    """Where a recipe is run: a folder, free ports, and peers that stand for the rest of the world."""

    def __init__(self, recipe: Recipe, request: pytest.FixtureRequest) -> None:
        self.recipe = recipe
        self.folder: Path = request.getfixturevalue("tmp_path")
        self._request = request
        self._ports: dict[str, int] = {}
        self._shell: Tool = request.getfixturevalue("program")("bash")
        binaries = self.folder / "bin"
        binaries.mkdir()
        (binaries / "ferrule").symlink_to(request.getfixturevalue("ferrule").path)
        path = plain_environment(self.folder)["PATH"]
        self.env = {"PATH": f"{binaries}:{path}", "SHELL": "/bin/sh"}

    def port(self, shown: int) -> int:
        """The port that stands for the one the recipe shows."""
        name = str(shown)
        if name not in self._ports:
            self._ports[name] = self._request.getfixturevalue("free_port")()
        return self._ports[name]

    def path(self, shown: str) -> Path:
        """The path that stands for the one the recipe shows."""
        return self.folder / Path(shown).name

    def _place(self, match: re.Match[str]) -> str:
        shown = match[0]
        match match.lastgroup:
            case "host":
                return LOOPBACK
            case "path":
                return str(self.path(shown))
            case "name":
                return f"{shown}-{self.port(0)}"
            case "port":
                return str(self.port(int(shown)))
            case _:
                return WORDS[shown]

    def placed(self, text: str) -> str:
        """The text with everything put in; what is left must not lead away from this machine."""
        return PLACEHOLDER.sub(self._place, text)

    @property
    def lines(self) -> list[str]:
        """The command lines of all blocks."""
        return [self.placed(line) for block in self.recipe.blocks for line in block.text.splitlines()]

    @property
    def line(self) -> str:
        """The only command line."""
        (line,) = self.lines
        return line

    def start(self, line: str, **more: Any) -> Running:
        """Start a command line in a shell, which it replaces where it can."""
        return self._shell.start("-c", self.command(line), env=self.env, **more)

    def run(self, line: str, stdin: bytes = b"", **more: Any) -> Done:
        """Run a command line in a shell to its end."""
        return self._shell.run("-c", self.command(line), stdin=stdin, env=self.env, **more)

    @staticmethod
    def command(line: str) -> str:
        """The line as the shell gets it: replaced by the program where there is just one."""
        return f"exec {line}" if line.startswith("ferrule") and not re.search(r" (&&|\|\|?) ", line) else line

    def listen(self, shown: int, line: str | None = None, **more: Any) -> tuple[Running, int]:
        """Start the line and wait until it listens on the port."""
        running = self.start(line or self.line, **more)
        wait_listening(self.port(shown))
        return running, self.port(shown)

    def serve(self, shown: int, handle: Handler) -> Server:
        """A TCP server on the port."""
        made: Server = self._request.getfixturevalue("serve")(handle, port=self.port(shown))
        return made

    def serve_unix(self, shown: str, handle: Handler) -> Server:
        """A server on the UNIX socket."""
        made: Server = self._request.getfixturevalue("serve_unix")(handle, self.path(shown))
        return made

    def install(self, name: str, text: str) -> None:
        """Put a program in PATH that stands for the real one."""
        path = self.folder / "bin" / name
        path.write_text(text)
        path.chmod(0o755)

    def fixture(self, name: str) -> Any:
        """Any other fixture."""
        return self._request.getfixturevalue(name)

    def script(self, block: Block) -> Path:
        """A block of Python as a file."""
        path = self.folder / "example.py"
        path.write_text(self.placed(block.text))
        return path

    def python(self, block: Block, *flags: str, **more: Any) -> Running:
        """Start a block of Python, with warnings as errors."""
        name = shutil.which("python3") if not sys.executable else sys.executable
        tool: Tool = self._request.getfixturevalue("program")(name)
        return tool.start("-W", "error", *flags, str(self.script(block)), env=self.env, **more)


Scenario = Callable[[Stage], None]


class Scenarios:
    """What is done with each recipe of some documents."""

    def __init__(self, *documents: str) -> None:
        self.documents = documents
        self._known: dict[tuple[str, str], Scenario] = {}

    def __call__(self, document: str, *headings: str) -> Callable[[Scenario], Scenario]:
        """Register a function for the recipes with these headings."""

        def register(run: Scenario) -> Scenario:
            for heading in headings:
                assert (document, heading) not in self._known, f"two scenarios for {document}: {heading}"
                self._known[document, heading] = run
            return run

        return register

    def recipes(self) -> list[Recipe]:
        """Every recipe of the documents."""
        return [recipe for document in self.documents for recipe in recipes_of(document)]

    def check_complete(self) -> None:
        """Each recipe has a scenario and the other way round, and no heading is there twice."""
        named = [(recipe.document, recipe.heading) for recipe in self.recipes()]
        assert len(set(named)) == len(named), "two recipes with one heading"
        assert sorted(set(named) - set(self._known)) == [], "recipes without a scenario"
        assert sorted(set(self._known) - set(named)) == [], "scenarios without a recipe"

    def run(self, recipe: Recipe, request: pytest.FixtureRequest) -> None:
        """Act out one recipe."""
        run = self._known.get((recipe.document, recipe.heading))
        if run is None:
            pytest.fail(f"no scenario for {recipe.document}: {recipe.heading}")
        stage = Stage(recipe, request)
        run(stage)


def name_of(recipe: Recipe) -> str:
    """A short name for the list of tests."""
    words = re.sub(r"[^a-z0-9]+", "-", recipe.heading.lower()).strip("-")
    return f"{Path(recipe.document).stem.lower()}-{words}"[:60]


def output_of(command: list[str], **more: Any) -> str:
    """What a command says."""
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=True, **more).stdout
