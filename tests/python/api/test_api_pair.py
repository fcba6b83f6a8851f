"""Pairs of serial ports, and the fixture that makes one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import ferrule
import pytest
import serial
from connections import wait_for
from ferrule import VirtualPair, virtual_pair

pytest_plugins = ["pytester"]


def test_both_ways_with_pyserial() -> None:
    with (
        virtual_pair() as pair,
        serial.Serial(pair.a, 115200, timeout=5) as a,
        serial.Serial(pair.b, timeout=5) as b,
    ):
        a.write(b"\x00\r\n\x03\x04\xff")
        assert b.read(6) == b"\x00\r\n\x03\x04\xff"
        b.write(b"back")
        assert a.read(4) == b"back"
        # Bytes are counted once they are written, which others may see first.
        wait_for(lambda: pair.report.right_to_left.bytes == 4)
        assert pair.report.left_to_right.bytes == 6
        assert pair.report.ended == "running"


def test_ports_may_be_opened_again() -> None:
    with virtual_pair() as pair:
        for number in range(5):
            with serial.Serial(pair.a, timeout=5) as a, serial.Serial(pair.b, timeout=5) as b:
                a.write(b"%d" % number)
                assert b.read(1) == b"%d" % number


def test_links_come_and_go(tmp_path: Path) -> None:
    with virtual_pair(tmp_path / "a", os.fspath(tmp_path / "b")) as pair:
        assert (pair.a, pair.b) == (str(tmp_path / "a"), str(tmp_path / "b"))
        assert all(stat.S_ISCHR(Path(path).stat().st_mode) for path in (pair.a, pair.b))
    assert not list(tmp_path.iterdir())


def test_closing() -> None:
    pair = VirtualPair()
    path = Path(pair.a)
    assert path.exists()
    pair.close()
    pair.close()
    assert pair.report.ended == "stopped"


def test_a_file_in_the_way_stays(tmp_path: Path) -> None:
    file = tmp_path / "precious"
    file.write_text("data")
    with pytest.raises(ferrule.OpenError):
        virtual_pair(file)
    assert file.read_text() == "data"


def test_the_fixture(virtual_serial_pair: VirtualPair) -> None:
    with (
        serial.Serial(virtual_serial_pair.a, timeout=5) as a,
        serial.Serial(virtual_serial_pair.b, timeout=5) as b,
    ):
        a.write(b"x")
        assert b.read(1) == b"x"


def test_the_plugin_is_found_by_others(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import os

        def test_pair(virtual_serial_pair):
            assert os.path.exists(virtual_serial_pair.a)
        """
    )
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)
