"""Relays beside other tasks of an event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import ferrule
import pytest
from connections import HOST, PATIENCE, wait_for
from ferrule import Relay, TcpConnect, TcpListen, UnixListen

Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine in a fresh event loop."""
    if request.param == "asyncio":
        return asyncio.run
    return pytest.importorskip("uvloop", reason="uvloop is not installed").run  # type: ignore[no-any-return]


async def opened(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection, as soon as somebody listens."""
    for _ in range(2000):
        try:
            return await asyncio.open_connection(HOST, port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.002)
    raise TimeoutError


async def until(condition: Callable[[], bool]) -> None:
    """Waits for the condition without blocking the loop."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.002)


def test_relaying(run: Run, port: int, echo: int) -> None:
    async def main() -> ferrule.Report:
        relay = Relay(TcpListen(port, reuseaddr=True), TcpConnect(HOST, echo))
        task = asyncio.create_task(relay.run_async())
        reader, writer = await opened(port)
        writer.write(b"hello")
        writer.write_eof()
        assert await reader.read() == b"hello"
        writer.close()
        await writer.wait_closed()
        return await task

    report = run(main())
    assert report.left_to_right.bytes == report.right_to_left.bytes == 5


def test_many_at_once(run: Run) -> None:
    async def main() -> list[ferrule.Report]:
        relay = Relay("TEXT:x", "OPEN:/dev/null", direction="left-to-right")
        return await asyncio.gather(*(relay.run_async() for _ in range(20)))

    assert [report.left_to_right.bytes for report in run(main())] == [1] * 20


def test_errors(run: Run, port: int) -> None:
    with pytest.raises(ferrule.OpenError) as caught:
        run(Relay("PIPE", TcpConnect(HOST, port)).run_async())
    assert caught.value.report is not None


def test_cancelling_waits_until_all_is_closed(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "socket"

    async def main() -> None:
        task = asyncio.create_task(Relay(UnixListen(path), "PIPE").run_async())
        await until(path.exists)
        begun = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not path.exists()
        assert time.monotonic() - begun < 1

    run(main())


def test_a_timeout_cancels(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "socket"

    async def main() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await Relay(UnixListen(path), "PIPE").run_async()
        assert not path.exists()

    run(main())


def test_cancelling_twice_is_quick(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "socket"

    async def main() -> None:
        task = asyncio.create_task(Relay(UnixListen(path), "OPEN:/dev/zero").run_async())
        await until(path.exists)
        reader, writer = await asyncio.open_unix_connection(path)
        assert await reader.readexactly(1) == b"\0"
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not path.exists()
        writer.close()

    run(main())


def test_the_loop_is_free_meanwhile(run: Run) -> None:
    async def main() -> int:
        ticks = 0
        task = asyncio.create_task(Relay("PIPE", "PIPE", idle_timeout=0.2).run_async())
        while not task.done():
            ticks += 1
            await asyncio.sleep(0.005)
        await task
        return ticks

    assert run(main()) > 5


def test_a_loop_that_is_gone_harms_nobody(tmp_path: Path) -> None:
    """The loop is closed under a running relay, as after a crash: the relay ends, nothing is raised."""
    path = tmp_path / "socket"
    loop = asyncio.new_event_loop()
    coroutine = Relay(UnixListen(path), "PIPE").run_async()
    task = loop.create_task(coroutine)
    loop.run_until_complete(until(path.exists))
    threads = threading.active_count()
    # The task would complain that it was destroyed while pending: it is meant to be.
    task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    coroutine.close()
    wait_for(lambda: not path.exists(), "the end of the relay")
    assert threading.active_count() <= threads
