"""What can go wrong: one tree, whose leaves are also the built-in exceptions one would expect."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ferrule._core import Report

__all__ = [
    "AddressError",
    "ChildError",
    "OpenError",
    "OpenTimeoutError",
    "RelayError",
    "TransferError",
    "TransferTimeoutError",
]


class RelayError(Exception):
    """Something about a relay went wrong.

    Attributes:
        address: The address it is about, as written.
        phase: What was being done: ``parse``, ``connect``, ``read``, ...
        errno: The operating system's number, see errno(3).
        hint: What would help.
        detail: Further lines for a person: the place in the text with a caret under it, the hint.
        report: What had been moved, when the relay had started.
    """

    address: str | None
    phase: str | None
    errno: int | None
    hint: str | None
    detail: str
    report: Report | None

    def __init__(
        self,
        message: str,
        *,
        detail: str = "",
        address: str | None = None,
        phase: str | None = None,
        errno: int | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message)
        self.detail = detail
        self.address = address
        self.phase = phase
        self.errno = errno
        self.hint = hint
        self.report = None

    def __str__(self) -> str:
        message = str(self.args[0])
        return f"{message}\n{self.detail}" if self.detail else message

    def __reduce__(self) -> tuple[object, ...]:
        # The report stays behind: it is the engine's, and pickles are for other processes.
        details = {name: getattr(self, name) for name in ("detail", "address", "phase", "errno", "hint")}
        return _rebuild, (type(self), str(self.args[0]), details)


def _rebuild(kind: type[RelayError], message: str, details: dict[str, Any]) -> RelayError:
    return kind(message, **details)


class AddressError(RelayError, ValueError):
    """An address or an option is not valid; nothing has been opened."""


class OpenError(RelayError, OSError):
    """An endpoint could not be opened."""


class OpenTimeoutError(OpenError, TimeoutError):
    """An endpoint could not be opened in time."""


class TransferError(RelayError, OSError):
    """Bytes could not be moved; ``report`` says which were."""


class TransferTimeoutError(TransferError, TimeoutError):
    """Bytes could not be moved in time."""


class ChildError(RelayError):
    """A program failed that was the endpoint of a relay."""
