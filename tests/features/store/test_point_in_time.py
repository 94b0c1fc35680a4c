"""Training rows through Feast equal the values that the definitions give."""

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from polars.testing import assert_frame_equal

from decisioning.errors import FeatureUnavailableError, InvalidInputError
from features.computing.compute import compute_features
from features.computing.feature_set import feature_schema
from features.log.contracts import UTC_TIME
from features.store.builder import build_features
from features.store.feast_names import FeatureStore
from features.store.point_in_time import training_rows

AS_OF = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def home(make_home, small_shop, shop_catalogue):
    settings = make_home(small_shop)
    build_features(settings, shop_catalogue, AS_OF)
    return settings


def test_rows_at_decisions_equal_the_definitions_in_the_order_asked(home, small_shop, shop_catalogue):
    entities = small_shop.decisions.select("customer_id", pl.col("decided_at").alias("event_timestamp")).sample(
        fraction=1.0, shuffle=True, seed=3
    )
    entities = pl.concat([entities, entities.head(5)])
    rows = training_rows(home, shop_catalogue, entities)
    anchors = entities.rename({"event_timestamp": "at"})
    assert_frame_equal(rows, compute_features(small_shop, anchors, shop_catalogue), check_exact=True)


def test_between_decisions_the_newest_earlier_row_counts_until_it_is_too_old(home, small_shop, shop_catalogue):
    first_at, last_at = small_shop.decisions["decided_at"].min(), AS_OF
    moments = [
        first_at - timedelta(hours=1),
        first_at + timedelta(hours=1),
        last_at + timedelta(days=13),
        last_at + timedelta(days=31),
    ]
    entities = pl.DataFrame(
        {"customer_id": ["C-00001"] * 4, "event_timestamp": moments},
        schema={"customer_id": pl.String, "event_timestamp": UTC_TIME},
    )
    rows = training_rows(home, shop_catalogue, entities)
    at_first, at_last = training_rows(
        home,
        shop_catalogue,
        entities.head(2).with_columns(event_timestamp=pl.Series([first_at, last_at], dtype=UTC_TIME)),
    ).iter_rows(named=True)
    before, after_first, after_last, too_late = rows.iter_rows(named=True)
    names = feature_schema(shop_catalogue).names
    assert all(before[name] is None for name in names)
    assert {name: after_first[name] for name in names} == {name: at_first[name] for name in names}
    assert {name: after_last[name] for name in names} == {name: at_last[name] for name in names}
    assert too_late["purchase_count_30d"] is None  # older than 14 days
    assert too_late["customer_tenure_days"] == at_last["customer_tenure_days"]  # not older than 90


def test_without_entities_there_are_no_rows(home, shop_catalogue):
    nobody = pl.DataFrame(schema={"customer_id": pl.String, "event_timestamp": UTC_TIME})
    rows = training_rows(home, shop_catalogue, nobody)
    assert rows.is_empty()
    assert rows.columns[2:] == list(feature_schema(shop_catalogue).names)


def test_entities_without_a_moment_are_refused(home, shop_catalogue):
    entities = pl.DataFrame(
        {"customer_id": ["C"], "event_timestamp": [None]},
        schema={"customer_id": pl.String, "event_timestamp": UTC_TIME},
    )
    with pytest.raises(InvalidInputError, match="event_timestamp"):
        training_rows(home, shop_catalogue, entities)


def test_before_the_first_build_the_error_says_what_to_do(make_home, small_shop, shop_catalogue):
    entities = small_shop.decisions.select("customer_id", pl.col("decided_at").alias("event_timestamp"))
    with pytest.raises(FeatureUnavailableError, match="nextbest features build"):
        training_rows(make_home(small_shop), shop_catalogue, entities)


def test_features_that_were_joined_from_later_than_their_moment_are_refused(
    home, small_shop, shop_catalogue, monkeypatch: pytest.MonkeyPatch
):
    entities = small_shop.decisions.select("customer_id", pl.col("decided_at").alias("event_timestamp"))
    ask = FeatureStore.get_historical_features

    def later(store: FeatureStore, entity_df: pd.DataFrame, features: list[str]) -> SimpleNamespace:
        shifted = entity_df.copy()
        shifted.loc[shifted.index[:1], "event_timestamp"] += pd.Timedelta(days=30)
        found = ask(store, entity_df=shifted, features=features).to_df()
        found["event_timestamp"] = found["nextbest_row"].map(entity_df.set_index("nextbest_row")["event_timestamp"])
        return SimpleNamespace(to_arrow=lambda: pa.Table.from_pandas(found, preserve_index=False))

    assert training_rows(home, shop_catalogue, entities).height == entities.height
    monkeypatch.setattr(FeatureStore, "get_historical_features", later)
    with pytest.raises(InvalidInputError, match=r"must be those of the newest row that is not later .* for 1 of"):
        training_rows(home, shop_catalogue, entities)
