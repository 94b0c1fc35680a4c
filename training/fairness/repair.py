"""What brings the worst group within tolerance: how many more answers, their cost, or the effect on other groups.

With shares p of n cases in the group and q of N in the rest, and tolerance t, there are two ways::

    more capacity     (q - t - p) n         more answers in time for the group; nobody loses
    same capacity     (q - t - p) / (1/n + 1/N)   answers in time moved from the rest, whose share falls by that over N

Both are linear in the gap q - p, so their intervals are those of the gap.
"""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import MessageClass
from features.catalogue.fairness_rules import FairnessMeasure
from features.reports.fairness import FairnessComparison, FairnessVerdict, GroupStanding, Repair
from training.fairness.group_measures import MONTH_DAYS
from training.intervals import rate, rate_difference
from training.kpis.contacts import KpiPeriod


def repairs_of(
    comparison: FairnessComparison,
    rows: Mapping[str, tuple[pl.DataFrame, pl.DataFrame]],
    catalogue: Catalogue,
    period: KpiPeriod,
) -> Iterator[Repair]:
    """Ways to close the gaps that were found, each with its price.

    Args:
        comparison: With a gap.
        rows: Per group its own `total` and `count` per customer, and those of everybody else.
        catalogue: Costs of channels that recovery messages travel on.
        period: Amounts are told for 30 days of it.
    """
    if comparison.guardrail.measure is not FairnessMeasure.ANSWERED_IN_TIME:
        return
    months = (period.as_of - period.from_at).total_seconds() / 86_400 / MONTH_DAYS
    for standing in comparison.standings:
        if standing.verdict is FairnessVerdict.GAP:
            yield from _answers(standing, rows[standing.group], comparison.guardrail.tolerance, catalogue, months)


def _answers(
    standing: GroupStanding,
    sides: tuple[pl.DataFrame, pl.DataFrame],
    tolerance: float,
    catalogue: Catalogue,
    months: float,
) -> Iterator[Repair]:
    ours, theirs = (rate(side["total"].to_numpy(), side["count"].to_numpy()) for side in sides)
    low, high = rate_difference(theirs, ours)
    gaps = [max(gap - tolerance, 0.0) for gap in (theirs.value - ours.value, low, high)]
    n, others = (float(side["count"].sum()) / months for side in sides)
    group, moved = standing.group, [gap / (1 / n + 1 / others) for gap in gaps]
    more = f"more capacity: this many more cases of {group} answered in time each month"
    same = f"same capacity: this many answers in time moved to {group} each month"
    less = f"everybody else is answered in time {100 * moved[0] / others:.1f} points less often"
    yield _repair(group, more, [gap * n for gap in gaps], _answer_cost(catalogue))
    yield _repair(group, same, moved, 0.0, less)


def _repair(group: str, how: str, amounts: Sequence[float], price: float | None, side_effect: str = "") -> Repair:
    costs = [None if price is None else amount * price for amount in amounts]
    return Repair(
        group=group,
        how=how,
        amount=amounts[0],
        amount_lower=amounts[1],
        amount_upper=amounts[2],
        unit="answers",
        cost_minor=costs[0],
        cost_lower=costs[1],
        cost_upper=costs[2],
        side_effect=side_effect,
    )


def _answer_cost(catalogue: Catalogue) -> float | None:
    """What an answer costs: the dearest channel that a recovery message travels on; None where there is none."""
    recovery = {each.offer_id for each in catalogue.offers.values() if each.message_class is MessageClass.RECOVERY}
    costs = [
        catalogue.channels[each.channel_id].cost_minor for each in catalogue.creatives if each.offer_id in recovery
    ]
    return max(costs, default=None)
