"""Relays of stdin and stdout, which start, move one stream and end."""

import os
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

from comparison.bench import Bench, Figures
from comparison.processes import MeasureError
from comparison.relays import Peer

_BYTES = 750_000_000
_STARTS = 10
_PATIENCE = 30.0


def _end(popen: "subprocess.Popen[bytes]") -> tuple[float, bytes]:
    """Wait for the process; return its CPU time in seconds and what it wrote. It is killed when too slow."""
    timer = threading.Timer(_PATIENCE, popen.kill)
    timer.start()
    try:
        output = popen.stdout.read() if popen.stdout else b""
        _, status, usage = os.wait4(popen.pid, 0)
        popen.returncode = os.waitstatus_to_exitcode(status)
    finally:
        timer.cancel()
    return usage.ru_utime + usage.ru_stime, output


def _command(bench: Bench, peer: Peer, port: int | str) -> list[str]:
    if peer.one_shot is None:
        raise MeasureError(f"{peer.name} does not relay stdin")
    return peer.one_shot(bench.tools, port)


def _stream(bench: Bench) -> Path:
    """Return a file with one stream for a sink in it, made for the first that asks."""
    path = bench.tools.directory / "stream"
    if not path.exists():
        with path.open("wb") as file:
            subprocess.run([str(bench.tools.load), "emit", "--bytes", str(_BYTES)], stdout=file, check=True)
    return path


def _relayed(bench: Bench, command: list[str], stdin: int) -> Figures:
    """Run a relay from a descriptor to a sink, from its start to its end, and check the sink's count."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdin=stdin, stdout=subprocess.PIPE) as popen:
        cpu, output = _end(popen)
        seconds = time.perf_counter() - started
    if output != b"s" + struct.pack("<QQ", _BYTES, 0):
        raise MeasureError(f"{command[0]} ended with {popen.returncode}, the sink answered {output!r}")
    return {"rate": _BYTES / seconds / 1e9, "cpu": cpu / _BYTES * 1e9}


def file_to_tcp(bench: Bench, peer: Peer) -> Figures:
    """Relay a cached file on stdin to a sink."""
    source = _stream(bench)
    with bench.far_end() as target, source.open("rb") as file:
        return _relayed(bench, _command(bench, peer, target.place), file.fileno())


def pipe_to_tcp(bench: Bench, peer: Peer) -> Figures:
    """Relay a pipe on stdin to a sink, beside the process that writes into it 256 KiB at a time."""
    writer = [str(bench.tools.load), "emit", "--bytes", str(_BYTES)]
    with bench.far_end() as target, subprocess.Popen(writer, stdout=subprocess.PIPE) as source:
        try:
            assert source.stdout is not None
            with source.stdout as pipe:
                return _relayed(bench, _command(bench, peer, target.place), pipe.fileno())
        finally:
            source.kill()


def _first_byte(bench: Bench, peer: Peer, source: Path) -> float:
    """Return the seconds from the start of a one-shot relay until the server has the first byte."""
    with socket.create_server(("127.0.0.1", 0)) as listener, source.open("rb") as file:
        listener.settimeout(_PATIENCE)
        command = _command(bench, peer, listener.getsockname()[1])
        started = time.perf_counter()
        with subprocess.Popen(command, stdin=file, stdout=subprocess.DEVNULL) as popen:
            try:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(_PATIENCE)
                    if not connection.recv(1):
                        raise MeasureError(f"{command[0]} sent nothing")
                    elapsed = time.perf_counter() - started
            except TimeoutError:
                popen.kill()
                raise MeasureError(f"{command[0]} did not connect") from None
            _end(popen)
    return elapsed


def _interpreter(bench: Bench) -> float:
    """Return the seconds in which the interpreter beside the ferrule script starts and ends."""
    beside = bench.tools.ferrule.with_name("python3") if bench.tools.ferrule else None
    python = str(beside) if beside and beside.exists() else sys.executable
    started = time.perf_counter()
    subprocess.run([python, "-c", "pass"], check=True)
    return time.perf_counter() - started


def start_up(bench: Bench, peer: Peer) -> Figures:
    """Start a relay of a one-byte file several times; the figure is the median."""
    source = bench.tools.directory / "byte"
    source.write_bytes(b"x")
    if peer.name == "python":
        times = [_interpreter(bench) for _ in range(_STARTS)]
    else:
        times = [_first_byte(bench, peer, source) for _ in range(_STARTS)]
    return {"first": statistics.median(times) * 1e3}
