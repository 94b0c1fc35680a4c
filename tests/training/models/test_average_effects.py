"""Average effects: shrunk together, with errors that share silence, and never by the names of messages."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from training.data.datasets import messages_of
from training.models.average_effects import levels_of, likeness, shrink_averages

ALONE = (np.arange(4),)


def shared_silence(own: float, silence: float, k: int = 4) -> np.ndarray:
    """The covariance of differences from one silence."""
    return np.diag(np.full(k, own**2)) + silence**2


def test_averages_that_differ_by_noise_come_close_together_and_keep_their_order():
    averages = np.array([1.0, 1.2, 0.9, 1.1])
    shrunk = shrink_averages(averages, shared_silence(0.5, 0.0), ALONE)
    assert np.ptp(shrunk) < np.ptp(averages) / 3
    assert shrunk.mean() == pytest.approx(1.05)
    assert list(np.argsort(shrunk)) == list(np.argsort(averages))


def test_the_error_that_all_averages_share_does_not_hide_that_they_differ():
    averages = np.array([1.0, 2.0, 3.0, 4.0])
    shrunk = shrink_averages(averages, shared_silence(0.2, 5.0), ALONE)
    np.testing.assert_allclose(shrunk, averages, atol=0.1)


def test_averages_that_differ_clearly_stay_and_an_uncertain_one_moves_most():
    covariance = np.diag([0.1, 0.1, 3.0, 0.1]) ** 2
    shrunk = shrink_averages(np.array([1.0, 5.0, 9.0, 3.0]), covariance, ALONE)
    np.testing.assert_allclose(shrunk[[0, 1, 3]], [1.0, 5.0, 3.0], atol=0.05)
    assert 3.0 < shrunk[2] < 7.0


def test_an_uncertain_message_is_believed_to_be_like_its_kind():
    levels = (np.array([0, 0, 0, 1, 1, 1]), np.arange(6))
    averages = np.array([1.0, 1.2, 5.0, 8.0, 8.3, 5.0])
    covariance = np.diag([0.1, 0.1, 6.0, 0.1, 0.1, 6.0]) ** 2
    shrunk = shrink_averages(averages, covariance, levels)
    assert shrunk[2] < 2.5
    assert shrunk[5] > 6.5


def test_shrunk_averages_are_closer_to_the_truth_than_estimates_and_than_their_mean():
    rng = np.random.default_rng(4)
    lost = np.zeros(3)
    for _ in range(200):
        truth = rng.normal(2.0, 1.0, 12)
        covariance = shared_silence(1.0, 0.6, 12)
        averages = rng.multivariate_normal(truth, covariance)
        shrunk = shrink_averages(averages, covariance, (np.arange(12),))
        gaps = [one - truth for one in (shrunk, averages, np.full(12, averages.mean()))]
        lost += [float(((gap - gap.mean()) ** 2).mean()) for gap in gaps]
    assert lost[0] < 0.75 * min(lost[1], lost[2])


def test_a_level_that_few_groups_tell_of_is_believed_in_part():
    """Two kinds whose means differ by no more than their errors: neither one mean nor two."""
    levels = (np.array([0, 0, 0, 1, 1, 1]), np.arange(6))
    averages = np.array([1.0, 1.2, 1.1, 1.5, 1.7, 1.6])
    shrunk = shrink_averages(averages, shared_silence(0.5, 0.2, 6), levels)
    assert 0.05 < shrunk[3:].mean() - shrunk[:3].mean() < 0.4


def test_averages_without_any_error_stay():
    averages = np.array([1.0, 2.0, 4.0])
    shrunk = shrink_averages(averages, np.diag([0.0, 0.0, 1e-6]), (np.arange(3),))
    np.testing.assert_allclose(shrunk, averages, rtol=0.01)


@given(st.permutations(range(4)))
def test_the_order_of_messages_changes_nothing(order: list[int]):
    averages, covariance = np.array([1.0, 1.4, 0.2, 2.0]), np.diag([0.3, 0.5, 0.9, 0.2]) + 0.4
    shrunk = shrink_averages(averages, covariance, (np.array([0, 0, 1, 1]), np.arange(4)))
    places = np.array(order)
    turned = shrink_averages(
        averages[places], covariance[np.ix_(places, places)], (np.array([0, 0, 1, 1])[places], np.arange(4))
    )
    assert turned == pytest.approx(shrunk[places], rel=1e-4, abs=1e-6)


def test_one_message_is_believed_as_estimated():
    assert shrink_averages(np.array([3.0]), np.array([[4.0]]), (np.arange(1),)).tolist() == [3.0]


def test_levels_are_what_messages_share_and_only_where_it_tells_them_apart(shop_catalogue: Catalogue):
    sent = list(messages_of(shop_catalogue).values())
    levels = levels_of(sent)
    assert levels[-1].tolist() == list(range(len(sent)))
    assert len({tuple(level) for level in levels}) == len(levels)
    assert all(level.max() > 0 for level in levels)
    kinds = [message.offer.kind for message in sent]
    assert any(
        all((level[a] == level[b]) == (kinds[a] == kinds[b]) for a in range(len(sent)) for b in range(len(sent)))
        for level in levels
    )


def test_messages_that_share_nothing_have_only_themselves(shop_catalogue: Catalogue):
    [message] = list(messages_of(shop_catalogue).values())[:1]
    renamed = replace(message, offer=replace(message.offer, offer_id="other"))
    assert [level.tolist() for level in levels_of([message, renamed])] == [[0, 1]]


def test_likeness_is_one_within_a_group():
    assert likeness(np.array([0, 1, 0])).tolist() == [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
