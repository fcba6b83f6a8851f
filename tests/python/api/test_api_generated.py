"""What is generated from the catalog is up to date, and whole."""

from __future__ import annotations

import importlib.util
import inspect
from pathlib import Path
from types import ModuleType

import ferrule
import pytest
from ferrule import _core, addresses, options

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """The generator."""
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs/generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_files_are_up_to_date(generate: ModuleType) -> None:
    stale = [path.name for path in generate.stale(generate.rendered(_core.catalog()))]
    assert not stale, "run `make generate`"


def test_every_kind_has_a_class() -> None:
    keywords = [kind["name"] for kind in _core.catalog()["kinds"]]
    assert keywords
    assert set(addresses.CLASSES) == set(keywords)
    for keyword, kind in addresses.CLASSES.items():
        assert kind.keyword == keyword
        assert getattr(ferrule, kind.__name__) is kind
        assert kind.__doc__


def test_every_option_has_a_type_in_every_kind(generate: ModuleType) -> None:
    catalog = _core.catalog()
    for kind in catalog["kinds"]:
        names = [generate.option_name(option) for option in generate.fitting(catalog, kind)]
        assert len(names) == len(set(names)), f"{kind['name']}: two options have one name"
        typed = getattr(options, f"{generate.class_name(kind['name'])}Options")
        assert set(typed.__annotations__) == set(names)
        taken = inspect.signature(addresses.CLASSES[kind["name"]].__init__).parameters
        assert not set(taken) & set(names), f"{kind['name']}: a parameter has an option's name"


def test_every_row_explains_itself() -> None:
    catalog = _core.catalog()
    for row in [*catalog["kinds"], *catalog["options"]]:
        assert len(row["doc"]) > 8, row["name"]
