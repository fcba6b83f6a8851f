"""Typed addresses and their text."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path

import ferrule
import pytest
from ferrule import (
    AddressError,
    Dual,
    Exec,
    Open,
    Pipe,
    TcpConnect,
    TcpListen,
    Text,
    UnixConnect,
    parse,
    quote,
)
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (TcpConnect("localhost", 80), "TCP-CONNECT:localhost:80"),
        (TcpConnect("::1", 80), "TCP-CONNECT:[::1]:80"),
        (TcpConnect("[::1]", "http"), "TCP-CONNECT:[::1]:http"),
        (Pipe(), "PIPE"),
        (Pipe("/tmp/fifo"), "PIPE:/tmp/fifo"),
        (Open(Path("/dev/null")), "OPEN:/dev/null"),
    ],
)
def test_text(address: ferrule.Address, text: str) -> None:
    assert parse(str(address)) == address == parse(text)
    assert bytes(address) == str(address).encode()


def test_options_are_written_by_their_types() -> None:
    address = TcpListen(8080, fork=True, reuseaddr=False, backlog=5, accept_timeout=1.5, bind="0.0.0.0")
    same = parse("TCP-LISTEN:8080,fork,reuseaddr=0,backlog=5,accept-timeout=1.5,bind=0.0.0.0")
    assert address == same
    assert Open("/tmp/x", creat=True, mode=0o640) == parse("OPEN:/tmp/x,creat,mode=640")


def test_options_left_out() -> None:
    assert TcpConnect("h", 1, nodelay=None) == TcpConnect("h", 1)
    assert Open("f", creat=None, excl=None) == Open("f")


def test_typed_listeners_bind_to_loopback() -> None:
    assert TcpListen(1) == parse("TCP-LISTEN:1,bind=127.0.0.1")
    assert ferrule.Tcp4Listen(1) == parse("TCP4-LISTEN:1,bind=127.0.0.1")
    assert ferrule.Tcp6Listen(1) == parse("TCP6-LISTEN:1,bind=[::1]")
    assert TcpListen(1, pf="ip6") == parse("TCP-LISTEN:1,pf=ip6,bind=[::1]")
    assert TcpListen(1, bind="0.0.0.0") == parse("TCP-LISTEN:1,bind=0.0.0.0")
    assert "bind" not in str(parse("TCP-LISTEN:1"))
    assert "bind" not in str(ferrule.UnixListen("/tmp/s"))


def test_words_mean_themselves() -> None:
    host = "127.0.0.1:1!!SYSTEM:id,fork"
    address = UnixConnect(host)
    assert parse(str(address)) == address
    assert not isinstance(parse(str(address)), Dual)


def test_programs_take_arguments() -> None:
    address = Exec(["/bin/echo", "two words", "a,b:c!!d", "it's", 'a "quote"', ""])
    assert parse(str(address)) == address


def test_dual() -> None:
    dual = Dual(Open("/dev/zero"), Open("/dev/null"))
    assert dual == parse("OPEN:/dev/zero!!OPEN:/dev/null")
    assert isinstance(parse(str(dual)), Dual)


def test_aliases_are_the_same_address() -> None:
    assert parse("tcp-l:80,so-reuseaddr") == parse("TCP-LISTEN:80,reuseaddr")
    assert type(parse("tcp:h:1")) is TcpConnect


def test_values_like_others() -> None:
    address = TcpConnect("h", 1, nodelay=True)
    assert hash(address) == hash(parse(str(address)))
    assert address != TcpConnect("h", 2)
    assert address != str(address)
    assert pickle.loads(pickle.dumps(address)) == address == copy.deepcopy(address)
    assert repr(address) == f"ferrule.parse({str(address)!r})"


def test_wrong_options_are_told_when_the_address_is_made() -> None:
    with pytest.raises(AddressError) as caught:
        TcpListen(80, reuseadr=True)  # type: ignore[call-arg]
    assert "reuseadr" in str(caught.value)
    assert "reuseaddr" in (caught.value.hint or "")
    assert "^^^" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "NOSUCH:1", "TCP:1", "TCP:a:b:c", "TCP-LISTEN:80000", 'TCP:"a', "OPEN:x,fork"]
)
def test_wrong_texts(text: str) -> None:
    with pytest.raises(AddressError):
        parse(text)
    with pytest.raises(ValueError, match=r"."):
        parse(text.encode())


def test_wrong_types() -> None:
    with pytest.raises(TypeError):
        TcpConnect(object(), 80)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        parse(5)  # type: ignore[arg-type]


@given(st.binary(min_size=1).filter(lambda word: b"\0" not in word))
def test_quoting_is_undone_by_reading(word: bytes) -> None:
    address = Text(word)
    assert parse(bytes(address)) == address == parse("TEXT:" + quote(word))


@given(st.text(alphabet="a:,!\"'\\([{}])= \t\n", min_size=1))
def test_names_of_files_stay_one_word(name: str) -> None:
    address = Open(name, creat=True)
    assert parse(str(address)) == address
    assert type(parse(str(address))) is Open
