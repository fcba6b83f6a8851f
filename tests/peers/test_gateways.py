"""The peers do what the tests that need them take for granted."""

from __future__ import annotations

import contextlib
import os
import termios

import pytest
import serial
from lines import wait_until
from peers import dial, pattern, read_exactly


def test_ser2net_brings_a_device_to_a_port(ser2net, device):
    port = device()
    gateway = ser2net(port.path, rfc2217=False, speed="9600n81")
    with dial(gateway.port) as client:
        client.sendall(b"\x00\xff question")
        assert port.read(11) == b"\x00\xff question"
        assert port.speed == termios.B9600
        port.write(pattern(5000))
        assert read_exactly(client, 5000) == pattern(5000)


def test_ser2net_starts_again_on_its_port(ser2net, device):
    port = device()
    gateway = ser2net(port.path, rfc2217=False)
    with dial(gateway.port) as client:
        gateway.restart()
        with contextlib.suppress(ConnectionResetError):
            assert read_exactly(client, 1) == b""
    with dial(gateway.port) as client:
        client.sendall(b"again")
        assert port.read(5) == b"again"


def test_ser2net_options_reach_it(ser2net, device):
    gateway = ser2net(device().path, rfc2217=False, banner="hello there", max_connections=2)
    with dial(gateway.port) as first, dial(gateway.port) as second:
        assert read_exactly(first, 11) == read_exactly(second, 11) == b"hello there"


def test_a_pyserial_client_sets_the_speed_of_a_device_behind_ser2net(ser2net, device, pyserial_client):
    port = device()
    gateway = ser2net(port.path)
    # A pseudo terminal has no modem lines, and ser2net answers nothing on what it has not.
    client = pyserial_client(gateway.port, "ign_set_control", baudrate=19200)
    assert port.speed == termios.B19200
    client.write(b"\xff\xff up")
    assert port.read(5) == b"\xff\xff up"


def test_the_pyserial_server_has_a_loop_back_plug(pyserial_server, pyserial_client):
    server = pyserial_server()
    client = pyserial_client(server.port, baudrate=38400, parity=serial.PARITY_EVEN)
    assert (server.line.baudrate, server.line.parity) == (38400, serial.PARITY_EVEN)
    data = bytes(range(256)) * 8
    client.write(data)
    assert client.read(len(data)) == data
    client.rts = False
    wait_until(lambda: not client.cts, "CTS after RTS")
    assert (server.line.rts, client.dsr) == (False, True)
    client.break_condition = True
    assert server.line.break_condition


def test_the_pyserial_server_drops_a_client_and_takes_the_next(pyserial_server, pyserial_client):
    server = pyserial_server()
    with dial(server.port) as client:
        wait_until(lambda: server.accepted, "the first client")
        server.drop()
        while client.recv(100):
            pass  # what it had said by then
    pyserial_client(server.port)
    assert server.accepted == 2


def test_a_device_that_is_closed_hangs_up(device):
    port = device()
    opened = os.open(port.path, os.O_RDWR | os.O_NOCTTY)
    try:
        port.close()
        assert os.read(opened, 1) == b""
        with pytest.raises(OSError, match="Input/output error"):
            os.write(opened, b"x")
    finally:
        os.close(opened)


def test_a_device_echoes_all_of_much_data(device):
    port = device()
    port.echo()
    data = pattern(100_000)
    with serial.Serial(port.path, timeout=10, write_timeout=10) as opened:
        answer = bytearray()
        for start in range(0, len(data), 1000):
            opened.write(data[start : start + 1000])
            answer += opened.read(1000)
    assert bytes(answer) == data
