"""Others that bring serial ports to the network: ser2net, and a server made of pyserial's parts."""

from __future__ import annotations

import contextlib
import socket
import threading
import warnings
from pathlib import Path
from typing import Any

import serial
import serial.rfc2217
from lines import LIMIT, Running, Tool, wait_until
from peers import LOOPBACK, bound, wait_listening

_POLL = 0.01
_PIECE = 4096


def ser2net_config(port: int, path: str, stack: str, speed: str, options: dict[str, object]) -> str:
    """Return one connection of a configuration file, as ser2net.yaml(5) has it."""
    lines = [
        f"connection: &port{port}",
        f"  accepter: {stack},{LOOPBACK},{port}",
        f"  connector: serialdev,{path},{speed},local",
    ]
    if options:
        lines.append("  options:")
        for name, value in options.items():
            word = str(value).lower() if isinstance(value, bool) else value
            lines.append(f"    {name.replace('_', '-')}: {word}")
    return "\n".join(lines) + "\n"


class Ser2net:
    """A running ser2net with one connection.

    Attributes:
        port: Where it listens, on the loopback address.
        line: The process.
    """

    def __init__(self, tool: Tool, port: int, config: Path) -> None:
        self.port = port
        self._tool = tool
        self._config = config
        self.line = self._start()

    def _start(self) -> Running:
        # -d: stays in the foreground and tells what it does; -u: no lock files outside of the test's folder.
        line = self._tool.start("-d", "-u", "-c", str(self._config))
        wait_listening(self.port)
        return line

    def stop(self) -> None:
        """End it; its port is free afterwards."""
        self.line.stop()

    def restart(self) -> None:
        """Start it again on the same port and device, as after a power cut."""
        self.stop()
        self.line = self._start()


class _Connection:
    """What a `PortManager` writes its answers to: a socket two threads share."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._lock = threading.Lock()

    def write(self, data: bytes) -> None:
        with self._lock:
            self._peer.sendall(data)


class PyserialServer:
    """An RFC 2217 server made of pyserial's `PortManager`; it serves one client after the other.

    Attributes:
        port: Where it listens, on the loopback address.
        line: The serial port behind it, open as long as the server: its `baudrate`, `dtr`, `rts`,
            `break_condition` and so on are what clients have set.
        accepted: How many clients there have been.

    The port behind is `loop://` unless another one is given: TX wired to RX, RTS to CTS, DTR to DSR. A
    terminal without modem lines does not do: `PortManager` fails on it.
    """

    def __init__(self, port: int = 0, url: str = "loop://") -> None:
        self.line: Any = serial.serial_for_url(url, timeout=_POLL)
        self.accepted = 0
        self._listener = bound(port=port)
        self._listener.listen(8)
        self.port = int(self._listener.getsockname()[1])
        self._client: socket.socket | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._client = client
            with client, contextlib.suppress(OSError):
                self._relay(client)
            self._client = None

    def _relay(self, client: socket.socket) -> None:
        gone = threading.Event()
        connection = _Connection(client)
        manager = serial.rfc2217.PortManager(self.line, connection)

        def from_port() -> None:
            while not gone.is_set():
                data = self.line.read(self.line.in_waiting or 1)
                try:
                    if data:
                        connection.write(b"".join(manager.escape(data)))
                    manager.check_modem_lines()
                except OSError:
                    return

        reader = threading.Thread(target=from_port, daemon=True)
        reader.start()
        try:
            while data := client.recv(_PIECE):
                self.line.write(b"".join(manager.filter(data)))
        finally:
            gone.set()
            reader.join(LIMIT)

    def drop(self) -> None:
        """Cut the client off, and go on to listen; waits until it has gone."""
        client = self._client
        if client is not None:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
            wait_until(lambda: self._client is not client, "the end of a connection that was cut")

    def close(self) -> None:
        """End everything."""
        self._ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self.drop()
        self._thread.join(LIMIT)
        self._listener.close()
        self.line.close()


def pyserial_client(port: int, options: str = "", **settings: Any) -> Any:
    """Open `rfc2217://` on a port of this machine with pyserial, and return the open port.

    Args:
        port: Of the server.
        options: Of the URL: `ign_set_control`, `poll_modem`, `timeout=SECONDS`.
        settings: As of `serial.Serial`; the time-out of reads is that of a test's condition.
    """
    settings.setdefault("timeout", LIMIT)
    url = f"rfc2217://{LOOPBACK}:{port}" + (f"?{options}" if options else "")
    with warnings.catch_warnings():
        # It starts its thread in the way that Python has given up.
        warnings.simplefilter("ignore", DeprecationWarning)
        return serial.serial_for_url(url, **settings)
