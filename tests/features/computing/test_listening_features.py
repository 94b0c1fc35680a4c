"""Features of moods, scores and told attributes: exact values by hand, and missing if unknown."""

from datetime import UTC, datetime
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.computing.compute import compute_features
from features.log.contracts import UTC_TIME

T = datetime(2026, 6, 1, tzinfo=UTC)


def at(*moments: datetime) -> pl.DataFrame:
    return pl.DataFrame(
        {"customer_id": ["C"] * len(moments), "at": moments}, schema={"customer_id": pl.String, "at": UTC_TIME}
    )


def one(tables: Any, catalogue: Any, moment: datetime = T) -> dict[str, float | None]:
    return compute_features(tables, at(moment), catalogue).row(0, named=True)


@pytest.fixture(scope="session")
def known(days_before):
    return {"updated_at": days_before(400), "joined_at": days_before(400), "attributes": '{"age":30,"region":"north"}'}


@pytest.fixture(scope="session")
def said(days_before):
    def event(event_type: str, days: float, /, **properties: object) -> dict[str, object]:
        text = orjson.dumps(properties).decode()
        return {"type": event_type, "occurred_at": days_before(days), "properties": text}

    return event


def mood(sentiment: float, label: str) -> dict[str, object]:
    return {"text": "...", "heard": {"sentiment": sentiment, "sentiment_label": label, "language": "en"}}


def test_known_moods_of_the_last_90_days_are_averaged(tables_of, shop_catalogue, known, said):
    events = [
        said("review", 1, **mood(-0.8, "negative")),
        said("social_post", 89, **mood(0.2, "neutral")),
        said("review", 91, **mood(0.9, "positive")),
        said("call_note", 2, text="Nicht gut", heard={"language": "unknown"}),
        said("purchase", 2, **mood(-1, "negative")),  # not a text by the customer
    ]
    row = one(tables_of(customers=[known], events=events), shop_catalogue)
    assert row["sentiment_mean_90d"] == pytest.approx(-0.3)
    assert (row["negative_text_count_90d"], row["negative_text_recency_days"]) == (1, 1)


def test_without_texts_mood_and_score_are_missing(tables_of, shop_catalogue, known, said):
    row = one(tables_of(customers=[known], events=[said("review", 3, text="Gut")]), shop_catalogue)
    assert row["negative_text_count_90d"] == 0
    for name in ("sentiment_mean_90d", "negative_text_recency_days", "nps_score_mean_365d", "nps_score_last_90d"):
        assert row[name] is None


def test_scores_are_averaged_per_survey_and_the_last_one_is_the_newest(tables_of, shop_catalogue, known, said):
    events = [
        said("survey_answer", 80, survey="nps", score=9),
        said("survey_answer", 10, survey="nps", score=0),
        said("survey_answer", 300, survey="nps", score=6),
        said("survey_answer", 366, survey="nps", score=1),
        said("survey_answer", 5, survey="csat", score=4.5),
        said("survey_answer", 4, survey="nps", score=11),  # outside the scale
        said("survey_answer", 4, survey="csat", score="good"),
        said("survey_answer", 4, survey="mood", score=1),
        said("review", 4, survey="nps", score=10),
    ]
    row = one(tables_of(customers=[known], events=events), shop_catalogue)
    assert (row["nps_score_mean_365d"], row["nps_score_last_90d"]) == (5, 0)
    assert (row["csat_score_mean_365d"], row["csat_score_last_90d"]) == (4.5, 4.5)
    assert (row["effort_score_mean_365d"], row["effort_score_last_90d"]) == (None, None)


def told(said: Any, days: float, name: str, value: object) -> dict[str, object]:
    return said("attribute_told", days, name=name, value=value)


def test_a_told_attribute_counts_from_the_moment_it_was_told(tables_of, days_before, shop_catalogue, known, said):
    tables = tables_of(customers=[known], events=[told(said, 10, "region", "south"), told(said, 5, "age", 31)])
    rows = compute_features(tables, at(days_before(10), days_before(9.9), T), shop_catalogue).to_dicts()
    assert [(row["attribute_region"], row["attribute_age"]) for row in rows] == [(0, 30), (1, 30), (1, 31)]
    assert {row["customer_tenure_days"] for row in rows} == {390, 390.1, 400}


def test_a_newer_row_with_the_attribute_overrides_a_told_one(tables_of, days_before, shop_catalogue, known, said):
    newer = {**known, "updated_at": days_before(3), "attributes": '{"region":"north"}'}
    tables = tables_of(
        customers=[known, newer],
        events=[told(said, 10, "region", "south"), told(said, 9, "age", 31), told(said, 8, "shoe", 42)],
    )
    row = one(tables, shop_catalogue)
    assert (row["attribute_region"], row["attribute_age"]) == (0, 31)  # the row has no age
    assert one(tables, shop_catalogue, days_before(4))["attribute_region"] == 1


def test_told_attributes_affect_only_that_customer_and_count_before_any_row(
    tables_of, days_before, shop_catalogue, known, said
):
    tables = tables_of(customers=[], events=[told(said, 10, "region", "south")])
    assert one(tables, shop_catalogue)["attribute_region"] == 1
    other = {**told(said, 10, "region", "south"), "customer_id": "D"}
    assert one(tables_of(customers=[known], events=[other]), shop_catalogue)["attribute_region"] == 0


_WORD = st.tuples(st.floats(0.5, 300), st.sampled_from(["north", "south"]), st.booleans())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(_WORD, max_size=6, unique_by=lambda word: word[0]))
def test_features_and_profiles_agree_on_every_current_attribute(
    tables_of, days_before, shop_catalogue, known, said, words
):
    """Rows and told attributes in any order: the written profile holds what the feature uses."""
    from features.log.said import said_by
    from features.online.profiles import customers_from_frame

    rows = [{**known, "updated_at": days_before(days), "attributes": f'{{"region":"{word}"}}'}
            for days, word, is_row in words if is_row]  # fmt: skip
    events = [told(said, days, "region", word) for days, word, is_row in words if not is_row]
    tables = tables_of(customers=[known, *rows], events=events)
    [customer] = customers_from_frame(tables.customers, said_by(tables.events))
    row = one(tables, shop_catalogue)
    assert ["north", "south"][int(row["attribute_region"] or 0)] == customer.attributes["region"]
