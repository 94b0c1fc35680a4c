"""Hillstrom's e-mail experiment to canonical tables: one randomised decision for each of many past buyers.

The file `hillstrom` (Parquet or CSV; columns as published) has one row per customer who bought within twelve months.
Each got an e-mail about men's goods, one about women's, or none, with one third each; then two weeks were watched.

Choices made here:
- The file has no customer ids and exact repeats are real customers, so the id is the row's number: the column `row`
  where there is one, else the place in the file.
- Every decision is at the same moment, `starts_on`. The file says that a visit or purchase happened within two weeks,
  not when: visits are put one day after the decision, purchases one hour after the visit. Both are recorded for all
  three arms, as events (`browse`, `purchase`); the measures `visit`, `conversion` and `spend` count those. Mailed
  customers also get the outcome `delivered`; it is taken that every mail arrived.
- `recency` (months since the last purchase) and `history` (money in the past year) become one earlier purchase of that
  amount, at 30 days a month. So recency and money features are right, while counts and means of purchases say only
  that there was at least one.
- The rest are attributes. All customers had agreed to e-mail, or they would not have been in the experiment.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from decisioning.errors import InvalidInputError
from examples.conversion import (
    ConvertReport,
    ExampleTables,
    check_day,
    check_source,
    json_of,
    json_text,
    read_table,
    write_world,
)
from features.log.contracts import UTC_TIME

CATALOGUE = Path(__file__).parent / "catalogue"
STARTS_ON = date(2008, 3, 3)
"""Day of the mailing. The source does not say; the challenge was published later that month."""

WINDOW_DAYS = 14
DAYS_PER_MONTH = 30
ARM_PROBABILITY = 1 / 3

_OFFERS = {"Mens E-Mail": "mens-email", "Womens E-Mail": "womens-email", "No E-Mail": None}
_COLUMNS = {
    "recency": pl.Int64,
    "history": pl.Float64,
    "mens": pl.Int64,
    "womens": pl.Int64,
    "zip_code": pl.String,
    "newbie": pl.Int64,
    "channel": pl.String,
    "segment": pl.String,
    "visit": pl.Int64,
    "conversion": pl.Int64,
    "spend": pl.Float64,
}
_ORIGIN = (
    "the file comes from Kevin Hillstrom's MineThatData e-mail analytics challenge and is published on several data "
    "sites; save it as hillstrom.csv or hillstrom.parquet"
)


def convert(source: Path | None, out: Path, *, starts_on: date = STARTS_ON) -> ConvertReport:
    """Write the e-mail experiment as canonical tables.

    Raises:
        InvalidInputError: The file is missing or not what it should be.
    """
    check_day("starts-on", starts_on)
    rows = _rows(check_source(source, ["hillstrom"], origin=_ORIGIN))
    sent_at = datetime(starts_on.year, starts_on.month, starts_on.day, 9, tzinfo=UTC)
    world = ExampleTables(
        customers=_customers(rows, sent_at),
        events=pl.concat([_earlier(rows, sent_at), _visits(rows, sent_at), _purchases(rows, sent_at)]),
        decisions=_decisions(rows, sent_at),
        outcomes=_deliveries(rows, sent_at),
        notes=("days of visits and purchases are invented: the file says only that they were within two weeks",),
    )
    return write_world("email_test", world, CATALOGUE, out)


def _rows(folder: Path) -> pl.DataFrame:
    rows = read_table(folder, "hillstrom", _COLUMNS, origin=_ORIGIN, optional={"row": pl.Int64})
    strange = set(rows["segment"].unique()) - set(_OFFERS)
    if strange:
        raise InvalidInputError(
            f"segment of hillstrom must be one of {', '.join(_OFFERS)}, got {min(map(str, strange))!r}"
        )
    if rows["row"].has_nulls():
        rows = rows.with_columns(pl.int_range(1, pl.len() + 1).alias("row"))
    if rows["row"].is_duplicated().any():
        raise InvalidInputError("row of hillstrom must number each customer once, got one number twice")
    return rows.with_columns(
        pl.format("H-{}", pl.col("row").cast(pl.String).str.zfill(5)).alias("customer_id"),
        pl.col("segment").replace_strict(_OFFERS, return_dtype=pl.String).alias("offer_id"),
    )


def _moment(at: datetime) -> pl.Expr:
    return pl.lit(at).cast(UTC_TIME)


def _customers(rows: pl.DataFrame, sent_at: datetime) -> pl.DataFrame:
    consents = [{"channel": "email", "purpose": "marketing", "granted": True, "source": "mailing list"}]
    return rows.select(
        "customer_id",
        _moment(sent_at - timedelta(days=1)).alias("updated_at"),
        pl.lit(json_text(["email"])).alias("channels"),
        pl.lit(json_text(consents)).alias("consents"),
        json_of(
            bought_mens=pl.col("mens") == 1,
            bought_womens=pl.col("womens") == 1,
            is_new=pl.col("newbie") == 1,
            area=pl.col("zip_code").replace({"Surburban": "Suburban"}).str.to_lowercase(),
            bought_via=pl.col("channel").str.to_lowercase(),
        ).alias("attributes"),
    )


def _earlier(rows: pl.DataFrame, sent_at: datetime) -> pl.DataFrame:
    at = _moment(sent_at) - pl.duration(days=pl.col("recency") * DAYS_PER_MONTH)
    return _event(rows, "earlier", "purchase", at, pl.col("history"))


def _visits(rows: pl.DataFrame, sent_at: datetime) -> pl.DataFrame:
    at = _moment(sent_at + timedelta(days=1))
    return _event(rows.filter(pl.col("visit") == 1), "visit", "browse", at, pl.lit(None, dtype=pl.Float64))


def _purchases(rows: pl.DataFrame, sent_at: datetime) -> pl.DataFrame:
    at = _moment(sent_at + timedelta(days=1, hours=1))
    return _event(rows.filter(pl.col("conversion") == 1), "purchase", "purchase", at, pl.col("spend"))


def _event(rows: pl.DataFrame, name: str, event_type: str, at: pl.Expr, amount: pl.Expr) -> pl.DataFrame:
    minor = (amount * 100).round().cast(pl.Int64)
    return rows.select(
        pl.format(f"{{}}-{name}", "customer_id").alias("event_id"),
        "customer_id",
        pl.lit(event_type).alias("type"),
        at.alias("occurred_at"),
        minor.alias("amount_minor"),
        pl.when(minor.is_not_null()).then(pl.lit("USD")).alias("currency"),
    )


def _decisions(rows: pl.DataFrame, sent_at: datetime) -> pl.DataFrame:
    sent = pl.col("offer_id").is_not_null()
    return rows.select(
        pl.format("{}-d", "customer_id").alias("decision_id"),
        "customer_id",
        _moment(sent_at).alias("decided_at"),
        pl.lit("campaign").alias("touchpoint"),
        "offer_id",
        pl.when(sent).then(pl.lit("email")).alias("channel"),
        pl.when(sent).then(pl.lit("plain")).alias("creative_id"),
        pl.lit(ARM_PROBABILITY).alias("action_probability"),
        _moment(sent_at + timedelta(days=WINDOW_DAYS)).alias("window_ends_at"),
        pl.lit("hillstrom-random").alias("policy_version"),
    )


def _deliveries(rows: pl.DataFrame, sent_at: datetime) -> pl.DataFrame:
    return rows.filter(pl.col("offer_id").is_not_null()).select(
        pl.format("{}-delivered", "customer_id").alias("outcome_id"),
        pl.format("{}-d", "customer_id").alias("decision_id"),
        "customer_id",
        pl.lit("delivered").alias("type"),
        _moment(sent_at + timedelta(minutes=5)).alias("occurred_at"),
    )
