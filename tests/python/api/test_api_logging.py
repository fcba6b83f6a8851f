"""Events of relays in Python's logging."""

from __future__ import annotations

import logging
import threading
import time

import ferrule
import pytest
from connections import HOST, PATIENCE, Script, asked, connect
from ferrule import Relay, TcpConnect, TcpListen


def test_notices(port: int, echo: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="ferrule")
    with Relay(TcpListen(port, reuseaddr=True), TcpConnect(HOST, echo)).start() as running:
        assert asked(connect(port), b"x") == b"x"
        running.wait(PATIENCE)
    messages = [record.getMessage() for record in caplog.records]
    assert any(f"listening on AF=2 127.0.0.1:{port}" in message for message in messages), messages
    assert any("starting data transfer loop" in message for message in messages)
    assert {record.name for record in caplog.records} == {"ferrule"}
    assert {record.levelno for record in caplog.records} <= {logging.INFO, logging.WARNING}
    assert {record.threadName for record in caplog.records} != {"MainThread"}


def test_levels(caplog: pytest.LogCaptureFixture) -> None:
    relay = Relay("TEXT:x", "OPEN:/dev/null", direction="left-to-right")
    caplog.set_level(logging.DEBUG, logger="ferrule")
    relay.run()
    assert logging.DEBUG in {record.levelno for record in caplog.records}
    caplog.clear()
    caplog.set_level(logging.WARNING, logger="ferrule")
    relay.run()
    assert not caplog.records
    caplog.set_level(logging.CRITICAL + 1, logger="ferrule")
    relay.run()
    assert not caplog.records


def test_percent_signs_are_no_format(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="ferrule")
    with pytest.raises(ferrule.OpenError):
        Relay("OPEN:/nonexistent/%s%n", "PIPE").run()
    for record in caplog.records:
        record.getMessage()


class Blocking(logging.Handler):
    """A handler that blocks until it is told to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.called = threading.Event()
        self.go = threading.Event()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.called.set()
        self.go.wait(PATIENCE)
        self.messages.append(record.getMessage())


def test_a_slow_handler_costs_messages_not_bytes(port: int, echo: int) -> None:
    logger, handler = logging.getLogger("ferrule"), Blocking()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with Relay(TcpListen(port, reuseaddr=True, fork=True), TcpConnect(HOST, echo)).start():
            begun = time.monotonic()
            clients = 0
            while clients < 250 and time.monotonic() - begun < PATIENCE:
                assert asked(connect(port), b"x") == b"x"
                clients += 1
            assert handler.called.is_set()
            assert not handler.messages
            handler.go.set()
        wait_until = time.monotonic() + PATIENCE
        while not any("messages were dropped" in message for message in handler.messages):
            assert time.monotonic() < wait_until, len(handler.messages)
            time.sleep(0.01)
    finally:
        handler.go.set()
        logger.removeHandler(handler)
        logger.setLevel(level)
    assert clients == 250


def test_a_handler_that_relays_itself(caplog: pytest.LogCaptureFixture) -> None:
    """Python code called from the log may use relays: nothing is locked meanwhile."""
    done = threading.Event()

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if not done.is_set():
                done.set()
                Relay("TEXT:x", "OPEN:/dev/null", direction="left-to-right").run()

    logger, handler = logging.getLogger("ferrule"), Handler()
    caplog.set_level(logging.DEBUG, logger="ferrule")
    logger.addHandler(handler)
    try:
        Relay("TEXT:y", "OPEN:/dev/null", direction="left-to-right").run()
        assert done.wait(PATIENCE)
    finally:
        logger.removeHandler(handler)


def test_nothing_is_lost_at_the_end_of_the_interpreter(script: Script) -> None:
    process = script(
        """
        import logging
        logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s")
        from ferrule import Relay
        Relay("TEXT:x", "OPEN:/dev/null", direction="left-to-right").run()
        """
    )
    output, errors = process.communicate(timeout=PATIENCE)
    assert (output, process.returncode) == ("", 0)
    assert "INFO ferrule" in errors
