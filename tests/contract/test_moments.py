"""Moments are parsed the same way everywhere: API, import, hand-off, catalogue, consents, log, commands."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from decisioning.errors import NextbestError
from features.catalogue.forms.fields import parse_day, parse_moment
from features.importing.json_columns import respell
from features.importing.parser import parsed
from features.log.contracts import EVENTS
from features.log.rows import parse_row
from features.moments import moment_from, moment_in_text
from pipelines.commands.replay import _moment as since
from pipelines.handoff.returns import _moment as returned_at
from serving.forms import Moment

# What spreadsheets and exports write, and other texts that some parsers wrongly accept as a moment
CASES = """
2026-01-31T09:30:00+01:00,2026-01-31T08:30:00+00:00
2026-01-31T09:30:00+0100,2026-01-31T08:30:00+00:00
2026-01-31 09:30:00+01,2026-01-31T08:30:00+00:00
2026-01-31T09:30:00.123456789Z,2026-01-31T09:30:00.123456+00:00
20260131T093000Z,2026-01-31T09:30:00+00:00
20260131T0930-0330,2026-01-31T13:00:00+00:00
2026-01-31t09:30z,2026-01-31T09:30:00+00:00
2026-01-31 09:30:00 +0100,
2026-01-31 09:30:00 UTC,
31/01/2026 09:30,
01/02/2026 09:30Z,
1769851800,
1769851800000,
1769851800.5,
20260131,
2026-01-31,
2026-01-31 09:30:00,
2026-01-31T09:30:00,
2026-W05-6T09:30:00Z,
2026-031T09:30:00Z,
2026-02-30T09:30:00Z,
2026-01-31T24:30:00Z,
2026-01-31T09:30:00+25:00,
2026-01-31T09Z,
46053.39,
now,
-1,
"""
ROWS = [
    (text, datetime.fromisoformat(told) if told else None)
    for text, _, told in (line.rpartition(",") for line in CASES.strip().splitlines())
]


def in_a_body(text: str) -> datetime | None:
    try:
        return TypeAdapter(Moment).validate_json(orjson.dumps(text)).astimezone(UTC)
    except ValidationError as error:
        assert "must be ISO 8601 with an offset" in str(error)  # noqa: PT017 - it is what callers read
        return None


def in_a_file(text: str) -> datetime | None:
    [column] = [one for one in EVENTS.columns if one.name == "occurred_at"]
    expression = parsed(column, pl.String())
    assert expression is not None
    return pl.DataFrame({"occurred_at": [text]}).select(expression)["occurred_at"][0]


def in_a_consent(text: str) -> datetime | None:
    answer = [{"channel": "email", "purpose": "marketing", "granted": True, "recorded_at": text}]
    taken = respell(pl.Series("consents", [orjson.dumps(answer).decode()]))[0]
    return moment_in_text(text) if taken is not None else None


def in_the_log(text: str) -> datetime | None:
    row = {"event_id": "e", "customer_id": "C", "type": "browse", "occurred_at": text}
    return _or_none(lambda: parse_row("events", orjson.dumps(row))[1]["occurred_at"])


def _or_none(read: Callable[[], Any]) -> datetime | None:
    try:
        found = read()
    except (NextbestError, ValueError) as error:
        assert "must be" in str(error)  # noqa: PT017 - it is what people read
        return None
    return found if isinstance(found, datetime) else datetime.fromisoformat(found)


READERS: dict[str, Callable[[str], datetime | None]] = {
    "body": in_a_body,
    "file": in_a_file,
    "consent": in_a_consent,
    "log": in_the_log,
    "hand-off": lambda text: _or_none(lambda: returned_at(text, None)),
    "--since": lambda text: _or_none(lambda: since(text)),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize(("text", "moment"), ROWS)
def test_only_iso_8601_with_an_offset_is_a_moment(reader: str, text: str, moment: datetime | None) -> None:
    assert READERS[reader](text) == moment


@pytest.mark.parametrize(("text", "moment"), [row for row in ROWS if row[0] != "2026-01-31"])
def test_a_catalogue_takes_the_same_moments_and_a_day(text: str, moment: datetime | None) -> None:
    assert _or_none(lambda: parse_moment(text)) == moment
    assert parse_moment("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize("text", ["20260131", "2026-W05-6", "2026-031", "31.01.2026", "1769851800", ""])
def test_a_day_has_one_spelling(text: str) -> None:
    with pytest.raises(ValueError, match="must be a date such as 2026-12-31"):
        parse_day(text)


@pytest.mark.parametrize("text", ["20260131", "1769851800", "2026-W05-6", "yesterday", ""])
def test_a_command_does_not_read_digits_alone_as_a_moment(text: str) -> None:
    with pytest.raises(NextbestError, match="must be an ISO 8601 time"):
        moment_from(text, "--as-of")


def test_a_command_takes_a_day_and_a_time_without_offset_as_utc() -> None:
    assert moment_from("2026-01-31", "x") == datetime(2026, 1, 31, tzinfo=UTC)
    assert moment_from("2026-01-31T09:30", "x") == datetime(2026, 1, 31, 9, 30, tzinfo=UTC)
    assert moment_from("2026-01-31T09:30+02:00", "x") == datetime(2026, 1, 31, 7, 30, tzinfo=UTC)


@given(
    seconds=st.integers(0, 4_000_000_000),
    microsecond=st.integers(0, 999_999),
    minutes=st.integers(-14 * 60, 14 * 60),
)
def test_every_parser_reads_what_programs_write(seconds: int, microsecond: int, minutes: int) -> None:
    aware = datetime.fromtimestamp(seconds, timezone(timedelta(minutes=minutes))).replace(microsecond=microsecond)
    assert {name: read(aware.isoformat()) for name, read in READERS.items()} == dict.fromkeys(READERS, aware)


@given(st.text(alphabet="0123456789-:TZ +.,Ww", max_size=26))
def test_all_parsers_agree_on_every_text(text: str) -> None:
    assert {name: read(text) for name, read in READERS.items()} == dict.fromkeys(READERS, moment_in_text(text))
