"""Fixtures for pytest; installed with the package, imported by every run, so it imports little."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ferrule.pair import VirtualPair


@pytest.fixture
def virtual_serial_pair() -> Iterator[VirtualPair]:
    """Two serial ports wired to each other: what is written to ``pair.a`` is read from ``pair.b``."""
    from ferrule.pair import virtual_pair

    with virtual_pair() as pair:
        yield pair
