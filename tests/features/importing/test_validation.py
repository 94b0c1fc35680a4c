from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.importing.validation import ROW, Surroundings, check_rows
from features.log.contracts import TABLES
from features.log.event_types import StateEventType

NOW = datetime(2026, 11, 20, tzinfo=UTC)
GOOD = {
    "customers": {"customer_id": "C-1", "updated_at": "2026-01-01T10:00:00Z"},
    "events": {"event_id": "E-1", "customer_id": "C-1", "type": "browse", "occurred_at": "2026-01-01T10:00:00Z"},
    "decisions": {"decision_id": "D-1", "customer_id": "C-1", "decided_at": "2026-01-01T10:00:00Z"},
    "outcomes": {
        "outcome_id": "O-1",
        "decision_id": "D-1",
        "customer_id": "C-1",
        "type": "clicked",
        "occurred_at": "2026-01-01T10:00:00Z",
    },
}


def broken_columns(table: str, values: dict[str, str | None], **surroundings) -> set[str]:
    raw = pl.DataFrame([{**GOOD[table], **values}]).with_columns(pl.all().cast(pl.String))
    checked = check_rows(TABLES[table], "file.csv", raw.with_row_index(ROW, offset=1), Surroundings(**surroundings))
    assert checked.good.height + checked.refused.height == 1
    assert checked.refused.height == (checked.reasons.height > 0)
    return set(checked.reasons["column"])


@pytest.mark.parametrize("table", GOOD)
def test_a_row_with_the_required_columns_only_is_good(table: str) -> None:
    assert broken_columns(table, {}, now=NOW) == set()


@pytest.mark.parametrize(("table", "column"), [(name, column) for name, row in GOOD.items() for column in row])
def test_a_required_value_must_be_given(table: str, column: str) -> None:
    assert column in broken_columns(table, {column: None})


CASES = [
    (
        "events",
        "event_id",
        ["x" * 200, "ä", "a b", "C/1", "日本"],
        ["x" * 201, " a", "a ", "a\tb", "a\x00", "a\u200bb"],
    ),
    (
        "events",
        "occurred_at",
        [
            "2026-01-01T10:00:00Z",
            "2026-01-01 10:00:00+00:00",
            "2026-01-01T10:00:00.123456789-0330",
            "2026-01-01t10:00z",
            "1970-01-01T00:00:00Z",
            "2026-11-20T01:00:00Z",
        ],
        [
            "2026-01-01T10:00:00",
            "2026-01-01",
            "01/02/2026 10:00",
            "2026-02-30T10:00:00Z",
            "1969-12-31T23:59:59Z",
            "2100-01-01T00:00:00Z",
            "9999-01-01T00:00:00Z",
            "2026-11-20T01:00:01Z",
            "1700000000",
            "now",
        ],
    ),
    ("events", "type", ["complaint", "stamp_paid", "x9"], ["Purchase!", "two words", "9x", "ä", "x" * 65]),
    (
        "events",
        "amount_minor",
        ["0", "-5", "+7", "1000000000000", "4990.0", "9.0E7", "1.234.500", "12 000", "NA", r"\N", "NaN", " ", "-"],
        ["1.5", "49,90", "1.234,50", "1,000", "ten", "1000000000001", "9" * 18, "9" * 40, "inf", "0x1"],
    ),
    ("events", "currency", ["EUR", "XXX", "eur", "NULL"], ["EURO", "€", "E1R"]),
    (
        "events",
        "properties",
        ['{"a": [1, {"b": null}]}', "{}", f'{{"a": {2**64 - 1}, "b": "{2**70}"}}', "null"],
        [f'{{"a": {2**64}}}', "[]", "3", "{", '{"a": NaN}', "{'a': 1}"],
    ),
    (
        "customers",
        "time_zone",
        ["Europe/Berlin", "UTC", "europe/berlin"],
        ["Berlin", "Europe/Nowhere", "+02:00", "../etc"],
    ),
    ("customers", "locale", ["en", "en-GB", "zh-Hant-TW", "pt_BR"], ["e", "english language", "en--GB", "en-"]),
    ("customers", "channels", ["[]", '["email", "push"]'], ['"email"', "[1]", '[""]', '{"email": true}', "email"]),
    (
        "customers",
        "consents",
        [
            "[]",
            '[{"channel": "email", "purpose": "marketing", "granted": true}]',
            '[{"channel": "a", "purpose": "m", "granted": false, "recorded_at": "2026-01-01T00:00:00Z", "source": ""}]',
        ],
        [
            "{}",
            '[{"channel": "email", "purpose": "marketing"}]',
            '[{"channel": "email", "purpose": "marketing", "granted": "perhaps"}]',
            '[{"channel": "email", "purpose": "marketing", "granted": 2}]',
            '[{"channel": "email", "purpose": "marketing", "granted": true, "recorded_at": "2026-01-01"}]',
            '[{"channel": "email", "purpose": "marketing", "granted": true, "grunted": true}]',
        ],
    ),
    ("customers", "attributes", ['{"age": 3, "vip": true, "region": null}'], ['{"age": [1]}', '{"a": {}}', "[]"]),
    ("customers", "household", ["H-1", "7"], ["x" * 201, " H"]),
    ("customers", "country", ["DE", "GB", "NA", "de"], ["DEU", "XX", "49", "Germany"]),
    (
        "customers",
        "phone_prefix",
        ["+49 30", "+1", "+61 (8) 9321-0000", "+4915112345678"],
        ["030 1234", "49 30", "+", "+999", "+0 1", "+49 CALL", "+4930123456789012345"],
    ),
    (
        "customers",
        "protections",
        ["[]", '["minor"]', '["legal_hold", "vulnerable", "deceased"]'],
        ["{}", '["Minro"]', "minor", "[1]", '["celebrity"]'],
    ),
    ("decisions", "is_held_out", ["true", "FALSE", "yes", "1", "0", "NA"], ["2", "perhaps", "ja"]),
    (
        "decisions",
        "ghost",
        ['{"message_key": "a/email/b", "action_probability": 0.25}'],
        ["{}", "[]", '{"message_key": "a", "action_probability": 2}', '{"message_key": 1, "action_probability": 1}'],
    ),
    ("decisions", "placement", ["hero", "2"], ["a\tb"]),
    (
        "decisions",
        "action_probability",
        ["1", "0.000001", "1e-3", "0,5", "nan"],
        ["0", "1.0001", "-0.5", "inf", "half"],
    ),
    ("decisions", "window_ends_at", ["2026-01-02T00:00:00Z", "2099-01-01T00:00:00Z"], ["2026-01-01T10:00:00Z"]),
    ("decisions", "arms", ['{"test": "engine"}'], ['{"test": 1}', '["engine"]']),
    ("outcomes", "type", ["delivered", "not_sent"], ["clickd", "purchase", "Clicked"]),
    ("outcomes", "amount_minor", ["12", "12.0", "12.000000000000002"], ["12.01"]),
]


@pytest.mark.parametrize(
    ("table", "column", "value"), [(table, column, value) for table, column, good, _ in CASES for value in good]
)
def test_a_value_that_follows_the_rules_is_accepted(table: str, column: str, value: str) -> None:
    assert broken_columns(table, {column: value}, now=NOW) == set()


@pytest.mark.parametrize(
    ("table", "column", "value"), [(table, column, value) for table, column, _, bad in CASES for value in bad]
)
def test_a_value_that_breaks_a_rule_is_refused_under_its_column(table: str, column: str, value: str) -> None:
    assert broken_columns(table, {column: value}, now=NOW) == {column}


def test_a_decision_for_silence_has_no_channel_and_no_creative() -> None:
    assert broken_columns("decisions", {"channel": "email"}) == {"channel"}
    assert broken_columns("decisions", {"creative_id": "plain"}) == {"creative_id"}
    assert broken_columns("decisions", {"offer_id": "gift", "channel": "email", "creative_id": "plain"}) == set()


def test_the_catalogue_in_force_knows_event_types_and_the_currency(shop_catalogue) -> None:
    check = {"catalogue": shop_catalogue}
    assert broken_columns("events", {"type": "stamp_paid", "currency": "EUR"}, **check) == set()
    assert broken_columns("events", {"type": "teleported", "currency": "USD"}, **check) == {"type", "currency"}
    assert broken_columns("outcomes", {"currency": "USD"}, **check) == {"currency"}


WHAT_THEY_SAY = {
    StateEventType.ATTRIBUTE_TOLD: '{"name": "age", "value": 42}',
    StateEventType.CONSENT_GIVEN: '{"channel": "email", "purpose": "marketing"}',
    StateEventType.PROTECTED: '{"protection": "minor"}',
    StateEventType.UNPROTECTED: '{"protection": "minor"}',
}


@pytest.mark.parametrize("kind", StateEventType)
def test_events_that_change_live_state_need_no_declaration(shop_catalogue, kind: StateEventType) -> None:
    row = {"type": str(kind), "properties": WHAT_THEY_SAY.get(kind)}
    assert broken_columns("events", row, catalogue=shop_catalogue) == set()


def test_a_window_may_end_in_the_future_but_nothing_happens_there() -> None:
    later = (NOW + timedelta(days=5)).isoformat()
    assert broken_columns("decisions", {"window_ends_at": later}, now=NOW) == set()
    assert broken_columns("decisions", {"decided_at": later}, now=NOW) == {"decided_at"}
    assert broken_columns("decisions", {"decided_at": later}) == set()


def test_every_broken_rule_of_a_row_is_reported() -> None:
    assert broken_columns("events", {"event_id": " ", "type": "?", "occurred_at": "?", "currency": "?"}) == {
        "event_id",
        "type",
        "occurred_at",
        "currency",
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(*[st.none() | st.text(max_size=20)] * 9), min_size=1, max_size=20))
def test_every_row_is_either_good_or_refused_with_a_reason(rows: list[tuple]) -> None:
    table = TABLES["events"]
    raw = pl.DataFrame(rows, schema=dict.fromkeys(table.schema, pl.String), orient="row")
    raw = raw.with_row_index(ROW, offset=1)
    checked = check_rows(table, "events.csv", raw, Surroundings(now=NOW))
    good, refused = set(checked.good[ROW]), set(checked.refused[ROW])
    assert good | refused == set(raw[ROW])
    assert not good & refused
    assert set(checked.reasons["row"]) == refused
    assert checked.good.drop(ROW).schema == pl.Schema(table.schema)


def test_a_huge_cell_is_cut_in_the_reject_file(tmp_path: Path) -> None:
    raw = pl.DataFrame([{**GOOD["events"], "event_id": "x" * 100_000}]).with_row_index(ROW, offset=1)
    checked = check_rows(TABLES["events"], "events.csv", raw, Surroundings())
    assert checked.reasons["value"].str.len_chars().to_list() == [500]
    assert checked.refused["event_id"].str.len_chars().to_list() == [100_000]
