"""What a docstring shows is what happens."""

import doctest
import importlib
import pkgutil
from types import ModuleType

import pytest

import decisioning

MODULES = [f"decisioning.{found.name}" for found in pkgutil.iter_modules(decisioning.__path__)]
PUBLIC_EXAMPLES = {
    "decisioning.arbitration",
    "decisioning.draw",
    "decisioning.errors",
    "decisioning.experiment",
    "decisioning.exploration",
    "decisioning.facts",
    "decisioning.plain_words",
    "decisioning.predicate",
}


def _module(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str) -> None:
    results = doctest.testmod(_module(name))
    assert results.failed == 0
    assert results.attempted > 0 or name not in PUBLIC_EXAMPLES


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_says_what_it_is_for(name: str) -> None:
    module = _module(name)
    assert module.__doc__
    for label, thing in vars(module).items():
        is_ours = getattr(thing, "__module__", None) == name
        if is_ours and not label.startswith("_"):
            assert getattr(thing, "__doc__", None), f"{name}.{label} has no docstring"
