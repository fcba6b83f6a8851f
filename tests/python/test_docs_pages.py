"""The code on the other pages of the documentation, run as it stands but for ports, hosts and paths."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path

import pytest
from devices import Plug, taken_from
from lines import LOG_LINE, Tool, wait_until
from peers import dial, echo, greet, listening, read_exactly
from recipes import ROOT, Block, Recipe, Scenarios, Stage, name_of

PYTHON = "docs/python.md"
COMMAND_LINE = "docs/command-line.md"
RECONNECTING = "docs/reconnecting.md"
PAGES = (
    PYTHON,
    COMMAND_LINE,
    "docs/differences.md",
    "docs/index.md",
    RECONNECTING,
    "docs/performance.md",
    "docs/glossary.md",
)
scenarios = Scenarios(*PAGES)


def test_every_block_has_a_scenario() -> None:
    scenarios.check_complete()


@pytest.mark.parametrize("recipe", scenarios.recipes(), ids=name_of)
def test_page(recipe: Recipe, request: pytest.FixtureRequest) -> None:
    scenarios.run(recipe, request)


@pytest.mark.parametrize("page", ["README.md", "docs/cookbook.md", *PAGES])
def test_links_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    targets = re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text())
    local = [target for target in targets if not re.match(r"\w+:", target)]
    assert [target for target in local if not (folder / target).exists()] == []
    if page == "docs/index.md":
        pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
        assert pages <= {Path(target).name for target in local}


def promised(block: Block) -> list[str]:
    """What the comments behind the calls of `print` say that is printed."""
    calls = [line for line in block.text.splitlines() if line.strip().startswith("print(")]
    shown = [re.fullmatch(r"\s*print\(.*\)  # (.*)", line) for line in calls]
    assert all(shown), f"a print without its result: {calls}"
    return [match[1] for match in shown if match]


def prints_what_it_says(stage: Stage) -> None:
    """The first block prints what its comments say."""
    block = stage.recipe.blocks[0]
    expected = [stage.placed(line) for line in promised(block)]
    assert expected
    done = stage.python(block).finish()
    assert (done.code, done.out.decode().splitlines()) == (0, expected), done.err


scenarios(PYTHON, "Addresses", "Reports", "Serial ports without hardware")(prints_what_it_says)


@scenarios(PYTHON, "Captures")
def captures(stage: Stage) -> None:
    prints_what_it_says(stage)
    assert b"hello" in (stage.folder / "talk.pcapng").read_bytes()


@scenarios(PYTHON, "Python")
def installation(stage: Stage) -> None:
    assert stage.recipe.blocks[0].text == "pip install .\n"
    assert (ROOT / "pyproject.toml").exists()


@scenarios(PYTHON, "A first relay")
def first_relay(stage: Stage) -> None:
    data = bytes(range(250)) * 4

    def send(connection: socket.socket) -> None:
        connection.sendall(data)

    stage.serve(8080, send)
    prints_what_it_says(stage)
    assert (stage.folder / "copy.bin").read_bytes() == data


@scenarios(PYTHON, "In the background")
def background(stage: Stage) -> None:
    stage.serve(80, echo)
    prints_what_it_says(stage)
    assert not listening(stage.port(8080))


@scenarios(PYTHON, "Under asyncio")
def under_asyncio(stage: Stage) -> None:
    questions = []

    def answer(connection: socket.socket) -> None:
        questions.append(connection.recv(100))
        connection.sendall(questions[0])

    stage.serve(80, answer)
    prints_what_it_says(stage)
    assert questions == [b"question\n"]


@scenarios(PYTHON, "Exceptions")
def exceptions(stage: Stage) -> None:
    prints_what_it_says(stage)


@scenarios(PYTHON, "Logging")
def logs(stage: Stage) -> None:
    example, sample = stage.recipe.blocks
    done = stage.python(example).finish()
    assert (done.code, done.out) == (0, b"")
    told = [re.sub(r"-?\d+", "N", line) for line in done.err.splitlines()]
    assert told == [re.sub(r"-?\d+", "N", line) for line in sample.text.splitlines()]


@scenarios(PYTHON, "In pytest")
def in_pytest(stage: Stage) -> None:
    path = stage.folder / "test_device.py"
    path.write_text(stage.recipe.blocks[0].text)
    python = stage.fixture("program")(sys.executable)
    done = python.run("-m", "pytest", "-q", "-p", "no:cacheprovider", str(path))
    assert done.code == 0, done.out
    assert b"1 passed" in done.out


@scenarios(COMMAND_LINE, "Command line")
def usage(stage: Stage) -> None:
    """The forms of the command are those of its own help, and `explain` and `demo` are there."""
    synopsis, ours = (block.text.splitlines() for block in stage.recipe.blocks)
    text = stage.run("ferrule help").out.decode()
    for line in (*synopsis, *ours):
        assert f"{line} " in f"{text} ".replace("\n", " \n"), line


@scenarios(COMMAND_LINE, "Log lines")
def log_lines_look_like_this(stage: Stage) -> None:
    command, sample = stage.recipe.blocks
    done = stage.run(command.text.strip())
    assert (done.code, (stage.folder / "greeting.txt").read_bytes()) == (0, b"hello")
    shown = [LOG_LINE.match(line) for line in sample.text.splitlines()]
    assert all(shown)
    wanted = [(match["program"], match["level"], numbered(match["text"])) for match in shown if match]
    assert [(line.program, line.level, numbered(line.text)) for line in done.log] == wanted


@scenarios(RECONNECTING, "A serial port that may be unplugged")
def serial_port_is_unplugged(stage: Stage) -> None:
    plug = Plug(stage.path("/dev/ttyUSB0"))
    try:
        line, port = stage.listen(4000)
        with dial(port) as client:
            client.sendall(b"before")
            assert plug.read(6) == b"before"
            plug.out()
            line.wait_for_log("device gone, waiting")
            client.sendall(b"meanwhile")
            plug.back()
            assert plug.read(9) == b"meanwhile"
        assert line.wait().code == 0
    finally:
        plug.out()


@scenarios(RECONNECTING, "A connection that survives the restart of the server")
def server_is_restarted(stage: Stage) -> None:
    first = stage.serve(5432, greet(b"first"))
    line, port = stage.listen(8080)
    with dial(port) as client:
        assert read_exactly(client, 5) == b"first"
        first.close()
        stage.serve(5432, greet(b"second"))
        assert read_exactly(client, 6) == b"second"
        line.wait_for_log("N TCP:.*: back after")
    line.terminate()


@scenarios(RECONNECTING, "What is told")
def what_is_told(stage: Stage) -> None:
    """The address of the first recipe, and the words of the log."""
    plug = Plug(stage.path("/dev/ttyUSB0"))
    lost, back = (stage.placed(text) for text in stage.recipe.blocks[0].text.splitlines())
    address = lost.removeprefix("W ").rpartition(": ")[0]
    try:
        line = stage.start(f"ferrule -d -d STDIO {address}")
        line.wait_for_log("starting data transfer")
        plug.out()
        line.wait_for_log(re.escape(lost))
        line.send(b"17 bytes are kept")
        wait_until(lambda: taken_from(line), "the bytes to be read")
        plug.back()
        line.wait_for_log(re.sub(r"\d\\.\d+", r"\\d\\.\\d+", re.escape(back)))
        line.terminate()
    finally:
        plug.out()


def numbered(text: str) -> str:
    """The text with the numbers of descriptors left out: they depend on the interpreter."""
    return re.sub(r"(?<=[\[, ])\d+(?=[],)])", "N", text)


def test_switches_are_complete(ferrule: Tool) -> None:
    """The table has every switch of the help, and no other."""
    helped = ferrule.run("-h").out.decode().partition("bi-address:")[0]
    known = set(re.findall(r"^ {6}(--?\w+(?:-\w+)*)", helped, re.MULTILINE))
    table = (ROOT / COMMAND_LINE).read_text().partition("## Log lines")[0]
    shown = {
        name
        for row in re.findall(r"^\| (`-[^|]*)\|", table, re.MULTILINE)
        for name in re.findall(r"(--?\w+(?:-\w+)*)", row)
    }
    assert known <= shown | {"-d0"}, known - shown
    also = {"--version", "-hh", "-hhh", "-dd", "-ddd", "-dddd", "-d0", "-d4"}
    assert shown - known <= also, shown - known - also
