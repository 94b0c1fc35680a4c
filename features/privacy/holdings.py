"""Everything stored about a customer: each place with its purpose and retention."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import polars as pl

from decisioning.errors import InvalidInputError
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES, Table
from features.log.event_log import EventLog
from features.models.logged_decisions import LoggedDecisions
from features.privacy.file_erasure import loose_files, rows_in
from features.privacy.purposes import DataRules
from features.settings import Settings
from features.store.feature_history import current_generation

SECRETS = ("record_key", "commitment")
"""Columns that hold no data about a person, and keep the log's seal."""

RECORD = "record"

OF_OTHERS = "household_contacts"
"""Part of a decision's record that tells of other people."""

_SOURCES: Mapping[str, str] = {
    CUSTOMERS.name: "imported from another system, or corrected here",
    EVENTS.name: "imported, reported by the API, or read from a hand-off file",
    DECISIONS.name: "made here, or imported",
    OUTCOMES.name: "imported, reported by the API, or read from a hand-off file",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What one place holds.

    Attributes:
        where: The place, such as `log/events`.
        kept: How long, in words.
        rows: The data, as plain values.
    """

    where: str
    source: str
    purpose: str
    kept: str
    rows: Sequence[Mapping[str, Any]] = field(default_factory=tuple[Mapping[str, Any], ...])


def stored_holdings(settings: Settings, rules: DataRules, customer_id: str) -> list[Holding]:
    """What the log, the feature history and other files hold; places that hold nothing are left out.

    Raises:
        LogUnavailableError: The log could not be read.
    """
    log, logged = EventLog(settings.log_path), LoggedDecisions(settings)
    found = [_of_table(log, logged, table, rules, customer_id) for table in (CUSTOMERS, EVENTS, DECISIONS, OUTCOMES)]
    found += [_of_history(settings, rules, customer_id), *_of_files(settings, rules, customer_id)]
    return [one for one in found if one.rows]


def kept_words(days: int | None) -> str:
    """How long something is kept, in words."""
    return f"{days} days" if days is not None else "until it is erased"


def _of_table(log: EventLog, logged: LoggedDecisions, table: Table, rules: DataRules, customer_id: str) -> Holding:
    rows = log.read(table, customer_ids=[customer_id]).sort(table.time_column).drop(SECRETS, strict=False)
    return Holding(
        where=f"log/{table.name}",
        source=_SOURCES[table.name],
        purpose=rules.purpose_of(table.name),
        kept=kept_words(getattr(rules.retention, table.name)),
        rows=[_plain(table, logged, row) for row in rows.iter_rows(named=True)],
    )


def _plain(table: Table, logged: LoggedDecisions, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without what is missing, JSON text read, and nothing about other people."""
    is_json = {column.name for column in table.columns if column.is_json}
    told = {name: value for name, value in row.items() if value is not None and name != RECORD}
    read = {name: orjson.loads(value) if name in is_json else value for name, value in told.items()}
    return without_others(read) | told_record(logged, row)


def told_record(logged: LoggedDecisions, row: Mapping[str, Any]) -> dict[str, Any]:
    """The record of a decision's row as its customer may read it, under its column's name; {} where there is none."""
    if row.get(RECORD) is None:
        return {}
    try:
        return {RECORD: without_others(logged.document(row))}
    except InvalidInputError as error:
        return {RECORD: {"note": f"cannot be read: {error}", "bytes": len(row[RECORD])}}


def without_others(value: Any) -> Any:
    """A value without those parts of a record that tell of a household's other members."""
    match value:
        case dict():
            return {name: without_others(one) for name, one in value.items() if name != OF_OTHERS}
        case list():
            return [without_others(one) for one in value]
        case _:
            return value


def _of_history(settings: Settings, rules: DataRules, customer_id: str) -> Holding:
    """The generation in force; the one before it, which readers may still use, says the same or less."""
    generation = current_generation(settings)
    rows: list[dict[str, Any]] = []
    if generation is not None:
        frame = generation.scan().filter(pl.col("customer_id") == customer_id).collect().sort("event_timestamp")
        rows = [
            {name: value for name, value in row.items() if value is not None and value == value}  # noqa: PLR0124 - NaN
            for row in frame.iter_rows(named=True)
        ]
    return Holding(
        where="features/history",
        source="computed here from the log",
        purpose=rules.purpose_of("features"),
        kept=kept_words(rules.retention.features),
        rows=rows,
    )


def _of_files(settings: Settings, rules: DataRules, customer_id: str) -> list[Holding]:
    return [
        Holding(
            where=str(path.relative_to(settings.home)),
            source="set aside by an import, the drain or a hand-over",
            purpose=rules.purpose_of("copies"),
            kept=kept_words(_days_of(path.relative_to(settings.home).parts[0], rules)),
            rows=rows_in(path, customer_id),
        )
        for path in loose_files(settings)
    ]


def _days_of(folder: str, rules: DataRules) -> int | None:
    kept = rules.retention
    return {"rejects": kept.rejects, "spool": kept.dead_letters, "handoffs": kept.handoffs}.get(folder)
