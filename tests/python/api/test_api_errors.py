"""The exceptions."""

from __future__ import annotations

import pickle

import ferrule
import pytest
from ferrule import (
    AddressError,
    ChildError,
    OpenError,
    OpenTimeoutError,
    Relay,
    RelayError,
    TransferError,
    TransferTimeoutError,
)


@pytest.mark.parametrize(
    ("error", "bases"),
    [
        (AddressError, [RelayError, ValueError]),
        (OpenError, [RelayError, OSError]),
        (OpenTimeoutError, [OpenError, TimeoutError]),
        (TransferError, [RelayError, OSError]),
        (TransferTimeoutError, [TransferError, TimeoutError]),
        (ChildError, [RelayError]),
    ],
)
def test_tree(error: type[RelayError], bases: list[type[BaseException]]) -> None:
    assert all(issubclass(error, base) for base in bases)
    assert error.__module__ == "ferrule.errors"


def test_fields_of_a_text_error() -> None:
    with pytest.raises(AddressError) as caught:
        Relay("PIPE", "TCP:localhost:80,reuseadr")
    error = caught.value
    assert error.phase == "parse"
    assert error.address == "TCP:localhost:80,reuseadr"
    assert error.errno is None
    assert error.report is None
    first, line, caret, *rest = str(error).splitlines()
    assert "reuseadr" in first
    assert line == "  TCP:localhost:80,reuseadr"
    assert caret.index("^") == line.index("reuseadr")
    assert rest == [f"  hint: {error.hint}"]


def test_pickling() -> None:
    error = OpenError(
        "a: connect: refused", address="a", phase="connect", errno=111, hint="try b", detail="  hint"
    )
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is OpenError
    assert str(again) == str(error) == "a: connect: refused\n  hint"
    assert (again.address, again.phase, again.errno, again.hint) == ("a", "connect", 111, "try b")
    assert again.report is None


def test_a_name_that_does_not_resolve() -> None:
    with pytest.raises(OpenError) as caught:
        Relay("PIPE", ferrule.TcpConnect("no-such-host.invalid", 80)).run()
    assert "no-such-host.invalid" in str(caught.value)
    assert caught.value.phase == "resolve"


def test_a_listener_nobody_connects_to(port: int) -> None:
    report = Relay(ferrule.TcpListen(port, reuseaddr=True, accept_timeout=0.05), "PIPE").run()
    assert report.ended == "nobody-came"
