"""Small peers in threads, and questions to the kernel about who listens where."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lines import LIMIT, wait_until

LOOPBACK = "127.0.0.1"
_LISTEN = "0A"

Handler = Callable[[socket.socket], None]


def listening(port: int) -> bool:
    """Whether some TCP socket (IPv4 or IPv6) listens on `port`; asks the kernel, connects to nobody."""
    wanted = f"{port:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for row in _rows(table):
            if row[1].rpartition(":")[2] == wanted and row[3] == _LISTEN:
                return True
    return False


def wait_listening(port: int, limit: float = LIMIT) -> None:
    wait_until(lambda: listening(port), f"a listener on port {port}", limit)


def taken(connection: socket.socket) -> bool:
    """Whether the peer (a process of this machine) has read all that was sent to it."""
    here, there = (f"{name[1]:04X}" for name in (connection.getsockname(), connection.getpeername()))
    for row in _rows("/proc/net/tcp"):
        ports = [row[1].rpartition(":")[2], row[2].rpartition(":")[2]]
        sending, waiting = (int(size, 16) for size in row[4].split(":"))
        if (ports == [here, there] and sending) or (ports == [there, here] and waiting):
            return False
    return True


def unix_listening(name: str) -> bool:
    """Whether a UNIX stream socket listens on `name` (a path, or `@name` when abstract)."""
    return any(row[7:8] == [name] and int(row[3], 16) & 0x10000 for row in _rows("/proc/net/unix"))


def wait_unix_listening(name: str | Path) -> None:
    wait_until(lambda: unix_listening(str(name)), f"a listener on {name}")


def _rows(table: str) -> Iterator[list[str]]:
    with contextlib.suppress(FileNotFoundError):
        yield from (line.split() for line in Path(table).read_text().splitlines()[1:])


def read_all(connection: socket.socket) -> bytes:
    """Read to the end of the stream."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def read_exactly(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count and (piece := connection.recv(count - len(data))):
        data += piece
    return bytes(data)


def dial(port: int, host: str = LOOPBACK, source: str | None = None) -> socket.socket:
    """Connect; every later call on the socket is limited in time."""
    return socket.create_connection((host, port), LIMIT, (source, 0) if source else None)


def dial_unix(name: str | Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(LIMIT)
    try:
        connection.connect(str(name))
    except OSError:
        connection.close()
        raise
    return connection


def ask(connection: socket.socket, question: bytes) -> bytes:
    """Send all, half close, read the answer to its end, close."""
    with connection:
        sender = threading.Thread(target=_send_and_shut, args=(connection, question))
        sender.start()
        answer = read_all(connection)
        sender.join(LIMIT)
        return answer


def _send_and_shut(connection: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)


def reset(connection: socket.socket) -> None:
    """Close with RST instead of FIN."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def echo(connection: socket.socket) -> None:
    """Send back each piece; end when the peer ends."""
    while piece := connection.recv(65536):
        connection.sendall(piece)


def answer_after(delay: float, answer: bytes) -> Handler:
    """A server that waits for the peer's half close, takes its time, and answers only then."""

    def handle(connection: socket.socket) -> None:
        read_all(connection)
        time.sleep(delay)
        connection.sendall(answer)

    return handle


def greet(text: bytes) -> Handler:
    """A server that says `text` and then reads on to the end of its peer."""

    def handle(connection: socket.socket) -> None:
        connection.sendall(text)
        read_all(connection)

    return handle


class Server:
    """A listening socket; each of its connections is handled in a thread and closed afterwards."""

    def __init__(self, handle: Handler, listener: socket.socket) -> None:
        self._handle = handle
        self._listener = listener
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self.accepted = 0
        listener.listen(128)
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            connection.settimeout(2 * LIMIT)
            self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with contextlib.suppress(OSError):
                self._handle(connection)
        finally:
            connection.close()
            self._open.discard(connection)

    def finish(self) -> None:
        """Wait until each connection has been handled to its end, then close."""
        self._stop_listening()
        for thread in self._threads:
            thread.join(LIMIT)
        assert not any(thread.is_alive() for thread in self._threads), "a connection that does not end"

    def close(self) -> None:
        """Close at once, whatever the connections are at."""
        self._stop_listening()
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LIMIT)

    def _stop_listening(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._acceptor.join(LIMIT)
        self._listener.close()


class Collector(Server):
    """Keeps all that each of its connections sends, in the order of their arrival."""

    def __init__(self, listener: socket.socket) -> None:
        self.streams: list[bytearray] = []
        self.ended = 0
        super().__init__(self._gather, listener)

    def _gather(self, connection: socket.socket) -> None:
        stream = bytearray()
        self.streams.append(stream)
        while piece := connection.recv(65536):
            stream += piece
        self.ended += 1

    def wait_for(self, data: bytes) -> None:
        """Wait until all streams together, in the order they were opened, are exactly `data`."""
        wait_until(lambda: len(b"".join(self.streams)) >= len(data), f"{len(data)} collected bytes")
        assert b"".join(self.streams) == data

    def wait_ended(self, count: int = 1) -> None:
        wait_until(lambda: self.ended >= count, f"the end of {count} collected streams")


def bound(host: str = LOOPBACK, port: int = 0) -> socket.socket:
    """A TCP socket bound to a free port."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((host, port))
    return made


def bound_unix(path: str | Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(path))
    return made


def pattern(size: int, seed: int = 0) -> bytes:
    """`size` bytes that look random and are the same in each run."""
    return hashlib.shake_256(f"{seed}".encode()).digest(size)
