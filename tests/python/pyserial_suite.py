"""Runs one test file of pyserial's against a port, in a process of its own, and prints the outcome as JSON.

    python pyserial_suite.py FILE URL [CLASS]

The last line of the output maps each test to `passed`, `skipped` or what went wrong.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import unittest
from pathlib import Path


class Outcome(unittest.TestResult):
    """Keeps the outcome of every test, by `Class.method`."""

    def __init__(self) -> None:
        super().__init__()
        self.all: dict[str, str] = {}

    def note(self, test: unittest.TestCase, outcome: str) -> None:
        name = ".".join(test.id().split(".")[-2:])
        # A test that fails and cannot be cleaned up after is told twice.
        if self.all.get(name, "passed") == "passed":
            self.all[name] = outcome

    def addSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        self.note(test, "passed")

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        self.note(test, "skipped")

    def addFailure(self, test: unittest.TestCase, err) -> None:  # type: ignore[no-untyped-def] # noqa: N802
        self.note(test, f"{err[0].__name__}: {err[1]}")

    addError = addFailure  # noqa: N815


def main(file: str, url: str, *classes: str) -> None:
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__dict__["PORT"] = url
    loader = unittest.TestLoader()
    suite = unittest.TestSuite()
    if classes:
        suite.addTests(loader.loadTestsFromTestCase(getattr(module, name)) for name in classes)
    else:
        suite.addTests(loader.loadTestsFromModule(module))
    outcome = Outcome()
    suite.run(outcome)
    print()
    print(json.dumps(outcome.all))


if __name__ == "__main__":
    main(*sys.argv[1:])
