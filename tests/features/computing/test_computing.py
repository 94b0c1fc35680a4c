"""Features as of a moment: exact values computed by hand, and no look into the future."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

import features.computing.compute
from decisioning.catalogue.catalogue import Attribute, AttributeKind
from decisioning.errors import InvalidInputError, InvalidPolicyError
from decisioning.rules.predicate import ALWAYS, Compare, Comparison
from features.computing.compute import compute_features
from features.computing.feature_set import feature_schema
from features.log.contracts import UTC_TIME

T = datetime(2026, 6, 1, tzinfo=UTC)


def at(*moments: datetime, customer_id: str = "C") -> pl.DataFrame:
    return pl.DataFrame(
        {"customer_id": [customer_id] * len(moments), "at": moments}, schema={"customer_id": pl.String, "at": UTC_TIME}
    )


def one(tables, catalogue, moment: datetime = T) -> dict[str, float | None]:
    return compute_features(tables, at(moment), catalogue).row(0, named=True)


@pytest.fixture
def known(days_before):
    """A customer row that makes C known for a year."""
    return {"updated_at": days_before(365), "joined_at": days_before(400)}


def test_purchases_are_counted_by_window(tables_of, days_before, shop_catalogue, known):
    events = [
        {"type": "purchase", "occurred_at": days_before(days), "amount_minor": amount}
        for days, amount in ((3, 100), (7, 200), (7.001, 300), (89, 400), (364, 500), (366, 600))
    ]
    row = one(tables_of(customers=[known], events=events), shop_catalogue)
    counts = [row[f"purchase_count_{days}d"] for days in (7, 30, 90, 365)]
    sums = [row[f"purchase_sum_minor_{days}d"] for days in (7, 30, 90, 365)]
    assert counts == [2, 3, 4, 5]
    assert sums == [300, 600, 1000, 1500]
    assert (row["purchase_mean_minor_365d"], row["purchase_max_minor_365d"]) == (300, 500)
    assert row["purchase_recency_days"] == 3


def test_missing_stays_missing_and_counts_of_a_known_customer_start_at_zero(tables_of, shop_catalogue, known):
    row = one(tables_of(customers=[known]), shop_catalogue)
    assert row["purchase_count_30d"] == row["message_count_7d"] == row["complaint_count_90d"] == 0
    for name in ("purchase_recency_days", "purchase_mean_minor_365d", "email_viewed_rate_90d", "message_recency_days"):
        assert row[name] is None
    assert row["customer_tenure_days"] == 400


def test_for_an_unknown_customer_every_feature_is_missing(tables_of, shop_catalogue, days_before):
    tables = tables_of(customers=[{"updated_at": days_before(-1), "joined_at": days_before(10)}])
    row = one(tables, shop_catalogue)
    assert all(row[name] is None for name in feature_schema(shop_catalogue).names)


def test_an_event_counts_from_the_moment_it_was_recorded(tables_of, days_before, shop_catalogue, known):
    late = {"type": "complaint", "occurred_at": days_before(10), "recorded_at": days_before(2)}
    tables = tables_of(customers=[known], events=[late])
    three_days_before, after = (one(tables, shop_catalogue, days_before(days)) for days in (3, 1.5))
    assert three_days_before["complaint_count_30d"] == 0
    assert after["complaint_count_30d"] == 1
    assert after["complaint_recency_days"] == 8.5


def test_events_at_the_exact_moment_are_not_known_yet(tables_of, shop_catalogue, known):
    tables = tables_of(
        customers=[known],
        events=[{"type": "purchase", "occurred_at": T, "amount_minor": 1}],
        decisions=[{"decided_at": T, "offer_id": "free-coffee", "channel": "email"}],
    )
    row = one(tables, shop_catalogue)
    assert row["purchase_count_7d"] == row["message_count_7d"] == 0


def test_engagement_and_response_use_the_outcomes_known_by_then(tables_of, days_before, shop_catalogue, known):
    def sent(name: str, days: float, offer: str, channel: str) -> dict[str, object]:
        return {"decision_id": name, "decided_at": days_before(days), "offer_id": offer, "channel": channel}

    def became(name: str, kind: str, days: float) -> dict[str, object]:
        return {"decision_id": name, "type": kind, "occurred_at": days_before(days)}

    tables = tables_of(
        customers=[known],
        decisions=[
            sent("a", 40, "free-coffee", "email"),
            sent("b", 20, "free-coffee", "email"),
            sent("c", 10, "ten-percent", "push"),
            sent("d", 5, "double-stamps", "email"),
            {"decision_id": "e", "decided_at": days_before(3)},
        ],
        outcomes=[
            became("a", "delivered", 40),
            became("a", "viewed", 39),
            became("a", "viewed", 38),
            became("a", "clicked", 37),
            became("a", "converted", 30),
            became("b", "delivered", 20),
            became("b", "viewed", -1),
            became("c", "viewed", 9),
            became("c", "unsubscribed", 9),
        ],
    )
    row = one(tables, shop_catalogue)
    assert row["email_delivered_count_90d"] == 2
    assert (
        row["email_viewed_rate_90d"] == 0.5
    )  # the second view of "a" is not a second message, that of "b" is not known yet
    assert row["email_clicked_rate_90d"] == 0.5
    assert row["push_viewed_rate_90d"] == 1.0  # a viewed message counts as delivered
    assert row["gift_accepted_rate_180d"] == 0.5
    assert row["discount_accepted_rate_180d"] == 0.0
    assert row["information_accepted_rate_180d"] is None
    assert row["gift_message_recency_days"] == 20
    assert row["click_recency_days"] == 37
    assert [row[f"message_count_{days}d"] for days in (1, 7, 30, 90)] == [0, 1, 3, 4]
    assert (row["message_recency_days"], row["silence_count_30d"]) == (5, 1)
    assert row["message_unsubscribed_count_365d"] == 1


def test_the_newest_customer_row_known_by_then_wins(tables_of, days_before, shop_catalogue):
    tables = tables_of(
        customers=[
            {"updated_at": days_before(100), "attributes": '{"age": 30, "region": "south"}'},
            {"updated_at": days_before(10), "attributes": '{"age": 31.5, "region": "east"}'},
            {"updated_at": days_before(-10), "attributes": '{"age": 99}'},
        ]
    )
    early, late = (one(tables, shop_catalogue, days_before(days)) for days in (50, 0))
    assert (early["attribute_age"], early["attribute_region"]) == (30, 1)
    assert (late["attribute_age"], late["attribute_region"]) == (31.5, None)
    assert late["customer_tenure_days"] is None


def test_attributes_become_numbers_codes_and_flags_whatever_their_names(tables_of, shop_catalogue, days_before):
    declared = (
        Attribute(name="loyalty tier", kind=AttributeKind.CATEGORY, values=("base", "gold")),
        Attribute(name="has.app", kind=AttributeKind.FLAG),
        Attribute(name="visits", kind=AttributeKind.NUMBER),
    )
    catalogue = replace(shop_catalogue, customer_attributes=declared)
    text = '{"loyalty tier": "gold", "has.app": true, "visits": "many"}'
    row = one(tables_of(customers=[{"updated_at": days_before(1), "attributes": text}]), catalogue)
    assert (row["attribute_loyalty_tier"], row["attribute_has_app"], row["attribute_visits"]) == (1, 1, None)


def test_stage_is_the_first_rule_that_holds_and_its_age_grows_by_weeks(tables_of, days_before, shop_catalogue):
    tables = tables_of(
        customers=[{"updated_at": days_before(201), "joined_at": days_before(200)}],
        events=[{"type": "purchase", "occurred_at": days_before(120), "amount_minor": 1}],
    )
    moments = [days_before(days) for days in (250, 190, 171, 169, 119, 100, 29, 20, 0)]
    frame = compute_features(tables, at(*moments), shop_catalogue)
    assert frame["stage_index"].to_list() == [None, 0, 0, 2, 1, 1, 2, 2, 2]
    assert frame["stage_age_days"].to_list() == [None, 7, 28, 0, 0, 14, 0, 7, 28]


def test_age_in_a_stage_is_capped(tables_of, days_before, shop_catalogue):
    tables = tables_of(customers=[{"updated_at": days_before(900), "joined_at": days_before(900)}])
    assert one(tables, shop_catalogue)["stage_age_days"] == 56


def test_without_a_stage_the_feature_is_missing(tables_of, shop_catalogue, known):
    never = replace(shop_catalogue, stages=shop_catalogue.stages[:2])
    row = one(tables_of(customers=[known]), never)
    assert row["stage_index"] is None
    assert row["stage_age_days"] is None


def test_a_stage_rule_may_use_an_attribute(tables_of, shop_catalogue, days_before):
    south = Compare(fact="customer.region", comparison=Comparison.EQUALS, value="south")
    new, active, rest = shop_catalogue.stages
    catalogue = replace(shop_catalogue, stages=(replace(new, entry=south), active, replace(rest, entry=ALWAYS)))
    tables = tables_of(customers=[{"updated_at": days_before(9), "attributes": '{"region": "south"}'}])
    assert one(tables, catalogue)["stage_index"] == 0


def test_a_stage_rule_over_an_unknown_fact_is_refused(tables_of, shop_catalogue, known):
    rule = Compare(fact="purchase_count_8d", comparison=Comparison.EQUALS, value=1)
    catalogue = replace(shop_catalogue, stages=(replace(shop_catalogue.stages[0], entry=rule),))
    with pytest.raises(InvalidPolicyError, match="purchase_count_8d"):
        one(tables_of(customers=[known]), catalogue)


def test_rows_keep_the_order_and_repetitions_of_the_anchors(shop, shop_catalogue):
    anchors = shop.decisions.select("customer_id", pl.col("decided_at").alias("at")).sample(50, seed=1)
    anchors = pl.concat([anchors, anchors.head(3)])
    frame = compute_features(shop, anchors, shop_catalogue)
    assert frame["customer_id"].to_list() == anchors["customer_id"].to_list()
    assert frame["event_timestamp"].to_list() == anchors["at"].to_list()
    assert_frame_equal(frame.head(3), frame.tail(3))
    assert frame.columns[2:] == list(feature_schema(shop_catalogue).names)


def test_no_anchors_give_an_empty_frame_with_every_column(shop, shop_catalogue):
    assert compute_features(shop, at(), shop_catalogue).width == 2 + len(feature_schema(shop_catalogue).names)


def test_anchors_without_a_moment_are_refused(shop, shop_catalogue):
    anchors = pl.DataFrame({"customer_id": ["C"], "at": [None]}, schema={"customer_id": pl.String, "at": UTC_TIME})
    with pytest.raises(InvalidInputError, match="anchors must have"):
        compute_features(shop, anchors, shop_catalogue)


def test_computing_in_chunks_changes_nothing_and_reports_progress(shop, shop_catalogue, monkeypatch):
    anchors = shop.decisions.select("customer_id", pl.col("decided_at").alias("at"))
    whole = compute_features(shop, anchors, shop_catalogue)
    told: list[tuple[int, int]] = []
    monkeypatch.setattr(features.computing.compute, "CHUNK_ROWS", 20_000)
    parts = compute_features(shop, anchors, shop_catalogue, on_progress=lambda *state: told.append(state))
    assert len(told) > 3
    assert told[-1] == (anchors.height, anchors.height)
    assert_frame_equal(parts, whole, check_exact=True)


def test_a_plain_loop_over_the_shop_gives_the_same_numbers(shop, shop_catalogue):
    anchors = shop.decisions.select("customer_id", pl.col("decided_at").alias("at")).filter(
        pl.col("customer_id") < "C-00010"
    )
    frame = compute_features(shop, anchors, shop_catalogue)
    events, decisions = shop.events.rows(named=True), shop.decisions.rows(named=True)
    clicked = {
        row["decision_id"]: row["occurred_at"] for row in shop.outcomes.rows(named=True) if row["type"] == "clicked"
    }
    for row in frame.rows(named=True):
        who, moment = row["customer_id"], row["event_timestamp"]
        spent = [
            event["amount_minor"]
            for event in events
            if event["customer_id"] == who and moment - timedelta(days=30) <= event["occurred_at"] < moment
        ]
        sent = [
            item
            for item in decisions
            if item["customer_id"] == who and item["decided_at"] < moment and item["offer_id"]
        ]
        clicks = [clicked[item["decision_id"]] for item in sent if item["decision_id"] in clicked]
        clicks = [click for click in clicks if click < moment]
        assert row["purchase_sum_minor_30d"] == sum(spent)
        assert row["purchase_count_30d"] == len(spent)
        assert row["message_count_90d"] == len(sent)
        expected = (moment - max(clicks)).total_seconds() / 86_400 if clicks else None
        assert row["click_recency_days"] == (expected if expected is None else pytest.approx(expected, rel=1e-12))


# Properties


moments_before = st.integers(1, 400 * 24).map(lambda hours: T - timedelta(hours=hours))
moments_after = st.integers(0, 100 * 24).map(lambda hours: T + timedelta(hours=hours))
who = st.sampled_from(["A", "B"])


def rows_known(moments: st.SearchStrategy[datetime], *, late: bool = False) -> st.SearchStrategy[dict[str, list]]:
    """Rows that become known at the given moments; late ones happened much earlier."""
    happened = moments_before if late else moments
    recorded = moments if late else st.one_of(st.none(), moments)
    events = st.fixed_dictionaries(
        {
            "customer_id": who,
            "type": st.sampled_from(["purchase", "browse", "complaint", "stamp_paid", "return"]),
            "occurred_at": happened,
            "recorded_at": recorded,
            "amount_minor": st.one_of(st.none(), st.integers(0, 10_000)),
        }
    )
    decisions = st.fixed_dictionaries(
        {
            "customer_id": who,
            "decided_at": moments,
            "offer_id": st.sampled_from([None, "free-coffee", "ten-percent", "retired-offer"]),
            "channel": st.sampled_from(["email", "push"]),
        }
    )
    outcomes = st.fixed_dictionaries(
        {
            "customer_id": who,
            "decision_id": st.integers(0, 5).map(lambda number: f"decision_id-{number}"),
            "type": st.sampled_from(["delivered", "viewed", "clicked", "accepted", "unsubscribed"]),
            "occurred_at": happened,
            "recorded_at": recorded,
        }
    )
    customers = st.fixed_dictionaries(
        {
            "customer_id": who,
            "updated_at": moments,
            "joined_at": st.one_of(st.none(), moments_before),
            "attributes": st.sampled_from([None, '{"age": 20}', '{"age": 60, "region": "south"}']),
        }
    )
    return st.fixed_dictionaries(
        {
            "customers": st.lists(customers, max_size=3, unique_by=lambda row: (row["customer_id"], row["updated_at"])),
            "events": st.lists(events, max_size=6),
            "decisions": st.lists(decisions, max_size=4),
            "outcomes": st.lists(outcomes, max_size=4),
        }
    )


def both(first: dict[str, list], second: dict[str, list]) -> dict[str, list]:
    return {name: [*first[name], *second[name]] for name in first}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(past=rows_known(moments_before), future=rows_known(moments_after), late=rows_known(moments_after, late=True))
def test_later_arrivals_change_no_earlier_value(tables_of, shop_catalogue, past, future, late):
    anchors = pl.concat([at(T, customer_id="A"), at(T, T - timedelta(days=30), customer_id="B")])
    without = compute_features(tables_of(**past), anchors, shop_catalogue)
    with_later = compute_features(tables_of(**both(both(past, future), late)), anchors, shop_catalogue)
    assert_frame_equal(without, with_later, check_exact=True)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(past=rows_known(moments_before), moments=st.lists(moments_before, min_size=1, max_size=4))
def test_an_anchor_alone_gives_the_same_values_as_among_others(tables_of, shop_catalogue, past, moments):
    tables = tables_of(**past)
    anchors = pl.concat([at(*moments, customer_id="A"), at(*moments, T, customer_id="B")])
    together = compute_features(tables, anchors, shop_catalogue)
    alone = [compute_features(tables, anchors[place], shop_catalogue) for place in range(anchors.height)]
    assert_frame_equal(together, pl.concat(alone), check_exact=True)
