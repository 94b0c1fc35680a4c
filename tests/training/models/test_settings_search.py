"""Settings are replaced only by settings that are better beyond noise."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from tests.training.models.test_learning import make_dataset
from training.models.boosting import BoosterSettings
from training.models.settings_search import Attempt, SettingsSearch, search_settings, write_trials
from training.off_policy.estimators import Estimate, mean_estimate


def test_trials_start_from_the_usual_settings_and_are_told_in_a_table(shop_catalogue: Catalogue, tmp_path):
    told: list[tuple[int, int]] = []
    dataset = make_dataset(shop_catalogue, customers=400)
    search = search_settings(dataset, shop_catalogue, trials=3, on_progress=lambda *one: told.append(one))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert search.attempts[0].gain.value == 0.0
    assert len({one.settings for one in search.attempts}) == 3
    assert search.best.value.value == max(one.value.value for one in search.attempts)
    again = search_settings(dataset, shop_catalogue, trials=3)
    assert [one.settings for one in again.attempts] == [one.settings for one in search.attempts]
    (path,) = write_trials(search, tmp_path)
    table = pl.read_csv(path)
    assert table["learning_rate"].to_list() == [one.settings.learning_rate for one in search.attempts]
    assert table["gain"].to_list() == [one.gain.value for one in search.attempts]


def attempts_with(gains: list[float], error: float) -> SettingsSearch:
    usual = estimate(0.0, error)
    made = [Attempt(settings=BoosterSettings(objective="binary"), value=usual, gain=usual)]
    for place, gain in enumerate(gains):
        settings = BoosterSettings(objective="binary", seed=100 + place)
        made.append(Attempt(settings=settings, value=estimate(gain, error), gain=estimate(gain, error)))
    return SettingsSearch(attempts=made)


def estimate(value: float, error: float) -> Estimate:
    found = mean_estimate(np.array([value - 1.0, value + 1.0]), np.array([0, 1]))
    return replace(found, standard_error=error)


def test_the_usual_settings_stay_where_the_best_of_many_may_be_noise():
    search = attempts_with([0.5, -0.2, 2.1, 0.1], error=1.0)  # 2.1 errors, the best of five
    assert not search.is_better
    assert search.chosen is search.attempts[0].settings
    assert "may be noise, so the usual settings stay" in search.note


def test_settings_that_are_better_beyond_noise_are_used():
    search = attempts_with([0.5, 4.0], error=1.0)
    assert search.chosen is search.attempts[2].settings
    assert search.note.endswith("they are used")


def test_a_log_without_probabilities_cannot_be_searched(shop_catalogue: Catalogue):
    dataset = make_dataset(shop_catalogue, customers=60)
    unknown = replace(dataset, probabilities=np.full(dataset.size, np.nan))
    with pytest.raises(InvalidInputError, match="leave --trials out"):
        search_settings(unknown, shop_catalogue, trials=2)
