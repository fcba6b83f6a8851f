"""Addresses that are opened again when they end, while the other side stays connected."""

from __future__ import annotations

import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import ferrule as package
import pytest
from devices import Plug
from lines import LIMIT, Running, Tool, wait_until
from peers import LOOPBACK, bound, dial, listening, pattern, read_all, read_exactly, taken, wait_listening

PATIENCE = 3.0
"""Seconds in which a device is used again once its name is back; the goal is one."""

Port = Callable[[], int]


def listener(port: int) -> str:
    return f"TCP-LISTEN:{port},bind={LOOPBACK},reuseaddr"


def terminal(path: Path, options: str = "") -> str:
    return f"FILE:{path},raw,echo=0,reconnect{options}"


@pytest.fixture
def plug(tmp_path: Path) -> Plug:
    return Plug(tmp_path / "device")


def relay(port: int, plug: Plug, options: str = "") -> package.Running:
    """From a port to the device; a device has no end, so that of the client is the end of all."""
    address = terminal(plug.link, options)
    # Small buffers, so that back pressure is seen early.
    return package.Relay(f"{listener(port)},rcvbuf=20000", address, half_close_timeout=0.2).start()


def met(port: int, plug: Plug) -> socket.socket:
    """A client whose session has begun: the device has been given a byte of it."""
    client = dial(port)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
    client.sendall(b".")
    assert plug.read(1) == b"."
    return client


def away(running: package.Running, times: int = 1) -> None:
    wait_until(lambda: running.report.outages.count == times, "the loss")


def test_a_client_is_held_while_the_device_is_away(
    plug: Plug, free_port: Port, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    with relay(port, plug) as running:
        wait_listening(port)
        with dial(port) as client:
            client.sendall(b"before")
            assert plug.read(6) == b"before"
            plug.out()
            away(running)
            begun = time.monotonic()
            client.sendall(b"during ")
            wait_until(lambda: taken(client), "the bytes to be taken")
            client.sendall(b"the outage")
            wait_until(lambda: taken(client), "the bytes to be taken")
            there = plug.back()
            assert plug.read(17) == b"during the outage"
            took = time.monotonic() - there
            gap = there - begun
            assert took < PATIENCE
            plug.write(b"after")
            assert read_exactly(client, 5) == b"after"
            client.sendall(b"and on")
            assert plug.read(6) == b"and on"
        report = running.wait(LIMIT)
    with capsys.disabled():
        print(f" [{took * 1000:.1f} ms from the name to the first byte]", end="")
    outages = report.outages
    assert (outages.count, outages.delivered, outages.discarded) == (1, 17, 0)
    assert gap <= outages.seconds < gap + took + 1
    assert report.left_to_right.bytes == 6 + 17 + 6
    assert report.is_success


def test_a_device_may_go_and_come_many_times(plug: Plug, free_port: Port) -> None:
    port = free_port()

    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with relay(port, plug) as running:
        wait_listening(port)
        with dial(port) as client:
            sent = b""
            counts = []
            for number in range(1, 11):
                block = pattern(1000, number)
                client.sendall(block)
                sent += block
                assert plug.read(1000) == block
                counts.append(descriptors())
                plug.out()
                away(running, number)
                plug.back()
            client.sendall(b"x")
            assert plug.read(1) == b"x"
        report = running.wait(LIMIT)
    assert max(counts) == min(counts), "each loss gives its descriptors back"
    assert (report.outages.count, report.left_to_right.bytes) == (10, 10_001)
    assert report.is_success


def test_a_killed_terminal_is_found_again(ferrule: Tool, tmp_path: Path, free_port: Port) -> None:
    """Its link stays behind and is exchanged for another one."""

    def device() -> Running:
        started = ferrule.start("-d", "-d", "PTY,link=device,rawer", "EXEC:cat")
        started.wait_for_log("starting data transfer")
        return started

    first = device()
    port = free_port()
    line = ferrule.start("-d", "-d", listener(port), terminal(Path("device")))
    wait_listening(port)
    with dial(port) as client:
        client.sendall(b"one")
        assert read_exactly(client, 3) == b"one"
        first.stop()
        line.wait_for_log("W FILE:device,.*: device gone.*, waiting for it to come back")
        client.sendall(b"two")
        assert (tmp_path / "device").is_symlink()
        device()
        assert read_exactly(client, 3) == b"two"
    line.wait_for_log(r"N FILE:device,.*: back after \d+\.\d+ s, 3 bytes were kept meanwhile")
    line.terminate()


def test_a_full_buffer_is_back_pressure_and_nothing_is_lost(plug: Plug, free_port: Port) -> None:
    port, data = free_port(), pattern(3_000_000)
    with relay(port, plug, ",hold-buffer=1000") as running:
        wait_listening(port)
        with met(port, plug) as client:
            plug.out()
            away(running)
            client.setblocking(False)
            sent = 0

            def fill() -> bool:
                nonlocal sent
                try:
                    sent += client.send(data[sent : sent + 65536])
                except BlockingIOError:
                    return True
                return False

            wait_until(fill, "the client to be stopped")
            assert sent < len(data)
            plug.back()
            assert plug.read(sent) == data[:sent]
        report = running.wait(LIMIT)
    assert report.outages.delivered == 1000
    assert (report.left_to_right.bytes, report.undelivered) == (1 + sent, 0)


def test_bytes_may_be_dropped_instead(plug: Plug, free_port: Port) -> None:
    port, data = free_port(), pattern(300_000)
    with relay(port, plug, ",hold-discard") as running:
        wait_listening(port)
        with met(port, plug) as client:
            plug.out()
            away(running)
            client.sendall(data)
            wait_until(lambda: running.report.outages.discarded == len(data), "all to be dropped")
            plug.back()
            wait_until(lambda: running.report.outages.seconds > 0, "the return")
            client.sendall(b"heard")
            assert plug.read(5) == b"heard"
        report = running.wait(LIMIT)
    assert (report.left_to_right.bytes, report.undelivered, report.is_success) == (6, 0, True)


def accepted(server: socket.socket) -> socket.socket:
    server.settimeout(LIMIT)
    connection = server.accept()[0]
    connection.settimeout(LIMIT)
    return connection


def test_a_connection_survives_the_restart_of_the_server(ferrule: Tool, free_port: Port) -> None:
    port = free_port()
    with bound() as server:
        server.listen()
        there = server.getsockname()[1]
        line = ferrule.start("-d", "-d", listener(port), f"TCP:{LOOPBACK}:{there},reconnect")
        wait_listening(port)
        client = dial(port)
        with accepted(server) as first:
            client.sendall(b"question")
            assert read_exactly(first, 8) == b"question"
            first.sendall(b"answer")
            assert read_exactly(client, 6) == b"answer"
    line.wait_for_log(f"W TCP:{LOOPBACK}:{there},reconnect: connection lost, waiting for it to come back")
    client.sendall(b"while it is away")
    wait_until(lambda: taken(client), "the bytes to be taken")
    with bound(port=there) as server, client:
        server.listen()
        with accepted(server) as second:
            assert read_exactly(second, 16) == b"while it is away"
            second.sendall(b"welcome back")
            assert read_exactly(client, 12) == b"welcome back"
            client.shutdown(socket.SHUT_WR)
            assert read_all(second) == b""
            second.sendall(b"bye")
        assert read_all(client) == b"bye"
    done = line.wait()
    assert done.code == 0
    told = [text for text in done.level("WN") if "reconnect: " in text]
    assert len(told) == 2, "one line when it is lost, one when it is back"
    assert re.fullmatch(r".*: back after \d\.\d{3} s, 16 bytes were kept meanwhile", told[1])
    assert not done.level("E")


def test_one_way_the_end_of_the_server_is_seen_before_anything_is_written(
    ferrule: Tool, free_port: Port
) -> None:
    """Nothing is read, so no end is; and the first bytes written after it would be lost."""

    def stands(near: int) -> bool:
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        established = "01"
        return any(row[1].endswith(f":{near:04X}") and row[3] == established for row in rows)

    with bound() as server:
        server.listen()
        there = server.getsockname()[1]
        line = ferrule.start("-u", "-d", "-d", "STDIO", f"TCP:{LOOPBACK}:{there},reconnect")
        with accepted(server) as first:
            line.send(b"one")
            assert read_exactly(first, 3) == b"one"
            near = first.getpeername()[1]
        wait_until(lambda: not stands(near), "the end of the connection")
        line.send(b"two")
        with accepted(server) as second:
            assert read_exactly(second, 3) == b"two"
            line.end_input()
            assert read_all(second) == b""
    assert line.wait().code == 0


def test_a_unix_socket_is_tried_as_soon_as_it_is_there(
    ferrule: Tool, tmp_path: Path, free_port: Port
) -> None:
    """Long after the pauses have become longer than this test."""
    port, path = free_port(), tmp_path / "socket"

    def serve() -> socket.socket:
        made = socket.socket(socket.AF_UNIX)
        # Under its name only once it listens.
        made.bind(str(tmp_path / "aside"))
        made.listen()
        (tmp_path / "aside").rename(path)
        return made

    with serve() as server:
        line = ferrule.start("-d", "-d", "-d", listener(port), f"UNIX:{path},reconnect,reconnect-max=1000")
        wait_listening(port)
        client = dial(port)
        accepted(server).close()
        path.unlink()
    with client:
        line.wait_for_log(r"trying again in 0\.8 s")
        with serve() as server:
            begun = time.monotonic()
            accepted(server).close()
            assert time.monotonic() - begun < 0.3
    line.terminate()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_during_an_outage_ends_all_at_once(
    ferrule: Tool, plug: Plug, free_port: Port, number: signal.Signals, code: int
) -> None:
    port = free_port()
    line = ferrule.start("-d", "-d", listener(port), terminal(plug.link))
    wait_listening(port)
    with met(port, plug) as client:
        plug.out()
        line.wait_for_log("device gone")
        begun = time.monotonic()
        done = line.terminate(number)
        assert time.monotonic() - begun < 1
        assert done.code == code
        assert read_all(client) == b""
    assert not listening(port)


def test_what_was_kept_is_told_when_the_relay_is_stopped(plug: Plug, free_port: Port) -> None:
    port = free_port()
    running = relay(port, plug)
    wait_listening(port)
    with met(port, plug) as client:
        plug.out()
        away(running)
        client.sendall(b"never delivered")
        wait_until(lambda: taken(client), "the bytes to be taken")
        begun = time.monotonic()
        running.stop()
        report = running.wait(LIMIT)
        assert time.monotonic() - begun < 1
    assert (report.ended, report.left_to_right.bytes, report.left_to_right.undelivered) == ("stopped", 1, 15)
    assert not report.is_success


def test_a_client_is_not_held_for_longer_than_asked(ferrule: Tool, plug: Plug, free_port: Port) -> None:
    port = free_port()
    line = ferrule.start(listener(port), terminal(plug.link, ",hold=0.3"))
    wait_listening(port)
    with met(port, plug) as client:
        plug.out()
        assert read_all(client) == b""
    done = line.wait()
    assert done.code == 1
    assert done.level("E")[0].endswith("did not come back within 0.3 s, the time of option hold")


def test_a_client_that_leaves_during_an_outage_ends_the_session(
    ferrule: Tool, plug: Plug, free_port: Port
) -> None:
    port = free_port()
    line = ferrule.start("-d", "-d", listener(port), terminal(plug.link))
    wait_listening(port)
    with met(port, plug):
        plug.out()
        line.wait_for_log("device gone")
    assert line.wait(3).code == 0


def test_the_last_words_of_a_client_wait_for_the_device(ferrule: Tool, plug: Plug, free_port: Port) -> None:
    port = free_port()
    line = ferrule.start("-d", "-d", listener(port), terminal(plug.link))
    wait_listening(port)
    with met(port, plug) as client:
        plug.out()
        line.wait_for_log("device gone")
        client.sendall(b"last words")
    line.wait_for_log("socket 1 .* is at EOF")
    plug.back()
    assert plug.read(10) == b"last words"
    assert line.wait().code == 0


def test_the_first_opening_is_as_ever(ferrule: Tool, tmp_path: Path) -> None:
    done = ferrule.run("STDIO", terminal(tmp_path / "nothing"))
    assert done.code == 1
    assert done.level("E")[0].endswith("No such file or directory")
    (tmp_path / "file").write_bytes(b"not again and again")
    done = ferrule.run("STDIO", terminal(tmp_path / "file"))
    assert done.code == 1
    assert "is no terminal" in done.level("E")[0]


def test_the_first_opening_may_be_waited_for(ferrule: Tool, free_port: Port) -> None:
    port = free_port()
    line = ferrule.start("-d", "-d", "STDIO", f"TCP:{LOOPBACK}:{port},reconnect,forever,interval=0.05")
    line.wait_for_log("trying again")
    with bound(port=port) as server:
        server.listen()
        with accepted(server) as first:
            line.send(b"hello")
            assert read_exactly(first, 5) == b"hello"
        with accepted(server) as second:
            line.send(b"again")
            assert read_exactly(second, 5) == b"again"
    line.terminate()


def test_nothing_is_made_in_the_place_of_a_device(ferrule: Tool, plug: Plug) -> None:
    """GOPEN makes files, but not while a device is away."""
    line = ferrule.start("-d", "-d", "-d", "STDIO", f"GOPEN:{plug.link},rawer,reconnect")
    line.wait_for_log("starting data transfer")
    plug.out()
    line.wait_for_log("(trying again.*){3}")
    assert not plug.link.exists()
    line.terminate()
