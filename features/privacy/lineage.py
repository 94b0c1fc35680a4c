"""Which features use which data, detected by removing one piece of data and comparing the features.

A made-up customer has one of everything; each variant of them lacks one thing. All of them go through the very
computation that features go through, so whatever a definition looks at shows, also one that was added yesterday.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import polars as pl

from decisioning.catalogue.catalogue import Attribute, AttributeKind, Catalogue
from decisioning.catalogue.listening import SCALES
from features.computing.compute import compute_features
from features.history import History
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from features.log.event_types import EventType
from features.log.heard import HEARD, TEXT_TYPES
from features.log.outcome_types import OutcomeType

_AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
_NO_OUTCOME = "no outcome"
"""What an outcome alone is compared with: several types of outcome can mean the same to a feature."""
_WHOLE = ""
_OUTCOME_NAMES = frozenset(f"outcomes.{kind}" for kind in OutcomeType)
_SEES_NOTHING = frozenset({"customer_id", "event_id", "decision_id", "outcome_id"})

type _Rows = list[dict[str, Any]]
type _Life = dict[str, _Rows]
"""Rows of one made-up customer by table, without the customer id."""


def feature_lineage(catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """Features by the data that they are made of.

    Returns:
        By dotted name, such as `events.purchase`, `events.survey_answer.score`, `customers.attributes.age` or
        `outcomes.clicked`, the features that look at it; a name that no feature looks at is not there.
    """
    whole = _one_of_everything(catalogue)
    variants = {_WHOLE: whole, _NO_OUTCOME: {**whole, OUTCOMES.name: []}, **dict(_variants(whole, catalogue))}
    history = _history(list(variants.values()))
    anchors = pl.DataFrame({"customer_id": [str(place) for place in range(len(variants))]}).with_columns(
        pl.lit(_AT).cast(pl.Datetime("us", "UTC")).alias("at")
    )
    features = compute_features(history, anchors, catalogue).sort(pl.col("customer_id").cast(pl.Int64))
    names = [name for name in features.columns if name not in {"customer_id", "event_timestamp"}]
    rows = dict(zip(variants, features.select(names).rows(), strict=True))
    found: dict[str, tuple[str, ...]] = {}
    for name, row in rows.items():
        base = rows[_NO_OUTCOME if name in _OUTCOME_NAMES else _WHOLE]
        changed = tuple(one for one, was, now in zip(names, base, row, strict=True) if not _same(was, now))
        if changed and name != _NO_OUTCOME:
            found[name] = changed
    return found


def _same(first: float | None, second: float | None) -> bool:
    is_missing = [one is None or one != one for one in (first, second)]  # noqa: PLR0124 - NaN
    return all(is_missing) or (not any(is_missing) and first == second)


def _one_of_everything(catalogue: Catalogue) -> _Life:
    channels, kinds = sorted(catalogue.channels), {one.kind: one.offer_id for one in catalogue.offers.values()}
    pairs = [(channel, offer) for channel in channels for offer in kinds.values()]
    return {
        CUSTOMERS.name: [_customer(catalogue)],
        EVENTS.name: list(_events(catalogue)),
        DECISIONS.name: [
            {
                "decision_id": f"d{place}",
                "decided_at": _AT - timedelta(days=2, minutes=place),
                "touchpoint": "any",
                "offer_id": offer,
                "channel": channel,
                "creative_id": "any",
                "action_probability": 0.5,
                "stage": "any",
            }
            for place, (channel, offer) in enumerate([*pairs, *pairs])
        ],
        OUTCOMES.name: [
            {
                "outcome_id": f"d{place}-{kind}",
                "decision_id": f"d{place}",
                "type": kind,
                "occurred_at": _AT - timedelta(days=1, minutes=place),
                "recorded_at": _AT - timedelta(hours=20),
                "amount_minor": 700,
                "currency": catalogue.currency,
                "properties": {"machine": place >= len(pairs)},  # half of it as a machine reports it
            }
            for place in range(2 * len(pairs))
            for kind in map(str, OutcomeType)
        ],
    }


def _customer(catalogue: Catalogue) -> dict[str, Any]:
    return {
        "updated_at": _AT - timedelta(days=50),
        "joined_at": _AT - timedelta(days=100),
        "time_zone": "Europe/Berlin",
        "locale": "de-DE",
        "country": "DE",
        "phone_prefix": "+49",
        "household": "any",
        "channels": sorted(catalogue.channels),
        "attributes": {one.name: _sample(one) for one in catalogue.customer_attributes},
    }


def _sample(attribute: Attribute) -> Any:
    match attribute.kind:
        case AttributeKind.NUMBER:
            return 37
        case AttributeKind.FLAG:
            return True
        case _:
            return attribute.values[-1]


def _events(catalogue: Catalogue) -> Iterator[dict[str, Any]]:
    for place, event_type in enumerate(catalogue.event_types):
        for number, survey in enumerate(SCALES if event_type == EventType.SURVEY_ANSWER else ("",)):
            made_up = _said(place + number) if event_type in TEXT_TYPES else {}
            yield {
                "event_id": f"e{place}-{number}",
                "type": event_type,
                "occurred_at": _AT - timedelta(days=3, minutes=place),
                "recorded_at": _AT - timedelta(days=3),
                "channel": next(iter(catalogue.channels)),
                "amount_minor": 1_000 + place,
                "currency": catalogue.currency,
                "properties": {**made_up, "survey": survey} if survey else dict(made_up),
            }


def _said(place: int) -> dict[str, Any]:
    """Words of a customer and what was heard in them; each a little different, so that none is lost in a mean."""
    heard = {"sentiment": -0.5 - place / 100, "sentiment_label": "negative", "topic": "other"}
    return {"score": 1, "text": "bad", "language": "en", HEARD: heard}


def _variants(whole: _Life, catalogue: Catalogue) -> Iterator[tuple[str, _Life]]:
    for table in (CUSTOMERS, EVENTS, DECISIONS, OUTCOMES):
        rows = whole[table.name]
        for name in {name for row in rows for name in row} - _SEES_NOTHING:
            if name not in {column.name for column in table.columns if column.is_required}:
                yield f"{table.name}.{name}", {**whole, table.name: [_without(row, name) for row in rows]}
    for attribute in catalogue.customer_attributes:
        rows = [_less(row, "attributes", attribute.name) for row in whole[CUSTOMERS.name]]
        yield f"customers.attributes.{attribute.name}", {**whole, CUSTOMERS.name: rows}
    for event_type in catalogue.event_types:
        yield from _event_variants(whole, event_type)
    for kind in map(str, OutcomeType):
        rows = [row for row in whole[OUTCOMES.name] if row["type"] == kind]
        yield f"outcomes.{kind}", {**whole, OUTCOMES.name: rows}


def _event_variants(whole: _Life, event_type: str) -> Iterator[tuple[str, _Life]]:
    others = [row for row in whole[EVENTS.name] if row["type"] != event_type]
    ours = [row for row in whole[EVENTS.name] if row["type"] == event_type]
    yield f"events.{event_type}", {**whole, EVENTS.name: others}
    for name in sorted({name for row in ours for name in row["properties"]}):
        rows = [_less(row, "properties", name) for row in ours]
        if name == "text":  # what was heard is made of it
            rows = [_less(row, "properties", HEARD) for row in rows]
        yield f"events.{event_type}.{name}", {**whole, EVENTS.name: [*others, *rows]}


def _without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key != name}


def _less(row: dict[str, Any], column: str, name: str) -> dict[str, Any]:
    return {**row, column: _without(row[column], name)}


def _history(lives: list[_Life]) -> History:
    frames = {
        table.name: pl.DataFrame(
            [
                {**dict.fromkeys(table.schema), **_row(row, str(place))}
                for place, life in enumerate(lives)
                for row in life[table.name]
            ],
            schema=pl.Schema(table.schema),
        )
        for table in (CUSTOMERS, EVENTS, DECISIONS, OUTCOMES)
    }
    return History(**frames)


def _row(row: dict[str, Any], customer_id: str) -> dict[str, Any]:
    """As the log holds it: JSON as text, ids that are each customer's own."""
    texts = {
        name: orjson.dumps(value).decode() if isinstance(value, dict | list) else value for name, value in row.items()
    }
    ids = {name: f"{customer_id}/{texts[name]}" for name in _SEES_NOTHING if name in texts}
    return {**texts, **ids, "customer_id": customer_id}
