"""Evaluation within limits: every wave keeps them, by an optimal plan that is compared with drawing at random."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.journey import Touchpoint
from decisioning.catalogue.limits import Limit, LimitScope, Period
from decisioning.errors import InvalidInputError
from features.history import History
from features.models.bundle import value_model
from features.settings import Settings
from pipelines.audit.limited_evaluation import LIMITED, RANDOM, limited_document, with_planned
from pipelines.audit.wave_plan import LimitedPolicy, WaveLimits, plan_waves, spread_evenly
from training.off_policy.evaluation import Judged, judge
from training.off_policy.output import chosen_frame
from training.off_policy.rewards import reward_of

TEN, DOUBLE = "ten-percent/email/plain", "double-stamps/email/plain"


@pytest.fixture(scope="module")
def catalogue(shop_catalogue: Catalogue) -> Catalogue:
    mail = Touchpoint(touchpoint_id="weekly-mail", channels=frozenset({"email"}))
    return replace(shop_catalogue, touchpoints={"weekly-mail": mail})


@pytest.fixture(scope="module")
def history(shop) -> History:
    return History(customers=shop.customers, events=shop.events, decisions=shop.decisions, outcomes=shop.outcomes)


@pytest.fixture(scope="module")
def judged(history: History, catalogue: Catalogue, value_bundle, tmp_path_factory) -> Judged:
    """Eight weekly waves of 200 customers."""
    model = value_model(value_bundle(catalogue), version="7")
    return judge(history, catalogue, model, Settings(home=tmp_path_factory.mktemp("home")))


def sent_per_wave(judged: Judged, planned: LimitedPolicy) -> list[dict[str, int]]:
    keys = [judged.choices.keys[place] for place in planned.planned]
    table = judged.decisions.select(day=pl.col("decided_at").dt.date(), message=pl.Series(keys))
    return [dict(part["message"].value_counts().iter_rows()) for _, part in table.group_by("day", maintain_order=True)]


def documented(judged: Judged, history: History, catalogue: Catalogue, limits: WaveLimits) -> dict:
    planned = plan_waves(judged, catalogue, limits)
    return limited_document(judged, planned, history, catalogue, reward_of(catalogue, None), limits)


def test_no_offer_has_more_than_its_share_of_any_wave(judged: Judged, catalogue: Catalogue):
    waves = sent_per_wave(judged, plan_waves(judged, catalogue, WaveLimits(max_share=0.2)))
    assert len(waves) == 8
    assert all(wave[TEN] == 40 for wave in waves)  # a fifth of 200, which the best offer uses in full
    assert all(count <= 40 for wave in waves for key, count in wave.items() if key != "silence")


def test_no_wave_messages_more_than_it_may(judged: Judged, catalogue: Catalogue):
    planned = plan_waves(judged, catalogue, WaveLimits(messaged=0.3))
    assert [wave.messaged for wave in planned.waves] == [60] * 8
    assert all(wave.keys() == {TEN, "silence"} for wave in sent_per_wave(judged, planned))
    assert planned.random[:, 1:].sum() == pytest.approx(480)


def test_the_logged_mix_is_kept_wherever_gates_let_it(judged: Judged, catalogue: Catalogue):
    """Customers without consent get nothing, so a wave may fall short, which is told; it never sends more."""
    planned = plan_waves(judged, catalogue, WaveLimits(keeps_mix=True))
    logged = judged.decisions.group_by(pl.col("decided_at").dt.date(), maintain_order=True).agg(pl.col("message_key"))
    for wave, was in zip(sent_per_wave(judged, planned), logged["message_key"], strict=True):
        counts = dict(was.value_counts().iter_rows())
        assert all(count <= counts[key] for key, count in wave.items() if key != "silence")
        assert wave[TEN] == counts[TEN]
    assert planned.random.sum(axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("messaged", [0.001, 0.01, 0.05, 0.1, 0.3])
def test_limits_that_contradict_the_logged_mix_come_first_and_what_is_missed_is_told(
    judged: Judged, catalogue: Catalogue, messaged: float
):
    planned = plan_waves(judged, catalogue, WaveLimits(keeps_mix=True, messaged=messaged))
    assert all(wave.messaged <= messaged * wave.decisions for wave in planned.waves)
    assert all(wave.shortfalls for wave in planned.waves)
    assert any(f"{100 * messaged:g}%" in words for words in WaveLimits(messaged=messaged).words)


def test_what_is_not_permitted_is_neither_planned_nor_drawn(judged: Judged, catalogue: Catalogue):
    planned = plan_waves(judged, catalogue, WaveLimits(max_share=0.2))
    rows = np.arange(len(planned.planned))
    assert judged.choices.permitted[rows, planned.planned].all()
    assert (planned.random[~judged.choices.permitted] == 0).all()


def test_the_plan_is_worth_more_to_the_model_than_any_random_draw_of_the_same_mix(judged: Judged, catalogue: Catalogue):
    """Effects differ by message alone here, so only who may get what makes a difference to this model."""
    planned = plan_waves(judged, catalogue, WaveLimits(max_share=0.2))
    priorities = np.nan_to_num(judged.choices.priorities)
    rows = np.arange(len(priorities))
    assert priorities[rows, planned.planned].sum() >= (planned.random * priorities).sum() - 1e-6
    assert all(wave.gap_minor == 0 for wave in planned.waves)


def test_capacities_of_the_catalogue_last_over_waves(judged: Judged, catalogue: Catalogue):
    """100 of ten percent in all: the first two waves use them up; for half of the audience it is 50."""
    few = Limit(limit_id="few", scope=LimitScope.OFFER, of="ten-percent", amount=100, period=Period.TOTAL)
    limited = replace(catalogue, limits=(few,))
    whole = [wave.get(TEN, 0) for wave in sent_per_wave(judged, plan_waves(judged, limited, WaveLimits()))]
    assert sum(whole) == 100
    assert whole[-1] == 0
    half = plan_waves(judged, limited, WaveLimits(scale=0.5))
    assert sum(wave.get(TEN, 0) for wave in sent_per_wave(judged, half)) == 50
    weekly = replace(catalogue, limits=(replace(few, amount=30, period=Period.WEEK),))
    assert [one[TEN] for one in sent_per_wave(judged, plan_waves(judged, weekly, WaveLimits()))] == [30] * 8


def test_choosing_by_customer_beats_drawing_where_it_does(judged: Judged, catalogue: Catalogue, history: History):
    """Three in ten may be sent the best message; the model prefers those whom it moves, and half of them it moves."""
    likes = judged.decisions["customer_id"].str.tail(1).is_in(list("02468")).to_numpy()
    ten = judged.choices.keys.index(TEN)
    moved = judged.choices.priorities.copy()
    moved[~likes, ten] -= 500
    events = history.events.with_columns(
        amount_minor=pl.when(pl.col("customer_id").str.tail(1).is_in(list("02468")))
        .then("amount_minor")
        .otherwise(pl.lit(1_000))
    )
    knowing = replace(judged, choices=replace(judged.choices, priorities=moved))
    found = documented(knowing, replace(history, events=events), catalogue, WaveLimits(messaged=0.3))
    gap = next(one for one in found["differences"] if one["against"] == RANDOM)
    assert gap["dr"]["lower"] < 0.3 * 3.0 < gap["dr"]["upper"]  # half of those drawn at random are not moved: 6 x 0.5
    assert gap["ips"]["value"] == pytest.approx(
        found["policies"][LIMITED]["ips"]["value"] - found["policies"][RANDOM]["ips"]["value"]
    )
    assert found["limits"] == ["at most 30% of decisions messaged"]
    assert sum(one["planned"] for one in found["messages"]) == 1_600
    assert sum(one["random"] for one in found["messages"]) == pytest.approx(1_600, abs=0.01)


def test_the_difference_has_the_error_of_a_pair(judged: Judged, catalogue: Catalogue, history: History):
    """What the plan and the draw share cancels out: here the plan draws nobody whom the draw could not."""
    found = documented(judged, history, catalogue, WaveLimits(messaged=0.3))
    gap = next(one for one in found["differences"] if one["against"] == RANDOM)["dr"]
    values = [found["policies"][name]["dr"]["standard_error"] for name in (LIMITED, RANDOM)]
    assert gap["standard_error"] < np.hypot(*values)


def test_the_file_of_choices_says_what_the_plan_sends(judged: Judged, catalogue: Catalogue):
    planned = plan_waves(judged, catalogue, WaveLimits(messaged=0.3))
    frame = with_planned(chosen_frame(judged, per_unit=100.0), judged, planned)
    assert frame["decision_id"].to_list() == judged.decisions["decision_id"].to_list()
    assert (frame["planned_message"] == TEN).sum() == 480


def test_waves_of_other_days_and_touchpoints_are_planned_apart(judged: Judged, catalogue: Catalogue):
    later = pl.when(pl.int_range(pl.len()) % 2 == 0).then(pl.col("decided_at") + timedelta(days=1))
    apart = replace(judged, decisions=judged.decisions.with_columns(decided_at=later.otherwise(pl.col("decided_at"))))
    assert [one.decisions for one in plan_waves(apart, catalogue, WaveLimits(messaged=0.3)).waves] == [100] * 16


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (WaveLimits(), "--constrained must know a limit, got none"),
        (WaveLimits(max_share=0.0), "--max-share must be above 0"),
        (WaveLimits(messaged=1.5), "--messaged must be above 0 and at most 1, got 1.5"),
        (WaveLimits(messaged=0.5, scale=0.0), "--scale must be"),
    ],
)
def test_limits_that_say_nothing_are_refused(catalogue: Catalogue, limits: WaveLimits, words: str):
    with pytest.raises(InvalidInputError, match=words):
        limits.check(catalogue)


def test_a_draw_keeps_counts_and_gates_at_once():
    rng = np.random.default_rng(1)
    permitted = rng.random((400, 4)) < 0.6
    permitted[:, 0] = True
    counts = np.array([150.0, 100.0, 90.0, 60.0])
    chances = spread_evenly(permitted, counts)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    np.testing.assert_allclose(chances.sum(axis=0), counts, atol=1e-4)
    assert (chances[~permitted] == 0).all()


def test_a_draw_that_cannot_keep_counts_sends_less():
    permitted = np.array([[True, False], [True, True]])
    chances = spread_evenly(permitted, np.array([0.0, 2.0]))
    np.testing.assert_allclose(chances, [[1, 0], [0, 1]], atol=1e-6)
