"""`nextbest features` from a shell: results on stdout, one line for an expected failure."""

import subprocess
import sys
from datetime import UTC, datetime

import orjson
import pytest
import typer
from typer.testing import CliRunner

from decisioning.errors import InvalidInputError
from pipelines.commands import features


@pytest.fixture
def run():
    app = typer.Typer()
    app.add_typer(features.app)

    def call(*arguments: str) -> str:
        result = CliRunner().invoke(app, ["features", *arguments], catch_exceptions=False)
        assert result.exit_code == 0, result.stderr
        return result.stdout

    return call


def test_build_materialise_and_show_a_customer(make_home, small_shop, run, redis_url, monkeypatch):
    monkeypatch.setenv("NEXTBEST_REDIS_URL", redis_url)
    home = ["--home", str(make_home(small_shop).home), "--json"]
    built = orjson.loads(run("build", "--as-of", f"{datetime.now(UTC):%Y-%m-%d}", *home))
    assert built["customers"] == 30
    written = orjson.loads(run("materialise", *home))
    assert (written["feature_records"], written["profiles"]) == (30, 30)
    shown = orjson.loads(run("show", "C-00001", *home))
    assert shown["features"]["purchase_count_365d"] == 8
    assert shown["reachable_channels"] == ["email", "push"]
    with pytest.raises(InvalidInputError, match="CUSTOMER_ID"):
        run("show", "nobody", *home)
    with pytest.raises(InvalidInputError, match="--as-of"):
        run("build", "--as-of", "yesterday", *home)


def test_list_names_every_feature(make_home, tables_of, run):
    home = str(make_home(tables_of()).home)
    rows = orjson.loads(run("list", "--home", home, "--json"))
    assert {"feature", "group", "meaning"} == set(rows[0])
    assert "purchase_recency_days" in run("list", "--home", home)


def test_help_loads_no_heavy_library():
    code = "import sys, pipelines.commands.features; print(*{'feast', 'polars', 'pandas'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout == b"\n"
