"""Ctrl-C: everything is closed first, and quickly."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from connections import PATIENCE, Script, connect, connect_unix, wait_for
from ferrule import System

REPORT = """
        import os, sys, time
        from ferrule import Relay
        def run(work, closed):
            try:
                work()
            except KeyboardInterrupt:
                print("interrupted", not os.path.exists(closed), len(os.listdir("/proc/self/fd")), flush=True)
"""


def interrupted(process: object, path: Path) -> None:
    """Sends Ctrl-C; says how long the process took, and checks that it was clean."""
    begun = time.monotonic()
    process.send_signal(signal.SIGINT)  # type: ignore[attr-defined]
    line = process.stdout.readline()  # type: ignore[attr-defined]
    took = time.monotonic() - begun
    assert line.split()[:2] == ["interrupted", "True"], (line, process.stderr.read())  # type: ignore[attr-defined]
    # 200 ms is the promise; the rest is for a busy machine.
    assert took < 0.2 + 0.3, took
    assert not path.exists()
    output, errors = process.communicate(timeout=PATIENCE)  # type: ignore[attr-defined]
    assert (output, errors, process.returncode) == ("", "", 0)  # type: ignore[attr-defined]


def test_while_listening(tmp_path: Path, script: Script) -> None:
    path = tmp_path / "socket"
    process = script(
        f"{REPORT}\n        run(Relay(f'UNIX-LISTEN:{{sys.argv[1]}}', 'PIPE').run, sys.argv[1])", path
    )
    wait_for(path.exists, "the socket")
    interrupted(process, path)


def test_while_relaying_to_a_peer_that_takes_nothing(tmp_path: Path, script: Script) -> None:
    path = tmp_path / "socket"
    process = script(
        f"{REPORT}\n        run(Relay(f'UNIX-LISTEN:{{sys.argv[1]}}', 'OPEN:/dev/zero').run, sys.argv[1])",
        path,
    )
    with connect_unix(path) as client:
        assert client.recv(1) == b"\0"
        interrupted(process, path)


def test_with_a_program_that_ignores_signals(tmp_path: Path, script: Script) -> None:
    path = tmp_path / "socket"
    command = System("trap '' TERM INT HUP; echo ready; while :; do sleep 1; done")
    process = script(
        f"{REPORT}\n        run(Relay(f'UNIX-LISTEN:{{sys.argv[1]}}', sys.argv[2]).run, sys.argv[1])",
        path,
        command,
    )
    with connect_unix(path) as client:
        assert client.recv(100) == b"ready\n"
        interrupted(process, path)


def test_while_waiting_for_one_started(tmp_path: Path, script: Script) -> None:
    path = tmp_path / "socket"
    process = script(
        f"""{REPORT}
        def work():
            with Relay(f'UNIX-LISTEN:{{sys.argv[1]}}', 'PIPE').start() as running:
                running.wait()
        run(work, sys.argv[1])
        """,
        path,
    )
    wait_for(path.exists, "the socket")
    interrupted(process, path)


def test_under_asyncio(tmp_path: Path, script: Script) -> None:
    path = tmp_path / "socket"
    process = script(
        f"""{REPORT}
        import asyncio
        run(lambda: asyncio.run(Relay(f'UNIX-LISTEN:{{sys.argv[1]}}', 'PIPE').run_async()), sys.argv[1])
        """,
        path,
    )
    wait_for(path.exists, "the socket")
    interrupted(process, path)


def test_a_handler_that_returns_does_not_end_the_relay(port: int, script: Script) -> None:
    process = script(
        """
        import signal, sys
        from ferrule import Relay, TcpListen
        signal.signal(signal.SIGINT, lambda *_: print("handled", flush=True))
        report = Relay(TcpListen(sys.argv[1], reuseaddr=True), "PIPE", half_close_timeout=5).run()
        print(report.left_to_right.bytes)
        """,
        port,
    )
    with connect(port) as client:
        process.send_signal(signal.SIGINT)
        assert process.stdout is not None
        assert process.stdout.readline() == "handled\n"
        client.sendall(b"still here")
        assert client.recv(100) == b"still here"
    output, errors = process.communicate(timeout=PATIENCE)
    assert (output, errors, process.returncode) == ("10\n", "", 0)


def test_again_and_again(script: Script) -> None:
    """No descriptor is left behind, and the process can go on relaying."""
    rounds = 20
    process = script(
        """
        import os, signal, sys, threading
        from ferrule import Relay
        relay = Relay("PIPE", "PIPE")
        counts = []
        for _ in range(int(sys.argv[1])):
            threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)).start()
            try:
                relay.run()
            except KeyboardInterrupt:
                counts.append(len(os.listdir("/proc/self/fd")))
        assert len(counts) == int(sys.argv[1]), counts
        assert counts[-1] <= counts[0], counts
        print(Relay("TEXT:x", "OPEN:/dev/null", direction="left-to-right").run().is_success)
        """,
        rounds,
    )
    output, errors = process.communicate(timeout=2 * PATIENCE)
    assert (output, errors, process.returncode) == ("True\n", "", 0)


@pytest.mark.parametrize("method", ["run", "start"])
def test_other_threads_are_not_interrupted(port: int, method: str, script: Script) -> None:
    process = script(
        """
        import os, signal, sys, threading, time
        from ferrule import Relay, TcpListen
        relay = Relay(TcpListen(sys.argv[1], reuseaddr=True), "PIPE", half_close_timeout=5)
        done = []
        def work():
            done.append(relay.run() if sys.argv[2] == "run" else relay.start().wait())
        thread = threading.Thread(target=work)
        thread.start()
        try:
            print("ready", flush=True)
            time.sleep(60)
        except KeyboardInterrupt:
            print("main", flush=True)
        thread.join()
        print(done[0].left_to_right.bytes)
        """,
        port,
        method,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with connect(port) as client:
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "main\n"
        client.sendall(b"1234")
        assert client.recv(100) == b"1234"
    output, errors = process.communicate(timeout=PATIENCE)
    assert (output, errors, process.returncode) == ("4\n", "", 0)
