"""Feature definitions: a stable schema, and expressions that any engine can run."""

from dataclasses import replace

import duckdb
import narwhals as nw
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from decisioning.errors import InvalidPolicyError
from decisioning.rules.predicate import Compare, Comparison
from features.computing.compute import aggregate
from features.computing.definition import Source
from features.computing.feature_set import definitions, feature_meanings, feature_schema
from features.computing.sources import sources_of

PROMISED = (
    "customer_tenure_days",
    "attribute_age",
    "attribute_region",
    "purchase_count_7d",
    "purchase_count_365d",
    "purchase_sum_minor_90d",
    "purchase_recency_days",
    "stamp_paid_count_30d",
    "email_delivered_count_90d",
    "email_viewed_rate_90d",
    "push_clicked_rate_90d",
    "gift_accepted_rate_180d",
    "message_count_7d",
    "message_count_30d",
    "message_recency_days",
    "complaint_count_90d",
    "service_ticket_recency_days",
    "stage_index",
    "stage_age_days",
)


def test_the_schema_is_of_moderate_size_and_has_every_kind_of_feature(shop_catalogue):
    schema = feature_schema(shop_catalogue)
    assert 40 <= len(schema.names) <= 90
    assert len(set(schema.names)) == len(schema.names)
    assert set(PROMISED) <= set(schema.names)
    assert [name for group in schema.groups for name in group.features] == list(schema.names)


def test_the_schema_is_deterministic(shop_catalogue):
    assert feature_schema(shop_catalogue) == feature_schema(replace(shop_catalogue, version="another"))


def test_one_more_offer_does_not_change_the_schema(shop_catalogue):
    coffee = shop_catalogue.offers["free-coffee"]
    more = {**shop_catalogue.offers, "free-tea": replace(coffee, offer_id="free-tea")}
    assert feature_schema(replace(shop_catalogue, offers=more)) == feature_schema(shop_catalogue)


def test_a_change_of_meaning_changes_the_fingerprint(shop_catalogue):
    before = feature_schema(shop_catalogue).fingerprint
    age, region = shop_catalogue.customer_attributes
    more_regions = replace(shop_catalogue, customer_attributes=(age, replace(region, values=("south", "north"))))
    entry = Compare(fact="customer_tenure_days", comparison=Comparison.LESS_THAN, value=60)
    new, *others = shop_catalogue.stages
    longer_new = replace(shop_catalogue, stages=(replace(new, entry=entry), *others))
    more_kinds = replace(shop_catalogue, offer_kinds=(*shop_catalogue.offer_kinds, "loan"))
    prints = {feature_schema(changed).fingerprint for changed in (more_regions, longer_new, more_kinds)}
    assert len(prints | {before}) == 4


def test_a_catalogue_without_stages_has_no_journey_features(shop_catalogue):
    names = feature_schema(replace(shop_catalogue, stages=())).names
    assert not {"stage_index", "stage_age_days"} & set(names)


def test_two_sources_with_the_same_name_are_refused(shop_catalogue):
    twins = replace(shop_catalogue, event_types=("in-app", "in_app"))
    with pytest.raises(InvalidPolicyError, match="in_app_count_7d"):
        feature_schema(twins)


def test_every_feature_has_a_meaning(shop_catalogue):
    rows = feature_meanings(shop_catalogue)
    assert [row["feature"] for row in rows] == list(feature_schema(shop_catalogue).names)
    assert all(row["meaning"].endswith(".") for row in rows)


@pytest.mark.parametrize("source", list(Source))
def test_another_engine_gives_the_same_numbers(shop, shop_catalogue, source):
    defined = definitions(shop_catalogue)
    rows = (
        sources_of(shop, shop_catalogue).frames[source].head(2_000).with_columns(pl.col(pl.Categorical).cast(pl.String))
    )
    anchors = shop.decisions.select("customer_id", pl.col("decided_at").dt.epoch("us").alias("at_us")).head(400)
    by_polars = aggregate(nw.from_native(anchors.lazy()), nw.from_native(rows.lazy()), source, defined)
    with duckdb.connect() as engine:
        by_duckdb = aggregate(
            nw.from_native(engine.from_arrow(anchors.to_arrow())),
            nw.from_native(engine.from_arrow(rows.to_arrow())),
            source,
            defined,
        )
        other = pl.DataFrame(by_duckdb.collect("polars").to_native())
    expected = by_polars.collect("polars").to_native().sort("customer_id", "at_us")
    numbers = [name for name in expected.columns if name not in ("customer_id", "at_us")]
    both = [
        # engines return null or 0 for an empty sum; `finished` treats both alike
        frame.sort("customer_id", "at_us").select("customer_id", "at_us", pl.col(numbers).cast(pl.Float64).fill_null(0))
        for frame in (expected, other)
    ]
    assert expected.height > 0
    assert_frame_equal(*both, rel_tol=1e-12)
