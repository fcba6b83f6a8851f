"""Serial ports as the address SERIAL has them: settings, lines, latency, ends, and the list of ports."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import subprocess
import sys
import termios
import time
from contextlib import suppress
from pathlib import Path

import rig
import wire
from loop_plug import PATH, modem, plugged, speed
from replug import _adapter, _unplug
from rig import Case, Ferrule, Port, case, free_port, wait_until

_GET_SERIAL = 0x541E  # TIOCGSERIAL of <asm-generic/ioctls.h>
_FLAGS = slice(16, 20)  # of struct serial_struct in <linux/serial.h>
_LOW_LATENCY = 1 << 13  # ASYNC_LOW_LATENCY of <linux/tty_flags.h>
_ADAPTER = "/dev/ttyUSB0"


def low_latency(path: str) -> bool:
    """Whether the driver hands on at once what was received."""
    with Port(path) as port:
        hardware = bytearray(72)
        fcntl.ioctl(port.descriptor, _GET_SERIAL, hardware)
        return bool(int.from_bytes(hardware[_FLAGS], "little") & _LOW_LATENCY)


def session(address: str) -> tuple[Ferrule, socket.socket]:
    """A relay from a TCP port to the address, and a client of it."""
    port = free_port()
    ferrule = Ferrule("-d", f"TCP-LISTEN:{port},bind=127.0.0.1", address)
    ferrule.wait_listening(port)
    client = socket.create_connection(("127.0.0.1", port), rig.LIMIT)
    wait_until(lambda: ferrule.check() and "transfer loop" in ferrule.log(), "the session")
    return ferrule, client


def refused(found: Case, address: str, words: str) -> None:
    """The address is refused with these words."""
    ferrule = Ferrule("-u", "FILE:/dev/null", address)
    code = ferrule.process.wait(rig.LIMIT)
    found.check(code == 1 and words in ferrule.log(), f"{address}: {words}")


def threads(ferrule: Ferrule) -> set[str]:
    """The names of its threads."""
    found = set()
    for task in Path(f"/proc/{ferrule.process.pid}/task").iterdir():
        # It may end meanwhile.
        with suppress(OSError):
            found.add((task / "comm").read_text().strip())
    return found


@case
def port_settings(found: Case) -> None:
    """A port is set up as asked for while it is open, kept from others, and as it was found afterwards."""
    with plugged() as plug:
        before, quick = termios.tcgetattr(plug.descriptor), low_latency(PATH)
        ferrule, client = session(f"SERIAL:{PATH},baud=57600,parity=even,bits=7,stop=2,dtr=off,rts=on")
        found.lines += [line for line in ferrule.log().splitlines() if " baud, " in line]
        flags = termios.tcgetattr(plug.descriptor)[2]
        found.check(speed(plug) == 57600, f"the speed is {speed(plug)}")
        found.check(flags & termios.PARENB and flags & termios.CSTOPB, "even parity, two stop bits")
        lines = modem(plug)
        found.check(lines & termios.TIOCM_CTS and not lines & termios.TIOCM_DSR, "RTS is up, DTR is down")
        found.check(low_latency(PATH), "the driver hands on at once")
        client.sendall(b"hello")
        found.check(client.recv(5, socket.MSG_WAITALL) == b"hello", "bytes come back")
        refused(found, f"SERIAL:{PATH},baud=300", "is in use by")
        found.check(speed(plug) == 57600, "the one who was refused has changed nothing")
        ferrule.stop()
        found.check(termios.tcgetattr(plug.descriptor) == before, "the settings are those of before")
        found.check(low_latency(PATH) == quick, "the driver's mode is that of before")


@case
def port_refusals(found: Case) -> None:
    """What the port cannot do is refused, and the port left as it was found."""
    with Port(PATH) as port:
        before = termios.tcgetattr(port.descriptor)
        refused(found, f"SERIAL:{PATH},baud=250000", "the port cannot do 250000, it stays at")
        refused(found, f"SERIAL:{PATH},rs485", "cannot take turns on a bus")
        found.check(termios.tcgetattr(port.descriptor) == before, "it is as before")


@case
def lines_after_closing(found: Case) -> None:
    """DTR and RTS stay as they are in closing, unless told otherwise."""
    both = termios.TIOCM_CTS | termios.TIOCM_DSR
    with plugged() as plug:
        for options, left in (("", both), (",dtr-close=off,rts-close=off", 0)):
            ferrule, _ = session(f"SERIAL:{PATH}{options}")
            ferrule.stop()
            found.check(modem(plug) & both == left, f"SERIAL{options}: {modem(plug) & both:#x}")


@case
def drain(found: Case) -> None:
    """What was written is sent before the end; a far end that pauses us is not waited for for ever."""
    with plugged() as plug:
        ferrule = Ferrule("-u", f"TEXT:{'x' * 3000}", f"SERIAL:{PATH},baud=9600")
        got = bytearray()

        def arrived() -> bool:
            try:
                got.extend(os.read(plug.descriptor, 4096))
            except BlockingIOError:
                return False
            return len(got) >= 3000

        wait_until(arrived, "all bytes")
        found.check(ferrule.process.wait(rig.LIMIT) == 0, f"{len(got)} bytes came, and the end is a good one")
    ferrule = Ferrule("-u", f"TEXT:{'x' * 3000}", f"SERIAL:{PATH},flow=xonxoff,drain=1.5,baud=1200")
    rig.host.ask("send", wire="first", text="\x13")
    start = time.monotonic()
    code = ferrule.process.wait(rig.LIMIT)
    found.check(code == 1 and "could not be sent within 1.5 s" in ferrule.log(), "what was left is told")
    found.figure("ended after", time.monotonic() - start, "s", 8)


@case
@_adapter()
def adapter_by_name(found: Case) -> None:
    """An adapter is listed, found by what it says of itself, and missed when it is pulled out."""
    done = subprocess.run(
        [sys.executable, "-m", "ferrule", "ports", "--json"], capture_output=True, check=True
    )
    ports = {port["device"]: port for port in json.loads(done.stdout)}
    adapter = ports[_ADAPTER]
    found.check("/dev/ttyS3" not in ports, f"a place without a UART is none of {', '.join(ports)}")
    found.check(adapter["driver"] == "ftdi_sio" and adapter["location"], f"{adapter['description']}")
    address = f"SERIAL:usb:{adapter['vid']:04x}:{adapter['pid']:04x}"
    latency = Path(f"/sys/class/tty/{Path(_ADAPTER).name}/device/latency_timer")
    before = latency.read_text()
    ferrule, client = session(address)
    found.check(latency.read_text().strip() == "1", "the adapter waits 1 ms for more bytes")
    client.sendall(b"echo")
    found.check(client.recv(4, socket.MSG_WAITALL) == b"echo", "bytes go there and back")
    ferrule.stop()
    found.check(latency.read_text() == before, "it waits as long as before")
    ferrule, _ = session(address)
    _unplug()
    code = ferrule.process.wait(rig.LIMIT)
    found.check(code == 1 and "No such device" in ferrule.log(), "the relay ends and says why")
    refused(found, address, "no port is usb:vid=")


@case
def one_client_after_another(found: Case) -> None:
    """Clients that come right after each other each get the port; nobody watches its lines in between."""
    port = free_port()
    ferrule = Ferrule(f"RFC2217-LISTEN:{port},bind=127.0.0.1,fork", f"SERIAL:{PATH}")
    ferrule.wait_listening(port)
    for number in range(5):
        with wire.Client(port) as client:
            found.check(client.ask(wire.MODEM_MASK, b"\xff") == b"\xff", f"client {number} has the port")
            found.check("modem lines" in threads(ferrule), "its lines are watched")
        wait_until(lambda: ferrule.opened(PATH) is None, "the port is closed")
        wait_until(lambda: "modem lines" not in threads(ferrule), "the end of the watch")
