"""Everything public in the core has a docstring."""

import importlib
import pkgutil
from types import ModuleType

import pytest

import decisioning

MODULES = [f"decisioning.{found.name}" for found in pkgutil.iter_modules(decisioning.__path__)]


def _module(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_in_the_core_has_a_docstring(name: str) -> None:
    module = _module(name)
    assert module.__doc__
    for label, thing in vars(module).items():
        is_ours = getattr(thing, "__module__", None) == name
        if is_ours and not label.startswith("_"):
            assert getattr(thing, "__doc__", None), f"{name}.{label} has no docstring"
