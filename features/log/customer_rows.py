"""What is known of customers from their rows: what a row leaves out stays as it was, and what it clears is gone.

Rows come from systems that send what they have: a nightly file with points says nothing of consents. So a missing value
says nothing. A value is taken away by naming its column in `cleared`, or an attribute by null.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
import polars as pl

from decisioning.errors import InvalidInputError

CLEARABLE = (
    "joined_at", "time_zone", "locale", "channels", "consents", "attributes", "household", "country", "phone_prefix",
)  # fmt: skip
"""Columns that a row may empty. Protections are lifted by an empty list, so that nobody loses one by a gap."""

_WHOLE = tuple(name for name in CLEARABLE if name != "attributes")


def states(column: str) -> pl.Expr:
    """Whether a row says something of a column: a value, or that there is none any more."""
    clears = pl.col("cleared").str.contains(f'"{column}"', literal=True).fill_null(value=False)
    return pl.col(column).is_not_null() | clears


def states_attribute(name: str) -> pl.Expr:
    """Whether a row says something of an attribute."""
    is_null = pl.col("attributes").str.contains(rf"{_pattern(name)}\s*:\s*null\b").fill_null(value=False)
    clears = pl.col("cleared").str.contains('"attributes"', literal=True).fill_null(value=False)
    return attribute_text(name).is_not_null() | is_null | clears


def attribute_text(name: str) -> pl.Expr:
    """An attribute of a row as text; null where it is missing."""
    return pl.col("attributes").str.json_path_match(f'$["{name}"]')


def carried(value: pl.Expr, stated: pl.Expr) -> pl.Expr:
    """What the newest row up to each says, over rows in the order of customers and moments."""
    newest = pl.when(stated).then(pl.int_range(pl.len())).forward_fill()
    return value.gather(newest).over("customer_id")


def in_order(customers: pl.DataFrame) -> pl.DataFrame:
    """Rows by customer and moment, with `cleared` also where an older writer did not know it."""
    whole = customers if "cleared" in customers.columns else customers.with_columns(cleared=pl.lit(None, pl.String))
    return whole.sort("customer_id", "updated_at")


def newest_rows(customers: pl.DataFrame) -> pl.DataFrame:
    """Of each customer, in order, the newest word about each column.

    Returns:
        The columns of `CLEARABLE`; `updated_at` of the newest row, `consents_at` of the one that speaks of consents;
        `attributes` and `attributes_at` as lists, for `merged_attributes`.
    """
    at = pl.col("updated_at")
    return (
        in_order(customers)
        .group_by("customer_id", maintain_order=True)
        .agg(
            at.last(),
            *(pl.col(name).filter(states(name)).last() for name in _WHOLE),
            at.filter(states("consents")).last().alias("consents_at"),
            pl.col("attributes").filter(states("attributes")),
            at.filter(states("attributes")).alias("attributes_at"),
        )
    )


def merged_attributes(
    texts: Iterable[str | None], moments: Iterable[datetime]
) -> tuple[dict[str, Any], Mapping[str, datetime]]:
    """Attributes that rows leave, and when each became known.

    The texts are JSON objects in the order of their rows; None where a row cleared all.

    Raises:
        InvalidInputError: A text is no JSON object.
    """
    values: dict[str, Any] = {}
    known: dict[str, datetime] = {}
    for text, at in zip(texts, moments, strict=True):
        told = {} if text is None else _object(text)
        if text is None:
            values.clear()
            known.clear()
        values.update(told)
        known.update(dict.fromkeys(told, at))
    return {name: value for name, value in values.items() if value is not None}, known


def needed_rows(customers: pl.DataFrame) -> pl.DataFrame:
    """`customer_id` and `updated_at` of the rows without which something would be forgotten, each once."""
    ordered = in_order(customers)
    key = ["customer_id", "updated_at"]
    columns = [name for name in _WHOLE if name in ordered.columns]
    kept = [ordered.filter(states(name)) for name in columns] + [ordered.filter(states("attributes"))]
    newest = [rows.group_by("customer_id").agg(pl.col("updated_at").max()) for rows in (ordered, *kept)]
    names = pl.col("attributes").str.extract_all(r'"((?:[^"\\]|\\.)*)"\s*:').alias("name")
    named = ordered.select(*key, names).explode("name").drop_nulls("name")
    spoken = named.group_by("customer_id", "name").agg(pl.col("updated_at").max()).select(key)
    return pl.concat([*newest, spoken]).unique()


def without_former_yeses(text: str | None, since: datetime) -> str | None:
    """Answers of a row without consents from before a readmission; a refusal stays, whatever its date.

    A yes without a date may be an old one, so it goes too.
    """
    try:
        answers = [] if text is None else orjson.loads(text)
        kept = [one for one in answers if one["granted"] is not True or _is_dated_since(one.get("recorded_at"), since)]
    except (ValueError, KeyError, TypeError):
        return text  # whoever reads it says what is wrong
    return text if len(kept) == len(answers) else orjson.dumps(kept).decode()


def _is_dated_since(text: str | None, since: datetime) -> bool:
    at = dated(text)
    return at is not None and at >= since


def dated(text: str | None) -> datetime | None:
    """The moment of an answer, in UTC where it names no zone; None where it is undated."""
    at = None if text is None else datetime.fromisoformat(text)
    return None if at is None else at.replace(tzinfo=at.tzinfo or UTC)


def json_value[T: (dict[str, Any], list[Any])](text: str | None, kind: type[T], column: str) -> T:
    """What a JSON column holds; nothing where it is empty.

    Raises:
        InvalidInputError: It is no JSON, or of another kind.
    """
    if text is None:
        return kind()
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise InvalidInputError(f"{column} must be JSON, got text that is not: import the customers again") from error
    if not isinstance(value, kind):
        raise InvalidInputError(f"{column} must be a JSON {kind.__name__}, got {type(value).__name__}")
    return value


def _object(text: str) -> dict[str, Any]:
    value = json_value(text, dict, "attributes")
    nested = sorted(name for name, item in value.items() if isinstance(item, dict | list))
    if nested:
        raise InvalidInputError(f"attributes must be numbers, words or flags, got nested values for {nested}")
    return value


def _pattern(name: str) -> str:
    return pl.escape_regex(orjson.dumps(name).decode())
