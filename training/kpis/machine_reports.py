"""What machines opened and clicked in a period: by channel and week, and in words."""

from collections.abc import Iterator
from datetime import timedelta

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from features.computing.definition import DAY_US
from features.computing.machines import MACHINE_WORDS, MachineRule, machine_made
from features.computing.sources import Tables
from features.reports.kpis import MachineWeek
from training.kpis.contacts import CLICKED, VIEWED, KpiPeriod

_WEEK = timedelta(days=7)


def engagement_reports(log: Tables, catalogue: Catalogue, period: KpiPeriod) -> pl.DataFrame:
    """Reports of views and clicks of messages decided in a period: `channel`, `decided_at`, `type`, `machine`.

    `machine` is the rule that tells a machine, null where a person reacted.
    """
    sent = log.decisions.filter(period.holds("decided_at"))
    messages = sent.select("decision_id", "decided_at", pl.col("channel").fill_null(""))
    known = log.outcomes.filter(pl.col("occurred_at") < period.as_of)
    found = machine_made(known, log.decisions, catalogue.engagement)
    return (
        known.filter(pl.col("type").is_in([*VIEWED, *CLICKED]))
        .join(messages, on="decision_id", how="inner")
        .join(found, on=["outcome_id", "customer_id"], how="left")
        .select("channel", "decided_at", "type", "machine")
    )


def machine_weeks(reports: pl.DataFrame, period: KpiPeriod) -> Iterator[MachineWeek]:
    """Channels in order, each with its weeks from the oldest, by when their messages were decided.

    Weeks end with the period, so the first may be shorter; a week without any report is left out.
    """
    is_view, is_machine = pl.col("type").is_in(VIEWED), pl.col("machine").is_not_null()
    elapsed_us = (pl.lit(period.as_of) - pl.col("decided_at")).dt.total_microseconds()
    weeks_ago = (elapsed_us - 1) // (7 * DAY_US)
    rows = (
        reports.group_by("channel", weeks_ago.alias("weeks_ago"))
        .agg(
            views=is_view.sum(),
            machine_views=(is_view & is_machine).sum(),
            clicks=(~is_view).sum(),
            machine_clicks=(~is_view & is_machine).sum(),
        )
        .sort("channel", "weeks_ago", descending=[False, True])
    )
    for row in rows.iter_rows(named=True):
        until_at = period.as_of - row.pop("weeks_ago") * _WEEK
        yield MachineWeek(from_at=max(until_at - _WEEK, period.from_at), until_at=until_at, **row)


def machine_words(reports: pl.DataFrame, weight: float) -> list[str]:
    """What machines opened and clicked, and how that was told: a sentence for each channel with any.

    Args:
        reports: From `engagement_reports`.
        weight: What each counts for beside a person's.
    """
    return [
        _sentence(channel, reports.filter(pl.col("channel") == channel), weight)
        for channel in reports.filter(pl.col("machine").is_not_null())["channel"].unique().sort()
    ]


def _sentence(channel: str, told: pl.DataFrame, weight: float) -> str:
    parts = []
    for kinds, what in ((VIEWED, "views"), (CLICKED, "clicks")):
        of_kind = told.filter(pl.col("type").is_in(kinds))
        if of_kind.height:
            parts.append(f"{of_kind['machine'].count():,} of {of_kind.height:,} {what}")
    counts = told["machine"].drop_nulls().value_counts()
    by_rule = dict(counts.iter_rows())
    why = ", ".join(f"{MACHINE_WORDS[rule]} {by_rule[rule]:,}" for rule in MachineRule if rule in by_rule)
    return f"Machines on {channel}: {' and '.join(parts)} ({why}); each counts for {weight:g} of a person's."
