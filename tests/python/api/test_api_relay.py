"""Relays that run to their end."""

from __future__ import annotations

import hashlib
import os
import socket
import threading
from pathlib import Path

import ferrule
import pytest
from connections import HOST, PATIENCE, asked, connect, connect_unix, everything, open_descriptors, wait_for
from ferrule import Exec, Open, OpenError, Pipe, Relay, System, TcpConnect, TcpListen, UnixListen


def test_text_to_file(tmp_path: Path) -> None:
    target = tmp_path / "out"
    report = Relay("TEXT:hello", f"CREATE:{target}", direction="left-to-right").run()
    assert target.read_bytes() == b"hello"
    assert report.left_to_right.bytes == 5
    assert report.right_to_left.bytes == report.undelivered == 0
    assert report.is_success
    assert report.ended == "finished"
    assert report.error is None
    assert report.sessions == 1
    assert 0 < report.duration < PATIENCE


def test_report_as_data() -> None:
    report = Relay("TEXT:hello", "OPEN:/dev/null", direction="left-to-right").run()
    data = report.as_dict()
    assert data["left_to_right"] == {"bytes": 5, "blocks": 1, "undelivered": 0, "purged": 0}
    assert data["ended"] == "finished"
    assert data["error"] is None
    assert "5 bytes left to right" in repr(report)
    assert repr(report.left_to_right) == "Flow(bytes=5, blocks=1, undelivered=0, purged=0)"
    assert report.left_to_right == report.left_to_right != report.right_to_left


def test_typed_tcp(port: int, echo: int) -> None:
    with Relay(TcpListen(port, reuseaddr=True), TcpConnect(HOST, echo)).start() as running:
        assert asked(connect(port), b"question") == b"question"
        report = running.wait(PATIENCE)
    assert (report.left_to_right.bytes, report.right_to_left.bytes) == (8, 8)


def test_the_chosen_port_is_told(echo: int) -> None:
    with Relay(TcpListen(0, bind=HOST, fork=True), TcpConnect(HOST, echo)).start() as running:
        wait_for(lambda: running.listening, "listening")
        (name,) = running.listening
        host, _, chosen = name.rpartition(":")
        assert host == HOST
        assert running.active == 0
        with connect(int(chosen)) as client:
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            assert running.active == 1
        wait_for(lambda: running.active == 0, "the end of the session")


def test_a_path_that_is_listened_on_is_told(tmp_path: Path, echo: int) -> None:
    path = tmp_path / "socket"
    with Relay(UnixListen(path), TcpConnect(HOST, echo)).start() as running:
        wait_for(lambda: running.listening, "listening")
        assert running.listening == [str(path)]


def test_both_ends_are_waited_for(port: int) -> None:
    """The answer comes long after the question's end: socat's 0.5 s would cut it."""
    with (
        socket.create_server((HOST, 0)) as server,
        Relay(TcpListen(port, reuseaddr=True), TcpConnect(HOST, server.getsockname()[1])).start() as running,
    ):
        client = connect(port)
        client.sendall(b"?")
        client.shutdown(socket.SHUT_WR)
        peer, _ = server.accept()
        with client, peer:
            assert everything(peer) == b"?"
            # Waiting is what is tested here.
            assert not threading.Event().wait(0.7)
            peer.sendall(b"late answer")
            peer.close()
            assert everything(client) == b"late answer"
        assert running.wait(PATIENCE).is_success


@pytest.mark.parametrize(
    "address",
    [
        Pipe(),
        Exec("cat"),
        Exec(["cat"]),
        Exec(["cat"], pipes=True),
        Exec("cat", pty=True, rawer=True),
        System("cat"),
        "PIPE",
        "SYSTEM:cat",
        "SHELL:cat,shell=/bin/sh",
        "SOCKETPAIR",
    ],
    ids=str,
)
def test_echo(address: ferrule.Address | str, port: int) -> None:
    with Relay(TcpListen(port, reuseaddr=True), address, half_close_timeout=5).start() as running:
        with connect(port) as client:
            client.sendall(b"echo\n")
            assert client.recv(100) == b"echo\n"
        if isinstance(address, Exec | System):
            assert running.wait(PATIENCE).left_to_right.bytes == 5


def test_echo_over_tcp_and_unix(tmp_path: Path, port: int, echo: int) -> None:
    path = tmp_path / "socket"
    with (
        Relay(UnixListen(path), f"TCP:{HOST}:{port}").start() as first,
        Relay(f"TCP-LISTEN:{port},bind={HOST},reuseaddr", f"TCP:{HOST}:{echo}").start(),
    ):
        connect(port).close()
        first.stop()
    with (
        Relay(UnixListen(path), TcpConnect(HOST, echo)).start() as running,
        connect_unix(path) as client,
    ):
        client.sendall(b"over")
        client.shutdown(socket.SHUT_WR)
        assert everything(client) == b"over"
        assert running.wait(PATIENCE).is_success
    assert not path.exists()


def test_bulk_is_whole(tmp_path: Path, port: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    block = os.urandom(1 << 20)
    with source.open("wb") as file:
        for _ in range(16):
            file.write(block)
    out = Relay(TcpListen(port, reuseaddr=True), f"CREATE:{target}", direction="left-to-right")
    with out.start() as receiving:
        sent = Relay(
            Open(source), TcpConnect(HOST, port, retry=100, interval=0.01), direction="left-to-right"
        ).run()
        received = receiving.wait(PATIENCE)
    assert sent.left_to_right.bytes == received.left_to_right.bytes == 16 << 20
    assert hashlib.sha256(source.read_bytes()).digest() == hashlib.sha256(target.read_bytes()).digest()


def test_connections_one_after_the_other_and_at_once(port: int, echo: int) -> None:
    with Relay(TcpListen(port, reuseaddr=True, fork=True), TcpConnect(HOST, echo)).start() as running:
        clients = [connect(port) for _ in range(20)]
        for number, client in enumerate(clients):
            assert asked(client, b"%d" % number) == b"%d" % number
        assert running.is_running
        assert running.report.ended == "running"
    report = running.report
    assert report.sessions == 20
    assert report.ended == "stopped"
    assert report.left_to_right.bytes == report.right_to_left.bytes == 30


def test_idle_timeout(port: int) -> None:
    report = Relay("PIPE", "PIPE", idle_timeout=0.05).run()
    assert report.ended == "idle"
    assert report.is_success


def test_half_close_timeout() -> None:
    report = Relay("TEXT:x", "PIPE!!OPEN:/dev/null", half_close_timeout=0.05).run()
    assert report.ended in ("half-close", "finished")
    assert report.left_to_right.bytes == 1


def test_directions(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.touch()
    report = Relay(Open(target), "TEXT:back", direction="right-to-left").run()
    assert report.right_to_left.bytes == 4
    assert target.read_bytes() == b"back"


def test_buffer_size(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"x" * 1000)
    report = Relay(Open(source), "OPEN:/dev/null", direction="left-to-right", buffer_size=100).run()
    assert report.left_to_right.blocks == 10


@pytest.mark.parametrize(
    "arguments",
    [
        {"idle_timeout": -1.0},
        {"idle_timeout": float("nan")},
        {"half_close_timeout": float("inf")},
        {"buffer_size": 0},
        {"buffer_size": 1 << 40},
        {"direction": "up"},
    ],
    ids=str,
)
def test_wrong_arguments(arguments: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"^{next(iter(arguments))} must be"):
        Relay("PIPE", "PIPE", **arguments)  # type: ignore[arg-type]


def test_text_errors_come_before_anything_is_opened(tmp_path: Path) -> None:
    target = tmp_path / "never"
    with pytest.raises(ferrule.AddressError):
        Relay(f"CREATE:{target}", "TCP:::1:80")
    assert not target.exists()


def test_an_endpoint_that_does_not_open(tmp_path: Path, port: int) -> None:
    with pytest.raises(OpenError) as caught:
        Relay("PIPE", TcpConnect(HOST, port)).run()
    error = caught.value
    assert error.errno == 111
    assert error.phase == "connect"
    assert str(port) in (error.address or "")
    assert error.report is not None
    assert error.report.ended == "failed"
    assert str(error).endswith("Connection refused")


def test_bytes_that_get_lost(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.write_bytes(b"x" * 100_000)
    with pytest.raises(ferrule.TransferError) as caught:
        Relay(Open(source), "OPEN:/dev/full", direction="left-to-right").run()
    error = caught.value
    assert error.errno == 28
    assert error.report is not None
    assert error.report.undelivered > 0
    assert not error.report.is_success
    assert type(error.report.error) is type(error)


def test_a_program_that_fails() -> None:
    with pytest.raises(ferrule.RelayError) as caught:
        Relay("PIPE", "EXEC:/nonexistent/program").run()
    assert "/nonexistent/program" in str(caught.value)


def test_relays_on_many_threads(echo: int) -> None:
    results: list[int] = []

    def run(number: int) -> None:
        report = Relay(f"TEXT:{'x' * number}", TcpConnect(HOST, echo), direction="left-to-right").run()
        results.append(report.left_to_right.bytes)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(1, 17)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(results) == list(range(1, 17))


def test_the_interpreter_is_free_meanwhile() -> None:
    ticked = threading.Event()
    with Relay("PIPE", "PIPE").start() as running:
        ticker = threading.Timer(0.05, ticked.set)
        ticker.start()
        with pytest.raises(TimeoutError):
            running.wait(0.5)
        assert ticked.is_set()


def test_one_relay_runs_again(tmp_path: Path) -> None:
    relay = Relay("TEXT:x", "OPEN:/dev/null", direction="left-to-right")
    assert [relay.run().left_to_right.bytes for _ in range(3)] == [1, 1, 1]


def test_nothing_stays_open(port: int, echo: int) -> None:
    Relay("TEXT:x", "OPEN:/dev/null", direction="left-to-right").run()
    before = open_descriptors()
    for _ in range(5):
        with Relay(TcpListen(port, reuseaddr=True, fork=True), TcpConnect(HOST, echo)).start():
            assert asked(connect(port), b"x") == b"x"
    assert len(open_descriptors()) <= len(before) + 1


def test_repr() -> None:
    assert repr(Relay("PIPE", "TEXT:x")) == "Relay('PIPE', 'TEXT:x')"
