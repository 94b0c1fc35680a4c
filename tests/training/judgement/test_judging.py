"""Evaluation of models on held-back decisions with a known truth, and the promotion rules built on it."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from decisioning.arrays import FloatArray
from decisioning.catalogue.measure import Unit
from decisioning.catalogue.message import SILENCE
from decisioning.effects.message_coding import MessageCoding
from decisioning.errors import InsufficientDataError, InvalidInputError
from decisioning.value_model import DesignLayout, ValueModel
from tests.training.judgement.plain_model import plain_model
from training.data.datasets import Dataset, messages_of
from training.data.net_worth import NetWorth
from training.data.steps import NOTHING_FOLLOWS, Steps
from training.judgement.comparison import (
    LOGGED_RULE,
    SENT_RULE,
    SILENCE_RULE,
    SINGLE_RULE,
    Judgement,
    judge_choices,
    judge_kept,
)
from training.judgement.from_log import TWIN, constant_of
from training.judgement.gain_curve import gain_curve
from training.judgement.held_back import HELD_BACK_SHARE, can_be_judged, held_back, learned_from, steps_among
from training.off_policy.estimators import Estimate
from training.registry.promotion_gate import CHAMPION, Challenge, check_contest

SENT = ("double-stamps/email/plain", "ten-percent/email/plain")
GAIN = 120.0
"""What the right message adds: the first for customers who like it, the second for the others; a wrong one loses it."""


def make_decisions(catalogue, *, seed: int, customers: int = 500, per_customer: int = 6) -> Dataset:
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(customers), per_customer)
    taste, spend = rng.choice([-1.0, 1.0], customers)[who], rng.gamma(2.0, 300.0, customers)[who]
    actions = rng.choice(3, len(who), p=[0.4, 0.3, 0.3]).astype(np.int64)
    mean = spend + GAIN * taste * np.array([0.0, 1.0, -1.0])[actions]
    known = messages_of(catalogue)
    return Dataset(
        decisions=pl.DataFrame({"decision_id": [f"D{row}" for row in range(len(who))]}),
        customers=who.astype(np.int64),
        features=taste[:, np.newaxis],
        feature_names=("taste",),
        contexts=np.column_stack([np.full(len(who), 7.0), np.zeros(len(who)), np.zeros(len(who))]),
        messages=tuple(known[key] for key in SENT),
        actions=actions,
        probabilities=np.array([0.4, 0.3, 0.3])[actions],
        values=mean + rng.normal(0, 250, len(who)),
    )


def made_model(catalogue, *, right: float = 1.0, seed: int = 0) -> ValueModel:
    """A model that knows the taste of a share of customers and has it reversed for the others.

    The seed decides which ones; with 0.5 it knows nothing.
    """
    coding = MessageCoding(
        offer_kinds=catalogue.offer_kinds,
        channels=tuple(sorted(catalogue.channels)),
        attributes=catalogue.offer_attributes,
    )
    layout = DesignLayout(customer=("taste",), message=coding.columns)
    kind = layout.columns.index("offer_kind")
    first = float(catalogue.offer_kinds.index("points"))

    def predict(matrix: FloatArray) -> FloatArray:
        blocks = matrix.reshape(-1, 3, matrix.shape[1])
        draws = np.random.default_rng(seed).random(len(blocks))
        seen = blocks[:, :1, 0] * np.where(draws < right, 1.0, -1.0)[:, np.newaxis]
        sign = np.where(np.isnan(blocks[..., kind]), 0.0, np.where(blocks[..., kind] == first, 1.0, -1.0))
        return (600.0 + GAIN * seen * sign).ravel()

    return plain_model(layout, replace(coding, offsets=dict.fromkeys(SENT, 0.0)), predict)


def contest_of(catalogue, *, candidate: float, champion: float, seed: int, customers: int = 500) -> Judgement:
    models = {
        TWIN: made_model(catalogue, right=candidate, seed=seed),
        CHAMPION: made_model(catalogue, right=champion, seed=seed + 1),
    }
    return judge_choices(make_decisions(catalogue, seed=seed, customers=customers), models, SENT[0])


def verdict(judgement: Judgement, *, change_cost: float = 0.0) -> str:
    try:
        return check_contest(Challenge(judgement=judgement, has_seen=False), "2", "1", change_cost=change_cost)
    except (InvalidInputError, InsufficientDataError) as error:
        return f"{type(error).__name__}: {error}"


def test_estimated_values_of_models_and_rules_match_the_truth(shop_catalogue):
    judged = contest_of(shop_catalogue, candidate=1.0, champion=0.5, seed=1, customers=3000)
    for found, truth in (
        (judged.gain(TWIN, SILENCE_RULE), GAIN),
        (judged.gain(CHAMPION, SILENCE_RULE), 0.0),
        (judged.gain(TWIN, SINGLE_RULE), GAIN),
        (judged.gain(TWIN, CHAMPION), GAIN),
        (judged.value(SILENCE_RULE), 600.0),
    ):
        assert abs(found.value - truth) < 4 * found.standard_error
    assert judged.support == pytest.approx(1.0, abs=0.05)


def test_the_log_as_it_was_drawn_is_worth_its_mean_less_what_its_contacts_cost(shop_catalogue):
    dataset = make_decisions(shop_catalogue, seed=24, customers=2000)
    judged = judge_choices(dataset, {TWIN: made_model(shop_catalogue)}, SENT[0], dear(dataset, 10.0))
    sent = (dataset.actions > 0).mean()
    assert judged.value(LOGGED_RULE).value == pytest.approx(dataset.values.mean() - 10.0 * sent)
    gain = judged.gain(TWIN, LOGGED_RULE)  # the log hits and misses alike and pays for six contacts in ten
    assert abs(gain.value - (GAIN - 10.0 + 6.0)) < 4 * gain.standard_error


def test_a_model_that_hardly_any_log_tried_is_not_surely_better_than_the_log(shop_catalogue):
    """One decision in twenty got what the model always sends; what it says of it is a guess."""
    dataset = make_decisions(shop_catalogue, seed=25, customers=40)
    rare = np.random.default_rng(1).random(dataset.size) < 0.03
    log = replace(dataset, actions=rare.astype(np.int64), probabilities=np.where(rare, 0.03, 0.97))
    bold = replace(made_model(shop_catalogue), predict=lambda matrix: 600.0 + 300.0 * (matrix[:, 1] != 1.0))
    gain = judge_choices(log, {TWIN: bold}, SENT[0]).gain(TWIN, LOGGED_RULE)
    assert gain.lower < 0 < gain.upper


def test_models_choose_over_the_window_they_serve_with(shop_catalogue):
    """Half of the decisions were counted for three days; asked about three days, the model would turn round."""
    dataset = make_decisions(shop_catalogue, seed=26)
    short = dataset.contexts.copy()
    short[::2, 0] = 3.0
    model = made_model(shop_catalogue)
    window = model.layout.columns.index("window_days")

    def turned(matrix: FloatArray) -> FloatArray:
        return 600.0 + np.where(matrix[:, window] < 7, -1.0, 1.0) * (model.predict(matrix) - 600.0)

    log, turning = replace(dataset, contexts=short), replace(model, predict=turned)
    choices = judge_choices(log, {TWIN: turning}, SENT[0]).tries
    plain = judge_choices(dataset, {TWIN: model}, SENT[0]).tries
    assert choices is not None
    assert plain is not None
    np.testing.assert_array_equal(choices.choices[TWIN], plain.choices[TWIN])


def dear(dataset: Dataset, cost: float) -> NetWorth:
    return replace(NetWorth.of(dataset.messages, Unit.MONEY), costs=np.array([0.0, cost, cost]))


def test_silence_wins_where_messages_earn_less_than_they_cost(shop_catalogue):
    """The right message earns 120 and its contact costs 180; a model that knows the effects keeps silent."""
    dataset = make_decisions(shop_catalogue, seed=21, customers=2000)
    judged = judge_choices(dataset, {TWIN: made_model(shop_catalogue)}, SENT[0], dear(dataset, 180.0))
    single = judged.gain(SINGLE_RULE, SILENCE_RULE)
    assert single.lower < -180.0 < single.upper
    assert judged.gain(TWIN, SILENCE_RULE).value == 0
    assert judged.gain(TWIN, SINGLE_RULE).lower > 0
    assert not (judged.order.uplifts > 0).any()


def test_a_cost_is_taken_off_what_is_sent_and_off_nothing_else(shop_catalogue):
    dataset = make_decisions(shop_catalogue, seed=22)
    models = {TWIN: made_model(shop_catalogue)}
    gross, net = (judge_choices(dataset, models, SENT[0], dear(dataset, cost)) for cost in (0.0, 50.0))
    assert net.gain(TWIN, SILENCE_RULE).value == pytest.approx(gross.gain(TWIN, SILENCE_RULE).value - 50.0)
    assert net.value(SILENCE_RULE).value == gross.value(SILENCE_RULE).value


def test_messages_that_cost_more_than_they_add_are_not_kept(shop_catalogue):
    dataset = make_decisions(shop_catalogue, seed=23, customers=2000)
    silence = np.full(dataset.size, 600.0)
    models = {TWIN: made_model(shop_catalogue)}
    judged = judge_kept(dataset, models, dataset.values, silence, dear(dataset, 180.0))
    everything = judged.gain(SENT_RULE, SILENCE_RULE)
    assert everything.lower < 0.6 * -180.0 < everything.upper  # six in ten were sent something, half of it right
    assert judged.gain(TWIN, SILENCE_RULE).value == 0


def test_the_best_single_message_is_found_net_of_its_contact(shop_catalogue, value_bundle):
    """Push costs half as much as e-mail, so a message that adds a little less by push is the better one."""
    mail, push, nothing = "ten-percent/email/plain", "ten-percent/push/plain", "double-stamps/push/plain"
    noted = {"best_constant": mail, "average_effects": {mail: 6.0, push: 5.9, nothing: 0.4}}
    assert constant_of(value_bundle(shop_catalogue, notes=noted), shop_catalogue) == push
    little = {"best_constant": nothing, "average_effects": {nothing: 0.4}}
    assert constant_of(value_bundle(shop_catalogue, notes=little), shop_catalogue) == SILENCE


def test_a_small_log_that_hardly_tried_a_message_gives_no_conclusion(shop_catalogue):
    """The model always sends the first message and is wrong; the 40 customers in the log hardly ever got it."""
    covered = conclusive = 0
    for seed in range(60):
        part = make_decisions(shop_catalogue, seed=seed, customers=40)
        alone = part.take(np.append(True, np.diff(part.customers) != 0))
        rare = np.random.default_rng(seed).random(alone.size) < 0.05
        noise = np.random.default_rng(seed + 1).normal(0, 400, alone.size)
        log = replace(
            alone,
            actions=rare.astype(np.int64),
            probabilities=np.where(rare, 0.05, 0.95),
            values=600.0 - 100.0 * rare + noise,
        )
        bold = replace(made_model(shop_catalogue), predict=lambda matrix: 600.0 + 300.0 * (matrix[:, 1] != 1.0))
        gain = judge_choices(log, {TWIN: bold}, SENT[0]).gain(TWIN, SILENCE_RULE)
        covered += gain.lower <= -100.0 <= gain.upper
        conclusive += gain.lower > 0
    assert covered > 54
    assert conclusive < 3


def test_intervals_of_paired_differences_have_their_stated_coverage(shop_catalogue):
    truth, covered = 2 * GAIN * 0.2, 0
    for seed in range(200):
        gap = contest_of(shop_catalogue, candidate=1.0, champion=0.8, seed=3 * seed, customers=120).gain(TWIN, CHAMPION)
        covered += gap.lower <= truth <= gap.upper
    assert 0.90 <= covered / 200 <= 0.99


def test_noise_shared_by_two_models_cancels_out(shop_catalogue):
    judged = contest_of(shop_catalogue, candidate=1.0, champion=0.95, seed=5)
    apart = np.hypot(judged.value(TWIN).standard_error, judged.value(CHAMPION).standard_error)
    assert judged.gain(TWIN, CHAMPION).standard_error < 0.4 * apart


def test_a_model_compared_with_itself_has_difference_0_and_passes(shop_catalogue):
    model = made_model(shop_catalogue)
    judged = judge_choices(make_decisions(shop_catalogue, seed=6), {TWIN: model, CHAMPION: model}, SENT[0])
    gap = judged.gain(TWIN, CHAMPION)
    assert (gap.value, gap.standard_error) == (0.0, 0.0)
    assert verdict(judged).startswith("not worse than champion 1: +0 [+0, +0] a decision on 3,000 decisions of 500")


def test_a_loss_of_two_thirds_of_the_gain_is_refused_and_a_better_model_passes(shop_catalogue):
    """The champion gains 120, a candidate that is wrong for one customer in three 40; 500 customers reveal it."""
    refused = passed = equal = 0
    for seed in range(60):
        refused += "must not be worse than champion" in verdict(
            contest_of(shop_catalogue, candidate=2 / 3, champion=1.0, seed=100 + 2 * seed)
        )
        passed += verdict(contest_of(shop_catalogue, candidate=1.0, champion=2 / 3, seed=500 + 2 * seed)).startswith(
            "not worse"
        )
        equal += verdict(contest_of(shop_catalogue, candidate=0.99, champion=0.99, seed=900 + 2 * seed)).startswith(
            "not worse"
        )
    assert refused >= 59
    assert passed == 60
    assert equal >= 45


def test_with_too_little_data_the_result_is_unknown_and_the_message_says_what_to_do(shop_catalogue):
    found = {
        verdict(contest_of(shop_catalogue, candidate=0.9, champion=0.97, seed=2 * seed, customers=40))
        for seed in range(40)
    }
    unsure = [one for one in found if one.startswith("InsufficientDataError")]
    assert unsure
    assert "must be certain to lose no more than" in unsure[0]
    assert "log more, keep the champion, or overrule with --force --reason" in unsure[0]


def test_if_a_change_has_a_cost_a_candidate_must_be_better_by_more(shop_catalogue):
    judged = contest_of(shop_catalogue, candidate=1.0, champion=2 / 3, seed=7)
    gap = judged.gain(TWIN, CHAMPION)
    assert verdict(judged, change_cost=gap.lower - 1).startswith("not worse")
    assert "must be better than champion 1 by more than a change costs" in verdict(judged, change_cost=gap.lower + 1)
    model = made_model(shop_catalogue)
    same = judge_choices(make_decisions(shop_catalogue, seed=6), {TWIN: model, CHAMPION: model}, SENT[0])
    assert "learning.change_cost" in verdict(same, change_cost=0.1)


def test_a_candidate_worse_than_silence_is_refused_though_better_than_the_champion(shop_catalogue):
    judged = contest_of(shop_catalogue, candidate=0.2, champion=0.0, seed=8)
    assert "must not be worse than silence" in verdict(judged)


def test_a_champion_that_learned_from_the_customers_is_named(shop_catalogue):
    judged = contest_of(shop_catalogue, candidate=1.0, champion=2 / 3, seed=9)
    words = check_contest(Challenge(judgement=judged, has_seen=True), "2", "1", change_cost=0.0)
    assert "champion 1 learned from them, which flatters it" in words


def test_a_model_whose_layout_differs_is_scored_by_the_names_of_features(shop_catalogue):
    dataset = make_decisions(shop_catalogue, seed=10)
    wider = replace(
        dataset,
        features=np.column_stack([np.ones(dataset.size), dataset.features]),
        feature_names=("new", "taste"),
    )
    plain, by_name = (
        judge_choices(one, {TWIN: made_model(shop_catalogue)}, SENT[0]).value(TWIN).value for one in (dataset, wider)
    )
    assert plain == by_name


def test_sending_or_holding_logged_messages_is_compared_with_sending_all(shop_catalogue):
    dataset = make_decisions(shop_catalogue, seed=11, customers=2000)
    silence = np.full(dataset.size, 600.0)
    judged = judge_kept(dataset, {TWIN: made_model(shop_catalogue)}, dataset.values, silence)
    assert judged.rules == (SILENCE_RULE, SENT_RULE)
    kept, everything = judged.gain(TWIN, SILENCE_RULE), judged.gain(TWIN, SENT_RULE)
    assert abs(kept.value - 0.3 * GAIN) < 4 * kept.standard_error  # six in ten were sent something, half of it right
    assert abs(everything.value - 0.3 * GAIN) < 4 * everything.standard_error  # all sent: nothing gained on balance
    assert judged.order.curve().beats_chance


def test_the_band_of_a_gain_curve_covers_its_true_area():
    rng = np.random.default_rng(1)
    customers = np.repeat(np.arange(800), 5)
    uplift = rng.uniform(-1, 1, 800)[customers]
    curve = gain_curve(uplift, 100 * uplift + rng.normal(0, 300, len(customers)), customers)
    assert curve.area_lower < 100 * 1 / 3 < curve.area_upper  # C(q) - q C(1) = 100 (q - q^2), twice its integral
    assert curve.gains[10] == pytest.approx(25.0, abs=12.0)
    assert (curve.lower <= curve.gains).all()
    assert (curve.gains <= curve.upper).all()
    assert curve.beats_chance


def test_a_random_order_is_called_better_in_one_case_of_forty():
    hits = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        customers = np.repeat(np.arange(100), 3)
        hits += gain_curve(rng.random(300), 50 + rng.normal(0, 300, 300), customers).beats_chance
    assert hits <= 4


def test_equal_predictions_do_not_rank_customers():
    rng = np.random.default_rng(2)
    gains = np.sort(rng.normal(0, 1, 200))  # in any order of rows
    curve = gain_curve(np.zeros(200), gains, np.arange(200))
    assert curve.area == pytest.approx(0.0, abs=1e-12)
    assert not curve.beats_chance


def test_whether_a_customer_is_held_back_does_not_depend_on_others_in_the_log():
    everybody = pl.Series([f"C-{number}" for number in range(2000)])
    all_held, some_held = held_back(everybody), held_back(everybody[500:])
    np.testing.assert_array_equal(all_held[500:], some_held)
    assert all_held.mean() == pytest.approx(HELD_BACK_SHARE, abs=0.03)


def test_the_remaining_dataset_looks_as_if_nothing_else_had_been_logged(shop_catalogue):
    dataset = make_decisions(shop_catalogue, seed=12)
    part = learned_from(dataset, (dataset.actions != 1) & (dataset.customers % 2 == 1))
    assert [message.key for message in part.messages] == [SENT[1]]
    assert set(part.actions) == {0, 1}
    assert set(part.customers) == set(range(250))
    assert can_be_judged(dataset, dataset.customers < 30)
    assert not can_be_judged(dataset, dataset.customers < 29)
    assert not can_be_judged(dataset, (dataset.customers < 30) | (dataset.actions > 0))


def test_steps_of_whole_customers_keep_their_followers():
    following = np.array([2, 3, NOTHING_FOLLOWS, NOTHING_FOLLOWS])
    steps = Steps(
        following=following, early=np.arange(4.0), stages=np.arange(4), is_seen=np.array([True, False, True, False])
    )
    part = steps_among(steps, np.array([False, True, False, True]))
    assert part.following.tolist() == [1, NOTHING_FOLLOWS]
    assert part.early.tolist() == [1.0, 3.0]


def test_estimates_count_their_customers(shop_catalogue):
    judged = contest_of(shop_catalogue, candidate=1.0, champion=1.0, seed=13)
    assert (judged.decisions, judged.customer_count) == (3000, 500)
    assert isinstance(judged.value(TWIN), Estimate)
