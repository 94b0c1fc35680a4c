"""The customer's side of service: how long answers took, how much work they were, and how people felt afterwards."""

from datetime import datetime, timedelta

import polars as pl

from features.computing.sources import Tables
from training.kpis.contacts import KpiPeriod
from training.kpis.definitions import AFTER_CONTACT_DAYS, CONTACT_EVENTS, SURVEY

_HOUR = 3_600_000_000


def case_times(cases: pl.DataFrame, period: KpiPeriod) -> pl.DataFrame:
    """How long cases opened in a period waited, in hours; `cases` from `cases_of`, as of its end.

    Returns:
        `cases` with `answer_hours` and `is_answered`, `resolution_hours` and `is_resolved`: where nobody did, the
        hours waited so far.
    """
    opened = cases.filter(period.holds("opened_at"))
    return opened.with_columns(
        *_waited("answered_at", "answer_hours", "is_answered", period.as_of),
        *_waited("resolved_at", "resolution_hours", "is_resolved", period.as_of),
    )


def _waited(moment: str, hours: str, flag: str, as_of: datetime) -> tuple[pl.Expr, pl.Expr]:
    is_over = pl.col(moment).is_not_null() & (pl.col(moment) < as_of)
    ended = pl.when(is_over).then(pl.col(moment)).otherwise(pl.lit(as_of).cast(pl.Datetime("us", "UTC")))
    return ((ended - pl.col("opened_at")).dt.total_microseconds() / _HOUR).alias(hours), is_over.alias(flag)


def with_contacts(log: Tables, cases: pl.DataFrame, period: KpiPeriod) -> pl.DataFrame:
    """Cases with `contact_count`: how often the customer had to turn to us while it was open; at least once."""
    turned = log.events.filter(pl.col("type").is_in(CONTACT_EVENTS)).select("customer_id", "occurred_at")
    keyed = cases.with_row_index("place")
    ends = pl.coalesce("resolved_at", pl.lit(period.as_of).cast(pl.Datetime("us", "UTC")))
    found = (
        keyed.select("place", "customer_id", "opened_at", ends.alias("ends_at"))
        .join(turned, on="customer_id", how="inner")
        .filter(pl.col("occurred_at").is_between(pl.col("opened_at"), pl.col("ends_at")))
    )
    counts = found.group_by("place").agg(pl.len().cast(pl.Int64).alias("contact_count"))
    joined = keyed.join(counts, on="place", how="left").drop("place")
    return joined.with_columns(pl.col("contact_count").fill_null(0).clip(1))


def reached_cases(cases: pl.DataFrame, messages: pl.DataFrame) -> pl.DataFrame:
    """Cases during which one of these messages arrived: the rows of `cases`, each once."""
    keyed = cases.with_row_index("place")
    arrived = messages.filter("is_delivered").select("customer_id", "delivered_at")
    is_during = (pl.col("delivered_at") >= pl.col("opened_at")) & (
        pl.col("resolved_at").is_null() | (pl.col("delivered_at") <= pl.col("resolved_at"))
    )
    places = keyed.join(arrived, on="customer_id", how="inner").filter(is_during)["place"].unique().to_list()
    return keyed.filter(pl.col("place").is_in(places)).drop("place")


def survey_answers(log: Tables, messages: pl.DataFrame, cases: pl.DataFrame, period: KpiPeriod) -> pl.DataFrame:
    """Survey answers of a period that followed a contact or a resolution.

    Args:
        log: Canonical tables.
        messages: From `messages_of`; the last that arrived before an answer is the one it follows.
        cases: With `resolved_at`.
        period: Of the answers.

    Returns:
        `customer_id`, `survey`, `score`, and `touchpoint` and `channel` of the message (null where it was only a
        resolution that it followed).
    """
    answers = _scores(log, period).sort("occurred_at")
    span = timedelta(days=AFTER_CONTACT_DAYS)
    arrived = messages.filter("is_delivered").sort("delivered_at")
    resolved = cases.filter(pl.col("resolved_at").is_not_null()).sort("resolved_at")
    after_message = answers.join_asof(
        arrived.select("customer_id", "delivered_at", "touchpoint", "channel"),
        left_on="occurred_at", right_on="delivered_at", by="customer_id", tolerance=span, check_sortedness=False,
    )  # fmt: skip
    found = after_message.join_asof(
        resolved.select("customer_id", "resolved_at"),
        left_on="occurred_at", right_on="resolved_at", by="customer_id", tolerance=span, check_sortedness=False,
    )  # fmt: skip
    kept = found.filter(pl.col("touchpoint").is_not_null() | pl.col("resolved_at").is_not_null())
    return kept.select("customer_id", "survey", "score", "touchpoint", "channel")


def _scores(log: Tables, period: KpiPeriod) -> pl.DataFrame:
    said = pl.col("properties").str.json_path_match
    rows = log.events.filter(period.holds("occurred_at") & (pl.col("type") == SURVEY)).select(
        "customer_id", "occurred_at", survey=said("$.survey"), score=said("$.score").cast(pl.Float64, strict=False)
    )
    return rows.filter(pl.col("survey").is_not_null() & pl.col("score").is_finite())


def promoter_points(score: pl.Expr) -> pl.Expr:
    """100 for a promoter (9, 10), -100 for a detractor (0 to 6), else 0: their mean is the net promoter score."""
    return pl.when(score >= 9).then(100.0).when(score <= 6).then(-100.0).otherwise(0.0)  # noqa: PLR2004 - the NPS's own
