"""A 16550 with a loop-back plug: TX to RX, RTS to CTS, DTR to DSR."""

from __future__ import annotations

import array
import fcntl
import socket
import struct
import termios
import time
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import serial
import wire
from rig import LIMIT, Case, Ferrule, Port, Watch, case, free_port, wait_until

PATH = "/dev/ttyS1"
_LOOP = 0x8000  # TIOCM_LOOP of <asm-generic/termios.h>
_GET_SETTINGS = 0x802C542A  # TCGETS2 of <asm-generic/ioctls.h>
_GOAL_MS = 50
_SPEEDS = "36xII"  # where struct termios2 of <asm-generic/termbits.h> has them


@contextmanager
def plugged() -> Iterator[Port]:
    """The plug, for as long as its own descriptor of the line is open."""
    with Port(PATH) as port:
        lines = _LOOP | termios.TIOCM_DTR | termios.TIOCM_RTS
        fcntl.ioctl(port.descriptor, termios.TIOCMSET, array.array("i", [lines]))
        try:
            yield port
        finally:
            fcntl.ioctl(port.descriptor, termios.TIOCMSET, array.array("i", [0]))


def modem(port: Port) -> int:
    """The modem lines as the kernel has them."""
    lines = array.array("i", [0])
    fcntl.ioctl(port.descriptor, termios.TIOCMGET, lines)
    return lines[0]


def speed(port: Watch) -> int:
    """The output speed the driver has set, in bits a second."""
    return int(struct.unpack(_SPEEDS, fcntl.ioctl(port.descriptor, _GET_SETTINGS, bytes(44)))[1])


@contextmanager
def served(path: str) -> Iterator[tuple[Ferrule, int]]:
    """Ferrule as an RFC 2217 server of a line, by its path and options; yields it and its TCP port."""
    port = free_port()
    ferrule = Ferrule(f"RFC2217-LISTEN:{port},bind=127.0.0.1,reuseaddr", f"SERIAL:{path}")
    ferrule.wait_listening(port)
    yield ferrule, port
    ferrule.stop()


def dialled(port: int, **settings: Any) -> Any:
    """Open the line with pyserial, as its users do."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return serial.serial_for_url(f"rfc2217://127.0.0.1:{port}", timeout=LIMIT, **settings)


@case
def start_up(found: Case) -> None:
    """The program runs in the guest."""
    ferrule = Ferrule("-V")
    code = ferrule.process.wait(LIMIT)
    found.check(code == 0, f"ferrule -V ends with {code} after {time.monotonic() - ferrule.started:.1f} s")


@case
def raw_loop(found: Case) -> None:
    """Bytes go through a TCP port, Ferrule and the loop-back plug and come back."""
    port = free_port()
    with plugged():
        ferrule = Ferrule(f"TCP-LISTEN:{port},bind=127.0.0.1", f"FILE:{PATH},raw,echo=0,b115200")
        ferrule.wait_listening(port)
        data = bytes(range(256)) * 4
        with socket.create_connection(("127.0.0.1", port), LIMIT) as client:
            client.sendall(data)
            back = bytearray()
            while len(back) < len(data) and (piece := client.recv(4096)):
                back += piece
        found.check(bytes(back) == data, f"{len(data)} bytes of all values came back as they were sent")


@case
def modem_lines(found: Case) -> None:
    """pyserial sets DTR, RTS and the speed of a real line through RFC 2217, and sees its answers."""
    with plugged() as plug, served(PATH) as (_, port):
        start = time.monotonic()
        with closing(dialled(port, baudrate=57600)) as client:
            found.figure("opened by pyserial in", time.monotonic() - start, "s")
            found.check(speed(plug) == 57600, f"the speed asked for is set: {speed(plug)}")
            data = bytes(range(256)) * 4
            client.write(data)
            found.check(client.read(len(data)) == data, f"{len(data)} bytes came back through the plug")
            for name, answer, line in (("rts", "cts", termios.TIOCM_RTS), ("dtr", "dsr", termios.TIOCM_DTR)):
                for value in (False, True):
                    start = time.monotonic()
                    setattr(client, name, value)
                    on_line = bool(modem(plug) & line) == value
                    wait_until(lambda a=answer, v=value: getattr(client, a) == v, f"{answer} {value}")
                    took = (time.monotonic() - start) * 1000
                    found.check(on_line, f"{name} = {value} is on the line when it is answered")
                    found.figure(f"{name} = {value}: {answer} followed after", took, "ms")


@case
def line_notices(found: Case) -> None:
    """A client that lowers RTS and DTR hears at once that CTS and DSR have gone."""
    with plugged() as plug, served(PATH) as (_, port), wire.Client(port) as client:
        client.ask(wire.MODEM_MASK, b"\xff")
        for name, off, on, line, bit in (
            ("RTS", wire.RTS_OFF, wire.RTS_ON, termios.TIOCM_RTS, wire.CTS),
            ("DTR", wire.DTR_OFF, wire.DTR_ON, termios.TIOCM_DTR, wire.DSR),
        ):
            for value, wanted, level in ((off, 0, 0), (on, bit, line)):
                since, start = len(client.told), time.monotonic()
                answer = client.ask(wire.SET_CONTROL, bytes((value,)))
                answered = time.monotonic()
                found.check(answer[0] == value, f"{name}: {value} is answered with {answer[0]}")
                found.check(modem(plug) & line == level, f"{name} is {'on' if level else 'off'} on the line")
                told = client.wait_told(wire.NOTIFY_MODEM, since, wanted, bit)[0]
                found.figure(f"{name}: answered after", (answered - start) * 1000, "ms")
                found.figure(f"{name}: what follows it told after", (told - start) * 1000, "ms", _GOAL_MS)


@case
def speed_in_force(found: Case) -> None:
    """A speed the UART has not is answered with the speed it has now."""
    with plugged() as plug, served(PATH) as (_, port), wire.Client(port) as client:
        for asked in (19200, 250000, 115200):
            answer = int.from_bytes(client.ask(wire.SET_BAUD, asked.to_bytes(4, "big")), "big")
            real = speed(plug)
            found.check(answer == real, f"asked for {asked}, answered {answer}, the driver has {real}")
            if asked == 250000:
                found.check(real != asked, "the driver has refused 250000")
        start = time.monotonic()
        for _ in range(20):
            client.ask(wire.SET_CONTROL, b"\x00")
        found.figure("a question is answered in", (time.monotonic() - start) / 20 * 1000, "ms")
        client.send(b"\xff\x00\xff")
        client.wait_data(b"\xff\x00\xff")
        found.check(True, "bytes FF and 00 came back once")


@case
def lines_at_the_end(found: Case) -> None:
    """The line's settings are as before once the client has gone."""
    with plugged() as plug:
        before = termios.tcgetattr(plug.descriptor)
        with served(PATH) as (ferrule, port):
            with wire.Client(port) as client:
                client.ask(wire.SET_BAUD, (1200).to_bytes(4, "big"))
                found.check(speed(plug) == 1200, "the client's speed is set")
            code = ferrule.process.wait(LIMIT)
            found.check(code == 0, f"ferrule ends with {code} after its client")
            after = termios.tcgetattr(plug.descriptor)
            found.check(after[4:6] == before[4:6], f"the speed is {speed(plug)} again")
