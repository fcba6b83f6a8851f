"""Serial ports in the network, used from here: a client of RFC 2217, and terminals that stand for a port."""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import serial
from lines import LIMIT, Running, Tool, wait_until
from peers import echo

Ports = Callable[[], int]
_TCGETS2 = 0x802C542A
EVERY_BYTE = bytes(range(256)) + b"\xff\xff\r\0\r\n\xff"


def settings(path: str | Path) -> tuple[int, int]:
    """The control flags and the speed of a terminal, any speed: ioctl_tty(2), TCGETS2."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        raw = fcntl.ioctl(descriptor, _TCGETS2, bytes(44))
    finally:
        os.close(descriptor)
    return struct.unpack_from("I", raw, 8)[0], struct.unpack_from("I", raw, 40)[0]


def speed(path: str | Path) -> int:
    return settings(path)[1]


@pytest.fixture(params=["ferrule", "ser2net"])
def far(
    request: pytest.FixtureRequest, ferrule: Tool, ser2net: Any, free_port: Ports
) -> Callable[[str], int]:
    """Brings a device to a port, with each of the servers in turn: `far(path)` is the port."""

    def bring(path: str) -> int:
        if request.param == "ser2net":
            return int(ser2net(path, speed="9600n81").port)
        port = free_port()
        address = f"RFC2217-LISTEN:{port},bind=127.0.0.1,fork"
        server = ferrule.start("-d", "-d", address, f"SERIAL:{path},baud=9600")
        server.wait_for_log("listening on")
        return port

    return bring


def relay(ferrule: Tool, *addresses: str) -> Running:
    """A relay that moves bytes by now."""
    line = ferrule.start("-d", "-d", *addresses)
    line.wait_for_log("starting data transfer")
    return line


def test_every_byte_comes_back_from_a_port(ferrule: Tool, far: Callable[[str], int], device: Any) -> None:
    port = device()
    port.echo()
    line = relay(ferrule, "-", f"RFC2217:127.0.0.1:{far(port.path)},baud=115200")
    data = EVERY_BYTE * 40
    for start in range(0, len(data), 1000):
        line.send(data[start : start + 1000])
        end = min(start + 1000, len(data))
        wait_until(lambda end=end: len(line.out) >= end, "the echo")
    assert line.out.data == data


def test_every_byte_comes_back_from_a_port_of_pyserial(ferrule: Tool, pyserial_server: Any) -> None:
    server = pyserial_server()
    line = relay(ferrule, "-", f"RFC2217:127.0.0.1:{server.port},baud=1000000")
    data = EVERY_BYTE * 4
    line.send(data)
    wait_until(lambda: len(line.out) >= len(data), "the echo")
    assert line.out.data == data


def test_options_set_the_port(ferrule: Tool, far: Callable[[str], int], device: Any) -> None:
    port = device()
    number = far(port.path)
    relay(ferrule, "PIPE", f"RFC2217:127.0.0.1:{number},baud=31250,stop=2")
    flags, baud = settings(port.path)
    assert (baud, bool(flags & termios.CSTOPB)) == (31250, True)


def test_options_set_the_signals_of_a_port(ferrule: Tool, pyserial_server: Any) -> None:
    server = pyserial_server()
    options = "baud=38400,bits=7,parity=even,stop=2,dtr=off,rts=on,flow=xonxoff"
    line = relay(ferrule, "PIPE", f"RFC2217:127.0.0.1:{server.port},{options}")
    far = server.line
    assert (far.baudrate, far.bytesize, far.parity, far.stopbits) == (38400, 7, "E", 2)
    assert (far.dtr, far.rts, far.xonxoff) == (False, True, True)
    assert "does not answer" not in line.err.data.decode()


def test_a_port_without_signals_is_used_all_the_same(ferrule: Tool, ser2net: Any, device: Any) -> None:
    port = device()
    gateway = ser2net(port.path)
    line = relay(ferrule, "-", f"RFC2217:127.0.0.1:{gateway.port},dtr=off,rts=off")
    line.wait_for_log("W the far end does not answer to dtr; taken for done")
    line.send(b"\xff on it goes")
    assert port.read(12) == b"\xff on it goes"


def test_who_has_no_port_is_told_in_one_line(ferrule: Tool, serve: Any) -> None:
    done = ferrule.run("-", f"RFC2217:127.0.0.1:{serve(echo).port},connect-timeout=1", limit=LIMIT)
    assert done.code == 1
    [line] = done.level("EWF")
    assert "RFC 2217" in line
    assert "TCP:<host>:<port>" in done.err


def test_a_terminal_passes_its_speed_on(
    ferrule: Tool, far: Callable[[str], int], device: Any, program: Callable[[str], Tool], tmp_path: Path
) -> None:
    port, link = device(), tmp_path / "port"
    relay(ferrule, f"PTY,link={link}", f"RFC2217:127.0.0.1:{far(port.path)}")
    assert speed(link) == 9600, "it shows what the port has"
    stty = program("stty")
    for baud in ("1200", "57600"):
        assert stty.run("-F", str(link), baud).code == 0
        wait_until(lambda baud=baud: speed(port.path) == int(baud), "the speed at the far end")
    with serial.Serial(str(link), 250_000, stopbits=2, timeout=LIMIT) as opened:
        wait_until(lambda: speed(port.path) == 250_000, "any speed")
        wait_until(lambda: settings(port.path)[0] & termios.CSTOPB, "the stop bits")
        opened.write(EVERY_BYTE)
        assert port.read(len(EVERY_BYTE)) == EVERY_BYTE
        port.write(EVERY_BYTE)
        assert opened.read(len(EVERY_BYTE)) == EVERY_BYTE
        opened.baudrate = 12345
        wait_until(lambda: speed(port.path) == 12345, "a change while it is open")
    assert speed(link) == 12345


def test_a_terminal_whose_program_keeps_the_kernel_silent(
    ferrule: Tool, ser2net: Any, device: Any, tmp_path: Path
) -> None:
    port, link = device(), tmp_path / "port"
    relay(ferrule, f"PTY,link={link}", f"RFC2217:127.0.0.1:{ser2net(port.path).port}")
    descriptor = os.open(link, os.O_RDWR | os.O_NOCTTY)
    try:
        flags = termios.tcgetattr(descriptor)
        flags[3] = 0  # All of them, and with them EXTPROC.
        termios.tcsetattr(descriptor, termios.TCSANOW, flags)
        for code, baud in ((termios.B300, 300), (termios.B4800, 4800)):
            flags[4] = flags[5] = code
            termios.tcsetattr(descriptor, termios.TCSANOW, flags)
            wait_until(lambda baud=baud: speed(port.path) == baud, "the speed at the far end")
    finally:
        os.close(descriptor)


def test_a_terminal_passes_its_flushes_on(ferrule: Tool, pyserial_server: Any, tmp_path: Path) -> None:
    server, link = pyserial_server(), tmp_path / "port"
    flushed: list[str] = []
    server.line.reset_input_buffer = lambda: flushed.append("input")
    server.line.reset_output_buffer = lambda: flushed.append("output")
    relay(ferrule, f"PTY,link={link}", f"RFC2217:127.0.0.1:{server.port}")
    descriptor = os.open(link, os.O_RDWR | os.O_NOCTTY)
    try:
        for queue, name in ((termios.TCIFLUSH, "input"), (termios.TCOFLUSH, "output")):
            flushed.clear()
            termios.tcflush(descriptor, queue)
            wait_until(lambda name=name: flushed == [name], f"a flush of the {name}")
    finally:
        os.close(descriptor)


def test_a_terminal_begins_with_what_the_options_say(
    ferrule: Tool, pyserial_server: Any, tmp_path: Path
) -> None:
    server, link = pyserial_server(), tmp_path / "port"
    address = f"RFC2217:127.0.0.1:{server.port},bits=7,parity=odd"
    relay(ferrule, f"PTY,link={link},b4800,cstopb=1", address)
    far = server.line
    wait_until(
        lambda: (far.baudrate, far.bytesize, far.parity, far.stopbits) == (4800, 7, "O", 2), "the settings"
    )
    assert speed(link) == 4800


def test_a_program_sees_the_speed_a_client_has_set(
    ferrule: Tool, free_port: Ports, pyserial_client: Any, tmp_path: Path
) -> None:
    port, link = free_port(), tmp_path / "port"
    server = ferrule.start("-d", "-d", f"RFC2217-LISTEN:{port},bind=127.0.0.1", f"PTY,rawer,link={link}")
    server.wait_for_log("listening on")
    client = pyserial_client(port, baudrate=19200, stopbits=2)
    assert speed(link) == 19200
    client.baudrate = 250_000
    wait_until(lambda: speed(link) == 250_000, "the speed")
    assert settings(link)[0] & termios.CSTOPB
    with serial.Serial(str(link), 250_000, timeout=LIMIT) as program:
        client.write(EVERY_BYTE)
        assert program.read(len(EVERY_BYTE)) == EVERY_BYTE
