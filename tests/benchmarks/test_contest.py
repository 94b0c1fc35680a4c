"""A contest from history to result, and the spread over worlds."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from benchmarks.contest.contest import NAMES, Contest, hold, over_seeds, rows_of
from decisioning.errors import InvalidInputError
from pipelines.simulation.contest.comparison import ORACLE_NAME


def test_a_spread_needs_two_worlds() -> None:
    with pytest.raises(InvalidInputError, match="two or more"):
        over_seeds(np.array([0.6]))
    assert over_seeds(np.array([0.6, 0.7])).value == pytest.approx(0.65)


def test_a_contest_trains_plays_and_evaluates_and_reuses_what_exists(tmp_path: Path):
    contest = Contest(
        folder=tmp_path, customers=250, weeks=2, history_days=90, seeds=(5,), ends_on=date(2026, 11, 1), workers=1
    )
    told: list[str] = []
    found = hold(contest, on_progress=told.append)
    again = hold(contest)
    comparison = found.comparisons[0]
    assert found.violations == 0
    assert {one.name for one in comparison.standings} == set(NAMES)
    assert {name: comparison.of(name).gain for name in NAMES} == {
        name: again.comparisons[0].of(name).gain for name in NAMES
    }
    assert comparison.of(ORACLE_NAME).gain.value == max(one.gain.value for one in comparison.standings)
    assert comparison.of(ORACLE_NAME).gain.value <= 1.3 * comparison.bound
    assert any("training" in one for one in told)
    assert [row[0] for row in rows_of(comparison)] == [one.name for one in reversed(comparison.standings)]
