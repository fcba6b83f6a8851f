"""A client that speaks RFC 2217 byte by byte, and knows when each answer came."""

from __future__ import annotations

import socket
import threading
import time
from types import TracebackType

from rig import LIMIT, FailedError, wait_until

_IAC, _DONT, _DO, _WONT, _WILL, _SB, _SE = 255, 254, 253, 252, 251, 250, 240
_BINARY, _COM_PORT = 0, 44

SET_BAUD, SET_PARITY, SET_CONTROL = 1, 3, 5
EVEN = 3
"""A value of SET_PARITY."""
NOTIFY_LINE, NOTIFY_MODEM = 106, 107
LINE_MASK, MODEM_MASK = 10, 11
DTR_ON, DTR_OFF, RTS_ON, RTS_OFF = 8, 9, 11, 12
"""Values of SET_CONTROL."""
BREAK = 16
"""Bit of the line state: a break was received."""
CTS, DSR, RING, DCD = 16, 32, 64, 128
"""Bits of the modem state."""


class Client:
    """A connection that has agreed on RFC 2217.

    Attributes:
        data: What has been received beside the protocol.
        told: The suboptions received: when (monotonic), how much data before it, code, value.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), LIMIT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.settimeout(None)
        self.data = bytearray()
        self.told: list[tuple[float, int, int, bytes]] = []
        self._agreed = False
        self._rest = b""
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()
        self._socket.sendall(bytes((_IAC, _WILL, _COM_PORT, _IAC, _WILL, _BINARY, _IAC, _DO, _BINARY)))
        wait_until(lambda: self._agreed, "the server's consent to RFC 2217")

    def _receive(self) -> None:
        try:
            while piece := self._socket.recv(4096):
                self._rest = self._parsed(self._rest + piece, time.monotonic())
        except OSError:
            return

    def _parsed(self, stream: bytes, now: float) -> bytes:
        """Take `stream` apart and return what is not whole yet."""
        while stream:
            plain, iac, after = stream.partition(b"\xff")
            self.data += plain
            if not iac:
                return b""
            if not after or (after[0] != _IAC and len(after) < 2):
                return iac + after
            if after[0] == _IAC:
                self.data.append(_IAC)
                stream = after[1:]
            elif after[0] == _SB:
                end = _end_of_suboption(after)
                if end < 0:
                    return iac + after
                body = after[1:end].replace(b"\xff\xff", b"\xff")
                if body[0] == _COM_PORT:
                    self.told.append((now, len(self.data), body[1], body[2:]))
                stream = after[end + 2 :]
            else:
                self._agreed |= after[0] == _DO and after[1] == _COM_PORT
                stream = after[2:] if after[0] in (_DO, _DONT, _WILL, _WONT) else after[1:]
        return b""

    def send(self, data: bytes) -> None:
        """Send data for the line."""
        self._socket.sendall(data.replace(b"\xff", b"\xff\xff"))

    def ask(self, code: int, value: bytes) -> bytes:
        """Send one suboption and return the value of its answer."""
        before = len(self.told)
        body = bytes((_COM_PORT, code)) + value.replace(b"\xff", b"\xff\xff")
        self._socket.sendall(bytes((_IAC, _SB)) + body + bytes((_IAC, _SE)))
        return self.wait_told(code + 100, before)[3]

    def wait_told(
        self, code: int, since: int, value: int | None = None, mask: int = 0xFF
    ) -> tuple[float, int, int, bytes]:
        """Wait for a suboption after the first `since` of them; with a value, for one that has it."""

        def found() -> tuple[float, int, int, bytes] | None:
            for one in self.told[since:]:
                if one[2] == code and (value is None or one[3][0] & mask == value):
                    return one
            return None

        try:
            return wait_until(found, f"suboption {code}")
        except FailedError as failed:
            raise FailedError(f"{failed}; since then came {[one[2:] for one in self.told[since:]]}") from None

    def wait_data(self, data: bytes) -> None:
        """Wait until exactly `data` has been received since the last time, and forget it."""
        wait_until(lambda: len(self.data) >= len(data), f"{data!r}")
        received = bytes(self.data)
        self.data.clear()
        if received != data:
            raise FailedError(f"received {received!r}, not {data!r}")

    def close(self) -> None:
        """Hang up."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(LIMIT)
        self._socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _end_of_suboption(text: bytes) -> int:
    """Where IAC SE begins, after IACs that are data; -1 when it has not come yet."""
    place = 1
    while (place := text.find(b"\xff", place)) >= 0 and place + 1 < len(text):
        if text[place + 1] == _SE:
            return place
        place += 2
    return -1
