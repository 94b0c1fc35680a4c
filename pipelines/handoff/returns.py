"""What comes back from offline channels by file: outcomes of decisions, and what customers said, through the intake.

One row is one report. With a type of outcome and a decision it is an outcome; with a type of event it is an event of
the customer, or of the customer whom the decision was about. A row whose type is empty tells nothing and is passed
over, so that a hand-off file can come back with its columns filled in as far as anybody knows.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from itertools import batched
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from decisioning.errors import InvalidInputError, nearest_names
from features.catalogue import load_catalogue
from features.ids import whole_id
from features.importing.cell_reader import AMOUNT
from features.importing.refusals import final_folder
from features.log.event_types import EventType, StateEventType
from features.log.outcome_types import OutcomeType
from features.moments import ISO_RULE, moment_in_text
from features.settings import Settings
from features.tabular.cells import MISSING_WORDS, numbers
from features.tabular.csv_rows import read_csv
from pipelines.handoff.handoff_sheet import SUFFIXES, table_bytes
from serving.in_force.policy_in_force import InForce, put_in_force
from serving.live.store import LiveStore
from serving.log.archive import find_decisions
from serving.reports.intake import Intake, Report

PROPERTY_COLUMNS = (
    "survey", "score", "case_id", "kind", "severity", "language", "purpose", "protection", "stage",
)  # fmt: skip
"""Columns that become properties under their own names; `note` becomes the property `text`."""

_COUNTED = ("outcomes", "events", "duplicates", "unknown", "widened")
_IDS = ("customer_id", "decision_id", "message_id")
_NUMBERS = ("value", "amount_minor", "score")
_SHOWN_CHARACTERS = 20
_TOGETHER = 500
_CONNECT_S = 5.0
_APOSTROPHED = ("'=", "'@", "'+", "'-", "'\t", "'\r")

type SheetRow = Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedRow:
    """A row that was not accepted; `row` counts data rows from 1."""

    row: int
    because: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReturnReport:
    """What became of a file.

    Attributes:
        unknown: Accepted rows that name an unknown customer or decision.
        widened: Accepted withdrawals whose channel or purpose the catalogue does not know: they count for all.
        empty: Rows that tell nothing.
        rejects: The file with the refused rows and why; None without any.
    """

    read: int
    outcomes: int
    events: int
    duplicates: int
    unknown: int
    widened: int
    empty: int
    refused: tuple[RefusedRow, ...]
    rejects: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """A row as a report: the table it goes to and the body that the API would get."""

    row: int
    table: str
    body: dict[str, Any]


@dataclass(slots=True)
class _Taken:
    """What was accepted so far."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_COUNTED, 0))
    refused: dict[int, str] = field(default_factory=dict[int, str])


def take_returns(
    path: Path, settings: Settings, *, redis_url: str, now: Callable[[], datetime], zone: tzinfo | None = None
) -> ReturnReport:
    """Take a file in (CSV as spreadsheets save it, or Parquet); taking it in again changes nothing.

    Nothing may lie after `now`. `zone` is that of times without an offset; None refuses them.

    Raises:
        InvalidInputError: No such file, or none that can be read.
        UnavailableError: Redis is away; run it again, nothing is taken twice.
    """
    rows = read_rows(path)
    in_force = put_in_force(load_catalogue(settings.catalogue_path), seed=settings.policy_seed)
    taken = asyncio.run(_take_in(rows, settings, in_force, redis_url, now, zone))
    rejects = _write_rejects(path, settings, rows, taken.refused, now())
    return ReturnReport(
        read=len(rows),
        **taken.counts,
        empty=sum(not row.get("type") for row in rows),
        refused=tuple(RefusedRow(row=row, because=why) for row, why in sorted(taken.refused.items())),
        rejects=None if rejects is None else str(rejects),
    )


def read_rows(path: Path) -> list[dict[str, str]]:
    """Rows of a file as texts without what surrounds them; cells that are empty are left out.

    Raises:
        InvalidInputError: No such file, or none that can be read.
    """
    if path.suffix not in SUFFIXES or not path.is_file():
        raise InvalidInputError(f"FILE must be a file that ends in {' or '.join(SUFFIXES)}, got {path}")
    try:
        frame = pl.read_parquet(path) if path.suffix == ".parquet" else read_csv(path)[0]
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InvalidInputError(f"FILE must be whole and have one header, got {str(error).splitlines()[0]}") from error
    if "type" not in frame.columns:
        raise InvalidInputError(f"FILE must have a column `type`, got {', '.join(frame.columns[:12]) or 'none'}")
    if AMOUNT in frame.columns and "value" not in frame.columns:
        frame = frame.rename({AMOUNT: "value"})
    return [_row(row) for row in _with_plain_numbers(frame).to_dicts()]


def _with_plain_numbers(frame: pl.DataFrame) -> pl.DataFrame:
    """Numbers in one spelling; a cell that `float` reads stays as it is, and so does one that nobody can read."""
    texts = [name for name in _NUMBERS if frame.schema.get(name) == pl.String]
    for name in texts:
        plain = numbers(frame[name]).cast(pl.String)
        is_plain = pl.col(name).cast(pl.Float64, strict=False).is_not_null()
        frame = frame.with_columns(pl.when(is_plain).then(name).otherwise(pl.coalesce(plain, name)).alias(name))
    return frame


def _row(cells: Mapping[str, object]) -> dict[str, str]:
    """The cells that say something, as texts."""
    texts = {name: text for name, value in cells.items() if (text := _text(value))}
    return {name: whole_id(text) if name in _IDS else text for name, text in texts.items()}


def _text(value: object) -> str:
    if value is None:
        return ""
    text = value.isoformat() if isinstance(value, datetime) else str(value).strip()
    if text in MISSING_WORDS:
        return ""
    return text[1:] if text.startswith(_APOSTROPHED) else text


async def _take_in(
    rows: Sequence[SheetRow],
    settings: Settings,
    in_force: InForce,
    redis_url: str,
    now: Callable[[], datetime],
    zone: tzinfo | None,
) -> _Taken:
    state = LiveStore.of(settings, redis_url)
    intake = Intake(state=state, log_path=settings.log_path, now=now)
    taken = _Taken()
    await state.start(wait_s=_CONNECT_S)
    try:
        for numbered in batched(enumerate(rows, start=1), _TOGETHER):
            told = [(number, row) for number, row in numbered if row.get("type")]
            owners = await _owners(state, settings, [row for _, row in told])
            items = list(_items(told, in_force, owners, zone, taken))
            for table, take in (("outcomes", intake.outcomes), ("events", intake.events)):
                some = [one for one in items if one.table == table]
                if some:
                    _count(taken, some, await take([one.body for one in some], in_force))
    finally:
        await state.stop()
    return taken


async def _owners(state: LiveStore, settings: Settings, rows: Sequence[SheetRow]) -> dict[str, str]:
    """Customers whom decisions were about, for rows that name a decision and no customer."""
    ids = sorted({row["decision_id"] for row in rows if "decision_id" in row and "customer_id" not in row})
    found = zip(ids, await state.owners(ids), strict=True)
    owners = {decision_id: owner.customer_id for decision_id, owner in found if owner is not None}
    missing = [one for one in ids if one not in owners]
    rest = await asyncio.to_thread(find_decisions, settings.log_path, missing) if missing else {}
    return owners | {decision_id: row["customer_id"] for decision_id, row in rest.items()}


def _items(
    rows: Sequence[tuple[int, SheetRow]],
    in_force: InForce,
    owners: Mapping[str, str],
    zone: tzinfo | None,
    taken: _Taken,
) -> Iterator[_Item]:
    for number, row in rows:
        try:
            yield _item(number, row, in_force, owners, zone)
        except ValueError as error:
            taken.refused[number] = str(error)


def _item(number: int, row: SheetRow, in_force: InForce, owners: Mapping[str, str], zone: tzinfo | None) -> _Item:
    """A row as a report.

    Raises:
        ValueError: What is wrong with it.
    """
    kind = _type(row["type"], in_force)
    body: dict[str, Any] = {
        "message_id": row.get("message_id") or _message_id(row),
        "type": kind,
        "occurred_at": _moment(row.get("occurred_at", ""), zone),
        "properties": _properties(row, kind),
    }
    if (amount := _amount(row, kind, in_force)) is not None:
        currency = (row.get("currency") or in_force.catalogue.currency).upper()
        body["value"] = {"amount": amount, "currency": currency}
    decision_id = row.get("decision_id")
    if kind in frozenset(OutcomeType):
        if decision_id is None:
            raise ValueError("decision_id must name the decision that the outcome belongs to, got nothing")
        return _Item(row=number, table="outcomes", body=_with(body, row, "customer_id") | {"decision_id": decision_id})
    customer_id = row.get("customer_id") or owners.get(decision_id or "")
    if customer_id is None:
        raise ValueError("customer_id must name the customer, or decision_id a known decision, got neither")
    return _Item(row=number, table="events", body=_with(body, row, "channel") | {"customer_id": customer_id})


def _with(body: dict[str, Any], row: SheetRow, name: str) -> dict[str, Any]:
    return body | {name: row[name]} if name in row else body


def _type(word: str, in_force: InForce) -> str:
    """A type of outcome or event, in its own spelling: people write `Delivered` and `not sent`."""
    known = {str(one) for one in (*OutcomeType, *EventType, *StateEventType, *in_force.catalogue.event_types)}
    respelt = word.lower().replace(" ", "_").replace("-", "_")
    found = word if word in known else respelt if respelt in known else None
    if found is None:
        nearest = nearest_names(word, sorted(known))
        hint = f"; did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""
        raise ValueError(f"type must be a type of outcome or event{hint}")
    return found


def _amount(row: SheetRow, kind: str, in_force: InForce) -> float | None:
    """What a row is worth in major units; a purchase is never worth nothing because nobody said what."""
    if kind == StateEventType.ATTRIBUTE_TOLD:  # its value is what was told
        return None
    if "value" in row:
        return _number("value", row["value"])
    if "amount_minor" in row:
        return _number("amount_minor", row["amount_minor"]) / in_force.per_major
    if kind == EventType.PURCHASE:
        raise ValueError("value must be given for a purchase, such as 49.90, 0 where it was free")
    return None


def _properties(row: SheetRow, kind: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: _number(name, row[name]) if name in _NUMBERS else row[name] for name in PROPERTY_COLUMNS if name in row
    }
    told = {name: row[name] for name in _ABOUT.get(kind, ()) if name in row}
    return found | told | ({"text": row["note"]} if "note" in row else {})


_ABOUT: Mapping[str, tuple[str, ...]] = {
    StateEventType.CONSENT_GIVEN: ("channel",),
    StateEventType.CONSENT_WITHDRAWN: ("channel",),
    StateEventType.ATTRIBUTE_TOLD: ("name", "value"),
}
"""Columns that such a row is about, and that say something else in other rows."""


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number such as 49.90, got {text[:_SHOWN_CHARACTERS]!r}") from None


def _moment(text: str, zone: tzinfo | None) -> str:
    moment = moment_in_text(text, zone=zone)
    if moment is not None:
        return moment.isoformat()
    is_local = zone is None and moment_in_text(text, zone=UTC) is not None
    hint = "; or say with --zone in which zone such times are" if is_local else ""
    raise ValueError(f"occurred_at must be {ISO_RULE}{hint}")


def _message_id(row: SheetRow) -> str:
    """What a row says identifies it, so that the same file twice counts once."""
    told = ("decision_id", "customer_id", "type", "occurred_at", "value", "currency", "note", "channel")
    said = [[name, row[name]] for name in (*told, "name", *PROPERTY_COLUMNS) if name in row]
    return f"file_{hashlib.blake2b(orjson.dumps(said), digest_size=16).hexdigest()}"


def _count(taken: _Taken, items: Sequence[_Item], report: Report) -> None:
    taken.counts[items[0].table] += len(report.accepted)
    taken.counts["duplicates"] += len(report.duplicate)
    taken.counts["unknown"] += len(report.unknown.keys() & set(report.accepted))
    taken.counts["widened"] += sum(bool(report.widened.get(place)) for place in report.accepted)
    for one in report.rejected:
        taken.refused[items[one.index].row] = one.detail


def _write_rejects(
    path: Path, settings: Settings, rows: Sequence[SheetRow], refused: Mapping[int, str], now: datetime
) -> Path | None:
    """The refused rows as they were, with why, to be mended and read again."""
    if not refused:
        return None
    folder = final_folder(settings.rejects_path, now)
    folder.mkdir(parents=True)
    names = list(dict.fromkeys(name for number in refused for name in rows[number - 1]))
    kept = [{"row": str(number), **rows[number - 1], "refused_because": why} for number, why in sorted(refused.items())]
    schema = dict.fromkeys(("row", *names, "refused_because"), pl.String())
    out = folder / f"{path.stem}.csv"
    out.write_bytes(table_bytes(pl.DataFrame(kept, schema=schema), ".csv"))
    return out
