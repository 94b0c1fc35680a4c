"""Examples in docstrings run, in every package."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))
MODULES = [
    found.name
    for package in PACKAGES
    for found in pkgutil.walk_packages([str(ROOT / package)], prefix=f"{package}.")
    if not found.name.endswith("__main__")
]


def _source(name: str) -> str:
    path = ROOT / name.replace(".", "/")
    return (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text()


WITH_EXAMPLES = [name for name in MODULES if ">>>" in _source(name)]


def test_examples_are_found() -> None:
    assert len(WITH_EXAMPLES) > 15


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_in_a_module_run(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name))
    assert results.attempted > 0
    assert results.failed == 0
