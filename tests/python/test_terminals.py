"""Options of terminals, on pseudo terminals, beside Debian's socat: what is set, and what is left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from lines import Done, Running, Tool, wait_until

# ioctl_tty(2): what termios(3) shows, and any speed besides.
TCGETS2 = 0x802C542A
TCSETS2 = 0x402C542B
MOVING = "starting data transfer loop"
FACTS = Path(__file__).parent.parent / "data" / "options.tsv"


class Terminal:
    """A pseudo terminal. Its slave is held open, so that settings outlive whoever else opens it."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        self.name = os.ttyname(self.slave)

    def settings(self) -> bytes:
        """All of `struct termios2`."""
        return fcntl.ioctl(self.slave, TCGETS2, bytes(44))

    def set(self, settings: bytes) -> None:
        fcntl.ioctl(self.slave, TCSETS2, settings)

    def stty(self, *words: str) -> str:
        return subprocess.run(
            ["stty", *words], stdin=self.slave, check=True, capture_output=True, text=True, timeout=10
        ).stdout

    def speeds(self) -> tuple[int, int]:
        """Bits a second of input and of output."""
        settings = self.settings()
        return int.from_bytes(settings[36:40], "little"), int.from_bytes(settings[40:44], "little")

    def close(self) -> None:
        for number in (self.master, self.slave):
            with contextlib.suppress(OSError):
                os.close(number)


@pytest.fixture
def terminal() -> Iterator[Callable[[], Terminal]]:
    """Makes terminals."""
    made: list[Terminal] = []

    def make() -> Terminal:
        made.append(Terminal())
        return made[-1]

    yield make
    for one in made:
        one.close()


def bare(terminal: Terminal) -> None:
    """Nothing is set that can be cleared."""
    attributes = termios.tcgetattr(terminal.slave)
    attributes[0] = attributes[1] = attributes[3] = 0
    attributes[2] = termios.CS8 | termios.CREAD | termios.B115200
    attributes[4] = attributes[5] = termios.B115200
    attributes[6] = [b"\0"] * len(attributes[6])
    termios.tcsetattr(terminal.slave, termios.TCSANOW, attributes)


def full(terminal: Terminal) -> None:
    """Everything is set that can be, and each special character is another one."""
    attributes = termios.tcgetattr(terminal.slave)
    attributes[0], attributes[1], attributes[3] = 0o77777, 0o177777, 0o177777
    attributes[2] |= termios.PARODD | termios.CSTOPB | termios.HUPCL | termios.CLOCAL | termios.CRTSCTS
    attributes[6] = [bytes([place + 1]) for place in range(len(attributes[6]))]
    termios.tcsetattr(terminal.slave, termios.TCSANOW, attributes)


class Seen(NamedTuple):
    """What a command line did to its terminals."""

    code: int
    meanwhile: list[bytes]
    restored: list[bool]


def seen(tool: Tool, option: str, terminals: list[Terminal]) -> Seen:
    """Relay between two terminals, each with the option, until SIGTERM comes."""
    for one, prepare in zip(terminals, (bare, full), strict=True):
        prepare(one)
    before = [one.settings() for one in terminals]
    line = tool.start("-d", "-d", *(f"FILE:{one.name},noctty,{option}" for one in terminals))
    wait_until(
        lambda: MOVING.encode() in line.err.data or line.process.poll() is not None,
        "the relay or its end",
    )
    meanwhile = [one.settings() for one in terminals]
    done = line.terminate()
    return Seen(
        done.code, meanwhile, [one.settings() == was for one, was in zip(terminals, before, strict=True)]
    )


class Option(NamedTuple):
    """An option of the table."""

    name: str
    value: str


def table() -> list[Option]:
    """Those that set termios(3), from the facts about socat."""
    rows = [line.split("\t") for line in FACTS.read_text().splitlines() if not line.startswith("#")]
    return [
        Option(name, value) for name, _, value, groups, phase in rows if groups == "TERMIOS" and phase == "FD"
    ]


VALUES = {
    "Flag": [""],
    "Bool": ["", "=1", "=0"],
    "Byte": ["=7", "=0", "=255", ""],
    "UnsignedInt": ["=0", "=1", "=3"],
}
# Debian's socat takes the codes of the speeds; newer ones, as we do, bits a second.
SPEEDS = ["ispeed", "ospeed"]
# Not in Debian's.
NEWER = ["termios-setflags", "tiocswinsz"]
# It clears the speed, too, which hangs a real line up. We do not.
HANGS_UP = {"termios-rawer": "termios-rawer,b115200"}
# It takes 5 bits for 0, sees no difference in that, and goes on with 8.
MISSED = {("cs5", ""), ("csize", "=0")}
COMPARED = [
    option.name + value
    for option in table()
    if option.name not in {*SPEEDS, *NEWER}
    for value in VALUES[option.value]
    if (option.name, value) not in MISSED
]


def test_the_table_is_whole() -> None:
    names = {option.name for option in table()}
    assert len(names) == 128
    assert {*SPEEDS, *NEWER, *HANGS_UP, "cs5", "csize"} <= names


@pytest.mark.parametrize("option", COMPARED)
def test_each_option_does_what_it_does_in_socat(
    ferrule: Tool, socat: Tool, terminal: Callable[[], Terminal], option: str
) -> None:
    """Also what socat refuses is refused, and either way the settings are brought back."""
    terminals = [terminal(), terminal()]
    theirs = seen(socat, HANGS_UP.get(option, option), terminals)
    ours = seen(ferrule, option.replace("termios-rawer", "b115200,termios-rawer"), terminals)
    assert ours == theirs
    assert ours.restored == [True, True]
    assert ours.code in (143, 1)


@pytest.mark.parametrize(
    ("options", "codes"),
    [
        ("ispeed=9600", "ispeed=13"),
        ("ospeed=9600", "ospeed=13"),
        ("ispeed=0", "ispeed=0"),
        ("ospeed=0", "ospeed=0"),
    ],
)
def test_one_speed_is_that_of_both_ways_as_in_socat(
    ferrule: Tool, socat: Tool, terminal: Callable[[], Terminal], options: str, codes: str
) -> None:
    terminals = [terminal(), terminal()]
    theirs, ours = seen(socat, codes, terminals), seen(ferrule, options, terminals)
    assert ours.restored == theirs.restored == [True, True]
    # The kernel's numbers, whatever the codes are.
    assert [one[36:44] for one in ours.meanwhile] == [one[36:44] for one in theirs.meanwhile]


def started(tool: Tool, *args: str, **popen: Any) -> Running:
    line = tool.start("-d", "-d", *args, **popen)
    line.wait_for_log(MOVING)
    return line


@pytest.mark.parametrize(
    ("options", "speeds"),
    [
        ("ospeed=12345", (12345, 12345)),
        ("ispeed=75,ospeed=1200", (75, 1200)),
        ("ospeed=250000,ispeed=31250", (31250, 250000)),
        ("ospeed=4294967295", (4294967295, 4294967295)),
        ("b0", (0, 0)),
    ],
)
def test_any_speed_can_be_had_and_is_brought_back(
    ferrule: Tool, terminal: Callable[[], Terminal], options: str, speeds: tuple[int, int]
) -> None:
    one = terminal()
    one.stty("57600")
    line = started(ferrule, f"FILE:{one.name},noctty,raw,{options}", "PIPE")
    assert one.speeds() == speeds
    line.terminate()
    assert one.speeds() == (57600, 57600)


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("cs5", "cs5: the driver keeps 8 data bits"),
        ("cs7", "cs7: the driver keeps 8 data bits"),
        ("csize=0", "csize: the driver keeps 8 data bits"),
        ("parenb", "parenb: the driver keeps no parity"),
        ("parenb,cmspar", "cmspar: the driver keeps no parity"),
        ("cread=0", "cread: the driver keeps the receiver on"),
    ],
)
def test_what_a_driver_cannot_do_is_refused_and_nothing_is_left_changed(
    ferrule: Tool, terminal: Callable[[], Terminal], option: str, reason: str
) -> None:
    one = terminal()
    before = one.settings()
    done = ferrule.run(f"FILE:{one.name},noctty,rawer,b9600,{option}", "PIPE")
    assert (done.code, one.settings()) == (1, before)
    assert reason in done.level("E")[0]
    assert "leave the option out" in done.err


@pytest.mark.parametrize(("option", "words"), [("cmspar,parodd", "cmspar parodd"), ("tandem", "ixoff")])
def test_flags_are_those_stty_shows(
    ferrule: Tool, terminal: Callable[[], Terminal], option: str, words: str
) -> None:
    one = terminal()
    line = started(ferrule, f"FILE:{one.name},noctty,{option}", "PIPE")
    shown = one.stty("-a").split()
    assert all(word in shown for word in words.split()), shown
    line.terminate()
    assert not any(word in one.stty("-a").replace(";", "").split() for word in words.split())


def test_whole_words_of_flags_are_set(ferrule: Tool, terminal: Callable[[], Terminal]) -> None:
    one = terminal()
    before = one.settings()
    words = [0x500, 0x5, 0xBD, 0x8A33]
    options = ",".join(f"setflags={number}:{word:#x}" for number, word in enumerate(words))
    line = started(ferrule, f"FILE:{one.name},noctty,{options}", "PIPE")
    set_now = one.settings()
    assert [int.from_bytes(set_now[4 * i : 4 * i + 4], "little") for i in range(4)] == words
    assert one.speeds() == (9600, 9600)
    line.terminate()
    assert one.settings() == before


def test_the_size_is_set_and_stays(ferrule: Tool, terminal: Callable[[], Terminal]) -> None:
    one = terminal()
    line = started(ferrule, f"FILE:{one.name},noctty,winsz=132:43", "PIPE")
    assert one.stty("size") == "43 132\n"
    line.terminate()
    assert one.stty("size") == "43 132\n"


@pytest.mark.parametrize(
    ("option", "hint"),
    [
        ("winsz=132", "2 arguments required"),
        ("winsz=132:x", "missing numerical value"),
        ("setflags=9:1", "0 (input), 1 (output), 2 (control) and 3 (local)"),
        ("crdly=4", "0 to 3"),
        ("intr=256", "out of range"),
        ("b3600", "write ospeed=3600"),
        ("dsusp=1", "vsusp"),
    ],
)
def test_wrong_values_are_explained(
    ferrule: Tool, terminal: Callable[[], Terminal], option: str, hint: str
) -> None:
    one = terminal()
    before = one.settings()
    done = ferrule.run(f"FILE:{one.name},noctty,raw,{option}", "PIPE")
    assert (done.code, one.settings()) == (1, before)
    assert hint in done.err


ENDS: dict[str, Callable[[Running], Done]] = {
    "SIGTERM": lambda line: line.terminate(),
    "SIGINT": lambda line: line.terminate(signal.SIGINT),
    "SIGHUP": lambda line: line.terminate(signal.SIGHUP),
    "end of the data": lambda line: line.finish(),
}


@pytest.mark.parametrize("end", ENDS)
def test_settings_come_back_however_it_ends(tool: Tool, terminal: Callable[[], Terminal], end: str) -> None:
    one = terminal()
    before = one.settings()
    line = started(tool, "-u", "-", f"FILE:{one.name},noctty,rawer,b9600,intr=7")
    assert one.settings() != before
    ENDS[end](line)
    assert one.settings() == before


def test_settings_come_back_after_sigquit(ferrule: Tool, terminal: Callable[[], Terminal]) -> None:
    """Debian's socat leaves them then."""
    one = terminal()
    before = one.settings()
    line = started(ferrule, f"FILE:{one.name},noctty,rawer,b9600", "PIPE")
    line.terminate(signal.SIGQUIT)
    assert one.settings() == before


def test_settings_come_back_when_the_other_address_cannot_be_opened(
    tool: Tool, terminal: Callable[[], Terminal], tmp_path: Path
) -> None:
    one = terminal()
    before = one.settings()
    done = tool.run(f"FILE:{one.name},noctty,rawer", f"UNIX-CONNECT:{tmp_path / 'nobody'}")
    assert (done.code, one.settings()) == (1, before)


def test_settings_come_back_when_a_later_option_fails(tool: Tool, terminal: Callable[[], Terminal]) -> None:
    one = terminal()
    before = one.settings()
    done = tool.run(f"FILE:{one.name},noctty,rawer,ftruncate=0", "PIPE")
    assert (done.code, one.settings()) == (1, before)


def test_settings_come_back_when_both_addresses_have_the_terminal(
    ferrule: Tool, terminal: Callable[[], Terminal]
) -> None:
    """Debian's socat leaves those of the first."""
    one = terminal()
    before = one.settings()
    line = started(ferrule, "-,echo=0", "STDIO,icanon=0", stdin=one.slave, stdout=one.slave)
    assert not termios.tcgetattr(one.slave)[3] & (termios.ECHO | termios.ICANON)
    line.terminate()
    assert one.settings() == before


def held(line: Running, terminal: Terminal) -> int:
    """How many descriptors of the terminal a process has."""
    count = 0
    for entry in Path(f"/proc/{line.pid}/fd").iterdir():
        # One may be closed while this looks.
        with contextlib.suppress(OSError):
            count += str(entry.readlink()) == terminal.name
    return count


def test_sessions_that_share_a_terminal_bring_it_back_at_the_end_of_the_last(
    ferrule: Tool, terminal: Callable[[], Terminal], tmp_path: Path
) -> None:
    one = terminal()
    before = one.settings()
    path = str(tmp_path / "listener")
    line = ferrule.start("-d", "-d", f"UNIX-LISTEN:{path},fork", f"FILE:{one.name},noctty,rawer,b9600")
    line.wait_for_log("listening")
    with socket.socket(socket.AF_UNIX) as first, socket.socket(socket.AF_UNIX) as second:
        first.connect(path)
        line.wait_for_log(MOVING)
        during = one.settings()
        second.connect(path)
        line.wait_for_log(f"{MOVING}.*{MOVING}")
        both = held(line, one)
        first.close()
        wait_until(lambda: held(line, one) < both, "the end of the first session")
        assert one.settings() == during
    wait_until(lambda: one.settings() == before, "the settings as they were found")
    line.terminate()


@pytest.mark.parametrize("kind", ["STDIN", "FD:0", "GOPEN", "OPEN", "FILE"])
def test_every_kind_that_may_be_a_terminal_takes_them(
    tool: Tool, terminal: Callable[[], Terminal], kind: str
) -> None:
    one = terminal()
    before = one.settings()
    address = kind if kind in ("STDIN", "FD:0") else f"{kind}:{one.name},noctty"
    line = started(tool, "-u", f"{address},rawer,b9600,eof=7", "OPEN:/dev/null", stdin=one.slave)
    settings = termios.tcgetattr(one.slave)
    assert settings[3] == 0
    assert ord(settings[6][termios.VEOF]) == 7
    line.terminate()
    assert one.settings() == before


@pytest.mark.parametrize("end", ["0", "1", "2"])
def test_what_is_no_terminal_is_refused(tool: Tool, end: str) -> None:
    done = tool.run(f"FD:{end},b9600", "PIPE")
    assert done.code == 1
    assert "Inappropriate ioctl for device" in done.level("E")[0]


@pytest.mark.parametrize(
    "options",
    ["", "raw", "rawer,b9600", "cfmakeraw,echo", "sane", "echo=0,onlcr=0,intr=3,b300", "crtscts,cstopb"],
)
def test_a_program_finds_its_terminal_so(ferrule: Tool, socat: Tool, options: str) -> None:
    theirs, ours = (
        tool.start(f"EXEC:stty -a,pty{options and ','}{options}", "-").wait() for tool in (socat, ferrule)
    )
    assert ours == theirs
    assert (ours.code, ours.out.count(b";") > 5) == (0, True)


def test_a_pseudo_terminal_has_them_for_whoever_opens_it(tool: Tool, tmp_path: Path) -> None:
    link = tmp_path / "link"
    line = tool.start("-d", "-d", f"PTY,link={link},raw,echo=0,b9600,erase=8", "PIPE")
    line.wait_for_log(MOVING)
    opened = os.open(link, os.O_RDWR | os.O_NOCTTY)
    settings = termios.tcgetattr(opened)
    os.close(opened)
    assert not settings[3] & (termios.ECHO | termios.ICANON)
    assert (settings[4], settings[5], settings[6][termios.VERASE]) == (termios.B9600, termios.B9600, b"\x08")
    line.terminate()
