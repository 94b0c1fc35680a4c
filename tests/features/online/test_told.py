"""Attributes that customers told us, in profiles: with source and date, until a newer row overrides them."""

from datetime import UTC, datetime

import polars as pl

from decisioning.customer import ToldAnswer
from features.log.contracts import CUSTOMERS, EVENTS
from features.log.said import Said, said_by
from features.online.profiles import customers_from_frame, decode_profile, encode_profile


def test_a_told_attribute_is_in_the_profile_with_its_source_until_a_newer_row_overrides_it():
    def row(days: int, attributes: str) -> dict[str, object]:
        return {
            **dict.fromkeys(CUSTOMERS.schema), "customer_id": "C", "updated_at": datetime(2026, 1, days, tzinfo=UTC),
            "attributes": attributes,
        }  # fmt: skip

    def frame(*rows: dict[str, object]) -> pl.DataFrame:
        return pl.DataFrame(rows, schema=CUSTOMERS.schema, orient="row")

    heard = ToldAnswer(at=datetime(2026, 1, 5, tzinfo=UTC), source="call")
    said = {"C": Said(told={"region": (heard, "south")})}
    [before] = customers_from_frame(frame(row(1, '{"region":"north","age":3}')), said)
    assert (before.attributes, before.told) == ({"region": "south", "age": 3}, {"region": heard})
    assert before.known_at == datetime(2026, 1, 1, tzinfo=UTC)
    assert decode_profile(encode_profile(before)) == before
    [after] = customers_from_frame(frame(row(1, "{}"), row(9, '{"region":"north"}')), said)
    assert (after.attributes, after.told) == ({"region": "north"}, {})
    [silent] = customers_from_frame(frame(row(9, '{"age":3}')), said)
    assert silent.attributes == {"region": "south", "age": 3}


def test_the_latest_told_value_wins_and_invalid_ones_are_ignored():
    rows = [
        {"customer_id": "C", "type": "attribute_told", "occurred_at": datetime(2026, 1, day, tzinfo=UTC),
         "properties": properties}
        for day, properties in (
            (3, '{"name":"region","value":"south","source":"web"}'), (2, '{"name":"region","value":"north"}'),
            (4, '{"name":"region","value":["west"]}'), (4, None), (4, '{"value":1}'), (1, '{"name":"age","value":0}'),
        )
    ]  # fmt: skip
    told = said_by(pl.DataFrame([{**dict.fromkeys(EVENTS.schema), **row} for row in rows], schema=EVENTS.schema))
    assert {name: (one.source, value) for name, (one, value) in told["C"].told.items()} == {
        "region": ("web", "south"), "age": ("customer", 0),
    }  # fmt: skip
