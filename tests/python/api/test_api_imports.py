"""What is imported when: the command line starts with nothing but the engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ferrule
import pytest

SCRIPT = Path(sys.executable).with_name("ferrule")


def modules(*command: str) -> set[str]:
    """The modules a Python command imports beside those that Python itself starts with."""

    def imported(*arguments: str) -> set[str]:
        done = subprocess.run(
            [sys.executable, "-I", "-X", "importtime", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
        lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
        return {line.rpartition("|")[2].strip() for line in lines[1:]}

    return imported(*command) - imported("-c", "pass")


@pytest.mark.parametrize("arguments", [["-V"], ["-u", "TEXT:x", "OPEN:/dev/null"], ["NOSUCH", "PIPE"]])
def test_the_command_line_imports_the_engine_only(arguments: list[str]) -> None:
    assert modules(str(SCRIPT), *arguments) == {"ferrule", "ferrule.__main__", "ferrule._core"}


def test_the_package_imports_nothing() -> None:
    assert modules("-c", "import ferrule") == {"ferrule"}


def test_relays_and_addresses_import_the_engine_only() -> None:
    code = """if True:
        import sys
        before = set(sys.modules)
        from ferrule import Relay, TcpListen
        print(*set(sys.modules) - before)
    """
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    ours = {"ferrule", "ferrule._core", "ferrule.address", "ferrule.addresses", "ferrule.relay"}
    loaded = set(done.stdout.split())
    assert {name for name in loaded if name.startswith("ferrule")} == ours
    assert not loaded & {"asyncio", "logging", "re", "socket", "threading", "typing"}


def test_the_script_is_no_entry_point() -> None:
    text = SCRIPT.read_text()
    assert "import re" not in text
    assert text.startswith("#!")
    assert "python" in text.splitlines()[0] or "python" in text.splitlines()[1]


def test_public_names() -> None:
    for name in ferrule.__all__:
        assert getattr(ferrule, name) is not None
    assert set(ferrule.__all__) <= set(dir(ferrule))
    from ferrule import addresses

    assert set(addresses.__all__) <= set(dir(ferrule))
    assert ferrule.TcpListen is addresses.TcpListen
    assert ferrule.__version__.count(".") == 2


def test_unknown_names() -> None:
    with pytest.raises(AttributeError, match="module 'ferrule' has no attribute 'Nothing'"):
        _ = ferrule.Nothing  # type: ignore[attr-defined]
    with pytest.raises(AttributeError, match="_hidden"):
        _ = ferrule._hidden  # type: ignore[attr-defined]
    with pytest.raises(ImportError):
        from ferrule import Nothing  # type: ignore[attr-defined]  # noqa: F401
