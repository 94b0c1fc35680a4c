"""Guardrails of a canary: slow and failing ones break, and noise never does, however often one looks."""

from math import sqrt

import numpy as np

from training.registry.canary_guard import GuardReading, always_valid_reach, guard_by_counts


def broken(**counts: float) -> list[str]:
    told = {name.replace("_", "/"): number for name, number in counts.items()}
    return [one.name for one in guard_by_counts(told) if one.is_broken]


def test_a_canary_that_fails_often_breaks_and_one_that_failed_four_times_does_not() -> None:
    assert broken(canary_scored=100, canary_failed=5) == ["failed scorings"]
    assert broken(canary_scored=100, canary_failed=4) == []
    assert broken(canary_scored=100_000, canary_failed=5) == []
    assert broken() == []


def test_a_slow_canary_breaks_once_enough_was_scored() -> None:
    slow = {"canary_scored": 300, "canary_seconds": 3.0, "champion_scored": 300, "champion_seconds": 0.3}
    assert broken(**slow) == ["seconds to score a customer"]
    assert broken(**{**slow, "canary_scored": 100, "canary_seconds": 1.0}) == []
    assert broken(**{**slow, "canary_seconds": 0.5}) == []
    assert broken(**{**slow, "canary_seconds": 0.9, "champion_seconds": 0.6}) == []


def test_equal_groups_hardly_ever_break_at_any_of_many_looks() -> None:
    rng, runs, looks = np.random.default_rng(4), 400, range(50, 3_000, 25)
    ever = 0
    for _ in range(runs):
        ours, theirs = rng.gamma(0.3, 40.0, (2, looks[-1]))
        for count in looks:
            one, other = ours[:count], theirs[:count]
            error = sqrt((one.var(ddof=1) + other.var(ddof=1)) / count)
            if one.mean() - other.mean() + always_valid_reach(error, count) < 0:
                ever += 1
                break
    assert ever / runs <= 0.01


def test_a_reading_tells_the_interval_where_there_is_one() -> None:
    assert GuardReading(name="x", canary=1.0, champion=2.0).words == "x 1 against 2"
    told = GuardReading(name="x", canary=1.0, champion=2.0, lower=-3.0, upper=1.0).words
    assert told == "x 1 against 2 [-3, +1]"
