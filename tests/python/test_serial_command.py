"""``ferrule serial``: what it prints, what it serves, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import tty
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import pexpect
import pytest
import serial

HOST = "127.0.0.1"
PATIENCE = 15.0


@pytest.fixture
def device() -> Iterator[str]:
    """A device that sends every byte back, on a pseudo terminal."""
    master, slave = os.openpty()
    tty.setraw(slave)

    def serve() -> None:
        with suppress(OSError):
            while block := os.read(master, 4096):
                os.write(master, block)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield os.ttyname(slave)
    os.close(slave)
    thread.join(PATIENCE)
    os.close(master)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "ferrule", "serial", *arguments]


def next_event(stream: IO[str] | None) -> dict[str, object]:
    assert stream is not None
    line = stream.readline()
    assert line, "the command has ended"
    event = json.loads(line)
    assert isinstance(event, dict)
    return event


@pytest.fixture
def bridge(device: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """The command, told to print JSON, and the port it serves."""
    process = subprocess.Popen(
        command(device, "--listen", "0", "--rfc2217", "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    event = next_event(process.stdout)
    assert event["event"] == "opened"
    (place,) = event["listening"]  # type: ignore[misc]
    yield process, int(str(place).rpartition(":")[2])
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_two_clients_share_the_port(device: str) -> None:
    process = subprocess.Popen(command(device, "--listen", "0", "--json"), stdout=subprocess.PIPE, text=True)
    (place,) = next_event(process.stdout)["listening"]  # type: ignore[misc]
    port = int(str(place).rpartition(":")[2])
    with (
        socket.create_connection((HOST, port), PATIENCE) as one,
        socket.create_connection((HOST, port)) as other,
    ):
        other.settimeout(PATIENCE)
        while True:  # both are there once the second one is counted
            event = next_event(process.stdout)
            if event.get("clients") == 2:
                break
        one.sendall(b"hello")
        assert one.recv(5, socket.MSG_WAITALL) == b"hello"
        assert other.recv(5, socket.MSG_WAITALL) == b"hello"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=PATIENCE)
    last = json.loads(out.splitlines()[-1])
    assert (last["event"], last["ended"]) == ("ended", "stopped")
    assert process.returncode == 128 + signal.SIGTERM


# pyserial's client starts its thread the way of Python 2.
@pytest.mark.filterwarnings("ignore:set(Daemon|Name):DeprecationWarning")
def test_a_client_sets_the_speed(bridge: tuple[subprocess.Popen[str], int]) -> None:
    _, port = bridge
    with serial.serial_for_url(f"rfc2217://{HOST}:{port}", baudrate=19200, timeout=PATIENCE) as client:
        client.baudrate = 57600
        client.write(b"at 57600")
        assert client.read(8) == b"at 57600"


def test_a_terminal_shows_rates_and_ctrl_c_ends_it(device: str) -> None:
    child = pexpect.spawn(
        sys.executable, command(device, "--listen", "0")[1:], timeout=PATIENCE, encoding="utf-8"
    )
    child.expect(r"device +SERIAL:")
    child.expect(r"clients +127\.0\.0\.1:(\d+)")
    port = int(str(child.match.group(1)))  # type: ignore[union-attr]
    with socket.create_connection((HOST, port), PATIENCE) as client:
        client.sendall(b"x" * 100)
        assert client.recv(100, socket.MSG_WAITALL) == b"x" * 100
        child.expect(r"100 B in, 100 B out +1 client\b")
    child.sendintr()
    child.expect("100 bytes in, 100 bytes out, 0 undelivered")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 130


def test_a_remote_port_becomes_a_device(bridge: tuple[subprocess.Popen[str], int], tmp_path: Path) -> None:
    _, port = bridge
    link = tmp_path / "tty"
    process = subprocess.Popen(
        command(f"rfc2217://{HOST}:{port}", "--pty", str(link), "--json"), stdout=subprocess.PIPE, text=True
    )
    assert next_event(process.stdout)["event"] == "opened"
    with serial.Serial(str(link), 38400, timeout=PATIENCE) as local:
        local.write(b"through")
        assert local.read(7) == b"through"
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE)
    assert json.loads(out.splitlines()[-1])["event"] == "ended"
    assert process.returncode == 130
    assert not link.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["/dev/ttyNONE", "--listen", "0"], "there is no /dev/ttyNONE"),
        (["/dev/null", "--listen", "0"], "/dev/null"),
        (["/dev/ttyS0", "--listen", "99999"], "99999"),
        (["/dev/ttyS0"], "--listen"),
        (["/dev/ttyS0", "--listen", "0", "--baud", "fast"], "--baud"),
    ],
)
def test_what_is_wrong_is_told(arguments: list[str], message: str) -> None:
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert "Traceback" not in done.stderr
