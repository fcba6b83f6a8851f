"""The types people see: checked by mypy and pyright, mistakes included."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).with_name("typing_examples.py")
CHECKERS = {
    "mypy": ["-m", "mypy", "--strict", "--warn-unused-ignores", "--config-file=", "--cache-dir=/dev/null"],
    "pyright": ["-m", "pyright", "--pythonpath", sys.executable],
}


@pytest.mark.timeout(240)
@pytest.mark.parametrize("checker", CHECKERS)
def test_examples(checker: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(checker) is None:
        pytest.skip(f"{checker} is not installed")
    (tmp_path / EXAMPLES.name).write_text(EXAMPLES.read_text())
    strict = {
        "typeCheckingMode": "strict",
        "reportUnnecessaryTypeIgnoreComment": "error",
        "enableTypeIgnoreComments": False,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({**strict, "pythonVersion": "3.11"}))
    done = subprocess.run(
        [sys.executable, *CHECKERS[checker], EXAMPLES.name],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
