"""Leaf sets serve only after a check against LightGBM, and later starts reuse the stored result."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import orjson
import pytest
import structlog

from decisioning.errors import ModelUnavailableError
from decisioning.value_model import DesignLayout
from features.models import leaf_check, learned
from features.models.booster_text import read_booster_text
from features.models.leaf_check import CHECK_FILE, difference, drawn_rows, found_difference
from features.models.leaf_code import KernelUnavailableError
from features.models.leaf_sets import LeafSets, MessageSets, compile_booster
from features.models.learned import LearnedFunction
from tests.features.models.boosters import Recipe, train

LAYOUT = DesignLayout(customer=("a", "b"), message=("is_silence", "offset", "response"), context=("hour",))
MESSAGES = np.array([[1.0, np.nan, np.nan], [0.0, 2.5, 1.0]])
SHARED = np.array([[1.0, np.nan, 12.0], [0.0, -3.0, np.inf]])


@pytest.fixture(scope="module")
def text() -> str:
    return train(Recipe(seed=3)).model_to_string()


@pytest.fixture(scope="module")
def sets(text: str) -> LeafSets:
    return compile_booster(read_booster_text(text))


def is_fast(function: LearnedFunction) -> bool:
    return isinstance(function.on(MESSAGES), MessageSets)


def without_lightgbm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "lightgbm", raising=False)


def wrong(sets: LeafSets, leaf: int = 0) -> LeafSets:
    """Leaf sets with a small error in one leaf."""
    leaves = sets.leaves.copy()
    leaves[leaf] += 1e-9
    return LeafSets(
        cuts=sets.cuts, columns=sets.columns, table=sets.table, leaves=leaves, starts=sets.starts, finish=sets.finish
    )


def test_equal_leaf_sets_pass(text: str, sets: LeafSets):
    assert difference(text, sets) is None


def test_a_small_error_in_one_leaf_is_found(text: str, sets: LeafSets):
    off = [difference(text, wrong(sets, leaf)) for leaf in range(0, len(sets.leaves), 4)]
    assert sum(one is not None for one in off) > 0.6 * len(off)
    assert any("must equal LightGBM on drawn rows" in one for one in off if one)


def test_the_drawn_rows_include_every_kind_of_odd_number(sets: LeafSets):
    shared, messages, first = drawn_rows(sets)
    assert messages.shape[1] + shared.shape[1] == 6
    assert first == 1
    every = np.concatenate([shared.ravel(), messages.ravel()])
    assert np.isnan(every).any()
    assert {np.inf, -np.inf, 0.0, 5e-324, -0.5, 3.7, 1e300} <= set(every[~np.isnan(every)].tolist())
    assert np.isin(sets.cuts, every).mean() > 0.5
    np.testing.assert_array_equal(shared, drawn_rows(sets)[0])


def test_both_forms_of_a_learned_function_agree_bit_for_bit(text: str):
    function = LearnedFunction(text, LAYOUT)
    rows = np.concatenate(
        [np.repeat(SHARED[:, :2], 2, axis=0), np.tile(MESSAGES, (2, 1)), np.repeat(SHARED[:, 2:], 2, axis=0)], axis=1
    )
    assert is_fast(function)
    np.testing.assert_array_equal(function.on(MESSAGES)(SHARED).ravel(), function(rows))


def test_after_a_difference_lightgbm_serves_and_the_log_says_so(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    function, fast = LearnedFunction(text, LAYOUT, tmp_path), LearnedFunction(text, LAYOUT).on(MESSAGES)(SHARED)
    monkeypatch.setattr(leaf_check, "difference", lambda _text, _sets: "one bit is another")
    with structlog.testing.capture_logs() as logs:
        slow = function.on(MESSAGES)
    assert [one["event"] for one in logs] == ["leaf_sets_not_used"]
    assert logs[0]["problem"] == "one bit is another"
    assert not isinstance(slow, MessageSets)
    np.testing.assert_array_equal(slow(SHARED), fast)


def test_the_result_of_the_check_is_stored_and_reused(
    text: str, sets: LeafSets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert found_difference(text, sets, tmp_path) is None
    assert orjson.loads((tmp_path / CHECK_FILE).read_bytes())["difference"] is None

    def unasked(*_arguments: object) -> str:
        raise AssertionError

    monkeypatch.setattr(leaf_check, "difference", unasked)
    assert found_difference(text, sets, tmp_path) is None
    kept = orjson.loads((tmp_path / CHECK_FILE).read_bytes())
    (tmp_path / CHECK_FILE).write_bytes(orjson.dumps(kept | {"difference": "one bit"}))
    assert found_difference(text, sets, tmp_path) == "one bit"


@pytest.mark.parametrize(
    "changed", ["booster", "source", "numba", "llvmlite", "lightgbm", "numpy", "python", "machine"]
)
def test_a_result_for_another_booster_or_version_is_not_reused(text: str, sets: LeafSets, tmp_path: Path, changed: str):
    found_difference(text, sets, tmp_path)
    kept = orjson.loads((tmp_path / CHECK_FILE).read_bytes())
    kept["checked_with"][changed] = "another"
    (tmp_path / CHECK_FILE).write_bytes(orjson.dumps(kept | {"difference": "of old"}))
    assert found_difference(text, sets, tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"checked_with": 3}'])
def test_a_damaged_result_file_is_ignored(text: str, sets: LeafSets, tmp_path: Path, content: bytes):
    (tmp_path / CHECK_FILE).write_bytes(content)
    assert found_difference(text, sets, tmp_path) is None
    assert "booster" in orjson.loads((tmp_path / CHECK_FILE).read_bytes())["checked_with"]


def test_with_a_read_only_folder_the_check_runs_at_every_start(text: str, sets: LeafSets, tmp_path: Path):
    (tmp_path / CHECK_FILE).mkdir()
    with structlog.testing.capture_logs() as logs:
        assert found_difference(text, sets, tmp_path) is None
    assert [one["event"] for one in logs] == ["leaf_check_not_kept"]


def test_a_process_without_lightgbm_runs_the_check_in_another_one(
    text: str, sets: LeafSets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    without_lightgbm(monkeypatch)
    monkeypatch.setattr(leaf_check, "difference", None)
    assert found_difference(text, sets, tmp_path) is None
    assert (tmp_path / CHECK_FILE).is_file()


def test_without_a_result_lightgbm_serves_and_the_next_start_checks_again(
    text: str, sets: LeafSets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    without_lightgbm(monkeypatch)

    def stopped(*_arguments: object, **_options: object) -> None:
        raise subprocess.TimeoutExpired("python", 120.0)

    monkeypatch.setattr(subprocess, "run", stopped)
    problem = found_difference(text, sets, tmp_path)
    assert problem is not None
    assert "must be checked against LightGBM first, got TimeoutExpired" in problem
    assert not (tmp_path / CHECK_FILE).exists()


def test_a_booster_that_leaf_sets_cannot_represent_is_scored_by_lightgbm():
    booster = train(Recipe(seed=4, settings={"linear_tree": True}))
    function = LearnedFunction(booster.model_to_string(), LAYOUT)
    with structlog.testing.capture_logs() as logs:
        found = function.on(MESSAGES)(SHARED)
    assert "must have constant leaves" in logs[0]["problem"]
    assert found.shape == (2, 2)


@pytest.mark.parametrize("error", [ImportError("no llvmlite"), KernelUnavailableError("no code")])
def test_without_machine_code_lightgbm_scores(text: str, monkeypatch: pytest.MonkeyPatch, error: Exception):
    def unavailable() -> None:
        raise error

    monkeypatch.setattr(learned, "kernels", unavailable)
    with structlog.testing.capture_logs() as logs:
        found = LearnedFunction(text, LAYOUT).on(MESSAGES)(SHARED)
    assert logs[0]["problem"] == str(error)
    monkeypatch.undo()
    np.testing.assert_array_equal(found, LearnedFunction(text, LAYOUT).on(MESSAGES)(SHARED))


def test_a_booster_of_other_columns_is_refused(text: str):
    with pytest.raises(ModelUnavailableError, match=r"booster\.txt must have 5 columns, got 6"):
        LearnedFunction(text, DesignLayout(customer=("a",), message=LAYOUT.message, context=("hour",)))


def test_with_a_stored_check_deciding_does_not_import_lightgbm(text: str, sets: LeafSets, tmp_path: Path):
    (tmp_path / "booster.txt").write_text(text)
    found_difference(text, sets, tmp_path)
    code = (
        "import sys, numpy as np; from pathlib import Path; from decisioning.value_model import DesignLayout\n"
        "from features.models.learned import LearnedFunction\n"
        f"folder = Path({str(tmp_path)!r})\n"
        "layout = DesignLayout(customer=('a', 'b'), message=('c', 'd', 'e'), context=('f',))\n"
        "score = LearnedFunction((folder / 'booster.txt').read_text(), layout, folder).on(np.ones((2, 3)))\n"
        "heavy = {'lightgbm', 'pandas', 'sklearn', 'polars', 'numba'}\n"
        "print(score(np.zeros((1, 3))).shape, sorted(heavy & set(sys.modules)))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "(1, 2) []\n"
