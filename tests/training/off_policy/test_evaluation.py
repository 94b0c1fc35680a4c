"""Off-policy evaluation on a log: known effects are recovered, only the past is used, and the rest is refused."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.experiment import Holdout
from decisioning.catalogue.message import SILENCE
from decisioning.choice.waiting import AT_ONCE
from decisioning.errors import InsufficientDataError, InvalidInputError, UnknownNameError
from decisioning.foresight.hours import HOURS, HourEffects
from decisioning.foresight.slots import Foresight
from features.history import History
from features.log.contracts import EVENTS, OUTCOMES
from features.models.bundle import value_model
from features.settings import Settings
from tests.training.off_policy.scene import DOUBLE, TEN, Scene, gap_of, value_of
from training.data.datasets import OPTED_OUT, PUT_OFF, UNSAID
from training.off_policy.evaluation import (
    CONSTANT,
    EXPLORING,
    GREEDY,
    LOGGED,
    SILENT,
    evaluate,
    judge,
)
from training.off_policy.output import chosen_frame, evaluation_document


def test_the_known_effect_of_the_choices_lies_in_every_interval(scene: Scene):
    gap = gap_of(scene.evaluate(), GREEDY, SILENT)
    chosen = [scene.judged.choices.keys[place] for place in scene.judged.choices.greedy]
    truth = np.mean([scene.effects[key] for key in chosen]) / 100
    assert truth > 3  # EUR: most of the audience may get ten percent, worth 6
    for estimate in gap.estimates.values():
        assert estimate.lower <= truth <= estimate.upper
    assert gap.estimates["dr"].standard_error <= gap.estimates["ips"].standard_error


def test_the_logging_policy_earns_the_mean_of_its_log(scene: Scene):
    found = scene.evaluate()
    spent = scene.history.events["amount_minor"].clip(-10_000, 10_000).sum() / scene.judged.decisions.height / 100
    logged = value_of(found, LOGGED)
    assert logged.estimates["dr"] is logged.estimates["ips"]
    assert logged.estimates["ips"].value == pytest.approx(spent, rel=1e-3)
    assert logged.support.effective_size == scene.judged.decisions.height


def test_the_value_of_silence_is_the_mean_of_silent_decisions(scene: Scene):
    found = scene.evaluate()
    silent = scene.judged.decisions.filter(pl.col("offer_id").is_null())
    assert value_of(found, SILENT).estimates["snips"].value == pytest.approx(
        float(np.mean([scene_value(scene, one) for one in silent["decision_id"]])), rel=1e-9
    )


def scene_value(scene: Scene, decision_id: str) -> float:
    _, customer, wave = decision_id.split("-")
    return scene.history.events.filter(pl.col("event_id") == f"E-{customer}-{wave}")["amount_minor"].sum() / 100


def test_the_best_single_message_goes_only_to_customers_who_may_get_it(scene: Scene):
    """Customers under 18 do not get ten percent, and without consent customers get nothing."""
    choices = scene.judged.choices
    permitted = choices.permitted[:, choices.keys.index(TEN)].mean()
    assert 0.7 < permitted < 0.95
    found = value_of(scene.evaluate(), CONSTANT)
    assert found.problem is None
    assert found.support.mean_weight == pytest.approx(1, abs=5 * found.support.mean_weight_error)


def test_exploration_is_worth_a_little_less_than_the_greedy_policy(scene: Scene):
    found = scene.evaluate()
    assert value_of(found, EXPLORING).estimates["dr"].value < value_of(found, GREEDY).estimates["dr"].value
    assert value_of(found, EXPLORING).support.effective_size > value_of(found, GREEDY).support.effective_size


def test_people_who_opted_out_of_profiling_are_in_no_evaluation(scene: Scene, judged):
    at = scene.history.decisions["decided_at"].max()
    word = {"event_id": "out", "customer_id": "C-00004", "type": "profiling_opted_out", "occurred_at": at}
    said = pl.DataFrame([word], schema=EVENTS.schema, orient="row")

    found = judged(replace(scene.history, events=pl.concat([scene.history.events, said])), scene.catalogue)

    assert "C-00004" not in set(found.decisions["customer_id"])
    assert found.left_out[OPTED_OUT] == scene.judged.decisions.height - found.decisions.height == 8


def test_holdout_and_experiments_are_not_part_of_the_evaluated_policy(scene: Scene, judged):
    everybody_out = replace(scene.catalogue, holdout=Holdout(share=1.0, salt="all"))
    choices = judged(scene.history, everybody_out).choices
    np.testing.assert_array_equal(choices.greedy, scene.judged.choices.greedy)
    np.testing.assert_array_equal(choices.probabilities, scene.judged.choices.probabilities)


def test_every_row_of_probabilities_sums_to_one(scene: Scene):
    np.testing.assert_allclose(scene.judged.choices.probabilities.sum(axis=1), 1)


def test_later_events_change_no_choice(scene: Scene, judged):
    """Every event and outcome from the last wave on is removed; earlier choices must not change."""
    last = scene.judged.decisions["decided_at"].max()
    earlier = History(
        customers=scene.history.customers,
        events=scene.history.events.filter(pl.col("occurred_at") < last),
        decisions=scene.history.decisions,
        outcomes=scene.history.outcomes.filter(pl.col("occurred_at") < last),
    )
    choices = judged(earlier, scene.catalogue).choices
    np.testing.assert_array_equal(choices.predicted, scene.judged.choices.predicted)
    np.testing.assert_array_equal(choices.greedy, scene.judged.choices.greedy)


def test_the_model_predicts_for_each_decisions_own_window(scene: Scene, judged, value_bundle, tmp_path):
    """The model here adds 100 per day of window; half of the decisions have windows of three days."""
    bundle = value_bundle(scene.catalogue)
    model = replace(
        value_model(bundle, version="1"),
        predict=lambda matrix: 100.0 * matrix[:, bundle.layout.columns.index("window_days")],
    )
    is_short = pl.int_range(pl.len()) % 2 == 0
    decisions = scene.history.decisions.with_columns(
        window_ends_at=pl.when(is_short)
        .then(pl.col("decided_at") + timedelta(days=3))
        .otherwise(pl.col("window_ends_at"))
    )
    found = judge(replace(scene.history, decisions=decisions), scene.catalogue, model, Settings(home=tmp_path))
    days = (found.decisions["ends_at"] - found.decisions["starts_at"]).dt.total_days().to_numpy()
    np.testing.assert_allclose(found.choices.predicted[:, 0], 100.0 * days)


def test_the_policy_chooses_over_the_window_that_it_serves_with(scene: Scene, value_bundle, tmp_path):
    """In three days discounts do nothing to this model, in a week they are best; the log's windows are three days."""
    bundle = value_bundle(scene.catalogue)
    columns = bundle.layout.columns
    window, kind = columns.index("window_days"), columns.index("offer_kind")
    discount = float(scene.catalogue.offer_kinds.index("discount"))
    believing = replace(bundle.calibrator, common_slope=1.0, specific_slope=1.0)
    model = replace(
        value_model(bundle, version="1"),
        calibrator=believing,
        predict=lambda matrix: -5_000.0 * ((matrix[:, kind] == discount) & (matrix[:, window] < 7)),
    )
    decisions = scene.history.decisions.with_columns(window_ends_at=pl.col("decided_at") + timedelta(days=3))
    found = judge(replace(scene.history, decisions=decisions), scene.catalogue, model, Settings(home=tmp_path))
    np.testing.assert_array_equal(found.choices.greedy, scene.judged.choices.greedy)
    ten = found.choices.keys.index(TEN)
    chosen = found.choices.greedy == ten
    assert chosen.mean() > 0.6
    assert (found.choices.predicted[chosen, ten] < found.choices.predicted[chosen, 0]).all()  # as outcomes are counted
    assert chosen_frame(found, per_unit=1.0).filter(pl.col("message") == TEN)["expected_value"].min() == 600.0


def test_what_serving_would_put_off_is_counted_and_valued_as_made_at_the_logged_hour(
    scene: Scene, value_bundle, tmp_path
):
    """What the hour adds counts; what waiting for another one would add is in no number."""
    week = {hour: 10.0 if hour % 24 == 3 else -550.0 for hour in range(HOURS)}  # less than ten percent is worth
    foresight = Foresight(hours=HourEffects(by_group={("email", ""): week}))
    model = value_model(replace(value_bundle(scene.catalogue), foresight=foresight), version="8")
    plain = scene.judged.choices
    ten = plain.keys.index(TEN)
    assert judge(scene.history, scene.catalogue, model, Settings(home=tmp_path)).choices.put_off.sum() == 0

    mail = replace(scene.catalogue.touchpoints["weekly-mail"], wait_seconds=86_400)
    waiting = replace(scene.catalogue, touchpoints={"weekly-mail": mail})
    found = judge(scene.history, waiting, model, Settings(home=tmp_path))
    is_ten = plain.greedy == ten
    assert found.choices.put_off[is_ten].mean() == pytest.approx(1 - AT_ONCE, abs=0.03)
    assert not found.choices.put_off[~is_ten].any(), "what is owed goes at once"
    assert ((found.choices.greedy == ten) == is_ten).all(), "valued as made at the logged hour"
    assert not (found.choices.greedy == plain.keys.index(DOUBLE)).any(), "double stamps do not pay at that hour"
    document = evaluation_document(evaluate(found, scene.history, waiting, constant=TEN))
    assert document["put_off"] == found.choices.put_off.sum() > 0


def test_decisions_that_were_put_off_are_in_no_evaluation(scene: Scene, judged):
    late = scene.history.decisions["decided_at"].max() + timedelta(hours=3)
    is_first = pl.col("decision_id") == scene.judged.decisions["decision_id"][0]
    marked = scene.history.decisions.with_columns(put_off_until=pl.when(is_first).then(pl.lit(late)))
    found = judged(replace(scene.history, decisions=marked), scene.catalogue)
    assert found.decisions.height == scene.judged.decisions.height - 1
    assert found.left_out[PUT_OFF] == 1


def test_a_customer_who_unsubscribed_gets_silence(scene: Scene, judged):
    first = scene.judged.decisions.filter(pl.col("offer_id").is_not_null()).row(0, named=True)
    left = {
        "outcome_id": "left",
        "decision_id": first["decision_id"],
        "customer_id": first["customer_id"],
        "type": "unsubscribed",
        "occurred_at": first["decided_at"] + timedelta(hours=1),
    }
    outcomes = pl.concat([scene.history.outcomes, pl.DataFrame([left], schema=OUTCOMES.schema)])
    found = judged(replace(scene.history, outcomes=outcomes), scene.catalogue)
    rows = found.decisions.with_columns(place=pl.Series(found.choices.greedy)).filter(
        pl.col("customer_id") == first["customer_id"]
    )
    assert (rows.filter(pl.col("decided_at") > first["decided_at"])["place"] == 0).all()


def test_a_customer_who_was_not_known_yet_gets_silence(scene: Scene, judged):
    customers = scene.history.customers.with_columns(updated_at=pl.lit(scene.judged.decisions["decided_at"].max()))
    found = judged(replace(scene.history, customers=customers), scene.catalogue)
    assert not found.choices.is_known.any()  # not even decisions at that exact moment
    assert (found.choices.greedy == 0).all()


def test_a_logged_message_missing_from_the_catalogue_is_kept_and_counted(scene: Scene, judged):
    some = pl.int_range(pl.len()) % 10 == 0
    is_sent = pl.col("offer_id").is_not_null()
    decisions = scene.history.decisions.with_columns(
        offer_id=pl.when(some & is_sent).then(pl.lit("discontinued")).otherwise(pl.col("offer_id"))
    )
    history = replace(scene.history, decisions=decisions)
    found = evaluate(judged(history, scene.catalogue), history, scene.catalogue)
    assert found.decisions == scene.judged.decisions.height
    count = decisions.filter(pl.col("offer_id") == "discontinued").height
    assert found.unmatched["logged message is not in the catalogue"] == count > 50


def test_a_logged_message_that_was_not_permitted_is_counted(scene: Scene):
    unmatched = scene.evaluate().unmatched
    assert unmatched["logged message was not permitted"] > 50  # the log mailed everybody, consent or not
    assert unmatched["customer was unknown"] == 0


def test_another_reward_is_evaluated_too(scene: Scene):
    found = scene.evaluate(reward="clicked")
    assert (found.reward.unit, found.reward.is_learned) == ("rate", False)
    assert value_of(found, SILENT).estimates["dr"].value == pytest.approx(0, abs=0.01)
    greedy = value_of(found, GREEDY)
    assert (
        greedy.estimates["dr"].lower <= 0.2 <= greedy.estimates["dr"].upper + 0.05
    )  # a fifth of sent messages are clicked
    assert greedy.estimates["dr"].standard_error < greedy.estimates["ips"].standard_error


def test_a_cap_cuts_every_transaction(scene: Scene):
    free, cut = scene.evaluate(), scene.evaluate(cap=5.0)
    assert cut.reward.measure.cap_minor == 500
    assert value_of(cut, LOGGED).estimates["ips"].value <= 5 < value_of(free, LOGGED).estimates["ips"].value
    spend = scene.evaluate(reward="spend")
    assert spend.reward.measure.cap_minor is None
    logged = value_of(spend, LOGGED)
    assert logged.estimates["ips"].value + logged.contact_cost == pytest.approx(
        scene.history.events["amount_minor"].sum() / scene.judged.decisions.height / 100
    )


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"reward": "net_revenu"}, UnknownNameError, "did you mean 'net_revenue'"),
        ({"cap": 0.0}, InvalidInputError, "--cap must be a positive amount"),
        ({"reward": "clicked", "cap": 5.0}, InvalidInputError, "--cap must be a positive amount for a reward in money"),
        ({"reward": "complained"}, InsufficientDataError, "must happen in the window of a decision at least once"),
    ],
)
def test_an_invalid_reward_is_refused(scene: Scene, options, error, words):
    with pytest.raises(error, match=words):
        scene.evaluate(**options)


def without_probability(history: History, count: int) -> History:
    is_unsaid = pl.int_range(pl.len()) < count
    said = pl.when(is_unsaid).then(None).otherwise(pl.col("action_probability"))
    return replace(history, decisions=history.decisions.with_columns(action_probability=said))


@pytest.mark.parametrize("count", [1, 80])
def test_decisions_with_missing_probabilities_are_dropped_and_counted(scene: Scene, judged, count: int):
    """Up to one in twenty of 1,600, the same rule as in training: as if these decisions were not in the log."""
    history = without_probability(scene.history, count)
    rest = judged(history, scene.catalogue)
    found = evaluate(rest, history, scene.catalogue, constant=TEN)
    assert (found.decisions, found.left_out[UNSAID]) == (1_600 - count, count)
    assert chosen_frame(rest, per_unit=100).height == 1_600  # the choice is known at every decision
    known = replace(scene.history, decisions=scene.history.decisions[count:])
    without = evaluate(judged(known, scene.catalogue), known, scene.catalogue, constant=TEN)
    assert value_of(found, GREEDY).estimates["snips"].value == pytest.approx(
        value_of(without, GREEDY).estimates["snips"].value
    )


@pytest.mark.parametrize("count", [81, 1_600])
def test_a_log_without_probabilities_is_refused(scene: Scene, judged, count: int):
    history = without_probability(scene.history, count)
    with pytest.raises(InsufficientDataError, match=f"got {count:,} of 1,600 without.* no more than one in twenty"):
        evaluate(judged(history, scene.catalogue), history, scene.catalogue)


def test_a_policy_that_sends_what_the_log_never_sent_is_refused(scene: Scene, judged):
    """Nobody was ever sent ten percent, which the model likes best."""
    decisions = scene.history.decisions.filter(pl.col("offer_id").is_null() | (pl.col("offer_id") != "ten-percent"))
    history = replace(scene.history, decisions=decisions)
    with pytest.raises(
        InsufficientDataError, match=r"on messages that the log\s+never sent \(ten-percent/email/plain\)"
    ):
        evaluate(judged(history, scene.catalogue), history, scene.catalogue)


def test_wrong_probabilities_are_detected(scene: Scene, judged):
    decisions = scene.history.decisions.with_columns(action_probability=pl.lit(0.5))
    history = replace(scene.history, decisions=decisions)
    with pytest.raises(InsufficientDataError, match="must average 1"):
        evaluate(judged(history, scene.catalogue), history, scene.catalogue)


def test_a_comparison_without_support_is_left_out_with_a_reason(scene: Scene, judged):
    """Nobody was ever sent opening hours; the policy does not need it, but it cannot be compared with it either."""
    decisions = scene.history.decisions.filter(pl.col("offer_id").fill_null("") != "opening-hours").with_columns(
        action_probability=pl.lit(0.25)
    )
    history = replace(scene.history, decisions=decisions)
    never = "opening-hours/email/plain"
    worthless = replace(scene.catalogue.offers["opening-hours"], value_minor=0.0)
    catalogue = replace(scene.catalogue, offers={**scene.catalogue.offers, "opening-hours": worthless})
    found = evaluate(judged(history, catalogue), history, catalogue, constant=never)
    open_value = value_of(found, CONSTANT)
    assert open_value.estimates == {}
    assert open_value.problem is not None
    assert never in open_value.problem
    assert {one.against for one in found.differences} == {SILENT, LOGGED}
    assert value_of(found, GREEDY).problem is None


def test_a_log_without_decisions_is_refused(scene: Scene, judged):
    with pytest.raises(InsufficientDataError, match="--log must hold decisions, got none"):
        judged(replace(scene.history, decisions=scene.history.decisions.clear()), scene.catalogue)


def test_decisions_with_an_open_window_are_left_out_and_counted(scene: Scene, judged):
    """The last wave has no window of its own and the log ends before a week has passed."""
    last = scene.history.decisions["decided_at"].max()
    decisions = scene.history.decisions.with_columns(window_ends_at=pl.lit(None, dtype=pl.Datetime("us", "UTC")))
    found = judged(replace(scene.history, decisions=decisions), scene.catalogue)
    assert found.left_out == {"window not over yet": 200, OPTED_OUT: 0, PUT_OFF: 0}
    assert found.decisions["decided_at"].max() < last


def test_decisions_must_name_one_of_several_touchpoints(scene: Scene, shop_catalogue: Catalogue, judged):
    nameless = replace(
        scene.history, decisions=scene.history.decisions.with_columns(touchpoint=pl.lit(None, pl.String))
    )
    np.testing.assert_array_equal(judged(nameless, scene.catalogue).choices.greedy, scene.judged.choices.greedy)
    with pytest.raises(InvalidInputError, match=r"got\s+1,600 without; fill in the column `touchpoint`"):
        judged(nameless, shop_catalogue)
    unknown = replace(scene.history, decisions=scene.history.decisions.with_columns(touchpoint=pl.lit("weekly-mial")))
    with pytest.raises(UnknownNameError, match="did you mean 'weekly-mail'"):
        judged(unknown, scene.catalogue)


def test_the_file_of_choices_holds_the_choice_and_every_probability(scene: Scene):
    frame = chosen_frame(scene.judged, per_unit=100)
    assert frame.columns == [
        "decision_id", "customer_id", "decided_at", "message", "offer_id", "channel_id", "creative_id", "probability",
        "expected_value", "logged_message", "probabilities",
    ]  # fmt: skip
    assert frame.height == scene.judged.decisions.height
    row = frame.filter(pl.col("message") == TEN).row(0, named=True)
    assert (row["offer_id"], row["channel_id"], row["creative_id"]) == ("ten-percent", "email", "plain")
    chances = {one["message"]: one["probability"] for one in row["probabilities"]}
    assert sum(chances.values()) == pytest.approx(1)
    assert row["probability"] == max(chances.values())
    assert row["probabilities"][0]["message"] == SILENCE
    silent = frame.filter(pl.col("message") == SILENCE).row(0, named=True)
    assert (silent["offer_id"], silent["channel_id"]) == (None, None)


def test_the_document_has_every_policy_estimate_and_difference(scene: Scene):
    document = evaluation_document(scene.evaluate())
    assert list(document["policies"]) == [GREEDY, EXPLORING, CONSTANT, SILENT, LOGGED]
    assert len(document["differences"]) == 6
    greedy = document["policies"][GREEDY]
    assert greedy["dr"]["lower"] < greedy["dr"]["value"] < greedy["dr"]["upper"]
    assert greedy["effective_sample_size"] > 100
    assert {one["message"] for one in document["messages"]} >= {SILENCE, TEN, DOUBLE}
    assert sum(one["chosen"] for one in document["messages"]) == document["decisions"]
