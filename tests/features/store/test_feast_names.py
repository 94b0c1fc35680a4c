import os
import subprocess
import sys

import pytest
import typeguard

import features.store.feast_names  # noqa: F401

TWO_SETS = """
import features.store.feast_repository
from prometheus_client import CollectorRegistry, Counter

def asks():
    return Counter("asks", "Asks", registry=CollectorRegistry())

asks().inc()
print(asks()._value.get())
"""


def test_importing_feast_does_not_merge_two_metric_registries():
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PROMETHEUS_")}
    done = subprocess.run([sys.executable, "-c", TWO_SETS], env=clean, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.0"]


COMPILED_ANEW = """
from typeguard import _decorators

def refuse(method):
    raise AssertionError(f"{method.__qualname__} is compiled anew")

_decorators.instrument = refuse
import features.store.feast_repository, features.store.materialisation_engine
import feast.infra.data_sources.mlflow.mlflow_dataset_source
"""


def test_importing_feast_does_not_recompile_its_methods():
    done = subprocess.run([sys.executable, "-c", COMPILED_ANEW], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("options", [None, {"collection_check_strategy": typeguard.CollectionCheckStrategy.ALL_ITEMS}])
def test_typeguard_still_checks_code_outside_feast(options):
    mark = typeguard.typechecked if options is None else typeguard.typechecked(**options)

    @mark
    def doubled(number: int) -> int:
        return number * 2

    assert doubled(2) == 4
    with pytest.raises(typeguard.TypeCheckError):
        doubled("2")
