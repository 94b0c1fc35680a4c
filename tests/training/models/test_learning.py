"""A trained model: right about a known truth, careful about noise, and reproducible."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import SILENCE, Message
from decisioning.value_model import DesignLayout, design_matrix
from features.models.bundle import load_value_model, value_model, write_bundle
from training.data.action_probabilities import SMALLEST_PROBABILITY, logged_choice
from training.data.datasets import Dataset, learning_of, messages_of
from training.judgement.diagnostics import calibration_groups, metrics_of, write_plots
from training.judgement.from_log import TWIN, Trial, try_out
from training.models.boosting import cross_fit, customer_folds, message_table, settings_for
from training.models.learner import Learned, learn
from training.models.new_offers import number_ranges, prior_of

SENT = ("double-stamps/email/plain", "free-coffee/email/plain", "opening-hours/email/plain", "ten-percent/email/plain")


def make_dataset(
    catalogue: Catalogue, *, seed: int = 1, customers: int = 1500, particular: float = 0.0, effect: float = 300.0
) -> Dataset:
    """Effects: spending x `effect` x (1, 0.2, 0, 2); taste shifts `particular` from the last message to the first."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(customers), 4)
    spend, taste = rng.gamma(4.0, 0.25, customers)[who], rng.choice([-1.0, 1.0], customers)[who]
    known = messages_of(catalogue)
    actions = rng.choice(5, len(who), p=[0.2] * 5)
    effects = np.outer(spend, effect * np.array([0.0, 1.0, 0.2, 0.0, 2.0]))
    effects[:, 1] += particular * taste
    effects[:, 4] -= particular * taste
    mean = 1000.0 * spend + effects[np.arange(len(who)), actions]
    features = np.column_stack([spend + rng.normal(0, 0.05, len(who)), taste, rng.normal(size=len(who))])
    decisions = pl.DataFrame(
        {
            "decision_id": [f"D{row}" for row in range(len(who))],
            "customer_id": [f"C{one}" for one in who],
            "decided_at": pl.datetime_range(
                pl.datetime(2026, 1, 1), pl.datetime(2026, 6, 1), eager=True, time_zone="UTC", interval="1h"
            ).sample(len(who), with_replacement=True, seed=seed),
        }
    )
    return Dataset(
        decisions=decisions,
        customers=who.astype(np.int64),
        features=features,
        feature_names=("spend", "taste", "noise"),
        contexts=np.column_stack([np.full(len(who), 7.0), np.zeros(len(who)), rng.integers(0, 7, len(who))]),
        messages=tuple(known[key] for key in SENT),
        actions=actions.astype(np.int64),
        probabilities=np.full(len(who), 0.2),
        values=rng.gamma(4.0, np.maximum(mean, 1.0) / 4.0),
    )


@pytest.fixture(scope="module")
def learned(shop_catalogue: Catalogue) -> Learned:
    return learn(make_dataset(shop_catalogue), shop_catalogue)


@pytest.fixture(scope="module")
def trial(shop_catalogue: Catalogue) -> Trial:
    found = try_out(make_dataset(shop_catalogue), None, shop_catalogue)
    assert found is not None
    return found


def values_of(learned: Learned, dataset: Dataset, messages: list[Message] | None = None) -> FloatArray:
    model = value_model(learned.bundle, version="1")
    rows = model.messages(messages or list(dataset.messages))
    return model.expected_values_of(
        np.stack(
            [design_matrix(one, rows, context) for one, context in zip(dataset.features, dataset.contexts, strict=True)]
        )
    )


def test_average_effects_and_the_best_message_are_found(learned: Learned):
    truth = np.array([300.0, 60.0, 0.0, 600.0])
    assert (np.abs(learned.effects.averages - truth) < 4 * learned.effects.standard_errors).all()
    assert learned.best_constant == "ten-percent/email/plain"
    assert learned.bundle.notes["best_constant"] == "ten-percent/email/plain"


def test_effects_grow_with_the_customers_spending(learned: Learned, shop_catalogue: Catalogue):
    other = make_dataset(shop_catalogue, seed=2, customers=300)
    values = values_of(learned, other)
    uplift = values[:, 4] - values[:, 0]
    big, small = other.features[:, 0] > 1.3, other.features[:, 0] < 0.7
    assert uplift[big].mean() > 1.5 * uplift[small].mean() > 0


def test_values_of_customers_not_trained_on_are_calibrated(learned: Learned, shop_catalogue: Catalogue):
    other = make_dataset(shop_catalogue, seed=3, customers=1500)
    own = values_of(learned, other)[np.arange(other.size), other.actions]
    assert own.mean() == pytest.approx(other.values.mean(), rel=0.04)
    groups = calibration_groups(other.values, own)
    assert (np.abs(groups[:, 0] - groups[:, 1]) < 5 * groups[:, 2]).all()


def test_noise_does_not_move_the_choice_away_from_the_best_message(learned: Learned, shop_catalogue: Catalogue):
    values = values_of(learned, make_dataset(shop_catalogue, seed=4, customers=400))
    assert (values.argmax(axis=1) == 4).mean() > 0.97


def test_real_differences_between_customers_are_used(shop_catalogue: Catalogue):
    tasteful = learn(make_dataset(shop_catalogue, particular=500.0), shop_catalogue)
    assert tasteful.parts.linear_share + tasteful.parts.specific_slope > 0.4
    other = make_dataset(shop_catalogue, seed=5, customers=300, particular=500.0)
    best = values_of(tasteful, other).argmax(axis=1)
    likes = other.features[:, 1] > 0
    assert (best[likes & (other.features[:, 0] < 1.5)] == 1).mean() > 0.7
    assert (best[~likes] == 4).mean() > 0.95
    assert tasteful.validation is not None
    assert tasteful.validation.gain_over_constant is not None
    assert tasteful.validation.gain_over_constant.lower > 0


def test_without_effects_silence_is_best_or_nearly_so(shop_catalogue: Catalogue):
    useless = learn(make_dataset(shop_catalogue, effect=0.0), shop_catalogue)
    values = values_of(useless, make_dataset(shop_catalogue, seed=6, customers=200, effect=0.0))
    assert np.abs(values[:, 1:] - values[:, :1]).max() < 60  # of a mean of 1,000


def test_a_message_that_earns_less_than_its_contact_costs_is_not_the_best_constant(shop_catalogue: Catalogue):
    """Ten percent adds 600 to the mean customer and 1,200 to one who spends twice as much; its contact costs 900."""
    dataset = make_dataset(shop_catalogue)
    dear = tuple(replace(one, channel=replace(one.channel, cost_minor=900.0)) for one in dataset.messages)
    found = learn(replace(dataset, messages=dear), shop_catalogue)
    assert found.best_constant == found.bundle.notes["best_constant"] == SILENCE
    assert found.validation is not None
    assert found.validation.constant is not None
    assert found.validation.constant.value == found.validation.silence.value
    assert found.validation.gain_over_silence.upper > 0  # little is gained, from those who spend much
    assert 0.02 < found.validation.deviation_share < 0.4
    assert found.validation.logged == pytest.approx(dataset.values.mean() - 900.0 * (dataset.actions > 0).mean())


def test_training_again_gives_the_same_model(learned: Learned, shop_catalogue: Catalogue):
    again = learn(make_dataset(shop_catalogue), shop_catalogue)
    assert again.bundle.digest == learned.bundle.digest


def test_a_written_model_scores_like_the_learned_one(learned: Learned, tmp_path):
    write_bundle(learned.bundle, tmp_path)
    dataset = learned.dataset.take(np.arange(learned.dataset.size) < 40)
    model = load_value_model(tmp_path)
    values = values_of(learned, dataset)
    on_fixed_messages = model.on(dataset.messages)
    for row in range(dataset.size):
        shared = np.concatenate([dataset.features[row], dataset.contexts[row]])[np.newaxis]
        np.testing.assert_array_equal(on_fixed_messages.of_columns(shared)[0], values[row])


def test_an_offer_never_sent_is_scored_from_its_attributes(learned: Learned, shop_catalogue: Catalogue):
    like = learned.dataset.messages[3]
    new = replace(like, offer=replace(like.offer, offer_id="twelve-percent", attributes={"difficulty": 22.0}))
    dataset = learned.dataset.take(np.arange(learned.dataset.size) < 60)
    values = values_of(learned, dataset, [like, new])
    uplift = (values[:, 1:] - values[:, :1]).mean(axis=0)
    assert 0 < uplift[1] < 1.5 * uplift[0]


def test_metrics_describe_the_quality_of_the_model(learned: Learned):
    metrics = metrics_of(learned)
    assert metrics["validation_value_lower"] < metrics["validation_value"] < metrics["validation_value_upper"]
    assert metrics["validation_value"] == pytest.approx(1600, rel=0.06)
    assert metrics["validation_silence"] == pytest.approx(1000, rel=0.08)
    assert metrics["validation_predicted_over_realised"] == pytest.approx(1.0, abs=0.05)
    assert metrics["cv_r2"] > 0.2
    assert metrics["forward_r2"] > 0.1
    assert set(metrics) > {"cv_r2_linear", "specific_slope", "validation_gain_over_best_constant_lower"}


def test_plots_are_drawn(learned: Learned, tmp_path):
    paths = write_plots(learned, tmp_path)
    assert [path.name for path in paths] == ["calibration.png", "importance.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_the_gain_curve_starts_at_0_and_ends_at_the_gain_of_messaging_everybody(trial: Trial):
    curve = trial.curve
    assert curve.gains[0] == 0.0
    assert curve.lower[-1] < 600.0 < curve.upper[-1]
    assert curve.gains[10] > 0.5 * curve.gains[-1]  # the more promising half first
    assert curve.beats_chance


def test_the_twins_estimate_for_held_back_customers_matches_the_truth(trial: Trial, shop_catalogue: Catalogue):
    """The best choice sends everybody the best message, which is worth 600 more than silence."""
    gain = trial.judgement.gain(TWIN, "silence")
    assert gain.lower < 600.0 < gain.upper
    assert abs(trial.judgement.gain(TWIN, "the best single message").value) < 20
    assert trial.judgement.customer_count == pytest.approx(300, abs=50)
    few = make_dataset(shop_catalogue, customers=60)
    assert try_out(few, None, shop_catalogue) is None


def test_a_model_without_knowledge_of_customers_is_reported_to_rank_them_at_random(shop_catalogue: Catalogue):
    said = [beats_chance_blindly(shop_catalogue, seed) for seed in (8, 9, 10)]
    assert sum(said) <= 1  # intervals of 95 % exclude chance in one case of 40


def beats_chance_blindly(catalogue: Catalogue, seed: int) -> bool:
    """Whether a model is said to order customers although its features are noise."""
    dataset = make_dataset(catalogue, seed=seed)
    rng = np.random.default_rng(seed)
    blind = replace(dataset, features=rng.normal(size=dataset.features.shape), contexts=np.zeros((dataset.size, 3)))
    found = try_out(blind, None, catalogue)
    assert found is not None
    return found.curve.beats_chance


def test_a_log_without_probabilities_gives_a_model_without_an_estimated_value(shop_catalogue: Catalogue):
    dataset = make_dataset(shop_catalogue, customers=600)
    guessed = learn(replace(dataset, probabilities=np.full(dataset.size, np.nan)), shop_catalogue)
    assert guessed.validation is None
    assert guessed.bundle.notes["is_randomised"] is False
    assert not any(name.startswith("validation") for name in metrics_of(guessed))
    assert guessed.best_constant == "ten-percent/email/plain"


def test_estimated_probabilities_follow_the_logged_choices(shop_catalogue: Catalogue):
    dataset = make_dataset(shop_catalogue, customers=1000)
    often = dataset.features[:, 0] > 1.0
    actions = np.where(often & (dataset.actions == 0), 4, dataset.actions)
    choice = logged_choice(replace(dataset, actions=actions, probabilities=np.full(dataset.size, np.nan)))
    assert not choice.is_randomised
    assert choice.probabilities[often & (actions == 4)].mean() > 0.3
    assert choice.probabilities[~often & (actions == 4)].mean() < 0.25
    assert (choice.probabilities >= SMALLEST_PROBABILITY).all()
    assert choice.weights(actions).mean() == pytest.approx(1.0)


def test_objectives_follow_the_measure(shop_catalogue: Catalogue):
    dataset = make_dataset(shop_catalogue, customers=100)
    _, money = learning_of(shop_catalogue)
    assert settings_for(dataset, money).objective == "tweedie"
    assert settings_for(replace(dataset, values=dataset.values - 900), money).objective == "regression"
    assert settings_for(dataset, shop_catalogue.measures["clicked"]).objective == "binary"


@pytest.mark.parametrize("kind", ["rate", "losses"])
def test_rates_and_losses_are_learned_too(shop_catalogue: Catalogue, kind: str):
    dataset = make_dataset(shop_catalogue, customers=1500)
    if kind == "rate":
        chance = 0.1 + 0.1 * (dataset.actions == 4)
        rng = np.random.default_rng(1)
        dataset = replace(dataset, values=(rng.random(dataset.size) < chance).astype(float))
        catalogue = replace(shop_catalogue, learning=replace(shop_catalogue.learning, measure_id="clicked"))
        effect, scale = 0.1, 0.03
    else:
        dataset, catalogue = replace(dataset, values=dataset.values - 900), shop_catalogue
        effect, scale = 600.0, 120.0
    learned = learn(dataset, catalogue)
    assert learned.effects.shrunk_averages[3] == pytest.approx(effect, abs=scale)
    assert learned.best_constant == "ten-percent/email/plain"
    values = learned.parts.values(learned.evidence.raw)
    assert (values[:, 4] - values[:, 0]).mean() == pytest.approx(effect, abs=scale)


def test_folds_keep_customers_together_so_that_their_own_outcomes_do_not_leak(shop_catalogue: Catalogue):
    dataset = make_dataset(shop_catalogue, customers=300)
    _, money = learning_of(shop_catalogue)
    settings = replace(settings_for(dataset, money), most_rounds=1)
    folds = customer_folds(dataset.customers, settings.fold_count, settings.seed)
    assert all(len(set(folds[dataset.customers == one])) == 1 for one in range(50))
    coding = learn(dataset, shop_catalogue, settings=settings).bundle.coding
    table = message_table(coding, dataset)
    layout = DesignLayout(customer=dataset.feature_names, message=coding.columns)
    first = cross_fit(dataset, table, layout, settings)
    changed = dataset.values.copy()
    changed[folds == 2] = changed[folds == 2][::-1]  # the same mean, so the same scale
    second = cross_fit(replace(dataset, values=changed), table, layout, settings)
    np.testing.assert_allclose(first.raw[folds == 2], second.raw[folds == 2], rtol=1e-9)
    assert (first.raw[folds == 1] != second.raw[folds == 1]).any()


def test_a_prior_for_new_offers_follows_attributes_carefully(learned: Learned):
    coding = learned.bundle.coding
    described = np.zeros((6, len(coding.columns)))
    described[:, 1] = [0, 0, 1, 1, 2, 2]
    described[:, 3] = [0, 10, 0, 10, 0, 10]
    shares = np.full(6, 1 / 6)
    prior = prior_of(coding, described, np.array([0.0, 10, 0, 10, 0, 10]), shares)
    assert 0.2 < prior.slopes["offer_difficulty"] < 1.0
    assert prior.start + 5 * prior.slopes["offer_difficulty"] == pytest.approx(5.0)
    assert prior.slopes["offer_kind=0"] == pytest.approx(0.0, abs=1e-9)
    assert number_ranges(coding, described, shares) == {"offer_difficulty": pytest.approx((0.0, 5.0, 10.0))}


def test_with_few_messages_nothing_is_learned_about_attributes(learned: Learned):
    described = np.zeros((3, len(learned.bundle.coding.columns)))
    described[:, 3] = [0, 5, 10]
    prior = prior_of(learned.bundle.coding, described, np.array([1.0, 2.0, 6.0]), np.full(3, 1 / 3))
    assert prior.start == pytest.approx(3.0)
    assert not prior.slopes
