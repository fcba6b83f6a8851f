"""``ferrule demo``: a serial device put on a TCP port, then 256 MiB sent through, each checked."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import sys
import threading
import time
import tty
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from ferrule.addresses import Open, TcpConnect, TcpListen
from ferrule.cli import complain, wants_colour
from ferrule.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ferrule.relay import Report

HOST = "127.0.0.1"
PATIENCE = 20.0
QUESTIONS = {"*IDN?": "FERRULE,SIMULATED METER,1", "MEAS:TEMP?": "21.5 C", "MEAS:VOLT?": "3.302 V"}
BLOCK = 1 << 20
BLOCKS = 256


class Printer:
    """Says what happens: to people, or nothing when the result is for programs."""

    def __init__(self, *, silent: bool) -> None:
        self.silent = silent
        self.colour = wants_colour(sys.stdout)

    def _say(self, line: str) -> None:
        if not self.silent:
            print(line, flush=True)

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour else text

    def title(self, text: str) -> None:
        """Begins a part."""
        self._say(f"\n{self._paint('1', text)}")

    def fact(self, name: str, text: str) -> None:
        """Says one thing."""
        self._say(f"  {self._paint('2', f'{name:<9}')} {text}")

    def verdict(self, *, good: bool, text: str) -> None:
        """Says how a part came out."""
        self._say(f"  {self._paint('32' if good else '31', 'ok' if good else 'FAILED'):<9} {text}")


def free_port() -> int:
    """A TCP port of the loopback address nobody listens on."""
    with socket.create_server((HOST, 0)) as server:
        return int(server.getsockname()[1])


def connect(port: int) -> socket.socket:
    """A connection to the port, as soon as a relay listens there."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return socket.create_connection((HOST, port), timeout=PATIENCE)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.002)


@contextmanager
def simulated_device() -> Generator[str]:
    """A serial device that answers ``QUESTIONS``, on a pseudo terminal; gives its path."""
    master, slave = os.openpty()
    tty.setraw(slave)

    def serve() -> None:
        line = b""
        # Closing the slave's last descriptor ends the read with an error.
        with suppress(OSError):
            while block := os.read(master, 256):
                *lines, line = (line + block).split(b"\n")
                for question in lines:
                    answer = QUESTIONS.get(question.decode(errors="replace").strip(), "ERROR")
                    os.write(master, f"{answer}\r\n".encode())

    thread = threading.Thread(target=serve, name="simulated device", daemon=True)
    thread.start()
    try:
        yield os.ttyname(slave)
    finally:
        os.close(slave)
        thread.join(PATIENCE)
        os.close(master)


def serial_to_network(out: Printer) -> dict[str, Any]:
    """Puts the device on a TCP port and talks to it through that."""
    out.title("A serial device on the network")
    port = free_port()
    with simulated_device() as path:
        listener, device = TcpListen(port, reuseaddr=True), Open(path, rawer=True, b115200=True)
        out.fact("device", f"{path}, simulated, answers questions")
        out.fact("relay", f"{listener}  <->  {device}")
        # A serial line has no end: when the client leaves, the relay waits a moment and ends.
        with Relay(listener, device, half_close_timeout=0.2).start() as running:
            answers = converse(port, out)
            report = running.wait(PATIENCE)
    good = answers == QUESTIONS and report.is_success
    out.fact("report", totals(report))
    out.verdict(good=good, text="every question got its answer" if good else "an answer is wrong")
    return {"ok": good, "answers": answers, "report": report.as_dict()}


def converse(port: int, out: Printer) -> dict[str, str]:
    """Asks the device all questions over TCP."""
    answers: dict[str, str] = {}
    with connect(port) as client, client.makefile("rb") as lines:
        for question in QUESTIONS:
            client.sendall(f"{question}\n".encode())
            answers[question] = lines.readline().decode().strip()
            out.fact("", f"{question:<12} -> {answers[question]}")
    return answers


class Job(threading.Thread):
    """A function on a thread of its own, and what it gives or raises."""

    def __init__(self, work: Callable[[], str]) -> None:
        super().__init__(daemon=True)
        self.work = work
        self.result = ""
        self.error: Exception | None = None

    def run(self) -> None:
        """Does the work."""
        try:
            self.result = self.work()
        except Exception as error:
            self.error = error

    def get(self) -> str:
        """Waits for the work."""
        self.join(PATIENCE)
        if self.error is not None:
            raise self.error
        if self.is_alive():
            raise TimeoutError("the transfer takes too long")
        return self.result


def send(port: int) -> str:
    """Sends ``BLOCKS`` random blocks; gives their checksum."""
    blocks = [os.urandom(BLOCK) for _ in range(8)]
    checksum = hashlib.sha256()
    with connect(port) as client:
        for number in range(BLOCKS):
            block = blocks[number % len(blocks)]
            client.sendall(block)
            checksum.update(block)
    return checksum.hexdigest()


def receive(server: socket.socket) -> str:
    """Accepts one connection and reads it to its end; gives the checksum."""
    checksum = hashlib.sha256()
    buffer = bytearray(BLOCK)
    connection, _ = server.accept()
    with connection:
        connection.settimeout(PATIENCE)
        while count := connection.recv_into(buffer):
            checksum.update(memoryview(buffer)[:count])
    return checksum.hexdigest()


def bulk(out: Printer) -> dict[str, Any]:
    """Sends 256 MiB through a relay from TCP to TCP."""
    out.title(f"{BLOCKS} MiB from TCP to TCP")
    port = free_port()
    with socket.create_server((HOST, 0)) as server:
        server.settimeout(PATIENCE)
        listener, target = TcpListen(port, reuseaddr=True), TcpConnect(HOST, server.getsockname()[1])
        out.fact("relay", f"{listener}  <->  {target}")
        with Relay(listener, target).start() as running:
            sender, receiver = Job(lambda: send(port)), Job(lambda: receive(server))
            begun = time.monotonic()
            sender.start()
            receiver.start()
            sent, received = sender.get(), receiver.get()
            elapsed = time.monotonic() - begun
            report = running.wait(PATIENCE)
    good = sent == received and report.is_success and report.left_to_right.bytes == BLOCK * BLOCKS
    out.fact("sent", f"sha256 {sent[:32]}...")
    out.fact("received", f"sha256 {received[:32]}...")
    out.fact("report", totals(report))
    out.verdict(good=good, text=f"{BLOCKS / elapsed:,.0f} MiB/s, checksums {'agree' if good else 'DIFFER'}")
    result = {"bytes": BLOCK * BLOCKS, "seconds": elapsed, "sent": sent, "received": received}
    return {"ok": good, **result, "report": report.as_dict()}


def totals(report: Report) -> str:
    """A report in a line."""
    right, left = report.left_to_right.bytes, report.right_to_left.bytes
    return f"{right:,} bytes right, {left:,} bytes left, {report.undelivered:,} undelivered, {report.ended}"


def main(arguments: list[str]) -> int:
    """Runs both parts; ``--json`` prints the result for programs."""
    if arguments not in ([], ["--json"]):
        return complain("demo takes no arguments but --json")
    out = Printer(silent=bool(arguments))
    result = {"serial": serial_to_network(out), "bulk": bulk(out)}
    if arguments:
        print(json.dumps(result, indent=2))
    return 0 if all(part["ok"] for part in result.values()) else 1
