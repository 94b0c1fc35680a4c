"""Texts by customers: in their language, with words for what happened."""

from collections.abc import Callable

import numpy as np
import pytest

from pipelines.simulation.events.texts import LANGUAGES, TEXTS, words_for
from pipelines.simulation.world.population import ZONES


@pytest.mark.parametrize("occasion", sorted(TEXTS))
def test_customers_write_in_their_own_language(occasion: str, make_world: Callable) -> None:
    world = make_world()
    everybody = np.arange(world.population.size)
    found = words_for(occasion, world.run_week(np.full(everybody.size, -1)), everybody)
    for zone, text in zip(world.population.zone.tolist(), found, strict=True):
        assert text in TEXTS[occasion][ZONES[zone][2][:2]]
    assert set(found) == {text for language in LANGUAGES for text in TEXTS[occasion][language]}


def test_a_lexicon_can_read_the_moods() -> None:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    mood = SentimentIntensityAnalyzer()
    for text in TEXTS["review_well"]["en"]:
        assert mood.polarity_scores(text)["compound"] > 0.3
    for occasion in ("post_bag", "complaint"):
        scores = [mood.polarity_scores(text)["compound"] for text in TEXTS[occasion]["en"]]
        assert min(scores) < -0.2
