"""Sinks that take no more: full disks, limits, closed pipes, a log that nobody reads."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from lines import LIMIT, Done, Tool, wait_until
from peers import LOOPBACK, Server, dial, pattern, read_all, read_exactly, taken, wait_listening

Ports = Callable[[], int]
Serve = Callable[..., Server]


def failed(done: Done, reason: str) -> None:
    """Exit 1, one error that gives the reason, and a count of bytes."""
    assert done.code == 1
    errors = done.level("E")
    assert len(errors) == 1, done.err
    assert reason in errors[0]
    assert any("byte" in text for text in done.level("WE")), done.err


# Files


@pytest.mark.parametrize(
    "address", ["/dev/full", "FILE:/dev/full", "OPEN:/dev/full,wronly", "GOPEN:/dev/full"]
)
@pytest.mark.parametrize("size", [1, 100_000])
def test_full_device(ferrule: Tool, address: str, size: int) -> None:
    done = ferrule.run("-u", "-", address, stdin=pattern(size))
    failed(done, "No space left on device")


def test_full_device_in_both_directions(ferrule: Tool, serve: Serve) -> None:
    """The other direction goes on to its end."""
    got: list[bytes] = []
    refused = threading.Event()

    def talk(connection: socket.socket) -> None:
        connection.sendall(b"x" * 1000)
        wait_until(lambda: taken(connection), "the bytes taken, which cannot be written")
        refused.set()
        got.append(read_all(connection))

    server = serve(talk)
    line = ferrule.start("-t", "10", "STDIN!!/dev/full", f"TCP:{LOOPBACK}:{server.port}")
    assert refused.wait(LIMIT)
    line.send(b"still here")
    done = line.finish()
    server.finish()
    assert got == [b"still here"]
    failed(done, "No space left on device")


@pytest.mark.parametrize("address", ["CREATE:out", "OPEN:out,creat,append", "./out"])
def test_file_size_limit(ferrule: Tool, tmp_path: Path, address: str) -> None:
    data = pattern(200_000)
    done = ferrule.run("-u", "-", address, stdin=data, wrap=("prlimit", "--fsize=65536"))
    failed(done, "File too large")
    assert (tmp_path / "out").read_bytes() == data[:65536]
    assert "65536" in done.err, "the number of bytes that were written"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    made = subprocess.run(mount, check=False, capture_output=True, text=True)
    if made.returncode != 0:
        pytest.skip(f"mounting is not permitted here: {made.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.root
def test_full_disk(ferrule: Tool, small_disk: Path) -> None:
    data = pattern(200_000)
    done = ferrule.run("-u", "-", f"CREATE:{small_disk}/out", stdin=data)
    failed(done, "No space left on device")
    written = (small_disk / "out").read_bytes()
    assert written == data[: len(written)]
    assert str(len(written)) in done.err, "the number of bytes that were written"


@pytest.mark.root
@pytest.mark.parametrize("switch", ["-r", "-R"])
def test_full_disk_under_a_record(ferrule: Tool, small_disk: Path, switch: str) -> None:
    """The data matters more than its record, but the loss is never silent."""
    data = pattern(200_000)
    done = ferrule.run(switch, f"{small_disk}/record", "-", "PIPE", stdin=data)
    assert "No space left on device" in done.err
    assert data.startswith(done.out)
    assert done.out == data or done.code == 1


# Pipes


def test_reader_that_takes_one_line(ferrule: Tool, tmp_path: Path) -> None:
    """`ferrule ... | head -1`: no endless run, no death by a signal."""
    (tmp_path / "f").write_bytes(b"line\n" * 1_000_000)
    reader, writer = os.pipe()
    line = ferrule.start("-u", "./f", "-", stdout=writer)
    os.close(writer)
    assert os.read(reader, 5) == b"line\n"
    os.close(reader)
    done = line.finish()
    assert done.code == 1
    assert "Broken pipe" in done.err


def test_small_pipe_gets_everything(tool: Tool) -> None:
    """Writes are cut short all the time."""
    data = pattern(500_000)
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    line = tool.start("-u", "-", "-", stdout=writer)
    os.close(writer)
    line.feed(data)
    with open(reader, "rb", buffering=0) as slow:  # noqa: PTH123
        got = b""
        while piece := slow.read(1000):
            got += piece
    assert (line.finish().code, got == data) == (0, True)


# The log


def stuffed_pipe() -> tuple[int, int]:
    """A pipe with not one byte of room left."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    for size in (4096, 1):
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"#" * size)
    os.set_blocking(writer, True)
    return reader, writer


@pytest.mark.parametrize("verbosity", ["-d2", "-d4"])
def test_log_that_nobody_reads_stops_nothing(ferrule: Tool, free_port: Ports, verbosity: str) -> None:
    """Socat stands still with its first line."""
    port = free_port()
    reader, writer = stuffed_pipe()
    try:
        left = f"TCP-LISTEN:{port},reuseaddr,fork"
        line = ferrule.start(verbosity, left, "PIPE", stderr=writer)
        wait_listening(port)
        for number in range(50):
            with dial(port) as client:
                client.sendall(pattern(1000, number))
                assert read_exactly(client, 1000) == pattern(1000, number)
        assert os.get_blocking(writer), "the pipe belongs to others as well"
        assert line.terminate().code == 143
        assert os.get_blocking(writer)
    finally:
        os.close(reader)
        os.close(writer)


def test_lines_that_did_not_fit_are_counted(ferrule: Tool, free_port: Ports) -> None:
    port = free_port()
    reader, writer = stuffed_pipe()
    line = ferrule.start("-d2", f"TCP-LISTEN:{port},reuseaddr,fork", "PIPE", stderr=writer)
    os.close(writer)
    try:
        wait_listening(port)
        for _ in range(3000):  # far more lines than any bounded queue keeps
            with dial(port) as client:
                client.sendall(b"x")
                assert read_exactly(client, 1) == b"x"
        os.set_blocking(reader, False)
        text = b""

        def counted() -> bool:
            nonlocal text
            dial(port).close()  # the log is written when there is something to tell
            with contextlib.suppress(BlockingIOError):
                text += os.read(reader, 1 << 20)
            return b"dropped" in text or b"lost" in text

        wait_until(counted, "a line that counts the lines that were dropped")
        line.terminate()
    finally:
        os.close(reader)


def test_closed_log_is_no_reason_to_end(ferrule: Tool) -> None:
    reader, writer = os.pipe()
    line = ferrule.start("-d4", "-", "PIPE", stderr=writer)
    os.close(writer)
    os.close(reader)
    line.send(b"x")
    line.out.wait_for("x")
    assert line.finish().code == 0


def test_full_log_file_is_no_reason_to_end(ferrule: Tool) -> None:
    done = ferrule.run("-d4", "-lf", "/dev/full", "-", "PIPE", stdin=b"x")
    assert (done.code, done.out) == (0, b"x")


def test_error_names_are_those_of_the_system() -> None:
    """The words above are compared as they are: this is where they come from."""
    assert os.strerror(errno.ENOSPC) == "No space left on device"
    assert os.strerror(errno.EFBIG) == "File too large"
