"""Effects of messages: recovered from simulated logs with a known truth, and shrunk according to their evidence."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from decisioning.arrays import FloatArray
from training.data.action_probabilities import LoggedChoice
from training.models.effects import (
    MOST_REFERENCES,
    EffectEstimate,
    EffectEvidence,
    believe,
    estimate_effects,
    reference_weights,
    with_baseline,
)

AVERAGES = np.array([4.0, 8.0, 1.0])
PARTICULAR = np.array([0.0, 1.0, -1.0])


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A log with its known truth: `truth` has the expected value of every action, shape (n, k + 1)."""

    evidence: EffectEvidence
    truth: FloatArray


def make_world(seed: int, customers: int = 3000, *, decisions: int = 2, noise: float = 6.0) -> World:
    """Bigger spenders get messages more often and respond more; taste, unrelated to spending, favours one of two."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(customers), decisions)
    spend, taste = rng.gamma(4.0, 0.25, customers)[who], rng.normal(size=customers)[who]
    own = rng.normal(0, 2.0, customers)[who]
    effects = np.outer(spend, AVERAGES) + np.outer(taste, PARTICULAR)
    truth = np.hstack([10 * spend[:, np.newaxis], 10 * spend[:, np.newaxis] + effects])
    silence = np.where(spend > 1, 0.2, 0.5)
    chances = np.column_stack([silence, *([(1 - silence) / 3] * 3)])
    actions = (rng.random(len(who))[:, np.newaxis] > np.cumsum(chances, axis=1)).sum(axis=1).astype(np.int64)
    rows = np.arange(len(who))
    choice = LoggedChoice(
        probabilities=chances[rows, actions],
        shares=np.bincount(actions, minlength=4) / len(actions),
        is_randomised=True,
    )
    values = truth[rows, actions] + own + rng.normal(0, noise, len(who))
    return World(
        evidence=EffectEvidence(
            raw=truth,
            actions=actions,
            values=values,
            customers=who,
            choice=choice,
            levels=(np.arange(3),),
        ),
        truth=truth,
    )


def seen_as(world: World, raw: FloatArray) -> EffectEvidence:
    return replace(world.evidence, raw=raw)


def test_a_correct_booster_is_kept():
    world = make_world(1)
    effects = estimate_effects(world.evidence)
    assert effects.common.value == pytest.approx(1.0, abs=4 * effects.common.standard_error)
    assert effects.specific.value == pytest.approx(1.0, abs=4 * effects.specific.standard_error)
    assert effects.specific.standard_error < 0.2
    np.testing.assert_allclose(effects.responses, AVERAGES / AVERAGES.mean(), atol=0.15)


def test_messages_that_are_one_to_the_booster_differ_by_nothing_that_it_says():
    """What it says of each differs by rounding only, which a slope would blow up."""
    world = make_world(2, noise=300.0)  # averages are too unclear to say that one message does more than another
    same = world.truth[:, :1] + np.column_stack([np.zeros(len(world.truth)), *[0.1 * world.truth[:, 0]] * 3])
    same[:, 2] *= 1 + 1e-15
    effects = estimate_effects(seen_as(world, same))
    assert effects.specific.value == 0.0
    assert effects.specific.standard_error == np.inf


def test_averages_are_right_although_the_booster_is_uninformative_and_big_spenders_got_more_messages():
    world = make_world(2)
    blind = np.zeros_like(world.truth)
    effects = estimate_effects(seen_as(world, blind))
    assert (np.abs(effects.averages - AVERAGES) < 4 * effects.standard_errors).all()
    naive = [world.evidence.values[world.evidence.actions == a].mean() for a in range(4)]
    assert naive[1] - naive[0] > AVERAGES[0] + 1.0  # the result of a plain comparison


def test_an_exaggerating_booster_is_shrunk():
    world = make_world(3)
    silence = world.truth[:, :1]
    doubled = np.hstack([silence, silence + 2 * (world.truth[:, 1:] - silence)])
    effects = estimate_effects(seen_as(world, doubled))
    assert effects.common.value == pytest.approx(0.5, abs=0.1)
    assert effects.specific.value == pytest.approx(0.5, abs=0.2)


def test_noise_is_shrunk_almost_to_0():
    world = make_world(4)
    silence = world.truth[:, :1]
    noise = np.random.default_rng(0).normal(0, 3, (len(silence), 3))
    effects = estimate_effects(seen_as(world, np.hstack([silence, silence + AVERAGES + noise])))
    believed = believe(effects, seen_as(world, np.hstack([silence, silence + AVERAGES + noise])).raw)
    assert believed.specific_slope < 0.1
    assert believed.common_slope < 0.1


def test_intervals_of_effects_have_their_stated_coverage():
    inside = 0
    for seed in range(120):
        world = make_world(100 + seed, customers=300, decisions=3)
        effects = estimate_effects(world.evidence)
        truth = (world.truth[:, 1:] - world.truth[:, :1]).mean(axis=0)
        inside += int((np.abs(effects.averages - truth) < 1.96 * effects.standard_errors)[1])
    assert 104 <= inside <= 120  # 95 % of 120 is 114; four standard deviations


def test_slopes_are_shrunk_according_to_their_evidence():
    assert EffectEstimate(value=1.0, standard_error=0.1).shrunk == pytest.approx(0.99)
    assert EffectEstimate(value=1.0, standard_error=1.0).shrunk == 0.0
    assert EffectEstimate(value=-2.0, standard_error=0.1).shrunk == 0.0
    assert EffectEstimate(value=0.7, standard_error=0.0).shrunk == 0.7


def test_the_mean_effect_of_each_message_equals_its_average_whatever_the_slopes():
    world = make_world(5)
    effects = estimate_effects(world.evidence)
    for share in (0.0, 0.5, 1.0):
        believed = believe(effects, world.truth, specific_share=share)
        np.testing.assert_allclose(
            believed.effects(world.truth).mean(axis=0), effects.shrunk_averages, rtol=1e-9, atol=1e-9
        )


def test_slopes_are_at_most_proportional_so_that_small_effects_do_not_become_losses():
    world = make_world(6)
    halved = world.truth.copy()
    halved[:, 1:] = halved[:, :1] + (halved[:, 1:] - halved[:, :1]).mean(axis=0) * (
        1 + 0.5 * (halved[:, :1] / halved[:, :1].mean() - 1)
    )
    effects = estimate_effects(seen_as(world, halved))
    assert effects.common.value > 1.3  # the booster captures half of the differences between customers
    believed = believe(effects, halved, specific_share=0.0)
    assert believed.common_slope == pytest.approx(1.0, abs=0.15)
    assert (believed.effects(halved) > -0.5).all()


def test_without_effects_slopes_are_not_proportional():
    world = make_world(7)
    rng = np.random.default_rng(1)
    values = world.truth[:, 0] + rng.normal(0, 6, len(world.truth))
    effects = estimate_effects(replace(world.evidence, values=values))
    np.testing.assert_array_equal(effects.responses, np.ones(3))


def test_silence_is_calibrated_on_all_customers():
    world = make_world(8)
    wrong = 0.5 * world.truth + 3.0
    evidence = seen_as(world, wrong)
    effects = estimate_effects(evidence)
    parts = with_baseline(believe(effects, wrong), evidence)
    assert parts.baseline_slope == pytest.approx(2.0, abs=0.15)
    assert parts.baseline_intercept == pytest.approx(-6.0, abs=1.0)
    assert parts.values(wrong)[:, 0].mean() == pytest.approx(world.truth[:, 0].mean(), abs=0.4)


def test_a_learned_function_with_the_wrong_sign_leaves_silence_at_its_mean():
    world = make_world(9)
    evidence = seen_as(world, -world.truth)
    parts = with_baseline(believe(estimate_effects(evidence), evidence.raw), evidence)
    assert parts.baseline_slope == 0.0
    assert parts.baseline_intercept == pytest.approx(world.truth[:, 0].mean(), abs=0.7)


def test_only_the_most_frequent_messages_are_references():
    shares = np.arange(1.0, 21.0)
    weights = reference_weights(shares / shares.sum())
    assert np.count_nonzero(weights) == MOST_REFERENCES
    assert weights.sum() == pytest.approx(1.0)
    assert (weights[: 20 - MOST_REFERENCES] == 0).all()
