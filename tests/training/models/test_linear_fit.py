"""Linear effects: found where they are, nothing where they are not, and shared between messages that are alike."""

from dataclasses import replace

import numpy as np
import pytest

from decisioning.arrays import FloatArray, IntArray
from decisioning.effects.linear_basis import linear_effects
from training.data.action_probabilities import LoggedChoice
from training.models.effects import EffectEvidence, believe, estimate_effects, left_by_averages, mixture_of
from training.models.linear_fit import cross_fitted, fit_linear

KINDS = np.array([0, 0, 0, 1, 1, 1])


class Log:
    """Decisions with six messages of two kinds; customers have five features, of which `slopes` says what they do."""

    def __init__(self, slopes: FloatArray, *, n: int = 6000, noise: float = 3.0, seed: int = 1, repeats: int = 1):
        rng = np.random.default_rng(seed)
        self.features = np.repeat(rng.normal(size=(n // repeats, 5)), repeats, axis=0) * [1, 3, 0.1, 1, 1]
        deviations = self.features / [1, 3, 0.1, 1, 1]
        self.truth = deviations @ slopes.T
        size = len(self.features)
        customers = np.repeat(np.arange(n // repeats), repeats)
        chances = np.where(deviations[:, :1] > 0, [0.3, *[0.1] * 3, *[0.4 / 3] * 3], [0.1, *[0.2] * 3, *[0.1] * 3])
        actions = (rng.random(size)[:, np.newaxis] > np.cumsum(chances, axis=1)[:, :-1]).sum(axis=1).astype(np.int64)
        silence = 10.0 + 2.0 * deviations[:, 0]
        own = np.where(actions > 0, 0.5 + self.truth[np.arange(size), np.maximum(actions - 1, 0)], 0.0)
        self.evidence = EffectEvidence(
            raw=np.repeat(silence[:, np.newaxis], 7, axis=1),
            actions=actions,
            values=silence + own + rng.normal(0, noise, size),
            customers=customers.astype(np.int64),
            choice=LoggedChoice(
                probabilities=chances[np.arange(size), actions],
                shares=np.bincount(actions, minlength=7) / size,
                is_randomised=True,
            ),
            levels=(KINDS, np.arange(6)),
        )
        self.effects = estimate_effects(self.evidence)
        self.left = left_by_averages(self.evidence, self.effects)

    def fitted(self) -> FloatArray:
        return fit_linear(self.evidence, self.features, self.left).effects(self.features)


def by_kind(*, own: float = 0.0, seed: int = 3) -> FloatArray:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 0.4, (2, 5))[KINDS] + rng.normal(0, own, (6, 5))


def correlation(found: FloatArray, truth: FloatArray) -> float:
    return float(np.corrcoef(found.ravel(), truth.ravel())[0, 1])


def test_effects_are_found_whoever_was_messaged_more():
    log = Log(by_kind(own=0.2), noise=1.5)
    found = log.fitted()
    assert correlation(found, log.truth) > 0.95
    assert np.polyfit(found.ravel(), log.truth.ravel(), 1)[0] == pytest.approx(1.0, abs=0.1)


def test_what_is_believed_is_neither_too_much_nor_too_little_where_noise_is_strong():
    slopes = [
        np.polyfit(found.ravel(), log.truth.ravel(), 1)[0]
        for seed in range(8)
        for log in [Log(by_kind(own=0.2, seed=seed), n=4000, noise=6.0, seed=seed)]
        for found in [log.fitted()]
    ]
    assert np.mean(slopes) == pytest.approx(1.0, abs=0.2)


def test_where_customers_do_not_differ_next_to_nothing_is_found():
    found = [np.abs(Log(np.zeros((6, 5)), seed=seed).fitted()).mean() for seed in range(6)]
    assert np.median(found) < 0.05


def test_messages_of_a_kind_are_learned_from_each_other():
    log = Log(by_kind(), n=6000, noise=4.0)
    alone = replace(log.evidence, levels=(np.arange(6),))
    separate = fit_linear(alone, log.features, log.left).effects(log.features)
    lost = [float(((found - log.truth) ** 2).mean()) for found in (log.fitted(), separate)]
    assert lost[0] < 0.8 * lost[1]


def test_decisions_logged_twice_are_not_believed_twice():
    once, twice = Log(by_kind(), n=2000, noise=4.0), Log(by_kind(), n=2000, noise=4.0)
    rows = np.repeat(np.arange(2000), 2)
    twice.evidence, twice.left, twice.features = twice.evidence.take(rows), twice.left[rows], twice.features[rows]
    assert np.abs(twice.fitted()).mean() == pytest.approx(np.abs(once.fitted()).mean(), rel=0.25)


def test_missing_infinite_constant_and_copied_features_do_no_harm():
    log = Log(by_kind(), noise=1.5)
    rng = np.random.default_rng(1)
    odd = np.column_stack(
        [
            np.where(rng.random(log.features.shape) < 0.1, np.nan, log.features),
            np.full(len(log.features), 7.0),
            log.features[:, 0],
            np.full(len(log.features), np.nan),
            np.where(rng.random(len(log.features)) < 0.01, np.inf, log.features[:, 1]),
        ]
    )
    found = fit_linear(log.evidence, odd, log.left).effects(odd)
    assert np.isfinite(found).all()
    assert correlation(found, log.truth) > 0.85


def test_nothing_known_of_anybody_gives_no_effects():
    log = Log(by_kind(), n=600)
    fitted = fit_linear(log.evidence, np.full((len(log.left), 5), np.nan), log.left)
    assert (fitted.effects(np.full((3, 5), 2.0)) == 0).all()
    assert fitted.factors(4)[1].shape == (6, 4)


def test_few_numbers_give_the_effects_of_many_features_and_leave_averages_alone():
    log = Log(by_kind(own=0.2), noise=1.5)
    fitted = fit_linear(log.evidence, log.features, log.left)
    for count, tolerance in ((5, 1e-9), (8, 1e-9), (2, 0.4)):
        basis, loadings = fitted.factors(count)
        said = linear_effects(basis.of(log.features), loadings)
        assert loadings.shape == (6, count)
        np.testing.assert_allclose(said, fitted.effects(log.features), atol=tolerance * np.abs(log.truth).max())
        weights = log.evidence.choice.weights(log.evidence.actions)
        np.testing.assert_allclose(np.average(said, axis=0, weights=weights), 0.0, atol=1e-9)


def test_cross_fitted_effects_come_from_other_customers():
    log = Log(by_kind(own=0.2), n=1200)
    folds = np.arange(len(log.left)) % 3
    found = cross_fitted(log.evidence, log.features, log.left, folds)
    held = folds == 1
    changed = np.where(held, 1e6, log.left)
    again = cross_fitted(log.evidence, log.features, changed, folds)
    np.testing.assert_array_equal(found[held], again[held])
    assert not np.array_equal(found[~held], again[~held])


def with_linear(log: Log, linear: FloatArray) -> EffectEvidence:
    return replace(log.evidence, linear=linear)


def folds_of(log: Log) -> IntArray:
    return np.arange(len(log.left)) % 5


def test_linear_effects_that_are_right_are_taken_and_boosters_that_see_nothing_are_not_missed():
    log = Log(by_kind(own=0.2), noise=1.5)
    evidence = with_linear(log, cross_fitted(log.evidence, log.features, log.left, folds_of(log)))
    boosted = believe(log.effects, evidence.raw)
    mixture = mixture_of(evidence, log.effects, log.left, boosted)
    assert mixture.linear == pytest.approx(1.0, abs=0.1)
    parts = believe(log.effects, evidence.raw, mixture=mixture)
    assert correlation(parts.effects(evidence.raw, evidence.linear), log.truth) > 0.9


def test_boosters_that_see_what_is_not_linear_are_taken_too():
    log = Log(np.zeros((6, 5)), noise=1.5, n=12_000)
    bend = np.outer(np.abs(log.features[:, 3]) - 0.8, [1.0, 1.0, 1.0, -1.0, -1.0, -1.0])
    rows, actions = np.arange(len(log.left)), log.evidence.actions
    bent = np.where(actions > 0, bend[rows, np.maximum(actions - 1, 0)], 0.0)
    raw = log.evidence.raw + np.column_stack([np.zeros(len(bend)), bend])
    evidence = replace(log.evidence, raw=raw, values=log.evidence.values + bent)
    effects = estimate_effects(evidence)
    left = left_by_averages(evidence, effects)
    evidence = replace(evidence, linear=cross_fitted(evidence, log.features, left, folds_of(log)))
    mixture = mixture_of(evidence, effects, left, believe(effects, raw))
    assert mixture.boosted > 0.8
    said = believe(effects, raw, mixture=mixture).effects(raw, evidence.linear)
    assert correlation(said - said.mean(axis=0), bend - bend.mean(axis=0)) > 0.9
