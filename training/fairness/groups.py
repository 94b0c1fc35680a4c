"""The group of every customer as of the beginning of a period, so that nothing in the period can change it."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from features.catalogue.fairness_rules import ATTRIBUTE_PREFIX, Grouping
from features.computing.sources import Tables
from training.data.measures import money_steps
from training.kpis.contacts import CLICKED, CONVERTED, VIEWED, KpiPeriod
from training.kpis.kpi_report import money_measure

UNKNOWN = "unknown"
OTHER = "other"
NEW_DAYS = 90
TRAILING_DAYS = 365
TOP_SHARE = 0.2
SMALL_SHARE = 0.02
"""Groups with a smaller share of the customers are put together."""


def groups_of(log: Tables, catalogue: Catalogue, grouping: str, period: KpiPeriod) -> pl.DataFrame:
    """The group of every customer who is known by the end of a period.

    Args:
        log: Canonical tables.
        catalogue: Declares attributes and the money measure.
        grouping: A `Grouping`, or `customer.` and an attribute.
        period: Groups are those at its beginning.

    Returns:
        `customer_id` and `group`, one row per customer; `unknown` where it is not known.
    """
    customers = _newest(log.customers.filter(pl.col("updated_at") < period.as_of))
    if grouping.startswith(ATTRIBUTE_PREFIX):
        name = grouping.removeprefix(ATTRIBUTE_PREFIX)
        group = pl.col("attributes").str.json_path_match(f'$["{name}"]')
        return _whole(customers, customers.select("customer_id", group=group))
    found = _BUILT_IN[Grouping(grouping)](log, catalogue, customers, period)
    return _whole(customers, found)


def members_of(
    log: Tables, catalogue: Catalogue, decisions: pl.DataFrame, groupings: Iterable[str]
) -> dict[str, list[str]]:
    """The group of each decision's customer by grouping, as the first of these decisions was made.

    Args:
        log: Canonical tables.
        catalogue: As in `groups_of`.
        decisions: n rows of `customer_id` and `decided_at`, 1 or more.
        groupings: Each as in `groups_of`.
    """
    first, last = decisions["decided_at"].min(), decisions["decided_at"].max()
    assert isinstance(first, datetime)  # noqa: S101 - there are decisions
    assert isinstance(last, datetime)  # noqa: S101
    period, who = KpiPeriod(from_at=first, as_of=last), decisions["customer_id"].to_list()
    found = {}
    for grouping in groupings:
        of = dict(groups_of(log, catalogue, grouping, period).select("customer_id", "group").iter_rows())
        found[grouping] = [of.get(one, UNKNOWN) for one in who]
    return found


def _newest(customers: pl.DataFrame) -> pl.DataFrame:
    return customers.sort("updated_at").unique("customer_id", keep="last").sort("customer_id")


def _whole(customers: pl.DataFrame, found: pl.DataFrame) -> pl.DataFrame:
    """Every customer once, small groups together."""
    rows = customers.select("customer_id").join(found, on="customer_id", how="left")
    rows = rows.with_columns(pl.col("group").fill_null(UNKNOWN))
    small = rows.group_by("group").len().filter(pl.col("len") < SMALL_SHARE * rows.height)["group"].to_list()
    is_small = pl.col("group").is_in(small) & (pl.col("group") != UNKNOWN)
    return rows.with_columns(pl.when(is_small).then(pl.lit(OTHER)).otherwise("group").alias("group"))


def _value_tiers(log: Tables, catalogue: Catalogue, customers: pl.DataFrame, period: KpiPeriod) -> pl.DataFrame:
    """`top`: the best fifth of those who brought anything in the year before; `usual`: the others; `none`: nothing."""
    measure = money_measure(catalogue)
    if measure is None:
        return customers.select("customer_id", group=pl.lit(None, dtype=pl.String))
    before = KpiPeriod.of_days(period.from_at, TRAILING_DAYS)
    steps = money_steps(log, measure, cap=False).filter(before.holds("occurred_at"))
    worth = steps.group_by("customer_id").agg(pl.col("step").sum())
    rows = customers.select("customer_id").join(worth, on="customer_id", how="left")
    limit = worth.filter(pl.col("step") > 0)["step"].quantile(1 - TOP_SHARE, "higher")
    tier = (
        pl.when(pl.col("step").fill_null(0) <= 0).then(pl.lit("none"))
        .when(pl.col("step") >= (limit or 0)).then(pl.lit("top"))
        .otherwise(pl.lit("usual"))
    )  # fmt: skip
    return rows.select("customer_id", group=tier)


def _tenure(_log: Tables, _catalogue: Catalogue, customers: pl.DataFrame, period: KpiPeriod) -> pl.DataFrame:
    is_new = pl.col("joined_at") > period.from_at - timedelta(days=NEW_DAYS)
    named = pl.when(is_new).then(pl.lit("new")).otherwise(pl.lit("old"))
    return customers.select("customer_id", group=pl.when(pl.col("joined_at").is_not_null()).then(named))


def _region(_log: Tables, _catalogue: Catalogue, customers: pl.DataFrame, _period: KpiPeriod) -> pl.DataFrame:
    return customers.select("customer_id", group="country")


def _preferred_channel(log: Tables, _catalogue: Catalogue, _customers: pl.DataFrame, period: KpiPeriod) -> pl.DataFrame:
    """Where somebody answered most often before the period began; the first by name where several tie."""
    answers = log.outcomes.filter(
        (pl.col("occurred_at") < period.from_at) & pl.col("type").is_in([*VIEWED, *CLICKED, *CONVERTED])
    )
    channels = log.decisions.select("decision_id", "channel").filter(pl.col("channel").is_not_null())
    counts = answers.join(channels, on="decision_id", how="inner").group_by("customer_id", "channel").len()
    ordered = counts.sort(["customer_id", "len", "channel"], descending=[False, True, False])
    return ordered.unique("customer_id", keep="first", maintain_order=True).select("customer_id", group="channel")


_BUILT_IN: Mapping[Grouping, Callable[[Tables, Catalogue, pl.DataFrame, KpiPeriod], pl.DataFrame]] = {
    Grouping.VALUE_TIER: _value_tiers,
    Grouping.TENURE: _tenure,
    Grouping.REGION: _region,
    Grouping.PREFERRED_CHANNEL: _preferred_channel,
}
