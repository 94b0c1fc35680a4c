"""Groups that suddenly get nothing: a stage, segment, touchpoint, channel or message that had something before."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from features.catalogue.fairness_rules import Grouping
from training.data.datasets import message_keys, messages_of
from training.drift.evidence import SILENT
from training.drift.two_samples import zero_by_chance

ANY = "any message"
ASKED = "decisions"
CHANNEL = "channel: "
"""Begin of the name of what comes by a channel."""

EVERYBODY = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroCheck:
    """Something that a group got before, and whether it gets it now.

    Attributes:
        what: `any message`, `decisions`, `channel: email`, or a message key.
        group: Among whom.
        before_customers: Who got it before.
        before_share: Share of the group's decisions that gave it.
        now_decisions: The group's decisions now.
        now_share: Share of them that give it.
        p_value: That nothing came by chance; 1 where something came.
    """

    what: str
    group: str
    before_customers: int
    before_share: float
    now_decisions: int
    now_share: float
    p_value: float

    @property
    def is_zero(self) -> bool:
        """Whether nothing comes now."""
        return self.now_share == 0.0


def zero_checks(decisions: pl.DataFrame, catalogue: Catalogue, as_of: datetime) -> list[ZeroCheck]:
    """Every group and what it got before.

    A message that is no longer in the catalogue, or whose offer is not valid any more, is no surprise and not checked.

    Args:
        decisions: From `evidence.decisions_between`, with segments.
        catalogue: In force.
        as_of: End of the newer period.
    """
    rows = decisions.with_columns(message_keys(decisions, catalogue)).with_columns(everybody=pl.lit(EVERYBODY))
    sizes = rows.filter(pl.col("is_now")).height, rows.filter(~pl.col("is_now")).height
    found: list[ZeroCheck] = []
    for group_column in ("everybody", "stage", "touchpoint", *(one.value for one in Grouping)):
        found.extend(_asked(rows, group_column, sizes[0]))
        found.extend(_got(rows, group_column, None))
    for group_column in ("everybody", "stage"):
        found.extend(_got(rows.filter(pl.col("channel") != SILENT), group_column, "channel", whole=rows))
    expected = _expected(catalogue, as_of)
    sent = rows.filter(pl.col("message_key").is_in(expected))
    found.extend(_got(sent, "everybody", "message_key", whole=rows))
    return found


def _expected(catalogue: Catalogue, as_of: datetime) -> list[str]:
    offers: Mapping[str, datetime | None] = {name: one.valid_until for name, one in catalogue.offers.items()}
    return [
        key
        for key, message in messages_of(catalogue).items()
        if (end := offers[message.offer.offer_id]) is None or end >= as_of
    ]


def _asked(rows: pl.DataFrame, group_column: str, all_now: int) -> Iterator[ZeroCheck]:
    """Whether anything is still decided about a group."""
    if group_column == "everybody":
        return
    all_before = rows.height - all_now
    counted = _counts(rows, group_column)
    for group, before, now, customers in counted.iter_rows():
        if before and all_now:
            yield ZeroCheck(
                what=ASKED,
                group=_name(group_column, group),
                before_customers=customers,
                before_share=before / all_before,
                now_decisions=all_now,
                now_share=now / all_now,
                p_value=1.0 if now else zero_by_chance(customers, all_before, all_now),
            )


def _got(
    rows: pl.DataFrame, group_column: str, what_column: str | None, *, whole: pl.DataFrame | None = None
) -> Iterator[ZeroCheck]:
    """Whether the groups that got something still get it."""
    sizes = {
        group: (before, now)
        for group, before, now, _ in _counts(rows if whole is None else whole, group_column).iter_rows()
    }
    hits = rows.filter(pl.col("is_sent"))
    keys = [group_column] if what_column is None else [group_column, what_column]
    for row in _counts(hits, *keys).iter_rows():
        group, before, now, customers = row[0], *row[-3:]
        all_before, all_now = sizes[group]
        if not before or not all_now:
            continue
        yield ZeroCheck(
            what=ANY if what_column is None else _what(what_column, row[1]),
            group=_name(group_column, group),
            before_customers=customers,
            before_share=before / all_before,
            now_decisions=all_now,
            now_share=now / all_now,
            p_value=1.0 if now else zero_by_chance(customers, all_before, all_now),
        )


def _counts(rows: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """Decisions before and now and customers before, by keys."""
    is_before = ~pl.col("is_now")
    return (
        rows.group_by(*keys)
        .agg(
            before=is_before.sum(),
            now=pl.col("is_now").sum(),
            customers=pl.col("who").filter(is_before).n_unique(),
        )
        .sort(*keys)
    )


def _name(column: str, group: str) -> str:
    return EVERYBODY if column == "everybody" else f"{column.replace('_', ' ')}: {group}"


def _what(column: str, name: str) -> str:
    return f"{CHANNEL}{name}" if column == "channel" else name
