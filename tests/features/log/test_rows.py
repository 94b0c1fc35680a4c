from datetime import UTC, datetime

import orjson
import pytest

from decisioning.errors import InvalidInputError, UnknownNameError
from features.log.contracts import DECISIONS, EVENTS
from features.log.rows import frame_of, parse_row

EVENT = {"event_id": "E", "customer_id": "C", "type": "browse", "occurred_at": "2026-01-01T10:00:00+02:00"}


def test_a_row_of_json_becomes_canonical() -> None:
    table, row = parse_row("events", orjson.dumps({**EVENT, "amount_minor": 3, "properties": {"a": [1]}}))
    frame = frame_of(table, [row])
    assert table is EVENTS
    assert dict(frame.schema) == table.schema
    assert frame["occurred_at"].to_list() == [datetime(2026, 1, 1, 8, tzinfo=UTC)]
    assert frame["properties"].to_list() == ['{"a":[1]}']
    assert frame["channel"].to_list() == [None]


def test_a_row_may_be_the_values_of_its_columns_in_their_order() -> None:
    values = ["E", "C", "browse", "2026-01-01T10:00:00+02:00", None, None, 3, "EUR", {"a": ["é", 1.5]}]
    fields = EVENT | {"amount_minor": 3, "currency": "EUR", "properties": '{"a":["é",1.5]}'}
    assert parse_row("events", orjson.dumps(values)) == parse_row("events", orjson.dumps(fields))
    assert parse_row("events", orjson.dumps(values[:4])) == parse_row("events", orjson.dumps(EVENT))
    for wrong in ([*values, "more"], "text", 7):
        with pytest.raises(InvalidInputError, match="a JSON object or the values of its columns"):
            parse_row("events", orjson.dumps(wrong))


def test_a_whole_probability_is_a_number() -> None:
    fields = {"decision_id": "D", "customer_id": "C", "decided_at": "2026-01-01T10:00:00Z", "action_probability": 1}
    _, row = parse_row("decisions", orjson.dumps(fields))
    assert frame_of(DECISIONS, [row])["action_probability"].to_list() == [1.0]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"colour": "red"}, "canonical ones, got colour"),
        ({"customer_id": None}, "events.customer_id must be given"),
        ({"customer_id": ""}, "events.customer_id must be given"),
        ({"customer_id": 7}, "events.customer_id must be of type String, got int"),
        ({"occurred_at": "2026-01-01T10:00:00"}, "ISO 8601 time with an offset"),
        ({"occurred_at": 1_700_000_000}, "events.occurred_at must be of type"),
        ({"occurred_at": "0001-01-01T00:00:00+14:00"}, "ISO 8601 time"),
        ({"amount_minor": 1.5}, "events.amount_minor must be of type Int64"),
        ({"amount_minor": 2**63}, "events.amount_minor must be of type Int64"),
        ({"amount_minor": True}, "events.amount_minor must be of type Int64"),
        ({"channel": ["email"]}, "events.channel must be of type String"),
    ],
)
def test_a_row_of_another_form_is_refused_by_its_column(change: dict, complaint: str) -> None:
    with pytest.raises(InvalidInputError, match=complaint):
        parse_row("events", orjson.dumps({**EVENT, **change}))


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"3", b"\xff\xfe", b'{"event_id": "\\ud800"}'])
def test_a_value_that_is_not_a_json_object_is_refused(payload: bytes) -> None:
    with pytest.raises(InvalidInputError, match="row of events must be"):
        parse_row("events", payload)


def test_an_unknown_table_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'decisions'"):
        parse_row("decision", b"{}")
