"""Signals, resets and slow readers in the middle of a transfer."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import signal
import socket
import termios
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest
from lines import LIMIT, Done, Running, Tool, wait_until
from peers import (
    LOOPBACK,
    Server,
    dial,
    listening,
    pattern,
    read_all,
    read_exactly,
    reset,
    taken,
    wait_listening,
)

Ports = Callable[[], int]
Serve = Callable[..., Server]


class Spring:
    """A pipe into which a thread pours as much as the other side takes, and which loses no count."""

    def __init__(self, supply: bytes) -> None:
        self.supply = supply
        self.poured = 0
        self.reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._pour, daemon=True)
        self._thread.start()

    def _pour(self) -> None:
        while self.poured < len(self.supply) and not self._stop.is_set():
            try:
                self.poured += os.write(self._writer, self.supply[self.poured : self.poured + 65536])
            except BlockingIOError:
                self._stop.wait(0.005)

    def wait_until_stuck(self) -> None:
        """Wait until nothing has been taken for a while."""
        seen: list[tuple[float, int]] = []

        def stuck() -> bool:
            seen.append((time.monotonic(), self.poured))
            since = next(poured for at, poured in seen if at > seen[-1][0] - 0.4)
            return since == self.poured and len(seen) > 40

        wait_until(stuck, "a transfer that is stuck")
        assert 0 < self.poured < len(self.supply), "the supply must outlast all buffers"

    def rest(self) -> bytes:
        """Stop, and give what nobody has taken out of the pipe."""
        self._stop.set()
        self._thread.join(LIMIT)
        waiting = array.array("i", [0])
        fcntl.ioctl(self.reader, termios.FIONREAD, waiting)
        data = b""
        while len(data) < waiting[0]:
            data += os.read(self.reader, waiting[0] - len(data))
        return data

    def close(self) -> None:
        self._stop.set()
        self._thread.join(LIMIT)
        os.close(self.reader)
        os.close(self._writer)


@pytest.fixture
def spring() -> Iterator[Spring]:
    made = Spring(pattern(48_000_000))
    yield made
    made.close()


class Valve:
    """A server that reads nothing until it is opened."""

    def __init__(self) -> None:
        self.opened = threading.Event()
        self.got = b""

    def __call__(self, connection: socket.socket) -> None:
        self.opened.wait(2 * LIMIT)
        with contextlib.suppress(ConnectionError):
            self.got = read_all(connection)


@pytest.fixture
def valve() -> Iterator[Valve]:
    made = Valve()
    yield made
    made.opened.set()


# Signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_first_signal_delivers_what_was_read(
    ferrule: Tool, serve: Serve, spring: Spring, valve: Valve, number: signal.Signals, code: int
) -> None:
    """Each byte is either at the server or still in the pipe it came from. Socat loses its buffer."""
    server = serve(valve)
    line = ferrule.start("-u", "-", f"TCP:{LOOPBACK}:{server.port}", stdin=spring.reader)
    spring.wait_until_stuck()
    line.kill(number)
    time.sleep(0.2)  # the signal has its effect before there is room again
    valve.opened.set()
    assert line.wait().code == code
    rest = spring.rest()
    server.finish()
    assert len(valve.got) + len(rest) == spring.poured, "bytes are missing"
    assert valve.got + rest == spring.supply[: spring.poured]


def test_second_signal_aborts_at_once(ferrule: Tool, serve: Serve, spring: Spring, valve: Valve) -> None:
    server = serve(valve)
    line = ferrule.start("-u", "-", f"TCP:{LOOPBACK}:{server.port}", stdin=spring.reader)
    spring.wait_until_stuck()
    line.kill(signal.SIGTERM)
    time.sleep(0.3)
    started = time.monotonic()
    done = line.terminate() if line.process.poll() is None else line.wait()
    assert time.monotonic() - started < 1.5
    assert done.code == 143


def test_one_signal_is_enough_in_the_end(ferrule: Tool, serve: Serve, spring: Spring, valve: Valve) -> None:
    """The server never reads again."""
    server = serve(valve)
    line = ferrule.start("-u", "-", f"TCP:{LOOPBACK}:{server.port}", stdin=spring.reader)
    spring.wait_until_stuck()
    line.kill(signal.SIGTERM)
    done = line.wait(20)
    assert done.code == 143


def test_signal_closes_the_listener_at_once(
    ferrule: Tool, serve: Serve, free_port: Ports, valve: Valve
) -> None:
    server, port = serve(valve), free_port()
    line = ferrule.start(f"TCP-LISTEN:{port},reuseaddr,fork", f"TCP:{LOOPBACK}:{server.port}")
    wait_listening(port)
    with dial(port) as client:
        client.sendall(b"in flight")
        wait_until(lambda: server.accepted == 1 and taken(client), "the bytes read by the relay")
        line.kill(signal.SIGTERM)
        # Not by connecting: a connection that comes just in time is served.
        wait_until(lambda: not listening(port), "a closed listener", 2)
        client.shutdown(socket.SHUT_WR)
        valve.opened.set()
        line.wait()
    server.finish()
    assert valve.got == b"in flight"


@pytest.mark.parametrize("number", [signal.SIGWINCH, signal.SIGCONT, signal.SIGCHLD])
def test_harmless_signals_change_no_byte(tool: Tool, serve: Serve, number: signal.Signals) -> None:
    storm(tool, serve, number)


def test_sigpipe_is_harmless(ferrule: Tool, serve: Serve) -> None:
    """Debian's socat dies of it."""
    storm(ferrule, serve, signal.SIGPIPE)


def storm(tool: Tool, serve: Serve, number: signal.Signals) -> None:
    """A transfer under a rain of signals."""
    data = pattern(8_000_000)
    valve = Valve()
    valve.opened.set()
    server = serve(valve)
    line = tool.start("-u", "-", f"TCP:{LOOPBACK}:{server.port}")
    line.feed(data)
    # Before it runs, the signals are the interpreter's.
    wait_until(lambda: server.accepted == 1, "the connection")
    while line.process.poll() is None:
        line.kill(number)
        time.sleep(0.001)
    assert line.wait().code == 0
    server.finish()
    assert valve.got == data


def test_stopped_and_continued_line_loses_nothing(tool: Tool, serve: Serve) -> None:
    data = pattern(20_000_000)
    valve = Valve()
    valve.opened.set()
    server = serve(valve)
    line = tool.start("-u", "-", f"TCP:{LOOPBACK}:{server.port}")
    line.feed(data)
    for _ in range(5):
        for number in (signal.SIGSTOP, signal.SIGCONT):
            if line.process.poll() is None:
                line.kill(number)
                time.sleep(0.02)
    assert line.wait().code == 0
    server.finish()
    assert valve.got == data


# Resets


def send_and_reset(data: bytes, greeting: int = 0) -> Callable[[socket.socket], None]:
    """A server whose reset comes when all its data has been received by the other kernel."""

    def handle(connection: socket.socket) -> None:
        read_exactly(connection, greeting)
        connection.sendall(data)
        wait_until(lambda: unacknowledged(connection) == 0, "all data acknowledged")
        reset(connection)

    return handle


def unacknowledged(connection: socket.socket) -> int:
    count = array.array("i", [0])
    fcntl.ioctl(connection, termios.TIOCOUTQ, count)
    return count[0]


@pytest.mark.parametrize("size", [0, 1, 8191, 8192, 8193, 50_000])
def test_bytes_before_a_reset_are_delivered(ferrule: Tool, serve: Serve, size: int) -> None:
    data = pattern(size)
    server = serve(send_and_reset(data, greeting=2))
    line = ferrule.start("-", f"TCP:{LOOPBACK}:{server.port}")
    line.send(b"go")
    wait_until(lambda: server.accepted == 1 and len(line.out) >= size, "the bytes before the reset")
    server.finish()
    truncated(line.finish(), data)


@pytest.mark.parametrize("size", [0, 1, 8192])
def test_reset_that_comes_with_the_connection(ferrule: Tool, serve: Serve, size: int) -> None:
    """Data and reset are there before the relay has looked at its new connection."""
    data = pattern(size)
    for _ in range(10):
        server = serve(send_and_reset(data))
        truncated(ferrule.run("-u", f"TCP:{LOOPBACK}:{server.port}", "-"), data)


def truncated(done: Done, data: bytes) -> None:
    assert (done.code, done.out == data) == (1, True), done.err
    assert len(done.level("E")) == 1
    assert "Connection reset by peer" in done.level("E")[0]


def test_reset_of_the_client_reaches_the_server(ferrule: Tool, serve: Serve, free_port: Ports) -> None:
    """Truncation must not look like an end: the server sees a reset, too."""
    seen: list[object] = []

    def listen(connection: socket.socket) -> None:
        try:
            seen.append(read_exactly(connection, 1000))
            seen.append(connection.recv(1))
        except ConnectionResetError as error:
            seen.append(type(error))

    server, port = serve(listen), free_port()
    line = ferrule.start(f"TCP-LISTEN:{port},reuseaddr", f"TCP:{LOOPBACK}:{server.port}")
    wait_listening(port)
    client = dial(port)
    client.sendall(pattern(1000))
    wait_until(lambda: len(seen) == 1, "the bytes before the reset")
    reset(client)
    assert line.wait().code == 1
    server.finish()
    assert seen == [pattern(1000), ConnectionResetError]


def test_reset_of_the_server_in_a_busy_transfer(ferrule: Tool, serve: Serve) -> None:
    def read_some_and_reset(connection: socket.socket) -> None:
        read_exactly(connection, 100_000)
        reset(connection)

    server = serve(read_some_and_reset)
    done = ferrule.run("-u", "-", f"TCP:{LOOPBACK}:{server.port}", stdin=pattern(20_000_000))
    assert done.code == 1
    assert "reset by peer" in done.err or "Broken pipe" in done.err


def test_error_of_one_direction_leaves_the_other_alone(ferrule: Tool, serve: Serve) -> None:
    """Stdout is closed by its reader; what stdin still has to say arrives."""
    got: list[bytes] = []
    closed, refused = threading.Event(), threading.Event()

    def talk(connection: socket.socket) -> None:
        closed.wait(LIMIT)
        connection.sendall(b"x" * 100)  # nobody can take this
        wait_until(lambda: taken(connection), "the bytes taken, which cannot be written")
        refused.set()
        got.append(read_all(connection))

    server = serve(talk)
    reader, writer = os.pipe()
    line = ferrule.start("-t", "10", "-", f"TCP:{LOOPBACK}:{server.port}", stdout=writer)
    os.close(writer)
    os.close(reader)
    closed.set()
    assert refused.wait(LIMIT)
    line.send(b"still here")
    done = line.finish()
    server.finish()
    assert (done.code, got) == (1, [b"still here"])
    assert "Broken pipe" in done.err


# Slow readers


def memory(line: Running) -> int:
    return int(psutil.Process(line.pid).memory_info().rss)


def test_slow_reader_costs_no_memory(ferrule: Tool, serve: Serve, spring: Spring, valve: Valve) -> None:
    server = serve(valve)
    line = ferrule.start("-u", "-", f"TCP:{LOOPBACK}:{server.port}", stdin=spring.reader)
    wait_until(lambda: server.accepted == 1, "the connection")
    before = memory(line)
    spring.wait_until_stuck()
    assert memory(line) - before < 4_000_000
    valve.opened.set()
    wait_until(lambda: spring.poured == len(spring.supply), "the whole supply taken", 20)
    wait_until(lambda: memory(line) - before < 4_000_000, "memory as before")
    line.terminate()


@pytest.mark.parametrize("slow", ["client", "server"])
def test_slow_socket_gets_everything(ferrule: Tool, serve: Serve, free_port: Ports, slow: str) -> None:
    data = pattern(24_000_000)
    valve = Valve()

    def pour(connection: socket.socket) -> None:
        connection.sendall(data)

    server, port = serve(pour if slow == "client" else valve), free_port()
    line = ferrule.start("-t", "10", f"TCP-LISTEN:{port},reuseaddr", f"TCP:{LOOPBACK}:{server.port}")
    wait_listening(port)
    before = memory(line)
    with dial(port) as client:
        if slow == "client":
            wait_until(lambda: server.accepted == 1, "the connection behind")
            time.sleep(1)  # the server fills all buffers there are
            assert memory(line) - before < 4_000_000
            got = read_all(client)
        else:
            sender = threading.Thread(target=client.sendall, args=(data,))
            sender.start()
            time.sleep(1)
            assert memory(line) - before < 4_000_000
            valve.opened.set()
            sender.join(LIMIT)
            client.shutdown(socket.SHUT_WR)
            read_all(client)
    assert line.wait().code == 0
    server.finish()
    assert (got if slow == "client" else valve.got) == data


def test_reader_of_single_bytes(tool: Tool, serve: Serve) -> None:
    def dribble(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for value in pattern(2000):
            connection.sendall(bytes([value]))

    server = serve(dribble)
    assert tool.run("-u", f"TCP:{LOOPBACK}:{server.port}", "-").out == pattern(2000)
