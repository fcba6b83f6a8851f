"""What all typed addresses have in common, and the way from text to them."""

from __future__ import annotations

import os

from ferrule import _core

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import ClassVar, Self

__all__ = ["Address", "AddressLike", "Dual", "TextLike", "parse", "quote"]

TextLike = str | bytes | os.PathLike[str] | os.PathLike[bytes]
"""Any text or name of a file."""


class Address:
    """One endpoint of a relay; checked when it is made, opened by the relay only.

    Addresses do not change, compare by what they say, and give their text with ``str()`` and ``bytes()``.
    Values are never read as syntax: a host name with a comma in it is an error, not an option.
    """

    __slots__ = ("_text",)

    _text: bytes
    keyword: ClassVar[str] = ""

    def _compose(self, params: tuple[object, ...], options: Mapping[str, object]) -> None:
        self._text = _core.compose(self.keyword, params, dict(options))

    @classmethod
    def _of(cls, text: bytes) -> Self:
        address = cls.__new__(cls)
        address._text = text
        return address

    def __bytes__(self) -> bytes:
        return self._text

    def __str__(self) -> str:
        return os.fsdecode(self._text)

    def __repr__(self) -> str:
        return f"ferrule.parse({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return self._text == other._text if isinstance(other, Address) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> tuple[object, ...]:
        return parse, (self._text,)


class Dual(Address):
    """Two addresses as one endpoint: the first is read, the second is written.

    Text: ``<address>!!<address>``.
    """

    __slots__ = ()

    def __init__(self, read: Address, write: Address) -> None:
        first, second = _core.parse(bytes(read) + b"!!" + bytes(write))
        self._text = first[1] + b"!!" + second[1]


AddressLike = Address | str | bytes
"""What a relay takes: a typed address, or text as in socat(1)."""


def parse(text: str | bytes) -> Address:
    """Reads the text of an address, as in socat(1). Opens nothing.

    Raises:
        AddressError: The text is not a valid address; the message shows the place.
    """
    from ferrule.addresses import CLASSES

    halves = [
        CLASSES[keyword]._of(canonical)  # pyright: ignore[reportPrivateUsage]
        for keyword, canonical in _core.parse(os.fsencode(text))
    ]
    return halves[0] if len(halves) == 1 else Dual(halves[0], halves[1])


def quote(word: TextLike) -> str:
    """Quotes a word so that it means itself anywhere in the text of an address."""
    return os.fsdecode(_core.quote(word))
