"""The server of RFC 2217 as clients see it: every request is answered once, soon, with what is in force."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
import serial
from lines import LIMIT, Running, Tool, wait_until
from peers import LOOPBACK
from slaves import echoing

IAC, SE, SB, WILL, WONT, DO, DONT = 255, 240, 250, 251, 252, 253, 254
BINARY, COM_PORT = 0, 44
TARGETS = ["PIPE", "PTY", "EXEC:cat"]
SIGNATURE = b"ferrule "


class Client:
    """A client of a few lines, which takes for granted only what the RFC says."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection((LOOPBACK, port), LIMIT)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.waiting = b""
        self.data = b""
        self.words: list[bytes] = []
        self.told: list[bytes] = []

    def agree(self) -> None:
        """Agrees to all the server wants and offers the option. The state of the lines comes then, once."""
        self.socket.sendall(bytes([IAC, WILL, COM_PORT, IAC, WILL, BINARY, IAC, DO, BINARY]))
        self.until(lambda: self.told)
        assert self.told == [b"\x6b\xb0"]
        assert self.words.count(bytes([DO, COM_PORT])) == 1

    def ask(self, payload: bytes) -> None:
        self.socket.sendall(
            bytes([IAC, SB, COM_PORT]) + payload.replace(b"\xff", b"\xff\xff") + bytes([IAC, SE])
        )

    def take(self, limit: float) -> bool:
        """Reads what has come, or comes in time."""
        self.socket.settimeout(limit)
        try:
            piece = self.socket.recv(65536)
        except (TimeoutError, BlockingIOError):
            return False
        finally:
            self.socket.settimeout(LIMIT)
        self.waiting += piece
        self.parse()
        return bool(piece)

    def until(self, condition: object) -> None:
        assert callable(condition)
        deadline = time.monotonic() + LIMIT
        while not condition():
            assert self.take(LIMIT), "the server says no more"
            assert time.monotonic() < deadline

    def parse(self) -> None:
        while self.waiting:
            plain, found, rest = self.waiting.partition(b"\xff")
            self.data += plain
            self.waiting = found + rest
            if len(self.waiting) < 2:
                return
            code = self.waiting[1]
            if code == IAC:
                self.data += b"\xff"
                self.waiting = self.waiting[2:]
            elif code in {WILL, WONT, DO, DONT}:
                if len(self.waiting) < 3:
                    return
                self.words.append(self.waiting[1:3])
                self.waiting = self.waiting[3:]
            else:
                assert code == SB, self.waiting
                end = self.waiting.find(bytes([IAC, SE]))
                if end < 0:
                    return
                assert self.waiting[2] == COM_PORT
                self.told.append(self.waiting[3:end].replace(b"\xff\xff", b"\xff"))
                self.waiting = self.waiting[end + 2 :]


@contextlib.contextmanager
def serving(ferrule: Tool, target: str, options: str = "") -> Iterator[tuple[Running, int]]:
    """A server with `target` behind it; the slave of a pseudo terminal echoes."""
    link = ferrule.folder / "slave"
    address = f"PTY,link={link},raw,echo=0,b115200" if target == "PTY" else target
    with echoing(link) if target == "PTY" else contextlib.nullcontext():
        line = ferrule.start("-d", "-d", "-d", f"RFC2217-LISTEN:0,bind={LOOPBACK}{options}", address)
        yield line, int(line.wait_for_log(rf"listening on AF=2 {LOOPBACK}:(\d+)")[1])


def baud(rate: int) -> bytes:
    return struct.pack(">I", rate)


REQUESTS: list[tuple[bytes, bytes]] = [
    (b"\x00", b"\x64"),
    (b"\x01" + baud(0), b"\x65" + baud(115200)),
    (b"\x01" + baud(9600), b"\x65" + baud(9600)),
    (b"\x01" + baud(0), b"\x65" + baud(9600)),
    (b"\x01" + baud(123456), b"\x65" + baud(123456)),
    (b"\x01" + baud(0xFF), b"\x65" + baud(0xFF)),
    (b"\x01\x08", b"\x65\x08"),
    (b"\x01\x00", b"\x65\x08"),
    (b"\x01" + baud(0), b"\x65" + baud(9600)),
    (b"\x01\x63", b"\x65\x08"),
    (b"\x02\x00", b"\x66\x08"),
    (b"\x02\x07", b"\x66\x07"),
    (b"\x02\x09", b"\x66\x07"),
    (b"\x02\x05", b"\x66\x05"),
    (b"\x02\xff", b"\x66\x05"),
    (b"\x02\x08", b"\x66\x08"),
    (b"\x03\x00", b"\x67\x01"),
    (b"\x03\x02", b"\x67\x02"),
    (b"\x03\x03", b"\x67\x03"),
    (b"\x03\x04", b"\x67\x04"),
    (b"\x03\x05", b"\x67\x05"),
    (b"\x03\x09", b"\x67\x05"),
    (b"\x03\x01", b"\x67\x01"),
    (b"\x04\x00", b"\x68\x01"),
    (b"\x04\x02", b"\x68\x02"),
    (b"\x04\x03", b"\x68\x03"),
    (b"\x04\x07", b"\x68\x03"),
    (b"\x04\x01", b"\x68\x01"),
    (b"\x05\x00", b"\x69\x01"),
    (b"\x05\x02", b"\x69\x02"),
    (b"\x05\x03", b"\x69\x03"),
    (b"\x05\x01", b"\x69\x01"),
    (b"\x05\x04", b"\x69\x06"),
    (b"\x05\x05", b"\x69\x05"),
    (b"\x05\x04", b"\x69\x05"),
    (b"\x05\x06", b"\x69\x06"),
    (b"\x05\x07", b"\x69\x08"),
    (b"\x05\x09", b"\x69\x09"),
    (b"\x05\x08", b"\x69\x08"),
    (b"\x05\x0a", b"\x69\x0b"),
    (b"\x05\x0c", b"\x69\x0c"),
    (b"\x05\x0b", b"\x69\x0b"),
    (b"\x05\x0d", b"\x69\x0e"),
    (b"\x05\x0f", b"\x69\x0f"),
    (b"\x05\x10", b"\x69\x10"),
    (b"\x05\x11", b"\x69\x01"),
    (b"\x05\x12", b"\x69\x10"),
    (b"\x05\x13", b"\x69\x01"),
    (b"\x05\x0e", b"\x69\x0e"),
    (b"\x05\x63", b"\x69\x01"),
    (b"\x06\x00", b"\x6a\x60"),
    (b"\x07\x00", b"\x6b\xb0"),
    (b"\x0a\x1e", b"\x6e\x1e"),
    (b"\x0a\x00", b"\x6e\x00"),
    (b"\x0b\x00", b"\x6f\x00"),
    (b"\x0b\xff", b"\x6f\xff"),
    (b"\x0c\x01", b"\x70\x01"),
    (b"\x0c\x02", b"\x70\x02"),
    (b"\x0c\x03", b"\x70\x03"),
    (b"\x02", b"\x66\x08"),
]


def is_news(payload: bytes) -> bool:
    """Whether it is told without having been asked for: the signals follow DTR and RTS."""
    return payload[:1] == b"\x6b" and payload[1] & 0x0F != 0


@pytest.mark.parametrize("target", TARGETS)
def test_every_request_is_answered_once_and_soon(ferrule: Tool, target: str) -> None:
    assert len(REQUESTS) == 60
    with serving(ferrule, target) as (_, port):
        client = Client(port)
        client.agree()
        times = []
        for request, expected in REQUESTS:
            client.told.clear()
            begun = time.perf_counter()
            client.ask(request)
            client.until(lambda: [told for told in client.told if not is_news(told)])
            times.append(time.perf_counter() - begun)
            answers = [told for told in client.told if not is_news(told)]
            if request == b"\x00":
                assert answers[0].startswith(expected + SIGNATURE)
                answers = [expected]
            assert answers == [expected], request
        assert not client.take(0.05), client.told
        print(
            f"{target}: slowest answer {max(times) * 1000:.2f} ms, median {sorted(times)[30] * 1000:.2f} ms"
        )
        # 5 ms on a machine with nothing else to do.
        assert sorted(times)[30] < 0.05
        client.socket.close()


@pytest.mark.parametrize("target", TARGETS)
def test_bytes_arrive_whole_between_requests(ferrule: Tool, target: str) -> None:
    data = bytes(range(256)) * 400
    with serving(ferrule, target) as (line, port):
        client = Client(port)
        client.agree()
        client.told.clear()
        for start in range(0, len(data), 1024):
            client.ask(b"\x02\x00")
            client.socket.sendall(data[start : start + 1024].replace(b"\xff", b"\xff\xff"))
            client.take(0)
        client.until(lambda: len(client.data) >= len(data))
        client.until(lambda: len(client.told) >= len(data) // 1024)
        assert client.data == data
        assert [told for told in client.told if not is_news(told)].count(b"\x66\x08") == len(data) // 1024
        client.socket.close()
        if target == "PTY":
            line.wait()
        else:
            assert line.wait().code == 0


def test_unknown_options_are_refused_once(ferrule: Tool) -> None:
    with serving(ferrule, "PIPE") as (_, port):
        client = Client(port)
        client.socket.sendall(bytes([IAC, DO, 47, IAC, WILL, 47, IAC, WONT, 47, IAC, DONT, 47]))
        client.agree()
        assert [word for word in client.words if word[1] == 47] == [bytes([WONT, 47]), bytes([DONT, 47])]
        client.socket.close()


def test_lines_that_change_are_told_without_being_asked_for(ferrule: Tool) -> None:
    with serving(ferrule, "PIPE") as (_, port):
        client = Client(port)
        client.agree()
        for request, news in [
            (b"\x05\x0c", b"\x6b\xa1"),
            (b"\x05\x0b", b"\x6b\xb1"),
            (b"\x05\x09", b"\x6b\x1a"),
        ]:
            client.told.clear()
            client.ask(request)
            client.until(lambda news=news: news in client.told)
        client.told.clear()
        client.ask(b"\x0b\x80")
        client.ask(b"\x05\x0c")
        client.ask(b"\x05\x08")
        client.until(lambda: b"\x6b\x80" in client.told)
        assert client.told == [b"\x6f\x80", b"\x69\x0c", b"\x69\x08", b"\x6b\x80"]
        client.socket.close()


def test_a_suspended_server_sends_no_data(ferrule: Tool) -> None:
    with serving(ferrule, "PIPE") as (_, port):
        client = Client(port)
        client.agree()
        client.ask(b"\x08")
        client.socket.sendall(b"held")
        client.ask(b"\x02\x00")
        client.until(lambda: b"\x66\x08" in client.told)
        assert not client.take(0.1)
        assert client.data == b""
        client.ask(b"\x09")
        client.until(lambda: client.data)
        assert client.data == b"held"
        client.socket.close()


def test_a_purge_reaches_data_nobody_takes(ferrule: Tool, tmp_path: Path) -> None:
    """What is stuck before a terminal nobody reads is dropped, and what follows is not."""
    link = tmp_path / "slave"
    line = ferrule.start("-d", "-d", f"RFC2217-LISTEN:0,bind={LOOPBACK}", f"PTY,link={link},raw,echo=0")
    client = Client(int(line.wait_for_log(rf"listening on AF=2 {LOOPBACK}:(\d+)")[1]))
    client.agree()
    slave = os.open(link, os.O_RDWR | os.O_NOCTTY)
    client.socket.sendall(b"x" * 100_000)
    client.ask(b"\x0c\x02")
    client.until(lambda: b"\x70\x02" in client.told)
    client.socket.sendall(b"behind")
    received = b""
    while not received.endswith(b"behind"):
        received += os.read(slave, 65536)
    # The terminal's own queue is the kernel's, and read by its slave only.
    assert len(received) < 50_000
    assert received.strip(b"x") == b"behind"
    os.close(slave)
    client.socket.close()
    line.terminate()


def test_a_client_that_vanishes_ends_the_session(ferrule: Tool) -> None:
    with serving(ferrule, "PTY", ",fork") as (line, port):
        for _ in range(3):
            client = Client(port)
            client.agree()
            client.ask(b"\x05\x05")
            client.until(lambda client=client: b"\x69\x05" in client.told)
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.socket.close()
        wait_until(lambda: line.err.data.count(b"session ended") == 3, "all sessions have ended")
        line.terminate()


def test_an_end_inside_a_command_is_an_end(ferrule: Tool) -> None:
    with serving(ferrule, "EXEC:cat") as (line, port):
        client = Client(port)
        client.agree()
        client.socket.sendall(b"whole" + bytes([IAC, SB, COM_PORT, 1, 0]))
        client.socket.shutdown(socket.SHUT_WR)
        while client.take(LIMIT):
            pass
        assert client.data == b"whole"
        client.socket.close()
        assert line.wait().code == 0


def test_malformed_commands_cost_only_themselves(ferrule: Tool) -> None:
    broken = [
        bytes([IAC, SE]),
        bytes([IAC, SB, IAC, SE]),
        bytes([IAC, SB, COM_PORT, IAC, SE]),
        bytes([IAC, SB, COM_PORT, 99, 1, IAC, SE]),
        bytes([IAC, SB, COM_PORT, 1, 1, 2, IAC, DO, 3]),
        bytes([IAC, SB, 24, 0, IAC, SE]),
        bytes([IAC, SB, COM_PORT]) + b"x" * 100_000 + bytes([IAC, SE]),
        bytes([IAC, 241, IAC, 249]),
    ]
    with serving(ferrule, "PIPE") as (_, port):
        client = Client(port)
        client.agree()
        client.told.clear()
        for piece in broken:
            client.socket.sendall(piece + b"data")
            client.ask(b"\x02\x00")
        client.until(lambda: client.data == b"data" * len(broken))
        client.until(
            lambda: [told for told in client.told if not is_news(told)] == [b"\x66\x08"] * len(broken)
        )
        client.socket.close()


def test_a_person_who_asks_gets_a_sign(ferrule: Tool) -> None:
    with serving(ferrule, "PIPE") as (_, port):
        client = Client(port)
        client.agree()
        client.socket.sendall(bytes([IAC, 246]))
        client.until(lambda: b"ferrule" in client.data)
        client.socket.close()


def test_options_that_cannot_be(ferrule: Tool) -> None:
    for address, words in [
        ("TCP-LISTEN:0,restore-line", "restore-line"),
        ("TCP-LISTEN:0,telnet=person", "person"),
        ("TCP-LISTEN:0,rfc2217=client", "RFC2217:<host>:<port>"),
        ("TCP-LISTEN:0,rfc2217=server,telnet=client", "different roles"),
        ("PIPE,rfc2217", "rfc2217"),
    ]:
        done = ferrule.run(address, "PIPE")
        assert done.code == 1, address
        assert words in done.err, address


def test_telnet_alone_has_no_serial_port(ferrule: Tool) -> None:
    line = ferrule.start("-d", "-d", f"TCP-LISTEN:0,bind={LOOPBACK},telnet", "PIPE")
    client = Client(int(line.wait_for_log(rf"listening on AF=2 {LOOPBACK}:(\d+)")[1]))
    client.socket.sendall(bytes([IAC, WILL, COM_PORT]) + b"a\xff\xffb")
    client.until(lambda: client.data == b"a\xffb")
    assert bytes([DONT, COM_PORT]) in client.words
    assert bytes([WILL, BINARY]) in client.words
    client.socket.close()
    assert line.wait().code == 0


def test_both_ends_of_a_telnet_connection(ferrule: Tool) -> None:
    data = bytes(range(256)) * 100
    with serving(ferrule, "PIPE") as (_, port):
        done = ferrule.run("-t", "5", "-", f"TCP:{LOOPBACK}:{port},telnet", stdin=data)
        assert (done.code, done.out) == (0, data), done.err


@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")
@pytest.mark.parametrize("target", ["PIPE", "PTY"])
def test_pyserial_opens_quickly_and_sets_everything(ferrule: Tool, target: str) -> None:
    with serving(ferrule, target) as (_, port):
        begun = time.perf_counter()
        with serial.serial_for_url(f"rfc2217://{LOOPBACK}:{port}", timeout=LIMIT) as client:
            opened = time.perf_counter() - begun
            print(f"{target}: open in {opened:.2f} s")
            # Its seven waits of 50 ms are all it needs; 0.6 s with nothing else to do.
            assert opened < 2
            client.write(b"\x00\xff\r\x00\r\nbytes")
            assert client.read(11) == b"\x00\xff\r\x00\r\nbytes"
            client.baudrate, client.bytesize, client.parity, client.stopbits = 9600, 7, "E", 2
            client.parity, client.stopbits = "M", 1.5
            client.xonxoff = True
            client.xonxoff = False
            client.rtscts = True
            client.rtscts = False
            client.break_condition = True
            client.break_condition = False
            client.send_break(0.01)
            client.reset_input_buffer()
            client.reset_output_buffer()
            wait_until(lambda: client.cts and client.dsr and client.cd and not client.ri, "the lines are up")
            client.rts, client.dtr = False, False
            wait_until(lambda: not (client.cts or client.dsr or client.cd), "the lines are down")
            for one, other in pairwise([True, False, True]):
                client.rts = one
                client.rts = other
            wait_until(lambda: client.cts, "CTS follows RTS")
            client.write(b"again")
            assert client.read(5) == b"again"
