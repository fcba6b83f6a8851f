"""The engine; see src/python."""

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypedDict, final, type_check_only

from ferrule.errors import RelayError

__all__ = [
    "Flow",
    "Holder",
    "Host",
    "Outages",
    "Port",
    "Relay",
    "Report",
    "Running",
    "__version__",
    "catalog",
    "compose",
    "explain",
    "main",
    "parse",
    "ports",
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

@final
class Holder:
    """A process that has a port open."""

    @property
    def pid(self) -> int:
        """Its number."""
    @property
    def command(self) -> str:
        """The name of its command."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Port:
    """A serial port."""

    @property
    def device(self) -> str:
        """Its device: ``/dev/ttyUSB0``. This name may be another one after the next plug."""
    @property
    def description(self) -> str:
        """What it is, in a few words."""
    @property
    def by_id(self) -> list[str]:
        """Links that say which adapter it is: ``/dev/serial/by-id/...``."""
    @property
    def by_path(self) -> list[str]:
        """Links that say which plug it is in: ``/dev/serial/by-path/...``."""
    @property
    def driver(self) -> str | None:
        """The driver of the kernel: ``ftdi_sio``."""
    @property
    def vid(self) -> int | None:
        """The vendor's number on USB; ``None`` when it is not on USB."""
    @property
    def pid(self) -> int | None:
        """The product's number on USB."""
    @property
    def serial_number(self) -> str | None:
        """The adapter's serial number."""
    @property
    def manufacturer(self) -> str | None:
        """The adapter's manufacturer."""
    @property
    def product(self) -> str | None:
        """The adapter's product name."""
    @property
    def interface(self) -> int | None:
        """Which of several ports of the adapter it is."""
    @property
    def location(self) -> str | None:
        """The plug the adapter is in: ``1-4.2``."""
    @property
    def holders(self) -> list[Holder]:
        """Who has it open; of processes of other users only root is told."""
    @property
    def refusal(self) -> str | None:
        """Why this user may not open it, and what would help; ``None`` when this user may."""
    def as_dict(self) -> dict[str, Any]:
        """Gives the same as a dict that JSON can hold."""
    def __fspath__(self) -> str:
        """For what takes a path, such as ``open()``."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

def ports(root: str | PathLike[str] | None = None) -> list[Port]:
    """Lists the serial ports of this machine; with ``root`` of one whose /dev, /sys and /proc are below it.

    None is opened: that would move its lines. Pseudo terminals, consoles and places without a UART do not
    count.

        >>> for port in ferrule.ports():
        ...     print(port.device, port.description, port.serial_number)
    """

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
    @property
    def discarded(self) -> int:
        """Bytes dropped because an option says so (``share-slow=drop``, ``share-access=ro``)."""
    def as_dict(self) -> dict[str, int]:
        """Gives the same as a dict of numbers."""
    def __eq__(self, other: object, /) -> bool: ...
    def __hash__(self) -> int: ...

@final
class Outages:
    """How often and how long addresses with ``reconnect`` were away."""

    @property
    def count(self) -> int:
        """How often one was lost."""
    @property
    def seconds(self) -> float:
        """How long all of them were away together; an outage counts once it is over."""
    @property
    def delivered(self) -> int:
        """Bytes that were written meanwhile, kept, and delivered afterwards."""
    @property
    def discarded(self) -> int:
        """Bytes that were written meanwhile and dropped, as ``hold_discard`` asks."""
    def as_dict(self) -> dict[str, int | float]:
        """Gives the same as a dict of numbers."""
    def __eq__(self, other: object, /) -> bool: ...

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
    def outages(self) -> Outages:
        """How often and how long addresses with ``reconnect`` were away."""
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
        capture: tuple[str | PathLike[str], str | None, int | None, int | None] | None = None,
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
