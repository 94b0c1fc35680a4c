"""Values within groups of decisions, and every estimator beside the whole."""

from dataclasses import replace

import polars as pl
import pytest

from decisioning.errors import UnknownNameError
from tests.training.off_policy.scene import Scene, gap_of
from training.off_policy.evaluation import ESTIMATORS, GREEDY, SILENT, evaluate
from training.off_policy.output import evaluation_document


def test_the_values_of_groups_add_up_to_the_value_of_all(scene: Scene):
    found = scene.evaluate(by=("stage", "channel", "offer", "region", "touchpoint", "country"))
    for name, segments in found.segments.items():
        assert sum(one.decisions for one in segments) == found.decisions, name
        known = [(one.decisions, gap_within(one).estimates["dr"].value) for one in segments if gap_within(one)]
        if len(known) == len(segments):
            mean = sum(count * value for count, value in known) / found.decisions
            assert mean == pytest.approx(gap_of(found, GREEDY, SILENT).estimates["dr"].value)
    assert [one.group for one in found.segments["channel"]] == ["email", "silence"]
    assert {one.group for one in found.segments["region"]} == {"north", "south"}
    assert [one.group for one in found.segments["country"]] == ["unknown"]
    by_offer = {one.group: gap_within(one) for one in found.segments["offer"]}
    ten = by_offer["ten-percent"].estimates["dr"]
    assert ten.lower < 6 < ten.upper


def gap_within(segment):
    return next((one for one in segment.differences if (one.policy, one.against) == (GREEDY, SILENT)), None)


def test_a_group_that_the_log_says_too_little_about_has_a_reason_and_no_value(scene: Scene, judged):
    """Twenty customers live abroad."""
    abroad = pl.when(pl.col("customer_id") < "C-00020").then(pl.lit("FR")).otherwise(pl.lit("DE"))
    history = replace(scene.history, customers=scene.history.customers.with_columns(country=abroad))
    found = evaluate(judged(history, scene.catalogue), history, scene.catalogue, by=("country",))
    home, away = found.segments["country"]
    assert (home.group, away.group, away.customers) == ("DE", "FR", 20)
    greedy = next(one for one in away.values if one.name == GREEDY)
    assert greedy.estimates == {}
    assert "for 30 customers" in greedy.problem
    assert gap_within(away) is None
    assert gap_within(home).estimates["dr"].lower > 0


def test_nothing_of_that_name_to_group_by_is_refused(scene: Scene):
    with pytest.raises(UnknownNameError, match="did you mean 'stage'"):
        scene.evaluate(by=("stag",))
    with pytest.raises(UnknownNameError, match="--by"):
        scene.evaluate(by=("age",))  # a number


def test_every_estimator_is_net_and_paired_and_says_its_cap(scene: Scene):
    document = evaluation_document(scene.evaluate(by=("stage",)))
    greedy = document["policies"][GREEDY]
    assert {name for name in greedy if isinstance(greedy[name], dict)} == set(ESTIMATORS)
    assert greedy["switch_dr"]["cap"] <= greedy["largest_weight"]
    assert "cap" not in greedy["dr"]
    assert 0.1 < greedy["matched_share"] < 0.4
    assert document["by"]["stage"][0]["policies"][GREEDY]["dr"]["lower"] > 0
    assert document["differences"][0]["dm"]["value"] != document["differences"][0]["dr"]["value"]
