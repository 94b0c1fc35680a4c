import os
import subprocess
import sys

TWO_SETS = """
import features.store.feast_repository
from prometheus_client import CollectorRegistry, Counter

def asks():
    return Counter("asks", "Asks", registry=CollectorRegistry())

asks().inc()
print(asks()._value.get())
"""


def test_feast_does_not_make_one_set_of_numbers_of_two():
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS_")}
    done = subprocess.run([sys.executable, "-c", TWO_SETS], env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.0"]


COMPILED_ANEW = """
import typeguard
from typeguard import _decorators

def refuse(method):
    raise AssertionError(f"{method.__qualname__} is compiled anew")

_decorators.instrument = refuse
mark = typeguard.typechecked
import features.store.feast_repository, features.store.materialisation_engine
assert typeguard.typechecked is mark
"""


def test_importing_feast_compiles_no_method_anew_and_leaves_typeguard_as_it_was():
    done = subprocess.run([sys.executable, "-c", COMPILED_ANEW], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
