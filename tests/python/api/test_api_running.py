"""Relays under way: stopping, waiting, being thrown away."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import ferrule
import pytest
from connections import HOST, PATIENCE, Script, connect, connect_unix, wait_for
from ferrule import Relay, TcpConnect, TcpListen, UnixListen


def test_stop_and_wait(port: int, echo: int) -> None:
    running = Relay(TcpListen(port, reuseaddr=True, fork=True), TcpConnect(HOST, echo)).start()
    with connect(port) as client:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
        assert running.is_running
        running.stop()
        report = running.wait(PATIENCE)
    assert report.ended == "stopped"
    assert report.left_to_right.bytes == 1
    assert not running.is_running
    assert repr(running) == "<Running: ended>"
    with pytest.raises(ConnectionRefusedError):
        connect_once(port)


def connect_once(port: int) -> None:
    import socket

    socket.create_connection((HOST, port), timeout=1).close()


def test_waiting_has_a_limit() -> None:
    with Relay("PIPE", "PIPE").start() as running:
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            running.wait(0.1)
        assert 0.1 <= time.monotonic() - begun < 5
        with pytest.raises(ValueError, match="timeout must be"):
            running.wait(-1)


def test_stopping_more_than_once_and_afterwards() -> None:
    running = Relay("PIPE", "PIPE").start()
    running.stop()
    running.stop()
    running.abort()
    running.close()
    assert running.wait(0).ended == "stopped"
    running.stop()


def test_totals_while_running(port: int, echo: int) -> None:
    with Relay(TcpListen(port, reuseaddr=True), TcpConnect(HOST, echo)).start() as running:
        with connect(port) as client:
            client.sendall(b"1234")
            assert client.recv(4) == b"1234"
            wait_for(lambda: running.report.left_to_right.bytes == 4)
            assert running.report.ended == "running"
            assert running.report.duration > 0
        assert running.wait(PATIENCE).ended == "finished"


def test_errors_come_from_waiting(port: int) -> None:
    running = Relay("PIPE", TcpConnect(HOST, port)).start()
    with pytest.raises(ferrule.OpenError):
        running.wait(PATIENCE)
    with pytest.raises(ferrule.OpenError):
        running.wait()
    assert running.report.ended == "failed"
    assert isinstance(running.report.error, ferrule.OpenError)


def test_leaving_the_block_raises_what_failed(port: int) -> None:
    with pytest.raises(ferrule.OpenError), Relay("PIPE", TcpConnect(HOST, port)).start() as running:
        wait_for(lambda: not running.is_running)


def test_the_block_s_own_exception_wins(port: int) -> None:
    with pytest.raises(KeyError), Relay("PIPE", TcpConnect(HOST, port)).start() as running:
        wait_for(lambda: not running.is_running)
        raise KeyError


def test_names_go_with_the_block(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with Relay(UnixListen(path, fork=True), "PIPE").start():
        connect_unix(path).close()
    assert not path.exists()


def test_programs_go_with_the_block(tmp_path: Path, port: int) -> None:
    pid_file = tmp_path / "pid"
    relay = Relay(TcpListen(port, reuseaddr=True), f"SYSTEM:echo $$ >{pid_file}; exec sleep 1000")
    with relay.start(), connect(port):
        wait_for(lambda: pid_file.exists() and pid_file.read_text().strip(), "the program")
        child = int(pid_file.read_text())
        assert Path(f"/proc/{child}").exists()
    wait_for(lambda: not Path(f"/proc/{child}").exists(), "the program's end")


def test_throwing_it_away_ends_it(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    running = Relay(UnixListen(path), "PIPE").start()
    wait_for(path.exists, "the socket")
    del running
    gc.collect()
    wait_for(lambda: not path.exists(), "the end of the relay")


def test_on_end() -> None:
    ended = threading.Event()
    running = Relay("PIPE", "PIPE").start()
    running.on_end(ended.set)
    assert not ended.wait(0.02)
    running.stop()
    assert ended.wait(PATIENCE)
    again = threading.Event()
    running.on_end(again.set)
    assert again.is_set()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_callback_that_raises_harms_no_relay() -> None:
    ended = threading.Event()

    def broken() -> None:
        raise RuntimeError("broken")

    with Relay("PIPE", "PIPE").start() as other:
        running = Relay("PIPE", "PIPE").start()
        running.on_end(broken)
        running.on_end(ended.set)
        running.stop()
        assert ended.wait(PATIENCE)
        assert running.wait(PATIENCE).ended == "stopped"
        assert other.is_running


def test_the_end_of_the_interpreter_ends_all(tmp_path: Path, script: Script) -> None:
    path = tmp_path / "socket"
    process = script(
        """
        import pathlib, sys, time
        from ferrule import Relay, UnixListen
        path = pathlib.Path(sys.argv[1])
        running = Relay(UnixListen(path, fork=True), "PIPE").start()
        while not path.exists():
            time.sleep(0.001)
        print("there")
        """,
        path,
    )
    output, errors = process.communicate(timeout=PATIENCE)
    assert (output, errors, process.returncode) == ("there\n", "", 0)
    assert not path.exists()


def test_a_thread_in_run_does_not_keep_the_interpreter(script: Script) -> None:
    process = script(
        """
        import threading, time
        from ferrule import Relay
        threading.Thread(target=Relay("PIPE", "PIPE").run, daemon=True).start()
        time.sleep(0.1)
        """
    )
    output, errors = process.communicate(timeout=PATIENCE)
    assert (output, errors, process.returncode) == ("", "", 0)


def test_after_a_fork(script: Script) -> None:
    process = script(
        """
        import os
        from ferrule import Relay
        relay = Relay("TEXT:x", "OPEN:/dev/null", direction="left-to-right")
        running = Relay("PIPE", "PIPE").start()
        child = os.fork()
        if child == 0:
            for use in (relay.run, relay.start, running.stop, running.wait, lambda: running.report):
                try:
                    use()
                except RuntimeError as error:
                    assert "os.fork()" in str(error), error
                else:
                    os._exit(1)
            del running
            fresh = Relay("TEXT:x", "OPEN:/dev/null", direction="left-to-right")
            assert fresh.run().left_to_right.bytes == 1
            raise SystemExit(7)
        _, status = os.waitpid(child, 0)
        assert running.is_running
        running.close()
        assert relay.run().is_success
        print(os.waitstatus_to_exitcode(status))
        """
    )
    output, errors = process.communicate(timeout=PATIENCE)
    assert (output, errors, process.returncode) == ("7\n", "", 0)


def test_callbacks_are_over_before_the_interpreter_is(script: Script) -> None:
    """A thread that meets an interpreter that is going away would end the process with a fatal error."""
    process = script(
        """
        import os, time
        from ferrule import Relay
        def slow():
            time.sleep(0.2)
            os.write(1, b"done\\n")
        running = [Relay("PIPE", "PIPE").start() for _ in range(3)]
        for relay in running:
            relay.on_end(slow)
        """
    )
    output, errors = process.communicate(timeout=PATIENCE)
    assert (output, errors, process.returncode) == ("done\n" * 3, "", 0)


def test_relays_share_the_thread_of_a_host(free_port, echo: int) -> None:
    host, ports = ferrule.Host(), [free_port() for _ in range(5)]
    before = threads()
    relays = [Relay(TcpListen(port, reuseaddr=True, fork=True), TcpConnect(HOST, echo)) for port in ports]
    running = [relay.start(host) for relay in relays]
    assert threads() == before
    clients = [connect(port) for port in ports]
    for client in clients:
        client.sendall(b"x")
        assert client.recv(1) == b"x"
    running[0].close()
    assert clients[0].recv(1) == b""  # closed with its relay
    with pytest.raises(ConnectionRefusedError):
        connect_once(ports[0])
    clients[1].sendall(b"y")
    assert clients[1].recv(1) == b"y"
    for one in running:
        one.close()
    assert [one.report.left_to_right.bytes for one in running] == [1, 2, 1, 1, 1]
    for client in clients:
        client.close()


def threads() -> int:
    return len(list(Path("/proc/self/task").iterdir()))
