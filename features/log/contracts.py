"""The four canonical tables: what an adapter writes, an import checks and the log holds.

One form serves Parquet and CSV, so nested values are JSON text: `channels` is a list of channel names, `consents` a
list of objects with `channel`, `purpose`, `granted` and optionally `recorded_at` and `source`; `protections` is a list
of words; `attributes`, `properties`, `context`, `arms` and `ghost` are objects. Times are UTC (aware in Parquet, ISO
8601 with an offset in CSV), amounts are whole minor units. An answer for the purpose `profiling`, whatever its channel,
says whether the customer may be profiled.
"""

from dataclasses import dataclass, field
from types import NoneType

import polars as pl

UTC_TIME = pl.Datetime("us", "UTC")

_PLAIN_TYPES = {pl.String(): str, pl.Float64(): float, pl.Boolean(): bool}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of a canonical table; ids are read as `features.ids` says.

    Attributes:
        plain_types: Types of plain values that stand in the column as they are, whatever the value.
    """

    name: str
    dtype: pl.DataType
    is_required: bool = True
    is_json: bool = False
    is_id: bool = False
    meaning: str
    plain_types: tuple[type, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out once what every row of the log is checked against."""
        own = _PLAIN_TYPES.get(self.dtype)
        types = () if self.is_required else (NoneType,) if own is None else (own, NoneType)
        object.__setattr__(self, "plain_types", types)


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A canonical table; `key` identifies a row and makes imports idempotent.

    Attributes:
        names: Of its columns.
    """

    name: str
    key: tuple[str, ...]
    time_column: str
    columns: tuple[Column, ...]
    names: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Collect the names once, since every row of the log is checked against them."""
        object.__setattr__(self, "names", frozenset(column.name for column in self.columns))

    @property
    def schema(self) -> dict[str, pl.DataType]:
        """Column names and types in order."""
        return {column.name: column.dtype for column in self.columns}


def _text(name: str, meaning: str, *, required: bool = False) -> Column:
    return Column(name=name, dtype=pl.String(), is_required=required, meaning=meaning)


def _id(name: str, meaning: str, *, required: bool = False) -> Column:
    return Column(name=name, dtype=pl.String(), is_required=required, is_id=True, meaning=meaning)


def _json(name: str, meaning: str) -> Column:
    return Column(name=name, dtype=pl.String(), is_required=False, is_json=True, meaning=meaning)


def _time(name: str, meaning: str, *, required: bool = False) -> Column:
    return Column(name=name, dtype=UTC_TIME, is_required=required, meaning=meaning)


def _other(name: str, dtype: pl.DataType, meaning: str) -> Column:
    return Column(name=name, dtype=dtype, is_required=False, meaning=meaning)


_WHO = _id("customer_id", "who", required=True)
_MOMENTS = (
    _time("occurred_at", "when it happened", required=True),
    _time("recorded_at", "when it became known, by our clock; empty: as it happened"),
)
_MONEY = (_other("amount_minor", pl.Int64(), "money, minor units"), _text("currency", "ISO 4217 code of the amount"))
_PROPERTIES = _json("properties", "anything else")

CUSTOMERS = Table(
    name="customers",
    key=("customer_id", "updated_at"),
    time_column="updated_at",
    columns=(
        _id("customer_id", "stable identifier", required=True),
        _time("updated_at", "when this row became known; the newest row of a customer wins", required=True),
        _time("joined_at", "start of the relation"),
        _text("time_zone", "IANA time zone"),
        _text("locale", "BCP 47 tag"),
        _json("channels", "channels with a working address"),
        _json("consents", "answers per channel and purpose"),
        _json("attributes", "declared attributes"),
        _id("household", "who shares a household; empty where unknown"),
        _text("country", "where they live, ISO 3166-1 alpha-2"),
        _text(
            "phone_prefix",
            "telephone number or its beginning, international (+49 30); only narrows an unknown time zone",
        ),
        _json("protections", "deceased, minor, vulnerable, legal_hold"),
        _json("cleared", "columns that this row empties; what is missing says nothing"),
    ),
)

EVENTS = Table(
    name="events",
    key=("event_id", "customer_id"),
    time_column="occurred_at",
    columns=(
        _id("event_id", "stable identifier", required=True),
        _WHO,
        _text("type", "event type", required=True),
        *_MOMENTS,
        _text("channel", "where"),
        *_MONEY,
        _PROPERTIES,
    ),
)

# Streams carry decisions as values in this order, so new columns go to the end.
DECISIONS = Table(
    name="decisions",
    key=("decision_id",),
    time_column="decided_at",
    columns=(
        _id("decision_id", "stable identifier", required=True),
        _WHO,
        _time("decided_at", "when", required=True),
        _text("touchpoint", "what asked"),
        _id("offer_id", "the offer; empty means silence"),
        _text("channel", "how it travelled; empty for silence"),
        _id("creative_id", "the wording"),
        _other("action_probability", pl.Float64(), "probability of this choice under the logging policy, in (0, 1]"),
        _time("window_ends_at", "end of the window its worth is counted in; default the catalogue's window"),
        _text("stage", "journey stage at that moment"),
        _json("arms", "arm per experiment"),
        _text("policy_version", "policy that chose"),
        _text("model_version", "model that scored"),
        _json("record", "full decision record, where the engine made it"),
        _other("is_held_out", pl.Boolean(), "whether the universal holdout kept it back"),
        _json("ghost", "what a holdout or a silent arm kept back: message_key and action_probability"),
        _text("placement", "position of the slate that it fills; empty where there is one alone"),
        _text("commitment", "keyed commitment to the record, chained to the one before"),
        _text("record_key", "key of the commitment; erased together with the person"),
        _time("put_off_until", "when it is asked again, where it was put off to a better hour; empty for a choice"),
    ),
)

OUTCOMES = Table(
    name="outcomes",
    key=("outcome_id", "customer_id"),
    time_column="occurred_at",
    columns=(
        _id("outcome_id", "stable identifier", required=True),
        _id("decision_id", "the decision it belongs to", required=True),
        _WHO,
        _text("type", "outcome type", required=True),
        *_MOMENTS,
        *_MONEY,
        _PROPERTIES,
    ),
)

TABLES = {table.name: table for table in (CUSTOMERS, EVENTS, DECISIONS, OUTCOMES)}
