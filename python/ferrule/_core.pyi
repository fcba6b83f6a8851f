"""The engine; see src/python."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypedDict, final, type_check_only

from ferrule.errors import RelayError

__all__ = [
    "Flow",
    "Host",
    "Relay",
    "Report",
    "Running",
    "__version__",
    "catalog",
    "compose",
    "explain",
    "main",
    "parse",
    "quote",
    "virtual_pair",
]

__version__: Final[str]

def main(argv: Sequence[str | bytes]) -> int:
    """Runs the socat command line; ``argv`` begins with the program's name. Gives the exit code."""

def explain(argv: Sequence[str | bytes], *, json: bool = False, colour: bool = False) -> str:
    """Says in words what a socat command line would do."""

def quote(word: str | bytes | PathLike[str] | PathLike[bytes]) -> bytes:
    """Quotes a word so that it means itself wherever a word may stand in an address."""

def parse(text: bytes) -> list[tuple[str, bytes]]:
    """Checks an address; gives the keyword and the canonical text of each half."""

def compose(keyword: str, params: tuple[object, ...], options: dict[str, object]) -> bytes:
    """Makes and checks the canonical text of an address of typed values."""

def virtual_pair(
    link_a: str | PathLike[str] | None = None, link_b: str | PathLike[str] | None = None
) -> tuple[Running, tuple[Path, Path]]:
    """Makes two raw terminals wired to each other: the relay between them, and the name of each."""

@type_check_only
class Option(TypedDict):
    """One row of the table of options; ``short`` is the spelling people use."""

    name: str
    short: str
    aliases: list[str]
    value: str
    groups: str
    phase: str
    supported: bool
    doc: str

@type_check_only
class Kind(TypedDict):
    """One address type; ``options`` are indexes into the catalog's options."""

    name: str
    aliases: list[str]
    usage: str
    params: tuple[int, int]
    groups: str
    direction: Literal["both", "read", "write"]
    doc: str
    options: list[int]

@type_check_only
class Catalog(TypedDict):
    """Every kind and every option."""

    options: list[Option]
    kinds: list[Kind]

def catalog() -> Catalog:
    """Gives every kind and every option, for what is generated from them."""

@final
class Flow:
    """One direction of a relay."""

    @property
    def bytes(self) -> int:
        """Bytes written to the sink."""
    @property
    def blocks(self) -> int:
        """Blocks they were moved in."""
    @property
    def undelivered(self) -> int:
        """Bytes read from the source that could not be written."""
    @property
    def purged(self) -> int:
        """Bytes dropped because whoever sent them asked for that (``PURGE-DATA`` of RFC 2217)."""
    def as_dict(self) -> dict[str, int]:
        """Gives the same as a dict of numbers."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Report:
    """What a relay did, or has done so far."""

    @property
    def left_to_right(self) -> Flow:
        """From ``src`` to ``dst``."""
    @property
    def right_to_left(self) -> Flow:
        """From ``dst`` to ``src``."""
    @property
    def sessions(self) -> int:
        """Sessions served."""
    @property
    def failed(self) -> int:
        """Sessions of a forking relay that ended with an error."""
    @property
    def ended(
        self,
    ) -> Literal["running", "finished", "half-close", "idle", "nobody-came", "stopped", "failed"]:
        """Why the relay ended."""
    @property
    def error(self) -> RelayError | None:
        """The first error."""
    @property
    def duration(self) -> float:
        """How long the relay took, in seconds."""
    @property
    def undelivered(self) -> int:
        """Bytes read but not written, both ways."""
    @property
    def is_success(self) -> bool:
        """Whether everything read was written and nothing failed."""
    def as_dict(self) -> dict[str, Any]:
        """Gives the same as a dict that JSON can hold."""

@final
class Relay:
    """Two checked addresses and how to relay between them."""

    def __new__(
        cls,
        src: bytes,
        dst: bytes,
        *,
        idle_timeout: float | None = None,
        half_close_timeout: float | None = None,
        direction: str = "both",
        buffer_size: int | None = None,
    ) -> Self: ...
    def start(self, host: Host | None = None) -> Running: ...
    def run(self) -> Report: ...

@final
class Host:
    """A thread that any number of relays share: ``Relay.start(host)``.

    A thousand serial ports on one thread take a quarter of the memory that a thousand threads take, and less
    of the processor. Bulk is faster on threads of its own. The thread ends with its last relay.
    """

    def __new__(cls) -> Self: ...

@final
class Running:
    """A relay under way, on a thread of its own or on that of a ``Host``.

    As a context manager it ends the relay when the block is left, and raises what made it fail. A relay
    whose ``Running`` is thrown away ends, too.
    """

    def stop(self) -> None:
        """Asks the relay to end: nothing more is accepted or read, what was read is still written."""
    def abort(self) -> None:
        """Makes the relay end at once."""
    def wait(self, timeout: float | None = None) -> Report:
        """Waits for the end, ``timeout`` seconds at most, then raises ``TimeoutError``.

        Raises what made the relay fail, with the report as its ``report``.
        """
    def close(self, grace: float = 1.0) -> None:
        """Stops the relay, aborts it after ``grace`` seconds, and waits until everything is closed."""
    @property
    def is_running(self) -> bool:
        """Whether the relay has not ended yet."""
    @property
    def report(self) -> Report:
        """What was done: so far, or at the end."""
    @property
    def listening(self) -> list[str]:
        """What the relay listens on, as far as it has come: ``127.0.0.1:40123``, ``[::1]:4000``, or a path.

        The way to learn which port the system chose for port 0.
        """
    @property
    def active(self) -> int:
        """Sessions under way: clients that are being served."""
    def on_end(self, callback: Callable[[], object]) -> None:
        """Calls ``callback`` when everything is closed, on a thread of the relay's own."""
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None: ...
