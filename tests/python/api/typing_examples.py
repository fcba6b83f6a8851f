"""Not run: mypy and pyright check that these are the types people see."""

from pathlib import Path
from typing import assert_type

import ferrule
from ferrule import Exec, Open, Relay, Report, Running, TcpConnect, TcpListen, VirtualPair, virtual_pair


def addresses() -> None:
    address = TcpListen(8080, fork=True, reuseaddr=True, max_children=10)
    assert_type(address, TcpListen)
    assert_type(str(address), str)
    assert_type(bytes(address), bytes)
    assert_type(ferrule.parse("TCP:localhost:80"), ferrule.Address)
    assert_type(ferrule.quote(b"a,b"), str)
    TcpConnect("localhost", "http", nodelay=True, connect_timeout=1.5, bind=None)
    Open(Path("/tmp/file"), creat=True, perm=0o600)
    Exec(["ls", Path("/")], stderr=True)
    Exec("ls /")


def relays() -> None:
    relay = Relay(TcpListen(8080), "TCP:localhost:80", idle_timeout=60, direction="left-to-right")
    report = relay.run()
    assert_type(report, Report)
    assert_type(report.left_to_right.bytes, int)
    assert_type(report.error, ferrule.RelayError | None)
    with relay.start() as running:
        assert_type(running, Running)
        assert_type(running.wait(1), Report)
    with virtual_pair() as pair:
        assert_type(pair, VirtualPair)
        assert_type(pair.a, str)


async def tasks() -> None:
    assert_type(await Relay(b"PIPE", b"PIPE").run_async(), Report)


def errors() -> None:
    try:
        Relay("PIPE", "PIPE").run()
    except ferrule.OpenError as error:
        assert_type(error.address, str | None)
        assert_type(error.report, Report | None)


def mistakes() -> None:
    TcpListen(8080, frok=True)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    TcpListen(8080, fork="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    TcpConnect("localhost")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Relay("PIPE")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Relay("PIPE", "PIPE", direction="up")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ferrule.TcpLisen(80)  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
