"""The rules that every row of a canonical table must follow, checked column-wise on a chunk at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InvalidInputError
from features.importing.arrivals import EARLIEST, LATEST, is_spared, with_arrivals
from features.importing.cell_reader import (
    AMOUNT,
    in_minor_units,
    is_in_major_units,
    spelt_out,
    with_cleared,
    without_marks,
)
from features.importing.declared_rows import fit_declared, fit_said
from features.importing.json_columns import MOST_CHARACTERS, respell, shape_rule
from features.importing.parser import accepted, parsed
from features.importing.refusals import REASONS_SCHEMA
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES, UTC_TIME, Column, Table
from features.log.event_types import EventType, StateEventType
from features.log.outcome_types import OutcomeType
from features.log.reported import GRANTS, YES_LEAD
from features.log.tombstones import Tombstones
from features.zones import country_codes, is_international

ROW = "row"
"""Column that counts a file's data rows from 1; no canonical column has this name."""

MOST_MINOR = 10**12
FUTURE_TOLERANCE = timedelta(hours=1)
"""How far a clock of another system may run ahead of ours."""

_PLANNED = frozenset({"window_ends_at"})
_MOST_SHOWN_OF_VALUE = 500


@dataclass(frozen=True, slots=True)
class ColumnRule:
    """What a column must be.

    Attributes:
        text: The rule, in words that complete 'must be'.
        is_broken: True for the rows that break it, over parsed columns.
        is_about_absence: Whether a file without the column breaks it, too.
    """

    column: str
    text: str
    is_broken: pl.Expr
    is_about_absence: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What rules depend on besides the row.

    Attributes:
        now: Nothing can have happened later than this plus FUTURE_TOLERANCE; None to leave that unchecked.
        catalogue: The catalogue in force, which knows event types and the currency; without one any plain word is an
            event type and any ISO code a currency.
        erased: Whose rows are passed over: neither good nor refused, so that no file keeps them; None for nobody's.
    """

    now: datetime | None = None
    catalogue: Catalogue | None = None
    erased: Tombstones | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A chunk, taken apart.

    Attributes:
        good: Canonical columns and `row`.
        reasons: REASONS_SCHEMA, one row per broken rule.
    """

    good: pl.DataFrame
    refused: pl.DataFrame
    reasons: pl.DataFrame


def check_columns(table: Table, path: Path, schema: pl.Schema) -> list[str]:
    """Check that a file can be the table at all, and name the columns that the table does not have.

    Raises:
        InvalidInputError: A required column is missing, or a column's type can never fit.
    """
    missing = [column.name for column in table.columns if column.is_required and column.name not in schema]
    if missing:
        found = ", ".join(schema.names()[:20]) or "none"
        raise InvalidInputError(f"{path} must have the columns {', '.join(missing)}, got {found}")
    for column in table.columns:
        dtype = schema.get(column.name)
        if dtype is not None and parsed(column, dtype) is None:
            rule = "text with JSON" if column.is_json else _type_rule(column)
            raise InvalidInputError(f"{path}: {column.name} must be {rule}, got {dtype}")
    known = {*table.schema, AMOUNT} if is_in_major_units(table, schema.names()) else table.schema
    return [name for name in schema.names() if name not in known]


def _type_rule(column: Column) -> str:
    return "times with a time zone" if isinstance(column.dtype, pl.Datetime) else accepted(column)


def check_rows(table: Table, file: str, raw: pl.DataFrame, surroundings: Surroundings) -> Checked:
    """Check a chunk of a file whose columns passed `check_columns`."""
    raw = in_minor_units(table, raw, surroundings.catalogue)
    told = without_marks(table, with_cleared(table, raw))
    values = with_arrivals(table, spelt_out(_parse(table, told), surroundings.catalogue), surroundings.now)
    rules = _rules(table, told, surroundings)
    values, faults = _fitted(table, values, surroundings.catalogue)
    rules += [
        ColumnRule(name, fault, pl.lit(found) == fault)
        for name, found in faults.items()
        for fault in found.drop_nulls().unique().sort()
    ]
    broken = pl.concat([told.select(_as_read(table, told)), values], how="horizontal").select(
        rule.is_broken.fill_null(value=False).alias(str(index)) for index, rule in enumerate(rules)
    )
    reasons = [
        _reasons(file, raw, rule, broken[str(index)]) for index, rule in enumerate(rules) if broken[str(index)].any()
    ]
    if not reasons:
        return Checked(good=values, refused=raw.clear(), reasons=pl.DataFrame(schema=REASONS_SCHEMA))
    is_refused = broken.select(pl.any_horizontal(pl.all())).to_series()
    return Checked(good=values.filter(~is_refused), refused=raw.filter(is_refused), reasons=pl.concat(reasons))


def _fitted(
    table: Table, values: pl.DataFrame, catalogue: Catalogue | None
) -> tuple[pl.DataFrame, Mapping[str, pl.Series]]:
    if table is CUSTOMERS:
        return fit_declared(values, catalogue)
    return fit_said(values, catalogue) if table is EVENTS and catalogue is not None else (values, {})


def _parse(table: Table, raw: pl.DataFrame) -> pl.DataFrame:
    """Canonical columns, null where a value is missing or does not fit, and `row`."""
    columns = [pl.col(ROW)]
    for column in table.columns:
        expression = parsed(column, raw.schema[column.name]) if column.name in raw.columns else None
        value = pl.lit(None, dtype=column.dtype) if expression is None else expression
        columns.append(value.alias(column.name))
    values = raw.select(columns)
    return values.with_columns(respell(values[column.name]) for column in table.columns if column.is_json)


def _as_read(table: Table, raw: pl.DataFrame) -> list[pl.Expr]:
    """Whether a value is there, per column, under the name that `_was_given` looks for."""
    return [
        (pl.col(name).is_not_null() if name in raw.columns else pl.lit(value=False)).alias(f"given:{name}")
        for name in table.schema
    ]


def _reasons(file: str, raw: pl.DataFrame, rule: ColumnRule, is_broken: pl.Series) -> pl.DataFrame:
    rows = raw.filter(is_broken)
    value = pl.col(rule.column)
    if isinstance(rows.schema.get(rule.column), pl.Datetime):
        value = value.cast(UTC_TIME)  # another zone's local time would follow Polars' own copy of the zone rules
    value = value.cast(pl.String).str.slice(0, _MOST_SHOWN_OF_VALUE)
    return rows.select(
        pl.lit(file).alias("file"),
        pl.col(ROW).cast(pl.UInt64).alias("row"),
        pl.lit(rule.column).alias("column"),
        pl.lit(rule.text).alias("rule"),
        (value if rule.column in rows.columns else pl.lit(None, dtype=pl.String)).alias("value"),
    )


def _rules(table: Table, raw: pl.DataFrame, surroundings: Surroundings) -> list[ColumnRule]:
    """Rules of a table for the columns that a file has."""
    rules = [rule for column in table.columns for rule in _column_rules(table, column, surroundings)]
    rules += _TABLE_RULES[table.name](surroundings)
    return [rule for rule in rules if rule.column in raw.columns or rule.is_about_absence]


def _column_rules(table: Table, column: Column, surroundings: Surroundings) -> list[ColumnRule]:
    """Rules that follow from a column's declaration."""
    name, value = column.name, pl.col(column.name)
    was_given = pl.col(f"given:{name}")
    type_rule = shape_rule(name) if column.is_json else accepted(column)
    rules = [ColumnRule(name, type_rule, was_given & value.is_null())]
    if column.is_required:
        rules.append(ColumnRule(name, "given", ~was_given))
    if isinstance(column.dtype, pl.Datetime):
        rules += _time_rules(name, surroundings.now, is_spared(table, name))
    elif isinstance(column.dtype, pl.String) and not column.is_json:
        rules += _text_rules(name)
    return rules


def _text_rules(name: str) -> list[ColumnRule]:
    value = pl.col(name)
    is_long = value.str.len_chars() > MOST_CHARACTERS
    is_odd = value.str.contains(r"[\p{C}\p{Zl}\p{Zp}]|^\s|\s$|^$")
    return [
        ColumnRule(name, f"at most {MOST_CHARACTERS} characters", is_long),
        ColumnRule(name, "printable text without space at its ends", is_odd),
    ]


def _time_rules(name: str, now: datetime | None, is_spared: pl.Expr) -> list[ColumnRule]:
    value = pl.col(name)
    is_outside = (value < pl.lit(EARLIEST)) | (value >= pl.lit(LATEST))
    rules = [ColumnRule(name, "within the years 1970 to 2099", is_outside & ~is_spared)]
    if now is not None and name not in _PLANNED:
        latest = now + FUTURE_TOLERANCE
        text = f"at most {FUTURE_TOLERANCE.seconds // 3600} hour after the import"
        rules.append(ColumnRule(name, text, (value > pl.lit(latest)) & ~is_outside & ~is_spared))
    return rules


def _customer_rules(_surroundings: Surroundings) -> list[ColumnRule]:
    locale, country = pl.col("locale"), pl.col("country")
    is_locale = locale.str.contains(r"^[A-Za-z]{2,8}([-_][A-Za-z0-9]{1,8})*$")
    is_number = pl.col("phone_prefix").map_elements(is_international, return_dtype=pl.Boolean)
    return [
        ColumnRule("locale", "a BCP 47 tag, such as en-GB", ~is_locale),
        ColumnRule("country", "an ISO 3166-1 alpha-2 code, such as DE", ~country.is_in(sorted(country_codes()))),
        ColumnRule(
            "phone_prefix", "a telephone number or its beginning with + and country code, such as +49 30", ~is_number
        ),
    ]


def _event_rules(surroundings: Surroundings) -> list[ColumnRule]:
    kind = pl.col("type")
    if surroundings.catalogue is None:
        words = ColumnRule(
            "type",
            "a word of lower-case letters, digits and underscores",
            ~kind.str.contains(r"^[a-z][a-z0-9_]{0,63}$"),
        )
    else:
        known = surroundings.catalogue.event_types
        words = ColumnRule(
            "type",
            f"an event type of the catalogue ({', '.join(known)}) or of live state ({', '.join(StateEventType)})",
            ~kind.is_in([*known, *map(str, StateEventType)]),
        )
    worth = ColumnRule(
        "amount_minor",
        "given for a purchase, in whole minor units: 4990 for 49.90, 0 for what was free",
        (kind == EventType.PURCHASE.value) & ~pl.col("given:amount_minor"),
        is_about_absence=True,
    )
    return [words, worth, *_yes_rules(surroundings.now), *_money_rules(surroundings)]


def _yes_rules(now: datetime | None) -> list[ColumnRule]:
    """A yes from a clock that runs ahead would lift nothing, so it is better to say so."""
    if now is None:
        return []
    is_ahead = pl.col("type").is_in(sorted(GRANTS)) & (pl.col("occurred_at") > pl.lit(now + YES_LEAD))
    seconds = YES_LEAD // timedelta(seconds=1)
    return [ColumnRule("occurred_at", f"at most {seconds} seconds after the import for a yes", is_ahead)]


def _outcome_rules(surroundings: Surroundings) -> list[ColumnRule]:
    known = [str(kind) for kind in OutcomeType]
    is_known = pl.col("type").is_in(known)
    return [
        ColumnRule("type", f"an outcome type ({', '.join(known)})", ~is_known),
        *_money_rules(surroundings),
    ]


def _money_rules(surroundings: Surroundings) -> list[ColumnRule]:
    amount, currency = pl.col("amount_minor"), pl.col("currency")
    rules = [
        ColumnRule(
            "amount_minor",
            f"between -{MOST_MINOR} and {MOST_MINOR} minor units",
            ~amount.is_between(-MOST_MINOR, MOST_MINOR),
        )
    ]
    if surroundings.catalogue is None:
        is_code = currency.str.contains(r"^[A-Z]{3}$")
        return [*rules, ColumnRule("currency", "an ISO 4217 code, such as EUR", ~is_code)]
    ours = surroundings.catalogue.currency
    return [*rules, ColumnRule("currency", f"the catalogue's currency, {ours}", currency != ours)]


def _decision_rules(_surroundings: Surroundings) -> list[ColumnRule]:
    probability, silence = pl.col("action_probability"), pl.col("offer_id").is_null() & ~pl.col("given:offer_id")
    is_probability = probability.is_not_nan() & (probability > 0) & (probability <= 1)
    return [
        ColumnRule("action_probability", "above 0 and at most 1", ~is_probability),
        ColumnRule("window_ends_at", "later than decided_at", pl.col("window_ends_at") <= pl.col("decided_at")),
        ColumnRule("channel", "empty for silence (no offer_id)", silence & pl.col("channel").is_not_null()),
        ColumnRule("creative_id", "empty for silence (no offer_id)", silence & pl.col("creative_id").is_not_null()),
    ]


_TABLE_RULES = {
    CUSTOMERS.name: _customer_rules,
    EVENTS.name: _event_rules,
    DECISIONS.name: _decision_rules,
    OUTCOMES.name: _outcome_rules,
}
