"""Features of engagement look at people: what machines opened and clicked counts as the catalogue says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from decisioning.catalogue.measure import Engagement
from features.computing.compute import compute_features
from features.computing.feature_set import feature_schema
from features.computing.machines import machine_made, with_machines
from features.log.contracts import UTC_TIME
from features.log.reported import settled_outcomes

T = datetime(2026, 6, 1, tzinfo=UTC)
SENT_AT = T - timedelta(days=10)
ON_MAIL = Engagement(scanned_channels=frozenset({"email"}))


@pytest.fixture
def catalogue(shop_catalogue):
    return replace(shop_catalogue, engagement=ON_MAIL)


def sent(channel: str = "email", number: int = 0) -> dict[str, object]:
    return {"decision_id": f"d{number}", "decided_at": SENT_AT, "offer_id": "free-coffee", "channel": channel}


def report(kind: str, seconds: float, heard_after: float | None = None, **fields: object) -> dict[str, object]:
    """An outcome so long after the message was sent, of which we heard so long after that."""
    occurred_at = SENT_AT + timedelta(seconds=seconds)
    recorded_at = None if heard_after is None else occurred_at + timedelta(seconds=heard_after)
    return {"decision_id": "d0", "type": kind, "occurred_at": occurred_at, "recorded_at": recorded_at, **fields}


def features_at(tables, catalogue, *moments: datetime, customer_id: str = "C") -> list[dict[str, float | None]]:
    anchors = pl.DataFrame({"customer_id": customer_id, "at": moments}, schema_overrides={"at": UTC_TIME})
    return compute_features(tables, anchors, catalogue).to_dicts()


def later(seconds: float) -> datetime:
    return SENT_AT + timedelta(seconds=seconds)


def test_what_machines_view_and_click_counts_for_nothing_but_shows_that_the_message_arrived(tables_of, catalogue):
    tables = tables_of(
        decisions=[sent(), sent("push", 1)],
        outcomes=[
            report("viewed", 400, properties='{"bot": true}'),
            report("clicked", 500, properties='{"machine": true}'),
            report("clicked", 90_000) | {"decision_id": "d1"},
        ],
    )
    (row,) = features_at(tables, catalogue, T)
    assert (row["email_delivered_count_90d"], row["email_viewed_rate_90d"], row["email_clicked_rate_90d"]) == (1, 0, 0)
    assert (row["message_clicked_rate_90d"], row["push_clicked_rate_90d"]) == (0.5, 1)
    assert row["gift_viewed_rate_180d"] == 0
    assert row["click_recency_days"] == pytest.approx(10 - 90_000 / 86_400)


def test_a_catalogue_says_what_machines_count_for(tables_of, catalogue):
    tables = tables_of(decisions=[sent()], outcomes=[report("viewed", 400, properties='{"bot": true}')])
    rates = []
    for weight in (0.0, 0.25, 1.0):
        rules = replace(ON_MAIL, machine_weight=weight)
        (row,) = features_at(tables, replace(catalogue, engagement=rules), T)
        rates.append((row["email_viewed_rate_90d"], row["gift_viewed_rate_180d"]))
    assert rates == [(0, 0), (0.25, 0.25), (1, 1)]


def test_timing_is_judged_when_its_minute_is_over_and_again_when_more_is_heard(tables_of, catalogue):
    late = report("delivered", 0, heard_after=3_600)
    views = [report("viewed", 3), report("viewed", 86_400)]
    moments = (later(2), later(4), later(3_600), later(3_700), later(86_401))
    rows = features_at(tables_of(decisions=[sent()], outcomes=[*views, late]), catalogue, *moments)
    assert [row["email_viewed_rate_90d"] for row in rows] == [None, 1, 1, 0, 1]
    assert features_at(tables_of(decisions=[sent()], outcomes=views[:1]), catalogue, T)[0]["email_viewed_rate_90d"] == 1


def test_a_view_that_is_heard_of_later_makes_a_scanners_click_a_persons(tables_of, catalogue):
    outcomes = [report("delivered", 0), report("clicked", 20), report("viewed", 15, heard_after=7_200)]
    rows = features_at(tables_of(decisions=[sent()], outcomes=outcomes), catalogue, later(300), later(7_300))
    assert [row["email_clicked_rate_90d"] for row in rows] == [0, 1]


def reports_by_chance(seed: int, messages: int) -> list[dict[str, object]]:
    """Reports of many messages, close together as scanners make them and far apart, some heard of late."""
    rng = np.random.default_rng(seed)
    found = []
    for number in range(messages):
        for _ in range(int(rng.integers(1, 7))):
            kind = str(rng.choice(["delivered", "viewed", "clicked", "clicked"]))
            seconds = float(rng.choice([0, 3, 20, 21.5, 28, 400, 401, 409, 90_000])) + rng.integers(0, 2) / 2
            heard = None if rng.random() < 0.5 else float(rng.choice([0.3, 30, 70, 4_000, 200_000]))
            said = rng.choice(["", '"link": "a"', '"link": "b"', '"bot": true', '"link": "c", "link_count": 3'])
            fields = {"decision_id": f"d{number}", "properties": f"{{{said}}}"}
            found.append(report(kind, seconds, heard) | fields)
        if number % 10 == 0:  # every link in turn
            links = [f'{{"link": "{link}", "link_count": 3}}' for link in "abc"]
            places = {"decision_id": f"d{number}"}
            found += [report("clicked", 600 + 8 * i, properties=one) | places for i, one in enumerate(links)]
    return [one | {"customer_id": f"C{str(one['decision_id'])[1:]}"} for one in found]


def by_chance(tables_of, messages: int = 150):
    decisions = [
        sent("email" if number % 4 else "push", number) | {"customer_id": f"C{number}"} for number in range(messages)
    ]
    return tables_of(decisions=decisions, outcomes=reports_by_chance(3, messages))


def test_features_and_measures_tell_the_same_machines(tables_of, catalogue):
    tables = by_chance(tables_of)
    outcomes = settled_outcomes(tables.outcomes, tables.decisions)
    weights = with_machines(outcomes, tables.decisions, ON_MAIL).filter(pl.col("type").is_in(["viewed", "clicked"]))
    expected = (
        weights.group_by("customer_id")
        .agg(
            pl.col("weight").filter(pl.col("type") == kind).max().fill_null(0.0).alias(f"message_{kind}_rate_90d")
            for kind in ("viewed", "clicked")
        )
        .sort("customer_id")
    )
    anchors = expected.select("customer_id", at=pl.lit(T).cast(UTC_TIME))
    found = compute_features(tables, anchors, catalogue).select(expected.columns)
    assert_frame_equal(found, expected)
    rules = machine_made(outcomes, tables.decisions, ON_MAIL)["machine"].unique()
    assert set(rules) == {"said", "at_delivery", "links_at_once", "before_open", "all_links"}
    assert 0.1 < expected["message_clicked_rate_90d"].mean() < 0.9


def test_no_verdict_looks_ahead(tables_of, catalogue):
    tables = by_chance(tables_of)
    known = pl.max_horizontal("occurred_at", "recorded_at")
    for seconds in (2, 21, 22, 60, 75, 402, 430, 4_100, 90_100):
        moment = later(seconds)
        anchors = tables.decisions.select("customer_id", at=pl.lit(moment).cast(UTC_TIME))
        then = replace(tables, outcomes=tables.outcomes.filter(known < moment))
        assert_frame_equal(
            compute_features(tables, anchors, catalogue), compute_features(then, anchors, catalogue), check_exact=True
        )


def test_features_that_tell_machines_mean_something_else_where_the_rules_do_and_no_others_do(shop_catalogue):
    def means(rules: Engagement) -> dict[str, str]:
        return dict(feature_schema(replace(shop_catalogue, engagement=rules)).meaning_of)

    def changed(one: Engagement, other: Engagement) -> set[str]:
        before, after = means(one), means(other)
        return {name for name, meaning in before.items() if after[name] != meaning}

    alike = Engagement(machine_weight=1.0)
    told = changed(alike, Engagement())
    assert {"email_viewed_rate_90d", "push_clicked_rate_90d", "click_recency_days", "gift_viewed_rate_180d"} <= told
    assert not {one for one in told if "rate" not in one and one != "click_recency_days"}
    assert not {one for one in told if "accepted" in one}
    assert "push_viewed_rate_90d" not in changed(Engagement(), ON_MAIL)
    assert {"email_viewed_rate_90d", "message_viewed_rate_90d"} <= changed(Engagement(), ON_MAIL)
    assert changed(alike, replace(ON_MAIL, machine_weight=1.0)) == set()
    prints = [feature_schema(replace(shop_catalogue, engagement=one)).fingerprint for one in (alike, ON_MAIL)]
    assert prints[0] != prints[1]
