"""Evaluation net of what contacts cost: silence wins where a message earns less than it costs."""

from dataclasses import replace

import polars as pl
import pytest

from decisioning.catalogue.catalogue import Catalogue
from tests.training.off_policy.scene import TEN, Scene, gap_of, value_of
from training.off_policy.evaluation import CONSTANT, GREEDY, LOGGED, SILENT, evaluate
from training.off_policy.output import evaluation_document


def costing(catalogue: Catalogue, cost_minor: float) -> Catalogue:
    email = replace(catalogue.channels["email"], cost_minor=cost_minor)
    return replace(catalogue, channels={**catalogue.channels, "email": email})


def test_silence_is_preferred_where_a_message_earns_less_than_it_costs(scene: Scene, judged):
    """Ten percent earns 6.00 on average, and the mail that carries it costs 9.00."""
    dear = costing(scene.catalogue, 900.0)
    found = evaluate(judged(scene.history, dear), scene.history, dear, constant=TEN)
    gap = gap_of(found, GREEDY, CONSTANT)
    sent = value_of(found, CONSTANT).contact_cost / 9.0
    assert sent > 0.7
    for name, estimate in gap.estimates.items():
        assert estimate.lower > 0, name
        assert estimate.lower < 3.0 * sent < estimate.upper
    assert value_of(found, GREEDY).estimates["dr"].value >= value_of(found, SILENT).estimates["dr"].value
    assert evaluation_document(found)["net_of_contact_cost"]


def test_what_contacts_cost_is_taken_off_exactly_and_in_every_estimate(scene: Scene):
    plain, dearer = (
        evaluate(scene.judged, scene.history, costing(scene.catalogue, cost), constant=TEN) for cost in (0.0, 50.0)
    )
    sent = scene.judged.decisions["offer_id"].is_not_null().mean()
    assert value_of(dearer, LOGGED).contact_cost == pytest.approx(0.5 * sent)
    assert value_of(dearer, SILENT).contact_cost == 0
    for one in dearer.values:
        for name, estimate in one.estimates.items():
            before = value_of(plain, one.name).estimates[name]
            assert estimate.value == pytest.approx(before.value - one.contact_cost)


def test_the_contact_with_a_message_that_the_catalogue_has_no_more_was_paid_too(scene: Scene, judged):
    some = (pl.int_range(pl.len()) % 10 == 0) & pl.col("offer_id").is_not_null()
    gone = pl.when(some).then(pl.lit("discontinued")).otherwise(pl.col("offer_id"))
    history = replace(scene.history, decisions=scene.history.decisions.with_columns(offer_id=gone))
    found = evaluate(judged(history, scene.catalogue), history, scene.catalogue)
    before = value_of(scene.evaluate(), LOGGED)
    assert value_of(found, LOGGED).contact_cost == pytest.approx(before.contact_cost)


def clicks_learned(catalogue: Catalogue, **values: float) -> Catalogue:
    offers = {name: replace(one, value_minor=values.get(name, 100.0)) for name, one in catalogue.offers.items()}
    learned = replace(catalogue.learning, measure_id="clicked")
    return replace(costing(catalogue, 25.0), offers=offers, learning=learned)


def test_a_learned_rate_counts_the_cost_of_a_contact_in_outcomes_of_declared_worth(scene: Scene):
    """A click is worth 1.00 and a mail costs 0.25, so a mail must bring more than a quarter of a click."""
    found = evaluate(scene.judged, scene.history, clicks_learned(scene.catalogue), constant=TEN)
    sent = value_of(found, CONSTANT)
    assert sent.contact_cost == pytest.approx(0.25 * scene.judged.choices.permitted[:, 1:].any(axis=1).mean(), rel=0.3)
    assert sent.estimates["ips"].value < 0  # a fifth of mails are clicked
    gross = scene.evaluate(reward="clicked")
    assert value_of(gross, CONSTANT).estimates["ips"].value > 0.1
    assert (found.is_net, gross.is_net) == (True, False)


def test_outcomes_count_for_what_their_offer_says_they_are_worth(scene: Scene):
    """A click on ten percent is worth 2.50 and other clicks 0.50, the usual one 1.00; nobody clicks on silence."""
    rest = {"double-stamps": 50.0, "free-coffee": 50.0, "opening-hours": 50.0}
    uneven = clicks_learned(scene.catalogue, **{"ten-percent": 250.0}, **rest)
    clicks = replace(scene.judged.choices, predicted=scene.judged.choices.predicted / 10_000)
    found = evaluate(replace(scene.judged, choices=clicks), scene.history, uneven, constant=TEN)
    gross = value_of(scene.evaluate(reward="clicked"), CONSTANT).estimates
    one = value_of(found, CONSTANT)
    assert one.estimates["ips"].value == pytest.approx(2.5 * gross["ips"].value - one.contact_cost)
    assert one.estimates["dr"].value == pytest.approx(2.5 * gross["dr"].value - one.contact_cost, abs=0.05)
