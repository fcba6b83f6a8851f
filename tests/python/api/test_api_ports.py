"""The serial ports of a machine: a made-up one, and this one."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import ferrule
import pytest
import serial
from connections import wait_for
from ferrule import Open, OpenError, Port, Relay, Serial, TransferError, virtual_pair

SCRIPT = str(Path(sys.executable).with_name("ferrule"))


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """One adapter on USB, one UART, one place without a UART, one console."""

    def write(path: str, text: str = "") -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text + "\n")

    def link(path: str, to: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / to).mkdir(parents=True, exist_ok=True)
        (tmp_path / path).symlink_to(tmp_path / to)

    adapter = "sys/devices/usb1/1-4"
    named = {
        "idVendor": "10c4",
        "idProduct": "ea60",
        "serial": "0001",
        "product": "CP2102",
        "manufacturer": "SL",
    }
    for name, text in named.items():
        write(f"{adapter}/{name}", text)
    write(f"{adapter}/1-4:1.0/bInterfaceNumber", "00")
    link(f"{adapter}/1-4:1.0/ttyUSB0/driver", "sys/bus/usb-serial/drivers/cp210x")
    link("sys/class/tty/ttyUSB0/device", f"{adapter}/1-4:1.0/ttyUSB0")
    link("sys/class/tty/ttyS0/device", "sys/devices/platform/serial8250")
    link("sys/class/tty/ttyS1/device", "sys/devices/platform/serial8250")
    write("sys/class/tty/ttyS0/type", "4")
    write("sys/class/tty/ttyS1/type", "0")
    write("sys/class/tty/tty1/dev", "4:1")
    for name in ("ttyUSB0", "ttyS0", "ttyS1", "tty1"):
        write(f"dev/{name}")
    (tmp_path / "dev/serial/by-id").mkdir(parents=True)
    (tmp_path / "dev/serial/by-id/usb-SL_CP2102_0001-if00-port0").symlink_to("../../ttyUSB0")
    write("proc/42/comm", "minicom")
    (tmp_path / "proc/42/fd").mkdir()
    (tmp_path / "proc/42/fd/3").symlink_to(tmp_path / "dev/ttyUSB0")
    return tmp_path


def test_a_made_up_machine(machine: Path) -> None:
    uart, adapter = ferrule._core.ports(machine)
    assert (uart.device, uart.vid, uart.holders) == (f"{machine}/dev/ttyS0", None, [])
    assert (adapter.vid, adapter.pid, adapter.serial_number) == (0x10C4, 0xEA60, "0001")
    assert (adapter.manufacturer, adapter.product, adapter.interface) == ("SL", "CP2102", 0)
    assert (adapter.location, adapter.driver, adapter.description) == ("1-4", "cp210x", "SL CP2102")
    assert adapter.by_id == [f"{machine}/dev/serial/by-id/usb-SL_CP2102_0001-if00-port0"]
    assert [(holder.pid, holder.command) for holder in adapter.holders] == [(42, "minicom")]
    assert adapter.refusal is None
    assert os.fspath(adapter) == str(adapter) == adapter.device


def test_ports_are_values(machine: Path) -> None:
    first, again = ferrule._core.ports(machine), ferrule._core.ports(machine)
    assert first == again
    assert len({*first, *again}) == 2
    with pytest.raises(AttributeError):
        first[0].device = "/dev/null"  # type: ignore[misc]
    assert json.loads(json.dumps(first[1].as_dict()))["holders"] == [{"pid": 42, "command": "minicom"}]


def test_the_table(machine: Path) -> None:
    from ferrule.cli.ports import table

    head, uart, adapter, link = table(ferrule._core.ports(machine), colour=False)
    assert head.split()[:2] == ["device", "usb"]
    assert uart.split() == [f"{machine}/dev/ttyS0"]
    assert adapter.split() == [
        f"{machine}/dev/ttyUSB0", "10c4:ea60:0001", "SL", "CP2102", "cp210x", "minicom", "(42)",
    ]  # fmt: skip
    assert link.strip().endswith("by-id/usb-SL_CP2102_0001-if00-port0")
    assert any("\x1b[2m" in line for line in table(ferrule._core.ports(machine), colour=True))


def test_the_command() -> None:
    """Of this machine nothing is known but that pseudo terminals and consoles are no ports."""
    done = subprocess.run([SCRIPT, "ports", "--json"], capture_output=True, check=True, text=True)
    assert (done.stderr, json.loads(done.stdout)) == ("", [port.as_dict() for port in ferrule.ports()])
    assert all(Path(port.device).name[3:].rstrip("0123456789") for port in ferrule.ports())
    plain = subprocess.run([SCRIPT, "ports"], capture_output=True, check=True, text=True)
    assert plain.stdout or "no serial ports" in plain.stderr
    wrong = subprocess.run([SCRIPT, "ports", "--all"], capture_output=True, check=False, text=True)
    assert (wrong.returncode, wrong.stdout) == (1, "")


def test_a_port_is_an_address(machine: Path) -> None:
    port: Port = ferrule._core.ports(machine)[1]
    assert str(Serial(port, baud=9600, dtr=False, rts=True, parity="even")) == (
        f"SERIAL:{port.device},baud=9600,dtr=0,rts=1,parity=even"
    )
    assert str(Serial("usb:10c4:ea60")) == "SERIAL:'usb:10c4:ea60'"
    assert ferrule.parse("SERIAL:usb:10c4:ea60,exclusive=off") is not None


def test_a_relay_over_a_port() -> None:
    with virtual_pair() as pair, virtual_pair() as other:
        relay = Relay(Serial(pair.b, baud=9600), Serial(other.a))
        with relay.start() as running, serial.Serial(pair.a, timeout=5) as near:
            with serial.Serial(other.b, timeout=5) as far:
                near.write(b"\x00\xff\r\n\x04")
                assert far.read(5) == b"\x00\xff\r\n\x04"
                with pytest.raises(serial.SerialException):
                    serial.Serial(pair.b, exclusive=True)
            running.stop()


def test_a_port_that_is_busy_or_missing() -> None:
    with virtual_pair() as pair, serial.Serial(pair.a, exclusive=True):
        with pytest.raises(OpenError, match=rf"{pair.a} is in use by .*\(pid {os.getpid()}\)|in use") as busy:
            Relay(Serial(pair.a), Open("/dev/null")).run()
        assert busy.value.errno == errno.EBUSY
    with pytest.raises(OpenError, match="there is no /dev/no-such-port") as missing:
        Relay(Serial("no-such-port"), Open("/dev/null")).run()
    assert missing.value.hint


def test_a_port_that_goes_away() -> None:
    pair = virtual_pair()
    running = Relay(Serial(pair.a), Open("/dev/zero", o_rdonly=True)).start()
    wait_for(lambda: running.report.right_to_left.bytes > 0)
    pair.close()
    with pytest.raises(TransferError) as gone:
        running.wait(20)
    assert gone.value.errno == errno.ENODEV
